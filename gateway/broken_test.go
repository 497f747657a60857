package gateway_test

import (
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/config"
	"github.com/fanfare-gateway/fanfare/gateway"
	"github.com/fanfare-gateway/fanfare/queue"
)

// A file that cannot be read is no reason to send publishers away: the rest goes
// on. Whoever asks for details is told.
func TestABrokenFileIsReadyWithAWarning(t *testing.T) {
	t.Parallel()
	fs, dir := vfs.NewMem(), t.TempDir()
	breakStore(t, fs, dir)
	var o gateway.Options
	o.ChangeStore(func(o *queue.Options) { o.FS = fs })
	r := start(t, o, func(c *config.Config) { c.Data = dir })
	var text string
	require.Eventually(t, func() bool {
		var status int
		status, text = r.ask(t, "/readyz?verbose")
		return status == http.StatusOK && !strings.HasPrefix(text, "store: ok\n")
	}, 10*time.Second, 5*time.Millisecond)
	require.Contains(t, text, "store: ok, but of 1 of its files a part cannot be read. The log names what is lost")
	require.Contains(t, text, "\nready\n")
	status, text := r.ask(t, "/readyz")
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, "ready\n", text)
	require.EqualValues(t, 1, scrape(t, r.Gateway)["fanfare_store_broken_files"])
	status, p := call(t, "POST", r.URL()+"/v1/topics", `{"name": "alerts"}`)
	require.Less(t, status, 300, p)
}

// breakStore makes a store with one table, and breaks a byte in its middle. The
// next Open makes another and has both compacted, which finds it.
func breakStore(t *testing.T, fs vfs.FS, dir string) {
	t.Helper()
	s, err := queue.Open(dir, queue.Options{FS: fs, Shards: 1, MemTable: 64 << 10})
	require.NoError(t, err)
	_, err = s.CreateQueue(t.Context(), "q", queue.Settings{})
	require.NoError(t, err)
	random, msgs := rand.NewChaCha8([32]byte{}), make([]queue.Message, 60)
	for i := range msgs {
		msgs[i].Body = make([]byte, 2<<10)
		_, _ = random.Read(msgs[i].Body)
	}
	_, err = s.Send(t.Context(), "q", msgs...) // more than memory may hold: one flush
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		m, err := s.Metrics()
		return err == nil && m.L0Files == 1
	}, 10*time.Second, time.Millisecond)
	require.NoError(t, s.Close())
	names, err := fs.List(dir)
	require.NoError(t, err)
	for _, n := range names {
		if !strings.HasSuffix(n, ".sst") {
			continue
		}
		f, err := fs.OpenReadWrite(fs.PathJoin(dir, n), vfs.WriteCategoryUnspecified)
		require.NoError(t, err)
		b, err := io.ReadAll(f)
		require.NoError(t, err)
		b[len(b)/2] ^= 0xff
		_, err = f.WriteAt(b, 0)
		require.NoError(t, err)
		require.NoError(t, f.Close())
	}
}
