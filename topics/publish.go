package topics

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/queue"
)

// Publish accepts a publish with one durable write. It returns once that is
// durable: deliveries follow in the background. Replayed tells that the
// Idempotency-Key was seen before and the first publish is returned. A request
// that can never succeed is a FieldError, and nothing is written.
func (t *Topics) Publish(ctx context.Context, req Request) (p Publish, replayed bool, err error) {
	at := t.place(&req) // as it came: checking fills it in
	// A repeat gets its answer whatever has changed since: the deadline has
	// passed, the template has a newer version, the topic is gone.
	first, err := t.remembered(&req, &at)
	if err != nil || !first.ID.IsZero() {
		return first, err == nil, err
	}
	c, err := t.check(&req)
	if err != nil {
		return Publish{}, false, err
	}
	for gone := 0; ; {
		first, err := t.remembered(&req, &at)
		if err != nil || !first.ID.IsZero() {
			return first, err == nil, err
		}
		p, err := t.accept(ctx, &req, &c, at)
		switch {
		case errors.Is(err, queue.ErrConflict): // the same key at the same moment: the other one won
		case errors.Is(err, queue.ErrNotFound) && gone < goneTries:
			gone++
		default:
			return p, false, err
		}
	}
}

// goneTries is how often a batch is built anew that sent to a queue which was
// deleted at that moment: with the queue gone, its delivery fails for good and
// the others go on. Each time takes another queue.
const goneTries = 10

// MaxFIFOSubscriptions is the most subscriptions of a FIFO topic, so that its
// publishes are never expanded behind the answer.
// https://docs.aws.amazon.com/general/latest/gr/sns.html
const MaxFIFOSubscriptions = 100

// accept makes the one durable write.
func (t *Topics) accept(ctx context.Context, req *Request, c *content, at place) (Publish, error) {
	topic, leave, err := t.enter(req.Owner, req.Topic)
	if err != nil {
		return Publish{}, err
	}
	defer leave()
	p := Publish{
		ID: t.store.NewID(at.shard), Owner: req.Owner, Topic: req.Topic, Lane: req.Lane, Template: req.Template,
		TemplateVersion: req.TemplateVersion, Created: t.store.Now().UTC(), SendAt: req.SendAt,
		ExpiresAt: req.ExpiresAt, OnUncertain: topic.OnUncertain, Audience: t.store.NewID(0), Next: 1, Phase: Expanding,
	}
	if topic.ArchiveDays > 0 { // replays go by the time receivers are shown
		p.Created = p.ID.Time()
	}
	b := &queue.Batch{}
	b.Intake()
	if req.repeatable() {
		p.Key = idempotencyKey(req)
		b.Expect(p.Key, at.revision)
		put(b, p.Key, idempotencyRecord{Publish: p.ID, Fingerprint: at.fingerprint, At: p.Created})
	}
	put(b, contentKey(p.ID), *c)
	b.Put(openKey(p.ID), []byte{})
	if req.SendAt.After(p.Created) {
		p.Phase = Scheduled
		b.Send(scheduleQueue, queue.Message{ID: p.ID, At: req.SendAt})
	} else {
		if topic.ArchiveDays > 0 {
			p.Archived = p.ID
		}
		if err := t.begin(b, &p, c); err != nil {
			return p, err
		}
	}
	put(b, publishKey(p.ID), p)
	b.After(func() { t.m.accepted(c.size) })
	if _, err := t.store.Commit(ctx, at.shard, b); err != nil {
		return p, err
	}
	t.noteClosed(p.ID)
	return p, nil
}

// begin archives the publish and adds the first part of the audience: all of it
// when it is small, else an entry for the expander.
func (t *Topics) begin(b *queue.Batch, p *Publish, c *content) error {
	t.archive(b, p, c)
	if c.To != nil {
		end, err := t.endpointOf(c.To)
		if err != nil {
			return err
		}
		p.Phase = Expanded
		t.enqueue(b, p, c, Subscription{Protocol: c.To.Protocol, Account: c.To.Account, Endpoint: end.Address, Group: end.Group})
		return nil
	}
	most := limits{candidates: t.Candidates, matches: t.Matches, whole: true}
	if c.DedupID != "" {
		most = limits{candidates: MaxFIFOSubscriptions + 1, matches: MaxFIFOSubscriptions + 1, whole: true}
	}
	m, err := t.match(p, c, most)
	if err != nil {
		return err
	}
	if !m.done {
		b.Send(expandQueue, queue.Message{ID: p.ID, Group: p.ID.Hex()})
		return nil
	}
	for _, s := range m.found {
		t.enqueue(b, p, c, s)
	}
	p.Phase, p.Cursor = Expanded, m.cursor
	return nil
}

