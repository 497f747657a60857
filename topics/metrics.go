package topics

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/fanfare-gateway/fanfare/channels"
)

// metrics of the room; every label set is there from the start.
type metrics struct {
	publishes    prometheus.Counter
	deliveries   *prometheus.CounterVec
	deadLettered *prometheus.CounterVec
	uncertain    *prometheus.CounterVec
	disabled     *prometheus.CounterVec
	imbalance    prometheus.Gauge
	audited      prometheus.Gauge
}

func newMetrics(r prometheus.Registerer) *metrics {
	f := promauto.With(r)
	m := &metrics{
		publishes:    f.NewCounter(prometheus.CounterOpts{Name: "fanfare_publishes_total", Help: "Publishes accepted."}),
		deliveries:   f.NewCounterVec(prometheus.CounterOpts{Name: "fanfare_deliveries_total", Help: "Deliveries by final state."}, []string{"channel", "outcome"}),
		deadLettered: f.NewCounterVec(prometheus.CounterOpts{Name: "fanfare_dead_lettered_total", Help: "Deliveries that failed for good."}, []string{"channel", "kind"}),
		uncertain:    f.NewCounterVec(prometheus.CounterOpts{Name: "fanfare_uncertain_total", Help: "Attempts whose answer was lost."}, []string{"channel"}),
		disabled:     f.NewCounterVec(prometheus.CounterOpts{Name: "fanfare_endpoints_disabled_total", Help: "Endpoints disabled by a provider's answer."}, []string{"channel", "reason"}),
		imbalance:    f.NewGauge(prometheus.GaugeOpts{Name: "fanfare_ledger_imbalance", Help: "Differences the auditor found between ledgers, records and queues; must be 0."}),
		audited:      f.NewGauge(prometheus.GaugeOpts{Name: "fanfare_ledger_audit_timestamp_seconds", Help: "When the auditor last finished a round, Unix time."}),
	}
	for _, p := range Protocols() {
		for _, s := range States() {
			if s.Final() {
				m.deliveries.WithLabelValues(p, s.String())
			}
		}
		for _, k := range channels.Kinds() {
			m.deadLettered.WithLabelValues(p, k.String())
		}
		m.uncertain.WithLabelValues(p)
		m.disabled.WithLabelValues(p, channels.EndpointGone.String())
	}
	return m
}

func (m *metrics) final(r *deliveryRecord) {
	m.deliveries.WithLabelValues(r.Protocol, r.State.String()).Inc()
}
