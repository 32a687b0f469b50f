/*
 * acl_wire.c - ACL blocks of file-list entries (spec 02 §15).
 */
#include "config.h"
#include "protocol/acl_wire.h"

#include <stdlib.h>
#include <xxhash.h>

#include "base/say.h"
#include "protocol/ptab.h"

/* Bits of the word that follows an id. */
enum { NAME_FOLLOWS = 1, IS_USER = 2, PERM_SHIFT = 2 };

struct held {
	struct acl acl;
	int32_t number;                /* sending: on the wire, from 1; 0 until it was sent */
};

struct table {
	struct ptab items;             /* struct held */
	int32_t sent;                  /* literals so far */
	int32_t empty;                 /* sending: index of the ACL without anything, -1 until it is needed */
	uint32_t mapped;               /* acl_map_ids: items done */
};

struct acl_tables {
	struct flist_set *set;
	struct budget *budget;
	struct arena *arena;
	struct table kind[2];          /* access, default */
	struct acl_name *names;        /* of the ACL being read or sorted */
	size_t names_cap;
};

struct acl_tables *acl_tables_new(struct flist_set *set, struct budget *budget)
{
	struct acl_tables *t = mem_zalloc(budget, 1, sizeof *t);

	if (!t)
		return NULL;
	t->set = set;
	t->budget = budget;
	t->kind[0].empty = t->kind[1].empty = -1;
	t->arena = arena_new_growing(budget, 1024);
	if (!t->arena) {
		mem_free(budget, t);
		return NULL;
	}
	return t;
}

void acl_tables_free(struct acl_tables *t)
{
	if (!t)
		return;
	for (int i = 0; i < 2; i++)
		ptab_free(&t->kind[i].items, t->budget);
	arena_free(t->arena);
	mem_free(t->budget, t->names);
	mem_free(t->budget, t);
}

/* Copies acl into the table; -1 when over budget. */
static int32_t keep(struct acl_tables *t, struct table *k, const struct acl *acl)
{
	struct held *h = arena_alloc(t->arena, sizeof *h, _Alignof(struct held));

	if (!h)
		return -1;
	*h = (struct held){ .acl = *acl };
	h->acl.names = NULL;
	if (acl->count) {
		h->acl.names = arena_alloc(t->arena, acl->count * sizeof *acl->names, _Alignof(struct acl_name));
		if (!h->acl.names)
			return -1;
		memcpy(h->acl.names, acl->names, acl->count * sizeof *acl->names);
	}
	return ptab_add(&k->items, t->budget, h);
}

static bool is_empty(const struct acl *a) { return !a->flags; }

/* ---- receiving ---- */

static int nomem(struct rd *r)
{
	return rd_fail(r, RX_MALLOC, "exceeded the memory limit in the list of ACLs");
}

static uint8_t read_perm(struct rd *r, uint32_t v)
{
	if (v > 7) {
		rd_fail(r, RX_STREAMIO, "recv_acl_access: value out of range: %x", (unsigned)v);
		return 0;
	}
	return (uint8_t)v;
}

static int read_name(struct acl_tables *t, struct rd *r, struct acl_name *n)
{
	char name[256];
	uint32_t x;

	n->id = (uint32_t)rd_varint(r);
	x = (uint32_t)rd_varint(r);
	n->is_user = x & IS_USER;
	n->perm = read_perm(r, x >> PERM_SHIFT);
	if (x & NAME_FOLLOWS && !r->failed) {
		flist_read_id_name(r, name);
		flist_id_named(t->set, r, !n->is_user, n->id, name);
	}
	return r->failed ? -1 : 0;
}

/* Room grows with what has arrived, not with what was announced. */
static int read_names(struct acl_tables *t, struct rd *r, struct acl *a)
{
	int32_t count = rd_varint(r);

	if (count < 0 || count > ACL_NAMES_MAX)
		return rd_fail(r, RX_PROTOCOL, "wire value ACL count out of range: %d not in [0,%d] [%s]", count,
			       ACL_NAMES_MAX, say_role());
	while (a->count < (uint32_t)count && !r->failed) {
		struct acl_name *v = mem_grow(t->budget, t->names, &t->names_cap, a->count + 1, sizeof *v);

		if (!v)
			return nomem(r);
		t->names = v;
		if (read_name(t, r, &v[a->count]) < 0)
			return -1;
		a->count++;
	}
	a->names = t->names;
	if (a->count)
		a->flags |= ACLW_NAMES;
	return r->failed ? -1 : 0;
}

