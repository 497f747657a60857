package sns

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"unicode/utf8"

	"github.com/fanfare-gateway/fanfare/gateway/awswire"
	"github.com/fanfare-gateway/fanfare/topics"
)

// maxTags is the most tags of a topic.
const maxTags = 50

type tagResourceIn struct {
	ResourceArn string `json:"ResourceArn"`
	Tags        []tag  `json:"Tags" query:"Tags.member"`
}

type untagResourceIn struct {
	ResourceArn string   `json:"ResourceArn"`
	TagKeys     []string `json:"TagKeys" query:"TagKeys.member"`
}

type resourceIn struct {
	ResourceArn string `json:"ResourceArn"`
}

type tagsOut struct {
	Tags []tag `json:"Tags" query:"Tags.member"`
}

// addTags is old with tags added.
func addTags(old map[string]string, tags []tag) (map[string]string, error) {
	all := maps.Clone(old)
	if all == nil {
		all = map[string]string{}
	}
	seen := map[string]bool{}
	for _, t := range tags {
		switch {
		case seen[t.Key]:
			return nil, invalid("Duplicated keys are not allowed.")
		case t.Key == "" || utf8.RuneCountInString(t.Key) > 128:
			return nil, invalid("Tags Reason: a key must have 1 to 128 characters")
		case utf8.RuneCountInString(t.Value) > 256:
			return nil, invalid("Tags Reason: a value must have at most 256 characters")
		}
		seen[t.Key] = true
		all[t.Key] = t.Value
	}
	if len(all) > maxTags {
		return nil, fault("TagLimitExceeded", http.StatusBadRequest, "Could not complete request: tag quota of per resource exceeded")
	}
	return all, nil
}

// tagged changes the topic of an ARN.
func (s *service) tagged(ctx context.Context, r *awswire.Request, arn string, change func(*topics.Topic) error) (*nothing, error) {
	o, name, err := s.topicName(r, "ResourceArn", arn)
	if err != nil {
		return nil, err
	}
	_, err = s.Topics.ChangeTopic(ctx, o, name, change)
	if errors.Is(err, topics.ErrNotFound) {
		return nil, noResource()
	}
	return &nothing{}, wordFor(err, "ResourceArn")
}

func noResource() error {
	return fault("ResourceNotFound", http.StatusNotFound, "Resource does not exist")
}

func (s *service) tagResource(ctx context.Context, r *awswire.Request, in *tagResourceIn) (*nothing, error) {
	return s.tagged(ctx, r, in.ResourceArn, func(t *topics.Topic) (err error) {
		t.Tags, err = addTags(t.Tags, in.Tags)
		return err
	})
}

func (s *service) untagResource(ctx context.Context, r *awswire.Request, in *untagResourceIn) (*nothing, error) {
	return s.tagged(ctx, r, in.ResourceArn, func(t *topics.Topic) error {
		for _, key := range in.TagKeys {
			delete(t.Tags, key)
		}
		return nil
	})
}

func (s *service) listTags(_ context.Context, r *awswire.Request, in *resourceIn) (*tagsOut, error) {
	o, name, err := s.topicName(r, "ResourceArn", in.ResourceArn)
	if err != nil {
		return nil, err
	}
	t, err := s.Topics.Topic(o, name)
	if errors.Is(err, topics.ErrNotFound) {
		return nil, noResource()
	}
	out := &tagsOut{}
	for _, key := range slices.Sorted(maps.Keys(t.Tags)) {
		out.Tags = append(out.Tags, tag{key, t.Tags[key]})
	}
	return out, err
}
