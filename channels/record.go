package channels

import (
	"context"
	"errors"

	"github.com/fanfare-gateway/fanfare/queue"
)

// record commits the outcomes, in one batch if nothing is in the way.
func (p *Pool) record(as []*attempt) {
	if len(as) > 1 {
		err := p.commit(as)
		if err == nil || p.ended(err) {
			return
		}
	}
	for _, a := range as {
		p.recordOne(a)
	}
}

func (p *Pool) recordOne(a *attempt) {
	var err error
	for range recordTries {
		if err = p.commit([]*attempt{a}); !errors.Is(err, queue.ErrConflict) && !errors.Is(err, queue.ErrNotFound) {
			break
		}
	}
	if err == nil || p.ended(err) {
		return
	}
	log := p.log.With("account", a.e.Account, "id", a.e.ID, "err", err)
	if errors.Is(err, queue.ErrStaleHandle) {
		log.Warn("outcome came after the lease had ended")
		p.desk.Late(context.WithoutCancel(p.hard), a.e, a.o)
		return
	}
	log.Error("outcome cannot be recorded; the lease will end")
}

func (p *Pool) commit(as []*attempt) error {
	b := new(queue.Batch)
	for _, a := range as {
		if err := p.desk.Record(b, a.e, a.o); err != nil {
			return err
		}
	}
	if b.Len() > 0 {
		if _, err := p.store.Commit(context.Background(), as[0].e.Handle.Shard(), b); err != nil {
			return err
		}
	}
	for _, a := range as {
		if a.o.Verdict.final() {
			p.settled(a.e.ID)
		}
	}
	return nil
}

// final tells whether nothing follows of itself.
func (v Verdict) final() bool {
	switch v.Action {
	case Done, DeadLetter, Expire, Suppress, Cancel:
		return true
	case Send, Retry, Hold, Pause, Unsure, Drop:
	}
	return false
}
