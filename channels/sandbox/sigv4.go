package sandbox

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// What the fakes of AWS services know of the one AWS account there is.
const (
	awsAccount   = "123456789012"
	awsRegion    = "eu-central-1"
	awsAccessKey = "SANDBOX0ACCESS0KEY00"
	awsSecretKey = "sandbox/secret/access/key/of/nobody/0000"
	awsClockSkew = 15 * time.Minute
)

// The refusals of a signature, by the names of the JSON protocols.
const (
	awsNoSignature   = "MissingAuthenticationTokenException"
	awsBadForm       = "IncompleteSignatureException"
	awsUnknownClient = "UnrecognizedClientException"
	awsBadSignature  = "InvalidSignatureException"
)

// sigV4 is the Authorization header of AWS Signature Version 4, taken apart.
type sigV4 struct {
	accessKey, date, region, service string
	headers                          []string
	signature                        string
}

// verifySigV4 checks a request's signature by computing it again; "" is good,
// else the error's name.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
func verifySigV4(r *http.Request, body []byte, service string) string {
	text := r.Header.Get("Authorization")
	if text == "" {
		return awsNoSignature
	}
	s, ok := parseSigV4(text)
	at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	if !ok || err != nil || !slices.Contains(s.headers, "host") || !slices.Contains(s.headers, "x-amz-date") {
		return awsBadForm
	}
	// The key is a long-term one: with any session token it is none of ours.
	if s.accessKey != awsAccessKey || r.Header.Get("X-Amz-Security-Token") != "" {
		return awsUnknownClient
	}
	if time.Since(at).Abs() > awsClockSkew || at.Format("20060102") != s.date || s.region != awsRegion || s.service != service {
		return awsBadSignature
	}
	if !hmac.Equal([]byte(s.signature), []byte(s.sign(r, body))) {
		return awsBadSignature
	}
	return ""
}

func parseSigV4(text string) (s sigV4, ok bool) {
	rest, ok := strings.CutPrefix(text, "AWS4-HMAC-SHA256 ")
	if !ok {
		return s, false
	}
	for part := range strings.SplitSeq(rest, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch name {
		case "Credential":
			scope := strings.Split(value, "/")
			if len(scope) != 5 || scope[4] != "aws4_request" {
				return s, false
			}
			s.accessKey, s.date, s.region, s.service = scope[0], scope[1], scope[2], scope[3]
		case "SignedHeaders":
			s.headers = strings.Split(value, ";")
		case "Signature":
			s.signature = value
		}
	}
	return s, s.accessKey != "" && len(s.headers) > 0 && s.signature != ""
}

// sign computes the signature the request should have.
func (s sigV4) sign(r *http.Request, body []byte) string {
	scope := strings.Join([]string{s.date, s.region, s.service, "aws4_request"}, "/")
	request := sha256.Sum256([]byte(s.canonical(r, body)))
	toSign := "AWS4-HMAC-SHA256\n" + r.Header.Get("X-Amz-Date") + "\n" + scope + "\n" + hex.EncodeToString(request[:])
	key := []byte("AWS4" + awsSecretKey)
	for _, step := range []string{s.date, s.region, s.service, "aws4_request", toSign} {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(step))
		key = mac.Sum(nil)
	}
	return hex.EncodeToString(key)
}

func (s sigV4) canonical(r *http.Request, body []byte) string {
	var headers strings.Builder
	for _, name := range s.headers {
		value := strings.Join(r.Header.Values(name), ",")
		switch name {
		case "host":
			value = r.Host
		case "content-length":
			value = strconv.FormatInt(r.ContentLength, 10)
		}
		headers.WriteString(name + ":" + strings.Join(strings.Fields(value), " ") + "\n")
	}
	hash := sha256.Sum256(body)
	query := strings.ReplaceAll(r.URL.Query().Encode(), "+", "%20")
	return strings.Join([]string{
		r.Method, awsEscapePath(r.URL.EscapedPath()), query,
		headers.String(), strings.Join(s.headers, ";"), hex.EncodeToString(hash[:]),
	}, "\n")
}

// awsEscapePath escapes a path that is escaped already once more, as all
// services but S3 have it.
func awsEscapePath(path string) string {
	var b strings.Builder
	for i := range len(path) {
		switch c := path[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("-_.~/", c) >= 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// awsRequestID makes the id AWS gives a request or message: a random UUID.
func awsRequestID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails: https://pkg.go.dev/crypto/rand#Read
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
