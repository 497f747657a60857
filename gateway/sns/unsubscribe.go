package sns

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

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
// wanted every unsubscribing signed; and the endpoint is told, for it may have
// been somebody else.
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
	if errors.Is(err, topics.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if unsigned(r) && (sub.Attributes[keptLocked] == "true" || !s.Lax && !sameSecret(in.Token, sub.Token)) {
		return nil, fault("AuthorizationError", http.StatusForbidden, "User: anonymous is not authorized to perform: SNS:Unsubscribe on resource: "+in.SubscriptionArn)
	}
	web := sub.Protocol == topics.HTTP || sub.Protocol == topics.HTTPS
	if unsigned(r) && web && !sub.Pending {
		return nil, s.part(ctx, o, sub)
	}
	return nil, s.remove(ctx, o, id)
}

func (s *service) remove(ctx context.Context, o topics.Owner, id queue.ID) error {
	err := s.Topics.Unsubscribe(ctx, o, id)
	if errors.Is(err, topics.ErrNotFound) {
		return nil
	}
	return err
}

func unsigned(r *awswire.Request) bool { return r.AccessKey == "" }

// parted is a subscription that was removed, for as long as its endpoint may
// want it back.
type parted struct {
	Subscription topics.Subscription `json:"subscription"`
	Secret       string              `json:"secret"`
	At           time.Time           `json:"at"`
}

func partedPrefix(o topics.Owner) []byte {
	return []byte(o.Account + "/" + o.Region + "/k/sns-parted/")
}

func partedKey(o topics.Owner, id queue.ID) []byte { return append(partedPrefix(o), id.Hex()...) }

// part removes a subscription and tells its endpoint how to undo that. What is
// kept for it is written first: without the rest it does nothing and runs out.
func (s *service) part(ctx context.Context, o topics.Owner, sub topics.Subscription) error {
	id, secret := s.Store.NewID(0), newToken()
	text, err := json.Marshal(parted{sub, secret, s.Store.Now().UTC()})
	if err != nil {
		return err
	}
	b := &queue.Batch{}
	b.Put(partedKey(o, id), text)
	if err := s.sweepParted(b, o); err != nil {
		return err
	}
	if _, err := s.Store.Commit(ctx, queue.Registry, b); err != nil {
		return err
	}
	if err := s.remove(ctx, o, sub.ID); err != nil {
		return err
	}
	_, _, err = s.Topics.Publish(ctx, topics.Request{
		Owner: o, To: &topics.Target{Protocol: sub.Protocol, Endpoint: sub.Endpoint, Account: sub.Account},
		ExpiresAt: s.Store.Now().Add(tokenLife),
		Overrides: map[string]topics.Override{sub.Protocol: s.Form.farewell(o, &sub, id.Hex()+secret, s.Store.Now())},
	})
	if err != nil { // it is removed all the same
		s.Logger.Warn("an endpoint could not be told that it is unsubscribed", "subscription", sub.ID, "error", err)
	}
	return nil
}

// swept is how many run-out records one removal takes away: more than it adds.
const swept = 8

func (s *service) sweepParted(b *queue.Batch, o topics.Owner) error {
	var bad error
	n := 0
	err := s.Store.Scan(queue.Registry, partedPrefix(o), nil, func(r queue.Record) bool {
		var p parted
		if bad = json.Unmarshal(r.Value, &p); bad != nil || s.Store.Now().Sub(p.At) <= tokenLife || n == swept {
			return false // they stand in order of time
		}
		b.Remove(append([]byte(nil), r.Key...))
		n++
		return true
	})
	return errors.Join(err, bad)
}

// rejoin brings back the subscription that a token of a farewell is for, under
// a new ARN.
func (s *service) rejoin(ctx context.Context, o topics.Owner, token string) (topics.Subscription, error) {
	if len(token) <= idLength {
		return topics.Subscription{}, errNoToken
	}
	id, err := queue.ParseID(token[:idLength])
	if err != nil {
		return topics.Subscription{}, errNoToken
	}
	p, _, err := read[parted](s.Store, partedKey(o, id))
	if err != nil {
		return topics.Subscription{}, err
	}
	if !sameSecret(token[idLength:], p.Secret) || s.Store.Now().Sub(p.At) > tokenLife {
		return topics.Subscription{}, errNoToken
	}
	sub, err := s.Topics.Subscribe(ctx, o, p.Subscription)
	if errors.Is(err, topics.ErrNotFound) { // the topic went, too
		err = errNoToken
	}
	return sub, wordFor(err, "Endpoint")
}
