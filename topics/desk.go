package topics

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/queue"
)

var _ channels.Desk = (*Topics)(nil)

// Admit is channels.Desk: checked at hand-off, every attempt.
func (t *Topics) Admit(_ context.Context, e channels.Entry) (channels.Delivery, channels.Verdict) {
	r, _, err := get[deliveryRecord](t.store, e.ID.Shard(), deliveryKey(e.ID))
	if errors.Is(err, ErrNotFound) || (err == nil && !r.State.hasEntry()) {
		return channels.Delivery{}, channels.Verdict{Action: channels.Drop}
	}
	if err != nil {
		return t.hiccup(e, err)
	}
	if r.State == Sending && !e.Idempotent { // its lease ended before its outcome was known
		return channels.Delivery{}, channels.Verdict{Action: channels.Unsure, Reason: "the attempt's outcome was not recorded"}
	}
	l, err := t.load(e.ID)
	if errors.Is(err, ErrNotFound) { // trying again would not bring it back
		return channels.Delivery{}, channels.Verdict{Action: channels.DeadLetter, Reason: "content lost: the publish's content is not in the store"}
	}
	if err != nil {
		return t.hiccup(e, err)
	}
	verdict := t.standing(&l.Publish)
	if verdict.Action == channels.Send && t.maySendAgain(&l.Publish, e) {
		verdict = channels.Verdict{Action: channels.Hold, Reason: "the store was restored; it may have been sent"}
	}
	if verdict.Action != channels.Send {
		return channels.Delivery{}, verdict
	}
	s, redirect, verdict := t.recipient(l, &r)
	if verdict.Action != channels.Send {
		return channels.Delivery{}, verdict
	}
	if rate := t.deliveryPolicy(l.Owner, &s).PerSecond; rate > 0 {
		if at, ok := t.paces.turn(s.ID, rate, r.Reason == reasonPace, t.store.Now()); !ok {
			return channels.Delivery{}, channels.Verdict{Action: channels.Retry, At: at, Free: true, Reason: reasonPace}
		}
	}
	d, err := t.render(l, s, e, r.Try+1)
	if err != nil {
		return d, channels.Verdict{Action: channels.DeadLetter, Reason: "rendering: " + err.Error()}
	}
	if !d.Expires.IsZero() && !t.store.Now().Before(d.Expires) { // a face may set less than the publish's
		return d, channels.Verdict{Action: channels.Expire, Reason: "time to live used up"}
	}
	if redirect != "" {
		d.Endpoint = redirect
	}
	return d, channels.Verdict{Action: channels.Send}
}

// standing tells whether a publish's deliveries may go at all.
func (t *Topics) standing(p *Publish) channels.Verdict {
	switch {
	case p.Control == Stopped:
		return channels.Verdict{Action: channels.Cancel, Reason: "publish cancelled"}
	case p.Control == Paused:
		return channels.Verdict{Action: channels.Hold, Reason: "publish paused"}
	case !p.ExpiresAt.IsZero() && !t.store.Now().Before(p.ExpiresAt):
		return channels.Verdict{Action: channels.Expire, Reason: "deadline passed"}
	}
	return channels.Verdict{}
}

// recipient finds who a delivery goes to as things stand now, and where the
// guard sends it instead, or why it may not go.
func (t *Topics) recipient(l *loaded, r *deliveryRecord) (s Subscription, redirect string, v channels.Verdict) {
	s, v = t.subscriptionFor(l, r)
	if v.Action != channels.Send {
		return s, "", v
	}
	why, err := t.suppressed(l.Publish, s)
	if err != nil {
		t.log.Error("suppressions could not be read", "publish", l.ID, "error", err)
		return s, "", t.unread()
	}
	if why != "" {
		return s, "", channels.Verdict{Action: channels.Suppress, Reason: why}
	}
	if t.Guard != nil {
		var ok bool
		if redirect, ok = t.Guard(s.Protocol, s.Endpoint); !ok {
			return s, "", channels.Verdict{Action: channels.Suppress, Reason: reasonGuard}
		}
	}
	return s, redirect, v
}

// unread gives an attempt back after a failed read of the store.
func (t *Topics) unread() channels.Verdict {
	return channels.Verdict{Action: channels.Retry, At: t.store.Now().Add(time.Second), Free: true, Reason: "store"}
}

// hiccup gives an entry back after a failed read of the store.
func (t *Topics) hiccup(e channels.Entry, err error) (channels.Delivery, channels.Verdict) {
	t.log.Error("hand-off could not read the store", "delivery", e.ID, "error", err)
	return channels.Delivery{}, t.unread()
}

// subscriptionFor finds who a delivery goes to as things stand now.
func (t *Topics) subscriptionFor(l *loaded, r *deliveryRecord) (Subscription, channels.Verdict) {
	s, v := t.stored(l, r)
	if _, _, _, ok := platformPath(s.Protocol, s.Endpoint); ok && v.Action == channels.Send {
		return t.onDevice(l.Owner, s)
	}
	return s, v
}

// stored is the subscription a delivery comes by, or one made of the publish's
// direct target.
func (t *Topics) stored(l *loaded, r *deliveryRecord) (Subscription, channels.Verdict) {
	if r.Sub.IsZero() {
		to := l.content.To
		return Subscription{Protocol: to.Protocol, Endpoint: to.Endpoint, Account: to.Account, Group: r.Group, Face: l.content.Face}, channels.Verdict{}
	}
	s, _, err := get[Subscription](t.store, queue.Registry, subscriptionKey(l.Owner, l.Topic, r.Sub))
	switch {
	case errors.Is(err, ErrNotFound):
		return s, channels.Verdict{Action: channels.Cancel, Reason: "subscription deleted"}
	case err != nil:
		return s, t.unread()
	case s.Disabled != "":
		return s, channels.Verdict{Action: channels.DeadLetter, Reason: ReasonDisabled}
	}
	return s, channels.Verdict{}
}

