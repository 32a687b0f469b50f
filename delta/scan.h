/*
 * scan.h - rolling over unmatched data (inside this room): the search's inner loop.
 */
#ifndef DELTA_SCAN_H
#define DELTA_SCAN_H

#include "delta/block_index.h"
#include "delta/rolling.h"

#define CHAIN_MAX 1024u        /* candidates looked at per offset (spec 03 §11.2) */

/*
 * Examines the offsets *pos … n of p (bytes up to p[n + w->len - 1] are read); w holds the sum of the window at
 * *pos. True: the index has a block with the weak sum of *pos, and w is the window there. False: none up to n;
 * *pos is n and w is there. Chain steps are taken off *effort; when it reaches 0 the scan stops early with false.
 */
bool block_scan(const struct block_index *ix, struct weak_roll *w, const uint8_t *p, size_t *pos, size_t n, uint64_t *effort);

/* The implementations, for tests: scalar, and avx2 where usable. */
typedef bool block_scan_fn(const struct block_index *ix, struct weak_roll *w, const uint8_t *p, size_t *pos, size_t n, uint64_t *effort);
extern block_scan_fn *const block_scan_impls[2];
bool block_scan_usable(unsigned i);

#endif