static void compute_mask(struct acl *a, bool is_default, uint16_t mode)
{
	uint8_t m = a->flags & ACLW_GROUP_OBJ ? a->group_obj : 0;

	if (!a->count || a->flags & ACLW_MASK_OBJ)
		return;
	for (uint32_t i = 0; i < a->count; i++)
		m |= a->names[i].perm;
	a->mask_obj = is_default ? m : mode >> 3 & 7;
	a->flags |= ACLW_MASK_OBJ;
}

static int32_t read_literal(struct acl_tables *t, struct rd *r, struct table *k, uint16_t mode)
{
	bool is_default = k == &t->kind[1];
	uint8_t flags = rd_u8(r);
	struct acl a = { .flags = flags & (ACLW_USER_OBJ | ACLW_GROUP_OBJ | ACLW_MASK_OBJ | ACLW_OTHER_OBJ) };
	int32_t index;

	if (flags & ACLW_USER_OBJ)
		a.user_obj = read_perm(r, (uint32_t)rd_varint(r));
	if (flags & ACLW_GROUP_OBJ)
		a.group_obj = read_perm(r, (uint32_t)rd_varint(r));
	if (flags & ACLW_MASK_OBJ)
		a.mask_obj = read_perm(r, (uint32_t)rd_varint(r));
	if (flags & ACLW_OTHER_OBJ)
		a.other_obj = read_perm(r, (uint32_t)rd_varint(r));
	if (flags & ACLW_NAMES && read_names(t, r, &a) < 0)
		return -1;
	if (r->failed)
		return -1;
	compute_mask(&a, is_default, mode);
	index = keep(t, k, &a);
	if (index < 0)
		nomem(r);
	return index;
}

static int32_t read_block(struct acl_tables *t, struct rd *r, struct table *k, uint16_t mode)
{
	int32_t i = rd_varint(r);

	if (i < 0 || (uint32_t)i > k->items.count) {
		rd_fail(r, RX_STREAMIO, "recv_acl_index: %s ACL index %d > %u",
			k == &t->kind[0] ? "ACL_TYPE_ACCESS" : "ACL_TYPE_DEFAULT", i, k->items.count);
		return -1;
	}
	if (r->failed)
		return -1;
	i = i ? i - 1 : read_literal(t, r, k, mode);
	return i < 0 || is_empty(&((struct held *)ptab_get(&k->items, (uint32_t)i))->acl) ? -1 : i;
}

void acl_read(struct acl_tables *t, struct rd *r, const struct fent *e, struct fext *x)
{
	x->acl_access = read_block(t, r, &t->kind[0], e->mode);
	if (FENT_IS_DIR(e))
		x->acl_default = read_block(t, r, &t->kind[1], e->mode);
}

const struct acl *acl_get(const struct acl_tables *t, bool is_default, int32_t index)
{
	return index < 0 ? NULL : &((struct held *)ptab_get(&t->kind[is_default].items, (uint32_t)index))->acl;
}

void acl_map_ids(struct acl_tables *t, uint32_t (*fn)(void *ctx, bool is_group, uint32_t id), void *ctx)
{
	for (int i = 0; i < 2; i++) {
		struct table *k = &t->kind[i];

		for (; k->mapped < k->items.count; k->mapped++) {
			struct acl *a = &((struct held *)ptab_get(&k->items, k->mapped))->acl;

			for (uint32_t n = 0; n < a->count; n++)
				a->names[n].id = fn(ctx, !a->names[n].is_user, a->names[n].id);
		}
	}
}

/* ---- sending ---- */

static int by_kind_and_id(const void *pa, const void *pb)
{
	const struct acl_name *a = pa, *b = pb;

	if (a->is_user != b->is_user)
		return a->is_user ? -1 : 1;
	return (a->id > b->id) - (a->id < b->id);
}

static bool same_names(const struct acl *a, const struct acl *b)
{
	for (uint32_t i = 0; i < a->count; i++)
		if (a->names[i].id != b->names[i].id || a->names[i].perm != b->names[i].perm ||
		    a->names[i].is_user != b->names[i].is_user)
			return false;
	return true;
}

/* What is not there by the flags is zero in both. */
static bool same_acl(const void *item, const void *key)
{
	const struct acl *a = &((const struct held *)item)->acl, *b = key;

	return a->flags == b->flags && a->user_obj == b->user_obj && a->group_obj == b->group_obj &&
	       a->mask_obj == b->mask_obj && a->other_obj == b->other_obj && a->count == b->count && same_names(a, b);
}

