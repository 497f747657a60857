package topics_test

import (
	"context"
	"log/slog"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/queue"
	"github.com/fanfare-gateway/fanfare/topics"
)

// journal is a slog.Handler that keeps the lines logged.
type journal struct {
	mu    sync.Mutex
	lines []map[string]any
}

func (j *journal) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelInfo }
func (j *journal) WithAttrs([]slog.Attr) slog.Handler           { return j }
func (j *journal) WithGroup(string) slog.Handler                { return j }

func (j *journal) Handle(_ context.Context, r slog.Record) error {
	line := map[string]any{}
	r.Attrs(func(a slog.Attr) bool {
		line[a.Key] = a.Value.Any()
		return true
	})
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, line)
	return nil
}

// of are the lines about a publish.
func (j *journal) of(id queue.ID) (found []map[string]any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, line := range j.lines {
		if line["publish"] == topics.PublishName(id) {
			found = append(found, line)
		}
	}
	return found
}

// loggedPolicy asks for a line for everything, or, of sms, for failures alone.
func loggedPolicy(_ *topics.Topic, s *topics.Subscription) topics.DeliveryPolicy {
	p := topics.DeliveryPolicy{Retry: *quick, LogFailures: true}
	if s.Protocol != topics.SMS {
		p.LogSuccesses = 100
	}
	return p
}

func TestDeliveryStatusIsLogged(t *testing.T) {
	t.Parallel()
	b := start(t)
	b.topic("alerts")
	b.userQueue("work")
	for protocol, endpoint := range map[string]string{topics.HTTPS: "https://a/", topics.SMS: "+15005550006", topics.SQS: "work"} {
		b.mourned(topics.Subscription{Protocol: protocol, Endpoint: endpoint, Face: "logged"})
	}
	b.mourned(topics.Subscription{Protocol: topics.HTTPS, Endpoint: "https://silent/"})
	byProtocol := func(id queue.ID, n int) map[any]map[string]any {
		b.until(func() bool { return len(b.log.of(id)) >= n }) // a line follows its outcome
		all := map[any]map[string]any{}
		for _, line := range b.log.of(id) {
			require.NotContains(t, all, line["protocol"])
			all[line["protocol"]] = line
			require.Equal(t, "alerts", line["topic"])
			require.Contains(t, line, "dwell_ms")
		}
		return all
	}
	b.hook.script(func(channels.Delivery) (channels.Receipt, error) {
		return channels.Receipt{Delivered: true, ProviderID: "p1"}, nil
	})
	id := b.publish(topics.Request{Topic: "alerts", Message: "hello"})
	b.settle(id)
	got := byProtocol(id, 2)
	require.Len(t, got, 2, "successes of sms are not asked for")
	require.Equal(t, "success", got[topics.HTTPS]["outcome"])
	require.Equal(t, "p1", got[topics.HTTPS]["provider_id"])
	require.Equal(t, "success", got[topics.SQS]["outcome"])

	b.sms.script(refuse)
	b.hook.script(broken)
	require.NoError(t, b.store.DeleteQueue(t.Context(), topics.QueueName(owner, "work")))
	id = b.publish(topics.Request{Topic: "alerts", Message: "hello"})
	require.Equal(t, topics.Ledger{topics.Failed: 4}, b.settle(id))
	got = byProtocol(id, 3)
	require.Len(t, got, 3)
	require.Equal(t, "failure", got[topics.HTTPS]["outcome"])
	require.EqualValues(t, 3, got[topics.HTTPS]["attempts"])
	require.Equal(t, "500", got[topics.HTTPS]["code"])
	require.Equal(t, "21211", got[topics.SMS]["code"])
	require.Equal(t, "no_queue", got[topics.SQS]["code"])
}

// TestAFailureByEvidenceIsLogged: the provider says after the attempt that it failed.
func TestAFailureByEvidenceIsLogged(t *testing.T) {
	t.Parallel()
	b := start(t)
	b.topic("alerts")
	b.mourned(topics.Subscription{Protocol: topics.SMS, Endpoint: "+15005550006", Face: "logged"})
	b.sms.script(func(channels.Delivery) (channels.Receipt, error) { return channels.Receipt{}, nil })
	id := b.publish(topics.Request{Topic: "alerts", Message: "hello"})
	b.until(func() bool {
		st, err := b.Status(owner, id)
		require.NoError(t, err)
		return st.Ledger[topics.Sent]+st.Ledger[topics.Delivered] == 1
	})
	require.Empty(t, b.log.of(id))
	applied, err := b.Observe(t.Context(), topics.Evidence{
		Delivery: id.WithOrdinal(1), State: topics.Failed, Err: &channels.Error{Provider: "twilio", Kind: channels.Rejected, Code: "30005"},
	})
	require.NoError(t, err)
	require.True(t, applied)
	told := b.log.of(id)
	require.Len(t, told, 1)
	require.Equal(t, "failure", told[0]["outcome"])
	require.Equal(t, "30005", told[0]["code"])
}
