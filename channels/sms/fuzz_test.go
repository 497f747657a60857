package sms_test

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/channels/sms"
)

func FuzzCheckEndpoint(f *testing.F) {
	for _, seed := range []string{"+14155550100", "+1 (415) 555-0100", "+39 02 1234 5678", "+870773111632", "+", "+00", "+-.()", "+5491123456789", "+8800000000000", "+811000000000000000"} {
		f.Add(seed)
	}
	book, err := channels.NewErrorBook(nil)
	require.NoError(f, err)
	ch, err := sms.New(sms.Options{AccountSID: "AC" + strings.Repeat("0", 32), AuthToken: "token", From: "Fanfare", Book: book})
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, text string) {
		got, err := ch.CheckEndpoint(text)
		if err != nil {
			return
		}
		require.Regexp(t, `^\+[1-9][0-9]{3,14}$`, got.Address)
		require.NotEmpty(t, got.Group)
		again, err := ch.CheckEndpoint(got.Address)
		require.NoError(t, err)
		require.Equal(t, got, again)
	})
}

func FuzzSegments(f *testing.F) {
	f.Add("Hello", "€")
	f.Add(strings.Repeat("a", 152)+"€", "👋")
	f.Fuzz(func(t *testing.T, a, b string) {
		if !utf8.ValidString(a) || !utf8.ValidString(b) {
			return
		}
		n, both := sms.Segments(a), sms.Segments(a+b)
		require.Positive(t, n)
		require.GreaterOrEqual(t, both, n, "more text is never fewer segments")
		require.LessOrEqual(t, both, 1+2*utf8.RuneCountInString(a+b)/66)
	})
}

func FuzzCallback(f *testing.F) {
	account := "AC" + strings.Repeat("1", 32)
	for _, seed := range []string{
		"MessageSid=SM1&MessageStatus=undelivered&ErrorCode=30005", "MessageSid=SM1&From=%2B14155550100&Body=STOP", "MessageSid=SM1&From=1&OptOutType=HELP", "%zz", "a=1&a=2",
	} {
		f.Add("AccountSid="+account+"&"+seed, true)
	}
	f.Add("", false)
	c, err := sms.NewCallbacks(sms.CallbackOptions{AccountSID: account, AuthToken: "token", PublicURL: "https://x.example.com"})
	require.NoError(f, err)
	book, err := channels.NewErrorBook(nil)
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, text string, good bool) {
		token := "token"
		if !good {
			token = "guess"
		}
		request := func() *http.Request {
			form, _ := url.ParseQuery(text) // what of it can be read
			return altered(signed(token, "https://x.example.com/cb?d=1&t=1", form), body(text))
		}
		status, err := c.Status(request())
		reply, err2 := c.Reply(request())
		require.True(t, err != nil || err2 != nil, "a status is no reply")
		for _, err := range []error{err, err2} {
			require.True(t, err == nil && good || errors.Is(err, sms.ErrSignature) || errors.Is(err, sms.ErrCallback), "%v", err)
		}
		if err == nil {
			ev := status.Evidence(book)
			require.Equal(t, ev.State == "failed", ev.Err != nil)
		}
		require.Equal(t, err2 == nil, reply.From != "")
	})
}
