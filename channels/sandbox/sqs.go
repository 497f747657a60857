package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// EachEntry as the Message of the answer a SendMessageBatch finds gives every
// entry of the batch an answer of its own: the first entry that one, each
// further entry the next of the queue's script. Without it the answer is for
// the whole request. An entry's failure is the sender's fault with a 4xx status
// (or a code that implies one), the service's with a 5xx.
const EachEntry = "entry"

// The limits of a request and of FIFO deduplication.
const (
	maxSQSRequest = 16 << 20 // 1 MiB of message text, escaped
	sqsDedupTime  = 5 * time.Minute
)

// sqsQueueName: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_CreateQueue.html
var sqsQueueName = regexp.MustCompile(`^([A-Za-z0-9_-]{1,80}|[A-Za-z0-9_-]{1,75}\.fifo)$`)

// SQS is an SQS endpoint with the actions SendMessage, SendMessageBatch,
// CreateQueue and ListQueues of the AWS JSON 1.0 protocol. A recipient is a
// queue's URL. A queue exists after AddQueue, CreateQueue, or when there is a
// script for it. ListQueues takes its answers from the recipient "ListQueues".
type SQS struct {
	// URL is the endpoint, Region the one requests must be signed for.
	URL, Region string
	// AccessKeyID and SecretAccessKey are the credentials that are taken.
	AccessKeyID, SecretAccessKey string

	core  *core
	close func() error

	mu     sync.Mutex
	queues map[string]bool
	seen   map[[2]string]sqsSent // FIFO deduplication, by queue and id
	swept  time.Time             // when seen was last rid of what is too old
	number int
}

// sqsSent is a message a FIFO queue has taken.
type sqsSent struct {
	id, number string
	at         time.Time
}

func startSQS(c *core) (*SQS, error) {
	l, err := c.kept.listen("sqs")
	if err != nil {
		return nil, err
	}
	f := &SQS{
		URL: "http://" + l.Addr().String(), Region: awsRegion, AccessKeyID: awsAccessKey, SecretAccessKey: awsSecretKey,
		core: c, queues: map[string]bool{}, seen: map[[2]string]sqsSent{},
	}
	if _, err := c.kept.get("sqs.queues", &f.queues); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	f.remember()
	f.close = serveHTTP(l, http.HandlerFunc(f.serve))
	return f, nil
}

// remember takes up from the inbox what FIFO queues took in an earlier run.
func (f *SQS) remember() {
	for _, it := range f.core.Inbox(ProviderSQS, "") {
		if number := it.Fields["sequence"]; number != "" {
			f.seen[[2]string{it.Recipient, it.Delivery}] = sqsSent{id: it.ID, number: number, at: it.At}
		}
	}
	f.number = f.core.last() // each of them was a request
}

// Close ends the listener.
func (f *SQS) Close() error { return f.close() }

// AddQueue makes a queue and returns its URL. A name that ends in ".fifo" makes
// a FIFO queue without content-based deduplication.
func (f *SQS) AddQueue(name string) string {
	url := f.URL + "/" + awsAccount + "/" + name
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.queues[url] {
		f.queues[url] = true
		f.core.kept.mustPut("sqs.queues", f.queues)
	}
	return url
}

func (f *SQS) exists(url string) bool {
	f.mu.Lock()
	known := f.queues[url]
	f.mu.Unlock()
	return known || (strings.HasPrefix(url, f.URL+"/") && f.core.scripted(ProviderSQS, url))
}

// sqsRequest is the body of all actions.
type sqsRequest struct {
	QueueURL   string `json:"QueueUrl"`
	QueueName  string
	MaxResults int
	sqsEntry
	Entries []sqsEntry
}

func (f *SQS) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxSQSRequest))
	var in sqsRequest
	malformed := json.Unmarshal(body, &in)
	action, _ := strings.CutPrefix(r.Header.Get("X-Amz-Target"), "AmazonSQS.")
	refuse := func(code string) { f.refuse(w, in, action, sqsErrorFor(code, 0)) }
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		refuse("RequestEntityTooLargeException")
		return
	}
	if err != nil {
		abort()
	}
	if code := verifySigV4(r, body, "sqs"); code != "" {
		refuse(code)
		return
	}
	if r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/x-amz-json-1.0" {
		refuse("UnknownOperationException")
		return
	}
	if malformed != nil {
		refuse("InvalidParameterValue")
		return
	}
	switch action {
	case "SendMessage":
		f.send(w, r, action, in.QueueURL, []sqsEntry{in.sqsEntry})
	case "SendMessageBatch":
		if code := checkSQSBatch(in.Entries); code != "" {
			refuse(code)
			return
		}
		f.send(w, r, action, in.QueueURL, in.Entries)
	case "CreateQueue":
		if !sqsQueueName.MatchString(in.QueueName) {
			refuse("InvalidParameterValue")
			return
		}
		writeAWSJSON(w, http.StatusOK, map[string]string{"QueueUrl": f.AddQueue(in.QueueName)})
	case "ListQueues":
		f.list(w, r)
	default:
		refuse("UnknownOperationException")
	}
}

// refuse answers a request that never came to a queue, and notes it.
func (f *SQS) refuse(w http.ResponseWriter, in sqsRequest, action string, e sqsError) {
	if strings.HasPrefix(action, "SendMessage") {
		f.core.record(Item{
			Provider: ProviderSQS, Recipient: in.QueueURL, Body: in.MessageBody,
			Status: e.status, Code: e.query, Fields: map[string]string{"action": action},
		})
	}
	e.refuse(w, 0)
}

func (f *SQS) list(w http.ResponseWriter, r *http.Request) {
	a := f.core.next(ProviderSQS, "ListQueues")
	a.wait(r.Context())
	if a.Hang || a.Drop != "" {
		abort()
	}
	if a.refuses() {
		scriptedSQS(a).refuse(w, a.RetryAfter)
		return
	}
	f.mu.Lock()
	urls := slices.Sorted(maps.Keys(f.queues))
	f.mu.Unlock()
	writeAWSJSON(w, http.StatusOK, map[string]any{"QueueUrls": urls[:min(len(urls), 1000)]})
}

// checkSQSBatch is what SQS would find wrong with a batch as a whole.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html
func checkSQSBatch(entries []sqsEntry) string {
	size, ids := 0, map[string]bool{}
	for i := range entries {
		e := &entries[i]
		if !sqsEntryID.MatchString(e.ID) {
			return "InvalidBatchEntryId"
		}
		size += e.size()
		ids[e.ID] = true
	}
	switch {
	case len(entries) == 0:
		return "EmptyBatchRequest"
	case len(entries) > 10:
		return "TooManyEntriesInBatchRequest"
	case len(ids) < len(entries):
		return "BatchEntryIdsNotDistinct"
	case size > maxSQS:
		return "BatchRequestTooLong"
	}
	return ""
}

// writeAWSJSON answers in the AWS JSON 1.0 protocol.
func writeAWSJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("answer of a fake: %v", err)) // strings and numbers only
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	if w.Header().Get("X-Amzn-Requestid") == "" {
		w.Header().Set("X-Amzn-Requestid", awsRequestID())
	}
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client went away: nobody to tell
}
