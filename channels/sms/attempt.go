package sms

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/twilio/twilio-go/client"
	openapi "github.com/twilio/twilio-go/rest/api/v2010"

	"github.com/fanfare-gateway/fanfare/channels"
)

// attempt is one request to Twilio and what came back. It is the SDK's client
// for that one request: the SDK's own runs without a context and with a
// transport that asks proxies.
type attempt struct {
	ctx  context.Context // the SDK's interface has no other place for it
	ch   *Channel
	wire *channels.Wire

	status int // 0: no answer
	header http.Header
	code   string // Twilio's error code
	reason string
	err    error // the transport's

	foreign bool // the sender is the publisher's, not the account's
}

var _ client.BaseClient = (*attempt)(nil)

func (c *Channel) attempt(ctx context.Context) *attempt {
	ctx, wire := channels.WatchRequest(ctx)
	return &attempt{ctx: ctx, ch: c, wire: wire}
}

// api is the SDK's face of the attempt. The SDK's constructor is not used: it
// takes the host from the environment (TWILIO_EDGE, TWILIO_REGION).
func (a *attempt) api() *openapi.ApiService {
	return openapi.NewApiService(&client.RequestHandler{Client: a})
}

// AccountSid is part of client.BaseClient.
func (a *attempt) AccountSid() string { return a.ch.opts.AccountSID }

// SetTimeout is part of client.BaseClient; the context has the deadline.
func (a *attempt) SetTimeout(time.Duration) {}

// SetOauth is part of client.BaseClient and not used.
func (a *attempt) SetOauth(client.OAuth) {}

// OAuth is part of client.BaseClient and not used.
func (a *attempt) OAuth() client.OAuth { return nil }

// SendRequest sends the attempt's one request to the channel's base URL. Its
// error tells the SDK to stop; what it means is judged from the attempt.
func (a *attempt) SendRequest(method, rawURL string, data url.Values, headers map[string]any, _ ...byte) (*http.Response, error) {
	if a.status != 0 || a.err != nil {
		return nil, errors.New("one attempt is one request")
	}
	req, err := a.request(method, rawURL, data)
	if err != nil {
		a.err = err
		return nil, err
	}
	for name, value := range headers {
		req.Header.Set(name, fmt.Sprint(value))
	}
	resp, err := a.ch.transport.RoundTrip(req)
	if err != nil {
		a.err = err
		return nil, err
	}
	a.status, a.header = resp.StatusCode, resp.Header
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		a.refusal(resp)
		return nil, fmt.Errorf("status %d", resp.StatusCode)
	}
	return resp, nil
}

func (a *attempt) request(method, rawURL string, data url.Values) (*http.Request, error) {
	asked, err := url.Parse(rawURL) // of the SDK's own host
	if err != nil {
		return nil, err
	}
	target := *a.ch.base
	target.Path += asked.Path
	body, query := data.Encode(), ""
	if method == http.MethodGet {
		body, query = "", body
	}
	target.RawQuery = query
	req, err := http.NewRequestWithContext(a.ctx, method, target.String(), strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	o := &a.ch.opts
	if o.APIKey != "" {
		req.SetBasicAuth(o.APIKey, o.APISecret)
	} else {
		req.SetBasicAuth(o.AccountSID, o.AuthToken)
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "Fanfare twilio-go/"+client.LibraryVersion)
	return req, nil
}

// refusal reads Twilio's error; an answer that is none of Twilio's (a load
// balancer's page) has a status only.
func (a *attempt) refusal(resp *http.Response) {
	defer resp.Body.Close()
	var e client.TwilioRestError
	if json.NewDecoder(resp.Body).Decode(&e) == nil && e.Code != 0 {
		a.code, a.reason = strconv.Itoa(e.Code), e.Message
	}
	_, _ = io.Copy(io.Discard, resp.Body) // to use the connection again
}

// failure classifies an attempt the SDK gave up.
func (a *attempt) failure() *channels.Error {
	book := a.ch.opts.Book
	if a.foreign {
		a.reason += " (the publisher's sender)" // for the error book
	}
	switch {
	case a.status == 0:
		return book.Transport(Provider, a.err, a.wire.Written())
	case a.status >= 200 && a.status <= 299:
		// The status says yes and the rest of the answer was lost.
		return book.Transport(Provider, errors.New("unreadable answer"), true)
	}
	return book.Judge(channels.Answer{
		Provider: Provider, Status: a.status, Code: a.code, Reason: a.reason,
		RetryAfter: channels.RetryAfter(a.header, time.Now()),
	})
}
