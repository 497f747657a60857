package sns_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssns "github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/topics"
)

// confirmed subscribes an endpoint and confirms it by its token.
func (b *bench) confirmed(topic, protocol, endpoint string, attributes map[string]string) string {
	b.t.Helper()
	arn := b.subscribe(topic, protocol, endpoint, attributes)
	account := topics.Email
	if protocol == "https" {
		account = topics.Webhook
	}
	b.sent[account].next(b.t)
	token := b.tokenOf(arn)
	_, err := b.ConfirmSubscription(b.t.Context(), &awssns.ConfirmSubscriptionInput{TopicArn: &topic, Token: &token})
	require.NoError(b.t, err)
	return arn
}

// leave unsubscribes by the link in messages.
func (b *bench) leave(arn string) {
	b.t.Helper()
	token := b.stored(arn).Token
	for range 2 { // again, as nobody knows whether it worked
		status, answer := b.raw(url.Values{"Action": {"Unsubscribe"}, "SubscriptionArn": {arn}, "Token": {token}})
		require.Equal(b.t, http.StatusOK, status, answer)
	}
	_, err := b.GetSubscriptionAttributes(b.t.Context(), &awssns.GetSubscriptionAttributesInput{SubscriptionArn: &arn})
	refused(b.t, err, "NotFound", 404, "Subscription does not exist")
}

func TestALinkThatUnsubscribesCanBeUndone(t *testing.T) {
	t.Parallel()
	b := start(t)
	topic := b.topic("alerts")
	arn := b.confirmed(topic, "https", "https://a.example/x", map[string]string{"FilterPolicyScope": "MessageBody", "FilterPolicy": `{"a":["b"]}`})
	before, token := b.attributes(arn), b.tokenOf(arn)
	b.leave(arn)
	told := b.sent[topics.Webhook].next(t)
	require.Equal(t, "https://a.example/x", told.Endpoint)
	require.Equal(t, "text/plain; charset=UTF-8", told.Content.ContentType)
	var e map[string]string
	require.NoError(t, json.Unmarshal(told.Content.Payload, &e))
	require.Equal(t, map[string]string{
		"x-amz-sns-message-type": "UnsubscribeConfirmation", "x-amz-sns-message-id": e["MessageId"], "x-amz-sns-topic-arn": topic, "x-amz-sns-subscription-arn": arn,
	}, told.Content.Headers)
	require.Equal(t, "UnsubscribeConfirmation", e["Type"])
	require.NotEqual(t, token, e["Token"], "not the one that confirmed it")
	require.Equal(t, "You have chosen to deactivate subscription "+arn+".\nTo cancel this operation and restore the subscription, visit the SubscribeURL included in this message.", e["Message"])
	require.NotEmpty(t, e["Signature"])

	status, answer := fetch(t, http.MethodGet, e["SubscribeURL"])
	require.Equal(t, http.StatusOK, status, answer)
	require.Contains(t, answer, "<SubscriptionArn>"+arn+"</SubscriptionArn>")
	require.Equal(t, before, b.attributes(arn))
	b.say(&awssns.PublishInput{TopicArn: &topic, Message: aws.String(`{"a":"b"}`)})
	require.Equal(t, "Notification", b.sent[topics.Webhook].next(t).Content.Headers["x-amz-sns-message-type"], "and it was told once")

	b.leave(arn)
	told = b.sent[topics.Webhook].next(t)
	require.Equal(t, "UnsubscribeConfirmation", told.Content.Headers["x-amz-sns-message-type"], "the next time is another")
	other := b.confirmed(topic, "https", "https://a.example/x", nil)
	require.NotEqual(t, arn, other)
	status, answer = fetch(t, http.MethodGet, e["SubscribeURL"])
	require.Equal(t, http.StatusOK, status, answer)
	require.Contains(t, answer, "<SubscriptionArn>"+other+"</SubscriptionArn>", "subscribed anew meanwhile")
}

