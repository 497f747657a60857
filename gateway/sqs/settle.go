package sqs

import (
	"context"
	"errors"
	"time"

	"github.com/fanfare-gateway/fanfare/gateway/awswire"
	"github.com/fanfare-gateway/fanfare/queue"
)

type deleteInput struct {
	QueueURL string `json:"QueueUrl"`
	Handle   string `json:"ReceiptHandle"`
}

func (s *service) deleteMessage(ctx context.Context, r *awswire.Request, in *deleteInput) (*none, error) {
	q, err := s.find(r, in.QueueURL)
	if err != nil {
		return nil, err
	}
	return nil, s.deleteAll(ctx, &q, in.Handle)[0]
}

type deleteBatchInput struct {
	QueueURL string        `json:"QueueUrl"`
	Entries  []deleteEntry `json:"Entries" query:"DeleteMessageBatchRequestEntry"`
}

type deleteEntry struct {
	ID     string `json:"Id"`
	Handle string `json:"ReceiptHandle"`
}

type deleteBatchOutput struct {
	Successful []succeeded `json:"Successful,omitempty" query:"DeleteMessageBatchResultEntry"`
	Failed     []failed    `json:"Failed,omitempty" query:"BatchResultErrorEntry"`
}

func (s *service) deleteMessageBatch(ctx context.Context, r *awswire.Request, in *deleteBatchInput) (*deleteBatchOutput, error) {
	q, err := s.find(r, in.QueueURL)
	if err != nil {
		return nil, err
	}
	if err := checkBatch("DeleteMessageBatchRequestEntry", in.Entries, func(e *deleteEntry) string { return e.ID }); err != nil {
		return nil, err
	}
	texts := make([]string, len(in.Entries))
	for i := range in.Entries {
		texts[i] = in.Entries[i].Handle
	}
	out := &deleteBatchOutput{}
	out.Successful, out.Failed, err = sorted(r, s.deleteAll(ctx, &q, texts...), func(i int) string { return in.Entries[i].ID })
	if err != nil {
		return nil, err
	}
	return out, nil
}

// sorted tells which entries of a batch went. An error that is none of the
// caller's is that of the whole batch.
func sorted(r *awswire.Request, errs []error, id func(i int) string) (good []succeeded, bad []failed, _ error) {
	for i, err := range errs {
		var e *awswire.Error
		switch err := inWords(r, err); {
		case err == nil:
			good = append(good, succeeded{id(i)})
		case errors.As(err, &e):
			bad = append(bad, failure(id(i), e))
		default:
			return nil, nil, err
		}
	}
	return good, bad, nil
}

// deleteAll deletes messages, one error per handle.
func (s *service) deleteAll(ctx context.Context, q *queue.Queue, texts ...string) []error {
	errs := make([]error, len(texts))
	handles := make([]queue.Handle, 0, len(texts))
	index := make([]int, 0, len(texts))
	for i, text := range texts {
		h, err := s.handle(q, text)
		switch {
		case errors.Is(err, queue.ErrInvalidHandle):
			err = badHandle("The input receipt handle %q is not a valid receipt handle.", text)
		case err == nil && q.Settings.FIFO:
			err = s.deleteFIFO(ctx, q, h, text)
		case err == nil:
			handles, index = append(handles, h), append(index, i)
		}
		errs[i] = err
	}
	if len(handles) > 0 {
		for j, err := range s.Store.Delete(ctx, q.Name, handles...) {
			errs[index[j]] = err
		}
	}
	return errs
}

func (s *service) handle(q *queue.Queue, text string) (queue.Handle, error) {
	if text == "" {
		return queue.Handle{}, missing("ReceiptHandle")
	}
	return s.Store.ParseHandle(q.Name, text)
}

