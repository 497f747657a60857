package awswire_test

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/gateway/awswire"
)

var credentials = aws.Credentials{AccessKeyID: keyID, SecretAccessKey: secret}

func hashOf(body string) string {
	sum := sha256.Sum256([]byte(body))
	return hex.EncodeToString(sum[:])
}

// call is what the tests of signatures send.
type call struct {
	method, path, body string
	header             http.Header
	payload            string // hash; default the body's
	at                 time.Time
	service, region    string
	credentials        aws.Credentials
}

func (c call) request(t testing.TB, base string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), c.method, base+c.path, strings.NewReader(c.body))
	require.NoError(t, err)
	for name, values := range c.header {
		r.Header[name] = values
	}
	if c.method == http.MethodPost && r.Header.Get("Content-Type") == "" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	return r
}

func (c call) defaults() call {
	if c.method == "" {
		c.method = http.MethodPost
	}
	if c.payload == "" {
		c.payload = hashOf(c.body)
	}
	if c.at.IsZero() {
		c.at = time.Now()
	}
	if c.service == "" {
		c.service = "sqs"
	}
	if c.region == "" {
		c.region = "eu-west-1"
	}
	if c.credentials.AccessKeyID == "" {
		c.credentials = credentials
	}
	return c
}

// signed is the call signed by the AWS SDK in the Authorization header.
func (c call) signed(t testing.TB, base string) *http.Request {
	t.Helper()
	c = c.defaults()
	r := c.request(t, base)
	require.NoError(t, v4.NewSigner().SignHTTP(t.Context(), c.credentials, r, c.payload, c.service, c.region, c.at))
	return r
}

// presigned is the call with the signature in its URL.
func (c call) presigned(t testing.TB, base string) *http.Request {
	t.Helper()
	c = c.defaults()
	signed, headers, err := v4.NewSigner().PresignHTTP(t.Context(), c.credentials, c.request(t, base), c.payload, c.service, c.region, c.at)
	require.NoError(t, err)
	r, err := http.NewRequestWithContext(t.Context(), c.method, signed, strings.NewReader(c.body))
	require.NoError(t, err)
	headers.Del("Host")
	headers.Del("Content-Length")
	r.Header = headers
	return r
}

// TestSDKSignatures sends what the AWS SDK signed over a real socket.
func TestSDKSignatures(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(locked())
	defer server.Close()
	const odd = "/123456789012/a%20b%2Fc+d%C3%A9~*!'()$,:@&=;"
	calls := map[string]call{
		"form":                {path: "/", body: "Action=Echo&MessageBody=hello+world"},
		"empty path":          {body: "Action=Echo"},
		"json":                {path: "/", body: `{}`, header: http.Header{"X-Amz-Target": {"AmazonSQS.Echo"}, "Content-Type": {"application/x-amz-json-1.0"}}},
		"odd path":            {path: odd, body: "Action=Echo"},
		"trailing slash":      {path: "/123456789012/q/", body: "Action=Echo"},
		"query":               {method: http.MethodGet, path: "/?Action=Echo&b=2&a-=1&a=%2F+%7E%C3%A9*&a=&empty&z==&Z=1&%24=x"},
		"query order":         {method: http.MethodGet, path: "/?Action=Echo&a=b&a-b=c&a=a%2Fb&a=a-b"},
		"headers":             {path: "/", body: "Action=Echo", header: http.Header{"X-Odd": {"  a   b  ", "c,d", ""}, "X-Amz-Meta": {"é \"q  q\""}, "User-Agent": {"a  b"}}},
		"payload hash given":  {path: "/", body: "Action=Echo", header: http.Header{"X-Amz-Content-Sha256": {hashOf("Action=Echo")}}},
		"unsigned payload":    {path: "/", body: "Action=Echo", header: http.Header{"X-Amz-Content-Sha256": {"UNSIGNED-PAYLOAD"}}, payload: "UNSIGNED-PAYLOAD"},
		"session token":       {path: "/", body: "Action=Echo", credentials: aws.Credentials{AccessKeyID: keyID, SecretAccessKey: secret, SessionToken: "token+/="}},
		"sns":                 {path: "/", body: "Action=Echo&Version=2010-03-31", service: "sns"},
		"a clock a bit ahead": {path: "/", body: "Action=Echo", at: time.Now().Add(14 * time.Minute)},
		"a clock behind":      {path: "/", body: "Action=Echo", at: time.Now().Add(-14 * time.Minute)},
	}
	client := server.Client()
	for name, c := range calls {
		for how, r := range map[string]*http.Request{"header": c.signed(t, server.URL), "presigned": c.presigned(t, server.URL)} {
			if how == "presigned" && name == "json" {
				continue // the SDK puts X-Amz-Target into the query, where AWS does not look for it
			}
			resp, err := client.Do(r)
			require.NoError(t, err)
			a := read(t, resp)
			require.Equal(t, http.StatusOK, a.status, "%s, %s: %s", name, how, a.text)
			require.Contains(t, a.text, "123456789012 eu-west-1 "+keyID+" "+c.defaults().service, name)
		}
	}
}

