package sns

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // what SignatureVersion 1 is
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"sync"
	"time"

	"github.com/fanfare-gateway/fanfare/queue"
)

// Keys is a Signer with an RSA key and a certificate it signed itself. Both are
// in the store's registry, and so in backups: what was signed stays verifiable.
type Keys struct {
	key  *rsa.PrivateKey
	cert []byte // PEM
	path string

	mu     sync.Mutex
	recent map[[sha256.Size]byte]string // signatures: the receivers of a publish share one
}

var _ Signer = (*Keys)(nil)

const (
	keyBits   = 2048
	certYears = 30
	maxRecent = 256
)

// keysName is the gateway's own, so its own account and region are in front.
var keysName = []byte("fanfare/local/k/sns-signing")

// NewKeys reads the store's signing key, or makes it the first time, which
// takes some tenths of a second; durable on return.
func NewKeys(ctx context.Context, store *queue.Store) (*Keys, error) {
	r, err := store.Get(queue.Registry, keysName)
	if errors.Is(err, queue.ErrNotFound) {
		if r.Value, err = newKeys(); err == nil {
			b := &queue.Batch{}
			b.Put(keysName, r.Value)
			_, err = store.Commit(ctx, queue.Registry, b)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("signing key of SNS messages: %w", err)
	}
	return ReadKeys(r.Value)
}

// ReadKeys reads a key (PKCS #8) and its certificate, both PEM, one behind the
// other.
func ReadKeys(text []byte) (*Keys, error) {
	first, rest := pem.Decode(text)
	second, _ := pem.Decode(rest)
	if first == nil || second == nil || second.Type != "CERTIFICATE" {
		return nil, errors.New("signing key of SNS messages: want a PKCS #8 key and a certificate in PEM")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(first.Bytes)
	if err != nil {
		return nil, fmt.Errorf("signing key of SNS messages: %w", err)
	}
	key, ok := parsed.(*rsa.PrivateKey)
	if !ok {
		return nil, errors.New("signing key of SNS messages: want an RSA key")
	}
	name := sha256.Sum256(second.Bytes)
	return &Keys{
		key: key, cert: pem.EncodeToMemory(second), recent: map[[sha256.Size]byte]string{},
		path: "/SimpleNotificationService-" + hex.EncodeToString(name[:16]) + ".pem",
	}, nil
}

func newKeys() ([]byte, error) {
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

// String shows no key.
func (k *Keys) String() string { return "SNS signing key of " + k.path }

// CertURL is Signer's.
func (k *Keys) CertURL(base string) string { return base + k.path }

// Path is where the certificate is served.
func (k *Keys) Path() string { return k.path }

// ServeHTTP serves the certificate, to anybody.
func (k *Keys) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/x-pem-file")
	_, _ = w.Write(k.cert) // the client went away: nobody to tell
}

// Sign is Signer's.
func (k *Keys) Sign(version, canonical string) string {
	name := sha256.Sum256([]byte(version + canonical))
	k.mu.Lock()
	done, ok := k.recent[name]
	k.mu.Unlock()
	if ok {
		return done
	}
	hash, sum := crypto.SHA1, sha1.Sum([]byte(canonical)) //nolint:gosec // as above
	digest := sum[:]
	if version == "2" {
		sum := sha256.Sum256([]byte(canonical))
		hash, digest = crypto.SHA256, sum[:]
	}
	signature, err := rsa.SignPKCS1v15(rand.Reader, k.key, hash, digest)
	if err != nil {
		panic(fmt.Sprintf("sign: %v", err)) // the key signs digests of this size
	}
	done = base64.StdEncoding.EncodeToString(signature)
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.recent) >= maxRecent {
		clear(k.recent)
	}
	k.recent[name] = done
	return done
}
