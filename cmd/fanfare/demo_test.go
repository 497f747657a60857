package main

import (
	"bufio"
	"bytes"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestDemoEndsAsExpected(t *testing.T) {
	t.Parallel()
	code, stdout, stderr := command(t, "demo")
	require.Zero(t, code, "%s%s", stdout, stderr)
	require.Regexp(t, `pub_[0-9a-f]{32}: sent 2, delivered 9, failed 2\n`, stdout)
	require.Regexp(t, `pub_[0-9a-f]{32}: sent 2, delivered 9, suppressed 1\n`, stdout)
	for _, shown := range []string{
		`SMS, opted out +twilio +failed +try 1 +after \d+\.\d\ds +recipient_blocked 21610`,
		`SMS, opted out +twilio +suppressed +try 0`,
		`iPhone, app removed +apns +failed +try 1 +after \S+ +endpoint_gone Unregistered`,
		`Android, key revoked +fcm +queued +try 0 +after \S+ +account_fault`,
		`Android, key revoked +fcm +sent +try 1`,
		`mail, relay busy +smtp +delivered +try 2`,
		`webhook, busy +webhook +delivered +try 3`,
		`webhook, broken +webhook +failed +try 4`,
		`webhook, broken +webhook +delivered +try 5`,
		`queue, remote +sqs +delivered`,
		`421 is retried after 1s here`,
	} {
		require.Regexp(t, shown, stdout)
	}
	require.Regexp(t, `ended as expected, in \d+\.\ds`, stdout)
}

func TestDemoPublishesAFile(t *testing.T) {
	t.Parallel()
	code, stdout, stderr := demoData(t, `{"to": {"protocol": "sms", "endpoint": "+15005550101"}, "message": "hello"}

		{"message": "to the topic"}
		{"topic": "alerts", "message": "again", "lane": "bulk"}
	`)
	require.Zero(t, code, "%s%s", stdout, stderr)
	require.Regexp(t, `: delivered 1\n.*: sent 2, delivered 9, failed 2\n.*: sent 2, delivered 9, suppressed 1\n`, stdout)
}

func TestDemoSaysWhatIsWrongWithAFile(t *testing.T) {
	t.Parallel()
	code, stdout, stderr := demoData(t, strings.Join([]string{
		`{"message": "good"}`,
		`{"message": "unfinished"`,
		`not json`,
		`{"mesage": "misspelt"}`,
		`{"message": 7}`,
		`{"message": "two"} {"message": "in one"}`,
		`{"topic": "orders", "message": "elsewhere"}`,
		`[]`,
	}, "\n"))
	require.Equal(t, exitUsage, code)
	require.Empty(t, stdout, "nothing is begun")
	for n, want := range map[int]string{
		2: "does not end", 3: "not JSON at character 2", 4: `unknown field "mesage"`, 5: "message: must be string, not number",
		6: "one JSON object a line", 7: `topic: must be "alerts"`, 8: "must be one JSON object",
	} {
		require.Regexp(t, fmt.Sprintf(`alerts\.ndjson, line %d: .*%s`, n, regexp.QuoteMeta(want)), stderr)
	}
	require.NotContains(t, stderr, "line 1:")

	code, _, stderr = demoData(t, "\n\n")
	require.Equal(t, exitUsage, code)
	require.Contains(t, stderr, "alerts.ndjson: holds no publish")

	code, _, stderr = command(t, "demo", "--data", filepath.Join(t.TempDir(), "none.ndjson"))
	require.Equal(t, exitUsage, code)
	require.Contains(t, stderr, "none.ndjson")

	code, _, stderr = demoData(t, `{"subject": "of nothing"}`)
	require.Equal(t, exitFailed, code)
	require.Regexp(t, `alerts\.ndjson, line 1: .*message`, stderr)
}

func TestDemoNamesWhatEndedOtherwise(t *testing.T) {
	t.Parallel()
	tooLong := strings.Repeat("x", 5000) // a push holds 4 KiB
	code, stdout, stderr := demoData(t, `{"message": "fits"}`+"\n"+`{"message": "fits", "overrides": {"application": {"message": "`+tooLong+`"}}}`)
	require.Equal(t, exitFailed, code)
	require.Regexp(t, `line 2\).*\n.*iPhone: expected sent at try 1, is failed at try 1 after rejected PayloadTooLarge`, stderr)
	require.NotContains(t, stderr, "webhook")
	require.Regexp(t, `: sent 2, delivered 9, failed 2\n.*: delivered 9, failed 2, suppressed 1\n`, stdout, "the ledgers are shown all the same")

	code, _, stderr = demoData(t, `{"to": {"protocol": "application", "account": "apns/sandbox", "endpoint": "`+strings.Repeat("b2", 32)+`"}, "message": "`+tooLong+`"}`)
	require.Equal(t, exitFailed, code)
	require.Contains(t, stderr, "to one endpoint (application): expected sent or delivered, is failed")
}

// demoData runs the demo with a file of this text.
func demoData(t *testing.T, text string) (code int, stdout, stderr string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "alerts.ndjson")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	return command(t, "demo", "--data", file)
}

