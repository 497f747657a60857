package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTopics(t *testing.T) {
	t.Parallel()
	g := serving(t, t.TempDir(), nil)
	made := g.do("topics", "create", "alerts", "--display-name", "Alerts", "--on-uncertain", "drop", "--tag", "team=ops", "--tag", "x=a=b")
	for _, line := range []string{"name\talerts\n", "display_name\tAlerts\n", "on_uncertain\tdrop\n", "tags.team\tops\n", "tags.x\ta=b\n"} {
		require.Contains(t, made, line)
	}
	for i := range 4 {
		g.do("topics", "create", fmt.Sprintf("more-%d", i))
	}
	require.Equal(t, "alerts", g.docs("topics", "show", "alerts")[0]["name"])
	list := strings.Split(g.do("topics", "list"), "\n")
	require.Equal(t, "NAME\tDISPLAY_NAME\tON_UNCERTAIN\tCREATED", list[0])
	require.Regexp(t, `^more-0\t-\t-\t20\d\d-`, list[2])
	require.Len(t, g.docs("topics", "list"), 5)
	require.Len(t, g.docs("topics", "list", "--limit", "2"), 2)
	require.Equal(t, "deleted alerts\n", g.do("topics", "delete", "alerts"))
	require.Empty(t, g.docs("topics", "delete", "more-0"), "the API answers nothing")

	g.fails(exitFailed, `topic "alerts": not found`, "topics", "show", "alerts")
	g.fails(exitFailed, "fanfare: name: must be", "topics", "create", "a/b")
	g.fails(exitFailed, "fanfare: on_uncertain: expected value", "topics", "create", "a", "--on-uncertain", "guess")
	g.fails(exitFailed, "not found", "topics", "delete", "../accounts")
}

func TestSubscriptions(t *testing.T) {
	t.Parallel()
	g := serving(t, t.TempDir(), nil)
	g.do("topics", "create", "alerts")
	sub := g.docs("subscriptions", "create", "alerts", "sms:+15005550101", "--account", "twilio/sandbox", "--recipient", "ada")[0]
	require.Equal(t, []any{"sms", "+15005550101", "twilio/sandbox", "ada"}, []any{sub["protocol"], sub["endpoint"], sub["account"], sub["recipient"]})
	id := sub["id"].(string)
	hook := g.do("subscriptions", "create", "alerts", g.sb.Webhook.URL+"/hook", "--raw")
	for _, line := range []string{"protocol\thttp\n", "endpoint\t" + g.sb.Webhook.URL + "/hook\n", "raw\ttrue\n", "secret\twhsec_"} {
		require.Contains(t, hook, line)
	}
	require.Contains(t, g.do("subscriptions", "show", id), "recipient\tada\n")
	require.Contains(t, g.do("subscriptions", "list", "alerts"), id+"\tsms\t+15005550101\ttwilio/sandbox\tada\t")
	require.Len(t, g.docs("subscriptions", "list", "alerts"), 2)

	g.do("queues", "create", "dead")
	filtered := g.docs("subscriptions", "update", id, "--filter", `{"level": [{"numeric": [">", 3]}]}`, "--filter-scope", "MessageBody", "--recipient", "", "--dead-letter-queue", "dead")[0]
	require.Equal(t, "MessageBody", filtered["filter"].(map[string]any)["scope"])
	require.Equal(t, "dead", filtered["dead_letter_queue"])
	require.NotContains(t, filtered, "recipient")
	require.Equal(t, "on holiday", g.docs("subscriptions", "update", id, "--disable", "on holiday", "--filter", "")[0]["disabled"])
	enabled := g.docs("subscriptions", "update", id, "--enable")[0]
	require.NotContains(t, enabled, "disabled")
	require.NotContains(t, enabled, "filter")
	made := g.docs("subscriptions", "create", "alerts", "sms:+15005550102", "--filter", `{"severity": ["high"]}`, "--dead-letter-queue", "dead")[0]
	require.Equal(t, map[string]any{"severity": []any{"high"}}, made["filter"].(map[string]any)["policy"])
	g.fails(exitUsage, "--filter must be a JSON object", "subscriptions", "update", id, "--filter", "high")
	g.fails(exitUsage, "enable disable", "subscriptions", "update", id, "--enable", "--disable", "x")
	g.fails(exitFailed, "fanfare: raw: is only for", "subscriptions", "update", id, "--raw")
	require.Equal(t, "deleted "+id+"\n", g.do("subscriptions", "delete", id))

	g.fails(exitFailed, "not found", "subscriptions", "show", id)
	g.fails(exitFailed, "fanfare: id: must be sub_", "subscriptions", "delete", "7")
	g.fails(exitFailed, `topic "none": not found`, "subscriptions", "list", "none")
	g.fails(exitFailed, "fanfare: endpoint: want a phone number", "subscriptions", "create", "alerts", "sms:12")
}

