package topics

import (
	"errors"
	"fmt"

	"github.com/fanfare-gateway/fanfare/queue"
)

// State is where a delivery stands. The ledger of a publish is the closed sum
// of its deliveries by state.
type State uint8

// The states. Those from Sent on are final, save that evidence may still raise
// a sent or failed one, and a redrive takes a failed one back to queued.
const (
	Queued     State = iota + 1 // waiting for its turn, or for a retry
	Held                        // its publish is paused, or the store was restored
	Sending                     // an attempt is being made
	Uncertain                   // it may have been sent; waits for evidence
	Sent                        // accepted by the provider, not yet known to be delivered
	Delivered                   // the endpoint has it
	Failed                      // dead letter
	Suppressed                  // the recipient must not get it
	Expired                     // its deadline passed first
	Cancelled                   // its publish or subscription was cancelled
	states
)

var stateNames = [states]string{"", "queued", "held", "sending", "uncertain", "sent", "delivered", "failed", "suppressed", "expired", "cancelled"}

// States are all states, in order.
func States() []State {
	all := make([]State, 0, states-1)
	for s := Queued; s < states; s++ {
		all = append(all, s)
	}
	return all
}

// String is the state's name as in the API and metrics.
func (s State) String() string {
	if s < states && s > 0 {
		return stateNames[s]
	}
	return fmt.Sprintf("state(%d)", uint8(s))
}

// MarshalText is String.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads a state's name.
func (s *State) UnmarshalText(text []byte) error {
	for i, name := range stateNames {
		if name == string(text) && i > 0 {
			*s = State(i)
			return nil
		}
	}
	return fmt.Errorf("unknown state %q: want one of %v", text, stateNames[1:])
}

// Final tells whether no work is left for a delivery in this state.
func (s State) Final() bool { return s >= Sent }

// hasEntry tells whether a delivery in this state has an entry in its
// account's queue. (A held one has none: it gets a new one when it is released.)
func (s State) hasEntry() bool { return s == Queued || s == Sending }

// command is something done to a delivery, as against evidence of what became
// of it.
type command uint8

const (
	cmdLease    command = iota + 1 // an attempt begins
	cmdRetry                       // the attempt failed, another follows
	cmdGiveBack                    // the attempt was not made, or does not count
	cmdHold
	cmdRelease // held → queued
	cmdUnsure  // the answer is lost
	cmdResend  // on_uncertain, or a callback that says: try again
	cmdRedrive
	cmdSent
	cmdDelivered
	cmdFail
	cmdSuppress
	cmdExpire
	cmdCancel
)

// commands is the whole table: from which states a command leads where. What
// is not in it is refused. A repeatable attempt whose outcome was lost stands in
// sending when its entry is taken again, and meets what was decided meanwhile.
var commands = map[command]map[State]State{
	cmdLease:     {Queued: Sending},
	cmdRetry:     {Sending: Queued, Queued: Queued},
	cmdGiveBack:  {Sending: Queued, Queued: Queued},
	cmdHold:      {Queued: Held, Sending: Held},
	cmdRelease:   {Held: Queued},
	cmdUnsure:    {Sending: Uncertain},
	cmdResend:    {Uncertain: Queued, Sent: Queued},
	cmdRedrive:   {Failed: Queued},
	cmdSent:      {Sending: Sent},
	cmdDelivered: {Sending: Delivered},
	cmdFail:      {Sending: Failed, Queued: Failed, Uncertain: Failed},
	cmdSuppress:  {Queued: Suppressed, Sending: Suppressed, Held: Suppressed},
	cmdExpire:    {Queued: Expired, Sending: Expired, Held: Expired},
	cmdCancel:    {Queued: Cancelled, Sending: Cancelled, Held: Cancelled},
}

var errCommand = errors.New("the ledger does not allow it")

// follow is the state a command leads to.
func (s State) follow(c command) (State, error) {
	to, ok := commands[c][s]
	if !ok {
		return s, fmt.Errorf("%w: command %d in state %s", errCommand, c, s)
	}
	return to, nil
}

// ranks order the states that evidence can raise a delivery to. Evidence of
// the current try is applied only if its rank is higher.
var ranks = map[State]int{Sending: 1, Uncertain: 2, Sent: 3, Failed: 4, Delivered: 5}

// evidenceRaises tells whether evidence of the same try for state to is
// applied to a delivery in state from.
func evidenceRaises(from, to State) bool {
	return ranks[from] > 0 && ranks[to] > ranks[from]
}

// Ledger counts the deliveries of a publish by state.
type Ledger map[State]int64

// Sum is the number of deliveries.
func (l Ledger) Sum() int64 {
	var n int64
	for _, k := range l {
		n += k
	}
	return n
}

// Open is the number of deliveries not final.
func (l Ledger) Open() int64 { return l[Queued] + l[Held] + l[Sending] + l[Uncertain] }

// ledger reads the counters of a publish.
func (t *Topics) ledger(id queue.ID) (Ledger, error) {
	l := Ledger{}
	prefix := append([]byte{'l'}, id.Prefix()...)
	err := t.store.Counters(id.Shard(), prefix, func(key []byte, n int64) bool {
		if n != 0 {
			l[State(key[len(key)-1])] = n
		}
		return true
	})
	return l, err
}
