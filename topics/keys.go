package topics

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/queue"
)

// Records of a data shard, all of a publish under its id's 12-byte prefix:
//
//	p id12            publish                 (publishRecord)
//	b id12            its content             (contentRecord)
//	d id16            delivery                (deliveryRecord)
//	h id16            held delivery           (empty)
//	a id16 try32      failed attempt          (FailedAttempt)
//	o id12            publish not yet complete (empty)
//	x cause 0 at64 id16  dead letter by cause and time of failure (empty)
//	r id16            redrive                 (redriveRecord; in shard 0)
//	y id16            the last dead letter of this shard a redrive looked at (its index key)
//	c cause           the latest redrive of a cause (its id; in shard 0)
//	i hash32          idempotency key         (idempotencyRecord)
//	z OWNER TOPIC 0 id12  publish in the archive of its topic (archived)
//	v id16            where a replay is in the shard's archive (a key of it)
//
// Counters:
//
//	l id12 state      ledger: deliveries in that state
//	w id12            of the queued ones, those waiting for a retry
//	x cause           dead letters of that cause
//	r id16 what       deliveries a redrive queued again or skipped
//	v id16            deliveries that replays of a subscription brought and that are not final
//
// Records of the registry, behind "ACCOUNT/REGION/":
//
//	t/TOPIC                          topic
//	s/TOPIC/id32                     subscription, in order of creation
//	e/TOPIC/PROTOCOL/hash            subscription id of an endpoint (unique)
//	n/id32                           topic of a subscription id
//	d/id32                           subscription that was ended and can be brought back (Deactivated)
//	m/NAME/version, m/NAME           template version, latest version
//	md/ACCOUNT/REGION/NAME           deleted template (of the gateway itself)
//	u/PROTOCOL/endpoint              suppression, with "\0" and its scope behind it if it has one
//	pa/PLATFORM/NAME                 platform application, with its credentials
//	pe/id32/id32                     platform endpoint, by its application
//	pt/id32/hash                     platform endpoint id of an application's token (unique)
//	g/id32                           platform application that needs an account (of the gateway itself)
//	v/id32                           event not yet published (of the gateway itself)
//	q/NAME                           when a queue was deleted (gateway/sqs)
//	k/unsubscribe                    key of unsubscribe links (gateway/callback; the default owner's)
//	k/sns-sms                        SMS attributes (gateway/sns)
//	k/sns-opted-in/NUMBER            when a number was opted in again (gateway/sns)
//	k/sns-certificate/NAME           certificates of SNS messages (gateway/sns; the gateway's own)
//	k/sns-signing                    key and certificate of SNS messages (gateway/sns; the gateway's own)
//
// Counters of the registry, behind the same:
//
//	s/TOPIC/what                     subscriptions of a topic (counts.go)
func publishKey(id queue.ID) []byte  { return append([]byte{'p'}, id.Prefix()...) }
func contentKey(id queue.ID) []byte  { return append([]byte{'b'}, id.Prefix()...) }
func openKey(id queue.ID) []byte     { return append([]byte{'o'}, id.Prefix()...) }
func deliveryKey(id queue.ID) []byte { return append([]byte{'d'}, id[:]...) }
func heldKey(id queue.ID) []byte     { return append([]byte{'h'}, id[:]...) }
func waitingKey(id queue.ID) []byte  { return append([]byte{'w'}, id.Prefix()...) }

func deliveriesPrefix(id queue.ID) []byte { return append([]byte{'d'}, id.Prefix()...) }
func heldPrefix(id queue.ID) []byte       { return append([]byte{'h'}, id.Prefix()...) }
func attemptsPrefix(id queue.ID) []byte   { return append([]byte{'a'}, id[:]...) }

func attemptKey(id queue.ID, try int) []byte {
	return binary.BigEndian.AppendUint32(attemptsPrefix(id), uint32(try))
}

func ledgerKey(id queue.ID, s State) []byte {
	return append(append([]byte{'l'}, id.Prefix()...), byte(s))
}

func causeCounter(cause string) []byte { return append([]byte{'x'}, cause...) }

func causePrefix(cause string) []byte { return append(causeCounter(cause), 0) }

func causeKey(cause string, at time.Time, id queue.ID) []byte {
	key := binary.BigEndian.AppendUint64(causePrefix(cause), uint64(at.UnixMilli()))
	return append(key, id[:]...)
}

// idOf is the id behind a table's letter: a publish's of 12 bytes, or all of one.
func idOf(key []byte) (id queue.ID) {
	copy(id[:], key[1:])
	return id
}

// causeID, causeText and causeTime read a key of causeKey.
func causeID(key []byte) queue.ID {
	return queue.ID(key[len(key)-len(queue.ID{}):])
}

func causeText(key []byte) []byte { return key[1 : len(key)-len(queue.ID{})-8-1] }

func causeTime(key []byte) time.Time {
	at := key[len(key)-len(queue.ID{})-8:]
	return time.UnixMilli(int64(binary.BigEndian.Uint64(at))).UTC()
}

func replayKey(id queue.ID) []byte { return append([]byte{'v'}, id[:]...) }

func replayingKey(subscription queue.ID) []byte { return append([]byte{'v'}, subscription[:]...) }

func redriveKey(id queue.ID) []byte { return append([]byte{'r'}, id[:]...) }

// What a redrive counts.
const (
	redriveQueued  = 'q'
	redriveSkipped = 's'
)

func redriveCounter(id queue.ID, what byte) []byte { return append(redriveKey(id), what) }

func redrivePlaceKey(id queue.ID) []byte { return append([]byte{'y'}, id[:]...) }

func latestRedriveKey(c Cause) []byte { return append([]byte{'c'}, c.text()...) }

