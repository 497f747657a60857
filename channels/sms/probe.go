package sms

import (
	"context"
	"time"

	openapi "github.com/twilio/twilio-go/rest/api/v2010"

	"github.com/fanfare-gateway/fanfare/channels"
)

// Probe tests the credentials and whether the account is active, by reading the
// account's record. Standard API keys may not read that
// (https://www.twilio.com/docs/iam/api-keys/keys-in-console): with a key it asks
// for the messages sent after tomorrow, of which there are none. A failure is an
// *Error.
func (c *Channel) Probe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, c.opts.Timeout)
	defer cancel()
	a := c.attempt(ctx)
	if c.opts.APIKey != "" {
		nothing := (&openapi.ListMessageParams{}).SetDateSentAfter(time.Now().AddDate(0, 0, 2)).SetPageSize(1)
		if _, err := a.api().PageMessage(nothing, "", ""); err != nil {
			return a.failure()
		}
		return nil
	}
	account, err := a.api().FetchAccount(c.opts.AccountSID)
	if err != nil || account.Status == nil {
		return a.failure()
	}
	if *account.Status != "active" { // suspended or closed
		return c.opts.Book.Judge(channels.Answer{Provider: Provider, Code: "account_" + *account.Status})
	}
	return nil
}
