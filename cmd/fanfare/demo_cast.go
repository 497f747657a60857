package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/fanfare-gateway/fanfare/channels/sandbox"
)

// demoTopic is the demonstration's one topic.
const demoTopic = "alerts"

// object is a JSON object.
type object = map[string]any

// Names of parts, an account and endpoints that the story refers to.
const (
	optedOut   = "SMS, opted out"
	appRemoved = "iPhone, app removed"
	keyRevoked = "Android, key revoked"
	brokenHook = "webhook, broken"

	fcmAccount     = "fcm/sandbox"
	webhookAccount = "webhook/sandbox"
	goneToken      = "00000000000000000000000000000000000000000000000000000000deadbeef"
	slowMail       = "grace@later.example"
)

// part is a subscription of the demonstration, and how its deliveries are to end.
type part struct {
	name     string
	body     object
	provider string           // of answers, given for the endpoint
	answers  []sandbox.Answer // what the provider does besides accepting
	first    end              // of the first publish to the topic
	later    end              // of those after it; zero: not in the audience any more
	id       string           // of the subscription
}

// end is how a delivery ends.
type end struct {
	state  string
	tries  int
	answer string // beginning of kind and code of its last failure; "" for none
}

func (e end) String() string {
	if e == (end{}) {
		return "no delivery"
	}
	text := fmt.Sprintf("%s at try %d", e.state, e.tries)
	if e.answer != "" {
		text += " after " + e.answer
	}
	return text
}

func (p *part) endpoint() string { return p.body["endpoint"].(string) }

// newCast is everybody with a part to play, in the order they subscribe.
func newCast(sb *sandbox.Server) []part {
	sent, delivered := end{state: "sent", tries: 1}, end{state: "delivered", tries: 1}
	phone := func(endpoint string) object { return object{"protocol": "sms", "endpoint": endpoint} }
	app := func(account, token string) object {
		return object{"protocol": "application", "account": account, "endpoint": token}
	}
	to := func(protocol, endpoint string) object { return object{"protocol": protocol, "endpoint": endpoint} }
	return []part{
		{name: "SMS", body: phone("+15005550101"), first: delivered, later: delivered},
		{
			name: optedOut, body: phone("+15005550102"), provider: sandbox.ProviderTwilio, answers: []sandbox.Answer{{Code: "21610"}},
			first: end{"failed", 1, "recipient_blocked 21610"}, later: end{state: "suppressed"},
		},
		{name: "iPhone", body: app("apns/sandbox", strings.Repeat("a1", 32)), first: sent, later: sent},
		{
			name: appRemoved, body: app("apns/sandbox", goneToken), provider: sandbox.ProviderAPNs,
			answers: []sandbox.Answer{{Status: http.StatusGone, Code: "Unregistered", Since: time.Now().Add(time.Hour)}},
			first:   end{"failed", 1, "endpoint_gone Unregistered"},
		},
		// Its key is revoked; the one try shows that none was burned on that.
		{name: keyRevoked, body: app(fcmAccount, strings.Repeat("fcmtoken", 10)), first: end{"sent", 1, "account_fault"}, later: sent},
		{name: "mail", body: to("email", "ada@mail.example"), first: delivered, later: delivered},
		{
			name: "mail, relay busy", body: to("email", slowMail), provider: sandbox.ProviderSMTP,
			answers: []sandbox.Answer{{Status: 421, Code: "4.3.2", Times: 1}},
			first:   end{"delivered", 2, "temporary 4.3.2"}, later: delivered,
		},
		{name: "webhook, https", body: to("https", sb.Webhook.TLSURL+"/hook"), first: delivered, later: delivered},
		{
			name: "webhook, busy", body: to("https", sb.Webhook.TLSURL+"/busy"), provider: sandbox.ProviderWebhook,
			answers: []sandbox.Answer{{Status: http.StatusServiceUnavailable, RetryAfter: 1, Times: 2}},
			first:   end{"delivered", 3, "temporary 503"}, later: delivered,
		},
		{
			name: brokenHook, body: to("http", sb.Webhook.URL+"/broken"), provider: sandbox.ProviderWebhook,
			answers: []sandbox.Answer{{Status: http.StatusInternalServerError}},
			first:   end{"delivered", 5, "temporary 500"}, later: delivered,
		},
		{name: "queue, local", body: to("sqs", "work"), first: end{state: "delivered"}, later: end{state: "delivered"}},
		{name: "queue, remote", body: to("sqs", sb.SQS.AddQueue("remote")), first: delivered, later: delivered},
		{name: "function", body: to("lambda", "on-alert"), first: delivered, later: delivered},
	}
}

// prepare creates the topic, a queue, the providers' answers and the
// subscriptions.
func (d *demo) prepare(ctx context.Context) error {
	if err := d.call(ctx, http.MethodPost, "/v1/topics", object{"name": demoTopic}, nil); err != nil {
		return err
	}
	if err := d.call(ctx, http.MethodPost, "/v1/queues", object{"name": "work"}, nil); err != nil {
		return err
	}
	for i := range d.cast {
		p := &d.cast[i]
		if len(p.answers) > 0 {
			d.sb.Script(p.provider, p.endpoint(), p.answers...)
		}
		// Three retries soon after each other instead of the protocol's days.
		p.body["retry"] = object{"phases": []object{{"tries": 3, "from": "300ms"}}}
		var out struct {
			ID string `json:"id"`
		}
		if err := d.call(ctx, http.MethodPost, "/v1/topics/"+demoTopic+"/subscriptions", p.body, &out); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		p.id = out.ID
	}
	return nil
}

// part finds a part by its name, which is one of those above.
func (d *demo) part(name string) *part {
	return &d.cast[slices.IndexFunc(d.cast, func(p part) bool { return p.name == name })]
}
