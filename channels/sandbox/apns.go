package sandbox

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"
)

// What the fake APNs knows: the key, its owner and the app.
const (
	apnsKeyID  = "SANDBOXKEY"
	apnsTeamID = "FANFARE001"
	apnsTopic  = "dev.fanfare.sandbox"
)

// APNs is Apple's push service: HTTP/2 over TLS, sign-in by provider token or
// certificate. Any device token of 64 to 200 hexadecimal digits is a device,
// but not one of zeros only.
type APNs struct {
	// Addr is host and port, URL the service's address.
	Addr, URL string
	// CAPEM is the certificate of the CA that vouches for URL.
	CAPEM []byte
	// KeyPEM is the signing key (.p8), KeyID and TeamID name it.
	KeyPEM        []byte
	KeyID, TeamID string
	// Topic is the app's bundle id; the suffixes of push types go with it.
	Topic string
	// ClientCertPEM and ClientKeyPEM sign in instead of a token.
	ClientCertPEM, ClientKeyPEM []byte

	core    *core
	key     *ecdsa.PublicKey
	revoked atomic.Bool
	any     atomic.Bool               // whatever is named is a device
	good    atomic.Pointer[apnsToken] // the last one: checking a signature takes longer than all else
	close   func() error
}

func startAPNs(c *core) (*APNs, error) {
	f := &APNs{core: c, KeyID: apnsKeyID, TeamID: apnsTeamID, Topic: apnsTopic}
	settings, err := f.credentials()
	if err != nil {
		return nil, fmt.Errorf("apns credentials: %w", err)
	}
	l, err := c.kept.listen("apns")
	if err != nil {
		return nil, err
	}
	f.Addr = l.Addr().String()
	f.URL = "https://" + f.Addr
	f.close = serveHTTP(tls.NewListener(l, settings), http.HandlerFunc(f.handle))
	return f, nil
}

// credentials makes the server's certificate, the signing key and the client's
// certificate.
func (f *APNs) credentials() (*tls.Config, error) {
	server, ca, err := f.core.kept.certificate("apns", "Fanfare sandbox APNs")
	if err != nil {
		return nil, err
	}
	client, clientCA, err := f.core.kept.certificate("apns-client", "Apple Push Services: "+f.Topic)
	if err != nil {
		return nil, err
	}
	if err := f.signingKey(); err != nil {
		return nil, err
	}
	f.CAPEM = ca
	if f.ClientKeyPEM, err = pkcs8PEM(client.PrivateKey); err != nil {
		return nil, err
	}
	f.ClientCertPEM = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: client.Certificate[0]})
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(clientCA)
	return &tls.Config{
		Certificates: []tls.Certificate{server},
		NextProtos:   []string{"h2"},
		ClientAuth:   tls.VerifyClientCertIfGiven,
		ClientCAs:    roots,
	}, nil
}

// signingKey takes up, or makes, the key tokens are signed with.
func (f *APNs) signingKey() error {
	text, err := keep(f.core.kept, "apns.key", func() (string, error) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return "", err
		}
		text, err := pkcs8PEM(key)
		return string(text), err
	})
	if err != nil {
		return err
	}
	f.KeyPEM = []byte(text)
	block, _ := pem.Decode(f.KeyPEM)
	if block == nil {
		return errors.New("the kept signing key is not in PEM")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return err
	}
	private, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		return fmt.Errorf("the kept signing key is a %T", key)
	}
	f.key = &private.PublicKey
	var revoked bool
	_, err = f.core.kept.get("apns.revoked", &revoked)
	f.revoked.Store(revoked)
	return err
}

func pkcs8PEM(key any) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// Close ends the listener.
func (f *APNs) Close() error { return f.close() }

// AnyDevice makes whatever is named a device, hexadecimal digits or not, but for
// zeros only.
func (f *APNs) AnyDevice() { f.any.Store(true) }

// Revoke makes the service refuse the key's tokens with InvalidProviderToken,
// as when it was revoked in the developer account.
func (f *APNs) Revoke() { f.revoke(true) }

// Restore takes Revoke back.
func (f *APNs) Restore() { f.revoke(false) }

func (f *APNs) revoke(on bool) {
	f.revoked.Store(on)
	f.core.kept.mustPut("apns.revoked", on)
}

// Shown is what a device shows of what was accepted for it, in order: of
// several with one collapse id only the last.
func (f *APNs) Shown(device string) []Item {
	var shown []Item
	for _, it := range f.core.Inbox(ProviderAPNs, device) {
		for i, old := range shown {
			if id := it.Fields["apns-collapse-id"]; id != "" && id == old.Fields["apns-collapse-id"] {
				shown = append(shown[:i], shown[i+1:]...)
				break
			}
		}
		shown = append(shown, it)
	}
	return shown
}

func (f *APNs) handle(w http.ResponseWriter, r *http.Request) {
	if r.ProtoMajor != 2 {
		abort() // a client that did not offer h2: Apple closes the connection
	}
	p := readPush(r)
	w.Header().Set("apns-id", p.item.ID)
	if reason := f.check(p); reason != "" {
		f.answer(w, p.item, Answer{Code: reason})
		return
	}
	a := f.core.next(ProviderAPNs, p.item.Recipient)
	a.wait(r.Context())
	if r.Context().Err() != nil || a.Drop == DropBefore {
		f.core.record(p.item)
		abort()
	}
	f.answer(w, p.item, a)
}

// answer records a request, then answers it.
func (f *APNs) answer(w http.ResponseWriter, it Item, a Answer) {
	if !a.refuses() {
		it.Accepted, it.Status = true, http.StatusOK
		f.core.record(it)
		if a.Drop == DropAfter {
			abort()
		}
		w.WriteHeader(http.StatusOK)
		return
	}
	a = completeAPNs(a)
	it.Status, it.Code = a.Status, a.Code
	f.core.record(it)
	body := map[string]any{}
	if a.Code != "" {
		body["reason"] = a.Code
	}
	if a.Status == http.StatusGone {
		body["timestamp"] = a.Since.UnixMilli()
	}
	if a.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(a.RetryAfter))
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(a.Status)
	_ = json.NewEncoder(w).Encode(body) // the client went away: nobody to tell
}

// completeAPNs fills in what goes with a status or a reason.
func completeAPNs(a Answer) Answer {
	if a.Status == 0 {
		a.Status = apnsStatus(a.Code)
	}
	if a.Code == "" {
		a.Code = apnsUsual(a.Status)
	}
	if a.Since.IsZero() {
		a.Since = time.Now()
	}
	return a
}