// TestTampered changes one thing of a signed request at a time.
func TestTampered(t *testing.T) {
	t.Parallel()
	const wrong = "SignatureDoesNotMatch"
	replace := func(old, with string) func(*http.Request) {
		return func(r *http.Request) {
			header, query := r.Header.Get("Authorization"), r.URL.RawQuery
			r.Header.Set("Authorization", strings.Replace(header, old, with, 1))
			r.URL.RawQuery = strings.Replace(query, url.QueryEscape(old), url.QueryEscape(with), 1)
			if header == "" {
				r.Header.Del("Authorization")
			}
		}
	}
	for name, change := range map[string]func(*http.Request){
		"method":        func(r *http.Request) { r.Method = http.MethodGet },
		"path":          func(r *http.Request) { r.URL.Path += "x" },
		"encoded path":  func(r *http.Request) { r.URL.RawPath = "/123456789012/%71" },
		"query":         func(r *http.Request) { r.URL.RawQuery += "&b=1" },
		"query value":   func(r *http.Request) { r.URL.RawQuery = strings.Replace(r.URL.RawQuery, "a=1", "a=2", 1) },
		"header":        func(r *http.Request) { r.Header.Set("X-Odd", "other") },
		"header gone":   func(r *http.Request) { r.Header.Del("X-Odd") },
		"header twice":  func(r *http.Request) { r.Header.Add("X-Odd", "value") },
		"host":          func(r *http.Request) { r.Host = "other.example.com" },
		"body":          func(r *http.Request) { r.Body = http.NoBody },
		"secret's sum":  replace("Signature=", "Signature=0"),
		"region":        replace("eu-west-1", "eu-west-2"),
		"service":       replace("/sqs/", "/sns/"),
		"odd region":    replace("eu-west-1", "eu\x00west"),
		"date of scope": replace(time.Now().UTC().Format("20060102")+"/", "20150830/"),
		"terminator":    replace("aws4_request", "aws5_request"),
		"host unsigned": replace("host;", ""),
	} {
		for how, sign := range map[string]func(call, testing.TB, string) *http.Request{"header": call.signed, "presigned": call.presigned} {
			r := sign(call{path: "/123456789012/q?a=1", body: "Action=Echo", header: http.Header{"X-Odd": {"value"}}}, t, "http://sqs.example.com")
			change(r)
			if how == "presigned" && name == "secret's sum" {
				r.URL.RawQuery = strings.Replace(r.URL.RawQuery, "X-Amz-Signature=", "X-Amz-Signature=0", 1)
			}
			a := do(t, locked(), r)
			require.Equal(t, http.StatusForbidden, a.status, "%s, %s: %s", name, how, a.text)
			require.Equal(t, wrong, a.code)
			require.NotContains(t, a.text, secret)
		}
	}
	unbound := call{path: "/", body: `{}`, header: http.Header{"Content-Type": {"application/x-amz-json-1.0"}}}.signed(t, "http://sqs.example.com")
	unbound.Header.Set("X-Amz-Target", "AmazonSQS.Echo")
	a := do(t, locked(), unbound)
	require.Equal(t, "com.amazon.coral.service#InvalidSignatureException", a.code)
	require.Contains(t, a.message, "X-Amz-Target")
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	const ok = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/sqs/aws4_request, SignedHeaders=host;x-amz-date, Signature=00"
	for header, want := range map[string]struct {
		status     int
		query, aws string // code in Query, and in JSON after its prefix
		says       string
	}{
		"":                                   {403, "MissingAuthenticationToken", "MissingAuthenticationTokenException", "missing Authentication Token"},
		"Bearer abc":                         {400, "IncompleteSignature", "IncompleteSignatureException", "algorithm"},
		"AWS4-ECDSA-P256-SHA256 x":           {400, "IncompleteSignature", "IncompleteSignatureException", "algorithm"},
		"AWS4-HMAC-SHA256":                   {400, "IncompleteSignature", "IncompleteSignatureException", "'Credential' parameter. Authorization header requires 'Signature' parameter. Authorization header requires 'SignedHeaders' parameter."},
		strings.Split(ok, ", Signature")[0]:  {400, "IncompleteSignature", "IncompleteSignatureException", "Authorization header requires 'Signature' parameter."},
		strings.Replace(ok, "/sqs/", "/", 1): {400, "IncompleteSignature", "IncompleteSignatureException", "5 slash-delimited elements"},
		strings.Replace(ok, keyID, "ABC", 1): {403, "InvalidClientTokenId", "UnrecognizedClientException", "security token included in the request is invalid"},
		ok:                                   {400, "RequestExpired", "RequestExpired", "Signature expired: 20150830T123600Z is now earlier than "},
	} {
		asForm, asJSON := form("Action=Echo"), jsonCall("AmazonSQS.Echo", "{}")
		for _, r := range []*http.Request{asForm, asJSON} {
			r.Header.Set("Authorization", header)
			r.Header.Set("X-Amz-Date", "20150830T123600Z")
		}
		asJSON.Header.Set("Authorization", strings.Replace(header, "host;", "host;x-amz-target;", 1))
		a := do(t, locked(), asForm)
		require.Equal(t, want.status, a.status, header)
		require.Equal(t, want.query, a.code, header)
		require.Contains(t, a.message, want.says)
		a = do(t, locked(), asJSON)
		require.Equal(t, want.status, a.status, header)
		require.True(t, strings.HasSuffix(a.code, "#"+want.aws), a.code)
		require.Equal(t, want.query+";Sender", a.header.Get("X-Amzn-Query-Error"))
	}
	for date, says := range map[string]string{"": "either a 'X-Amz-Date' or a 'Date' header", "yesterday": "ISO-8601"} {
		r := form("Action=Echo")
		r.Header.Set("Authorization", ok)
		r.Header.Set("X-Amz-Date", date)
		a := do(t, locked(), r)
		require.Equal(t, "IncompleteSignature", a.code)
		require.Contains(t, a.message, says)
	}
	other := call{path: "/", body: "Action=Echo&Version=2010-03-31", service: "sqs"}.signed(t, "http://example.com")
	a := do(t, locked(), other)
	require.Equal(t, "SignatureDoesNotMatch", a.code)
	require.Equal(t, "Credential should be scoped to correct service: 'sns'.", a.message)

	nobody := handler(awswire.Verifier{})
	require.Equal(t, "InvalidClientTokenId", do(t, nobody, call{path: "/", body: "Action=Echo"}.signed(t, "http://example.com")).code)
}

