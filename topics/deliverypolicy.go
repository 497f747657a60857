package topics

import "github.com/fanfare-gateway/fanfare/channels"

// DeliveryPolicy is how the deliveries of a subscription go.
type DeliveryPolicy struct {
	Retry channels.RetryPolicy
	// PerSecond is the most attempts a second; 0 is no bound.
	PerSecond float64
	// LogFailures has a line logged for each delivery that fails for good, and
	// LogSuccesses for so many in a hundred of those that arrive.
	LogFailures  bool
	LogSuccesses int
}

// deliveryPolicy is what holds for a subscription as it and its topic stand.
func (t *Topics) deliveryPolicy(o Owner, s *Subscription) DeliveryPolicy {
	if of := t.DeliveryPolicies[s.Face]; of != nil && !s.ID.IsZero() {
		topic, err := t.Topic(o, s.Topic)
		if err == nil {
			return of(&topic, s)
		}
		t.log.Error("topic of a subscription could not be read", "topic", s.Topic, "error", err)
	}
	if s.Retry != nil {
		return DeliveryPolicy{Retry: *s.Retry}
	}
	if p, ok := defaultPolicies[s.Protocol]; ok {
		return DeliveryPolicy{Retry: p}
	}
	return DeliveryPolicy{Retry: defaultPolicies[""]}
}
