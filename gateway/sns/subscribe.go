package sns

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
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
	keptLogin         = "login"         // Authorization header for the endpoint
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
	made, err := s.Topics.SubscribeIf(ctx, o, wanted, func(first *topics.Subscription) error {
		if first == nil {
			return s.roomForOne(o, topic.Name)
		}
		s.keepUp(o, first)
		if !sameAttributes(first, in.Attributes) {
			return invalid("Attributes Reason: Subscription already exists with different attributes")
		}
		return nil
	})
	var field *topics.FieldError
	why := replayProblem(err)
	switch {
	case why != nil:
		return nil, why.behind(attributesReason)
	case errors.As(err, &field) && field.Field == "endpoint" && wanted.Protocol == topics.Email:
		return nil, invalid("Email address")
	case err != nil:
		return nil, wordFor(err, "Endpoint")
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

// roomForOne refuses a topic that has all the subscriptions it may.
func (s *service) roomForOne(o topics.Owner, topic string) error {
	if !isFIFO(topic) {
		return nil
	}
	n, err := s.Topics.CountSubscriptions(o, topic)
	if err == nil && n.Confirmed >= topics.MaxFIFOSubscriptions {
		err = fault("SubscriptionLimitExceeded", http.StatusForbidden, "The maximum number of subscriptions for the topic has been reached.")
	}
	return err
}

func (s *service) newSubscription(o topics.Owner, topic *topics.Topic, in *subscribeIn) (topics.Subscription, error) {
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
	case topics.HTTP, topics.HTTPS:
		takeLogin(&sub)
	case topics.SMS:
		sub.Endpoint = strings.NewReplacer("-", "", ".", "", "/", "").Replace(in.Endpoint)
	case topics.SQS:
		parts := strings.Split(in.Endpoint, ":") // it is an ARN, as checked
		parts[3] = s.in(parts[4], parts[3]).Region
		sub.Endpoint = strings.Join(parts, ":")
	case topics.Application:
		to, err := s.deviceOf(o, in.Endpoint)
		if err != nil {
			return sub, err
		}
		sub.Account, sub.Endpoint = to.Account, to.Endpoint
	}
	sub.Pending = confirms(sub.Protocol)
	for _, name := range slices.Sorted(maps.Keys(in.Attributes)) {
		if why := s.setSubscriptionAttribute(o, &sub, name, in.Attributes[name]); why != nil {
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
	case in.Protocol == topics.Lambda && !isFunctionARN(in.Endpoint):
		return invalid("Lambda endpoint ARN")
	case in.Protocol != topics.SQS && isFIFO(topic):
		return invalid("Protocol Reason: FIFO topics take subscriptions of SQS queues only")
	case in.Protocol == topics.SMS && !dialled.MatchString(in.Endpoint):
		return fault("InvalidParameter", http.StatusBadRequest, "Invalid SMS endpoint: "+in.Endpoint)
	}
	return nil
}

// dialled is how SNS takes a phone number: its digits may be parted by one dot,
// hyphen or slash each.
var dialled = regexp.MustCompile(`^\+\d+([-./]\d+)*$`)

func isQueueARN(endpoint string) bool {
	parts := strings.Split(endpoint, ":")
	return len(parts) == 6 && parts[0] == "arn" && parts[2] == "sqs" && parts[5] != ""
}

func isFunctionARN(endpoint string) bool {
	parts := strings.SplitN(endpoint, ":", 7)
	return len(parts) == 7 && parts[0] == "arn" && parts[2] == "lambda" && parts[5] == "function" && parts[6] != ""
}

// takeLogin makes a header of the user and password in a web endpoint, and
// masks the password where the endpoint is shown.
// https://docs.aws.amazon.com/sns/latest/dg/sns-subscribe-https-s-endpoints-to-topic.html
func takeLogin(sub *topics.Subscription) {
	u, err := url.Parse(sub.Endpoint)
	if err != nil || u.User == nil {
		return
	}
	name, user := u.User.Username(), url.User(u.User.Username()).String()
	password, _ := u.User.Password()
	u.User = nil
	sub.Endpoint = u.String()
	sub.Attributes[keptEndpoint] = strings.Replace(sub.Endpoint, "://", "://"+user+":****@", 1)
	sub.Attributes[keptLogin] = "Basic " + base64.StdEncoding.EncodeToString([]byte(name+":"+password))
}

// deviceOf is what the ARN of a platform endpoint stands for in a subscription.
func (s *service) deviceOf(o topics.Owner, arn string) (topics.Target, error) {
	path, ok := strings.CutPrefix(arn, s.topicARN(o, ""))
	if !ok || !strings.HasPrefix(path, "endpoint/") {
		return topics.Target{}, invalid("Application endpoint arn invalid:" + arn)
	}
	to, err := s.pushTarget(o, path)
	if errors.Is(err, errNoEndpoint) {
		err = invalid("Endpoint Reason: Endpoint does not exist for endpoint arn" + arn)
	}
	return to, err
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
			has, value = strconv.FormatBool(sub.Raw), strings.ToLower(value)
		case filterScope:
			has = string(scopeOf(sub))
		}
		if has != value {
			return false
		}
	}
	return true
}
