package gateway

import (
	"context"
	"errors"
	"path"
	"strings"
	"time"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/gateway/sns"
	"github.com/fanfare-gateway/fanfare/topics"
)

var _ sns.Applications = (*Gateway)(nil)

// Check is sns.Applications.
func (g *Gateway) Check(_ topics.Owner, app topics.PlatformApplication) error {
	a, err := g.applicationAccount(&app)
	if err != nil {
		return err
	}
	if cert, _ := app.Certificate(); cert != nil && time.Now().After(cert.NotAfter) {
		return errors.New("PlatformPrincipal: the certificate expired at " + cert.NotAfter.UTC().Format(time.RFC3339))
	}
	g.reloading.Lock()
	defer g.reloading.Unlock()
	_, err = g.maker.channel(a) // no connection is opened before its first use
	return err
}

// Apply is sns.Applications.
func (g *Gateway) Apply(ctx context.Context, o topics.Owner, platform, name string) error {
	g.reloading.Lock()
	defer g.reloading.Unlock()
	ref := topics.ApplicationRef{Owner: o, Platform: platform, Name: name}
	app, err := g.topics.PlatformApplication(o, platform, name)
	if errors.Is(err, topics.ErrNotFound) {
		if _, ok := g.pool.Account(ref.Account()); !ok {
			return nil // there never was one
		}
		delete(g.maker.made, ref.Account())
		g.pool.Remove(ref.Account()) // with the fault it may have: there is nothing to test any more
		g.ended[ref.Account()] = g.store.Now()
		g.removeEmptied()
		return g.pool.Put(ctx, endOf(ref.Account()))
	}
	if err != nil {
		return err
	}
	options, err := g.applicationOptions(g.maker, ref, &app)
	if err != nil {
		return err
	}
	delete(g.ended, ref.Account())
	return g.pool.Put(ctx, options)
}

// applications are the accounts of the registry's platform applications, made by
// m. One that cannot be made stays as it is (kept): it is its owner's to correct
// and keeps nobody else's from starting.
func (g *Gateway) applications(ctx context.Context, m *maker) (all []channels.AccountOptions, kept map[string]bool, err error) {
	refs, err := g.topics.ApplicationRefs()
	kept = map[string]bool{}
	for _, ref := range refs {
		app, err := g.topics.PlatformApplication(ref.Owner, ref.Platform, ref.Name)
		switch {
		case ref.Deleted:
			if err := g.topics.ForgetApplication(ctx, ref); err != nil {
				return nil, nil, err
			}
			continue
		case errors.Is(err, topics.ErrNotFound):
			continue // deleted at this moment
		case err != nil:
			return nil, nil, err
		}
		kept[ref.Account()] = true
		options, err := g.applicationOptions(m, ref, &app)
		if err != nil {
			g.log.Error("a platform application cannot be used", "account", ref.Account(), "err", err)
			continue
		}
		all = append(all, options)
	}
	left, leftErr := g.leftovers(kept)
	return append(all, left...), kept, errors.Join(err, leftErr)
}

// leftovers are accounts for what deleted applications left in their queues:
// there it would wait for ever.
func (g *Gateway) leftovers(kept map[string]bool) (all []channels.AccountOptions, err error) {
	for after, more := "", true; more; {
		queues, err := g.store.Queues(channels.QueuePrefix, after, 0)
		if err != nil {
			return nil, err
		}
		more = len(queues) > 0
		for _, q := range queues {
			after = q.Name
			account := path.Dir(strings.TrimPrefix(q.Name, channels.QueuePrefix))
			if kept[account] || !strings.Contains(account, ":") || g.emptied(account) {
				continue
			}
			kept[account] = true
			all = append(all, endOf(account))
			if g.ended[account].IsZero() {
				g.ended[account] = g.store.Now()
			}
		}
	}
	return all, nil
}

// lastPublishes is how long a publish that found an application may still be on
// its way to the queues when that is deleted.
const lastPublishes = time.Minute

// emptied tells whether nothing for a deleted application is left, nor will come.
func (g *Gateway) emptied(account string) bool {
	if g.store.Now().Sub(g.ended[account]) < lastPublishes {
		return false
	}
	for _, lane := range channels.Lanes() {
		if s, err := g.store.Stats(channels.QueueName(account, lane)); err == nil && s.Ready+s.InFlight+s.Delayed > 0 {
			return false
		}
	}
	return true
}

// removeEmptied takes out the accounts of deleted applications that have nothing
// to do any more.
func (g *Gateway) removeEmptied() {
	for account := range g.ended {
		if g.emptied(account) {
			delete(g.ended, account)
			g.pool.Remove(account)
		}
	}
}

// applicationOptions are what the pool needs of a platform application.
func (g *Gateway) applicationOptions(m *maker, ref topics.ApplicationRef, app *topics.PlatformApplication) (channels.AccountOptions, error) {
	a, err := g.applicationAccount(app)
	if err != nil {
		return channels.AccountOptions{}, err
	}
	o, err := m.options(ref.Account(), a)
	o.Protocol = topics.Platform // so it is nobody's default, nor can be named
	return o, err
}

// ended is the channel of an application that was deleted. Its deliveries are
// refused at hand-off; a late one here.
type ended struct{ account string }

func endOf(account string) channels.AccountOptions {
	return channels.AccountOptions{Name: account, Protocol: topics.Platform, Provider: path.Dir(account), Channel: &ended{account}}
}

// CheckEndpoint is channels.Channel.
func (e *ended) CheckEndpoint(string) (channels.Endpoint, error) {
	return channels.Endpoint{}, errors.New(e.account + " was deleted")
}

// Deliver is channels.Channel.
func (e *ended) Deliver(context.Context, channels.Delivery) (channels.Receipt, error) {
	return channels.Receipt{}, &channels.Error{Kind: channels.EndpointGone, Code: "application deleted", Err: errors.New("was deleted")}
}
