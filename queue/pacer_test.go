package queue_test

import (
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/queue"
)

var errBroken = errors.New("a table is broken")

// compacting is a database in which compactions always wait. Each goes on until
// the test ends it.
type compacting struct {
	*queue.Pacer
	allowed int
	begun   chan time.Time
	hold    chan struct{} // if there is one, Schedule waits for its end

	mu      sync.Mutex
	waiting bool
}

func newCompacting(allowed int) *compacting {
	c := &compacting{Pacer: new(queue.Pacer), allowed: allowed, begun: make(chan time.Time, 100), waiting: true}
	c.Register(1, c)
	return c
}

func (c *compacting) GetAllowedWithoutPermission() int { return c.allowed }

func (c *compacting) GetWaitingCompaction() (bool, pebble.WaitingCompaction) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.waiting, pebble.WaitingCompaction{}
}

func (c *compacting) Schedule(pebble.CompactionGrantHandle) bool {
	if c.hold != nil {
		<-c.hold
	}
	c.begun <- time.Now()
	return true
}

// setWaiting tells whether more compactions wait.
func (c *compacting) setWaiting(yes bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting = yes
}

// end ends a compaction, as Pebble does.
func (c *compacting) end(err error) {
	c.Ended(err)
	c.Done()
}

// begins is how many begin until all goroutines wait.
func (c *compacting) begins() int {
	synctest.Wait()
	n := len(c.begun)
	for range n {
		<-c.begun
	}
	return n
}

// TestPacerPauses has compactions fail: each is followed by a pause twice as
// long, up to a minute, and a success ends that.
func TestPacerPauses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCompacting(1)
		defer c.Unregister()
		ok, _ := c.TrySchedule()
		require.True(t, ok)
		for range 2 {
			for _, pause := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60} {
				failed := time.Now()
				c.end(errBroken)
				require.Zero(t, c.begins(), "in the pause")
				ok, _ := c.TrySchedule()
				require.False(t, ok, "in the pause")
				require.Equal(t, pause*time.Second, (<-c.begun).Sub(failed))
				require.Zero(t, c.begins(), "one at a time")
			}
			c.end(nil)
			require.Equal(t, 1, c.begins(), "at once after a success")
		}
	})
}

// TestPacerAtOnce has as many compactions run at a time as Pebble allows, with
// one pause for all that fail together.
func TestPacerAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCompacting(3)
		defer c.Unregister()
		for _, want := range []bool{true, true, true, false} {
			ok, _ := c.TrySchedule()
			require.Equal(t, want, ok)
		}
		c.end(nil)
		require.Equal(t, 1, c.begins())
		c.allowed = 4 // as when a backlog grows
		c.end(nil)
		require.Equal(t, 2, c.begins())
		c.allowed = 2
		c.end(nil)
		c.end(nil)
		require.Zero(t, c.begins(), "two still run")

		failed := time.Now()
		c.end(errBroken)
		c.end(errBroken)
		require.Equal(t, time.Second, (<-c.begun).Sub(failed))
		require.Equal(t, 1, c.begins(), "the other")

		c.setWaiting(false)
		c.end(nil)
		require.Zero(t, c.begins(), "none waits")
		ok, _ := c.TrySchedule()
		require.True(t, ok, "what did not begin is not counted")
		c.end(nil)
		c.end(nil)
	})
}

// TestPacerEnds has nothing begin once it is unregistered: not after a pause,
// not where a compaction still runs. It waits for what begins just then.
func TestPacerEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCompacting(2)
		for range 2 {
			ok, _ := c.TrySchedule()
			require.True(t, ok)
		}
		c.end(errBroken)
		c.Unregister()
		c.end(errBroken)
		pass(time.Hour)
		require.Zero(t, c.begins())
		ok, _ := c.TrySchedule()
		require.False(t, ok)

		c = newCompacting(1)
		c.hold = make(chan struct{})
		ok, _ = c.TrySchedule()
		require.True(t, ok)
		go c.end(nil)
		synctest.Wait()
		ended := make(chan struct{})
		go func() { c.Unregister(); close(ended) }()
		synctest.Wait()
		select {
		case <-ended:
			t.Fatal("it did not wait for what begins")
		default:
		}
		close(c.hold)
		<-ended
		require.Equal(t, 1, c.begins())
	})
}
