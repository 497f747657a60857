package sandbox

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"net/textproto"
	"strings"
)

// parseMail reads a message as it came over the wire: subject, text part, and
// as Fields its other headers in lower case ("message-id", "list-unsubscribe",
// "dkim-signature" as "dkim") and the HTML part as "html". It refuses what
// lacks what RFC 5322 section 3.6 demands.
func parseMail(raw []byte) (Item, error) {
	msg, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		return Item{}, errors.New("unreadable header")
	}
	if _, err := msg.Header.AddressList("From"); err != nil {
		return Item{}, errors.New("missing a valid From header")
	}
	if _, err := msg.Header.Date(); err != nil {
		return Item{}, errors.New("missing a valid Date header")
	}
	it := Item{Fields: map[string]string{}}
	words := mime.WordDecoder{}
	for name, values := range msg.Header {
		value, err := words.DecodeHeader(values[0])
		if err != nil || len(values) > 1 && singular[name] {
			return Item{}, fmt.Errorf("malformed or repeated %s header", name)
		}
		it.Fields[strings.ToLower(name)] = value
	}
	it.Subject = it.Fields["subject"]
	if signature, ok := it.Fields["dkim-signature"]; ok {
		it.Fields["dkim"] = signature
	}
	delete(it.Fields, "subject")
	delete(it.Fields, "dkim-signature")
	it.Delivery, _, _ = strings.Cut(strings.Trim(it.Fields["message-id"], "<>"), "@")
	if err := it.readPart(textproto.MIMEHeader(msg.Header), msg.Body); err != nil {
		return Item{}, fmt.Errorf("malformed body: %w", err)
	}
	return it, nil
}

// singular are headers that may stand once only (RFC 5322 section 3.6).
var singular = map[string]bool{"From": true, "To": true, "Subject": true, "Date": true, "Message-Id": true}

// readPart reads a MIME entity and what it contains.
func (it *Item) readPart(h textproto.MIMEHeader, body io.Reader) error {
	kind, params := "text/plain", map[string]string(nil)
	if text := h.Get("Content-Type"); text != "" {
		var err error
		if kind, params, err = mime.ParseMediaType(text); err != nil {
			return err
		}
	}
	if !strings.HasPrefix(kind, "multipart/") {
		text, err := io.ReadAll(decodeTransfer(h.Get("Content-Transfer-Encoding"), body))
		it.keepPart(kind, string(text))
		return err
	}
	parts := multipart.NewReader(body, params["boundary"])
	for {
		part, err := parts.NextRawPart()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := it.readPart(part.Header, part); err != nil {
			return err
		}
	}
}

func (it *Item) keepPart(kind, text string) {
	text = strings.TrimSuffix(strings.ReplaceAll(text, "\r\n", "\n"), "\n")
	switch kind {
	case "text/plain":
		it.Body = text
	case "text/html":
		it.Fields["html"] = text
	}
}

func decodeTransfer(encoding string, r io.Reader) io.Reader {
	switch strings.ToLower(encoding) {
	case "quoted-printable":
		return quotedprintable.NewReader(r)
	case "base64":
		return base64.NewDecoder(base64.StdEncoding, r)
	}
	return r
}
