package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

const (
	watchEvery    = 50 * time.Millisecond
	watchPatience = 15 * time.Second // for each step of the story
)

// watch follows one publish over the gateway's API.
type watch struct {
	*demo
	id     string
	first  bool // the first publish to the topic
	direct bool // to one endpoint instead of the topic

	created    time.Time
	phase      string
	deliveries []seenDelivery
	accounts   []accountState
}

// seenDelivery is what is read of a delivery.
type seenDelivery struct {
	ID           string    `json:"id"`
	State        string    `json:"state"`
	Try          int       `json:"try"`
	Protocol     string    `json:"protocol"`
	Account      string    `json:"account"`
	Subscription string    `json:"subscription"`
	At           time.Time `json:"at"`
	Kind         string    `json:"kind"`
	Code         string    `json:"code"`
}

type accountState struct {
	Name  string `json:"name"`
	State string `json:"state"`
}

// until shows the publish until done says so.
func (w *watch) until(ctx context.Context, done func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, watchPatience)
	defer cancel()
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		if err := w.look(ctx); err != nil {
			return err
		}
		w.screen.show(w.rows())
		if done() {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("waited %s: %w", watchPatience, ctx.Err())
		}
	}
}

func (w *watch) look(ctx context.Context) error {
	var p struct {
		Phase   string    `json:"phase"`
		Created time.Time `json:"created"`
	}
	var ds struct {
		Deliveries []seenDelivery `json:"deliveries"`
	}
	var as struct {
		Accounts []accountState `json:"accounts"`
	}
	// The publish comes first: when it is completed, the deliveries read after
	// it have ended.
	err := w.call(ctx, http.MethodGet, "/v1/publishes/"+w.id, nil, &p)
	if err == nil {
		err = w.call(ctx, http.MethodGet, "/v1/publishes/"+w.id+"/deliveries?limit=1000", nil, &ds)
	}
	if err == nil {
		err = w.call(ctx, http.MethodGet, "/v1/accounts", nil, &as)
	}
	if err != nil {
		return err
	}
	w.phase, w.created, w.deliveries, w.accounts = p.Phase, p.Created, ds.Deliveries, as.Accounts
	return nil
}

// of is a part's delivery; a zero one if it has none.
func (w *watch) of(p *part) seenDelivery {
	for _, x := range w.deliveries {
		if x.Subscription == p.id {
			return x
		}
	}
	return seenDelivery{}
}

// settled: nothing more is to come, be it as expected or not.
func (w *watch) settled() bool {
	receipt := func(p part) bool { // one may yet turn sent into delivered
		x := w.of(&p)
		return x.State == "sent" && !w.want(&p).met(x)
	}
	return w.phase == "completed" && (w.direct || !slices.ContainsFunc(w.cast, receipt))
}

func (w *watch) want(p *part) end {
	if w.first {
		return p.first
	}
	return p.later
}

// differences are a line for each delivery that is not where it should end.
func (w *watch) differences() []string {
	var diff []string
	if w.direct {
		for _, x := range w.deliveries {
			if x.State != "sent" && x.State != "delivered" {
				diff = append(diff, fmt.Sprintf("to one endpoint (%s): expected sent or delivered, is %s", x.Protocol, x.end()))
			}
		}
		return diff
	}
	for i := range w.cast {
		p := &w.cast[i]
		if want, x := w.want(p), w.of(p); !want.met(x) {
			diff = append(diff, fmt.Sprintf("%s: expected %s, is %s", p.name, want, x.end()))
		}
	}
	return diff
}

func (x seenDelivery) end() end {
	return end{x.State, x.Try, strings.TrimSpace(x.Kind + " " + x.Code)}
}

// met tells whether a delivery ended like this.
func (e end) met(x seenDelivery) bool {
	got := x.end()
	if e.answer == "" {
		return got == e
	}
	return got.state == e.state && got.tries == e.tries && strings.HasPrefix(got.answer, e.answer)
}

// final are the states a delivery ends in.
var final = []string{"sent", "delivered", "failed", "suppressed", "expired", "cancelled"}

// rows are the deliveries as the screen shows them.
func (w *watch) rows() []row {
	rows := make([]row, len(w.deliveries))
	for i, x := range w.deliveries {
		r := row{id: x.ID, name: "to one endpoint", state: x.State, tries: x.Try, took: time.Since(w.created)}
		for _, p := range w.cast {
			if p.id == x.Subscription {
				r.name = p.name
			}
		}
		if r.via, _, _ = strings.Cut(x.Account, "/"); r.via == "" {
			r.via = x.Protocol
		}
		if slices.Contains(final, x.State) {
			r.took = x.At.Sub(w.created)
		}
		if x.State != "sent" && x.State != "delivered" {
			r.answer = x.end().answer
		}
		rows[i] = r
	}
	return rows
}