// deleteFIFO deletes a message of a FIFO queue: one whose lease has ended stays,
// and the caller is told; one that was deleted before is no error.
func (s *service) deleteFIFO(ctx context.Context, q *queue.Queue, h queue.Handle, text string) error {
	var b queue.Batch
	b.Delete(h)
	_, err := s.Store.Commit(ctx, h.Shard(), &b)
	if !errors.Is(err, queue.ErrStaleHandle) {
		return err
	}
	there := false
	err = s.Store.Messages(q.Name, h.Shard(), h.Sequence()-1, func(m queue.Peeked) bool {
		there = m.Position == h.Sequence()
		return false
	})
	if err == nil && there {
		return invalidValue("ReceiptHandle", text, "The receipt handle has expired.")
	}
	return err
}

type visibilityInput struct {
	QueueURL   string `json:"QueueUrl"`
	Handle     string `json:"ReceiptHandle"`
	Visibility *int   `json:"VisibilityTimeout"`
}

func (s *service) changeVisibility(ctx context.Context, r *awswire.Request, in *visibilityInput) (*none, error) {
	q, err := s.find(r, in.QueueURL)
	if err != nil {
		return nil, err
	}
	return nil, s.hide(ctx, &q, visibilityEntry{Handle: in.Handle, Visibility: in.Visibility})[0]
}

// hide changes how long received messages stay hidden, one error per entry.
func (s *service) hide(ctx context.Context, q *queue.Queue, entries ...visibilityEntry) []error {
	errs := make([]error, len(entries))
	changes := make([]queue.Visibility, 0, len(entries))
	index := make([]int, 0, len(entries))
	for i, e := range entries {
		c, err := s.visibility(q, e)
		if errs[i] = err; err == nil {
			changes, index = append(changes, c), append(index, i)
		}
	}
	for j, err := range s.Store.ChangeVisibilities(ctx, q.Name, changes...) {
		e := entries[index[j]]
		switch {
		case errors.Is(err, queue.ErrNotInFlight):
			err = invalidValue("ReceiptHandle", e.Handle, "Message does not exist or is not available for visibility timeout change.")
		case errors.Is(err, queue.ErrInvalid):
			err = invalidValue("VisibilityTimeout", *e.Visibility, "Total VisibilityTimeout for the message is beyond the limit [43200 seconds].")
		}
		errs[index[j]] = err
	}
	return errs
}

func (s *service) visibility(q *queue.Queue, e visibilityEntry) (queue.Visibility, error) {
	if e.Visibility == nil {
		return queue.Visibility{}, missing("VisibilityTimeout")
	}
	d := time.Duration(*e.Visibility) * time.Second
	if d < 0 || d > queue.MaxVisibility {
		return queue.Visibility{}, invalidValue("VisibilityTimeout", *e.Visibility, "VisibilityTimeout must be an integer between 0 and 43200.")
	}
	h, err := s.handle(q, e.Handle)
	return queue.Visibility{Handle: h, For: d}, err
}

type visibilityBatchInput struct {
	QueueURL string            `json:"QueueUrl"`
	Entries  []visibilityEntry `json:"Entries" query:"ChangeMessageVisibilityBatchRequestEntry"`
}

type visibilityEntry struct {
	ID         string `json:"Id"`
	Handle     string `json:"ReceiptHandle"`
	Visibility *int   `json:"VisibilityTimeout"`
}

type visibilityBatchOutput struct {
	Successful []succeeded `json:"Successful,omitempty" query:"ChangeMessageVisibilityBatchResultEntry"`
	Failed     []failed    `json:"Failed,omitempty" query:"BatchResultErrorEntry"`
}

func (s *service) changeVisibilityBatch(ctx context.Context, r *awswire.Request, in *visibilityBatchInput) (*visibilityBatchOutput, error) {
	q, err := s.find(r, in.QueueURL)
	if err != nil {
		return nil, err
	}
	if err := checkBatch("ChangeMessageVisibilityBatchRequestEntry", in.Entries, func(e *visibilityEntry) string { return e.ID }); err != nil {
		return nil, err
	}
	out := &visibilityBatchOutput{}
	out.Successful, out.Failed, err = sorted(r, s.hide(ctx, &q, in.Entries...), func(i int) string { return in.Entries[i].ID })
	if err != nil {
		return nil, err
	}
	return out, nil
}