func TestImport(t *testing.T) {
	t.Parallel()
	g := serving(t, t.TempDir(), nil)
	g.do("topics", "create", "alerts")
	var lines strings.Builder
	for i := range 1100 {
		fmt.Fprintf(&lines, `{"protocol": "email", "endpoint": "user-%d@mail.example"}`+"\n", i)
	}
	file := writeFile(t, "people.ndjson", lines.String())
	require.Equal(t, "lines 1100, refused 0\n", g.do("subscriptions", "import", "alerts", file))
	require.Len(t, g.docs("subscriptions", "list", "alerts"), 1100, "the list follows its cursors")
	require.Len(t, g.docs("subscriptions", "list", "alerts", "--limit", "1050"), 1050)
	listed := g.do("subscriptions", "list", "alerts")
	require.Equal(t, 1, strings.Count(listed, "ENDPOINT"))
	require.Equal(t, 1101, strings.Count(listed, "\n"))
	told := g.docs("subscriptions", "import", "alerts", file)
	require.Equal(t, []map[string]any{{"lines": 1000.0}, {"done": true, "lines": 1100.0}}, told)

	bad := `{"protocol": "sms", "endpoint": "12"}` + "\nx\n" + `{"protocol": "http", "endpoint": "` + g.sb.Webhook.URL + `/a"}` + "\n"
	code, stdout, stderr := g.withInput(bad, "subscriptions", "import", "alerts", "-")
	require.Equal(t, exitFailed, code)
	require.Regexp(t, `^3\tsub_[0-9a-f]{32}\twhsec_\S+\nlines 3, refused 2\n$`, stdout)
	require.Regexp(t, `^line 1: endpoint: want .*\nline 2: must be one JSON object\nfanfare: 2 of 3 lines were refused\n$`, stderr)
	g.fails(exitFailed, `topic "none": not found`, "subscriptions", "import", "none", file)
	long := writeFile(t, "long.ndjson", "{}\n"+strings.Repeat("x", 1<<20+1))
	g.fails(exitFailed, "after line 1: the rest was not read: a line must be at most 65536 bytes", "subscriptions", "import", "alerts", long)
}

func TestImportOnATerminal(t *testing.T) {
	t.Parallel()
	var out, terminal bytes.Buffer
	i := &importing{printer: &printer{out: &out, terminal: true}, stderr: &terminal}
	i.watch(4)
	_, err := i.bar.ProxyReader(strings.NewReader("{}\n{")).Read(make([]byte, 3))
	require.NoError(t, err)
	require.NoError(t, i.line([]byte(`{"line": 1, "error": "must be one JSON object"}`)))
	require.NoError(t, i.line([]byte(`{"lines": 1000}`)))
	i.unwatch()
	require.Contains(t, terminal.String(), "line 1: must be one JSON object\n")
	require.Contains(t, terminal.String(), "75 %  1000 lines taken")
	require.ErrorContains(t, i.sum(), "broken off after line 1000")
}

func TestTextOnATerminal(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	p := &printer{out: &out, terminal: true}
	require.NoError(t, p.rows(raws(`{"name": "a", "n": 12}`, `{"name": "longer", "n": null}`, `{"name": "\u001b[2J\n"}`), []string{"name", "n"}, true))
	require.Equal(t, "NAME         N\na            12\nlonger       -\n\"\\x1b[2J\\n\"  -\n", out.String())
}
