package sandbox

import (
	"bytes"
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// errClosed ends a command whose connection the fake closed itself.
var errClosed = errors.New("connection closed by the relay")

// smtpSession is one connection's state.
type smtpSession struct {
	relay  *SMTP
	conn   *smtp.Conn
	authed bool
	from   string
	rcpts  []smtpRecipient
}

// smtpRecipient is a recipient accepted at RCPT and what the final dot gets.
type smtpRecipient struct {
	address string
	answer  Answer
}

var _ smtp.AuthSession = (*smtpSession)(nil)

func (f *SMTP) session(conn *smtp.Conn) (smtp.Session, error) {
	return &smtpSession{relay: f, conn: conn}, nil
}

// AuthMechanisms are PLAIN and LOGIN.
func (s *smtpSession) AuthMechanisms() []string { return []string{sasl.Plain, sasl.Login} }

// Auth starts a mechanism.
func (s *smtpSession) Auth(mech string) (sasl.Server, error) {
	switch mech {
	case sasl.Plain:
		return sasl.NewPlainServer(func(_, user, pass string) error { return s.login(user, pass) }), nil
	case sasl.Login:
		return &loginServer{login: s.login}, nil
	}
	return nil, smtp.ErrAuthUnknownMechanism
}

func (s *smtpSession) login(user, pass string) error {
	if a, _ := s.relay.core.take(ProviderSMTP, smtpAuth); a.refuses() {
		return s.refuse(a, smtpAuth)
	}
	ok := subtle.ConstantTimeCompare([]byte(user), []byte(s.relay.Username)) &
		subtle.ConstantTimeCompare([]byte(pass), []byte(s.relay.Password))
	if ok == 0 {
		return smtp.ErrAuthFailed // 535 5.7.8
	}
	s.authed = true
	return nil
}

// Mail starts a message.
func (s *smtpSession) Mail(from string, _ *smtp.MailOptions) error {
	if _, encrypted := s.conn.TLSConnectionState(); !encrypted {
		return &smtp.SMTPError{Code: 530, EnhancedCode: smtp.EnhancedCode{5, 7, 0}, Message: "Must issue a STARTTLS command first"}
	}
	if !s.authed {
		return &smtp.SMTPError{Code: 530, EnhancedCode: smtp.EnhancedCode{5, 7, 0}, Message: "Authentication required"}
	}
	if a, _ := s.relay.core.take(ProviderSMTP, smtpMail); a.refuses() {
		s.note(Item{Recipient: smtpMail, Fields: map[string]string{"envelope-from": from}}, a)
		return s.refuse(a, smtpMail)
	}
	s.from = from
	return nil
}

// Rcpt adds a recipient.
func (s *smtpSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	a := s.relay.core.next(ProviderSMTP, to)
	if a.Drop == DropBefore {
		s.note(Item{Recipient: to}, a)
		return s.hangUp()
	}
	if a.refuses() && !a.atData() {
		a.wait(s.relay.core.ctx)
		s.note(Item{Recipient: to}, a)
		return s.refuse(a, to)
	}
	s.rcpts = append(s.rcpts, smtpRecipient{to, a})
	return nil
}

// Data reads the message and answers the final dot.
func (s *smtpSession) Data(r io.Reader) error {
	raw, err := io.ReadAll(r)
	if err != nil {
		if errors.Is(err, smtp.ErrDataTooLarge) {
			s.noteAll(Answer{Status: 552, Code: "5.3.4"})
		}
		return err
	}
	mail, err := parseMail(raw)
	if err != nil {
		s.noteAll(Answer{Status: 554, Code: "5.6.0"})
		return &smtp.SMTPError{Code: 554, EnhancedCode: smtp.EnhancedCode{5, 6, 0}, Message: "Message refused: " + err.Error()}
	}
	mail.Fields["envelope-from"] = s.from
	mail.ID = newQueueID()
	for _, to := range s.rcpts {
		if err := s.finish(mail, to); err != nil {
			return err
		}
	}
	return &smtp.SMTPError{Code: 250, EnhancedCode: smtp.EnhancedCode{2, 0, 0}, Message: "Ok: queued as " + mail.ID}
}

// finish plays the answer to the final dot for one recipient; nil accepts.
func (s *smtpSession) finish(mail Item, to smtpRecipient) error {
	a := to.answer
	mail.Recipient = to.address
	s.wait(a)
	if a.Hang {
		s.note(mail, a)
		return s.hangUp()
	}
	if a.refuses() {
		s.note(mail, a)
		return s.refuse(a, to.address)
	}
	mail.Accepted, mail.Status = true, 250
	mail.Callbacks = s.relay.events.course(a)
	s.relay.events.reports.add(s.relay.core.record(s.item(mail)))
	if a.Drop == DropAfter {
		return s.hangUp()
	}
	return nil
}

// wait plays Delay and Hang, which end when the client goes away.
func (s *smtpSession) wait(a Answer) {
	if !a.Hang {
		a.wait(s.relay.core.ctx)
		return
	}
	ctx, cancel := context.WithCancel(s.relay.core.ctx)
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		_, _ = s.conn.Conn().Read(make([]byte, 1)) // returns when the client closes
		cancel()
	}()
	a.wait(ctx)
	cancel()
	_ = s.conn.Conn().Close()
	<-gone
}

