package sns_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssns "github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/gateway/sns"
	"github.com/fanfare-gateway/fanfare/queue"
	"github.com/fanfare-gateway/fanfare/topics"
)

const queueARN = "arn:aws:sqs:us-east-1:000000000000:work"

// queue makes a queue of this gateway and gives its ARN.
func (b *bench) queue(name string) string {
	b.t.Helper()
	_, err := b.store.CreateQueue(b.t.Context(), topics.QueueName(owner, name), queue.Settings{})
	require.NoError(b.t, err)
	return "arn:aws:sqs:us-east-1:000000000000:" + name
}

func (b *bench) trySubscribe(topic, protocol, endpoint string, attributes map[string]string) (string, error) {
	b.t.Helper()
	out, err := b.Subscribe(b.t.Context(), &awssns.SubscribeInput{
		TopicArn: &topic, Protocol: &protocol, Endpoint: &endpoint, Attributes: attributes, ReturnSubscriptionArn: true,
	})
	if err != nil {
		return "", err
	}
	return *out.SubscriptionArn, nil
}

func (b *bench) subscribe(topic, protocol, endpoint string, attributes map[string]string) string {
	b.t.Helper()
	arn, err := b.trySubscribe(topic, protocol, endpoint, attributes)
	require.NoError(b.t, err)
	return arn
}

func (b *bench) attributes(subscription string) map[string]string {
	b.t.Helper()
	got, err := b.GetSubscriptionAttributes(b.t.Context(), &awssns.GetSubscriptionAttributesInput{SubscriptionArn: &subscription})
	require.NoError(b.t, err)
	return got.Attributes
}

// stored is a subscription as topics has it.
func (b *bench) stored(arn string) topics.Subscription {
	b.t.Helper()
	id, err := queue.ParseID(arn[len(arn)-36:])
	require.NoError(b.t, err)
	s, err := b.topics.Subscription(owner, id)
	require.NoError(b.t, err)
	return s
}

// tokenOf is the token that goes to a subscription's endpoint.
func (b *bench) tokenOf(arn string) string {
	s := b.stored(arn)
	return s.ID.Hex() + s.Token
}

func TestMachinesAndPhonesAreConfirmedAtOnce(t *testing.T) {
	t.Parallel()
	b := start(t)
	topic := b.topic("alerts")
	b.queue("work")
	for protocol, endpoint := range map[string]string{
		"sqs": queueARN, "sms": "+15005550006", "lambda": "arn:aws:lambda:us-east-1:000000000000:function:f",
		"application": "arn:aws:sns:us-east-1:000000000000:endpoint/application/main/abcdef",
	} {
		out, err := b.Subscribe(t.Context(), &awssns.SubscribeInput{TopicArn: &topic, Protocol: &protocol, Endpoint: &endpoint})
		require.NoError(t, err, protocol)
		require.Regexp(t, "^"+topic+":[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", *out.SubscriptionArn)
		require.Equal(t, map[string]string{
			"SubscriptionArn": *out.SubscriptionArn, "TopicArn": topic, "Owner": "000000000000", "Protocol": protocol, "Endpoint": endpoint,
			"PendingConfirmation": "false", "ConfirmationWasAuthenticated": "true", "RawMessageDelivery": "false",
			"SubscriptionPrincipal": "arn:aws:iam::000000000000:user/fanfare",
		}, b.attributes(*out.SubscriptionArn))
	}
}

func TestWebAndMailWaitForConfirmation(t *testing.T) {
	t.Parallel()
	b := start(t)
	topic := b.topic("alerts")
	for protocol, endpoint := range map[string]string{
		"http": "http://a.example/x", "https": "https://a.example", "email": "a@example.com", "email-json": "b@example.com",
	} {
		in := &awssns.SubscribeInput{TopicArn: &topic, Protocol: &protocol, Endpoint: &endpoint}
		out, err := b.Subscribe(t.Context(), in)
		require.NoError(t, err, protocol)
		require.Equal(t, "pending confirmation", *out.SubscriptionArn)
		in.ReturnSubscriptionArn = true
		out, err = b.Subscribe(t.Context(), in)
		require.NoError(t, err)
		got := b.attributes(*out.SubscriptionArn)
		require.Equal(t, "true", got["PendingConfirmation"])
		require.Equal(t, "false", got["ConfirmationWasAuthenticated"])
		require.Equal(t, protocol, got["Protocol"])
		require.Equal(t, endpoint, got["Endpoint"])
	}
	counts, err := b.GetTopicAttributes(t.Context(), &awssns.GetTopicAttributesInput{TopicArn: &topic})
	require.NoError(t, err)
	require.Equal(t, "4", counts.Attributes["SubscriptionsPending"])
	require.Equal(t, "0", counts.Attributes["SubscriptionsConfirmed"])
	list, err := b.ListSubscriptions(t.Context(), &awssns.ListSubscriptionsInput{})
	require.NoError(t, err)
	require.Len(t, list.Subscriptions, 4)
	require.Equal(t, "PendingConfirmation", *list.Subscriptions[0].SubscriptionArn)
}

