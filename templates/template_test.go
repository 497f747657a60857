package templates_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/templates"
)

func data(t testing.TB, text string) map[string]any {
	t.Helper()
	var v map[string]any
	require.NoError(t, json.Unmarshal([]byte(text), &v))
	return v
}

func render(t testing.TB, text, values string) (string, error) {
	t.Helper()
	c, err := templates.Parse(templates.Template{Name: "t", Text: text})
	require.NoError(t, err)
	out, err := c.Render("", data(t, values))
	return out.Text, err
}

func ExampleParse() {
	c, err := templates.Parse(templates.Template{
		Name:    "alert",
		Subject: "{{upper .severity}}: {{.host}}",
		Text:    "{{.host}} is down since {{.since | date \"15:04\"}}.",
		HTML:    "<p>{{.host}} is <b>down</b>.</p>",
		Channels: map[string]templates.Part{
			"sms": {Text: "{{.host}} down, {{default \"nobody\" .oncall}} is on call"},
		},
	})
	if err != nil {
		panic(err)
	}
	values := map[string]any{"severity": "high", "host": "db<1>", "since": "2026-05-01T09:30:00Z"}
	mail, _ := c.Render("email", values)
	sms, _ := c.Render("sms", values)
	fmt.Println(mail.Subject)
	fmt.Println(mail.Text)
	fmt.Println(mail.HTML)
	fmt.Println(sms.Text)
	// Output:
	// HIGH: db<1>
	// db<1> is down since 09:30.
	// <p>db&lt;1&gt; is <b>down</b>.</p>
	// db<1> down, nobody is on call
}

func TestRender(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, text, values, want string }{
		{"plain", "hello", `{}`, "hello"},
		{"nested", "{{.user.name}}", `{"user":{"name":"Ana"}}`, "Ana"},
		{"large number", "{{.n}} {{.m}}", `{"n":1500000,"m":1234567.25}`, "1500000 1234567.25"},
		{"numbers in a list", "{{.l}}", `{"l":[1e6,2]}`, "[1000000 2]"},
		{"compare with a constant", "{{if gt .n 5}}more{{end}}", `{"n":5.5}`, "more"},
		{"compare", "{{lt .a .b}}{{le .a .b}}{{ge .a .b}}{{ne .a .b}}{{eq .a 3 1}}", `{"a":1,"b":2}`, "truetruefalsetruetrue"},
		{"compare texts", `{{eq .a "x"}}{{gt "b" "a"}}`, `{"a":"x"}`, "truetrue"},
		{"compare booleans", `{{eq .a true}}{{ne .a true}}`, `{"a":false}`, "falsetrue"},
		{"letter case", "{{upper .s}}{{.s | lower}}", `{"s":"äB"}`, "ÄBäb"},
		{"truncate", "{{truncate 3 .s}}|{{truncate 4 .s}}|{{truncate 1 .s}}", `{"s":"äöüß"}`, "äö…|äöüß|…"},
		{"truncate a number", "{{truncate 3 .n}}", `{"n":12345}`, "12…"},
		{"default of missing", `{{default "you" .name}}`, `{}`, "you"},
		{"default in a pipeline", `{{.name | default "you" | upper}}`, `{}`, "YOU"},
		{"default of nested", `{{.user.name | default "you"}}`, `{}`, "you"},
		{"default of a variable's field", `{{$u := .user}}{{default "you" $u.name}}{{default "x" $.user.a.b}}`, `{"user":{}}`, "youx"},
		{"default of a chain", `{{(index .l 0).name | default "you"}}`, `{"l":[{}]}`, "you"},
		{"default in a condition", `{{if default false .vip}}a{{else}}b{{end}}`, `{}`, "b"},
		{"default of null", `{{default "you" .name}}`, `{"name":null}`, "you"},
		{"default of empty", `{{default "you" .name}}`, `{"name":""}`, "you"},
		{"default not needed", `{{default "you" .name}} {{default 1 .zero}}`, `{"name":"Ana","zero":0}`, "Ana 0"},
		{"default of a default", `{{default "x" .b | default .a}}`, `{"b":"b"}`, "b"},
		{"index", `{{index .l 1}}{{index .m "user-id"}}{{index .l 0 | upper}}`, `{"l":["a","b"],"m":{"user-id":7}}`, "b7A"},
		{"range", `{{range $i, $x := .l}}{{if $i}}, {{end}}{{$x}}{{else}}none{{end}}`, `{"l":["a",null,"c"]}`, "a, , c"},
		{"range with break", `{{range .l}}{{if eq . 2}}{{break}}{{end}}{{.}}{{end}}`, `{"l":[1,2,3]}`, "1"},
		{"range over a number", `{{range 3}}x{{end}}`, `{}`, "xxx"},
		{"with", `{{with .user}}{{.name}}{{else}}nobody{{end}}`, `{"user":{"name":"Ana"}}`, "Ana"},
		{"join", `{{join ", " .l}}`, `{"l":["a",1,true]}`, "a, 1, true"},
		{"fixed", `{{fixed 2 .n}} {{fixed 0 2.5}} {{.n | fixed 1}}`, `{"n":9.5}`, "9.50 2 9.5"},
		{"date", `{{date "2 Jan 2006 15:04 -0700" .at}} {{date "15:04" .unix}}`, `{"at":"2026-01-02T03:04:05+02:00","unix":3600}`, "2 Jan 2026 03:04 +0200 01:00"},
		{"urlquery", `?q={{urlquery .q}}`, `{"q":"a b&c"}`, "?q=a+b%26c"},
		{"trimmed", "a {{- /* note */ -}} b", `{}`, "ab"},
		{"and, or, not, len", `{{and true (not .f)}}{{or .f "x"}}{{len .l}}`, `{"f":false,"l":[1,2]}`, "truex2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, err := render(t, c.text, c.values)
			require.NoError(t, err)
			require.Equal(t, c.want, got)
		})
	}
}

func TestRenderErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, text, values, want string }{
		{"missing", "Dear\n  ü{{.name}}", `{}`, `text: line 2, column 6: variable "name" is missing (in .name)`},
		{"missing nested", "{{.user.name}}", `{"user":{}}`, `text: line 1, column 8: variable "name" is missing (in .user.name)`},
		{"null", "{{.name}}", `{"name":null}`, `text: line 1, column 3: variable "name" is missing (in .name)`},
		{"missing in a condition", "{{if .vip}}{{end}}", `{}`, `text: line 1, column 6: variable "vip" is missing (in .vip)`},
		{"both missing", "{{default .a .b}}", `{}`, "the default is missing itself"},
		{"no object", "{{.name.first}}", `{"name":"private"}`, "text: line 1, column 8: .name.first: what is before the last dot is no object"},
		{"no list", "{{range .name}}{{end}}", `{"name":"private"}`, "text: line 1, column 9: .name is no list and no object: range cannot go over it"},
		{"no such element", "{{index .l 5}}", `{"l":["private"]}`, "there is no such element"},
		{"no such key", `{{index .m "a"}}`, `{"m":{}}`, "there is no such element"},
		{"uncomparable", "{{lt .n .s}}", `{"n":1,"s":"private"}`, "only two numbers or two short texts can be compared"},
		{"equal of lists", "{{eq .l .l}}", `{"l":[]}`, "only two numbers or two short texts can be compared"},
		{"not a time", `{{date "15:04" .s}}`, `{"s":"private"}`, "date wants an RFC 3339 time or Unix seconds"},
		{"not a number", `{{fixed 2 .s}}`, `{"s":"private"}`, "fixed wants 0 to 20 decimals and a number"},
		{"not a list", `{{join "," .s}}`, `{"s":"private"}`, "join wants a list"},
		{"not a text", `{{upper .l}}`, `{"l":["private"]}`, "a text or number is wanted"},
		{"truncate to nothing", `{{truncate 0 .s}}`, `{"s":"private"}`, "truncate wants a number of 1 to 16384"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := render(t, c.text, c.values)
			require.ErrorContains(t, err, c.want)
			require.NotContains(t, err.Error(), "private")
			require.NotContains(t, err.Error(), "error calling")
			require.NotContains(t, err.Error(), "template:")
		})
	}
}

func TestMissingNamesTheVariable(t *testing.T) {
	t.Parallel()
	_, err := render(t, "{{.user.name}}", `{"user":{}}`)
	var missing *templates.MissingError
	require.ErrorAs(t, err, &missing)
	require.Equal(t, "name", missing.Variable)
	var at *templates.Error
	require.ErrorAs(t, err, &at)
	require.Equal(t, "text", at.Part)
	require.Equal(t, 1, at.Line)
}

func TestParseErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, text, want string }{
		{"unclosed action", "a\n{{.x", "text: line 2, column 1: unclosed action"},
		{"unknown function", "a\nbü {{shout .x}}", `text: line 2, column 6: function "shout" not defined`},
		{"unclosed if", "a{{if .x}}", "text: line 1, column 2: unexpected EOF"},
		{"bad character", "{{.x}} {{ ? }}", "text: line 1, column "},
		{"shell of fmt", "{{.x}}\n{{printf \"%d\" .x}}", `text: line 2, column 3: function "printf" is not available: there are and, or, not`},
		{"call", "{{call .x}}", `function "call" is not available`},
		{"js", "{{js .x}}", `function "js" is not available`},
		{"our own", `{{_lookup . "x"}}`, `function "_lookup" is not available`},
		{"our own, in default", `{{default 1 (_lookup . "x")}}`, `function "_lookup" is not available`},
		{"other template", "{{template \"text\"}}", "text: line 1, column 12: a template cannot call another"},
		{"block", "{{if .x}}{{block \"b\" .}}{{end}}{{end}}", "a template cannot call another"},
		{"too many functions", "{{len " + strings.Repeat("(upper ", 20) + ".x" + strings.Repeat(")", 20) + "}}", "more than 16 functions in one action"},
		{"too long", strings.Repeat("x", templates.MaxSource+1), "text: longer than 262144 bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := templates.Parse(templates.Template{Name: "t", Text: c.text})
			require.ErrorContains(t, err, c.want)
			require.NotContains(t, err.Error(), "template:")
		})
	}
}

func TestParseTellsAllAtOnce(t *testing.T) {
	t.Parallel()
	_, err := templates.Parse(templates.Template{
		Name: "a b", Subject: "{{.x", Text: "{{foo}}", HTML: "<p>\n  {{if .x}}<a {{end}}</p>",
		Channels: map[string]templates.Part{"sms": {Text: "{{js .}}\n{{call .}}"}, "fax": {Text: "x"}},
	})
	for _, want := range []string{
		"name: must be 1 to 64",
		"subject: line 1, column 1: unclosed action",
		`text: line 1, column 3: function "foo" not defined`,
		"html: line 2, column ",
		"channels.fax: unknown channel: want sms, push",
		`channels.sms.text: line 1, column 3: function "js"`,
		`channels.sms.text: line 2, column 3: function "call"`,
	} {
		require.ErrorContains(t, err, want)
	}
	_, err = templates.Parse(templates.Template{Name: "t", HTML: "<a href={{.x}}{{if .y}}'{{end}}>"})
	require.ErrorContains(t, err, "html: \"'\" in unquoted attr")
	_, err = templates.Parse(templates.Template{Name: "t"})
	require.ErrorContains(t, err, "the template is empty")
}

func TestHTMLEscapesByContext(t *testing.T) {
	t.Parallel()
	c, err := templates.Parse(templates.Template{Name: "t", HTML: `<a href="/?q={{.x}}" title='{{.x}}' onclick="f({{.n}})">{{.x}}</a>{{range .l}}<i>{{upper .}}</i>{{end}}{{default "<" .y}}`})
	require.NoError(t, err)
	out, err := c.Render("email", data(t, `{"x":"<b>'&","n":1500000,"l":["<a>"]}`))
	require.NoError(t, err)
	require.Equal(t, `<a href="/?q=%3cb%3e%27%26" title='&lt;b&gt;&#39;&amp;' onclick="f( 1500000 )">&lt;b&gt;&#39;&amp;</a><i>&lt;A&gt;</i>&lt;`, out.HTML)
}

func TestSubjectIsOneLine(t *testing.T) {
	t.Parallel()
	_, err := templates.Parse(templates.Template{Name: "t", Subject: "a\nb"})
	require.EqualError(t, err, "subject: line 1, column 2: must be one line: it has a line break or another control character")
	c, err := templates.Parse(templates.Template{Name: "t", Subject: "{{.x}}"})
	require.NoError(t, err)
	for _, bad := range []string{"a\r\nBcc: b@example.com", "a\n", "a\x00"} {
		_, err = c.Render("email", map[string]any{"x": bad})
		require.EqualError(t, err, "subject: must be one line: it has a line break or another control character")
	}
	out, err := c.Render("email", map[string]any{"x": "Grüße 🎉"})
	require.NoError(t, err)
	require.Equal(t, "Grüße 🎉", out.Subject)
}

func TestRenderIsBounded(t *testing.T) {
	t.Parallel()
	big := map[string]any{"x": strings.Repeat("x", 1<<16), "list": make([]any, 1000)}
	for _, c := range []struct{ name, text, want string }{
		{"output", "{{range 100}}{{.}}{{$.x}}{{end}}", "longer than 1048576 bytes"},
		{"empty loops", strings.Repeat("{{range 1000000000}}", 5) + strings.Repeat("{{end}}", 5), "more than 20000 steps"},
		{"loops over data", "{{range .list}}{{range $.list}}{{range $.list}}{{end}}{{end}}{{end}}", "more than 20000 steps"},
		{"loops in a variable", "{{$y := 0}}{{range 1000000000}}{{$y = .}}{{end}}", "more than 20000 steps"},
		{"loops with continue", "{{range 1000000000}}{{continue}}{{end}}", "more than 20000 steps"},
		{"long argument", "{{upper .x}}", "a text is longer than 16384 bytes"},
		{"long join", `{{join .x .list}}`, "a text is longer than 16384 bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for kind, tmpl := range map[string]templates.Template{
				"text": {Name: "t", Text: c.text}, "html": {Name: "t", HTML: c.text}, "subject": {Name: "t", Subject: c.text},
			} {
				compiled, err := templates.Parse(tmpl)
				require.NoError(t, err)
				_, err = compiled.Render("", big)
				require.ErrorContains(t, err, kind+": ")
				require.ErrorContains(t, err, c.want)
			}
		})
	}
}

