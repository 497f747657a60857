package channels

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"syscall"
)

// ErrBlockedAddress tells that the guard refused to dial an address. The error
// book knows it as "blocked_address".
var ErrBlockedAddress = errors.New("address refused by the guard")

// Guard keeps outgoing requests away from the gateway's own network: it allows
// only addresses of the public internet. Its Control goes into HTTPOptions, so
// it sees the resolved address of every single dial; a name that is checked as
// public and resolves to something else a moment later gets no connection.
//
// The zero Guard refuses every range listed in guardranges.go.
type Guard struct {
	// Allow opts in addresses that are refused otherwise, such as the
	// operator's own network. IPv4 is written as such, not mapped into IPv6.
	Allow []netip.Prefix
}

// Control refuses a dial with an error that is ErrBlockedAddress. It has the
// form of net.Dialer.Control: address is the resolved one.
func (g Guard) Control(network, address string, _ syscall.RawConn) error {
	if !strings.HasPrefix(network, "tcp") {
		return &blockedError{"not TCP"}
	}
	addr, err := netip.ParseAddrPort(address)
	if err != nil {
		return &blockedError{"not an IP address"}
	}
	return g.Check(addr.Addr())
}

// Check refuses an address with an error that is ErrBlockedAddress and says
// which range it is of, without repeating it.
func (g Guard) Check(addr netip.Addr) error {
	ip := addr.WithZone("").Unmap()
	if g.allows(ip) {
		return nil
	}
	if v4, ok := translated(ip); ok {
		if g.allows(v4) {
			return nil
		}
		ip = v4
	}
	if name := specialRange(ip); name != "" {
		return &blockedError{name}
	}
	return nil
}

func (g Guard) allows(ip netip.Addr) bool {
	return slices.ContainsFunc(g.Allow, func(p netip.Prefix) bool { return p.Contains(ip) })
}

// blockedError names the range. It wraps nothing, so that the cause taken of a
// failed dial is this text and not the bare ErrBlockedAddress.
type blockedError struct{ what string }

func (e *blockedError) Error() string { return ErrBlockedAddress.Error() + ": " + e.what }

// Is makes it an ErrBlockedAddress.
func (e *blockedError) Is(target error) bool { return target == ErrBlockedAddress }
