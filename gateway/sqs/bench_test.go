package sqs_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/gateway/sqs"
	"github.com/fanfare-gateway/fanfare/queue"
)

const benchBody = 1024

// spent is what a run took: of the clock, and of all cores.
type spent struct{ wall, cpu time.Duration }

func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u) // cannot fail for oneself
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// callers runs call n times in all from as many goroutines, and tells what
// that took.
func callers(goroutines, n int, call func(goroutine, i int)) spent {
	var next atomic.Int64
	var wg sync.WaitGroup
	start, cpu := time.Now(), cpuTime()
	for g := range goroutines {
		wg.Go(func() {
			for i := next.Add(1); i <= int64(n); i = next.Add(1) {
				call(g, int(i))
			}
		})
	}
	wg.Wait()
	return spent{time.Since(start), cpuTime() - cpu}
}

// raw is how long Pebble takes to put n values of 1 KiB, perBatch to a synced
// commit, and to delete each in a second one if it is to.
func raw(b *testing.B, goroutines, n, perBatch int, remove bool) spent {
	b.Helper()
	db, err := pebble.Open(b.TempDir(), &pebble.Options{
		MemTableSize: 64 << 20, FormatMajorVersion: pebble.FormatValueSeparation, Logger: quiet{},
	})
	require.NoError(b, err)
	defer func() { require.NoError(b, db.Close()) }()
	body := make([]byte, benchBody)
	commit := func(i int, change func(batch *pebble.Batch, key []byte) error) {
		batch := db.NewBatch()
		for j := range perBatch {
			if err := change(batch, binary.BigEndian.AppendUint64(make([]byte, 8, 16), uint64(i*perBatch+j))); err != nil {
				b.Error(err)
			}
		}
		if err := batch.Commit(pebble.Sync); err != nil {
			b.Error(err)
		}
	}
	return callers(goroutines, n/perBatch, func(_, i int) {
		commit(i, func(batch *pebble.Batch, key []byte) error { return batch.Set(key, body, nil) })
		if remove {
			commit(i, func(batch *pebble.Batch, key []byte) error { return batch.Delete(key, nil) })
		}
	})
}

type quiet struct{}

func (quiet) Infof(string, ...any)           {}
func (quiet) Errorf(string, ...any)          {}
func (quiet) Fatalf(format string, a ...any) { panic(fmt.Sprintf(format, a...)) }

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

// report prints the rates, their ratio, and the processor time a message takes,
// the load's included.
func report(b *testing.B, took, raw spent, n int) {
	b.ReportMetric(float64(n)/took.wall.Seconds(), "msg/s")
	b.ReportMetric(float64(n)/raw.wall.Seconds(), "raw/s")
	b.ReportMetric(raw.wall.Seconds()/took.wall.Seconds(), "ratio")
	b.ReportMetric(float64(took.cpu.Microseconds())/float64(n), "cpu-µs/msg")
	b.ReportMetric(float64(raw.cpu.Microseconds())/float64(n), "raw-cpu-µs/msg")
	b.ReportMetric(0, "ns/op")
}

// batchBody is a SendMessageBatch of 10.
func batchBody(url string) string {
	body := strings.Repeat("x", benchBody)
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
			base := raw(b, c.connections, n, c.perBatch, false)
			f, url := benchFace(b)
			conns := connect(b, f, c.connections)
			req := request(f, "SendMessage", `{"QueueUrl":"`+url+`","MessageBody":"`+strings.Repeat("x", benchBody)+`"}`)
			if c.perBatch > 1 {
				req = request(f, "SendMessageBatch", batchBody(url))
			}
			took := callers(c.connections, n/c.perBatch, func(g, _ int) { conns[g].call(b, req) })
			report(b, took, base, n)
		})
	}
}

// BenchmarkReceiveDelete prints how fast messages are received and deleted in
// batches of 10, as a ratio of raw Pebble putting and deleting as many.
func BenchmarkReceiveDelete(b *testing.B) {
	const connections, perBatch = 16, 10
	n := max(b.N/perBatch*perBatch, 1000)
	base := raw(b, connections, n, perBatch, true)
	f, url := benchFace(b)
	conns := connect(b, f, connections)
	send := request(f, "SendMessageBatch", batchBody(url))
	callers(connections, n/perBatch, func(g, _ int) { conns[g].call(b, send) })
	receive := request(f, "ReceiveMessage", `{"QueueUrl":"`+url+`","MaxNumberOfMessages":10}`)
	var got atomic.Int64
	took := callers(connections, n/perBatch, func(g, _ int) {
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
	report(b, took, base, n)
}
