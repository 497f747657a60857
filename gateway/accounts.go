package gateway

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/channels/amazon"
	"github.com/fanfare-gateway/fanfare/channels/downstream"
	"github.com/fanfare-gateway/fanfare/channels/email"
	"github.com/fanfare-gateway/fanfare/channels/function"
	"github.com/fanfare-gateway/fanfare/channels/push/apns"
	"github.com/fanfare-gateway/fanfare/channels/push/fcm"
	"github.com/fanfare-gateway/fanfare/channels/sandbox"
	"github.com/fanfare-gateway/fanfare/channels/sms"
	"github.com/fanfare-gateway/fanfare/channels/webhook"
	"github.com/fanfare-gateway/fanfare/config"
	"github.com/fanfare-gateway/fanfare/topics"
)

// accountName is an account's name in queues, metrics and the API.
func accountName(a config.Account) string { return a.Provider + "/" + a.Name }

// maker makes channels from configured accounts. One configuration's maker
// takes over from the one before what did not change: the channel of an
// account, with its connections, and the provider tokens of a key.
type maker struct {
	rows   []byte // of the error book
	book   *channels.ErrorBook
	allow  []string
	guard  channels.Guard
	tokens *apns.Tokens // one a key, for all apps: Apple bounds how often a key's token is renewed
	made   map[string]made
	before *maker // nil: none, or its channels do not fit any more
	// segments counts SMS segments by country.
	segments func(country string, n int)
	sandbox  bool // every provider is simulated
}

// made is a channel and the account it was made from.
type made struct {
	account config.Account
	channel channels.Channel
}

// newMaker makes a configuration's maker; before is that of the one it replaces,
// nil for the first.
func newMaker(cfg config.Config, before *maker) (*maker, error) {
	m := &maker{allow: cfg.Egress.Allow, made: map[string]made{}, tokens: apns.NewTokens()}
	var err error
	if cfg.ErrorBook != "" {
		if m.rows, err = os.ReadFile(filepath.Clean(cfg.ErrorBook)); err != nil {
			return nil, fmt.Errorf("error_book: %w", err)
		}
	}
	if before != nil {
		m.tokens = before.tokens
		if bytes.Equal(m.rows, before.rows) && slices.Equal(m.allow, before.allow) {
			m.before, m.book, m.guard = before, before.book, before.guard
			return m, nil
		}
	}
	if m.book, err = channels.NewErrorBook(m.rows); err != nil {
		return nil, err
	}
	for _, text := range m.allow {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("egress.allow: %w", err)
		}
		m.guard.Allow = append(m.guard.Allow, p)
	}
	return m, nil
}

// channelOf is an account's channel: the one there is if it would be made the
// same way again.
func (m *maker) channelOf(name string, a config.Account) (ch channels.Channel, err error) {
	for _, known := range []*maker{m, m.before} {
		if known == nil {
			continue
		}
		if old, ok := known.made[name]; ok && sameChannel(old.account, a) {
			m.made[name] = made{a, old.channel}
			return old.channel, nil
		}
	}
	if ch, err = m.channel(a); err == nil {
		m.made[name] = made{a, ch}
	}
	return ch, err
}

// sameChannel tells whether accounts differ in limits of the workers at most.
func sameChannel(a, b config.Account) bool {
	a.Rate, a.Burst, a.PerGroup = b.Rate, b.Burst, b.PerGroup
	if a.Provider != sandbox.ProviderSMTP { // whose channel has as many connections
		a.Concurrency = b.Concurrency
	}
	return reflect.DeepEqual(a, b)
}

// options are what the pool needs of an account.
func (m *maker) options(name string, a config.Account) (channels.AccountOptions, error) {
	ch, err := m.channelOf(name, a)
	if err != nil {
		return channels.AccountOptions{}, fmt.Errorf("account %s: %w", name, err)
	}
	o := channels.AccountOptions{
		Name: name, Protocol: a.Protocol(), Provider: a.Provider, Channel: ch,
		Limits: channels.Limits{Rate: a.Rate, Burst: a.Burst, Concurrency: a.Concurrency, PerGroup: a.PerGroup, Timeout: a.Timeout},
	}
	o.Idempotent = idempotent(a.Provider)
	switch a.Provider {
	case sandbox.ProviderWebhook:
		o.Protocol = topics.Webhook
	case sandbox.ProviderAPNs, sandbox.ProviderFCM, sandbox.ProviderTwilio:
		if o.Limits.PerGroup == 0 { // one group is the whole app, or a whole country
			o.Limits.PerGroup = a.Concurrency
		}
	}
	return o, nil
}

