// Package callback receives what comes back: status callbacks, bounces,
// replies that withdraw consent.
package callback

import (
	"context"
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
	Owner   topics.Owner
	Metrics *Metrics // nil: none are kept
	Logger  *slog.Logger
}

// New serves POST /callbacks/PROVIDER/ACCOUNT.
func New(o Options) http.Handler {
	if o.Metrics == nil {
		o.Metrics = NewMetrics(nil)
	}
	for account := range o.Sources {
		o.Metrics.initialise(account)
	}
	return http.HandlerFunc(o.serveCallback)
}

// result is what became of a callback.
type result string

const (
	taken        result = "ok" // recorded, or nothing to record
	ignored      result = "regression_ignored"
	unknownID    result = "unknown_id"
	badSignature result = "bad_signature"
	unreadable   result = "unreadable"
	failed       result = "failed"
)

func (o Options) serveCallback(w http.ResponseWriter, r *http.Request) {
	account := strings.TrimPrefix(r.URL.Path, "/callbacks/")
	source, ok := o.Sources[account]
	if !ok {
		http.Error(w, "no account receives callbacks here", http.StatusNotFound)
		return
	}
	res, err := o.take(r, account, source)
	o.Metrics.count(account, res)
	switch res {
	case badSignature:
		o.Logger.Warn("callback refused: bad signature", "account", account)
		http.Error(w, ErrSignature.Error(), http.StatusForbidden)
	case unreadable:
		http.Error(w, err.Error(), http.StatusBadRequest)
	case failed:
		o.Logger.Error("callback could not be recorded", "account", account, "error", err)
		w.Header().Set("Retry-After", "5")
		http.Error(w, "not recorded, send it again", http.StatusServiceUnavailable)
	default:
		// Also for what is ignored or unknown: sent again, it would be so again.
		w.WriteHeader(http.StatusNoContent)
	}
}

// take reads a callback and records what it says. The error explains a result
// that is refused or failed.
func (o Options) take(r *http.Request, account string, source Source) (result, error) {
	news, err := source.Read(r)
	switch {
	case errors.Is(err, ErrSignature):
		return badSignature, err
	case err != nil:
		return unreadable, err
	case news.Evidence != nil:
		return o.observe(r.Context(), *news.Evidence)
	case news.Consent == "stop":
		_, err = o.Topics.Suppress(r.Context(), o.Owner, topics.Suppression{Protocol: news.Protocol, Endpoint: news.Endpoint, Reason: "the recipient said so"})
	case news.Consent == "start":
		err = o.Topics.Unsuppress(r.Context(), o.Owner, news.Protocol, news.Endpoint)
	}
	if err != nil && !errors.Is(err, topics.ErrNotFound) && !errors.Is(err, topics.ErrInvalid) {
		return failed, err
	}
	if news.Consent == "stop" {
		o.Metrics.optedOut(account)
	}
	return taken, nil
}

func (o Options) observe(ctx context.Context, ev topics.Evidence) (result, error) {
	applied, err := o.Topics.Observe(ctx, ev)
	switch {
	case errors.Is(err, topics.ErrNotFound):
		return unknownID, nil // long forgotten: sending it again would not help
	case err != nil:
		return failed, err
	case !applied:
		return ignored, nil
	}
	return taken, nil
}
