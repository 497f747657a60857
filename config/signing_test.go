package config_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/config"
)

// pairOf is a key with a certificate it signed, both PEM.
func pairOf(t *testing.T, key crypto.Signer) (secret, cert []byte) {
	t.Helper()
	about := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, about, about, key.Public(), key)
	require.NoError(t, err)
	text, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: text}), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func TestSigningKey(t *testing.T) {
	t.Parallel()
	key := func(bits int) (secret, cert []byte) {
		k, err := rsa.GenerateKey(rand.Reader, bits)
		require.NoError(t, err)
		return pairOf(t, k)
	}
	good, cert := key(2048)
	weak, weakCert := key(1024)
	elliptical, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	other, otherCert := pairOf(t, elliptical)
	try := func(key, cert []byte) (config.Config, error) {
		path := file(t, "aws:\n  signing_key_file: key.pem\n  signing_certificate_file: cert.pem\n")
		require.NoError(t, os.WriteFile(filepath.Join(filepath.Dir(path), "key.pem"), key, 0o600))
		require.NoError(t, os.WriteFile(filepath.Join(filepath.Dir(path), "cert.pem"), cert, 0o600))
		return config.Load(path, nil, nil)
	}
	c, err := try(good, cert)
	require.NoError(t, err)
	require.Contains(t, string(c.AWS.SigningKey), "PRIVATE KEY")
	require.NotContains(t, c.Redacted(), "PRIVATE KEY")

	for _, bad := range []struct {
		key, cert []byte
		want      string
	}{
		{weak, cert, "fanfare.yaml:2:21: aws.signing_key: does not go with signing_certificate (private key does not match public key)"},
		{other, cert, "fanfare.yaml:2:21: aws.signing_key: does not go with signing_certificate (private key type does not match public key type)"},
		{weak, weakCert, "fanfare.yaml:2:21: aws.signing_key: must have at least 2048 bits, not 1024"},
		{other, otherCert, "fanfare.yaml:2:21: aws.signing_key: must be an RSA key: SNS messages are signed by RSA"},
		{[]byte("-----BEGIN X-----"), cert, "fanfare.yaml:2:21: aws.signing_key: does not go with signing_certificate (failed to find any PEM data in key input)"},
	} {
		_, err := try(bad.key, bad.cert)
		require.ErrorContains(t, err, bad.want)
	}
	_, problems := load(t, "aws:\n  signing_key: '-----BEGIN X'")
	require.Contains(t, problems, "aws: needs both signing_key and signing_certificate, or none")
	_, problems = load(t, "aws: {signing_key: x, signing_certificate: y}")
	require.Contains(t, problems, "1:20: aws.signing_key: must be PEM text: -----BEGIN …\n")
}
