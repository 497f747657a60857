package gateway_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sns/types"
	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels/sandbox"
	"github.com/fanfare-gateway/fanfare/gateway"
)

func snsClient(g *gateway.Gateway) *sns.Client {
	return sns.New(sns.Options{
		Region: "us-east-1", BaseEndpoint: aws.String(g.URL()), Retryer: aws.NopRetryer{},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, nil
		}),
	})
}

// publisher publishes by the SDK to a gateway and sees what providers got.
type publisher struct {
	*sns.Client
	t  *testing.T
	sb *sandbox.Server
	g  *gateway.Gateway
}

func newPublisher(t *testing.T) *publisher {
	t.Helper()
	sb, err := sandbox.Start(sandbox.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, sb.Close()) })
	g, _ := serve(t, t.TempDir(), sb)
	return &publisher{snsClient(g), t, sb, g}
}

func attributesOf(pairs ...string) map[string]types.MessageAttributeValue {
	all := map[string]types.MessageAttributeValue{}
	for i := 0; i < len(pairs); i += 2 {
		all[pairs[i]] = types.MessageAttributeValue{DataType: aws.String("String"), StringValue: &pairs[i+1]}
	}
	return all
}

func structured(t *testing.T, members map[string]string) *string {
	t.Helper()
	text, err := json.Marshal(members)
	require.NoError(t, err)
	return aws.String(string(text))
}

// one is the one thing a provider gets for a recipient.
func (p *publisher) one(provider, recipient string) sandbox.Item {
	p.t.Helper()
	items, err := p.sb.Await(p.t.Context(), provider, recipient, 1)
	require.NoError(p.t, err)
	require.Len(p.t, items, 1)
	return items[0]
}

func (p *publisher) say(in *sns.PublishInput) {
	p.t.Helper()
	_, err := p.Publish(p.t.Context(), in)
	require.NoError(p.t, err)
}

func appleDevice(n int) string  { return fmt.Sprintf("%064x", n) }
func googleDevice(n int) string { return fmt.Sprintf("device-%d:%0140d", n, n) }

func endpointARN(platform, token string) *string {
	return aws.String("arn:aws:sns:us-east-1:000000000000:endpoint/" + platform + "/sandbox/" + token)
}

// TestEachProtocolGetsItsOwnWords: one publish, MessageStructure json, and every
// provider gets what was meant for it, push services their own JSON.
func TestEachProtocolGetsItsOwnWords(t *testing.T) {
	t.Parallel()
	p := newPublisher(t)
	topic, err := p.CreateTopic(t.Context(), &sns.CreateTopicInput{Name: aws.String("alerts")})
	require.NoError(t, err)
	function := "arn:aws:lambda:us-east-1:000000000000:function:work"
	for protocol, endpoints := range map[string][]string{
		"sms": {"+15005550101"}, "lambda": {function},
		"application": {*endpointARN("APNS", appleDevice(1)), *endpointARN("FCM", googleDevice(1))},
	} {
		for _, endpoint := range endpoints {
			_, err := p.Subscribe(t.Context(), &sns.SubscribeInput{TopicArn: topic.TopicArn, Protocol: &protocol, Endpoint: &endpoint})
			require.NoError(t, err, endpoint)
		}
	}
	p.say(&sns.PublishInput{
		TopicArn: topic.TopicArn, MessageStructure: aws.String("json"), MessageAttributes: attributesOf("kind", "test"),
		Message: structured(t, map[string]string{
			"default": "all", "sms": "short", "lambda": "function", "APNS": `{"aps":{"alert":"apple","badge":3},"id":7}`,
			"GCM": `{"fcmV1Message":{"message":{"notification":{"title":"google","body":"text"},"data":{"n":1},"android":{"ttl":"60s"}}}}`,
		}),
	})
	require.Equal(t, "short", p.one(sandbox.ProviderTwilio, "+15005550101").Body)
	require.Contains(t, p.one(sandbox.ProviderLambda, function).Body, `"Message":"function"`)
	it := p.one(sandbox.ProviderAPNs, appleDevice(1))
	require.JSONEq(t, `{"aps":{"alert":"apple","badge":3},"id":7}`, it.Fields["payload"])
	it = p.one(sandbox.ProviderFCM, googleDevice(1))
	require.Equal(t, "google", it.Subject)
	require.Equal(t, "text", it.Body)
	require.Equal(t, "1", it.Fields["data.n"])
	require.NotContains(t, it.Fields, "data.kind", "attributes are not for devices")
	left, err := time.ParseDuration(it.Fields["ttl"])
	require.NoError(t, err)
	require.InDelta(t, 60, left.Seconds(), 10, "what it waited is subtracted")
}

