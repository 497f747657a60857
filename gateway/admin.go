package gateway

import (
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/fanfare-gateway/fanfare/gateway/rest"
)

// adminHandler serves metrics, health, profiles and, to this machine only,
// backups and the release of a restored store. It knows no keys: bound to
// loopback, all of it is for this machine only.
func (g *Gateway) adminHandler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(g.registry, promhttp.HandlerOpts{}))
	for _, path := range []string{"/healthz", "/livez", "/-/healthy"} {
		mux.HandleFunc("GET "+path, g.healthy)
	}
	for _, path := range []string{"/readyz", "/-/ready"} {
		mux.HandleFunc("GET "+path, g.ready)
	}
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	mux.Handle("POST /backup", ownJSON(backupHandler(g.store)))
	mux.Handle("POST /release", ownJSON(releaseHandler(g.topics)))
	if !g.admin.Addr().(*net.TCPAddr).IP.IsLoopback() {
		return mux
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if why := rest.Foreign(r); why != "" {
			http.Error(w, "only this machine is served: "+why, http.StatusForbidden)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// healthy tells that the process answers, and nothing more: restarting it mends
// no provider. ?verbose names the version.
func (g *Gateway) healthy(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if r.URL.Query().Has("verbose") {
		_, _ = fmt.Fprintf(w, "version: %s\nrevision: %s\n", g.opts.Version, revision())
	}
	_, _ = fmt.Fprintln(w, "ok")
}

// ready tells whether publishes are accepted: the store writes, the disk has
// room, nothing drains. Providers are never asked; ?verbose names their state. A
// store of which a file is broken is ready, since all else goes on, and no other
// gateway has what waits in it; ?verbose warns.
func (g *Gateway) ready(w http.ResponseWriter, r *http.Request) {
	type check struct{ name, problem, warning string }
	checks := []check{{name: "store"}, {name: "disk"}, {name: "serving"}}
	select {
	case <-g.store.Failed():
		checks[0].problem = "a write could not be made durable; the process must be restarted"
	default:
	}
	if g.store.DiskFull() {
		checks[1].problem = "the disk is above its watermark (store.min_free, store.max_used); publishes are refused"
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
	verbose := r.URL.Query().Has("verbose")
	if m, err := g.store.Metrics(); verbose && err == nil && m.BrokenFiles > 0 {
		checks[0].warning = fmt.Sprintf(", but of %d of its files a part cannot be read. The log names what is lost; check the disk and restore a backup", m.BrokenFiles)
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	for _, c := range checks {
		if c.problem != "" {
			_, _ = fmt.Fprintf(w, "%s: %s\n", c.name, c.problem)
		} else if verbose {
			_, _ = fmt.Fprintf(w, "%s: ok%s\n", c.name, c.warning)
		}
	}
	if verbose {
		for _, a := range g.pool.States() {
			line := fmt.Sprintf("account %s: %s", a.Name, a.State)
			if a.By != "" {
				line += " " + a.Reason + ". " + a.Advice
			}
			_, _ = fmt.Fprintln(w, line)
		}
		missing, _ := g.pool.Missing() // a store that cannot be read was named above
		for _, a := range missing {
			_, _ = fmt.Fprintf(w, "account %s: %s, %d deliveries wait. %s\n", a.Name, a.State, a.Waiting, a.Advice)
		}
	}
	if status == http.StatusOK {
		_, _ = fmt.Fprintln(w, "ready")
	}
}
