//go:build race

package topics_test

// slowdown is how much smaller the large tests are under the race detector,
// where everything takes about ten times as long.
const slowdown = 5
