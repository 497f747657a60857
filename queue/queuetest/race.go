//go:build race

package queuetest

// fewer is how much smaller the largest crowds are under the race detector,
// where everything takes about ten times as long.
const fewer = 5
