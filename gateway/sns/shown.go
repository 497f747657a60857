package sns

import "encoding/json"

// shownTopicPolicy and shownPolicy are the texts of the policies as attributes
// show them: AWS fills the whole in, and leaves what is in a part as it was given.
type shownTopicPolicy struct {
	Healthy          *json.RawMessage `json:"defaultHealthyRetryPolicy,omitempty"`
	DisableOverrides bool             `json:"disableSubscriptionOverrides"`
	Throttle         *json.RawMessage `json:"defaultThrottlePolicy,omitempty"`
	Request          *json.RawMessage `json:"defaultRequestPolicy,omitempty"`
}

type shownPolicy struct {
	Healthy    *json.RawMessage `json:"healthyRetryPolicy"`
	Sickly     *json.RawMessage `json:"sicklyRetryPolicy"`
	Throttle   *json.RawMessage `json:"throttlePolicy"`
	Request    *json.RawMessage `json:"requestPolicy"`
	Guaranteed bool             `json:"guaranteed"`
}

// shown is a policy as V shows it; text was checked when it was set.
func shown[V any](text string) string {
	var policy V
	_ = json.Unmarshal([]byte(text), &policy)
	return string(encoded(policy))
}
