package sandbox

import (
	"cmp"
	"net/http"
	"strconv"
	"strings"
)

// fcmError is a refusal in Google's form; the zero value is none.
// https://firebase.google.com/docs/cloud-messaging/error-codes
type fcmError struct {
	Status     int
	status     string // Google's, such as NOT_FOUND
	message    string
	errorCode  string // FCM's, such as UNREGISTERED; "" sends no FcmError
	field      string // at fault; "" sends no BadRequest
	quota      string // exceeded; "" sends no QuotaFailure
	retryAfter int
}

// fcmCodes are the codes with their usual status and Google's name for it;
// those of Google alone are not FCM's own.
var fcmCodes = map[string]struct {
	status int
	name   string
	own    bool
}{
	"INVALID_ARGUMENT":       {http.StatusBadRequest, "INVALID_ARGUMENT", true},
	"UNREGISTERED":           {http.StatusNotFound, "NOT_FOUND", true},
	"SENDER_ID_MISMATCH":     {http.StatusForbidden, "PERMISSION_DENIED", true},
	"QUOTA_EXCEEDED":         {http.StatusTooManyRequests, "RESOURCE_EXHAUSTED", true},
	"UNAVAILABLE":            {http.StatusServiceUnavailable, "UNAVAILABLE", true},
	"INTERNAL":               {http.StatusInternalServerError, "INTERNAL", true},
	"THIRD_PARTY_AUTH_ERROR": {http.StatusUnauthorized, "UNAUTHENTICATED", true},
	"UNAUTHENTICATED":        {http.StatusUnauthorized, "UNAUTHENTICATED", false},
	"PERMISSION_DENIED":      {http.StatusForbidden, "PERMISSION_DENIED", false},
	"NOT_FOUND":              {http.StatusNotFound, "NOT_FOUND", false},
	"RESOURCE_EXHAUSTED":     {http.StatusTooManyRequests, "RESOURCE_EXHAUSTED", false},
	"DEADLINE_EXCEEDED":      {http.StatusGatewayTimeout, "DEADLINE_EXCEEDED", false},
}

// fcmTexts are what Google says.
var fcmTexts = map[string]string{
	"INVALID_ARGUMENT":       "Request contains an invalid argument.",
	"UNREGISTERED":           "Requested entity was not found.",
	"SENDER_ID_MISMATCH":     "SenderId mismatch",
	"QUOTA_EXCEEDED":         "Quota exceeded for quota metric 'Send requests' and limit 'Send requests per minute'.",
	"UNAVAILABLE":            "The service is currently unavailable.",
	"INTERNAL":               "Internal error encountered.",
	"THIRD_PARTY_AUTH_ERROR": "Auth error from APNS or Web Push Service",
	"UNAUTHENTICATED":        "Request had invalid authentication credentials.",
	"PERMISSION_DENIED":      "The caller does not have permission",
	"NOT_FOUND":              "Requested entity was not found.",
}

func newFCMError(code, message string) fcmError {
	usual := fcmCodes[code]
	e := fcmError{Status: usual.status, status: usual.name, message: cmp.Or(message, fcmTexts[code], code)}
	if usual.own {
		e.errorCode = code
	}
	return e
}

// plain is the error without FCM's own code, as Google's front end sends it.
func (e fcmError) plain() fcmError {
	e.errorCode = ""
	return e
}

func badField(field, message string) fcmError {
	e := newFCMError("INVALID_ARGUMENT", message)
	e.field = field
	return e
}

// unlistedField is what the JSON reader in front of FCM finds.
func unlistedField(field, message string) fcmError { return badField(field, message).plain() }

// scriptedFCM makes the error of a scripted answer. The code is one of FCM's
// or Google's; "CODE:x" adds that the field x is at fault, or that the quota x
// is exceeded.
func scriptedFCM(a Answer) fcmError {
	code, about, _ := strings.Cut(a.Code, ":")
	e := newFCMError(code, a.Message)
	if _, known := fcmCodes[code]; !known {
		e.status, e.errorCode = code, code
		e.Status = http.StatusBadRequest
		if code == "" {
			e.message = cmp.Or(a.Message, http.StatusText(a.Status))
			e.status = strings.ToUpper(strings.ReplaceAll(http.StatusText(a.Status), " ", "_"))
		}
	}
	if a.Status != 0 {
		e.Status = a.Status
	}
	if e.Status == http.StatusTooManyRequests {
		e.quota = about
	} else {
		e.field = about
	}
	e.retryAfter = a.RetryAfter
	return e
}

func (e fcmError) code() string { return cmp.Or(e.errorCode, e.status) }

func (e fcmError) write(w http.ResponseWriter) {
	var details []map[string]any
	if e.errorCode != "" {
		details = append(details, map[string]any{"@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": e.errorCode})
	}
	if e.field != "" {
		details = append(details, map[string]any{
			"@type":           "type.googleapis.com/google.rpc.BadRequest",
			"fieldViolations": []map[string]string{{"field": e.field, "description": e.message}},
		})
	}
	if e.quota != "" {
		details = append(details, map[string]any{
			"@type":      "type.googleapis.com/google.rpc.QuotaFailure",
			"violations": []map[string]string{{"subject": "", "description": e.quota}},
		})
	}
	failed := map[string]any{"code": e.Status, "message": e.message, "status": e.status}
	if details != nil {
		failed["details"] = details
	}
	if e.retryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(e.retryAfter))
	}
	writeJSON(w, e.Status, map[string]any{"error": failed})
}
