package sms

import (
	"fmt"
	"net/http"
	"strings"
)

// Consent is what a reply says about further messages.
type Consent string

// The consents. Most replies say nothing of the kind.
const (
	None  Consent = ""
	Stop  Consent = "stop"  // suppress Reply.From
	Start Consent = "start" // lift the suppression
)

// The words that count as consent when they are the whole reply: those of AWS
// (https://docs.aws.amazon.com/sms-voice/latest/userguide/keywords-required.html)
// and Twilio's (https://www.twilio.com/docs/messaging/tutorials/advanced-opt-out,
// https://help.twilio.com/articles/223134027).
const (
	stopWords  = " ARRET CANCEL END OPT-OUT OPTOUT QUIT REMOVE REVOKE STOP STOPALL TD UNSUBSCRIBE "
	startWords = " START UNSTOP YES "
)

// Reply is a message somebody sent to the account's number.
type Reply struct {
	From string // the person's number, in E.164
	// Consent is Twilio's own judgement (OptOutType, which a Messaging Service
	// with Advanced Opt-Out sends), else what the body says.
	Consent Consent
}

// Reply verifies and reads an incoming message. The error is ErrSignature or
// ErrCallback.
func (c *Callbacks) Reply(r *http.Request) (Reply, error) {
	form, err := c.form(r)
	if err != nil {
		return Reply{}, err
	}
	from := form.Get("From")
	// A status callback has From and To as well, in the other direction.
	if form.Get("MessageSid") == "" || from == "" || form.Has("MessageStatus") {
		return Reply{}, fmt.Errorf("%w: no incoming message", ErrCallback)
	}
	return Reply{From: from, Consent: consent(form.Get("OptOutType"), form.Get("Body"))}, nil
}

func consent(optOutType, body string) Consent {
	switch strings.ToUpper(optOutType) {
	case "STOP":
		return Stop
	case "START":
		return Start
	case "HELP":
		return None
	}
	word := strings.ToUpper(strings.Trim(body, " \t\r\n.,!\"'"))
	if word == "" || strings.Contains(word, " ") {
		return None
	}
	switch word = " " + word + " "; {
	case strings.Contains(stopWords, word):
		return Stop
	case strings.Contains(startWords, word):
		return Start
	}
	return None
}
