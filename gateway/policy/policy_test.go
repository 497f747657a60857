package policy_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/gateway/policy"
)

// TestStatementsOfOthersKeepTheirText: whoever adds a permission changes nothing
// else of the policy.
func TestStatementsOfOthersKeepTheirText(t *testing.T) {
	t.Parallel()
	const theirs = `{"Sid":"theirs","Effect":"Deny","Principal":"*","Action":"*","Resource":"*","NotYetKnown":{"b":1,"a":2}}`
	added := policy.Statement{
		Sid: "mine", Effect: "Allow", Principal: policy.Accounts([]string{"111111111111"}), Action: policy.Actions("SQS", []string{"SendMessage", "ReceiveMessage"}), Resource: "arn",
	}
	const mine = `{"Sid":"mine","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111111111111:root"},"Action":["SQS:SendMessage","SQS:ReceiveMessage"],"Resource":"arn"}`
	text := func(statements ...string) string {
		return `{"Version":"2012-10-17","Statement":[` + strings.Join(statements, ",") + `]}`
	}
	for _, given := range []string{theirs, "[" + theirs + "]"} {
		p, err := policy.Read(`{"Version":"2012-10-17","Statement":` + given + `}`)
		require.NoError(t, err)
		require.True(t, p.Add(added))
		require.False(t, p.Add(added))
		require.Equal(t, text(theirs, mine), p.String())
		require.True(t, p.Remove("theirs"))
		require.False(t, p.Remove("theirs"))
		require.Equal(t, text(mine), p.String())
	}
	_, err := policy.Read(`{"Version":"2012-10-17","Statement":"all"}`)
	require.Error(t, err)
}
