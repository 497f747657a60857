package sns

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/fanfare-gateway/fanfare/gateway/awswire"
	"github.com/fanfare-gateway/fanfare/topics"
)

// The attributes of a subscription.
// https://docs.aws.amazon.com/sns/latest/api/API_SetSubscriptionAttributes.html
const (
	rawDelivery  = "RawMessageDelivery"
	filterPolicy = "FilterPolicy"
	filterScope  = "FilterPolicyScope"
	delivery     = "DeliveryPolicy"
	redrive      = "RedrivePolicy"
	roleARN      = "SubscriptionRoleArn"
)

// problem is what is wrong with an attribute; it stands behind other words in
// each action.
type problem struct {
	code   string
	status int
	text   string
}

// behind is the error of an action, whose words stand in front; nil of nil.
func (p *problem) behind(words string) error {
	if p == nil {
		return nil
	}
	return fault(p.code, p.status, words+p.text)
}

func wrong(text string) *problem { return &problem{"InvalidParameter", http.StatusBadRequest, text} }

// setSubscriptionAttribute checks and keeps one attribute; an empty value takes
// it away. applyAttributes follows.
func (s *service) setSubscriptionAttribute(o topics.Owner, sub *topics.Subscription, name, value string) *problem {
	if value != "" || name == rawDelivery {
		if why := checkSubscriptionAttribute(sub, name, value); why != nil {
			return why
		}
	}
	switch name {
	case rawDelivery:
		value = strings.ToLower(value)
	case filterPolicy, filterScope, delivery, roleARN:
	case redrive:
		if why := s.setRedrive(o, sub, value); why != nil {
			return why
		}
	case replayPolicy:
		replay, why := replayOf(value)
		if why != nil {
			return why
		}
		if sub.Replay = replay; replay == nil {
			value = ""
		}
	default:
		return wrong("AttributeName")
	}
	if value == "" {
		delete(sub.Attributes, name)
	} else {
		sub.Attributes[name] = value
	}
	return nil
}

func checkSubscriptionAttribute(sub *topics.Subscription, name, value string) *problem {
	switch name {
	case rawDelivery:
		if raw := strings.ToLower(value); raw != "true" && raw != "false" {
			return wrong("RawMessageDelivery: Invalid value [" + value + "]. Must be true or false.")
		} else if raw == "true" && !takesRaw(sub.Protocol) {
			return wrong("Delivery protocol [" + sub.Attributes[keptProtocol] + "] does not support raw message delivery.")
		}
	case filterScope:
		if scope := topics.FilterScope(value); scope != topics.FilterAttributes && scope != topics.FilterBody {
			return wrong("FilterPolicyScope: Invalid value [" + value + "]. Please use either MessageBody or MessageAttributes")
		}
	case roleARN:
		if len(value) > maxKept {
			return wrong(fmt.Sprintf("SubscriptionRoleArn: must be at most %d bytes", maxKept))
		}
	case delivery:
		if sub.Protocol != topics.HTTP && sub.Protocol != topics.HTTPS {
			return wrong("DeliveryPolicy: Delivery protocol [" + sub.Attributes[keptProtocol] + "] does not support delivery policies.")
		}
	}
	return nil
}

func takesRaw(protocol string) bool {
	return protocol == topics.SQS || protocol == topics.HTTP || protocol == topics.HTTPS
}

// applyAttributes gives the kept texts their effect.
func applyAttributes(sub *topics.Subscription, topic *topics.Topic) *problem {
	sub.Raw = sub.Attributes[rawDelivery] == "true"
	if _, err := readPolicy(topic.Attributes[delivery], sub.Attributes[delivery], sub.Raw); err != nil {
		return wrong("DeliveryPolicy: " + err.Error())
	}
	sub.Filter = nil
	if text := sub.Attributes[filterPolicy]; text != "" {
		sub.Filter = &topics.Filter{Policy: text, Scope: scopeOf(sub)}
		if err := sub.Filter.Check(); err != nil {
			return wrong(err.Error())
		}
	}
	return nil
}

