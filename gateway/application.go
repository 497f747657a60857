package gateway

import (
	"cmp"
	"crypto/x509"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/fanfare-gateway/fanfare/channels/sandbox"
	"github.com/fanfare-gateway/fanfare/config"
	"github.com/fanfare-gateway/fanfare/topics"
)

// applicationAccount is a platform application as a configured account. With the
// sandbox, whatever it signs in with, it is one of the sandbox's.
func (g *Gateway) applicationAccount(app *topics.PlatformApplication) (config.Account, error) {
	a := config.Account{Name: app.Name, Provider: sandbox.ProviderAPNs, Concurrency: 16, Timeout: 30 * time.Second}
	if app.Platform == topics.GCM {
		a.Provider = sandbox.ProviderFCM
	}
	if g.opts.Sandbox != nil {
		for _, fake := range SandboxAccounts(g.opts.Sandbox) {
			if fake.Provider == a.Provider {
				fake.Name = app.Name
				return fake, nil
			}
		}
	}
	if app.Platform == topics.GCM {
		a.FCM = &config.FCM{Credentials: config.Secret(keyFile(app.Credential))}
	} else {
		var err error
		if a.APNs, err = appleAccount(app); err != nil {
			return a, err
		}
	}
	if g.opts.application != nil {
		g.opts.application(&a)
	}
	return a, nil
}

// keyFile is a service account's key file. AWS has it put into a JSON string once
// more for its command line (jq @json), so it may come as one.
func keyFile(credential string) string {
	var inner string
	if json.Unmarshal([]byte(credential), &inner) == nil {
		return inner
	}
	return credential
}

func appleAccount(app *topics.PlatformApplication) (*config.APNs, error) {
	a := &config.APNs{Sandbox: app.Platform == topics.APNSSandbox}
	cert, err := app.Certificate()
	switch {
	case err != nil:
		return nil, errors.New("PlatformPrincipal: holds no readable certificate")
	case cert == nil:
		a.Key, a.KeyID, a.TeamID, a.Topic = config.Secret(app.Credential), app.Principal, app.TeamID, app.BundleID
	default:
		a.Certificate, a.CertificateKey, a.Topic = config.PEM(app.Principal), config.Secret(app.Credential), cmp.Or(app.BundleID, bundleOf(cert))
	}
	return a, nil
}

// bundleOf is the app Apple issued a certificate for: it is the subject's user id
// (RFC 4519 section 2.39), and stands in its common name behind words.
func bundleOf(cert *x509.Certificate) string {
	for _, name := range cert.Subject.Names {
		if id, ok := name.Value.(string); ok && name.Type.String() == "0.9.2342.19200300.100.1.1" {
			return id
		}
	}
	_, bundle, _ := strings.Cut(cert.Subject.CommonName, ": ")
	return bundle
}
