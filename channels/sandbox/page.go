package sandbox

import (
	_ "embed" // the page
	"html/template"
	"net/http"
	"strings"
	"time"
)

// pageItems is how many items the page shows.
const pageItems = 100

//go:embed page.html
var pageText string

// pageTabs are the providers as people call them.
var pageTabs = []struct{ Provider, Name string }{
	{"", "All"}, {ProviderTwilio, "SMS"}, {ProviderAPNs, "Push (APNs)"}, {ProviderFCM, "Push (FCM)"}, {ProviderSMTP, "Mail"},
	{ProviderWebhook, "Webhook"}, {ProviderSQS, "Queue"}, {ProviderLambda, "Function"},
}

// pageData is what the page shows.
type pageData struct {
	Tabs     []pageTab
	Provider string
	Items    []Item
	Paused   bool
	Webhook  string
}

type pageTab struct {
	Provider, Name string
	Count          int
	Current        bool
}

func parsePage() (*template.Template, error) {
	return template.New("page").Funcs(template.FuncMap{
		"channel": func(provider string) string {
			for _, tab := range pageTabs {
				if tab.Provider == provider {
					name, _, _ := strings.Cut(tab.Name, " ")
					return name
				}
			}
			return "Sign-in" // at a token endpoint
		},
		"style": func(provider string) string {
			switch provider {
			case ProviderTwilio:
				return "sms"
			case ProviderWebhook, ProviderSQS, ProviderLambda:
				return "code"
			}
			return ""
		},
		"clock": func(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05") },
	}).Parse(pageText)
}

// showInbox is the page for people: what arrived, the newest first.
func (s *Server) showInbox(w http.ResponseWriter, r *http.Request) {
	page, err := parsePage()
	if err != nil {
		panic(err) // shown by every test of the page
	}
	provider := r.URL.Query().Get("provider")
	data := pageData{
		Provider: provider, Items: s.newest(filter{provider: provider}, pageItems),
		Paused: r.URL.Query().Has("pause"), Webhook: s.Webhook.URL,
	}
	counts := s.counts()
	for _, tab := range pageTabs {
		data.Tabs = append(data.Tabs, pageTab{tab.Provider, tab.Name, counts[tab.Provider], tab.Provider == provider})
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Referrer-Policy", "no-referrer")
	_ = page.Execute(w, data) // the client went away: nobody to tell
}
