package sms_test

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels/sms"
)

func TestOptions(t *testing.T) {
	t.Parallel()
	good := sms.Options{
		AccountSID: "AC" + strings.Repeat("1", 32), AuthToken: "the-secret", From: "+15005550006", Book: newBook(t),
	}
	for name, change := range map[string]func(*sms.Options){
		"Book":                func(o *sms.Options) { o.Book = nil },
		"AccountSID":          func(o *sms.Options) { o.AccountSID = "AC/../x" },
		"AuthToken":           func(o *sms.Options) { o.AuthToken = "" },
		"APISecret":           func(o *sms.Options) { o.APIKey = "SK" + strings.Repeat("1", 32) },
		"APIKey":              func(o *sms.Options) { o.APISecret = "secret" },
		"SK":                  func(o *sms.Options) { o.APIKey, o.APISecret = "key", "secret" },
		"From":                func(o *sms.Options) { o.From = "" },
		"sender id":           func(o *sms.Options) { o.From = "much too long a name" },
		"MessagingServiceSID": func(o *sms.Options) { o.MessagingServiceSID = "MG1" },
		"BaseURL":             func(o *sms.Options) { o.BaseURL = "api.twilio.com" },
		"query":               func(o *sms.Options) { o.BaseURL = "https://api.twilio.com/?a=b" },
		"Timeout":             func(o *sms.Options) { o.Timeout = -1 },
	} {
		o := good
		change(&o)
		_, err := sms.New(o)
		require.ErrorContains(t, err, name)
		require.NotContains(t, err.Error(), "the-secret")
	}
	for _, from := range []string{"+15005550006", "12345", "ACME", "My Shop-1"} {
		o := good
		o.From = from
		_, err := sms.New(o)
		require.NoError(t, err, from)
	}
}

func TestOptionsDoNotPrintSecrets(t *testing.T) {
	t.Parallel()
	o := sms.Options{AccountSID: "AC1", AuthToken: "the-secret", APISecret: "the-secret"}
	c := sms.CallbackOptions{AccountSID: "AC1", AuthToken: "the-secret"}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("made", "options", o, "callbacks", c)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("made", "options", o, "callbacks", c)
	ch := serve(t, nil) // its token is "token"
	require.NotContains(t, fmt.Sprintf("%v %+v", ch, ch), "token")
	for _, text := range []string{fmt.Sprintf("%v %+v %#v %s", o, o, o, o), fmt.Sprintf("%v %+v %#v", c, c, c), log.String()} {
		require.Contains(t, text, "AC1")
		require.NotContains(t, text, "the-secret")
	}
}
