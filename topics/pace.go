package topics

import (
	"sync"
	"time"

	"github.com/fanfare-gateway/fanfare/queue"
)

// reasonPace is why a delivery waits whose subscription takes only so many a second.
const reasonPace = "the subscription's rate"

// lateness is how late an entry may come back from its wait, as the engine's
// timer has steps: what a subscription misses by that is made up for.
const lateness = 100 * time.Millisecond

// paces hold subscriptions to their rates. A delivery that comes too early is
// given a turn and back to its queue until then, so it holds up nobody else. A
// restart forgets the turns given: they may fall together with new ones, and
// some deliveries wait twice.
type paces struct {
	mu   sync.Mutex
	all  map[queue.ID]*pace // by subscription
	full int                // size at which those at rest are swept
}

type pace struct {
	due  time.Time // when the next delivery may go, at an even rate
	last time.Time // the latest turn given
}

// turn tells whether a delivery of a subscription may go now, or else its turn.
// One that waited for its turn goes before those that come new.
func (ps *paces) turn(sub queue.ID, perSecond float64, waited bool, now time.Time) (at time.Time, ok bool) {
	gap := time.Duration(float64(time.Second) / perSecond)
	ps.mu.Lock()
	defer ps.mu.Unlock()
	p := ps.get(sub, now)
	if !now.Before(p.due) && (waited || !p.last.After(now)) {
		start := now
		if waited {
			start = now.Add(-lateness)
		}
		p.due = later(p.due, start).Add(gap)
		return now, true
	}
	p.last = later(p.last, p.due.Add(-gap)).Add(gap)
	return p.last, false
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func (ps *paces) get(sub queue.ID, now time.Time) *pace {
	if p := ps.all[sub]; p != nil {
		return p
	}
	if ps.all == nil {
		ps.all = map[queue.ID]*pace{}
	}
	if len(ps.all) >= max(ps.full, 64) {
		for id, p := range ps.all {
			if !p.due.After(now) && !p.last.After(now) {
				delete(ps.all, id)
			}
		}
		ps.full = 2 * len(ps.all)
	}
	p := &pace{}
	ps.all[sub] = p
	return p
}
