package apns

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"regexp"
	"sync"
	"time"

	"github.com/sideshow/apns2/token"
)

// A provider token is good for an hour and must not be renewed more than once
// in 20 minutes,
// https://developer.apple.com/documentation/usernotifications/establishing-a-token-based-connection-to-apns
const (
	renewAfter   = 40 * time.Minute
	leastBetween = 20 * time.Minute
	// clockStep is how far the clock may be set back before a token, which
	// then is of the future, is renewed.
	clockStep = time.Minute
)

// Tokens keeps one provider token a key, for all channels of the process that
// sign in with the key. It is safe for concurrent use.
type Tokens struct {
	mu    sync.Mutex
	byKey map[tokenKey]*providerToken
}

type tokenKey struct {
	team, id string
	key      [sha256.Size]byte // a key replaced under its id signs anew
}

// NewTokens makes an empty Tokens.
func NewTokens() *Tokens { return &Tokens{byKey: map[tokenKey]*providerToken{}} }

var idForm = regexp.MustCompile(`^[A-Za-z0-9]{10}$`)

// of is the token of a key. The error names the option that is wrong.
func (t *Tokens) of(key []byte, keyID, teamID string) (*providerToken, error) {
	if !idForm.MatchString(keyID) {
		return nil, errors.New("apns: KeyID: want the ten letters and digits Apple shows for the key")
	}
	if !idForm.MatchString(teamID) {
		return nil, errors.New("apns: TeamID: want ten letters and digits")
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	k := tokenKey{teamID, keyID, sha256.Sum256(key)}
	if p, ok := t.byKey[k]; ok {
		return p, nil
	}
	authKey, err := token.AuthKeyFromBytes(key)
	if err != nil {
		return nil, fmt.Errorf("apns: Key: want the content of a .p8 file: %w", err)
	}
	p := &providerToken{signed: token.Token{AuthKey: authKey, KeyID: keyID, TeamID: teamID}}
	if _, err := p.bearer(); err != nil { // a key of another curve cannot sign
		return nil, fmt.Errorf("apns: Key: %w", err)
	}
	t.byKey[k] = p
	return p, nil
}

// providerToken is the token of one key. It decides itself when to sign anew:
// the SDK would do so later, count from its own start and hide errors.
type providerToken struct {
	mu     sync.Mutex
	signed token.Token
	// stale: APNs called the token expired before its time, so the clocks
	// differ. forced: it was signed anew because of that.
	stale, forced bool
}

// bearer is the token to send now.
func (p *providerToken) bearer() (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	age := p.age()
	if p.signed.Bearer != "" && !p.stale && age < renewAfter && age > -clockStep {
		return p.signed.Bearer, nil
	}
	if _, err := p.signed.Generate(); err != nil {
		return "", fmt.Errorf("sign provider token: %w", err)
	}
	p.forced, p.stale = p.stale, false
	return p.signed.Bearer, nil
}

// refused notes that APNs called a token expired. The next bearer is a new
// one; but when that was done already and did not help, refused tells so, and
// the token stays until it may be renewed again.
func (p *providerToken) refused(bearer string) (again bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if bearer != p.signed.Bearer {
		return false // renewed meanwhile
	}
	if p.forced && p.age() < leastBetween {
		return true
	}
	p.stale = true
	return false
}

// age counts by the wall clock from the second that stands in the token.
func (p *providerToken) age() time.Duration {
	return time.Since(time.Unix(p.signed.IssuedAt, 0))
}
