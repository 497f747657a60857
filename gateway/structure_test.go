package gateway_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "github.com/fanfare-gateway/fanfare/"

// allowed says what each room may import besides itself, as folders.
var allowed = map[string][]string{
	"cmd":       {"gateway", "config", "channels/sandbox"},
	"gateway":   {"topics", "templates", "config", "channels", "queue"},
	"topics":    {"templates", "channels", "queue"},
	"channels":  {"queue"},
	"templates": {},
	"config":    {},
	"queue":     {},
}

// sdks says which folder alone may import a module outside of tests; "" means none.
var sdks = map[string]string{
	"github.com/twilio/twilio-go":                 "channels/sms",
	"github.com/sideshow/apns2":                   "channels/push/apns",
	"firebase.google.com/go/v4":                   "channels/push/fcm",
	"google.golang.org/api":                       "channels/push/fcm",
	"github.com/wneessen/go-mail":                 "channels/email",
	"github.com/aws/aws-sdk-go-v2/service/sqs":    "channels/downstream",
	"github.com/aws/aws-sdk-go-v2/service/lambda": "channels/function",
	"github.com/aws/aws-sdk-go-v2/service/sns":    "",
	"github.com/cockroachdb/pebble/v2":            "queue",
	"github.com/twilio/twilio-go/rest":            "", // links 70 APIs, but for:
	"github.com/twilio/twilio-go/rest/api/v2010":  "channels/sms",
}

// shared says which channels may import a folder of what they have in common:
// a service family's account and failures, which would otherwise stand in each.
var shared = map[string][]string{
	"channels/amazon": {"channels/downstream", "channels/function"},
}

// imports are what one package of ours imports, in its tests or outside of them.
type imports struct {
	folder string // from the module's root: "channels/sms"
	test   bool
	paths  []string
}

// violations checks imports against DESIGN section 3, one sentence each.
func violations(all []imports) []string {
	var bad []string
	for _, p := range all {
		for _, to := range p.paths {
			if why := refuse(p, to); why != "" {
				bad = append(bad, fmt.Sprintf("%s imports %s: %s", p.folder, strings.TrimPrefix(to, module), why))
			}
		}
	}
	return append(bad, circles(all)...)
}

func refuse(p imports, to string) string {
	if ours, ok := strings.CutPrefix(to, module); ok {
		return refuseOurs(p, ours)
	}
	if p.test {
		return ""
	}
	home, known := longest(to)
	switch {
	case to == "github.com/twilio/twilio-go":
		return "it links 70 APIs, import client and rest/api/v2010"
	case known && home == "":
		return "this SDK is for tests only"
	case known && !within(p.folder, home):
		return "this SDK is for " + home + " only"
	}
	return ""
}

// longest finds the row of sdks that fits an import best.
func longest(to string) (home string, known bool) {
	for dir := to; dir != "."; dir = path.Dir(dir) {
		if home, known := sdks[dir]; known {
			return home, true
		}
	}
	return "", false
}

func refuseOurs(p imports, to string) string {
	from, room := roomOf(p.folder), roomOf(to)
	may := allowed[from]
	if p.test && from == "cmd" {
		may = append(slices.Clone(may), allowed["gateway"]...)
	}
	switch {
	case from != room && !slices.ContainsFunc(may, func(dir string) bool { return within(to, dir) }):
		return "no import runs up: " + from + " may import " + strings.Join(may, ", ")
	case within(p.folder, to), within(to, p.folder) && room != "channels":
		return ""
	case strings.HasSuffix(to, "test") && !p.test && !strings.HasSuffix(p.folder, "test"):
		return "a suite is for tests only"
	case to == "channels/sandbox":
		return refuseSandbox(p)
	case room == "channels" && to != "channels" && !strings.HasSuffix(to, "test"):
		return refuseChannel(p, to)
	}
	return ""
}

// refuseChannel is for imports of a concrete channel from outside its folder.
func refuseChannel(p imports, to string) string {
	switch room := roomOf(p.folder); {
	case slices.Contains(shared[to], p.folder):
		return ""
	case room == "channels":
		return "channels never import each other"
	case p.folder == "gateway", p.test && (room == "gateway" || room == "cmd"):
		return ""
	}
	return "concrete channels are named in gateway only"
}

func refuseSandbox(p imports) string {
	if p.test || p.folder == "channels/channeltest" || roomOf(p.folder) == "gateway" || roomOf(p.folder) == "cmd" {
		return ""
	}
	return "channels know nothing of the sandbox"
}

