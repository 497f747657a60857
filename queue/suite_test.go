package queue_test

import (
	"flag"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/fanfare-gateway/fanfare/queue"
	"github.com/fanfare-gateway/fanfare/queue/queuetest"
)

func TestMain(m *testing.M) {
	if dir, shards, ok := strings.Cut(os.Getenv(killedFolder), ":"); ok {
		runKilled(dir, shards)
	}
	if queuetest.Slowdown > 1 { // before the command line is read, which may say otherwise
		if err := flag.Set("rapid.checks", strconv.Itoa(200/queuetest.Slowdown)); err != nil {
			panic(err)
		}
	}
	goleak.VerifyTestMain(m)
}

// TestSuite runs the suite on the embedded store, and recounts what each
// behaviour left behind.
func TestSuite(t *testing.T) {
	t.Parallel()
	queuetest.Run(t, func(t *testing.T, o queue.Options) *queue.Store {
		s := open(t, o)
		t.Cleanup(func() {
			s := open(t, o)
			require.Empty(t, s.Recount())
			require.NoError(t, s.Close())
		})
		return s
	})
}

func open(t testing.TB, o queue.Options) *queue.Store {
	t.Helper()
	s, err := queue.Open("store", o)
	require.NoError(t, err)
	return s
}
