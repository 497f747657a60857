package webhook_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/channels/webhook"
)

func TestEndpoint(t *testing.T) {
	t.Parallel()
	ch := open(t, nil)
	for in, want := range map[string]channels.Endpoint{
		"https://example.com":                {Address: "https://example.com/", Group: "example.com:443"},
		"HTTPS://Example.COM:443/Path/?Q=A":  {Address: "https://example.com/Path/?Q=A", Group: "example.com:443"},
		"http://example.com:80":              {Address: "http://example.com/", Group: "example.com:80"},
		"http://example.com:0443/a%2Fb/../c": {Address: "http://example.com:443/a%2Fb/../c", Group: "example.com:443"},
		"https://example.com:/x":             {Address: "https://example.com/x", Group: "example.com:443"},
		"https://example.com./x?":            {Address: "https://example.com/x?", Group: "example.com:443"},
		"https://example.com?x=1":            {Address: "https://example.com/?x=1", Group: "example.com:443"},
		"https://xn--bcher-kva.example/":     {Address: "https://xn--bcher-kva.example/", Group: "xn--bcher-kva.example:443"},
		"https://1.1.1.1:8443/":              {Address: "https://1.1.1.1:8443/", Group: "1.1.1.1:8443"},
		"https://[2606:4700:0:0::1111]/":     {Address: "https://[2606:4700::1111]/", Group: "[2606:4700::1111]:443"},
		"https://[2606:4700::1111]:8443/":    {Address: "https://[2606:4700::1111]:8443/", Group: "[2606:4700::1111]:8443"},
		"https://[::ffff:8.8.8.8]/":          {Address: "https://8.8.8.8/", Group: "8.8.8.8:443"},
		"http://127.0.0.1:9000/":             {Address: "http://127.0.0.1:9000/", Group: "127.0.0.1:9000"},
		"http://localhost/":                  {Address: "http://localhost/", Group: "localhost:80"},
		"http://receiver_1:8080/":            {Address: "http://receiver_1:8080/", Group: "receiver_1:8080"},
		"https://3com.example/":              {Address: "https://3com.example/", Group: "3com.example:443"},
		"https://a.example/" + strings.Repeat("x", 2030): {
			Address: "https://a.example/" + strings.Repeat("x", 2030), Group: "a.example:443",
		},
	} {
		got, err := ch.CheckEndpoint(in)
		require.NoError(t, err, in)
		require.Equal(t, want, got, in)
		again, err := ch.CheckEndpoint(got.Address)
		require.NoError(t, err, in)
		require.Equal(t, got, again, in)
	}
}

func TestEndpointGuarded(t *testing.T) {
	t.Parallel()
	strict := open(t, nil, func(o *webhook.Options) { o.Guard = channels.Guard{} })
	for _, e := range []string{"http://127.0.0.1/", "http://localhost:8080/", "https://hook.localhost/", "https://10.9.8.7/", "https://[::1]/"} {
		_, err := strict.CheckEndpoint(e)
		require.ErrorIs(t, err, channels.ErrBlockedAddress, e)
	}
	opted := open(t, nil, func(o *webhook.Options) {
		o.Guard = channels.Guard{Allow: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}
	})
	for _, e := range []string{"https://example.com/", "https://10.9.8.7/"} {
		_, err := opted.CheckEndpoint(e)
		require.NoError(t, err, e)
	}
	for _, e := range []string{"https://192.168.7.1/", "https://127.0.0.1/"} {
		_, err := opted.CheckEndpoint(e)
		require.ErrorIs(t, err, channels.ErrBlockedAddress, e)
	}
}

func FuzzEndpoint(f *testing.F) {
	for _, e := range badEndpoints {
		f.Add(e)
	}
	f.Add("https://example.com/hook?x=1")
	book, err := channels.NewErrorBook(nil)
	require.NoError(f, err)
	ch, err := webhook.New(webhook.Options{Book: book})
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, text string) {
		got, err := ch.CheckEndpoint(text)
		if err != nil {
			return
		}
		again, err := ch.CheckEndpoint(got.Address)
		require.NoError(t, err, "the normal form is good")
		require.Equal(t, got, again, "the normal form is stable")
	})
}