func (t *Topics) endpointOf(to *Target) (channels.Endpoint, error) {
	if to.Account == localQueue {
		return channels.Endpoint{Address: to.Endpoint, Group: to.Endpoint}, nil
	}
	if _, _, _, ok := platformPath(to.Protocol, to.Endpoint); ok {
		return channels.Endpoint{Address: to.Endpoint, Group: to.Account}, nil
	}
	return t.Accounts.CheckEndpoint(to.Account, to.Endpoint)
}

// limits bound one match.
type limits struct {
	candidates, matches int
	whole               bool // a part of the audience is of no use
}

// matched is what one match found.
type matched struct {
	found  []Subscription
	cursor []byte // where the next begins
	done   bool   // the audience ended
}

// match finds subscriptions that want the publish, in order of their keys
// behind its cursor: by the topic's index, or by walking them until it has
// looked at so many candidates or found so many matches.
func (t *Topics) match(p *Publish, c *content, most limits) (m matched, err error) {
	audience := t.audience(c)
	if m, ok, err := t.pick(p, audience.message, most); ok || err != nil {
		return m, err
	}
	m = matched{cursor: p.Cursor, done: true}
	looked := 0
	var bad error
	err = t.store.Scan(queue.Registry, subscriptionsPrefix(p.Owner, p.Topic), p.Cursor, func(r queue.Record) bool {
		if looked == most.candidates || len(m.found) == most.matches {
			m.done = false
			return false
		}
		looked++
		var s Subscription
		if bad = json.Unmarshal(r.Value, &s); bad != nil {
			return false
		}
		if string(s.ID[:]) > string(p.Audience[:]) {
			return false
		}
		m.cursor = append(m.cursor[:0:0], r.Key...)
		var wanted bool
		if wanted, bad = audience.wanted(&s); wanted {
			m.found = append(m.found, s)
		}
		return bad == nil
	})
	return m, errors.Join(err, bad)
}

// enqueue adds one delivery: its record, its count, its entry. A queue of this
// gateway gets the message itself, so its delivery is delivered at once. A
// subscription whose replay brings the publish gets it then.
func (t *Topics) enqueue(b *queue.Batch, p *Publish, c *content, s Subscription) {
	if s.Replay.withholds(p) {
		return
	}
	id := p.ID.WithOrdinal(p.Next)
	p.Next++
	r := deliveryRecord{State: Queued, Protocol: s.Protocol, Account: s.Account, Sub: s.ID, Group: s.Group, At: p.Created}
	done := channels.Outcome{Verdict: channels.Verdict{Action: channels.Done}}
	switch gone := t.gone(p.Owner, &s); {
	case gone != "":
		r.State, r.Kind, r.Code, r.At = Failed, channels.EndpointGone.String(), gone, t.store.Now().UTC()
		t.addCause(b, &r, id)
		t.bury(b, &loaded{Publish: *p, content: *c}, s, id, &r)
		done.Verdict.Action = channels.DeadLetter
		if p.failed++; p.failed <= eventsOfFailures {
			t.emitFailed(b, p, id, &r)
		}
	case r.local():
		r.State = Delivered
		t.intoQueue(b, p, c, s, id)
	default:
		b.Send(channels.QueueName(s.Account, p.Lane), queue.Message{ID: id, Group: s.Group})
	}
	if r.State != Queued {
		t.feedback(b, p, &s, ended{id, &r, done})
		t.count(b, r, p)
	}
	put(b, deliveryKey(id), r)
	b.Add(ledgerKey(id, r.State), 1)
}

// gone says why nothing can ever take a subscription's deliveries; "" if
// something can: its queue of this gateway, its account.
func (t *Topics) gone(o Owner, s *Subscription) string {
	if s.Protocol == SQS && s.Account == localQueue {
		if _, err := t.store.Queue(s.Endpoint); err != nil {
			return "no_queue"
		}
		return ""
	}
	platform, name, _, ok := platformPath(s.Protocol, s.Endpoint)
	if !ok {
		return ""
	}
	if _, ok := t.Accounts.Account(s.Account); ok {
		return "" // more is known at hand-off
	}
	if _, err := t.PlatformApplication(o, platform, name); errors.Is(err, ErrNotFound) {
		return reasonGone
	}
	return ""
}

// intoQueue sends the message itself to a queue of this gateway.
func (t *Topics) intoQueue(b *queue.Batch, p *Publish, c *content, s Subscription, id queue.ID) {
	d := t.queueCopy(p, c, s, id)
	dedup, group := id.Hex(), c.Group
	if c.DedupID != "" {
		dedup = c.DedupID
		if q, err := t.store.Queue(s.Endpoint); err == nil && !q.Settings.FIFO {
			group = "" // order ends here, and the group is no tenant
		}
	}
	b.Send(s.Endpoint, queue.Message{
		ID: id, Group: group, DedupID: dedup, Body: d.Content.Payload, Attributes: queueAttributes(d.Attributes, c.Trace),
	})
}
