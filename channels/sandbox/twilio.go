package sandbox

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Twilio is the Messages API of one account, and what Twilio posts back: status
// callbacks and the replies of recipients.
//
// The magic numbers of Twilio's test credentials work here as recipients too:
// +15005550001 is invalid, …2 cannot be reached, …3 is in a country that is not
// enabled, …4 has opted out, …9 is no mobile phone
// (https://www.twilio.com/docs/iam/test-credentials).
type Twilio struct {
	// URL is the API's base URL.
	URL string
	// AccountSID and AuthToken are good credentials, and so are APIKey and
	// APISecret, those of a standard key.
	AccountSID, AuthToken string
	APIKey, APISecret     string
	// From is the account's number, MessagingServiceSID its pool of senders.
	From, MessagingServiceSID string

	core    *core
	client  *http.Client
	reports *reports
	close   func() error

	mu      sync.Mutex
	stopped map[string]bool // recipients who said STOP
	inbound string          // where their messages go
}

const twilioPath = "/2010-04-01/Accounts/"

func startTwilio(c *core) (*Twilio, error) {
	l, err := c.kept.listen("twilio")
	if err != nil {
		return nil, err
	}
	f := &Twilio{
		URL: "http://" + l.Addr().String(),
		// The same at every start, so that a gateway can be configured once.
		AccountSID: "AC" + strings.Repeat("5a", 16), AuthToken: strings.Repeat("7e57", 8),
		APIKey: "SK" + strings.Repeat("5a", 16), APISecret: strings.Repeat("5ec7", 8),
		From: "+15005550006", MessagingServiceSID: "MG" + strings.Repeat("5a", 16),
		core: c, stopped: map[string]bool{}, client: newReportClient(),
	}
	if _, err := c.kept.get("twilio.stopped", &f.stopped); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	f.reports = startReports(c, f.report)
	f.reports.resume(ProviderTwilio)
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+twilioPath+"{account}/Messages.json", f.create)
	mux.HandleFunc("GET "+twilioPath+"{account}/Messages.json", f.list)
	mux.HandleFunc("GET "+twilioPath+"{account}", f.account) // {sid}.json
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { answerTwilio(w, r, Answer{Code: "20404"}) })
	f.close = serveHTTP(l, mux)
	return f, nil
}

// Close ends the listener and the reports.
func (f *Twilio) Close() error {
	err := f.close()
	f.reports.close()
	f.client.CloseIdleConnections()
	return err
}

// create is POST …/Messages.json.
func (f *Twilio) create(w http.ResponseWriter, r *http.Request) {
	form := twilioForm(w, r)
	it := f.item(form)
	a := Answer{Code: f.refusal(r, form)}
	if a.Code == "" {
		a = f.core.next(ProviderTwilio, it.Recipient)
		a.wait(r.Context())
		if code := f.state(it.Recipient); code != "" && !a.refuses() && a.Drop == "" {
			a = Answer{Code: code}
		}
	}
	it.Code = a.Code
	it.Accepted = !a.Hang && a.Drop != DropBefore && !a.refuses()
	if a.refuses() {
		it.Status, it.Code = twilioStatus(a), twilioCode(a)
	}
	if it.Accepted {
		it.ID, it.Status = newTwilioSID("SM"), http.StatusCreated
		if it.Callbacks = a.Callbacks; a.Callbacks == nil {
			it.Callbacks = []string{"sent", "delivered"}
		}
		if it.Fields["StatusCallback"] == "" {
			it.Callbacks = nil // nobody wants to know
		}
	}
	it = f.core.record(it)
	if it.Accepted {
		f.reports.add(it)
	}
	switch {
	case a.Hang || a.Drop != "":
		abort()
	case a.refuses():
		answerTwilio(w, r, a)
	default:
		writeJSON(w, http.StatusCreated, f.message(it))
	}
}

// twilioForm reads the form; anything else has no parameters, as with Twilio.
func twilioForm(w http.ResponseWriter, r *http.Request) url.Values {
	r.Body = http.MaxBytesReader(w, r.Body, 1<<20)
	if r.ParseForm() != nil {
		return url.Values{}
	}
	return r.PostForm
}

