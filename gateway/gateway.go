// Package gateway puts the parts together and runs them: the store, the
// accounts and their workers, topics, the listeners. Only here are concrete
// channels named.
package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/channels/sandbox"
	"github.com/fanfare-gateway/fanfare/config"
	"github.com/fanfare-gateway/fanfare/gateway/awswire"
	"github.com/fanfare-gateway/fanfare/gateway/callback"
	"github.com/fanfare-gateway/fanfare/gateway/rest"
	"github.com/fanfare-gateway/fanfare/gateway/sns"
	"github.com/fanfare-gateway/fanfare/queue"
	"github.com/fanfare-gateway/fanfare/topics"
)

// Options configure New.
type Options struct {
	Config  config.Config
	Logger  *slog.Logger
	Version string
	// Sandbox, if set, stands for all providers: the configuration's accounts
	// are replaced by SandboxAccounts.
	Sandbox *sandbox.Server

	store       func(*queue.Options)  // tests change the store
	application func(*config.Account) // and where platform applications' push services are
}

// Gateway is a whole running Fanfare. Several may run in one process on
// different stores.
type Gateway struct {
	opts     Options
	log      *slog.Logger
	store    *queue.Store
	pool     *channels.Pool
	topics   *topics.Topics
	links    *callback.Links
	maker    *maker // of the accounts as they are
	aws      []awswire.Service
	sns      sns.Options
	signing  *sns.Keys // of SNS messages
	registry *prometheus.Registry
	metrics  *metrics

	public, admin net.Listener
	api           atomic.Pointer[http.Handler]
	draining      atomic.Bool
	reloading     sync.Mutex
	reloads       reloadMetrics
}

// New opens the store, settles what an earlier process left behind and opens
// the listeners; nothing is served before Run. Close or Run must follow.
func New(ctx context.Context, o Options) (g *Gateway, err error) {
	g = &Gateway{opts: o, log: o.Logger, registry: prometheus.NewRegistry()}
	g.metrics = newMetrics(g.registry)
	if g.log == nil {
		g.log = slog.New(slog.DiscardHandler)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, g.Close())
		}
	}()
	if err := g.listen(); err != nil {
		return g, err
	}
	cfg := g.adjusted(o.Config)
	if err := g.open(ctx, cfg); err != nil {
		return g, err
	}
	if err := g.setAccounts(ctx, cfg); err != nil {
		return g, err
	}
	if err := g.recover(ctx); err != nil {
		return g, err
	}
	if o.Sandbox != nil {
		o.Sandbox.SMTP.Events(g.URL()+"/callbacks/smtp/sandbox", "sandbox-events")
		o.Sandbox.APNs.AnyDevice()
		o.Sandbox.FCM.AnyToken()
		o.Sandbox.Twilio.Inbound(g.URL() + "/callbacks/twilio/sandbox")
	}
	return g, g.setHandler(cfg)
}

func (g *Gateway) listen() (err error) {
	if g.public, err = net.Listen("tcp", g.opts.Config.Listen); err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	if g.admin, err = net.Listen("tcp", g.opts.Config.AdminListen); err != nil {
		return fmt.Errorf("admin_listen: %w", err)
	}
	if g.opts.Config.Keyless() && !g.public.Addr().(*net.TCPAddr).IP.IsLoopback() {
		return fmt.Errorf("listen: %s is not a loopback address, and without any key (keys, aws.access_keys) only loopback is served", g.public.Addr())
	}
	return nil
}

// adjusted is the configuration with what the sandbox replaces.
func (g *Gateway) adjusted(cfg config.Config) config.Config {
	if g.opts.Sandbox == nil {
		return cfg
	}
	cfg.Accounts = SandboxAccounts(g.opts.Sandbox)
	cfg.Egress.Allow = []string{"127.0.0.0/8"}
	cfg.PublicURL = g.URL()
	cfg.AWS.RecreateAtOnce, cfg.AWS.PurgeAtOnce = true, true
	return cfg
}

