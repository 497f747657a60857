package apns

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func keyPEM(t *testing.T, curve elliptic.Curve) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	require.NoError(t, err)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func newToken(t *testing.T) *providerToken {
	t.Helper()
	p, err := NewTokens().of(keyPEM(t, elliptic.P256()), "KEY1234567", "TEAM123456")
	require.NoError(t, err)
	return p
}

func bearer(t *testing.T, p *providerToken) string {
	t.Helper()
	b, err := p.bearer()
	require.NoError(t, err)
	return b
}

// The time of a synctest bubble passes in an instant, so these run on a real
// token but no connection.

func TestTokenIsRenewedFortyMinutesAfterItWasIssued(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newToken(t)
		first := bearer(t, p)
		time.Sleep(39 * time.Minute)
		require.Equal(t, first, bearer(t, p))
		time.Sleep(time.Minute)
		second := bearer(t, p)
		require.NotEqual(t, first, second)
		time.Sleep(39 * time.Minute)
		require.Equal(t, second, bearer(t, p), "counted from the new one's issue")
	})
}

func TestAllWorkersGetOneRenewedToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newToken(t)
		time.Sleep(time.Hour)
		got := make([]string, 50)
		var wg sync.WaitGroup
		for i := range got {
			wg.Go(func() { got[i], _ = p.bearer() })
		}
		wg.Wait()
		for _, b := range got {
			require.Equal(t, got[0], b)
		}
	})
}

func TestTokenCalledExpiredIsRenewedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newToken(t)
		time.Sleep(5 * time.Minute)
		first := bearer(t, p)
		require.False(t, p.refused(first))
		require.False(t, p.refused(first), "so did an attempt that was under way")
		second := bearer(t, p)
		require.NotEqual(t, first, second)
		require.False(t, p.refused(first), "a late answer about the old one")
		require.Equal(t, second, bearer(t, p))

		require.True(t, p.refused(second), "the new one did not help")
		require.Equal(t, second, bearer(t, p), "at most one in 20 minutes")
		time.Sleep(20 * time.Minute)
		require.False(t, p.refused(second))
		require.NotEqual(t, second, bearer(t, p))
	})
}

func TestTokensAreSharedByKey(t *testing.T) {
	t.Parallel()
	tokens := NewTokens()
	key := keyPEM(t, elliptic.P256())
	of := func(key []byte, id, team string) *providerToken {
		p, err := tokens.of(key, id, team)
		require.NoError(t, err)
		return p
	}
	one := of(key, "KEY1234567", "TEAM123456")
	require.Same(t, one, of(key, "KEY1234567", "TEAM123456"))
	require.NotSame(t, one, of(key, "KEY7654321", "TEAM123456"))
	require.NotSame(t, one, of(key, "KEY1234567", "TEAM654321"))
	require.NotSame(t, one, of(keyPEM(t, elliptic.P256()), "KEY1234567", "TEAM123456"), "replaced under its id")

	_, err := tokens.of(keyPEM(t, elliptic.P384()), "KEY1234567", "TEAM123456")
	require.ErrorContains(t, err, "Key", "ES256 needs P-256")
}
