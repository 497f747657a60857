package sns_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

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
	store, err := queue.Open("store", queue.Options{FS: vfs.NewMem()})
	require.NoError(f, err)
	f.Cleanup(func() { require.NoError(f, store.Close()) })
	pool := channels.NewPool(channels.PoolOptions{Store: store})
	all, err := topics.New(f.Context(), topics.Options{Store: store, Accounts: pool})
	require.NoError(f, err)
	keys, err := sns.ReadKeys(signingKey())
	require.NoError(f, err)
	form := sns.NewForm(sns.FormOptions{URL: "http://127.0.0.1", Signer: keys, Topic: all.Topic})
	_, err = all.CreateTopic(f.Context(), owner, topics.Topic{Name: "alerts"})
	require.NoError(f, err)
	h := awswire.New(awswire.Options{
		Services: []awswire.Service{sns.Service(sns.Options{Topics: all, Store: store, Form: form, Applications: &applications{pool, &provider{}}})},
		Verifier: awswire.Verifier{Open: true, Account: owner.Account, Region: region},
	})
	f.Fuzz(func(t *testing.T, form string) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader(form))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		require.Less(t, w.Code, http.StatusInternalServerError, w.Body.String())
	})
}
