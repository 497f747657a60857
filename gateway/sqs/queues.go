package sqs

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/fanfare-gateway/fanfare/gateway/awswire"
	"github.com/fanfare-gateway/fanfare/queue"
	"github.com/fanfare-gateway/fanfare/topics"
)

type createQueueInput struct {
	QueueName  *string `json:"QueueName"`
	Attributes texts   `json:"Attributes" query:"Attribute,Name,Value"`
	Tags       texts   `json:"tags" query:"Tag,Key,Value"`
}

type queueURLOutput struct {
	QueueURL string `json:"QueueUrl"`
}

func (s *service) createQueue(ctx context.Context, r *awswire.Request, in *createQueueInput) (*queueURLOutput, error) {
	if err := notAtQueue(r); err != nil {
		return nil, err
	}
	if in.QueueName == nil {
		return nil, invalid("Value for parameter QueueName is invalid. Reason: Must specify a queue name.")
	}
	if *in.QueueName == "" {
		return nil, invalid("Queue name cannot be empty")
	}
	s.defining.Lock()
	defer s.defining.Unlock()
	full := topics.QueueName(s.owner(r), *in.QueueName)
	set, err := s.asked(r, full, in.Attributes, in.Tags)
	if err != nil {
		return nil, err
	}
	has, err := s.Store.Queue(full)
	switch {
	case err == nil:
		if name := s.differs(&has.Settings, &set, in.Attributes); name != "" {
			return nil, &awswire.Error{
				Code: "QueueAlreadyExists", JSONCode: "QueueNameExists", Status: http.StatusBadRequest,
				Message: "A queue already exists with the same name and a different value for attribute " + name,
			}
		}
		return &queueURLOutput{address(r, full)}, nil
	case !errors.Is(err, queue.ErrNotFound):
		return nil, err
	}
	if err := s.checkLock(full); err != nil {
		return nil, err
	}
	if _, err := s.Store.CreateQueue(ctx, full, set); err != nil {
		return nil, err
	}
	return &queueURLOutput{address(r, full)}, nil
}

type queueInput struct {
	QueueURL string `json:"QueueUrl"`
}

func (s *service) deleteQueue(ctx context.Context, r *awswire.Request, in *queueInput) (*none, error) {
	q, err := s.find(r, in.QueueURL)
	if err != nil {
		return nil, err
	}
	s.defining.Lock()
	defer s.defining.Unlock()
	if !s.RecreateAtOnce {
		if err := s.lock(ctx, q.Name); err != nil {
			return nil, err
		}
	}
	s.flights.forget(q.Name)
	return nil, s.Store.DeleteQueue(ctx, q.Name)
}

// lockPrefix begins the registry's records of deleted queues: when each was.
const lockPrefix = "q/"

func lockKey(full string) []byte {
	return []byte(lockRoom(full) + bare(full))
}

func lockRoom(full string) string { return ownerPrefix(full)[len("sqs/"):] + lockPrefix }

// lock notes that a queue is deleted now, and forgets those deleted long ago.
func (s *service) lock(ctx context.Context, full string) error {
	var b queue.Batch
	err := s.Store.Scan(queue.Registry, []byte(lockRoom(full)), nil, func(rec queue.Record) bool {
		if !s.locks(rec) {
			b.Remove(slices.Clone(rec.Key))
		}
		return b.Len() < pageMax
	})
	if err != nil {
		return err
	}
	b.Put(lockKey(full), binary.BigEndian.AppendUint64(nil, uint64(s.Store.Now().UnixMilli())))
	_, err = s.Store.Commit(ctx, queue.Registry, &b)
	return err
}

// locks tells whether a record of a deleted queue keeps its name.
func (s *service) locks(rec queue.Record) bool {
	at := time.UnixMilli(int64(binary.BigEndian.Uint64(rec.Value)))
	return s.Store.Now().Before(at.Add(deleteLock))
}

func (s *service) checkLock(full string) error {
	if s.RecreateAtOnce {
		return nil
	}
	rec, err := s.Store.Get(queue.Registry, lockKey(full))
	switch {
	case errors.Is(err, queue.ErrNotFound):
		return nil
	case err != nil:
		return err
	case s.locks(rec):
		return refuseSimple(http.StatusBadRequest, "QueueDeletedRecently", "You must wait 60 seconds after deleting a queue before you can create another with the same name.")
	}
	return nil
}

type getQueueURLInput struct {
	QueueName string `json:"QueueName"`
	Account   string `json:"QueueOwnerAWSAccountId"`
}

func (s *service) getQueueURL(_ context.Context, r *awswire.Request, in *getQueueURLInput) (*queueURLOutput, error) {
	switch {
	case in.QueueName == "":
		return nil, missing("QueueName")
	case in.Account != "" && in.Account != r.Account && !s.OtherAccounts:
		return nil, denied()
	}
	owner := s.owner(r)
	if in.Account != "" {
		owner.Account = in.Account
	}
	q, err := s.Store.Queue(topics.QueueName(owner, in.QueueName))
	if err != nil {
		return nil, err
	}
	return &queueURLOutput{address(r, q.Name)}, nil
}

