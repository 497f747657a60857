package email

import (
	"errors"
	"net/mail"
	"strings"

	"golang.org/x/net/idna"

	"github.com/fanfare-gateway/fanfare/channels"
)

// The longest address and local part in octets (RFC 5321 section 4.5.3.1, with
// erratum 1690 for the whole).
const (
	maxAddress = 254
	maxLocal   = 64
)

var errAddress = errors.New("want a single mail address such as ann@example.com, without name, brackets or quotes")

// CheckEndpoint takes a single address without display name. Its normal form
// has the domain in lower case and in its ASCII form (IDNA); the local part is
// kept as it is, since only its host may know what in it is the same. The group
// is the domain.
func (c *Channel) CheckEndpoint(endpoint string) (channels.Endpoint, error) {
	address, domain, err := checkAddress(endpoint)
	if err != nil {
		return channels.Endpoint{}, err
	}
	return channels.Endpoint{Address: address, Group: domain}, nil
}

func checkAddress(text string) (address, domain string, err error) {
	if len(text) > 4*maxAddress { // a domain shrinks little in its ASCII form
		return "", "", errors.New("address too long: at most 254 characters, 64 before the @")
	}
	parsed, err := mail.ParseAddress(text)
	// The parser takes names, comments, quotes and white space, and gives back
	// the address without them.
	if err != nil || parsed.Name != "" || parsed.Address != text {
		return "", "", errAddress
	}
	at := strings.LastIndexByte(text, '@')
	local := text[:at]
	domain, err = idna.Lookup.ToASCII(text[at+1:])
	if err != nil || strings.HasSuffix(domain, ".") || !strings.Contains(domain, ".") {
		// RFC 5321 section 2.3.5: only fully qualified names.
		return "", "", errors.New("the part after the @ is not a full domain name such as example.com")
	}
	address = local + "@" + domain
	if len(local) > maxLocal || len(address) > maxAddress {
		return "", "", errors.New("address too long: at most 254 characters, 64 before the @")
	}
	return address, domain, nil
}

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
