package topics

import (
	"context"
	"errors"
	"time"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/queue"
)

var _ channels.Desk = (*Topics)(nil)

// Admit is channels.Desk: checked at hand-off, every attempt.
func (t *Topics) Admit(_ context.Context, e channels.Entry) (channels.Delivery, channels.Verdict) {
	a, verdict := t.admit(e)
	if verdict.Action != channels.Send {
		return a.Delivery, verdict
	}
	if rate := t.deliveryPolicy(a.owner, &a.sub).PerSecond; rate > 0 {
		if at, ok := t.paces.turn(a.sub.ID, rate, a.waited, t.store.Now()); !ok {
			return channels.Delivery{}, channels.Verdict{Action: channels.Retry, At: at, Free: true, Reason: reasonPace}
		}
	}
	return a.Delivery, verdict
}

// Over is channels.Desk: what may go waits on, whatever its subscription's rate.
func (t *Topics) Over(_ context.Context, e channels.Entry) channels.Verdict {
	_, verdict := t.admit(e)
	return verdict
}

// admitted is a delivery that may go.
type admitted struct {
	channels.Delivery
	owner  Owner
	sub    Subscription
	waited bool // for its turn at the subscription's rate
}

// admit is Admit but for the subscription's rate. It changes nothing.
func (t *Topics) admit(e channels.Entry) (a admitted, v channels.Verdict) {
	r, _, err := get[deliveryRecord](t.store, e.ID.Shard(), deliveryKey(e.ID))
	if errors.Is(err, ErrNotFound) || (err == nil && !r.State.hasEntry()) {
		return a, channels.Verdict{Action: channels.Drop}
	}
	if err != nil {
		return a, t.hiccup(e, err)
	}
	if r.State == Sending && !e.Idempotent { // its lease ended before its outcome was known
		return a, channels.Verdict{Action: channels.Unsure, Reason: "the attempt's outcome was not recorded"}
	}
	l, err := t.load(e.ID)
	if errors.Is(err, ErrNotFound) { // trying again would not bring it back
		return a, channels.Verdict{Action: channels.DeadLetter, Reason: "content lost: the publish's content is not in the store"}
	}
	if err != nil {
		return a, t.hiccup(e, err)
	}
	verdict := t.standing(&l.Publish)
	if verdict.Action == channels.Send && t.maySendAgain(&l.Publish, e) {
		verdict = channels.Verdict{Action: channels.Hold, Reason: "the store was restored; it may have been sent"}
	}
	if verdict.Action != channels.Send {
		return a, verdict
	}
	s, redirect, verdict := t.recipient(l, &r)
	if verdict.Action != channels.Send {
		return a, verdict
	}
	a = admitted{owner: l.Owner, sub: s, waited: r.Reason == reasonPace}
	if a.Delivery, err = t.render(l, s, e, r.Try+1); err != nil {
		return a, channels.Verdict{Action: channels.DeadLetter, Reason: "rendering: " + err.Error()}
	}
	if !a.Expires.IsZero() && !t.store.Now().Before(a.Expires) { // a face may set less than the publish's
		return a, channels.Verdict{Action: channels.Expire, Reason: "time to live used up"}
	}
	if redirect != "" {
		a.Endpoint = redirect
	}
	return a, channels.Verdict{Action: channels.Send}
}

// standing tells whether a publish's deliveries may go at all.
func (t *Topics) standing(p *Publish) channels.Verdict {
	original := t.originalControl(p)
	switch {
	case p.Control == Stopped, original == Stopped:
		return channels.Verdict{Action: channels.Cancel, Reason: "publish cancelled"}
	case p.Control == Paused, original == Paused:
		return channels.Verdict{Action: channels.Hold, Reason: "publish paused"}
	case !p.ExpiresAt.IsZero() && !t.store.Now().Before(p.ExpiresAt):
		return channels.Verdict{Action: channels.Expire, Reason: "deadline passed"}
	}
	return channels.Verdict{}
}

// originalControl is what was asked of the publish that another one repeats: it
// holds for what its replays bring too.
func (t *Topics) originalControl(p *Publish) Control {
	if p.Original == nil {
		return Running
	}
	return t.controlOf(p.Original.ID)
}

// controlOf is what was asked of a publish. One that completed while it was
// paused, or is forgotten, cannot be resumed any more, and so is not paused.
func (t *Topics) controlOf(id queue.ID) Control {
	p, _, err := get[Publish](t.store, id.Shard(), publishKey(id))
	if err != nil || (p.Phase == Completed && p.Control == Paused) {
		return Running
	}
	return p.Control
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
func (t *Topics) hiccup(e channels.Entry, err error) channels.Verdict {
	t.log.Error("hand-off could not read the store", "delivery", e.ID, "error", err)
	return t.unread()
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
	l, err := t.load(e.ID)
	if err != nil {
		return t.deliveryPolicy(Owner{}, &Subscription{Protocol: r.Protocol}).Retry
	}
	return t.policyOf(l, &r)
}

func (t *Topics) policyOf(l *loaded, r *deliveryRecord) channels.RetryPolicy {
	s := Subscription{Protocol: r.Protocol}
	if found, v := t.stored(l, r); v.Action == channels.Send {
		s = found
	}
	return t.deliveryPolicy(l.Owner, &s).Retry
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
	if r.waiting() && to != Queued {
		r.Next = time.Time{}
		b.Add(waitingKey(id), -1)
	}
	r.State, r.At = to, t.store.Now().UTC()
	if from.State.Final() != to.Final() {
		from.addReplaying(b, -1)
		r.addReplaying(b, 1)
	}
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
