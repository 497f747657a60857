package sms

import (
	"errors"
	"strings"

	"github.com/nyaruka/phonenumbers"

	"github.com/fanfare-gateway/fanfare/channels"
)

// maxNumber is the longest number of E.164: + and 15 digits.
const maxNumber = 16

var errNumber = errors.New("want a phone number in international form: +, country code and number, as in +15005550006")

// CheckEndpoint takes a phone number in international form; spaces, dots,
// hyphens and parentheses in it are forgiven. The normal form is E.164, the
// group the ISO code of the country ("001" for numbers of no country).
//
// Only what the numbering plan says of length is checked, not whether the
// number is assigned: plans grow faster than gateways are updated, and Twilio
// refuses the rest (21211).
func (c *Channel) CheckEndpoint(endpoint string) (channels.Endpoint, error) {
	digits, ok := strings.CutPrefix(endpoint, "+")
	if !ok || len(endpoint) > 32 || strings.ContainsFunc(digits, foreign) {
		return channels.Endpoint{}, errNumber
	}
	n, err := phonenumbers.Parse(endpoint, "ZZ") // no default country
	if err != nil {
		return channels.Endpoint{}, errNumber
	}
	address := phonenumbers.Format(n, phonenumbers.E164)
	// Some plans have longer numbers for use within the country.
	if phonenumbers.IsPossibleNumberWithReason(n) != phonenumbers.IS_POSSIBLE || len(address) > maxNumber {
		return channels.Endpoint{}, errors.New("the phone number is too short or too long for its country")
	}
	// Of several trunk prefixes ("+880 0 0 …") parsing takes off one at a time.
	if again, err := phonenumbers.Parse(address, "ZZ"); err != nil || phonenumbers.Format(again, phonenumbers.E164) != address {
		return channels.Endpoint{}, errors.New("the phone number is none of its country: leave out the 0 dialled within it")
	}
	return channels.Endpoint{Address: address, Group: country(n)}, nil
}

// countryOf is the country of a number in normal form.
func countryOf(address string) string {
	n, err := phonenumbers.Parse(address, "ZZ")
	if err != nil {
		return phonenumbers.UNKNOWN_REGION
	}
	return country(n)
}

// country is the ISO code, that of the calling code's main country if the
// number is in no known range.
func country(n *phonenumbers.PhoneNumber) string {
	if code := phonenumbers.GetRegionCodeForNumber(n); code != "" {
		return code
	}
	return phonenumbers.GetRegionCodeForCountryCode(int(n.GetCountryCode()))
}

// foreign tells whether a rune has no place in a phone number. Letters have
// none: +1800FLOWERS would be taken for digits.
func foreign(r rune) bool { return !strings.ContainsRune("0123456789 .-()", r) }
