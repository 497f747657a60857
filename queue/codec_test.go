package queue

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// TestGroupsInKeys sort as they are and come out as they went in.
func TestGroupsInKeys(t *testing.T) {
	t.Parallel()
	text := rapid.StringOfN(rapid.SampledFrom([]rune{0, 1, 'a', 'b', 0xff}), 0, 6, -1)
	rapid.Check(t, func(t *rapid.T) {
		a, b := text.Draw(t, "a"), text.Draw(t, "b")
		ka, kb := string(appendGroup(nil, a)), string(appendGroup(nil, b))
		require.Equal(t, a < b, ka < kb)
		got, rest, ok := splitGroup([]byte(ka + "rest"))
		require.True(t, ok)
		require.Equal(t, a, got)
		require.Equal(t, "rest", string(rest))
	})
}

// TestPositions sort by first visibility, and those sent to wait for a
// millisecond before those sent in it.
func TestPositions(t *testing.T) {
	t.Parallel()
	var last uint64
	for _, now := range []int64{5, 5, 5, 6, 6, 7} {
		next := nextPosition(last, now)
		require.Greater(t, next, last)
		require.Equal(t, now, positionTime(next))
		require.False(t, wasDelayed(next))
		require.Greater(t, next, positionAt(now)|counterMask)
		last = next
	}
	last = positionAt(9) | promptBit | counterMask // two million within a millisecond
	next := nextPosition(last, 9)
	require.Greater(t, next, last)
	require.False(t, wasDelayed(next))
}

// FuzzValues feeds the parsers of stored values: they may refuse, not panic.
func FuzzValues(f *testing.F) {
	c := content{id: ID{1}, sentAt: 5, group: "g", dedup: "d", source: "s", before: 3, attrs: []byte("a"), body: []byte("b")}
	s := state{phase: phaseLeased, lease: 1, receives: 2, first: 3, leased: 4, due: 5, group: "g"}
	f.Add(c.append(nil))
	f.Add(s.append(nil))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, err := parseContent(b); err == nil {
			require.Len(t, c.append(nil), c.size())
			again, err := parseContent(c.append(nil))
			require.NoError(t, err)
			require.Equal(t, c, again)
		}
		if s, err := parseState(b); err == nil {
			again, err := parseState(s.append(nil))
			require.NoError(t, err)
			require.Equal(t, s, again)
		}
		_, _ = parseReady(1, b)
		_, _ = parseCounts(b)
		_, _ = parseHead(b)
		splitGroup(b)
	})
}
