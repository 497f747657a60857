package email

import (
	"context"
	"slices"
	"sync"
	"time"
)

// maxAge is how long a connection is used: relays close old ones.
const maxAge = 10 * time.Minute

// pool keeps connections for the next delivery.
type pool struct {
	dialer
	messages int
	keep     time.Duration
	slots    chan struct{} // one for each connection in use

	mu     sync.Mutex
	idle   []*conn // the last used at the end
	closed bool
}

func newPool(d dialer, conns, messages int, keep time.Duration) *pool {
	return &pool{dialer: d, messages: messages, keep: keep, slots: make(chan struct{}, conns)}
}

// take waits for a free slot and returns a connection that stands: an idle one
// the relay still answers on, else a new one. The caller gives it back.
func (p *pool) take(ctx context.Context) (*conn, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, &failure{stage: stageConnect, err: err}
	}
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, &failure{stage: stageConnect, err: context.Cause(ctx)}
	}
	for ctx.Err() == nil {
		c := p.pop()
		if c == nil {
			break
		}
		if c.alive(ctx) {
			return c, nil
		}
		c.close()
	}
	c, err := p.dial(ctx)
	if err != nil {
		<-p.slots
		return nil, err
	}
	return c, nil
}

// give takes a connection back, to keep it if it is still good.
func (p *pool) give(c *conn) {
	if c.broken || c.sent >= p.messages || time.Since(c.opened) > maxAge || !p.push(c) {
		c.quit()
	}
	<-p.slots
}

// push keeps a connection for as long as the pool keeps idle ones.
func (p *pool) push(c *conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	p.idle = append(p.idle, c)
	c.idle = time.AfterFunc(p.keep, func() {
		if p.remove(c) {
			c.quit()
		}
	})
	return true
}

// pop takes the connection used last; nil if there is none.
func (p *pool) pop() *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.idle) == 0 {
		return nil
	}
	c := p.idle[len(p.idle)-1]
	p.idle = p.idle[:len(p.idle)-1]
	c.idle.Stop()
	return c
}

// remove takes a connection out; false tells that it is in use again.
func (p *pool) remove(c *conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := slices.Index(p.idle, c)
	if i < 0 {
		return false
	}
	p.idle = slices.Delete(p.idle, i, i+1)
	return true
}

// close ends the idle connections; those in use are not kept.
func (p *pool) close() {
	p.mu.Lock()
	idle := p.idle
	p.idle, p.closed = nil, true
	p.mu.Unlock()
	var leaving sync.WaitGroup // a relay that hangs costs one timeout, not one a connection
	for _, c := range idle {
		c.idle.Stop()
		leaving.Go(c.quit)
	}
	leaving.Wait()
}
