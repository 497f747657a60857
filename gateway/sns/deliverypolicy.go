package sns

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/topics"
)

// healthy is a healthyRetryPolicy; delays in seconds.
// https://docs.aws.amazon.com/sns/latest/dg/sns-message-delivery-retries.html#creating-delivery-policy
type healthy struct {
	MinDelayTarget     int    `json:"minDelayTarget"`
	MaxDelayTarget     int    `json:"maxDelayTarget"`
	NumRetries         int    `json:"numRetries"`
	NumMaxDelayRetries int    `json:"numMaxDelayRetries"`
	NumNoDelayRetries  int    `json:"numNoDelayRetries"`
	NumMinDelayRetries int    `json:"numMinDelayRetries"`
	BackoffFunction    string `json:"backoffFunction"`
}

// defaults are AWS's.
func defaults() healthy {
	return healthy{MinDelayTarget: 20, MaxDelayTarget: 20, NumRetries: 3, BackoffFunction: "linear"}
}

type throttle struct {
	MaxReceivesPerSecond *float64 `json:"maxReceivesPerSecond,omitempty"`
}

type requestPolicy struct {
	HeaderContentType string `json:"headerContentType,omitempty"`
}

// subscriptionPolicy is the DeliveryPolicy of a subscription; sicklyRetryPolicy
// and guaranteed, which AWS reads no more, are passed over.
type subscriptionPolicy struct {
	Healthy  healthy        `json:"healthyRetryPolicy"`
	Throttle *throttle      `json:"throttlePolicy,omitempty"`
	Request  *requestPolicy `json:"requestPolicy,omitempty"`
}

// topicPolicy is the http part of a topic's DeliveryPolicy.
type topicPolicy struct {
	Healthy          healthy        `json:"defaultHealthyRetryPolicy"`
	DisableOverrides bool           `json:"disableSubscriptionOverrides"`
	Throttle         *throttle      `json:"defaultThrottlePolicy,omitempty"`
	Request          *requestPolicy `json:"defaultRequestPolicy,omitempty"`
}

// deliveryPolicyOf is what holds for a subscription: its own policy, else its
// topic's, else AWS's. Either text may be "".
func deliveryPolicyOf(topic, own string) (subscriptionPolicy, error) {
	of := struct {
		HTTP topicPolicy `json:"http"`
	}{topicPolicy{Healthy: defaults(), Request: &requestPolicy{textPlain}}}
	if topic != "" {
		if err := json.Unmarshal([]byte(topic), &of); err != nil {
			return subscriptionPolicy{}, errors.New("failed to parse JSON")
		}
	}
	p := subscriptionPolicy{of.HTTP.Healthy, of.HTTP.Throttle, of.HTTP.Request}
	if own != "" && !of.HTTP.DisableOverrides {
		p.Healthy = defaults()
		if err := json.Unmarshal([]byte(own), &p); err != nil {
			return p, errors.New("failed to parse JSON")
		}
	}
	return p, p.Healthy.check()
}

// maxTotal is the most seconds all the delays of a policy may take.
const maxTotal = 3600

func (h *healthy) check() error {
	backoff := h.NumRetries - h.NumNoDelayRetries - h.NumMinDelayRetries - h.NumMaxDelayRetries
	switch {
	case h.NumRetries < 0 || h.NumRetries > 100:
		return errors.New("healthyRetryPolicy.numRetries must be between 0 and 100")
	case h.MaxDelayTarget < 1 || h.MaxDelayTarget > maxTotal:
		return fmt.Errorf("healthyRetryPolicy.maxDelayTarget must be between 1 and %d", maxTotal)
	case h.MinDelayTarget < 1 || h.MinDelayTarget > h.MaxDelayTarget:
		return errors.New("healthyRetryPolicy.minDelayTarget must be between 1 and maxDelayTarget")
	case h.NumNoDelayRetries < 0 || h.NumMinDelayRetries < 0 || h.NumMaxDelayRetries < 0 || backoff < 0:
		return errors.New("healthyRetryPolicy.numRetries must not be less than the retries of its phases together")
	}
	switch channels.Backoff(h.BackoffFunction) {
	case channels.Linear, channels.Arithmetic, channels.Geometric, channels.Exponential:
	default:
		return errors.New("healthyRetryPolicy.backoffFunction must be linear, arithmetic, geometric or exponential")
	}
	total := h.NumMinDelayRetries*h.MinDelayTarget + h.NumMaxDelayRetries*h.MaxDelayTarget + backoff*h.MinDelayTarget
	if total > maxTotal {
		return fmt.Errorf("the delays of healthyRetryPolicy together must be at most %d seconds", maxTotal)
	}
	return nil
}

// retry is the policy in the gateway's terms: immediate, pre-backoff, backoff
// and post-backoff phases. A 4xx is final, as for every http subscription of SNS.
func (h *healthy) retry() *channels.RetryPolicy {
	least, most := time.Duration(h.MinDelayTarget)*time.Second, time.Duration(h.MaxDelayTarget)*time.Second
	p := &channels.RetryPolicy{FinalClientErrors: true}
	for _, ph := range []channels.Phase{
		{Tries: h.NumNoDelayRetries},
		{Tries: h.NumMinDelayRetries, From: least, To: least},
		{
			Tries: h.NumRetries - h.NumNoDelayRetries - h.NumMinDelayRetries - h.NumMaxDelayRetries,
			From:  least, To: most, Backoff: channels.Backoff(h.BackoffFunction),
		},
		{Tries: h.NumMaxDelayRetries, From: most, To: most},
	} {
		if ph.Tries > 0 {
			p.Phases = append(p.Phases, ph)
		}
	}
	return p
}

// fixedRetry is AWS's policy for what is not http: for machines of AWS 100,015
// attempts in 23 days, for people 50 in 6 hours.
// https://docs.aws.amazon.com/sns/latest/dg/sns-message-delivery-retries.html#delivery-policies-for-protocols
func fixedRetry(protocol string) *channels.RetryPolicy {
	if protocol == topics.SQS || protocol == topics.Lambda {
		return &channels.RetryPolicy{Phases: []channels.Phase{
			{Tries: 3},
			{Tries: 2, From: time.Second, To: time.Second},
			{Tries: 10, From: time.Second, To: 20 * time.Second, Backoff: channels.Exponential},
			{Tries: 100_000, From: 20 * time.Second, To: 20 * time.Second},
		}}
	}
	return &channels.RetryPolicy{Phases: []channels.Phase{
		{Tries: 2, From: 10 * time.Second, To: 10 * time.Second},
		{Tries: 10, From: 10 * time.Second, To: 10 * time.Minute, Backoff: channels.Exponential},
		{Tries: 38, From: 10 * time.Minute, To: 10 * time.Minute},
	}}
}

// effectiveDeliveryPolicy is a topic's policy with what it leaves to AWS.
func effectiveDeliveryPolicy(topic string) string {
	of := map[string]topicPolicy{"http": {Healthy: defaults(), Request: &requestPolicy{textPlain}}}
	if topic != "" {
		p, _ := deliveryPolicyOf(topic, "") // checked when it was set
		of["http"] = topicPolicy{Healthy: p.Healthy, Throttle: p.Throttle, Request: p.Request}
	}
	text, _ := json.Marshal(of) // strings and numbers: cannot fail
	return string(text)
}

// textPlain is what SNS sends to http endpoints.
const textPlain = "text/plain; charset=UTF-8"

func textOf(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
