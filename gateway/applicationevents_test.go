package gateway_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels/sandbox"
)

// events receives what an application's events say.
type events struct {
	t     *testing.T
	sqs   *sqs.Client
	queue *string
}

func (p *pusher) events(topic string) *events {
	p.t.Helper()
	c := sqsClient(p.g.URL(), "us-east-1", "test", "test")
	q, err := c.CreateQueue(p.t.Context(), &sqs.CreateQueueInput{QueueName: aws.String("events")})
	require.NoError(p.t, err)
	p.subscribe(topic, "sqs", "arn:aws:sqs:us-east-1:000000000000:events")
	return &events{p.t, c, q.QueueUrl}
}

// next is the next event, but for its time, and the subject it came with.
func (e *events) next() (subject string, event map[string]any) {
	e.t.Helper()
	subject, event = e.receive()
	_, err := time.Parse("2006-01-02T15:04:05.000Z", event["Time"].(string))
	require.NoError(e.t, err)
	delete(event, "Time")
	return subject, event
}

func (e *events) receive() (subject string, event map[string]any) {
	e.t.Helper()
	out, err := e.sqs.ReceiveMessage(e.t.Context(), &sqs.ReceiveMessageInput{QueueUrl: e.queue, WaitTimeSeconds: 10})
	require.NoError(e.t, err)
	require.Len(e.t, out.Messages, 1, "no event came")
	_, err = e.sqs.DeleteMessage(e.t.Context(), &sqs.DeleteMessageInput{QueueUrl: e.queue, ReceiptHandle: out.Messages[0].ReceiptHandle})
	require.NoError(e.t, err)
	var envelope struct{ Subject, Message string }
	require.NoError(e.t, json.Unmarshal([]byte(*out.Messages[0].Body), &envelope))
	require.NoError(e.t, json.Unmarshal([]byte(envelope.Message), &event))
	return envelope.Subject, event
}

// TestDeadTokenDisablesItsEndpoint: the push service's word ends deliveries to an
// endpoint until its owner registers a new token, and he is told of each step.
func TestDeadTokenDisablesItsEndpoint(t *testing.T) {
	t.Parallel()
	for platform, dead := range map[string]sandbox.Answer{"APNS": {Status: 410, Code: "Unregistered"}, "GCM": {Code: "UNREGISTERED"}} {
		t.Run(platform, func(t *testing.T) {
			t.Parallel()
			sb := startSandbox(t)
			g, _ := serve(t, t.TempDir(), sb)
			p := newPusher(t, g)
			provider := map[string]string{"APNS": "apns", "GCM": "fcm"}[platform]
			old, fresh := strings.Repeat("aa", 32), strings.Repeat("bb", 32)
			sb.Script(provider, old, dead)
			told := p.topic("told")
			heard := p.events(told)
			app := p.app(platform, "app", map[string]string{
				"PlatformCredential": "c", "EventEndpointCreated": told, "EventEndpointDeleted": told, "EventEndpointUpdated": told, "EventDeliveryFailure": told,
			})
			device := p.device(app, old)
			event := func(kind string, more ...any) {
				t.Helper()
				want := map[string]any{"EventType": kind, "EndpointArn": device, "Resource": app, "Service": "SNS"}
				for i := 0; i < len(more); i += 2 {
					want[more[i].(string)] = more[i+1]
				}
				subject, got := heard.next()
				require.Equal(t, want, got)
				require.Equal(t, kind+" event for app app ("+platform+")", subject)
			}
			event("EndpointCreated")
			news := p.topic("news")
			p.subscribe(news, "application", device)

			id, err := p.push(device, "hi")
			require.NoError(t, err)
			require.Equal(t, 1.0, p.ended(id)["failed"])
			require.Equal(t, "false", p.attributes(device)["Enabled"])
			// The two events live in two shards, so they may change places.
			seen := map[any]map[string]any{}
			for range 2 {
				_, got := heard.next()
				seen[got["EventType"]] = got
			}
			require.Contains(t, seen, "EndpointUpdated")
			require.Equal(t, map[string]any{
				"EventType": "DeliveryFailure", "EndpointArn": device, "Resource": app, "Service": "SNS", "MessageId": id, "DeliveryAttempts": 1.0,
				"FailureType": "InvalidPlatformToken", "FailureMessage": "Platform token associated with the endpoint is not valid",
			}, seen["DeliveryFailure"])

			_, err = p.push(device, "hi")
			require.Equal(t, "EndpointDisabled", code(err))
			id, err = p.push(news, "refused at hand-off")
			require.NoError(t, err)
			require.Equal(t, 1.0, p.ended(id)["failed"])
			event("DeliveryFailure", "MessageId", id, "DeliveryAttempts", 0.0, "FailureType", "EndpointDisabled", "FailureMessage", "Endpoint is disabled")
			require.Len(t, sb.Requests(provider, old), 1)

			p.set(device, map[string]string{"Token": fresh, "Enabled": "true"})
			event("EndpointUpdated")
			_, err = p.push(news, "again")
			require.NoError(t, err)
			_, err = sb.Await(t.Context(), provider, fresh, 1)
			require.NoError(t, err)

			_, err = p.DeleteEndpoint(t.Context(), &sns.DeleteEndpointInput{EndpointArn: &device})
			require.NoError(t, err)
			event("EndpointDeleted")
			_, err = p.push(device, "hi")
			require.Equal(t, "InvalidParameter", code(err))
			id, err = p.push(news, "gone")
			require.NoError(t, err)
			require.Equal(t, 1.0, p.ended(id)["failed"])
		})
	}
}

// TestStatusEventOfADeadToken: who listens to the gateway's own events hears of it too.
func TestStatusEventOfADeadToken(t *testing.T) {
	t.Parallel()
	sb := startSandbox(t)
	g, _ := serve(t, t.TempDir(), sb)
	p := newPusher(t, g)
	heard := p.events("arn:aws:sns:us-east-1:000000000000:fanfare.events")
	sb.Script("fcm", "dead", sandbox.Answer{Code: "UNREGISTERED"})
	device := p.device(p.app("GCM", "app", nil), "dead")
	_, err := p.push(device, "hi")
	require.NoError(t, err)
	for {
		_, event := heard.receive()
		if event["event"] != "endpoint.disabled" {
			continue
		}
		require.Equal(t, "GCM/app/"+device[len(device)-36:], event["endpoint"])
		require.Equal(t, "UNREGISTERED", event["code"])
		return
	}
}
