//go:build !race

package topics_test

const slowdown = 1
