package channels

import "net/netip"

// addressRange is a range no endpoint on the public internet can have.
type addressRange struct {
	prefix netip.Prefix
	name   string
}

// specialRanges lists the ranges refused by the guard, the narrower before the
// wider one. It is made of the special-purpose registries of IANA,
// https://www.iana.org/assignments/iana-ipv4-special-registry and
// https://www.iana.org/assignments/iana-ipv6-special-registry, with multicast,
// deprecated transition mechanisms, and the one cloud metadata address that
// lies in public space. Never changed after the start.
var specialRanges = parseRanges([][2]string{
	{"0.0.0.0/8", "unspecified address"},
	{"10.0.0.0/8", "private network"},
	{"100.64.0.0/10", "carrier-grade NAT"},
	{"127.0.0.0/8", "loopback"},
	{"168.63.129.16/32", "cloud metadata"}, // https://learn.microsoft.com/azure/virtual-network/what-is-ip-address-168-63-129-16
	{"169.254.0.0/16", "link-local or cloud metadata"},
	{"172.16.0.0/12", "private network"},
	{"192.0.0.0/24", "protocol assignments"},
	{"192.0.2.0/24", "documentation"},
	{"192.88.99.0/24", "6to4 relay"},
	{"192.168.0.0/16", "private network"},
	{"198.18.0.0/15", "benchmarking"},
	{"198.51.100.0/24", "documentation"},
	{"203.0.113.0/24", "documentation"},
	{"224.0.0.0/4", "multicast"},
	{"255.255.255.255/32", "broadcast"},
	{"240.0.0.0/4", "reserved"},

	{"::/128", "unspecified address"},
	{"::1/128", "loopback"},
	{"::/96", "IPv4-compatible"},
	{"::ffff:0:0:0/96", "IPv4-translated"},
	{"64:ff9b:1::/48", "local NAT64"},
	{"100::/64", "discard-only"},
	{"2001::/32", "Teredo"},
	{"2001:2::/48", "benchmarking"},
	{"2001:db8::/32", "documentation"},
	{"2001::/23", "protocol assignments"},
	{"2002::/16", "6to4"},
	{"3fff::/20", "documentation"},
	{"fc00::/7", "private network"},
	{"fe80::/10", "link-local"},
	{"fec0::/10", "site-local"},
	{"ff00::/8", "multicast"},
})

var (
	// globalUnicast is all of IPv6 that IANA gives out (RFC 4291 section 2.4).
	globalUnicast = netip.MustParsePrefix("2000::/3")
	// nat64 carries an IPv4 address in its last 32 bits (RFC 6052 section 2.1).
	// On a host with IPv6 only, any IPv4 destination looks like this.
	nat64 = netip.MustParsePrefix("64:ff9b::/96")
)

func parseRanges(list [][2]string) []addressRange {
	out := make([]addressRange, len(list))
	for i, r := range list {
		out[i] = addressRange{netip.MustParsePrefix(r[0]), r[1]}
	}
	return out
}

// specialRange names the range of an address; "" for a public one.
func specialRange(ip netip.Addr) string {
	for _, r := range specialRanges {
		if r.prefix.Contains(ip) {
			return r.name
		}
	}
	if !ip.IsValid() || ip.Is6() && !globalUnicast.Contains(ip) {
		return "reserved"
	}
	return ""
}

// translated is the IPv4 address a NAT64 address stands for.
func translated(ip netip.Addr) (netip.Addr, bool) {
	if !nat64.Contains(ip) {
		return netip.Addr{}, false
	}
	b := ip.As16()
	return netip.AddrFrom4([4]byte(b[12:])), true
}
