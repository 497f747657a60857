package sandbox

import (
	"container/heap"
	"context"
	"net/http"
	"sync"
	"time"
)

// Until it is answered, a callback is posted again after firstRetry, then after
// twice the time up to lastRetry, for as long as reportFor after the message
// was accepted: more than any provider does, as a gateway that restarts should
// miss none.
const (
	firstRetry = 100 * time.Millisecond
	lastRetry  = 3 * time.Second
	reportFor  = time.Hour
	// reporters is how many callbacks are under way at once.
	reporters = 16
)

// report is a message with callbacks still to come.
type report struct {
	message Item
	due     time.Time
	tries   int // of the callback that is next
}

// reports posts what becomes of accepted messages, the callbacks of a message
// one after the other, Options.CallbackDelay apart. How many have been answered
// is in the inbox's journal: a restart goes on with the next.
type reports struct {
	core *core
	// post posts one callback and returns the answer's status.
	post func(ctx context.Context, message *Item, callback string) (status int, err error)
	ctx  context.Context
	stop context.CancelFunc
	wg   sync.WaitGroup

	mu    sync.Mutex
	queue reportQueue
	wake  chan struct{}
}

func startReports(c *core, post func(context.Context, *Item, string) (int, error)) *reports {
	p := &reports{core: c, post: post, wake: make(chan struct{}, 1)}
	p.ctx, p.stop = context.WithCancel(c.ctx)
	work := make(chan *report)
	p.wg.Go(func() { p.schedule(work) })
	for range reporters {
		p.wg.Go(func() {
			for r := range work {
				p.try(r)
			}
		})
	}
	return p
}

// resume goes on with what earlier runs did not finish for a provider.
func (p *reports) resume(provider string) {
	for _, it := range p.core.unreported {
		if it.Provider == provider {
			p.add(it)
		}
	}
}

func (p *reports) close() {
	p.stop()
	p.wg.Wait()
}

// add begins to report of an accepted message that is in the inbox.
func (p *reports) add(message Item) {
	p.push(&report{message: message, due: time.Now().Add(p.core.opts.CallbackDelay)})
}

func (p *reports) push(r *report) {
	if r.message.Reported >= len(r.message.Callbacks) {
		return
	}
	p.mu.Lock()
	heap.Push(&p.queue, r)
	p.mu.Unlock()
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// pop is the next report if it is due, else how long to wait.
func (p *reports) pop() (*report, time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.queue) == 0 {
		return nil, time.Hour
	}
	if wait := time.Until(p.queue[0].due); wait > 0 {
		return nil, wait
	}
	return heap.Pop(&p.queue).(*report), 0
}

func (p *reports) schedule(work chan<- *report) {
	defer close(work)
	for p.ctx.Err() == nil {
		r, wait := p.pop()
		if r == nil {
			select {
			case <-time.After(wait):
			case <-p.wake:
			case <-p.ctx.Done():
			}
			continue
		}
		select {
		case work <- r:
		case <-p.ctx.Done():
		}
	}
}

// try posts the next callback of a message and puts the message back if more
// is to be done.
func (p *reports) try(r *report) {
	m := &r.message
	status, err := p.post(p.ctx, m, m.Callbacks[m.Reported])
	now := time.Now()
	if err == nil && answered(status) {
		m.Reported++
		p.core.reported(m.Seq, m.Reported)
		r.tries, r.due = 0, now.Add(p.core.opts.CallbackDelay)
		p.push(r)
		return
	}
	if now.Sub(m.At) < reportFor {
		r.due = now.Add(min(firstRetry<<min(r.tries, 10), lastRetry))
		r.tries++
		p.push(r)
	}
}

// answered tells whether the receiver has judged the callback, rather than
// being unable to for now.
func answered(status int) bool {
	return status < 500 && status != http.StatusRequestTimeout && status != http.StatusTooManyRequests
}

// newReportClient is an HTTP client that follows no redirects.
func newReportClient() *http.Client {
	return &http.Client{
		Timeout:       10 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport:     &http.Transport{MaxIdleConnsPerHost: reporters, IdleConnTimeout: 30 * time.Second},
	}
}

// reportQueue is a heap, what is due first on top.
type reportQueue []*report

func (q reportQueue) Len() int           { return len(q) }
func (q reportQueue) Less(i, j int) bool { return q[i].due.Before(q[j].due) }
func (q reportQueue) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }

// Push is part of heap.Interface.
func (q *reportQueue) Push(x any) { *q = append(*q, x.(*report)) }

// Pop is part of heap.Interface.
func (q *reportQueue) Pop() any {
	last := len(*q) - 1
	r := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	return r
}
