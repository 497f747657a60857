// Package topics knows what is published to whom: topics, subscriptions,
// templates' storage, publishes and their expansion into deliveries, the
// ledger that says where each delivery stands, suppressions and dead letters.
//
// It is the desk of the workers (channels.Desk): it admits and renders a
// delivery when its turn comes, and records what became of it.
package topics

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/queue"
)

// Errors of the package; compare with errors.Is. What is returned wraps one of
// them and says what was wrong and what would be right.
var (
	ErrNotFound = errors.New("not found")
	// ErrInvalid is a FieldError: a request that can never succeed as it is.
	ErrInvalid = errors.New("invalid")
	// ErrConflict: the thing exists with other content, or changed meanwhile.
	ErrConflict = errors.New("conflict")
	// ErrIdempotencyMismatch: the Idempotency-Key was used with another payload.
	ErrIdempotencyMismatch = errors.New("idempotency key was used with another payload")
	// ErrState: the publish or delivery is in a state that does not allow it.
	ErrState = errors.New("not possible in this state")
)

// FieldError names the field of a request that is wrong and what would be right.
type FieldError struct {
	Field  string // JSON path: "to.endpoint", "attributes.color.type"
	Reason string
}

// Error is field and reason.
func (e *FieldError) Error() string { return e.Field + ": " + e.Reason }

// Is makes a FieldError an ErrInvalid.
func (e *FieldError) Is(target error) bool { return target == ErrInvalid }

func invalid(field, reason string) error { return &FieldError{Field: field, Reason: reason} }

// Owner is whose a thing is: account number and region, as in an ARN. The
// native API uses the region "local".
type Owner struct {
	Account string
	Region  string
}

// DefaultOwner is the owner when no API key says otherwise.
var DefaultOwner = Owner{Account: "000000000000", Region: "local"}

func (o Owner) prefix() string { return o.Account + "/" + o.Region + "/" }

// Accounts is what topics needs to know of the providers' accounts.
type Accounts interface {
	// Account looks an account up by name; ok is false if there is none.
	Account(name string) (channels.AccountState, bool)
	// Default is the account for a protocol when none is named: the only one,
	// or the one first configured; "" if the protocol has none.
	Default(protocol string) string
	// CheckEndpoint asks the account's channel.
	CheckEndpoint(account, endpoint string) (channels.Endpoint, error)
}

// Options configure New. The zero value of a field means its default.
type Options struct {
	Store    *queue.Store
	Accounts Accounts
	Logger   *slog.Logger
	Metrics  prometheus.Registerer // nil: none are kept

	// Matches and Candidates bound what a publish expands before it answers: how
	// many subscriptions get it, and how many are looked at if the topic has no
	// index; beyond, the expander does it. Default 64 and 1,000.
	Matches, Candidates int
	// Chunk is how many subscriptions the expander looks at in one batch
	// (default 1,000); Ahead how many entries of one publish it lets wait in
	// the queues (default 5,000).
	Chunk, Ahead int
	// MaxMessage is the most bytes of a publish's content; default 1 MiB.
	MaxMessage int
	// Retention is how long a ledger is kept after its completion; default 7 days.
	Retention time.Duration
	// IdempotencyTTL is how long an Idempotency-Key is remembered; default 24 h.
	IdempotencyTTL time.Duration
	// PlatformEvents words an event of a platform endpoint for the application's
	// owner; nil: for nobody.
	PlatformEvents func(o Owner, app *PlatformApplication, e PlatformEvent) Notice
	// Faces give machines the form of the face that made their subscription.
	Faces map[string]Face
	// DeliveryPolicies say, by face, how the deliveries of a subscription go, as
	// it and its topic stand; without one it is Subscription.Retry that counts.
	DeliveryPolicies map[string]func(*Topic, *Subscription) DeliveryPolicy
	// Guard is the recipient guard; nil lets everybody through.
	Guard func(protocol, endpoint string) (redirect string, ok bool)
	// CallbackURL and UnsubscribeURL make the links a delivery carries; nil: none.
	// An unsubscribe link stands for the suppression it asks for.
	CallbackURL    func(account channels.AccountState, d queue.ID, try int) string
	UnsubscribeURL func(o Owner, d queue.ID, s Suppression) string
}

// Topics is the room's one object. Its methods are safe for concurrent use.
type Topics struct {
	Options
	store *queue.Store
	log   *slog.Logger
	m     *metrics

	cache     publishCache
	templates templateCache
	policies  policies
	indexes   indexes
	paces     paces
	listeners listeners
	restored  atomic.Pointer[restoration]
	releasing sync.Mutex    // a release runs once at a time
	auditing  time.Duration // pause between rounds of the auditor, at least
	gates     gates

	mu     sync.Mutex
	closed map[queue.ID]struct{} // publishes that may have just completed
	wake   chan struct{}
}

// New makes a Topics on an open store and creates its own queues. Call Recover
// and then Run.
func New(ctx context.Context, o Options) (*Topics, error) {
	setDefault(&o.Matches, 64)
	setDefault(&o.Candidates, 1000)
	setDefault(&o.Chunk, 1000)
	setDefault(&o.Ahead, 5000)
	setDefault(&o.MaxMessage, 1<<20)
	setDefault(&o.Retention, 7*24*time.Hour)
	setDefault(&o.IdempotencyTTL, 24*time.Hour)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	t := &Topics{
		Options: o, store: o.Store, log: o.Logger, m: newMetrics(o.Metrics), auditing: auditEvery,
		closed: map[queue.ID]struct{}{}, wake: make(chan struct{}, 1),
	}
	t.indexes.init()
	t.store.Follow(queue.Registry, nil, t.indexes.changed)
	for _, name := range []string{expandQueue, scheduleQueue, uncertainQueue, redriveQueue, replayQueue, retentionQueue} {
		if _, err := t.store.CreateQueue(ctx, name, queue.Settings{Visibility: time.Minute}); err != nil {
			return nil, err
		}
	}
	if err := t.countOnce(ctx); err != nil {
		return nil, err
	}
	return t, t.noteRestore(ctx)
}

// The queues topics keeps its own work in: the engine is its timer and its
// memory over restarts.
const (
	expandQueue    = "topics/expand"
	scheduleQueue  = "topics/schedule"
	uncertainQueue = "topics/uncertain"
	redriveQueue   = "topics/redrive"
	replayQueue    = "topics/replay"
	retentionQueue = "topics/retention"
)

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// checkName checks the name of a topic, template or queue (as SQS and SNS do).
func checkName(field, name string) error {
	if name == "" || len(name) > 256 || strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") != "" {
		return invalid(field, "must be 1 to 256 letters, digits, hyphens, underscores or dots")
	}
	return nil
}
