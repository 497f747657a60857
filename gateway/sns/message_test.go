package sns_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssns "github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sns/types"
	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/topics"
)

// The attributes of a structured message decide who gets it, and are not sent.
func TestAttributesOfAStructuredMessage(t *testing.T) {
	t.Parallel()
	b := start(t)
	topic := b.topic("alerts")
	b.subscribe(topic, "sqs", b.queue("red"), map[string]string{"FilterPolicy": `{"color":["red"]}`})
	b.subscribe(topic, "sqs", b.queue("raw"), map[string]string{"RawMessageDelivery": "true"})
	b.subscribe(topic, "sqs", b.queue("blue"), map[string]string{"FilterPolicy": `{"color":["blue"]}`})
	b.subscribe(topic, "lambda", "arn:aws:lambda:us-east-1:000000000000:function:f", nil)
	b.say(&awssns.PublishInput{
		TopicArn: &topic, MessageStructure: aws.String("json"), Message: aws.String(`{"default":"all","sqs":"queue"}`),
		MessageAttributes: map[string]types.MessageAttributeValue{"color": text("red")},
	})
	require.Empty(t, b.receive("blue"))
	got := b.receive("red")
	require.Len(t, got, 1)
	var e map[string]any
	require.NoError(t, json.Unmarshal(got[0].Body, &e))
	require.Equal(t, "queue", e["Message"])
	require.NotContains(t, e, "MessageAttributes")
	got = b.receive("raw")
	require.Len(t, got, 1)
	require.Equal(t, "queue", string(got[0].Body))
	require.Empty(t, got[0].Attributes)
	require.Empty(t, b.sent[topics.Lambda].next(t).Attributes)
}

func TestMailAsJSONHasItsOwnWords(t *testing.T) {
	t.Parallel()
	b := start(t)
	topic := b.topic("alerts")
	arn := b.subscribe(topic, "email-json", "a@example.com", nil)
	asked := b.sent[topics.Email].next(t)
	require.Contains(t, asked.Content.Text, topic)
	token := b.tokenOf(arn)
	_, err := b.ConfirmSubscription(t.Context(), &awssns.ConfirmSubscriptionInput{TopicArn: &topic, Token: &token})
	require.NoError(t, err)
	for message, want := range map[string]string{
		`{"default":"all","email":"mail","email-json":"machine"}`: "machine",
		`{"default":"all","email":"mail"}`:                        "all",
		`{"default":"all"}`:                                       "all",
	} {
		b.say(&awssns.PublishInput{TopicArn: &topic, MessageStructure: aws.String("json"), Message: &message, Subject: aws.String("s")})
		d := b.sent[topics.Email].next(t)
		require.Equal(t, "s", d.Content.Subject)
		var e map[string]string
		require.NoError(t, json.Unmarshal([]byte(d.Content.Text), &e))
		require.Equal(t, "Notification", e["Type"])
		require.Equal(t, want, e["Message"], message)
		require.NotEmpty(t, e["Signature"])
	}
}

func TestStructuredMessageToOneDevice(t *testing.T) {
	t.Parallel()
	b := start(t)
	say := func(platform, message string) error {
		_, err := b.Publish(t.Context(), &awssns.PublishInput{
			TargetArn: aws.String("arn:aws:sns:us-east-1:000000000000:endpoint/" + platform + "/main/abc"), Message: &message, MessageStructure: aws.String("json"),
		})
		return err
	}
	long := `{"default":"` + strings.Repeat("x", 5000) + `"}`
	for _, c := range []struct{ platform, message, why string }{
		{"APNS", `{"GCM":"{}"}`, "JSON must contain an entry for 'default' or 'APNS'."},
		{"FCM", `{"default":7,"APNS":"{}"}`, "JSON must contain an entry for 'default' or 'GCM'."},
		{"APNS", `{"default":""}`, "Empty message"},
		{"APNS", `{`, "Message Structure - JSON message body failed to parse"},
		{"APNS", `{"APNS":"text"}`, "Message Reason: Invalid notification for protocol APNS: Notification is malformed"},
		{"APNS", `{"APNS":"null"}`, "Message Reason: Invalid notification for protocol APNS: Notification is malformed"},
		{"APNS", long, "Message Reason: Invalid notification for protocol APNS: Notification is too long"},
		{"FCM", `{"GCM":"[]"}`, "Message Reason: Invalid notification for protocol GCM: Notification is malformed"},
		{"FCM", `{"GCM":"{\"fcmV1Message\":{}}"}`, "Message Reason: Invalid notification for protocol GCM: Notification is malformed"},
		{"FCM", long, "Message Reason: Invalid notification for protocol GCM: Notification data is larger than allowed limit"},
	} {
		refused(t, say(c.platform, c.message), "InvalidParameter", 400, "Invalid parameter: "+c.why)
	}
	require.NoError(t, say("APNS", `{"default":"all","GCM":"{}"}`))
	require.JSONEq(t, `{"aps":{"alert":"all"}}`, string(b.sent["apns"].next(t).Content.Payload))
	require.NoError(t, say("FCM", `{"FCM":"{\"data\":{\"a\":1}}"}`), "Google's service has two names")
	require.JSONEq(t, `{"data":{"a":"1"}}`, string(b.sent["fcm"].next(t).Content.Payload))
}

