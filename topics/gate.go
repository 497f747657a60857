package topics

import "sync"

// gates keep publishes to archives and their replays apart: each archive that is
// in use has one, which lets publishes in together, or shuts them out.
type gates struct {
	mu  sync.Mutex
	all map[string]*gate
}

type gate struct {
	sync.RWMutex
	users int // guarded by gates.mu
}

// enter lets a publish to an archive in, as soon as the gate is open.
func (g *gates) enter(o Owner, topic string) (leave func()) {
	at, done := g.use(o.prefix() + topic)
	at.RLock()
	return func() { at.RUnlock(); done() }
}

// shut waits for the publishes that are in and lets no other one in.
func (g *gates) shut(o Owner, topic string) (open func()) {
	at, done := g.use(o.prefix() + topic)
	at.Lock()
	return func() { at.Unlock(); done() }
}

// use is the gate of an archive; it goes with the last who uses it.
func (g *gates) use(name string) (at *gate, done func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if at = g.all[name]; at == nil {
		if g.all == nil {
			g.all = map[string]*gate{}
		}
		at = &gate{}
		g.all[name] = at
	}
	at.users++
	return at, func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		if at.users--; at.users == 0 {
			delete(g.all, name)
		}
	}
}
