//go:build race

package queuetest

// Slowdown is by how much tests with large crowds, of other packages too, make
// them smaller under the race detector, where everything takes about ten times
// as long.
const Slowdown = 10

// Shards are the numbers of shards tests run at: one, of many, for the code is
// the same.
func Shards() []int { return []int{4} }
