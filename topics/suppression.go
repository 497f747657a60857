package topics

import (
	"context"
	"time"

	"github.com/fanfare-gateway/fanfare/queue"
)

// Suppression forbids deliveries to an endpoint: a consent record.
type Suppression struct {
	Protocol string    `json:"protocol"`
	Endpoint string    `json:"endpoint"`
	Reason   string    `json:"reason"`
	Created  time.Time `json:"created"`
}

// Suppress records a suppression; it holds from the next hand-off on. Durable
// on return.
func (t *Topics) Suppress(ctx context.Context, o Owner, s Suppression) (Suppression, error) {
	if !knownProtocol(s.Protocol) {
		return s, invalid("protocol", "is no protocol")
	}
	if s.Endpoint == "" {
		return s, invalid("endpoint", "is missing")
	}
	if account := t.Accounts.Default(accountProtocol(s.Protocol)); account != "" {
		end, err := t.Accounts.CheckEndpoint(account, s.Endpoint)
		if err != nil {
			return s, invalid("endpoint", err.Error())
		}
		s.Endpoint = end.Address
	}
	s.Created = t.store.Now().UTC()
	b := &queue.Batch{}
	put(b, suppressionKey(o, s.Protocol, s.Endpoint), s)
	if !t.suppressed(o, s.Protocol, s.Endpoint) {
		t.note(b, o, Event{Event: SuppressionAdded, Protocol: s.Protocol, Endpoint: s.Endpoint, Reason: s.Reason})
	}
	_, err := t.store.Commit(ctx, queue.Registry, b)
	return s, err
}

// Unsuppress lifts a suppression. Durable on return.
func (t *Topics) Unsuppress(ctx context.Context, o Owner, protocol, endpoint string) error {
	key := suppressionKey(o, protocol, endpoint)
	if _, _, err := get[Suppression](t.store, queue.Registry, key); err != nil {
		return err
	}
	b := &queue.Batch{}
	b.Remove(key)
	_, err := t.store.Commit(ctx, queue.Registry, b)
	return err
}

// Suppressions lists them by protocol and endpoint; after is the last one of
// the page before.
func (t *Topics) Suppressions(o Owner, after *Suppression, limit int) ([]Suppression, error) {
	var from []byte
	if after != nil {
		from = suppressionKey(o, after.Protocol, after.Endpoint)
	}
	return list[Suppression](t, []byte(o.prefix()+"u/"), from, limit)
}

func (t *Topics) suppressed(o Owner, protocol, address string) bool {
	_, err := t.store.Get(queue.Registry, suppressionKey(o, protocol, address))
	return err == nil
}
