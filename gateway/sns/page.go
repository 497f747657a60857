package sns

import (
	_ "embed"
	"net/http"
	"strings"

	"github.com/fanfare-gateway/fanfare/gateway/page"
)

// PagePath is where Page is served.
const PagePath = "/sns/confirm"

//go:embed confirm.html
var confirmParts string

var confirmPage = page.New(confirmParts)

// view is what the page shows.
type view struct {
	Topic string // as people call it
	State string
}

// pageStatuses are the states of a page, and what each is answered with.
var pageStatuses = map[string]int{
	"waiting": http.StatusOK, "confirmed": http.StatusOK, "broken": http.StatusNotFound, "failed": http.StatusServiceUnavailable,
}

// Page is where the link in a confirmation mail leads: opened it changes
// nothing, its button confirms.
func Page(o Options) http.Handler {
	o.setDefaults()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.Method {
		case http.MethodGet, http.MethodHead, http.MethodPost:
			v := o.page(r)
			confirmPage.Show(w, pageStatuses[v.State], v)
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
