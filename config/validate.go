package config

import (
	"fmt"
	"net"
	"net/mail"
	"net/netip"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// forms are the forms of texts that a field's form tag names.
var forms = map[string]struct {
	want string
	ok   func(string) bool
}{
	"address":    {"host:port such as 127.0.0.1:8080", isAddress},
	"url":        {"an http or https URL without user, query and fragment", isURL},
	"cidr":       {"a network such as 10.0.0.0/8", isNetwork},
	"name":       {"1 to 64 of a-z, 0-9 and -", regexp.MustCompile(`^[a-z0-9-]{1,64}$`).MatchString},
	"hash":       {"sha256: and 64 hexadecimal digits", regexp.MustCompile(`^sha256:[0-9a-f]{64}$`).MatchString},
	"owner":      {"an account number of 12 digits", regexp.MustCompile(`^[0-9]{12}$`).MatchString},
	"region":     {"1 to 32 of a-z, 0-9 and -, such as us-east-1", regexp.MustCompile(`^[a-z0-9-]{1,32}$`).MatchString},
	"access-key": {"3 to 128 letters, digits, _ and -", regexp.MustCompile(`^[A-Za-z0-9_-]{3,128}$`).MatchString},
	"mail":       {"a mail address", func(s string) bool { _, err := mail.ParseAddress(s); return err == nil }},
	"pem":        {"PEM text: -----BEGIN …", func(s string) bool { return strings.HasPrefix(strings.TrimSpace(s), "-----BEGIN ") }},
	"pattern":    {"1 to 256 characters without spaces", isPattern},
}

func isAddress(s string) bool {
	_, port, err := net.SplitHostPort(s)
	if err != nil {
		return false
	}
	_, err = strconv.ParseUint(port, 10, 16)
	return err == nil
}

func isURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != "" &&
		u.User == nil && u.RawQuery == "" && !u.ForceQuery && u.Fragment == ""
}

func isNetwork(s string) bool {
	p, err := netip.ParsePrefix(s)
	return err == nil && p == p.Masked()
}

func isPattern(s string) bool {
	return s != "" && len(s) <= 256 && !strings.ContainsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) })
}

// Validate checks all values and what they have to do with each other.
func (c Config) Validate() Problems {
	var ch checker
	ch.section(reflect.ValueOf(c), "")
	ch.relations(c)
	for i, a := range c.Accounts {
		ch.account(a, fmt.Sprintf("accounts[%d]", i))
	}
	return ch.problems
}

// checker collects problems; Load adds the places.
type checker struct{ problems Problems }

func (ch *checker) fail(key, format string, args ...any) {
	ch.problems = append(ch.problems, Problem{Key: key, Text: fmt.Sprintf(format, args...)})
}

func (ch *checker) section(v reflect.Value, key string) {
	for _, f := range fields(v) {
		full := join(key, f.key)
		if _, required := f.tag.Lookup("required"); required && (f.value.IsZero() || f.value.Kind() == reflect.Slice && f.value.Len() == 0) {
			ch.fail(full, "is required")
			continue
		}
		ch.value(f.value, f.tag, full)
	}
}

func (ch *checker) value(v reflect.Value, tag reflect.StructTag, key string) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			ch.section(v.Elem(), key)
		}
	case reflect.Struct:
		ch.section(v, key)
	case reflect.Slice:
		for i := range v.Len() {
			ch.value(v.Index(i), tag, fmt.Sprintf("%s[%d]", key, i))
		}
	case reflect.String:
		ch.text(v, tag, key)
	case reflect.Int, reflect.Int64, reflect.Float64:
		ch.bounds(v, tag, key)
	}
}

func (ch *checker) text(v reflect.Value, tag reflect.StructTag, key string) {
	not := fmt.Sprintf(", not %q", v.String())
	if fromFile(v.Type()) {
		not = "" // long or secret
	}
	if enum := tag.Get("enum"); enum != "" && !slices.Contains(strings.Split(enum, ","), v.String()) {
		ch.fail(key, "must be one of %s%s", strings.ReplaceAll(enum, ",", ", "), not)
	}
	inList := strings.HasSuffix(key, "]")
	if form, ok := forms[tag.Get("form")]; ok && (v.String() != "" || inList) && !form.ok(v.String()) {
		ch.fail(key, "must be %s%s", form.want, not)
	}
}

// bounds compares a number with the texts of its min and max tags.
func (ch *checker) bounds(v reflect.Value, tag reflect.StructTag, key string) {
	least, most := tag.Get("min"), tag.Get("max")
	if n := float(v); n >= float(parsed(v.Type(), least)) && n <= float(parsed(v.Type(), most)) {
		return
	}
	ch.fail(key, "must be %s to %s, not %v", least, most, v.Interface())
}

