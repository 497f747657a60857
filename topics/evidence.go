package topics

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/queue"
)

// Evidence is what came back about an attempt after it: a status callback, a
// bounce, a reconciliation.
type Evidence struct {
	Delivery   queue.ID
	Account    string // whose provider says so; "" for a worker's own word
	Try        int    // 0: not known (mail carries no try), taken for the current one
	State      State  // Sent, Delivered or Failed
	ProviderID string
	Err        *channels.Error // for Failed
}

// Observe applies evidence if it is of the current try, comes from the account
// that made it and ranks higher than what is known; applied tells. Other
// evidence is kept beside it (Delivery.Unapplied) if it says something else. Failed
// evidence of a kind that may be tried again queues the delivery again. An
// unknown delivery is ErrNotFound. Durable on return.
func (t *Topics) Observe(ctx context.Context, ev Evidence) (applied bool, err error) {
	for gone := 0; ; {
		applied, err = t.observe(ctx, ev)
		if errors.Is(err, errStillSending) {
			if err = t.awaitOutcome(ctx, ev.Delivery); err == nil {
				continue
			}
		}
		switch {
		case errors.Is(err, queue.ErrConflict):
		case errors.Is(err, queue.ErrNotFound) && gone < goneTries: // its subscription's dead-letter queue
			gone++
		default:
			return applied, err
		}
	}
}

func (t *Topics) observe(ctx context.Context, ev Evidence) (bool, error) {
	if ev.Delivery.Shard() >= t.store.Shards() { // of another store
		return false, fmt.Errorf("delivery %s: %w", DeliveryName(ev.Delivery), ErrNotFound)
	}
	key := deliveryKey(ev.Delivery)
	r, rev, err := get[deliveryRecord](t.store, ev.Delivery.Shard(), key)
	if err != nil {
		return false, err
	}
	if ev.Try == 0 {
		ev.Try = r.Try
	}
	if ev.Try != r.Try || (ev.Account != "" && ev.Account != r.Account) || !evidenceRaises(r.State, ev.State) {
		return false, t.keepUnapplied(ctx, ev, &r, rev)
	}
	var at time.Time
	again := false
	if ev.State == Failed {
		at, again = t.again(ev.Delivery, &r, ev.Err)
	}
	if again && r.State == Sending {
		return false, errStillSending
	}
	b := &queue.Batch{}
	b.Expect(key, rev)
	if ev.ProviderID != "" {
		r.Provider = ev.ProviderID
	}
	r.Reason = ""
	e := channels.Entry{Received: queue.Received{Message: queue.Message{ID: ev.Delivery}}, Account: r.Account}
	if ev.State == Failed && ev.Err != nil {
		o := channels.Outcome{Try: ev.Try, Err: ev.Err}
		t.addAttempt(b, e, &r, o)
		r.Reason = "reported by the provider"
		t.consequences(e, &r, o)
		if again {
			return true, t.resend(ctx, b, ev.Delivery, &r, at)
		}
	}
	if ev.State == Failed && r.State != Failed {
		t.tellEnd(b, ev.Delivery, &r, channels.Outcome{Try: ev.Try, Err: ev.Err, Verdict: channels.Verdict{Action: channels.DeadLetter, Reason: r.Reason}})
	}
	t.set(b, ev.Delivery, &r, ev.State)
	_, err = t.store.Commit(ctx, ev.Delivery.Shard(), b)
	if err == nil {
		t.Settled(ev.Delivery)
	}
	return err == nil, err
}

// maxUnapplied bounds what a delivery keeps of evidence that changed nothing.
const maxUnapplied = 8

// keepUnapplied keeps evidence that changes nothing and says something else
// than what is known, once. Durable on return.
func (t *Topics) keepUnapplied(ctx context.Context, ev Evidence, r *deliveryRecord, rev uint64) error {
	same := ev.Try == r.Try && (ev.Account == "" || ev.Account == r.Account)
	known := ranks[r.State] >= ranks[Sent] && r.Code != noEvidence
	if same && (ev.State == r.State || (ev.State == Sent && known)) { // a repeat, or what went before
		return nil
	}
	u := UnappliedEvidence{Try: ev.Try, State: ev.State, Account: ev.Account, ProviderID: ev.ProviderID, At: t.store.Now().UTC()}
	if ev.Err != nil {
		u.Kind, u.Code = ev.Err.Kind.String(), causeCode(ev.Err.Code)
	}
	for _, old := range r.Unapplied {
		if old.At = u.At; old == u {
			return nil
		}
	}
	if len(r.Unapplied) == maxUnapplied {
		return nil
	}
	r.Unapplied = append(r.Unapplied, u)
	b := &queue.Batch{}
	b.Expect(deliveryKey(ev.Delivery), rev)
	put(b, deliveryKey(ev.Delivery), r)
	_, err := t.store.Commit(ctx, ev.Delivery.Shard(), b)
	return err
}