func TestClock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		expiring := func(expires string) call {
			return call{path: "/?X-Amz-Expires=" + expires, body: "Action=Echo"}
		}
		plain := call{path: "/", body: "Action=Echo"}
		for name, c := range map[string]struct {
			call  call
			sign  func(call, testing.TB, string) *http.Request
			ahead time.Duration // of the signer's clock
			after time.Duration
			code  string
		}{
			"in time":                {plain, call.signed, 0, 15 * time.Minute, ""},
			"late":                   {plain, call.signed, 0, 15*time.Minute + time.Second, "RequestExpired"},
			"a bit early":            {plain, call.signed, 15 * time.Minute, 0, ""},
			"early":                  {plain, call.signed, 15*time.Minute + time.Second, 0, "RequestExpired"},
			"presigned":              {expiring("604800"), call.presigned, 0, 7 * 24 * time.Hour, ""},
			"presigned, late":        {expiring("604800"), call.presigned, 0, 7*24*time.Hour + time.Second, "RequestExpired"},
			"presigned, early":       {expiring("604800"), call.presigned, time.Hour, 0, "RequestExpired"},
			"presigned, a second":    {expiring("1"), call.presigned, 0, 2 * time.Second, "RequestExpired"},
			"presigned, no time":     {plain, call.presigned, 0, 15*time.Minute + time.Second, "RequestExpired"},
			"presigned, too long":    {expiring("604801"), call.presigned, 0, 0, "IncompleteSignature"},
			"presigned, none":        {expiring("0"), call.presigned, 0, 0, "IncompleteSignature"},
			"presigned, no number":   {expiring("1h"), call.presigned, 0, 0, "IncompleteSignature"},
			"presigned, huge number": {expiring("9223372036854775807"), call.presigned, 0, 0, "IncompleteSignature"},
		} {
			c.call.at = time.Now().Add(c.ahead)
			r := c.sign(c.call, t, "http://sqs.example.com")
			<-time.After(c.after)
			a := do(t, locked(), r)
			require.Equal(t, c.code, a.code, "%s: %s", name, a.text)
		}
	})
}

