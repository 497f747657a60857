package sns

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // what SignatureVersion 1 is
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"path"
	"sync"

	"github.com/fanfare-gateway/fanfare/queue"
)

// Keys is a Signer with an RSA key at a time. The certificates of all keys it
// ever signed with are in the store's registry, and so in backups, and are
// served: what was signed stays verifiable.
type Keys struct {
	store *queue.Store

	mu     sync.Mutex
	now    *signingKey
	certs  map[string][]byte            // PEM by path
	recent map[[sha256.Size]byte]signed // the receivers of a publish share one
}

type signed struct{ signature, path string }

var _ Signer = (*Keys)(nil)

const maxRecent = 256

// The gateway's own, so its own account and region are in front.
var (
	keysName  = []byte("fanfare/local/k/sns-signing")
	certsName = []byte("fanfare/local/k/sns-certificate/")
)

// NewKeys reads the certificates there are and signs with a pair as Use does.
func NewKeys(ctx context.Context, store *queue.Store, given Pair) (*Keys, error) {
	k := &Keys{store: store, certs: map[string][]byte{}, recent: map[[sha256.Size]byte]signed{}}
	err := store.Scan(queue.Registry, certsName, nil, func(r queue.Record) bool {
		k.certs["/"+path.Base(string(r.Key))] = bytes.Clone(r.Value)
		return true
	})
	if err == nil {
		err = k.Use(ctx, given)
	}
	if err != nil {
		return nil, fmt.Errorf("signing key of SNS messages: %w", err)
	}
	return k, nil
}

// Use signs with a pair from now on, or, if it is empty, with the store's own,
// which is made the first time (that takes some tenths of a second). On return
// the certificate is served and durable; on an error nothing has changed.
func (k *Keys) Use(ctx context.Context, given Pair) error {
	if given.Key == nil {
		var err error
		if given, err = k.own(ctx); err != nil {
			return err
		}
	}
	key, err := given.parse()
	if err != nil {
		return err
	}
	if !k.Serves(key.path) {
		b := &queue.Batch{}
		b.Put(append(certsName[:len(certsName):len(certsName)], path.Base(key.path)...), key.cert)
		if _, err := k.store.Commit(ctx, queue.Registry, b); err != nil {
			return err
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.certs[key.path] = key.cert
	k.now = key
	clear(k.recent)
	return nil
}

// own is the store's own pair.
func (k *Keys) own(ctx context.Context) (Pair, error) {
	r, err := k.store.Get(queue.Registry, keysName)
	if errors.Is(err, queue.ErrNotFound) {
		if r.Value, err = newPair(); err == nil {
			b := &queue.Batch{}
			b.Put(keysName, r.Value)
			_, err = k.store.Commit(ctx, queue.Registry, b)
		}
	}
	return Pair{Key: r.Value, Certificate: r.Value}, err
}

// String shows no key.
func (k *Keys) String() string { return "SNS signing keys" }

// Serves tells whether a path is that of a certificate.
func (k *Keys) Serves(path string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.certs[path] != nil
}

// ServeHTTP serves the certificates, to anybody.
func (k *Keys) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	k.mu.Lock()
	cert := k.certs[r.URL.Path]
	k.mu.Unlock()
	if cert == nil {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/x-pem-file")
	_, _ = w.Write(cert) // the client went away: nobody to tell
}

// Sign is Signer's.
func (k *Keys) Sign(version, canonical string) (signature, path string) {
	name := sha256.Sum256([]byte(version + canonical))
	k.mu.Lock()
	done, ok := k.recent[name]
	key := k.now
	k.mu.Unlock()
	if ok {
		return done.signature, done.path
	}
	done = signed{key.sign(version, canonical), key.path}
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.recent) >= maxRecent {
		clear(k.recent)
	}
	k.recent[name] = done
	return done.signature, done.path
}

func (k *signingKey) sign(version, canonical string) string {
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
	return base64.StdEncoding.EncodeToString(signature)
}
