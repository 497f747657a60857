package channels

import (
	"context"
	"errors"
	"math"
	"sync"
	"time"

	"github.com/fanfare-gateway/fanfare/queue"
)

// worker serves one account: it leases entries as far as slots, tokens and
// groups allow, and starts their attempts. It sleeps until one of them changes.
type worker struct {
	*account
	run      *run
	lanes    lanes
	attempts sync.WaitGroup
	limited  time.Time // since when entries wait for tokens; zero: they do not
}

// pauseAfterError is how long a worker waits when its queue cannot be read.
const pauseAfterError = time.Second

func newWorker(a *account, r *run) *worker {
	w := &worker{account: a, run: r}
	for i, lane := range Lanes() {
		w.lanes = append(w.lanes, &laneTurn{lane: lane, queue: QueueName(a.name, lane), weight: weights[i], maybe: true})
	}
	return w
}

func (w *worker) work() {
	defer w.attempts.Wait()
	for _, l := range w.lanes {
		l.arrived, l.stop = w.pool.store.Arrivals(l.queue)
		defer l.stop()
	}
	for w.going() {
		room, wait := w.room()
		leased, err := w.lease(room)
		if err != nil {
			if w.pool.ended(err) {
				return
			}
			w.pool.log.Error("entries cannot be leased", "account", w.name, "err", err)
			wait = pauseAfterError
		}
		if leased == 0 || err != nil {
			w.wait(wait)
		}
	}
}

// going tells whether the worker is to go on.
func (w *worker) going() bool {
	select {
	case <-w.gone:
		return false
	default:
		return w.run.ctx.Err() == nil
	}
}

// room is how much may be leased now.
type room struct {
	n     int
	trial *fault // the fault that the one attempt tests; nil: none
	o     *AccountOptions
}

// forever is longer than any wait.
const forever = time.Duration(math.MaxInt64)

// room tells what may be leased now, and how long to wait before looking again
// if nothing else happens. Its channel is in use; lease releases it.
func (w *worker) room() (room, time.Duration) {
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.groups.shown {
		w.groups.shown = false
		w.lanes.show()
	}
	r := room{n: w.o.Limits.Concurrency - w.inFlight, o: w.o}
	w.use(r.o.Channel)
	wait := forever
	switch {
	case w.pause != nil:
		r.n = 0
	case w.fault != nil:
		r.trial = w.fault
		var n int
		n, wait = w.test(now)
		r.n = min(r.n, n)
	}
	if r.n <= 0 || w.limiter == nil {
		return r, wait
	}
	tokens := w.limiter.TokensAt(now)
	if tokens >= 1 {
		r.n = int(min(float64(r.n), tokens))
		return r, wait
	}
	r.n = 0
	if w.limited.IsZero() && w.lanes.any() {
		w.limited = now
	}
	// Rounded up, so that the token is there by then.
	return r, time.Duration((1-tokens)/float64(w.limiter.Limit())*float64(time.Second)) + time.Microsecond
}

// lease leases up to room.n entries and starts their attempts: at once, or
// together when the provider takes several in one request.
func (w *worker) lease(r room) (int, error) {
	defer w.release(r.o.Channel)
	leased := 0
	_, together := r.o.Channel.(BatchDeliverer)
	var held []Entry
	defer func() { w.start(held, r) }()
	for r.n > leased && w.lanes.any() {
		for i, n := range w.lanes.divide(r.n - leased) {
			if n == 0 {
				continue
			}
			got, err := w.receive(w.lanes[i], r, n)
			if err != nil {
				return leased, err
			}
			leased += len(got)
			if together {
				held = append(held, got...)
			} else {
				w.start(got, r)
			}
		}
	}
	if r.n > 0 {
		if leased > 0 && !w.limited.IsZero() {
			w.meter().rateWait.Observe(time.Since(w.limited).Seconds())
		}
		w.limited = time.Time{}
	}
	return leased, nil
}

// receive leases up to n entries of a lane and takes their slots.
func (w *worker) receive(l *laneTurn, r room, n int) ([]Entry, error) {
	t := &taker{account: w.account, most: r.o.Limits.PerGroup, now: time.Now(), taken: make(map[string]int)}
	got, err := w.pool.store.Receive(context.WithoutCancel(w.run.ctx), l.queue, queue.ReceiveOptions{
		Max: min(n, queue.MaxBatch), Skip: t.skip, Visibility: max(laneVisibility, min(r.o.Limits.Timeout+time.Minute, queue.MaxVisibility)),
	})
	if err != nil {
		return nil, err
	}
	if len(got) == 0 {
		if !t.astray() {
			l.empty(t.skipped)
		}
		return nil, nil
	}
	entries := make([]Entry, len(got))
	w.mu.Lock()
	for i, m := range got {
		entries[i] = Entry{Received: m, Account: w.name, Lane: l.lane, Idempotent: r.o.Idempotent}
		w.groups.begin(m.Group, t.now)
	}
	w.inFlight += len(got)
	if r.trial != nil {
		r.trial.busy = true
	}
	w.mu.Unlock()
	w.charge(len(got))
	return entries, nil
}

// taker decides which groups a receive passes over. The shard's writer calls
// it; it counts what it let pass, as that is leased next.
type taker struct {
	*account
	most    int
	now     time.Time
	taken   map[string]int
	skipped bool
}

func (t *taker) skip(name string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	running, slots := t.groups.busy(name, t.now, t.most)
	if running+t.taken[name] >= slots {
		t.skipped = true
		return true
	}
	t.taken[name]++
	return false
}

// astray tells, after a receive of nothing, that it passed over groups only
// because it took others' entries for leased that were gone already.
func (t *taker) astray() bool { return t.skipped && len(t.taken) > 0 }

// charge takes tokens, more than there are as a debt; negative gives back.
func (a *account) charge(n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.limiter == nil {
		return
	}
	now := time.Now()
	for n > 0 {
		part := min(n, a.limiter.Burst())
		a.limiter.ReserveN(now, part)
		n -= part
	}
	if n < 0 {
		a.limiter.ReserveN(now, n)
	}
}

func (a *account) meter() *accountMetrics {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.metrics
}

// wait sleeps until there may be something to do.
func (w *worker) wait(d time.Duration) {
	var due <-chan time.Time
	if d < forever {
		timer := time.NewTimer(d)
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-w.lanes[0].arrived:
		w.lanes[0].maybe = true
	case <-w.lanes[1].arrived:
		w.lanes[1].maybe = true
	case <-w.lanes[2].arrived:
		w.lanes[2].maybe = true
	case <-w.changed:
	case <-due:
	case <-w.gone:
	case <-w.run.ctx.Done():
	}
}

// ended tells whether an error is the end of the store, and with it of the run.
func (p *Pool) ended(err error) bool {
	if !errors.Is(err, queue.ErrStoreFailed) && !errors.Is(err, queue.ErrClosed) {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.run.fail(err)
	return true
}
