package sqs

import (
	"context"
	"maps"
	"net/http"
	"slices"

	"github.com/fanfare-gateway/fanfare/gateway/awswire"
	"github.com/fanfare-gateway/fanfare/queue"
)

// maxTags: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-queue-tags.html
const maxTags = 50

type listTagsOutput struct {
	Tags map[string]string `json:"Tags,omitempty" query:"Tag,Key,Value"`
}

func (s *service) listQueueTags(_ context.Context, r *awswire.Request, in *queueInput) (*listTagsOutput, error) {
	q, err := s.find(r, in.QueueURL)
	if err != nil {
		return nil, err
	}
	return &listTagsOutput{userTags(&q.Settings)}, nil
}

type tagQueueInput struct {
	QueueURL string `json:"QueueUrl"`
	Tags     texts  `json:"Tags" query:"Tag,Key,Value"`
}

func (s *service) tagQueue(ctx context.Context, r *awswire.Request, in *tagQueueInput) (*none, error) {
	if len(in.Tags) == 0 {
		return nil, missing("Tags")
	}
	return nil, s.configure(ctx, r, in.QueueURL, func(q *queue.Queue) error {
		if err := checkTags(in.Tags); err != nil {
			return err
		}
		for k, v := range in.Tags {
			q.Settings.Tags[userTag+k] = v
		}
		if len(userTags(&q.Settings)) > maxTags {
			return tooManyTags(q.Name)
		}
		return nil
	})
}

func tooManyTags(full string) *awswire.Error {
	return refuse(http.StatusBadRequest, "InvalidParameterValue", "Too many tags added for queue %s.", bare(full))
}

func checkTags(tags map[string]string) error {
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		v := tags[k]
		switch {
		case k == "" || len([]rune(k)) > 128:
			return invalidValue("TagKey", k, "A tag key must be 1 to 128 characters.")
		case len([]rune(v)) > 256:
			return invalidValue("TagValue", v, "A tag value must be at most 256 characters.")
		}
	}
	return nil
}

type untagQueueInput struct {
	QueueURL string   `json:"QueueUrl"`
	Keys     []string `json:"TagKeys" query:"TagKey"`
}

func (s *service) untagQueue(ctx context.Context, r *awswire.Request, in *untagQueueInput) (*none, error) {
	if len(in.Keys) == 0 {
		return nil, invalid("Tag keys must be between 1 and 128 characters in length.")
	}
	return nil, s.configure(ctx, r, in.QueueURL, func(q *queue.Queue) error {
		for _, k := range in.Keys {
			delete(q.Settings.Tags, userTag+k)
		}
		return nil
	})
}
