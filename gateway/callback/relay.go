package callback

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/queue"
	"github.com/fanfare-gateway/fanfare/topics"
)

var _ Source = Relay{}

// Relay reads what a mail relay reports: JSON, signed with the account's
// events_secret (header X-Relay-Signature, HMAC-SHA256 in hexadecimal).
type Relay struct {
	Secret   []byte
	Provider string // in the error book
	Book     *channels.ErrorBook
}

// String shows no secret.
func (s Relay) String() string { return "events of " + s.Provider }

// Read is Source.
func (s Relay) Read(r *http.Request) (News, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return News{}, fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	mac := hmac.New(sha256.New, s.Secret)
	mac.Write(body)
	given, err := hex.DecodeString(r.Header.Get("X-Relay-Signature"))
	if err != nil || !hmac.Equal(given, mac.Sum(nil)) {
		return News{}, ErrSignature
	}
	var in struct {
		Event     string `json:"event"`
		MessageID string `json:"message_id"`
		Recipient string `json:"recipient"`
		Status    string `json:"status"`
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return News{}, fmt.Errorf("%w: not JSON", ErrUnreadable)
	}
	local, _, _ := strings.Cut(strings.Trim(in.MessageID, "<>"), "@")
	id, err := queue.ParseID(local)
	if err != nil {
		return News{}, fmt.Errorf("%w: message_id is none of ours", ErrUnreadable)
	}
	switch in.Event {
	case "delivered":
		return News{Evidence: &topics.Evidence{Delivery: id, State: topics.Delivered}}, nil
	case "bounced":
		bounce := s.Book.Judge(channels.Answer{Provider: s.Provider, Status: 550, Code: in.Status})
		return News{Evidence: &topics.Evidence{Delivery: id, State: topics.Failed, Err: bounce}}, nil
	case "complained":
		return News{Consent: Stop, Protocol: topics.Email, Endpoint: in.Recipient}, nil
	}
	return News{}, nil
}
