package queue_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/queue"
	"github.com/fanfare-gateway/fanfare/queue/queuetest"
)

// BenchmarkQueues prints what 100,000 queues cost: made, configured, listed in
// pages, opened again and deleted, beside raw Pebble with a synced commit for each.
func BenchmarkQueues(b *testing.B) {
	const n = 100_000
	ctx, dir := context.Background(), b.TempDir()
	s := openScale(b, dir)
	took := make(map[string]queuetest.Spent)
	each := func(what string, do func(name string) error) {
		took[what] = queuetest.Callers(scaleCallers, n, func(_, i int) {
			if err := do(fmt.Sprintf("queue-%06d", i)); err != nil {
				b.Error(err)
			}
		})
		b.ReportMetric(n/took[what].Wall.Seconds(), what+"/s")
	}
	each("made", func(name string) error {
		_, err := s.CreateQueue(ctx, name, queue.Settings{})
		return err
	})
	each("configured", func(name string) error {
		return s.ConfigureQueue(ctx, name, queue.Settings{Tags: map[string]string{"team": "a"}})
	})
	b.ReportMetric(resident(b), "resident-MiB")
	require.NoError(b, s.Close())
	s = openScale(b, dir)
	b.ReportMetric(timed(func() {
		listed, after := 0, ""
		for page := []queue.Queue(nil); listed == 0 || len(page) > 0; listed += len(page) {
			var err error
			page, err = s.Queues("", after, 1000)
			require.NoError(b, err)
			if len(page) > 0 {
				after = page[len(page)-1].Name
			}
		}
		require.Equal(b, n, listed)
	}), "list-all-ms")
	each("deleted", func(name string) error { return s.DeleteQueue(ctx, name) })
	require.NoError(b, s.Close())
	raw := queuetest.Callers(scaleCallers, n, queuetest.Raw(b, 1, false)) // last, as it has memory too
	for what, spent := range took {
		b.ReportMetric(raw.Wall.Seconds()/spent.Wall.Seconds(), what+"-ratio")
	}
	b.ReportMetric(0, "ns/op")
}
