package sqs

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/fanfare-gateway/fanfare/gateway/awswire"
	"github.com/fanfare-gateway/fanfare/queue"
)

// maxRate is the most messages a second of a move that names a rate:
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_StartMessageMoveTask.html
const maxRate = 500

type startMoveInput struct {
	SourceARN      string `json:"SourceArn"`
	DestinationARN string `json:"DestinationArn"`
	Rate           *int   `json:"MaxNumberOfMessagesPerSecond"`
}

type startMoveOutput struct {
	Handle string `json:"TaskHandle"`
}

func (s *service) startMove(ctx context.Context, r *awswire.Request, in *startMoveInput) (*startMoveOutput, error) {
	source, err := s.byParameter(r, "SourceArn", in.SourceARN)
	if err != nil {
		return nil, err
	}
	m := queue.Move{Source: source}
	if in.DestinationARN != "" {
		if m.Destination, err = s.byParameter(r, "DestinationArn", in.DestinationARN); err != nil {
			return nil, err
		}
	}
	if in.Rate != nil {
		if m.Rate = *in.Rate; m.Rate < 1 || m.Rate > maxRate {
			return nil, invalidValue("MaxNumberOfMessagesPerSecond", m.Rate, "Must be between 1 and 500, if provided.")
		}
	}
	dead, err := s.hasSources(source)
	if err != nil {
		return nil, err
	}
	if !dead {
		return nil, invalid("Source queue must be configured as a Dead Letter Queue.")
	}
	m, err = s.Store.StartMove(ctx, m)
	switch {
	case errors.Is(err, queue.ErrMoveInProgress):
		return nil, invalid("There is already a task running. Only one active task is allowed for a source queue arn at a given time.")
	case errors.Is(err, queue.ErrInvalid):
		return nil, invalid("The destination must be another queue than the source and of the same type.")
	case err != nil:
		return nil, err
	}
	return &startMoveOutput{s.moveHandle(m)}, nil
}

// byParameter is the full name of an existing queue of the caller's an ARN names.
func (s *service) byParameter(r *awswire.Request, name, arn string) (string, error) {
	if arn == "" {
		return "", missing(name)
	}
	full, ok := s.byARN(arn)
	if !ok {
		return "", invalidValue(name, arn, "It must be the ARN of an SQS queue.")
	}
	if accountOf(full) != r.Account && !s.OtherAccounts {
		return "", denied()
	}
	if _, err := s.Store.Queue(full); errors.Is(err, queue.ErrNotFound) {
		return "", notThere("The resource that you specified for the " + name + " parameter doesn't exist.")
	} else if err != nil {
		return "", err
	}
	return full, nil
}

func notThere(message string) error {
	return refuse(http.StatusNotFound, "ResourceNotFoundException", "%s", message)
}

// moveTask is what a task handle says.
type moveTask struct {
	ID     string `json:"taskId"`
	Source string `json:"sourceArn"`
}

func (s *service) moveHandle(m queue.Move) string {
	text, _ := json.Marshal(moveTask{m.ID.String(), s.arn(m.Source)}) // texts: cannot fail
	return base64.StdEncoding.EncodeToString(text)
}

type listMovesInput struct {
	SourceARN  string `json:"SourceArn"`
	MaxResults *int   `json:"MaxResults"`
}

type listMovesOutput struct {
	Results []moveShown `json:"Results" query:"ListMessageMoveTasksResultEntry"`
}

type moveShown struct {
	Handle         string `json:"TaskHandle,omitempty"` // of a running one
	Status         string `json:"Status"`
	SourceARN      string `json:"SourceArn"`
	DestinationARN string `json:"DestinationArn,omitempty"`
	Rate           int    `json:"MaxNumberOfMessagesPerSecond,omitempty"`
	Moved          int64  `json:"ApproximateNumberOfMessagesMoved"`
	ToMove         int64  `json:"ApproximateNumberOfMessagesToMove"`
	FailureReason  string `json:"FailureReason,omitempty"`
	Started        int64  `json:"StartedTimestamp"` // Unix milliseconds
}

func (s *service) listMoves(_ context.Context, r *awswire.Request, in *listMovesInput) (*listMovesOutput, error) {
	source, err := s.byParameter(r, "SourceArn", in.SourceARN)
	if err != nil {
		return nil, err
	}
	limit := 1
	if in.MaxResults != nil {
		if limit = *in.MaxResults; limit < 1 || limit > queue.MovesKept {
			return nil, invalidValue("MaxResults", limit, "Must be between 1 and 10, if provided.")
		}
	}
	moves, err := s.Store.Moves(source)
	if err != nil {
		return nil, err
	}
	out := &listMovesOutput{Results: []moveShown{}}
	for _, m := range moves[:min(limit, len(moves))] {
		out.Results = append(out.Results, s.showMove(m))
	}
	return out, nil
}

func (s *service) showMove(m queue.Move) moveShown {
	out := moveShown{
		Status: strings.ToUpper(string(m.Phase)), SourceARN: s.arn(m.Source), Rate: m.Rate, Moved: m.Moved, ToMove: m.ToMove,
		FailureReason: m.Reason, Started: m.Started.UnixMilli(),
	}
	if m.Destination != "" {
		out.DestinationARN = s.arn(m.Destination)
		if _, err := s.Store.Queue(m.Destination); m.Phase == queue.MoveFailed && errors.Is(err, queue.ErrNotFound) {
			out.FailureReason = simple + "NonExistentQueue"
		}
	}
	if m.Phase == queue.MoveRunning {
		out.Handle = s.moveHandle(m)
	}
	return out
}

type cancelMoveInput struct {
	Handle string `json:"TaskHandle"`
}

type cancelMoveOutput struct {
	Moved int64 `json:"ApproximateNumberOfMessagesMoved"`
}

func (s *service) cancelMove(ctx context.Context, r *awswire.Request, in *cancelMoveInput) (*cancelMoveOutput, error) {
	if in.Handle == "" {
		return nil, missing("TaskHandle")
	}
	var task moveTask
	text, err := base64.StdEncoding.DecodeString(in.Handle)
	if err != nil || json.Unmarshal(text, &task) != nil || task.Source == "" {
		return nil, invalid("Value for parameter TaskHandle is invalid.")
	}
	source, err := s.byParameter(r, "SourceArn", task.Source)
	if err != nil {
		return nil, err
	}
	id, err := s.runningMove(source, task.ID)
	if err != nil {
		return nil, err
	}
	m, err := s.Store.CancelMove(ctx, id)
	if errors.Is(err, queue.ErrNotFound) {
		return nil, notThere("Task does not exist.") // it ended meanwhile
	}
	if err != nil {
		return nil, err
	}
	return &cancelMoveOutput{m.Moved}, nil
}

// runningMove finds a move of a source: a handle may be forged.
func (s *service) runningMove(source, id string) (queue.ID, error) {
	moves, err := s.Store.Moves(source)
	if err != nil {
		return queue.ID{}, err
	}
	for _, m := range moves {
		if m.ID.String() == id && m.Phase == queue.MoveRunning {
			return m.ID, nil
		}
	}
	return queue.ID{}, notThere("Task does not exist.")
}
