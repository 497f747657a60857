package webhook

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// The prefixes of keys that sign.
const (
	prefixSecret  = "whsec_" // symmetric
	prefixPrivate = "whsk_"  // ed25519
)

// Sign makes the value of a webhook-signature header: a "v1" signature for each
// whsec_ and a "v1a" one for each whsk_ secret, in their order. The error tells
// what is wrong with a secret and does not repeat it.
func Sign(id string, at time.Time, body []byte, secrets ...string) (string, error) {
	content := append([]byte(id+"."+strconv.FormatInt(at.Unix(), 10)+"."), body...)
	parts := make([]string, len(secrets))
	for i, secret := range secrets {
		var err error
		if parts[i], err = signature(secret, content); err != nil {
			return "", err
		}
	}
	return strings.Join(parts, " "), nil
}

// signature signs by one secret: "whsec_" and 24 to 64 bytes, or "whsk_" and an
// ed25519 seed of 32 bytes or private key of 64, in base64.
func signature(secret string, content []byte) (string, error) {
	i := strings.IndexByte(secret, '_') + 1
	prefix := secret[:i]
	if prefix != prefixSecret && prefix != prefixPrivate {
		return "", errors.New("webhook secret must begin with whsec_ or whsk_")
	}
	key, err := base64.StdEncoding.DecodeString(secret[i:])
	if err != nil {
		return "", errors.New("webhook secret must be base64 after its prefix")
	}
	n := len(key)
	switch {
	case prefix == prefixSecret && n >= 24 && n <= 64:
		mac := hmac.New(sha256.New, key)
		mac.Write(content)
		return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)), nil
	case prefix == prefixPrivate && (n == ed25519.SeedSize || n == ed25519.PrivateKeySize):
		private := ed25519.NewKeyFromSeed(key[:ed25519.SeedSize])
		return "v1a," + base64.StdEncoding.EncodeToString(ed25519.Sign(private, content)), nil
	}
	return "", fmt.Errorf("webhook secret has %d bytes: want 24 to 64 for whsec_, 32 or 64 for whsk_", n)
}
