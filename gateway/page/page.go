// Package page frames the pages that links in mails lead to.
package page

import (
	_ "embed"
	"html/template"
	"net/http"
)

//go:embed page.html
var frame string

// Page is a frame with parts of its own.
type Page struct{ all *template.Template }

// New is a page whose parts define the templates title and body. It panics if
// they do not parse.
func New(parts string) Page {
	return Page{template.Must(template.Must(template.New("page").Parse(frame)).Parse(parts))}
}

// Show writes the page. It needs nothing from elsewhere and may load nothing.
func (p Page) Show(w http.ResponseWriter, status int, view any) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Robots-Tag", "noindex")
	h.Set("Referrer-Policy", "no-referrer") // the address is the right to click
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = p.all.Execute(w, view) // the client went away: nobody to tell
}
