package sms

import (
	"fmt"
	"net/http"

	"github.com/fanfare-gateway/fanfare/channels"
)

// Status is a status callback: what Twilio says became of a message. Callbacks
// come late, twice, and in any order.
type Status struct {
	// Delivery is the "d" parameter of the callback URL: the delivery's id as
	// the gateway put it there.
	Delivery string
	// SID is Twilio's id of the message, the receipt's ProviderID.
	SID string
	// State is Twilio's word: queued, sent, delivered, undelivered, failed ….
	State string
	// Code is Twilio's error code, "" for none.
	Code string
}

// Status verifies and reads a status callback. The error is ErrSignature or
// ErrCallback.
func (c *Callbacks) Status(r *http.Request) (Status, error) {
	form, err := c.form(r)
	if err != nil {
		return Status{}, err
	}
	s := Status{
		Delivery: r.URL.Query().Get("d"),
		SID:      form.Get("MessageSid"), State: form.Get("MessageStatus"), Code: form.Get("ErrorCode"),
	}
	if s.SID == "" || s.State == "" {
		return Status{}, fmt.Errorf("%w: no message status", ErrCallback)
	}
	if s.Code == "0" {
		s.Code = ""
	}
	return s, nil
}

// Evidence is what a status proves of a delivery, in the ledger's words.
type Evidence struct {
	// State is "sent", "delivered" or "failed"; "" when nothing is proved.
	State string
	// Err tells why it failed.
	Err *channels.Error
}

// Evidence maps the status. That Twilio knows the message at all proves that it
// was accepted, so an uncertain delivery is settled by the first callback. It is
// a pure function.
// https://www.twilio.com/docs/messaging/api/message-resource#message-status-values
func (s Status) Evidence(book *channels.ErrorBook) Evidence {
	switch s.State {
	case "accepted", "scheduled", "queued", "sending", "sent", "partially_delivered":
		return Evidence{State: "sent"}
	case "delivered", "read":
		return Evidence{State: "delivered"}
	case "undelivered", "failed", "canceled":
		code := s.Code
		if code == "" {
			code = s.State
		}
		return Evidence{State: "failed", Err: book.Judge(channels.Answer{Provider: Provider, Code: code})}
	}
	return Evidence{}
}