// idempotencyKey is scoped to the owner; a FIFO topic's to the topic and, if its
// groups are apart, the group.
func idempotencyKey(req *Request) []byte {
	if req.DedupID != "" {
		scope := req.Owner.prefix() + "fifo/" + req.Topic + "\x00"
		if req.DedupPerGroup {
			scope += req.Group + "\x00"
		}
		sum := sha256.Sum256([]byte(scope + req.DedupID))
		return append([]byte{'i'}, sum[:]...)
	}
	sum := sha256.Sum256([]byte(req.Owner.prefix() + "\x00" + req.IdempotencyKey))
	return append([]byte{'i'}, sum[:]...)
}

func topicKey(o Owner, topic string) []byte { return []byte(o.prefix() + "t/" + topic) }

func subscriptionsPrefix(o Owner, topic string) []byte {
	return []byte(o.prefix() + "s/" + topic + "/")
}

func subscriptionKey(o Owner, topic string, id queue.ID) []byte {
	return []byte(o.prefix() + "s/" + topic + "/" + id.Hex())
}

func endpointKey(o Owner, topic, protocol, account, address string) []byte {
	sum := sha256.Sum256([]byte(account + "\x00" + address))
	return []byte(o.prefix() + "e/" + topic + "/" + protocol + "/" + hex.EncodeToString(sum[:16]))
}

func subscriptionTopicKey(o Owner, id queue.ID) []byte { return []byte(o.prefix() + "n/" + id.Hex()) }

func deactivatedPrefix(o Owner) []byte { return []byte(o.prefix() + "d/") }

func deactivatedKey(o Owner, id queue.ID) []byte { return append(deactivatedPrefix(o), id.Hex()...) }

func templateKey(o Owner, name string, version int) []byte {
	return fmt.Appendf(nil, "%sm/%s/%08d", o.prefix(), name, version)
}

func templateLatestKey(o Owner, name string) []byte { return []byte(o.prefix() + "m/" + name) }

func deletedTemplatePrefix() []byte { return []byte(DefaultOwner.prefix() + "md/") }

func deletedTemplateKey(o Owner, name string) []byte {
	return append(deletedTemplatePrefix(), o.prefix()+name...)
}

func suppressionKey(o Owner, s Suppression) []byte {
	key := o.prefix() + "u/" + s.Protocol + "/" + s.Endpoint
	switch {
	case s.Topic != "":
		key += "\x00t/" + s.Topic
	case s.Lane != "":
		key += "\x00l/" + string(s.Lane)
	}
	return []byte(key)
}

// put adds a record as JSON. The values are this package's own types, which
// always marshal.
func put(b *queue.Batch, key []byte, v any) {
	value, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("topics: marshal %T: %v", v, err))
	}
	b.Put(key, value)
}

// get reads a JSON record and its revision; ErrNotFound if there is none.
// Nothing is there under a name longer than any that is kept.
func get[T any](s *queue.Store, shard int, key []byte) (T, uint64, error) {
	var v T
	if len(key) > queue.MaxKey {
		return v, 0, ErrNotFound
	}
	r, err := s.Get(shard, key)
	if errors.Is(err, queue.ErrNotFound) {
		return v, 0, ErrNotFound
	}
	if err != nil {
		return v, 0, err
	}
	if err := json.Unmarshal(r.Value, &v); err != nil {
		return v, 0, fmt.Errorf("record %q: %w", key[0], err)
	}
	return v, r.Revision, nil
}

// row is a JSON record of a walk; the key is valid until the next.
type row[T any] struct {
	key   []byte
	value T
}

// scan is how a store or a view of it is walked (queue.Store.Scan).
type scan func(shard int, prefix, after []byte, fn func(queue.Record) bool) error

// each walks the JSON records whose keys begin with prefix, those behind after.
// An error is the last it yields.
func each[T any](in scan, shard int, prefix, after []byte) iter.Seq2[*row[T], error] {
	return func(yield func(*row[T], error) bool) {
		var bad error
		stopped := false
		err := in(shard, prefix, after, func(r queue.Record) bool {
			next := &row[T]{key: r.Key}
			if err := json.Unmarshal(r.Value, &next.value); err != nil {
				bad = fmt.Errorf("record %q: %w", r.Key[0], err)
				return false
			}
			stopped = !yield(next, nil)
			return !stopped
		})
		if err = errors.Join(err, bad); err != nil && !stopped {
			yield(nil, err)
		}
	}
}

// Cause names a group of dead letters: channel, account, kind and code.
type Cause struct {
	Protocol string `json:"protocol"`
	Account  string `json:"account"`
	Kind     string `json:"kind"`
	Code     string `json:"code"`
}

func (c Cause) text() string {
	return c.Protocol + "\x1f" + c.Account + "\x1f" + c.Kind + "\x1f" + c.Code
}

func causeOf(r *deliveryRecord) string {
	return Cause{Protocol: r.Protocol, Account: r.Account, Kind: r.Kind, Code: r.Code}.text()
}

// causeCode bounds what a provider calls a failure, so that it can be part of a
// key, and of a list that stays short.
func causeCode(code string) string {
	code = strings.Map(func(r rune) rune {
		if r < ' ' || r == utf8.RuneError {
			return '?'
		}
		return r
	}, code)
	return strings.ToValidUTF8(code[:min(len(code), 100)], "")
}

func checkLane(l channels.Lane) error {
	if !slices.Contains(channels.Lanes(), l) {
		return invalid("lane", "must be critical, transactional or bulk")
	}
	return nil
}

// laneOf is the lane asked for, or the default one.
func laneOf(l channels.Lane) channels.Lane {
	if l == "" {
		return channels.Transactional
	}
	return l
}
