package awswire_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// FuzzForm: whatever the form, the answer is 200 or an error of the caller's.
func FuzzForm(f *testing.F) {
	for _, body := range []string{
		"Action=Echo&QueueUrl=u&AttributeName.1=a&AttributeName.3=b&Tags.member.1.Key=k",
		"Action=Echo&MessageAttribute.1.Name=n&MessageAttribute.1.Value.BinaryListValue.1=AA%3D%3D",
		"Action=Echo&DelaySeconds=-1&Raw=T&More.DataType=x&Attributes.entry.1.key=", "%zz", "Action=Echo;", "Action=%00&Version=2010-03-31",
	} {
		f.Add(body)
	}
	h := open()
	f.Fuzz(func(t *testing.T, body string) {
		a := do(t, h, form(body))
		require.Less(t, a.status, http.StatusInternalServerError, a.text)
		require.True(t, utf8.ValidString(a.text))
	})
}

// FuzzJSON: as FuzzForm.
func FuzzJSON(f *testing.F) {
	for _, body := range []string{
		`{"QueueUrl":"u","MessageAttributes":{"a":{"BinaryListValues":["AA=="]}},"Tags":[{}]}`, `null`, `[]`, `{"DelaySeconds":1e400}`, `{"More":null}`, "{\"a\":\"\xff\"}",
	} {
		f.Add("AmazonSQS.Echo", body)
	}
	f.Add("AmazonSQS", "{}")
	f.Add("x\x00.Echo.", "{}")
	h := open()
	f.Fuzz(func(t *testing.T, target, body string) {
		if target == "" {
			return // then it is no JSON call
		}
		a := do(t, h, jsonCall(target, body))
		require.Less(t, a.status, http.StatusInternalServerError, a.text)
		require.True(t, utf8.ValidString(a.text))
	})
}

// FuzzAuthorization: nobody gets in without the secret, and every refusal is AWS's.
func FuzzAuthorization(f *testing.F) {
	for _, header := range []string{
		"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/sqs/aws4_request, SignedHeaders=host;x-amz-date, Signature=00",
		"AWS4-HMAC-SHA256 Credential=////,SignedHeaders=;,Signature==", "AWS4-HMAC-SHA256 =,", "Bearer x", "",
	} {
		f.Add(header, "20150830T123600Z")
	}
	f.Add("AWS4-HMAC-SHA256 Credential=a/b/c/d/e SignedHeaders=host Signature=f", "Mon, 09 Sep 2011 23:36:00 GMT")
	h, lax := locked(), open()
	f.Fuzz(func(t *testing.T, header, date string) {
		r := form("Action=Echo")
		r.Header.Set("Authorization", header)
		r.Header.Set("X-Amz-Date", date)
		refused(t, do(t, h, r))
		r = form("Action=Echo")
		r.Header.Set("Authorization", header)
		require.Equal(t, http.StatusOK, do(t, lax, r).status)
	})
}

// FuzzPresigned: as FuzzAuthorization, for the query.
func FuzzPresigned(f *testing.F) {
	f.Add("Action=Echo&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDEXAMPLE%2F20150830%2Fus-east-1%2Fsqs%2Faws4_request" +
		"&X-Amz-Date=20150830T123600Z&X-Amz-SignedHeaders=host&X-Amz-Expires=3600&X-Amz-Signature=00")
	f.Add("Action=Echo&X-Amz-Algorithm=&X-Amz-Expires=-1")
	f.Add("X-Amz-Signature=%zz;")
	h := locked()
	f.Fuzz(func(t *testing.T, query string) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.URL = &url.URL{Path: "/" + strings.ToValidUTF8(query, ""), RawQuery: query}
		refused(t, do(t, h, r))
	})
}

func refused(t *testing.T, a answer) {
	t.Helper()
	require.Contains(t, []int{http.StatusBadRequest, http.StatusForbidden, http.StatusNotFound}, a.status, a.text)
	require.NotEmpty(t, a.code)
	require.NotContains(t, a.text, secret)
}
