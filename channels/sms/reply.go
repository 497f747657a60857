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
	Help  Consent = "help"
)

// The words that count as consent when they are the whole reply: those of AWS
// (https://docs.aws.amazon.com/sms-voice/latest/userguide/keywords-required.html)
// and Twilio's (https://www.twilio.com/docs/messaging/tutorials/advanced-opt-out,
// https://help.twilio.com/articles/223134027).
const (
	stopWords  = " ARRET CANCEL END OPT-OUT OPTOUT QUIT REMOVE REVOKE STOP STOPALL TD UNSUBSCRIBE "
	startWords = " START UNSTOP YES "
	helpWords  = " HELP INFO "
)

// Reply is a message somebody sent to the account's number.
type Reply struct {
	SID  string // Twilio's id of the message
	From string // the person's number, in E.164
	To   string // the account's number
	Body string
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
	m := Reply{SID: form.Get("MessageSid"), From: form.Get("From"), To: form.Get("To"), Body: form.Get("Body")}
	// A status callback has From and To as well, in the other direction.
	if m.SID == "" || m.From == "" || form.Has("MessageStatus") {
		return Reply{}, fmt.Errorf("%w: no incoming message", ErrCallback)
	}
	m.Consent = consent(form.Get("OptOutType"), m.Body)
	return m, nil
}

func consent(optOutType, body string) Consent {
	switch strings.ToUpper(optOutType) {
	case "STOP":
		return Stop
	case "START":
		return Start
	case "HELP":
		return Help
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
	case strings.Contains(helpWords, word):
		return Help
	}
	return None
}
