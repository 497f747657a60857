package sandbox

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"math/big"
	"strings"
	"time"
)

// A provider token counts for an hour from its iat,
// https://developer.apple.com/documentation/usernotifications/establishing-a-token-based-connection-to-apns
const (
	apnsTokenAge = time.Hour
	// apnsClockSkew is how far in the future an iat may lie; Apple names no
	// number.
	apnsClockSkew = time.Minute
)

// apnsToken is a provider token with a good signature.
type apnsToken struct {
	bearer string
	issued time.Time
}

// checkSignIn takes a client certificate (verified in the TLS handshake) or a
// provider token.
func (f *APNs) checkSignIn(p *apnsPush) string {
	if len(p.r.TLS.VerifiedChains) > 0 {
		p.item.Fields["auth"] = "certificate"
		return ""
	}
	kind, bearer, _ := strings.Cut(p.r.Header.Get("authorization"), " ")
	if !strings.EqualFold(kind, "bearer") || bearer == "" {
		return "MissingProviderToken"
	}
	p.item.Fields["auth"] = "token"
	sum := sha256.Sum256([]byte(bearer))
	p.item.Fields["token"] = hex.EncodeToString(sum[:8]) // tells tokens apart
	good := f.good.Load()
	if good == nil || good.bearer != bearer {
		issued, ok := f.readToken(bearer)
		if !ok {
			return "InvalidProviderToken"
		}
		good = &apnsToken{bearer, issued}
		f.good.Store(good)
	}
	if f.revoked.Load() {
		return "InvalidProviderToken"
	}
	if age := time.Since(good.issued); age > apnsTokenAge || age < -apnsClockSkew {
		return "ExpiredProviderToken"
	}
	return ""
}

// readToken checks a JWT: ES256 by our key, our key id and team. It returns
// when the token was issued.
func (f *APNs) readToken(bearer string) (issued time.Time, ok bool) {
	parts := strings.Split(bearer, ".")
	if len(parts) != 3 {
		return time.Time{}, false
	}
	var header struct{ Alg, Kid string }
	var claims struct {
		Iss string
		Iat json.Number
	}
	if !jwtPart(parts[0], &header) || !jwtPart(parts[1], &claims) {
		return time.Time{}, false
	}
	seconds, err := claims.Iat.Int64()
	if err != nil || header.Alg != "ES256" || header.Kid != f.KeyID || claims.Iss != f.TeamID {
		return time.Time{}, false
	}
	return time.Unix(seconds, 0), f.signed(parts[0]+"."+parts[1], parts[2])
}

func jwtPart(text string, into any) bool {
	raw, err := base64.RawURLEncoding.DecodeString(text)
	return err == nil && json.Unmarshal(raw, into) == nil
}

// signed verifies an ES256 signature: r and s, 32 bytes each (RFC 7518 section
// 3.4).
func (f *APNs) signed(text, signature string) bool {
	raw, err := base64.RawURLEncoding.DecodeString(signature)
	if err != nil || len(raw) != 64 {
		return false
	}
	sum := sha256.Sum256([]byte(text))
	return ecdsa.Verify(f.key, sum[:], new(big.Int).SetBytes(raw[:32]), new(big.Int).SetBytes(raw[32:]))
}
