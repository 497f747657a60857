package awswire

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	algorithm  = "AWS4-HMAC-SHA256"
	terminator = "aws4_request"
	dateForm   = "20060102T150405Z"
	maxExpires = 7 * 24 * 60 * 60 // seconds
)

// signature is what a request says of how it was signed.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-signing-elements.html
type signature struct {
	accessKey, date, region, service string // the credential and its scope
	signed                           string // names of the signed headers, as given
	sum                              string // hexadecimal
	at                               time.Time
	lifetime                         time.Duration // from at on
	presigned                        bool
	query                            url.Values // of the URL
}

// readSignature reads a request's signature. With an error it holds what could
// be read before it.
func readSignature(r *http.Request) (s signature, err error) {
	if s.query, err = url.ParseQuery(r.URL.RawQuery); err != nil {
		return s, malformedQuery("The query string is not made of name=value pairs.")
	}
	var credential, date, mechanism string
	switch header := strings.TrimSpace(r.Header.Get("Authorization")); {
	case header != "":
		s.lifetime = maxSkew
		mechanism, credential = s.readHeader(header)
		date = headerDate(r.Header)
	case s.query.Has("X-Amz-Algorithm") || s.query.Has("X-Amz-Signature"):
		s.presigned, s.lifetime = true, maxSkew
		mechanism, credential = s.query.Get("X-Amz-Algorithm"), s.query.Get("X-Amz-Credential")
		s.signed, s.sum = s.query.Get("X-Amz-SignedHeaders"), s.query.Get("X-Amz-Signature")
		date = s.query.Get("X-Amz-Date")
	default:
		return s, &Error{
			Code: "MissingAuthenticationToken", JSONCode: coral + "MissingAuthenticationTokenException",
			Status: http.StatusForbidden, Message: "Request is missing Authentication Token",
		}
	}
	scope := strings.Split(credential, "/")
	if len(scope) == 5 {
		s.accessKey, s.date, s.region, s.service = scope[0], scope[1], scope[2], scope[3]
	}
	if mechanism != algorithm {
		return s, incomplete("Unsupported AWS 'algorithm': want " + algorithm + ".")
	}
	if missing := s.missing(credential, date); missing != "" {
		return s, incomplete(missing)
	}
	if len(scope) != 5 {
		return s, incomplete("Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term.")
	}
	if s.at, err = time.Parse(dateForm, date); err != nil {
		return s, incomplete("Date must be in ISO-8601 'basic format', such as 20060102T150405Z.")
	}
	return s, s.consistent(r, date, scope[4])
}

// readHeader takes the Authorization header apart.
func (s *signature) readHeader(header string) (mechanism, credential string) {
	mechanism, rest, _ := strings.Cut(header, " ")
	for _, pair := range strings.FieldsFunc(rest, func(c rune) bool { return c == ',' || c == ' ' }) {
		switch name, value, _ := strings.Cut(pair, "="); name {
		case "Credential":
			credential = value
		case "SignedHeaders":
			s.signed = value
		case "Signature":
			s.sum = value
		}
	}
	return mechanism, credential
}

// headerDate is the date of a signed header: of X-Amz-Date, else of Date.
func headerDate(h http.Header) string {
	if date := h.Get("X-Amz-Date"); date != "" {
		return date
	}
	date := h.Get("Date")
	if t, err := http.ParseTime(date); err == nil {
		return t.UTC().Format(dateForm)
	}
	return date
}

// missing says which parameters are not there.
func (s *signature) missing(credential, date string) string {
	where, dated := "Authorization header requires", "existence of either a 'X-Amz-Date' or a 'Date' header."
	prefix := ""
	if s.presigned {
		where, dated, prefix = "AWS query-string parameters must include", "'X-Amz-Date'.", "X-Amz-"
	}
	var texts []string
	for _, p := range []struct{ name, value string }{{"Credential", credential}, {"Signature", s.sum}, {"SignedHeaders", s.signed}} {
		if p.value == "" {
			texts = append(texts, where+" '"+prefix+p.name+"' parameter.")
		}
	}
	if date == "" {
		texts = append(texts, where+" "+dated)
	}
	return strings.Join(texts, " ")
}

// consistent checks what the parts of a signature have to do with each other.
func (s *signature) consistent(r *http.Request, date, term string) error {
	if s.presigned && s.query.Has("X-Amz-Expires") {
		n, err := strconv.Atoi(s.query.Get("X-Amz-Expires"))
		if err != nil || n < 1 || n > maxExpires {
			return incomplete("X-Amz-Expires must be 1 to 604800 seconds (a week).")
		}
		s.lifetime = time.Duration(n) * time.Second
	}
	names := strings.Split(s.signed, ";")
	switch {
	case term != terminator:
		return mismatch("Credential should be scoped with a valid terminator: '" + terminator + "'.")
	case s.date != date[:8]:
		return mismatch("Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP.")
	case !slices.Contains(names, "host"):
		return mismatch("'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.")
	case r.Header.Get("X-Amz-Target") != "" && !slices.Contains(names, "x-amz-target"):
		return mismatch("'X-Amz-Target' must be a 'SignedHeader' in the AWS Authorization.") // it names the action
	}
	return nil
}

func malformedQuery(message string) *Error {
	return &Error{Code: "MalformedQueryString", Status: http.StatusNotFound, Message: message}
}
