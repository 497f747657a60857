package fcm

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net"
	"net/url"
)

// defaultTokenURI is Google's token endpoint.
// https://developers.google.com/identity/protocols/oauth2/service-account#httprest
const defaultTokenURI = "https://oauth2.googleapis.com/token"

// account is what is needed of a service account's key file.
type account struct {
	Type         string `json:"type"`
	ProjectID    string `json:"project_id"`
	PrivateKeyID string `json:"private_key_id"`
	PrivateKey   string `json:"private_key"`
	ClientEmail  string `json:"client_email"`
	TokenURI     string `json:"token_uri"`
}

// readAccount reads and checks a key file. Its errors quote nothing of it.
func readAccount(text []byte) (*account, error) {
	var a account
	switch {
	case len(text) == 0:
		return nil, errors.New("required: the key file of a service account")
	case json.Unmarshal(text, &a) != nil:
		return nil, errors.New("not the JSON key file of a service account")
	case a.Type != "service_account":
		return nil, errors.New(`type: want "service_account"`)
	case a.ClientEmail == "":
		return nil, errors.New("client_email is missing")
	case !isRSAKey([]byte(a.PrivateKey)):
		return nil, errors.New("private_key: want an RSA private key in PEM form")
	}
	if a.TokenURI == "" {
		a.TokenURI = defaultTokenURI
	}
	if err := checkURL(a.TokenURI); err != nil {
		return nil, errors.New("token_uri: " + err.Error())
	}
	return &a, nil
}

func isRSAKey(text []byte) bool {
	block, _ := pem.Decode(text)
	if block == nil {
		return false
	}
	if key, err := x509.ParsePKCS8PrivateKey(block.Bytes); err == nil {
		_, ok := key.(*rsa.PrivateKey)
		return ok
	}
	_, err := x509.ParsePKCS1PrivateKey(block.Bytes)
	return err == nil
}

// checkURL takes https, and plain http within the machine: the bearer token
// must not cross a network in the clear.
func checkURL(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return errors.New("want an address such as https://example.com")
	}
	ip := net.ParseIP(u.Hostname())
	local := u.Hostname() == "localhost" || (ip != nil && ip.IsLoopback())
	if u.Scheme == "https" || (u.Scheme == "http" && local) {
		return nil
	}
	return errors.New("want https (http only to a loopback address)")
}
