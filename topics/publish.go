package topics

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/queue"
)

// idempotencyRecord remembers a publish by its Idempotency-Key.
type idempotencyRecord struct {
	Publish     queue.ID  `json:"publish"`
	Fingerprint string    `json:"fingerprint"`
	At          time.Time `json:"at"`
}

// Publish accepts a publish with one durable write. It returns once that is
// durable: deliveries follow in the background. Replayed tells that the
// Idempotency-Key was seen before and the first publish is returned. A request
// that can never succeed is a FieldError, and nothing is written.
func (t *Topics) Publish(ctx context.Context, req Request) (p Publish, replayed bool, err error) {
	shard := t.place(req)
	fingerprint := ""
	if req.IdempotencyKey != "" {
		fingerprint = fingerprintOf(req) // as it came: checking fills it in
	}
	// A repeat gets its answer whatever has changed since: the deadline has
	// passed, the template has a newer version, the topic is gone.
	first, _, err := t.remembered(req, shard, fingerprint)
	if err != nil || !first.ID.IsZero() {
		return first, err == nil, err
	}
	c, err := t.check(&req)
	if err != nil {
		return Publish{}, false, err
	}
	for {
		first, rev, err := t.remembered(req, shard, fingerprint)
		if err != nil || !first.ID.IsZero() {
			return first, err == nil, err
		}
		p, err := t.accept(ctx, req, c, shard, rev, fingerprint)
		if errors.Is(err, queue.ErrConflict) {
			continue // the same key at the same moment: the other one won
		}
		return p, false, err
	}
}

// MaxFIFOSubscriptions is the most subscriptions of a FIFO topic, so that its
// publishes are never expanded behind the answer.
// https://docs.aws.amazon.com/general/latest/gr/sns.html
const MaxFIFOSubscriptions = 100

// repeatable tells whether a repeat of the request is recognised.
func (r *Request) repeatable() bool { return r.IdempotencyKey != "" || r.DedupID != "" }

// place is the shard a publish lives in: with its FIFO group, else found again
// by its idempotency key, else in turn.
func (t *Topics) place(req Request) int {
	switch {
	case req.Group != "":
		return t.store.ShardOf(req.Group)
	case req.IdempotencyKey != "":
		return t.store.ShardOf(req.IdempotencyKey)
	}
	return t.store.NextShard()
}

