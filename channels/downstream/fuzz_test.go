package downstream_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/channels/amazon"
	"github.com/fanfare-gateway/fanfare/channels/downstream"
)

// FuzzCheckEndpoint: what is taken is at AWS, and its normal form stays as it is.
func FuzzCheckEndpoint(f *testing.F) {
	for _, seed := range []string{
		"https://sqs.eu-west-1.amazonaws.com/123456789012/orders.fifo", "arn:aws:sqs:eu-west-1:123456789012:orders",
		"https://sqs.eu-west-1.amazonaws.com@evil.example/1/x", "https://sqs.eu-west-1.amazonaws.com:443/%31/x", "arn:aws:sqs:::",
	} {
		f.Add(seed)
	}
	book, err := channels.NewErrorBook(nil)
	require.NoError(f, err)
	c, err := downstream.New(downstream.Options{Account: amazon.Account{Region: "eu-west-1", AccessKeyID: "key", SecretAccessKey: "hush", Book: book}})
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, endpoint string) {
		got, err := c.CheckEndpoint(endpoint)
		if err != nil {
			return
		}
		host, _, _ := strings.Cut(strings.TrimPrefix(got.Address, "https://"), "/")
		require.Regexp(t, `^sqs(-fips)?\.[a-z0-9-]+\.(amazonaws\.com(\.cn)?|api\.aws)$`, host)
		again, err := c.CheckEndpoint(got.Address)
		require.NoError(t, err)
		require.Equal(t, got, again)
	})
}
