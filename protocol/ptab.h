/*
 * ptab.h - numbered tables of a connection that only grow: ACLs and attribute lists.
 *
 * Items never move, and neither do the places that lead to them: a thread that was handed
 * an index may look it up while the owner adds further items.
 */
#ifndef PROTOCOL_PTAB_H
#define PROTOCOL_PTAB_H

#include "base/mem.h"

#define PTAB_CHUNKS 25                 /* the last holds 2^30 items */

struct ptab {
	void **chunk[PTAB_CHUNKS];     /* chunk k has room for 64 << k */
	uint32_t count;
	uint32_t *slot;                /* ptab_find: index + 1 by hash; 0: free */
	uint64_t *hash;                /* of slot */
	size_t slots, used;
};

/* Appends; the index, or -1 when over budget. */
int32_t ptab_add(struct ptab *t, struct budget *b, void *item);
void *ptab_get(const struct ptab *t, uint32_t index);   /* index < count */
void ptab_free(struct ptab *t, struct budget *b);

/* Index of the item under hash for which same() holds, -1 if there is none. */
int32_t ptab_find(const struct ptab *t, uint64_t hash, bool (*same)(const void *item, const void *key), const void *key);

/* Lets ptab_find find an item; -1 when over budget. */
int ptab_index(struct ptab *t, struct budget *b, uint64_t hash, int32_t index);

#endif
