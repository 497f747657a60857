package queue

import (
	"container/list"
	"sync"
)

// waiters are the receivers that wait for messages of a queue, longest first.
// A message wakes as many as it can serve; they are woken by writers, nobody
// polls.
type waiters struct {
	mu    sync.Mutex
	idle  list.List                  // of *waiter, not woken yet
	round uint64                     // wakes by writers so far
	bells map[chan struct{}]struct{} // of Arrivals
}

type waiter struct {
	wake  chan struct{}
	place *list.Element
	round uint64 // the round it was last woken in
}

func (ws *waiters) enter() *waiter {
	me := &waiter{wake: make(chan struct{}, 1)}
	ws.mu.Lock()
	defer ws.mu.Unlock()
	me.place = ws.idle.PushBack(me)
	return me
}

// wake wakes up to n waiters for n new messages.
func (ws *waiters) wake(n int) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	ws.round++
	for bell := range ws.bells {
		select {
		case bell <- struct{}{}:
		default: // it has not been looked at since the last time
		}
	}
	for ; n > 0 && ws.idle.Len() > 0; n-- {
		ws.ring(ws.idle.Front().Value.(*waiter))
	}
}

func (ws *waiters) ring(w *waiter) {
	ws.idle.Remove(w.place)
	w.place, w.round = nil, ws.round
	w.wake <- struct{}{}
}

// again goes back to waiting after a look in vain. If the look passed messages
// that others may take, another waiter has a look, each once a round.
func (ws *waiters) again(me *waiter, passed bool) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if passed {
		ws.next()
	}
	if me.place == nil && len(me.wake) == 0 {
		me.place = ws.idle.PushFront(me)
	}
}

func (ws *waiters) next() {
	for e := ws.idle.Front(); e != nil; e = e.Next() {
		if w := e.Value.(*waiter); w.round < ws.round {
			ws.ring(w)
			return
		}
	}
}

// leave ends the wait; a wake that was not used goes to the next.
func (ws *waiters) leave(me *waiter) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if me.place != nil {
		ws.idle.Remove(me.place)
		me.place = nil
	}
	select {
	case <-me.wake:
		ws.next()
	default:
	}
}

// Arrivals signals that messages of a queue became ready, in any shard: sent,
// retried, come due, their lease ended or their FIFO group unlocked. Signals
// nobody took are one. The caller looks (Receive) once after the call, and then
// whenever there is a signal; it takes no message from those who wait in
// Receive. An unknown or deleted queue never signals. Stop ends the signals.
func (s *Store) Arrivals(queue string) (arrived <-chan struct{}, stop func()) {
	q := s.queue(queue)
	if q == nil {
		return nil, func() {}
	}
	return q.waiters.listen()
}

func (ws *waiters) listen() (<-chan struct{}, func()) {
	bell := make(chan struct{}, 1)
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if ws.bells == nil {
		ws.bells = make(map[chan struct{}]struct{})
	}
	ws.bells[bell] = struct{}{}
	return bell, func() {
		ws.mu.Lock()
		defer ws.mu.Unlock()
		delete(ws.bells, bell)
	}
}
