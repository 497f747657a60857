package channels

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// metrics are the workers' metrics.
type metrics struct {
	attempts   *prometheus.CounterVec
	retries    *prometheus.CounterVec
	duration   *prometheus.HistogramVec
	state      *prometheus.GaugeVec
	retryAfter *prometheus.CounterVec
	rateWait   *prometheus.HistogramVec
	unknown    *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer) *metrics {
	f := promauto.With(r)
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return f.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	histogram := func(name, help string, buckets ...float64) *prometheus.HistogramVec {
		return f.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, []string{"channel", "account"})
	}
	return &metrics{
		attempts: counter("fanfare_attempts_total", "Attempts by kind of answer (ok: accepted).", "channel", "account", "kind"),
		retries:  counter("fanfare_retries_total", "Failed attempts that another one follows, by kind of answer.", "channel", "account", "kind"),
		duration: histogram("fanfare_attempt_duration_seconds", "Duration of attempts: one call of a provider.",
			.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60),
		state:      f.NewGaugeVec(prometheus.GaugeOpts{Name: "fanfare_account_state", Help: "1 for the state the account is in, 0 for the others."}, []string{"channel", "account", "state"}),
		retryAfter: counter("fanfare_retry_after_honoured_total", "Retries put off as the provider asked (Retry-After).", "channel", "account"),
		rateWait: histogram("fanfare_rate_limit_wait_seconds", "How long an account's entries waited for its rate limit.",
			.001, .01, .1, .5, 1, 5, 30, 60),
		unknown: counter("fanfare_unknown_error_codes_total", "Answers the error book has no row for.", "provider"),
	}
}

// accountMetrics are one account's metrics, all there from the beginning. They
// may be used after remove, and then show nowhere.
type accountMetrics struct {
	all        *metrics
	name       string
	ok         prometheus.Counter
	kinds      [kinds]prometheus.Counter
	retries    [kinds]prometheus.Counter
	duration   prometheus.Observer
	states     map[string]prometheus.Gauge
	retryAfter prometheus.Counter
	rateWait   prometheus.Observer
	unknown    prometheus.Counter
}

func (m *metrics) account(o *AccountOptions) *accountMetrics {
	am := &accountMetrics{
		all: m, name: o.Name,
		ok:         m.attempts.WithLabelValues(o.Protocol, o.Name, "ok"),
		duration:   m.duration.WithLabelValues(o.Protocol, o.Name),
		retryAfter: m.retryAfter.WithLabelValues(o.Protocol, o.Name),
		rateWait:   m.rateWait.WithLabelValues(o.Protocol, o.Name),
		unknown:    m.unknown.WithLabelValues(o.Provider),
		states:     make(map[string]prometheus.Gauge),
	}
	for _, k := range Kinds() {
		am.kinds[k] = m.attempts.WithLabelValues(o.Protocol, o.Name, k.String())
		am.retries[k] = m.retries.WithLabelValues(o.Protocol, o.Name, k.String())
	}
	for _, s := range []string{Active, Paused, Faulted} {
		am.states[s] = m.state.WithLabelValues(o.Protocol, o.Name, s)
	}
	return am
}

// remove takes the account's series out; the provider's stays.
func (m *accountMetrics) remove() {
	of := prometheus.Labels{"account": m.name}
	m.all.attempts.DeletePartialMatch(of)
	m.all.retries.DeletePartialMatch(of)
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

// retry counts an attempt that failed and is made again.
func (m *accountMetrics) retry(err *Error) {
	if err.Kind < kinds {
		m.retries[err.Kind].Inc()
	}
	if err.RetryAfter > 0 {
		m.retryAfter.Inc()
	}
}

// tokens shows at each scrape what the accounts' buckets hold.
type tokens struct{ pool *Pool }

var tokensDesc = prometheus.NewDesc("fanfare_rate_limit_tokens",
	"Attempts an account's rate limit allows at once; negative: owed. None for an account without a limit.", []string{"channel", "account"}, nil)

// Describe is prometheus.Collector.
func (t tokens) Describe(ch chan<- *prometheus.Desc) { ch <- tokensDesc }

// Collect is prometheus.Collector.
func (t tokens) Collect(ch chan<- prometheus.Metric) {
	for _, a := range t.pool.all() {
		if n, protocol, limited := a.tokens(); limited {
			ch <- prometheus.MustNewConstMetric(tokensDesc, prometheus.GaugeValue, n, protocol, a.name)
		}
	}
}

func (a *account) tokens() (n float64, protocol string, limited bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.limiter == nil {
		return 0, "", false
	}
	return a.limiter.Tokens(), a.o.Protocol, true
}
