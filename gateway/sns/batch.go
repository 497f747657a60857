package sns

import (
	"context"
	"errors"
	"net/http"
	"regexp"

	"github.com/fanfare-gateway/fanfare/gateway/awswire"
	"github.com/fanfare-gateway/fanfare/topics"
)

// maxEntries is the most messages of a batch.
const maxEntries = 10

type batchEntry struct {
	ID string `json:"Id"`
	message
}

type publishBatchIn struct {
	TopicArn string       `json:"TopicArn"`
	Entries  []batchEntry `json:"PublishBatchRequestEntries" query:"PublishBatchRequestEntries.member"`
}

type batchDone struct {
	ID             string `json:"Id"`
	MessageID      string `json:"MessageId"`
	SequenceNumber string `json:"SequenceNumber,omitempty"`
}

type batchFailed struct {
	ID          string `json:"Id"`
	Code        string `json:"Code"`
	Message     string `json:"Message"`
	SenderFault bool   `json:"SenderFault"`
}

type publishBatchOut struct {
	Successful []batchDone   `json:"Successful" query:"Successful.member"`
	Failed     []batchFailed `json:"Failed" query:"Failed.member"`
}

// publishBatch publishes up to ten messages. A message that can never be right
// refuses the whole batch, as on AWS; what goes wrong later is told for each.
func (s *service) publishBatch(ctx context.Context, r *awswire.Request, in *publishBatchIn) (*publishBatchOut, error) {
	o, name, err := s.topicName(r, "TopicArn", in.TopicArn)
	if err != nil {
		return nil, err
	}
	if err := checkBatch(in.Entries); err != nil {
		return nil, err
	}
	requests := make([]topics.Request, len(in.Entries))
	for i := range in.Entries {
		requests[i] = topics.Request{Owner: o, Topic: name, Trace: r.Trace}
		if err := s.fill(&requests[i], &in.Entries[i].message); err != nil {
			return nil, err
		}
	}
	out := &publishBatchOut{}
	for i, req := range requests {
		id := in.Entries[i].ID
		done, err := s.send(ctx, req)
		if err == nil {
			out.Successful = append(out.Successful, batchDone{id, done.MessageID, done.SequenceNumber})
			continue
		}
		var e *awswire.Error
		if !errors.As(err, &e) {
			s.Logger.Error("a message of a batch could not be published", "topic", name, "error", err)
			e = fault("InternalError", http.StatusInternalServerError, "The message could not be published; try it again.")
		}
		out.Failed = append(out.Failed, batchFailed{id, e.Code, e.Message, e.Status < http.StatusInternalServerError})
	}
	return out, nil
}

var entryID = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

func checkBatch(entries []batchEntry) error {
	bad := func(code, message string) error { return fault(code, http.StatusBadRequest, message) }
	switch {
	case len(entries) == 0:
		return bad("EmptyBatchRequest", "The batch request doesn't contain any entries.")
	case len(entries) > maxEntries:
		return bad("TooManyEntriesInBatchRequest", "The batch request contains more entries than permissible.")
	}
	seen, size := map[string]bool{}, 0
	for i := range entries {
		e := &entries[i]
		switch {
		case len(e.ID) > 80:
			return bad("InvalidBatchEntryId", "The Id of a batch entry in the batch request is too long: "+e.ID)
		case !entryID.MatchString(e.ID):
			return bad("InvalidBatchEntryId", "The Id of a batch entry in the batch request contains an impermissible character: "+e.ID)
		case seen[e.ID]:
			return bad("BatchEntryIdsNotDistinct", "Two or more batch entries in the request have the same Id.")
		}
		seen[e.ID] = true
		if err := e.check(i + 1); err != nil {
			return err
		}
		size += e.size()
	}
	if size > maxMessage {
		return bad("BatchRequestTooLong", "The length of all the messages put together is more than the limit.")
	}
	return nil
}