// circles finds folders that import each other through what is in them, even
// where no single package does, outside of tests.
func circles(all []imports) []string {
	edges := map[string]map[string]bool{}
	for _, p := range all {
		for _, to := range p.paths {
			to, ours := strings.CutPrefix(to, module)
			if from, below := split(p.folder, to); ours && !p.test && below != "" {
				if edges[from] == nil {
					edges[from] = map[string]bool{}
				}
				edges[from][below] = true
			}
		}
	}
	var bad []string
	for from := range edges {
		if reaches(edges, from, from, map[string]bool{}) {
			bad = append(bad, from+" imports itself in a circle of folders")
		}
	}
	slices.Sort(bad)
	return bad
}

// split gives the two folders, children of the same one, that an import runs
// between; none if one package is above the other.
func split(from, to string) (string, string) {
	if within(from, to) || within(to, from) {
		return "", ""
	}
	a, b := strings.Split(from, "/"), strings.Split(to, "/")
	n := 0
	for a[n] == b[n] {
		n++
	}
	return path.Join(a[:n+1]...), path.Join(b[:n+1]...)
}

func reaches(edges map[string]map[string]bool, from, goal string, seen map[string]bool) bool {
	for to := range edges[from] {
		if to == goal {
			return true
		}
		if !seen[to] {
			seen[to] = true
			if reaches(edges, to, goal, seen) {
				return true
			}
		}
	}
	return false
}

func roomOf(folder string) string {
	room, _, _ := strings.Cut(folder, "/")
	return room
}

func within(folder, dir string) bool {
	return folder == dir || strings.HasPrefix(folder, dir+"/")
}

// listImports asks the go command what every package of the module imports.
func listImports(t *testing.T) []imports {
	t.Helper()
	for room := range allowed {
		// The test cache knows what the test itself looked at, not what go list
		// read: look at every folder, so that a change anywhere runs it again.
		_ = filepath.WalkDir("../"+room, func(string, fs.DirEntry, error) error { return nil })
	}
	cmd := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports,TestImports,XTestImports", "./...")
	cmd.Dir, cmd.Stderr = "..", os.Stderr
	out, err := cmd.Output()
	require.NoError(t, err, "go list")
	var all []imports
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct {
			ImportPath                         string
			Imports, TestImports, XTestImports []string
		}
		err := dec.Decode(&p)
		if errors.Is(err, io.EOF) {
			return all
		}
		require.NoError(t, err)
		folder, ours := strings.CutPrefix(p.ImportPath, module)
		require.True(t, ours, "package %s at the top level", p.ImportPath)
		all = append(all, imports{folder, false, p.Imports}, imports{folder, true, append(p.TestImports, p.XTestImports...)})
	}
}

func TestImportsFollowTheDesign(t *testing.T) {
	t.Parallel()
	all := listImports(t)
	require.NotEmpty(t, all)
	for _, p := range all {
		require.Contains(t, allowed, roomOf(p.folder), "package outside the rooms")
	}
	require.Empty(t, violations(all))
}

func TestTopLevelIsFixed(t *testing.T) {
	t.Parallel()
	ignored, err := os.ReadFile("../.gitignore")
	require.NoError(t, err)
	entries, err := os.ReadDir("..")
	require.NoError(t, err)
	var got []string
	for _, e := range entries {
		skip := strings.HasPrefix(e.Name(), ".")
		for pattern := range strings.Lines(string(ignored)) {
			match, err := path.Match(strings.Trim(pattern, "/\n"), e.Name())
			require.NoError(t, err)
			skip = skip || match
		}
		if !skip {
			got = append(got, e.Name())
		}
	}
	want := []string{"cmd", "gateway", "channels", "queue", "topics", "templates", "config", "go.mod", "go.sum", "README.md", "LICENSE"}
	require.ElementsMatch(t, want, got)
}