// idempotent tells whether a repeat harms nobody at a provider.
func idempotent(provider string) bool {
	switch provider {
	case sandbox.ProviderWebhook, sandbox.ProviderSQS, sandbox.ProviderLambda:
		return true
	}
	return false
}

// channel makes the concrete channel of an account.
func (m *maker) channel(a config.Account) (channels.Channel, error) {
	switch a.Provider {
	case sandbox.ProviderTwilio:
		c := a.Twilio
		ch, err := sms.New(sms.Options{
			AccountSID: c.AccountSID, AuthToken: string(c.AuthToken), APIKey: c.APIKey, APISecret: string(c.APISecret),
			From: c.From, MessagingServiceSID: c.MessagingServiceSID, BaseURL: c.BaseURL, Book: m.book, Timeout: a.Timeout, Segments: m.segments,
		})
		if m.sandbox && err == nil {
			return anyNumber{ch}, nil
		}
		return ch, err
	case sandbox.ProviderAPNs:
		return m.apns(a)
	case sandbox.ProviderFCM:
		c := a.FCM
		return fcm.New(fcm.Options{CredentialsJSON: []byte(c.Credentials), ProjectID: c.ProjectID, Endpoint: c.Endpoint, Book: m.book})
	case sandbox.ProviderSMTP:
		return m.email(a)
	case sandbox.ProviderWebhook:
		roots, err := rootCAs(a.Webhook.CA)
		if err != nil {
			return nil, err
		}
		return webhook.New(webhook.Options{Book: m.book, Guard: m.guard, RootCAs: roots, Timeout: a.Timeout})
	case sandbox.ProviderSQS:
		c := a.SQS
		account := amazon.Account{
			Region: c.Region, AccessKeyID: c.AccessKeyID, SecretAccessKey: string(c.SecretAccessKey),
			SessionToken: string(c.SessionToken), Control: m.guard.Control, Book: m.book,
		}
		return downstream.New(downstream.Options{Account: account, Endpoint: c.Endpoint})
	case sandbox.ProviderLambda:
		c := a.Lambda
		account := amazon.Account{
			Region: c.Region, AccessKeyID: c.AccessKeyID, SecretAccessKey: string(c.SecretAccessKey),
			SessionToken: string(c.SessionToken), Book: m.book,
		}
		return function.New(function.Options{Account: account, Endpoint: c.Endpoint, InvocationType: c.InvocationType})
	}
	return nil, fmt.Errorf("provider %q is unknown", a.Provider)
}

func (m *maker) apns(a config.Account) (channels.Channel, error) {
	c := a.APNs
	roots, err := rootCAs(c.CA)
	if err != nil {
		return nil, err
	}
	host := c.Host
	if host == "" && c.Sandbox {
		host = apns.Development
	}
	return apns.New(apns.Options{
		Topic: c.Topic, Key: []byte(c.Key), KeyID: c.KeyID, TeamID: c.TeamID, Certificate: []byte(c.Certificate),
		CertificateKey: []byte(c.CertificateKey), Host: host, RootCAs: roots, Book: m.book, Timeout: a.Timeout, Tokens: m.tokens,
	})
}

func (m *maker) email(a config.Account) (channels.Channel, error) {
	c := a.SMTP
	roots, err := rootCAs(c.CA)
	if err != nil {
		return nil, err
	}
	return email.New(email.Options{
		Host: c.Host, Port: c.Port, TLS: email.TLSMode(c.TLS), RootCAs: roots, Username: c.Username,
		Password: string(c.Password), From: c.From, MaxConns: a.Concurrency, Book: m.book,
		DKIM: email.DKIM{Domain: c.DKIM.Domain, Selector: c.DKIM.Selector, Key: string(c.DKIM.Key)},
	})
}

func rootCAs(pem config.PEM) (*x509.CertPool, error) {
	if pem == "" {
		return nil, nil
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(pem)) {
		return nil, errors.New("ca: holds no certificate in PEM")
	}
	return pool, nil
}

