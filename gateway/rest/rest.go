// Package rest is the native HTTP API under /v1: JSON, RFC 9457 problems,
// scoped keys, and its OpenAPI 3.1 document at /openapi.json. Durations in JSON
// are strings such as "1m30s", times are RFC 3339, ids have a prefix.
package rest

import (
	"context"
	"log/slog"
	"net/http"
	"reflect"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/queue"
	"github.com/fanfare-gateway/fanfare/topics"
)

// Pool is what the API needs of the workers.
type Pool interface {
	// States are the accounts' states.
	States() []channels.AccountState
	// Missing are the accounts that deliveries wait for and that are not there.
	Missing() ([]channels.AccountState, error)
	// Pause and Resume are channels.ErrNoAccount for an unknown account.
	Pause(name, reason string) error
	Resume(name string) error
}

// Options configure New. The zero value of a field means its default.
type Options struct {
	Topics     *topics.Topics
	Store      *queue.Store
	Pool       Pool
	Keys       []Key // none: only loopback is served
	Locked     bool  // without Keys, nobody is served
	MaxMessage int   // most bytes of a request's body; default 2 MiB
	MaxImport  int64 // most bytes of an import; default 1 GiB
	Version    string
	Logger     *slog.Logger // default discards
}

type api struct {
	Options
	huma huma.API
}

const description = `Publish once, delivered on every channel.

Durations are strings such as "30s" or "1h30m", times are RFC 3339, ids have a prefix (pub_, dlv_, sub_, red_).
Lists go in pages: pass the answer's next as cursor.
Errors are application/problem+json (RFC 9457) and name the field that is wrong.

Each operation needs a key with the scope it names: publish, read, manage or admin. Manage includes read, admin includes all.`

// New is the handler of the API.
func New(o Options) http.Handler {
	if o.MaxMessage == 0 {
		o.MaxMessage = 2 << 20
	}
	if o.MaxImport == 0 {
		o.MaxImport = 1 << 30
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	o.Keys = normalKeys(o.Keys)
	a := &api{Options: o}
	mux := http.NewServeMux()
	a.huma = humago.New(mux, a.config())
	a.registerTopics()
	a.registerSubscriptions()
	a.registerReplays()
	a.registerImport(mux)
	a.registerPublish()
	a.registerAccounts()
	a.registerDeadLetters()
	a.registerSuppressions()
	a.registerTemplates()
	a.registerQueues()
	a.registerMessages()
	a.describeEvents()
	delete(a.huma.OpenAPI().Components.Schemas.Map(), "ErrorModel") // ours is Problem
	return a.guarded(a.recovered(routed(mux)))
}

func (a *api) config() huma.Config {
	cfg := huma.DefaultConfig("Fanfare", a.Version)
	cfg.Formats = formats()
	cfg.DocsPath = "" // its page would load scripts from elsewhere
	cfg.SchemasPath = ""
	cfg.CreateHooks = nil // bodies get no $schema
	cfg.RejectUnknownQueryParameters = true
	cfg.Transformers = []huma.Transformer{a.foundBad}
	cfg.Info.Description = description
	cfg.Components.SecuritySchemes = map[string]*huma.SecurityScheme{"key": {Type: "http", Scheme: "bearer"}}
	return cfg
}

// operation registers a handler that needs a scope.
func operation[I, O any](a *api, scope, route, summary string, h func(context.Context, *I) (*O, error)) {
	op := a.describe(scope, route, summary)
	if route == PublishRoute {
		op.DefaultStatus = http.StatusAccepted
	}
	huma.Register(a.huma, op, func(ctx context.Context, in *I) (*O, error) {
		if err := allowed(ctx, scope); err != nil {
			return nil, err
		}
		out, err := h(ctx, in)
		if err != nil {
			return nil, a.problem(ctx, err)
		}
		return out, nil
	})
}

// describe is the document's part about a route ("METHOD /path").
func (a *api) describe(scope, route, summary string) huma.Operation {
	method, path, _ := strings.Cut(route, " ")
	problem := a.huma.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[Problem](), true, "Problem")
	return huma.Operation{
		OperationID: strings.ToLower(method) + strings.NewReplacer("/", "-", "{", "", "}", "").Replace(strings.TrimPrefix(path, "/v1")),
		Method:      method, Path: path, Summary: summary, Description: "Scope: " + scope,
		Security:     []map[string][]string{{"key": {scope}}},
		MaxBodyBytes: int64(a.MaxMessage) + 1, // huma refuses what reaches it
		Responses: map[string]*huma.Response{"default": {
			Description: "What was wrong and what would be right",
			Content:     map[string]*huma.MediaType{problemType: {Schema: problem}},
		}},
	}
}

// Page is the cursor and limit of a list.
type Page struct {
	Cursor string `query:"cursor" doc:"the next field of the page before"`
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
}

// behind is the id that a page follows; zero for the first page.
func (p Page) behind(prefix string) (id queue.ID, err error) {
	if p.Cursor == "" {
		return id, nil
	}
	return parseID(prefix, "cursor", p.Cursor)
}

func invalid(field, reason string) error { return &topics.FieldError{Field: field, Reason: reason} }

func parseID(prefix, field, text string) (queue.ID, error) {
	hex, ok := strings.CutPrefix(text, prefix)
	if ok && len(hex) == 32 {
		if id, err := queue.ParseID(hex); err == nil && (prefix != "pub_" || id.Ordinal() == 0) {
			return id, nil
		}
	}
	return queue.ID{}, invalid(field, "must be "+prefix+" and the 32 hexadecimal digits of an id")
}

// duration reads a duration of 0 to most; "" is 0.
func duration(field, text string, most time.Duration) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 || d > most {
		return 0, invalid(field, `must be a duration such as "30s" or "1h30m", 0s to `+most.String())
	}
	return d, nil
}
