/*
 * block_index.c - hash chains and filter over block sums.
 */
#include "config.h"
#include "delta/block_index.h"

#define EQUAL_WALK 32          /* chain steps spent to find an equal block; bounds building */

/* log2 of the smallest power of two >= n, within [low, high]. */
static unsigned bits_for(uint64_t n, unsigned low, unsigned high)
{
	unsigned b = low;

	while (b < high && (uint64_t)1 << b < n)
		b++;
	return b;
}

static int make_room(struct block_index *ix, unsigned head_bits, unsigned word_bits)
{
	size_t heads = (size_t)1 << head_bits, seen = (size_t)1 << word_bits;
	uint32_t *h = mem_grow(ix->budget, ix->heads, &ix->heads_cap, heads, sizeof *h), *n;
	uint32_t *s;

	if (!h)
		return -1;
	ix->heads = h;
	n = mem_grow(ix->budget, ix->next, &ix->next_cap, ix->count, sizeof *n);
	if (!n)
		return -1;
	ix->next = n;
	s = mem_grow(ix->budget, ix->seen, &ix->seen_cap, seen, sizeof *s);
	if (!s)
		return -1;
	ix->seen = s;
	memset(h, 0xff, heads * sizeof *h);
	memset(s, 0, seen * sizeof *s);
	return 0;
}

static void insert(struct block_index *ix, const struct sums *s, uint32_t i)
{
	uint32_t s2 = s->head.s2length, h = block_hash(s->weak[i]), bits = block_bits(s->weak[i]);
	uint32_t *head = &ix->heads[h >> ix->head_shift];
	unsigned walk = EQUAL_WALK;

	for (uint32_t b = *head; b != INDEX_NONE && walk; b = ix->next[b], walk--) {
		if (s->weak[b] == s->weak[i] &&
		    !memcmp(s->strong + (size_t)b * s2, s->strong + (size_t)i * s2, s2))
			return;
	}
	ix->next[i] = *head;
	*head = i;
	ix->seen[h >> ix->seen_shift] |= 1u << (bits & 31) | 1u << (bits >> 5 & 31);
}

int block_index_build(struct block_index *ix, const struct sums *s, bool keep_last)
{
	const struct sum_head *h = &s->head;
	unsigned head_bits, word_bits;

	ix->count = h->count - (h->count && h->remainder && h->remainder < h->blength);
	head_bits = bits_for(ix->count, 8, 24);
	/* Two words per block while that stays in a core's cache, half a word beyond. */
	word_bits = bits_for((uint64_t)ix->count * 2, 8, 17);
	word_bits = MAX(word_bits, bits_for(ix->count / 2, 8, 22));
	if (ix->next_cap > 65536 && ix->count < ix->next_cap / 16)
		block_index_free(ix);
	if (make_room(ix, head_bits, word_bits) < 0)
		return -1;
	ix->weak = s->weak;
	ix->head_shift = 32 - head_bits;
	ix->seen_shift = 32 - word_bits;
	for (uint32_t i = 0; i < ix->count; i++)
		insert(ix, s, keep_last ? ix->count - 1 - i : i);
	return 0;
}

void block_index_free(struct block_index *ix)
{
	uint32_t count = ix->count;

	mem_free(ix->budget, ix->heads);
	mem_free(ix->budget, ix->next);
	mem_free(ix->budget, ix->seen);
	*ix = (struct block_index){ .budget = ix->budget, .count = count };
}
