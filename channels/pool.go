package channels

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fanfare-gateway/fanfare/queue"
)

// PoolOptions configure NewPool.
type PoolOptions struct {
	Store *queue.Store
	// Logger receives changes of accounts' states and what went wrong; default discards.
	Logger *slog.Logger
	// Metrics is where the workers' metrics are registered; default none.
	Metrics prometheus.Registerer
	// Settled is told deliveries whose final outcome (Done, DeadLetter, Expire,
	// Suppress, Cancel) was committed. It must not block; may be nil.
	Settled func(ids ...queue.ID)
	// Changed is told an account that was paused, met a fault or works again. It
	// may block as long as a write takes, and must not call the pool; may be nil.
	Changed func(AccountState)
	// Idempotent is AccountOptions.Idempotent of a provider's accounts, for one
	// that is not there; nil: of none.
	Idempotent func(provider string) bool
}

// Pool is the accounts and their workers. Its methods are safe for concurrent use.
type Pool struct {
	store   *queue.Store
	desk    Desk
	log     *slog.Logger
	metrics *metrics
	settled func(ids ...queue.ID)
	changed func(AccountState)
	repeats func(provider string) bool // PoolOptions.Idempotent
	stirred chan struct{}              // an account may send nothing any more; one signal

	began    time.Time
	answered atomic.Int64 // when any provider last answered, ns after began; 0 never

	givenBack atomic.Int64 // leases, since the start

	pausing sync.Mutex // held while a pause is recorded or ended

	mu       sync.Mutex
	accounts []*account // in the order they were put
	run      *run       // while Run works
	hard     context.Context
	stop     context.CancelFunc
}

// run is one Run: what starts the workers of accounts put later.
type run struct {
	ctx     context.Context
	fail    context.CancelCauseFunc
	workers sync.WaitGroup
}

// NewPool makes a pool without accounts. It panics if the metrics are
// registered already.
func NewPool(o PoolOptions) *Pool {
	p := &Pool{store: o.Store, log: o.Logger, settled: o.Settled, repeats: o.Idempotent, stirred: make(chan struct{}, 1), metrics: newMetrics(o.Metrics), began: time.Now()}
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	if p.settled == nil {
		p.settled = func(...queue.ID) {}
	}
	if p.repeats == nil {
		p.repeats = func(string) bool { return false }
	}
	p.changed = func(s AccountState) {
		p.stir()
		if o.Changed != nil {
			o.Changed(s)
		}
	}
	p.hard, p.stop = context.WithCancel(context.Background())
	if o.Metrics != nil {
		o.Metrics.MustRegister(tokens{p})
	}
	return p
}

// SetDesk names the desk. It must be called before Run.
func (p *Pool) SetDesk(d Desk) { p.desk = d }

// Put adds an account, or replaces the one of that name. With the same channel
// only limits and traits change. Another channel takes over: attempts that run
// finish on the old one, which is then closed, and a faulted account is tested
// at once. An operator's pause stays. It creates the account's queues; durable
// on return.
func (p *Pool) Put(ctx context.Context, o AccountOptions) error {
	o, err := o.withDefaults()
	if err != nil {
		return err
	}
	for _, lane := range Lanes() {
		name := QueueName(o.Name, lane)
		if _, err := p.store.CreateQueue(ctx, name, queue.Settings{Visibility: laneVisibility}); err != nil {
			return fmt.Errorf("account %q: create queue: %w", o.Name, err)
		}
	}
	held, err := p.paused(o.Name)
	if err != nil {
		return err
	}
	defer p.stir()
	p.mu.Lock()
	if a := p.find(o.Name); a != nil {
		spare := a.replace(o)
		p.mu.Unlock()
		a.close(spare)
		return nil
	}
	defer p.mu.Unlock()
	a := newAccount(p, o, held)
	p.accounts = append(p.accounts, a)
	if p.run != nil {
		p.run.start(a)
	}
	return nil
}

// laneVisibility is how long an entry stays leased at least: longer than any
// attempt and its records take.
const laneVisibility = 5 * time.Minute

