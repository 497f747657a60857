package topics

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/queue"
)

// Topic is what publishers talk to.
type Topic struct {
	Name        string            `json:"name"`
	DisplayName string            `json:"display_name,omitempty"`
	OnUncertain OnUncertain       `json:"on_uncertain,omitempty"`
	Tags        map[string]string `json:"tags,omitempty"`
	// Attributes are text of a face, which alone knows what they mean.
	Attributes map[string]string `json:"attributes,omitempty"`
	Created    time.Time         `json:"created,omitzero"` // zero: a topic of the gateway's own
	// ArchiveDays is how long what is published is kept for replays; 0: it is
	// not, and what was goes, except what replays have yet to bring because they
	// withheld it. ArchivedSince is when that began.
	ArchiveDays   int       `json:"archive_days,omitempty"`
	ArchivedSince time.Time `json:"archived_since,omitzero"`
	// Deleting: its subscriptions are being removed, then it is.
	Deleting bool `json:"deleting,omitempty"`
}

// OnUncertain says what becomes of a delivery whose answer was lost. The
// default is by protocol: push is sent again under its collapse id, SMS and
// mail are held for evidence and then dropped.
type OnUncertain string

// The choices.
const (
	OnUncertainDefault OnUncertain = ""
	Resend             OnUncertain = "resend"
	HoldUncertain      OnUncertain = "hold"
	DropUncertain      OnUncertain = "drop"
)

// Protocols of subscriptions and direct publishes.
const (
	SMS         = "sms"
	Application = "application"
	Email       = "email"
	HTTP        = "http"
	HTTPS       = "https"
	SQS         = "sqs"
	Lambda      = "lambda"
)

// Protocols are all protocols.
func Protocols() []string { return []string{SMS, Application, Email, HTTP, HTTPS, SQS, Lambda} }

// aProtocol says what a protocol must be.
func aProtocol() string { return "must be one of " + strings.Join(Protocols(), ", ") }

// Subscription ties an endpoint to a topic. It is unique by topic, protocol,
// account and normalised endpoint.
type Subscription struct {
	ID        queue.ID `json:"id"`
	Topic     string   `json:"topic"`
	Protocol  string   `json:"protocol"`
	Endpoint  string   `json:"endpoint"` // normal form
	Group     string   `json:"group"`
	Account   string   `json:"account,omitempty"`   // "" for a queue of this gateway
	Recipient string   `json:"recipient,omitempty"` // the person
	// Raw sends the message itself instead of the JSON envelope to machines.
	Raw     bool                  `json:"raw,omitempty"`
	Retry   *channels.RetryPolicy `json:"retry,omitempty"`
	Secrets []string              `json:"secrets,omitempty"` // webhook signing keys, newest first
	// DeadLetterQueue gets what fails for good: a queue of this gateway by the
	// engine's name, "" for none.
	DeadLetterQueue string    `json:"dead_letter_queue,omitempty"`
	Created         time.Time `json:"created"`
	// Pending is true until the endpoint's owner confirmed that it wants the
	// topic: before, it gets nothing.
	Pending bool `json:"pending,omitempty"`
	// Token is the secret of its confirmation and unsubscribe links, if the face
	// that made it has such.
	Token string `json:"token,omitempty"`
	// Face names who renders what a machine gets (Options.Faces); "" is the
	// native envelope.
	Face string `json:"face,omitempty"`
	// Attributes are text of that face, which alone knows what they mean.
	Attributes map[string]string `json:"attributes,omitempty"`
	// Filter is which publishes it wants; nil: all.
	Filter *Filter `json:"filter,omitempty"`
	// Replay is the latest replay asked for; nil for none.
	Replay *Replay `json:"replay,omitempty"`
	// Disabled says why the endpoint gets nothing any more; "" if it does.
	Disabled      string    `json:"disabled,omitempty"`
	DisabledSince time.Time `json:"disabled_since,omitzero"`
}

// Target is one endpoint published to directly.
type Target struct {
	Protocol string `json:"protocol"`
	Endpoint string `json:"endpoint"`
	Account  string `json:"account,omitempty"`
}

