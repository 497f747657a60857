package sns

import (
	"errors"
	"fmt"
	"mime"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	jsonv1 "github.com/go-json-experiment/json/v1"
)

// A DeliveryPolicy says how http and https endpoints are delivered to. What a
// subscription's does not say is as its topic's says, else as AWS has it.
// https://docs.aws.amazon.com/sns/latest/dg/sns-message-delivery-retries.html#creating-delivery-policy
// https://aws.amazon.com/blogs/aws/new-features-for-amazon-sns-delivery-policies-and-message-formatting/

// healthy is a retry policy; delays in seconds.
type healthy struct {
	MinDelayTarget     int    `json:"minDelayTarget"`
	MaxDelayTarget     int    `json:"maxDelayTarget"`
	NumRetries         int    `json:"numRetries"`
	NumMaxDelayRetries int    `json:"numMaxDelayRetries"`
	NumNoDelayRetries  int    `json:"numNoDelayRetries"`
	NumMinDelayRetries int    `json:"numMinDelayRetries"`
	BackoffFunction    string `json:"backoffFunction"`
}

type throttle struct {
	MaxReceivesPerSecond float64 `json:"maxReceivesPerSecond"`
}

type requestPolicy struct {
	HeaderContentType string `json:"headerContentType"`
}

// subscriptionPolicy is the DeliveryPolicy of a subscription. AWS reads
// sicklyRetryPolicy and guaranteed no more, and still shows them.
type subscriptionPolicy struct {
	Healthy    healthy        `json:"healthyRetryPolicy"`
	Sickly     *ignored       `json:"sicklyRetryPolicy"`
	Throttle   *throttle      `json:"throttlePolicy"`
	Request    *requestPolicy `json:"requestPolicy"`
	Guaranteed bool           `json:"guaranteed"`
}

// topicPolicy is the http part of a topic's DeliveryPolicy.
type topicPolicy struct {
	Healthy          healthy        `json:"defaultHealthyRetryPolicy"`
	Sickly           *ignored       `json:"defaultSicklyRetryPolicy,omitempty"`
	DisableOverrides bool           `json:"disableSubscriptionOverrides"`
	Throttle         *throttle      `json:"defaultThrottlePolicy,omitempty"`
	Request          *requestPolicy `json:"defaultRequestPolicy,omitempty"`
}

// ignored takes any JSON and keeps nothing of it.
type ignored struct{}

func (*ignored) UnmarshalJSON([]byte) error { return nil }

// readTopicPolicy is a topic's policy with what it leaves to AWS; text may be "".
func readTopicPolicy(text string) (topicPolicy, error) {
	of := struct {
		HTTP topicPolicy `json:"http"`
	}{topicPolicy{
		Healthy: healthy{MinDelayTarget: 20, MaxDelayTarget: 20, NumRetries: 3, BackoffFunction: "linear"},
		Request: &requestPolicy{textPlain},
	}}
	err := readStrictly(text, &of)
	of.HTTP.Sickly = nil
	if err == nil {
		err = (&subscriptionPolicy{Healthy: of.HTTP.Healthy, Throttle: of.HTTP.Throttle, Request: of.HTTP.Request}).check("http.default", false)
	}
	return of.HTTP, err
}

// readPolicy is what holds for a subscription by its own text and its topic's,
// which was checked when it was set; either may be "". Raw is whether the
// subscription gets the message as it is.
func readPolicy(topic, own string, raw bool) (subscriptionPolicy, error) {
	of, _ := readTopicPolicy(topic)
	p := subscriptionPolicy{Healthy: of.Healthy, Throttle: of.Throttle, Request: of.Request}
	if own == "" {
		return p, nil
	}
	err := readStrictly(own, &p)
	p.Sickly = nil
	if err == nil {
		err = p.check("", raw)
	}
	if err == nil && of.DisableOverrides {
		return readPolicy(topic, "", raw)
	}
	return p, err
}

// unknownMember is a name in a policy that it cannot have.
type unknownMember string

func (u unknownMember) Error() string { return "Unexpected JSON member: " + string(u) }

