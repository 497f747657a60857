// Package sqs is the SQS face: the 23 actions of Amazon SQS on the queue
// engine, in both wire protocols of package awswire.
//
// A queue of account A and region R is the engine's queue "sqs/A/R/NAME", as the
// native API names it. The native API knows one region, "local"; Options.Region
// is the AWS region that stands for it, so that SDKs configured for that region
// and the native API see the same queues. What AWS keeps on a queue and the
// engine does not know (its policy, tags, maximum message size, …) is in the
// queue's Settings.Tags.
package sqs

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/fanfare-gateway/fanfare/gateway/awswire"
	"github.com/fanfare-gateway/fanfare/queue"
)

// Options configure Service.
type Options struct {
	// Store holds the queues.
	Store *queue.Store
	// Region is the AWS region whose queues are those of the native API (region
	// "local" there); default us-east-1.
	Region string
	// RecreateAtOnce lets a deleted queue be created again within 60 s.
	RecreateAtOnce bool
	// BareNames accepts a queue's name as QueueUrl, and a URL whose path holds
	// no account.
	BareNames bool
	// OtherAccounts lets a QueueUrl name a queue of another account than the
	// caller's. Without it that is AccessDenied: policies are stored, not evaluated.
	OtherAccounts bool
	// MaxInFlight is the most messages of a queue that may be in flight; default
	// AWS's 120,000.
	MaxInFlight int64
	Logger      *slog.Logger
}

// service is the actions' receiver.
type service struct {
	Options
	known    map[string]attribute
	actions  map[string]awswire.Action
	defining sync.Mutex // held while a queue's settings are read, changed and written
	flights  flights
}

// Service is the actions of SQS for an awswire.Handler.
func Service(o Options) awswire.Service {
	if o.Region == "" {
		o.Region = "us-east-1"
	}
	if o.MaxInFlight == 0 {
		o.MaxInFlight = 120_000
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := &service{Options: o, known: attributes(), flights: flights{queues: make(map[string]*flight)}}
	s.actions = s.allActions()
	return awswire.Service{
		Name:      "sqs",
		Target:    "AmazonSQS",
		Version:   "2012-11-05",
		Namespace: "http://queue.amazonaws.com/doc/2012-11-05/",
		ErrorType: "com.amazonaws.sqs#",
		Detail:    true,
		Actions:   s.actions,
	}
}

func (s *service) allActions() map[string]awswire.Action {
	return map[string]awswire.Action{
		"AddPermission":                do(s.addPermission),
		"CancelMessageMoveTask":        do(s.cancelMove),
		"ChangeMessageVisibility":      do(s.changeVisibility),
		"ChangeMessageVisibilityBatch": do(s.changeVisibilityBatch),
		"CreateQueue":                  do(s.createQueue),
		"DeleteMessage":                do(s.deleteMessage),
		"DeleteMessageBatch":           do(s.deleteMessageBatch),
		"DeleteQueue":                  do(s.deleteQueue),
		"GetQueueAttributes":           do(s.getQueueAttributes),
		"GetQueueUrl":                  do(s.getQueueURL),
		"ListDeadLetterSourceQueues":   do(s.listDeadLetterSourceQueues),
		"ListMessageMoveTasks":         do(s.listMoves),
		"ListQueueTags":                do(s.listQueueTags),
		"ListQueues":                   do(s.listQueues),
		"PurgeQueue":                   do(s.purgeQueue),
		"ReceiveMessage":               do(s.receiveMessage),
		"RemovePermission":             do(s.removePermission),
		"SendMessage":                  do(s.sendMessage),
		"SendMessageBatch":             do(s.sendMessageBatch),
		"SetQueueAttributes":           do(s.setQueueAttributes),
		"StartMessageMoveTask":         do(s.startMove),
		"TagQueue":                     do(s.tagQueue),
		"UntagQueue":                   do(s.untagQueue),
	}
}

// none is the output of an action that answers nothing: always nil.
type none struct{}

// do is awswire.Do with the engine's errors put in AWS's words.
func do[In, Out any](f func(ctx context.Context, r *awswire.Request, in *In) (*Out, error)) awswire.Action {
	return awswire.Do(func(ctx context.Context, r *awswire.Request, in *In) (*Out, error) {
		out, err := f(ctx, r, in)
		return out, inWords(r, err)
	})
}

// deleteLock is how long the name of a deleted queue cannot be used:
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_DeleteQueue.html
const deleteLock = 60 * time.Second
