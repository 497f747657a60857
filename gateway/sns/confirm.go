package sns

import (
	"context"
	"crypto/subtle"
	"errors"
	"time"

	"github.com/fanfare-gateway/fanfare/gateway/awswire"
	"github.com/fanfare-gateway/fanfare/queue"
	"github.com/fanfare-gateway/fanfare/topics"
)

// tokenLife is how long a confirmation's token is good.
// https://docs.aws.amazon.com/sns/latest/api/API_Subscribe.html
const tokenLife = 48 * time.Hour

// confirmToken is what goes out: the subscription's id, then its secret.
func confirmToken(sub topics.Subscription) string { return sub.ID.Hex() + sub.Token }

// idLength is that of an id in a token.
const idLength = 2 * len(queue.ID{})

func sameSecret(given, secret string) bool {
	return secret != "" && subtle.ConstantTimeCompare([]byte(given), []byte(secret)) == 1
}

type confirmIn struct {
	TopicArn                  string `json:"TopicArn"`
	Token                     string `json:"Token"`
	AuthenticateOnUnsubscribe string `json:"AuthenticateOnUnsubscribe"`
}

// confirm confirms a subscription, signed or not: the token proves that it
// reached the endpoint. One that is confirmed already stays so.
func (s *service) confirm(ctx context.Context, r *awswire.Request, in *confirmIn) (*subscriptionOut, error) {
	switch {
	case in.TopicArn == "":
		return nil, invalid("TopicArn Reason: no value for required parameter")
	case in.Token == "":
		return nil, invalid("Token Reason: no value for required parameter")
	}
	parts, err := elements("TopicArn", in.TopicArn)
	if err != nil {
		return nil, err
	}
	if len(parts) != 6 || !unsigned(r) && parts[3] != r.Region {
		return nil, invalid("Topic")
	}
	o := topics.Owner{Account: parts[4], Region: parts[3]}
	sub, err := s.pending(o, parts[5], in.Token)
	if err != nil {
		return nil, err
	}
	_, err = s.Topics.ChangeSubscription(ctx, o, sub.ID, func(sub *topics.Subscription) error {
		if sub.Pending {
			sub.Pending = false
			sub.Attributes[keptAuthenticated] = boolText(!unsigned(r))
			if in.AuthenticateOnUnsubscribe == "true" && !unsigned(r) {
				sub.Attributes[keptLocked] = "true"
			}
		}
		return nil
	})
	if errors.Is(err, topics.ErrNotFound) {
		err = invalid("Token")
	}
	return &subscriptionOut{SubscriptionARN(o, sub.Topic, sub.ID)}, err
}

// pending finds the subscription a token is for.
func (s *service) pending(o topics.Owner, topic, token string) (topics.Subscription, error) {
	if len(token) <= idLength {
		return topics.Subscription{}, invalid("Token")
	}
	id, err := queue.ParseID(token[:idLength])
	if err != nil {
		return topics.Subscription{}, invalid("Token")
	}
	sub, err := s.Topics.Subscription(o, id)
	switch {
	case errors.Is(err, topics.ErrNotFound):
		return sub, invalid("Token")
	case err != nil:
		return sub, err
	case sub.Topic != topic:
		return sub, invalid("Topic")
	case !sameSecret(token[idLength:], sub.Token), sub.Pending && s.Store.Now().Sub(sub.Created) > tokenLife:
		return sub, invalid("Token")
	}
	return sub, nil
}

// askToConfirm sends the token to the endpoint.
func (s *service) askToConfirm(_ context.Context, _ *awswire.Request, _ topics.Owner, _ topics.Subscription) error {
	return nil
}
