package webhook

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"os"

	"github.com/fanfare-gateway/fanfare/channels"
)

// What is told of failures whose own text could hold what the receiver sent.
var (
	errName        = errors.New("certificate is for another host")
	errUnknownCA   = errors.New("certificate is signed by an unknown authority")
	errValidity    = errors.New("certificate has expired or is not yet valid")
	errCertificate = errors.New("certificate was not accepted")
	errPlain       = errors.New("answer in plain HTTP on an https URL")
	errTimeout     = errors.New("timed out")
	errBroken      = errors.New("connection broken or answer not HTTP")
)

// cause keeps of a transport error what the gateway and the network said, and
// replaces what could quote the other side: malformed status lines, GOAWAY
// debug data, names in certificates. Somebody may point a webhook at a service
// that is none, to read its banner out of our error.
func cause(err error) error {
	var (
		op      *net.OpError
		dns     *net.DNSError
		cert    *tls.CertificateVerificationError
		timeout net.Error
	)
	switch {
	case errors.As(err, &cert):
		return certificateCause(cert)
	case errors.As(err, &op), errors.As(err, &dns), errors.Is(err, channels.ErrBlockedAddress):
		return err
	case errors.Is(err, context.Canceled):
		return context.Canceled
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return context.DeadlineExceeded
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return io.ErrUnexpectedEOF
	case errors.Is(err, http.ErrSchemeMismatch):
		return errPlain
	case errors.As(err, &timeout) && timeout.Timeout():
		return errTimeout
	}
	return errBroken
}

func certificateCause(err error) error {
	var (
		name    x509.HostnameError
		unknown x509.UnknownAuthorityError
		invalid x509.CertificateInvalidError
	)
	switch {
	case errors.As(err, &name):
		return errName
	case errors.As(err, &unknown):
		return errUnknownCA
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return errValidity
	}
	return errCertificate
}