// Override replaces parts of the message for one protocol.
type Override struct {
	Subject string          `json:"subject,omitempty"`
	Message string          `json:"message,omitempty"`
	HTML    string          `json:"html,omitempty"`
	Payload json.RawMessage `json:"payload,omitempty"`
	// ContentType and Headers go with the payload to a webhook.
	ContentType string            `json:"content_type,omitempty"`
	Headers     map[string]string `json:"headers,omitempty"`
	Agent       string            `json:"agent,omitempty"` // channels.Content.Agent
}

// Request is a publish as it is asked for.
type Request struct {
	Owner   Owner
	Topic   string  // or
	To      *Target // one endpoint
	Subject string
	Message string
	HTML    string
	// Overrides by protocol.
	Overrides map[string]Override
	// Variants are texts of a face, by names that it alone knows.
	Variants map[string]string
	// Face gives what is published to one endpoint its form (Options.Faces); a
	// topic's subscriptions have their own.
	Face            string
	Template        string
	TemplateVersion int // 0: the latest
	Data            map[string]any
	Attributes      map[string]channels.Attribute
	Lane            channels.Lane
	ExpiresAt       time.Time
	SendAt          time.Time
	Group           string // FIFO group or tenant, for queues
	Trace           string // AWS X-Ray trace header, for queues of this gateway
	CollapseID      string
	// IdempotencyKey makes a repeat within the TTL, and while its ledger is kept,
	// return the first publish. With anything else than the first request said,
	// another group too, it is ErrIdempotencyMismatch.
	IdempotencyKey string
	// DedupID makes it a publish to a FIFO topic: order is kept within the
	// group, its whole audience is taken at once, and a repeat within
	// queue.DedupWindow returns the first publish, whatever it says.
	DedupID string
	// DedupPerGroup keeps DedupIDs of groups apart, and spreads the groups over
	// the shards. Without it they are the topic's.
	DedupPerGroup bool
}

// Phase of a publish's life.
type Phase string

// The phases.
const (
	Scheduled Phase = "scheduled" // send_at lies ahead
	Expanding Phase = "expanding" // the audience is being walked
	Expanded  Phase = "expanded"  // the audience is final
	Completed Phase = "completed" // every delivery is final
	CalledOff Phase = "cancelled" // cancelled while it was scheduled: nobody got it
)

// over tells whether the publish's ledger is closed.
func (p Phase) over() bool { return p == Completed || p == CalledOff }

// Control is what an operator asked of a publish.
type Control string

// The controls.
const (
	Running Control = ""
	Paused  Control = "paused"
	Stopped Control = "cancelled"
)

// Publish is one accepted request.
type Publish struct {
	ID              queue.ID      `json:"id"`
	Owner           Owner         `json:"owner"`
	Topic           string        `json:"topic,omitempty"`
	Lane            channels.Lane `json:"lane"`
	Phase           Phase         `json:"phase"`
	Control         Control       `json:"control,omitempty"`
	OnUncertain     OnUncertain   `json:"on_uncertain,omitempty"`
	Template        string        `json:"template,omitempty"`
	TemplateVersion int           `json:"template_version,omitempty"`
	Created         time.Time     `json:"created"`
	SendAt          time.Time     `json:"send_at,omitzero"`
	ExpiresAt       time.Time     `json:"expires_at,omitzero"`
	CompletedAt     time.Time     `json:"completed_at,omitzero"`
	// Audience is the boundary: subscriptions with an ID up to it belong to it.
	Audience queue.ID `json:"audience"`
	// Cursor is the last subscription key the expander looked at.
	Cursor []byte `json:"cursor,omitempty"`
	// Next is the ordinal of the next delivery.
	Next uint32 `json:"next"`
	// Archived is its place in its topic's archive; zero: it is not there.
	Archived queue.ID `json:"archived,omitzero"`
	// Original is the publish that this one replays; nil if it is none.
	Original *Original `json:"original,omitempty"`

	// Notice: the gateway tells of deliveries by it. What becomes of it is not told
	// in turn.
	Notice bool `json:"notice,omitempty"`

	failed int // of the deliveries added by the batch being made
	// Key is the record of its Idempotency-Key, if it came with one.
	Key []byte `json:"key,omitempty"`
}

