package sqs_test

import (
	"maps"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/gateway/awswire"
	"github.com/fanfare-gateway/fanfare/gateway/sqs"
	"github.com/fanfare-gateway/fanfare/queue"
)

// FuzzActions sends anything to any action: the answer is never the server's
// fault. It begins with what the golden files ask.
func FuzzActions(f *testing.F) {
	files, err := filepath.Glob("testdata/*.txt")
	require.NoError(f, err)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(f, err)
		for block := range strings.SplitSeq(string(text), "\n\n") {
			if lines := strings.Split(block, "\n"); len(lines) > 1 {
				protocol, action, _ := strings.Cut(lines[0], " ")
				f.Add(protocol == "json", action, lines[1])
			}
		}
	}
	for _, name := range []string{"RedrivePolicy", "RedriveAllowPolicy", "Policy"} {
		for _, text := range []string{`null`, `{}`, `{\"Statement\":{}}`, `{\"Statement\":[null]}`, `{\"deadLetterTargetArn\":\"arn:aws:sqs:::\",\"maxReceiveCount\":1e400}`} {
			f.Add(true, "SetQueueAttributes", `{"QueueUrl":"work","Attributes":{"`+name+`":"`+text+`"}}`)
		}
	}
	store, err := queue.Open("store", queue.Options{FS: vfs.NewMem(), PurgeAtOnce: true})
	require.NoError(f, err)
	f.Cleanup(func() { require.NoError(f, store.Close()) })
	service := sqs.Service(sqs.Options{Store: store, RecreateAtOnce: true, BareNames: true})
	known := slices.Sorted(maps.Keys(service.Actions))
	h := awswire.New(awswire.Options{Services: []awswire.Service{service}, Verifier: awswire.Verifier{Open: true, Account: "000000000000", Region: "us-east-1"}})
	ask := func(t testing.TB, inJSON bool, action, body string) {
		r := httptest.NewRequestWithContext(t.Context(), "POST", "/", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if inJSON {
			r.Header.Set("Content-Type", "application/x-amz-json-1.0")
			r.Header.Set("X-Amz-Target", "AmazonSQS."+action)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		require.Less(t, w.Code, 500, w.Body)
	}
	f.Fuzz(func(t *testing.T, inJSON bool, action, body string) {
		if strings.Contains(strings.ToLower(body), "wait") {
			return // for a message that does not come
		}
		if inJSON && !slices.Contains(known, action) {
			action = known[len(action)%len(known)]
		}
		ask(t, true, "CreateQueue", `{"QueueName":"work"}`)
		ask(t, inJSON, action, body)
		ask(t, true, "AddPermission", `{"QueueUrl":"work","Label":"l","AWSAccountIds":["111111111111"],"Actions":["*"]}`)
	})
}
