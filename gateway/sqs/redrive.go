package sqs

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/fanfare-gateway/fanfare/gateway/awswire"
	"github.com/fanfare-gateway/fanfare/queue"
)

// redrivePolicy is where a queue's dead letters go. The count may be written as
// a text.
type redrivePolicy struct {
	Target      string          `json:"deadLetterTargetArn"`
	MaxReceives json.RawMessage `json:"maxReceiveCount"`
}

// setRedrive reads a RedrivePolicy.
func (s *service) setRedrive(full string, set *queue.Settings, text string) error {
	if text == "" {
		set.DeadLetter, set.MaxReceives = "", 0
		return nil
	}
	bad := func(reason string) error { return invalidValue("RedrivePolicy", text, reason) }
	var given map[string]any
	if json.Unmarshal([]byte(text), &given) != nil || given == nil {
		return invalidAttribute("RedrivePolicy", "Redrive policy is not a valid JSON map.")
	}
	for name := range given {
		if name != "maxReceiveCount" && name != "deadLetterTargetArn" {
			return bad("Only following attributes are supported: [maxReceiveCount, deadLetterTargetArn].")
		}
	}
	var p redrivePolicy
	wrong := json.Unmarshal([]byte(text), &p) != nil // the target is no text
	switch {
	case p.MaxReceives == nil:
		return bad("Redrive policy does not contain mandatory attribute: maxReceiveCount.")
	case p.Target == "" && !wrong:
		return bad("Redrive policy does not contain mandatory attribute: deadLetterTargetArn.")
	}
	count := strings.Trim(string(p.MaxReceives), `"`)
	most, err := strconv.Atoi(count)
	if err != nil || most < 1 || most > 1000 {
		return bad("Invalid value for maxReceiveCount: " + count + ", valid values are from 1 to 1000 both inclusive.")
	}
	target, ok := s.byARN(p.Target)
	switch parts := strings.Split(p.Target, ":"); {
	case len(parts) == 6 && parts[2] != "sqs":
		return bad("Only SQS queues are valid resources for deadLetterTargetArn.")
	case !ok, target == full, ownerPrefix(target) != ownerPrefix(full):
		return bad("Invalid value for deadLetterTargetArn.")
	}
	dead, err := s.Store.Queue(target)
	switch {
	case err != nil:
		return bad("Dead letter target does not exist.")
	case dead.Settings.FIFO != set.FIFO:
		return bad("Dead-letter queue must be same type of queue as the source.")
	case !s.admits(&dead.Settings, full):
		return bad("The dead-letter queue's RedriveAllowPolicy does not allow this source queue.")
	}
	set.DeadLetter, set.MaxReceives = target, most
	return nil
}

// ownerPrefix is account and region of a queue's full name.
func ownerPrefix(full string) string { return full[:len(full)-len(bare(full))] }

func (s *service) redriveText(set *queue.Settings) string {
	return fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":%d}`, s.arn(set.DeadLetter), set.MaxReceives)
}

// allowPolicy is which queues may have a queue as their dead-letter queue.
type allowPolicy struct {
	Permission string   `json:"redrivePermission"`
	Sources    []string `json:"sourceQueueArns"`
}

// checkAllowPolicy tells what is wrong with a RedriveAllowPolicy.
func checkAllowPolicy(text string) error {
	var p allowPolicy
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	known := map[string]bool{"allowAll": true, "denyAll": true, "byQueue": true}
	if d.Decode(&p) != nil || d.More() || !known[p.Permission] {
		return invalidAttribute("RedriveAllowPolicy", "Amazon SQS can't create the redrive allow policy, as it’s in an unsupported format.")
	}
	reason := ""
	switch byQueue := p.Permission == "byQueue"; {
	case byQueue && len(p.Sources) == 0:
		reason = "When you specify the byQueue permission type, you must also specify one or more sourceQueueArns values."
	case byQueue && len(p.Sources) > 10:
		reason = "The maximum number of source queue ARNs you can specify is 10."
	case !byQueue && len(p.Sources) > 0:
		reason = "To specify one or more source queue ARNs, you must set redrivePermission to byQueue."
	default:
		return nil
	}
	return invalidValue("RedriveAllowPolicy", text, "Amazon SQS can't create the redrive allow policy. "+reason)
}

// admits tells whether a dead-letter queue takes the letters of a queue.
func (s *service) admits(dead *queue.Settings, source string) bool {
	text, ok := dead.Tags[attrTag+"RedriveAllowPolicy"]
	if !ok {
		return true
	}
	var p allowPolicy
	_ = json.Unmarshal([]byte(text), &p) // it was checked when it was set
	return p.Permission == "allowAll" || p.Permission == "byQueue" && slices.Contains(p.Sources, s.arn(source))
}

type sourcesInput struct {
	QueueURL   string `json:"QueueUrl"`
	NextToken  string `json:"NextToken"`
	MaxResults *int   `json:"MaxResults"`
}

type sourcesOutput struct {
	QueueURLs []string `json:"queueUrls" query:"QueueUrl"`
	NextToken string   `json:"NextToken,omitempty"`
}

func (s *service) listDeadLetterSourceQueues(_ context.Context, r *awswire.Request, in *sourcesInput) (*sourcesOutput, error) {
	dead, err := s.find(r, in.QueueURL)
	if err != nil {
		return nil, err
	}
	urls, next, err := s.page(r, ownerPrefix(dead.Name), in.NextToken, in.MaxResults, func(q *queue.Queue) bool {
		return q.Settings.DeadLetter == dead.Name
	})
	if err != nil {
		return nil, err
	}
	return &sourcesOutput{urls, next}, nil
}

// hasSources tells whether a queue is the dead-letter queue of any.
func (s *service) hasSources(dead string) (bool, error) {
	prefix := ownerPrefix(dead)
	for after := ""; ; {
		qs, err := s.Store.Queues(prefix, after, pageMax)
		if err != nil {
			return false, err
		}
		if slices.ContainsFunc(qs, func(q queue.Queue) bool { return q.Settings.DeadLetter == dead }) {
			return true, nil
		}
		if len(qs) < pageMax {
			return false, nil
		}
		after = qs[len(qs)-1].Name
	}
}
