package sqs

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/fanfare-gateway/fanfare/gateway/awswire"
	"github.com/fanfare-gateway/fanfare/queue"
	"github.com/fanfare-gateway/fanfare/topics"
)

// owner is whose queues a request means.
func (s *service) owner(r *awswire.Request) topics.Owner {
	return s.ownerIn(r.Account, r.Region)
}

// ownerIn is the owner for an account and a region of AWS.
func (s *service) ownerIn(account, region string) topics.Owner {
	if region == "" || region == s.Region {
		region = topics.DefaultOwner.Region
	}
	return topics.Owner{Account: account, Region: region}
}

// address is a queue's URL as the caller reaches it.
func address(r *awswire.Request, full string) string {
	parts := strings.SplitN(full, "/", 4)
	return r.Base + "/" + parts[1] + "/" + parts[3]
}

// bare is a queue's name without its owner.
func bare(full string) string { return strings.SplitN(full, "/", 4)[3] }

// accountOf is the account a queue is of.
func accountOf(full string) string { return strings.SplitN(full, "/", 4)[1] }

// arn is a queue's ARN.
func (s *service) arn(full string) string {
	parts := strings.SplitN(full, "/", 4)
	region := parts[2]
	if region == topics.DefaultOwner.Region {
		region = s.Region
	}
	return "arn:aws:sqs:" + region + ":" + parts[1] + ":" + parts[3]
}

// byARN is the full name of the queue an ARN names; ok is false for what is no
// queue's ARN.
func (s *service) byARN(arn string) (full string, ok bool) {
	parts := strings.Split(arn, ":")
	if len(parts) != 6 || parts[0] != "arn" || parts[2] != "sqs" || parts[5] == "" {
		return "", false
	}
	return topics.QueueName(s.ownerIn(parts[4], parts[3]), parts[5]), true
}

// resolve is the full name of the queue a QueueUrl names. In the Query protocol
// the request may go to the queue's own URL instead.
func (s *service) resolve(r *awswire.Request, queueURL string) (string, error) {
	if queueURL == "" && r.Protocol == awswire.Query && strings.Count(r.Path, "/") >= 2 {
		queueURL = r.Base + r.Path
	}
	if queueURL == "" {
		return "", missing("QueueUrl")
	}
	u, err := url.Parse(queueURL)
	if err != nil {
		return "", s.badAddress(queueURL)
	}
	segments := strings.Split(strings.Trim(u.Path, "/"), "/")
	name := segments[len(segments)-1]
	account := ""
	if len(segments) > 1 {
		account = segments[len(segments)-2]
	}
	switch {
	case name == "" || !awswire.IsAccount(account) && !s.BareNames:
		return "", s.badAddress(queueURL)
	case !awswire.IsAccount(account):
		account = r.Account
	case account != r.Account && !s.OtherAccounts:
		return "", denied()
	}
	return topics.QueueName(s.ownerIn(account, r.Region), name), nil
}

// notAtQueue refuses an action that is none of a queue's at a queue's own URL.
func notAtQueue(r *awswire.Request) error {
	if r.Protocol == awswire.Query && r.AtQueue() {
		return refuse(http.StatusBadRequest, "InvalidAction", "The action %s is not valid for this endpoint.", r.Action)
	}
	return nil
}

func (s *service) badAddress(queueURL string) *awswire.Error {
	return refuse(http.StatusNotFound, "InvalidAddress", "The address %s is not valid for this endpoint.", queueURL)
}

func denied() *awswire.Error {
	e := refuse(http.StatusForbidden, "AccessDenied", "Access to the resource is denied: the queue is of another account.")
	e.JSONCode = coral + "AccessDeniedException"
	return e
}

// find is resolve and the queue itself.
func (s *service) find(r *awswire.Request, queueURL string) (queue.Queue, error) {
	full, err := s.resolve(r, queueURL)
	if err != nil {
		return queue.Queue{}, err
	}
	return s.Store.Queue(full)
}