func TestMailIsToldThatItWasUnsubscribed(t *testing.T) {
	t.Parallel()
	b := start(t)
	topic := b.topic("alerts")
	arn := b.confirmed(topic, "email-json", "a@example.com", nil)
	b.leave(arn)
	mail := b.sent[topics.Email].next(t)
	require.Equal(t, "Unsubscribe confirmation", mail.Content.Subject)
	link := regexp.MustCompile(`http://\S+`).FindString(mail.Content.Text)
	status, page := fetch(t, http.MethodGet, link)
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, page, "Subscribe?")
	status, page = fetch(t, http.MethodPost, link)
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, page, "You are subscribed")
	require.Equal(t, "false", b.attributes(arn)["PendingConfirmation"])
}

// TestOwnersUnsubscribeForGood: AWS tells the endpoint only if somebody else did it.
func TestOwnersUnsubscribeForGood(t *testing.T) {
	t.Parallel()
	b := start(t)
	topic := b.topic("alerts")
	arn := b.confirmed(topic, "https", "https://a.example/x", nil)
	token := b.tokenOf(arn)
	_, err := b.Unsubscribe(t.Context(), &awssns.UnsubscribeInput{SubscriptionArn: &arn})
	require.NoError(t, err)
	_, err = b.ConfirmSubscription(t.Context(), &awssns.ConfirmSubscriptionInput{TopicArn: &topic, Token: &token})
	refused(t, err, "InvalidParameter", 400, "Invalid parameter: Token")
	b.confirmed(topic, "https", "https://b.example/x", nil)
	b.say(&awssns.PublishInput{TopicArn: &topic, Message: aws.String("hi")})
	require.Equal(t, "https://b.example/x", b.sent[topics.Webhook].next(t).Endpoint, "nothing went to the first in between")
}

func TestWhatWasUnsubscribedIsForgotten(t *testing.T) {
	t.Parallel()
	b := start(t)
	topic := b.topic("alerts")
	first := b.stored(b.confirmed(topic, "https", "https://a.example/x", nil))
	second := b.stored(b.confirmed(topic, "https", "https://b.example/x", nil))
	_, err := b.topics.Deactivate(t.Context(), owner, first.ID, time.Hour)
	require.NoError(t, err)
	_, err = b.topics.Deactivate(t.Context(), owner, second.ID, 0)
	require.NoError(t, err)
	_, err = b.topics.Deactivated(owner, first.ID)
	require.ErrorIs(t, err, topics.ErrNotFound)
	_, err = b.topics.Deactivated(owner, second.ID)
	require.NoError(t, err)
}

// TestLinksInMailUnsubscribeNobody: programs that look at mail open them.
func TestLinksInMailUnsubscribeNobody(t *testing.T) {
	t.Parallel()
	b := start(t)
	topic := b.topic("alerts")
	arn := b.subscribe(topic, "email-json", "a@example.com", nil)
	asked := b.sent[topics.Email].next(t)
	link := regexp.MustCompile(`http://\S+`).FindString(asked.Content.Text)
	status, page := fetch(t, http.MethodPost, link)
	require.Equal(t, http.StatusOK, status, page)
	b.say(&awssns.PublishInput{TopicArn: &topic, Message: aws.String("m")})
	var e map[string]string
	require.NoError(t, json.Unmarshal([]byte(b.sent[topics.Email].next(t).Content.Text), &e))
	require.Equal(t, "Notification", e["Type"])
	require.NotContains(t, e["UnsubscribeURL"], "Action=Unsubscribe")
	require.Equal(t, "false", b.attributes(arn)["PendingConfirmation"])
}

func TestNobodyComesBackToATopicThatIsGone(t *testing.T) {
	t.Parallel()
	b := start(t)
	topic := b.topic("alerts")
	arn := b.confirmed(topic, "https", "https://a.example/x", nil)
	b.leave(arn)
	var e map[string]string
	require.NoError(t, json.Unmarshal(b.sent[topics.Webhook].next(t).Content.Payload, &e))
	_, err := b.DeleteTopic(t.Context(), &awssns.DeleteTopicInput{TopicArn: &topic})
	require.NoError(t, err)
	status, answer := fetch(t, http.MethodGet, e["SubscribeURL"])
	require.Equal(t, http.StatusBadRequest, status)
	require.Contains(t, answer, "<Message>Invalid parameter: Token</Message>")
}
