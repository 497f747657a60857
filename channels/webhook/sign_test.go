package webhook_test

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels/webhook"
)

// The vectors of the reference libraries' own tests, symmetric and asymmetric:
// https://github.com/standard-webhooks/standard-webhooks/tree/main/libraries
const (
	vectorID         = "msg_p5jXN8AQM9LWM0D4loKWxJek"
	vectorTime       = 1614265330
	vectorBody       = `{"test": 2432232314}`
	vectorSecret     = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	vectorSignature  = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
	vectorPrivate    = "whsk_VEVTVFNJR05JTkdLRVlET05PVFVTRVRISVNGT1JBTlk="
	vectorSignatureA = "v1a,tQ9V2XOqn7jL/DQenEFpqIugdBVtiMmER5mhSkXBNwM0mkATuDe6KYYUuxqtaiHeYGb7KaaBRdM5WqyeFiL8Ag=="
)

func TestVectors(t *testing.T) {
	t.Parallel()
	at := time.Unix(vectorTime, 0)
	got, err := webhook.Sign(vectorID, at, []byte(vectorBody), vectorSecret)
	require.NoError(t, err)
	require.Equal(t, vectorSignature, got)
	got, err = webhook.Sign(vectorID, at, []byte(vectorBody), vectorPrivate, vectorSecret)
	require.NoError(t, err)
	require.Equal(t, vectorSignatureA+" "+vectorSignature, got)
	require.NoError(t, webhook.Verify(headers(vectorID, at, got), []byte(vectorBody), at, vectorSecret))
	require.NoError(t, webhook.Verify(headers(vectorID, at, got), []byte(vectorBody), at, vectorPrivate))
}

func headers(id string, at time.Time, signature string) http.Header {
	h := http.Header{}
	h.Set("webhook-id", id)
	h.Set("webhook-timestamp", strconv.FormatInt(at.Unix(), 10))
	h.Set("webhook-signature", signature)
	return h
}

func TestVerify(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	body := []byte(`{"a":1}`)
	secret, other := webhook.NewSecret(), webhook.NewSecret()
	private, public := webhook.NewKeyPair()
	_, stranger := webhook.NewKeyPair()
	sign := func(secrets ...string) string {
		s, err := webhook.Sign("dlv_1", now, body, secrets...)
		require.NoError(t, err)
		return s
	}
	good := func(h http.Header, at time.Time, secrets ...string) {
		t.Helper()
		require.NoError(t, webhook.Verify(h, body, at, secrets...))
	}
	bad := func(h http.Header, at time.Time, secrets ...string) {
		t.Helper()
		require.ErrorIs(t, webhook.Verify(h, body, at, secrets...), webhook.ErrSignature)
	}
	h := headers("dlv_1", now, sign(secret))
	good(h, now, secret)
	good(h, now, other, secret)
	good(h, now.Add(webhook.Tolerance), secret)
	good(h, now.Add(-webhook.Tolerance), secret)
	bad(h, now.Add(webhook.Tolerance+time.Second), secret)
	bad(h, now.Add(-webhook.Tolerance-time.Second), secret)
	bad(h, now, other)
	bad(h, now)
	bad(headers("dlv_2", now, sign(secret)), now, secret)
	bad(headers("", now, sign(secret)), now, secret)
	bad(headers("dlv_1", now.Add(time.Second), sign(secret)), now, secret)
	bad(headers("dlv_1", now, ""), now, secret)
	bad(headers("dlv_1", now, "v1,"), now, secret)
	bad(headers("dlv_1", now, strings.TrimPrefix(sign(secret), "v1,")), now, secret)
	bad(headers("dlv_1", now, strings.Replace(sign(secret), "v1,", "v2,", 1)), now, secret)
	require.ErrorIs(t, webhook.Verify(h, []byte(`{"a":2}`), now, secret), webhook.ErrSignature)

	rotated := headers("dlv_1", now, "v2,AAAA "+sign(other, secret, private))
	good(rotated, now, secret)
	good(rotated, now, public)
	bad(rotated, now, stranger)
	bad(headers("dlv_1", now, sign(secret)), now, public)
	h.Set("webhook-timestamp", "now")
	bad(h, now, secret)
	require.Error(t, webhook.Verify(rotated, body, now, "whsec_short"))
}

func TestSecrets(t *testing.T) {
	t.Parallel()
	require.NotEqual(t, webhook.NewSecret(), webhook.NewSecret())
	private, public := webhook.NewKeyPair()
	for _, s := range []string{webhook.NewSecret(), private, vectorSecret, vectorPrivate} {
		require.NoError(t, webhook.CheckSecret(s))
	}
	long := strings.Repeat("A", 88) // 66 bytes
	for _, s := range []string{
		"", "whsec_", "secret", vectorSecret[len("whsec_"):], "whsec_c2hvcnQ=", "whsec_" + long, "whsk_c2hvcnQ=",
		"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS!", "WHSEC_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", public, "whpk_c2hvcnQ=",
	} {
		err := webhook.CheckSecret(s)
		require.Error(t, err, s)
		if len(s) > 8 {
			require.NotContains(t, err.Error(), s)
		}
		_, err = webhook.Sign("id", time.Now(), nil, vectorSecret, s)
		require.Error(t, err, s)
	}
}
