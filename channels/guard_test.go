package channels_test

import (
	"context"
	"encoding/binary"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels"
)

func TestGuardRanges(t *testing.T) {
	t.Parallel()
	blocked := map[string][]string{
		"unspecified": {"0.0.0.0", "0.1.2.3", "::", "::ffff:0.0.0.0"},
		"loopback":    {"127.0.0.1", "127.255.255.254", "::1", "::ffff:127.0.0.1", "64:ff9b::127.0.0.1"},
		"private": {
			"10.0.0.0", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.0.1", "192.168.255.255",
			"::ffff:10.0.0.1", "64:ff9b::a00:1", "64:ff9b::192.168.1.1", "fc00::1", "fd00:ec2::254", "fdff:ffff::1",
		},
		"carrier-grade NAT": {"100.64.0.0", "100.127.255.255", "100.100.100.200"},
		"link-local":        {"169.254.0.1", "169.254.169.254", "::ffff:169.254.169.254", "64:ff9b::169.254.169.254", "fe80::1", "fe80::1%eth0", "febf::1"},
		"cloud metadata":    {"168.63.129.16", "169.254.169.254"},
		"protocol":          {"192.0.0.1", "192.0.0.192", "2001:1::1", "2001:20::1"},
		"documentation":     {"192.0.2.1", "198.51.100.1", "203.0.113.255", "2001:db8::1", "3fff::1"},
		"benchmarking":      {"198.18.0.1", "198.19.255.255", "2001:2::1"},
		"multicast":         {"224.0.0.1", "239.255.255.255", "ff02::1", "ff0e::1"},
		"reserved":          {"240.0.0.1", "255.255.255.254", "200::1", "4000::1", "5f00::1", "8000::1", "e000::1"},
		"broadcast":         {"255.255.255.255"},
		"6to4":              {"2002:7f00:1::1", "2002:a00:1::", "192.88.99.1"},
		"Teredo":            {"2001::1", "2001:0:5ef5:79fd:0:59d:a0e5:ba1"},
		"NAT64":             {"64:ff9b:1::1", "64:ff9b:1:ffff::8.8.8.8"},
		"IPv4-compatible":   {"::7f00:1", "::8.8.8.8"},
		"IPv4-translated":   {"::ffff:0:127.0.0.1"},
		"discard":           {"100::1"},
		"site-local":        {"fec0::1"},
	}
	for name, addresses := range blocked {
		for _, a := range addresses {
			err := channels.Guard{}.Check(netip.MustParseAddr(a))
			require.ErrorIs(t, err, channels.ErrBlockedAddress, a)
			require.Contains(t, err.Error(), name, a)
			require.NotContains(t, err.Error(), a)
		}
	}
	for _, a := range []string{
		"1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.0",
		"168.63.129.17", "169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0", "192.0.1.0", "192.167.255.255",
		"192.169.0.0", "198.17.255.255", "198.20.0.0", "223.255.255.255", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8",
		"2001:200::1", "2001:4860:4860::8888", "2606:4700::1111", "2a00::1", "3ffe::1",
	} {
		require.NoError(t, channels.Guard{}.Check(netip.MustParseAddr(a)), a)
	}
	require.ErrorIs(t, channels.Guard{}.Check(netip.Addr{}), channels.ErrBlockedAddress)
}

func TestGuardControl(t *testing.T) {
	t.Parallel()
	own := channels.Guard{
		Allow: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("fd00:1::/32")},
	}
	for _, c := range []struct {
		guard            channels.Guard
		network, address string
		allowed          bool
	}{
		{channels.Guard{}, "tcp4", "1.1.1.1:80", true},
		{channels.Guard{}, "tcp4", "1.1.1.1:22", true},
		{channels.Guard{}, "tcp6", "[2606:4700::1111]:443", true},
		{channels.Guard{}, "tcp6", "[::1]:443", false},
		{channels.Guard{}, "tcp6", "[fe80::1%lo]:443", false},
		{channels.Guard{}, "udp4", "1.1.1.1:53", false},
		{channels.Guard{}, "unix", "/run/some.sock", false},
		{channels.Guard{}, "tcp", "example.com:443", false},
		{channels.Guard{}, "tcp", "", false},
		{own, "tcp4", "10.1.2.3:443", true},
		{own, "tcp6", "[::ffff:10.1.2.3]:8443", true},
		{own, "tcp6", "[64:ff9b::10.1.2.3]:443", true},
		{own, "tcp6", "[fd00:1::7]:443", true},
		{own, "tcp4", "10.2.0.1:443", false},
		{own, "tcp4", "1.1.1.1:443", true},
	} {
		err := c.guard.Control(c.network, c.address, nil)
		if c.allowed {
			require.NoError(t, err, c.address)
			continue
		}
		require.ErrorIs(t, err, channels.ErrBlockedAddress, c.address)
	}
}

