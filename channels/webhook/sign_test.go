package webhook_test

import (
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
}

func TestBadSecrets(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("A", 88) // 66 bytes
	for _, s := range []string{
		"", "whsec_", "secret", vectorSecret[len("whsec_"):], "whsec_c2hvcnQ=", "whsec_" + long, "whsk_c2hvcnQ=",
		"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS!", "WHSEC_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whpk_c2hvcnQ=", publicOf(t, vectorPrivate),
	} {
		_, err := webhook.Sign("id", time.Now(), nil, vectorSecret, s)
		require.Error(t, err, s)
		if len(s) > 8 {
			require.NotContains(t, err.Error(), s)
		}
	}
}
