// Package channels holds what all ways of delivering have in common: the
// Channel interface, the answer a provider gave (Receipt, Error and its Kind),
// the error book that classifies answers, the retry policy that decides what
// follows, and the workers that lease deliveries and make the calls.
//
// Each concrete channel is a folder below this one and knows none of the others.
package channels

import (
	"context"
	"time"

	"github.com/fanfare-gateway/fanfare/queue"
)

// Channel delivers to endpoints of one protocol through one account of one
// provider. Its methods are safe for concurrent use. One that holds connections
// is an io.Closer: it is closed once, when no attempt uses it any more.
type Channel interface {
	// CheckEndpoint checks an endpoint when it is subscribed or published to
	// and returns its normal form and group. The error says what was wrong and
	// what would be right, and does not repeat the endpoint. It makes no call.
	CheckEndpoint(endpoint string) (Endpoint, error)
	// Deliver makes exactly one attempt: one request, no retry inside. It
	// blocks until the provider answered or ctx ends. A failure is an *Error.
	Deliver(ctx context.Context, d Delivery) (Receipt, error)
}

// BatchDeliverer is a Channel whose provider takes several deliveries to one
// endpoint in one request. The results are in the order of the deliveries.
type BatchDeliverer interface {
	Channel
	DeliverBatch(ctx context.Context, ds []Delivery) []Result
}

// Prober is a Channel that can test its account's credentials without sending
// anything. When Probe returns nil, a faulted account tries one delivery.
type Prober interface {
	Probe(ctx context.Context) error
}

// Result is the outcome of one delivery of a batch.
type Result struct {
	Receipt Receipt
	Err     error
}

// Endpoint is a checked endpoint.
type Endpoint struct {
	// Address is the normal form: two endpoints are the same if it is equal.
	Address string
	// Group is what endpoints share that fails together: webhook host, mail
	// domain, SMS country, app. Workers take turns between groups.
	Group string
}

// Lane is the urgency of a publish.
type Lane string

// The lanes, most urgent first.
const (
	Critical      Lane = "critical"
	Transactional Lane = "transactional"
	Bulk          Lane = "bulk"
)

// Lanes are all lanes, most urgent first.
func Lanes() []Lane { return []Lane{Critical, Transactional, Bulk} }

// Delivery is one publish for one endpoint, rendered and ready to be sent.
type Delivery struct {
	ID      queue.ID // travels to the provider wherever something comes back
	Publish queue.ID
	Try     int // 1 is the first attempt; redrives and resends go on counting

	Topic        string // ARN-like name, "" for a publish to one endpoint
	Subscription string // subscription id, "" for a publish to one endpoint
	Endpoint     string // normal form
	Lane         Lane
	PublishedAt  time.Time // of a replayed one: when the original was
	Expires      time.Time // zero: no deadline; goes on the wire as the provider's TTL
	// Timeout is the longest the receiver may take; 0 means as its account says.
	Timeout time.Duration

	Content    Content
	Attributes map[string]Attribute
	Group      string // FIFO group of the publish, if any
	CollapseID string // push: a later one replaces an earlier one on the device
	Push       Push
	// Sender is who an SMS comes from, if the publisher chose it: a number, a
	// short code or an alphanumeric id. "" is the account's own.
	Sender string

	// CallbackURL is where the provider reports what became of it; "" for none.
	CallbackURL string
	// UnsubscribeURL is the recipient's one-click unsubscribe link; "" for none.
	UnsubscribeURL string
	// Secrets sign a webhook (Standard Webhooks "whsec_…"), newest first.
	Secrets []string
}

// Push is what a publisher asks of the push service itself. The channel decides
// what is left empty.
type Push struct {
	// Type, Topic and Priority are APNs' headers of those names.
	Type, Topic string
	Priority    int
	// Once: the service tries now or never, whatever Expires says, and keeps the
	// message for no device that is off.
	Once bool
}

// Content is the rendered message.
type Content struct {
	Subject string // title of a push, subject of a mail
	Text    string
	HTML    string // mail alternative; "" for none
	// Payload is a complete body for machines (webhook, queue, function) or the
	// provider's raw JSON (push). If nil, the channel builds its own from the
	// fields above.
	Payload     []byte
	ContentType string            // of Payload; "" means application/json
	Headers     map[string]string // webhook: extra request headers
	// Agent is the User-Agent of a webhook in the form of somebody else, without
	// the headers of Standard Webhooks; "" for the gateway's own.
	Agent string
}

// Attribute is a message attribute as in SNS.
type Attribute struct {
	Type  string `json:"type"` // String, Number, Binary, String.Array
	Value string `json:"value"`
}

// Receipt is what the provider said of a delivery it accepted.
type Receipt struct {
	// ProviderID is the provider's own id of the message.
	ProviderID string
	// Delivered tells that the endpoint itself has it (a machine answered 2xx).
	// Otherwise the delivery is sent: accepted by the provider, not yet delivered.
	Delivered bool
	// Units is what the account is charged for, if more than 1: SMS segments.
	Units int
}
