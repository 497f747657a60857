package awswire_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/fanfare-gateway/fanfare/gateway/awswire"
)

// sink takes an answer and forgets it.
type sink struct{ header http.Header }

func (s sink) Header() http.Header         { return s.header }
func (s sink) Write(b []byte) (int, error) { return len(b), nil }
func (s sink) WriteHeader(int)             {}

// benchmark serves the same request over and over.
func benchmark(b *testing.B, h http.Handler, r *http.Request, body string) {
	b.Helper()
	w := httptest.NewRecorder()
	r.Body = io.NopCloser(strings.NewReader(body))
	h.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		b.Fatal(w.Body)
	}
	b.ReportAllocs()
	for b.Loop() {
		r.Body = io.NopCloser(strings.NewReader(body))
		h.ServeHTTP(sink{http.Header{}}, r)
	}
}

// BenchmarkSendMessage is what the wire costs a SendMessage of 1 KiB with an
// attribute: read, decoded, run for nothing, answered; and what its signature costs.
func BenchmarkSendMessage(b *testing.B) {
	text := strings.Repeat("0123456789abcdef", 64)
	asJSON := `{"QueueUrl":"http://127.0.0.1:8080/000000000000/orders","MessageBody":"` + text +
		`","MessageAttributes":{"kind":{"DataType":"String","StringValue":"order"}}}`
	asForm := url.Values{
		"Action": {"SendMessage"}, "Version": {"2012-11-05"}, "QueueUrl": {"http://127.0.0.1:8080/000000000000/orders"}, "MessageBody": {text},
		"MessageAttribute.1.Name": {"kind"}, "MessageAttribute.1.Value.DataType": {"String"}, "MessageAttribute.1.Value.StringValue": {"order"},
	}.Encode()
	for _, c := range []struct {
		name string
		h    *awswire.Handler
	}{{"open", open()}, {"signed", locked()}} {
		b.Run("json/"+c.name, func(b *testing.B) {
			header := http.Header{"X-Amz-Target": {"AmazonSQS.SendMessage"}, "Content-Type": {"application/x-amz-json-1.0"}}
			benchmark(b, c.h, call{path: "/", body: asJSON, header: header}.signed(b, "http://127.0.0.1:8080"), asJSON)
		})
		b.Run("form/"+c.name, func(b *testing.B) {
			benchmark(b, c.h, call{path: "/", body: asForm}.signed(b, "http://127.0.0.1:8080"), asForm)
		})
	}
}