// open opens the store and what works on it.
func (g *Gateway) open(ctx context.Context, cfg config.Config) (err error) {
	o := queue.Options{
		Shards: cfg.Store.Shards, Logger: g.log, MemTable: int(cfg.Store.MemTable), Cache: int64(cfg.Store.Cache),
		MinFree: max(uint64(cfg.Store.MinFree), 1), MaxUsed: cfg.Store.MaxUsed,
		PurgeAtOnce: cfg.AWS.PurgeAtOnce,
	}
	if g.opts.store != nil {
		g.opts.store(&o)
	}
	g.store, err = queue.Open(cfg.Data, o)
	if err != nil {
		return err // it names the folder
	}
	g.pool = channels.NewPool(channels.PoolOptions{
		Store: g.store, Logger: g.log, Metrics: g.registry,
		Settled:    func(ids ...queue.ID) { g.topics.Settled(ids...) },
		Changed:    func(s channels.AccountState) { g.topics.AccountChanged(s) },
		Idempotent: idempotent,
	})
	if g.links, err = callback.NewLinks(ctx, g.store, cfg.PublicURL); err != nil {
		return err
	}
	form, err := g.snsForm(ctx, cfg)
	if err != nil {
		return err
	}
	g.topics, err = topics.New(ctx, topics.Options{
		Store: g.store, Accounts: g.pool, Logger: g.log, Metrics: g.registry, Faces: map[string]topics.Face{sns.Face: form.Face},
		DeliveryPolicies: map[string]func(*topics.Topic, *topics.Subscription) topics.DeliveryPolicy{sns.Face: sns.DeliveryPolicy},
		Matches:          cfg.Fanout.Matches, Candidates: cfg.Fanout.Candidates, Chunk: cfg.Fanout.Chunk, Ahead: cfg.Fanout.Ahead,
		MaxMessage: int(cfg.Limits.Message), Retention: cfg.Ledger.Retention, IdempotencyTTL: cfg.Idempotency.TTL,
		PlatformEvents: form.PlatformEvents, Guard: recipientGuard(cfg.Guard), CallbackURL: callbackURL(cfg.PublicURL), UnsubscribeURL: g.unsubscribeURL(cfg.PublicURL),
	})
	if err != nil {
		return err
	}
	g.pool.SetDesk(g.topics)
	g.sns = sns.Options{
		Topics: g.topics, Store: g.store, Form: form, Applications: g, Region: cfg.AWS.Region, Lax: g.opts.Sandbox != nil, Logger: g.log,
	}
	g.aws = g.awsServices(cfg.AWS)
	g.collect()
	return nil
}

// callbackURL makes the links providers report back to.
func callbackURL(public string) func(channels.AccountState, queue.ID, int) string {
	if public == "" {
		return nil
	}
	public = strings.TrimRight(public, "/")
	return func(a channels.AccountState, id queue.ID, try int) string {
		if a.Provider != sandbox.ProviderTwilio {
			return ""
		}
		return fmt.Sprintf("%s/callbacks/%s?d=%s&t=%d", public, a.Name, id.Hex(), try)
	}
}

// unsubscribeURL makes the links in mails; nil if nobody could open them.
func (g *Gateway) unsubscribeURL(public string) func(topics.Owner, queue.ID, topics.Suppression) string {
	if public == "" {
		return nil
	}
	return g.links.URL
}

// recover settles what an earlier process left between intent and outcome.
func (g *Gateway) recover(ctx context.Context) error {
	missing, err := g.pool.Missing()
	if err != nil {
		return err
	}
	for _, a := range append(g.pool.States(), missing...) {
		n, err := g.topics.Recover(ctx, a.Name, idempotent(a.Provider))
		if err != nil {
			return err
		}
		if n > 0 {
			g.log.Warn("attempts of an earlier process may have been sent", "account", a.Name, "uncertain", n)
		}
	}
	return nil
}

