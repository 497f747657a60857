package sns

import (
	"context"
	"errors"
	"strings"

	"github.com/fanfare-gateway/fanfare/gateway/awswire"
	"github.com/fanfare-gateway/fanfare/queue"
	"github.com/fanfare-gateway/fanfare/topics"
)

func noSubscription() error { return notFound("Subscription does not exist") }

// errNoSubscription: the ARN is good and no subscription can have it.
var errNoSubscription = errors.New("no subscription has this ARN")

// subscriptionID takes a subscription's ARN apart. Somebody unsigned is held to
// no region: links are followed from anywhere.
func (s *service) subscriptionID(r *awswire.Request, arn string) (o topics.Owner, id queue.ID, err error) {
	const parameter = "SubscriptionArn"
	if arn == "" {
		return o, id, invalid(parameter + " Reason: no value for required parameter")
	}
	parts, err := elements(parameter, arn)
	if err != nil {
		return o, id, err
	}
	if len(parts) != 7 {
		return o, id, invalid("SubscriptionId")
	}
	o = s.in(parts[4], parts[3])
	if !unsigned(r) {
		if o, err = s.ownerOf(r, parameter, parts); err != nil {
			return o, id, err
		}
	}
	if id, err = queue.ParseID(parts[6]); err != nil {
		return o, id, errNoSubscription
	}
	return o, id, nil
}

// subscription finds the subscription of an ARN.
func (s *service) subscription(r *awswire.Request, arn string) (topics.Owner, topics.Subscription, error) {
	o, id, err := s.subscriptionID(r, arn)
	if errors.Is(err, errNoSubscription) {
		return o, topics.Subscription{}, noSubscription()
	}
	if err != nil {
		return o, topics.Subscription{}, err
	}
	sub, err := s.Topics.Subscription(o, id)
	if errors.Is(err, topics.ErrNotFound) {
		err = noSubscription()
	}
	return o, sub, err
}

// protocolOf and endpointOf are as SNS shows them, for subscriptions of the
// native API too.
func protocolOf(sub *topics.Subscription) string {
	if given := sub.Attributes[keptProtocol]; given != "" {
		return given
	}
	return sub.Protocol
}

func (n names) endpointOf(sub *topics.Subscription) string {
	if given := sub.Attributes[keptEndpoint]; given != "" {
		return given
	}
	if name, ok := strings.CutPrefix(sub.Endpoint, "sqs/"); ok && sub.Protocol == topics.SQS {
		if parts := strings.SplitN(name, "/", 3); len(parts) == 3 {
			return "arn:aws:sqs:" + n.region(topics.Owner{Region: parts[1]}) + ":" + parts[0] + ":" + parts[2]
		}
	}
	return sub.Endpoint
}

type listedSubscription struct {
	SubscriptionArn string `json:"SubscriptionArn"`
	Owner           string `json:"Owner"`
	Protocol        string `json:"Protocol"`
	Endpoint        string `json:"Endpoint"`
	TopicArn        string `json:"TopicArn"`
}

type listSubscriptionsIn struct {
	TopicArn  string `json:"TopicArn"`
	NextToken string `json:"NextToken"`
}

type listSubscriptionsOut struct {
	Subscriptions []listedSubscription `json:"Subscriptions" query:"Subscriptions.member"`
	NextToken     string               `json:"NextToken,omitempty"`
}

func (s *service) listSubscriptions(_ context.Context, r *awswire.Request, in *listSubscriptionsIn) (*listSubscriptionsOut, error) {
	after, err := subscriptionAfter(in.NextToken)
	if err != nil {
		return nil, err
	}
	o := s.owner(r)
	found, err := s.Topics.AllSubscriptions(o, after, pageSize+1)
	return s.list(o, found), err
}

func (s *service) listSubscriptionsByTopic(_ context.Context, r *awswire.Request, in *listSubscriptionsIn) (*listSubscriptionsOut, error) {
	o, topic, err := s.topic(r, in.TopicArn)
	if err != nil {
		return nil, err
	}
	after, err := subscriptionAfter(in.NextToken)
	if err != nil {
		return nil, err
	}
	var id queue.ID
	if after != nil {
		id = after.ID
	}
	found, err := s.Topics.Subscriptions(o, topic.Name, id, pageSize+1)
	return s.list(o, found), wordFor(err, "TopicArn")
}

// subscriptionAfter reads a NextToken; nil is the beginning.
func subscriptionAfter(next string) (*topics.Subscription, error) {
	last, err := lastOf(next)
	if err != nil || last == "" {
		return nil, err
	}
	topic, text, _ := strings.Cut(last, "/")
	id, err := queue.ParseID(text)
	if err != nil {
		return nil, invalid("NextToken")
	}
	return &topics.Subscription{Topic: topic, ID: id}, nil
}

// list is a page of found, which may have one more.
func (n names) list(o topics.Owner, found []topics.Subscription) *listSubscriptionsOut {
	out := &listSubscriptionsOut{}
	last := ""
	for _, sub := range found[:min(len(found), pageSize)] {
		arn := n.subscriptionARN(o, sub.Topic, sub.ID)
		if sub.Pending {
			arn = "PendingConfirmation"
		}
		out.Subscriptions = append(out.Subscriptions, listedSubscription{
			SubscriptionArn: arn, Owner: o.Account, Protocol: protocolOf(&sub), Endpoint: n.endpointOf(&sub), TopicArn: n.topicARN(o, sub.Topic),
		})
		last = sub.Topic + "/" + sub.ID.Hex()
	}
	out.NextToken = token(last, len(found) > pageSize)
	return out
}