// errStillSending: the provider's word that asks for another attempt came
// before the worker had noted the end of this one. Its entry is the worker's.
var errStillSending = errors.New("the attempt is still under way")

// outcomePatience is how long evidence waits for the worker.
const outcomePatience = 10 * time.Second

// awaitOutcome waits for a delivery's record to change.
func (t *Topics) awaitOutcome(ctx context.Context, id queue.ID) error {
	changed, stop := t.store.Watch(id.Shard(), deliveryKey(id))
	defer stop()
	if r, _, err := get[deliveryRecord](t.store, id.Shard(), deliveryKey(id)); err != nil || r.State != Sending {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, outcomePatience)
	defer cancel()
	select {
	case <-changed:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("delivery %s: %w: %w", DeliveryName(id), errStillSending, ctx.Err())
	}
}

// again tells whether a delivery that a provider reports failed is tried anew,
// and when: as often as the error book and the retry policy both allow. What a
// provider says of the account after it took the message does not end the
// delivery either: the next attempt meets the fault itself, and pauses it.
func (t *Topics) again(id queue.ID, r *deliveryRecord, err *channels.Error) (at time.Time, yes bool) {
	if err == nil || (r.State != Sent && r.State != Uncertain && r.State != Sending) {
		return at, false
	}
	switch err.Kind {
	case channels.Temporary, channels.Throttled:
		if r.Try >= max(err.MaxTries, 1) {
			return at, false
		}
	case channels.AccountFault:
	default:
		return at, false
	}
	return t.another(id, r, err)
}

// another tells whether the retry policy allows another attempt, and when.
func (t *Topics) another(id queue.ID, r *deliveryRecord, why *channels.Error) (at time.Time, yes bool) {
	l, err := t.load(id)
	if err != nil {
		return at, false
	}
	temporary := *why
	temporary.Kind = channels.Temporary
	now := t.store.Now()
	v := t.policyOf(l, r).Judge(channels.Attempt{Try: r.Try, Age: now.Sub(l.Created), Now: now, Expires: l.ExpiresAt, Random: rand.Float64()}, &temporary)
	return v.At, v.Action == channels.Retry
}

// resend queues an uncertain or sent delivery again and commits.
func (t *Topics) resend(ctx context.Context, b *queue.Batch, id queue.ID, r *deliveryRecord, at time.Time) error {
	l, err := t.load(id)
	if err != nil {
		return err
	}
	b.Send(channels.QueueName(r.Account, l.Lane), queue.Message{ID: id, Group: r.Group, At: at})
	if r.State == Sent { // its publish may be complete
		if err := t.reopen(b, id); err != nil {
			return err
		}
	}
	if err := t.move(b, id, r, cmdResend); err != nil {
		return err
	}
	_, err = t.store.Commit(ctx, id.Shard(), b)
	return err
}

// uncertainHold is how long an uncertain delivery waits for evidence before it
// is dropped.
const uncertainHold = 24 * time.Hour

// noEvidence is the code of an uncertain delivery whose time was over.
const noEvidence = "no_evidence"

// unsure adds the writes for an attempt whose answer was lost: sent again, or
// held until evidence comes or its time is over.
func (t *Topics) unsure(b *queue.Batch, e channels.Entry, r *deliveryRecord) error {
	b.Delete(e.Handle)
	if err := t.move(b, e.ID, r, cmdUnsure); err != nil {
		return err
	}
	wait := uncertainHold
	switch t.onUncertain(e.ID, r.Protocol) {
	case Resend:
		wait = time.Second
	case DropUncertain:
		wait = 0
	}
	b.Send(uncertainQueue, queue.Message{ID: e.ID, Group: r.Protocol, At: t.store.Now().Add(wait), Body: strconv.AppendInt(nil, int64(r.Try), 10)})
	return nil
}

func (t *Topics) onUncertain(id queue.ID, protocol string) OnUncertain {
	if l, err := t.load(id); err == nil && l.OnUncertain != OnUncertainDefault {
		return l.OnUncertain
	}
	if protocol == Application {
		return Resend
	}
	return HoldUncertain
}

