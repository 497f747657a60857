// Package sns is the face of Amazon SNS: its actions on package topics, over
// the Query protocol of package awswire. Shapes, limits, codes and wording are
// those of the SNS API, version 2010-03-31
// (https://docs.aws.amazon.com/sns/latest/api/Welcome.html).
//
// An ARN arn:aws:sns:REGION:ACCOUNT:NAME is the topic NAME of
// topics.Owner{ACCOUNT, REGION}; a subscription's ARN has its id behind that.
// The native API knows one region, "local"; Options.Region is the AWS region
// that stands for it.
package sns

import (
	"log/slog"

	"github.com/fanfare-gateway/fanfare/gateway/awswire"
	"github.com/fanfare-gateway/fanfare/queue"
	"github.com/fanfare-gateway/fanfare/topics"
)

const (
	version   = "2010-03-31"
	namespace = "http://sns.amazonaws.com/doc/2010-03-31/"
)

// Options configure Service.
type Options struct {
	Topics *topics.Topics
	Store  *queue.Store
	// Form renders what asks for confirmation; it must be the one in topics'
	// Faces, named Face.
	Form *Form
	// Region is the AWS region whose topics are those of the native API; default
	// us-east-1.
	Region string
	// Applications delivers for platform applications. Required.
	Applications Applications
	// Lax lets every account use every other's topics, for test suites; else
	// that is AuthorizationError. Platform applications need no credentials then,
	// and device tokens no form.
	Lax    bool
	Logger *slog.Logger // default discards
}

func (o *Options) setDefaults() {
	if o.Region == "" {
		o.Region = defaultRegion
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
}

const defaultRegion = "us-east-1"

type service struct {
	Options
	names
}

// Service is the SNS service for awswire.
func Service(o Options) awswire.Service {
	o.setDefaults()
	s := &service{o, names(o.Region)}
	return awswire.Service{Name: "sns", Version: version, Namespace: namespace, Actions: s.actions(), Public: []string{"ConfirmSubscription", "Unsubscribe"}}
}

func (s *service) actions() map[string]awswire.Action {
	all := map[string]awswire.Action{
		"CreateTopic":         awswire.Do(s.createTopic),
		"DeleteTopic":         awswire.Do(s.deleteTopic),
		"ListTopics":          awswire.Do(s.listTopics),
		"GetTopicAttributes":  awswire.Do(s.getTopicAttributes),
		"SetTopicAttributes":  awswire.Do(s.setTopicAttributes),
		"AddPermission":       awswire.Do(s.addPermission),
		"RemovePermission":    awswire.Do(s.removePermission),
		"TagResource":         awswire.Do(s.tagResource),
		"UntagResource":       awswire.Do(s.untagResource),
		"ListTagsForResource": awswire.Do(s.listTags),

		"Publish":      awswire.Do(s.publish),
		"PublishBatch": awswire.Do(s.publishBatch),

		"Subscribe":                 awswire.Do(s.subscribe),
		"ConfirmSubscription":       awswire.Do(s.confirm),
		"Unsubscribe":               awswire.Do(s.unsubscribe),
		"ListSubscriptions":         awswire.Do(s.listSubscriptions),
		"ListSubscriptionsByTopic":  awswire.Do(s.listSubscriptionsByTopic),
		"GetSubscriptionAttributes": awswire.Do(s.getSubscriptionAttributes),
		"SetSubscriptionAttributes": awswire.Do(s.setSubscriptionAttributes),

		"CreatePlatformApplication":          awswire.Do(s.createApplication),
		"DeletePlatformApplication":          awswire.Do(s.deleteApplication),
		"ListPlatformApplications":           awswire.Do(s.listApplications),
		"GetPlatformApplicationAttributes":   awswire.Do(s.getApplication),
		"SetPlatformApplicationAttributes":   awswire.Do(s.setApplication),
		"CreatePlatformEndpoint":             awswire.Do(s.createEndpoint),
		"DeleteEndpoint":                     awswire.Do(s.deleteEndpoint),
		"ListEndpointsByPlatformApplication": awswire.Do(s.listEndpoints),
		"GetEndpointAttributes":              awswire.Do(s.getEndpoint),
		"SetEndpointAttributes":              awswire.Do(s.setEndpoint),

		"SetSMSAttributes":             awswire.Do(s.setSMSAttributes),
		"GetSMSAttributes":             awswire.Do(s.getSMSAttributes),
		"CheckIfPhoneNumberIsOptedOut": awswire.Do(s.isOptedOut),
		"ListPhoneNumbersOptedOut":     awswire.Do(s.listOptedOut),
		"OptInPhoneNumber":             awswire.Do(s.optIn),
	}
	for name, what := range unsupportedActions {
		all[name] = refuse(what)
	}
	return all
}

// nothing is the output of an action that has none.
type nothing struct{}
