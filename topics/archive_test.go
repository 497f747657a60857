package topics_test

import (
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/queue"
	"github.com/fanfare-gateway/fanfare/topics"
)

// archive makes a topic that keeps what is published for a day.
func (b *bench) archive(name string) {
	b.t.Helper()
	_, err := b.CreateTopic(b.t.Context(), owner, topics.Topic{Name: name, ArchiveDays: 1})
	require.NoError(b.t, err)
}

// archivedIn counts the records of archives.
func (b *bench) archivedIn() (n int) {
	b.t.Helper()
	for shard := range b.store.Shards() {
		require.NoError(b.t, b.store.Scan(shard, []byte{'z'}, nil, func(queue.Record) bool { n++; return true }))
	}
	return n
}

func TestAnArchiveKeepsItsDays(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fs := vfs.NewMem()
		b := open(t, fs).run()
		b.archive("news")
		for i := range 3 {
			b.publish(topics.Request{Topic: "news", Message: strconv.Itoa(i)})
			b.stop()
			require.NoError(t, b.store.Close())
			pass(25 * time.Hour / 3)
			b = open(t, fs).run()
		}
		topic, err := b.Topic(owner, "news")
		require.NoError(t, err)
		now := b.store.Now()
		require.Equal(t, now.Add(-24*time.Hour), topic.ArchiveBegins(now))
		pass(time.Minute)
		require.Equal(t, 2, b.archivedIn(), "what is older is removed")

		for _, days := range []int{0, 1} { // ended, and begun again
			_, err = b.ChangeTopic(t.Context(), owner, "news", func(topic *topics.Topic) error { topic.ArchiveDays = days; return nil })
			require.NoError(t, err)
		}
		begins := b.store.Now()
		b.publish(topics.Request{Topic: "news", Message: "new"})
		s := b.queue("work", queue.Settings{})
		s.Topic = "news"
		s = b.replays(s, begins)
		b.replayed(s.ID, topics.ReplayCompleted)
		require.Equal(t, []string{"new"}, messages(b.drain("work")), "what the archive held before it was ended is gone")
		pass(time.Minute)
		require.Equal(t, 1, b.archivedIn())
	})
}

// What is sent at a time is archived then; what is called back is not replayed.
func TestArchivesHoldWhatWentOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := start(t)
		b.archive("news")
		began := b.store.Now()
		b.publish(topics.Request{Topic: "news", Message: "later", SendAt: began.Add(time.Hour)})
		b.publish(topics.Request{Topic: "news", Message: "brief", ExpiresAt: began.Add(time.Minute)})
		require.NoError(t, b.pool.Pause("twilio/main", "test"))
		b.subscribe("news", topics.SMS, "+1")
		wrong := b.publish(topics.Request{Topic: "news", Message: "wrong"})
		_, err := b.SetControl(t.Context(), owner, wrong, topics.Stopped)
		require.NoError(t, err)
		pass(10 * time.Minute)
		s := b.queue("work", queue.Settings{})
		s.Topic = "news"
		s = b.replays(s, began)
		b.replayed(s.ID, topics.ReplayCompleted)
		require.Empty(t, b.drain("work"))
		pass(time.Hour)
		require.Equal(t, []string{"later"}, messages(b.drain("work")))
		require.Equal(t, 2, b.archivedIn())
	})
}