func TestConfirmation(t *testing.T) {
	t.Parallel()
	b := start(t)
	topic, other := b.topic("alerts"), b.topic("other")
	arn := b.subscribe(topic, "https", "https://a.example/x", nil)
	token := b.tokenOf(arn)
	confirm := func(topic, token string) (*awssns.ConfirmSubscriptionOutput, error) {
		return b.ConfirmSubscription(t.Context(), &awssns.ConfirmSubscriptionInput{TopicArn: &topic, Token: &token, AuthenticateOnUnsubscribe: aws.String("true")})
	}
	for wrong, message := range map[string]string{
		"abc": "Invalid parameter: Token", token[:len(token)-1]: "Invalid parameter: Token", "00" + token[2:]: "Invalid parameter: Token",
		token[:len(token)-1] + "x": "Invalid token", "randomtoken": "Invalid token",
	} {
		_, err := confirm(topic, wrong)
		refused(t, err, "InvalidParameter", 400, message)
	}
	for _, wrong := range []string{"alerts", topic + ":x", strings.Replace(topic, region, "eu-west-1", 1)} {
		_, err := confirm(wrong, token)
		refused(t, err, "InvalidParameter", 400, "Invalid parameter: Topic")
	}
	require.True(t, b.stored(arn).Pending)
	for _, named := range []string{other, topic, topic} { // the token says which it is; it may be asked again
		out, err := confirm(named, token)
		require.NoError(t, err)
		require.Equal(t, arn, *out.SubscriptionArn)
		require.Equal(t, "false", b.attributes(arn)["PendingConfirmation"])
		require.Equal(t, "true", b.attributes(arn)["ConfirmationWasAuthenticated"])
	}
	status, answer := b.raw(url.Values{"Action": {"Unsubscribe"}, "SubscriptionArn": {arn}, "Token": {b.stored(arn).Token}})
	require.Equal(t, 403, status, answer)
	require.Contains(t, answer, "<Code>AuthorizationError</Code>")
}

func TestUnsignedUnsubscribingNeedsTheLinksToken(t *testing.T) {
	t.Parallel()
	b := start(t)
	topic := b.topic("alerts")
	arn := b.subscribe(topic, "sms", "+15005550006", nil)
	form := url.Values{"Action": {"Unsubscribe"}, "SubscriptionArn": {arn}}
	status, _ := b.raw(form)
	require.Equal(t, 403, status)
	form.Set("Token", b.stored(arn).Token)
	status, answer := b.raw(form)
	require.Equal(t, 200, status, answer)
	_, err := b.GetSubscriptionAttributes(t.Context(), &awssns.GetSubscriptionAttributesInput{SubscriptionArn: &arn})
	refused(t, err, "NotFound", 404, "Subscription does not exist")

	lax := start(t, func(o *sns.Options) { o.Lax = true })
	arn = lax.subscribe(lax.topic("alerts"), "sms", "+15005550006", nil)
	status, answer = lax.raw(url.Values{"Action": {"Unsubscribe"}, "SubscriptionArn": {arn}})
	require.Equal(t, 200, status, answer)
}

func TestSubscribingTwice(t *testing.T) {
	t.Parallel()
	b := start(t)
	topic := b.topic("alerts")
	raw := map[string]string{"RawMessageDelivery": "true"}
	arn := b.subscribe(topic, "sqs", queueARN, raw)
	require.Equal(t, arn, b.subscribe(topic, "sqs", queueARN, nil))
	require.Equal(t, arn, b.subscribe(topic, "sqs", queueARN, map[string]string{"RawMessageDelivery": "True"}))
	_, err := b.trySubscribe(topic, "sqs", queueARN, map[string]string{"RawMessageDelivery": "false"})
	refused(t, err, "InvalidParameter", 400, "Invalid parameter: Attributes Reason: Subscription already exists with different attributes")
}

// A subscription whose endpoint was found dead is enabled by asking for it again,
// unless that is refused.
func TestSubscribingTwiceEnablesWhatItAgreesWith(t *testing.T) {
	t.Parallel()
	b := start(t)
	topic := b.topic("alerts")
	arn := b.subscribe(topic, "sqs", queueARN, map[string]string{"RawMessageDelivery": "true"})
	_, err := b.topics.ChangeSubscription(t.Context(), owner, b.stored(arn).ID, func(s *topics.Subscription) error {
		s.Disabled = "gone"
		return nil
	})
	require.NoError(t, err)
	_, err = b.trySubscribe(topic, "sqs", queueARN, map[string]string{"RawMessageDelivery": "false"})
	refused(t, err, "InvalidParameter", 400, "Invalid parameter: Attributes Reason: Subscription already exists with different attributes")
	require.Equal(t, "gone", b.stored(arn).Disabled)
	require.Equal(t, arn, b.subscribe(topic, "sqs", queueARN, nil))
	require.Empty(t, b.stored(arn).Disabled)
}

