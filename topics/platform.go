package topics

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"log/slog"
	"math"
	"strings"
	"time"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/queue"
)

// Push services an application can be of, by the names SNS has for them.
const (
	APNS        = "APNS"
	APNSSandbox = "APNS_SANDBOX"
	GCM         = "GCM" // Firebase, by the name of what was there before it
)

// Platform is the protocol of platform applications' accounts. It is that of no
// subscription: their endpoints lead to them, and nobody names one himself.
const Platform = "platform"

// PlatformApplication is an app on a push service. It is an account that comes
// from the registry and not from the configuration. Its text shows no secrets.
type PlatformApplication struct {
	ID       queue.ID `json:"id"` // its endpoints are this one's, not those of an earlier one of the name
	Platform string   `json:"platform"`
	Name     string   `json:"name"`
	// Credential and Principal are, for APNs, a signing key and its id, or a
	// certificate's private key and the certificate; for Firebase a service
	// account's key file and nothing.
	Credential string `json:"credential,omitempty"`
	Principal  string `json:"principal,omitempty"`
	// TeamID and BundleID go with a signing key.
	TeamID   string `json:"team_id,omitempty"`
	BundleID string `json:"bundle_id,omitempty"`
	// Disabled: nothing is sent to its endpoints.
	Disabled bool `json:"disabled,omitempty"`
	// Attributes are text of a face, which alone knows what they mean.
	Attributes map[string]string `json:"attributes,omitempty"`
	Created    time.Time         `json:"created"`
}

// String names the app only.
func (a PlatformApplication) String() string {
	return "platform application " + a.Platform + "/" + a.Name
}

// GoString is String.
func (a PlatformApplication) GoString() string { return a.String() }

// LogValue is String.
func (a PlatformApplication) LogValue() slog.Value { return slog.StringValue(a.String()) }

// Certificate is the certificate of an application that signs in by one; nil if
// it does by a key.
func (a *PlatformApplication) Certificate() (*x509.Certificate, error) {
	block, _ := pem.Decode([]byte(a.Principal))
	if block == nil {
		return nil, nil
	}
	return x509.ParseCertificate(block.Bytes)
}

// ApplicationRef names a platform application among all owners'.
type ApplicationRef struct {
	ID       queue.ID `json:"id"`
	Owner    Owner    `json:"owner"`
	Platform string   `json:"platform"`
	Name     string   `json:"name"`
	// Deleted: its endpoints are being removed, then it is.
	Deleted bool `json:"deleted,omitempty"`
}

// Account is the name of the application's account. A colon can be in no name of
// a configured account.
func (r ApplicationRef) Account() string {
	provider := "apns"
	if r.Platform == GCM {
		provider = "fcm"
	}
	return provider + "/" + strings.Join([]string{r.Owner.Account, r.Owner.Region, r.Platform, r.Name}, ":")
}

func applicationKey(o Owner, platform, name string) []byte {
	return []byte(o.prefix() + "pa/" + platform + "/" + name)
}

// applicationRefs are the gateway's own, so that it finds all owners'.
const applicationRefs = "fanfare/local/g/"

func applicationRefKey(id queue.ID) []byte { return []byte(applicationRefs + id.Hex()) }

// CreatePlatformApplication makes an application of what change makes of an empty
// one. One that exists is changed instead; its endpoints stay. Durable on return.
func (t *Topics) CreatePlatformApplication(ctx context.Context, o Owner, platform, name string, change func(*PlatformApplication) error) (PlatformApplication, error) {
	for {
		app, err := t.ChangePlatformApplication(ctx, o, platform, name, change)
		if !errors.Is(err, ErrNotFound) {
			return app, err
		}
		app = PlatformApplication{ID: t.store.NewID(0), Platform: platform, Name: name, Created: t.store.Now().UTC()}
		if err := change(&app); err != nil {
			return app, err
		}
		ref := ApplicationRef{ID: app.ID, Owner: o, Platform: platform, Name: name}
		b := &queue.Batch{}
		b.Expect(applicationKey(o, platform, name), 0)
		put(b, applicationKey(o, platform, name), app)
		put(b, applicationRefKey(app.ID), ref)
		channels.ForgetPause(b, ref.Account()) // of an earlier one, by somebody who saw it go
		if _, err = t.store.Commit(ctx, queue.Registry, b); !errors.Is(err, queue.ErrConflict) {
			return app, err
		}
	}
}

// ChangePlatformApplication is ChangeTopic for a platform application.
func (t *Topics) ChangePlatformApplication(ctx context.Context, o Owner, platform, name string, change func(*PlatformApplication) error) (PlatformApplication, error) {
	return changeRecord(ctx, t, applicationKey(o, platform, name), func(_ *queue.Batch, a *PlatformApplication) error {
		was := *a
		err := change(a)
		a.ID, a.Platform, a.Name, a.Created = was.ID, was.Platform, was.Name, was.Created
		return err
	})
}

// PlatformApplication looks one up.
func (t *Topics) PlatformApplication(o Owner, platform, name string) (PlatformApplication, error) {
	app, _, err := get[PlatformApplication](t.store, queue.Registry, applicationKey(o, platform, name))
	return app, err
}

// PlatformApplications lists an owner's by platform and name, those behind after,
// at most limit.
func (t *Topics) PlatformApplications(o Owner, after *PlatformApplication, limit int) ([]PlatformApplication, error) {
	var from []byte
	if after != nil {
		from = applicationKey(o, after.Platform, after.Name)
	}
	return list[PlatformApplication](t, []byte(o.prefix()+"pa/"), from, limit)
}

// DeletePlatformApplication removes an application with its endpoints; one that
// is not there is no error. Its deliveries end as those of endpoints that are
// gone. Durable on return.
func (t *Topics) DeletePlatformApplication(ctx context.Context, o Owner, platform, name string) error {
	for {
		key := applicationKey(o, platform, name)
		app, rev, err := get[PlatformApplication](t.store, queue.Registry, key)
		if errors.Is(err, ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		b := &queue.Batch{}
		b.Expect(key, rev)
		b.Remove(key)
		ref := ApplicationRef{ID: app.ID, Owner: o, Platform: platform, Name: name, Deleted: true}
		put(b, applicationRefKey(app.ID), ref)
		channels.ForgetPause(b, ref.Account())
		if _, err = t.store.Commit(ctx, queue.Registry, b); errors.Is(err, queue.ErrConflict) {
			continue
		}
		if err != nil {
			return err
		}
		return t.ForgetApplication(ctx, ref)
	}
}

// ForgetApplication removes the last of a deleted application: its endpoints,
// which without its record are found no more, and its ref. Durable on return.
func (t *Topics) ForgetApplication(ctx context.Context, r ApplicationRef) error {
	const chunk = 500
	for {
		some, err := list[PlatformEndpoint](t, platformEndpointsPrefix(r.Owner, r.ID), nil, chunk)
		if err != nil {
			return err
		}
		b := &queue.Batch{}
		for i := range some {
			b.Remove(platformEndpointKey(r.Owner, r.ID, some[i].ID))
			b.Remove(platformTokenKey(r.Owner, r.ID, some[i].Token))
		}
		if len(some) < chunk {
			b.Remove(applicationRefKey(r.ID))
		}
		if _, err := t.store.Commit(ctx, queue.Registry, b); err != nil || len(some) < chunk {
			return err
		}
	}
}

// ApplicationRefs are all owners' applications, and those whose removal was
// interrupted.
func (t *Topics) ApplicationRefs() ([]ApplicationRef, error) {
	return list[ApplicationRef](t, []byte(applicationRefs), nil, math.MaxInt)
}