// setAccounts makes the pool's accounts those of the configuration. All
// channels are made before the first is put, so a bad account changes nothing.
// An account that did not change goes on undisturbed.
func (g *Gateway) setAccounts(ctx context.Context, cfg config.Config) error {
	m, err := newMaker(cfg, g.maker)
	if err != nil {
		return err
	}
	m.segments, m.sandbox = g.metrics.countSegments, g.opts.Sandbox != nil
	var all []channels.AccountOptions
	var errs []error
	for _, a := range cfg.Accounts {
		o, err := m.options(accountName(a), a)
		errs = append(errs, err)
		all = append(all, o)
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	apps, kept, err := g.applications(ctx, m)
	if err != nil {
		return err
	}
	all = append(all, apps...)
	m.before = nil
	g.maker = m // now, as the next one must not take over a channel that was replaced
	keep := kept
	for _, o := range all {
		keep[o.Name] = true
		if err := g.pool.Put(ctx, o); err != nil {
			return err
		}
	}
	for _, st := range g.pool.States() {
		if !keep[st.Name] {
			g.pool.Remove(st.Name)
		}
	}
	return nil
}

// anyNumber takes what has the form of a phone number, too, though no country
// has such: test suites make theirs up, and in the sandbox nothing is dialled.
type anyNumber struct{ *sms.Channel }

var formOfNumber = regexp.MustCompile(`^\+[1-9]\d{6,14}$`)

// CheckEndpoint is channels.Channel's; a number of no country has the group "001".
func (c anyNumber) CheckEndpoint(endpoint string) (channels.Endpoint, error) {
	good, err := c.Channel.CheckEndpoint(endpoint)
	if err != nil && formOfNumber.MatchString(endpoint) {
		return channels.Endpoint{Address: endpoint, Group: "001"}, nil
	}
	return good, err
}

// SandboxAccounts are accounts for every fake of a sandbox, as configuration.
func SandboxAccounts(sb *sandbox.Server) []config.Account {
	host, port, _ := net.SplitHostPort(sb.SMTP.Addr) // the sandbox's own address
	smtpPort, _ := strconv.Atoi(port)
	account := func(provider string) config.Account {
		return config.Account{Name: "sandbox", Provider: provider, Concurrency: 16, Timeout: 10e9}
	}
	t, a, f, s, w, q, l := account("twilio"), account("apns"), account("fcm"), account("smtp"), account("webhook"), account("sqs"), account("lambda")
	t.Twilio = &config.Twilio{AccountSID: sb.Twilio.AccountSID, AuthToken: config.Secret(sb.Twilio.AuthToken), From: sb.Twilio.From, BaseURL: sb.Twilio.URL}
	a.APNs = &config.APNs{Topic: sb.APNs.Topic, Key: config.Secret(sb.APNs.KeyPEM), KeyID: sb.APNs.KeyID, TeamID: sb.APNs.TeamID, Host: sb.APNs.URL, CA: config.PEM(sb.APNs.CAPEM)}
	f.FCM = &config.FCM{Credentials: config.Secret(sb.FCM.CredentialsJSON()), Endpoint: sb.FCM.URL}
	s.SMTP = &config.SMTP{
		Host: host, Port: smtpPort, TLS: "starttls", Username: sb.SMTP.Username, Password: config.Secret(sb.SMTP.Password),
		From: "Fanfare <alerts@fanfare.example>", CA: config.PEM(sb.SMTP.CAPEM), EventsSecret: "sandbox-events",
	}
	w.Webhook = &config.Webhook{CA: config.PEM(sb.Webhook.CAPEM)}
	q.SQS = &config.SQS{Region: sb.SQS.Region, AccessKeyID: sb.SQS.AccessKeyID, SecretAccessKey: config.Secret(sb.SQS.SecretAccessKey), Endpoint: sb.SQS.URL}
	l.Lambda = &config.Lambda{Region: sb.Lambda.Region, AccessKeyID: sb.Lambda.AccessKeyID, SecretAccessKey: config.Secret(sb.Lambda.SecretAccessKey), Endpoint: sb.Lambda.URL, InvocationType: function.RequestResponse}
	return []config.Account{t, a, f, s, w, q, l}
}

// recipientGuard is topics' guard by the configuration; nil if there is none.
func recipientGuard(g config.Guard) func(protocol, endpoint string) (string, bool) {
	if len(g.Only) == 0 && len(g.Redirect) == 0 {
		return nil
	}
	parts := make([]string, len(g.Only))
	for i, pattern := range g.Only {
		parts[i] = strings.ReplaceAll(regexp.QuoteMeta(pattern), `\*`, ".*")
	}
	only := regexp.MustCompile("^(?:" + strings.Join(parts, "|") + ")$")
	return func(protocol, endpoint string) (string, bool) {
		if len(g.Only) > 0 && only.MatchString(endpoint) {
			return "", true
		}
		to := g.Redirect[protocol]
		return to, to != ""
	}
}
