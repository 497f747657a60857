package sqs

import (
	"context"
	"net/http"
	"slices"

	"github.com/fanfare-gateway/fanfare/gateway/awswire"
	"github.com/fanfare-gateway/fanfare/gateway/policy"
	"github.com/fanfare-gateway/fanfare/queue"
)

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
	return nil, s.changePolicy(ctx, r, in.QueueURL, func(q *queue.Queue, p *policy.Policy) error {
		if !p.Add(policy.Statement{
			Sid: in.Label, Effect: "Allow", Principal: policy.Accounts(in.Accounts), Action: policy.Actions("SQS", in.Actions), Resource: s.arn(q.Name),
		}) {
			return invalidValue("Label", in.Label, "Already exists.")
		}
		if n := len(p.Statement); n > maxStatements {
			return refuse(http.StatusForbidden, "OverLimit", "%d Statements were found, maximum allowed is %d.", n, maxStatements)
		}
		if n := len(p.String()); n > maxPolicy {
			return refuse(http.StatusForbidden, "OverLimit", "The policy would have %d bytes, maximum allowed is %d.", n, maxPolicy)
		}
		return nil
	})
}

// The most of a policy, and of the actions of a permission.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-policies.html
const (
	maxPolicy     = 8192 // bytes
	maxStatements = 20
	maxActions    = 7
)

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
		if !awswire.IsAccount(account) {
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

type removePermissionInput struct {
	QueueURL string `json:"QueueUrl"`
	Label    string `json:"Label"`
}

func (s *service) removePermission(ctx context.Context, r *awswire.Request, in *removePermissionInput) (*none, error) {
	if in.Label == "" {
		return nil, missing("Label")
	}
	return nil, s.changePolicy(ctx, r, in.QueueURL, func(_ *queue.Queue, p *policy.Policy) error {
		if !p.Remove(in.Label) {
			return invalidValue("Label", in.Label, "can't find label.")
		}
		return nil
	})
}

// changePolicy changes a queue's policy; one without a statement is none.
func (s *service) changePolicy(ctx context.Context, r *awswire.Request, queueURL string, change func(q *queue.Queue, p *policy.Policy) error) error {
	return s.configure(ctx, r, queueURL, func(q *queue.Queue) error {
		p := policy.Policy{Version: "2008-10-17", ID: s.arn(q.Name) + "/SQSDefaultPolicy"}
		if text, ok := q.Settings.Tags[attrTag+"Policy"]; ok {
			var err error
			if p, err = policy.Read(text); err != nil {
				return invalidAttribute("Policy", "")
			}
		}
		if err := change(q, &p); err != nil {
			return err
		}
		if len(p.Statement) == 0 {
			delete(q.Settings.Tags, attrTag+"Policy")
		} else {
			q.Settings.Tags[attrTag+"Policy"] = p.String()
		}
		return nil
	})
}
