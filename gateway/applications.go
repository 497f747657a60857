package gateway

import (
	"context"
	"errors"
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
		delete(g.maker.made, ref.Account())
		g.pool.Remove(ref.Account()) // what waits for it ends as its endpoints are gone
		return nil
	}
	if err != nil {
		return err
	}
	options, err := g.applicationOptions(g.maker, ref, &app)
	if err != nil {
		return err
	}
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
	return all, kept, err
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
