package sqs

import (
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/fanfare-gateway/fanfare/gateway/awswire"
	"github.com/fanfare-gateway/fanfare/queue"
)

var (
	standardName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,80}$`)
	fifoName     = regexp.MustCompile(`^[A-Za-z0-9_-]{1,75}\.fifo$`)
)

// asked is a new queue's settings, as the attributes ask for them.
func (s *service) asked(r *awswire.Request, full string, attrs, tags map[string]string) (queue.Settings, error) {
	set := queue.Settings{Retention: defaultRetention, Tags: make(map[string]string)}
	name := bare(full)
	kind, given := attrs["FifoQueue"]
	switch kind {
	case "true":
		if !fifoName.MatchString(name) {
			return set, invalid("The name of a FIFO queue can only include alphanumeric characters, hyphens, or underscores, must end with .fifo suffix and be 1 to 80 in length.")
		}
		set.FIFO = true
	case "false", "":
		if given {
			return set, unknownAttribute("FifoQueue") // as AWS: a standard queue has none
		}
		if !standardName.MatchString(name) {
			return set, invalid("Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length")
		}
	default:
		return set, invalidAttribute("FifoQueue", "")
	}
	if err := checkTags(tags); err != nil {
		return set, err
	}
	for k, v := range tags {
		set.Tags[userTag+k] = v
	}
	if len(tags) > maxTags {
		return set, tooManyTags(full)
	}
	attrs = maps.Clone(attrs)
	delete(attrs, "FifoQueue")
	return set, s.change(r, full, &set, attrs)
}

// change puts attributes into a queue's settings.
func (s *service) change(r *awswire.Request, full string, set *queue.Settings, attrs map[string]string) error {
	if set.Tags == nil {
		set.Tags = make(map[string]string)
	}
	for _, name := range slices.Sorted(maps.Keys(attrs)) {
		if err := s.changeOne(full, set, name, attrs[name]); err != nil {
			return err
		}
	}
	if set.FIFO && s.known["FifoThroughputLimit"].show(set) == "perMessageGroupId" && !set.DedupPerGroup {
		return invalidAttribute("FifoThroughputLimit", "perMessageGroupId is allowed only when the value of DeduplicationScope is messageGroup.")
	}
	return s.changeEncryption(r, full, set, attrs)
}

func (s *service) changeOne(full string, set *queue.Settings, name, text string) error {
	switch name {
	case "RedrivePolicy":
		return s.setRedrive(full, set, text)
	case "FifoQueue":
		switch {
		case !set.FIFO:
			return unknownAttribute(name)
		case text != "true":
			return invalidAttribute(name, "Modifying queue type is not supported.")
		}
		return nil
	}
	if name == "RedriveAllowPolicy" && text != "" {
		if err := checkAllowPolicy(text); err != nil {
			return err
		}
	}
	a, ok := s.known[name]
	switch {
	case !ok || a.fifo && !set.FIFO:
		return unknownAttribute(name)
	case text == "" && !a.clears, text != "" && !a.valid(text):
		return invalidAttribute(name, "")
	}
	a.set(set, text)
	return nil
}

// changeEncryption keeps what is asked of the two kinds of server-side
// encryption apart. Both are stored and shown, neither is done.
func (s *service) changeEncryption(r *awswire.Request, full string, set *queue.Settings, attrs map[string]string) error {
	kms := set.Tags[attrTag+"KmsMasterKeyId"] != ""
	if kms && attrs["SqsManagedSseEnabled"] == "true" {
		return refuse(http.StatusBadRequest, "InvalidAttributeName", "You can use one type of server-side encryption (SSE) at one time. You can either enable KMS SSE or SQS SSE.")
	}
	if kms {
		delete(set.Tags, attrTag+"SqsManagedSseEnabled")
	}
	if attrs["KmsMasterKeyId"] != "" || attrs["SqsManagedSseEnabled"] == "true" {
		s.Logger.Warn("server-side encryption of a queue is stored, not done", "queue", full, "request", r.ID)
	}
	return nil
}

// differs is the first of the attributes asked for that a queue has otherwise;
// "" if there is none.
func (s *service) differs(has, asked *queue.Settings, attrs map[string]string) string {
	for _, name := range slices.Sorted(maps.Keys(attrs)) {
		switch a := s.known[name]; {
		case name == "FifoQueue":
			if has.FIFO != asked.FIFO {
				return name
			}
		case name == "RedrivePolicy":
			if has.DeadLetter != asked.DeadLetter || has.MaxReceives != asked.MaxReceives {
				return name
			}
		case a.show(has) != a.show(asked):
			return name
		}
	}
	return ""
}

// readOnly are the attributes that cannot be set.
var readOnly = [...]string{
	"ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible", "ApproximateNumberOfMessagesDelayed",
	"CreatedTimestamp", "LastModifiedTimestamp", "QueueArn",
}

// show is all attributes of a queue.
func (s *service) show(q queue.Queue) (map[string]string, error) {
	st, err := s.Store.Stats(q.Name)
	if err != nil {
		return nil, err
	}
	out := map[string]string{
		"ApproximateNumberOfMessages":           strconv.FormatInt(st.Ready, 10),
		"ApproximateNumberOfMessagesNotVisible": strconv.FormatInt(st.InFlight, 10),
		"ApproximateNumberOfMessagesDelayed":    strconv.FormatInt(st.Delayed, 10),
		"CreatedTimestamp":                      strconv.FormatInt(q.Created.Unix(), 10),
		"LastModifiedTimestamp":                 strconv.FormatInt(q.Modified.Unix(), 10),
		"QueueArn":                              s.arn(q.Name),
	}
	for name, a := range s.known {
		if text := a.show(&q.Settings); text != "" && (!a.fifo || q.Settings.FIFO) {
			out[name] = text
		}
	}
	if q.Settings.FIFO {
		out["FifoQueue"] = "true"
	}
	if q.Settings.DeadLetter != "" {
		out["RedrivePolicy"] = s.redriveText(&q.Settings)
	}
	return out, nil
}

// isAttribute tells whether a queue could have an attribute.
func (s *service) isAttribute(set *queue.Settings, name string) bool {
	if a, ok := s.known[name]; ok || name == "FifoQueue" {
		return set.FIFO || ok && !a.fifo
	}
	return name == "All" || name == "RedrivePolicy" || slices.Contains(readOnly[:], name)
}

// userTags are the tags users gave a queue.
func userTags(set *queue.Settings) map[string]string {
	out := make(map[string]string)
	for k, v := range set.Tags {
		if name, ok := strings.CutPrefix(k, userTag); ok {
			out[name] = v
		}
	}
	return out
}
