package fcm

import (
	"context"
	"net/http"
	"sync"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/jwt"
	"golang.org/x/sync/singleflight"
)

const (
	// scope is all that sending needs.
	// https://firebase.google.com/docs/cloud-messaging/send/v1-api#authorize-http-v1-send-requests
	scope = "https://www.googleapis.com/auth/firebase.messaging"
	// tokenMargin is how long before its end an access token is replaced: more
	// than one attempt takes.
	tokenMargin = time.Minute
	// tokenTimeout bounds one fetch, which serves all workers that wait for it.
	tokenTimeout = 10 * time.Second
)

// tokens holds the access token that all workers of an account share. It is
// fetched when first needed, by one request for all who wait.
type tokens struct {
	config *jwt.Config
	base   http.RoundTripper
	flight singleflight.Group

	mu      sync.Mutex
	current *oauth2.Token
}

func newTokens(a *account, base http.RoundTripper) *tokens {
	return &tokens{base: base, config: &jwt.Config{
		Email: a.ClientEmail, PrivateKey: []byte(a.PrivateKey), PrivateKeyID: a.PrivateKeyID,
		TokenURL: a.TokenURI, Scopes: []string{scope},
	}}
}

// get returns a token that lasts for an attempt, or the exchange that failed to
// fetch one.
func (t *tokens) get(ctx context.Context) (*oauth2.Token, *exchange) {
	t.mu.Lock()
	token := t.current
	t.mu.Unlock()
	if token != nil && (token.Expiry.IsZero() || time.Until(token.Expiry) > tokenMargin) {
		return token, nil
	}
	return t.fetch(ctx)
}

// fetch gets a new token. It waits for a fetch already under way, and no longer
// than ctx; the fetch itself goes on for the others.
func (t *tokens) fetch(ctx context.Context) (*oauth2.Token, *exchange) {
	if ctx.Err() != nil {
		return nil, &exchange{err: ctx.Err()}
	}
	done := t.flight.DoChan("", func() (any, error) {
		return t.exchange(), nil
	})
	select {
	case r := <-done:
		if x := r.Val.(*exchange); x.token == nil {
			return nil, x
		} else {
			return x.token, nil
		}
	case <-ctx.Done():
		return nil, &exchange{err: ctx.Err()}
	}
}

// exchange trades a signed assertion for an access token (RFC 7523).
func (t *tokens) exchange() *exchange {
	ctx, cancel := context.WithTimeout(context.Background(), tokenTimeout)
	defer cancel()
	x := &exchange{}
	client := &http.Client{
		Transport:     clerk{t.base, ctx, x},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	token, err := t.config.TokenSource(context.WithValue(ctx, oauth2.HTTPClient, client)).Token()
	switch {
	case err == nil && token.AccessToken != "":
		x.token = token
		t.mu.Lock()
		t.current = token
		t.mu.Unlock()
	case x.status == 0 && x.err == nil:
		x.err = err // it did not come to a request
	}
	return x
}

// drop forgets a token that FCM no longer takes, so that the next attempt
// fetches another.
func (t *tokens) drop(token *oauth2.Token) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.current == token {
		t.current = nil
	}
}

// clerk is the transport of one fetch. The oauth2 package takes no context for
// the request and keeps no error of the network: clerk brings the one and
// keeps the other.
type clerk struct {
	base http.RoundTripper
	ctx  context.Context
	x    *exchange
}

// RoundTrip fills the exchange.
func (c clerk) RoundTrip(r *http.Request) (*http.Response, error) {
	c.x.do(c.base, r.Clone(c.ctx))
	if c.x.err != nil {
		return nil, c.x.err
	}
	return reply(r, c.x.status, c.x.body), nil
}
