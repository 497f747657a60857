package sns_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssns "github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/gateway/awswire"
	"github.com/fanfare-gateway/fanfare/gateway/sns"
	"github.com/fanfare-gateway/fanfare/topics"
)

func TestWebhookConfirmsAndUnsubscribesByLinks(t *testing.T) {
	t.Parallel()
	b := start(t)
	topic := b.topic("alerts")
	arn := b.subscribe(topic, "https", "https://a.example/x", nil)
	asked := b.sent[topics.Webhook].next(t)
	require.Equal(t, "https://a.example/x", asked.Endpoint)
	require.Equal(t, "text/plain; charset=UTF-8", asked.Content.ContentType)
	var e map[string]string
	require.NoError(t, json.Unmarshal(asked.Content.Payload, &e))
	require.Equal(t, map[string]string{
		"x-amz-sns-message-type": "SubscriptionConfirmation", "x-amz-sns-message-id": e["MessageId"], "x-amz-sns-topic-arn": topic,
	}, asked.Content.Headers)
	require.Equal(t, "SubscriptionConfirmation", e["Type"])
	require.Equal(t, "You have chosen to subscribe to the topic "+topic+".\nTo confirm the subscription, visit the SubscribeURL included in this message.", e["Message"])
	require.Equal(t, b.tokenOf(arn), e["Token"])
	require.NotEmpty(t, e["Signature"])
	require.Equal(t, "Amazon Simple Notification Service Agent", asked.Content.Agent)

	status, answer := fetch(t, http.MethodGet, e["SubscribeURL"])
	require.Equal(t, http.StatusOK, status, answer)
	require.Contains(t, answer, "<ConfirmSubscriptionResult><SubscriptionArn>"+arn+"</SubscriptionArn></ConfirmSubscriptionResult>")
	require.Equal(t, "false", b.attributes(arn)["ConfirmationWasAuthenticated"])

	id := b.say(&awssns.PublishInput{TopicArn: &topic, Message: aws.String("hi")})
	got := b.sent[topics.Webhook].next(t)
	require.Equal(t, map[string]string{
		"x-amz-sns-message-type": "Notification", "x-amz-sns-message-id": id, "x-amz-sns-topic-arn": topic, "x-amz-sns-subscription-arn": arn,
	}, got.Content.Headers)
	e = nil
	require.NoError(t, json.Unmarshal(got.Content.Payload, &e))
	require.Equal(t, id, e["MessageId"])
	require.Equal(t, "text/plain; charset=UTF-8", got.Content.ContentType)
	require.Equal(t, "Amazon Simple Notification Service Agent", got.Content.Agent)

	_, err := b.SetSubscriptionAttributes(t.Context(), &awssns.SetSubscriptionAttributesInput{SubscriptionArn: &arn, AttributeName: aws.String("RawMessageDelivery"), AttributeValue: aws.String("true")})
	require.NoError(t, err)
	b.say(&awssns.PublishInput{TopicArn: &topic, Message: aws.String("raw")})
	got = b.sent[topics.Webhook].next(t)
	require.Equal(t, "raw", string(got.Content.Payload))
	require.Equal(t, "true", got.Content.Headers["x-amz-sns-rawdelivery"])

	status, answer = fetch(t, http.MethodGet, e["UnsubscribeURL"])
	require.Equal(t, http.StatusOK, status, answer)
	_, err = b.GetSubscriptionAttributes(t.Context(), &awssns.GetSubscriptionAttributesInput{SubscriptionArn: &arn})
	refused(t, err, "NotFound", 404, "Subscription does not exist")
}

func TestMailConfirmsOnlyByTheButton(t *testing.T) {
	t.Parallel()
	b := start(t)
	topic := b.topic("alerts")
	arn := b.subscribe(topic, "email", "a@example.com", nil)
	mail := b.sent[topics.Email].next(t)
	require.Equal(t, "a@example.com", mail.Endpoint)
	link := regexp.MustCompile(`http://\S+`).FindString(mail.Content.Text)
	require.True(t, strings.HasPrefix(link, b.url+sns.PagePath+"?"), link)
	status, page := fetch(t, http.MethodGet, link)
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, page, "Subscribe?")
	require.True(t, b.stored(arn).Pending, "looking changes nothing")
	status, page = fetch(t, http.MethodPost, link)
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, page, "You are subscribed")
	require.False(t, b.stored(arn).Pending)
	status, page = fetch(t, http.MethodPost, strings.Replace(link, "Token=", "Token=0", 1))
	require.Equal(t, http.StatusNotFound, status)
	require.Contains(t, page, "does not work")
	status, _ = fetch(t, http.MethodDelete, link)
	require.Equal(t, http.StatusMethodNotAllowed, status)
}

func TestLinksNeedNoSignatureWhereAllElseDoes(t *testing.T) {
	t.Parallel()
	b := start(t)
	topic := b.topic("alerts")
	arn := b.subscribe(topic, "https", "https://a.example/x", nil)
	strict := httptest.NewServer(awswire.New(awswire.Options{Services: []awswire.Service{sns.Service(b.opts)}, Verifier: awswire.Verifier{Account: owner.Account, Region: "eu-west-1"}}))
	t.Cleanup(strict.Close)
	status, answer := fetch(t, http.MethodGet, strict.URL+"/?Action=ConfirmSubscription&TopicArn="+topic+"&Token="+b.tokenOf(arn))
	require.Equal(t, http.StatusOK, status, answer)
	require.False(t, b.stored(arn).Pending)
	status, answer = fetch(t, http.MethodGet, strict.URL+"/?Action=ListTopics&Version=2010-03-31")
	require.Equal(t, http.StatusForbidden, status, answer)
	require.Contains(t, answer, "MissingAuthenticationToken")
}
