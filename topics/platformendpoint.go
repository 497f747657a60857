package topics

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
	"time"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/queue"
)

// PlatformEndpoint is an app on one device. Deliveries look its token up at
// hand-off.
type PlatformEndpoint struct {
	ID          queue.ID `json:"id"`
	Platform    string   `json:"platform"`
	Application string   `json:"application"`
	Token       string   `json:"token"`
	UserData    string   `json:"user_data,omitempty"`
	// Enabled is false when its owner said so, or the push service that the token
	// is dead.
	Enabled bool `json:"enabled"`
	// Since is when the token was registered, or enabled again: what a service
	// knew against it before does not count.
	Since time.Time `json:"since"`
}

// Path names the endpoint among its owner's, PLATFORM/APPLICATION/ID. It is the
// endpoint of subscriptions and publishes; no token has a slash in it.
func (e *PlatformEndpoint) Path() string {
	return e.Platform + "/" + e.Application + "/" + e.ID.String()
}

// platformPath takes a Path apart; ok is false if it is none.
func platformPath(protocol, endpoint string) (platform, application string, id queue.ID, ok bool) {
	parts := strings.Split(endpoint, "/")
	if protocol != Application || len(parts) != 3 {
		return "", "", id, false
	}
	id, err := queue.ParseID(parts[2])
	return parts[0], parts[1], id, err == nil
}

func platformEndpointsPrefix(o Owner, app queue.ID) []byte {
	return []byte(o.prefix() + "pe/" + app.Hex() + "/")
}

func platformEndpointKey(o Owner, app, id queue.ID) []byte {
	return append(platformEndpointsPrefix(o, app), id.Hex()...)
}

func platformTokenKey(o Owner, app queue.ID, token string) []byte {
	sum := sha256.Sum256([]byte(token))
	return []byte(o.prefix() + "pt/" + app.Hex() + "/" + hex.EncodeToString(sum[:16]))
}

// ExistsError tells that another endpoint of the application has the token.
type ExistsError struct{ Path string }

// Error names the endpoint.
func (e *ExistsError) Error() string { return "platform endpoint " + e.Path + " has the token" }

// Is makes an ExistsError an ErrConflict.
func (e *ExistsError) Is(target error) bool { return target == ErrConflict }

// CreatePlatformEndpoint makes an endpoint of the application it names. One with
// that token is returned if it is the same in all else; if not, that is an
// ExistsError. Durable on return.
func (t *Topics) CreatePlatformEndpoint(ctx context.Context, o Owner, e PlatformEndpoint) (PlatformEndpoint, error) {
	for {
		key := applicationKey(o, e.Platform, e.Application)
		app, rev, err := get[PlatformApplication](t.store, queue.Registry, key)
		if err != nil {
			return e, err
		}
		id, _, err := get[queue.ID](t.store, queue.Registry, platformTokenKey(o, app.ID, e.Token))
		if err == nil {
			first, _, err := get[PlatformEndpoint](t.store, queue.Registry, platformEndpointKey(o, app.ID, id))
			switch {
			case errors.Is(err, ErrNotFound):
				continue // deleted at the same moment
			case err == nil && (first.Enabled != e.Enabled || first.UserData != e.UserData):
				err = &ExistsError{first.Path()}
			}
			return first, err
		}
		if !errors.Is(err, ErrNotFound) {
			return e, err
		}
		e.ID, e.Since = t.store.NewID(0), t.store.Now().UTC()
		b := &queue.Batch{}
		b.Expect(key, rev) // it is not deleted meanwhile
		b.Expect(platformTokenKey(o, app.ID, e.Token), 0)
		put(b, platformTokenKey(o, app.ID, e.Token), e.ID)
		put(b, platformEndpointKey(o, app.ID, e.ID), e)
		t.notePlatform(b, o, &app, PlatformEvent{What: PlatformEndpointCreated, Endpoint: e.Path()})
		if _, err = t.store.Commit(ctx, queue.Registry, b); !errors.Is(err, queue.ErrConflict) {
			return e, err
		}
	}
}

// PlatformEndpoint looks one up by its Path.
func (t *Topics) PlatformEndpoint(o Owner, path string) (PlatformEndpoint, error) {
	_, e, _, err := t.platformEndpoint(o, path)
	return e, err
}

func (t *Topics) platformEndpoint(o Owner, path string) (app PlatformApplication, e PlatformEndpoint, rev uint64, err error) {
	platform, name, id, ok := platformPath(Application, path)
	if !ok {
		return app, e, 0, ErrNotFound
	}
	if app, err = t.PlatformApplication(o, platform, name); err != nil {
		return app, e, 0, err
	}
	e, rev, err = get[PlatformEndpoint](t.store, queue.Registry, platformEndpointKey(o, app.ID, id))
	return app, e, rev, err
}

// PlatformEndpoints lists an application's in order of creation, those behind
// after, at most limit.
func (t *Topics) PlatformEndpoints(o Owner, platform, name string, after queue.ID, limit int) ([]PlatformEndpoint, error) {
	app, err := t.PlatformApplication(o, platform, name)
	if err != nil {
		return nil, err
	}
	var from []byte
	if !after.IsZero() {
		from = platformEndpointKey(o, app.ID, after)
	}
	return list[PlatformEndpoint](t, platformEndpointsPrefix(o, app.ID), from, limit)
}

// ChangePlatformEndpoint is ChangeTopic for an endpoint. Another's token is an
// ExistsError.
func (t *Topics) ChangePlatformEndpoint(ctx context.Context, o Owner, path string, change func(*PlatformEndpoint) error) (PlatformEndpoint, error) {
	return t.changeEndpoint(ctx, o, path, func(_ *queue.Batch, e *PlatformEndpoint) error { return change(e) })
}

