package downstream_test

import (
	"context"
	"crypto/md5" //nolint:gosec // SQS's checksum
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/channels/channeltest"
	"github.com/fanfare-gateway/fanfare/channels/downstream"
)

// against makes a channel whose service answers with h, and counts requests.
func against(t *testing.T, h http.HandlerFunc) (*downstream.Channel, string, *atomic.Int32) {
	t.Helper()
	count := new(atomic.Int32)
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		count.Add(1)
		h(w, r)
	}))
	t.Cleanup(srv.Close)
	o := account(t)
	o.Endpoint, o.RootCAs = srv.URL, x509.NewCertPool()
	o.RootCAs.AddCert(srv.Certificate())
	return open(t, o), srv.URL + "/queue/orders", count
}

func answer(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}
}

func TestStrangeAnswers(t *testing.T) {
	t.Parallel()
	for name, k := range map[string]struct {
		handler http.HandlerFunc
		kind    channels.Kind
		code    string
	}{
		"success that is no JSON":    {answer(200, "<html>leak</html>"), channels.Uncertain, "no_answer"},
		"success cut short":          {answer(200, `{"MessageId":"lea`), channels.Uncertain, "no_answer"},
		"endless":                    {answer(200, `{"MessageId":"`+strings.Repeat("leak", 1<<20)), channels.Uncertain, "no_answer"},
		"another text was stored":    {answer(200, `{"MessageId":"1","MD5OfMessageBody":"d41d8cd98f00b204e9800998ecf8427e"}`), channels.Temporary, "checksum_mismatch"},
		"a proxy's page":             {answer(502, "<html>leak</html>"), channels.Temporary, ""},
		"JSON protocol's names only": {answer(400, `{"__type":"com.amazonaws.sqs#QueueDoesNotExist","message":"leak"}`), channels.EndpointGone, "QueueDoesNotExist"},
		"JSON names of credentials":  {answer(400, `{"__type":"com.amazon.coral.service#UnrecognizedClientException","message":"leak"}`), channels.AccountFault, "UnrecognizedClientException"},
		"a code that is a text":      {answer(500, `{"__type":"leak: your secret is 12","message":"leak"}`), channels.Temporary, "leak"},
		"a code that is no word":     {answer(500, `{"__type":"<leak>","message":"leak"}`), channels.Temporary, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, queue, count := against(t, k.handler)
			_, err := c.Deliver(t.Context(), channeltest.Delivery(queue, 1))
			got := requireKind(t, k.kind, err)
			require.Equal(t, k.code, got.Code)
			if k.code != "leak" {
				require.NotContains(t, err.Error(), "leak")
			}
			require.EqualValues(t, 1, count.Load())
		})
	}
}

// TestAnswerBeforeTheRequestEnds: a service that begins its answer while the
// request is still on its way stores the message, and is believed.
func TestAnswerBeforeTheRequestEnds(t *testing.T) {
	t.Parallel()
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex()
		sum := md5.Sum([]byte(strings.Repeat("x", 1<<20-1<<10))) //nolint:gosec // SQS's checksum
		text := fmt.Sprintf(`{"MessageId":"m","MD5OfMessageBody":"%x"}`, sum)
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		w.Header().Set("Content-Length", strconv.Itoa(len(text)))
		_, _ = io.WriteString(w, text[:1])
		_ = http.NewResponseController(w).Flush()
		if n, _ := io.Copy(io.Discard, r.Body); n == r.ContentLength {
			_, _ = io.WriteString(w, text[1:])
		}
	}))
	// Little of the request is on its way when the handler answers.
	const few = 64 << 10
	srv.Config.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		_ = c.(*net.TCPConn).SetReadBuffer(few)
		return ctx
	}
	srv.Start()
	t.Cleanup(srv.Close)
	o := account(t)
	o.Endpoint = srv.URL
	o.Control = func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) { _ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_SNDBUF, few) })
	}
	d := channeltest.Delivery(srv.URL+"/queue/orders", 1)
	d.Content.Payload = []byte(strings.Repeat("x", 1<<20-1<<10))
	r, err := open(t, o).Deliver(t.Context(), d)
	require.NoError(t, err)
	require.Equal(t, "m", r.ProviderID)
}

func TestBatchAnswerForgetsEntries(t *testing.T) {
	t.Parallel()
	c, queue, _ := against(t, answer(200, `{"Successful":[{"Id":"1","MessageId":"m"},{"Id":"7"},{"Id":"x"}],"Failed":[]}`))
	results := c.DeliverBatch(t.Context(), []channels.Delivery{channeltest.Delivery(queue, 1), channeltest.Delivery(queue, 2)})
	requireKind(t, channels.Uncertain, results[0].Err)
	require.NoError(t, results[1].Err)
	require.Equal(t, "m", results[1].Receipt.ProviderID)
}

func TestRedirectIsNotFollowed(t *testing.T) {
	t.Parallel()
	c, queue, count := against(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
	})
	_, err := c.Deliver(t.Context(), channeltest.Delivery(queue, 1))
	var got *channels.Error
	require.ErrorAs(t, err, &got)
	require.Equal(t, channels.Temporary, got.Kind)
	require.Equal(t, http.StatusTemporaryRedirect, got.Status)
	require.EqualValues(t, 1, count.Load())
}

func TestGuardAndUnreachable(t *testing.T) {
	t.Parallel()
	sb := start(t)
	o, queue := options(t, sb), sb.SQS.AddQueue("orders")
	o.Control = channels.Guard{}.Control
	_, err := open(t, o).Deliver(t.Context(), channeltest.Delivery(queue, 1))
	require.Equal(t, "blocked_address", requireKind(t, channels.Rejected, err).Code)

	o.Control = func(string, string, syscall.RawConn) error { return syscall.ENETUNREACH }
	_, err = open(t, o).Deliver(t.Context(), channeltest.Delivery(queue, 1))
	got := requireKind(t, channels.Temporary, err)
	require.Equal(t, "connect", got.Code)
	require.True(t, got.Unreachable)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	results := open(t, options(t, sb)).DeliverBatch(ctx, []channels.Delivery{channeltest.Delivery(queue, 1)})
	requireKind(t, channels.Temporary, results[0].Err)
	require.Empty(t, sb.Requests("sqs", ""))
}
