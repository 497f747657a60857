package sandbox

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"time"
)

// authority is a server's certificate and key, and the CA made to vouch for it
// alone, in PEM. The CA's key is forgotten.
type authority struct {
	Certificate []byte `json:"certificate"`
	Key         []byte `json:"key"`
	CA          []byte `json:"ca"`
}

// certificate is the one of a name for the loopback addresses and "localhost",
// good for ten years, with its CA in PEM: with a folder the same at every start.
func (k *kept) certificate(name, subject string) (server tls.Certificate, caPEM []byte, err error) {
	a, err := keep(k, "certificate."+name, func() (authority, error) { return issue(subject) })
	if err == nil {
		server, err = tls.X509KeyPair(a.Certificate, a.Key)
	}
	if err != nil {
		return tls.Certificate{}, nil, fmt.Errorf("certificate of %s: %w", name, err)
	}
	return server, a.CA, nil
}

func issue(subject string) (a authority, err error) {
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return a, err
	}
	ca := newCertificate(subject + " CA")
	ca.IsCA, ca.BasicConstraintsValid, ca.KeyUsage = true, true, x509.KeyUsageCertSign
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, caKey.Public(), caKey)
	if err != nil {
		return a, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return a, err
	}
	leaf := newCertificate(subject)
	leaf.KeyUsage, leaf.ExtKeyUsage = x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	leaf.DNSNames = []string{"localhost"}
	leaf.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
	der, err := x509.CreateCertificate(rand.Reader, leaf, ca, key.Public(), caKey)
	if err != nil {
		return a, err
	}
	a.Key, err = pkcs8PEM(key)
	a.Certificate = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	a.CA = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: caDER})
	return a, err
}

func newCertificate(name string) *x509.Certificate {
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     now.AddDate(10, 0, 0),
	}
}
