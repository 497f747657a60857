package sns_test

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssns "github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/gateway/sns"
	"github.com/fanfare-gateway/fanfare/topics"
)

// waits are the seconds before each retry of a policy.
func waits(p channels.RetryPolicy) (all []float64) {
	for try := 1; ; try++ {
		v := p.Judge(channels.Attempt{Try: try}, &channels.Error{Status: 500})
		if v.Action != channels.Retry {
			return all
		}
		all = append(all, v.At.Sub(time.Time{}).Seconds())
	}
}

// times is a list of n equal waits.
func times(n int, seconds float64) (all []float64) {
	for range n {
		all = append(all, seconds)
	}
	return all
}

func join(parts ...[]float64) (all []float64) {
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

func policyOf(protocol, topic, own string) topics.DeliveryPolicy {
	return sns.DeliveryPolicy(&topics.Topic{Attributes: map[string]string{"DeliveryPolicy": topic}},
		&topics.Subscription{Protocol: protocol, Attributes: map[string]string{"DeliveryPolicy": own}})
}

// TestPhasesOfDeliveryPolicies: numbers worked out from AWS's guide, which fixes
// all but the way of the four functions between the first wait and the last.
func TestPhasesOfDeliveryPolicies(t *testing.T) {
	t.Parallel()
	backoff := func(function string) string {
		return `{"healthyRetryPolicy":{"minDelayTarget":2,"maxDelayTarget":10,"numRetries":5,"backoffFunction":"` + function + `"}}`
	}
	for name, c := range map[string]struct {
		topic, own string
		want       []float64
	}{
		"AWS's default": {"", "", times(3, 20)},
		"the guide's example": {
			"", `{"healthyRetryPolicy":{"minDelayTarget":1,"maxDelayTarget":60,"numRetries":50,"numNoDelayRetries":3,"numMinDelayRetries":2,"numMaxDelayRetries":35,"backoffFunction":"exponential"},"throttlePolicy":{"maxReceivesPerSecond":10}}`,
			join(times(3, 0), times(2, 1), []float64{1, 1.576, 2.484, 3.915, 6.170, 9.724, 15.326, 24.155, 38.070, 60}, times(35, 60)),
		},
		"linear":               {"", backoff("linear"), []float64{2, 4, 6, 8, 10}},
		"arithmetic":           {"", backoff("arithmetic"), []float64{2, 3.25, 5, 7.25, 10}},
		"geometric":            {"", backoff("geometric"), []float64{2, 2.5, 4, 6.5, 10}},
		"exponential":          {"", backoff("exponential"), []float64{2, 2.991, 4.472, 6.687, 10}},
		"no retries":           {"", `{"healthyRetryPolicy":{"numRetries":0}}`, nil},
		"values of the topic":  {`{"http":{"defaultHealthyRetryPolicy":{"minDelayTarget":7,"numRetries":2}}}`, "", []float64{7, 20}},
		"one value of its own": {`{"http":{"defaultHealthyRetryPolicy":{"minDelayTarget":5,"maxDelayTarget":5}}}`, `{"healthyRetryPolicy":{"numRetries":4}}`, times(4, 5)},
		"the topic insists": {
			`{"http":{"defaultHealthyRetryPolicy":{"numRetries":1},"disableSubscriptionOverrides":true}}`,
			`{"healthyRetryPolicy":{"numRetries":4}}`, times(1, 20),
		},
		"a topic's policy under it changed": {
			`{"http":{"defaultHealthyRetryPolicy":{"numRetries":2}}}`, `{"healthyRetryPolicy":{"numNoDelayRetries":3}}`, times(2, 0),
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := policyOf(topics.HTTPS, c.topic, c.own).Retry
			require.InDeltaSlice(t, c.want, waits(got), 0.001)
			require.True(t, got.FinalClientErrors)
		})
	}
}

func TestFixedPoliciesOfProtocols(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{topics.SQS, topics.Lambda} {
		p := policyOf(protocol, "", "").Retry
		require.Equal(t, 100_015, p.Tries()-1, "after the first attempt")
		require.InDelta(t, 23*24, p.Total().Hours(), 24)
		phases := p
		phases.Phases = p.Phases[:3]
		require.InDeltaSlice(t, join(times(3, 0), times(2, 1), []float64{1, 1.395, 1.946, 2.714, 3.786, 5.282, 7.368, 10.278, 14.338, 20}), waits(phases), 0.001)
	}
	for _, protocol := range []string{topics.SMS, topics.Email, topics.Application} {
		p := policyOf(protocol, "", "").Retry
		require.Equal(t, 50, p.Tries()-1, "after the first attempt")
		require.InDelta(t, 6.5, p.Total().Hours(), 0.5)
		all := waits(p)
		require.Equal(t, []float64{10, 10, 10}, all[:3])
		require.InDeltaSlice(t, times(39, 600), all[11:], 0.001)
	}
}

