// Package fcm delivers push notifications by Firebase Cloud Messaging, HTTP v1:
// one message to one registration token a request.
//
// Google's SDK builds and sends the request, but it repeats a request up to
// four times by itself and cannot be told not to. So it works on a transport of
// ours (exchange.go) that sends once and keeps what truly came back; failures
// are judged from that, never from the SDK's errors.
package fcm

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"strings"
	"time"

	"firebase.google.com/go/v4/messaging"
	"google.golang.org/api/option"

	"github.com/fanfare-gateway/fanfare/channels"
)

// Provider is the channel's name in the error book, metrics and scripts.
const Provider = "fcm"

const defaultEndpoint = "https://fcm.googleapis.com"

var (
	_ channels.Channel = (*Channel)(nil)
	_ channels.Prober  = (*Channel)(nil)
)

// Options configure New.
type Options struct {
	// CredentialsJSON is a service account's key file as the Google console
	// gives it out. Its token_uri is where access tokens are fetched. Secret.
	CredentialsJSON []byte
	// ProjectID is the Firebase project messages are sent through; default the
	// project of the credentials.
	ProjectID string
	// Endpoint is scheme and host of the FCM API; default
	// https://fcm.googleapis.com. Plain http only to a loopback address.
	Endpoint string
	// RootCAs are trusted instead of the system's, both for the API and for
	// the token endpoint; nil for the system's.
	RootCAs *x509.CertPool
	// Book classifies the answers. Required.
	Book *channels.ErrorBook
}

// String hides the credentials.
func (o Options) String() string {
	return fmt.Sprintf("{CredentialsJSON:<secret> ProjectID:%s Endpoint:%s}", o.ProjectID, o.Endpoint)
}

// GoString hides the credentials from %#v too.
func (o Options) GoString() string { return "fcm.Options" + o.String() }

// LogValue hides the credentials in logs.
func (o Options) LogValue() slog.Value { return slog.StringValue(o.String()) }

// Channel sends through one Firebase project with one service account.
type Channel struct {
	book    *channels.ErrorBook
	project string
	client  *messaging.Client
	tokens  *tokens
	base    *http.Client // of both
}