func TestGuardAtDial(t *testing.T) {
	t.Parallel()
	var hits atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hits.Add(1) }))
	defer srv.Close()
	book, err := channels.NewErrorBook(nil)
	require.NoError(t, err)
	client := channels.NewHTTPClient(channels.HTTPOptions{Control: channels.Guard{}.Control})
	named := strings.Replace(srv.URL, "127.0.0.1", "localhost", 1)
	for _, url := range []string{srv.URL, named} {
		ctx, wire := channels.WatchRequest(t.Context())
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader("x"))
		require.NoError(t, err)
		_, err = client.Do(req) //nolint:bodyclose // there is no answer
		require.ErrorIs(t, err, channels.ErrBlockedAddress)
		got := book.Transport("anybody", err, wire.Written())
		require.Equal(t, channels.Rejected.String(), got.Kind.String())
		require.Equal(t, "blocked_address", got.Code)
		require.False(t, got.Unknown)
		require.Contains(t, got.Error(), "loopback")
	}
	require.Zero(t, hits.Load())
}

// A name that is public when it is looked at and loopback when it is dialled.
func TestGuardRebinding(t *testing.T) {
	t.Parallel()
	var hits, lookups atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hits.Add(1) }))
	defer srv.Close()
	resolver := rebindingResolver(t, func() [4]byte {
		if lookups.Add(1) == 1 {
			return [4]byte{93, 184, 215, 14}
		}
		return [4]byte{127, 0, 0, 1}
	})
	looked, err := resolver.LookupNetIP(t.Context(), "ip4", "rebind.example.com")
	require.NoError(t, err)
	require.NoError(t, channels.Guard{}.Check(looked[0]), "the first answer is public")

	_, port, err := net.SplitHostPort(srv.Listener.Addr().String())
	require.NoError(t, err)
	target := net.JoinHostPort("rebind.example.com", port)
	_, err = (&net.Dialer{Resolver: resolver, Control: channels.Guard{}.Control}).DialContext(t.Context(), "tcp4", target)
	require.ErrorIs(t, err, channels.ErrBlockedAddress)
	require.EqualValues(t, 2, lookups.Load())

	open := channels.Guard{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
	conn, err := (&net.Dialer{Resolver: resolver, Control: open.Control}).DialContext(t.Context(), "tcp4", target)
	require.NoError(t, err, "without the guard the name does lead there")
	require.NoError(t, conn.Close())
	require.Zero(t, hits.Load())
}

// rebindingResolver asks a name server on loopback that answers every question
// with the one address the function gives.
func rebindingResolver(t *testing.T, answer func() [4]byte) *net.Resolver {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	go func() {
		buf := make([]byte, 512)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = conn.WriteTo(reply(buf[:n], answer()), from)
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

// reply is a DNS answer with one A record (RFC 1035 section 4.1).
func reply(query []byte, ip [4]byte) []byte {
	end := 12
	for query[end] != 0 {
		end += int(query[end]) + 1
	}
	end += 5                                // the root label, type and class
	out := append([]byte{}, query[:end]...) // without what EDNS adds
	binary.BigEndian.PutUint16(out[2:], 0x8180)
	binary.BigEndian.PutUint16(out[6:], 1)
	binary.BigEndian.PutUint32(out[8:], 0)
	out = append(out, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4) // pointer to the name, A, IN, TTL 0, 4 bytes
	return append(out, ip[:]...)
}
