package queue

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"sort"

	"github.com/cockroachdb/pebble/v2"
)

// Recount walks all tables of all shards and tells what does not fit together:
// each message must be in exactly one index, the counts and locks must be the
// sums. The store must be idle.
func (s *Store) Recount() []string {
	var wrong []string
	for _, sh := range s.shards {
		r := recount{sh: sh, db: s.db, seen: map[msgRef]string{}, counts: map[uint64]*counts{}, locks: map[string]uint64{}}
		r.run()
		for _, w := range r.wrong {
			wrong = append(wrong, fmt.Sprintf("%s: %s", shardName(sh.number), w))
		}
	}
	sort.Strings(wrong)
	return wrong
}

type recount struct {
	sh     *shard
	db     *pebble.DB
	wrong  []string
	seen   map[msgRef]string // message → group
	counts map[uint64]*counts
	locks  map[string]uint64
	all    map[string][]byte
}

func (r *recount) errorf(format string, args ...any) {
	r.wrong = append(r.wrong, fmt.Sprintf(format, args...))
}

func (r *recount) each(table byte, fn func(k, v []byte)) {
	first := appendTable(nil, r.sh.prefix, table)
	it, err := r.db.NewIter(&pebble.IterOptions{LowerBound: first, UpperBound: prefixEnd(first)})
	must(err)
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		fn(bytes.Clone(it.Key()), bytes.Clone(it.Value()))
	}
	must(it.Error())
}

// get looks a key up; all of the shard is read at once, which is cheaper than
// to ask for each.
func (r *recount) get(key []byte) []byte {
	if r.all == nil {
		r.all = map[string][]byte{}
		for table := byte('a'); table <= 'z'; table++ {
			r.each(table, func(k, v []byte) { r.all[string(k)] = append([]byte{}, v...) })
		}
	}
	return r.all[string(key)]
}

// dead tells whether a queue is gone; what is left of it is cleaned later.
func (r *recount) dead(number uint64) bool {
	q, _ := r.sh.store.byNumber(number)
	return q == nil
}

func (r *recount) count(number uint64) *counts {
	if r.counts[number] == nil {
		r.counts[number] = &counts{}
	}
	return r.counts[number]
}

func (r *recount) run() {
	r.each(tableMessage, r.message)
	r.each(tableLease, func(k, _ []byte) { r.known("lease", numberOf(k), positionOf(k)) })
	r.each(tableReady, func(k, _ []byte) {
		group, rest, ok := splitGroup(k[keyHeader+8:])
		pos := binary.BigEndian.Uint64(rest)
		if !ok || (r.known("ready entry", numberOf(k), pos) && r.seen[msgRef{numberOf(k), pos}] != "ready "+group) {
			r.errorf("ready entry %x of a message that is %q", k, r.seen[msgRef{numberOf(k), pos}])
		}
	})
	r.each(tableTimer, func(k, v []byte) {
		_, number, pos := splitTimerKey(k)
		if r.known("timer", number, pos) && r.seen[msgRef{number, pos}] != fmt.Sprintf("timer %x", k) {
			r.errorf("timer %x of a message that is %q", k, r.seen[msgRef{number, pos}])
		}
	})
	r.each(tableCount, func(k, v []byte) {
		have, err := parseCounts(v)
		must(err)
		if r.dead(numberOf(k)) {
			return
		}
		want := r.count(numberOf(k))
		if have.ready != want.ready || have.leased != want.leased || have.waiting != want.waiting || have.floor > want.floor {
			r.errorf("queue %x counts %+v, there are %+v", numberOf(k), have, *want)
		}
		delete(r.counts, numberOf(k))
		for m := range r.seen {
			if m.queue == numberOf(k) && have.over(m.pos) != m.pos {
				r.errorf("queue %x has message %x in a gap %x", m.queue, m.pos, have.gaps)
			}
		}
	})
	for number, c := range r.counts {
		if !c.empty() && !r.dead(number) {
			r.errorf("queue %x counts nothing, there are %+v", number, *c)
		}
	}
	r.each(tableLock, func(k, v []byte) {
		n, _ := binary.Uvarint(v)
		if !r.dead(numberOf(k)) && r.locks[string(k)] != n {
			r.errorf("lock %x counts %d, there are %d", k, n, r.locks[string(k)])
		}
		delete(r.locks, string(k))
	})
	for k, n := range r.locks {
		if n > 0 {
			r.errorf("lock %x is missing, there are %d", k, n)
		}
	}
}

func (r *recount) known(what string, number, pos uint64) bool {
	if r.dead(number) {
		return false
	}
	if _, ok := r.seen[msgRef{number, pos}]; !ok {
		r.errorf("%s of queue %x without message %x", what, number, pos)
		return false
	}
	return true
}

func (r *recount) message(k, v []byte) {
	number, pos := numberOf(k), positionOf(k)
	c, err := parseContent(v)
	must(err)
	q, def := r.sh.store.byNumber(number)
	if q == nil {
		return
	}
	n := r.count(number)
	if n.floor == 0 {
		n.floor = pos
	}
	st := state{phase: phaseReady, group: c.group}
	if v := r.get(messageKey(nil, r.sh.prefix, tableLease, number, pos)); v != nil {
		st, err = parseState(v)
		must(err)
	} else if t := timerKey(nil, r.sh.prefix, positionTime(pos), number, pos); r.get(t) != nil {
		st.phase, st.due = phaseWaiting, positionTime(pos)
	}
	if st.group != c.group {
		r.errorf("message %x of group %q has a state of group %q", pos, c.group, st.group)
	}
	switch st.phase {
	case phaseReady:
		n.ready++
		r.seen[msgRef{number, pos}] = "ready " + c.group
		if r.get(readyKey(nil, r.sh.prefix, number, c.group, pos)) == nil {
			r.errorf("message %x of queue %x is ready but not in the index", pos, number)
		}
		return
	case phaseLeased:
		n.leased++
	case phaseWaiting:
		n.waiting++
	}
	t := timerKey(nil, r.sh.prefix, st.due, number, pos)
	r.seen[msgRef{number, pos}] = fmt.Sprintf("timer %x", t)
	if r.get(t) == nil {
		r.errorf("message %x of queue %x has no timer", pos, number)
	}
	if def.Settings.FIFO && st.lease != 0 {
		r.locks[string(groupKey(nil, r.sh.prefix, tableLock, number, c.group))]++
	}
}
