package email

import (
	"bytes"
	"errors"
	"fmt"
	"net/mail"
	"net/url"
	"slices"
	"strings"
	"time"

	gomail "github.com/wneessen/go-mail"

	"github.com/fanfare-gateway/fanfare/channels"
)

// maxHeader is the longest line a message may have, without its end (RFC 5322
// section 2.1.1).
const maxHeader = 998

// message is a delivery as it goes over the wire.
type message struct {
	id   string // Message-ID without <>
	from string // envelope sender and recipient, bare
	to   string
	data []byte // complete, lines ending in CRLF
}

// ours are the headers the channel itself writes.
var ours = []string{
	"from", "sender", "to", "cc", "bcc", "subject", "date", "message-id", "mime-version", "auto-submitted",
	"list-unsubscribe", "list-unsubscribe-post", "dkim-signature", "return-path", "received",
}

// compose renders a delivery. What cannot be a message is refused here, before
// any call.
func (c *Channel) compose(d channels.Delivery) (*message, error) {
	to, _, err := checkAddress(d.Endpoint)
	if err != nil {
		return nil, &failure{code: codeBadAddress, err: err}
	}
	id := d.ID.Hex() + "@" + c.domain
	m := gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	m.FromMailAddress(c.from)
	m.ToMailAddress(&mail.Address{Address: to})
	m.SetMessageIDWithValue(id)
	m.SetDateWithValue(time.Now())
	if err := setContent(m, d); err != nil {
		return nil, &failure{code: codeBadMessage, err: err}
	}
	if c.signer != nil {
		m.SetDKIM(c.signer.forMessage(d.UnsubscribeURL != ""))
	}
	var data bytes.Buffer
	if _, err := m.WriteTo(&data); err != nil {
		return nil, &failure{code: codeBadMessage, err: errors.New("message cannot be rendered")}
	}
	sent := data.Bytes()
	if c.signer != nil {
		sent = refold(sent)
	}
	return &message{id: id, from: c.from.Address, to: to, data: sent}, nil
}

// setContent fills in what comes from the delivery.
func setContent(m *gomail.Msg, d channels.Delivery) error {
	if !oneLine(d.Content.Subject) || len(d.Content.Subject) > maxHeader-len("Subject: ") {
		return errors.New("subject must be one line of at most 989 bytes")
	}
	m.Subject(d.Content.Subject)
	if d.Lane != channels.Bulk {
		// RFC 3834 section 5: nobody's vacation reply should come back.
		m.SetGenHeader("Auto-Submitted", "auto-generated")
	}
	if err := setUnsubscribe(m, d.UnsubscribeURL); err != nil {
		return err
	}
	for name, value := range d.Content.Headers {
		if err := checkHeader(name, value); err != nil {
			return err
		}
		m.SetGenHeader(gomail.Header(name), value)
	}
	if d.Content.Text != "" || d.Content.HTML == "" {
		m.SetBodyString(gomail.TypeTextPlain, d.Content.Text)
	}
	if d.Content.HTML != "" {
		m.AddAlternativeString(gomail.TypeTextHTML, d.Content.HTML)
	}
	return nil
}

// setUnsubscribe adds the one-click link (RFC 8058), which must be https; with
// any other the recipient gets the plain link of RFC 2369.
func setUnsubscribe(m *gomail.Msg, link string) error {
	if link == "" {
		return nil
	}
	u, err := url.Parse(link)
	if err != nil || u.Host == "" || !oneLine(link) || strings.ContainsAny(link, "<>, ") || len(link) > maxHeader-len("List-Unsubscribe: <>") {
		return errors.New("unsubscribe link is not a URL fit for a header")
	}
	// Preformatted: a URL must not be encoded or folded.
	m.SetGenHeaderPreformatted(gomail.HeaderListUnsubscribe, "<"+link+">")
	if u.Scheme == "https" {
		m.SetListUnsubscribePost()
	}
	return nil
}

// checkHeader refuses an extra header that is malformed or one the channel
// writes itself.
func checkHeader(name, value string) error {
	lower := strings.ToLower(name)
	if slices.Contains(ours, lower) || strings.HasPrefix(lower, "content-") {
		return fmt.Errorf("header %q is written by the channel itself", name)
	}
	for _, r := range name { // RFC 5322 section 3.6.8
		if r <= ' ' || r > '~' || r == ':' {
			return errors.New("header name has a character that is not allowed")
		}
	}
	if name == "" || !oneLine(value) || len(name)+len(value) > maxHeader-len(": ") {
		return errors.New("header must have a name and one line of at most 998 bytes")
	}
	return nil
}

// oneLine tells that text has no line break or other control character but tab.
func oneLine(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f })
}
