// Package wiretest replays golden files against a face of AWS on a real socket.
//
// A golden file is a conversation: blocks of four lines, what is asked (json
// ACTION or query PATH), the request's body, the status with the
// x-amzn-query-error header, the answer's body. What differs from run to run is
// masked; the server's address is {base}.
package wiretest

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Mask stands for a text that differs from run to run.
type Mask struct {
	Mark string // such as {id}
	// Text has two groups: what stays, and what is masked.
	Text *regexp.Regexp
	// Kept: in requests the mark stands for the latest such text.
	Kept bool
}

// Face is a running face.
type Face struct {
	URL string
	// Fill replaces marks of its own in a request; nil if it has none.
	Fill func(request string) string
}

// Suite is all golden files of a face.
type Suite struct {
	Version string // of Query requests
	Masks   []Mask
	Start   func(t *testing.T) Face
	Update  bool // write the answers into the files
}

// Run replays each file of testdata, named by the action it is about, with a
// face of its own, and gives the names.
func (s Suite) Run(t *testing.T) (names []string) {
	t.Helper()
	files, err := filepath.Glob("testdata/*.txt")
	require.NoError(t, err)
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".txt")
		names = append(names, name)
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s.replay(t, file)
		})
	}
	return names
}

func (s Suite) replay(t *testing.T, file string) {
	t.Helper()
	text, err := os.ReadFile(file) //nolint:gosec // a golden file
	require.NoError(t, err)
	c := conversation{Suite: s, face: s.Start(t), latest: map[string]string{}}
	var all strings.Builder
	for block := range strings.SplitSeq(strings.TrimSpace(string(text)), "\n\n") {
		lines := strings.Split(block, "\n")
		require.GreaterOrEqual(t, len(lines), 2, block)
		got := lines[0] + "\n" + lines[1] + "\n" + c.ask(t, lines[0], lines[1])
		if !s.Update {
			require.Equal(t, block, got)
		}
		all.WriteString(got + "\n\n")
	}
	if s.Update {
		require.NoError(t, os.WriteFile(file, []byte(all.String()), 0o600))
	}
}

type conversation struct {
	Suite
	face   Face
	latest map[string]string // by mark
}

// ask sends a request and gives status and answer, masked.
func (c *conversation) ask(t *testing.T, what, body string) string {
	t.Helper()
	protocol, where, _ := strings.Cut(what, " ")
	body = strings.ReplaceAll(body, "{base}", c.face.URL)
	for mark, text := range c.latest {
		if protocol == "query" {
			text = url.QueryEscape(text)
		}
		body = strings.ReplaceAll(body, mark, text)
	}
	if c.face.Fill != nil {
		body = c.face.Fill(body)
	}
	path, kind := where, "application/x-www-form-urlencoded"
	if protocol == "json" {
		path, kind = "/", "application/x-amz-json-1.0"
	} else {
		body += "&Version=" + c.Version
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, c.face.URL+path, strings.NewReader(body))
	require.NoError(t, err)
	r.Header.Set("Content-Type", kind)
	if protocol == "json" {
		r.Header.Set("X-Amz-Target", "AmazonSQS."+where)
	}
	res, answer := Send(t, r)
	if answer == "" {
		answer = "nothing"
	}
	return strings.TrimSpace(fmt.Sprint(res.StatusCode, " ", res.Header.Get("x-amzn-query-error"))) + "\n" + c.mask(answer)
}

func (c *conversation) mask(text string) string {
	text = strings.ReplaceAll(text, c.face.URL, "{base}")
	for _, m := range c.Masks {
		if found := m.Text.FindStringSubmatch(text); found != nil && m.Kept {
			c.latest[m.Mark] = found[2]
		}
		text = m.Text.ReplaceAllString(text, "${1}"+m.Mark)
	}
	return text
}
