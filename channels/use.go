package channels

import "io"

// use notes that something works with a channel of the account: an attempt, a
// probe, or the worker while it leases for it. release must follow. The account
// is locked.
func (a *account) use(ch Channel) { a.users[ch]++ }

// release ends a use. The last user of a channel that was replaced, or whose
// account ended, closes it: never is a channel closed under an attempt.
func (a *account) release(ch Channel) {
	a.mu.Lock()
	a.users[ch]--
	spare := a.spare(ch)
	a.mu.Unlock()
	a.close(spare)
}

// spare gives a channel that is to be closed now, once; else nil. The account
// is locked.
func (a *account) spare(ch Channel) Channel {
	users, open := a.users[ch]
	if !open || users > 0 || (ch == a.o.Channel && !a.ended) {
		return nil
	}
	delete(a.users, ch)
	return ch
}

// close closes a channel that holds connections. It may block as the channel's
// Close does, so nothing is locked.
func (a *account) close(ch Channel) {
	c, ok := ch.(io.Closer)
	if !ok {
		return
	}
	if err := c.Close(); err != nil {
		a.pool.log.Warn("channel cannot be closed", "account", a.name, "err", err)
	}
}

// end is the end of an account, removed or with its pool: its channel is closed
// after its last use.
func (a *account) end() {
	a.mu.Lock()
	a.ended = true
	spare := a.spare(a.o.Channel)
	a.mu.Unlock()
	a.close(spare)
}
