package sandbox

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// inboxChunk is how many items are copied at a time for an answer.
const inboxChunk = 256

// getInbox streams the wanted items, so that a long inbox is not in memory twice.
func (s *Server) getInbox(w http.ResponseWriter, r *http.Request) {
	f, since, limit, err := readFilter(r.URL.Query())
	if err != nil {
		refuseControl(w, http.StatusBadRequest, err)
		return
	}
	lines := strings.Contains(r.Header.Get("Accept"), "application/x-ndjson")
	begin, between, end := "[", ",", "]\n"
	w.Header().Set("Content-Type", "application/json")
	if lines {
		begin, between, end = "", "", ""
		w.Header().Set("Content-Type", "application/x-ndjson")
	}
	enc := json.NewEncoder(w)
	_, _ = w.Write([]byte(begin))
	for first := true; limit > 0; {
		var items []Item
		items, since = s.page(f, since, min(limit, inboxChunk))
		if len(items) == 0 {
			break
		}
		for i := range items {
			if !first {
				_, _ = w.Write([]byte(between))
			}
			first = false
			if enc.Encode(&items[i]) != nil {
				return // the client went away
			}
		}
		limit -= len(items)
	}
	_, _ = w.Write([]byte(end))
}

func readFilter(q url.Values) (f filter, since, limit int, err error) {
	f = filter{provider: q.Get("provider"), recipient: q.Get("recipient"), delivery: plainID(q.Get("delivery")), accepted: q.Get("accepted")}
	known := []string{"provider", "recipient", "delivery", "accepted", "since", "limit"}
	for name := range q {
		if !slices.Contains(known, name) {
			return f, 0, 0, fmt.Errorf("%s: unknown, want %s", name, strings.Join(known, ", "))
		}
	}
	if f.provider != "" && !slices.Contains(providers, f.provider) {
		return f, 0, 0, errProvider("provider", f.provider)
	}
	switch f.accepted {
	case "true", "false":
	case "":
		f.accepted = "true"
	case "any":
		f.accepted = ""
	default:
		return f, 0, 0, fmt.Errorf("accepted: want true, false or any, not %q", f.accepted)
	}
	if since, err = number(q, "since", 0, 0); err != nil {
		return f, 0, 0, err
	}
	limit, err = number(q, "limit", 1, 1000)
	return f, since, limit, err
}

// number reads a query parameter.
func number(q url.Values, name string, least, otherwise int) (int, error) {
	if !q.Has(name) {
		return otherwise, nil
	}
	n, err := strconv.Atoi(q.Get(name))
	if err != nil || n < least {
		return 0, fmt.Errorf("%s: want a number from %d, not %q", name, least, q.Get(name))
	}
	return n, nil
}
