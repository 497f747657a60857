package sandbox

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
)

// maxWebhook is the longest body a receiver takes.
const maxWebhook = 8 << 20

// Webhook is a server on which every path is somebody's receiver. A receiver is
// named by its URL as it was requested: "http://127.0.0.1:41234/orders".
type Webhook struct {
	// URL and TLSURL are the two listeners' addresses, without a path.
	URL, TLSURL string
	// CAPEM is the certificate of the CA that vouches for TLSURL.
	CAPEM []byte

	core    *core
	closers []func() error

	mu      sync.Mutex
	secrets map[string]string // by path
}

func startWebhook(c *core) (*Webhook, error) {
	f := &Webhook{core: c, secrets: map[string]string{}}
	cert, ca, err := c.kept.certificate("webhook", "Fanfare sandbox webhook receiver")
	if err != nil {
		return nil, err
	}
	if _, err := c.kept.get("webhook.secrets", &f.secrets); err != nil {
		return nil, err
	}
	f.CAPEM = ca
	plain, err := c.kept.listen("webhook")
	if err != nil {
		return nil, err
	}
	f.serve(plain, "http", &f.URL)
	secure, err := c.kept.listen("webhook-tls")
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	config := &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"h2", "http/1.1"}}
	f.serve(tls.NewListener(secure, config), "https", &f.TLSURL)
	return f, nil
}

func (f *Webhook) serve(l net.Listener, scheme string, url *string) {
	*url = scheme + "://" + l.Addr().String()
	f.closers = append(f.closers, serveHTTP(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.receive(w, r, scheme+"://"+r.Host+r.RequestURI)
	})))
}

// Expect makes the receiver at a path, on both listeners, verify signatures by
// Standard Webhooks with this secret ("whsec_…" or "whpk_…") and answer 401 to
// others. A receiver without a secret takes anything; "" takes it away.
func (f *Webhook) Expect(path, secret string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.secrets[path] = secret; secret == "" {
		delete(f.secrets, path)
	}
	f.core.kept.mustPut("webhook.secrets", f.secrets)
}

// Close ends the listeners.
func (f *Webhook) Close() error {
	var errs []error
	for _, c := range f.closers {
		errs = append(errs, c())
	}
	return errors.Join(errs...)
}

func (f *Webhook) receive(w http.ResponseWriter, r *http.Request, recipient string) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxWebhook))
	it := Item{
		Provider: ProviderWebhook, Recipient: recipient,
		Delivery: r.Header.Get("webhook-id"), Body: string(body), Fields: headerFields(r),
	}
	status, verified := f.check(r, body, err)
	it.Verified = verified
	if status != 0 {
		it.Status = status
		f.core.record(it)
		answerWebhook(w, Answer{Status: status})
		return
	}
	a := f.core.next(ProviderWebhook, recipient)
	a.wait(r.Context())
	if a.Status == 0 && a.Code != "" {
		a.Status = http.StatusInternalServerError
	}
	it.Status, it.Code = a.Status, a.Code
	took := a.Status == 0 || a.Status >= 200 && a.Status < 300
	it.Accepted = took && !a.Hang && a.Drop != DropBefore
	f.core.record(it)
	if a.Hang || a.Drop != "" {
		abort()
	}
	answerWebhook(w, a)
}

// check is the receiver's own: the status it refuses a request with, or 0, and
// whether it verified the signature.
func (f *Webhook) check(r *http.Request, body []byte, read error) (status int, verified bool) {
	var tooLarge *http.MaxBytesError
	switch {
	case r.Method != http.MethodPost:
		return http.StatusMethodNotAllowed, false
	case errors.As(read, &tooLarge):
		return http.StatusRequestEntityTooLarge, false
	case read != nil:
		return http.StatusBadRequest, false
	}
	f.mu.Lock()
	secret := f.secrets[r.URL.Path]
	f.mu.Unlock()
	if secret != "" && !signedBy(r.Header, body, secret) {
		return http.StatusUnauthorized, false
	}
	return 0, secret != ""
}

func answerWebhook(w http.ResponseWriter, a Answer) {
	if a.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(a.RetryAfter))
	}
	switch {
	case a.Status >= 300 && a.Status < 400:
		w.Header().Set("Location", "/redirected")
	case a.Status == http.StatusMethodNotAllowed:
		w.Header().Set("Allow", http.MethodPost)
	}
	status := a.Status
	if status == 0 {
		status = http.StatusOK
	}
	text := a.Message
	if text == "" {
		text = http.StatusText(status)
	}
	if a.Code != "" {
		text = a.Code + ": " + text
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = fmt.Fprintln(w, text) // the client went away, or the status has no body
}

// headerFields are the request's headers, names in lower case.
func headerFields(r *http.Request) map[string]string {
	fields := make(map[string]string, len(r.Header)+1)
	for name, values := range r.Header {
		fields[strings.ToLower(name)] = strings.Join(values, ", ")
	}
	fields["host"] = r.Host
	return fields
}
