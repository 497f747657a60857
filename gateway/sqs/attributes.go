package sqs

import (
	"encoding/json"
	"slices"
	"strconv"
	"time"

	"github.com/fanfare-gateway/fanfare/queue"
)

// What a queue's Settings.Tags hold: attributes of AWS the engine has no field
// for, and the user's tags.
const (
	attrTag = "attr/"
	userTag = "tag/"
)

// Bounds: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SetQueueAttributes.html
const (
	maxMessage       = 1 << 20 // bytes, attributes included
	defaultRetention = 4 * 24 * time.Hour
	maxRetention     = 14 * 24 * time.Hour
)

// attribute is one that can be set.
type attribute struct {
	fifo  bool                   // only FIFO queues have it
	valid func(text string) bool // of a text that is not empty
	// clears tells that an empty text is the attribute's absence.
	clears bool
	set    func(q *queue.Settings, text string)
	show   func(q *queue.Settings) string // "" if the queue has none
}

// attributes are those that are looked at by themselves: all that can be set
// but RedrivePolicy and FifoQueue.
func attributes() map[string]attribute {
	ofFIFO := func(a attribute) attribute {
		a.fifo = true
		return a
	}
	return map[string]attribute{
		"DelaySeconds": {
			valid: between(0, 900),
			set:   func(q *queue.Settings, text string) { q.Delay = seconds(text) },
			show:  func(q *queue.Settings) string { return inSeconds(q.Delay) },
		},
		"MessageRetentionPeriod":        {valid: between(60, int(maxRetention/time.Second)), set: setRetention, show: showRetention},
		"VisibilityTimeout":             {valid: between(0, int(queue.MaxVisibility/time.Second)), set: setVisibility, show: showVisibility},
		"MaximumMessageSize":            stored("MaximumMessageSize", strconv.Itoa(maxMessage), between(1024, maxMessage)),
		"ReceiveMessageWaitTimeSeconds": stored("ReceiveMessageWaitTimeSeconds", "0", between(0, 20)),
		"Policy":                        stored("Policy", "", func(text string) bool { return len(text) <= maxPolicy && isObject(text) }),
		"RedriveAllowPolicy":            stored("RedriveAllowPolicy", "", isObject),
		"KmsMasterKeyId":                stored("KmsMasterKeyId", "", func(text string) bool { return len(text) <= 2048 }),
		"KmsDataKeyReusePeriodSeconds":  keyReuse(),
		"SqsManagedSseEnabled":          managedEncryption(),
		"FifoThroughputLimit":           ofFIFO(stored("FifoThroughputLimit", "perQueue", oneOf("perQueue", "perMessageGroupId"))),
		"ContentBasedDeduplication": ofFIFO(attribute{
			valid: oneOf("true", "false"),
			set:   func(q *queue.Settings, text string) { q.ContentDedup = text == "true" },
			show:  func(q *queue.Settings) string { return strconv.FormatBool(q.ContentDedup) },
		}),
		"DeduplicationScope": ofFIFO(attribute{
			valid: oneOf("queue", "messageGroup"),
			set:   func(q *queue.Settings, text string) { q.DedupPerGroup = text == "messageGroup" },
			show:  showScope,
		}),
	}
}

// stored is an attribute kept in the queue's tags as it was given.
func stored(name, absent string, valid func(text string) bool) attribute {
	return attribute{
		valid:  valid,
		clears: absent == "",
		set: func(q *queue.Settings, text string) {
			if text == "" {
				delete(q.Tags, attrTag+name)
				return
			}
			q.Tags[attrTag+name] = text
		},
		show: func(q *queue.Settings) string {
			if text, ok := q.Tags[attrTag+name]; ok {
				return text
			}
			return absent
		},
	}
}

// managedEncryption is on by default, as at AWS, where a queue has a key of its own.
func managedEncryption() attribute {
	a := stored("SqsManagedSseEnabled", "true", oneOf("true", "false"))
	shown := a.show
	a.show = func(q *queue.Settings) string {
		if q.Tags[attrTag+"KmsMasterKeyId"] != "" {
			return "false"
		}
		return shown(q)
	}
	return a
}

// keyReuse has a default once there is a key to reuse.
func keyReuse() attribute {
	a := stored("KmsDataKeyReusePeriodSeconds", "", between(60, 86_400))
	shown := a.show
	a.show = func(q *queue.Settings) string {
		if text := shown(q); text != "" || q.Tags[attrTag+"KmsMasterKeyId"] == "" {
			return text
		}
		return "300"
	}
	return a
}

func setRetention(q *queue.Settings, text string) { q.Retention = seconds(text) }

func showRetention(q *queue.Settings) string {
	if q.Retention == 0 { // made by the native API, kept for ever
		return inSeconds(maxRetention)
	}
	return inSeconds(q.Retention)
}

// setVisibility keeps a timeout of 0 apart: 0 is the engine's default.
func setVisibility(q *queue.Settings, text string) {
	delete(q.Tags, attrTag+"VisibilityTimeout")
	if q.Visibility = seconds(text); q.Visibility == 0 {
		q.Tags[attrTag+"VisibilityTimeout"] = "0"
	}
}

func showVisibility(q *queue.Settings) string {
	if hiddenNever(q) {
		return "0"
	}
	return inSeconds(q.Visibility)
}

// hiddenNever tells that the queue's visibility timeout is 0.
func hiddenNever(q *queue.Settings) bool { return q.Tags[attrTag+"VisibilityTimeout"] == "0" }

func showScope(q *queue.Settings) string {
	if q.DedupPerGroup {
		return "messageGroup"
	}
	return "queue"
}

func between(least, most int) func(text string) bool {
	return func(text string) bool {
		n, err := strconv.Atoi(text)
		return err == nil && n >= least && n <= most
	}
}

func oneOf(texts ...string) func(text string) bool {
	return func(text string) bool { return slices.Contains(texts, text) }
}

func isObject(text string) bool {
	var object map[string]any
	return json.Unmarshal([]byte(text), &object) == nil && object != nil
}

func seconds(text string) time.Duration {
	n, _ := strconv.Atoi(text) // it was checked
	return time.Duration(n) * time.Second
}

func inSeconds(d time.Duration) string { return strconv.FormatInt(int64(d/time.Second), 10) }
