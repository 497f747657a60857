package sns_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/gateway/awswire"
	"github.com/fanfare-gateway/fanfare/gateway/sns"
	"github.com/fanfare-gateway/fanfare/queue"
	"github.com/fanfare-gateway/fanfare/topics"
)

// FuzzActions: whatever is asked, the answer is good or the caller's fault.
func FuzzActions(f *testing.F) {
	const arn = "arn:aws:sns:us-east-1:000000000000:alerts"
	for _, form := range []string{
		"Action=CreateTopic&Name=alerts&Attributes.entry.1.key=DisplayName&Attributes.entry.1.value=x",
		"Action=SetTopicAttributes&TopicArn=" + arn + "&AttributeName=DeliveryPolicy&AttributeValue={\"http\":{}}",
		"Action=Subscribe&Protocol=sqs&Endpoint=arn:aws:sqs:us-east-1:000000000000:q&TopicArn=" + arn + "&Attributes.entry.1.key=RedrivePolicy&Attributes.entry.1.value={}",
		"Action=ConfirmSubscription&Token=00&TopicArn=" + arn, "Action=Unsubscribe&SubscriptionArn=" + arn + ":x",
		"Action=Publish&Message={\"default\":\"x\"}&MessageStructure=json&TopicArn=" + arn,
		"Action=Publish&Message=x&PhoneNumber=%2B15005550006&MessageAttributes.entry.1.Name=a&MessageAttributes.entry.1.Value.DataType=Number&MessageAttributes.entry.1.Value.StringValue=1",
		"Action=PublishBatch&TopicArn=" + arn + "&PublishBatchRequestEntries.member.1.Id=a&PublishBatchRequestEntries.member.1.Message=x",
		"Action=AddPermission&Label=a&AWSAccountId.member.1=1&ActionName.member.1=Publish&TopicArn=" + arn,
		"Action=CreatePlatformApplication&Name=a&Platform=GCM&Attributes.entry.1.key=PlatformCredential&Attributes.entry.1.value=x",
		"Action=CreatePlatformEndpoint&Token=t&PlatformApplicationArn=arn:aws:sns:us-east-1:000000000000:app/GCM/a",
		"Action=SetEndpointAttributes&EndpointArn=arn:aws:sns:us-east-1:000000000000:endpoint/GCM/a/0199e0a0-0000-8000-8000-000000000001&Attributes.entry.1.key=Token&Attributes.entry.1.value=x",
		"Action=ListTopics&NextToken=YQ", "Action=ListSubscriptions&NextToken=YS9i", "Action=ListPhoneNumbersOptedOut&nextToken=YQ",
	} {
		f.Add(form)
	}
	h := fuzzed(f)
	f.Fuzz(func(t *testing.T, form string) { answered(t, h, form) })
}

const fuzzedTopic = "arn:aws:sns:us-east-1:000000000000:alerts"

// fuzzed is a face with a topic.
func fuzzed(f *testing.F) http.Handler {
	f.Helper()
	store, err := queue.Open("store", queue.Options{FS: vfs.NewMem()})
	require.NoError(f, err)
	f.Cleanup(func() { require.NoError(f, store.Close()) })
	pool := channels.NewPool(channels.PoolOptions{Store: store})
	require.NoError(f, pool.Put(f.Context(), channels.AccountOptions{
		Name: "fcm/main", Protocol: topics.Application, Provider: "fcm", Channel: &provider{}, Idempotent: true,
	}))
	all, err := topics.New(f.Context(), topics.Options{Store: store, Accounts: pool})
	require.NoError(f, err)
	_, err = all.CreateTopic(f.Context(), owner, topics.Topic{Name: "alerts"})
	require.NoError(f, err)
	return awswire.New(awswire.Options{
		Services: []awswire.Service{sns.Service(sns.Options{Topics: all, Store: store, Form: fuzzedForm(f, store, all), Applications: &applications{pool, &provider{}}})},
		Verifier: awswire.Verifier{Open: true, Account: owner.Account, Region: region},
	})
}

func fuzzedForm(f *testing.F, store *queue.Store, all *topics.Topics) *sns.Form {
	f.Helper()
	keys, err := sns.NewKeys(f.Context(), store, signingPair())
	require.NoError(f, err)
	return sns.NewForm(sns.FormOptions{URL: "http://127.0.0.1", Signer: keys, Store: store, Topic: all.Topic})
}

