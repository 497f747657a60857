package topics

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/queue"
)

// Record is channels.Desk: adds what became of the entry, the ledger's writes
// and the fate of the queue entry, to b.
func (t *Topics) Record(b *queue.Batch, e channels.Entry, o channels.Outcome) error {
	key := deliveryKey(e.ID)
	r, rev, err := get[deliveryRecord](t.store, e.ID.Shard(), key)
	if errors.Is(err, ErrNotFound) {
		b.Delete(e.Handle)
		return nil
	}
	if err != nil {
		return err
	}
	b.Expect(key, rev)
	if o.Verdict.Action == channels.Unsure && o.Err == nil {
		o.Try, o.Err = r.Try, lost(o.Verdict.Reason)
	}
	if o.Try != 0 && o.Err != nil {
		t.addAttempt(b, e, &r, o)
	}
	if !r.State.hasEntry() || o.Verdict.Action == channels.Drop || (o.Try != 0 && (o.Try != r.Try || r.State != Sending)) {
		b.Delete(e.Handle) // evidence came first: the ledger has moved on
		put(b, key, r)
		return nil
	}
	if o.Receipt.ProviderID != "" {
		r.Provider = o.Receipt.ProviderID
	}
	r.Reason = o.Verdict.Reason
	return t.apply(b, e, &r, o)
}

// apply follows the verdict.
func (t *Topics) apply(b *queue.Batch, e channels.Entry, r *deliveryRecord, o channels.Outcome) error {
	v := o.Verdict
	switch v.Action {
	case channels.Retry, channels.Pause:
		return t.requeue(b, e, r, v)
	case channels.Unsure:
		return t.unsure(b, e, r)
	}
	b.Delete(e.Handle)
	switch v.Action {
	case channels.Done:
		r.Reason = ""
		t.feedbackOf(b, e.ID, r, o)
		if o.Receipt.Delivered {
			return t.move(b, e.ID, r, cmdDelivered)
		}
		return t.move(b, e.ID, r, cmdSent)
	case channels.Expire:
		t.tellFailed(b, e.ID, r, o)
		return t.move(b, e.ID, r, cmdExpire)
	case channels.Suppress:
		return t.move(b, e.ID, r, cmdSuppress)
	case channels.Cancel:
		return t.move(b, e.ID, r, cmdCancel)
	case channels.Hold:
		return t.hold(b, e, r)
	default:
		if o.Err == nil { // what was wrong is in the reason; its first words are the cause
			what, _, _ := strings.Cut(v.Reason, ":")
			r.Kind, r.Code = channels.Rejected.String(), what
			if what == reasonGone {
				r.Kind = channels.EndpointGone.String()
			}
		}
		t.consequences(e, r, o)
		t.tellEnd(b, e.ID, r, o)
		return t.move(b, e.ID, r, cmdFail)
	}
}

// tellEnd tells of a delivery that failed for good who asked to hear of it.
func (t *Topics) tellEnd(b *queue.Batch, id queue.ID, r *deliveryRecord, o channels.Outcome) {
	t.tellFailed(b, id, r, o)
	t.feedbackOf(b, id, r, o)
}

// hold parks a delivery, if its publish is still held: it may have been resumed
// since this was decided. The entry is deleted by the caller. A release that
// looked just before this is written is made up for after it.
func (t *Topics) hold(b *queue.Batch, e channels.Entry, r *deliveryRecord) error {
	p, rev, err := get[Publish](t.store, e.ID.Shard(), publishKey(e.ID))
	if err != nil {
		return err
	}
	b.Expect(publishKey(e.ID), rev)
	b.After(func() { t.noteClosed(e.ID) })
	if p.Control == Paused || t.maySendAgain(&p, e) {
		return t.move(b, e.ID, r, cmdHold)
	}
	again := queue.Message{ID: e.ID, Group: r.Group}
	if t.originalControl(&p) == Paused { // whose resume does not know of this one
		again.At = t.store.Now().Add(originalWait)
	}
	b.Send(channels.QueueName(r.Account, p.Lane), again)
	return t.move(b, e.ID, r, cmdGiveBack)
}

// originalWait is how often what a replay brought looks whether the publish that
// it repeats is still paused.
const originalWait = time.Second

// requeue makes the entry visible again: later, or, given back, at once.
func (t *Topics) requeue(b *queue.Batch, e channels.Entry, r *deliveryRecord, v channels.Verdict) error {
	cmd := cmdRetry
	at := v.At
	if v.Free {
		cmd = cmdGiveBack
		if r.State == Sending {
			r.Try--
		}
	}
	if v.Action == channels.Pause {
		at = t.store.Now()
	}
	b.Retry(e.Handle, at, v.Free)
	if r.waiting() {
		b.Add(waitingKey(e.ID), -1)
		r.Next = time.Time{}
	}
	if at.After(t.store.Now()) {
		b.Add(waitingKey(e.ID), 1)
		r.Next = at.UTC()
	}
	return t.move(b, e.ID, r, cmd)
}

// addAttempt notes a failed attempt.
func (t *Topics) addAttempt(b *queue.Batch, e channels.Entry, r *deliveryRecord, o channels.Outcome) {
	if r.State != Failed { // a dead letter keeps the cause it is filed under
		r.Kind, r.Code = o.Err.Kind.String(), causeCode(o.Err.Code)
		if r.Code == "" && o.Err.Status != 0 {
			r.Code = statusCode(o.Err.Status)
		}
	}
	r.Failures++
	text := o.Err.Error()
	put(b, attemptKey(e.ID, r.Failures), FailedAttempt{
		Try: o.Try, At: t.store.Now().UTC(), Account: e.Account, Kind: o.Err.Kind, Status: o.Err.Status,
		Code: o.Err.Code, Text: text[:min(len(text), 300)], TookMS: o.Took.Milliseconds(),
	})
}

// consequences acts on what the provider said of the endpoint or recipient.
// They are not part of the batch (they live in the registry) and repeat safely.
func (t *Topics) consequences(e channels.Entry, r *deliveryRecord, o channels.Outcome) {
	err := o.Err
	if err == nil {
		return
	}
	l, loadErr := t.load(e.ID)
	if loadErr != nil {
		return
	}
	s, v := t.stored(l, r)
	if v.Action != channels.Send || t.deliveryPolicy(l.Owner, &s).Retry.Final(err) {
		return
	}
	if t.Guard != nil {
		if redirect, _ := t.Guard(s.Protocol, s.Endpoint); redirect != "" {
			return // it went to somebody else
		}
	}
	_, _, _, device := platformPath(s.Protocol, s.Endpoint)
	var failed error
	switch err.Kind {
	case channels.EndpointGone:
		if device {
			failed = t.disableDevice(context.Background(), &l.Publish, s.Endpoint, o.Endpoint, err)
		} else if !s.ID.IsZero() {
			failed = t.disable(context.Background(), l.Owner, l.Topic, s.ID, err)
		}
	case channels.RecipientBlocked:
		if device {
			s.Endpoint = o.Endpoint
		}
		_, failed = t.Suppress(context.Background(), l.Owner, Suppression{Protocol: s.Protocol, Endpoint: s.Endpoint, Reason: err.Provider + " " + err.Code})
	}
	if failed != nil {
		t.log.Error("could not note the provider's word about an endpoint", "delivery", e.ID, "kind", err.Kind, "error", failed)
	}
}
