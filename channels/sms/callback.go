package sms

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"

	"github.com/twilio/twilio-go/client"
)

// maxCallback bounds the form Twilio posts; its own are about 1 KB.
const maxCallback = 64 << 10

// The ways a callback is refused.
var (
	// ErrSignature: the request is not signed by the account's auth token, or
	// not for this address. Answer 403.
	ErrSignature = errors.New("sms: signature does not fit")
	// ErrCallback: the request is no callback of the kind asked for. Answer 400.
	ErrCallback = errors.New("sms: not a callback")
)

// CallbackOptions configure NewCallbacks. Their text never shows the secrets.
type CallbackOptions struct {
	// AccountSID whose messages are reported.
	AccountSID string
	// AuthToken of the account, the primary one: Twilio signs with it also when
	// messages are sent with an API key.
	AuthToken string
	// PublicURL is the gateway's address as Twilio knows it, to which the path of
	// a request is appended: https://push.example.com, or with a prefix that a
	// proxy takes away. It is part of what is signed, and behind a proxy a
	// request does not tell it.
	PublicURL string
}

// String names the account only.
func (o CallbackOptions) String() string { return "callbacks of twilio account " + o.AccountSID }

// GoString is String.
func (o CallbackOptions) GoString() string { return o.String() }

// LogValue is String.
func (o CallbackOptions) LogValue() slog.Value { return slog.StringValue(o.String()) }

// Callbacks reads what Twilio posts to the gateway, once its signature is
// checked. It is safe for concurrent use.
type Callbacks struct {
	account   string
	public    string
	validator client.RequestValidator
}

// NewCallbacks makes the reader. The error names the option that is wrong.
func NewCallbacks(o CallbackOptions) (*Callbacks, error) {
	if !accountSID.MatchString(o.AccountSID) {
		return nil, errors.New(`sms: AccountSID must be "AC" and 32 hexadecimal digits`)
	}
	public, err := parseBase(o.PublicURL)
	if err != nil {
		return nil, fmt.Errorf("sms: PublicURL %w", err)
	}
	if o.AuthToken == "" { // anybody could sign with it
		return nil, errors.New("sms: AuthToken is required: callbacks are signed with it")
	}
	return &Callbacks{account: o.AccountSID, public: public.String(), validator: client.NewRequestValidator(o.AuthToken)}, nil
}

// String names the account only.
func (c *Callbacks) String() string { return "callbacks of twilio account " + c.account }

// form is the verified form of a callback.
func (c *Callbacks) form(r *http.Request) (url.Values, error) {
	signature := r.Header.Get("X-Twilio-Signature")
	if r.Method != http.MethodPost || signature == "" {
		return nil, ErrSignature
	}
	r.Body = http.MaxBytesReader(nil, r.Body, maxCallback)
	if err := r.ParseForm(); err != nil {
		return nil, fmt.Errorf("%w: unreadable form", ErrCallback)
	}
	if !c.signed(c.public+r.URL.RequestURI(), r.PostForm, signature) {
		return nil, ErrSignature
	}
	if r.PostForm.Get("AccountSid") != c.account {
		return nil, fmt.Errorf("%w of this account", ErrCallback)
	}
	return r.PostForm, nil
}

// signed checks a signature by
// https://www.twilio.com/docs/usage/webhooks/webhooks-security
func (c *Callbacks) signed(address string, form url.Values, signature string) bool {
	fields := make(map[string]string, len(form))
	for name, values := range form {
		fields[name] = values[0] // as form.Get reads it: more would be unsigned
	}
	// The URL counts up to the end of the query. Should Twilio count the
	// connection overrides too, that is as good: they are our own.
	return c.validator.Validate(address, fields, signature) || c.validator.Validate(address+callbackRetries, fields, signature)
}
