package sandbox

import (
	"fmt"
	"maps"
	"net/http"
	"time"
)

// sqsResult is what became of one message of a request.
type sqsResult struct {
	entry   *sqsEntry
	err     *sqsError // nil: taken
	sent    sqsSent
	repeat  bool // taken before, by its deduplication id
	request string
}

// send plays SendMessage and SendMessageBatch.
func (f *SQS) send(w http.ResponseWriter, r *http.Request, action, url string, entries []sqsEntry) {
	request := awsRequestID()
	w.Header().Set("X-Amzn-Requestid", request)
	results := make([]sqsResult, len(entries))
	for i := range entries {
		results[i] = sqsResult{entry: &entries[i], request: request}
		if code := entries[i].check(url); code != "" {
			e := sqsErrorFor(code, 0)
			results[i].err = &e
		}
	}
	single := action == "SendMessage"
	if !f.exists(url) {
		f.failAll(w, action, url, results, sqsErrorFor("QueueDoesNotExist", 0), 0)
		return
	}
	if single && results[0].err != nil {
		f.failAll(w, action, url, results, *results[0].err, 0)
		return
	}
	a := f.core.next(ProviderSQS, url)
	a.wait(r.Context())
	each := !single && a.Message == EachEntry
	switch {
	case a.Hang || a.Drop == DropBefore:
		f.note(action, url, results, false)
		abort()
	case a.refuses() && !each:
		f.failAll(w, action, url, results, scriptedSQS(a), a.RetryAfter)
		return
	}
	if each {
		f.scriptEntries(url, a, results)
	}
	f.take(url, results)
	f.note(action, url, results, true)
	if a.Drop == DropAfter {
		abort()
	}
	writeAWSJSON(w, http.StatusOK, sqsAnswer(results, single))
}

// failAll refuses a request as a whole.
func (f *SQS) failAll(w http.ResponseWriter, action, url string, results []sqsResult, e sqsError, retryAfter int) {
	for i := range results {
		results[i].err = &e
	}
	f.note(action, url, results, false)
	e.refuse(w, retryAfter)
}

func (f *SQS) scriptEntries(url string, first Answer, results []sqsResult) {
	for i := range results {
		a := first
		if i > 0 {
			a = f.core.next(ProviderSQS, url)
		}
		if a.refuses() && results[i].err == nil {
			e := scriptedSQS(a)
			results[i].err = &e
		}
	}
}

// take gives the good messages ids, a repeated one of a FIFO queue its old id.
func (f *SQS) take(url string, results []sqsResult) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	f.sweep(now)
	for i := range results {
		res := &results[i]
		if res.err != nil {
			continue
		}
		res.sent = sqsSent{id: awsRequestID(), at: now}
		if res.entry.DeduplicationID == "" {
			continue
		}
		key := [2]string{url, res.entry.DeduplicationID}
		if old, ok := f.seen[key]; ok && now.Sub(old.at) < sqsDedupTime {
			res.sent, res.repeat = old, true
			continue
		}
		f.number++
		res.sent.number = fmt.Sprintf("%020d", f.number)
		f.seen[key] = res.sent
	}
}

// sweep forgets now and then what is too old to be a duplicate's original.
func (f *SQS) sweep(now time.Time) {
	if now.Sub(f.swept) < sqsDedupTime {
		return
	}
	f.swept = now
	maps.DeleteFunc(f.seen, func(_ [2]string, sent sqsSent) bool { return now.Sub(sent.at) >= sqsDedupTime })
}

// note records each message. A repeated one is answered with success and not in
// the inbox: the queue has it once.
func (f *SQS) note(action, url string, results []sqsResult, taken bool) {
	for _, res := range results {
		e := res.entry
		it := Item{
			Provider: ProviderSQS, Recipient: url, ID: res.sent.id, Delivery: e.DeduplicationID,
			Body: e.MessageBody, Fields: map[string]string{"action": action, "request": res.request},
			Accepted: taken && res.err == nil && !res.repeat,
		}
		for name, v := range e.Attributes {
			it.Fields["attribute."+name] = string(v.bytes())
		}
		if it.Delivery == "" {
			it.Delivery = it.Fields["attribute."+deliveryAttribute]
		}
		if e.GroupID != "" {
			it.Fields["group"] = e.GroupID
		}
		if res.sent.number != "" {
			it.Fields["sequence"] = res.sent.number
		}
		switch {
		case res.err != nil:
			it.Status, it.Code = res.err.status, res.err.query
		case res.repeat:
			it.Status, it.Code = http.StatusOK, "duplicate"
		case taken:
			it.Status = http.StatusOK
		}
		f.core.record(it)
	}
}

// deliveryAttribute is the message attribute a sender may put its own id into.
const deliveryAttribute = "fanfare-delivery-id"

// sqsAnswer is the body of a good answer.
func sqsAnswer(results []sqsResult, single bool) any {
	type success struct {
		ID              string `json:"Id,omitempty"`
		MessageID       string `json:"MessageId"`
		MD5OfBody       string `json:"MD5OfMessageBody"`
		MD5OfAttributes string `json:"MD5OfMessageAttributes,omitempty"`
		SequenceNumber  string `json:"SequenceNumber,omitempty"`
	}
	type failure struct {
		ID          string `json:"Id"`
		Code        string
		Message     string
		SenderFault bool
	}
	good, bad := []success{}, []failure{}
	for _, res := range results {
		if res.err != nil {
			bad = append(bad, failure{res.entry.ID, res.err.query, res.err.message, res.err.status < 500})
			continue
		}
		good = append(good, success{
			ID: res.entry.ID, MessageID: res.sent.id, SequenceNumber: res.sent.number,
			MD5OfBody: md5Hex([]byte(res.entry.MessageBody)), MD5OfAttributes: md5OfAttributes(res.entry.Attributes),
		})
	}
	if single {
		return good[0]
	}
	return map[string]any{"Successful": good, "Failed": bad}
}
