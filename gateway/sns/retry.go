package sns

import (
	"strconv"
	"time"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/topics"
)

// DeliveryPolicy is for topics.Options.DeliveryPolicies, named Face: what holds
// for a subscription as it and its topic stand.
func DeliveryPolicy(topic *topics.Topic, sub *topics.Subscription) topics.DeliveryPolicy {
	p := topics.DeliveryPolicy{Retry: fixedRetry(sub.Protocol)}
	if sub.Protocol == topics.HTTP || sub.Protocol == topics.HTTPS {
		own, _ := readPolicy(topic.Attributes[delivery], sub.Attributes[delivery], sub.Raw) // checked when they were set
		p.Retry = own.Healthy.retry()
		if own.Throttle != nil {
			p.PerSecond = own.Throttle.MaxReceivesPerSecond
		}
	}
	if name := feedbackNames[sub.Protocol]; name != "" {
		p.LogFailures = topic.Attributes[name+"FailureFeedbackRoleArn"] != ""
		if topic.Attributes[name+"SuccessFeedbackRoleArn"] != "" {
			p.LogSuccesses, _ = strconv.Atoi(topic.Attributes[name+"SuccessFeedbackSampleRate"]) // a number, or not set
		}
	}
	return p
}

// feedbackNames begin the names of the attributes that ask for a protocol's
// deliveries to be logged.
// https://docs.aws.amazon.com/sns/latest/dg/sns-topic-attributes.html
var feedbackNames = map[string]string{
	topics.HTTP: "HTTP", topics.HTTPS: "HTTP", topics.SQS: "SQS", topics.Lambda: "Lambda", topics.Application: "Application",
}

// retry is the policy in the gateway's terms: immediate, pre-backoff, backoff
// and post-backoff phases. A 4xx is final, as for every http subscription of SNS.
func (h *healthy) retry() channels.RetryPolicy {
	least, most := time.Duration(h.MinDelayTarget)*time.Second, time.Duration(h.MaxDelayTarget)*time.Second
	p := channels.RetryPolicy{FinalClientErrors: true}
	left := h.NumRetries // less than all phases take only where a topic's policy changed under a subscription's
	for _, ph := range []channels.Phase{
		{Tries: h.NumNoDelayRetries},
		{Tries: h.NumMinDelayRetries, From: least, To: least},
		{
			Tries: h.NumRetries - h.NumNoDelayRetries - h.NumMinDelayRetries - h.NumMaxDelayRetries,
			From:  least, To: most, Backoff: channels.Backoff(h.BackoffFunction),
		},
		{Tries: h.NumMaxDelayRetries, From: most, To: most},
	} {
		if ph.Tries = min(ph.Tries, left); ph.Tries > 0 {
			p.Phases = append(p.Phases, ph)
			left -= ph.Tries
		}
	}
	return p
}

// fixedRetry is AWS's policy for what is not http: for machines of AWS 100,015
// retries in 23 days, for people 50 in 6 hours.
// https://docs.aws.amazon.com/sns/latest/dg/sns-message-delivery-retries.html#delivery-policies-for-protocols
func fixedRetry(protocol string) channels.RetryPolicy {
	if protocol == topics.SQS || protocol == topics.Lambda {
		return channels.RetryPolicy{Phases: []channels.Phase{
			{Tries: 3},
			{Tries: 2, From: time.Second, To: time.Second},
			{Tries: 10, From: time.Second, To: 20 * time.Second, Backoff: channels.Exponential},
			{Tries: 100_000, From: 20 * time.Second, To: 20 * time.Second},
		}}
	}
	return channels.RetryPolicy{Phases: []channels.Phase{
		{Tries: 2, From: 10 * time.Second, To: 10 * time.Second},
		{Tries: 10, From: 10 * time.Second, To: 10 * time.Minute, Backoff: channels.Exponential},
		{Tries: 38, From: 10 * time.Minute, To: 10 * time.Minute},
	}}
}
