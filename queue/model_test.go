package queue_test

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/fanfare-gateway/fanfare/queue"
)

// model is what the engine should be: the same semantics in the simplest way,
// in memory, one operation after the other.
type model struct {
	queues map[string]*modelQueue
	now    time.Time
	order  int
}

type modelQueue struct {
	name     string
	set      queue.Settings
	messages []*modelMessage
	dedup    map[string]time.Time
	first    map[string]*modelMessage // by FIFO group: the first leased since the group was free
	purged   time.Time
}

type modelMessage struct {
	body     string
	group    string
	visible  time.Time // first visible
	order    int
	due      time.Time // of the lease or the wait
	leased   bool
	waiting  bool
	receives int
	before   int // receives in the queues it came from
	lease    int // counts leases
	began    time.Time
	source   string
}

// modelHandle is a receipt handle: the message and which lease of it.
type modelHandle struct {
	queue   string
	message *modelMessage
	lease   int
}

func (q *modelQueue) find(m *modelMessage) bool { return slices.Contains(q.messages, m) }

func (q *modelQueue) remove(m *modelMessage) {
	q.messages = slices.DeleteFunc(q.messages, func(o *modelMessage) bool { return o == m })
}

func (m *model) send(q *modelQueue, group, dedup, body string, delay time.Duration) bool {
	if q.set.FIFO && dedup != "" {
		if q.set.DedupPerGroup {
			dedup = fmt.Sprint(group, "/", dedup)
		}
		if until, ok := q.dedup[dedup]; ok && m.now.Before(until) {
			return false
		}
		q.dedup[dedup] = m.now.Add(queue.DedupWindow)
	}
	m.add(q, &modelMessage{body: body, group: group, waiting: delay > 0, due: m.now.Add(delay)})
	return true
}

func (m *model) add(q *modelQueue, msg *modelMessage) {
	m.order++
	msg.order = m.order
	msg.visible = m.now
	if msg.waiting {
		msg.visible = msg.due
	}
	q.messages = append(q.messages, msg)
	slices.SortStableFunc(q.messages, func(a, b *modelMessage) int {
		return cmp.Or(a.visible.Compare(b.visible), cmp.Compare(a.order, b.order))
	})
}

// held tells whether messages that are out hold a FIFO group back.
func (q *modelQueue) held(group string) bool {
	return q.set.FIFO && slices.ContainsFunc(q.messages, func(msg *modelMessage) bool {
		return msg.group == group && (msg.leased || msg.waiting && msg.lease > 0)
	})
}

// ready are the messages that may be received, in order; of a FIFO group that
// is held back only the one that was first.
func (q *modelQueue) ready() []*modelMessage {
	var out []*modelMessage
	for _, msg := range q.messages {
		if !msg.leased && !msg.waiting && (q.first[msg.group] == msg || !q.held(msg.group)) {
			out = append(out, msg)
		}
	}
	return out
}

func (m *model) lease(q *modelQueue, msg *modelMessage, visibility time.Duration) {
	if !q.held(msg.group) {
		q.first[msg.group] = msg
	}
	msg.leased, msg.due, msg.began = true, m.now.Add(visibility), m.now
	msg.receives++
	msg.lease++
}

// endLease makes a message visible again, or a dead letter.
func (m *model) endLease(q *modelQueue, msg *modelMessage, at time.Time) {
	msg.leased = false
	if dead := m.queues[q.set.DeadLetter]; dead != nil && q.set.MaxReceives > 0 && msg.receives >= q.set.MaxReceives {
		q.remove(msg)
		m.add(dead, &modelMessage{body: msg.body, group: msg.group, source: q.name, before: msg.before + msg.receives})
		return
	}
	if at.After(m.now) {
		msg.waiting, msg.due = true, at
	}
}

// move moves what may be received to another queue, or back to its source.
func (m *model) move(q *modelQueue, to string) (moved int) {
	for _, msg := range q.ready() {
		q.remove(msg)
		name := to
		if name == "" {
			name = msg.source
		}
		m.add(m.queues[name], &modelMessage{body: msg.body, group: msg.group})
		moved++
	}
	return moved
}

func (m *model) retry(q *modelQueue, msg *modelMessage, at time.Time, uncounted bool) {
	if uncounted {
		msg.receives--
	}
	m.endLease(q, msg, at)
}

// advance lets time go by, event by event.
func (m *model) advance(to time.Time) {
	for {
		var at time.Time
		var q *modelQueue
		var msg *modelMessage
		for _, name := range []string{"standard", "fifo", "dead", "deadfifo"} { // a fixed order
			for _, candidate := range m.queues[name].messages {
				t, ok := m.queues[name].next(candidate)
				if ok && !t.After(to) && (msg == nil || t.Before(at)) {
					at, q, msg = t, m.queues[name], candidate
				}
			}
		}
		if msg == nil {
			m.now = to
			return
		}
		if at.After(m.now) {
			m.now = at
		}
		m.happen(q, msg)
	}
}

// next is when something happens to a message by itself.
func (q *modelQueue) next(msg *modelMessage) (time.Time, bool) {
	expires := msg.visible.Add(q.set.Retention)
	switch {
	case (msg.leased || msg.waiting) && (q.set.Retention == 0 || msg.due.Before(expires)):
		return msg.due, true
	case q.set.Retention > 0:
		return expires, true
	}
	return time.Time{}, false
}

func (m *model) happen(q *modelQueue, msg *modelMessage) {
	switch {
	case q.set.Retention > 0 && !m.now.Before(msg.visible.Add(q.set.Retention)):
		q.remove(msg)
	case msg.leased:
		m.endLease(q, msg, m.now)
	default:
		msg.waiting = false
	}
}
