package topics_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/topics"
)

func TestBadPublishesWriteNothing(t *testing.T) {
	t.Parallel()
	b := start(t)
	before := b.store.Revision(0) + b.store.Revision(1)
	for name, r := range map[string]topics.Request{
		"topic":                {Topic: "nobody", Message: "x"},
		"neither":              {Message: "x"},
		"to.protocol":          {To: &topics.Target{Protocol: "pigeon", Endpoint: "x"}, Message: "x"},
		"to.endpoint":          {To: &topics.Target{Protocol: topics.SMS, Endpoint: "bad"}, Message: "x"},
		"no account":           {To: &topics.Target{Protocol: topics.Email, Endpoint: "a@b.c"}, Message: "x"},
		"message":              {To: &topics.Target{Protocol: topics.SMS, Endpoint: "+1"}},
		"subject":              {To: &topics.Target{Protocol: topics.SMS, Endpoint: "+1"}, Message: "x", Subject: "a\r\nBcc: b"},
		"lane":                 {To: &topics.Target{Protocol: topics.SMS, Endpoint: "+1"}, Message: "x", Lane: "slow"},
		"expires_at":           {To: &topics.Target{Protocol: topics.SMS, Endpoint: "+1"}, Message: "x", ExpiresAt: time.Unix(1, 0)},
		"attributes.a.type":    {To: &topics.Target{Protocol: topics.SMS, Endpoint: "+1"}, Message: "x", Attributes: map[string]channels.Attribute{"a": {Type: "Colour"}}},
		"oversize":             {To: &topics.Target{Protocol: topics.SMS, Endpoint: "+1"}, Message: string(make([]byte, 1<<20))},
		"template not defined": {To: &topics.Target{Protocol: topics.SMS, Endpoint: "+1"}, Template: "none"},
	} {
		r.Owner = owner
		_, _, err := b.Publish(t.Context(), r)
		require.Error(t, err, name)
		require.True(t, errors.Is(err, topics.ErrInvalid) || errors.Is(err, topics.ErrNotFound), "%s: %v", name, err)
	}
	require.Equal(t, before, b.store.Revision(0)+b.store.Revision(1))
}

// TestTheFirstOfSeveralFaultsIsNamed: whoever asks again is told the same.
func TestTheFirstOfSeveralFaultsIsNamed(t *testing.T) {
	t.Parallel()
	b := start(t)
	colour := channels.Attribute{Type: "Colour"}
	for range 50 {
		r := topics.Request{Owner: owner, To: &topics.Target{Protocol: topics.SMS, Endpoint: "+1"}, Message: "x"}
		r.Attributes = map[string]channels.Attribute{"c": colour, "b": colour, "a": colour, "d": colour}
		_, _, err := b.Publish(t.Context(), r)
		require.ErrorContains(t, err, "attributes.a.type")
		r.Attributes, r.Overrides = nil, map[string]topics.Override{"pigeon": {}, "drum": {}, "smoke": {}, "shout": {}}
		_, _, err = b.Publish(t.Context(), r)
		require.ErrorContains(t, err, "overrides.drum")
	}
}
