package sandbox

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// ProviderFCMToken names FCM's token endpoint in scripts and requests; the
// recipient is the service account (FCM.Account). Its requests are never in
// the inbox: they carry no message.
const ProviderFCMToken = "fcm_token"

// FCM is Firebase Cloud Messaging, HTTP v1: one project, its service account
// and the token endpoint where that account's keys buy access tokens.
type FCM struct {
	// URL is scheme and host; the API is below /v1, the token endpoint is /token.
	URL string
	// ProjectID is the only project messages can be sent through.
	ProjectID string
	// Account is the service account's address.
	Account string

	core  *core
	close func() error
	any   atomic.Bool // whatever is named is a device

	mu   sync.Mutex
	life time.Duration
	fcmKeys
}

// fcmKeys are the account's keys and what was bought with them.
type fcmKeys struct {
	Newest []byte               `json:"newest"` // key file of the newest key
	Public map[string][]byte    `json:"public"` // in PKCS #1, by key id
	Tokens map[string]time.Time `json:"tokens"` // access tokens and their ends
}

// save keeps keys and tokens over a restart.
func (f *FCM) save() { f.core.kept.mustPut("fcm", f.fcmKeys) }

func startFCM(c *core) (*FCM, error) {
	l, err := c.kept.listen("fcm")
	if err != nil {
		return nil, err
	}
	f := &FCM{
		URL: "http://" + l.Addr().String(), ProjectID: "fanfare-sandbox",
		Account: "fanfare@fanfare-sandbox.iam.gserviceaccount.com",
		core:    c, life: time.Hour,
		fcmKeys: fcmKeys{Public: map[string][]byte{}, Tokens: map[string]time.Time{}},
	}
	if _, err := c.kept.get("fcm", &f.fcmKeys); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /token", f.token)
	mux.HandleFunc("POST /v1/projects/{project}/messages:send", f.send)
	f.close = serveHTTP(l, mux)
	return f, nil
}

// Close ends the listener.
func (f *FCM) Close() error { return f.close() }

// AnyToken makes every text a registration token.
func (f *FCM) AnyToken() { f.any.Store(true) }

// firstKey is the first key of every account in this process: making one takes
// a quarter of a second, and a sandbox is started for many a test.
var firstKey = sync.OnceValues(newFCMKey)

func newFCMKey() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) }

// CredentialsJSON is the key file of the account's newest key. The first key is
// made at the first call.
func (f *FCM) CredentialsJSON() []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.Newest == nil {
		f.add(firstKey())
	}
	return slices.Clone(f.Newest)
}

// Rotate adds a key to the account and returns its key file. Older keys go on
// working until Revoke.
func (f *FCM) Rotate() []byte {
	key, err := newFCMKey()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.add(key, err)
	return slices.Clone(f.Newest)
}

// add enters a key.
func (f *FCM) add(key *rsa.PrivateKey, err error) {
	if err != nil {
		panic(err) // no randomness: nothing would work
	}
	private, err := pkcs8PEM(key)
	if err != nil {
		panic(err) // an RSA key can always be encoded
	}
	id := randomHex(20)
	f.Public[id] = x509.MarshalPKCS1PublicKey(&key.PublicKey)
	f.Newest, _ = json.MarshalIndent(map[string]string{ // strings: cannot fail
		"type":                        "service_account",
		"project_id":                  f.ProjectID,
		"private_key_id":              id,
		"private_key":                 string(private),
		"client_email":                f.Account,
		"client_id":                   "100000000000000000000",
		"auth_uri":                    "https://accounts.google.com/o/oauth2/auth",
		"token_uri":                   f.URL + "/token",
		"auth_provider_x509_cert_url": "https://www.googleapis.com/oauth2/v1/certs",
		"universe_domain":             "googleapis.com",
	}, "", "  ")
	f.save()
}

// Revoke ends all keys and access tokens: the token endpoint and the API refuse
// them from now on.
func (f *FCM) Revoke() {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.Public)
	clear(f.Tokens)
	f.save()
}

// EndTokens ends all access tokens; the keys go on working.
func (f *FCM) EndTokens() {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.Tokens)
	f.save()
}

// SetTokenLife sets how long new access tokens last, in whole seconds; an hour
// by default.
func (f *FCM) SetTokenLife(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.life = d.Truncate(time.Second)
}

// issue makes an access token.
func (f *FCM) issue() (token string, life time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	for old, end := range f.Tokens {
		if now.After(end) {
			delete(f.Tokens, old)
		}
	}
	token = "ya29.sandbox." + randomHex(32)
	f.Tokens[token] = now.Add(f.life)
	f.save()
	return token, f.life
}

// signedIn tells whether an Authorization header holds a good access token.
func (f *FCM) signedIn(header string) bool {
	token, ok := strings.CutPrefix(header, "Bearer ")
	if !ok {
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	end, ok := f.Tokens[token]
	return ok && time.Now().Before(end)
}

func randomHex(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}
