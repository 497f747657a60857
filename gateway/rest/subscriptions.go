package rest

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
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
	Filter    *Filter      `json:"filter,omitempty" doc:"which publishes it gets; default all"`
	Raw       bool         `json:"raw,omitempty" doc:"a machine gets the message itself, without the envelope"`
	Secret    string       `json:"secret,omitempty" doc:"signing key of a webhook (Standard Webhooks, whsec_… or, for ed25519, whsk_…); made when missing"`
	Retry     *RetryPolicy `json:"retry,omitempty"`
	// DeadLetterQueue is a queue of this gateway.
	DeadLetterQueue string `json:"dead_letter_queue,omitempty" doc:"name of the queue that gets what fails for good"`
}

// Subscription is a subscription as it is shown.
type Subscription struct {
	ID            string       `json:"id"`
	Topic         string       `json:"topic"`
	Protocol      string       `json:"protocol"`
	Endpoint      string       `json:"endpoint"`
	Account       string       `json:"account,omitempty"`
	Recipient     string       `json:"recipient,omitempty"`
	Filter        *Filter      `json:"filter,omitempty"`
	Raw           bool         `json:"raw,omitempty"`
	Secret        string       `json:"secret,omitempty" doc:"only in the answer to its creation or change"`
	Retry         *RetryPolicy `json:"retry,omitempty"`
	Replay        *Replay      `json:"replay,omitempty"`
	Created       time.Time    `json:"created" doc:"when it was made, or enabled again"`
	Pending       bool         `json:"pending,omitempty" doc:"its owner has not confirmed it: it gets nothing yet"`
	Disabled      string       `json:"disabled,omitempty" doc:"why it gets nothing any more"`
	DisabledSince time.Time    `json:"disabled_since,omitzero"`

	DeadLetterQueue string `json:"dead_letter_queue,omitempty"`
}

func showSubscription(s topics.Subscription) Subscription {
	return Subscription{
		Filter: showFilter(s.Filter), Pending: s.Pending, DeadLetterQueue: topics.LocalName(s.DeadLetterQueue),
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
	operation(a, "manage", "POST /v1/topics/{topic}/subscriptions", "Subscribe an endpoint", func(ctx context.Context, in *subscriptionIn) (*subscriptionOut, error) {
		asked, err := a.subscription(ownerOf(ctx), in.Topic, in.Body)
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
	a.registerSubscriptionList()
	a.registerSubscriptionChange()
}

func (a *api) registerSubscriptionList() {
	type subscriptionList struct {
		Body struct {
			Subscriptions []Subscription `json:"subscriptions"`
			Next          string         `json:"next,omitempty"`
		}
	}
	operation(a, "read", "GET /v1/topics/{topic}/subscriptions", "List a topic's subscriptions", func(ctx context.Context, in *struct {
		TopicPath
		Page
	}) (*subscriptionList, error) {
		after, err := in.behind("sub_")
		if err != nil {
			return nil, err
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
}

// subscription is what is asked for, with a secret where one is needed.
func (a *api) subscription(o topics.Owner, topic string, r SubscriptionRequest) (topics.Subscription, error) {
	s := topics.Subscription{
		Topic: topic, Protocol: r.Protocol, Endpoint: r.Endpoint, Account: r.Account, Recipient: r.Recipient, Raw: r.Raw,
	}
	var err error
	if s.Retry, err = r.Retry.policy(); err != nil {
		return s, err
	}
	if s.Filter, err = r.Filter.filter(); err != nil {
		return s, err
	}
	if s.DeadLetterQueue, err = a.deadLetterQueue(o, r.DeadLetterQueue); err != nil {
		return s, err
	}
	if s.Secrets, err = secretsOf(r.Protocol, r.Secret); err != nil {
		return s, err
	}
	return s, checkRaw(&s)
}

// checkRaw refuses raw where there is no envelope to leave away.
func checkRaw(s *topics.Subscription) error {
	if people := []string{topics.SMS, topics.Email, topics.Application}; s.Raw && slices.Contains(people, s.Protocol) {
		return invalid("raw", "is only for http, https, sqs and lambda")
	}
	return nil
}

// deadLetterQueue is the engine's name of the queue; "" of "".
func (a *api) deadLetterQueue(o topics.Owner, name string) (string, error) {
	if name == "" {
		return "", nil
	}
	q, err := a.Store.Queue(topics.QueueName(o, name))
	switch {
	case errors.Is(err, queue.ErrNotFound):
		return "", invalid("dead_letter_queue", "must be the name of a queue of this gateway")
	case err == nil && q.Settings.FIFO:
		return "", invalid("dead_letter_queue", "must not be FIFO")
	}
	return q.Name, err
}

// sameSecret tells that a subscription has the secret asked for or made now,
// and is not one that was there.
func sameSecret(made, asked topics.Subscription) bool {
	return len(asked.Secrets) > 0 && slices.Equal(made.Secrets, asked.Secrets)
}

// secretPrefix begins a symmetric key of Standard Webhooks, privatePrefix an
// asymmetric one (https://github.com/standard-webhooks/standard-webhooks, spec 1.0.0).
const (
	secretPrefix  = "whsec_"
	privatePrefix = "whsk_"
)

// secretsOf are the secrets of a new subscription: the one asked for, or one
// that is made where it is needed.
func secretsOf(protocol, asked string) ([]string, error) {
	signed := protocol == topics.HTTP || protocol == topics.HTTPS
	switch {
	case !signed && asked != "":
		return nil, invalid("secret", "is only for http and https")
	case !signed:
		return nil, nil
	case asked == "":
		return []string{newSecret()}, nil
	}
	return []string{asked}, checkSecret(asked)
}

func newSecret() string {
	var key [24]byte
	_, _ = rand.Read(key[:]) // never fails (crypto/rand)
	return secretPrefix + base64.StdEncoding.EncodeToString(key[:])
}

func checkSecret(secret string) error {
	symmetric, ok := strings.CutPrefix(secret, secretPrefix)
	key, err := base64.StdEncoding.DecodeString(symmetric)
	if ok && err == nil && len(key) >= 24 && len(key) <= 64 {
		return nil
	}
	private, ok := strings.CutPrefix(secret, privatePrefix)
	key, err = base64.StdEncoding.DecodeString(private)
	if ok && err == nil && (len(key) == ed25519.SeedSize || len(key) == ed25519.PrivateKeySize) {
		return nil
	}
	return invalid("secret", "must be "+secretPrefix+" and 24 to 64 bytes in base64, or "+privatePrefix+" and an ed25519 key of 32 or 64")
}
