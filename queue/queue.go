// Package queue is the embedded, durable queue engine of Fanfare: shards of
// SQS-style queues and of records on one Pebble store, written by group commit.
//
// A Store has a fixed number of data shards and one registry shard. Everything
// that must change together is put into one Batch and committed to one shard:
// message sends, deletes and retries, record writes and counter additions, all
// or none, durable before Commit returns.
//
// The package imports nothing else of this module and can be used on its own. On
// Linux, built with cgo, it has the C library keep one arena for the whole
// process: what Pebble caches lies there.
package queue

import (
	"errors"
	"log/slog"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Registry is the shard number of the registry: the one shard, besides the
// data shards 0 … Shards()-1, that holds definitions (topics, subscriptions,
// accounts, queue settings). It holds records and counters, no messages.
const Registry = -1

// Bounds of the engine. The faces in front of it may be narrower.
const (
	// MaxVisibility is the longest visibility timeout a receiver may ask for.
	MaxVisibility = 12 * time.Hour
	// MaxDelay is the furthest a message may be scheduled or retried ahead.
	MaxDelay = 400 * 24 * time.Hour
	// DedupWindow is how long a deduplication id is remembered, also after the
	// message was deleted and over restarts.
	DedupWindow = 5 * time.Minute
	// MaxBatch is the most messages one Receive returns.
	MaxBatch = 1000
)

// Errors of the engine; compare with errors.Is. The error returned names the
// thing: the queue, the key, the bound.
var (
	// ErrNotFound: no such queue, record or message.
	ErrNotFound = errors.New("not found")
	// ErrQueueExists: CreateQueue met a queue of that name with other settings.
	ErrQueueExists = errors.New("queue exists with different settings")
	// ErrConflict: a condition of the batch (Expect) does not hold; nothing was written.
	ErrConflict = errors.New("conflict")
	// ErrStaleHandle: a batch named a message whose lease has ended or passed
	// to another receiver; nothing was written.
	ErrStaleHandle = errors.New("receipt handle is stale")
	// ErrInvalidHandle: the text is not a receipt handle of this queue and store.
	ErrInvalidHandle = errors.New("receipt handle is invalid")
	// ErrInvalid: an argument is out of bounds; nothing was written.
	ErrInvalid = errors.New("invalid argument")
	// ErrNotInFlight: ChangeVisibility named a message that is not leased.
	ErrNotInFlight = errors.New("message is not in flight")
	// ErrPurgeInProgress: the queue was purged less than 60 s ago.
	ErrPurgeInProgress = errors.New("purge in progress")
	// ErrMoveInProgress: the queue's messages are being moved already.
	ErrMoveInProgress = errors.New("move in progress")
	// ErrDiskFull: the disk is above the watermark and the batch is an intake
	// (Batch.Intake); nothing was written. Outcomes and deletes still pass.
	ErrDiskFull = errors.New("disk nearly full")
	// ErrUnreadable: the disk gives a part of a file back other than it was
	// written, and what was asked for lies in it; nothing was written. The rest
	// of the store goes on.
	ErrUnreadable = errors.New("a part of the store cannot be read")
	// ErrStoreFailed: a write could not be made durable. The store is dead: no
	// later call succeeds, and the process should end.
	ErrStoreFailed = errors.New("store failed")
	// ErrClosed: the store was closed.
	ErrClosed = errors.New("store closed")
	// ErrLocked: another process has the store open.
	ErrLocked = errors.New("store is in use by another process")
	// ErrNewerFormat: the store was written by a newer version.
	ErrNewerFormat = errors.New("store has a newer format")
)

// Options configure Open. The zero value of each field means its default.
type Options struct {
	// FS is the file system; default vfs.Default.
	FS vfs.FS
	// Shards is the number of data shards when the store is created: default 1
	// up to 4 cores, else half the cores, at most 8. An existing store keeps
	// its own number; another one asked for is ErrInvalid.
	Shards int
	// Tick is the longest time between due times being looked at; default and
	// maximum 100 ms.
	Tick time.Duration
	// Logger receives state changes of the store; default discards.
	Logger *slog.Logger
	// PurgeAtOnce lets a queue be purged again within 60 s.
	PurgeAtOnce bool
	// MemTable is the size of Pebble's memtable in bytes; default 64 MiB.
	MemTable int
	// Cache is the size of the cache of blocks read from disk, in bytes, beside the
	// memtables; default 64 MiB.
	Cache int64
	// DiskFree reports the free and total bytes of the disk the store is on;
	// default asks the operating system (none for an in-memory FS).
	DiskFree func() (free, total uint64, err error)
	// MinFree and MaxUsed are the disk watermark: intake is refused under
	// MinFree bytes free (default 1 GiB) or above MaxUsed of the disk in use
	// (default 0.9).
	MinFree uint64
	MaxUsed float64

	// Tests put themselves between the writers and the log, and make memory small.
	wrapLog func(Log) Log
	limits  limits
}

// Settings are what can be configured on a queue. Only FIFO is fixed at creation.
type Settings struct {
	// FIFO keeps the order within a Message.Group: a group is locked while one
	// of its messages is leased. Messages without a group are one group.
	FIFO bool `json:"fifo,omitempty"`
	// Visibility is the lease time when Receive names none; default 30 s.
	Visibility time.Duration `json:"visibility,omitempty"`
	// Delay is added to every message that names no delay of its own.
	Delay time.Duration `json:"delay,omitempty"`
	// Retention deletes a message this long after it first became visible;
	// 0 keeps it for ever. The current setting counts, not the one at Send.
	Retention time.Duration `json:"retention,omitempty"`
	// MaxReceives moves a message to DeadLetter once it was received this
	// often and its lease ends without a delete; 0 never.
	MaxReceives int `json:"max_receives,omitempty"`
	// DeadLetter is the name of the dead-letter queue.
	DeadLetter string `json:"dead_letter,omitempty"`
	// ContentDedup derives a missing DedupID from SHA-256 of the body.
	ContentDedup bool `json:"content_dedup,omitempty"`
	// DedupPerGroup keeps deduplication ids apart for each group. At creation it
	// also decides the placement, for good: with it the groups of a FIFO queue
	// are spread over the shards, without it the queue lies in one. A queue that
	// was made with it and loses it knows ids again per shard only.
	DedupPerGroup bool `json:"dedup_per_group,omitempty"`
	// Tags is opaque text of the face that made the queue (its own attributes).
	Tags map[string]string `json:"tags,omitempty"`
}

// Queue is a queue's definition.
type Queue struct {
	Name     string
	Settings Settings
	Created  time.Time
	Modified time.Time
}

// Stats are a queue's counts over all shards, exact as of the last tick.
type Stats struct {
	Ready    int64 // receivable now
	InFlight int64 // leased
	Delayed  int64 // not yet visible
	// Oldest is when the oldest message still in the queue (delayed ones
	// aside) first became visible; zero if there is none.
	Oldest time.Time
	// Unreadable are messages met since Open of which the disk lost the body. The
	// counts above hold them too, until the queue is purged or they expire.
	Unreadable int64
}

// Message is what is sent.
type Message struct {
	// ID of the message; the zero ID lets the engine assign one. Its shard must
	// be the shard the batch is committed to, unless the queue is FIFO.
	ID ID
	// Group is the FIFO group, the tenant of a standard queue, or a channel's
	// endpoint key. Receive takes turns between groups.
	Group string
	// DedupID drops the message when the same id was sent within DedupWindow
	// (FIFO queues).
	DedupID string
	// Body is the payload. The engine never interprets it. It is the store's until
	// the call returns, and for good if that is by the end of its ctx.
	Body []byte
	// Attributes is a second payload, handed back as it was; a face keeps its
	// message attributes here. May be nil.
	Attributes []byte
	// Delay hides the message after Send; negative means none, 0 the queue's
	// Settings.Delay. At, if set, is the absolute form and wins.
	Delay time.Duration
	At    time.Time
}

// Sent is the answer for one message sent.
type Sent struct {
	ID       ID
	Sequence uint64 // FIFO: grows within the queue's group
	// Duplicate tells that deduplication dropped it; ID and Sequence are the
	// first one's.
	Duplicate bool
}

// Received is a leased message.
type Received struct {
	Message
	Queue    string
	Handle   Handle
	Sequence uint64
	// Receives counts this one, and on a dead letter those in the queues it came
	// from; retries given back uncounted are not in it.
	Receives     int
	SentAt       time.Time
	FirstReceive time.Time
	// VisibleAt is when this lease ends.
	VisibleAt time.Time
	// SourceQueue is set on a dead letter: the queue it came from.
	SourceQueue string
}

// ReceiveOptions bound one Receive.
type ReceiveOptions struct {
	// Max messages, 1 … MaxBatch; 0 means 1.
	Max int
	// Wait blocks until a message is there, up to this long; 0 answers at once.
	Wait time.Duration
	// Visibility of the lease; 0 means the queue's, negative an immediate end
	// (the message stays visible, as SQS does with 0).
	Visibility time.Duration
	// AttemptID makes a repeat within 5 minutes return the same messages with
	// the same handles while their leases hold (SQS ReceiveRequestAttemptId, FIFO).
	AttemptID string
	// Skip passes over a whole group without a write (a blocked host, an open
	// breaker). It is called from the shard's writer and must not block; a panic
	// ends the store as a failed write does.
	Skip func(group string) bool
	// PerGroup bounds how many messages of one group are returned; 0 no bound.
	PerGroup int
}
