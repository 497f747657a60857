package config

import (
	"crypto/rsa"
	"crypto/tls"
	"strings"
)

// leastKey is the fewest bits of an RSA key that is held to be safe
// (NIST SP 800-131A).
const leastKey = 2048

// signing checks that key and certificate belong together.
func (ch *checker) signing(a AWS) {
	if a.SigningKey == "" && a.SigningCertificate == "" {
		return
	}
	if a.SigningKey == "" || a.SigningCertificate == "" {
		ch.fail("aws", "needs both signing_key and signing_certificate, or none")
		return
	}
	pair, err := tls.X509KeyPair([]byte(a.SigningCertificate), []byte(a.SigningKey))
	if err != nil {
		ch.fail("aws.signing_key", "does not go with signing_certificate (%s)", strings.TrimPrefix(err.Error(), "tls: "))
		return
	}
	key, ok := pair.PrivateKey.(*rsa.PrivateKey)
	if !ok {
		ch.fail("aws.signing_key", "must be an RSA key: SNS messages are signed by RSA")
	} else if bits := key.N.BitLen(); bits < leastKey {
		ch.fail("aws.signing_key", "must have at least %d bits, not %d", leastKey, bits)
	}
}
