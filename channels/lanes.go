package channels

// lanes are an account's lanes as its worker sees them. Turns go by weight, but
// only between lanes that may have something: none waits for an empty one.
type lanes []*laneTurn

type laneTurn struct {
	lane    Lane
	queue   string
	weight  int
	credit  int
	maybe   bool // it may have entries
	hidden  bool // some of its groups were passed over
	arrived <-chan struct{}
	stop    func()
}

// weights are the lanes' shares when all have entries.
var weights = [...]int{16, 4, 1} // in the order of Lanes

func (ls lanes) any() bool {
	for _, l := range ls {
		if l.maybe {
			return true
		}
	}
	return false
}

// show has lanes with hidden groups looked at again.
func (ls lanes) show() {
	for _, l := range ls {
		l.maybe = l.maybe || l.hidden
	}
}

// divide gives n turns to the lanes that may have entries (smooth weighted
// round-robin); the result is by lane.
func (ls lanes) divide(n int) []int {
	turns := make([]int, len(ls))
	for ; n > 0; n-- {
		best, total := -1, 0
		for i, l := range ls {
			if !l.maybe {
				continue
			}
			l.credit += l.weight
			total += l.weight
			if best < 0 || l.credit > ls[best].credit {
				best = i
			}
		}
		if best < 0 {
			break
		}
		ls[best].credit -= total
		turns[best]++
	}
	return turns
}

// empty notes that a lane had nothing to lease.
func (l *laneTurn) empty(hidden bool) { l.maybe, l.hidden, l.credit = false, hidden, 0 }
