package channels

import (
	"context"
	"time"

	"github.com/fanfare-gateway/fanfare/queue"
)

// Entry is a leased entry of an account's queue: one delivery, its turn come.
type Entry struct {
	queue.Received        // Received.ID is the delivery's id, its group the endpoint's
	Account        string // name of the account whose queue it came from
	Lane           Lane
	Idempotent     bool // a repeat harms nobody (the account's trait)
}

// Outcome is what became of one attempt, or why none was made.
type Outcome struct {
	Verdict Verdict
	Receipt Receipt
	Err     *Error // nil unless the attempt failed
	Try     int    // of the attempt; 0 when none was made
	// Endpoint is the address the attempt was made to.
	Endpoint string
	Took     time.Duration // duration of the call
}

// Desk is what the workers need from above: it knows publishes, subscriptions
// and the ledger. All methods may be called concurrently.
type Desk interface {
	// Admit decides at hand-off whether the delivery may go (suppression,
	// deadline, cancelled or paused publish, endpoint state, recipient guard)
	// and renders it. The verdict is Send, or the action to record instead.
	Admit(ctx context.Context, e Entry) (Delivery, Verdict)
	// Over is the verdict on a delivery that waits although its turn may have come,
	// as its account sends nothing: what ends it now, or Send or Retry if it is to
	// wait on. It changes nothing.
	Over(ctx context.Context, e Entry) Verdict
	// Intend adds to b the ledger's note that the attempt begins. It fails with
	// queue.ErrConflict if the delivery has moved on meanwhile.
	Intend(b *queue.Batch, e Entry, d Delivery) error
	// Record adds to b the ledger's writes for the outcome, and what happens to
	// the queue entry (deleted, or retried). When committing b fails with
	// queue.ErrConflict, or with queue.ErrNotFound because a queue it sends to was
	// deleted at that moment, the worker calls it again with a new batch.
	Record(b *queue.Batch, e Entry, o Outcome) error
	// Late is told an outcome that came after the entry's lease had ended, and so
	// could not be recorded: it is evidence.
	Late(ctx context.Context, e Entry, o Outcome)
	// Policy is the retry policy of the delivery.
	Policy(ctx context.Context, e Entry) RetryPolicy
}

// QueuePrefix begins the names of all accounts' queues.
const QueuePrefix = "deliver/"

// QueueName is the name of an account's queue for a lane.
func QueueName(account string, lane Lane) string { return QueuePrefix + account + "/" + string(lane) }
