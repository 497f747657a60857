package email_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels/email"
)

func TestParseDSN(t *testing.T) {
	t.Parallel()
	got, err := email.ParseDSN(strings.NewReader(report(t, "postfix_bounce.eml")))
	require.NoError(t, err)
	require.Equal(t, email.Report{
		MessageID: "0198c0de000080008000000000000001@example.com",
		Recipients: []email.RecipientReport{{
			Final: "nobody@example.net", Original: "nobody@example.net", Action: email.Failed, Status: "5.1.1",
			Diagnostic: "550 5.1.1 <nobody@example.net>: Recipient address rejected: User unknown",
		}},
	}, got)
}

func TestParseDSNSeveralRecipients(t *testing.T) {
	t.Parallel()
	got, err := email.ParseDSN(strings.NewReader(report(t, "mixed_actions.eml")))
	require.NoError(t, err)
	require.Equal(t, "0198c0de000080008000000000000002@example.com", got.MessageID)
	require.Len(t, got.Recipients, 3, "the group without an action is left out")
	require.Equal(t, email.Delayed, got.Recipients[0].Action)
	require.Equal(t, "4.4.1", got.Recipients[0].Status)
	require.Equal(t, email.Delivered, got.Recipients[1].Action)
	require.Equal(t, email.Failed, got.Recipients[2].Action)
	require.Empty(t, got.Recipients[2].Status, "an unreadable status is none")
}

func TestParseDSNRefuses(t *testing.T) {
	t.Parallel()
	bounce := report(t, "postfix_bounce.eml")
	for name, text := range map[string]string{
		"nothing":        "",
		"ordinary mail":  "From: a@example.com\r\nContent-Type: text/plain\r\n\r\nI am on holiday.\r\n",
		"other report":   strings.ReplaceAll(bounce, "report-type=delivery-status", "report-type=disposition-notification"),
		"no boundary":    strings.ReplaceAll(bounce, "boundary=", "x-boundary="),
		"no action":      strings.ReplaceAll(bounce, "Action: failed", "Action: lost"),
		"no recipient":   strings.NewReplacer("Final-Recipient:", "X-F:", "Original-Recipient:", "X-O:").Replace(bounce),
		"cut in the top": bounce[:80],
	} {
		_, err := email.ParseDSN(strings.NewReader(text))
		require.ErrorIs(t, err, email.ErrNotReport, name)
	}
}

func TestParseDSNIsBounded(t *testing.T) {
	t.Parallel()
	group := "Final-Recipient: rfc822; a@example.net\r\nAction: failed\r\nStatus: 5.1.1\r\n\r\n"
	bounce := strings.Replace(report(t, "postfix_bounce.eml"), "Final-Recipient:", strings.Repeat(group, 5000)+"Final-Recipient:", 1)
	got, err := email.ParseDSN(strings.NewReader(bounce + strings.Repeat("x", 2<<20)))
	require.NoError(t, err)
	require.Len(t, got.Recipients, 100)
}

func FuzzParseDSN(f *testing.F) {
	for _, name := range []string{"postfix_bounce.eml", "mixed_actions.eml"} {
		f.Add(report(f, name))
	}
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := email.ParseDSN(strings.NewReader(text))
		if err != nil {
			require.ErrorIs(t, err, email.ErrNotReport)
			require.Empty(t, got)
			return
		}
		require.NotEmpty(t, got.Recipients)
		require.LessOrEqual(t, len(got.Recipients), 100)
		for _, r := range got.Recipients {
			require.Contains(t, []email.Action{email.Failed, email.Delayed, email.Delivered, email.Relayed, email.Expanded}, r.Action)
			require.NotEmpty(t, r.Final+r.Original)
			require.NotContains(t, r.Final+r.Original+r.Diagnostic+got.MessageID, "\n")
		}
	})
}

// report reads a message from testdata, its lines ended as on the wire.
func report(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	require.NoError(t, err)
	return strings.ReplaceAll(string(text), "\n", "\r\n")
}
