package queue

import (
	"context"
	"encoding/binary"
	"fmt"
)

const (
	recentDedup   = 'd'
	recentAttempt = 'a'
)

// note remembers what an attempt got.
func (r *receiveWork) note(w *writer) {
	v := binary.AppendUvarint(nil, uint64(w.now)+uint64(recentBucket))
	for i := range r.got {
		v = binary.AppendUvarint(v, r.got[i].pos)
		v = binary.AppendUvarint(v, r.got[i].state.lease)
	}
	w.remember(recentAttempt, queueIdentity(r.number), hashText("", r.o.AttemptID), v)
}

// repeat gives the messages of an earlier receive with the same attempt id, as
// far as their leases hold.
func (r *receiveWork) repeat(w *writer, ln *line) (bool, error) {
	v, err := w.recall(recentAttempt, queueIdentity(r.number), hashText("", r.o.AttemptID))
	if err != nil {
		return false, fmt.Errorf("queue %q: receive attempt %q: leave the attempt id out, or wait until its %v are over: %w",
			r.queue.name, r.o.AttemptID, DedupWindow, err)
	}
	if v == nil {
		return false, nil
	}
	in := reader{b: v}
	if int64(in.uvarint()) <= w.now {
		return false, nil
	}
	for len(in.b) > 0 && !in.bad {
		pos, lease := in.uvarint(), in.uvarint()
		s, ok, err := w.stateOf(ln.number, pos)
		if !broken(err) && ok && s.phase == phaseLeased && s.lease == lease {
			r.got = append(r.got, leased{pos: pos, state: s})
		}
	}
	return len(r.got) > 0, in.err("attempt")
}

// receiveAttempt looks for the attempt's messages in all shards before it takes
// others, so that a repeat answers what the first answered.
func (s *Store) receiveAttempt(ctx context.Context, q *queueDef, o ReceiveOptions) (got []Received, passed bool, err error) {
	attempt := o
	o.AttemptID = ""
	for _, sh := range s.shards {
		r := &repeatWork{receiveWork{queue: q, o: attempt, max: attempt.Max}}
		if err := sh.run(context.WithoutCancel(ctx), r); err != nil {
			return nil, false, err
		}
		part, err := s.contents(sh, q, &r.receiveWork)
		if err != nil {
			return nil, false, err
		}
		got = append(got, part...)
	}
	if len(got) > 0 {
		return got, false, nil
	}
	n := len(s.shards)
	first := int(q.turn.Add(1))
	for i := 0; i < n && len(got) < attempt.Max; i++ {
		part, skipped, err := s.receiveFrom(s.shards[(first+i)%n], q, attempt, attempt.Max-len(got))
		passed = passed || skipped
		if err != nil {
			return got, passed, err
		}
		got = append(got, part...)
	}
	return got, passed, nil
}

// repeatWork only repeats an attempt.
type repeatWork struct{ receiveWork }

func (r *repeatWork) do(w *writer) (answer, error) {
	r.number = r.queue.current.Load().number()
	_, err := r.repeat(w, w.line(r.number))
	return whenSettled, err
}
