package channels

import "time"

// Bounds of a group's breaker.
const (
	breakerFailures = 5                // in a row, until it opens
	breakerFirst    = time.Second      // it is open at first, doubling
	breakerLongest  = time.Minute      // up to this
	breakerWish     = time.Hour        // the longest wait a provider can ask for
	breakerForget   = 10 * time.Minute // after which failures are forgotten
)

// groups are the groups of an account with something in them: attempts that
// run, failures, an open breaker. The account is locked for all its methods.
type groups struct {
	all  map[string]*group
	full int // size at which those forgotten are swept
	// hidden: some group was passed over. Whoever frees one sets shown, and the
	// lanes are looked at again.
	shown bool
}

type group struct {
	inFlight int
	failures int // in a row
	open     time.Duration
	opened   time.Time // the attempts of before do not count
	until    time.Time // the breaker lets one through from then on; zero: closed
	last     time.Time // when it last failed
	timer    *time.Timer
}

// slots is how many attempts may run at a time.
func (g *group) slots(now time.Time, most int) int {
	switch {
	case g == nil || g.until.IsZero():
		return most
	case now.Before(g.until):
		return 0
	}
	return 1 // half open
}

// busy is how many attempts of a group run, and how many may.
func (gs *groups) busy(name string, now time.Time, most int) (running, slots int) {
	g := gs.all[name]
	if g != nil {
		running = g.inFlight
	}
	return running, g.slots(now, most)
}

// unhide has groups passed over looked at again.
func (gs *groups) unhide() { gs.shown = true }

func (gs *groups) begin(name string, now time.Time) {
	gs.get(name, now).inFlight++
}

func (gs *groups) get(name string, now time.Time) *group {
	g := gs.all[name]
	if g == nil {
		gs.sweep(now)
		g = new(group)
		gs.all[name] = g
	}
	return g
}

// sweep forgets failures long past, so that the map does not grow with all
// groups that ever failed.
func (gs *groups) sweep(now time.Time) {
	if len(gs.all) < max(gs.full, 64) {
		return
	}
	for name, g := range gs.all {
		if g.inFlight == 0 && now.Sub(g.last) > breakerForget && !now.Before(g.until) {
			delete(gs.all, name)
		}
	}
	gs.full = 2 * len(gs.all)
}

// end ends an attempt's hold on its group.
func (gs *groups) end(name string) {
	g := gs.all[name]
	g.inFlight--
	gs.unhide()
	if g.inFlight == 0 && g.failures == 0 && g.until.IsZero() {
		delete(gs.all, name)
	}
}

// answered notes an attempt's answer, made from started to now. It is called
// before end. Lapse is called when the group's breaker lets one through.
func (gs *groups) answered(name string, started, now time.Time, err *Error, lapse func()) {
	g := gs.all[name]
	if err != nil && err.Kind == AccountFault {
		return
	}
	// What counts by its frequency is not counted here too.
	failed := err != nil && err.Escalate == nil && !err.Alone && (err.Kind == Temporary || err.Kind == Throttled || err.Kind == Uncertain)
	wish := time.Duration(0)
	if failed && err.Kind == Throttled {
		wish = min(err.RetryAfter, breakerWish)
	}
	if !g.until.IsZero() && !started.After(g.opened) {
		// It began before the breaker opened and says nothing new but a wish.
		if wish > 0 && now.Add(wish).After(g.until) {
			g.shut(now, wish, lapse)
		}
		return
	}
	if !failed {
		if g.timer != nil {
			g.timer.Stop()
		}
		*g = group{inFlight: g.inFlight}
		return
	}
	g.failures++
	g.last = now
	switch {
	case wish > 0:
		g.shut(now, wish, lapse)
	case !g.until.IsZero():
		g.open = min(2*max(g.open, breakerFirst/2), breakerLongest)
		g.shut(now, g.open, lapse)
	case g.failures >= breakerFailures:
		g.open = breakerFirst
		g.shut(now, g.open, lapse)
	}
}

// shut opens the breaker: no attempt for the duration.
func (g *group) shut(now time.Time, d time.Duration, lapse func()) {
	g.opened, g.until, g.last = now, now.Add(d), now
	if g.timer != nil {
		g.timer.Stop()
	}
	g.timer = time.AfterFunc(d, lapse)
}
