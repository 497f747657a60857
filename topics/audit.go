package topics

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"time"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/queue"
)

// auditState is what the auditor suspected in its last round: a difference is
// reported when a second look finds it again with the counters unmoved.
type auditState struct {
	suspects map[queue.ID]suspect
}

type suspect struct {
	diff   int64
	ledger Ledger
}

// audit walks open publishes round after round.
func (t *Topics) audit(ctx context.Context) error {
	tick := time.NewTicker(t.AuditEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		n, err := t.Audit()
		if err != nil {
			return err
		}
		if n != 0 {
			t.log.Error("the ledger does not balance", "differences", n)
		}
	}
}

// Audit is one round of the auditor over the publishes that are not complete:
// it recounts their records against their counters and the entries of the
// accounts' queues against the records that must have one. It returns the
// number of differences seen in this round and the one before; a first
// suspicion counts 0. It must not run twice at the same time.
func (t *Topics) Audit() (int64, error) {
	entries, err := t.countEntries()
	if err != nil {
		return 0, err
	}
	suspects := map[queue.ID]suspect{}
	var total int64
	var bad error
	err = t.eachOpen(func(id queue.ID) {
		diff, l, err := t.auditOne(id, entries[id])
		bad = errors.Join(bad, err)
		if diff == 0 {
			return
		}
		suspects[id] = suspect{diff: diff, ledger: l}
		if before, ok := t.audits.suspects[id]; ok && before.diff == diff && maps.Equal(before.ledger, l) {
			total += diff
		}
	})
	t.audits.suspects = suspects
	if err := errors.Join(err, bad); err != nil {
		return 0, err
	}
	t.m.imbalance.Set(float64(total))
	return total, nil
}

// countEntries counts the accounts' queue entries of each publish.
func (t *Topics) countEntries() (map[queue.ID]int64, error) {
	entries := map[queue.ID]int64{}
	for after := ""; ; {
		page, err := t.store.Queues("deliver/", after, 500)
		if err != nil || len(page) == 0 {
			return entries, err
		}
		for _, q := range page {
			after = q.Name
			for shard := range t.store.Shards() {
				err := t.store.Messages(q.Name, shard, 0, func(m queue.Peeked) bool {
					entries[m.ID.WithOrdinal(0)]++
					return true
				})
				if err != nil {
					return nil, err
				}
			}
		}
	}
}

// auditOne compares one publish's records, counters and entries.
func (t *Topics) auditOne(id queue.ID, entries int64) (int64, Ledger, error) {
	counted, err := t.ledger(id)
	if err != nil {
		return 0, nil, err
	}
	recounted := Ledger{}
	var bad error
	err = t.store.Scan(id.Shard(), deliveriesPrefix(id), nil, func(r queue.Record) bool {
		var d deliveryRecord
		if bad = json.Unmarshal(r.Value, &d); bad != nil {
			return false
		}
		recounted[d.State]++
		return true
	})
	if err := errors.Join(err, bad); err != nil {
		return 0, nil, err
	}
	var diff int64
	for _, s := range States() {
		diff += abs(counted[s] - recounted[s])
	}
	diff += abs(entries - recounted[Queued] - recounted[Sending])
	return diff, counted, nil
}

func abs(n int64) int64 { return max(n, -n) }

// Depth is how many entries wait for an account, by lane.
func (t *Topics) Depth(account string) (map[channels.Lane]queue.Stats, error) {
	out := map[channels.Lane]queue.Stats{}
	for _, lane := range channels.Lanes() {
		st, err := t.store.Stats(channels.QueueName(account, lane))
		if err != nil {
			return nil, err
		}
		out[lane] = st
	}
	return out, nil
}
