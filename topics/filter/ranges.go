package filter

import (
	"cmp"
	"math/rand/v2"
)

// ranges are lists by range of numbers: a treap by bottom, then top, in which
// each node knows the highest top below it. What contains a number is found in
// the logarithm of the number of ranges, and what is found.
type ranges struct{ root *span }

type span struct {
	between
	highest     int64 // top of this and all below
	priority    uint32
	left, right *span
	list        list
}

func (a between) compare(b between) int {
	return cmp.Or(cmp.Compare(a.lo, b.lo), cmp.Compare(a.hi, b.hi))
}

func (r *ranges) add(b between, p *posting) { r.root = r.root.add(b, p) }

func (r *ranges) remove(b between, p *posting) { r.root = r.root.remove(b, p) }

// visit calls look for each range that contains n until it returns false.
func (r *ranges) visit(n int64, look func(list) bool) { r.root.visit(n, look) }

// crowd is how many postings hang on ranges that contain the middle of b, or
// enough to know that they are many.
func (r *ranges) crowd(b between) (n int) {
	r.visit(b.lo+(b.hi-b.lo)/2, func(l list) bool {
		n += len(l)
		return n < 256
	})
	return n
}

func (s *span) add(b between, p *posting) *span {
	if s == nil {
		s = &span{between: b, highest: b.hi, priority: rand.Uint32()}
		s.list.add(p)
		return s
	}
	switch order := b.compare(s.between); {
	case order == 0:
		s.list.add(p)
	case order < 0:
		s.left = s.left.add(b, p)
		if s.left.priority > s.priority {
			return s.rotateRight()
		}
	default:
		s.right = s.right.add(b, p)
		if s.right.priority > s.priority {
			return s.rotateLeft()
		}
	}
	s.update()
	return s
}

func (s *span) remove(b between, p *posting) *span {
	switch order := b.compare(s.between); {
	case order < 0:
		s.left = s.left.remove(b, p)
	case order > 0:
		s.right = s.right.remove(b, p)
	default:
		if s.list.remove(p); len(s.list) == 0 {
			return s.left.join(s.right)
		}
	}
	s.update()
	return s
}

// join makes one tree of two, all of s being before all of t.
func (s *span) join(t *span) *span {
	switch {
	case s == nil:
		return t
	case t == nil:
		return s
	case s.priority > t.priority:
		s.right = s.right.join(t)
		s.update()
		return s
	}
	t.left = s.join(t.left)
	t.update()
	return t
}

func (s *span) rotateRight() *span {
	up := s.left
	s.left, up.right = up.right, s
	s.update()
	up.update()
	return up
}

func (s *span) rotateLeft() *span {
	up := s.right
	s.right, up.left = up.left, s
	s.update()
	up.update()
	return up
}

func (s *span) update() {
	s.highest = s.hi
	for _, below := range []*span{s.left, s.right} {
		if below != nil {
			s.highest = max(s.highest, below.highest)
		}
	}
}

func (s *span) visit(n int64, look func(list) bool) bool {
	if s == nil || s.highest < n {
		return true
	}
	return s.left.visit(n, look) &&
		(s.lo > n || s.hi < n || look(s.list)) &&
		(s.lo > n || s.right.visit(n, look))
}
