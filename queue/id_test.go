package queue_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/fanfare-gateway/fanfare/queue"
)

// TestIDRoundTrip takes IDs apart again.
func TestIDRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		at := time.UnixMilli(rapid.Int64Range(0, 1<<48-1).Draw(t, "time")).UTC()
		shard := rapid.IntRange(0, queue.MaxShards-1).Draw(t, "shard")
		seq := rapid.Uint64Range(0, 1<<34-1).Draw(t, "seq")
		n := rapid.Uint32().Draw(t, "ordinal")
		id := queue.MakeID(at, shard, seq, n)
		require.Equal(t, at, id.Time())
		require.Equal(t, shard, id.Shard())
		require.Equal(t, n, id.Ordinal())
		require.Equal(t, id.Prefix(), id.WithOrdinal(n+1).Prefix())
		for _, s := range []string{id.String(), id.Hex(), strings.ToUpper(id.String())} {
			back, err := queue.ParseID(s)
			require.NoError(t, err)
			require.Equal(t, id, back)
		}
		if seq < 1<<34-1 {
			require.Less(t, id.String(), queue.MakeID(at, shard, seq+1, 0).String(), "it grows with seq")
		}
	})
}

// TestBadIDs are refused by name.
func TestBadIDs(t *testing.T) {
	t.Parallel()
	good := queue.MakeID(time.Now(), 3, 4, 5).String()
	for _, s := range []string{
		"", "x", good[:35], good + "0", strings.Replace(good, "-", "", 1), strings.ReplaceAll(good, "-", "x"),
		"g" + good[1:], good[:14] + "7" + good[15:], good[:19] + "f" + good[20:],
	} {
		_, err := queue.ParseID(s)
		require.ErrorIs(t, err, queue.ErrInvalid, s)
	}
}
