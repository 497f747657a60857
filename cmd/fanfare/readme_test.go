package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The README is kept true: every block of it fenced as sh is run as it stands,
// line by line in one shell, and every line must succeed. There, `fanfare`, `go`
// and `curl` are this test binary (see commands). A line that serves runs in the
// background until the next such line or the end; the ports 8080 and 9090 are
// its own. What a line prints is not compared.

func TestReadmeCommandsSucceed(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	require.NoError(t, runReadme(t, string(text)))
}

func TestReadmeNamesWhatExists(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	require.NoError(t, checkProse(string(text)))
}

// The two tests above can fail.
func TestFalseReadmesAreSeen(t *testing.T) {
	t.Parallel()
	for block, want := range map[string]string{
		"kubectl apply -f fanfare.yaml":        "line 2: kubectl apply -f fanfare.yaml: exit status 127",
		"fanfare version\nfanfare serv":        "line 3: fanfare serv: exit status",
		"fanfare serve --nonsense":             "line 2: fanfare serve --nonsense: exit status 2",
		"go run ./cmd/fanfare version --x":     "exit status 2",
		"go test ./nothing/...":                "exit status 127",
		"curl -s localhost:8080/v1/topics":     "exit status 7",
		"curl -o file localhost:8080":          "exit status 2",
		"fanfare version |\n":                  "unfinished",
		"fanfare serve\ncurl localhost:8080/x": "line 3: curl localhost:8080/x: exit status 22",
	} {
		err := runReadme(t, "```sh\n"+block+"\n```\n")
		require.ErrorContains(t, err, want, block)
	}
	require.ErrorContains(t, runReadme(t, "```bash\nfanfare version\n```\n"), "line 1: fence it as sh")
	for prose, want := range map[string]string{
		"Run `fanfare serv`.":              "`fanfare serv`",
		"Run `fanfare serve --nonsense`.":  "`fanfare serve --nonsense`",
		"Run `fanfare config chek`.":       "`fanfare config chek`",
		"`go run ./cmd/fanfare demo --x`":  "`go run ./cmd/fanfare demo --x`",
		"Run `go test -short ./...` then.": "`go test -short ./...`",
		"See [it](config/nowhere.yaml).":   "config/nowhere.yaml",
	} {
		require.ErrorContains(t, checkProse(prose), want)
	}
}

func TestTrueReadmesPass(t *testing.T) {
	t.Parallel()
	require.NoError(t, runReadme(t, strings.Join([]string{
		"```sh",
		"# a comment",
		"name=alerts   # kept for the lines after it",
		"cat > topic.json <<'EOF'",
		`{"name": "alerts"}`,
		"EOF",
		"go build -o fanfare ./cmd/fanfare",
		"./fanfare serve --sandbox  # in another terminal",
		"```",
		"```yaml",
		"not: run",
		"```",
		"```sh",
		`curl -sS http://127.0.0.1:8080/v1/topics \`,
		"  -H 'Content-Type: application/json' -d @topic.json",
		`curl -s "localhost:8080/v1/topics/$name" | grep '"alerts"' && curl -s -X DELETE localhost:8080/v1/topics/$name`,
		"curl -s localhost:9090/readyz",
		"go run ./cmd/fanfare serve",
		"! curl -s localhost:8080/v1/topics/$name",
		"```",
	}, "\n")))
	require.NoError(t, checkProse("`fanfare config check --config FILE`, `fanfare serve …`, `go test ./...`, [config](config/config.go#L1), [Go](https://go.dev)"))
}

// checkProse checks the commands and files that a README names outside of blocks.
func checkProse(text string) error {
	text = regexp.MustCompile("(?ms)^```.*?^```$").ReplaceAllString(text, "")
	var errs []error
	for _, span := range regexp.MustCompile("`(fanfare|go) ([^`]+)`").FindAllStringSubmatch(text, -1) {
		args := strings.Fields(strings.ReplaceAll(span[2], "…", ""))
		if span[1] == "go" {
			if inCI("../..", "go "+span[2]) || span[2] == "install ./cmd/fanfare" {
				continue
			}
			if len(args) < 2 || args[0] != "run" || args[1] != "./cmd/fanfare" {
				errs = append(errs, fmt.Errorf("%s: neither runs fanfare nor is it in .ci/run", span[0]))
				continue
			}
			args = args[2:]
		}
		if err := parses(args); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", span[0], err))
		}
	}
	for _, link := range regexp.MustCompile(`\]\(([^)#:]+)(#[^)]*)?\)`).FindAllStringSubmatch(text, -1) {
		if _, err := os.Stat(filepath.Join("../..", link[1])); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// parses tells whether a command line names a command and flags that exist.
func parses(args []string) error {
	var help bytes.Buffer
	if code := run(append(slices.Clone(args), "--help"), &help, &help); code != 0 {
		return errors.New(strings.TrimSpace(help.String()))
	}
	if !strings.Contains(help.String(), "Available Commands:") {
		return nil
	}
	path := "fanfare" // of the command that was found: the rest of the words is none
	for _, word := range args {
		if path += " " + word; !strings.HasPrefix(word, "-") && !strings.Contains(help.String(), "  "+path+" ") {
			return fmt.Errorf("%q is no command", path)
		}
	}
	return nil
}
