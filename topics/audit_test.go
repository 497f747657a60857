package topics_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/queue"
	"github.com/fanfare-gateway/fanfare/topics"
)

// TestAuditorFindsWhatIsBroken breaks each of the things the auditor compares.
func TestAuditorFindsWhatIsBroken(t *testing.T) {
	t.Parallel()
	b := start(t)
	require.NoError(t, b.pool.Pause("twilio/main", "test"))
	b.topic("alerts")
	b.subscribe("alerts", topics.HTTPS, "https://a/")
	b.hook.script(func(channels.Delivery) (channels.Receipt, error) {
		return channels.Receipt{}, &channels.Error{Provider: "webhook", Status: 500, Kind: channels.Rejected}
	})
	failed := b.publish(topics.Request{Topic: "alerts", Message: "x"})
	require.Equal(t, topics.Ledger{topics.Failed: 1}, b.settle(failed))
	waiting := b.publish(topics.Request{To: &topics.Target{Protocol: topics.SMS, Endpoint: "+1"}, Message: "x"})
	audit := func() int64 {
		n, err := b.Audit()
		require.NoError(t, err)
		return n
	}
	require.Zero(t, audit())
	// change commits a change to the shard of a publish behind topics' back.
	change := func(id queue.ID, fn func(*queue.Batch)) {
		batch := &queue.Batch{}
		fn(batch)
		_, err := b.store.Commit(t.Context(), id.Shard(), batch)
		require.NoError(t, err)
	}
	prefixed := func(table byte, id []byte) []byte { return append([]byte{table}, id...) }
	dlv := waiting.WithOrdinal(1)
	ledger := append(prefixed('l', waiting.Prefix()), byte(topics.Delivered))
	record, err := b.store.Get(waiting.Shard(), prefixed('d', dlv[:]))
	require.NoError(t, err)
	for what, broken := range map[string]struct {
		id       queue.ID
		do, undo func(*queue.Batch)
		found    int64
	}{
		"a counter too high": {waiting, func(c *queue.Batch) { c.Add(ledger, 1) }, func(c *queue.Batch) { c.Add(ledger, -1) }, 1},
		"a record lost": {
			waiting, func(c *queue.Batch) { c.Remove(record.Key) }, func(c *queue.Batch) { c.Put(record.Key, record.Value) },
			2, // a count without its record, an entry without its record
		},
		"a publish not found open": {
			waiting, func(c *queue.Batch) { c.Remove(prefixed('o', waiting.Prefix())) },
			func(c *queue.Batch) { c.Put(prefixed('o', waiting.Prefix()), nil) }, 2, // and it has an open delivery
		},
		"a held delivery that is none": {
			waiting, func(c *queue.Batch) { c.Put(prefixed('h', dlv[:]), nil) },
			func(c *queue.Batch) { c.Remove(prefixed('h', dlv[:])) }, 1,
		},
	} {
		change(broken.id, broken.do)
		require.Equal(t, broken.found, audit(), what)
		change(broken.id, broken.undo)
		require.Zero(t, audit(), what)
	}
	entry := channels.QueueName("twilio/main", channels.Transactional)
	change(waiting, func(c *queue.Batch) { c.Send(entry, queue.Message{ID: dlv, Group: "g"}) })
	require.EqualValues(t, 1, audit(), "an entry twice")
}

// TestAuditorWalksByItself: nobody has to ask for its rounds, and one does not end them.
func TestAuditorWalksByItself(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := open(t, vfs.NewMem())
		b.AuditEvery(10 * time.Second)
		b.run()
		found := func() (n int) {
			b.log.mu.Lock()
			defer b.log.mu.Unlock()
			for _, line := range b.log.lines {
				if line["book"] == "ledger" {
					n++
				}
			}
			return n
		}
		pass(time.Minute)
		require.Zero(t, found())
		wrong := &queue.Batch{}
		wrong.Add(append([]byte{'l'}, make([]byte, len(queue.ID{}))...), 1)
		_, err := b.store.Commit(t.Context(), 0, wrong)
		require.NoError(t, err)
		pass(time.Minute)
		require.Equal(t, 6, found())
	})
}
