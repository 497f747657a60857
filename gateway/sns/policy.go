package sns

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"

	"github.com/fanfare-gateway/fanfare/gateway/awswire"
	"github.com/fanfare-gateway/fanfare/topics"
)

// policy is a topic's access policy. It is kept and shown; who may do what is
// decided by the account alone.
type policy struct {
	Version   string            `json:"Version"`
	ID        string            `json:"Id"`
	Statement []json.RawMessage `json:"Statement"`
}

type statement struct {
	Sid       string         `json:"Sid"`
	Effect    string         `json:"Effect"`
	Principal map[string]any `json:"Principal"`
	Action    any            `json:"Action"` // a list, or one
	Resource  string         `json:"Resource"`
	Condition any            `json:"Condition,omitempty"`
}

// defaultPolicy is the policy of a topic that was given none.
func defaultPolicy(o topics.Owner, arn string) string {
	actions := []string{
		"SNS:GetTopicAttributes", "SNS:SetTopicAttributes", "SNS:AddPermission", "SNS:RemovePermission",
		"SNS:DeleteTopic", "SNS:Subscribe", "SNS:ListSubscriptionsByTopic", "SNS:Publish",
	}
	p := policy{Version: "2008-10-17", ID: "__default_policy_ID"}
	p.add(statement{
		Sid: "__default_statement_ID", Effect: "Allow", Principal: map[string]any{"AWS": "*"}, Action: actions, Resource: arn,
		Condition: map[string]any{"StringEquals": map[string]string{"AWS:SourceOwner": o.Account}},
	})
	return p.text()
}

func (p *policy) add(s statement) {
	text, _ := json.Marshal(s) // strings: cannot fail
	p.Statement = append(p.Statement, text)
}

func (p *policy) text() string {
	text, _ := json.Marshal(p) // strings: cannot fail
	return string(text)
}

// find is the place of a statement, or -1.
func (p *policy) find(label string) int {
	return slices.IndexFunc(p.Statement, func(text json.RawMessage) bool {
		var s statement
		return json.Unmarshal(text, &s) == nil && s.Sid == label
	})
}

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
	added := statement{Sid: in.Label, Effect: "Allow", Resource: s.topicARN(o, t.Name)}
	var actions, principals []string
	for _, name := range in.ActionName {
		if !slices.Contains(permissions, name) {
			return nil, invalid("Policy statement action out of service scope!")
		}
		actions = append(actions, "SNS:"+name)
	}
	for _, account := range in.Accounts {
		principals = append(principals, "arn:aws:iam::"+account+":root")
	}
	added.Action, added.Principal = oneOrMany(actions), map[string]any{"AWS": oneOrMany(principals)}
	return nil, s.changePolicy(ctx, o, t.Name, func(p *policy) error {
		if p.find(in.Label) >= 0 {
			return invalid("Statement already exists")
		}
		p.add(added)
		return nil
	})
}

// oneOrMany is how policies write lists.
func oneOrMany(all []string) any {
	if len(all) == 1 {
		return all[0]
	}
	return all
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
	return nil, s.changePolicy(ctx, o, t.Name, func(p *policy) error {
		if at := p.find(in.Label); at >= 0 {
			p.Statement = slices.Delete(p.Statement, at, at+1)
		}
		return nil
	})
}

func (s *service) changePolicy(ctx context.Context, o topics.Owner, name string, change func(*policy) error) error {
	_, err := s.Topics.ChangeTopic(ctx, o, name, func(t *topics.Topic) error {
		text := t.Attributes["Policy"]
		if text == "" {
			text = defaultPolicy(o, s.topicARN(o, name))
		}
		var p policy
		if json.Unmarshal([]byte(text), &p) != nil {
			return fault("InvalidState", http.StatusBadRequest, "The topic's policy has statements in another form; set it as a whole with SetTopicAttributes.")
		}
		if err := change(&p); err != nil {
			return err
		}
		if t.Attributes == nil {
			t.Attributes = map[string]string{}
		}
		t.Attributes["Policy"] = p.text()
		return nil
	})
	return wordFor(err, "TopicArn")
}
