package gateway

import (
	"net/http"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/gateway/callback"
	"github.com/fanfare-gateway/fanfare/queue"
)

// metrics are what the gateway itself counts; config/METRICS.md lists all.
type metrics struct {
	requests  *prometheus.CounterVec
	segments  *prometheus.CounterVec
	callbacks *callback.Metrics
}

func newMetrics(r prometheus.Registerer) *metrics {
	f := promauto.With(r)
	return &metrics{
		requests: f.NewCounterVec(prometheus.CounterOpts{
			Name: "fanfare_publish_requests_total", Help: "Publish requests by API and HTTP status.",
		}, []string{"api", "code"}),
		segments: f.NewCounterVec(prometheus.CounterOpts{
			Name: "fanfare_sms_segments_total", Help: "SMS segments that providers took, by country (ISO code; 001: none).",
		}, []string{"country"}),
		callbacks: callback.NewMetrics(r),
	}
}

// countRequests counts what an API answers to publishes.
func (m *metrics) countRequests(api string, next http.Handler) http.Handler {
	of := m.requests.MustCurryWith(prometheus.Labels{"api": api})
	for _, code := range []int{
		http.StatusAccepted, http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound,
		http.StatusRequestTimeout, http.StatusConflict, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType,
		http.StatusUnprocessableEntity, http.StatusInternalServerError, http.StatusServiceUnavailable,
	} {
		of.WithLabelValues(strconv.Itoa(code))
	}
	return promhttp.InstrumentHandlerCounter(of, next)
}

func (m *metrics) countSegments(country string, n int) {
	m.segments.WithLabelValues(country).Add(float64(n))
}

// reloadMetrics remember the last reload.
type reloadMetrics struct {
	mu sync.Mutex
	ok bool
	at time.Time
}

func (m *reloadMetrics) note(err error, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ok = err == nil
	if m.ok {
		m.at = now
	}
}

// collect registers the metrics that are read when they are asked for.
func (g *Gateway) collect() {
	g.reloads.note(nil, time.Now())
	g.registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		&scraped{g},
	)
}

// scraped reads queues, dead letters, store and process at each scrape. What it
// costs grows with accounts and causes of dead letters, never with what waits.
type scraped struct{ *Gateway }

var (
	depthDesc  = prometheus.NewDesc("fanfare_queue_depth", "Deliveries in an account's queues.", []string{"channel", "account", "lane", "state"}, nil)
	oldestDesc = prometheus.NewDesc("fanfare_queue_oldest_age_seconds", "How long the oldest delivery has been in an account's queue; one between two attempts counts, one that is not due yet does not.", []string{"channel", "account", "lane"}, nil)
	orphanDesc = prometheus.NewDesc("fanfare_orphaned_deliveries", "Deliveries that wait for an account that is not there: it was removed, or could not be made.", []string{"account"}, nil)
	deadDesc   = prometheus.NewDesc("fanfare_dead_letters", "Failed deliveries that could be redriven.", []string{"channel"}, nil)
	buildDesc  = prometheus.NewDesc("fanfare_build_info", "Version of the running gateway; always 1.", []string{"version", "revision", "goversion"}, nil)
	reloadDesc = prometheus.NewDesc("fanfare_config_last_reload_successful", "Whether the last reload of the configuration was taken.", nil, nil)
	reloadTime = prometheus.NewDesc("fanfare_config_last_reload_success_timestamp_seconds", "When the configuration was last taken, Unix time.", nil, nil)
)

// Describe is prometheus.Collector.
func (s *scraped) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{depthDesc, oldestDesc, orphanDesc, deadDesc, buildDesc, reloadDesc, reloadTime} {
		ch <- d
	}
	describeStore(ch)
}

// Collect is prometheus.Collector. What cannot be read, as the store is closing
// or dead, is left out.
func (s *scraped) Collect(ch chan<- prometheus.Metric) {
	to := sink(ch)
	waiting := map[string]int64{}
	for _, a := range s.pool.States() {
		s.queues(to, a)
		waiting[a.Name] = 0
	}
	if missing, err := s.pool.Missing(); err == nil {
		for _, a := range missing {
			waiting[a.Name] = a.Waiting
		}
	}
	for account, n := range waiting {
		to.gauge(orphanDesc, float64(n), account)
	}
	if counts, err := s.topics.DeadCounts(); err == nil {
		for channel, n := range counts {
			to.gauge(deadDesc, float64(n), channel)
		}
	}
	to.gauge(buildDesc, 1, s.opts.Version, revision(), runtime.Version())
	s.reloads.mu.Lock()
	to.gauge(reloadDesc, number(s.reloads.ok))
	to.gauge(reloadTime, float64(s.reloads.at.UnixMilli())/1000)
	s.reloads.mu.Unlock()
	collectStore(to, s.store)
}

func (s *scraped) queues(to sink, a channels.AccountState) {
	lanes, err := s.topics.Depth(a.Name)
	if err != nil {
		return
	}
	for lane, st := range lanes {
		to.gauge(depthDesc, float64(st.Ready), a.Protocol, a.Name, string(lane), "ready")
		to.gauge(depthDesc, float64(st.InFlight), a.Protocol, a.Name, string(lane), "inflight")
		to.gauge(depthDesc, float64(st.Delayed), a.Protocol, a.Name, string(lane), "delayed")
		to.gauge(oldestDesc, age(st, s.store.Now()), a.Protocol, a.Name, string(lane))
	}
}

func age(st queue.Stats, now time.Time) float64 {
	if st.Oldest.IsZero() {
		return 0
	}
	return max(0, now.Sub(st.Oldest).Seconds())
}

// revision is the commit the program was built from, "unknown" without one.
func revision() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				return s.Value
			}
		}
	}
	return "unknown"
}

// sink takes the metrics of a scrape.
type sink chan<- prometheus.Metric

func (s sink) gauge(d *prometheus.Desc, v float64, labels ...string) {
	s <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

func (s sink) counter(d *prometheus.Desc, v uint64) {
	s <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v))
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
