package sqs

import "sync"

// flights bounds how many messages of a queue are in flight. It asks the engine
// for a queue's count only when the room that it last found is used up, so a
// receive costs nothing here until then. What is deleted meanwhile is found at
// the next look.
type flights struct {
	mu     sync.Mutex
	queues map[string]*flight
}

// flight is the room left of a queue.
type flight struct{ room int }

// take gives how many messages may be received, at most most; 0 if none.
func (f *flights) take(s *service, full string, most int) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	l := f.queues[full]
	if l == nil {
		l = &flight{}
		f.queues[full] = l
	}
	if l.room < most {
		st, err := s.Store.Stats(full)
		if err != nil {
			delete(f.queues, full)
			return 0, err
		}
		l.room = int(max(s.MaxInFlight-st.InFlight, 0))
	}
	n := min(most, l.room)
	l.room -= n
	return n, nil
}

// giveBack returns what take gave and was not received.
func (f *flights) giveBack(full string, n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if l := f.queues[full]; l != nil {
		l.room += n
	}
}

// forget drops a queue.
func (f *flights) forget(full string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.queues, full)
}
