package topics

import (
	"github.com/fanfare-gateway/fanfare/queue"
)

// callOff adds the end of a scheduled publish that is cancelled: it will have no
// audience, and the delivery to an endpoint published to directly is cancelled.
// Its entry in the queue of schedules finds nothing to do when it comes.
func (t *Topics) callOff(b *queue.Batch, p *Publish) error {
	c, _, err := get[content](t.store, p.ID.Shard(), contentKey(p.ID))
	if err != nil {
		return err
	}
	p.Phase, p.CompletedAt = CalledOff, t.store.Now().UTC()
	l := Ledger{}
	if c.To != nil {
		end, _ := t.endpointOf(c.To) // of an account that is gone the group is not known
		id := p.ID.WithOrdinal(p.Next)
		p.Next++
		r := deliveryRecord{State: Cancelled, Protocol: c.To.Protocol, Account: c.To.Account, Group: end.Group, At: p.CompletedAt}
		t.count(b, r, nil) // nobody waited for it
		put(b, deliveryKey(id), r)
		b.Add(ledgerKey(id, Cancelled), 1)
		l[Cancelled]++
	}
	b.Remove(contentKey(p.ID))
	b.Remove(openKey(p.ID))
	b.Send(retentionQueue, queue.Message{ID: p.ID, At: p.CompletedAt.Add(t.Retention)})
	t.emitCompleted(b, p, l)
	return nil
}
