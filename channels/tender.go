package channels

import (
	"context"
	"path"
	"time"

	"github.com/fanfare-gateway/fanfare/queue"
)

// tender goes through the queues that nobody leases from, as their account is
// missing, paused or at fault. What is over there, by its deadline or as its
// publish was cancelled, ends as it would at its turn.
type tender struct {
	*Pool
	run    *run
	any    bool            // there is such a queue
	warned map[string]bool // missing accounts that were told of
}

// A round is followed by a pause, and so is each page of it that the desk was
// asked about: the tender takes a small share of a core however much waits.
const (
	tendEvery = 5 * time.Second
	tendShare = 20
	tendPage  = 500
)

func newTender(p *Pool, r *run) *tender {
	return &tender{Pool: p, run: r, warned: map[string]bool{}}
}

func (t *tender) work() {
	for t.run.ctx.Err() == nil {
		t.any = false
		err := t.eachQueue(t.tend)
		if err == nil {
			err = t.warn()
		}
		if err != nil {
			if t.ended(err) {
				return
			}
			t.any = true
			t.log.Error("queues of accounts that send nothing cannot be read", "err", err)
		}
		t.wait()
	}
}

// wait sleeps until the next round: for a change of the accounts, if all are at
// work.
func (t *tender) wait() {
	every := forever
	if t.any {
		every = tendEvery
	}
	timer := time.NewTimer(every)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-t.stirred:
	case <-t.run.ctx.Done():
	}
}

// rest is the pause after a page; false if the run is over.
func (t *tender) rest(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-t.run.ctx.Done():
		return false
	}
}

// idle tells whether nothing is leased from an account's queues. Idempotent is
// its trait, that of its provider if there is no such account.
func (t *tender) idle(name string) (idle, idempotent bool) {
	a, err := t.account(name)
	if err != nil {
		return true, t.repeats(path.Dir(name))
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.state() != Active, a.o.Idempotent
}

// tend ends what is over in one queue.
func (t *tender) tend(account, name string) error {
	if idle, _ := t.idle(account); !idle {
		return nil
	}
	t.any = true
	st, err := t.store.Stats(name)
	if err != nil || st.Ready+st.Delayed == 0 {
		return err
	}
	e := Entry{Account: account, Lane: Lane(path.Base(name))}
	for shard := range t.store.Shards() {
		for after, more := uint64(0), true; more; {
			var idle bool
			if idle, e.Idempotent = t.idle(account); !idle {
				return nil
			}
			began := time.Now()
			p := &page{tender: t, entry: e, queue: name, shard: shard, verdicts: map[queue.ID]Verdict{}}
			if after, more, err = p.read(after); err != nil {
				return err
			}
			if err := p.end(); err != nil {
				return err
			}
			if !t.rest(tendShare * time.Since(began)) {
				return nil
			}
		}
	}
	return nil
}

// page is a part of a queue in one shard.
type page struct {
	*tender
	entry    Entry // but for what is the message's
	queue    string
	shard    int
	over     []uint64 // positions of what is
	verdicts map[queue.ID]Verdict
}

// read asks the desk about the entries behind after. What somebody has leased is
// his.
func (p *page) read(after uint64) (last uint64, more bool, err error) {
	n := 0
	last = after
	err = p.store.Messages(p.queue, p.shard, after, func(m queue.Peeked) bool {
		last = m.Position
		if !m.InFlight {
			e := p.entry
			e.Received = queue.Received{Message: m.Message, Queue: p.queue, Receives: m.Receives, SentAt: m.SentAt}
			if v := p.desk.Over(p.run.ctx, e); v.Action != Send && v.Action != Retry {
				p.over, p.verdicts[m.ID] = append(p.over, m.Position), v
			}
		}
		n++
		more = n == tendPage || p.run.ctx.Err() != nil
		return !more
	})
	return last, more, err
}

// end leases what is over and records it.
func (p *page) end() error {
	if len(p.over) == 0 || p.run.ctx.Err() != nil {
		return nil
	}
	got, err := p.store.Take(context.WithoutCancel(p.run.ctx), p.queue, p.shard, p.over, laneVisibility)
	if err != nil {
		return err
	}
	as := make([]*attempt, len(got))
	for i, m := range got {
		as[i] = &attempt{e: p.entry, o: Outcome{Verdict: p.verdicts[m.ID]}}
		as[i].e.Received = m
	}
	if len(as) > 0 {
		p.record(as)
	}
	return nil
}

// warn tells of missing accounts that deliveries wait for, once each until they
// are back or nothing waits any more.
func (t *tender) warn() error {
	missing, err := t.Missing()
	if err != nil {
		return err
	}
	now := make(map[string]bool, len(missing))
	for _, a := range missing {
		now[a.Name] = true
		if !t.warned[a.Name] {
			t.log.Warn("deliveries wait for an account that is not there", "account", a.Name, "deliveries", a.Waiting, "advice", a.Advice)
		}
	}
	t.warned = now
	return nil
}
