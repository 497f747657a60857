package sms

import (
	"cmp"
	"context"
	"time"
	"unicode/utf8"

	openapi "github.com/twilio/twilio-go/rest/api/v2010"

	"github.com/fanfare-gateway/fanfare/channels"
)

// The codes of refusals that are made here, without a call.
const (
	codeExpired  = "expired" // the deadline has passed
	codeNoBody   = "21602"   // as Twilio says it
	codeLongBody = "21617"   // as Twilio says it
)

// callbackRetries makes Twilio report a status again when the gateway does not
// answer: five more tries on any failure, each with 3 s to connect, where the
// default is one on a failed connection. Twilio does not send it along.
// https://www.twilio.com/docs/usage/webhooks/webhooks-connection-overrides
const callbackRetries = "#rc=5&rp=all&ct=3000"

// The bounds of ValidityPeriod in seconds, the highest being the default.
// https://www.twilio.com/docs/api/errors/90007
const minValidity, maxValidity = 1, 36_000

// Deliver creates the message at Twilio once. It returns a Receipt when Twilio
// has queued it, with Twilio's SID and the number of segments. The text is
// Content.Text, or Content.Subject if that is empty. A failure is an *Error; a
// delivery whose deadline has passed, or whose text Twilio would refuse, fails
// without a call.
func (c *Channel) Deliver(ctx context.Context, d channels.Delivery) (channels.Receipt, error) {
	params, code := c.params(&d, time.Now())
	if code != "" {
		return channels.Receipt{}, c.opts.Book.Judge(channels.Answer{Provider: Provider, Code: code})
	}
	ctx, cancel := context.WithTimeout(ctx, c.opts.Timeout)
	defer cancel()
	a := c.attempt(ctx)
	a.foreign = d.Sender != ""
	message, err := a.api().CreateMessage(params)
	if err != nil || message.Sid == nil || *message.Sid == "" {
		return channels.Receipt{}, a.failure()
	}
	n := Segments(*params.Body)
	if c.opts.Segments != nil {
		c.opts.Segments(countryOf(d.Endpoint), n)
	}
	return channels.Receipt{ProviderID: *message.Sid, Units: n}, nil
}

// params are the message's form fields, or the code of a refusal.
func (c *Channel) params(d *channels.Delivery, now time.Time) (*openapi.CreateMessageParams, string) {
	body := d.Content.Text
	if body == "" {
		body = d.Content.Subject
	}
	switch {
	case body == "":
		return nil, codeNoBody
	case utf8.RuneCountInString(body) > MaxBody:
		return nil, codeLongBody
	case !d.Expires.IsZero() && !now.Before(d.Expires):
		return nil, codeExpired
	}
	p := (&openapi.CreateMessageParams{}).SetTo(d.Endpoint).SetBody(body)
	if from := cmp.Or(d.Sender, c.opts.From); from != "" {
		p.SetFrom(from)
	}
	if c.opts.MessagingServiceSID != "" {
		p.SetMessagingServiceSid(c.opts.MessagingServiceSID)
	}
	if d.CallbackURL != "" {
		p.SetStatusCallback(d.CallbackURL + callbackRetries)
	}
	if !d.Expires.IsZero() {
		left := d.Expires.Sub(now) / time.Second
		p.SetValidityPeriod(int(min(max(left, minValidity), maxValidity)))
	}
	return p, ""
}
