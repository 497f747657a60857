package rest

import (
	"context"
	"encoding/json"
	"reflect"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"github.com/fanfare-gateway/fanfare/topics"
)

// Change is a field of a merge patch (https://www.rfc-editor.org/rfc/rfc7396):
// missing, it leaves things as they are; null takes them away.
type Change[T any] struct {
	Given bool
	To    *T // nil: null
}

// UnmarshalJSON is json.Unmarshaler.
func (c *Change[T]) UnmarshalJSON(text []byte) error {
	c.Given = true
	return json.Unmarshal(text, &c.To)
}

// Schema is huma.SchemaProvider: T's, or null.
func (Change[T]) Schema(r huma.Registry) *huma.Schema {
	s := *r.Schema(reflect.TypeFor[T](), false, "")
	s.Nullable = true
	s.PrecomputeMessages()
	return &s
}

// value is what the field is to be; the zero value for null.
func (c Change[T]) value() T {
	var v T
	if c.To != nil {
		v = *c.To
	}
	return v
}

// SubscriptionChange is what can be changed of a subscription. What it ties
// together stays: another endpoint is another subscription.
type SubscriptionChange struct {
	Recipient       Change[string]      `json:"recipient,omitempty"`
	Filter          Change[Filter]      `json:"filter,omitempty" doc:"null: everything"`
	Raw             Change[bool]        `json:"raw,omitempty"`
	Secret          Change[string]      `json:"secret,omitempty" doc:"what signs from now on, beside the one before it until the next change; null: one is made, and shown in the answer"`
	Retry           Change[RetryPolicy] `json:"retry,omitempty" doc:"null: the channel's own"`
	DeadLetterQueue Change[string]      `json:"dead_letter_queue,omitempty" doc:"null: none"`
	Disabled        Change[string]      `json:"disabled,omitempty" doc:"null: it gets what is published again; a reason: it gets nothing any more"`
}

func (a *api) registerSubscriptionChange() {
	type changeIn struct {
		ID   string `path:"id"`
		Body SubscriptionChange
	}
	type subscriptionOut struct{ Body Subscription }
	operation(a, "manage", "PATCH /v1/subscriptions/{id}", "Change a subscription; what is left out stays", func(ctx context.Context, in *changeIn) (*subscriptionOut, error) {
		id, err := parseID("sub_", "id", in.ID)
		if err != nil {
			return nil, err
		}
		s, err := a.Topics.ChangeSubscription(ctx, ownerOf(ctx), id, func(s *topics.Subscription) error {
			return a.applyChange(ownerOf(ctx), s, in.Body)
		})
		out := &subscriptionOut{showSubscription(s)}
		if in.Body.Secret.Given && err == nil {
			out.Body.Secret = s.Secrets[0]
		}
		return out, err
	})
}

func (a *api) applyChange(o topics.Owner, s *topics.Subscription, c SubscriptionChange) error {
	var err error
	if c.Recipient.Given {
		s.Recipient = c.Recipient.value()
	}
	if c.Filter.Given {
		if s.Filter, err = c.Filter.To.filter(); err != nil {
			return err
		}
	}
	if c.Raw.Given {
		s.Raw = c.Raw.value()
	}
	if c.DeadLetterQueue.Given {
		if s.DeadLetterQueue, err = a.deadLetterQueue(o, c.DeadLetterQueue.value()); err != nil {
			return err
		}
	}
	if c.Disabled.Given {
		s.Disabled = c.Disabled.value()
	}
	if err := applyOwn(s, c); err != nil {
		return err
	}
	return checkRaw(s)
}

// applyOwn changes what only a subscription of this API has: those of another
// face are signed and tried again as that has it.
func applyOwn(s *topics.Subscription, c SubscriptionChange) (err error) {
	switch {
	case s.Face != "" && c.Retry.Given:
		return invalid("retry", "is of a subscription made here; this one was made through the SNS API, whose DeliveryPolicy it has")
	case s.Face != "" && c.Secret.Given:
		return invalid("secret", "is of a subscription made here; what one made through the SNS API gets is signed as SNS does")
	}
	if c.Retry.Given {
		if s.Retry, err = c.Retry.To.policy(); err != nil {
			return err
		}
	}
	if !c.Secret.Given {
		return nil
	}
	secrets, err := secretsOf(s.Protocol, c.Secret.value())
	if err == nil && len(secrets) == 0 {
		err = invalid("secret", "is only for http and https")
	}
	if err == nil && len(s.Secrets) > 0 && !slices.Contains(secrets, s.Secrets[0]) {
		secrets = append(secrets, s.Secrets[0])
	}
	s.Secrets = secrets
	return err
}
