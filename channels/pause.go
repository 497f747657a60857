package channels

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/fanfare-gateway/fanfare/queue"
)

// pause is an operator's pause of an account. It is a record of the registry,
// so that it lasts over a restart, a rotation, and even the account's removal
// from the configuration.
type pause struct {
	Since  time.Time `json:"since"`
	Reason string    `json:"reason"`
}

// pauseKey is the record's key. Configured accounts are the default owner's.
func pauseKey(account string) []byte { return []byte("000000000000/local/pause/" + account) }

// ForgetPause adds the end of an account's pause to the batch in which the
// account itself is made or deleted: another one of the name begins without.
func ForgetPause(b *queue.Batch, account string) { b.Remove(pauseKey(account)) }

// paused reads an account's pause; nil if it has none.
func (p *Pool) paused(account string) (*pause, error) {
	r, err := p.store.Get(queue.Registry, pauseKey(account))
	if errors.Is(err, queue.ErrNotFound) {
		return nil, nil
	}
	var held pause
	if err == nil {
		err = json.Unmarshal(r.Value, &held)
	}
	if err != nil {
		return nil, fmt.Errorf("account %q: read its pause: %w", account, err)
	}
	return &held, nil
}

// Pause stops leasing from an account until Resume, also by a later process.
// Running attempts finish. Durable on return; ErrNoAccount if there is none of
// that name.
func (p *Pool) Pause(name, reason string) error {
	p.pausing.Lock()
	defer p.pausing.Unlock()
	a, err := p.account(name)
	if err != nil {
		return err
	}
	held := pause{Since: p.store.Now().UTC(), Reason: reason}
	if now := a.pausedNow(); now != nil {
		held.Since = now.Since
	}
	value, err := json.Marshal(held)
	if err != nil {
		return fmt.Errorf("pause account %q: %w", name, err)
	}
	b := new(queue.Batch)
	b.Put(pauseKey(name), value)
	if _, err := p.store.Commit(context.Background(), queue.Registry, b); err != nil {
		return fmt.Errorf("pause account %q: %w", name, err)
	}
	a.setPause(&held)
	p.log.Info("account paused", "account", name, "reason", reason)
	return nil
}

// Resume ends a pause, and a fault without waiting for its test. Durable on
// return; ErrNoAccount if there is none of that name.
func (p *Pool) Resume(name string) error {
	p.pausing.Lock()
	defer p.pausing.Unlock()
	a, err := p.account(name)
	if err != nil {
		return err
	}
	if a.pausedNow() != nil {
		b := new(queue.Batch)
		b.Remove(pauseKey(name))
		if _, err := p.store.Commit(context.Background(), queue.Registry, b); err != nil {
			return fmt.Errorf("resume account %q: %w", name, err)
		}
	}
	a.setPause(nil)
	p.log.Info("account active", "account", name, "reason", "resumed by the operator")
	return nil
}

func (a *account) pausedNow() *pause {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.pause
}

// setPause sets a pause, or with nil makes the account active.
func (a *account) setPause(held *pause) {
	a.mu.Lock()
	was := a.state()
	a.pause = held
	if held == nil && was != Active {
		a.clear()
	}
	changed := a.state() != was
	a.metrics.show(a.state())
	a.mu.Unlock()
	a.notify()
	if changed {
		a.pool.changed(a.describe())
	}
}