// answered asks and gives the status: it is good, or the caller's fault.
func answered(t *testing.T, h http.Handler, form string) int {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader(form))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	require.Less(t, w.Code, http.StatusInternalServerError, w.Body.String())
	return w.Code
}

// FuzzMessageStructure: what is published has words for everybody, or for the
// one device; and is JSON.
func FuzzMessageStructure(f *testing.F) {
	for _, text := range []string{
		`{"default":"all","sms":"s","APNS":"{}"}`, `{"GCM":"{\"fcmV1Message\":{\"message\":{\"data\":{\"a\":1}}}}"}`, `{"default":1}`, `{"default":"a","default":"b"}`, `{`, `[]`, `null`,
	} {
		f.Add(text, true)
		f.Add(text, false)
	}
	h := fuzzed(f)
	f.Fuzz(func(t *testing.T, text string, device bool) {
		form := url.Values{"Action": {"Publish"}, "MessageStructure": {"json"}, "Message": {text}, "TopicArn": {fuzzedTopic}}
		if device {
			form.Del("TopicArn")
			form.Set("TargetArn", "arn:aws:sns:us-east-1:000000000000:endpoint/FCM/main/abc")
		}
		if answered(t, h, form.Encode()) != http.StatusOK {
			return
		}
		var all map[string]any
		require.NoError(t, json.Unmarshal([]byte(text), &all))
		_, ok := all["default"].(string)
		for _, name := range []string{"GCM", "FCM"} {
			_, own := all[name].(string)
			ok = ok || device && own
		}
		require.True(t, ok, text)
	})
}

// FuzzMessageAttributes: names, types and values, those that SNS reads itself
// too.
func FuzzMessageAttributes(f *testing.F) {
	f.Add("color", "String", "red", "")
	f.Add("data", "Binary", "", "AQI=")
	f.Add("n", "Number.int", "1e3", "")
	f.Add("list", "String.Array", `["a",1,null]`, "")
	f.Add("AWS.SNS.MOBILE.APNS.TTL", "Number", "60", "")
	f.Add("AWS.SNS.SMS.SenderID", "String", "Fanfare", "AQI=")
	h := fuzzed(f)
	f.Fuzz(func(t *testing.T, name, kind, text, data string) {
		const at = "MessageAttributes.entry.1."
		form := url.Values{"Action": {"Publish"}, "Message": {"m"}, "TopicArn": {fuzzedTopic}, at + "Name": {name}, at + "Value.DataType": {kind}}
		for field, value := range map[string]string{"StringValue": text, "BinaryValue": data} {
			if value != "" {
				form.Set(at+"Value."+field, value)
			}
		}
		answered(t, h, form.Encode())
	})
}

// FuzzARNs: the same text where an ARN of a topic, a subscription, an endpoint or
// a queue belongs.
func FuzzARNs(f *testing.F) {
	f.Add(fuzzedTopic)
	f.Add(fuzzedTopic + ":00000000-0000-8000-8000-000000000000")
	f.Add("arn:aws:sns:us-east-1:000000000000:endpoint/APNS/main/abc")
	f.Add("arn:aws:sqs:us-east-1:000000000000:work.fifo")
	f.Add(":::::")
	h := fuzzed(f)
	f.Fuzz(func(t *testing.T, arn string) {
		for _, form := range []url.Values{
			{"Action": {"GetTopicAttributes"}, "TopicArn": {arn}},
			{"Action": {"GetSubscriptionAttributes"}, "SubscriptionArn": {arn}},
			{"Action": {"ListTagsForResource"}, "ResourceArn": {arn}},
			{"Action": {"Publish"}, "Message": {"m"}, "TargetArn": {arn}},
			{"Action": {"Subscribe"}, "Protocol": {"sqs"}, "Endpoint": {arn}, "TopicArn": {fuzzedTopic}},
			{"Action": {"Subscribe"}, "Protocol": {"application"}, "Endpoint": {arn}, "TopicArn": {fuzzedTopic}},
		} {
			answered(t, h, form.Encode())
		}
	})
}

