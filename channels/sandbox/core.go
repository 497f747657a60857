package sandbox

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// What is held in memory. The journal has more: it forgets only at a start, and
// then what exceeds keepItems.
const (
	keepItems   = 100_000  // requests; older ones are forgotten
	keepDetails = 32 << 20 // bytes of their bodies and fields
)

// core is what all fakes share: scripts, the inbox, what is kept, the life of
// the server.
type core struct {
	control net.Listener // of the control API
	script
	ctx    context.Context
	cancel context.CancelFunc
	opts   Options
	kept   *kept
	// unreported are the items of earlier runs with callbacks still to come.
	unreported []Item

	mu      sync.Mutex
	seq     int
	items   []Item         // in order of Seq
	whole   int            // index of the first that is not trimmed
	bytes   int            // of details in memory
	first   map[string]int // Seq of what its receiver knows, by sameAs
	signal  chan struct{}
	journal *journal // nil: in memory only
}

func newCore(o Options) (*core, error) {
	c := &core{opts: o, first: map[string]int{}}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	if o.Dir != "" {
		if err := os.MkdirAll(o.Dir, 0o700); err != nil {
			return nil, err
		}
	}
	var err error
	if c.kept, err = openKept(o.Dir); err != nil {
		return nil, err
	}
	// First of all the control address: another sandbox in the same folder has it,
	// and nothing of its is touched.
	if c.control, err = c.kept.listen("control"); err != nil {
		return nil, err
	}
	if err = c.script.restore(c.kept); err == nil && o.Dir != "" {
		err = c.load(filepath.Join(o.Dir, "inbox.ndjson"))
	}
	if err != nil {
		return nil, errors.Join(err, c.control.Close())
	}
	return c, nil
}

// load reads the journal. What the memory has no room for leaves the journal too.
func (c *core) load(path string) (err error) {
	var begins []int64 // of the lines of c.items
	pending := map[int]Item{}
	c.journal, err = openJournal(path, func(it Item, begin int64) {
		c.seq = max(c.seq, it.Seq)
		if it.Provider != "" {
			c.add(it)
			begins = append(begins, begin)
			begins = begins[len(begins)-len(c.items):]
			pending[it.Seq] = it
		} else {
			c.setReported(it.Seq, it.Reported)
			old := pending[it.Seq]
			old.Reported = it.Reported
			pending[it.Seq] = old
		}
		if old := pending[it.Seq]; old.Reported >= len(old.Callbacks) || time.Since(old.At) > reportFor {
			delete(pending, it.Seq)
		}
	})
	if err != nil {
		return err
	}
	c.unreported = slices.SortedFunc(maps.Values(pending), func(a, b Item) int { return cmp.Compare(a.Seq, b.Seq) })
	if len(begins) > 0 && begins[0] > 0 {
		return c.journal.drop(begins[0])
	}
	return nil
}

// close ends the journal. A request that comes to its end now is not answered.
func (c *core) close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = c.control.Close() // if it was served, it is closed already
	j := c.journal
	if c.journal = nil; j == nil {
		return nil
	}
	return j.file.Close()
}

// record notes a request. For an accepted one it is called before the answer
// goes out, so that the inbox is the truth even when the process is killed. If
// the journal cannot be written it panics: the request stays unanswered.
func (c *core) record(it Item) Item {
	c.mu.Lock()
	defer c.mu.Unlock()
	it.Seq, it.At = c.seq+1, time.Now().UTC()
	if it.known() {
		it.RepeatOf = c.first[it.sameAs()]
	}
	if c.journal != nil {
		if err := c.journal.append(it); err != nil {
			panic(fmt.Errorf("sandbox inbox: %w", err))
		}
	}
	c.seq++
	c.add(it)
	if c.signal != nil {
		close(c.signal)
		c.signal = nil
	}
	return it
}

// add puts an item in memory and makes room for it.
func (c *core) add(it Item) {
	if len(c.items) >= keepItems {
		gone := keepItems / 10
		for i := c.whole; i < gone; i++ {
			c.bytes -= c.items[i].details()
		}
		for i := range c.items[:gone] {
			if same := c.items[i].sameAs(); c.first[same] == c.items[i].Seq {
				delete(c.first, same)
			}
		}
		c.items = slices.Delete(c.items, 0, gone)
		c.whole = max(0, c.whole-gone)
	}
	c.items = append(c.items, it)
	if it.known() && it.RepeatOf == 0 {
		c.first[it.sameAs()] = it.Seq
	}
	c.bytes += it.details()
	for ; c.bytes > keepDetails; c.whole++ {
		old := &c.items[c.whole]
		c.bytes -= old.details()
		old.Subject, old.Body, old.Fields, old.Trimmed = "", "", nil, true
	}
}

// reported notes how many callbacks of an item have been answered.
func (c *core) reported(seq, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.setReported(seq, n)
	if c.journal != nil {
		_ = c.journal.append(Item{Seq: seq, Reported: n}) // else it is reported twice, as it happens with providers
	}
}

func (c *core) setReported(seq, n int) {
	if i, ok := slices.BinarySearchFunc(c.items, seq, func(it Item, seq int) int { return cmp.Compare(it.Seq, seq) }); ok {
		c.items[i].Reported = n
	}
}

// last is the newest item's Seq.
func (c *core) last() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seq
}

// clear empties the inbox. Callbacks under way go on.
func (c *core) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.items, c.whole, c.bytes = nil, 0, 0
	clear(c.first)
	if c.journal == nil {
		return
	}
	if err := c.journal.clear(c.seq); err != nil {
		panic(fmt.Errorf("sandbox inbox: %w", err))
	}
}

// changed is closed at the next record.
func (c *core) changed() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.signal == nil {
		c.signal = make(chan struct{})
	}
	return c.signal
}
