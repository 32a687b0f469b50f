/*
 * block_index.h - from a weak sum to the peer's blocks that have it (inside this room).
 *
 * Full-length blocks only: a shorter last block can match only at the very end of the source. A small
 * Bloom filter (one word per sum, two bits in it) answers "none" for nearly every offset of unmatched data in one
 * load; behind it are chains. Blocks equal in
 * both sums are kept once, so that a basis full of zeros has chains of one.
 */
#ifndef DELTA_BLOCK_INDEX_H
#define DELTA_BLOCK_INDEX_H

#include "delta/sums.h"

#define INDEX_NONE UINT32_MAX

struct block_index {
	struct budget *budget;
	uint32_t *heads, *next;        /* block numbers, INDEX_NONE ends a chain */
	uint32_t *seen;                /* filter words, two bits set per block */
	const uint32_t *weak;          /* of the sums it was built over */
	size_t heads_cap, next_cap, seen_cap;
	unsigned head_shift, seen_shift;
	uint32_t count;                /* full-length blocks */
};

/* Of equal blocks the first is kept, or with keep_last the last (best when the basis is overwritten from the
   front). -1: no memory (nothing is said; the caller can send literals). */
int block_index_build(struct block_index *ix, const struct sums *s, bool keep_last) NODISCARD;
void block_index_free(struct block_index *ix);

#define BLOCK_HASH 0x9e3779b1u

static inline uint32_t block_hash(uint32_t weak)
{
	return weak * BLOCK_HASH;
}

/* Where in its filter word a sum has its two bits: five bits each of this value. The constant keeps the two apart
   for the sums of runs of one byte. */
#define BLOCK_BITS_MIX 0x2a0u

static inline uint32_t block_bits(uint32_t weak)
{
	return weak ^ weak >> 16 ^ BLOCK_BITS_MIX;
}

static inline bool block_index_maybe(const struct block_index *ix, uint32_t weak)
{
	uint32_t w = ix->seen[block_hash(weak) >> ix->seen_shift], b = block_bits(weak);

	return w >> (b & 31) & w >> (b >> 5 & 31) & 1;
}

/* First block of the chain that weak belongs to. */
static inline uint32_t block_index_head(const struct block_index *ix, uint32_t weak)
{
	return ix->heads[block_hash(weak) >> ix->head_shift];
}

#endif
