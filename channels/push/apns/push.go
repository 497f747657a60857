package apns

import (
	"context"
	"errors"
	"net/http"
	"regexp"
	"time"

	"github.com/sideshow/apns2"

	"github.com/fanfare-gateway/fanfare/channels"
)

// push makes one request and judges what came back.
func (c *Channel) push(ctx context.Context, n *apns2.Notification) (channels.Receipt, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	ctx, wire := channels.WatchRequest(ctx)
	a := &attempt{wire: wire}
	if c.token != nil {
		bearer, err := c.token.bearer()
		if err != nil {
			return channels.Receipt{}, c.book.Judge(channels.Answer{Provider: Provider, Code: codeSign, Err: err})
		}
		a.bearer = bearer
	}
	resp, err := c.client.PushWithContext(context.WithValue(ctx, attemptKey{}, a), n)
	if err != nil {
		return channels.Receipt{}, c.book.Transport(Provider, err, wire.Written() && !unprocessed(err))
	}
	if resp.Sent() {
		return channels.Receipt{ProviderID: resp.ApnsID}, nil
	}
	return channels.Receipt{}, c.judge(a, n, resp)
}

// judge classifies a refusal, and does what the next attempt needs: a new
// token, or a new connection.
func (c *Channel) judge(a *attempt, n *apns2.Notification, resp *apns2.Response) *channels.Error {
	answer := channels.Answer{
		Provider: Provider, Status: resp.StatusCode, Code: reason(resp.Reason), RetryAfter: a.retryAfter,
	}
	if resp.StatusCode == http.StatusGone {
		answer.Since = resp.Timestamp.Time
	}
	if !c.own(n) {
		answer.Reason = "the publisher's topic" // for the error book
	}
	switch resp.Reason {
	case apns2.ReasonExpiredProviderToken:
		if c.token != nil && c.token.refused(a.bearer) {
			// The error book tells this from the first time by the reason.
			answer.Reason = "the renewed token too"
		}
	case apns2.ReasonTooManyProviderTokenUpdates, apns2.ReasonIdleTimeout, apns2.ReasonShutdown:
		c.links.drop(a.link)
	}
	return c.book.Judge(answer)
}

// own tells whether topic and push type are the channel's, not the publisher's.
func (c *Channel) own(n *apns2.Notification) bool {
	return n.Topic == c.topic && (n.PushType == c.kindOf("", false) || n.PushType == c.kindOf("", true))
}

var reasonForm = regexp.MustCompile(`^[A-Za-z]{1,64}$`)

// reason lets through what can be one of Apple's reasons: it becomes a code in
// logs and metrics.
func reason(text string) string {
	if reasonForm.MatchString(text) {
		return text
	}
	return ""
}

// nobody is a device token that no device has.
const nobody = "0000000000000000000000000000000000000000000000000000000000000000"

// Probe tests the credentials. APNs has no call for that, so it sends a silent
// notification, already expired, to a device token that cannot exist: APNs
// looks at the credentials and the topic first, and refuses the token only if
// they are good. It makes one request. It cannot see whether the environment
// fits the device tokens.
func (c *Channel) Probe(ctx context.Context) error {
	_, err := c.push(ctx, &apns2.Notification{
		DeviceToken: nobody,
		Topic:       c.topic,
		PushType:    c.kindOf("", true),
		Priority:    apns2.PriorityLow,
		Expiration:  time.Unix(1, 0),
		Payload:     []byte(`{"aps":{"content-available":1}}`),
	})
	var e *channels.Error
	if errors.As(err, &e) && e.Status == http.StatusBadRequest && e.Code == apns2.ReasonBadDeviceToken {
		return nil
	}
	return err
}
