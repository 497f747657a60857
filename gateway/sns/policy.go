package sns

import (
	"context"
	"fmt"
	"net/http"
	"slices"

	"github.com/fanfare-gateway/fanfare/gateway/awswire"
	"github.com/fanfare-gateway/fanfare/gateway/policy"
	"github.com/fanfare-gateway/fanfare/topics"
)

// defaultPolicy is the policy of a topic that was given none.
func defaultPolicy(o topics.Owner, arn string) string {
	actions := []string{
		"GetTopicAttributes", "SetTopicAttributes", "AddPermission", "RemovePermission", "DeleteTopic", "Subscribe", "ListSubscriptionsByTopic", "Publish",
	}
	p := policy.Policy{Version: "2008-10-17", ID: "__default_policy_ID"}
	p.Add(policy.Statement{
		Sid: "__default_statement_ID", Effect: "Allow", Principal: map[string]any{"AWS": "*"}, Action: policy.Actions("SNS", actions), Resource: arn,
		Condition: map[string]any{"StringEquals": map[string]string{"AWS:SourceOwner": o.Account}},
	})
	return p.String()
}

// The most bytes and statements of a policy.
// https://docs.aws.amazon.com/sns/latest/dg/sns-access-policy-language-api-permissions-reference.html
const (
	maxPolicy     = 30 << 10
	maxStatements = 100
)

type addPermissionIn struct {
	TopicArn   string   `json:"TopicArn"`
	Label      string   `json:"Label"`
	Accounts   []string `json:"AWSAccountId" query:"AWSAccountId.member"`
	ActionName []string `json:"ActionName" query:"ActionName.member"`
}

// permissions are the actions that can be given to others.
var permissions = []string{
	"Publish", "RemovePermission", "SetTopicAttributes", "DeleteTopic", "ListSubscriptionsByTopic",
	"GetTopicAttributes", "Receive", "AddPermission", "Subscribe", "*",
}

func (s *service) addPermission(ctx context.Context, r *awswire.Request, in *addPermissionIn) (*nothing, error) {
	o, t, err := s.topic(r, in.TopicArn)
	switch {
	case err != nil:
		return nil, err
	case in.Label == "":
		return nil, missing("label")
	case len(in.Accounts) == 0:
		return nil, missing("aWSAccountId")
	case len(in.ActionName) == 0:
		return nil, missing("actionName")
	}
	for _, account := range in.Accounts {
		if !awswire.IsAccount(account) {
			return nil, invalid("AWSAccountId Reason: must be the number of an account, 12 digits")
		}
	}
	for _, name := range in.ActionName {
		if !slices.Contains(permissions, name) {
			return nil, invalid("Policy statement action out of service scope!")
		}
	}
	return nil, s.changePolicy(ctx, o, t.Name, func(p *policy.Policy) error {
		if !p.Add(policy.Statement{
			Sid: in.Label, Effect: "Allow", Principal: policy.Accounts(in.Accounts), Action: policy.Actions("SNS", in.ActionName), Resource: s.topicARN(o, t.Name),
		}) {
			return invalid("Statement already exists")
		}
		if len(p.Statement) > maxStatements || len(p.String()) > maxPolicy {
			return invalid(fmt.Sprintf("Policy: must have at most %d statements and %d bytes", maxStatements, maxPolicy))
		}
		return nil
	})
}

type removePermissionIn struct {
	TopicArn string `json:"TopicArn"`
	Label    string `json:"Label"`
}

// removePermission succeeds for a label that is not there, too.
func (s *service) removePermission(ctx context.Context, r *awswire.Request, in *removePermissionIn) (*nothing, error) {
	o, t, err := s.topic(r, in.TopicArn)
	if err != nil {
		return nil, err
	}
	if in.Label == "" {
		return nil, missing("label")
	}
	return nil, s.changePolicy(ctx, o, t.Name, func(p *policy.Policy) error {
		p.Remove(in.Label)
		return nil
	})
}

func (s *service) changePolicy(ctx context.Context, o topics.Owner, name string, change func(*policy.Policy) error) error {
	_, err := s.Topics.ChangeTopic(ctx, o, name, func(t *topics.Topic) error {
		text := t.Attributes["Policy"]
		if text == "" {
			text = defaultPolicy(o, s.topicARN(o, name))
		}
		p, err := policy.Read(text)
		if err != nil {
			return fault("InvalidState", http.StatusBadRequest, "The topic's policy has statements in another form; set it as a whole with SetTopicAttributes.")
		}
		if err := change(&p); err != nil {
			return err
		}
		if t.Attributes == nil {
			t.Attributes = map[string]string{}
		}
		t.Attributes["Policy"] = p.String()
		return nil
	})
	return wordFor(err, "TopicArn")
}
