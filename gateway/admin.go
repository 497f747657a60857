package gateway

import (
	"fmt"
	"net/http"
	"net/http/pprof"
	"runtime"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/fanfare-gateway/fanfare/channels"
)

// adminHandler serves metrics, health, profiles and, to this machine only,
// backups.
func (g *Gateway) adminHandler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(g.registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", g.ready)
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	mux.Handle("POST /backup", ownJSON(backupHandler(g.store)))
	mux.Handle("POST /release", ownJSON(releaseHandler(g.topics)))
	return mux
}

// ready tells whether publishes are accepted: the store writes, the disk has
// room, nothing drains. Providers are never asked; ?verbose names their state.
func (g *Gateway) ready(w http.ResponseWriter, r *http.Request) {
	type check struct{ name, problem string }
	checks := []check{{name: "store"}, {name: "disk"}, {name: "serving"}}
	select {
	case <-g.store.Failed():
		checks[0].problem = "a write could not be made durable; the process must be restarted"
	default:
	}
	if g.store.DiskFull() {
		checks[1].problem = "the disk is above its watermark; publishes are refused"
	}
	if g.draining.Load() {
		checks[2].problem = "draining"
	}
	status := http.StatusOK
	for _, c := range checks {
		if c.problem != "" {
			status = http.StatusServiceUnavailable
		}
	}
	w.WriteHeader(status)
	for _, c := range checks {
		if c.problem != "" {
			_, _ = fmt.Fprintf(w, "%s: %s\n", c.name, c.problem)
		} else if r.URL.Query().Has("verbose") {
			_, _ = fmt.Fprintf(w, "%s: ok\n", c.name)
		}
	}
	if r.URL.Query().Has("verbose") {
		for _, a := range g.pool.States() {
			_, _ = fmt.Fprintf(w, "account %s: %s %s\n", a.Name, a.State, a.Reason)
		}
	}
	if status == http.StatusOK {
		_, _ = fmt.Fprintln(w, "ready")
	}
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
		&gauges{g: g},
	)
}

// gauges reads queue depths and the state of the process at each scrape.
type gauges struct{ g *Gateway }

var (
	depthDesc  = prometheus.NewDesc("fanfare_queue_depth", "Deliveries in an account's queues.", []string{"account", "lane", "state"}, nil)
	oldestDesc = prometheus.NewDesc("fanfare_queue_oldest_age_seconds", "Age of the oldest delivery that waits.", []string{"account", "lane"}, nil)
	deadDesc   = prometheus.NewDesc("fanfare_dead_letters", "Failed deliveries that could be redriven.", []string{"channel"}, nil)
	buildDesc  = prometheus.NewDesc("fanfare_build_info", "Version of the running gateway; always 1.", []string{"version", "goversion"}, nil)
	reloadDesc = prometheus.NewDesc("fanfare_config_last_reload_successful", "Whether the last reload of the configuration was taken.", nil, nil)
	reloadTime = prometheus.NewDesc("fanfare_config_last_reload_success_timestamp_seconds", "When the configuration was last taken, Unix time.", nil, nil)
	diskDesc   = prometheus.NewDesc("fanfare_disk_full", "Whether publishes are refused for want of disk space.", nil, nil)
)

// Describe is prometheus.Collector.
func (c *gauges) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{depthDesc, oldestDesc, deadDesc, buildDesc, reloadDesc, reloadTime, diskDesc} {
		ch <- d
	}
}

// Collect is prometheus.Collector.
func (c *gauges) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	for _, a := range c.g.pool.States() {
		c.depth(a, gauge)
	}
	c.dead(gauge)
	gauge(buildDesc, 1, c.g.opts.Version, runtime.Version())
	c.g.reloads.mu.Lock()
	gauge(reloadDesc, number(c.g.reloads.ok))
	gauge(reloadTime, float64(c.g.reloads.at.UnixMilli())/1000)
	c.g.reloads.mu.Unlock()
	gauge(diskDesc, number(c.g.store.DiskFull()))
}

func (c *gauges) depth(a channels.AccountState, gauge func(*prometheus.Desc, float64, ...string)) {
	lanes, err := c.g.topics.Depth(a.Name)
	if err != nil {
		return // the store is closing
	}
	for lane, st := range lanes {
		gauge(depthDesc, float64(st.Ready), a.Name, string(lane), "ready")
		gauge(depthDesc, float64(st.InFlight), a.Name, string(lane), "inflight")
		gauge(depthDesc, float64(st.Delayed), a.Name, string(lane), "delayed")
		age := 0.0
		if !st.Oldest.IsZero() {
			age = max(0, c.g.store.Now().Sub(st.Oldest).Seconds())
		}
		gauge(oldestDesc, age, a.Name, string(lane))
	}
}

func (c *gauges) dead(gauge func(*prometheus.Desc, float64, ...string)) {
	counts, err := c.g.topics.DeadCounts()
	if err != nil {
		return // the store is closing
	}
	for protocol, n := range counts {
		gauge(deadDesc, float64(n), protocol)
	}
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
