package callback

import (
	_ "embed"
	"errors"
	"net/http"

	"github.com/fanfare-gateway/fanfare/gateway/page"
	"github.com/fanfare-gateway/fanfare/topics"
)

//go:embed unsubscribe.html
var unsubscribeParts string

var unsubscribePage = page.New(unsubscribeParts)

// view is what the page shows.
type view struct {
	List  string // the topic's name; "" for mail that came by none
	State state
}

// state names the page's texts.
type state string

const (
	subscribed   state = "subscribed"
	unsubscribed state = "unsubscribed"
	again        state = "again"  // subscribed again just now
	broken       state = "broken" // no link of ours
	notDone      state = "not done"
)

var statuses = map[state]int{
	subscribed: http.StatusOK, unsubscribed: http.StatusOK, again: http.StatusOK, broken: http.StatusNotFound, notDone: http.StatusServiceUnavailable,
}

// servePage is GET /u/TOKEN: it shows and changes nothing, because programs that
// look for bad links open every one.
func (o Options) servePage(w http.ResponseWriter, r *http.Request) {
	owner, s, ok := o.Links.open(r.PathValue("token"))
	if !ok {
		show(w, view{State: broken})
		return
	}
	v := view{List: o.list(owner, s), State: unsubscribed}
	_, err := o.Topics.Suppression(owner, s)
	if errors.Is(err, topics.ErrNotFound) {
		v.State = subscribed
	} else if err != nil {
		o.Logger.Error("unsubscribe page could not read the store", "error", err)
		v.State = notDone
	}
	show(w, v)
}

// serveClick is POST /u/TOKEN: the page's buttons, or a mail program (RFC 8058
// section 3.2), which sends List-Unsubscribe=One-Click in either form of a form
// and wants no redirect. Any other POST unsubscribes too: what is asked is clear.
func (o Options) serveClick(w http.ResponseWriter, r *http.Request) {
	owner, s, ok := o.Links.open(r.PathValue("token"))
	if !ok {
		show(w, view{State: broken})
		return
	}
	if err := readForm(r); err != nil {
		http.Error(w, "want a form of at most 64 KiB with List-Unsubscribe=One-Click", http.StatusBadRequest)
		return
	}
	v := view{List: o.list(owner, s), State: unsubscribed}
	var err error
	if r.PostForm.Get("again") != "" {
		v.State = again
		if err = o.Topics.Unsuppress(r.Context(), owner, s); errors.Is(err, topics.ErrNotFound) {
			err = nil // done already
		}
	} else {
		_, err = o.Topics.Suppress(r.Context(), owner, s)
	}
	if err != nil {
		o.Logger.Error("unsubscribing could not be recorded", "reason", s.Reason, "error", err)
		v.State = notDone
	}
	if r.PostForm.Get("List-Unsubscribe") == "One-Click" && err == nil {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = w.Write([]byte("unsubscribed\n"))
		return
	}
	show(w, v)
}

// readForm reads a form of either kind.
func readForm(r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return err
	}
	if err := r.ParseMultipartForm(maxBody); !errors.Is(err, http.ErrNotMultipart) {
		return err
	}
	return nil
}

// list is what people call the topic of a link.
func (o Options) list(owner topics.Owner, s topics.Suppression) string {
	if s.Topic == "" {
		return ""
	}
	if topic, err := o.Topics.Topic(owner, s.Topic); err == nil && topic.DisplayName != "" {
		return topic.DisplayName
	}
	return s.Topic
}

func show(w http.ResponseWriter, v view) {
	unsubscribePage.Show(w, statuses[v.State], v)
}
