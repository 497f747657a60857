// Package callback receives what comes back: status callbacks, bounces,
// replies that withdraw consent, and clicks on unsubscribe links.
package callback

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/fanfare-gateway/fanfare/topics"
)

// Errors of a Source.
var (
	// ErrSignature: the request is not the provider's. Answered 403.
	ErrSignature = errors.New("the signature does not fit")
	// ErrUnreadable: the request is not what the provider sends. Answered 400.
	ErrUnreadable = errors.New("not a callback")
)

// Source checks and reads what one account's provider sends. A request's body
// is at most 64 KiB; reading more of it fails.
type Source interface {
	Read(r *http.Request) (News, error)
}

// News is what a request says: evidence about a delivery, or a person's
// consent given or withdrawn, or neither.
type News struct {
	Evidence *topics.Evidence
	// Consent is about Protocol and Endpoint.
	Consent            Consent
	Protocol, Endpoint string
}

// Consent is what a person said of further messages.
type Consent string

// The consents.
const (
	Nothing Consent = ""
	Stop    Consent = "stop"
	Start   Consent = "start"
)

// Options configure New.
type Options struct {
	Topics *topics.Topics
	Links  *Links
	// Sources by account name ("twilio/main").
	Sources map[string]Source
	// Owners are all who send through these accounts: STOP is said to the
	// account's number, and a complaint hurts its good name, so both hold for
	// all of them.
	Owners  []topics.Owner
	Metrics *Metrics // nil: none are kept
	Logger  *slog.Logger
}

const (
	maxBody  = 64 << 10
	patience = 10 * time.Second // for a body to come in
)

// New serves POST /callbacks/PROVIDER/ACCOUNT for providers, and GET and POST
// /u/TOKEN for people and their mail programs.
func New(o Options) http.Handler {
	if o.Metrics == nil {
		o.Metrics = NewMetrics(nil)
	}
	for account := range o.Sources {
		o.Metrics.initialise(account)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /callbacks/{provider}/{account}", o.serveCallback)
	mux.HandleFunc("GET /u/{token...}", o.servePage)
	mux.HandleFunc("POST /u/{token...}", o.serveClick)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(patience)) // where it can be set
		mux.ServeHTTP(w, r)
	})
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
	account := r.PathValue("provider") + "/" + r.PathValue("account")
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
		return o.observe(r.Context(), account, *news.Evidence)
	case news.Consent == Nothing:
		return taken, nil
	}
	for _, owner := range o.Owners {
		if err := o.note(r.Context(), owner, news); err != nil {
			return failed, err
		}
	}
	if news.Consent == Stop {
		o.Metrics.optedOut(account)
	}
	return taken, nil
}

func (o Options) observe(ctx context.Context, account string, ev topics.Evidence) (result, error) {
	ev.Account = account
	applied, err := o.Topics.Observe(ctx, ev)
	switch {
	case errors.Is(err, topics.ErrNotFound):
		return unknownID, nil // long forgotten, or of another system
	case err != nil:
		return failed, err
	case !applied:
		return ignored, nil
	}
	return taken, nil
}

// note records a person's word.
func (o Options) note(ctx context.Context, owner topics.Owner, n News) error {
	s := topics.Suppression{Protocol: n.Protocol, Endpoint: n.Endpoint, Reason: "the recipient said so"}
	var err error
	if n.Consent == Start {
		err = o.Topics.Unsuppress(ctx, owner, s)
	} else {
		_, err = o.Topics.Suppress(ctx, owner, s)
	}
	if errors.Is(err, topics.ErrNotFound) || errors.Is(err, topics.ErrInvalid) {
		return nil // nothing to lift; nobody we could send to
	}
	return err
}