func TestUnsubscribeIsIdempotent(t *testing.T) {
	t.Parallel()
	b := start(t)
	arn := b.subscribe(b.topic("alerts"), "sqs", queueARN, nil)
	unsubscribe := func(arn string) error {
		_, err := b.Unsubscribe(t.Context(), &awssns.UnsubscribeInput{SubscriptionArn: &arn})
		return err
	}
	require.NoError(t, unsubscribe(arn))
	require.NoError(t, unsubscribe(arn))
	require.NoError(t, unsubscribe("arn:aws:sns:us-east-1:000000000000:alerts:8a21d249-4329-4871-acc6-7be709c6ea7f"))
	refused(t, unsubscribe("sub"), "InvalidParameter", 400, "Invalid parameter: SubscriptionArn Reason: An ARN must have at least 6 elements, not 1")
	refused(t, unsubscribe("arn:aws:sns:us-east-1:000000000000:alerts"), "InvalidParameter", 400, "Invalid parameter: SubscriptionId")
}

func TestSubscriptionsAreListedInPages(t *testing.T) {
	t.Parallel()
	b := start(t)
	one, two := b.topic("one"), b.topic("two")
	for n := range 101 {
		b.subscribe(one, "sms", fmt.Sprintf("+1500555%04d", n), nil)
	}
	last := b.subscribe(two, "sqs", queueARN, nil)
	seen := map[string]bool{}
	var next *string
	for pages := 0; pages == 0 || next != nil; pages++ {
		out, err := b.ListSubscriptions(t.Context(), &awssns.ListSubscriptionsInput{NextToken: next})
		require.NoError(t, err)
		for _, s := range out.Subscriptions {
			seen[*s.SubscriptionArn] = true
		}
		next = out.NextToken
		require.Less(t, pages, 2)
	}
	require.Len(t, seen, 102)
	require.True(t, seen[last])
	first, err := b.ListSubscriptionsByTopic(t.Context(), &awssns.ListSubscriptionsByTopicInput{TopicArn: &one})
	require.NoError(t, err)
	require.Len(t, first.Subscriptions, 100)
	rest, err := b.ListSubscriptionsByTopic(t.Context(), &awssns.ListSubscriptionsByTopicInput{TopicArn: &one, NextToken: first.NextToken})
	require.NoError(t, err)
	require.Len(t, rest.Subscriptions, 1)
	require.Equal(t, "+15005550100", *rest.Subscriptions[0].Endpoint)
}

func TestFullTopic(t *testing.T) {
	t.Parallel()
	b := start(t)
	topic, last := b.fifo("orders.fifo"), ""
	arn := func(n int) *string { return aws.String(fmt.Sprintf("arn:aws:sqs:us-east-1:000000000000:q%d", n)) }
	for n := range topics.MaxFIFOSubscriptions + 1 {
		b.queue(fmt.Sprintf("q%d", n))
		if n < topics.MaxFIFOSubscriptions {
			last = b.subscribe(topic, "sqs", *arn(n), nil)
		}
	}
	_, err := b.Subscribe(t.Context(), &awssns.SubscribeInput{TopicArn: &topic, Protocol: aws.String("sqs"), Endpoint: arn(topics.MaxFIFOSubscriptions)})
	refused(t, err, "SubscriptionLimitExceeded", 403, "The maximum number of subscriptions for the topic has been reached.")
	require.Equal(t, last, b.subscribe(topic, "sqs", *arn(topics.MaxFIFOSubscriptions - 1), nil), "it is subscribed already")
}

