package sandbox

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// token is the token endpoint: a signed assertion for an access token (RFC
// 7523), as in https://developers.google.com/identity/protocols/oauth2/service-account#httprest.
func (f *FCM) token(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	err := r.ParseForm()
	a := f.core.next(ProviderFCMToken, f.Account)
	a.wait(r.Context())
	it := Item{Provider: ProviderFCMToken, Recipient: f.Account}
	if a.Hang || a.Drop != "" {
		f.core.record(it)
		abort()
	}
	if a.refuses() {
		answerToken(w, f.core, it, a)
		return
	}
	media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch {
	case err != nil || media != "application/x-www-form-urlencoded":
		a = Answer{Code: "invalid_request", Message: "Missing required parameter: grant_type"}
	case r.PostForm.Get("grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer":
		a = Answer{Code: "unsupported_grant_type", Message: "Invalid grant_type: " + r.PostForm.Get("grant_type")}
	default:
		a = f.checkAssertion(r.PostForm.Get("assertion"))
	}
	if a.refuses() {
		answerToken(w, f.core, it, a)
		return
	}
	it.Status = http.StatusOK
	f.core.record(it)
	token, life := f.issue()
	writeJSON(w, http.StatusOK, map[string]any{"access_token": token, "expires_in": int(life / time.Second), "token_type": "Bearer"})
}

// answerToken refuses as RFC 6749 section 5.2 says.
func answerToken(w http.ResponseWriter, c *core, it Item, a Answer) {
	if a.Status == 0 {
		a.Status = http.StatusBadRequest
	}
	it.Status, it.Code = a.Status, a.Code
	c.record(it)
	if a.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(a.RetryAfter))
	}
	writeJSON(w, a.Status, map[string]string{"error": a.Code, "error_description": a.Message})
}

// checkAssertion checks a JWT as Google does; the zero Answer is good.
func (f *FCM) checkAssertion(text string) Answer {
	var header struct{ Alg, Kid string }
	var claims struct {
		Iss, Aud, Scope string
		Iat, Exp        int64
	}
	parts := strings.Split(text, ".")
	if len(parts) != 3 || !jwtPart(parts[0], &header) || !jwtPart(parts[1], &claims) {
		return Answer{Code: "invalid_request", Message: "Invalid JWT"}
	}
	now := time.Now().Unix()
	switch {
	case claims.Iss != f.Account:
		return Answer{Code: "invalid_grant", Message: "Invalid grant: account not found"}
	case header.Alg != "RS256" || !f.signed(header.Kid, parts):
		return Answer{Code: "invalid_grant", Message: "Invalid JWT Signature."}
	case claims.Aud != f.URL+"/token":
		return Answer{Code: "invalid_grant", Message: "Invalid JWT: Failed audience check. The right audience is " + f.URL + "/token"}
	case claims.Exp <= now || claims.Iat > now+60 || claims.Exp-claims.Iat > 3600 || claims.Exp <= claims.Iat:
		return Answer{Code: "invalid_grant", Message: "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your iat and exp values in the JWT claim."}
	case !sendScope(claims.Scope):
		return Answer{Code: "invalid_scope", Message: "Invalid OAuth scope or ID token audience provided."}
	}
	return Answer{}
}

// sendScope tells whether a scope allows to send messages.
func sendScope(scopes string) bool {
	return slices.ContainsFunc(strings.Fields(scopes), func(s string) bool {
		return s == "https://www.googleapis.com/auth/firebase.messaging" || s == "https://www.googleapis.com/auth/cloud-platform"
	})
}

// signed verifies an RS256 signature by one of the account's keys.
func (f *FCM) signed(kid string, parts []string) bool {
	f.mu.Lock()
	public := f.Public[kid]
	f.mu.Unlock()
	key, unknown := x509.ParsePKCS1PublicKey(public)
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if unknown != nil || err != nil {
		return false
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	return rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], signature) == nil
}
