//go:build linux

package queue

/*
#include <stdlib.h>
#ifdef __GLIBC__
#include <malloc.h>

// Pebble has its blocks from the C library, and glibc gives each thread an arena,
// up to eight a core, which keeps what is freed in pieces too small for the next
// block: a cache of 32 MiB held 143 MiB, and in one arena 26. It is set before
// the first thread, as one that has an arena stays with it.
__attribute__((constructor)) static void one_arena(void) { mallopt(M_ARENA_MAX, 1); }
#endif
*/
import "C"
