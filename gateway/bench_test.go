package gateway_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels/sandbox"
	"github.com/fanfare-gateway/fanfare/config"
	"github.com/fanfare-gateway/fanfare/gateway"
)

// BenchmarkScrape shows that a scrape costs the same however much waits: the
// account is paused, so a broadcast lies in its queue.
func BenchmarkScrape(b *testing.B) {
	for _, backlog := range []int{0, 1000, 50_000} {
		b.Run(fmt.Sprintf("waiting=%d", backlog), func(b *testing.B) {
			sb, err := sandbox.Start(sandbox.Options{})
			require.NoError(b, err)
			defer func() { require.NoError(b, sb.Close()) }()
			r := start(b, gateway.Options{Sandbox: sb}, func(c *config.Config) { c.Fanout.Ahead = 1_000_000 })
			post := func(path, kind, body string) {
				res, err := http.Post(r.URL()+path, kind, strings.NewReader(body))
				require.NoError(b, err)
				_, err = io.Copy(io.Discard, res.Body)
				require.NoError(b, err)
				require.NoError(b, res.Body.Close())
				require.Less(b, res.StatusCode, 300, path)
			}
			post("/v1/accounts/webhook/sandbox/pause", "application/json", "")
			post("/v1/topics", "application/json", `{"name": "alerts"}`)
			var lines strings.Builder
			for i := range backlog {
				fmt.Fprintf(&lines, "{\"protocol\": \"https\", \"endpoint\": \"https://hooks.example/%d\"}\n", i)
			}
			if backlog > 0 {
				post("/v1/topics/alerts/subscriptions/import", "application/x-ndjson", lines.String())
				post("/v1/publish", "application/json", `{"topic": "alerts", "message": "hello"}`)
			}
			waiting := fmt.Sprintf("fanfare_queue_depth{account=\"webhook/sandbox\",channel=\"webhook\",lane=\"transactional\",state=\"ready\"} %d\n", backlog)
			require.Eventually(b, func() bool {
				_, text := r.ask(b, "/metrics")
				return strings.Contains(text, waiting)
			}, time.Minute, 50*time.Millisecond)
			for b.Loop() {
				r.ask(b, "/metrics")
			}
		})
	}
}
