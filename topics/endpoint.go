package topics

import (
	"strings"

	"github.com/fanfare-gateway/fanfare/channels"
)

// localQueue is the account of a queue of this gateway.
const localQueue = ""

// resolve checks a target and finds the account that serves it. The account is
// localQueue for a queue of this gateway.
func (t *Topics) resolve(o Owner, to Target, field string) (Target, channels.Endpoint, error) {
	if !knownProtocol(to.Protocol) {
		return to, channels.Endpoint{}, invalid(field+"protocol", aProtocol())
	}
	if to.Protocol == SQS && to.Account == "" && !strings.Contains(to.Endpoint, "://") {
		return t.resolveQueue(o, to, field)
	}
	if _, _, _, ok := platformPath(to.Protocol, to.Endpoint); ok {
		return t.resolvePlatform(o, to, field)
	}
	if to.Account == "" {
		to.Account = t.Accounts.Default(accountProtocol(to.Protocol))
	}
	info, ok := t.Accounts.Account(to.Account)
	switch {
	case to.Account == "":
		return to, channels.Endpoint{}, invalid(field+"protocol", "no account is configured for "+to.Protocol+"; add one to the configuration (accounts)")
	case !ok:
		return to, channels.Endpoint{}, invalid(field+"account", "there is no such account")
	case info.Protocol != accountProtocol(to.Protocol):
		return to, channels.Endpoint{}, invalid(field+"account", "is for "+info.Protocol+", not "+to.Protocol)
	}
	end, err := t.Accounts.CheckEndpoint(to.Account, to.Endpoint)
	if err != nil {
		return to, end, invalid(field+"endpoint", err.Error())
	}
	if (to.Protocol == HTTP || to.Protocol == HTTPS) && !strings.HasPrefix(end.Address, to.Protocol+"://") {
		return to, end, invalid(field+"endpoint", "must begin with "+to.Protocol+"://")
	}
	return to, end, nil
}

// Webhook is the protocol of the accounts that serve http and https.
const Webhook = "webhook"

func accountProtocol(protocol string) string {
	if protocol == HTTP || protocol == HTTPS {
		return Webhook
	}
	return protocol
}

// resolveQueue finds a queue of this gateway by name or ARN. One named by its
// ARN need not exist yet, as with SNS: what it does not get is a dead letter.
func (t *Topics) resolveQueue(o Owner, to Target, field string) (Target, channels.Endpoint, error) {
	name := to.Endpoint
	var missing error
	if arn := strings.Split(name, ":"); len(arn) == 6 && arn[0] == "arn" {
		o, name = Owner{Account: arn[4], Region: arn[3]}, arn[5]
	} else {
		_, missing = t.store.Queue(QueueName(o, name))
	}
	full := QueueName(o, name)
	if missing != nil {
		return to, channels.Endpoint{}, invalid(field+"endpoint", "there is no such queue here; a remote one is named by its URL")
	}
	to.Account = localQueue
	return to, channels.Endpoint{Address: full, Group: full}, nil
}

// ShownEndpoint is a subscription's endpoint as its owner knows it: a queue of
// this gateway by its name.
func ShownEndpoint(s Subscription) string {
	if s.Protocol == SQS && s.Account == localQueue {
		return LocalName(s.Endpoint)
	}
	return s.Endpoint
}

// QueueName is the engine's name of a user's queue.
func QueueName(o Owner, name string) string { return "sqs/" + o.prefix() + name }

// LocalName is a user's queue as its owner knows it, of the engine's name.
func LocalName(name string) string { return name[strings.LastIndexByte(name, '/')+1:] }
