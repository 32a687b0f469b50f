/*
 * xxh_body.h - the functions of struct xxh_ops; included by xxh_base.c and xxh_avx2.c,
 * which say for which vector unit.
 */
#define XXH_INLINE_ALL
#define XXH_STATIC_LINKING_ONLY
#include <xxhash.h>

_Static_assert(sizeof(XXH3_state_t) == XXH_STATE_SIZE, "XXH3 state size");

static uint64_t h64(const void *data, size_t len, uint64_t seed)
{
	return XXH3_64bits_withSeed(data, len, seed);
}

static void put128(uint8_t out[16], XXH128_hash_t h)
{
	put_le64(out, h.low64);
	put_le64(out + 8, h.high64);
}

static void h128(const void *data, size_t len, uint64_t seed, uint8_t out[16])
{
	put128(out, XXH3_128bits_withSeed(data, len, seed));
}

static void reset(void *state)
{
	XXH3_128bits_reset(state);
}

static void update64(void *state, const void *data, size_t len)
{
	XXH3_64bits_update(state, data, len);
}

static void update128(void *state, const void *data, size_t len)
{
	XXH3_128bits_update(state, data, len);
}

static uint64_t final64(const void *state)
{
	return XXH3_64bits_digest(state);
}

static void final128(const void *state, uint8_t out[16])
{
	put128(out, XXH3_128bits_digest(state));
}

#define XXH_OPS { h64, h128, reset, update64, update128, final64, final128 }
