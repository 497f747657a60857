package sns

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/fanfare-gateway/fanfare/topics"
)

// Archives and replays, which SNS has for FIFO topics, are for every topic here.
// https://docs.aws.amazon.com/sns/latest/dg/message-archiving-and-replay-topic-owner.html
// https://docs.aws.amazon.com/sns/latest/dg/message-archiving-and-replay-subscriber.html
const (
	archivePolicy = "ArchivePolicy"
	replayPolicy  = "ReplayPolicy"
	replayStatus  = "ReplayStatus"
)

// What is said of both policies.
const (
	unparsable    = "Unable to parse JSON"
	missingFields = "JSON is missing required fields"
)

// setArchivePolicy begins, changes or, with an empty policy, ends a topic's
// archive. It says what is wrong, or "".
func setArchivePolicy(t *topics.Topic, value string) string {
	days, why := retentionDays(value)
	if why != "" {
		return archivePolicy + ": " + why
	}
	t.ArchiveDays = days
	if days == 0 {
		delete(t.Attributes, archivePolicy)
		return ""
	}
	if t.Attributes == nil {
		t.Attributes = map[string]string{}
	}
	t.Attributes[archivePolicy] = value
	return ""
}

// retentionDays reads an archive policy; 0 is that of no archive.
func retentionDays(value string) (days int, why string) {
	if !json.Valid([]byte(value)) { // nor is "" a policy, as it is not for SNS: https://github.com/hashicorp/terraform-provider-aws/issues/38885
		return 0, unparsable
	}
	var policy map[string]json.RawMessage
	if json.Unmarshal([]byte(value), &policy) != nil || policy == nil {
		return 0, missingFields
	}
	if len(policy) == 0 {
		return 0, ""
	}
	text, ok := policy["MessageRetentionPeriod"]
	if !ok {
		return 0, missingFields
	}
	var number json.Number // in quotes or not
	if json.Unmarshal(text, &number) == nil {
		if days, err := strconv.Atoi(number.String()); err == nil && days >= 1 && days <= topics.MaxArchiveDays {
			return days, ""
		}
	}
	return 0, "MessageRetentionPeriod value is invalid"
}

// addArchive shows a topic's archive, that of the native API too.
func addArchive(all map[string]string, t *topics.Topic, now time.Time) {
	if t.ArchiveDays == 0 {
		return
	}
	if all[archivePolicy] == "" {
		all[archivePolicy] = fmt.Sprintf(`{"MessageRetentionPeriod":"%d"}`, t.ArchiveDays)
	}
	all["BeginningArchiveTime"] = timestamp(t.ArchiveBegins(now))
}

// replayOf reads a replay policy; nil is that of no replay.
func replayOf(value string) (*topics.Replay, *problem) {
	bad := func(why string) (*topics.Replay, *problem) { return nil, wrong(replayPolicy + ": " + why) }
	if value == "" {
		return nil, nil
	}
	var given map[string]string
	switch {
	case !json.Valid([]byte(value)):
		return bad(unparsable)
	case json.Unmarshal([]byte(value), &given) != nil || given == nil:
		return bad(missingFields)
	case len(given) == 0:
		return nil, nil
	case given["PointType"] == "" || given["StartingPoint"] == "":
		return bad(missingFields)
	case given["PointType"] != "Timestamp":
		return bad("Invalid PointType")
	}
	var r topics.Replay
	var err error
	if r.From, err = time.Parse(time.RFC3339, given["StartingPoint"]); err != nil {
		return bad(badStart)
	}
	if end, ok := given["EndingPoint"]; ok {
		if r.Until, err = time.Parse(time.RFC3339, end); err != nil {
			return bad(badEnd)
		}
	}
	return &r, nil
}

// replayText is a subscription's replay policy, as it was given or for a replay
// that the native API was asked for.
func replayText(sub *topics.Subscription) string {
	r, kept := sub.Replay, sub.Attributes[replayPolicy]
	if given, _ := replayOf(kept); given != nil && given.Until.Equal(r.Until) && given.From.Truncate(time.Millisecond).Equal(r.From) {
		return kept
	}
	policy := map[string]string{"PointType": "Timestamp", "StartingPoint": timestamp(r.From)}
	if !r.Until.IsZero() {
		policy["EndingPoint"] = timestamp(r.Until)
	}
	text, _ := json.Marshal(policy) // strings: cannot fail
	return string(text)
}

const (
	badStart = "Invalid StartingPoint value"
	badEnd   = "Invalid EndingPoint value"
)

// replayProblem is what topics says of a replay, in SNS's words; nil if err is
// something else.
func replayProblem(err error) *problem {
	var field *topics.FieldError
	if !errors.As(err, &field) {
		return nil
	}
	switch field.Field {
	case "replay":
		return wrong(replayPolicy + ": Topic does not have an ArchivePolicy")
	case "from":
		return wrong(replayPolicy + ": " + badStart)
	case "until":
		return wrong(replayPolicy + ": " + badEnd)
	}
	return nil
}

// replayStates are SNS's words for the states of a replay.
var replayStates = map[topics.ReplayState]string{
	topics.ReplayPending: "Pending", topics.ReplayRunning: "In progress", topics.ReplayCompleted: "Completed", topics.ReplayFailed: "Failed",
}
