package queue_test

import (
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/queue"
)

// TestWatchThenRead: who watches and then reads the old value hears of the new
// one, also if it was being written at that moment.
func TestWatchThenRead(t *testing.T) {
	t.Parallel()
	s := open(t, queue.Options{FS: vfs.NewMem()})
	defer func() { require.NoError(t, s.Close()) }()
	for i := range 3000 {
		key := fmt.Append(nil, "k", i)
		var wg sync.WaitGroup
		wg.Go(func() {
			b := &queue.Batch{}
			for j := range 20 {
				b.Put(fmt.Append(nil, "other", i, "/", j), nil)
			}
			b.Put(key, nil)
			for j := range 20 {
				b.Put(fmt.Append(nil, "more", i, "/", j), nil)
			}
			if _, err := s.Commit(t.Context(), 0, b); err != nil {
				t.Error(err)
			}
		})
		for range i % 50 { // meets the writer at another moment each time
			runtime.Gosched()
		}
		changed, stop := s.Watch(0, key)
		if _, err := s.Get(0, key); err != nil {
			require.ErrorIs(t, err, queue.ErrNotFound)
			select {
			case <-changed:
			case <-time.After(10 * time.Second):
				require.Fail(t, "not told", "round %d", i)
			}
		}
		stop()
		wg.Wait()
	}
}
