package sns

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"regexp"
	"slices"

	"github.com/fanfare-gateway/fanfare/gateway/awswire"
	"github.com/fanfare-gateway/fanfare/topics"
)

type tag struct {
	Key   string `json:"Key"`
	Value string `json:"Value"`
}

type createTopicIn struct {
	Name                 *string           `json:"Name"`
	Attributes           map[string]string `json:"Attributes" query:"Attributes.entry,key,value"`
	Tags                 []tag             `json:"Tags" query:"Tags.member"`
	DataProtectionPolicy string            `json:"DataProtectionPolicy"`
}

type topicOut struct {
	TopicArn string `json:"TopicArn"`
}

var (
	standardName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,256}$`)
	fifoName     = regexp.MustCompile(`^[A-Za-z0-9_-]{1,251}\.fifo$`)
)

// createTopic makes a topic or finds the one there is: attributes and tags
// that are given must be those it has.
func (s *service) createTopic(ctx context.Context, r *awswire.Request, in *createTopicIn) (*topicOut, error) {
	wanted, err := newTopic(in)
	if err != nil {
		return nil, err
	}
	o := s.owner(r)
	made, err := s.Topics.CreateTopic(ctx, o, wanted)
	if errors.Is(err, topics.ErrConflict) {
		made, err = s.Topics.Topic(o, wanted.Name)
	}
	if err != nil {
		return nil, wordFor(err, "Topic Name")
	}
	switch {
	case !holds(attributesOf(&made), attributesOf(&wanted)):
		return nil, invalid("Attributes Reason: Topic already exists with different attributes")
	case !holds(made.Tags, wanted.Tags):
		return nil, invalid("Tags Reason: Topic already exists with different tags")
	}
	return &topicOut{s.topicARN(o, made.Name)}, nil
}

func newTopic(in *createTopicIn) (topics.Topic, error) {
	t := topics.Topic{Attributes: map[string]string{}}
	if in.Name == nil {
		return t, missing("name")
	}
	t.Name = *in.Name
	fifo := in.Attributes["FifoTopic"] == "true"
	switch {
	case in.DataProtectionPolicy != "":
		return t, unsupported("data protection policies")
	case fifo && !fifoName.MatchString(t.Name):
		return t, invalid("Fifo Topic names must end with .fifo and must be made up of only uppercase and lowercase ASCII letters, numbers, underscores, and hyphens, and must be between 1 and 256 characters long.")
	case !fifo && !standardName.MatchString(t.Name):
		return t, invalid("Topic Name")
	}
	if fifo {
		t.Attributes["FifoTopic"] = "true"
	}
	for _, name := range slices.Sorted(maps.Keys(in.Attributes)) {
		if name == "FifoTopic" {
			continue // checked above; AWS keeps no "false"
		}
		if why := setAttribute(&t, name, in.Attributes[name]); why != "" {
			return t, invalid("Attributes Reason: " + why)
		}
	}
	var err error
	t.Tags, err = addTags(nil, in.Tags)
	return t, err
}

// attributesOf are the attributes a topic was given.
func attributesOf(t *topics.Topic) map[string]string {
	all := maps.Clone(t.Attributes)
	if all == nil {
		all = map[string]string{}
	}
	if t.DisplayName != "" {
		all["DisplayName"] = t.DisplayName
	}
	return all
}

// holds tells whether all has everything of some.
func holds(all, some map[string]string) bool {
	for k, v := range some {
		if has, ok := all[k]; !ok || has != v {
			return false
		}
	}
	return true
}

type topicIn struct {
	TopicArn string `json:"TopicArn"`
}

// deleteTopic succeeds for a topic that is not there, too.
func (s *service) deleteTopic(ctx context.Context, r *awswire.Request, in *topicIn) (*nothing, error) {
	o, name, err := s.topicName(r, "TopicArn", in.TopicArn)
	if err != nil {
		return nil, err
	}
	err = s.Topics.DeleteTopic(ctx, o, name)
	switch {
	case errors.Is(err, topics.ErrNotFound):
		return nil, nil
	case errors.Is(err, topics.ErrState):
		return nil, fault("InvalidState", http.StatusBadRequest, "Invalid state: Cannot delete a topic with an ArchivePolicy")
	}
	return nil, wordFor(err, "TopicArn")
}

type listTopicsIn struct {
	NextToken string `json:"NextToken"`
}

type listTopicsOut struct {
	Topics    []topicOut `json:"Topics" query:"Topics.member"`
	NextToken string     `json:"NextToken,omitempty"`
}

func (s *service) listTopics(_ context.Context, r *awswire.Request, in *listTopicsIn) (*listTopicsOut, error) {
	after, err := lastOf(in.NextToken)
	if err != nil {
		return nil, err
	}
	o := s.owner(r)
	found, err := s.Topics.Topics(o, after, pageSize+1)
	if err != nil {
		return nil, err
	}
	out := &listTopicsOut{}
	for _, t := range found[:min(len(found), pageSize)] {
		out.Topics = append(out.Topics, topicOut{s.topicARN(o, t.Name)})
		after = t.Name
	}
	out.NextToken = token(after, len(found) > pageSize)
	return out, nil
}