func parsed(t reflect.Type, text string) reflect.Value {
	v := reflect.New(t).Elem()
	if err := setText(v, text); err != nil {
		panic("config: tag of a bound: " + err.Error()) // every bound is read by a test
	}
	return v
}

func float(v reflect.Value) float64 {
	if v.CanFloat() {
		return v.Float()
	}
	return float64(v.Int())
}

// relations are between sections.
func (ch *checker) relations(c Config) {
	if c.Listen == c.AdminListen && !strings.HasSuffix(c.Listen, ":0") {
		ch.fail("admin_listen", "must differ from listen")
	}
	if host, _, err := net.SplitHostPort(c.Listen); err == nil && c.Keyless() && open(host) {
		ch.fail("listen", "must be a loopback address as long as there is no key (keys, aws.access_keys), not %s", c.Listen)
	}
	if c.Limits.Request < c.Limits.Message {
		ch.fail("limits.request", "must be at least limits.message (%v), not %v", c.Limits.Message, c.Limits.Request)
	}
	if c.Fanout.Candidates < c.Fanout.Matches {
		ch.fail("fanout.candidates", "must be at least fanout.matches (%d), not %d", c.Fanout.Matches, c.Fanout.Candidates)
	}
	for protocol, endpoint := range c.Guard.Redirect {
		if !slices.Contains(Protocols(), protocol) {
			ch.fail("guard.redirect."+protocol, "unknown protocol; there are %s", strings.Join(Protocols(), ", "))
		}
		if endpoint == "" {
			ch.fail("guard.redirect."+protocol, "is required")
		}
	}
	ch.signing(c.AWS)
	unique(ch, "keys", "name", c.Keys, func(k Key) string { return k.Name })
	unique(ch, "accounts", "name", c.Accounts, func(a Account) string { return a.Name })
	unique(ch, "aws.access_keys", "name", c.AWS.AccessKeys, func(k AccessKey) string { return k.Name })
	unique(ch, "aws.access_keys", "id", c.AWS.AccessKeys, func(k AccessKey) string { return k.ID })
}

// open tells whether a host is an address that others can reach.
func open(host string) bool {
	if host == "" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && !ip.IsLoopback()
}

// unique checks that no two elements have the same in a field.
func unique[T any](ch *checker, key, field string, list []T, value func(T) string) {
	first := map[string]int{}
	for i, e := range list {
		if before, taken := first[value(e)]; taken {
			ch.fail(fmt.Sprintf("%s[%d].%s", key, i, field), "%q is the %s of %s[%d] already", value(e), field, key, before)
			continue
		}
		first[value(e)] = i
	}
}

// account checks that the block fits the provider, and what it holds.
func (ch *checker) account(a Account, key string) {
	own, foreign := false, false
	for _, f := range fields(reflect.ValueOf(a)) {
		switch {
		case f.value.Kind() != reflect.Pointer || f.value.IsNil():
		case f.key == a.Provider:
			own = true
		case a.Protocol() != "": // of an unknown provider enough is said
			foreign = true
			ch.fail(join(key, f.key), "does not belong to an account of provider %s", a.Provider)
		}
	}
	switch {
	case foreign || a.Protocol() == "":
	case !own:
		ch.fail(key, "needs the block %s", a.Provider)
	case a.Twilio != nil:
		ch.twilio(*a.Twilio, key+".twilio")
	case a.APNs != nil:
		ch.apns(*a.APNs, key+".apns")
	case a.SMTP != nil:
		ch.smtp(*a.SMTP, key+".smtp")
	}
}

func (ch *checker) twilio(t Twilio, key string) {
	if t.AuthToken == "" && (t.APIKey == "" || t.APISecret == "") {
		ch.fail(key, "needs auth_token, or api_key and api_secret")
	}
	if (t.From == "") == (t.MessagingServiceSID == "") {
		ch.fail(key, "needs either from or messaging_service_sid")
	}
}

func (ch *checker) apns(a APNs, key string) {
	byKey := a.Key != "" || a.KeyID != "" || a.TeamID != ""
	byCertificate := a.Certificate != "" || a.CertificateKey != ""
	switch {
	case byKey == byCertificate:
		ch.fail(key, "needs either key, key_id and team_id, or certificate and certificate_key")
	case byKey && (a.Key == "" || a.KeyID == "" || a.TeamID == ""):
		ch.fail(key, "needs all of key, key_id and team_id")
	case byCertificate && (a.Certificate == "" || a.CertificateKey == ""):
		ch.fail(key, "needs both certificate and certificate_key")
	}
}

func (ch *checker) smtp(s SMTP, key string) {
	if (s.Username == "") != (s.Password == "") {
		ch.fail(key, "needs both username and password, or none")
	}
	if d := s.DKIM; d != (DKIM{}) && (d.Domain == "" || d.Selector == "" || d.Key == "") {
		ch.fail(key+".dkim", "needs all of domain, selector and key, or none")
	}
}
