//go:build !race

package queuetest

const fewer = 1
