package email

import (
	"bytes"
	"crypto"
	"errors"
	"fmt"
	"slices"
	"strings"

	gomail "github.com/wneessen/go-mail"
)

// signer makes DKIM signatures.
type signer struct {
	domain, selector string
	key              crypto.Signer
}

// signedHeaders are covered whenever they are there; a header named here that
// is missing cannot be added by somebody else.
var signedHeaders = []string{
	"From", "To", "Subject", "Date", "Message-ID", "Reply-To", "MIME-Version",
	"Content-Type", "Content-Transfer-Encoding", "Auto-Submitted",
}

// unsubscribeHeaders must be covered (RFC 8058 section 4). They are not named
// when missing: relays add their own.
var unsubscribeHeaders = []string{"List-Unsubscribe", "List-Unsubscribe-Post"}

// newSigner reads a signing key; without any setting it returns nil. Its errors
// begin with the field's name.
func newSigner(d DKIM, from string) (*signer, error) {
	if d == (DKIM{}) {
		return nil, nil
	}
	domain := strings.ToLower(d.Domain)
	switch {
	case domain == "":
		return nil, errors.New("Domain: missing")
	case from != domain && !strings.HasSuffix(from, "."+domain):
		return nil, errors.New("Domain: must be the From domain or a parent of it")
	case d.Selector == "":
		return nil, errors.New("Selector: missing")
	}
	key, err := gomail.PrivKeyFromPEM([]byte(d.Key))
	if err != nil {
		return nil, errors.New("Key: want an RSA or Ed25519 private key in PEM")
	}
	s := &signer{domain: domain, selector: d.Selector, key: key}
	if err := s.forMessage(false).ValidateConfig(); err != nil {
		return nil, fmt.Errorf("Key: %w", err)
	}
	return s, nil
}

// forMessage is go-mail's signer for one message: it notes its algorithm at the
// first use without a lock, so it cannot be shared.
func (s *signer) forMessage(unsubscribe bool) *gomail.DKIMSigner {
	signer := gomail.NewDKIMSigner(s.domain, s.selector, s.key)
	headers := slices.Clone(signedHeaders)
	if unsubscribe {
		headers = append(headers, unsubscribeHeaders...)
	}
	signer.SignHeaders(headers...)
	signer.OversignHeaders("From", "Subject")
	return signer
}

// refold mends the signature that begins a signed message. go-mail v0.8.1 folds
// its lines also inside a tag (internal/dkim/dkim_header.go, writeFolded), which
// puts a space into a list of headers longer than a line, but signs the text
// without it, so verifiers find the signature broken. Lines are folded between
// tags only, where relaxed canonicalization sees no difference.
func refold(message []byte) []byte {
	end := 0
	for {
		n := bytes.Index(message[end:], []byte("\r\n"))
		if n < 0 {
			return message
		}
		end += n + len("\r\n")
		if end == len(message) || message[end] != ' ' {
			break
		}
	}
	signature := bytes.ReplaceAll(message[:end-len("\r\n")], []byte("\r\n "), nil)
	signature = bytes.ReplaceAll(signature, []byte("; "), []byte(";\r\n "))
	return slices.Concat(signature, message[end-len("\r\n"):])
}
