/*
 * xxh.h - the XXH3 family compiled from the library's header, once per vector unit.
 *
 * Calls through the shared library cost a jump and, in many builds, know SSE2 only.
 */
#ifndef DELTA_XXH_H
#define DELTA_XXH_H

#include "base/util.h"

#define XXH_STATE_SIZE 576     /* of XXH3_state_t; aligned to 64 */

struct xxh_ops {
	uint64_t (*h64)(const void *data, size_t len, uint64_t seed);      /* XXH3_64bits */
	void (*h128)(const void *data, size_t len, uint64_t seed, uint8_t out[16]); /* low half first, little-endian */
	void (*reset)(void *state);                                        /* seed 0, for either width */
	void (*update64)(void *state, const void *data, size_t len);
	void (*update128)(void *state, const void *data, size_t len);
	uint64_t (*final64)(const void *state);
	void (*final128)(const void *state, uint8_t out[16]);
};

extern const struct xxh_ops xxh_base;
#if defined(__x86_64__) && defined(__GNUC__)
#define HAVE_XXH_AVX2 1
extern const struct xxh_ops xxh_avx2;      /* only where the CPU has AVX2 */
#else
#define HAVE_XXH_AVX2 0
#endif

#endif
