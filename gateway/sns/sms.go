package sns

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/fanfare-gateway/fanfare/gateway/awswire"
	"github.com/fanfare-gateway/fanfare/queue"
	"github.com/fanfare-gateway/fanfare/topics"
)

// smsAttributes are kept for each owner and shown. The default sender and type
// are those of messages that name none; limits are those of the configured SMS
// accounts.
// https://docs.aws.amazon.com/sns/latest/api/API_SetSMSAttributes.html
var smsAttributes = map[string]func(value string) bool{
	"MonthlySpendLimit":                 func(v string) bool { n, err := strconv.ParseFloat(v, 64); return err == nil && n >= 0 },
	"DeliveryStatusIAMRole":             func(string) bool { return true },
	"DeliveryStatusSuccessSamplingRate": func(v string) bool { return percent(nil, v) == "" },
	"DefaultSenderID":                   isSenderID,
	"DefaultSMSType":                    reserved[smsType].good,
	"UsageReportS3Bucket":               func(string) bool { return true },
}

func smsKey(o topics.Owner) []byte {
	return []byte(o.Account + "/" + o.Region + "/k/sns-sms")
}

// read reads a JSON record of the registry, with its revision; the zero value
// if there is none.
func read[T any](s *queue.Store, key []byte) (v T, revision uint64, err error) {
	r, err := s.Get(queue.Registry, key)
	if errors.Is(err, queue.ErrNotFound) {
		return v, 0, nil
	}
	if err != nil {
		return v, 0, err
	}
	return v, r.Revision, json.Unmarshal(r.Value, &v)
}

type setSMSAttributesIn struct {
	Attributes map[string]string `json:"attributes" query:"attributes.entry,key,value"`
}

func (s *service) setSMSAttributes(ctx context.Context, r *awswire.Request, in *setSMSAttributesIn) (*nothing, error) {
	if len(in.Attributes) == 0 {
		return nil, missing("attributes")
	}
	for _, name := range slices.Sorted(maps.Keys(in.Attributes)) {
		value := in.Attributes[name]
		switch good, ok := smsAttributes[name]; {
		case !ok:
			return nil, invalid("Attributes Reason: Unknown attribute " + name)
		case value != "" && !good(value):
			return nil, invalid(name + " Reason: value is invalid")
		}
	}
	key := smsKey(s.owner(r))
	for {
		all, revision, err := read[map[string]string](s.Store, key)
		if err != nil {
			return nil, err
		}
		if all == nil {
			all = map[string]string{}
		}
		for name, value := range in.Attributes {
			if all[name] = value; value == "" {
				delete(all, name)
			}
		}
		text, _ := json.Marshal(all) // strings: cannot fail
		b := &queue.Batch{}
		b.Expect(key, revision)
		b.Put(key, text)
		if _, err = s.Store.Commit(ctx, queue.Registry, b); !errors.Is(err, queue.ErrConflict) {
			return &nothing{}, err
		}
	}
}

type getSMSAttributesIn struct {
	Attributes []string `json:"attributes" query:"attributes.member"`
}

type smsAttributesOut struct {
	Attributes map[string]string `json:"attributes" query:"attributes.entry,key,value"`
}

func (s *service) getSMSAttributes(_ context.Context, r *awswire.Request, in *getSMSAttributesIn) (*smsAttributesOut, error) {
	all, _, err := read[map[string]string](s.Store, smsKey(s.owner(r)))
	out := &smsAttributesOut{map[string]string{}}
	for name, value := range all {
		if len(in.Attributes) == 0 || slices.Contains(in.Attributes, name) {
			out.Attributes[name] = value
		}
	}
	return out, err
}

type phoneIn struct {
	PhoneNumber string `json:"phoneNumber"`
}

func (in *phoneIn) check() error {
	if in.PhoneNumber == "" {
		return missing("phoneNumber")
	}
	if !phoneNumber.MatchString(in.PhoneNumber) {
		return invalid("PhoneNumber Reason: input incorrectly formatted")
	}
	return nil
}

func (in *phoneIn) suppression() topics.Suppression {
	return topics.Suppression{Protocol: topics.SMS, Endpoint: in.PhoneNumber}
}

type optedOutOut struct {
	IsOptedOut bool `json:"isOptedOut"`
}

func (s *service) isOptedOut(_ context.Context, r *awswire.Request, in *phoneIn) (*optedOutOut, error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	_, err := s.Topics.Suppression(s.owner(r), in.suppression())
	if errors.Is(err, topics.ErrNotFound) {
		return &optedOutOut{false}, nil
	}
	return &optedOutOut{true}, err
}

type listOptedOutIn struct {
	NextToken string `json:"nextToken"`
}

type listOptedOutOut struct {
	PhoneNumbers []string `json:"phoneNumbers" query:"phoneNumbers.member"`
	NextToken    string   `json:"nextToken,omitempty"`
}

func (s *service) listOptedOut(_ context.Context, r *awswire.Request, in *listOptedOutIn) (*listOptedOutOut, error) {
	last, err := lastOf(in.NextToken)
	if err != nil {
		return nil, err
	}
	out := &listOptedOutOut{}
	after := topics.Suppression{Protocol: topics.SMS, Endpoint: last}
	for {
		some, err := s.Topics.Suppressions(s.owner(r), &after, pageSize)
		if err != nil {
			return nil, err
		}
		for _, found := range some {
			switch {
			case found.Protocol != topics.SMS:
				return out, nil
			case found.Topic != "" || found.Lane != "": // of one topic or lane only
				continue
			case len(out.PhoneNumbers) == pageSize:
				out.NextToken = token(out.PhoneNumbers[pageSize-1], true)
				return out, nil
			}
			out.PhoneNumbers = append(out.PhoneNumbers, found.Endpoint)
		}
		if len(some) < pageSize {
			return out, nil
		}
		after = some[len(some)-1]
	}
}

// optInAgain is how long nobody may opt a number in once more.
// https://docs.aws.amazon.com/sns/latest/api/API_OptInPhoneNumber.html
const optInAgain = 30 * 24 * time.Hour

// optIn lifts a number's opt-out, at most once in 30 days. A number that has
// not opted out stays as it is.
func (s *service) optIn(ctx context.Context, r *awswire.Request, in *phoneIn) (*nothing, error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	o := s.owner(r)
	if _, err := s.Topics.Suppression(o, in.suppression()); errors.Is(err, topics.ErrNotFound) {
		return &nothing{}, nil
	} else if err != nil {
		return nil, err
	}
	key := []byte(o.Account + "/" + o.Region + "/k/sns-opted-in/" + in.PhoneNumber)
	last, revision, err := read[time.Time](s.Store, key)
	if err != nil {
		return nil, err
	}
	now := s.Store.Now()
	if now.Sub(last) < optInAgain {
		return nil, invalid("PhoneNumber Reason: the number was opted in less than 30 days ago")
	}
	text, _ := json.Marshal(now) // a time of this century: cannot fail
	b := &queue.Batch{}
	b.Expect(key, revision)
	b.Put(key, text)
	if _, err := s.Store.Commit(ctx, queue.Registry, b); err != nil && !errors.Is(err, queue.ErrConflict) { // else somebody opts it in just now
		return nil, err
	}
	err = s.Topics.Unsuppress(ctx, o, in.suppression())
	if errors.Is(err, topics.ErrNotFound) {
		err = nil
	}
	return &nothing{}, wordFor(err, "PhoneNumber")
}
