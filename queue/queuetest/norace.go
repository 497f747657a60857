//go:build !race

package queuetest

// Slowdown is by how much tests make large crowds smaller: not at all.
const Slowdown = 1
