package sns_test

import (
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssns "github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/topics"
)

func TestSMSAttributes(t *testing.T) {
	t.Parallel()
	b := start(t)
	get := func(names ...string) map[string]string {
		out, err := b.GetSMSAttributes(t.Context(), &awssns.GetSMSAttributesInput{Attributes: names})
		require.NoError(t, err)
		return out.Attributes
	}
	set := func(name, value string) error {
		_, err := b.SetSMSAttributes(t.Context(), &awssns.SetSMSAttributesInput{Attributes: map[string]string{name: value}})
		return err
	}
	require.Empty(t, get())
	require.NoError(t, set("DefaultSMSType", "Transactional"))
	require.NoError(t, set("DefaultSenderID", "Fanfare"))
	require.Equal(t, map[string]string{"DefaultSMSType": "Transactional", "DefaultSenderID": "Fanfare"}, get())
	require.Equal(t, map[string]string{"DefaultSenderID": "Fanfare"}, get("DefaultSenderID", "MonthlySpendLimit"))
	refused(t, set("Color", "red"), "InvalidParameter", 400, "Invalid parameter: Attributes Reason: Unknown attribute Color")
	refused(t, set("DefaultSMSType", "Loud"), "InvalidParameter", 400, "Invalid parameter: DefaultSMSType Reason: value is invalid")
}

func TestOptingOutAndIn(t *testing.T) {
	t.Parallel()
	b := start(t)
	stop := func(number string) {
		_, err := b.topics.Suppress(t.Context(), owner, topics.Suppression{Protocol: topics.SMS, Endpoint: number, Reason: "STOP"})
		require.NoError(t, err)
	}
	optedOut := func(number string) bool {
		out, err := b.CheckIfPhoneNumberIsOptedOut(t.Context(), &awssns.CheckIfPhoneNumberIsOptedOutInput{PhoneNumber: &number})
		require.NoError(t, err)
		return out.IsOptedOut
	}
	optIn := func(number string) error {
		_, err := b.OptInPhoneNumber(t.Context(), &awssns.OptInPhoneNumberInput{PhoneNumber: &number})
		return err
	}
	const number = "+15005550006"
	require.False(t, optedOut(number))
	require.NoError(t, optIn(number), "that is no opting in")
	stop(number)
	require.True(t, optedOut(number))
	require.NoError(t, optIn(number))
	require.False(t, optedOut(number))
	stop(number)
	refused(t, optIn(number), "InvalidParameter", 400, "Invalid parameter: PhoneNumber Reason: the number was opted in less than 30 days ago")
	require.True(t, optedOut(number))
	_, err := b.CheckIfPhoneNumberIsOptedOut(t.Context(), &awssns.CheckIfPhoneNumberIsOptedOutInput{PhoneNumber: aws.String("5550006")})
	refused(t, err, "InvalidParameter", 400, "Invalid parameter: PhoneNumber Reason: input incorrectly formatted")
}

func TestNumbersThatOptedOutAreListedInPages(t *testing.T) {
	t.Parallel()
	b := start(t)
	suppress := func(s topics.Suppression) {
		_, err := b.topics.Suppress(t.Context(), owner, s)
		require.NoError(t, err)
	}
	suppress(topics.Suppression{Protocol: topics.Email, Endpoint: "a@example.com"})
	suppress(topics.Suppression{Protocol: topics.SQS, Endpoint: "z"})
	suppress(topics.Suppression{Protocol: topics.SMS, Endpoint: "+15005559999", Lane: channels.Bulk})
	for n := range 101 {
		suppress(topics.Suppression{Protocol: topics.SMS, Endpoint: fmt.Sprintf("+1500555%04d", n)})
	}
	first, err := b.ListPhoneNumbersOptedOut(t.Context(), &awssns.ListPhoneNumbersOptedOutInput{})
	require.NoError(t, err)
	require.Len(t, first.PhoneNumbers, 100)
	rest, err := b.ListPhoneNumbersOptedOut(t.Context(), &awssns.ListPhoneNumbersOptedOutInput{NextToken: first.NextToken})
	require.NoError(t, err)
	require.Equal(t, []string{"+15005550100"}, rest.PhoneNumbers)
	require.Nil(t, rest.NextToken)
}