// content is what a publish says, kept apart from its record.
type content struct {
	To         *Target                       `json:"to,omitempty"`
	Subject    string                        `json:"subject,omitempty"`
	Message    string                        `json:"message,omitempty"`
	HTML       string                        `json:"html,omitempty"`
	Overrides  map[string]Override           `json:"overrides,omitempty"`
	Variants   map[string]string             `json:"variants,omitempty"`
	Face       string                        `json:"face,omitempty"`
	Data       map[string]any                `json:"data,omitempty"`
	Attributes map[string]channels.Attribute `json:"attributes,omitempty"`
	Group      string                        `json:"group,omitempty"`
	Trace      string                        `json:"trace,omitempty"`
	DedupID    string                        `json:"dedup_id,omitempty"` // of a FIFO topic
	CollapseID string                        `json:"collapse_id,omitempty"`

	size int // bytes of all of it as JSON, once checked
}

// deliveryRecord is where one delivery stands.
type deliveryRecord struct {
	State    State     `json:"s"`
	Try      int       `json:"t,omitempty"` // attempts begun that count
	Protocol string    `json:"p"`
	Account  string    `json:"a,omitempty"`
	Sub      queue.ID  `json:"u,omitzero"` // zero: the publish's direct target
	Group    string    `json:"g,omitempty"`
	Next     time.Time `json:"n,omitzero"`  // queued for a retry: when
	At       time.Time `json:"at"`          // last change
	Kind     string    `json:"k,omitempty"` // of the last failure
	Code     string    `json:"c,omitempty"`
	Reason   string    `json:"r,omitempty"`
	Provider string    `json:"id,omitempty"` // the provider's id
	Failures int       `json:"f,omitempty"`  // attempts recorded as failed

	Unapplied []UnappliedEvidence `json:"e,omitempty"`
	Buried    bool                `json:"dl,omitempty"` // in its subscription's dead-letter queue
	Replay    bool                `json:"rp,omitempty"` // brought by its subscription's replay
}

// waiting tells whether the delivery is queued for a retry.
func (r *deliveryRecord) waiting() bool { return !r.Next.IsZero() }

// local tells whether the delivery is for a queue of this gateway.
func (r *deliveryRecord) local() bool { return r.Protocol == SQS && r.Account == localQueue }

// Delivery is one publish for one endpoint, as the API shows it.
type Delivery struct {
	ID           queue.ID
	State        State
	Try          int
	Protocol     string
	Account      string
	Subscription queue.ID
	At           time.Time
	Kind         string
	Code         string
	Reason       string
	ProviderID   string
	NextAttempt  time.Time // queued for a retry: not before
	DeadLettered bool      // its subscription's dead-letter queue got it
	// Unapplied is evidence that came and changed nothing, oldest first: of an
	// earlier try, or of a lower rank than what was known. The first 8 are kept.
	Unapplied []UnappliedEvidence
}

// UnappliedEvidence is what a provider said of an attempt without changing
// where its delivery stands.
type UnappliedEvidence struct {
	Try        int       `json:"try"`
	State      State     `json:"state"`
	At         time.Time `json:"at"` // when it came
	Account    string    `json:"account,omitempty"`
	ProviderID string    `json:"provider_id,omitempty"`
	Kind       string    `json:"kind,omitempty"`
	Code       string    `json:"code,omitempty"`
}

// FailedAttempt is the small record a failed attempt leaves.
type FailedAttempt struct {
	Try     int           `json:"try"`
	At      time.Time     `json:"at"`
	Account string        `json:"account"`
	Kind    channels.Kind `json:"kind"`
	Status  int           `json:"status,omitempty"`
	Code    string        `json:"code,omitempty"`
	Text    string        `json:"text,omitempty"`
	TookMS  int64         `json:"took_ms"`
}

func (r *deliveryRecord) show(id queue.ID) Delivery {
	return Delivery{
		ID: id, State: r.State, Try: r.Try, Protocol: r.Protocol, Account: r.Account, Subscription: r.Sub,
		At: r.At, Kind: r.Kind, Code: r.Code, Reason: r.Reason, ProviderID: r.Provider, NextAttempt: r.Next,
		Unapplied:    r.Unapplied,
		DeadLettered: r.Buried,
	}
}