// settleUncertain ends the wait of an uncertain delivery.
func (t *Topics) settleUncertain(ctx context.Context, m queue.Received) error {
	key := deliveryKey(m.ID)
	r, rev, err := get[deliveryRecord](t.store, m.ID.Shard(), key)
	if errors.Is(err, ErrNotFound) || (err == nil && (r.State != Uncertain || string(m.Body) != strconv.Itoa(r.Try))) {
		return t.discard(ctx, m) // settled, or the timer of an earlier try
	}
	if err != nil {
		return err
	}
	b := &queue.Batch{}
	b.Expect(key, rev)
	b.Delete(m.Handle)
	if t.onUncertain(m.ID, r.Protocol) == Resend {
		if at, yes := t.another(m.ID, &r, lost("no evidence came")); yes {
			return t.resend(ctx, b, m.ID, &r, at)
		}
	}
	r.Kind, r.Code, r.Reason = channels.Uncertain.String(), noEvidence, "no evidence came"
	t.tellEnd(b, m.ID, &r, channels.Outcome{Try: r.Try, Verdict: channels.Verdict{Action: channels.DeadLetter, Reason: r.Reason}})
	if err := t.move(b, m.ID, &r, cmdFail); err != nil {
		return err
	}
	if _, err := t.store.Commit(ctx, m.ID.Shard(), b); err != nil {
		return err
	}
	t.Settled(m.ID)
	return nil
}

// Late is channels.Desk: an outcome whose lease had ended is evidence.
func (t *Topics) Late(ctx context.Context, e channels.Entry, o channels.Outcome) {
	state := Failed
	switch {
	case o.Verdict.Action != channels.Done && o.Verdict.Action != channels.DeadLetter:
		return
	case o.Verdict.Action == channels.Done && o.Receipt.Delivered:
		state = Delivered
	case o.Verdict.Action == channels.Done:
		state = Sent
	}
	if _, err := t.Observe(ctx, Evidence{Delivery: e.ID, Try: o.Try, State: state, ProviderID: o.Receipt.ProviderID, Err: o.Err}); err != nil {
		t.log.Error("late outcome could not be recorded", "delivery", e.ID, "error", err)
	}
}

// Recover settles what a process that is gone left behind in the queues of an
// account: attempts that had begun become uncertain, or, where a repeat harms
// nobody, are queued again; leases without an attempt are given back. Call it
// for every account before the workers run.
func (t *Topics) Recover(ctx context.Context, account string, idempotent bool) (uncertain int, err error) {
	for _, lane := range channels.Lanes() {
		name := channels.QueueName(account, lane)
		for {
			left, err := t.store.Orphans(ctx, name, 100, time.Minute)
			if err != nil {
				return uncertain, fmt.Errorf("recover %s: %w", name, err)
			}
			for _, m := range left {
				n, err := t.recoverOne(ctx, channels.Entry{Received: m, Account: account, Lane: lane, Idempotent: idempotent})
				if err != nil {
					return uncertain, fmt.Errorf("recover %s: %w", name, err)
				}
				uncertain += n
			}
			if len(left) == 0 {
				break
			}
		}
	}
	return uncertain, nil
}

// lost is the error of an attempt nobody knows the end of.
func lost(reason string) *channels.Error {
	return &channels.Error{Provider: "gateway", Kind: channels.Uncertain, Code: "no_outcome", Err: errors.New(reason)}
}

func (t *Topics) recoverOne(ctx context.Context, e channels.Entry) (uncertain int, err error) {
	r, _, err := get[deliveryRecord](t.store, e.ID.Shard(), deliveryKey(e.ID))
	if err != nil && !errors.Is(err, ErrNotFound) {
		return 0, err
	}
	o := channels.Outcome{Verdict: channels.Verdict{Action: channels.Retry, At: t.store.Now(), Free: true, Reason: "restart"}}
	if r.State == Sending {
		o.Try, o.Err = r.Try, lost("the process ended during the attempt")
		if !e.Idempotent {
			o.Verdict = channels.Verdict{Action: channels.Unsure, Reason: "the process ended during the attempt"}
			uncertain = 1
		}
	}
	b := &queue.Batch{}
	if err := t.Record(b, e, o); err != nil {
		return 0, err
	}
	_, err = t.store.Commit(ctx, e.ID.Shard(), b)
	return uncertain, err
}
