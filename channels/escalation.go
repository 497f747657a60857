package channels

import (
	"strconv"
	"sync"
	"time"
)

// escalations count an account's attempts and those with an answer that turns
// into another kind when it is frequent (Error.Escalate).
type escalations struct {
	mu    sync.Mutex
	total window
	hits  map[string]*window // by code
}

// window counts by time, in parts of ten seconds over the last hour.
type window struct {
	counts [windowParts]uint32
	last   int64 // the part counted in last
}

const (
	windowPart  = 10 * time.Second
	windowParts = 360
)

func newEscalations() *escalations { return &escalations{hits: make(map[string]*window)} }

// forget starts anew: with other credentials the past means nothing.
func (e *escalations) forget() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.total, e.hits = window{}, make(map[string]*window)
}

// judge counts an attempt. It returns the error, with another kind if such
// answers are too frequent. For a trial of a faulted account one is enough: it
// must not cost a recipient anything.
func (e *escalations) judge(now time.Time, err *Error, trial bool) *Error {
	part := now.UnixNano() / int64(windowPart)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.total.add(part)
	if err == nil || err.Escalate == nil {
		return err
	}
	key := err.Code
	if key == "" {
		key = strconv.Itoa(err.Status)
	}
	if e.hits[key] == nil {
		e.hits[key] = new(window)
	}
	e.hits[key].add(part)
	esc := err.Escalate
	parts := min(int64((esc.Window+windowPart-1)/windowPart), windowParts)
	total, hits := e.total.sum(part, parts), e.hits[key].sum(part, parts)
	if trial && esc.Kind == AccountFault {
		total, hits = esc.Least, esc.Least
	}
	if total < esc.Least || float64(hits) <= esc.Share*float64(total) {
		return err
	}
	other := *err
	other.Kind = esc.Kind
	return &other
}

func (w *window) add(part int64) {
	w.turn(part)
	w.counts[part%windowParts]++
}

// turn empties the parts that came since the last one.
func (w *window) turn(part int64) {
	for p := max(w.last+1, part-windowParts+1); p <= part; p++ {
		w.counts[p%windowParts] = 0
	}
	w.last = max(w.last, part)
}

// sum counts the latest parts.
func (w *window) sum(part, parts int64) int {
	w.turn(part)
	n := 0
	for p := part - parts + 1; p <= part; p++ {
		n += int(w.counts[p%windowParts])
	}
	return n
}
