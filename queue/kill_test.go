package queue_test

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/queue"
	"github.com/fanfare-gateway/fanfare/queue/queuetest"
)

// kills is how many processes TestKill kills.
var kills = flag.Int("kills", 2+4/queuetest.Slowdown, "processes to kill")

// killedFolder makes the test binary a process that is to be killed: it works
// on the store in this folder.
const killedFolder = "FANFARE_QUEUE_KILL"

// runKilled works until it is killed, and says on its output what was asked
// and what was acknowledged.
func runKilled(dir, shards string) {
	t := &testing.T{}
	var o queue.Options
	_, _ = fmt.Sscan(shards, &o.Shards)
	s, err := queue.Open(dir, o)
	if err != nil {
		panic(err)
	}
	if _, err := s.CreateQueue(context.Background(), "q", queue.Settings{FIFO: true, Visibility: time.Hour}); err != nil {
		panic(err)
	}
	w := newWitness()
	w.tell = func(what, body string) { _, _ = fmt.Fprintln(os.Stdout, what, body) }
	var wg sync.WaitGroup
	for c := range crashCallers {
		wg.Go(func() { w.load(t, s, "q", c, nil) })
	}
	wg.Wait()
}

// TestKill kills processes (kill -9) in the middle of their work on a store of
// the real file system: what they said was acknowledged is true afterwards.
func TestKill(t *testing.T) {
	t.Parallel()
	for i := range *kills {
		dir := t.TempDir()
		shards := []string{"1", "8"}[i%2]
		child := exec.Command(os.Args[0]) //nolint:gosec // this very binary
		child.Env = append(os.Environ(), killedFolder+"="+dir+":"+shards)
		out, err := child.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, child.Start())
		w := newWitness()
		limit := crashAcked + rand.IntN(2000)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			what, body, _ := strings.Cut(lines.Text(), " ")
			w.note(what, body)
			if w.acked == limit {
				require.NoError(t, child.Process.Kill())
			}
		}
		require.Error(t, child.Wait(), "it was killed")
		require.GreaterOrEqual(t, w.acked, limit)
		s, err := queue.Open(dir, queue.Options{})
		require.NoError(t, err)
		wrong := append(w.compare(s), w.repeat(s)...)
		require.NoError(t, s.Close())
		require.Empty(t, wrong)
	}
}
