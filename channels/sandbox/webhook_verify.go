package sandbox

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// signedBy verifies a request by Standard Webhooks 1.0.0, as a receiver in any
// language would: written from the specification
// (https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md)
// and on purpose without the code that signs.
func signedBy(h http.Header, body []byte, secret string) bool {
	id, stamp := h.Get("webhook-id"), h.Get("webhook-timestamp")
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if id == "" || err != nil || time.Since(time.Unix(seconds, 0)).Abs() > 5*time.Minute {
		return false
	}
	kind, key, ok := readSecret(secret)
	if !ok {
		return false
	}
	content := id + "." + stamp + "." + string(body)
	for _, signature := range strings.Split(h.Get("webhook-signature"), " ") {
		version, text, _ := strings.Cut(signature, ",")
		raw, err := base64.StdEncoding.DecodeString(text)
		if err == nil && good(kind, version, key, content, raw) {
			return true
		}
	}
	return false
}

// readSecret reads "whsec_…" and "whpk_…".
func readSecret(text string) (kind string, key []byte, ok bool) {
	kind, encoded, _ := strings.Cut(text, "_")
	key, err := base64.StdEncoding.DecodeString(encoded)
	return kind, key, err == nil && len(key) > 0 && (kind == "whsec" || kind == "whpk")
}

// good checks one signature by one key.
func good(kind, version string, key []byte, content string, signature []byte) bool {
	switch kind + " " + version {
	case "whsec v1":
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(content))
		return hmac.Equal(mac.Sum(nil), signature)
	case "whpk v1a":
		return len(key) == ed25519.PublicKeySize && ed25519.Verify(key, []byte(content), signature)
	}
	return false
}
