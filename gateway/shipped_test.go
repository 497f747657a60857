package gateway_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels/sandbox"
	"github.com/fanfare-gateway/fanfare/config"
	"github.com/fanfare-gateway/fanfare/gateway"
)

// family is a metric as /metrics shows it.
type family struct {
	kind, help string
	labels     map[string]map[string]bool // their values
}

// exposition reads /metrics: histograms' series are under the metric's name.
func exposition(text string) map[string]*family {
	all := map[string]*family{}
	of := func(name string) *family {
		if all[name] == nil {
			all[name] = &family{labels: map[string]map[string]bool{}}
		}
		return all[name]
	}
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if help, ok := strings.CutPrefix(line, "# HELP "); ok {
			name, text, _ := strings.Cut(help, " ")
			of(name).help = text
			continue
		}
		if kind, ok := strings.CutPrefix(line, "# TYPE "); ok {
			name, text, _ := strings.Cut(kind, " ")
			of(name).kind = text
			continue
		}
		series := selector.FindStringSubmatch(line)
		if series == nil {
			continue // of the scrape itself
		}
		f := of(plain(all, series[1]))
		for _, l := range labelValue.FindAllStringSubmatch(series[2], -1) {
			if f.labels[l[1]] == nil {
				f.labels[l[1]] = map[string]bool{}
			}
			f.labels[l[1]][l[3]] = true
		}
	}
	return all
}

// plain is the metric a series of a histogram belongs to.
func plain(all map[string]*family, series string) string {
	for _, suffix := range []string{"_bucket", "_sum", "_count"} {
		if name, ok := strings.CutSuffix(series, suffix); ok && all[name] != nil && all[name].kind == "histogram" {
			return name
		}
	}
	return series
}

// everything starts a gateway that shows every metric there is: with a rate
// limit, and after an SMS.
func everything(t *testing.T) map[string]*family {
	t.Helper()
	sb, err := sandbox.Start(sandbox.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, sb.Close()) })
	sb.Script(sandbox.ProviderTwilio, "*", sandbox.Answer{Callbacks: []string{}})
	r := start(t, gateway.Options{}, func(c *config.Config) {
		c.PublicURL = "http://localhost"
		c.Accounts = gateway.SandboxAccounts(sb)
		c.Accounts[0].Rate = 100
	})
	s := &scene{T: t, sb: sb, g: r.Gateway}
	s.send("sms", "+15005550101", "", "sent")
	_, text := r.ask(t, "/metrics")
	return exposition(text)
}

var tableRow = regexp.MustCompile("(?m)^\\| `(fanfare_\\w+)` \\| (\\w+) \\| (.*?) \\| (.*) \\|$")

// TestMetricsReference keeps config/METRICS.md true.
func TestMetricsReference(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../config/METRICS.md")
	require.NoError(t, err)
	documented := map[string]string{}
	for _, row := range tableRow.FindAllStringSubmatch(string(text), -1) {
		documented[row[1]] = row[0]
	}
	shown := map[string]string{}
	for name, f := range everything(t) {
		if !strings.HasPrefix(name, "fanfare_") {
			continue
		}
		labels := slices.DeleteFunc(slices.Sorted(maps.Keys(f.labels)), func(l string) bool { return l == "le" })
		for i, l := range labels {
			labels[i] = "`" + l + "`"
		}
		shown[name] = fmt.Sprintf("| `%s` | %s | %s | %s |", name, f.kind, strings.Join(labels, " "), f.help)
	}
	require.Equal(t, shown, documented)
}

var labelRow = regexp.MustCompile("(?m)^\\| `(\\w+)`(?:, `\\w+`)? \\| ([^|]*) \\|$")

// TestMetricsReferenceNamesLabelValues looks at the labels of closed sets.
func TestMetricsReferenceNamesLabelValues(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../config/METRICS.md")
	require.NoError(t, err)
	values := map[string]string{}
	for _, row := range labelRow.FindAllStringSubmatch(string(text), -1) {
		values[row[1]] = row[2]
	}
	delete(values, "account") // as configured
	require.Len(t, values, 8)
	for name, f := range everything(t) {
		for label, shown := range f.labels {
			for v := range shown {
				if row, ok := values[label]; ok && strings.HasPrefix(name, "fanfare_") {
					require.Contains(t, row, "`"+v+"`", "%s of %s", label, name)
				}
			}
		}
	}
}

// query is an expression of a shipped file, and the texts that use its labels.
type query struct{ where, expr, text string }

var (
	quoted     = regexp.MustCompile(`"[^"]*"`)
	selector   = regexp.MustCompile(`\b((?:fanfare|go|process)_\w+)\s*(?:\{([^}]*)\})?`)
	labelValue = regexp.MustCompile(`(\w+)\s*(=~|!~|!=|=)\s*"((?:[^"\\]|\\.)*)"`)
	grouping   = regexp.MustCompile(`\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)`)
	replaced   = regexp.MustCompile(`label_replace\(.*"(\w+)",\s*"[^"]*",\s*"(\w+)"`)
	usedLabel  = regexp.MustCompile(`\{\{\s*(?:\$labels\.)?(\w+)\s*\}\}`)
)

