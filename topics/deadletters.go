package topics

import (
	"strings"
	"time"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/queue"
)

// DeadLetters are the failed deliveries of one cause.
type DeadLetters struct {
	Cause
	Count  int64     `json:"count"`
	First  time.Time `json:"first"`  // when the one that failed first failed
	Last   time.Time `json:"last"`   // when the one that failed last failed
	Action string    `json:"action"` // what to do
}

// addCause files a failed delivery under its cause; r.At is when it failed.
func (t *Topics) addCause(b *queue.Batch, r *deliveryRecord, id queue.ID) {
	cause := causeOf(r)
	b.Put(causeKey(cause, r.At, id), []byte{})
	b.Add(causeCounter(cause), 1)
}

// dropCause takes a failed delivery, as it was filed, out again.
func (t *Topics) dropCause(b *queue.Batch, r *deliveryRecord, id queue.ID) {
	cause := causeOf(r)
	b.Remove(causeKey(cause, r.At, id))
	b.Add(causeCounter(cause), -1)
}

// DeadLetters lists the causes of failed deliveries with their counts. Those
// of all owners together: it is the operator's view. It costs as much as there
// are causes, not dead letters.
func (t *Topics) DeadLetters() ([]DeadLetters, error) {
	sums := map[string]*DeadLetters{}
	var order []string
	for shard := range t.store.Shards() {
		err := t.store.Counters(shard, []byte{'x'}, func(key []byte, n int64) bool {
			cause := string(key[1:])
			if n == 0 {
				return true
			}
			if sums[cause] == nil {
				f := strings.Split(cause, "\x1f")
				c := Cause{Protocol: f[0], Account: f[1], Kind: f[2], Code: f[3]}
				sums[cause] = &DeadLetters{Cause: c, Action: suggest(c)}
				order = append(order, cause)
			}
			sums[cause].Count += n
			return true
		})
		if err != nil {
			return nil, err
		}
	}
	out := make([]DeadLetters, 0, len(order))
	for _, cause := range order {
		if err := t.span(cause, sums[cause]); err != nil {
			return nil, err
		}
		out = append(out, *sums[cause])
	}
	return out, nil
}

// DeadCounts counts the dead letters of each channel. It costs as much as there
// are causes, not dead letters.
func (t *Topics) DeadCounts() (map[string]int64, error) {
	out := map[string]int64{}
	for _, p := range Protocols() {
		out[accountProtocol(p)] = 0
	}
	for shard := range t.store.Shards() {
		err := t.store.Counters(shard, []byte{'x'}, func(key []byte, n int64) bool {
			protocol, _, _ := strings.Cut(string(key[1:]), "\x1f")
			out[accountProtocol(protocol)] += n
			return true
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// span finds when the first and the last dead letter of a cause failed.
func (t *Topics) span(cause string, d *DeadLetters) error {
	for shard := range t.store.Shards() {
		err := t.store.Scan(shard, causePrefix(cause), nil, func(r queue.Record) bool {
			if at := causeTime(r.Key); d.First.IsZero() || at.Before(d.First) {
				d.First = at
			}
			return false
		})
		if err != nil {
			return err
		}
		err = t.store.ScanBack(shard, causePrefix(cause), nil, func(r queue.Record) bool {
			if at := causeTime(r.Key); at.After(d.Last) {
				d.Last = at
			}
			return false
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func suggest(c Cause) string {
	switch c.Kind {
	case channels.EndpointGone.String():
		return "the endpoint is gone: have the recipient register again; a redrive would fail again"
	case channels.RecipientBlocked.String():
		return "the recipient refuses: leave it"
	case channels.Rejected.String():
		return "the provider refuses this message: mend content or settings, then publish anew or redrive"
	case channels.Uncertain.String():
		return "it may have been sent: look it up at the provider before a redrive"
	}
	return "mend the endpoint or wait for the provider, then redrive"
}
