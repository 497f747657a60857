package channels

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the workers' metrics.
type metrics struct {
	attempts   *prometheus.CounterVec
	duration   *prometheus.HistogramVec
	state      *prometheus.GaugeVec
	retryAfter *prometheus.CounterVec
	rateWait   *prometheus.HistogramVec
	unknown    *prometheus.CounterVec
	uplinkDown prometheus.Gauge
}

func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "fanfare_attempts_total", Help: "Attempts by channel, account and kind of answer (ok: accepted).",
		}, []string{"channel", "account", "kind"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "fanfare_attempt_duration_seconds", Help: "Duration of attempts: one call of a provider.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
		}, []string{"channel", "account"}),
		state: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "fanfare_account_state", Help: "1 for the state the account is in, 0 for the others.",
		}, []string{"account", "state"}),
		retryAfter: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "fanfare_retry_after_honoured_total", Help: "Retries put off as the provider asked (Retry-After).",
		}, []string{"account"}),
		rateWait: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "fanfare_rate_limit_wait_seconds", Help: "Time that entries waited for the account's rate limit.",
			Buckets: []float64{.001, .01, .1, .5, 1, 5, 30, 60},
		}, []string{"account"}),
		unknown: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "fanfare_unknown_error_codes_total", Help: "Answers the error book has no row for.",
		}, []string{"provider"}),
		uplinkDown: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "fanfare_uplink_down", Help: "Whether nothing can be reached at all; attempts then cost no try.",
		}),
	}
	if r != nil {
		r.MustRegister(m.attempts, m.duration, m.state, m.retryAfter, m.rateWait, m.unknown, m.uplinkDown)
	}
	return m
}

// accountMetrics are one account's metrics, all there from the beginning. They
// may be used after remove, and then show nowhere.
type accountMetrics struct {
	all        *metrics
	protocol   string
	name       string
	ok         prometheus.Counter
	kinds      [kinds]prometheus.Counter
	duration   prometheus.Observer
	states     map[string]prometheus.Gauge
	retryAfter prometheus.Counter
	rateWait   prometheus.Observer
	unknown    prometheus.Counter
}

func (m *metrics) account(o *AccountOptions) *accountMetrics {
	am := &accountMetrics{
		all: m, protocol: o.Protocol, name: o.Name,
		ok:         m.attempts.WithLabelValues(o.Protocol, o.Name, "ok"),
		duration:   m.duration.WithLabelValues(o.Protocol, o.Name),
		retryAfter: m.retryAfter.WithLabelValues(o.Name),
		rateWait:   m.rateWait.WithLabelValues(o.Name),
		unknown:    m.unknown.WithLabelValues(o.Provider),
		states:     make(map[string]prometheus.Gauge),
	}
	for _, k := range Kinds() {
		am.kinds[k] = m.attempts.WithLabelValues(o.Protocol, o.Name, k.String())
	}
	for _, s := range []string{Active, Paused, Faulted} {
		am.states[s] = m.state.WithLabelValues(o.Name, s)
	}
	return am
}

// remove takes the account's series out; the provider's stays.
func (m *accountMetrics) remove() {
	of := prometheus.Labels{"account": m.name}
	m.all.attempts.DeletePartialMatch(of)
	m.all.duration.DeletePartialMatch(of)
	m.all.state.DeletePartialMatch(of)
	m.all.retryAfter.DeletePartialMatch(of)
	m.all.rateWait.DeletePartialMatch(of)
}

func (m *accountMetrics) show(state string) {
	for s, g := range m.states {
		if s == state {
			g.Set(1)
		} else {
			g.Set(0)
		}
	}
}

// attempt counts an attempt.
func (m *accountMetrics) attempt(err *Error, took time.Duration) {
	m.duration.Observe(took.Seconds())
	if err == nil {
		m.ok.Inc()
		return
	}
	if err.Kind < kinds {
		m.kinds[err.Kind].Inc()
	}
	if err.Unknown {
		m.unknown.Inc()
	}
}