// Policy is channels.Desk.
func (t *Topics) Policy(_ context.Context, e channels.Entry) channels.RetryPolicy {
	r, _, err := get[deliveryRecord](t.store, e.ID.Shard(), deliveryKey(e.ID))
	if err != nil {
		return defaultPolicies[""]
	}
	s := Subscription{Protocol: r.Protocol}
	if l, err := t.load(e.ID); err == nil {
		if found, v := t.stored(l, &r); v.Action == channels.Send {
			s = found
		}
		return t.deliveryPolicy(l.Owner, &s).Retry
	}
	return t.deliveryPolicy(Owner{}, &s).Retry
}

// defaultPolicies by protocol. Webhooks follow the schedule of Standard
// Webhooks 1.0.0 (about three days); people's channels are tried for six hours
// as SNS does, queues and functions for a day.
var defaultPolicies = map[string]channels.RetryPolicy{
	HTTP: webhookPolicy, HTTPS: webhookPolicy,
	"": {Phases: []channels.Phase{
		{Tries: 2, From: 10 * time.Second, To: 10 * time.Second},
		{Tries: 10, From: 10 * time.Second, To: 10 * time.Minute, Backoff: channels.Jitter},
		{Tries: 34, From: 10 * time.Minute, To: 10 * time.Minute},
	}},
	SQS: machinePolicy, Lambda: machinePolicy,
}

var webhookPolicy = channels.RetryPolicy{Phases: []channels.Phase{
	{Tries: 1, From: 5 * time.Second}, {Tries: 1, From: 5 * time.Minute}, {Tries: 1, From: 30 * time.Minute},
	{Tries: 1, From: 2 * time.Hour}, {Tries: 1, From: 5 * time.Hour}, {Tries: 1, From: 10 * time.Hour},
	{Tries: 1, From: 14 * time.Hour}, {Tries: 1, From: 20 * time.Hour}, {Tries: 1, From: 24 * time.Hour},
}}

var machinePolicy = channels.RetryPolicy{Phases: []channels.Phase{
	{Tries: 2, From: time.Second, To: time.Second},
	{Tries: 10, From: time.Second, To: time.Minute, Backoff: channels.Jitter},
	{Tries: 1440, From: time.Minute, To: time.Minute},
}}

// Intend is channels.Desk: queued → sending, and the attempt counts.
func (t *Topics) Intend(b *queue.Batch, e channels.Entry, d channels.Delivery) error {
	r, rev, err := get[deliveryRecord](t.store, e.ID.Shard(), deliveryKey(e.ID))
	if errors.Is(err, ErrNotFound) {
		return queue.ErrConflict
	}
	if err != nil {
		return err
	}
	if r.State == Sending && e.Idempotent { // an attempt whose outcome was lost: repeated
		r.State = Queued
		b.Add(ledgerKey(e.ID, Sending), -1)
		b.Add(ledgerKey(e.ID, Queued), 1)
	}
	if r.State != Queued || r.Try+1 != d.Try {
		return queue.ErrConflict
	}
	b.Expect(deliveryKey(e.ID), rev)
	r.Try = d.Try
	return t.move(b, e.ID, &r, cmdLease)
}

// move follows a command and adds the changed record and counters to b.
func (t *Topics) move(b *queue.Batch, id queue.ID, r *deliveryRecord, c command) error {
	to, err := r.State.follow(c)
	if err != nil {
		return err
	}
	t.set(b, id, r, to)
	return nil
}

// set writes a delivery's new state with everything that hangs on it.
func (t *Topics) set(b *queue.Batch, id queue.ID, r *deliveryRecord, to State) {
	from := *r
	if r.State != to {
		b.Add(ledgerKey(id, r.State), -1)
		b.Add(ledgerKey(id, to), 1)
	}
	if r.Waiting && to != Queued {
		r.Waiting = false
		b.Add(waitingKey(id), -1)
	}
	r.State, r.At = to, t.store.Now().UTC()
	switch {
	case from.State == Failed && to != Failed:
		t.dropCause(b, &from, id)
	case to == Failed && from.State != Failed:
		t.addCause(b, r, id)
		if l, err := t.load(id); err == nil {
			t.emitFailed(b, &l.Publish, id, r)
			t.buryFailed(b, l, id, r)
		}
	}
	switch {
	case to == Held:
		b.Put(heldKey(id), []byte{})
	case from.State == Held:
		b.Remove(heldKey(id))
	}
	t.countMove(b, id, r, from.State)
	put(b, deliveryKey(id), r)
}

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
	if !r.State.hasEntry() || o.Verdict.Action == channels.Drop || (o.Try != 0 && o.Try != r.Try) {
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
		t.tellFailed(b, e.ID, r, o)
		t.feedbackOf(b, e.ID, r, o)
		return t.move(b, e.ID, r, cmdFail)
	}
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
	b.Send(channels.QueueName(r.Account, p.Lane), queue.Message{ID: e.ID, Group: r.Group})
	return t.move(b, e.ID, r, cmdGiveBack)
}

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
	waiting := at.After(t.store.Now())
	if waiting != r.Waiting {
		r.Waiting = waiting
		if waiting {
			b.Add(waitingKey(e.ID), 1)
		} else {
			b.Add(waitingKey(e.ID), -1)
		}
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