// TestPublishedVectors are of AWS's signing test suite.
// https://github.com/awslabs/aws-c-auth/tree/main/tests/aws-signing-test-suite/v4
func TestPublishedVectors(t *testing.T) {
	t.Parallel()
	empty := http.Header{}
	for name, c := range map[string]struct {
		method, url, signed, sum string
		header                   http.Header
		body                     string
	}{
		"get-vanilla":                      {"GET", "/", "host;x-amz-date", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31", empty, ""},
		"post-vanilla":                     {"POST", "/", "host;x-amz-date", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b", empty, ""},
		"get-relative-normalized":          {"GET", "/example/..", "host;x-amz-date", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31", empty, ""},
		"get-slash-dot-slash-normalized":   {"GET", "/./", "host;x-amz-date", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31", empty, ""},
		"get-slashes-normalized":           {"GET", "//example//", "host;x-amz-date", "9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84", empty, ""},
		"get-utf8":                         {"GET", "/ሴ", "host;x-amz-date", "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85", empty, ""},
		"get-vanilla-utf8-query":           {"GET", "/?ሴ=bar", "host;x-amz-date", "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04", empty, ""},
		"get-vanilla-query-order-key-case": {"GET", "/?Param2=value2&Param1=value1", "host;x-amz-date", "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500", empty, ""},
		"get-vanilla-query-order-encoded":  {"GET", "/?Param-3=Value3&Param=Value2&%E1%88%B4=Value1", "host;x-amz-date", "371d3713e185cc334048618a97f809c9ffe339c62934c032af5a0e595648fcac", empty, ""},
		"get-header-key-duplicate": {"GET", "/", "host;my-header1;x-amz-date", "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea",
			http.Header{"My-Header1": {"value2", "value2", "value1"}}, ""},
		"get-header-value-trim": {"GET", "/", "host;my-header1;my-header2;x-amz-date", "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
			http.Header{"My-Header1": {" value1"}, "My-Header2": {` "a   b   c"`}}, ""},
		"get-vanilla-with-session-token": {"GET", "/", "host;x-amz-date;x-amz-security-token", "07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8",
			http.Header{"X-Amz-Security-Token": {"6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267"}}, ""},
		"post-x-www-form-urlencoded-parameters": {"POST", "/", "content-length;content-type;host;x-amz-content-sha256;x-amz-date", "328d1b9eaadca9f5818ef05e8392801e091653bafec24fcab71e7344e7f51422",
			http.Header{"Content-Type": {"application/x-www-form-urlencoded; charset=utf-8"}, "X-Amz-Content-Sha256": {"9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e"}}, "Param1=value1"},
		"get-slashes-normalized, presigned": {"GET", "//example//?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDEXAMPLE%2F20150830%2Fus-east-1%2Fservice%2Faws4_request" +
			"&X-Amz-Date=20150830T123600Z&X-Amz-SignedHeaders=host&X-Amz-Expires=3600&X-Amz-Signature=c1834e8fb0307243711f0f907f6ab7311ed300d87f13792d7ee4da89ab93e082", "", "", empty, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				<-time.After(time.Until(time.Date(2015, 8, 30, 12, 36, 0, 0, time.UTC)))
				u, err := url.ParseRequestURI(c.url)
				require.NoError(t, err)
				r := &http.Request{Method: c.method, URL: u, Host: "example.amazonaws.com", Header: c.header.Clone(), ContentLength: int64(len(c.body))}
				r.Header.Set("X-Amz-Date", "20150830T123600Z")
				if c.signed != "" {
					r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders="+c.signed+", Signature="+c.sum)
				}
				who, err := locked().Verifier.Verify(r, []byte(c.body))
				require.NoError(t, err)
				require.Equal(t, awswire.Identity{AccessKey: keyID, Account: "123456789012", Region: "us-east-1", Service: "service"}, who)
			})
		})
	}
}

// TestDateHeader is get-vanilla of the suite's first edition, when requests had
// a Date and no X-Amz-Date.
func TestDateHeader(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		<-time.After(time.Until(time.Date(2011, 9, 9, 23, 36, 0, 0, time.UTC)))
		r := httptest.NewRequest(http.MethodGet, "http://host.foo.com/", nil)
		r.Header.Set("Date", "Mon, 09 Sep 2011 23:36:00 GMT")
		r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20110909/us-east-1/host/aws4_request, "+
			"SignedHeaders=date;host, Signature=b27ccfbfa7df52a200ff74193ca6e32d4b48b8856fab7ebf1c595d0670a7e470")
		who, err := locked().Verifier.Verify(r, nil)
		require.NoError(t, err)
		require.Equal(t, "host", who.Service)
	})
}