// Remove takes an account out. Its running attempts finish, then its channel is
// closed; its queues and what is in them stay (see Missing). An unknown account
// is no error.
func (p *Pool) Remove(name string) {
	p.mu.Lock()
	a := p.find(name)
	if a != nil {
		p.accounts = slices.DeleteFunc(p.accounts, func(other *account) bool { return other == a })
		a.remove()
	}
	p.mu.Unlock()
	if a != nil {
		a.end()
		p.stir()
	}
}

// stir lets the tender look which accounts send nothing.
func (p *Pool) stir() {
	select {
	case p.stirred <- struct{}{}:
	default:
	}
}

// States are the accounts' states, in the order they were put.
func (p *Pool) States() []AccountState {
	accounts := p.all()
	out := make([]AccountState, len(accounts))
	for i, a := range accounts {
		out[i] = a.describe()
	}
	return out
}

func (p *Pool) all() []*account {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.accounts)
}

// Account is the state of one account; false if there is none of that name.
func (p *Pool) Account(name string) (AccountState, bool) {
	a, err := p.account(name)
	if err != nil {
		return AccountState{}, false
	}
	return a.describe(), true
}

// Default is the name of the protocol's first account; "" if it has none.
func (p *Pool) Default(protocol string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, a := range p.accounts {
		if a.options().Protocol == protocol {
			return a.name
		}
	}
	return ""
}

// CheckEndpoint is Channel.CheckEndpoint of an account; ErrNoAccount if there
// is none of that name.
func (p *Pool) CheckEndpoint(account, endpoint string) (Endpoint, error) {
	a, err := p.account(account)
	if err != nil {
		return Endpoint{}, err
	}
	return a.options().Channel.CheckEndpoint(endpoint)
}

func (p *Pool) account(name string) (*account, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if a := p.find(name); a != nil {
		return a, nil
	}
	return nil, fmt.Errorf("account %.256q: %w", name, ErrNoAccount)
}

func (p *Pool) find(name string) *account {
	for _, a := range p.accounts {
		if a.name == name {
			return a
		}
	}
	return nil
}

// Run works until ctx ends: it leases entries, makes the attempts and records
// their outcomes; what waits for an account that sends nothing ends at its time.
// Then it leases no more, gives back what was leased and not yet begun, finishes
// the attempts that run (Stop ends them), closes the channels and returns nil.
// The end of the store (queue.ErrStoreFailed, queue.ErrClosed) ends it with that
// error. A pool runs once, and needs a desk.
func (p *Pool) Run(ctx context.Context) error {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	r := &run{ctx: ctx, fail: fail}
	p.mu.Lock()
	if p.desk == nil || p.run != nil {
		p.mu.Unlock()
		return errors.New("pool: Run needs a desk, and runs once")
	}
	p.run = r
	for _, a := range p.accounts {
		r.start(a)
	}
	r.workers.Go(func() { newTender(p, r).work() })
	p.mu.Unlock()
	select {
	case <-ctx.Done():
	case <-p.store.Failed():
		fail(queue.ErrStoreFailed)
	}
	p.mu.Lock()   //nolint:staticcheck // whoever was about to start a worker has, and the next one sees the end
	p.mu.Unlock() //nolint:staticcheck // the empty section is a barrier
	r.workers.Wait()
	p.end()
	if err := context.Cause(ctx); errors.Is(err, queue.ErrStoreFailed) || errors.Is(err, queue.ErrClosed) {
		return fmt.Errorf("deliver: %w", err)
	}
	return nil
}

// end closes the channels, all at a time.
func (p *Pool) end() {
	p.mu.Lock()
	accounts := slices.Clone(p.accounts)
	p.mu.Unlock()
	var closing sync.WaitGroup
	for _, a := range accounts {
		closing.Go(a.end)
	}
	closing.Wait()
}

// Stop ends the running attempts at once: their contexts are cancelled. It is
// the hard stop after the end of Run's context; their outcomes are recorded.
func (p *Pool) Stop() { p.stop() }

// GivenBack is how many leases were given back until now without an attempt.
func (p *Pool) GivenBack() int64 { return p.givenBack.Load() }

// start begins an account's work, unless the run is over. The pool is locked.
func (r *run) start(a *account) {
	if r.ctx.Err() != nil {
		return
	}
	r.workers.Go(func() { newWorker(a, r).work() })
}