func TestDemoIsKeptUntilInterrupted(t *testing.T) {
	t.Parallel()
	child, lines, left := startDemo(t, "--keep")
	var said strings.Builder
	for lines.Scan() && !strings.HasPrefix(lines.Text(), "Ctrl-C ends it") {
		fmt.Fprintln(&said, lines.Text())
	}
	for _, path := range []string{"/openapi.json", "/metrics", "/inbox"} {
		at := regexp.MustCompile(`http://\S+` + regexp.QuoteMeta(path)).FindString(said.String())
		require.NotEmpty(t, at, "%s in\n%s", path, said.String())
		res, err := http.Get(at)
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, res.StatusCode, at)
		require.NoError(t, res.Body.Close())
	}
	require.Contains(t, said.String(), "curl -s http://127.0.0.1:")
	interrupt(t, child, lines)
	require.Empty(t, left())
}

func TestDemoCanBeInterrupted(t *testing.T) {
	t.Parallel()
	child, lines, left := startDemo(t)
	for lines.Scan() && !strings.Contains(lines.Text(), "Accepted") {
	}
	require.NotEmpty(t, left())
	interrupt(t, child, lines)
	require.Empty(t, left())
}

// startDemo starts the demo in a process of its own; left lists its temporary
// folder.
func startDemo(t *testing.T, args ...string) (child *exec.Cmd, lines *bufio.Scanner, left func() []os.DirEntry) {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	dir := t.TempDir()
	child = exec.CommandContext(t.Context(), self)
	child.Args = append([]string{"fanfare", "demo"}, args...)
	child.Env = append(os.Environ(), "TMPDIR="+dir)
	out, err := child.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, child.Start())
	return child, bufio.NewScanner(out), func() []os.DirEntry {
		entries, err := os.ReadDir(dir)
		require.NoError(t, err)
		return entries
	}
}

func interrupt(t *testing.T, child *exec.Cmd, lines *bufio.Scanner) {
	t.Helper()
	require.NoError(t, child.Process.Signal(syscall.SIGINT))
	for lines.Scan() {
		require.NotContains(t, lines.Text(), "as expected")
	}
	var exit *exec.ExitError
	require.ErrorAs(t, child.Wait(), &exit)
	require.Equal(t, exitInterrupted, exit.ExitCode())
}

func TestTableIsDrawnOverItself(t *testing.T) {
	t.Parallel()
	synctest.Test(t, tableIsDrawnOverItself) // in no time: it shows what passed
}

func tableIsDrawnOverItself(t *testing.T) {
	var out bytes.Buffer
	width, height := 80, 24
	tb := &table{out: &out, begin: time.Now(), size: func() (int, int) { return width, height }}
	tb.say("before the publish")
	rows := []row{
		{id: "1", name: "SMS", via: "twilio", state: "queued"},
		{id: "2", name: "Android, key revoked", via: "fcm", state: "queued", answer: "account_fault oauth_invalid_grant", took: 1250 * time.Millisecond},
	}
	tb.show(rows)
	rows[0] = row{id: "1", name: "SMS", via: "twilio", state: "delivered", tries: 1, took: 420 * time.Millisecond}
	tb.show(rows)
	tb.say("the key is rotated, " + strings.Repeat("which is told at length, ", 5))
	tb.leave()
	tb.say("behind it")
	require.Equal(t, []string{
		"  0.0s  before the publish",
		"DELIVERY             VIA     STATE      TRIES LAST FAILURE                 TIME",
		"SMS                  twilio  delivered      1                             0.42s",
		"Android, key revoked fcm     queued         0 account_fault oauth_inval…  1.25s",
		"  0.0s  the key is rotated, which is told at length, which is told at length, …",
		"  0.0s  behind it",
	}, picture(t, out.String(), width))
	require.NotRegexp(t, `\x1b\[\d*m`, out.String(), "no colour")

	width = 120
	tb.show(rows)
	require.Contains(t, picture(t, out.String(), width), "Android, key revoked fcm     queued         0 account_fault oauth_invalid_grant         1.25s")
	width, height = 40, 3
	tb.show(rows)
	last := picture(t, out.String(), 120)
	require.Equal(t, "SMS                  twilio  delivered…", last[len(last)-1], "no more than fits")
}

func TestTableHasColours(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	tb := &table{out: &out, begin: time.Now(), colour: true, size: func() (int, int) { return 80, 24 }}
	tb.show([]row{{name: "a", state: "delivered"}, {name: "b", state: "failed"}, {name: "c", state: "queued"}})
	require.Contains(t, out.String(), green+"a ")
	require.Contains(t, out.String(), red+"b ")
	require.Contains(t, out.String(), "\nc ")
	require.Len(t, picture(t, out.String(), 80), 4)
}

// picture is what a terminal shows after this output; none of it may wrap.
func picture(t *testing.T, out string, width int) []string {
	t.Helper()
	lines, line, column := [][]rune{nil}, 0, 0
	for _, m := range regexp.MustCompile(`\x1b\[(\d*)([A-Zm])|.|\n`).FindAllStringSubmatch(out, -1) {
		switch {
		case m[2] == "A":
			up, err := strconv.Atoi(m[1])
			require.NoError(t, err)
			line -= up
			require.GreaterOrEqual(t, line, 0)
		case m[2] == "K":
			lines[line] = lines[line][:column]
		case m[2] == "J":
			lines[line], lines = lines[line][:column], lines[:line+1]
		case m[2] != "":
			require.Equal(t, "m", m[2], "a colour")
		case m[0] == "\r":
			column = 0
		case m[0] == "\n":
			if line, column = line+1, 0; line == len(lines) {
				lines = append(lines, nil)
			}
		default:
			lines[line] = slices.Replace(lines[line], column, min(column+1, len(lines[line])), []rune(m[0])...)
			column++
			require.Less(t, column, width)
		}
	}
	var shown []string
	for _, l := range lines[:line] {
		shown = append(shown, string(l))
	}
	return shown
}
