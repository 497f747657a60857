package rest

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"slices"
	"strings"
	"time"

	"github.com/fanfare-gateway/fanfare/queue"
	"github.com/fanfare-gateway/fanfare/topics"
)

// SubscriptionRequest is a subscription as it is asked for.
type SubscriptionRequest struct {
	Protocol  string       `json:"protocol" doc:"sms, application, email, http, https, sqs or lambda"`
	Endpoint  string       `json:"endpoint" doc:"phone number (E.164), device token, address, URL, queue name or URL, function"`
	Account   string       `json:"account,omitempty" doc:"PROVIDER/NAME; default the first account of the protocol"`
	Recipient string       `json:"recipient,omitempty" doc:"the person"`
	Raw       bool         `json:"raw,omitempty" doc:"machines get the message itself, without the envelope"`
	Secret    string       `json:"secret,omitempty" doc:"signing key of a webhook (Standard Webhooks, whsec_…); made when missing"`
	Retry     *RetryPolicy `json:"retry,omitempty"`
}

// Subscription is a subscription as it is shown.
type Subscription struct {
	ID            string       `json:"id"`
	Topic         string       `json:"topic"`
	Protocol      string       `json:"protocol"`
	Endpoint      string       `json:"endpoint"`
	Account       string       `json:"account,omitempty"`
	Recipient     string       `json:"recipient,omitempty"`
	Raw           bool         `json:"raw,omitempty"`
	Secret        string       `json:"secret,omitempty" doc:"only in the answer to its creation"`
	Retry         *RetryPolicy `json:"retry,omitempty"`
	Replay        *Replay      `json:"replay,omitempty"`
	Created       time.Time    `json:"created"`
	Disabled      string       `json:"disabled,omitempty" doc:"why it gets nothing any more"`
	DisabledSince time.Time    `json:"disabled_since,omitzero"`
}

func showSubscription(s topics.Subscription) Subscription {
	return Subscription{
		ID: topics.SubscriptionName(s.ID), Topic: s.Topic, Protocol: s.Protocol, Endpoint: topics.ShownEndpoint(s), Account: s.Account,
		Recipient: s.Recipient, Raw: s.Raw, Retry: showRetry(s.Retry), Replay: showReplay(s.Replay), Created: s.Created, Disabled: s.Disabled, DisabledSince: s.DisabledSince,
	}
}

func (a *api) registerSubscriptions() {
	type subscriptionIn struct {
		Topic string `path:"topic"`
		Body  SubscriptionRequest
	}
	type subscriptionOut struct{ Body Subscription }
	type subscriptionID struct {
		ID string `path:"id"`
	}
	type subscriptionList struct {
		Body struct {
			Subscriptions []Subscription `json:"subscriptions"`
			Next          string         `json:"next,omitempty"`
		}
	}
	operation(a, "manage", "POST /v1/topics/{topic}/subscriptions", "Subscribe an endpoint", func(ctx context.Context, in *subscriptionIn) (*subscriptionOut, error) {
		asked, err := in.Body.subscription(in.Topic)
		if err != nil {
			return nil, err
		}
		s, err := a.Topics.Subscribe(ctx, ownerOf(ctx), asked)
		if err != nil {
			return nil, err
		}
		out := &subscriptionOut{showSubscription(s)}
		if sameSecret(s, asked) {
			out.Body.Secret = s.Secrets[0]
		}
		return out, nil
	})
	operation(a, "read", "GET /v1/topics/{topic}/subscriptions", "List a topic's subscriptions", func(ctx context.Context, in *struct {
		TopicPath
		Page
	}) (*subscriptionList, error) {
		var after queue.ID
		var err error
		if in.Cursor != "" {
			if after, err = parseID("sub_", "cursor", in.Cursor); err != nil {
				return nil, err
			}
		}
		subs, err := a.Topics.Subscriptions(ownerOf(ctx), in.Topic, after, in.Limit)
		out := &subscriptionList{}
		out.Body.Subscriptions = []Subscription{}
		for _, s := range subs {
			out.Body.Subscriptions = append(out.Body.Subscriptions, showSubscription(s))
		}
		if len(subs) == in.Limit {
			out.Body.Next = topics.SubscriptionName(subs[len(subs)-1].ID)
		}
		return out, err
	})
	operation(a, "read", "GET /v1/subscriptions/{id}", "Look a subscription up", func(ctx context.Context, in *subscriptionID) (*subscriptionOut, error) {
		id, err := parseID("sub_", "id", in.ID)
		if err != nil {
			return nil, err
		}
		s, err := a.Topics.Subscription(ownerOf(ctx), id)
		return &subscriptionOut{showSubscription(s)}, err
	})
	operation(a, "manage", "DELETE /v1/subscriptions/{id}", "Unsubscribe", func(ctx context.Context, in *subscriptionID) (*struct{}, error) {
		id, err := parseID("sub_", "id", in.ID)
		if err != nil {
			return nil, err
		}
		return nil, a.Topics.Unsubscribe(ctx, ownerOf(ctx), id)
	})
}

// subscription is what is asked for, with a secret where one is needed.
func (r SubscriptionRequest) subscription(topic string) (topics.Subscription, error) {
	s := topics.Subscription{
		Topic: topic, Protocol: r.Protocol, Endpoint: r.Endpoint, Account: r.Account, Recipient: r.Recipient, Raw: r.Raw,
	}
	var err error
	if s.Retry, err = r.Retry.policy(); err != nil {
		return s, err
	}
	signed := r.Protocol == topics.HTTP || r.Protocol == topics.HTTPS
	switch {
	case !signed && r.Secret != "":
		return s, invalid("secret", "is only for http and https")
	case signed && r.Secret == "":
		s.Secrets = []string{newSecret()}
	case signed:
		s.Secrets = []string{r.Secret}
		err = checkSecret(r.Secret)
	}
	return s, err
}

// sameSecret tells that a subscription has the secret asked for or made now,
// and is not one that was there.
func sameSecret(made, asked topics.Subscription) bool {
	return len(asked.Secrets) > 0 && slices.Equal(made.Secrets, asked.Secrets)
}

// secretPrefix begins a symmetric key of Standard Webhooks
// (https://github.com/standard-webhooks/standard-webhooks, spec 1.0.0).
const secretPrefix = "whsec_"

func newSecret() string {
	var key [24]byte
	_, _ = rand.Read(key[:]) // never fails (crypto/rand)
	return secretPrefix + base64.StdEncoding.EncodeToString(key[:])
}

func checkSecret(secret string) error {
	text, ok := strings.CutPrefix(secret, secretPrefix)
	key, err := base64.StdEncoding.DecodeString(text)
	if !ok || err != nil || len(key) < 24 || len(key) > 64 {
		return invalid("secret", "must be "+secretPrefix+" and 24 to 64 bytes in base64")
	}
	return nil
}
