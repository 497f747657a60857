package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/fanfare-gateway/fanfare/gateway/rest"
)

// Environment variables of the commands that talk to a running gateway. They
// are no keys of the configuration.
const (
	serverVar = "FANFARE_SERVER"
	keyVar    = "FANFARE_API_KEY" //nolint:gosec // the name, not the key
)

const (
	defaultServer = "http://127.0.0.1:8080"
	defaultAdmin  = "http://127.0.0.1:9090"
)

// object is a JSON object.
type object = map[string]any

// client calls a running gateway.
type client struct {
	base string // "http://127.0.0.1:8080"
	key  string // API key; "" for none
	// start says what to do if nothing listens there.
	start string
}

// newClient checks the address.
func newClient(base, key, start string) (*client, error) {
	u, err := url.Parse(base)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.RawQuery != "" {
		return nil, usageError("the address must be a URL such as %s, not %q", defaultServer, base)
	}
	return &client{base: strings.TrimSuffix(base, "/"), key: key, start: start}, nil
}

// call makes one call. In goes as JSON unless nil, out is read from JSON unless
// nil. The error is a sentence for each thing that was wrong.
func (c *client) call(ctx context.Context, method, path string, in, out any) error {
	r, err := c.request(ctx, method, path, in)
	if err != nil {
		return err
	}
	res, err := c.send(r)
	if err != nil {
		return err
	}
	return decode(res, out)
}

// request makes a request with in as its JSON body.
func (c *client) request(ctx context.Context, method, path string, in any) (*http.Request, error) {
	body := &bytes.Buffer{}
	if in != nil {
		if err := json.NewEncoder(body).Encode(in); err != nil {
			return nil, fmt.Errorf("not JSON: %w", err)
		}
	}
	r, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	return r, nil
}

// send sends a request and returns a success, whose body the caller closes.
func (c *client) send(r *http.Request) (*http.Response, error) {
	if c.key != "" {
		r.Header.Set("Authorization", "Bearer "+c.key)
	}
	res, err := http.DefaultClient.Do(r)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return nil, fmt.Errorf("nothing listens at %s: %s", c.base, c.start)
	case err != nil:
		return nil, err
	case res.StatusCode >= http.StatusMultipleChoices:
		defer func() { _ = res.Body.Close() }()
		return nil, c.refused(res)
	}
	return res, nil
}

func decode(res *http.Response, out any) error {
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(text, out)
}

// mostProblem bounds what is read of a refusal, in bytes.
const mostProblem = 1 << 20

// refused is the error a refusal tells (RFC 9457), a line for each.
func (c *client) refused(res *http.Response) error {
	var p rest.Problem
	text, err := io.ReadAll(io.LimitReader(res.Body, mostProblem))
	if err != nil || json.Unmarshal(text, &p) != nil || p.Status == 0 {
		return fmt.Errorf("%s answered %s, which is no answer of a gateway", c.base, res.Status)
	}
	lines := make([]string, len(p.Errors))
	for i, e := range p.Errors {
		lines[i] = e.Field + ": " + e.Reason
	}
	if len(lines) == 0 {
		lines = []string{cmp.Or(p.Detail, p.Title)}
	}
	switch {
	case p.Status == http.StatusUnauthorized:
		lines = append(lines, "The key is taken from the file --key-file names, or from "+keyVar+".")
	case p.Status >= http.StatusInternalServerError && p.RequestID != "":
		lines = append(lines, "The request was "+p.RequestID+".")
	}
	return errors.New(strings.Join(lines, "\n"))
}

// remote are the flags of the commands that talk to a running gateway.
type remote struct {
	server, keyFile string
	as              format
}

func (o *remote) flags(cmd *cobra.Command) {
	f := cmd.PersistentFlags()
	f.StringVar(&o.server, "server", "", "the gateway's address (default $"+serverVar+", else "+defaultServer+")")
	f.StringVar(&o.keyFile, "key-file", "", "file with the API key (default: the key in $"+keyVar+")")
	o.as.flag(cmd)
}

// connect makes the client and printer that the flags and environment say.
func (o *remote) connect(cmd *cobra.Command) (*client, *printer, error) {
	key := os.Getenv(keyVar)
	if o.keyFile != "" {
		text, err := os.ReadFile(o.keyFile)
		if err != nil {
			return nil, nil, usageError("--key-file: %w", err)
		}
		key = string(text)
	}
	c, err := newClient(cmp.Or(o.server, os.Getenv(serverVar), defaultServer), strings.TrimSpace(key),
		`start a gateway there with "fanfare serve", or name another one with --server or `+serverVar)
	return c, newPrinter(cmd.OutOrStdout(), o.as), err
}

// show makes a call and prints its answer.
func (o *remote) show(cmd *cobra.Command, method, path string, in any) error {
	c, p, err := o.connect(cmd)
	if err != nil {
		return err
	}
	var answer json.RawMessage
	if err := c.call(cmd.Context(), method, path, in, &answer); err != nil {
		return err
	}
	return p.document(answer)
}

// do makes a call that answers nothing and says that it is done.
func (o *remote) do(cmd *cobra.Command, method, path, done string) error {
	c, p, err := o.connect(cmd)
	if err != nil {
		return err
	}
	if err := c.call(cmd.Context(), method, path, nil, nil); err != nil {
		return err
	}
	p.say("%s", done)
	return nil
}

// pathOf joins parts to a path of the API; each is escaped.
func pathOf(parts ...string) string {
	var path strings.Builder
	path.WriteString("/v1")
	for _, part := range parts {
		path.WriteString("/" + url.PathEscape(part))
	}
	return path.String()
}
