package sns

import (
	"context"
	"net/http"

	"github.com/fanfare-gateway/fanfare/gateway/awswire"
)

// unsupported is the answer where there is nothing behind an action.
func unsupported(what string) *awswire.Error {
	return fault("UnsupportedOperation", http.StatusBadRequest, "This gateway has no "+what+".")
}

// unsupportedActions are the actions with nothing behind them, and what that is.
var unsupportedActions = map[string]string{
	"GetDataProtectionPolicy":     "data protection policies",
	"PutDataProtectionPolicy":     "data protection policies",
	"CreateSMSSandboxPhoneNumber": "SMS sandbox of AWS: its accounts' numbers are in no sandbox",
	"DeleteSMSSandboxPhoneNumber": "SMS sandbox of AWS: its accounts' numbers are in no sandbox",
	"ListSMSSandboxPhoneNumbers":  "SMS sandbox of AWS: its accounts' numbers are in no sandbox",
	"VerifySMSSandboxPhoneNumber": "SMS sandbox of AWS: its accounts' numbers are in no sandbox",
	"GetSMSSandboxAccountStatus":  "SMS sandbox of AWS: its accounts' numbers are in no sandbox",
	"ListOriginationNumbers":      "list of origination numbers: they are the SMS accounts' own",
}

func refuse(what string) awswire.Action {
	return func(context.Context, *awswire.Request) (any, error) { return nil, unsupported(what) }
}
