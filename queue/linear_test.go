package queue_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/queue"
	"github.com/fanfare-gateway/fanfare/queue/queuetest"
)

// fifoCall is one operation on one group of a FIFO queue.
type fifoCall struct {
	kind string // send, receive, delete, release
	body string // of the message
}

// fifoGroup is the group as a sequential object: its messages, and whether the
// first of them is leased.
type fifoGroup struct {
	messages string // bodies, each followed by a space
	leased   bool
}

// fifoModel answers a call as a queue without concurrency would. The output is
// a body, "" for nothing, or "ok".
var fifoModel = porcupine.Model{
	Init: func() any { return fifoGroup{} },
	Step: func(state, input, output any) (bool, any) {
		g, call, out := state.(fifoGroup), input.(fifoCall), output.(string)
		first, rest, _ := strings.Cut(g.messages, " ")
		switch call.kind {
		case "send":
			return out == "ok", fifoGroup{g.messages + call.body + " ", g.leased}
		case "receive":
			if g.leased || first == "" {
				return out == "", g
			}
			return out == first, fifoGroup{g.messages, true}
		case "delete":
			return g.leased && first == call.body, fifoGroup{rest, false}
		}
		return g.leased && first == call.body, fifoGroup{g.messages, false} // release
	},
}

// TestLinearizable calls one FIFO group from many sides at once: the answers
// must be those of some order of the calls that fits when each was made and
// answered (Herlihy and Wing).
func TestLinearizable(t *testing.T) {
	t.Parallel()
	for _, shards := range queuetest.Shards() {
		t.Run(fmt.Sprintf("%d_shards", shards), func(t *testing.T) {
			t.Parallel()
			s := open(t, queue.Options{FS: vfs.NewMem(), Shards: shards})
			defer func() { require.NoError(t, s.Close()) }()
			const rounds = 100 / queuetest.Slowdown
			proven := 0
			for round := range rounds {
				name := fmt.Sprint("q", round)
				_, err := s.CreateQueue(context.Background(), name, queue.Settings{FIFO: true, Visibility: time.Hour})
				require.NoError(t, err)
				history := callGroup(t, s, name)
				// The search is exponential in how much overlaps; some are given up.
				got := porcupine.CheckOperationsTimeout(fifoModel, history, time.Second)
				require.NotEqual(t, porcupine.Illegal, got, "%+v", history)
				if got == porcupine.Ok {
					proven++
				}
			}
			require.Greater(t, proven, rounds/5, "many are searched to the end, on a busy machine too")
		})
	}
}

// TestLinearizabilityIsChecked shows that the check finds a wrong answer.
func TestLinearizabilityIsChecked(t *testing.T) {
	t.Parallel()
	s := open(t, queue.Options{FS: vfs.NewMem()})
	defer func() { require.NoError(t, s.Close()) }()
	_, err := s.CreateQueue(context.Background(), "q", queue.Settings{FIFO: true, Visibility: time.Hour})
	require.NoError(t, err)
	history := callGroup(t, s, "q")
	i := slices.IndexFunc(history, func(o porcupine.Operation) bool { return o.Input.(fifoCall).kind == "receive" && o.Output != "" })
	require.GreaterOrEqual(t, i, 0)
	history[i].Output = "never sent"
	require.Equal(t, porcupine.Illegal, porcupine.CheckOperationsTimeout(fifoModel, history, time.Minute))
}

// callGroup makes calls from several callers and returns what they saw.
func callGroup(t *testing.T, s *queue.Store, name string) (history []porcupine.Operation) {
	const callers, calls = 4, 24
	ctx := context.Background()
	begin := time.Now()
	var mu sync.Mutex
	var wg sync.WaitGroup
	for caller := range callers {
		wg.Go(func() {
			note := func(call fifoCall, do func() string) string {
				o := porcupine.Operation{ClientId: caller, Input: call, Call: int64(time.Since(begin))}
				out := do()
				o.Output, o.Return = out, int64(time.Since(begin))
				mu.Lock()
				defer mu.Unlock()
				history = append(history, o)
				return out
			}
			for n := range calls {
				if rand.IntN(5) < 2 {
					body := fmt.Sprintf("%d/%d", caller, n)
					note(fifoCall{"send", body}, func() string {
						_, err := s.Send(ctx, name, queue.Message{Group: "g", DedupID: body, Body: []byte(body)})
						return answered(t, err)
					})
					continue
				}
				var lease []queue.Received
				body := note(fifoCall{kind: "receive"}, func() string {
					var err error
					lease, err = s.Receive(ctx, name, queue.ReceiveOptions{Max: 1})
					if answered(t, err); len(lease) == 0 {
						return ""
					}
					return string(lease[0].Body)
				})
				switch {
				case body == "":
				case rand.IntN(3) == 0:
					note(fifoCall{"release", body}, func() string {
						return answered(t, s.ChangeVisibility(ctx, name, lease[0].Handle, 0))
					})
				default:
					note(fifoCall{"delete", body}, func() string { return answered(t, s.Delete(ctx, name, lease[0].Handle)[0]) })
				}
			}
		})
	}
	wg.Wait()
	return history
}

func answered(t *testing.T, err error) string {
	if err != nil {
		t.Error(err)
	}
	return "ok"
}
