package sns

import (
	_ "embed"
	"html/template"
	"net/http"
	"strings"
)

// PagePath is where Page is served.
const PagePath = "/sns/confirm"

//go:embed page.html
var pageSource string

var pageTemplate = template.Must(template.New("page").Parse(pageSource))

// view is what the page shows.
type view struct {
	Topic string // as people call it
	State string // waiting, confirmed, broken, failed
}

// Page is where the link in a confirmation mail leads: opened it changes
// nothing, its button confirms.
func Page(o Options) http.Handler {
	o.setDefaults()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.Method {
		case http.MethodGet, http.MethodHead, http.MethodPost:
			showPage(w, o.page(r))
		default:
			w.Header().Set("Allow", "GET, HEAD, POST")
			http.Error(w, "want GET or POST", http.StatusMethodNotAllowed)
		}
	})
}

func (o *Options) page(r *http.Request) view {
	parts := strings.Split(r.URL.Query().Get("TopicArn"), ":")
	if len(parts) != 6 {
		return view{State: "broken"}
	}
	who := names(o.Region).in(parts[4], parts[3])
	sub, err := o.pending(who, r.URL.Query().Get("Token"))
	if err != nil {
		return view{State: "broken"}
	}
	v := view{Topic: sub.Topic, State: "waiting"}
	if t, err := o.Topics.Topic(who, sub.Topic); err == nil && t.DisplayName != "" {
		v.Topic = t.DisplayName
	}
	if r.Method == http.MethodPost && sub.Pending {
		if _, err := confirmed(r.Context(), o.Topics, who, sub.ID, func(a map[string]string) { a[keptAuthenticated] = "false" }); err != nil {
			o.Logger.Error("a subscription could not be confirmed", "subscription", sub.ID, "error", err)
			return view{State: "failed"}
		}
		sub.Pending = false
	}
	if !sub.Pending {
		v.State = "confirmed"
	}
	return v
}

// showPage writes the page. It needs nothing from elsewhere and may load nothing.
func showPage(w http.ResponseWriter, v view) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Robots-Tag", "noindex")
	h.Set("Referrer-Policy", "no-referrer") // the address is the right to click
	h.Set("Cache-Control", "no-store")
	switch v.State {
	case "broken":
		w.WriteHeader(http.StatusNotFound)
	case "failed":
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_ = pageTemplate.Execute(w, v) // the client went away: nobody to tell
}
