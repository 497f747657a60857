package rest

import (
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/fanfare-gateway/fanfare/topics"
)

const aboutEvents = `Subscribe any endpoint to the reserved topic ` + topics.EventsTopic + ` to be told what happens. An event is a publish like any other:
its message is this JSON, its attribute "event" the name (as String). It comes at least once. Events about events there are none.

publish.completed: publish_id, topic, ledger. delivery.failed: publish_id, topic, delivery_id, subscription_id, protocol, account, kind, code, reason;
about ten of a publish at most, publish.completed counts them all. endpoint.disabled: topic, subscription_id, protocol, account, kind, code.
suppression.added: protocol, endpoint, topic or lane if it is of that alone, reason. account.paused and account.resumed: account, protocol, state (active, paused or faulted), code, reason;
they go to the keys without an account of their own.`

// describeEvents puts the status events into the document.
func (a *api) describeEvents() {
	doc := a.huma.OpenAPI()
	schema := doc.Components.Schemas.Schema(reflect.TypeFor[topics.Event](), true, "Event")
	doc.Webhooks = map[string]*huma.PathItem{topics.EventsTopic: {Post: &huma.Operation{
		OperationID: "event", Summary: "Status events: " + strings.Join(topics.Events(), ", "), Description: aboutEvents,
		RequestBody: &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{"application/json": {Schema: schema}}},
		Responses:   map[string]*huma.Response{"2XX": {Description: "Taken; anything else is tried again"}},
	}}}
}
