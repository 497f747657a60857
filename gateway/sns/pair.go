package sns

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"math/big"
	"time"
)

// Pair is an RSA key (PKCS #8 or #1) and its certificate, both PEM. Its text
// shows neither.
type Pair struct{ Key, Certificate []byte }

// String shows no key.
func (p Pair) String() string { return "signing key and certificate" }

// GoString is String.
func (p Pair) GoString() string { return p.String() }

type signingKey struct {
	key  *rsa.PrivateKey
	cert []byte // PEM
	path string // of the certificate: its name is made from what it is
}

func (p Pair) parse() (*signingKey, error) {
	pair, err := tls.X509KeyPair(p.Certificate, p.Key)
	if err != nil {
		return nil, err
	}
	key, ok := pair.PrivateKey.(*rsa.PrivateKey)
	if !ok {
		return nil, errors.New("want an RSA key")
	}
	name := sha256.Sum256(pair.Certificate[0])
	return &signingKey{
		key: key, cert: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]}),
		path: "/SimpleNotificationService-" + hex.EncodeToString(name[:16]) + ".pem",
	}, nil
}

const (
	keyBits   = 2048
	certYears = 30
)

// newPair makes a key with a certificate it signed itself, one behind the other.
func newPair() ([]byte, error) {
	key, err := rsa.GenerateKey(rand.Reader, keyBits)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	about := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: "sns.fanfare"}, DNSNames: []string{"sns.fanfare"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(certYears, 0, 0),
		KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true,
	}
	cert, err := x509.CreateCertificate(rand.Reader, about, about, key.Public(), key)
	if err != nil {
		return nil, err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})
	return append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})...), nil
}