func TestOpen(t *testing.T) {
	t.Parallel()
	named := func(credential string) *http.Request {
		r := form("Action=Echo")
		r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+credential+", SignedHeaders=host, Signature=0")
		return r
	}
	presigned := httptest.NewRequest(http.MethodGet, "/?Action=Echo&X-Amz-Signature=x&X-Amz-Credential=000000000042%2F20150830%2Feu-north-1%2Fsns%2Faws4_request", nil)
	for want, r := range map[string]*http.Request{
		"000000000000 us-east-1  ":                      form("Action=Echo"),
		"000000000000 eu-west-1 test sqs":               named("test/20150830/eu-west-1/sqs/aws4_request"),
		"123456789012 us-west-2 123456789012 sqs":       named("123456789012/20150830/us-west-2/sqs/aws4_request"),
		"000000000000 us-west-2 12345678901 sqs":        named("12345678901/20150830/us-west-2/sqs/aws4_request"),
		"000000000000 us-east-1 test sqs":               named("test/20150830/E:U/sqs/aws4_request"),
		"000000000042 eu-north-1 000000000042 sns":      presigned,
		"000000000000 ap-south-1 " + keyID + " sqs":     call{path: "/", body: "Action=Echo", region: "ap-south-1"}.signed(t, "http://a"),
		"000000000000 sa-east-1 " + keyID + " whatever": call{path: "/", body: "Action=Echo", region: "sa-east-1", service: "whatever"}.signed(t, "http://a"),
	} {
		a := do(t, open(), r)
		require.Equal(t, http.StatusOK, a.status, a.text)
		require.Contains(t, a.text, "<Who>"+want+"</Who>")
	}
	garbled := form("Action=Echo")
	garbled.Header.Set("Authorization", "what ever")
	require.Contains(t, do(t, open(), garbled).text, "<Who>000000000000 us-east-1  </Who>")
}