// changeEndpoint is ChangePlatformEndpoint with a change that may add to the
// batch; that is written only if the endpoint changed.
func (t *Topics) changeEndpoint(ctx context.Context, o Owner, path string, change func(*queue.Batch, *PlatformEndpoint) error) (PlatformEndpoint, error) {
	for {
		app, e, rev, err := t.platformEndpoint(o, path)
		if err != nil {
			return e, err
		}
		was, b := e, &queue.Batch{}
		if err := change(b, &e); err != nil {
			return e, err
		}
		e.ID, e.Platform, e.Application = was.ID, was.Platform, was.Application
		if e == was {
			return e, nil
		}
		if e.Token != was.Token {
			if err := t.moveToken(b, o, &app, &was, &e); err != nil {
				return e, err
			}
		}
		if e.Token != was.Token || e.Enabled && !was.Enabled {
			e.Since = t.store.Now().UTC()
		}
		b.Expect(platformEndpointKey(o, app.ID, e.ID), rev)
		put(b, platformEndpointKey(o, app.ID, e.ID), e)
		t.notePlatform(b, o, &app, PlatformEvent{What: PlatformEndpointUpdated, Endpoint: e.Path()})
		if _, err := t.store.Commit(ctx, queue.Registry, b); !errors.Is(err, queue.ErrConflict) {
			return e, err
		}
	}
}

// moveToken makes the endpoint that of its new token.
func (t *Topics) moveToken(b *queue.Batch, o Owner, app *PlatformApplication, was, e *PlatformEndpoint) error {
	key := platformTokenKey(o, app.ID, e.Token)
	other, _, err := get[queue.ID](t.store, queue.Registry, key)
	if err == nil {
		return &ExistsError{(&PlatformEndpoint{ID: other, Platform: e.Platform, Application: e.Application}).Path()}
	}
	if !errors.Is(err, ErrNotFound) {
		return err
	}
	b.Expect(key, 0)
	put(b, key, e.ID)
	b.Remove(platformTokenKey(o, app.ID, was.Token))
	return nil
}

// DeletePlatformEndpoint removes an endpoint; one that is not there is no error.
// Subscriptions of it stay, and what comes by them is a dead letter. Durable on
// return.
func (t *Topics) DeletePlatformEndpoint(ctx context.Context, o Owner, path string) error {
	for {
		app, e, rev, err := t.platformEndpoint(o, path)
		if errors.Is(err, ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		b := &queue.Batch{}
		key := platformEndpointKey(o, app.ID, e.ID)
		b.Expect(key, rev)
		b.Remove(key)
		b.Remove(platformTokenKey(o, app.ID, e.Token))
		t.notePlatform(b, o, &app, PlatformEvent{What: PlatformEndpointDeleted, Endpoint: path})
		if _, err = t.store.Commit(ctx, queue.Registry, b); !errors.Is(err, queue.ErrConflict) {
			return err
		}
	}
}

// resolvePlatform finds the account that pushes to a platform endpoint.
func (t *Topics) resolvePlatform(o Owner, to Target, field string) (Target, channels.Endpoint, error) {
	e, err := t.PlatformEndpoint(o, to.Endpoint)
	if errors.Is(err, ErrNotFound) {
		return to, channels.Endpoint{}, invalid(field+"endpoint", "there is no such platform endpoint")
	}
	to.Account = ApplicationRef{Owner: o, Platform: e.Platform, Name: e.Application}.Account()
	return to, channels.Endpoint{Address: e.Path(), Group: to.Account}, err
}

// ReasonDisabled is why a delivery to a disabled endpoint fails.
const ReasonDisabled = "endpoint disabled"

// Other reasons why a delivery to a platform endpoint fails at hand-off.
const (
	reasonGone        = "endpoint deleted"
	reasonAppDisabled = "platform application disabled"
)

// onDevice gives a subscription of a platform endpoint the token its device has
// just now, or says why nothing may go there.
func (t *Topics) onDevice(o Owner, s Subscription) (Subscription, channels.Verdict) {
	app, e, _, err := t.platformEndpoint(o, s.Endpoint)
	switch {
	case errors.Is(err, ErrNotFound):
		return s, channels.Verdict{Action: channels.DeadLetter, Reason: reasonGone}
	case err != nil:
		return s, t.unread()
	case app.Disabled:
		return s, channels.Verdict{Action: channels.DeadLetter, Reason: reasonAppDisabled}
	case !e.Enabled:
		return s, channels.Verdict{Action: channels.DeadLetter, Reason: ReasonDisabled}
	}
	s.Endpoint = e.Token
	return s, channels.Verdict{}
}

// disableDevice takes the push service at its word that a token is dead, unless
// the endpoint has another one or it was registered anew since.
func (t *Topics) disableDevice(ctx context.Context, p *Publish, path, token string, gone *channels.Error) error {
	_, err := t.changeEndpoint(ctx, p.Owner, path, func(b *queue.Batch, e *PlatformEndpoint) error {
		newer := !gone.Since.IsZero() && e.Since.Truncate(time.Second).After(gone.Since) // it comes in whole seconds
		if e.Token != token || !e.Enabled || newer {
			return nil
		}
		e.Enabled = false
		if !p.Notice {
			t.note(b, p.Owner, Event{
				Event: EndpointDisabled, Topic: p.Topic, Protocol: Application, Endpoint: path, Kind: gone.Kind.String(), Code: gone.Code,
			})
		}
		b.After(func() { t.m.disabled.WithLabelValues(Application, gone.Kind.String()).Inc() })
		return nil
	})
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}
