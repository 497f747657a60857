//go:build !race

package queuetest

// Slowdown is by how much tests make large crowds smaller: not at all.
const Slowdown = 1

// Shards are the numbers of shards tests run at.
func Shards() []int { return []int{1, 8} }
