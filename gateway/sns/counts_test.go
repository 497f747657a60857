package sns_test

import (
	"testing"

	awssns "github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/stretchr/testify/require"
)

func TestTopicAttributesCountSubscriptions(t *testing.T) {
	t.Parallel()
	b := start(t)
	topic := b.topic("alerts")
	b.queue("work")
	counts := func(confirmed, pending, deleted string) {
		t.Helper()
		got, err := b.GetTopicAttributes(t.Context(), &awssns.GetTopicAttributesInput{TopicArn: &topic})
		require.NoError(t, err)
		a := got.Attributes
		require.Equal(t, []string{confirmed, pending, deleted},
			[]string{a["SubscriptionsConfirmed"], a["SubscriptionsPending"], a["SubscriptionsDeleted"]})
	}
	machine := b.subscribe(topic, "sqs", queueARN, nil)
	mail := b.subscribe(topic, "email", "ada@example.com", nil)
	counts("1", "1", "0")
	token := b.tokenOf(mail)
	for range 2 { // the second changes nothing
		_, err := b.ConfirmSubscription(t.Context(), &awssns.ConfirmSubscriptionInput{TopicArn: &topic, Token: &token})
		require.NoError(t, err)
		require.Equal(t, machine, b.subscribe(topic, "sqs", queueARN, nil))
	}
	counts("2", "0", "0")
	for range 2 {
		_, err := b.Unsubscribe(t.Context(), &awssns.UnsubscribeInput{SubscriptionArn: &machine})
		require.NoError(t, err)
	}
	counts("1", "0", "1")
	_, err := b.DeleteTopic(t.Context(), &awssns.DeleteTopicInput{TopicArn: &topic})
	require.NoError(t, err)
	b.topic("alerts")
	counts("0", "0", "0")
}
