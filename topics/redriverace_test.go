package topics_test

import (
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/queue/queuetest"
	"github.com/fanfare-gateway/fanfare/topics"
)

func TestRedrivesOfOneCauseAskedForAtOnce(t *testing.T) {
	t.Parallel()
	b := start(t)
	b.failed(numbers(30)...)
	for range 20 {
		var wg sync.WaitGroup
		errs := make([]error, 8)
		var began []topics.Redrive
		var mu sync.Mutex
		for i := range errs {
			wg.Go(func() {
				r, err := b.Redrive(t.Context(), refusedBySMS, 1)
				mu.Lock()
				defer mu.Unlock()
				if errs[i] = err; err == nil {
					began = append(began, r)
				}
			})
		}
		wg.Wait()
		require.Len(t, began, 1, "one of a cause runs at a time")
		for _, err := range errs {
			if err != nil {
				require.ErrorIs(t, err, topics.ErrConflict)
			}
		}
		_, err := b.CancelRedrive(t.Context(), began[0].ID) // long before its end
		require.NoError(t, err)
	}
}

// TestARedriveCutOffGoesThroughNothingTwice takes the disk as it is the moment
// the first letter goes out, before the redrive may have noted where it stands.
func TestARedriveCutOffGoesThroughNothingTwice(t *testing.T) {
	t.Parallel()
	for range 3 + 7/queuetest.Slowdown {
		synctest.Test(t, func(t *testing.T) {
			fs := vfs.NewCrashableMem()
			b := open(t, fs).run()
			const suppressed = 6
			for _, e := range numbers(suppressed) {
				b.failed(e)
				_, err := b.Suppress(t.Context(), owner, topics.Suppression{Protocol: topics.SMS, Endpoint: e})
				require.NoError(t, err)
			}
			b.failed("+a", "+b")
			crashed := make(chan vfs.FS, 1)
			b.sms.script(func(channels.Delivery) (channels.Receipt, error) {
				select {
				case crashed <- fs.CrashClone(vfs.CrashCloneCfg{}):
				default:
				}
				return channels.Receipt{}, &channels.Error{Provider: "twilio", Wait: time.Hour, Err: errors.New("busy")}
			})
			r, err := b.Redrive(t.Context(), refusedBySMS, 1000)
			require.NoError(t, err)
			after := <-crashed
			b.stop()

			b = open(t, after)
			_, err = b.Recover(t.Context(), "twilio/main", false)
			require.NoError(t, err)
			b.run()
			pass(2 * time.Minute) // the lease of the process that is gone
			r = b.redriven(r.ID)
			require.EqualValues(t, 2, r.Done)
			require.EqualValues(t, suppressed, r.Skipped)
			b.stop()
		})
	}
}