// TestPlainTextOnDevices: without words of its own a device gets SNS's simplest form.
func TestPlainTextOnDevices(t *testing.T) {
	t.Parallel()
	p := newPublisher(t)
	p.say(&sns.PublishInput{TargetArn: endpointARN("APNS", appleDevice(2)), Message: aws.String("plain <text>"), Subject: aws.String("unused")})
	p.say(&sns.PublishInput{TargetArn: endpointARN("FCM", googleDevice(2)), Message: aws.String("plain <text>")})
	require.JSONEq(t, `{"aps":{"alert":"plain <text>"}}`, p.one(sandbox.ProviderAPNs, appleDevice(2)).Fields["payload"])
	require.Equal(t, "plain <text>", p.one(sandbox.ProviderFCM, googleDevice(2)).Fields["data.default"])
}

// TestLegacyFirebaseMessage: the form of the API Google ended still goes out.
func TestLegacyFirebaseMessage(t *testing.T) {
	t.Parallel()
	p := newPublisher(t)
	p.say(&sns.PublishInput{
		TargetArn: endpointARN("FCM", googleDevice(3)), MessageStructure: aws.String("json"),
		Message: structured(t, map[string]string{
			"GCM": `{"notification":{"title":"hi","body":"there","icon":"bell","badge":"2","click_action":"OPEN","android_channel_id":"news",
				"color":"#112233","sound":"s","tag":"g","image":"https://example.com/i.png","title_loc_key":"T","title_loc_args":["a"],"body_loc_key":"B","body_loc_args":["b"]},
				"data":{"n":1,"s":"x","o":{"a":[true]}},"time_to_live":120,"collapse_key":"deals","priority":"normal","restricted_package_name":"com.example.app","content_available":true,"mutable_content":true}`,
		}),
	})
	it := p.one(sandbox.ProviderFCM, googleDevice(3))
	require.Equal(t, "hi", it.Subject)
	require.Equal(t, "there", it.Body)
	require.Equal(t, "deals", it.Fields["collapse_key"])
	require.Equal(t, "g", it.Fields["tag"])
	require.Equal(t, "normal", it.Fields["priority"])
	require.Equal(t, "1", it.Fields["data.n"])
	require.JSONEq(t, `{"a":[true]}`, it.Fields["data.o"])
	left, err := time.ParseDuration(it.Fields["ttl"])
	require.NoError(t, err)
	require.InDelta(t, 120, left.Seconds(), 10)
}

// TestWhatAttributesAskOfAPNs: TTL, push type, priority, collapse id and topic.
func TestWhatAttributesAskOfAPNs(t *testing.T) {
	t.Parallel()
	p := newPublisher(t)
	before := time.Now()
	p.say(&sns.PublishInput{
		TargetArn: endpointARN("APNS", appleDevice(4)), Message: aws.String("x"),
		MessageAttributes: attributesOf("AWS.SNS.MOBILE.APNS.TTL", "3600", "AWS.SNS.MOBILE.APNS.PUSH_TYPE", "voip", "AWS.SNS.MOBILE.APNS.PRIORITY", "5",
			"AWS.SNS.MOBILE.APNS.COLLAPSE_ID", "score", "AWS.SNS.MOBILE.APNS.TOPIC", p.sb.APNs.Topic+".voip"),
	})
	it := p.one(sandbox.ProviderAPNs, appleDevice(4))
	expires, err := strconv.ParseInt(it.Fields["apns-expiration"], 10, 64)
	require.NoError(t, err)
	require.InDelta(t, before.Add(time.Hour).Unix(), expires, 10, "it counts from the publish")
	require.Equal(t, "voip", it.Fields["apns-push-type"])
	require.Equal(t, "5", it.Fields["apns-priority"])
	require.Equal(t, "score", it.Fields["apns-collapse-id"])
	require.Equal(t, p.sb.APNs.Topic+".voip", it.Fields["apns-topic"])

	// 0: now or never.
	p.say(&sns.PublishInput{TargetArn: endpointARN("APNS", appleDevice(5)), Message: aws.String("x"), MessageAttributes: attributesOf("AWS.SNS.MOBILE.APNS.TTL", "0")})
	require.Equal(t, "1", p.one(sandbox.ProviderAPNs, appleDevice(5)).Fields["apns-expiration"])

	// An attribute counts more than what the body says.
	p.say(&sns.PublishInput{
		TargetArn: endpointARN("FCM", googleDevice(5)), MessageStructure: aws.String("json"), MessageAttributes: attributesOf("AWS.SNS.MOBILE.GCM.TTL", "600"),
		Message: structured(t, map[string]string{"GCM": `{"fcmV1Message":{"message":{"data":{"a":"b"},"android":{"ttl":"60s"}}}}`}),
	})
	left, err := time.ParseDuration(p.one(sandbox.ProviderFCM, googleDevice(5)).Fields["ttl"])
	require.NoError(t, err)
	require.InDelta(t, 600, left.Seconds(), 10)
}