// keepUp brings the kept texts up to what the native API made of the
// subscription, or changed.
func (n names) keepUp(o topics.Owner, sub *topics.Subscription) {
	if sub.Attributes == nil {
		sub.Attributes = map[string]string{}
	}
	keep := func(name, value string) {
		if sub.Attributes[name] = value; value == "" {
			delete(sub.Attributes, name)
		}
	}
	if sub.Raw != (sub.Attributes[rawDelivery] == "true") {
		keep(rawDelivery, strconv.FormatBool(sub.Raw))
	}
	if f := sub.Filter; f == nil {
		keep(filterPolicy, "")
	} else {
		keep(filterPolicy, f.Policy)
		keep(filterScope, string(f.Scope))
	}
	queue := topics.LocalName(sub.DeadLetterQueue)
	switch {
	case queue == "":
		keep(redrive, "")
	case !strings.Contains(sub.Attributes[redrive], ":"+queue+`"`):
		keep(redrive, string(encoded(map[string]string{"deadLetterTargetArn": "arn:aws:sqs:" + n.region(o) + ":" + o.Account + ":" + queue})))
	}
}

func scopeOf(sub *topics.Subscription) topics.FilterScope {
	if scope := sub.Attributes[filterScope]; scope != "" {
		return topics.FilterScope(scope)
	}
	return topics.FilterAttributes
}

type subscriptionIn struct {
	SubscriptionArn string `json:"SubscriptionArn"`
}

type setSubscriptionAttributesIn struct {
	SubscriptionArn string `json:"SubscriptionArn"`
	AttributeName   string `json:"AttributeName"`
	AttributeValue  string `json:"AttributeValue"`
}

func (s *service) setSubscriptionAttributes(ctx context.Context, r *awswire.Request, in *setSubscriptionAttributesIn) (*nothing, error) {
	o, sub, err := s.subscription(r, in.SubscriptionArn)
	if err != nil {
		return nil, err
	}
	topic, err := s.Topics.Topic(o, sub.Topic)
	if err != nil {
		return nil, wordFor(err, "SubscriptionArn")
	}
	_, err = s.Topics.ChangeSubscription(ctx, o, sub.ID, func(sub *topics.Subscription) error {
		s.keepUp(o, sub)
		why := s.setSubscriptionAttribute(o, sub, in.AttributeName, in.AttributeValue)
		if why == nil {
			why = applyAttributes(sub, &topic)
		}
		return why.behind("Invalid parameter: ")
	})
	if why := replayProblem(err); why != nil {
		return nil, why.behind("Invalid parameter: ")
	}
	if errors.Is(err, topics.ErrNotFound) {
		err = noSubscription()
	}
	return nil, err
}

func (s *service) getSubscriptionAttributes(_ context.Context, r *awswire.Request, in *subscriptionIn) (*attributesOut, error) {
	o, sub, err := s.subscription(r, in.SubscriptionArn)
	if err != nil {
		return nil, err
	}
	s.keepUp(o, &sub)
	all := map[string]string{
		"SubscriptionArn": s.subscriptionARN(o, sub.Topic, sub.ID), "TopicArn": s.topicARN(o, sub.Topic), "Owner": o.Account,
		"Protocol": protocolOf(&sub), "Endpoint": s.endpointOf(&sub), "PendingConfirmation": strconv.FormatBool(sub.Pending),
		"ConfirmationWasAuthenticated": strconv.FormatBool(sub.Attributes[keptAuthenticated] == "true" && !sub.Pending),
		"SubscriptionPrincipal":        "arn:aws:iam::" + o.Account + ":user/fanfare",
		rawDelivery:                    strconv.FormatBool(sub.Raw),
	}
	for _, name := range []string{filterPolicy, delivery, redrive, roleARN} {
		if value, ok := sub.Attributes[name]; ok {
			all[name] = value
		}
	}
	if sub.Replay != nil {
		all[replayPolicy], all[replayStatus] = replayText(&sub), replayStates[sub.Replay.State]
	}
	if sub.Filter != nil {
		all[filterScope] = string(sub.Filter.Scope)
	}
	if sub.Protocol == topics.HTTP || sub.Protocol == topics.HTTPS {
		topic, err := s.Topics.Topic(o, sub.Topic)
		if err != nil {
			return nil, wordFor(err, "SubscriptionArn")
		}
		p, _ := readPolicy(topic.Attributes[delivery], sub.Attributes[delivery], sub.Raw) // checked when they were set
		all["EffectiveDeliveryPolicy"] = string(encoded(p))
		if own := all[delivery]; own != "" {
			all[delivery] = shown[shownPolicy](own)
		}
	}
	return &attributesOut{all}, nil
}
