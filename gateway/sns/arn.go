package sns

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"

	"github.com/fanfare-gateway/fanfare/gateway/awswire"
	"github.com/fanfare-gateway/fanfare/queue"
	"github.com/fanfare-gateway/fanfare/topics"
)

// names turns owners into regions of AWS and back: it is the region that stands
// for the native API's, so that both see the same topics.
type names string

// in is the owner for an account and a region of AWS.
func (n names) in(account, region string) topics.Owner {
	if region == string(n) {
		region = topics.DefaultOwner.Region
	}
	return topics.Owner{Account: account, Region: region}
}

func (n names) owner(r *awswire.Request) topics.Owner { return n.in(r.Account, r.Region) }

// region is the region an owner is shown in.
func (n names) region(o topics.Owner) string {
	if o.Region == topics.DefaultOwner.Region {
		return string(n)
	}
	return o.Region
}

// topicARN is a topic's ARN.
func (n names) topicARN(o topics.Owner, name string) string {
	return "arn:aws:sns:" + n.region(o) + ":" + o.Account + ":" + name
}

// subscriptionARN is a subscription's ARN.
func (n names) subscriptionARN(o topics.Owner, topic string, id queue.ID) string {
	return n.topicARN(o, topic) + ":" + id.String()
}

// elements takes an ARN apart; parameter is the one it came in.
func elements(parameter, arn string) ([]string, error) {
	parts := strings.Split(arn, ":")
	if len(parts) < 6 {
		return nil, invalid(fmt.Sprintf("%s Reason: An ARN must have at least 6 elements, not %d", parameter, len(parts)))
	}
	if parts[0] != "arn" || parts[2] != "sns" {
		return nil, invalid(parameter)
	}
	return parts, nil
}

// ownerOf is whose the thing of an ARN is. A caller reaches what is in the
// region it signed for, and, unless Lax, in its own account.
func (s *service) ownerOf(r *awswire.Request, parameter string, parts []string) (topics.Owner, error) {
	o := s.in(parts[4], parts[3])
	switch {
	case parts[3] != r.Region:
		return o, invalid(parameter)
	case o.Account != r.Account && !s.Lax:
		return o, fault("AuthorizationError", http.StatusForbidden, fmt.Sprintf(
			"User: arn:aws:iam::%s:root is not authorized to perform: SNS:%s on resource: %s because no resource-based policy allows the SNS:%s action",
			r.Account, r.Action, strings.Join(parts, ":"), r.Action))
	}
	return o, nil
}

// topicName is whose topic an ARN names; it need not exist.
func (s *service) topicName(r *awswire.Request, parameter, arn string) (topics.Owner, string, error) {
	if arn == "" {
		return topics.Owner{}, "", invalid(parameter + " Reason: no value for required parameter")
	}
	parts, err := elements(parameter, arn)
	if err != nil {
		return topics.Owner{}, "", err
	}
	if len(parts) != 6 || parts[5] == "" {
		return topics.Owner{}, "", invalid(parameter)
	}
	o, err := s.ownerOf(r, parameter, parts)
	return o, parts[5], err
}

// topic finds the topic of an ARN.
func (s *service) topic(r *awswire.Request, arn string) (topics.Owner, topics.Topic, error) {
	o, name, err := s.topicName(r, "TopicArn", arn)
	if err != nil {
		return o, topics.Topic{}, err
	}
	topic, err := s.Topics.Topic(o, name)
	return o, topic, wordFor(err, "TopicArn")
}

// pageSize is how many things every list of SNS has on a page.
const pageSize = 100

// token makes a NextToken of the last thing on a page; "" when there is no more.
func token(last string, more bool) string {
	if !more {
		return ""
	}
	return base64.StdEncoding.EncodeToString([]byte(last))
}

// lastOf reads a NextToken.
func lastOf(next string) (string, error) {
	last, err := base64.StdEncoding.DecodeString(next)
	if err != nil {
		return "", invalid("NextToken")
	}
	return string(last), nil
}