// TestAMessageThatWaitedTooLongIsNotSent: the time in the gateway is part of a
// message's time to live.
func TestAMessageThatWaitedTooLongIsNotSent(t *testing.T) {
	t.Parallel()
	p := newPublisher(t)
	status, _ := call(t, "POST", p.g.URL()+"/v1/accounts/apns/sandbox/pause", "")
	require.Less(t, status, 300)
	out, err := p.Publish(t.Context(), &sns.PublishInput{
		TargetArn: endpointARN("APNS", appleDevice(6)), Message: aws.String("x"), MessageAttributes: attributesOf("AWS.SNS.MOBILE.APNS.TTL", "1"),
	})
	require.NoError(t, err)
	published := time.Now()
	require.Eventually(t, func() bool { return time.Since(published) > time.Second }, 10*time.Second, 50*time.Millisecond)
	status, _ = call(t, "POST", p.g.URL()+"/v1/accounts/apns/sandbox/resume", "")
	require.Less(t, status, 300)
	where := p.g.URL() + "/v1/publishes/pub_" + strings.ReplaceAll(*out.MessageId, "-", "")
	require.Eventually(t, func() bool {
		_, got := call(t, "GET", where, "")
		ledger, _ := got["ledger"].(map[string]any)
		return ledger["expired"] == 1.0
	}, 20*time.Second, 50*time.Millisecond)
	require.Empty(t, p.sb.Inbox(sandbox.ProviderAPNs, appleDevice(6)))
}

// TestWhoAnSMSComesFrom: the message's sender, then the account's default one.
func TestWhoAnSMSComesFrom(t *testing.T) {
	t.Parallel()
	p := newPublisher(t)
	from := func(n int, pairs ...string) string {
		number := fmt.Sprintf("+1500555%04d", n)
		p.say(&sns.PublishInput{PhoneNumber: &number, Message: aws.String("x"), MessageAttributes: attributesOf(pairs...)})
		return p.one(sandbox.ProviderTwilio, number).Fields["From"]
	}
	own := p.sb.Twilio.From
	require.Equal(t, own, from(201))
	require.Equal(t, "Fanfare", from(202, "AWS.SNS.SMS.SenderID", "Fanfare", "AWS.SNS.SMS.SMSType", "Transactional", "AWS.SNS.SMS.MaxPrice", "0.5"))
	require.Equal(t, own, from(203, "AWS.SNS.SMS.SenderID", "Fanfare", "AWS.MM.SMS.OriginationNumber", own[1:]))
	_, err := p.SetSMSAttributes(t.Context(), &sns.SetSMSAttributesInput{Attributes: map[string]string{"DefaultSenderID": "Acme", "DefaultSMSType": "Promotional"}})
	require.NoError(t, err)
	require.Equal(t, "Acme", from(204))
	require.Equal(t, "Fanfare", from(205, "AWS.SNS.SMS.SenderID", "Fanfare"))
	_, got := call(t, "GET", p.g.URL()+"/v1/publishes?limit=2", "")
	text, err := json.Marshal(got)
	require.NoError(t, err)
	require.Contains(t, string(text), `"lane":"bulk"`, "promotional messages give way")
}