// projectForm is what can stand in the request's path; ids of old projects may
// hold a domain ("example.com:name").
var projectForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9.:_-]*$`)

// New checks the options and makes a Channel. It makes no call; Probe does.
func New(o Options) (*Channel, error) {
	if o.Book == nil {
		return nil, errors.New("fcm: Book is required")
	}
	account, err := readAccount(o.CredentialsJSON)
	if err != nil {
		return nil, fmt.Errorf("fcm: CredentialsJSON: %w", err)
	}
	if o.ProjectID == "" {
		o.ProjectID = account.ProjectID
	}
	if !projectForm.MatchString(o.ProjectID) {
		return nil, errors.New("fcm: ProjectID: want the id of a Firebase project, such as my-app-1234, here or in CredentialsJSON")
	}
	if o.Endpoint == "" {
		o.Endpoint = defaultEndpoint
	}
	if err := checkURL(o.Endpoint); err != nil {
		return nil, fmt.Errorf("fcm: Endpoint: %w", err)
	}
	base := channels.NewHTTPClient(channels.HTTPOptions{TLS: &tls.Config{RootCAs: o.RootCAs}, MaxBody: maxAnswer})
	client, err := newClient(o, base)
	if err != nil {
		return nil, fmt.Errorf("fcm: set up the Firebase client: %w", err)
	}
	return &Channel{book: o.Book, project: o.ProjectID, client: client, tokens: newTokens(account, base.Transport), base: base}, nil
}

// newClient makes the SDK's client without the SDK's App, whose package links
// Firestore and Storage too: 235 packages more. The configuration's type cannot
// be named outside the SDK, so it is taken from the function that wants it.
func newClient(o Options, base *http.Client) (*messaging.Client, error) {
	config := parameterOf(messaging.NewClient)
	config.ProjectID, config.Version = o.ProjectID, "4" // of the SDK, as Google is told
	config.Opts = []option.ClientOption{
		option.WithHTTPClient(&http.Client{Transport: courier{base.Transport}, CheckRedirect: base.CheckRedirect}),
		option.WithEndpoint(strings.TrimRight(o.Endpoint, "/") + "/v1"),
	}
	return messaging.NewClient(context.Background(), config) // makes no call
}

// parameterOf is an empty parameter of a function.
func parameterOf[P, R any](func(context.Context, *P) (*R, error)) *P { return new(P) }

// Close closes the connections no attempt uses.
func (c *Channel) Close() error {
	c.base.CloseIdleConnections()
	return nil
}

// tokenForm: Google promises no format of a registration token. These
// characters are those of all kinds in use (device tokens, installation ids).
var tokenForm = regexp.MustCompile(`^[A-Za-z0-9_:-]{20,}$`)

// CheckEndpoint takes a registration token: 20 to 4096 letters, digits and
// "_", ":", "-". Upper and lower case differ. All tokens of a project are one
// group.
func (c *Channel) CheckEndpoint(endpoint string) (channels.Endpoint, error) {
	if len(endpoint) > 4096 || !tokenForm.MatchString(endpoint) {
		return channels.Endpoint{}, errors.New("not an FCM registration token: want 20 to 4096 letters, digits, _, : and -")
	}
	return channels.Endpoint{Address: endpoint, Group: c.project}, nil
}

// Deliver sends one message and blocks until FCM answered or ctx ends. It
// fetches an access token first when the last one is about to expire; when that
// fails nothing was sent. Success means that FCM took the message, not that the
// device has it.
func (c *Channel) Deliver(ctx context.Context, d channels.Delivery) (channels.Receipt, error) {
	m, no := newMessage(d, time.Now())
	if no != nil {
		return channels.Receipt{}, c.refuse(no)
	}
	token, failed := c.tokens.get(ctx)
	if failed != nil {
		return channels.Receipt{}, c.judgeToken(failed)
	}
	ctx, x := newExchange(ctx, token)
	name, err := c.client.Send(ctx, m)
	if fault := c.judge(x, name, err); fault != nil {
		return channels.Receipt{}, fault
	}
	return channels.Receipt{ProviderID: name}, nil
}

// probeToken is too short to be a registration token, for us and for Google.
const probeToken = "fanfare-probe"

// Probe tests key, project and permission: it fetches a fresh access token and
// asks FCM to validate, not send, a message to an invalid token. An answer that
// finds fault with that token alone came through authentication and permission,
// so the account is healthy.
func (c *Channel) Probe(ctx context.Context) error {
	token, failed := c.tokens.fetch(ctx)
	if failed != nil {
		return c.judgeToken(failed)
	}
	ctx, x := newExchange(ctx, token)
	name, err := c.client.SendDryRun(ctx, &messaging.Message{Token: probeToken})
	fault := c.judge(x, name, err)
	if fault == nil || fault.Code == codeInvalidArgument || fault.Code == codeUnregistered {
		return nil
	}
	return fault
}

// refuse classifies a message that is not sent.
func (c *Channel) refuse(no *refusal) *channels.Error {
	return c.book.Judge(channels.Answer{Provider: Provider, Code: no.code, Err: no})
}

// judge classifies a finished send; nil means accepted.
func (c *Channel) judge(x *exchange, name string, err error) *channels.Error {
	switch {
	case x.err != nil:
		return c.book.Transport(Provider, x.err, x.wire.Written())
	case x.status == 0:
		// The SDK found fault with the message before it asked the transport;
		// its words may quote the message.
		return c.refuse(invalidMessage)
	case x.status == http.StatusOK && err == nil && name != "":
		return nil
	}
	a := x.answer()
	if a.Code == codeUnauthenticated {
		c.tokens.drop(x.token)
	}
	return c.book.Judge(a)
}

// judgeToken classifies a failed fetch of an access token. The message itself
// was not sent, whatever the token endpoint saw.
func (c *Channel) judgeToken(x *exchange) *channels.Error {
	if x.err != nil {
		return c.book.Transport(Provider, x.err, false)
	}
	return c.book.Judge(x.tokenAnswer())
}
