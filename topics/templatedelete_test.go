package topics_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/queue"
	"github.com/fanfare-gateway/fanfare/templates"
	"github.com/fanfare-gateway/fanfare/topics"
)

// templateRecords counts what the store has of an owner's templates.
func (b *bench) templateRecords() (n int) {
	b.t.Helper()
	for _, table := range []string{"m/", "md/"} {
		prefix := []byte(owner.Account + "/" + owner.Region + "/" + table)
		require.NoError(b.t, b.store.Scan(queue.Registry, prefix, nil, func(queue.Record) bool { n++; return true }))
	}
	return n
}

// TestADeletedTemplateLastsAsLongAsItIsNeeded by a publish accepted before, or
// by an archive; then nothing of it is left.
func TestADeletedTemplateLastsAsLongAsItIsNeeded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := start(t)
		b.archive("news")
		began := b.store.Now()
		got := make(chan string, 9)
		b.sms.script(func(d channels.Delivery) (channels.Receipt, error) {
			got <- d.Content.Text
			return channels.Receipt{Delivered: true}, nil
		})
		put := func() int {
			t.Helper()
			tpl, err := b.PutTemplate(t.Context(), owner, templates.Template{Name: "hello", Text: "hello {{.name}}"})
			require.NoError(t, err)
			return tpl.Version
		}
		put()
		put()
		data := map[string]any{"name": "Ana"}
		later := b.publish(topics.Request{To: to("+1"), Template: "hello", Data: data, SendAt: b.store.Now().Add(2 * time.Hour)})
		b.publish(topics.Request{Topic: "news", Template: "hello", Data: data})
		require.NoError(t, b.DeleteTemplate(t.Context(), owner, "hello"))
		require.ErrorIs(t, b.DeleteTemplate(t.Context(), owner, "hello"), topics.ErrNotFound)
		_, err := b.Template(owner, "hello", 2)
		require.ErrorIs(t, err, topics.ErrNotFound)

		pass(2*time.Hour + 30*time.Minute)
		require.Equal(t, topics.Ledger{topics.Delivered: 1}, b.settle(later))
		require.Len(t, got, 1)
		require.Equal(t, "hello Ana", <-got)
		pass(3 * time.Hour) // its ledger is kept for one
		require.Equal(t, 4, b.templateRecords(), "the archive needs it")
		b.replays(topics.Subscription{Topic: "news", Protocol: topics.SMS, Endpoint: "+2"}, began)
		pass(time.Minute)
		require.Len(t, got, 1)
		require.Equal(t, "hello Ana", <-got)

		require.Equal(t, 3, put(), "a new one goes on counting")
		_, err = b.Template(owner, "hello", 2)
		require.ErrorIs(t, err, topics.ErrNotFound)
		require.NoError(t, b.DeleteTemplate(t.Context(), owner, "hello"))
		_, err = b.ChangeTopic(t.Context(), owner, "news", func(topic *topics.Topic) error {
			topic.ArchiveDays = 0
			return nil
		})
		require.NoError(t, err)
		pass(3 * time.Hour)
		require.Zero(t, b.templateRecords())
		require.Equal(t, 1, put(), "nobody knows of the others any more")
	})
}
