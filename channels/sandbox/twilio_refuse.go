package sandbox

import (
	"crypto/subtle"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"unicode/utf16"
)

// The codes a message is refused with, their usual statuses and texts:
// https://www.twilio.com/docs/api/errors
var twilioErrors = map[string]struct {
	status int
	text   string
}{
	"10001": {403, "Account is not active"},
	"20001": {400, "Bad request"},
	"20003": {401, "Authenticate"},
	"20005": {403, "Account not active"},
	"20403": {403, "Forbidden"},
	"20404": {404, "The requested resource was not found"},
	"20429": {429, "Too Many Requests"},
	"20500": {500, "An internal server error has occurred"},
	"20503": {503, "Service unavailable"},
	"21211": {400, "Invalid 'To' Phone Number"},
	"21212": {400, "Invalid 'From' Number"},
	"21217": {400, "Phone number does not appear to be valid"},
	"21408": {400, "Permission to send an SMS has not been enabled for the region indicated by the 'To' number"},
	"21602": {400, "Message body is required."},
	"21603": {400, "A 'From' phone number is required."},
	"21604": {400, "A 'To' phone number is required."},
	"21606": {400, "The 'From' phone number provided is not a valid message-capable Twilio phone number for this destination/account"},
	"21608": {400, "The 'to' phone number provided is not yet verified for this account."},
	"21609": {400, "The 'StatusCallback' URL is not a valid URL."},
	"21610": {400, "Attempt to send to unsubscribed recipient"},
	"21611": {400, "This 'From' number has exceeded the maximum number of queued messages"},
	"21612": {400, "The 'To' phone number is not currently reachable using the 'From' phone number"},
	"21614": {400, "'To' number is not a valid mobile number"},
	"21617": {400, "The concatenated message body exceeds the 1600 character limit"},
	"21619": {400, "A Message Body, Media URL or Content SID is required"},
	"21635": {400, "'To' number cannot be a landline"},
	"21659": {400, "'From' is not a Twilio phone number or Short Code country mismatch"},
	"21660": {400, "Mismatch between the 'From' number and the account"},
	"21661": {400, "'From' number is not SMS-capable"},
	"63017": {429, "Rate limit exceeded"},
	"63038": {429, "Account exceeded the daily messages limit"},
	"90007": {400, "Invalid validity period value"},
}

var (
	twilioNumber = regexp.MustCompile(`^\+[1-9][0-9]{6,14}$`)
	twilioSender = regexp.MustCompile(`^(\+[1-9][0-9]{6,14}|[0-9]{3,8}|[0-9A-Za-z+_&-][0-9A-Za-z +_&-]{0,10})$`)
	// A sender with a letter in it is alphanumeric, and no account has to own it:
	// https://www.twilio.com/docs/glossary/what-alphanumeric-sender-id
	twilioLetter    = regexp.MustCompile(`[A-Za-z]`)
	twilioHostnames = regexp.MustCompile(`^[0-9A-Za-z.:\[\]-]+$`)
)

// signedIn checks basic authentication for an account.
func (f *Twilio) signedIn(r *http.Request, account string) bool {
	user, password, _ := r.BasicAuth()
	want := map[string]string{f.AccountSID: f.AuthToken, f.APIKey: f.APISecret}[user]
	return account == f.AccountSID && want != "" && subtle.ConstantTimeCompare([]byte(password), []byte(want)) == 1
}

// refusal is the code a request is refused with for what it is, or "".
func (f *Twilio) refusal(r *http.Request, form url.Values) string {
	switch to := form.Get("To"); {
	case !f.signedIn(r, r.PathValue("account")):
		return "20003"
	case to == "":
		return "21604"
	case !twilioNumber.MatchString(to) || to == form.Get("From"):
		return "21211"
	}
	if code := f.badSender(form.Get("From"), form.Get("MessagingServiceSid")); code != "" {
		return code
	}
	switch body := form.Get("Body"); {
	case body == "" && form.Has("MessagingServiceSid"):
		return "21619"
	case body == "":
		return "21602"
	case len(utf16.Encode([]rune(body))) > 1600:
		return "21617"
	case form.Has("StatusCallback") && !twilioCallback(form.Get("StatusCallback")):
		return "21609"
	}
	if form.Has("ValidityPeriod") {
		if s, err := strconv.Atoi(form.Get("ValidityPeriod")); err != nil || s < 1 || s > 36_000 {
			return "90007"
		}
	}
	return ""
}

func (f *Twilio) badSender(from, service string) string {
	switch {
	case from == "" && service != f.MessagingServiceSID:
		return "21603"
	case from == "", from == f.From:
		return ""
	case from == "+15005550001", !twilioSender.MatchString(from): // a magic number
		return "21212"
	case from == "+15005550008": // a magic number
		return "21611"
	case twilioLetter.MatchString(from):
		return ""
	}
	return "21606"
}

func twilioCallback(text string) bool {
	u, err := url.Parse(text)
	return err == nil && len(text) <= 4000 && (u.Scheme == "http" || u.Scheme == "https") && twilioHostnames.MatchString(u.Host)
}

// twilioCode is the code of a refusing answer: its own, or the one that goes
// with its status. A gateway's error has none.
func twilioCode(a Answer) string {
	if a.Code != "" {
		return a.Code
	}
	switch a.Status {
	case http.StatusBadGateway, http.StatusGatewayTimeout:
		return ""
	case http.StatusUnauthorized:
		return "20003"
	}
	if code := strconv.Itoa(20_000 + a.Status); twilioErrors[code].status == a.Status {
		return code
	}
	return "20001"
}

func twilioStatus(a Answer) int {
	switch known := twilioErrors[a.Code].status; {
	case a.Status != 0:
		return a.Status
	case known != 0:
		return known
	}
	return http.StatusBadRequest
}

func answerTwilio(w http.ResponseWriter, r *http.Request, a Answer) {
	status, code := twilioStatus(a), twilioCode(a)
	if a.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(a.RetryAfter))
	}
	if status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Basic realm="Twilio API"`)
	}
	text := a.Message
	if text == "" {
		text = twilioErrors[code].text
	}
	number, err := strconv.Atoi(code)
	if err != nil { // not Twilio's but a gateway's page
		http.Error(w, http.StatusText(status)+text, status)
		return
	}
	if code == "20404" && a.Message == "" {
		text = "The requested resource " + r.URL.Path + " was not found"
	}
	writeJSON(w, status, map[string]any{
		"code": number, "message": text, "status": status,
		"more_info": "https://www.twilio.com/docs/errors/" + code,
	})
}
