package sns

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/fanfare-gateway/fanfare/gateway/awswire"
	"github.com/fanfare-gateway/fanfare/topics"
)

// Face is the name of this face in a subscription: what it gets has SNS's form.
const Face = "sns"

type subscribeIn struct {
	TopicArn              string            `json:"TopicArn"`
	Protocol              string            `json:"Protocol"`
	Endpoint              string            `json:"Endpoint"`
	Attributes            map[string]string `json:"Attributes" query:"Attributes.entry,key,value"`
	ReturnSubscriptionArn bool              `json:"ReturnSubscriptionArn"`
}

type subscriptionOut struct {
	SubscriptionArn string `json:"SubscriptionArn"`
}

// emailJSON is mail whose text is the JSON envelope. To topics it is mail: an
// address gets one of a publish, whichever of the two forms was subscribed first.
const emailJSON = "email-json"

// What is kept of a subscription besides the attributes of SNS.
const (
	keptEndpoint      = "endpoint"      // as it was given
	keptProtocol      = "protocol"      // as it was given
	keptAuthenticated = "authenticated" // "true": the confirmation was signed
	keptLocked        = "locked"        // "true": AuthenticateOnUnsubscribe
)

// subscribe makes a subscription, or finds the one the endpoint has: attributes
// that are given must be those it has. Web and mail addresses must confirm
// theirs before anything is sent.
func (s *service) subscribe(ctx context.Context, r *awswire.Request, in *subscribeIn) (*subscriptionOut, error) {
	o, topic, err := s.topic(r, in.TopicArn)
	if err != nil {
		return nil, err
	}
	wanted, err := s.newSubscription(o, &topic, in)
	if err != nil {
		return nil, err
	}
	if isFIFO(topic.Name) {
		if n, _, err := s.Topics.CountSubscriptions(o, topic.Name); err != nil {
			return nil, err
		} else if n >= topics.MaxFIFOSubscriptions {
			return nil, fault("SubscriptionLimitExceeded", http.StatusForbidden, "The maximum number of subscriptions for the topic has been reached.")
		}
	}
	made, err := s.Topics.Subscribe(ctx, o, wanted)
	if why := replayProblem(err); why != nil {
		return nil, why.behind(attributesReason)
	}
	if err != nil {
		return nil, wordFor(err, "Endpoint")
	}
	if !sameAttributes(&made, in.Attributes) {
		return nil, invalid("Attributes Reason: Subscription already exists with different attributes")
	}
	if made.Pending {
		if made.Token != wanted.Token { // asked again: its token is good for as long as a new one
			if made, err = s.Topics.ChangeSubscription(ctx, o, made.ID, func(sub *topics.Subscription) error {
				sub.Created = s.Store.Now().UTC()
				return nil
			}); err != nil {
				return nil, wordFor(err, "Endpoint")
			}
		}
		if err := s.askToConfirm(ctx, o, made); err != nil {
			return nil, err
		}
		if !in.ReturnSubscriptionArn {
			return &subscriptionOut{"pending confirmation"}, nil
		}
	}
	return &subscriptionOut{s.subscriptionARN(o, made.Topic, made.ID)}, nil
}

func (n names) newSubscription(o topics.Owner, topic *topics.Topic, in *subscribeIn) (topics.Subscription, error) {
	sub := topics.Subscription{
		Topic: topic.Name, Protocol: in.Protocol, Endpoint: in.Endpoint, Face: Face, Token: newToken(),
		Attributes: map[string]string{keptEndpoint: in.Endpoint, keptProtocol: in.Protocol, keptAuthenticated: "true"},
	}
	if err := checkEndpoint(topic.Name, in); err != nil {
		return sub, err
	}
	switch in.Protocol {
	case emailJSON:
		sub.Protocol = topics.Email
	case topics.SQS:
		parts := strings.Split(in.Endpoint, ":") // it is an ARN, as checked
		parts[3] = n.in(parts[4], parts[3]).Region
		sub.Endpoint = strings.Join(parts, ":")
	case topics.Application:
		var err error
		if sub.Account, sub.Endpoint, err = n.platformEndpoint(o, in.Endpoint); err != nil {
			return sub, err
		}
	}
	switch sub.Protocol {
	case topics.HTTP, topics.HTTPS, topics.Email:
		sub.Pending = true
	}
	for name, value := range in.Attributes {
		if why := setSubscriptionAttribute(&sub, name, value); why != nil {
			return sub, why.behind(attributesReason)
		}
	}
	return sub, applyAttributes(&sub, topic).behind(attributesReason)
}

