package sqs

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"

	"github.com/fanfare-gateway/fanfare/gateway/awswire"
	"github.com/fanfare-gateway/fanfare/queue"
)

// policy is a queue's policy, as far as permissions change it. Policies are
// stored and shown; they are not evaluated.
type policy struct {
	Version   string           `json:"Version"`
	ID        string           `json:"Id,omitempty"`
	Statement []map[string]any `json:"Statement"`
}

// UnmarshalJSON also takes a policy whose Statement is a single one.
func (p *policy) UnmarshalJSON(text []byte) error {
	var raw struct {
		Version   string
		ID        string `json:"Id"`
		Statement json.RawMessage
	}
	if err := json.Unmarshal(text, &raw); err != nil {
		return err
	}
	p.Version, p.ID = raw.Version, raw.ID
	if len(raw.Statement) == 0 {
		return nil
	}
	if raw.Statement[0] == '{' {
		p.Statement = make([]map[string]any, 1)
		return json.Unmarshal(raw.Statement, &p.Statement[0])
	}
	return json.Unmarshal(raw.Statement, &p.Statement)
}

// label finds the statement of a permission; -1 if there is none.
func (p *policy) label(name string) int {
	return slices.IndexFunc(p.Statement, func(s map[string]any) bool { return s["Sid"] == name })
}

type addPermissionInput struct {
	QueueURL string   `json:"QueueUrl"`
	Label    string   `json:"Label"`
	Accounts []string `json:"AWSAccountIds" query:"AWSAccountId"`
	Actions  []string `json:"Actions" query:"ActionName"`
}

func (s *service) addPermission(ctx context.Context, r *awswire.Request, in *addPermissionInput) (*none, error) {
	if err := s.checkPermission(in); err != nil {
		return nil, err
	}
	return nil, s.changePolicy(ctx, r, in.QueueURL, func(q *queue.Queue, p *policy) error {
		if p.label(in.Label) >= 0 {
			return invalidValue("Label", in.Label, "Already exists.")
		}
		p.Statement = append(p.Statement, map[string]any{
			"Sid": in.Label, "Effect": "Allow",
			"Principal": map[string]any{"AWS": oneOrMany(in.Accounts, func(a string) string { return "arn:aws:iam::" + a + ":root" })},
			"Action":    oneOrMany(in.Actions, func(a string) string { return "SQS:" + a }),
			"Resource":  s.arn(q.Name),
		})
		return nil
	})
}

// maxActions is the most actions of a permission.
const maxActions = 7

// ownersOnly are the actions that cannot be permitted to another account:
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-customer-managed-policy-examples.html#grant-cross-account-permissions-to-role-and-user-name
var ownersOnly = [...]string{
	"AddPermission", "CancelMessageMoveTask", "CreateQueue", "DeleteQueue", "ListMessageMoveTasks", "ListQueues", "ListQueueTags",
	"RemovePermission", "SetQueueAttributes", "StartMessageMoveTask", "TagQueue", "UntagQueue",
}

func (s *service) checkPermission(in *addPermissionInput) error {
	switch {
	case in.Label == "":
		return missing("Label")
	case !entryID.MatchString(in.Label):
		return invalidValue("Label", in.Label, "Must be 1 to 80 alphanumeric characters, hyphens or underscores.")
	case len(in.Accounts) == 0:
		return invalidValue("PrincipalId", "[]", "Unable to verify.")
	case len(in.Actions) == 0:
		return missing("Actions")
	case len(in.Actions) > maxActions:
		return refuse(http.StatusForbidden, "OverLimit", "%d Actions were found, maximum allowed is %d.", len(in.Actions), maxActions)
	}
	for _, account := range in.Accounts {
		if !isAccount(account) {
			return invalidValue("PrincipalId", account, "Unable to verify.")
		}
	}
	for _, action := range in.Actions {
		if _, ok := s.actions[action]; !ok && action != "*" {
			return invalidValue("ActionName", action, "Please refer to the appropriate WSDL for a list of valid actions.")
		}
		if slices.Contains(ownersOnly[:], action) {
			return invalidValue("ActionName", "SQS:"+action, "Only the queue owner is allowed to invoke this action.")
		}
	}
	return nil
}

// oneOrMany writes a list as policies do: one alone without brackets.
func oneOrMany(texts []string, write func(string) string) any {
	out := make([]string, len(texts))
	for i, text := range texts {
		out[i] = write(text)
	}
	if len(out) == 1 {
		return out[0]
	}
	return out
}

type removePermissionInput struct {
	QueueURL string `json:"QueueUrl"`
	Label    string `json:"Label"`
}

func (s *service) removePermission(ctx context.Context, r *awswire.Request, in *removePermissionInput) (*none, error) {
	if in.Label == "" {
		return nil, missing("Label")
	}
	return nil, s.changePolicy(ctx, r, in.QueueURL, func(_ *queue.Queue, p *policy) error {
		i := p.label(in.Label)
		if i < 0 {
			return invalidValue("Label", in.Label, "can't find label.")
		}
		p.Statement = slices.Delete(p.Statement, i, i+1)
		return nil
	})
}

// changePolicy changes a queue's policy; one without a statement is none.
func (s *service) changePolicy(ctx context.Context, r *awswire.Request, queueURL string, change func(q *queue.Queue, p *policy) error) error {
	return s.configure(ctx, r, queueURL, func(q *queue.Queue) error {
		p := policy{Version: "2008-10-17", ID: s.arn(q.Name) + "/SQSDefaultPolicy"}
		if text, ok := q.Settings.Tags[attrTag+"Policy"]; ok {
			if err := json.Unmarshal([]byte(text), &p); err != nil {
				return invalidAttribute("Policy", "")
			}
		}
		if err := change(q, &p); err != nil {
			return err
		}
		if len(p.Statement) == 0 {
			delete(q.Settings.Tags, attrTag+"Policy")
			return nil
		}
		text, err := json.Marshal(p)
		q.Settings.Tags[attrTag+"Policy"] = string(text)
		return err
	})
}
