package email_test

import (
	"bufio"
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"io"
	"log"
	"net"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/emersion/go-smtp"
	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels/channeltest"
	"github.com/fanfare-gateway/fanfare/channels/email"
)

func TestDKIM(t *testing.T) {
	t.Parallel()
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	for name, key := range map[string]crypto.Signer{"rsa-sha256": rsaKey, "ed25519-sha256": edKey} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			der, err := x509.MarshalPKCS8PrivateKey(key)
			require.NoError(t, err)
			got, addr := capture(t)
			o := bare(t)
			o.Host, o.Port = split(t, addr)
			o.From = "Alerts <alerts@news.example.com>"
			o.DKIM = email.DKIM{
				Domain: "Example.com", Selector: "s1",
				Key: string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
			}
			ch := open(t, o)
			var all sync.WaitGroup // the signer is shared
			for n := range 4 {
				d := channeltest.Delivery("ann@example.net", n)
				d.Content.HTML, d.UnsubscribeURL = "<p>hi</p>\n\n\n", "https://example.com/u/1"
				d.Content.Subject = strings.Repeat("a long subject that is folded ü ", 5)
				all.Go(func() {
					if _, err := ch.Deliver(t.Context(), d); err != nil {
						t.Error(err)
					}
				})
			}
			all.Wait()
			for range 4 {
				tags := verifyDKIM(t, <-got, key.Public())
				require.Equal(t, "example.com", tags["d"])
				require.Equal(t, "s1", tags["s"])
				require.Equal(t, name, tags["a"])
				signed := strings.Split(strings.ToLower(tags["h"]), ":")
				require.Subset(t, signed, []string{"from", "subject", "list-unsubscribe", "list-unsubscribe-post", "content-type"})
			}
		})
	}
}

// capture is a relay that hands over the raw messages it gets.
func capture(t *testing.T) (<-chan []byte, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	got := make(chan []byte, 16)
	srv := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return capturing(got), nil }))
	srv.Domain, srv.ErrorLog = "capture", log.New(io.Discard, "", 0)
	done := make(chan struct{})
	go func() { defer close(done); _ = srv.Serve(l) }()
	t.Cleanup(func() { _ = srv.Close(); <-done })
	return got, l.Addr().String()
}

type capturing chan []byte

func (c capturing) Reset()                               {}
func (c capturing) Logout() error                        { return nil }
func (c capturing) Mail(string, *smtp.MailOptions) error { return nil }
func (c capturing) Rcpt(string, *smtp.RcptOptions) error { return nil }
func (c capturing) Data(r io.Reader) error {
	raw, err := io.ReadAll(r)
	c <- raw
	return err
}

// verifyDKIM checks a relaxed/relaxed signature (RFC 6376 section 6.1) written
// against the RFC, and returns its tags.
func verifyDKIM(t *testing.T, raw []byte, key crypto.PublicKey) map[string]string {
	t.Helper()
	head, body, ok := bytes.Cut(raw, []byte("\r\n\r\n"))
	require.True(t, ok)
	var fields []string
	lines := bufio.NewScanner(bytes.NewReader(head))
	for lines.Scan() {
		if line := lines.Text(); line[0] == ' ' || line[0] == '\t' {
			fields[len(fields)-1] += line
		} else {
			fields = append(fields, line)
		}
	}
	name, value, _ := strings.Cut(fields[0], ":")
	require.Equal(t, "DKIM-Signature", name)
	tags := map[string]string{}
	for _, tag := range strings.Split(value, ";") {
		k, v, _ := strings.Cut(tag, "=")
		tags[strings.TrimSpace(k)] = regexp.MustCompile(`\s`).ReplaceAllString(v, "")
	}
	require.Equal(t, "relaxed/relaxed", tags["c"])
	bodyHash := sha256.Sum256([]byte(relaxedBody(string(body))))
	require.Equal(t, base64.StdEncoding.EncodeToString(bodyHash[:]), tags["bh"])

	var signed strings.Builder
	rest := fields[1:]
	for _, h := range strings.Split(tags["h"], ":") {
		for i := len(rest) - 1; i >= 0; i-- { // the last one of a name first
			if n, _, _ := strings.Cut(rest[i], ":"); strings.EqualFold(n, h) {
				signed.WriteString(relaxedHeader(rest[i]) + "\r\n")
				rest = append(append([]string{}, rest[:i]...), rest[i+1:]...)
				break
			}
		}
	}
	unsigned := regexp.MustCompile(`(;\s*b=)[^;]*`).ReplaceAllString(fields[0], "$1")
	signed.WriteString(relaxedHeader(unsigned))
	digest := sha256.Sum256([]byte(signed.String()))
	signature, err := base64.StdEncoding.DecodeString(tags["b"])
	require.NoError(t, err)
	switch key := key.(type) {
	case *rsa.PublicKey:
		require.NoError(t, rsa.VerifyPKCS1v15(key, crypto.SHA256, digest[:], signature))
	case ed25519.PublicKey:
		require.True(t, ed25519.Verify(key, digest[:], signature))
	}
	return tags
}

var blanks = regexp.MustCompile(`[ \t]+`)

func relaxedHeader(field string) string {
	name, value, _ := strings.Cut(field, ":")
	return strings.ToLower(strings.TrimSpace(name)) + ":" + strings.TrimSpace(blanks.ReplaceAllString(value, " "))
}

func relaxedBody(body string) string {
	lines := strings.Split(body, "\r\n")
	for i := range lines {
		lines[i] = strings.TrimRight(blanks.ReplaceAllString(lines[i], " "), " ")
	}
	return strings.TrimRight(strings.Join(lines, "\r\n"), "\r\n") + "\r\n"
}
