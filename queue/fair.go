package queue

import (
	"sync"
	"sync/atomic"
)

// Fairness between the groups of a queue, beyond a turn for each. It lives in
// memory alone: a crash forgets it and nothing else.

const (
	// turnBytes is what a turn is worth. A larger message has its group stand
	// back for the turns it took from the others.
	turnBytes = 8 << 10
	// A group is noisy while noisyMin of its messages are in flight, and more than
	// one in noisyShare of the queue's: the rule of SQS's fair queues,
	// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-fair-queues.html
	noisyMin   = 30
	noisyShare = 10
)

// turn is a round over the groups of a queue: those passed over since a message
// was found.
type turn struct {
	skipped int // by the receiver
	owing   int
	noisy   int
	least   int64 // what the one owes that owes least
	pay     int64 // how much of its debt a group loses when it stands back
	all     bool  // noisy ones are let in too
}

func (t *turn) passed() int { return t.skipped + t.owing + t.noisy }

// standsBack tells whether a group leaves its turn to others: because it has
// more in flight than others, or had larger messages. Noisy is never the group
// without a name, whose messages have nothing in common.
func (t *turn) standsBack(w *writer, ln *line, g *group) bool {
	if n := ln.flying[g.name]; !t.all && n*int64(len(w.store.shards)) >= noisyMin && n*noisyShare > ln.counts.leased {
		t.noisy++
		return true
	}
	g.debt = max(g.debt-max(t.pay, turnBytes), 0)
	if g.debt == 0 {
		return false
	}
	if t.owing == 0 || g.debt < t.least {
		t.least = g.debt
	}
	t.owing++
	return true
}

// again begins another round after one in which nobody was found, if those who
// stood back may be let in: no message waits while a receiver does.
func (t *turn) again() bool {
	switch {
	case t.noisy > 0:
		*t = turn{all: true} // those who owe go on paying
	case t.owing > 0:
		*t = turn{pay: t.least, all: t.all}
	default:
		return false
	}
	return true
}

// ringRounds is how many turns the groups of a full ring have before others take
// their place, whose windows have to be read.
const ringRounds = 16

// further brings groups from disk in turn when those in memory have had theirs:
// a group that never ends must not hide those behind it.
func (w *writer) further(ln *line) {
	full := ln.ring.n >= w.limits.groups
	switch {
	case ln.complete || ln.turns < ln.ring.n || full && ln.turns < ringRounds*ln.ring.n:
		return
	case full:
		w.dropUnlocked(ln, w.call)
	}
	ln.turns = 0
	w.fillGroups(ln)
}

// fly counts what is in flight of a standard queue's group.
func (ln *line) fly(group string, delta int64) {
	if ln.fifo || group == "" {
		return
	}
	n := ln.flying[group] + delta
	switch {
	case n == 0:
		delete(ln.flying, group)
	case ln.flying == nil:
		ln.flying = map[string]int64{group: n}
	default:
		ln.flying[group] = n
	}
}

// bills are what groups owe for large messages. Receivers write them, since they
// read the messages and the writer does not.
type bills struct {
	some atomic.Bool
	mu   sync.Mutex
	all  []bill
}

type bill struct {
	number uint64 // of the queue
	group  string
	bytes  int64
}

func (b *bills) add(number uint64, group string, bytes int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.all = append(b.all, bill{number, group, bytes})
	b.some.Store(true)
}

// charge makes the bills since the last receive debts. A group with nothing left
// to give has none.
func (w *writer) charge() {
	b := &w.sh.bills
	if !b.some.Load() {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, bill := range b.all {
		if ln := w.lines[bill.number]; ln != nil && ln.groups[bill.group] != nil {
			ln.groups[bill.group].debt += bill.bytes
		}
	}
	b.all = b.all[:0]
	b.some.Store(false)
}