func TestViolationsAreSeen(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		from, to string
		test     bool
		want     string // "": allowed
	}{
		{from: "cmd/fanfare", to: module + "gateway"},
		{from: "cmd/fanfare", to: module + "config"},
		{from: "cmd/fanfare", to: module + "topics", want: "no import runs up"},
		{from: "cmd/fanfare", to: module + "queue", test: true},
		{from: "gateway", to: module + "cmd/fanfare", want: "no import runs up"},
		{from: "gateway", to: module + "channels/sms"},
		{from: "gateway", to: module + "channels/sandbox"},
		{from: "gateway", to: module + "gateway/rest"},
		{from: "gateway/rest", to: module + "channels/sms", want: "named in gateway only"},
		{from: "gateway/rest", to: module + "channels/push/fcm", test: true},
		{from: "topics", to: module + "gateway", want: "no import runs up"},
		{from: "topics", to: module + "topics/filter"},
		{from: "topics", to: module + "config", want: "no import runs up"},
		{from: "topics", to: module + "templates"},
		{from: "topics", to: module + "channels/webhook", want: "named in gateway only"},
		{from: "topics", to: module + "channels/sandbox", want: "know nothing of the sandbox"},
		{from: "topics", to: module + "channels/sandbox", test: true},
		{from: "channels", to: module + "topics", want: "no import runs up"},
		{from: "channels", to: module + "topics", test: true, want: "no import runs up"},
		{from: "channels", to: module + "queue"},
		{from: "channels", to: module + "channels/sms", want: "never import each other"},
		{from: "channels/sms", to: module + "channels"},
		{from: "channels/sms", to: module + "config", want: "no import runs up"},
		{from: "channels/sms", to: module + "channels/email", want: "never import each other"},
		{from: "channels/sms", to: module + "channels/email", test: true, want: "never import each other"},
		{from: "channels/sms", to: module + "channels/sandbox", want: "know nothing of the sandbox"},
		{from: "channels/sms", to: module + "channels/sandbox", test: true},
		{from: "channels/sms", to: module + "channels/channeltest", want: "for tests only"},
		{from: "channels/sms", to: module + "channels/channeltest", test: true},
		{from: "channels/channeltest", to: module + "channels/sandbox"},
		{from: "channels/push/apns", to: module + "channels/push"},
		{from: "channels/push/apns", to: module + "channels/push/fcm", want: "never import each other"},
		{from: "channels/downstream", to: module + "channels/amazon"},
		{from: "channels/function", to: module + "channels/amazon"},
		{from: "channels/sms", to: module + "channels/amazon", want: "never import each other"},
		{from: "channels/amazon", to: module + "channels/function", want: "never import each other"},
		{from: "channels/amazon", to: "github.com/aws/aws-sdk-go-v2/service/sqs", want: "for channels/downstream only"},
		{from: "channels/sandbox", to: module + "channels/sms", want: "never import each other"},
		{from: "channels/sandbox", to: "github.com/emersion/go-smtp"},
		{from: "channels/sandbox", to: "github.com/sideshow/apns2", want: "for channels/push/apns only"},
		{from: "channels/sandbox", to: "github.com/sideshow/apns2", test: true},
		{from: "queue", to: module + "channels", want: "no import runs up"},
		{from: "queue", to: module + "channels", test: true, want: "no import runs up"},
		{from: "queue", to: module + "queue/queuetest", test: true},
		{from: "queue/queuetest", to: module + "queue"},
		{from: "templates", to: module + "queue", want: "no import runs up"},
		{from: "config", to: module + "channels", want: "no import runs up"},
		{from: "queue", to: "github.com/cockroachdb/pebble/v2/vfs"},
		{from: "topics", to: "github.com/cockroachdb/pebble/v2", want: "for queue only"},
		{from: "channels/sms", to: "github.com/twilio/twilio-go/client"},
		{from: "channels/sms", to: "github.com/twilio/twilio-go/rest/api/v2010"},
		{from: "channels/sms", to: "github.com/twilio/twilio-go/rest/verify/v2", want: "for tests only"},
		{from: "channels/sms", to: "github.com/twilio/twilio-go", want: "links 70 APIs"},
		{from: "channels/push", to: "firebase.google.com/go/v4/messaging", want: "for channels/push/fcm only"},
		{from: "channels/push/fcm", to: "firebase.google.com/go/v4/messaging"},
		{from: "channels/sms", to: "github.com/wneessen/go-mail", want: "for channels/email only"},
		{from: "channels/function", to: "github.com/aws/aws-sdk-go-v2/service/sqs/types", want: "for channels/downstream only"},
		{from: "channels/downstream", to: "github.com/aws/aws-sdk-go-v2/service/lambda", want: "for channels/function only"},
		{from: "gateway/sns", to: "github.com/aws/aws-sdk-go-v2/service/sns", want: "for tests only"},
		{from: "gateway/sns", to: "github.com/aws/aws-sdk-go-v2/service/sns", test: true},
	} {
		got := violations([]imports{{c.from, c.test, []string{c.to}}})
		if c.want == "" {
			require.Empty(t, got)
			continue
		}
		require.Len(t, got, 1, "%s → %s", c.from, c.to)
		require.Contains(t, got[0], c.want)
	}
}

func TestCirclesAreSeen(t *testing.T) {
	t.Parallel()
	circle := []imports{
		{"topics/filter/parse", false, []string{module + "topics/ledger"}},
		{"topics/ledger/audit", false, []string{module + "topics/filter"}},
	}
	require.Equal(t, []string{
		"topics/filter imports itself in a circle of folders",
		"topics/ledger imports itself in a circle of folders",
	}, violations(circle))
	circle[1].test = true
	require.Empty(t, violations(circle), "a test may look across")
}