// attributesReason stands before what is wrong with attributes of Subscribe.
const attributesReason = "Invalid parameter: Attributes Reason: "

// checkEndpoint checks what is wrong by its form alone; the account's channel
// checks the rest.
func checkEndpoint(topic string, in *subscribeIn) error {
	known := append(topics.Protocols(), emailJSON)
	switch {
	case in.Protocol == "firehose":
		return unsupported("Firehose")
	case !slices.Contains(known, in.Protocol):
		return invalid("Amazon SNS does not support this protocol string: " + in.Protocol)
	case in.Endpoint == "":
		return notFound("Endpoint not specified in subscription")
	case (in.Protocol == topics.HTTP || in.Protocol == topics.HTTPS) && !strings.HasPrefix(in.Endpoint, in.Protocol+"://"):
		return invalid("Endpoint must match the specified protocol")
	case in.Protocol == topics.SQS && !isQueueARN(in.Endpoint):
		return invalid("SQS endpoint ARN")
	case in.Protocol == topics.SQS && isFIFO(in.Endpoint) && !isFIFO(topic):
		return invalid("Invalid parameter: Endpoint Reason: FIFO SQS Queues can not be subscribed to standard SNS topics")
	case in.Protocol != topics.SQS && isFIFO(topic):
		return invalid("Protocol Reason: FIFO topics take subscriptions of SQS queues only")
	case in.Protocol == topics.SMS && !strings.HasPrefix(in.Endpoint, "+"):
		return invalid("Invalid SMS endpoint: " + in.Endpoint)
	}
	return nil
}

func isQueueARN(endpoint string) bool {
	parts := strings.Split(endpoint, ":")
	return len(parts) == 6 && parts[0] == "arn" && parts[2] == "sqs" && parts[5] != ""
}

// platformEndpoint is the one place where the ARN of a platform endpoint
// becomes the account that pushes and the device's token:
// arn:aws:sns:REGION:ACCOUNT:endpoint/PROVIDER/NAME/TOKEN is TOKEN of the
// configured account PROVIDER/NAME.
func (n names) platformEndpoint(o topics.Owner, arn string) (account, token string, err error) {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) < 6 || parts[0] != "arn" || parts[2] != "sns" || parts[3] != n.region(o) || parts[4] != o.Account {
		return "", "", invalid("Application endpoint arn invalid:" + arn)
	}
	path := strings.SplitN(parts[5], "/", 4)
	if len(path) != 4 || path[0] != "endpoint" {
		return "", "", invalid("Application endpoint arn invalid:" + arn)
	}
	return strings.ToLower(path[1]) + "/" + path[2], path[3], nil
}

// newToken is the secret of a subscription's links.
func newToken() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// sameAttributes tells whether a subscription has the attributes asked for.
func sameAttributes(sub *topics.Subscription, asked map[string]string) bool {
	for name, value := range asked {
		has := sub.Attributes[name]
		switch name {
		case rawDelivery:
			has, value = boolText(sub.Raw), strings.ToLower(value)
		case filterScope:
			has = string(scopeOf(sub))
		}
		if has != value {
			return false
		}
	}
	return true
}

func boolText(b bool) string {
	if b {
		return "true"
	}
	return "false"
}

type unsubscribeIn struct {
	SubscriptionArn string `json:"SubscriptionArn"`
	// Token is in UnsubscribeURL, which nobody signs.
	Token string `json:"Token"`
}

// unsubscribe succeeds for a subscription that is not there, too. Somebody
// unsigned needs the token of UnsubscribeURL, unless the one who confirmed
// wanted every unsubscribing signed.
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
	err = s.Topics.Unsubscribe(ctx, o, id)
	if errors.Is(err, topics.ErrNotFound) {
		err = nil
	}
	return nil, err
}

func unsigned(r *awswire.Request) bool { return r.AccessKey == "" }
