package channels

import (
	"path"
	"strings"
)

// Missing are the accounts that deliveries wait for and that the pool has not:
// removed, or not put in this process. It costs as much as accounts ever had
// queues, not what waits.
func (p *Pool) Missing() ([]AccountState, error) {
	var out []AccountState
	err := p.eachQueue(func(account, name string) error {
		if p.has(account) {
			return nil
		}
		st, err := p.store.Stats(name)
		n := st.Ready + st.InFlight + st.Delayed
		if err != nil || n == 0 {
			return err
		}
		if last := len(out) - 1; last >= 0 && out[last].Name == account {
			out[last].Waiting += n
			return nil
		}
		out = append(out, AccountState{
			Name: account, Provider: path.Dir(account), State: Missing, Waiting: n,
			Reason: "Deliveries wait for it, and there is no such account",
			Advice: "Configure it again: the deliveries go out with the next reload. Or cancel their publishes. Those with a deadline expire.",
		})
		return nil
	})
	return out, err
}

// eachQueue calls fn for every queue of an account that ever was, in the order
// of their names.
func (p *Pool) eachQueue(fn func(account, queue string) error) error {
	for after := ""; ; {
		page, err := p.store.Queues(QueuePrefix, after, 0)
		if err != nil || len(page) == 0 {
			return err
		}
		for _, q := range page {
			after = q.Name
			if err := fn(path.Dir(strings.TrimPrefix(q.Name, QueuePrefix)), q.Name); err != nil {
				return err
			}
		}
	}
}

func (p *Pool) has(name string) bool {
	_, err := p.account(name)
	return err == nil
}
