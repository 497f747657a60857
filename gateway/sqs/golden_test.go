package sqs_test

import (
	"flag"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/gateway/sqs"
)

var update = flag.Bool("update", false, "write the answers of the golden files")

// A golden file is a conversation: blocks of four lines, what is asked (json
// ACTION or query PATH), the request's body, the status with the
// x-amzn-query-error header, the answer's body. What differs from run to run is masked as {base}, {id},
// {handle}, {task}, {time} and {sequence}; in a request the first, third and
// fourth stand for the latest.
func TestGoldenFiles(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txt")
	require.NoError(t, err)
	require.Len(t, files, 24, "one for each action, and one for what is none")
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			c := conversation{face: newFace(t, sqs.Options{}), latest: make(map[string]string)}
			var got strings.Builder
			for block := range strings.SplitSeq(strings.TrimSpace(string(text)), "\n\n") {
				lines := strings.Split(block, "\n")
				require.GreaterOrEqual(t, len(lines), 2, block)
				fmt.Fprintf(&got, "%s\n%s\n%s\n\n", lines[0], lines[1], c.ask(t, lines[0], lines[1]))
			}
			if *update {
				require.NoError(t, os.WriteFile(file, []byte(got.String()), 0o600))
			}
			require.Equal(t, string(text), got.String())
		})
	}
}

type conversation struct {
	face   *face
	latest map[string]string
}

// ask sends a request and gives status and answer, masked.
func (c *conversation) ask(t *testing.T, what, body string) string {
	t.Helper()
	protocol, where, _ := strings.Cut(what, " ")
	body = strings.ReplaceAll(body, "{base}", c.face.url)
	for name, text := range c.latest {
		if protocol == "query" {
			text = url.QueryEscape(text)
		}
		body = strings.ReplaceAll(body, name, text)
	}
	path, kind, target := where, "application/x-www-form-urlencoded", ""
	if protocol == "json" {
		path, kind, target = "/", "application/x-amz-json-1.0", where
	} else {
		body += "&Version=2012-11-05"
	}
	status, code, answer := c.face.post(t, path, kind, target, body)
	if answer == "" {
		answer = "nothing"
	}
	return strings.TrimSpace(fmt.Sprint(status, " ", code)) + "\n" + c.mask(answer)
}

var masks = []struct {
	mark string
	text *regexp.Regexp
}{
	{"{handle}", regexp.MustCompile(`(ReceiptHandle(?:":"|>))([^"<]+)`)},
	{"{task}", regexp.MustCompile(`(TaskHandle(?:":"|>))([^"<]+)`)},
	{"{id}", regexp.MustCompile(`()([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})`)},
	{"{sequence}", regexp.MustCompile(`(SequenceNumber(?:":"|>|</Name><Value>))(\d{20})`)},
	{"{time}", regexp.MustCompile(`(Timestamp(?:":"?|>|</Name><Value>))(\d{10,13})`)},
}

func (c *conversation) mask(text string) string {
	text = strings.ReplaceAll(text, c.face.url, "{base}")
	for _, m := range masks {
		if found := m.text.FindStringSubmatch(text); found != nil && (m.mark == "{handle}" || m.mark == "{task}") {
			c.latest[m.mark] = found[2]
		}
		text = m.text.ReplaceAllString(text, "${1}"+m.mark)
	}
	return text
}
