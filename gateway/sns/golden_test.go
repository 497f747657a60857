package sns_test

import (
	"flag"
	"reflect"
	"regexp"
	"strings"
	"testing"

	awssns "github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/gateway/awswire/wiretest"
	"github.com/fanfare-gateway/fanfare/queue"
	"github.com/fanfare-gateway/fanfare/topics"
)

var update = flag.Bool("update", false, "write the answers of the golden files")

// In a request {subscription} is the latest subscription's id, {endpoint} the
// latest platform endpoint's, {token} what the
// endpoint was sent to confirm with, and {secret} to end it. One number has opted
// out: +15005550004.
func TestGoldenFiles(t *testing.T) {
	t.Parallel()
	suite := wiretest.Suite{
		Version: "2010-03-31", Update: *update,
		Start: func(t *testing.T) wiretest.Face {
			b := start(t)
			_, err := b.topics.Suppress(t.Context(), owner, topics.Suppression{Protocol: topics.SMS, Endpoint: "+15005550004", Reason: "STOP"})
			require.NoError(t, err)
			return wiretest.Face{URL: b.url, Fill: b.fill}
		},
		Masks: []wiretest.Mask{
			{Mark: "{subscription}", Text: regexp.MustCompile(`(:sns:[a-z0-9-]+:\d{12}:[\w.-]+:)([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})`), Kept: true},
			{Mark: "{endpoint}", Text: regexp.MustCompile(`(:endpoint/\w+/[\w.-]+/)([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})`), Kept: true},
			{Mark: "{id}", Text: regexp.MustCompile(`()([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})`)},
			{Mark: "{sequence}", Text: regexp.MustCompile(`(SequenceNumber>)(\d{20})`)},
		},
	}
	require.ElementsMatch(t, append(actionsOfTheSDK(), "Unknown"), suite.Run(t), "one for each action, and one for what is none")
}

// actionsOfTheSDK are all that the SDK can ask for.
func actionsOfTheSDK() (all []string) {
	client := reflect.TypeFor[*awssns.Client]()
	for method := range client.Methods() {
		if method.Type.NumIn() > 2 && strings.HasSuffix(method.Type.In(2).String(), method.Name+"Input") {
			all = append(all, method.Name)
		}
	}
	return all
}

// fill puts what only the endpoint of a subscription to alerts is told into a
// request.
func (b *bench) fill(request string) string {
	if !strings.Contains(request, "{token}") && !strings.Contains(request, "{secret}") {
		return request
	}
	all, err := b.topics.Subscriptions(owner, "alerts", queue.ID{}, 1)
	require.NoError(b.t, err)
	require.Len(b.t, all, 1)
	return strings.NewReplacer("{token}", all[0].ID.Hex()+all[0].Token, "{secret}", all[0].Token).Replace(request)
}
