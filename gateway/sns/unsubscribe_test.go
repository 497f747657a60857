package sns_test

import (
	"encoding/json"
	"net/http"
	"regexp"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssns "github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/topics"
)

// confirmed subscribes a webhook and confirms it by the link it was sent.
func (b *bench) confirmed(topic, endpoint string, attributes map[string]string) string {
	b.t.Helper()
	arn := b.subscribe(topic, "https", endpoint, attributes)
	var e map[string]string
	require.NoError(b.t, json.Unmarshal(b.sent[topics.Webhook].next(b.t).Content.Payload, &e))
	status, answer := fetch(b.t, http.MethodGet, e["SubscribeURL"])
	require.Equal(b.t, http.StatusOK, status, answer)
	return arn
}

func (b *bench) unsubscribeLink(arn string) string {
	return b.url + "/?Action=Unsubscribe&SubscriptionArn=" + arn + "&Token=" + b.stored(arn).Token
}

// TestWhoIsUnsubscribedByALinkMayComeBack: anybody may have opened the link.
func TestWhoIsUnsubscribedByALinkMayComeBack(t *testing.T) {
	t.Parallel()
	b := start(t)
	topic := b.topic("alerts")
	arn := b.confirmed(topic, "https://a.example/x", map[string]string{"FilterPolicy": `{"store":["a"]}`})
	status, answer := fetch(t, http.MethodGet, b.unsubscribeLink(arn))
	require.Equal(t, http.StatusOK, status, answer)
	_, err := b.GetSubscriptionAttributes(t.Context(), &awssns.GetSubscriptionAttributesInput{SubscriptionArn: &arn})
	refused(t, err, "NotFound", 404, "Subscription does not exist")

	told := b.sent[topics.Webhook].next(t)
	require.Equal(t, "https://a.example/x", told.Endpoint)
	var e map[string]string
	require.NoError(t, json.Unmarshal(told.Content.Payload, &e))
	require.Equal(t, map[string]string{
		"x-amz-sns-message-type": "UnsubscribeConfirmation", "x-amz-sns-message-id": e["MessageId"], "x-amz-sns-topic-arn": topic,
		"x-amz-sns-subscription-arn": arn,
	}, told.Content.Headers)
	require.Equal(t, "UnsubscribeConfirmation", e["Type"])
	require.Equal(t, "You have chosen to deactivate subscription "+arn+".\nTo cancel this operation and restore the subscription, visit the SubscribeURL included in this message.", e["Message"])
	require.Equal(t, b.url+"/?Action=ConfirmSubscription&TopicArn="+topic+"&Token="+e["Token"], e["SubscribeURL"])
	require.NotEmpty(t, e["Signature"])

	status, answer = fetch(t, http.MethodGet, e["SubscribeURL"]+"0")
	require.Equal(t, http.StatusBadRequest, status)
	require.Contains(t, answer, "<Message>Invalid parameter: Token</Message>")
	again := regexp.MustCompile("<SubscriptionArn>(.*)</SubscriptionArn>")
	status, answer = fetch(t, http.MethodGet, e["SubscribeURL"])
	require.Equal(t, http.StatusOK, status, answer)
	back := again.FindStringSubmatch(answer)[1]
	require.Equal(t, "false", b.attributes(back)["PendingConfirmation"])
	require.JSONEq(t, `{"store":["a"]}`, b.attributes(back)["FilterPolicy"])
	_, answer = fetch(t, http.MethodGet, e["SubscribeURL"])
	require.Equal(t, back, again.FindStringSubmatch(answer)[1], "asking twice makes one subscription")
}

// TestNobodyIsToldOfASignedUnsubscribe: it is the owner's own doing.
func TestNobodyIsToldOfASignedUnsubscribe(t *testing.T) {
	t.Parallel()
	b := start(t)
	topic := b.topic("alerts")
	arn := b.confirmed(topic, "https://a.example/x", nil)
	_, err := b.Unsubscribe(t.Context(), &awssns.UnsubscribeInput{SubscriptionArn: &arn})
	require.NoError(t, err)
	b.confirmed(topic, "https://b.example/x", nil)
	b.say(&awssns.PublishInput{TopicArn: &topic, Message: aws.String("m")})
	require.Equal(t, "https://b.example/x", b.sent[topics.Webhook].next(t).Endpoint)
}

func TestNobodyComesBackToATopicThatIsGone(t *testing.T) {
	t.Parallel()
	b := start(t)
	topic := b.topic("alerts")
	arn := b.confirmed(topic, "https://a.example/x", nil)
	fetch(t, http.MethodGet, b.unsubscribeLink(arn))
	var e map[string]string
	require.NoError(t, json.Unmarshal(b.sent[topics.Webhook].next(t).Content.Payload, &e))
	_, err := b.DeleteTopic(t.Context(), &awssns.DeleteTopicInput{TopicArn: &topic})
	require.NoError(t, err)
	status, answer := fetch(t, http.MethodGet, e["SubscribeURL"])
	require.Equal(t, http.StatusBadRequest, status)
	require.Contains(t, answer, "<Message>Invalid parameter: Token</Message>")
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
