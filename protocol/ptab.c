/*
 * ptab.c - numbered tables that only grow.
 */
#include "config.h"
#include "protocol/ptab.h"

#define FIRST_BITS 6                   /* chunk 0 holds 64 */

static unsigned chunk_of(uint32_t index, uint32_t *at)
{
	unsigned bits = 31 - (unsigned)__builtin_clz((index >> FIRST_BITS) + 1);

	*at = index - (((1u << bits) - 1) << FIRST_BITS);
	return bits;
}

int32_t ptab_add(struct ptab *t, struct budget *b, void *item)
{
	uint32_t at;
	unsigned k = chunk_of(t->count, &at);

	if (k >= PTAB_CHUNKS)
		return -1;
	if (!t->chunk[k]) {
		t->chunk[k] = mem_alloc(b, (size_t)1 << (FIRST_BITS + k), sizeof *t->chunk[k]);
		if (!t->chunk[k])
			return -1;
	}
	t->chunk[k][at] = item;
	return (int32_t)t->count++;
}

void *ptab_get(const struct ptab *t, uint32_t index)
{
	uint32_t at;
	unsigned k = chunk_of(index, &at);

	return t->chunk[k][at];
}

void ptab_free(struct ptab *t, struct budget *b)
{
	for (unsigned k = 0; k < PTAB_CHUNKS; k++)
		mem_free(b, t->chunk[k]);
	mem_free(b, t->slot);
	mem_free(b, t->hash);
	*t = (struct ptab){ 0 };
}

int32_t ptab_find(const struct ptab *t, uint64_t hash, bool (*same)(const void *item, const void *key), const void *key)
{
	if (!t->slots)
		return -1;
	for (size_t at = hash & (t->slots - 1); t->slot[at]; at = (at + 1) & (t->slots - 1))
		if (t->hash[at] == hash && same(ptab_get(t, t->slot[at] - 1), key))
			return (int32_t)(t->slot[at] - 1);
	return -1;
}

static void place(struct ptab *t, uint64_t hash, uint32_t value)
{
	size_t at = hash & (t->slots - 1);

	while (t->slot[at])
		at = (at + 1) & (t->slots - 1);
	t->slot[at] = value;
	t->hash[at] = hash;
}

static int rehash(struct ptab *t, struct budget *b)
{
	struct ptab old = *t;
	size_t n = t->slots ? t->slots * 2 : 64;

	t->slot = mem_zalloc(b, n, sizeof *t->slot);
	t->hash = mem_alloc(b, n, sizeof *t->hash);
	if (!t->slot || !t->hash) {
		mem_free(b, t->slot);
		mem_free(b, t->hash);
		t->slot = old.slot;
		t->hash = old.hash;
		return -1;
	}
	t->slots = n;
	for (size_t i = 0; i < old.slots; i++)
		if (old.slot[i])
			place(t, old.hash[i], old.slot[i]);
	mem_free(b, old.slot);
	mem_free(b, old.hash);
	return 0;
}

int ptab_index(struct ptab *t, struct budget *b, uint64_t hash, int32_t index)
{
	if ((t->used + 1) * 2 > t->slots && rehash(t, b) < 0)
		return -1;
	place(t, hash, (uint32_t)index + 1);
	t->used++;
	return 0;
}