func TestThrottlePolicies(t *testing.T) {
	t.Parallel()
	topic := `{"http":{"defaultThrottlePolicy":{"maxReceivesPerSecond":5}}}`
	require.Zero(t, policyOf(topics.HTTP, "", "").PerSecond)
	require.InDelta(t, 5, policyOf(topics.HTTP, topic, "").PerSecond, 0)
	require.InDelta(t, 2, policyOf(topics.HTTP, topic, `{"throttlePolicy":{"maxReceivesPerSecond":2}}`).PerSecond, 0)
	require.Zero(t, policyOf(topics.SQS, topic, "").PerSecond, "it is of http alone")
}

func TestEffectiveDeliveryPolicy(t *testing.T) {
	t.Parallel()
	b := start(t)
	topic := b.topic("alerts")
	arn := b.subscribe(topic, "https", "https://a.example/", nil)
	effective := func() string { return b.attributes(arn)["EffectiveDeliveryPolicy"] }
	setTopic := func(policy string) {
		_, err := b.SetTopicAttributes(t.Context(), &awssns.SetTopicAttributesInput{TopicArn: &topic, AttributeName: aws.String("DeliveryPolicy"), AttributeValue: &policy})
		require.NoError(t, err)
	}
	set := func(policy string) {
		_, err := b.SetSubscriptionAttributes(t.Context(), &awssns.SetSubscriptionAttributesInput{SubscriptionArn: &arn, AttributeName: aws.String("DeliveryPolicy"), AttributeValue: &policy})
		require.NoError(t, err)
	}
	require.JSONEq(t, `{"healthyRetryPolicy":{"minDelayTarget":20,"maxDelayTarget":20,"numRetries":3,"numMaxDelayRetries":0,"numNoDelayRetries":0,"numMinDelayRetries":0,"backoffFunction":"linear"},"sicklyRetryPolicy":null,"throttlePolicy":null,"requestPolicy":{"headerContentType":"text/plain; charset=UTF-8"},"guaranteed":false}`, effective())

	setTopic(`{"http":{"defaultHealthyRetryPolicy":{"numRetries":7},"defaultSicklyRetryPolicy":null,"defaultThrottlePolicy":{"maxReceivesPerSecond":3},"defaultRequestPolicy":{"headerContentType":"application/json"}}}`)
	require.JSONEq(t, `{"healthyRetryPolicy":{"minDelayTarget":20,"maxDelayTarget":20,"numRetries":7,"numMaxDelayRetries":0,"numNoDelayRetries":0,"numMinDelayRetries":0,"backoffFunction":"linear"},"sicklyRetryPolicy":null,"throttlePolicy":{"maxReceivesPerSecond":3},"requestPolicy":{"headerContentType":"application/json"},"guaranteed":false}`, effective())
	set(`{"healthyRetryPolicy":{"minDelayTarget":10,"maxDelayTarget":30},"sicklyRetryPolicy":null,"guaranteed":false,"requestPolicy":{"headerContentType":"text/plain"}}`)
	require.JSONEq(t, `{"healthyRetryPolicy":{"minDelayTarget":10,"maxDelayTarget":30,"numRetries":7,"numMaxDelayRetries":0,"numNoDelayRetries":0,"numMinDelayRetries":0,"backoffFunction":"linear"},"sicklyRetryPolicy":null,"throttlePolicy":{"maxReceivesPerSecond":3},"requestPolicy":{"headerContentType":"text/plain"},"guaranteed":false}`, effective())
	setTopic(`{"http":{"disableSubscriptionOverrides":true}}`)
	require.Contains(t, effective(), `"minDelayTarget":20,"maxDelayTarget":20,"numRetries":3`)
	setTopic("")
	require.Contains(t, effective(), `"minDelayTarget":10,"maxDelayTarget":30,"numRetries":3`)
	set("")
	require.Contains(t, effective(), `"minDelayTarget":20,"maxDelayTarget":20,"numRetries":3`)
}

func TestDeliveryPolicyIsShownWhole(t *testing.T) {
	t.Parallel()
	b := start(t)
	topic := b.topic("alerts")
	for given, shown := range map[string]string{
		`{"http":{"defaultRequestPolicy":{"headerContentType":"application/json"}}}`:                           `{"http":{"disableSubscriptionOverrides":false,"defaultRequestPolicy":{"headerContentType":"application/json"}}}`,
		`{"http":{"defaultHealthyRetryPolicy":{"minDelayTarget":5,"maxDelayTarget":6,"numRetries":1}}}`:        `{"http":{"defaultHealthyRetryPolicy":{"minDelayTarget":5,"maxDelayTarget":6,"numRetries":1},"disableSubscriptionOverrides":false}}`,
		`{"http":{"defaultHealthyRetryPolicy":null,"defaultThrottlePolicy":null}}`:                             `{"http":{"disableSubscriptionOverrides":false}}`,
		`{"http":{"disableSubscriptionOverrides":true,"defaultThrottlePolicy":{"maxReceivesPerSecond":1000}}}`: `{"http":{"disableSubscriptionOverrides":true,"defaultThrottlePolicy":{"maxReceivesPerSecond":1000}}}`,
	} {
		_, err := b.SetTopicAttributes(t.Context(), &awssns.SetTopicAttributesInput{TopicArn: &topic, AttributeName: aws.String("DeliveryPolicy"), AttributeValue: &given})
		require.NoError(t, err)
		got, err := b.GetTopicAttributes(t.Context(), &awssns.GetTopicAttributesInput{TopicArn: &topic})
		require.NoError(t, err)
		require.Equal(t, shown, got.Attributes["DeliveryPolicy"])
	}
	arn := b.subscribe(topic, "https", "https://a.example/", map[string]string{"DeliveryPolicy": `{"throttlePolicy":{"maxReceivesPerSecond":1000}}`})
	require.Equal(t, `{"healthyRetryPolicy":null,"sicklyRetryPolicy":null,"throttlePolicy":{"maxReceivesPerSecond":1000},"requestPolicy":null,"guaranteed":false}`, b.attributes(arn)["DeliveryPolicy"])
}