func (f *Twilio) item(form url.Values) Item {
	it := Item{Provider: ProviderTwilio, Recipient: form.Get("To"), Body: form.Get("Body"), Fields: map[string]string{}}
	for _, name := range []string{"From", "MessagingServiceSid", "StatusCallback", "ValidityPeriod"} {
		if form.Has(name) {
			it.Fields[name] = form.Get(name)
		}
	}
	if u, err := url.Parse(form.Get("StatusCallback")); err == nil {
		it.Delivery = u.Query().Get("d")
	}
	return it
}

// state is the code that a recipient is refused with, magic or opted out, or "".
func (f *Twilio) state(to string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stopped[to] {
		return "21610"
	}
	return map[string]string{
		"+15005550001": "21211", "+15005550002": "21612", "+15005550003": "21408",
		"+15005550004": "21610", "+15005550009": "21614",
	}[to]
}

// message is the created message as Twilio shows it.
func (f *Twilio) message(it Item) map[string]any {
	uri := twilioPath + f.AccountSID + "/Messages/" + it.ID
	m := map[string]any{
		"account_sid": f.AccountSID, "api_version": "2010-04-01", "body": it.Body,
		"date_created": twilioDate(it.At), "date_sent": nil, "date_updated": twilioDate(it.At),
		"direction": "outbound-api", "error_code": nil, "error_message": nil,
		"from": nil, "messaging_service_sid": nil, "num_media": "0", "num_segments": "1",
		"price": nil, "price_unit": "USD", "sid": it.ID, "status": "queued", "to": it.Recipient,
		"uri": uri + ".json", "subresource_uris": map[string]string{"media": uri + "/Media.json"},
	}
	if from := it.Fields["From"]; from != "" {
		m["from"] = from
	}
	if service := it.Fields["MessagingServiceSid"]; service != "" {
		// The sender is chosen later, and with it the number of segments.
		m["messaging_service_sid"], m["num_segments"], m["status"] = service, "0", "accepted"
	}
	return m
}

// list is GET …/Messages.json, an empty page: it only shows that one may ask.
func (f *Twilio) list(w http.ResponseWriter, r *http.Request) {
	if !f.signedIn(r, r.PathValue("account")) {
		answerTwilio(w, r, Answer{Code: "20003"})
		return
	}
	size, err := strconv.Atoi(r.FormValue("PageSize"))
	if err != nil {
		size = 50
	}
	writeJSON(w, http.StatusOK, map[string]any{
		"messages": []any{}, "page": 0, "page_size": size, "start": 0, "end": 0,
		"uri": r.URL.RequestURI(), "first_page_uri": r.URL.RequestURI(), "next_page_uri": nil, "previous_page_uri": nil,
	})
}

// account is GET /2010-04-01/Accounts/{sid}.json, which standard keys may not read.
func (f *Twilio) account(w http.ResponseWriter, r *http.Request) {
	sid, isJSON := strings.CutSuffix(r.PathValue("account"), ".json")
	user, _, _ := r.BasicAuth()
	switch {
	case !isJSON:
		answerTwilio(w, r, Answer{Code: "20404"})
	case !f.signedIn(r, sid) || user == f.APIKey:
		answerTwilio(w, r, Answer{Code: "20003"})
	default:
		writeJSON(w, http.StatusOK, map[string]any{
			"sid": sid, "owner_account_sid": sid, "friendly_name": "Sandbox", "status": "active", "type": "Full",
			"date_created": twilioDate(time.Unix(0, 0)), "date_updated": twilioDate(time.Unix(0, 0)),
			"uri": r.URL.Path, "subresource_uris": map[string]string{"messages": twilioPath + sid + "/Messages.json"},
		})
	}
}

// twilioDate is RFC 2822 as Twilio writes it.
func twilioDate(t time.Time) string { return t.UTC().Format(time.RFC1123Z) }

// newTwilioSID makes an id: two letters of its kind and 32 hexadecimal digits.
func newTwilioSID(kind string) string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return kind + hex.EncodeToString(b[:])
}
