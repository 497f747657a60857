// Package sandbox is the providers' side in process: fakes of Twilio, APNs,
// FCM, an SMTP relay, webhook receivers, an SQS endpoint and Lambda, each on a
// real loopback socket, with answers scripted per recipient and one inbox of
// what they accepted. It refuses what the real provider refuses, with the
// provider's own error. Channels know nothing of it: they get addresses and
// credentials.
package sandbox

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

// The providers, as named in scripts, the inbox and the error book.
const (
	ProviderTwilio  = "twilio"
	ProviderAPNs    = "apns"
	ProviderFCM     = "fcm"
	ProviderSMTP    = "smtp"
	ProviderWebhook = "webhook"
	ProviderSQS     = "sqs"
	ProviderLambda  = "lambda"
)

// Options configure Start.
type Options struct {
	// Dir keeps everything over restarts, also after a kill: the inbox with what
	// is still to be reported (inbox.ndjson, written before each answer), and
	// addresses, keys, credentials, queues and scripts (state.json). "" keeps it
	// in memory only.
	Dir string
	// CallbackDelay is the time between the statuses a provider reports back;
	// default 200 ms.
	CallbackDelay time.Duration
}

// Server runs all fakes.
type Server struct {
	*core
	Twilio  *Twilio
	APNs    *APNs
	FCM     *FCM
	SMTP    *SMTP
	Webhook *Webhook
	SQS     *SQS
	Lambda  *Lambda

	// URL is the control API's address; GET / describes it, in a browser it shows
	// the inbox.
	URL string
	// Control is the same, to be served at another address too; its page needs a
	// path that ends with a slash.
	Control http.Handler

	closers []func() error
}

// fake is one provider's listener.
type fake interface{ Close() error }

// Start opens all listeners on loopback. Close ends them.
func Start(o Options) (*Server, error) {
	if o.CallbackDelay == 0 {
		o.CallbackDelay = 200 * time.Millisecond
	}
	c, err := newCore(o)
	if err != nil {
		return nil, fmt.Errorf("start sandbox: %w", err)
	}
	s := &Server{core: c}
	s.closers = append(s.closers, c.close)
	for _, open := range []func() error{
		start(s, &s.Twilio, startTwilio),
		start(s, &s.APNs, startAPNs),
		start(s, &s.FCM, startFCM),
		start(s, &s.SMTP, startSMTP),
		start(s, &s.Webhook, startWebhook),
		start(s, &s.SQS, startSQS),
		start(s, &s.Lambda, startLambda),
		s.startControl,
	} {
		if err := open(); err != nil {
			return nil, errors.Join(fmt.Errorf("start sandbox: %w", err), s.Close())
		}
	}
	return s, nil
}

func start[F fake](s *Server, field *F, open func(*core) (F, error)) func() error {
	return func() error {
		f, err := open(s.core)
		if err != nil {
			return err
		}
		*field = f
		s.closers = append(s.closers, f.Close)
		return nil
	}
}

// Close ends all fakes.
func (s *Server) Close() error {
	s.cancel()
	var errs []error
	for i := len(s.closers) - 1; i >= 0; i-- {
		errs = append(errs, s.closers[i]())
	}
	return errors.Join(errs...)
}

// serveHTTP runs a handler on a listener and returns what closes it.
func serveHTTP(l net.Listener, h http.Handler) func() error {
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = srv.Serve(l) // always ErrServerClosed after Close
	}()
	return func() error {
		err := srv.Close()
		<-done
		return err
	}
}

// Await blocks until the inbox holds n messages of the provider for the
// recipient ("" for any), or ctx ends.
func (s *Server) Await(ctx context.Context, provider, recipient string, n int) ([]Item, error) {
	f := filter{provider: provider, recipient: recipient, accepted: "true"}
	var found []Item
	for last := 0; ; {
		changed := s.changed()
		var more []Item
		more, last = s.page(f, last, keepItems)
		if found = append(found, more...); len(found) >= n {
			return found, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return found, fmt.Errorf("inbox has %d of %d messages: %w", len(found), n, ctx.Err())
		}
	}
}
