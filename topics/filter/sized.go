package filter

import (
	"cmp"
	"slices"
)

// sized are lists by prefixes, suffixes or networks, with the lengths that
// occur: a value looks for its own prefix of each.
type sized[K comparable] struct {
	lists lists[K]
	sizes []size // ascending
}

type size struct{ size, count int }

func (s *sized[K]) find(n int) (int, bool) {
	return slices.BinarySearchFunc(s.sizes, n, func(a size, n int) int { return cmp.Compare(a.size, n) })
}

func (s *sized[K]) add(n int, k K, p *posting) {
	s.lists.add(k, p)
	i, found := s.find(n)
	if !found {
		s.sizes = slices.Insert(s.sizes, i, size{n, 0})
	}
	s.sizes[i].count++
}

func (s *sized[K]) remove(n int, k K, p *posting) {
	s.lists.remove(k, p)
	i, _ := s.find(n)
	if s.sizes[i].count--; s.sizes[i].count == 0 {
		s.sizes = slices.Delete(s.sizes, i, i+1)
	}
}