static uint64_t hash_acl(const struct acl_tables *t, const struct acl *a)
{
	uint64_t h = XXH3_64bits_withSeed((const uint8_t[]){ a->flags, a->user_obj, a->group_obj, a->mask_obj, a->other_obj }, 5,
					  (uintptr_t)t);

	for (uint32_t i = 0; i < a->count; i++) {
		const uint32_t v[2] = { a->names[i].id, (uint32_t)a->names[i].perm << 1 | a->names[i].is_user };

		h = XXH3_64bits_withSeed(v, sizeof v, h);
	}
	return h;
}

int32_t acl_add(struct acl_tables *t, bool is_default, const struct acl *acl)
{
	struct table *k = &t->kind[is_default];
	struct acl a = {
		.flags = acl->flags & (ACLW_USER_OBJ | ACLW_GROUP_OBJ | ACLW_MASK_OBJ | ACLW_OTHER_OBJ),
		.user_obj = acl->flags & ACLW_USER_OBJ ? acl->user_obj : 0,
		.group_obj = acl->flags & ACLW_GROUP_OBJ ? acl->group_obj : 0,
		.mask_obj = acl->flags & ACLW_MASK_OBJ ? acl->mask_obj : 0,
		.other_obj = acl->flags & ACLW_OTHER_OBJ ? acl->other_obj : 0,
		.count = acl->count,
	};
	struct acl_name *v;
	uint64_t hash;
	int32_t index;

	if (acl->count) {
		v = mem_grow(t->budget, t->names, &t->names_cap, acl->count, sizeof *v);
		if (!v)
			return -1;
		t->names = a.names = v;
		memcpy(v, acl->names, acl->count * sizeof *v);
		qsort(v, a.count, sizeof *v, by_kind_and_id);
		a.flags |= ACLW_NAMES;
	}
	hash = hash_acl(t, &a);
	index = ptab_find(&k->items, hash, same_acl, &a);
	if (index >= 0)
		return index;
	index = keep(t, k, &a);
	return index >= 0 && ptab_index(&k->items, t->budget, hash, index) < 0 ? -1 : index;
}

static size_t put_varint(struct wr *w, uint32_t v)
{
	wr_varint(w, (int32_t)v);
	return wr_varint_len((int32_t)v);
}

static size_t write_name(struct acl_tables *t, struct wr *w, const struct acl_name *n)
{
	const char *name = flist_id_inline(t->set, !n->is_user, n->id);
	size_t len = name ? strnlen(name, 255) : 0;
	size_t bytes = put_varint(w, n->id);

	bytes += put_varint(w, (uint32_t)n->perm << PERM_SHIFT | (n->is_user ? IS_USER : 0) | (len ? NAME_FOLLOWS : 0));
	if (!len)
		return bytes;
	wr_u8(w, (uint8_t)len);
	wr_bytes(w, name, len);
	return bytes + 1 + len;
}

static size_t write_literal(struct acl_tables *t, struct wr *w, const struct acl *a)
{
	size_t bytes = 1;

	wr_u8(w, a->flags);
	if (a->flags & ACLW_USER_OBJ)
		bytes += put_varint(w, a->user_obj);
	if (a->flags & ACLW_GROUP_OBJ)
		bytes += put_varint(w, a->group_obj);
	if (a->flags & ACLW_MASK_OBJ)
		bytes += put_varint(w, a->mask_obj);
	if (a->flags & ACLW_OTHER_OBJ)
		bytes += put_varint(w, a->other_obj);
	if (a->flags & ACLW_NAMES) {
		bytes += put_varint(w, a->count);
		for (uint32_t i = 0; i < a->count; i++)
			bytes += write_name(t, w, &a->names[i]);
	}
	return bytes;
}

static size_t write_block(struct acl_tables *t, struct wr *w, bool is_default, int32_t index)
{
	struct table *k = &t->kind[is_default];
	struct held *h;

	if (index < 0) {
		if (k->empty < 0)
			k->empty = acl_add(t, is_default, &(struct acl){ 0 });
		index = k->empty;
	}
	if (index < 0) {
		wr_fail(w, RX_MALLOC, "exceeded the memory limit in the list of ACLs");
		return 0;
	}
	h = ptab_get(&k->items, (uint32_t)index);
	if (h->number)
		return put_varint(w, (uint32_t)h->number);
	h->number = ++k->sent;
	return put_varint(w, 0) + write_literal(t, w, &h->acl);
}

size_t acl_write(struct acl_tables *t, struct wr *w, const struct fent *e)
{
	size_t bytes = write_block(t, w, false, e->ext ? e->ext->acl_access : -1);

	if (FENT_IS_DIR(e))
		bytes += write_block(t, w, true, e->ext ? e->ext->acl_default : -1);
	return bytes;
}
