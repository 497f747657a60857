package topics

import (
	"context"
	"log/slog"
	"math/rand/v2"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/queue"
)

// feedbackOf is feedback for a delivery whose subscription is not at hand.
func (t *Topics) feedbackOf(b *queue.Batch, id queue.ID, r *deliveryRecord, o channels.Outcome) {
	if r.Sub.IsZero() || len(t.DeliveryPolicies) == 0 {
		return
	}
	l, err := t.load(id)
	if err != nil {
		return
	}
	s, _, err := get[Subscription](t.store, queue.Registry, subscriptionKey(l.Owner, l.Topic, r.Sub))
	if err == nil {
		t.feedback(b, &l.Publish, &s, ended{id, r, o})
	}
}

// ended is a delivery that got an outcome.
type ended struct {
	id      queue.ID
	record  *deliveryRecord
	outcome channels.Outcome
}

// feedback has the end of a delivery logged once b is committed, if its delivery
// policy asks for that: how long it waited, how often it was tried and what the
// provider said, without recipient or content.
func (t *Topics) feedback(b *queue.Batch, p *Publish, s *Subscription, e ended) {
	r, o := e.record, e.outcome
	policy := t.deliveryPolicy(p.Owner, s)
	failed := o.Verdict.Action != channels.Done
	if failed && !policy.LogFailures || !failed && rand.IntN(100) >= policy.LogSuccesses {
		return
	}
	dwell := t.store.Now().Sub(p.Created) - o.Took
	attrs := []any{
		"topic", p.Topic, "subscription", SubscriptionName(s.ID), "publish", PublishName(e.id), "delivery", DeliveryName(e.id),
		"protocol", s.Protocol, "attempts", max(r.Try, 1), "dwell_ms", dwell.Milliseconds(), "took_ms", o.Took.Milliseconds(),
	}
	level := slog.LevelInfo
	if failed {
		level = slog.LevelWarn
		attrs = append(attrs, "outcome", "failure", "kind", r.Kind, "code", r.Code, "reason", r.Reason)
	} else {
		attrs = append(attrs, "outcome", "success", "provider_id", o.Receipt.ProviderID)
	}
	b.After(func() { t.log.Log(context.Background(), level, "delivery status", attrs...) })
}