func TestSubscriptionAttributes(t *testing.T) {
	t.Parallel()
	b := start(t)
	topic := b.topic("alerts")
	b.queue("dead")
	b.queue("dead.fifo")
	arn := b.subscribe(topic, "sqs", queueARN, map[string]string{"FilterPolicy": `{"store":["a"]}`})
	require.Equal(t, "MessageAttributes", b.attributes(arn)["FilterPolicyScope"])
	set := func(arn, name, value string) error {
		_, err := b.SetSubscriptionAttributes(t.Context(), &awssns.SetSubscriptionAttributesInput{SubscriptionArn: &arn, AttributeName: &name, AttributeValue: &value})
		return err
	}
	kept := map[string]string{
		"RawMessageDelivery": "true", "FilterPolicyScope": "MessageBody", "FilterPolicy": `{"a":{"b":["c"]}}`,
		"RedrivePolicy": `{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:dead"}`,
	}
	for _, name := range []string{"RawMessageDelivery", "FilterPolicyScope", "FilterPolicy", "RedrivePolicy"} { // the scope first: it allows nesting
		require.NoError(t, set(arn, name, kept[name]))
	}
	require.Subset(t, b.attributes(arn), kept)
	require.Equal(t, &topics.Filter{Policy: `{"a":{"b":["c"]}}`, Scope: topics.FilterBody}, b.stored(arn).Filter)
	require.NoError(t, set(arn, "FilterPolicy", ""))
	require.NotContains(t, b.attributes(arn), "FilterPolicy")
	require.NotContains(t, b.attributes(arn), "FilterPolicyScope")
	require.Nil(t, b.stored(arn).Filter)

	sms := b.subscribe(topic, "sms", "+15005550006", nil)
	for _, c := range []struct{ arn, name, value, message string }{
		{arn, "Color", "red", "AttributeName"},
		{arn, "FilterPolicy", "{", "FilterPolicy: failed to parse JSON."},
		{arn, "FilterPolicyScope", "x", "FilterPolicyScope: Invalid value [x]. Please use either MessageBody or MessageAttributes"},
		{arn, "RawMessageDelivery", "x", "RawMessageDelivery: Invalid value [x]. Must be true or false."},
		{arn, "RedrivePolicy", "{", "RedrivePolicy: failed to parse JSON."},
		{arn, "RedrivePolicy", `{"deadLetterTargetArn":"dead"}`, "RedrivePolicy: deadLetterTargetArn is an invalid arn"},
		{arn, "RedrivePolicy", `{"maxReceiveCount":5}`, "RedrivePolicy: invalid JSON. Attribute maxReceiveCount is unknown."},
		{arn, "RedrivePolicy", `{"deadLetterTargetArn":"` + queueARN + `"}`, "RedrivePolicy: the queue of deadLetterTargetArn does not exist"},
		{arn, "RedrivePolicy", `{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:dead.fifo"}`, "RedrivePolicy: must use a standard queue as DLQ for a Subscription to a standard Topic."},
		{arn, "RedrivePolicy", `{"deadLetterTargetArn":"arn:aws:sqs:eu-west-1:000000000000:dead"}`, "RedrivePolicy: deadLetterTargetArn must be a queue of the subscription's account and region"},
		{arn, "DeliveryPolicy", `{}`, "DeliveryPolicy: Delivery protocol [sqs] does not support delivery policies."},
		{sms, "RawMessageDelivery", "true", "Delivery protocol [sms] does not support raw message delivery."},
	} {
		refused(t, set(c.arn, c.name, c.value), "InvalidParameter", 400, "Invalid parameter: "+c.message)
	}
	refused(t, set(topic+":8a21d249-4329-4871-acc6-7be709c6ea7f", "FilterPolicy", ""), "NotFound", 404, "Subscription does not exist")
}

func TestEndpointsThatAreNone(t *testing.T) {
	t.Parallel()
	b := start(t)
	topic := b.topic("alerts")
	for _, c := range []struct{ protocol, endpoint, message string }{
		{"fax", "1", "Invalid parameter: Amazon SNS does not support this protocol string: fax"},
		{"http", "https://a.example/", "Invalid parameter: Endpoint must match the specified protocol"},
		{"sqs", "work", "Invalid parameter: SQS endpoint ARN"},
		{"sqs", queueARN + ".fifo", "Invalid parameter: Invalid parameter: Endpoint Reason: FIFO SQS Queues can not be subscribed to standard SNS topics"},
		{"sms", "NAA+15551234567", "Invalid SMS endpoint: NAA+15551234567"},
		{"application", "abc", "Invalid parameter: Application endpoint arn invalid:abc"},
		{"email", "bad", "Invalid parameter: Email address"},
		{"email-json", "bad", "Invalid parameter: Email address"},
	} {
		_, err := b.trySubscribe(topic, c.protocol, c.endpoint, nil)
		refused(t, err, "InvalidParameter", 400, c.message)
	}
	_, err := b.trySubscribe(topic, "sqs", "", nil)
	refused(t, err, "NotFound", 404, "Endpoint not specified in subscription")
	_, err = b.trySubscribe(topic+"x", "sqs", queueARN, nil)
	refused(t, err, "NotFound", 404, "Topic does not exist")
	_, err = b.trySubscribe(topic, "firehose", "arn:aws:firehose:us-east-1:000000000000:deliverystream/x", nil)
	refused(t, err, "UnsupportedOperation", 400, "This gateway has no Firehose.")
}