// Reset forgets the message begun.
func (s *smtpSession) Reset() { s.from, s.rcpts = "", nil }

// Logout ends the session.
func (s *smtpSession) Logout() error { return nil }

func (s *smtpSession) item(it Item) Item {
	it.Provider = ProviderSMTP
	return it
}

// note records what was not accepted.
func (s *smtpSession) note(it Item, a Answer) {
	it.Status, it.Code = a.Status, a.Code
	s.relay.core.record(s.item(it))
}

func (s *smtpSession) noteAll(a Answer) {
	for _, to := range s.rcpts {
		s.note(Item{Recipient: to.address}, a)
	}
}

// refuse answers with a's reply. 421 says goodbye (RFC 5321 section 3.8).
func (s *smtpSession) refuse(a Answer, to string) error {
	code, enhanced, text := a.reply(to)
	if code == 421 {
		_, _ = io.WriteString(s.conn.Conn(), replyLine(a, to))
		return s.hangUp()
	}
	return &smtp.SMTPError{Code: code, EnhancedCode: enhanced, Message: text}
}

// hangUp closes the connection; the error it returns reaches nobody.
func (s *smtpSession) hangUp() error {
	_ = s.conn.Close()
	return errClosed
}

// atData tells whether the refusal is the answer to the final dot.
func (a Answer) atData() bool { return strings.HasPrefix(a.Message, "data:") }

// reply is a scripted refusal as an SMTP reply. Its text names the recipient,
// as relays do.
func (a Answer) reply(to string) (code int, enhanced smtp.EnhancedCode, text string) {
	code, enhanced = a.Status, parseEnhanced(a.Code)
	if code == 0 {
		code = 550
		if enhanced[0] == 4 {
			code = 451
		}
	}
	text = strings.TrimPrefix(a.Message, "data:")
	if text == "" {
		text = "<" + to + ">: refused by the sandbox relay"
	}
	return code, enhanced, text
}

func replyLine(a Answer, to string) string {
	code, enhanced, text := a.reply(to)
	if enhanced == smtp.NoEnhancedCode {
		return fmt.Sprintf("%d %s\r\n", code, text)
	}
	return fmt.Sprintf("%d %d.%d.%d %s\r\n", code, enhanced[0], enhanced[1], enhanced[2], text)
}

var smtpCode = regexp.MustCompile(`^[245]\.[0-9]{1,3}\.[0-9]{1,3}$`)

// parseEnhanced reads "5.1.1"; anything else is a reply without such a code.
func parseEnhanced(code string) smtp.EnhancedCode {
	parts := strings.Split(code, ".")
	if len(parts) != 3 {
		return smtp.NoEnhancedCode
	}
	var e smtp.EnhancedCode
	for i, p := range parts {
		n, err := strconv.Atoi(p)
		if err != nil {
			return smtp.NoEnhancedCode
		}
		e[i] = n
	}
	return e
}

// loginServer is the LOGIN mechanism (draft-murchison-sasl-login), which
// go-sasl has for clients only.
type loginServer struct {
	login func(user, pass string) error
	asked bool
	user  []byte
}

// Next takes user name, then password.
func (l *loginServer) Next(response []byte) (challenge []byte, done bool, err error) {
	switch {
	case response == nil && !l.asked:
		l.asked = true
		return []byte("Username:"), false, nil
	case l.user == nil:
		l.user, l.asked = bytes.Clone(response), true
		return []byte("Password:"), false, nil
	}
	return nil, true, l.login(string(l.user), string(response))
}
