package sandbox

import (
	"container/heap"
	"context"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

const (
	// A callback is tried for twilioPatience, every twilioRetry, which is more
	// than Twilio does: a gateway that restarts should miss none.
	twilioPatience = time.Minute
	twilioRetry    = time.Second
	// twilioMemory is how old a message may be for its statuses to be reported
	// again after a restart.
	twilioMemory = 10 * time.Minute
	// twilioSenders is how many callbacks are under way at once.
	twilioSenders = 16
)

// twilioReport is what is still to be reported of a message.
type twilioReport struct {
	message Item
	states  []string  // "status" or "status:code", in order
	due     time.Time // of the first state
	since   time.Time // when the first state was first tried
}

// twilioReports posts status callbacks when they are due.
type twilioReports struct {
	fake   *Twilio
	client *http.Client
	ctx    context.Context
	stop   context.CancelFunc
	wg     sync.WaitGroup

	mu    sync.Mutex
	queue twilioQueue
	wake  chan struct{}
}

// startTwilioReports also takes up what a former process did not finish. What
// was reported already is reported again: callbacks come twice from Twilio too.
func startTwilioReports(f *Twilio) *twilioReports {
	p := &twilioReports{fake: f, client: newTwilioClient(), wake: make(chan struct{}, 1)}
	p.ctx, p.stop = context.WithCancel(f.core.ctx)
	for _, it := range f.core.Inbox(ProviderTwilio, "") {
		if time.Since(it.At) < twilioMemory {
			p.add(it)
		}
	}
	work := make(chan *twilioReport)
	p.wg.Go(func() { p.schedule(work) })
	for range twilioSenders {
		p.wg.Go(func() { p.send(work) })
	}
	return p
}

func newTwilioClient() *http.Client {
	return &http.Client{
		Timeout:       10 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport:     &http.Transport{MaxIdleConnsPerHost: twilioSenders, IdleConnTimeout: 30 * time.Second},
	}
}

func (p *twilioReports) close() {
	p.stop()
	p.wg.Wait()
	p.client.CloseIdleConnections()
}

// add begins to report of a message.
func (p *twilioReports) add(message Item) {
	states := strings.Fields(message.Fields["Callbacks"])
	if message.Fields["StatusCallback"] == "" || len(states) == 0 {
		return
	}
	p.push(&twilioReport{message: message, states: states, due: time.Now().Add(p.fake.core.opts.CallbackDelay)})
}

func (p *twilioReports) push(r *twilioReport) {
	p.mu.Lock()
	heap.Push(&p.queue, r)
	p.mu.Unlock()
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// pop is the next report if it is due, else how long to wait.
func (p *twilioReports) pop() (*twilioReport, time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.queue) == 0 {
		return nil, time.Hour
	}
	if wait := time.Until(p.queue[0].due); wait > 0 {
		return nil, wait
	}
	return heap.Pop(&p.queue).(*twilioReport), 0
}

func (p *twilioReports) schedule(work chan<- *twilioReport) {
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

func (p *twilioReports) send(work <-chan *twilioReport) {
	for r := range work {
		now := time.Now()
		if r.since.IsZero() {
			r.since = now
		}
		if p.post(r) || time.Since(r.since) >= twilioPatience {
			r.states, r.since = r.states[1:], time.Time{}
			r.due = now.Add(p.fake.core.opts.CallbackDelay)
		} else {
			r.due = now.Add(twilioRetry)
		}
		if len(r.states) > 0 {
			p.push(r)
		}
	}
}

// post reports the first state; false is worth another try.
func (p *twilioReports) post(r *twilioReport) bool {
	m := &r.message
	state, code, _ := strings.Cut(r.states[0], ":")
	form := url.Values{
		"AccountSid": {p.fake.AccountSID}, "ApiVersion": {"2010-04-01"},
		"MessageSid": {m.ID}, "SmsSid": {m.ID}, "MessageStatus": {state}, "SmsStatus": {state},
		"To": {m.Recipient}, "From": {p.fake.From},
	}
	if from := m.Fields["From"]; from != "" {
		form.Set("From", from)
	}
	if service := m.Fields["MessagingServiceSid"]; service != "" {
		form.Set("MessagingServiceSid", service)
	}
	if code != "" {
		form.Set("ErrorCode", code)
	}
	status, err := p.fake.post(p.ctx, p.client, m.Fields["StatusCallback"], form)
	return err == nil && status < 500
}

// twilioCourse is what is reported of a message; nil stands for the normal course.
func twilioCourse(callbacks []string) []string {
	if callbacks == nil {
		return []string{"sent", "delivered"}
	}
	return callbacks
}

// twilioQueue is a heap, what is due first on top.
type twilioQueue []*twilioReport

func (q twilioQueue) Len() int           { return len(q) }
func (q twilioQueue) Less(i, j int) bool { return q[i].due.Before(q[j].due) }
func (q twilioQueue) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }

// Push is part of heap.Interface.
func (q *twilioQueue) Push(x any) { *q = append(*q, x.(*twilioReport)) }

// Pop is part of heap.Interface.
func (q *twilioQueue) Pop() any {
	last := len(*q) - 1
	r := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	return r
}
