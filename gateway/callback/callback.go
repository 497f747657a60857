// Package callback receives what comes back: status callbacks, bounces,
// replies that withdraw consent.
package callback

import (
	"errors"
	"log/slog"
	"net/http"
	"strings"

	"github.com/fanfare-gateway/fanfare/topics"
)

// Errors of a Source.
var (
	// ErrSignature: the request is not the provider's. Answered 403.
	ErrSignature = errors.New("the signature does not fit")
	// ErrUnreadable: the request is not what the provider sends. Answered 400.
	ErrUnreadable = errors.New("not a callback")
)

// Source checks and reads what one account's provider sends.
type Source interface {
	Read(r *http.Request) (News, error)
}

// News is what a request says: evidence about a delivery, or a person's
// consent given or withdrawn, or neither.
type News struct {
	Evidence *topics.Evidence
	// Consent is "stop", "start" or "" for Endpoint.
	Consent            string
	Protocol, Endpoint string
}

// Options configure New.
type Options struct {
	Topics *topics.Topics
	// Sources by account name ("twilio/main").
	Sources map[string]Source
	// Owner whose suppressions a reply changes.
	Owner  topics.Owner
	Logger *slog.Logger
}

// New serves POST /callbacks/PROVIDER/ACCOUNT.
func New(o Options) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		source, ok := o.Sources[strings.TrimPrefix(r.URL.Path, "/callbacks/")]
		if !ok {
			http.Error(w, "no account receives callbacks here", http.StatusNotFound)
			return
		}
		news, err := source.Read(r)
		switch {
		case errors.Is(err, ErrSignature):
			o.Logger.Warn("callback refused: bad signature", "path", r.URL.Path)
			http.Error(w, ErrSignature.Error(), http.StatusForbidden)
			return
		case err != nil:
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if err := o.take(r, news); err != nil {
			o.Logger.Error("callback could not be recorded", "path", r.URL.Path, "error", err)
			w.Header().Set("Retry-After", "5")
			http.Error(w, "not recorded, send it again", http.StatusServiceUnavailable)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
}

func (o Options) take(r *http.Request, n News) error {
	if n.Evidence != nil {
		_, err := o.Topics.Observe(r.Context(), *n.Evidence)
		if errors.Is(err, topics.ErrNotFound) {
			return nil // long forgotten: sending it again would not help
		}
		return err
	}
	var err error
	switch n.Consent {
	case "stop":
		_, err = o.Topics.Suppress(r.Context(), o.Owner, topics.Suppression{Protocol: n.Protocol, Endpoint: n.Endpoint, Reason: "the recipient said so"})
	case "start":
		err = o.Topics.Unsuppress(r.Context(), o.Owner, n.Protocol, n.Endpoint)
	}
	if errors.Is(err, topics.ErrNotFound) || errors.Is(err, topics.ErrInvalid) {
		return nil
	}
	return err
}