type listQueuesInput struct {
	Prefix     string `json:"QueueNamePrefix"`
	NextToken  string `json:"NextToken"`
	MaxResults *int   `json:"MaxResults"`
}

type listQueuesOutput struct {
	QueueURLs []string `json:"QueueUrls,omitempty" query:"QueueUrl"`
	NextToken string   `json:"NextToken,omitempty"`
}

func (s *service) listQueues(_ context.Context, r *awswire.Request, in *listQueuesInput) (*listQueuesOutput, error) {
	if err := notAtQueue(r); err != nil {
		return nil, err
	}
	prefix := topics.QueueName(s.owner(r), in.Prefix)
	urls, next, err := s.page(r, prefix, in.NextToken, in.MaxResults, func(*queue.Queue) bool { return true })
	if err != nil {
		return nil, err
	}
	return &listQueuesOutput{urls, next}, nil
}

// pageMax is the most queues a list shows: without MaxResults it shows no more
// either, and says nothing of the rest.
const pageMax = 1000

// page lists addresses of the queues under a prefix that are wanted. The token
// of the next page is the last name on this one.
func (s *service) page(r *awswire.Request, prefix, token string, most *int, wanted func(q *queue.Queue) bool) (urls []string, next string, err error) {
	limit := pageMax
	if most != nil {
		if limit = *most; limit < 1 || limit > pageMax {
			return nil, "", invalidValue("MaxResults", limit, "MaxResults must be an integer between 1 and 1000.")
		}
	}
	last, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(last) > queue.MaxName {
		return nil, "", invalid("Invalid or expired next token.")
	}
	after := string(last)
	urls = []string{}
	for {
		qs, err := s.Store.Queues(prefix, after, pageMax)
		if err != nil {
			return nil, "", err
		}
		for i := range qs {
			if !wanted(&qs[i]) {
				continue
			}
			if len(urls) == limit {
				if most != nil {
					next = base64.RawURLEncoding.EncodeToString([]byte(after))
				}
				return urls, next, nil
			}
			after = qs[i].Name
			urls = append(urls, address(r, after))
		}
		if len(qs) < pageMax {
			return urls, "", nil
		}
		after = qs[len(qs)-1].Name
	}
}

type getAttributesInput struct {
	QueueURL string   `json:"QueueUrl"`
	Names    []string `json:"AttributeNames" query:"AttributeName"`
}

type getAttributesOutput struct {
	Attributes map[string]string `json:"Attributes,omitempty" query:"Attribute,Name,Value"`
}

func (s *service) getQueueAttributes(_ context.Context, r *awswire.Request, in *getAttributesInput) (*getAttributesOutput, error) {
	q, err := s.find(r, in.QueueURL)
	if err != nil {
		return nil, err
	}
	for _, name := range in.Names {
		if !s.isAttribute(&q.Settings, name) {
			return nil, unknownAttribute(name)
		}
	}
	out := &getAttributesOutput{}
	if len(in.Names) == 0 {
		return out, nil
	}
	all, err := s.show(q)
	if err != nil || slices.Contains(in.Names, "All") {
		out.Attributes = all
		return out, err
	}
	out.Attributes = make(map[string]string, len(in.Names))
	for _, name := range in.Names {
		if text, ok := all[name]; ok {
			out.Attributes[name] = text
		}
	}
	return out, nil
}

type setAttributesInput struct {
	QueueURL   string `json:"QueueUrl"`
	Attributes texts  `json:"Attributes" query:"Attribute,Name,Value"`
}

func (s *service) setQueueAttributes(ctx context.Context, r *awswire.Request, in *setAttributesInput) (*none, error) {
	if len(in.Attributes) == 0 {
		return nil, missing("Attributes")
	}
	return nil, s.configure(ctx, r, in.QueueURL, func(q *queue.Queue) error {
		return s.change(r, q.Name, &q.Settings, in.Attributes)
	})
}

// configure changes a queue's settings.
func (s *service) configure(ctx context.Context, r *awswire.Request, queueURL string, change func(q *queue.Queue) error) error {
	s.defining.Lock()
	defer s.defining.Unlock()
	q, err := s.find(r, queueURL)
	if err != nil {
		return err
	}
	if q.Settings.Tags == nil {
		q.Settings.Tags = make(map[string]string)
	}
	if err := change(&q); err != nil {
		return err
	}
	return s.Store.ConfigureQueue(ctx, q.Name, q.Settings)
}

func (s *service) purgeQueue(ctx context.Context, r *awswire.Request, in *queueInput) (*none, error) {
	q, err := s.find(r, in.QueueURL)
	if err != nil {
		return nil, err
	}
	err = s.Store.Purge(ctx, q.Name)
	if errors.Is(err, queue.ErrPurgeInProgress) {
		err = refuseSimple(http.StatusForbidden, "PurgeQueueInProgress", "Only one PurgeQueue operation on %s is allowed every 60 seconds.", bare(q.Name))
	}
	return nil, err
}
