package awswire

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
)

const unsignedPayload = "UNSIGNED-PAYLOAD"

// sign computes the signature a request should have.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
func (s signature) sign(secret string, r *http.Request, body []byte) string {
	canonical := sha256.Sum256(s.canonical(r, body))
	b := make([]byte, 0, 192)
	b = append(b, algorithm+"\n"...)
	b = s.at.AppendFormat(b, dateForm)
	b = append(b, "\n"+s.date+"/"+s.region+"/"+s.service+"/"+terminator+"\n"...)
	b = hex.AppendEncode(b, canonical[:])
	return hex.EncodeToString(mac(s.key(secret), b))
}

// key derives the key of the signature's scope.
func (s signature) key(secret string) []byte {
	k := mac([]byte("AWS4"+secret), []byte(s.date))
	for _, part := range []string{s.region, s.service, terminator} {
		k = mac(k, []byte(part))
	}
	return k
}

func mac(key, text []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(text) // never fails
	return h.Sum(nil)
}

// canonical is the canonical request.
func (s signature) canonical(r *http.Request, body []byte) []byte {
	b := make([]byte, 0, 1024)
	b = append(b, r.Method...)
	b = append(b, '\n')
	b = appendPath(b, r.URL)
	b = append(b, '\n')
	b = s.appendQuery(b)
	b = append(b, '\n')
	for name := range strings.SplitSeq(s.signed, ";") {
		b = append(b, name...)
		b = append(b, ':')
		for i, value := range headerValues(r, name) {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(b, collapse(value)...)
		}
		b = append(b, '\n')
	}
	b = append(b, "\n"+s.signed+"\n"...)
	if r.Header.Get("X-Amz-Content-Sha256") == unsignedPayload || s.presigned && s.query.Get("X-Amz-Content-Sha256") == unsignedPayload {
		return append(b, unsignedPayload...)
	}
	sum := sha256.Sum256(body)
	return hex.AppendEncode(b, sum[:])
}

// appendPath adds the path as it came, normalised, and encoded once more.
func appendPath(b []byte, u *url.URL) []byte {
	raw := u.RawPath
	if raw == "" {
		raw = u.EscapedPath()
	}
	clean := path.Clean("/" + raw)
	if strings.HasSuffix(raw, "/") && clean != "/" {
		clean += "/"
	}
	return appendEncoded(b, clean, "/")
}

// appendQuery adds the query without the signature, encoded, by name and value.
func (s signature) appendQuery(b []byte) []byte {
	type pair struct{ name, value string }
	var pairs []pair
	for name, values := range s.query {
		if s.presigned && name == "X-Amz-Signature" {
			continue
		}
		encoded := string(appendEncoded(nil, name, ""))
		for _, value := range values {
			pairs = append(pairs, pair{encoded, string(appendEncoded(nil, value, ""))})
		}
	}
	slices.SortFunc(pairs, func(p, q pair) int {
		if c := strings.Compare(p.name, q.name); c != 0 {
			return c
		}
		return strings.Compare(p.value, q.value)
	})
	for i, p := range pairs {
		if i > 0 {
			b = append(b, '&')
		}
		b = append(b, p.name+"="+p.value...)
	}
	return b
}

// appendEncoded percent-encodes all but the unreserved characters and those of keep.
func appendEncoded(b []byte, s, keep string) []byte {
	const digits = "0123456789ABCDEF"
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~", c) >= 0 || strings.IndexByte(keep, c) >= 0:
			b = append(b, c)
		default:
			b = append(b, '%', digits[c>>4], digits[c&15])
		}
	}
	return b
}

// headerValues are a header's values, also of those net/http keeps elsewhere.
func headerValues(r *http.Request, name string) []string {
	switch name {
	case "host":
		return []string{r.Host}
	case "content-length":
		return []string{strconv.FormatInt(r.ContentLength, 10)}
	}
	return r.Header.Values(name)
}

// collapse trims a header's value and makes one space of several.
func collapse(value string) string {
	value = strings.TrimSpace(value)
	for strings.Contains(value, "  ") {
		value = strings.ReplaceAll(value, "  ", " ")
	}
	return value
}
