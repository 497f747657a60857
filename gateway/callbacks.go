package gateway

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/channels/sandbox"
	"github.com/fanfare-gateway/fanfare/channels/sms"
	"github.com/fanfare-gateway/fanfare/config"
	"github.com/fanfare-gateway/fanfare/gateway/callback"
	"github.com/fanfare-gateway/fanfare/queue"
	"github.com/fanfare-gateway/fanfare/topics"
)

// callbackSources are the accounts something comes back for, by name.
func (g *Gateway) callbackSources(cfg config.Config) (map[string]callback.Source, error) {
	all := map[string]callback.Source{}
	for _, a := range cfg.Accounts {
		switch {
		case a.Provider == sandbox.ProviderTwilio && cfg.PublicURL != "" && a.Twilio.AuthToken != "":
			c, err := sms.NewCallbacks(sms.CallbackOptions{
				AccountSID: a.Twilio.AccountSID, AuthTokens: []string{string(a.Twilio.AuthToken)}, PublicURL: cfg.PublicURL,
			})
			if err != nil {
				return nil, fmt.Errorf("account %s: %w", accountName(a), err)
			}
			all[accountName(a)] = twilio{callbacks: c, book: g.maker.book}
		case a.Provider == sandbox.ProviderSMTP && a.SMTP.EventsSecret != "":
			all[accountName(a)] = relay{secret: []byte(a.SMTP.EventsSecret), book: g.maker.book}
		}
	}
	return all, nil
}

// twilio reads what Twilio reports.
type twilio struct {
	callbacks *sms.Callbacks
	book      *channels.ErrorBook
}

var states = map[string]topics.State{"sent": topics.Sent, "delivered": topics.Delivered, "failed": topics.Failed}

// Read is callback.Source.
func (t twilio) Read(r *http.Request) (callback.News, error) {
	if !r.URL.Query().Has("d") {
		m, err := t.callbacks.Reply(r)
		if err != nil {
			return callback.News{}, signature(err)
		}
		return callback.News{Consent: string(m.Consent), Protocol: topics.SMS, Endpoint: m.From}, nil
	}
	s, err := t.callbacks.Status(r)
	if err != nil {
		return callback.News{}, signature(err)
	}
	id, err := queue.ParseID(s.Delivery)
	if err != nil {
		return callback.News{}, fmt.Errorf("%w: d is no delivery", callback.ErrUnreadable)
	}
	try, err := strconv.Atoi(r.URL.Query().Get("t"))
	if err != nil {
		return callback.News{}, fmt.Errorf("%w: t is no number", callback.ErrUnreadable)
	}
	ev := s.Evidence(t.book)
	if ev.State == "" {
		return callback.News{}, nil
	}
	return callback.News{Evidence: &topics.Evidence{Delivery: id, Try: try, State: states[ev.State], ProviderID: s.SID, Err: ev.Err}}, nil
}

func signature(err error) error {
	if strings.Contains(err.Error(), sms.ErrSignature.Error()) {
		return fmt.Errorf("%w: %w", callback.ErrSignature, err)
	}
	return fmt.Errorf("%w: %w", callback.ErrUnreadable, err)
}

// relay reads what a mail relay reports: JSON, signed with the account's
// events_secret (header X-Relay-Signature, HMAC-SHA256 in hexadecimal).
type relay struct {
	secret []byte
	book   *channels.ErrorBook
}

// Read is callback.Source.
func (s relay) Read(r *http.Request) (callback.News, error) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 64<<10))
	if err != nil {
		return callback.News{}, fmt.Errorf("%w: %w", callback.ErrUnreadable, err)
	}
	mac := hmac.New(sha256.New, s.secret)
	mac.Write(body)
	given, err := hex.DecodeString(r.Header.Get("X-Relay-Signature"))
	if err != nil || !hmac.Equal(given, mac.Sum(nil)) {
		return callback.News{}, callback.ErrSignature
	}
	var in struct {
		Event     string `json:"event"`
		MessageID string `json:"message_id"`
		Recipient string `json:"recipient"`
		Status    string `json:"status"`
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return callback.News{}, fmt.Errorf("%w: not JSON", callback.ErrUnreadable)
	}
	local, _, _ := strings.Cut(strings.Trim(in.MessageID, "<>"), "@")
	id, err := queue.ParseID(local)
	if err != nil {
		return callback.News{}, fmt.Errorf("%w: message_id is none of ours", callback.ErrUnreadable)
	}
	ev := &topics.Evidence{Delivery: id}
	switch in.Event {
	case "delivered":
		ev.State = topics.Delivered
	case "bounced":
		ev.State = topics.Failed
		ev.Err = s.book.Judge(channels.Answer{Provider: sandbox.ProviderSMTP, Status: 550, Code: in.Status})
	case "complained":
		return callback.News{Consent: "stop", Protocol: topics.Email, Endpoint: in.Recipient}, nil
	default:
		return callback.News{}, nil
	}
	return callback.News{Evidence: ev}, nil
}
