package downstream

import (
	"context"
	"net/http"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/channels/amazon"
)

// Deliver sends one message: the payload, or else the text. To the queue it is
// then delivered.
func (c *Channel) Deliver(ctx context.Context, d channels.Delivery) (channels.Receipt, error) {
	m, bad := c.message(d)
	if bad != "" {
		return channels.Receipt{}, c.client.Refusal(bad)
	}
	ctx, wire := channels.WatchRequest(ctx)
	out, err := c.sqs.SendMessage(ctx, &sqs.SendMessageInput{
		QueueUrl:               aws.String(m.queue.String()),
		MessageBody:            m.entry.MessageBody,
		MessageAttributes:      m.entry.MessageAttributes,
		MessageGroupId:         m.entry.MessageGroupId,
		MessageDeduplicationId: m.entry.MessageDeduplicationId,
	}, m.queue.at)
	if err != nil {
		return channels.Receipt{}, c.failure(err, wire)
	}
	return receipt(out.MessageId), nil
}

// DeliverBatch sends a queue's messages by up to ten and 1 MiB a request, one
// request after the other and in the order of the deliveries. A request's failure
// is the result of all its deliveries.
func (c *Channel) DeliverBatch(ctx context.Context, ds []channels.Delivery) []channels.Result {
	results := make([]channels.Result, len(ds))
	for _, b := range c.batches(ds, results) {
		c.sendBatch(ctx, b, results)
	}
	return results
}

// batch is one request, with the indexes of its entries' results.
type batch struct {
	queue   queueURL
	entries []types.SendMessageBatchRequestEntry
	indexes []int
	size    int
}

// batches divides deliveries into requests. One that can never be sent has its
// result at once.
func (c *Channel) batches(ds []channels.Delivery, results []channels.Result) []*batch {
	var all []*batch
	var b *batch
	for i, d := range ds {
		m, bad := c.message(d)
		if bad != "" {
			results[i].Err = c.client.Refusal(bad)
			continue
		}
		if b == nil || b.queue != m.queue || len(b.entries) == maxBatch || b.size+m.size > maxSize {
			b = &batch{queue: m.queue}
			all = append(all, b)
		}
		m.entry.Id = aws.String(strconv.Itoa(len(b.entries)))
		b.entries, b.indexes, b.size = append(b.entries, m.entry), append(b.indexes, i), b.size+m.size
	}
	return all
}

func (c *Channel) sendBatch(ctx context.Context, b *batch, results []channels.Result) {
	ctx, wire := channels.WatchRequest(ctx)
	out, err := c.sqs.SendMessageBatch(ctx, &sqs.SendMessageBatchInput{
		QueueUrl: aws.String(b.queue.String()), Entries: b.entries,
	}, b.queue.at)
	if err != nil {
		failure := c.failure(err, wire)
		for _, i := range b.indexes {
			results[i].Err = failure
		}
		return
	}
	// An entry the answer does not mention may have been taken.
	for _, i := range b.indexes {
		results[i].Err = c.client.Unreadable()
	}
	for _, e := range out.Successful {
		if i, ok := b.index(e.Id); ok {
			results[i] = channels.Result{Receipt: receipt(e.MessageId)}
		}
	}
	for _, e := range out.Failed {
		if i, ok := b.index(e.Id); ok {
			results[i].Err = c.entryFailure(e)
		}
	}
}

// index finds the result of an entry by the id the answer has for it.
func (b *batch) index(id *string) (int, bool) {
	n, err := strconv.Atoi(aws.ToString(id))
	if err != nil || n < 0 || n >= len(b.indexes) {
		return 0, false
	}
	return b.indexes[n], true
}

// entryFailure judges an entry's failure. The code tells whose fault it was.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_BatchResultErrorEntry.html
func (c *Channel) entryFailure(e types.BatchResultErrorEntry) *channels.Error {
	fault := "service_fault:"
	if e.SenderFault {
		fault = "sender_fault:"
	}
	return c.book.Judge(channels.Answer{
		Provider: Provider, Status: http.StatusOK, Code: fault + amazon.PlainCode(aws.ToString(e.Code)), Reason: aws.ToString(e.Message),
	})
}

func receipt(id *string) channels.Receipt {
	return channels.Receipt{ProviderID: aws.ToString(id), Delivered: true}
}
