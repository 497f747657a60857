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
	// Dir keeps the inbox over restarts (a journal written before each answer);
	// "" keeps it in memory only.
	Dir string
	// Listen is the address of the control API; default 127.0.0.1:0.
	Listen string
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

	// URL is the control API's address: GET /inbox, GET /requests, POST /script.
	URL string

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
		return nil, err
	}
	s := &Server{core: c}
	s.closers = append(s.closers, c.close)
	err = errors.Join(
		start(s, &s.Twilio, startTwilio),
		start(s, &s.APNs, startAPNs),
		start(s, &s.FCM, startFCM),
		start(s, &s.SMTP, startSMTP),
		start(s, &s.Webhook, startWebhook),
		start(s, &s.SQS, startSQS),
		start(s, &s.Lambda, startLambda),
		s.startControl(o.Listen),
	)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start sandbox: %w", err), s.Close())
	}
	return s, nil
}

func start[F fake](s *Server, field *F, open func(*core) (F, error)) error {
	f, err := open(s.core)
	if err != nil {
		return err
	}
	*field = f
	s.closers = append(s.closers, f.Close)
	return nil
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

// listen opens a loopback listener on a free port.
func listen() (net.Listener, error) { return net.Listen("tcp", "127.0.0.1:0") }

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
	for {
		changed := s.changed()
		items := s.Inbox(provider, recipient)
		if len(items) >= n {
			return items, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return items, fmt.Errorf("inbox has %d of %d messages: %w", len(items), n, ctx.Err())
		}
	}
}
