package sqs_test

import (
	"bufio"
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/gateway/sqs"
	"github.com/fanfare-gateway/fanfare/queue"
	"github.com/fanfare-gateway/fanfare/queue/queuetest"
)

// connection is a client that costs little: the load's cores are the server's too.
type connection struct {
	net.Conn
	in   *bufio.Reader
	body []byte
}

func connect(b *testing.B, f *face, n int) []*connection {
	b.Helper()
	out := make([]*connection, n)
	for i := range out {
		c, err := net.Dial("tcp", strings.TrimPrefix(f.url, "http://"))
		require.NoError(b, err)
		b.Cleanup(func() { require.NoError(b, c.Close()) })
		out[i] = &connection{Conn: c, in: bufio.NewReader(c)}
	}
	return out
}

func request(f *face, action, body string) []byte {
	return fmt.Appendf(nil, "POST / HTTP/1.1\r\nHost: %s\r\nContent-Type: application/x-amz-json-1.0\r\nX-Amz-Target: AmazonSQS.%s\r\nContent-Length: %d\r\n\r\n%s",
		strings.TrimPrefix(f.url, "http://"), action, len(body), body)
}

// call sends a request and gives the answer's body, which the next call overwrites.
func (c *connection) call(b *testing.B, req []byte) []byte {
	if _, err := c.Write(req); err != nil {
		b.Error(err)
		return nil
	}
	status, err := c.in.ReadSlice('\n')
	if err != nil || !bytes.HasPrefix(status, []byte("HTTP/1.1 200 ")) {
		b.Error(err, string(status))
		return nil
	}
	length := 0
	for {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			b.Error(err)
			return nil
		}
		if len(line) == len("\r\n") {
			break
		}
		if value, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			length, _ = strconv.Atoi(string(bytes.TrimSpace(value)))
		}
	}
	c.body = slices.Grow(c.body[:0], length)[:length]
	if _, err := io.ReadFull(c.in, c.body); err != nil {
		b.Error(err)
	}
	return c.body
}

func benchFace(b *testing.B) (*face, string) {
	b.Helper()
	store, err := queue.Open(b.TempDir(), queue.Options{})
	require.NoError(b, err)
	f := serve(b, sqs.Options{Store: store})
	return f, *f.create(b, "work")
}

func sendRequest(f *face, url string) []byte {
	return request(f, "SendMessage", `{"QueueUrl":"`+url+`","MessageBody":"`+strings.Repeat("x", queuetest.BodySize)+`"}`)
}

// batchBody is a SendMessageBatch of 10.
func batchBody(url string) string {
	body := strings.Repeat("x", queuetest.BodySize)
	var entries []string
	for i := range 10 {
		entries = append(entries, fmt.Sprintf(`{"Id":"%d","MessageBody":"%s"}`, i, body))
	}
	return `{"QueueUrl":"` + url + `","Entries":[` + strings.Join(entries, ",") + `]}`
}

// BenchmarkSend prints how fast messages of 1 KiB are sent over the wire, as a
// ratio of raw Pebble putting the same bytes with as many callers in the same
// run.
func BenchmarkSend(b *testing.B) {
	for _, c := range []struct{ connections, perBatch int }{{64, 1}, {16, 10}} {
		b.Run(fmt.Sprintf("connections=%d/batch=%d", c.connections, c.perBatch), func(b *testing.B) {
			n := max(b.N, 1000)
			f, url := benchFace(b)
			conns := connect(b, f, c.connections)
			req := sendRequest(f, url)
			if c.perBatch > 1 {
				req = request(f, "SendMessageBatch", batchBody(url))
			}
			queuetest.Compare(b, c.connections, n, c.perBatch, queuetest.Raw(b, c.perBatch, false),
				func(g, _ int) { conns[g].call(b, req) })
		})
	}
}

// BenchmarkFloor prints the same of a server of a few lines, which decodes a
// message, puts it into raw Pebble and answers: what net/http and encoding/json
// leave of the ratio on this machine.
func BenchmarkFloor(b *testing.B) {
	const connections = 64
	put := queuetest.Raw(b, 1, false)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in struct{ QueueURL, MessageBody string }
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			b.Error(err)
		}
		put(0, 0)
		sum := md5.Sum([]byte(in.MessageBody))
		answer, err := json.Marshal(map[string]string{"MD5OfMessageBody": hex.EncodeToString(sum[:]), "MessageId": "1"})
		if err != nil {
			b.Error(err)
		}
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		_, _ = w.Write(answer)
	}))
	b.Cleanup(srv.Close)
	f := &face{url: srv.URL}
	conns := connect(b, f, connections)
	req := sendRequest(f, srv.URL)
	queuetest.Compare(b, connections, max(b.N, 1000), 1, queuetest.Raw(b, 1, false), func(g, _ int) { conns[g].call(b, req) })
}

// BenchmarkReceiveDelete prints how fast messages are received and deleted in
// batches of 10, as a ratio of raw Pebble putting and deleting as many.
func BenchmarkReceiveDelete(b *testing.B) {
	const connections, perBatch = 16, 10
	n := max(b.N/1000*1000, 1000)
	f, url := benchFace(b)
	conns := connect(b, f, connections)
	send := request(f, "SendMessageBatch", batchBody(url))
	queuetest.Callers(connections, n/perBatch, func(g, _ int) { conns[g].call(b, send) })
	receive := request(f, "ReceiveMessage", `{"QueueUrl":"`+url+`","MaxNumberOfMessages":10}`)
	var got atomic.Int64
	queuetest.Compare(b, connections, n, perBatch, queuetest.Raw(b, perBatch, true), func(g, _ int) {
		parts := bytes.Split(conns[g].call(b, receive), []byte(`"ReceiptHandle":"`))[1:]
		var entries []string
		for i, p := range parts {
			handle, _, _ := bytes.Cut(p, []byte(`"`))
			entries = append(entries, fmt.Sprintf(`{"Id":"%d","ReceiptHandle":"%s"}`, i, handle))
		}
		got.Add(int64(len(entries)))
		conns[g].call(b, request(f, "DeleteMessageBatch", `{"QueueUrl":"`+url+`","Entries":[`+strings.Join(entries, ",")+`]}`))
	})
	require.EqualValues(b, n, got.Load())
}
