package apns

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/sideshow/apns2"

	"github.com/fanfare-gateway/fanfare/channels"
)

// maxAnswer bounds how much of an answer is read; Apple's are about 50 bytes.
const maxAnswer = 8 << 10

// attempt is what one request needs, and brings back, beyond the SDK.
type attempt struct {
	bearer     string // "" for none
	wire       *channels.Wire
	link       *link // the connection it went on
	retryAfter time.Duration
}

type attemptKey struct{}

// courier is the SDK's transport. It adds the provider token, sends a request
// once, and reads the answer whole, so that the SDK meets no surprise in it.
type courier struct{ links *links }

func (c courier) RoundTrip(r *http.Request) (*http.Response, error) {
	a, _ := r.Context().Value(attemptKey{}).(*attempt)
	if a == nil || r.GetBody == nil {
		return nil, errors.New("not a request of this channel")
	}
	for {
		resp, again, err := c.send(r, a)
		if !again {
			return resp, err
		}
	}
}

// send makes one request. When the connection in use turns out to be closed or
// closing before anything was sent, no request was made: again asks for a new
// connection.
func (c courier) send(r *http.Request, a *attempt) (resp *http.Response, again bool, err error) {
	l, fresh, err := c.links.take(r.Context())
	if err != nil {
		return nil, false, err
	}
	defer c.links.release(l)
	a.link = l
	body, err := r.GetBody()
	if err != nil {
		return nil, false, err
	}
	r = r.Clone(r.Context())
	r.Body, r.GetBody = body, nil
	if a.bearer != "" {
		r.Header.Set("Authorization", "bearer "+a.bearer)
	}
	resp, err = l.conn.RoundTrip(r)
	if err != nil {
		unsent := !a.wire.Written() && r.Context().Err() == nil
		if unsent {
			c.links.drop(l)
		}
		return nil, unsent && !fresh, err
	}
	a.retryAfter = channels.RetryAfter(resp.Header, time.Now())
	resp.Body = whole(resp.Body)
	return resp, false, nil
}

// unprocessed tells that by HTTP/2's rules the server did nothing with a
// request it got (RFC 9113 sections 6.8 and 8.7). Where net/http's errors
// should change, it tells less, never wrongly.
func unprocessed(err error) bool {
	var reset streamError
	if errors.As(err, &reset) {
		const refusedStream = 7
		return reset.Code == refusedStream
	}
	return err != nil && strings.HasSuffix(err.Error(), "graceful shutdown GOAWAY")
}

// streamError is what net/http's error of a reset stream can be read as: its
// As method fills in a struct of these fields.
type streamError struct {
	StreamID uint32
	Code     uint32
	Cause    error
}

// Error makes it an error, as errors.As wants.
func (streamError) Error() string { return "stream reset" }

// whole reads a body that the SDK can decode. Anything else, such as a
// proxy's page or a body cut off, becomes an empty one: the status counts.
func whole(body io.ReadCloser) io.ReadCloser {
	defer body.Close()
	text, err := io.ReadAll(io.LimitReader(body, maxAnswer))
	if err != nil || json.Unmarshal(text, &apns2.Response{}) != nil {
		text = nil
	}
	return io.NopCloser(bytes.NewReader(text))
}