func TestRenderRefusesWhatIsNotJSON(t *testing.T) {
	t.Parallel()
	c, err := templates.Parse(templates.Template{Name: "t", Text: "{{.a}}"})
	require.NoError(t, err)
	_, err = c.Render("", map[string]any{"a": []any{func() {}}})
	require.EqualError(t, err, "data: a: [0]: a func() is not a JSON value")
	var deep any = "x"
	for range 200 {
		deep = []any{deep}
	}
	_, err = c.Render("", map[string]any{"a": deep})
	require.ErrorContains(t, err, "nested deeper than 100")
	out, err := c.Render("", map[string]any{"a": []any{1, uint8(2), 3.5, json.Number("9007199254740993"), json.Number("1e3")}})
	require.NoError(t, err)
	require.Equal(t, "[1 2 3.5 9007199254740993 1000]", out.Text)
}

func TestChannelsReplaceParts(t *testing.T) {
	t.Parallel()
	c, err := templates.Parse(templates.Template{
		Name: "t", Subject: "subject", Text: "text", HTML: "html",
		Channels: map[string]templates.Part{"sms": {Text: "short"}, "email": {Subject: "mail"}},
	})
	require.NoError(t, err)
	for channel, want := range map[string]templates.Content{
		"sms":   {Subject: "subject", Text: "short", HTML: "html"},
		"email": {Subject: "mail", Text: "text", HTML: "html"},
		"push":  {Subject: "subject", Text: "text", HTML: "html"},
	} {
		got, err := c.Render(channel, nil)
		require.NoError(t, err)
		require.Equal(t, want, got, channel)
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	tmpl := templates.Template{
		Name: "t", Text: "{{.a}}", Channels: map[string]templates.Part{"sms": {Text: "{{.b}}"}, "push": {Subject: "{{.c}}"}},
	}
	require.NoError(t, templates.Check(tmpl, map[string]any{"a": 1, "b": 2, "c": 3}))
	err := templates.Check(tmpl, nil)
	require.EqualError(t, err, `text: line 1, column 3: variable "a" is missing (in .a)
channels.push.subject: line 1, column 3: variable "c" is missing (in .c)
channels.sms.text: line 1, column 3: variable "b" is missing (in .b)`)
	require.Error(t, templates.Check(templates.Template{Name: "t", Text: "{{"}, nil))
}

func TestTemplateJSON(t *testing.T) {
	t.Parallel()
	text := `{"name":"t","version":2,"subject":"s","text":"x","html":"h","channels":{"sms":{"text":"y"}}}`
	var tmpl templates.Template
	require.NoError(t, json.Unmarshal([]byte(text), &tmpl))
	again, err := json.Marshal(tmpl)
	require.NoError(t, err)
	require.JSONEq(t, text, string(again))
}

func FuzzTemplate(f *testing.F) {
	for _, seed := range []string{
		"hello {{.name}}", "{{range .list}}{{.}}{{else}}x{{end}}", "{{.a.b | default (index .list 0) | upper}}",
		"<script>var x = {{.name}};</script><a href='{{.a}}'>", "{{with $x := .a}}{{$x.b}}{{end}}", "{{range 9}}{{if eq . 3}}{{break}}{{end}}{{end}}",
		"{{truncate 3 .name}}{{join \",\" .list}}{{fixed 2 .n}}{{date \"2006\" .n}}", "{{define \"x\"}}{{template \"x\"}}{{end}}{{template \"x\"}}",
	} {
		f.Add(seed, `{"name":"Ana","list":["a",1,{"b":2}],"a":{"b":"c"},"n":1.5}`)
	}
	f.Fuzz(func(t *testing.T, source, values string) {
		var v map[string]any
		if json.Unmarshal([]byte(values), &v) != nil {
			return
		}
		for _, tmpl := range []templates.Template{{Name: "t", Subject: source}, {Name: "t", Text: source}, {Name: "t", HTML: source}} {
			c, err := templates.Parse(tmpl)
			if err != nil {
				var at *templates.Error
				require.ErrorAs(t, err, &at)
				continue
			}
			out, err := c.Render("", v)
			if err == nil {
				require.LessOrEqual(t, len(out.Text)+len(out.HTML), templates.MaxOutput)
				require.NotContains(t, out.Subject, "\n")
			}
		}
	})
}
