package topics

import (
	"cmp"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/queue"
)

// reasonGuard is why a delivery is suppressed that the recipient guard held back.
const reasonGuard = "recipient guard"

// The values of the label reason of suppressed deliveries.
const (
	byConsent = "consent" // a suppression forbids it
	byGuard   = "recipient_guard"
)

// The values of the label result of dead letters for a queue.
const (
	buriedInQueue = "queued"
	buriedNowhere = "lost"
)

// metrics of the room; every label set is there from the start. A channel is
// an account's protocol: webhooks are one, by http or https.
type metrics struct {
	publishes    prometheus.Counter
	bytes        prometheus.Histogram
	deliveries   *prometheus.CounterVec
	latency      *prometheus.HistogramVec
	deadLettered *prometheus.CounterVec
	buried       *prometheus.CounterVec
	suppressed   *prometheus.CounterVec
	expired      *prometheus.CounterVec
	uncertain    *prometheus.CounterVec
	disabled     *prometheus.CounterVec
	imbalance    prometheus.Gauge
	audited      prometheus.Gauge
}

func newMetrics(r prometheus.Registerer) *metrics {
	f := promauto.With(r)
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return f.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	m := &metrics{
		publishes: f.NewCounter(prometheus.CounterOpts{Name: "fanfare_publishes_total", Help: "Publishes accepted, repeats under an Idempotency-Key aside."}),
		bytes: f.NewHistogram(histogram("fanfare_publish_bytes", "Size of accepted publishes' content.",
			256, 1<<10, 4<<10, 16<<10, 64<<10, 256<<10, 1<<20)),
		deliveries: counter("fanfare_deliveries_total", "Deliveries that reached a final state; one that is raised later (sent, then delivered) or redriven counts in each.", "channel", "outcome"),
		latency: f.NewHistogramVec(histogram("fanfare_delivery_latency_seconds", "Time from a publish (its send_at, if it has one) until a delivery became final.",
			.05, .1, .5, 1, 5, 30, 60, 300, 3600, 6*3600, 24*3600), []string{"channel", "lane"}),
		deadLettered: counter("fanfare_dead_lettered_total", "Deliveries that failed for good, by the kind of the last answer.", "channel", "kind"),
		buried:       counter("fanfare_buried_total", "Dead letters of subscriptions with a dead-letter queue: in the queue, or not because it is gone.", "channel", "result"),
		suppressed:   counter("fanfare_suppressed_total", "Deliveries not made because the recipient must not get them.", "channel", "reason"),
		expired:      counter("fanfare_expired_total", "Deliveries whose deadline passed first.", "channel"),
		uncertain:    counter("fanfare_uncertain_total", "Deliveries that may have been sent: the answer was lost.", "channel"),
		disabled:     counter("fanfare_endpoints_disabled_total", "Subscriptions whose endpoint was disabled by a provider's answer.", "channel", "reason"),
		imbalance:    f.NewGauge(prometheus.GaugeOpts{Name: "fanfare_ledger_imbalance", Help: "Differences the auditor found between ledgers, records and queues; must be 0."}),
		audited:      f.NewGauge(prometheus.GaugeOpts{Name: "fanfare_ledger_audit_timestamp_seconds", Help: "When the auditor last finished a round, Unix time."}),
	}
	for _, p := range Protocols() {
		m.initialise(accountProtocol(p))
	}
	return m
}

// histogram has a few classic buckets, and native ones for servers that take them.
func histogram(name, help string, buckets ...float64) prometheus.HistogramOpts {
	return prometheus.HistogramOpts{
		Name: name, Help: help, Buckets: buckets,
		NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 100, NativeHistogramMinResetDuration: time.Hour,
	}
}

func (m *metrics) initialise(channel string) {
	for _, s := range States() {
		if s.Final() {
			m.deliveries.WithLabelValues(channel, s.String())
		}
	}
	for _, k := range channels.Kinds() {
		m.deadLettered.WithLabelValues(channel, k.String())
	}
	for _, l := range channels.Lanes() {
		m.latency.WithLabelValues(channel, string(l))
	}
	m.buried.WithLabelValues(channel, buriedInQueue)
	m.buried.WithLabelValues(channel, buriedNowhere)
	m.suppressed.WithLabelValues(channel, byConsent)
	m.suppressed.WithLabelValues(channel, byGuard)
	m.expired.WithLabelValues(channel)
	m.uncertain.WithLabelValues(channel)
	m.disabled.WithLabelValues(channel, channels.EndpointGone.String())
}

func (m *metrics) accepted(bytes int) {
	m.publishes.Inc()
	m.bytes.Observe(float64(bytes))
}

// countMove has a delivery counted, once b is committed, that moved here from
// another state.
func (t *Topics) countMove(b *queue.Batch, id queue.ID, r *deliveryRecord, from State) {
	if r.State == from || !r.State.Final() && r.State != Uncertain {
		return
	}
	var p *Publish
	if r.State.Final() && !from.Final() {
		if l, err := t.load(id); err == nil {
			p = &l.Publish
		}
	}
	t.count(b, *r, p)
}

// count has a delivery's new state counted once b is committed, and how long it
// took when its publish is given: the first time it is final.
func (t *Topics) count(b *queue.Batch, r deliveryRecord, p *Publish) {
	channel := accountProtocol(r.Protocol)
	b.After(func() {
		t.m.reached(channel, &r)
		if p != nil {
			start := p.Created
			if p.SendAt.After(start) {
				start = p.SendAt
			}
			t.m.latency.WithLabelValues(channel, string(p.Lane)).Observe(t.store.Now().Sub(start).Seconds())
		}
	})
}

func (m *metrics) reached(channel string, r *deliveryRecord) {
	switch r.State {
	case Uncertain:
		m.uncertain.WithLabelValues(channel).Inc()
	case Failed:
		m.deadLettered.WithLabelValues(channel, cmp.Or(r.Kind, channels.Temporary.String())).Inc()
	case Suppressed:
		reason := byConsent
		if r.Reason == reasonGuard {
			reason = byGuard
		}
		m.suppressed.WithLabelValues(channel, reason).Inc()
	case Expired:
		m.expired.WithLabelValues(channel).Inc()
	}
	if r.State.Final() {
		m.deliveries.WithLabelValues(channel, r.State.String()).Inc()
	}
}
