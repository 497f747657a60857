package webhook

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/fanfare-gateway/fanfare/channels"
)

// maxEndpoint is the longest URL taken, in bytes.
const maxEndpoint = 2048

// CheckEndpoint takes an absolute http or https URL. Its normal form has scheme
// and host in lower case, no default port, and at least "/" as its path; path
// and query are kept as they are. Its group is host:port. Addresses that the
// guard refuses are refused here as far as the URL shows them; names are
// checked again, by what they resolve to, at every dial.
func (c *Channel) CheckEndpoint(endpoint string) (channels.Endpoint, error) {
	u, err := parse(endpoint)
	if err != nil {
		return channels.Endpoint{}, err
	}
	for _, ip := range shownAddresses(u.Hostname()) {
		if err := c.opts.Guard.Check(ip); err != nil {
			return channels.Endpoint{}, fmt.Errorf("webhook URL: %w", err)
		}
	}
	group := net.JoinHostPort(u.Hostname(), strconv.Itoa(int(portOf(u))))
	return channels.Endpoint{Address: u.String(), Group: group}, nil
}

// parse reads an endpoint into its normal form. Errors do not repeat it.
func parse(endpoint string) (*url.URL, error) {
	if len(endpoint) == 0 || len(endpoint) > maxEndpoint {
		return nil, fmt.Errorf("webhook URL must have 1 to %d characters", maxEndpoint)
	}
	if strings.ContainsFunc(endpoint, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return nil, errors.New("webhook URL must be ASCII without spaces: percent-encode them, write the host in its xn-- form")
	}
	u, err := url.Parse(endpoint)
	if err != nil || u.Host == "" || u.Opaque != "" {
		return nil, errors.New("webhook URL must be absolute, such as https://example.com/hook")
	}
	switch {
	case u.Scheme != "https" && u.Scheme != "http":
		return nil, errors.New("webhook URL must begin with https:// or http://")
	case u.User != nil:
		return nil, errors.New("webhook URL must not hold user or password: sign with a secret instead")
	case strings.Contains(endpoint, "#"):
		return nil, errors.New("webhook URL must not have a fragment (#)")
	}
	if u.Host, err = normalHost(u); err != nil {
		return nil, err
	}
	if u.Path == "" {
		u.Path = "/"
	}
	if len(u.String()) > maxEndpoint { // what url.Parse took unescaped is escaped now
		return nil, fmt.Errorf("webhook URL must have at most %d characters", maxEndpoint)
	}
	return u, nil
}

// normalHost is the URL's host in lower case with its port, unless that is the
// scheme's own.
func normalHost(u *url.URL) (string, error) {
	host := strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	if ip, err := netip.ParseAddr(host); err == nil {
		if ip.Zone() != "" {
			return "", errors.New("webhook URL must not have an IPv6 zone")
		}
		host = ip.Unmap().String()
	} else if !validName(host) {
		return "", errors.New("webhook URL must have a domain name, an IPv4 address such as 192.0.2.1 or an IPv6 address in brackets")
	}
	bare := host
	if strings.Contains(host, ":") {
		bare = "[" + host + "]"
	}
	if u.Port() == "" {
		return bare, nil
	}
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	if err != nil || port == 0 {
		return "", errors.New("webhook URL must have a port from 1 to 65535")
	}
	if uint16(port) == defaultPort(u.Scheme) {
		return bare, nil
	}
	return bare + ":" + strconv.FormatUint(port, 10), nil
}

// validName takes domain names. A last label of digits is none: some resolvers
// read 127.1 or 0x7f000001 as an address.
func validName(host string) bool {
	labels := strings.Split(host, ".")
	for _, l := range labels {
		bad := func(r rune) bool { return !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' || r == '_') }
		if l == "" || len(l) > 63 || strings.ContainsFunc(l, bad) {
			return false
		}
	}
	last := labels[len(labels)-1]
	_, err := strconv.ParseUint(strings.TrimPrefix(last, "0x"), 16, 64)
	numeric := last[0] >= '0' && last[0] <= '9' && (err == nil || last == "0x")
	return len(host) <= 253 && !numeric
}

func defaultPort(scheme string) uint16 {
	if scheme == "https" {
		return 443
	}
	return 80
}

func portOf(u *url.URL) uint16 {
	if u.Port() == "" {
		return defaultPort(u.Scheme)
	}
	p, _ := strconv.ParseUint(u.Port(), 10, 16) // normalHost checked it
	return uint16(p)
}

// shownAddresses are the addresses a host stands for without a resolver.
func shownAddresses(host string) []netip.Addr {
	if ip, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{ip}
	}
	if host == "localhost" || strings.HasSuffix(host, ".localhost") { // RFC 6761 section 6.3
		return []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1})}
	}
	return nil
}
