package sqs

import (
	"context"
	"errors"
	"net/http"
	"regexp"

	"github.com/fanfare-gateway/fanfare/gateway/awswire"
	"github.com/fanfare-gateway/fanfare/queue"
)

// failed is an entry of a batch that did not go. A batch without any says nothing
// of them: SDKs take the mere presence of the list for failures.
type failed struct {
	ID          string `json:"Id"`
	SenderFault bool   `json:"SenderFault"`
	Code        string `json:"Code"`
	Message     string `json:"Message,omitempty"`
}

// succeeded is an entry of a batch that went and has nothing to tell.
type succeeded struct {
	ID string `json:"Id"`
}

func failure(id string, e *awswire.Error) failed {
	return failed{ID: id, SenderFault: e.Status < http.StatusInternalServerError, Code: e.Code, Message: e.Message}
}

// maxBatch is the most entries of a batch.
const maxBatch = 10

var entryID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,80}$`)

// checkBatch checks a batch's shape; entry is what one is called.
func checkBatch[E any](entry string, entries []E, id func(e *E) string) error {
	if len(entries) == 0 {
		return refuseSimple(http.StatusBadRequest, "EmptyBatchRequest", "There should be at least one %s in the request.", entry)
	}
	if len(entries) > maxBatch {
		return refuseSimple(http.StatusBadRequest, "TooManyEntriesInBatchRequest", "Maximum number of entries per request are %d. You have sent %d.", maxBatch, len(entries))
	}
	seen := make(map[string]bool, len(entries))
	for i := range entries {
		name := id(&entries[i])
		if !entryID.MatchString(name) {
			return refuseSimple(http.StatusBadRequest, "InvalidBatchEntryId", "A batch entry id can only contain alphanumeric characters, hyphens and underscores. It can be at most 80 letters long.")
		}
		if seen[name] {
			return refuseSimple(http.StatusBadRequest, "BatchEntryIdsNotDistinct", "Id %s repeated.", name)
		}
		seen[name] = true
	}
	return nil
}

type sendBatchInput struct {
	QueueURL string      `json:"QueueUrl"`
	Entries  []sendEntry `json:"Entries" query:"SendMessageBatchRequestEntry"`
}

type sendBatchOutput struct {
	Successful []*sendOutput `json:"Successful,omitempty" query:"SendMessageBatchResultEntry"`
	Failed     []failed      `json:"Failed,omitempty" query:"BatchResultErrorEntry"`
}

func (s *service) sendMessageBatch(ctx context.Context, r *awswire.Request, in *sendBatchInput) (*sendBatchOutput, error) {
	q, err := s.find(r, in.QueueURL)
	if err != nil {
		return nil, err
	}
	if err := checkBatch("SendMessageBatchRequestEntry", in.Entries, func(e *sendEntry) string { return e.ID }); err != nil {
		return nil, err
	}
	if size := batchSize(in.Entries); size > maxMessage {
		return nil, refuseSimple(http.StatusBadRequest, "BatchRequestTooLong", "Batch requests cannot be longer than %d bytes. You have sent %d bytes.", maxMessage, size)
	}
	out := &sendBatchOutput{}
	msgs := make([]queue.Message, 0, len(in.Entries))
	good := make([]*sendEntry, 0, len(in.Entries))
	for i := range in.Entries {
		e := &in.Entries[i]
		if err := needIDs(&q.Settings, &e.outgoing); err != nil {
			return nil, err
		}
		m, err := s.message(&q.Settings, &e.outgoing)
		var bad *awswire.Error
		switch {
		case err == nil:
			msgs, good = append(msgs, m), append(good, e)
		case errors.As(err, &bad):
			out.Failed = append(out.Failed, failure(e.ID, bad))
		default:
			return nil, err
		}
	}
	if len(msgs) == 0 {
		return out, nil
	}
	sent, err := s.Store.Send(ctx, q.Name, msgs...)
	if err != nil {
		return nil, err
	}
	for i, e := range good {
		done := e.answer(&q.Settings, &msgs[i], sent[i])
		done.ID = e.ID
		out.Successful = append(out.Successful, done)
	}
	return out, nil
}

func batchSize(entries []sendEntry) (size int) {
	for i := range entries {
		if entries[i].Body != nil {
			size += len(*entries[i].Body)
		}
		for name, v := range entries[i].Attributes {
			size += len(name) + v.size()
		}
	}
	return size
}
