//go:build !race

package queue_test

const slowdown = 1