func TestDeliveryPoliciesThatAreNone(t *testing.T) {
	t.Parallel()
	b := start(t)
	topic := b.topic("alerts")
	for policy, message := range map[string]string{
		`{`: "failed to parse JSON", `[]`: "failed to parse JSON", `{} {}`: "failed to parse JSON",
		`{"guaranteed":true,"guaranteed":true}`:                                            "failed to parse JSON",
		`{"healthyRetryPolicy":{"numRetries":"3"}}`:                                        "failed to parse JSON",
		`{"defaultThrottlePolicy":{"maxReceivesPerSecond":1}}`:                             "Unexpected JSON member: defaultThrottlePolicy",
		`{"healthyRetryPolicy":{"numRetries":101}}`:                                        "healthyRetryPolicy.numRetries must be less than or equal to 100",
		`{"healthyRetryPolicy":{"numRetries":-1}}`:                                         "healthyRetryPolicy.numRetries must be greater than or equal to 0",
		`{"healthyRetryPolicy":{"maxDelayTarget":3601}}`:                                   "healthyRetryPolicy.maxDelayTarget must be less than or equal to 3600",
		`{"healthyRetryPolicy":{"minDelayTarget":0}}`:                                      "healthyRetryPolicy.minDelayTarget must be greater than or equal to 1",
		`{"healthyRetryPolicy":{"minDelayTarget":21}}`:                                     "healthyRetryPolicy.minDelayTarget must be less than or equal to maxDelayTarget",
		`{"healthyRetryPolicy":{"numNoDelayRetries":4}}`:                                   "healthyRetryPolicy.numNoDelayRetries must be less than or equal to numRetries",
		`{"healthyRetryPolicy":{"numNoDelayRetries":2,"numMaxDelayRetries":2}}`:            "healthyRetryPolicy.numRetries must be greater than or equal to numNoDelayRetries, numMinDelayRetries and numMaxDelayRetries together",
		`{"healthyRetryPolicy":{"backoffFunction":"jitter"}}`:                              "healthyRetryPolicy.backoffFunction must be linear, arithmetic, geometric or exponential",
		`{"healthyRetryPolicy":{"minDelayTarget":37,"maxDelayTarget":37,"numRetries":98}}`: "healthyRetryPolicy: the delays of all retries together must be at most 3600 seconds, not 3626",
		`{"throttlePolicy":{"maxReceivesPerSecond":0.5}}`:                                  "throttlePolicy.maxReceivesPerSecond must be greater than or equal to 1",
		`{"requestPolicy":{"headerContentType":"text/bogus"}}`:                             "requestPolicy.headerContentType must be one of text/plain, application/json, application/xml",
		`{"requestPolicy":{"headerContentType":"text/csv"}}`:                               "requestPolicy.headerContentType must be one of text/plain, application/json, application/xml",
	} {
		_, err := b.trySubscribe(topic, "https", "https://c.example/", map[string]string{"DeliveryPolicy": policy})
		refused(t, err, "InvalidParameter", 400, "Invalid parameter: Attributes Reason: DeliveryPolicy: "+message)
	}
	b.subscribe(topic, "https", "https://c.example/", map[string]string{
		"RawMessageDelivery": "true", "DeliveryPolicy": `{"healthyRetryPolicy":{"minDelayTarget":36,"maxDelayTarget":36,"numRetries":100,"backoffFunction":null},"sicklyRetryPolicy":null,"requestPolicy":{"headerContentType":"text/csv; charset=UTF-8"}}`,
	})
	_, err := b.SetTopicAttributes(t.Context(), &awssns.SetTopicAttributesInput{
		TopicArn: &topic, AttributeName: aws.String("DeliveryPolicy"), AttributeValue: aws.String(`{"http":{"throttlePolicy":null}}`),
	})
	refused(t, err, "InvalidParameter", 400, "Invalid parameter: DeliveryPolicy: Unexpected JSON member: throttlePolicy")
}
