package rest

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/fanfare-gateway/fanfare/topics"
)

// Key is an API key: only its hash is known.
type Key struct {
	Name    string
	Hash    string   // "sha256:" and the key's hash in hexadecimal
	Scopes  []string // publish, read, manage (includes read), admin (all)
	Account string   // whose topics it sees; default topics.DefaultOwner's
}

func normalKeys(keys []Key) []Key {
	keys = slices.Clone(keys)
	for i := range keys {
		keys[i].Hash = strings.ToLower(keys[i].Hash)
		if keys[i].Account == "" {
			keys[i].Account = topics.DefaultOwner.Account
		}
	}
	return keys
}

// caller is who a request comes from.
type caller struct {
	owner   topics.Owner
	scopes  []string
	request string
}

type callerKey struct{}

func callerOf(ctx context.Context) caller {
	c, _ := ctx.Value(callerKey{}).(caller)
	return c
}

func ownerOf(ctx context.Context) topics.Owner { return callerOf(ctx).owner }

func requestID(ctx context.Context) string { return callerOf(ctx).request }

// enough says which keys have a scope.
var enough = map[string]string{
	"publish": "the scope publish or admin", "read": "the scope read, manage or admin",
	"manage": "the scope manage or admin", "admin": "the scope admin",
}

// allowed checks the caller's scope. Manage includes read, admin all.
func allowed(ctx context.Context, scope string) error {
	have := callerOf(ctx).scopes
	if slices.Contains(have, scope) || slices.Contains(have, "admin") || (scope == "read" && slices.Contains(have, "manage")) {
		return nil
	}
	return newProblem(ctx, http.StatusForbidden, "scope", "This needs a key with "+enough[scope]+".")
}

// guarded lets in who has a key, or, without any configured, the loopback.
func (a *api) guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := caller{owner: topics.DefaultOwner, request: "req_" + rand.Text()}
		r = r.WithContext(context.WithValue(r.Context(), callerKey{}, c))
		w.Header().Set("X-Request-Id", c.request)
		if len(a.Keys) == 0 && !a.Locked {
			if why := Foreign(r); why != "" {
				writeProblem(w, r, http.StatusForbidden, "loopback_only", "Without any key configured only this machine is served: "+why+".")
				return
			}
			c.scopes = []string{"admin"}
		} else {
			k, ok := a.key(r)
			if !ok {
				w.Header().Set("WWW-Authenticate", "Bearer")
				detail := "Send a valid API key as Authorization: Bearer KEY."
				if len(a.Keys) == 0 {
					detail = "There are access keys for the AWS faces, but no API key is configured (keys)."
				}
				writeProblem(w, r, http.StatusUnauthorized, "key", detail)
				return
			}
			c.scopes, c.owner.Account = k.Scopes, k.Account
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), callerKey{}, c)))
	})
}

// key finds the request's key. It takes as long for a wrong key as for a right one.
func (a *api) key(r *http.Request) (Key, bool) {
	scheme, text, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if text = strings.TrimSpace(text); !ok || text == "" || !strings.EqualFold(scheme, "Bearer") {
		return Key{}, false
	}
	sum := sha256.Sum256([]byte(text))
	hash := "sha256:" + hex.EncodeToString(sum[:])
	var found Key
	ok = false
	for _, k := range a.Keys {
		if subtle.ConstantTimeCompare([]byte(k.Hash), []byte(hash)) == 1 {
			found, ok = k, true
		}
	}
	return found, ok
}

// Foreign says why a request is not from this machine itself, by its own name
// or address; "" if it is. A page of another site in a local browser is not,
// whatever address its name was made to mean.
func Foreign(r *http.Request) string {
	var own netip.Addr // where the request came in
	if at, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr); ok {
		own = at.AddrPort().Addr().Unmap()
	}
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if from := peer.Addr().Unmap(); err != nil || (!from.IsLoopback() && from != own) {
		return "the request comes from another address"
	}
	if !loopbackHost(r.Host, own) {
		return "the Host header is not a loopback name"
	}
	for _, origin := range r.Header.Values("Origin") {
		if u, err := url.Parse(origin); err != nil || u.Host != r.Host {
			return "the Origin header names another site"
		}
	}
	for name := range r.Header {
		if name == "Forwarded" || strings.HasPrefix(name, "X-Forwarded-") || name == "X-Real-Ip" {
			return "the " + name + " header says that it was forwarded"
		}
	}
	return ""
}

// loopbackHost tells whether a Host header is the loopback's or own.
func loopbackHost(host string, own netip.Addr) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	if name := strings.ToLower(host); name == "localhost" || strings.HasSuffix(name, ".localhost") { // RFC 6761, section 6.3
		return true
	}
	addr, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && (addr.IsLoopback() || addr == own)
}