// What SNS documents of its translation, and what Google does of its own API.
func TestFirebaseLegacyForm(t *testing.T) {
	t.Parallel()
	b := start(t)
	for legacy, want := range map[string]string{
		`{"notification":{"title":"t","body":"b"}}`: `{"notification":{"title":"t","body":"b"}}`,
		`{"notification":{"title":"t","body":"b","icon":"i","color":"#112233","sound":"s","tag":"g","click_action":"c","badge":"3","image":"https://example.com/i.png",
			"title_loc_key":"tk","title_loc_args":["ta"],"body_loc_key":"bk","body_loc_args":["ba"],"android_channel_id":"news"}}`: `{
			"notification":{"title":"t","body":"b","image":"https://example.com/i.png"},
			"android":{"notification":{"icon":"i","color":"#112233","sound":"s","tag":"g","click_action":"c","title_loc_key":"tk","title_loc_args":["ta"],
				"body_loc_key":"bk","body_loc_args":["ba"],"channel_id":"news"}},
			"apns":{"payload":{"aps":{"alert":{"title":"t","body":"b","title-loc-key":"tk","title-loc-args":["ta"],"loc-key":"bk","loc-args":["ba"]},
				"sound":"s","category":"c","badge":3}}},
			"webpush":{"notification":{"icon":"i","tag":"g"}}}`,
		`{"data":{"a":"x","n":12345678901234567890,"o":{"b":null}},"priority":"high","collapse_key":"k","restricted_package_name":"p","time_to_live":9,"to":"x"}`: `{
			"data":{"a":"x","n":"12345678901234567890","o":"{\"b\":null}"},"android":{"priority":"high","collapse_key":"k","restricted_package_name":"p"}}`,
		`{"content_available":true,"mutable_content":false}`: `{"apns":{"payload":{"aps":{"content-available":1}}}}`,
	} {
		message, err := json.Marshal(map[string]string{"GCM": legacy})
		require.NoError(t, err)
		b.say(&awssns.PublishInput{
			TargetArn: aws.String("arn:aws:sns:us-east-1:000000000000:endpoint/FCM/main/abc"), Message: aws.String(string(message)), MessageStructure: aws.String("json"),
		})
		require.JSONEq(t, want, string(b.sent["fcm"].next(t).Content.Payload))
	}
}

func TestReservedAttributesAreChecked(t *testing.T) {
	t.Parallel()
	b := start(t)
	topic := b.topic("alerts")
	b.subscribe(topic, "sqs", b.queue("work"), nil)
	say := func(name string, value types.MessageAttributeValue) error {
		_, err := b.Publish(t.Context(), &awssns.PublishInput{TopicArn: &topic, Message: aws.String("m"), MessageAttributes: map[string]types.MessageAttributeValue{name: value}})
		return err
	}
	for _, c := range []struct{ name, good, bad, want string }{
		{"AWS.SNS.SMS.SenderID", "Fanfare1", "12345", "must be 1 to 11 letters and digits, with at least one letter"},
		{"AWS.SNS.SMS.SenderID", "F", "My Company", "must be 1 to 11 letters and digits, with at least one letter"},
		{"AWS.SNS.SMS.SMSType", "Promotional", "promotional", "must be Promotional or Transactional"},
		{"AWS.SNS.SMS.MaxPrice", "0.50", "NaN", "must be a price in USD, greater than 0"},
		{"AWS.MM.SMS.OriginationNumber", "+15005550006", "+1 500", "must be 5 to 14 digits, with or without a leading +"},
		{"AWS.MM.SMS.EntityId", "1", strings.Repeat("1", 51), "must be 1 to 50 characters"},
		{"AWS.SNS.MOBILE.APNS.TTL", "0", "-1", "must be a number of seconds, 0 or greater"},
		{"AWS.SNS.MOBILE.GCM.TTL", "2419200", "1e3", "must be a number of seconds, 0 or greater"},
		{"AWS.SNS.MOBILE.APNS_VOIP_SANDBOX.TTL", "60", "99999999999999999999", "must be a number of seconds, 0 or greater"},
		{"AWS.SNS.MOBILE.APNS.PUSH_TYPE", "liveactivity", "Alert", "must be a push type of APNs, such as alert or background"},
		{"AWS.SNS.MOBILE.APNS.PRIORITY", "10", "7", "must be 1, 5 or 10"},
		{"AWS.SNS.MOBILE.APNS.COLLAPSE_ID", "a", strings.Repeat("a", 65), "must be 1 to 64 printable characters"},
		{"AWS.SNS.MOBILE.APNS.TOPIC", "com.example.app", "com example", "must be the app's bundle id, such as com.example.app"},
		{"AWS.SNS.MOBILE.WNS.Type", "wns/badge", "", ""},
	} {
		require.NoError(t, say(c.name, text(c.good)), c.name)
		if c.bad != "" {
			refused(t, say(c.name, text(c.bad)), "InvalidParameter", 400, "Invalid parameter: "+c.name+" Reason: "+c.want)
			refused(t, say(c.name, types.MessageAttributeValue{DataType: aws.String("Binary"), BinaryValue: []byte("1")}), "InvalidParameter", 400, "Invalid parameter: "+c.name+" Reason: "+c.want)
		}
	}
	require.NoError(t, say("AWS.SNS.MOBILE.FCM.TTL", types.MessageAttributeValue{DataType: aws.String("Number"), StringValue: aws.String("60")}))
}
