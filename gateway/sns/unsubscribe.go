package sns

import (
	"context"
	"errors"
	"net/http"

	"github.com/fanfare-gateway/fanfare/gateway/awswire"
	"github.com/fanfare-gateway/fanfare/queue"
	"github.com/fanfare-gateway/fanfare/topics"
)

type unsubscribeIn struct {
	SubscriptionArn string `json:"SubscriptionArn"`
	// Token is in UnsubscribeURL, which nobody signs.
	Token string `json:"Token"`
}

// unsubscribe succeeds for a subscription that is not there, too. Somebody
// unsigned needs the token of UnsubscribeURL, unless the one who confirmed
// wanted every unsubscribing signed; and an endpoint that confirms is told how to
// undo it.
// https://docs.aws.amazon.com/sns/latest/api/API_Unsubscribe.html
func (s *service) unsubscribe(ctx context.Context, r *awswire.Request, in *unsubscribeIn) (*nothing, error) {
	o, id, err := s.subscriptionID(r, in.SubscriptionArn)
	if errors.Is(err, errNoSubscription) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	sub, err := s.Topics.Subscription(o, id)
	if errors.Is(err, topics.ErrNotFound) && unsigned(r) { // the endpoint may not have been told
		var d topics.Deactivated
		d, err = s.Topics.Deactivated(o, id)
		sub = d.Subscription
	}
	if errors.Is(err, topics.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if unsigned(r) && !s.mayLeaveUnsigned(&sub, in.Token) {
		return nil, fault("AuthorizationError", http.StatusForbidden, "User: anonymous is not authorized to perform: SNS:Unsubscribe on resource: "+in.SubscriptionArn)
	}
	if unsigned(r) && !sub.Pending && confirms(sub.Protocol) {
		err = s.deactivate(ctx, o, id)
	} else {
		err = s.Topics.Unsubscribe(ctx, o, id)
	}
	if errors.Is(err, topics.ErrNotFound) {
		err = nil
	}
	return nil, err
}

func (s *service) mayLeaveUnsigned(sub *topics.Subscription, token string) bool {
	if sub.Attributes[keptLocked] == "true" {
		return false
	}
	return s.Lax || sameSecret(token, sub.Token)
}

// confirms tells whether the endpoints of a protocol confirm their subscriptions.
func confirms(protocol string) bool {
	return protocol == topics.HTTP || protocol == topics.HTTPS || protocol == topics.Email
}

// deactivate ends a subscription and tells its endpoint how to bring it back. A
// repeat tells it only if that was not done yet.
func (s *service) deactivate(ctx context.Context, o topics.Owner, id queue.ID) error {
	d, err := s.Topics.Deactivate(ctx, o, id, tokenLife)
	if err != nil {
		return err
	}
	sub := d.Subscription
	sub.Token = restoring(sub.Token)
	req := topics.Request{
		Owner: o, To: &topics.Target{Protocol: sub.Protocol, Endpoint: sub.Endpoint, Account: sub.Account},
		ExpiresAt: d.At.Add(tokenLife), IdempotencyKey: "sns-unsubscribed-" + id.Hex() + d.At.String(),
	}
	if sub.Protocol == topics.Email {
		req.Subject, req.Message = s.Form.unsubscribedMail(o, &sub)
	} else {
		req.Overrides = map[string]topics.Override{sub.Protocol: s.Form.unsubscribeConfirmation(o, &sub, d.At)}
	}
	_, _, err = s.Topics.Publish(ctx, req)
	if errors.Is(err, topics.ErrIdempotencyMismatch) { // told before, by a message with another id
		return nil
	}
	return wordFor(err, "Endpoint")
}

func unsigned(r *awswire.Request) bool { return r.AccessKey == "" }