// FuzzPolicies: every attribute that is JSON of its own.
func FuzzPolicies(f *testing.F) {
	f.Add(`{"http":{"defaultHealthyRetryPolicy":{"numRetries":5,"backoffFunction":"linear"}}}`)
	f.Add(`{"healthyRetryPolicy":{"numRetries":3,"minDelayTarget":20},"throttlePolicy":{"maxReceivesPerSecond":1}}`)
	f.Add(`{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:dead"}`)
	f.Add(`{"Version":"2012-10-17","Statement":[]}`)
	f.Add(`{"MessageRetentionPeriod":"7"}`)
	f.Add(`{"color":["red",{"prefix":"b"}]}`)
	f.Add(`null`)
	h := fuzzed(f)
	f.Fuzz(func(t *testing.T, text string) {
		for _, name := range []string{"DeliveryPolicy", "Policy", "ArchivePolicy"} {
			answered(t, h, url.Values{"Action": {"SetTopicAttributes"}, "TopicArn": {fuzzedTopic}, "AttributeName": {name}, "AttributeValue": {text}}.Encode())
		}
		require.Equal(t, http.StatusOK, answered(t, h, url.Values{"Action": {"GetTopicAttributes"}, "TopicArn": {fuzzedTopic}}.Encode()), "what was taken can be shown")
		for _, name := range []string{"DeliveryPolicy", "RedrivePolicy", "ReplayPolicy", "FilterPolicy"} {
			answered(t, h, url.Values{
				"Action": {"Subscribe"}, "Protocol": {"sqs"}, "Endpoint": {"arn:aws:sqs:us-east-1:000000000000:work"}, "TopicArn": {fuzzedTopic},
				"Attributes.entry.1.key": {name}, "Attributes.entry.1.value": {text},
			}.Encode())
		}
	})
}

// FuzzTokens: of confirmation and unsubscribe links, and of the next page.
func FuzzTokens(f *testing.F) {
	f.Add("YQ")
	f.Add("0000000000008000800000000000000000")
	f.Add("{")
	h := fuzzed(f)
	f.Fuzz(func(t *testing.T, token string) {
		require.NotEqual(t, http.StatusOK, answered(t, h, url.Values{"Action": {"ConfirmSubscription"}, "TopicArn": {fuzzedTopic}, "Token": {token}}.Encode()))
		answered(t, h, url.Values{"Action": {"Unsubscribe"}, "SubscriptionArn": {fuzzedTopic + ":00000000-0000-8000-8000-000000000000"}, "Token": {token}}.Encode())
		for _, action := range []string{"ListTopics", "ListSubscriptions", "ListSubscriptionsByTopic"} {
			answered(t, h, url.Values{"Action": {action}, "TopicArn": {fuzzedTopic}, "NextToken": {token}}.Encode())
		}
		answered(t, h, url.Values{"Action": {"ListPhoneNumbersOptedOut"}, "nextToken": {token}}.Encode())
	})
}

// FuzzFirebasePayload: whatever was meant for Google's service, it gets the same
// text or an object.
func FuzzFirebasePayload(f *testing.F) {
	for _, text := range []string{
		`{"notification":{"title":"t","badge":"2","title_loc_args":["a"]},"data":{"a":{"b":[1]}},"time_to_live":60,"content_available":true}`,
		`{"fcmV1Message":{"message":{"android":{"ttl":"3.5s","data":{"a":null}},"webpush":{"data":{"x":1e400}}}}}`,
		`{"fcmV1Message":{"message":{"android":{"ttl":"NaNs"}}}}`, `{"time_to_live":"Inf"}`, `{} {}`, `null`, `"x"`,
	} {
		f.Add(text)
	}
	store, err := queue.Open("store", queue.Options{FS: vfs.NewMem()})
	require.NoError(f, err)
	f.Cleanup(func() { require.NoError(f, store.Close()) })
	pool := channels.NewPool(channels.PoolOptions{Store: store})
	all, err := topics.New(f.Context(), topics.Options{Store: store, Accounts: pool})
	require.NoError(f, err)
	form := fuzzedForm(f, store, all)
	now := time.Now()
	f.Fuzz(func(t *testing.T, text string) {
		d := channels.Delivery{PublishedAt: now, Try: 1}
		form.Face(&d, topics.Publish{Owner: owner}, topics.Subscription{Protocol: topics.Application, Account: "fcm/main"}, map[string]string{"GCM": text})
		var object map[string]any
		if json.Unmarshal(d.Content.Payload, &object) != nil {
			require.Equal(t, text, string(d.Content.Payload))
		}
		require.False(t, d.Expires.Before(now) && !d.Expires.IsZero())
	})
}
