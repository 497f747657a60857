package rest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fanfare-gateway/fanfare/queue"
	"github.com/fanfare-gateway/fanfare/topics"
)

// Message is a message of a user's queue.
type Message struct {
	ID       string    `json:"id"`
	Handle   string    `json:"handle" doc:"to delete it, or to change how long it stays hidden"`
	Body     string    `json:"body"`
	Group    string    `json:"group,omitempty"`
	Receives int       `json:"receives"`
	SentAt   time.Time `json:"sent_at"`
}

func (a *api) registerMessages() {
	a.registerSend()
	a.registerReceive()
	a.registerDelete()
	a.registerVisibility()
}

func (a *api) registerSend() {
	type sendIn struct {
		QueuePath
		Body struct {
			Body    string `json:"body"`
			Group   string `json:"group,omitempty" maxLength:"128"`
			DedupID string `json:"dedup_id,omitempty" maxLength:"128" doc:"FIFO: a repeat within 5m is dropped"`
			Delay   string `json:"delay,omitempty"`
		}
	}
	type sent struct {
		Body struct {
			ID        string `json:"id"`
			Duplicate bool   `json:"duplicate,omitempty" doc:"it was dropped: id is the first one's"`
		}
	}
	operation(a, "publish", "POST /v1/queues/{name}/messages", "Send a message; durable when answered", func(ctx context.Context, in *sendIn) (*sent, error) {
		b := in.Body
		delay, err := duration("delay", b.Delay, queue.MaxDelay)
		if err != nil {
			return nil, err
		}
		if len(b.Body) > queue.MaxMessage {
			return nil, invalid("body", fmt.Sprintf("must be at most %d bytes, not %d", queue.MaxMessage, len(b.Body)))
		}
		res, err := a.Store.Send(ctx, topics.QueueName(ownerOf(ctx), in.Name), queue.Message{
			Body: []byte(b.Body), Group: b.Group, DedupID: b.DedupID, Delay: delay,
		})
		if err != nil {
			return nil, queueError(in.Name, err)
		}
		out := &sent{}
		out.Body.ID, out.Body.Duplicate = res[0].ID.String(), res[0].Duplicate
		return out, nil
	})
}

// maxWait is the longest a receive may wait for a message.
const maxWait = 20 * time.Second

func (a *api) registerReceive() {
	type receiveIn struct {
		QueuePath
		Body struct {
			Max        int    `json:"max,omitempty" minimum:"1" maximum:"1000" default:"1"`
			Wait       string `json:"wait,omitempty" doc:"for a message to come, at most 20s; default 0s"`
			Visibility string `json:"visibility,omitempty" doc:"default the queue's"`
		}
	}
	type received struct {
		Body struct {
			Messages []Message `json:"messages"`
		}
	}
	operation(a, "publish", "POST /v1/queues/{name}/receive", "Receive messages", func(ctx context.Context, in *receiveIn) (*received, error) {
		wait, err := duration("wait", in.Body.Wait, maxWait)
		if err != nil {
			return nil, err
		}
		visibility, err := duration("visibility", in.Body.Visibility, queue.MaxVisibility)
		if err != nil {
			return nil, err
		}
		ms, err := a.Store.Receive(ctx, topics.QueueName(ownerOf(ctx), in.Name), queue.ReceiveOptions{Max: in.Body.Max, Wait: wait, Visibility: visibility})
		if err != nil {
			return nil, queueError(in.Name, err)
		}
		out := &received{}
		out.Body.Messages = []Message{}
		for _, m := range ms {
			out.Body.Messages = append(out.Body.Messages, Message{
				ID: m.ID.String(), Handle: a.Store.HandleText(m.Handle), Body: string(m.Body), Group: m.Group, Receives: m.Receives, SentAt: m.SentAt.UTC(),
			})
		}
		return out, nil
	})
}

func (a *api) registerDelete() {
	type deleteIn struct {
		QueuePath
		Body struct {
			Handles []string `json:"handles" minItems:"1" maxItems:"1000"`
		}
	}
	type refusal struct {
		Handle string `json:"handle"`
		Reason string `json:"reason"`
	}
	type deleted struct {
		Body struct {
			Deleted int       `json:"deleted"`
			Failed  []refusal `json:"failed"`
		}
	}
	operation(a, "publish", "POST /v1/queues/{name}/delete", "Delete received messages, each for itself", func(ctx context.Context, in *deleteIn) (*deleted, error) {
		errs, err := a.deleteMessages(ctx, in.Name, in.Body.Handles)
		if err != nil {
			return nil, err
		}
		out := &deleted{}
		out.Body.Failed = []refusal{}
		for i, err := range errs {
			if err == nil {
				out.Body.Deleted++
				continue
			}
			out.Body.Failed = append(out.Body.Failed, refusal{in.Body.Handles[i], err.Error()})
		}
		return out, nil
	})
}

// deleteMessages tells what was wrong with each handle; err is the store's.
func (a *api) deleteMessages(ctx context.Context, name string, texts []string) ([]error, error) {
	full := topics.QueueName(ownerOf(ctx), name)
	errs := make([]error, len(texts))
	var handles []queue.Handle
	var index []int
	for i, text := range texts {
		h, err := a.Store.ParseHandle(full, text)
		if err != nil && !errors.Is(err, queue.ErrInvalidHandle) {
			return nil, queueError(name, err)
		}
		if errs[i] = queueError(name, err); err == nil {
			handles, index = append(handles, h), append(index, i)
		}
	}
	for i, err := range a.Store.Delete(ctx, full, handles...) {
		if err != nil && !errors.Is(err, queue.ErrStaleHandle) {
			return nil, queueError(name, err)
		}
		errs[index[i]] = queueError(name, err)
	}
	return errs, nil
}

func (a *api) registerVisibility() {
	type visibilityIn struct {
		QueuePath
		Body struct {
			Handle     string `json:"handle"`
			Visibility string `json:"visibility" minLength:"2" doc:"from now on, up to 12h; 0s shows it at once"`
		}
	}
	operation(a, "publish", "POST /v1/queues/{name}/visibility", "Change how long a received message stays hidden", func(ctx context.Context, in *visibilityIn) (*struct{}, error) {
		full := topics.QueueName(ownerOf(ctx), in.Name)
		d, err := duration("visibility", in.Body.Visibility, queue.MaxVisibility)
		if err != nil {
			return nil, err
		}
		h, err := a.Store.ParseHandle(full, in.Body.Handle)
		if err != nil {
			return nil, queueError(in.Name, err)
		}
		return nil, queueError(in.Name, a.Store.ChangeVisibility(ctx, full, h, d))
	})
}
