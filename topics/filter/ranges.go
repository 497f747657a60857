package filter

import (
	"cmp"
	"slices"
)

// ranges are lists by range of numbers, sorted by bottom, then top, in blocks.
// A number looks at the bounds of all blocks, one beside the other in memory,
// and at all of a block only where some range may contain it: so there are at
// most a block of ranges to look at for each that is found.
type ranges struct {
	bounds []between // of each block: its lowest bottom and its highest top
	blocks []block
}

type block struct {
	spans []between
	lists []list
}

const blockSize = 128

func (a between) compare(b between) int {
	return cmp.Or(cmp.Compare(a.lo, b.lo), cmp.Compare(a.hi, b.hi))
}

// find is the block to hold b, and where in it.
func (r *ranges) find(b between) (i, j int, found bool) {
	i, _ = slices.BinarySearchFunc(r.blocks, b, func(k block, b between) int { return k.spans[len(k.spans)-1].compare(b) })
	if i = min(i, len(r.blocks)-1); i < 0 {
		return 0, 0, false
	}
	j, found = slices.BinarySearchFunc(r.blocks[i].spans, b, between.compare)
	return i, j, found
}

func (r *ranges) add(b between, p *posting) {
	i, j, found := r.find(b)
	if len(r.blocks) == 0 {
		r.blocks, r.bounds = []block{{}}, []between{{}}
	}
	k := &r.blocks[i]
	if !found {
		k.spans = slices.Insert(k.spans, j, b)
		k.lists = slices.Insert(k.lists, j, nil)
	}
	k.lists[j].add(p)
	r.bounds[i] = k.bounds()
	if len(k.spans) <= blockSize {
		return
	}
	const half = blockSize / 2
	upper := block{slices.Clone(k.spans[half:]), slices.Clone(k.lists[half:])}
	clear(k.lists[half:])
	k.spans, k.lists = k.spans[:half], k.lists[:half]
	r.bounds[i] = k.bounds()
	r.blocks = slices.Insert(r.blocks, i+1, upper)
	r.bounds = slices.Insert(r.bounds, i+1, upper.bounds())
}

func (r *ranges) remove(b between, p *posting) {
	i, j, _ := r.find(b)
	k := &r.blocks[i]
	if k.lists[j].remove(p); len(k.lists[j]) > 0 {
		return
	}
	k.spans = slices.Delete(k.spans, j, j+1)
	k.lists = slices.Delete(k.lists, j, j+1)
	if len(k.spans) > 0 {
		r.bounds[i] = k.bounds()
		return
	}
	r.blocks = slices.Delete(r.blocks, i, i+1)
	r.bounds = slices.Delete(r.bounds, i, i+1)
}

func (k *block) bounds() between {
	all := k.spans[0]
	for _, b := range k.spans {
		all.hi = max(all.hi, b.hi)
	}
	return all
}

// visit calls look for each range that contains n until it returns false.
func (r *ranges) visit(n int64, look func(list) bool) {
	for i, b := range r.bounds {
		if b.lo > n {
			return
		}
		if b.hi < n {
			continue
		}
		for j, b := range r.blocks[i].spans {
			if b.lo > n {
				return
			}
			if b.hi >= n && !look(r.blocks[i].lists[j]) {
				return
			}
		}
	}
}

// crowd is how many postings hang on ranges that contain the middle of b, or
// enough to know that they are many.
func (r *ranges) crowd(b between) (n int) {
	r.visit(b.lo+(b.hi-b.lo)/2, func(l list) bool {
		n += len(l)
		return n < 256
	})
	return n
}
