package gateway_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/stretchr/testify/require"
)

// TestBothAPIsSeeTheSameSubscription: what one of them changes the other shows,
// and leaves as it is when it changes something else.
func TestBothAPIsSeeTheSameSubscription(t *testing.T) {
	t.Parallel()
	g, _ := serve(t, t.TempDir(), nil)
	native := func(method, path, body string) map[string]any {
		t.Helper()
		status, out := call(t, method, g.URL()+"/v1"+path, body)
		require.Less(t, status, 300, out)
		return out
	}
	native("POST", "/topics", `{"name":"alerts"}`)
	native("POST", "/queues", `{"name":"work"}`)
	native("POST", "/queues", `{"name":"dead"}`)
	made := native("POST", "/topics/alerts/subscriptions",
		`{"protocol":"sqs","endpoint":"work","raw":true,"dead_letter_queue":"dead","filter":{"policy":{"level":[3]},"scope":"MessageBody"}}`)

	c := snsClient(g)
	all, err := c.ListSubscriptionsByTopic(t.Context(), &sns.ListSubscriptionsByTopicInput{TopicArn: aws.String("arn:aws:sns:us-east-1:000000000000:alerts")})
	require.NoError(t, err)
	require.Len(t, all.Subscriptions, 1)
	arn := all.Subscriptions[0].SubscriptionArn
	want := map[string]string{
		"FilterPolicy": `{"level":[3]}`, "FilterPolicyScope": "MessageBody", "RawMessageDelivery": "true",
		"RedrivePolicy": `{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:dead"}`,
	}
	shown := func() {
		t.Helper()
		got, err := c.GetSubscriptionAttributes(t.Context(), &sns.GetSubscriptionAttributesInput{SubscriptionArn: arn})
		require.NoError(t, err)
		for name, value := range want {
			require.Equal(t, value, got.Attributes[name], name)
		}
	}
	shown()
	set := func(name, value string) {
		t.Helper()
		_, err := c.SetSubscriptionAttributes(t.Context(), &sns.SetSubscriptionAttributesInput{SubscriptionArn: arn, AttributeName: &name, AttributeValue: &value})
		require.NoError(t, err)
		want[name] = value
		shown()
	}
	set("RawMessageDelivery", "false")
	set("FilterPolicy", `{"level":[4]}`)

	got := native("GET", "/subscriptions/"+made["id"].(string), "")
	require.NotContains(t, got, "raw")
	require.Equal(t, "dead", got["dead_letter_queue"])
	require.Equal(t, map[string]any{"policy": map[string]any{"level": []any{4.0}}, "scope": "MessageBody"}, got["filter"])

	native("PATCH", "/subscriptions/"+made["id"].(string), `{"filter":null,"raw":true,"dead_letter_queue":null}`)
	want = map[string]string{"FilterPolicy": "", "FilterPolicyScope": "", "RawMessageDelivery": "true", "RedrivePolicy": ""}
	shown()
}
