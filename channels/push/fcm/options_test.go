package fcm_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels/push/fcm"
)

func TestNewNamesTheField(t *testing.T) {
	t.Parallel()
	sb := start(t)
	good := sb.FCM.CredentialsJSON()
	for name, c := range map[string]struct {
		change func(*fcm.Options)
		want   string
	}{
		"no book":         {func(o *fcm.Options) { o.Book = nil }, "Book"},
		"no credentials":  {func(o *fcm.Options) { o.CredentialsJSON = nil }, "CredentialsJSON: required"},
		"not JSON":        {func(o *fcm.Options) { o.CredentialsJSON = []byte("secret-key") }, "CredentialsJSON: not the JSON"},
		"a user's login":  {func(o *fcm.Options) { o.CredentialsJSON = with(t, good, "type", "authorized_user") }, "type"},
		"no email":        {func(o *fcm.Options) { o.CredentialsJSON = with(t, good, "client_email", "") }, "client_email"},
		"broken key":      {func(o *fcm.Options) { o.CredentialsJSON = with(t, good, "private_key", "secret-key") }, "private_key"},
		"token_uri":       {func(o *fcm.Options) { o.CredentialsJSON = with(t, good, "token_uri", "http://example.com/t") }, "token_uri"},
		"no project":      {func(o *fcm.Options) { o.CredentialsJSON = with(t, good, "project_id", "") }, "ProjectID"},
		"project's path":  {func(o *fcm.Options) { o.ProjectID = "a/../b" }, "ProjectID"},
		"endpoint scheme": {func(o *fcm.Options) { o.Endpoint = "fcm.googleapis.com" }, "Endpoint"},
		"clear text":      {func(o *fcm.Options) { o.Endpoint = "http://fcm.googleapis.com" }, "Endpoint"},
	} {
		t.Run(name, func(t *testing.T) {
			o := fcm.Options{CredentialsJSON: good, Endpoint: sb.FCM.URL, Book: book(t)}
			c.change(&o)
			_, err := fcm.New(o)
			require.ErrorContains(t, err, c.want)
			require.NotContains(t, err.Error(), "secret-key")
		})
	}
}

func TestDefaultsAreGoogles(t *testing.T) {
	t.Parallel()
	_, err := fcm.New(fcm.Options{CredentialsJSON: with(t, start(t).FCM.CredentialsJSON(), "token_uri", ""), Book: book(t)})
	require.NoError(t, err)
}

func TestCredentialsAreNotPrinted(t *testing.T) {
	t.Parallel()
	o := fcm.Options{CredentialsJSON: []byte("secret-key"), ProjectID: "my-app", Book: book(t)}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("account", "options", o)
	bytesOfKey := fmt.Sprint(o.CredentialsJSON)
	for _, text := range []string{fmt.Sprint(o), fmt.Sprintf("%+v", o), fmt.Sprintf("%#v", o), fmt.Sprintf("%v", &o), log.String()} {
		require.NotContains(t, text, "secret-key")
		require.NotContains(t, text, bytesOfKey)
		require.Contains(t, text, "my-app")
	}
}
