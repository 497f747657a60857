package awswire

import (
	"crypto/hmac"
	"net/http"
	"strings"
	"time"
)

// Identity is who a request is from, by its signature.
type Identity struct {
	AccessKey string // "" for an unsigned request
	Account   string // 12 digits
	Region    string
	Service   string // of the credential scope; "" for an unsigned request
}

// Verifier finds out who a request is from.
type Verifier struct {
	// Secret looks up an access key: its secret and whose account it is of; ok
	// is false for an unknown one. Nil knows none.
	Secret func(accessKey string) (secret, account string, ok bool)
	// Open accepts every request, signed or not, as the default account; an
	// access key of 12 digits names another one.
	Open bool
	// Account and Region are those of requests that name none.
	Account, Region string
}

// maxSkew is how far a signature's date may be off.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/CommonErrors.html (RequestExpired)
const maxSkew = 15 * time.Minute

// Verify checks a request's signature, Version 4, in the Authorization header or
// in the query (presigned). With an error the Identity is what the request only
// claims to be.
//
// The signature is computed here, not by the AWS SDK's signer: that leaves out
// headers other SDKs sign (User-Agent, Expect), does not normalise the path, and
// keeps a derived key for each region that anybody names, even for a wrong one.
func (v Verifier) Verify(r *http.Request, body []byte) (Identity, error) {
	s, problem := readSignature(r)
	who := Identity{AccessKey: s.accessKey, Account: v.Account, Region: s.region, Service: s.service}
	valid := isRegion(s.region)
	if !valid {
		who.Region = v.Region
	}
	if v.Open {
		if IsAccount(s.accessKey) {
			who.Account = s.accessKey
		}
		return who, nil
	}
	if problem != nil {
		return who, problem
	}
	if !valid {
		return who, mismatch("Credential should be scoped to a valid region.")
	}
	var secret string
	known := false
	if v.Secret != nil {
		secret, who.Account, known = v.Secret(s.accessKey)
	}
	if !known {
		return who, &Error{
			Code: "InvalidClientTokenId", JSONCode: coral + "UnrecognizedClientException", Status: http.StatusForbidden,
			Message: "The security token included in the request is invalid.",
		}
	}
	if err := s.current(time.Now()); err != nil {
		return who, err
	}
	if want := s.sign(secret, r, body); !hmac.Equal([]byte(want), []byte(s.sum)) {
		return who, mismatch("The request signature we calculated does not match the signature you provided. " +
			"Check your AWS Secret Access Key and signing method. Consult the service documentation for details.")
	}
	return who, nil
}

// current tells whether the signature holds at a time.
func (s signature) current(now time.Time) error {
	show := func(t time.Time) string { return t.UTC().Format(dateForm) }
	text := ""
	switch {
	case s.at.After(now.Add(maxSkew)):
		text = "Signature not yet current: " + show(s.at) + " is still later than " + show(now.Add(maxSkew)) + " (" + show(now) + " + 15 min.)"
	case now.After(s.at.Add(s.lifetime)) && s.presigned:
		text = "Request has expired: it was valid until " + show(s.at.Add(s.lifetime)) + ", and it is " + show(now) + "."
	case now.After(s.at.Add(s.lifetime)):
		text = "Signature expired: " + show(s.at) + " is now earlier than " + show(now.Add(-maxSkew)) + " (" + show(now) + " - 15 min.)"
	default:
		return nil
	}
	return &Error{Code: "RequestExpired", Status: http.StatusBadRequest, Message: text}
}

// scoped tells whether a verified signature was made for a service.
func (v Verifier) scoped(who Identity, s *Service) error {
	if v.Open || who.Service == s.Name {
		return nil
	}
	return mismatch("Credential should be scoped to correct service: '" + s.Name + "'.")
}

// coral is what the JSON names of errors begin with that no service's model has.
const coral = "com.amazon.coral.service#"

func mismatch(message string) *Error {
	return &Error{Code: "SignatureDoesNotMatch", JSONCode: coral + "InvalidSignatureException", Status: http.StatusForbidden, Message: message}
}

func incomplete(message string) *Error {
	return &Error{Code: "IncompleteSignature", JSONCode: coral + "IncompleteSignatureException", Status: http.StatusBadRequest, Message: message}
}

// IsAccount tells whether a text is an account number: 12 digits.
func IsAccount(s string) bool { return len(s) == 12 && strings.Trim(s, "0123456789") == "" }

// isRegion keeps out what must not get into keys and ARNs.
func isRegion(s string) bool {
	return s != "" && len(s) <= 32 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}
