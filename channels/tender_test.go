package channels_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/queue"
)

// TestWhatIsOverEndsAlthoughItsAccountSendsNothing: wherever it is in the queue,
// and nothing else moves.
func TestWhatIsOverEndsAlthoughItsAccountSendsNothing(t *testing.T) {
	t.Parallel()
	stops := map[string]func(b *bench){
		"removed": func(b *bench) { b.Remove("a") },
		"paused":  func(b *bench) { require.NoError(b, b.Pause("a", "test")) },
		"faulted": func(b *bench) {
			b.send(channels.Critical, "g", 1)
			b.pass(time.Millisecond)
			require.Equal(b, channels.Faulted, b.state())
		},
	}
	for name, stop := range stops {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inShards(t, 2, func(b *bench) {
				broken := failing(errFault)
				b.put(broken, func(o *channels.AccountOptions) { o.ProbeEvery = time.Hour })
				b.start()
				stop(b)
				tried := len(broken.calls())
				const n = 700
				b.send(channels.Bulk, "g", n)
				b.send(channels.Critical, "h", 3)
				_, err := b.store.Send(b.Context(), channels.QueueName("a", channels.Bulk), queue.Message{Group: "g", Body: []byte("delayed/9"), At: b.store.Now().Add(24 * time.Hour)})
				require.NoError(b, err)
				b.pass(10 * time.Second)
				b.desk.mu.Lock()
				b.desk.outcomes = nil
				b.desk.admit = func(e channels.Entry) channels.Verdict {
					switch {
					case strings.HasSuffix(string(e.Body), "9"):
						return channels.Verdict{Action: channels.Expire}
					case e.Group == "h":
						return channels.Verdict{Action: channels.Retry, At: time.Now().Add(time.Hour)}
					}
					return channels.Verdict{}
				}
				b.desk.mu.Unlock()
				b.pass(10 * time.Second)
				want := make([]channels.Action, n/10+1)
				for i := range want {
					want[i] = channels.Expire
				}
				require.Equal(b, want, b.desk.actions())
				require.Len(b, b.settled, len(want))
				require.Len(b, broken.calls(), tried, "nothing was sent")

				missing, err := b.Missing()
				require.NoError(b, err)
				if name == "removed" {
					require.Len(b, missing, 1)
					require.EqualValues(b, n-n/10+3, missing[0].Waiting)
					require.Equal(b, channels.Missing, missing[0].State)
					require.Equal(b, "a", missing[0].Name)
				} else {
					require.Empty(b, missing)
				}

				b.desk.mu.Lock()
				b.desk.admit = nil
				b.desk.mu.Unlock()
				good := answering(nil)
				b.put(good)
				require.NoError(b, b.Resume("a"))
				b.pass(time.Minute)
				require.Zero(b, b.stats(channels.Bulk))
				require.GreaterOrEqual(b, len(good.calls()), n-n/10+3)
			})
		})
	}
}
