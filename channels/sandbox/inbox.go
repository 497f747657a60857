package sandbox

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// keep is how many requests are remembered; older ones are forgotten.
const keep = 200_000

// Item is one request a fake saw.
type Item struct {
	Seq       int       `json:"seq"`
	At        time.Time `json:"at"`
	Provider  string    `json:"provider"`
	Recipient string    `json:"recipient"`
	// ID is the provider's id of the message.
	ID string `json:"id,omitempty"`
	// Delivery is the sender's own id as it travelled on the wire (apns-id,
	// Message-ID, webhook-id, deduplication id, d= of a callback URL).
	Delivery string `json:"delivery,omitempty"`
	Subject  string `json:"subject,omitempty"`
	Body     string `json:"body,omitempty"`
	// Fields are what else came along: headers, form fields, attributes.
	Fields map[string]string `json:"fields,omitempty"`
	// Accepted: the provider took the message, whether or not its answer got back.
	Accepted bool   `json:"accepted"`
	Status   int    `json:"status,omitempty"`
	Code     string `json:"code,omitempty"`
}

// core is what all fakes share: scripts, the inbox, the life of the server.
type core struct {
	script
	ctx    context.Context
	cancel context.CancelFunc
	opts   Options

	mu      sync.Mutex
	seq     int
	items   []Item
	signal  chan struct{}
	journal *os.File
}

func newCore(o Options) (*core, error) {
	c := &core{opts: o, signal: make(chan struct{})}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	if o.Dir == "" {
		return c, nil
	}
	if err := os.MkdirAll(o.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("sandbox inbox: %w", err)
	}
	path := filepath.Join(o.Dir, "inbox.ndjson")
	if err := c.load(path); err != nil {
		return nil, fmt.Errorf("sandbox inbox: %w", err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("sandbox inbox: %w", err)
	}
	c.journal = f
	return c, nil
}

func (c *core) load(path string) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // only read
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var it Item
		if json.Unmarshal(lines.Bytes(), &it) != nil {
			continue // the last line of a killed process may be half written
		}
		c.items = append(c.items, it)
		c.seq = it.Seq
	}
	return lines.Err()
}

func (c *core) close() error {
	if c.journal == nil {
		return nil
	}
	return c.journal.Close()
}

// record notes a request. For an accepted one it is called before the answer
// goes out, so that the inbox is the truth even when the process is killed.
func (c *core) record(it Item) Item {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seq++
	it.Seq, it.At = c.seq, time.Now().UTC()
	if len(c.items) >= keep {
		c.items = append(c.items[:0], c.items[keep/10:]...)
	}
	c.items = append(c.items, it)
	if c.journal != nil {
		line, _ := json.Marshal(it) // strings, numbers and times: cannot fail
		_, _ = c.journal.Write(append(line, '\n'))
	}
	close(c.signal)
	c.signal = make(chan struct{})
	return it
}

// changed is closed at the next record.
func (c *core) changed() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.signal
}

// Inbox lists the accepted messages of a provider for a recipient, in order;
// "" stands for any.
func (c *core) Inbox(provider, recipient string) []Item {
	return c.list(provider, recipient, func(it *Item) bool { return it.Accepted })
}

// Requests lists all requests seen, also those refused or dropped.
func (c *core) Requests(provider, recipient string) []Item {
	return c.list(provider, recipient, func(*Item) bool { return true })
}

func (c *core) list(provider, recipient string, want func(*Item) bool) []Item {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []Item
	for i := range c.items {
		it := &c.items[i]
		if (provider == "" || it.Provider == provider) && (recipient == "" || it.Recipient == recipient) && want(it) {
			out = append(out, *it)
		}
	}
	return out
}
