//go:build race

package queue_test

// slowdown is how much less the tests that repeat themselves repeat under the
// race detector, where everything takes about ten times as long.
const slowdown = 5
