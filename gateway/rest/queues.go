package rest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/fanfare-gateway/fanfare/queue"
	"github.com/fanfare-gateway/fanfare/topics"
)

// QueueRequest is a queue as it is asked for.
type QueueRequest struct {
	Name         string `json:"name" doc:"1 to 80 letters, digits, hyphens, underscores or dots"`
	FIFO         bool   `json:"fifo,omitempty" doc:"keep the order within a message's group"`
	Visibility   string `json:"visibility,omitempty" example:"30s" doc:"how long a received message stays hidden, up to 12h; default 30s"`
	Delay        string `json:"delay,omitempty" doc:"of messages that name none"`
	Retention    string `json:"retention,omitempty" doc:"messages older than this are deleted; default never"`
	MaxReceives  int    `json:"max_receives,omitempty" minimum:"0" maximum:"1000" doc:"receives before a message goes to dead_letter"`
	DeadLetter   string `json:"dead_letter,omitempty" doc:"name of the dead-letter queue"`
	ContentDedup bool   `json:"content_dedup,omitempty" doc:"FIFO: a body is its own dedup_id"`
}

// Queue is a user's queue with its counts.
type Queue struct {
	QueueRequest
	Created  time.Time `json:"created"`
	Ready    int64     `json:"ready" doc:"messages that can be received now"`
	InFlight int64     `json:"in_flight" doc:"received and not yet deleted"`
	Delayed  int64     `json:"delayed"`
	Oldest   time.Time `json:"oldest,omitzero" doc:"when the oldest message became visible"`
}

// QueuePath names a queue.
type QueuePath struct {
	Name string `path:"name"`
}

type queueOut struct{ Body Queue }

func (a *api) registerQueues() {
	type queueList struct {
		Body struct {
			Queues []Queue `json:"queues"`
			Next   string  `json:"next,omitempty"`
		}
	}
	operation(a, "manage", "POST /v1/queues", "Create a queue", func(ctx context.Context, in *struct{ Body QueueRequest }) (*queueOut, error) {
		set, err := a.settings(ownerOf(ctx), in.Body)
		if err != nil {
			return nil, err
		}
		q, err := a.Store.CreateQueue(ctx, topics.QueueName(ownerOf(ctx), in.Body.Name), set)
		if err != nil {
			return nil, queueError(in.Body.Name, err)
		}
		return a.showQueue(ctx, q)
	})
	operation(a, "read", "GET /v1/queues", "List queues", func(ctx context.Context, in *struct{ Page }) (*queueList, error) {
		prefix := topics.QueueName(ownerOf(ctx), "")
		after := ""
		if in.Cursor != "" {
			after = prefix + in.Cursor
		}
		qs, err := a.Store.Queues(prefix, after, in.Limit)
		out := &queueList{}
		out.Body.Queues = []Queue{}
		for _, q := range qs {
			shown, err := a.showQueue(ctx, q)
			if errors.Is(err, topics.ErrNotFound) {
				continue // deleted at this moment
			}
			if err != nil {
				return nil, err
			}
			out.Body.Queues = append(out.Body.Queues, shown.Body)
		}
		if len(qs) == in.Limit {
			out.Body.Next = strings.TrimPrefix(qs[len(qs)-1].Name, prefix)
		}
		return out, err
	})
	operation(a, "read", "GET /v1/queues/{name}", "A queue and its counts", func(ctx context.Context, in *QueuePath) (*queueOut, error) {
		q, err := a.Store.Queue(topics.QueueName(ownerOf(ctx), in.Name))
		if err != nil {
			return nil, queueError(in.Name, err)
		}
		return a.showQueue(ctx, q)
	})
	operation(a, "manage", "DELETE /v1/queues/{name}", "Delete a queue and its messages", func(ctx context.Context, in *QueuePath) (*struct{}, error) {
		return nil, queueError(in.Name, a.Store.DeleteQueue(ctx, topics.QueueName(ownerOf(ctx), in.Name)))
	})
}

const nameLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."

// settings checks what is asked for, so that a refusal names the field.
func (a *api) settings(o topics.Owner, q QueueRequest) (queue.Settings, error) {
	set := queue.Settings{FIFO: q.FIFO, MaxReceives: q.MaxReceives, ContentDedup: q.ContentDedup}
	switch {
	case q.Name == "" || len(q.Name) > 80 || strings.Trim(q.Name, nameLetters) != "":
		return set, invalid("name", "must be 1 to 80 letters, digits, hyphens, underscores or dots")
	case len(q.DeadLetter) > 80 || strings.Trim(q.DeadLetter, nameLetters) != "":
		return set, invalid("dead_letter", "must be the name of a queue")
	case q.DeadLetter == q.Name:
		return set, invalid("dead_letter", "must be another queue")
	case (q.DeadLetter == "") != (q.MaxReceives == 0):
		return set, invalid("max_receives", "must be given with dead_letter, 1 to 1000, and only then")
	}
	if q.DeadLetter != "" {
		set.DeadLetter = topics.QueueName(o, q.DeadLetter)
		switch _, err := a.Store.Queue(set.DeadLetter); {
		case errors.Is(err, queue.ErrNotFound):
			return set, invalid("dead_letter", "there is no such queue; create it first")
		case err != nil:
			return set, err
		}
	}
	for _, f := range []struct {
		field, text string
		most        time.Duration
		to          *time.Duration
	}{
		{"visibility", q.Visibility, queue.MaxVisibility, &set.Visibility},
		{"delay", q.Delay, queue.MaxDelay, &set.Delay},
		{"retention", q.Retention, queue.MaxDelay, &set.Retention},
	} {
		d, err := duration(f.field, f.text, f.most)
		if err != nil {
			return set, err
		}
		if d == 0 && f.text != "" && f.field != "delay" { // to the engine 0 is none given
			return set, invalid(f.field, "must be more than 0s")
		}
		*f.to = d
	}
	return set, nil
}

func (a *api) showQueue(ctx context.Context, q queue.Queue) (*queueOut, error) {
	prefix := topics.QueueName(ownerOf(ctx), "")
	name := strings.TrimPrefix(q.Name, prefix)
	st, err := a.Store.Stats(q.Name)
	if err != nil {
		return nil, queueError(name, err)
	}
	s := q.Settings
	out := Queue{
		QueueRequest: QueueRequest{
			Name: name, FIFO: s.FIFO, Visibility: s.Visibility.String(), Delay: s.Delay.String(),
			MaxReceives: s.MaxReceives, DeadLetter: strings.TrimPrefix(s.DeadLetter, prefix), ContentDedup: s.ContentDedup,
		},
		Created: q.Created.UTC(), Ready: st.Ready, InFlight: st.InFlight, Delayed: st.Delayed, Oldest: st.Oldest,
	}
	if s.Retention > 0 {
		out.Retention = s.Retention.String()
	}
	return &queueOut{out}, nil
}

// queueError says what the engine said without the engine's own names.
func queueError(name string, err error) error {
	switch {
	case errors.Is(err, queue.ErrNotFound):
		return fmt.Errorf("queue %.80q: %w", name, topics.ErrNotFound)
	case errors.Is(err, queue.ErrQueueExists):
		return fmt.Errorf("%w: queue %q exists with other settings", topics.ErrConflict, name)
	case errors.Is(err, queue.ErrInvalidHandle):
		return invalid("handle", "must be the handle of a message received from this queue")
	case errors.Is(err, queue.ErrStaleHandle), errors.Is(err, queue.ErrNotInFlight):
		return fmt.Errorf("%w: the message is not hidden any more", topics.ErrState)
	case errors.Is(err, queue.ErrInvalid):
		return invalid("dead_letter", "must be FIFO if the queue is, and only then")
	}
	return err
}