// readStrictly reads a policy over what is in v already; "" changes nothing, and
// null leaves a part as it is.
func readStrictly(text string, v any) error {
	if text == "" {
		return nil
	}
	err := json.Unmarshal([]byte(text), v, json.RejectUnknownMembers(true), jsonv1.MergeWithLegacySemantics(true))
	var at *json.SemanticError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, json.ErrUnknownName) && errors.As(err, &at):
		return unknownMember(at.JSONPointer.LastToken())
	default:
		return errors.New("failed to parse JSON")
	}
}

// maxTotal is the most seconds all the delays of a policy may take.
const maxTotal = 3600

// check checks a policy whose parts' names begin with prefix.
func (p *subscriptionPolicy) check(prefix string, raw bool) error {
	name := func(part string) string {
		if prefix == "" {
			return part
		}
		return prefix + strings.ToUpper(part[:1]) + part[1:]
	}
	if err := p.Healthy.check(name("healthyRetryPolicy") + "."); err != nil {
		return err
	}
	if p.Throttle != nil && p.Throttle.MaxReceivesPerSecond < 1 {
		return errors.New(name("throttlePolicy") + ".maxReceivesPerSecond must be greater than or equal to 1")
	}
	if p.Request == nil {
		return nil
	}
	kind, _, err := mime.ParseMediaType(p.Request.HeaderContentType)
	good := contentTypes
	if raw {
		good = rawContentTypes
	}
	if err != nil || !slices.Contains(good, kind) {
		return errors.New(name("requestPolicy") + ".headerContentType must be one of " + strings.Join(good, ", "))
	}
	return nil
}

// contentTypes are those an envelope may be sent as, rawContentTypes those of a
// message itself.
var (
	contentTypes    = []string{"text/plain", "application/json", "application/xml"}
	rawContentTypes = append(contentTypes[:len(contentTypes):len(contentTypes)],
		"text/css", "text/csv", "text/html", "text/xml", "application/atom+xml", "application/octet-stream",
		"application/soap+xml", "application/x-www-form-urlencoded", "application/xop+xml")
)

func (h *healthy) check(prefix string) error {
	for _, c := range []struct {
		name            string
		is, least, most int
		leastAs, mostAs string
	}{
		{"numRetries", h.NumRetries, 0, 100, "0", "100"},
		{"maxDelayTarget", h.MaxDelayTarget, 1, maxTotal, "1", "3600"},
		{"minDelayTarget", h.MinDelayTarget, 1, h.MaxDelayTarget, "1", "maxDelayTarget"},
		{"numNoDelayRetries", h.NumNoDelayRetries, 0, h.NumRetries, "0", "numRetries"},
		{"numMinDelayRetries", h.NumMinDelayRetries, 0, h.NumRetries, "0", "numRetries"},
		{"numMaxDelayRetries", h.NumMaxDelayRetries, 0, h.NumRetries, "0", "numRetries"},
	} {
		if c.is < c.least {
			return fmt.Errorf("%s%s must be greater than or equal to %s", prefix, c.name, c.leastAs)
		}
		if c.is > c.most {
			return fmt.Errorf("%s%s must be less than or equal to %s", prefix, c.name, c.mostAs)
		}
	}
	if h.NumNoDelayRetries+h.NumMinDelayRetries+h.NumMaxDelayRetries > h.NumRetries {
		return errors.New(prefix + "numRetries must be greater than or equal to numNoDelayRetries, numMinDelayRetries and numMaxDelayRetries together")
	}
	if !slices.Contains([]string{"linear", "arithmetic", "geometric", "exponential"}, h.BackoffFunction) {
		return errors.New(prefix + "backoffFunction must be linear, arithmetic, geometric or exponential")
	}
	if total := h.retry().Total().Seconds(); total > maxTotal {
		return fmt.Errorf("%s: the delays of all retries together must be at most %d seconds, not %.0f", strings.TrimSuffix(prefix, "."), maxTotal, total)
	}
	return nil
}

// effectiveDeliveryPolicy is a topic's policy with what it leaves to AWS.
func effectiveDeliveryPolicy(policy string) string {
	p, _ := readTopicPolicy(policy) // checked when it was set
	return string(encoded(map[string]topicPolicy{"http": p}))
}

// textPlain is what SNS sends to http endpoints.
const textPlain = "text/plain; charset=UTF-8"

func textOf(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