// problems finds the metrics, labels and values in a query that no gateway shows.
func problems(all map[string]*family, q query) (bad []string) {
	report := func(format string, args ...any) { bad = append(bad, q.where+": "+fmt.Sprintf(format, args...)) }
	labels := map[string]bool{"instance": true, "job": true, "le": true} // the scraper's own, and the histograms'
	found := selector.FindAllStringSubmatch(q.expr, -1)
	for _, s := range found {
		f := all[plain(all, s[1])]
		if f == nil {
			report("no metric %s", s[1])
			continue
		}
		for l := range f.labels {
			labels[l] = true
		}
		for _, m := range labelValue.FindAllStringSubmatch(s[2], -1) {
			values := f.labels[m[1]]
			if values == nil && m[1] != "job" {
				report("%s has no label %s", s[1], m[1])
			} else if !strings.Contains(m[3], "$") && !matches(values, m[3]) {
				report("%s is never %s of %s", m[3], m[1], s[1])
			}
		}
	}
	if len(found) == 0 {
		report("names no metric")
	}
	for _, m := range replaced.FindAllStringSubmatch(q.expr, -1) {
		labels[m[1]] = true
	}
	for _, m := range grouping.FindAllStringSubmatch(quoted.ReplaceAllString(q.expr, `""`), -1) {
		for l := range strings.SplitSeq(m[1], ",") {
			if l = strings.TrimSpace(l); !labels[l] {
				report("no label %s", l)
			}
		}
	}
	for _, m := range usedLabel.FindAllStringSubmatch(q.text, -1) {
		if !labels[m[1]] {
			report("no label %s for its text", m[1])
		}
	}
	return bad
}

// matches tells whether some value fits every alternative of a matcher.
func matches(values map[string]bool, pattern string) bool {
	for part := range strings.SplitSeq(pattern, "|") {
		fit := regexp.MustCompile("^(?:" + part + ")$")
		if !slices.ContainsFunc(slices.Collect(maps.Keys(values)), fit.MatchString) {
			return false
		}
	}
	return true
}

func TestAlertsAreAboutMetricsThatExist(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../config/alerts.yaml")
	require.NoError(t, err)
	var file struct {
		Groups []struct {
			Name  string
			Rules []struct {
				Alert, Expr, For    string
				Labels, Annotations map[string]string
			}
		}
	}
	require.NoError(t, yaml.UnmarshalWithOptions(text, &file, yaml.Strict()))
	runbook, err := os.ReadFile("../config/METRICS.md")
	require.NoError(t, err)
	all := everything(t)
	alerts := map[string]bool{}
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			alerts[r.Alert] = true
			require.Contains(t, []string{"critical", "warning"}, r.Labels["severity"], r.Alert)
			require.NotEmpty(t, r.Annotations["summary"], r.Alert)
			require.NotEmpty(t, r.Annotations["description"], r.Alert)
			require.Equal(t, "https://github.com/fanfare-gateway/fanfare/blob/main/config/METRICS.md#"+strings.ToLower(r.Alert), r.Annotations["runbook_url"])
			require.Contains(t, string(runbook), "\n## "+r.Alert+"\n")
			require.Empty(t, problems(all, query{r.Alert, r.Expr, r.Annotations["summary"] + r.Annotations["description"]}))
		}
	}
	require.ElementsMatch(t, []string{
		"OldestMessageTooOld", "ChannelPaused", "GivingUpRate", "DeadLettersGrowing", "OrphanedDeliveries", "UnknownErrorCodes", "LedgerImbalance",
		"DiskWatermark", "BrokenFiles", "ReloadFailed", "CallbackSilence", "ComplaintRate",
	}, slices.Collect(maps.Keys(alerts)))
}

func TestDashboardIsAboutMetricsThatExist(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../config/grafana.json")
	require.NoError(t, err)
	var dashboard struct {
		Panels []struct {
			ID      int
			Title   string
			Targets []struct{ Expr, LegendFormat string }
		}
	}
	require.NoError(t, json.Unmarshal(text, &dashboard))
	all := everything(t)
	queries, ids := 0, map[int]bool{}
	for _, p := range dashboard.Panels {
		require.False(t, ids[p.ID], "two panels have the id %d", p.ID)
		ids[p.ID] = true
		for _, q := range p.Targets {
			queries++
			require.Empty(t, problems(all, query{p.Title, q.Expr, q.LegendFormat}))
		}
	}
	require.Greater(t, queries, 20)
}

func TestProblemsOfAQueryAreSeen(t *testing.T) {
	t.Parallel()
	all := exposition(`# HELP fanfare_x_total X.
# TYPE fanfare_x_total counter
fanfare_x_total{channel="sms",kind="ok"} 1
# HELP fanfare_h_seconds H.
# TYPE fanfare_h_seconds histogram
fanfare_h_seconds_bucket{channel="sms",le="+Inf"} 1
`)
	for expr, want := range map[string][]string{
		`rate(fanfare_x_total{channel="sms", kind=~"ok|ok"}[5m])`:                   nil,
		`sum by (le, channel) (rate(fanfare_h_seconds_bucket[5m]))`:                 nil,
		`sum by (p) (label_replace(fanfare_x_total, "p", "$1", "channel", "(.+)"))`: nil,
		`fanfare_y_total`:                  {"q: no metric fanfare_y_total"},
		`fanfare_h_seconds_max`:            {"q: no metric fanfare_h_seconds_max"},
		`fanfare_x_total{lane="bulk"}`:     {"q: fanfare_x_total has no label lane"},
		`fanfare_x_total{kind=~"ok|good"}`: {"q: ok|good is never kind of fanfare_x_total"},
		`sum by (lane) (fanfare_x_total)`:  {"q: no label lane"},
		`vector(1)`:                        {"q: names no metric"},
	} {
		require.Equal(t, want, problems(all, query{where: "q", expr: expr}), expr)
	}
	require.Len(t, problems(all, query{"q", "fanfare_x_total", "{{ $labels.lane }}"}), 1)
}
