package webhook

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// The prefixes of serialised keys.
const (
	prefixSecret  = "whsec_" // symmetric
	prefixPrivate = "whsk_"  // ed25519, the sender's
	prefixPublic  = "whpk_"  // ed25519, the receiver's
)

// Tolerance is how far a message's timestamp may be off the receiver's clock
// for Verify, both ways.
const Tolerance = 5 * time.Minute

// ErrSignature tells that Verify found no good signature.
var ErrSignature = errors.New("webhook signature does not verify")

// NewSecret makes a symmetric secret of 32 random bytes, "whsec_…".
func NewSecret() string {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	return prefixSecret + base64.StdEncoding.EncodeToString(key)
}

// NewKeyPair makes an ed25519 key pair, "whsk_…" to sign and "whpk_…" to verify.
func NewKeyPair() (private, public string) {
	seed := make([]byte, ed25519.SeedSize)
	_, _ = rand.Read(seed) // never fails
	key := ed25519.NewKeyFromSeed(seed)
	return prefixPrivate + base64.StdEncoding.EncodeToString(seed),
		prefixPublic + base64.StdEncoding.EncodeToString(key[ed25519.SeedSize:])
}

// CheckSecret checks a key that is to sign: "whsec_" and 24 to 64 bytes, or
// "whsk_" and an ed25519 seed of 32 bytes or private key of 64, in base64. The
// error does not repeat it.
func CheckSecret(secret string) error {
	_, err := signingKey(secret)
	return err
}

// Sign makes the value of a webhook-signature header: a "v1" signature for each
// whsec_ and a "v1a" one for each whsk_ secret, in their order.
func Sign(id string, at time.Time, body []byte, secrets ...string) (string, error) {
	content := signedContent(id, strconv.FormatInt(at.Unix(), 10), body)
	parts := make([]string, len(secrets))
	for i, s := range secrets {
		k, err := signingKey(s)
		if err != nil {
			return "", err
		}
		parts[i] = k.sign(content)
	}
	return strings.Join(parts, " "), nil
}

// Verify checks a request as a receiver does: any of the signatures must be by
// any of the secrets (whsec_, whpk_ or whsk_), the timestamp within Tolerance
// of now. The error is ErrSignature, or tells which secret is malformed.
func Verify(h http.Header, body []byte, now time.Time, secrets ...string) error {
	id, stamp := h.Get(headerID), h.Get(headerTimestamp)
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil || id == "" {
		return fmt.Errorf("%w: %s or %s is missing or malformed", ErrSignature, headerID, headerTimestamp)
	}
	if off := now.Sub(time.Unix(seconds, 0)); off > Tolerance || off < -Tolerance {
		return fmt.Errorf("%w: timestamp is more than %s off", ErrSignature, Tolerance)
	}
	content := signedContent(id, stamp, body)
	for _, s := range secrets {
		k, err := readKey(s)
		if err != nil {
			return err
		}
		for _, signature := range strings.Fields(h.Get(headerSignature)) {
			if k.verify(content, signature) {
				return nil
			}
		}
	}
	return ErrSignature
}

func signedContent(id, stamp string, body []byte) []byte {
	return append([]byte(id+"."+stamp+"."), body...)
}

// key is one of the three forms.
type key struct {
	secret  []byte
	private ed25519.PrivateKey
	public  ed25519.PublicKey
}

func (k key) sign(content []byte) string {
	if k.private != nil {
		return "v1a," + base64.StdEncoding.EncodeToString(ed25519.Sign(k.private, content))
	}
	mac := hmac.New(sha256.New, k.secret)
	mac.Write(content)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

func (k key) verify(content []byte, signature string) bool {
	if k.public == nil {
		return hmac.Equal([]byte(signature), []byte(k.sign(content)))
	}
	text, ok := strings.CutPrefix(signature, "v1a,")
	raw, err := base64.StdEncoding.DecodeString(text)
	return ok && err == nil && ed25519.Verify(k.public, content, raw)
}

func signingKey(text string) (key, error) {
	k, err := readKey(text)
	if err == nil && k.secret == nil && k.private == nil {
		err = errors.New("webhook secret is a public key: it can verify but not sign")
	}
	return k, err
}

func readKey(text string) (key, error) {
	i := strings.IndexByte(text, '_') + 1
	prefix := text[:i]
	if prefix != prefixSecret && prefix != prefixPrivate && prefix != prefixPublic {
		return key{}, errors.New("webhook secret must begin with whsec_ or whsk_")
	}
	raw, err := base64.StdEncoding.DecodeString(text[i:])
	if err != nil {
		return key{}, errors.New("webhook secret must be base64 after its prefix")
	}
	n := len(raw)
	switch {
	case prefix == prefixSecret && n >= 24 && n <= 64:
		return key{secret: raw}, nil
	case prefix == prefixPrivate && (n == ed25519.SeedSize || n == ed25519.PrivateKeySize):
		private := ed25519.NewKeyFromSeed(raw[:ed25519.SeedSize])
		return key{private: private, public: private.Public().(ed25519.PublicKey)}, nil
	case prefix == prefixPublic && n == ed25519.PublicKeySize:
		return key{public: raw}, nil
	}
	return key{}, fmt.Errorf("webhook secret has %d bytes: want 24 to 64 for whsec_, 32 or 64 for whsk_, 32 for whpk_", n)
}
