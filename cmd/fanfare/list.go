package main

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"

	"github.com/spf13/cobra"
)

// mostPage is the most entries of a page (gateway/rest.Page).
const mostPage = 1000

// listing is a list of the API.
type listing struct {
	path    string
	key     string   // of the array in the answer
	columns []string // fields to show as text
	limit   int      // most entries to show; 0 for all
	whole   bool     // the API gives it in one piece
}

func limitFlag(cmd *cobra.Command, limit *int) {
	cmd.Flags().IntVar(limit, "limit", 0, "show at most so many; 0 shows all")
}

// list prints a list, following its cursors.
func (o *remote) list(cmd *cobra.Command, l listing) error {
	if l.limit < 0 {
		return usageError("--limit must not be negative, not %d", l.limit)
	}
	c, p, err := o.connect(cmd)
	if err != nil {
		return err
	}
	shown, cursor := 0, ""
	for {
		var page map[string]json.RawMessage
		if err := c.call(cmd.Context(), http.MethodGet, l.path+l.query(shown, cursor), nil, &page); err != nil {
			return err
		}
		var entries []json.RawMessage
		if err := json.Unmarshal(page[l.key], &entries); err != nil {
			return err
		}
		if err := p.rows(entries, l.columns, cursor == ""); err != nil {
			return err
		}
		shown += len(entries)
		if page["next"] == nil || (l.limit > 0 && shown >= l.limit) {
			return nil
		}
		if err := json.Unmarshal(page["next"], &cursor); err != nil {
			return err
		}
	}
}

// query asks for the page behind a cursor.
func (l listing) query(shown int, cursor string) string {
	if l.whole {
		return ""
	}
	q := url.Values{"limit": {strconv.Itoa(mostPage)}}
	if l.limit > 0 {
		q.Set("limit", strconv.Itoa(min(mostPage, l.limit-shown)))
	}
	if cursor != "" {
		q.Set("cursor", cursor)
	}
	return "?" + q.Encode()
}