func fingerprintOf(req Request) string {
	text, _ := json.Marshal(req) // plain data: cannot fail
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// remembered looks the idempotency key up; a zero Publish means it is free at
// the revision returned.
func (t *Topics) remembered(req Request, shard int, fingerprint string) (Publish, uint64, error) {
	if !req.repeatable() {
		return Publish{}, 0, nil
	}
	ttl := t.IdempotencyTTL
	if req.DedupID != "" {
		ttl = queue.DedupWindow
	}
	r, rev, err := get[idempotencyRecord](t.store, shard, idempotencyKey(req))
	if errors.Is(err, ErrNotFound) {
		return Publish{}, 0, nil
	}
	if err != nil || t.store.Now().Sub(r.At) > ttl {
		return Publish{}, rev, err
	}
	if req.DedupID == "" && r.Fingerprint != fingerprint {
		return Publish{}, rev, ErrIdempotencyMismatch
	}
	p, _, err := get[Publish](t.store, shard, publishKey(r.Publish))
	if errors.Is(err, ErrNotFound) { // its ledger is not kept any more
		err = nil
	}
	return p, rev, err
}

// check validates a request, sets its defaults, pins its template and returns
// its content.
func (t *Topics) check(req *Request) (content, error) {
	c := content{
		To: req.To, Subject: req.Subject, Message: req.Message, HTML: req.HTML, Overrides: req.Overrides, Variants: req.Variants, Face: req.Face,
		Data: req.Data, Attributes: req.Attributes, Group: req.Group, Trace: req.Trace, DedupID: req.DedupID, CollapseID: req.CollapseID,
	}
	req.Lane = laneOf(req.Lane)
	if err := t.checkRequest(req); err != nil {
		return c, err
	}
	if (req.Topic == "") == (req.To == nil) {
		return c, invalid("topic", "name either a topic or one endpoint (to)")
	}
	if req.Topic != "" {
		if err := checkNotReserved("topic", req.Topic); err != nil {
			return c, err
		}
		if _, err := t.Topic(req.Owner, req.Topic); err != nil {
			return c, err
		}
	} else {
		to, end, err := t.resolve(req.Owner, *req.To, "to.")
		if err != nil {
			return c, err
		}
		to.Endpoint = end.Address
		c.To = &to
	}
	if err := t.pinTemplate(req); err != nil {
		return c, err
	}
	text, _ := json.Marshal(c) // plain data: cannot fail
	if c.size = len(text); c.size > t.MaxMessage {
		return c, invalid("message", fmt.Sprintf("is %d bytes with everything around it, at most %d are allowed", c.size, t.MaxMessage))
	}
	return c, nil
}

func (t *Topics) checkRequest(req *Request) error {
	if err := checkLane(req.Lane); err != nil {
		return err
	}
	now := t.store.Now()
	switch {
	case req.Message == "" && req.Template == "" && len(req.Overrides)+len(req.Variants) == 0:
		return invalid("message", "is missing; give a message or a template")
	case !req.ExpiresAt.IsZero() && !req.ExpiresAt.After(now):
		return invalid("expires_at", "lies in the past")
	case req.SendAt.Sub(now) > queue.MaxDelay:
		return invalid("send_at", "lies more than 400 days ahead")
	case !req.ExpiresAt.IsZero() && req.SendAt.After(req.ExpiresAt):
		return invalid("send_at", "lies behind expires_at")
	case strings.ContainsFunc(req.Subject, unicode.IsControl):
		return invalid("subject", "must not contain line breaks or other control characters")
	case len(req.IdempotencyKey) > 255:
		return invalid("Idempotency-Key", "must be at most 255 characters")
	case len(req.CollapseID) > 64:
		return invalid("collapse_id", "must be at most 64 bytes")
	}
	for name, a := range req.Attributes {
		if err := checkAttribute(name, a); err != nil {
			return err
		}
	}
	for protocol := range req.Overrides {
		if !knownProtocol(protocol) {
			return invalid("overrides."+protocol, "is no protocol")
		}
		if strings.ContainsFunc(req.Overrides[protocol].Subject, unicode.IsControl) {
			return invalid("overrides."+protocol+".subject", "must not contain line breaks or other control characters")
		}
	}
	return nil
}

func knownProtocol(name string) bool {
	for _, p := range Protocols() {
		if p == name {
			return true
		}
	}
	return false
}

// accept makes the one durable write.
func (t *Topics) accept(ctx context.Context, req Request, c content, shard int, keyRevision uint64, fingerprint string) (Publish, error) {
	topic, leave, err := t.enter(req.Owner, req.Topic)
	if err != nil {
		return Publish{}, err
	}
	defer leave()
	p := Publish{
		ID: t.store.NewID(shard), Owner: req.Owner, Topic: req.Topic, Lane: req.Lane, Template: req.Template,
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
		b.Expect(p.Key, keyRevision)
		put(b, p.Key, idempotencyRecord{Publish: p.ID, Fingerprint: fingerprint, At: p.Created})
	}
	put(b, contentKey(p.ID), c)
	b.Put(openKey(p.ID), []byte{})
	if req.SendAt.After(p.Created) {
		p.Phase = Scheduled
		b.Send(scheduleQueue, queue.Message{ID: p.ID, At: req.SendAt})
	} else {
		if topic.ArchiveDays > 0 {
			p.Archived = p.ID
		}
		if err := t.begin(b, &p, &c); err != nil {
			return p, err
		}
	}
	put(b, publishKey(p.ID), p)
	b.After(func() { t.m.accepted(c.size) })
	if _, err := t.store.Commit(ctx, shard, b); err != nil {
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
		t.feedback(b, p, &s, id, &r, done)
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