// setHandler builds the public surface of a configuration.
func (g *Gateway) setHandler(cfg config.Config) error {
	sources, err := g.callbackSources(cfg)
	if err != nil {
		return err
	}
	keys := make([]rest.Key, len(cfg.Keys))
	for i, k := range cfg.Keys {
		keys[i] = rest.Key{Name: k.Name, Hash: k.Hash, Scopes: k.Scopes, Account: k.Account}
	}
	mux := http.NewServeMux()
	back := callback.New(callback.Options{
		Topics: g.topics, Links: g.links, Sources: sources, Owners: owners(cfg), Metrics: g.metrics.callbacks, Logger: g.log,
	})
	mux.Handle("/callbacks/", back)
	mux.Handle("/u/", back)
	mux.Handle(sns.PagePath, sns.Page(g.sns))
	api := rest.New(rest.Options{
		Topics: g.topics, Store: g.store, Pool: g.pool, Keys: keys, MaxMessage: int(cfg.Limits.Request),
		MaxImport: int64(cfg.Limits.Import), BodyTimeout: bodyTimeout, Version: g.opts.Version, Logger: g.log, Locked: !cfg.Keyless(),
	})
	mux.Handle("/v1/", api)
	if g.opts.Sandbox != nil { // at its own address too; here for who knows only the gateway's
		mux.Handle("/sandbox/", http.StripPrefix("/sandbox", thisMachine(g.opts.Sandbox.Control)))
	}
	mux.Handle("/", certificatesOr(g.signing, awsOr(g.awsHandler(cfg), api)))
	mux.Handle(rest.PublishRoute, g.metrics.countRequests("native", api))
	var h http.Handler = mux
	g.api.Store(&h)
	return nil
}

// thisMachine serves nobody from elsewhere.
func thisMachine(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if why := rest.Foreign(r); why != "" {
			http.Error(w, "The sandbox is for this machine only: "+why+".", http.StatusForbidden)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// URL is the public listener's address.
func (g *Gateway) URL() string { return "http://" + g.public.Addr().String() }

// AdminURL is the admin listener's address.
func (g *Gateway) AdminURL() string { return "http://" + g.admin.Addr().String() }

// bodyTimeout is how long a request's body may take to come in whole, on every
// API: a client that trickles holds no connection for longer.
const bodyTimeout = 30 * time.Second

// Run serves until ctx ends, then drains: it stops accepting, finishes what
// runs within the drain timeout, gives back leases and closes the store. hard
// ends the draining at once. A failed store ends Run with queue.ErrStoreFailed.
func (g *Gateway) Run(ctx, hard context.Context) error {
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	failed := make(chan error, 4)
	public := &http.Server{Handler: http.HandlerFunc(g.serveAPI), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute}
	admin := &http.Server{Handler: g.adminHandler(), ReadHeaderTimeout: 10 * time.Second}
	var work, observers errgroup.Group
	try := func(group *errgroup.Group, what string, run func() error) {
		group.Go(func() error {
			err := run()
			if err != nil && !errors.Is(err, http.ErrServerClosed) {
				err = fmt.Errorf("%s: %w", what, err)
				failed <- err
				return err
			}
			return nil
		})
	}
	try(&work, "serve", func() error { return public.Serve(g.public) })
	try(&observers, "serve admin", func() error { return admin.Serve(g.admin) })
	try(&work, "workers", func() error { return g.pool.Run(background) })
	try(&work, "topics", func() error { return g.topics.Run(background) })

	var cause error
	select {
	case <-ctx.Done():
		g.log.Info("draining", "timeout", g.opts.Config.DrainTimeout.String())
	case cause = <-failed:
	case <-g.store.Failed():
		cause = queue.ErrStoreFailed
	}
	began, before := time.Now(), g.pool.GivenBack()
	g.draining.Store(true)
	soft, done := context.WithTimeout(hard, g.opts.Config.DrainTimeout)
	defer done()
	context.AfterFunc(soft, g.pool.Stop) // running attempts end as well
	stop()
	if err := public.Shutdown(soft); err != nil {
		_ = public.Close() // the drain timeout passed
	}
	err := work.Wait()
	_ = admin.Close() // metrics were there to the end; nothing runs behind them any more
	err = errors.Join(cause, err, observers.Wait(), g.Close())
	g.log.Info("stopped", "took", time.Since(began).String(), "cut_short", soft.Err() != nil, "given_back", g.pool.GivenBack()-before)
	return err
}

func (g *Gateway) serveAPI(w http.ResponseWriter, r *http.Request) { (*g.api.Load()).ServeHTTP(w, r) }

// Close releases the store and the listeners. It is for a Gateway that was not run.
func (g *Gateway) Close() error {
	var errs []error
	for _, l := range []net.Listener{g.public, g.admin} {
		if l != nil {
			if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
				errs = append(errs, err)
			}
		}
	}
	if g.store != nil {
		if err := g.store.Close(); err != nil && !errors.Is(err, queue.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
