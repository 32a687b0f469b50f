/*
 * ids.c - sets of ids and of inodes, inline id names, and the id lists of spec 02 §6.
 */
#include "config.h"
#include "protocol/flist_priv.h"

#define ID_LIST_MAX 65536
#define ID_NAME_MAX 255

static uint64_t mix(uint64_t x, uint64_t seed)
{
	x = (x ^ seed) * UINT64_C(0x9e3779b97f4a7c15);
	x ^= x >> 32;
	return x * UINT64_C(0xd6e8feb86659fd93) ^ seed >> 7;
}

static int u32set_rehash(struct u32set *s, struct budget *b, uint64_t seed)
{
	size_t n = s->slots ? s->slots * 2 : 64;
	uint32_t *slot = mem_zalloc(b, n, sizeof *slot);

	if (!slot)
		return -1;
	for (size_t i = 0; i < s->count; i++) {
		size_t at = mix(s->order[i], seed) >> 20 & (n - 1);

		while (slot[at])
			at = (at + 1) & (n - 1);
		slot[at] = (uint32_t)i + 1;
	}
	mem_free(b, s->slot);
	s->slot = slot;
	s->slots = n;
	return 0;
}

int u32set_add(struct u32set *s, struct budget *b, uint32_t v, uint64_t seed)
{
	uint32_t *order;
	size_t at;

	if (s->count * 2 >= s->slots && u32set_rehash(s, b, seed) < 0)
		return -1;
	at = mix(v, seed) >> 20 & (s->slots - 1);
	while (s->slot[at]) {
		if (s->order[s->slot[at] - 1] == v)
			return 0;
		at = (at + 1) & (s->slots - 1);
	}
	order = mem_grow(b, s->order, &s->cap, s->count + 1, sizeof *order);
	if (!order)
		return -1;
	s->order = order;
	order[s->count++] = v;
	s->slot[at] = (uint32_t)s->count;
	return 1;
}

void u32set_free(struct u32set *s, struct budget *b)
{
	mem_free(b, s->order);
	mem_free(b, s->slot);
	*s = (struct u32set){ 0 };
}

static int inomap_rehash(struct inomap *m, struct budget *b, uint64_t seed)
{
	size_t n = m->slots ? m->slots * 2 : 64;
	struct inode *slot = mem_alloc(b, n, sizeof *slot);

	if (!slot)
		return -1;
	for (size_t i = 0; i < n; i++)
		slot[i].group = -1;
	for (size_t i = 0; i < m->slots; i++) {
		const struct inode *o = &m->slot[i];
		size_t at;

		if (o->group < 0)
			continue;
		at = mix(o->ino + mix(o->dev, seed), seed) >> 20 & (n - 1);
		while (slot[at].group >= 0)
			at = (at + 1) & (n - 1);
		slot[at] = *o;
	}
	mem_free(b, m->slot);
	m->slot = slot;
	m->slots = n;
	return 0;
}

struct inode *inomap_place(struct inomap *m, struct budget *b, uint64_t dev, uint64_t ino, uint64_t seed)
{
	size_t at;

	if (m->count * 4 >= m->slots * 3 && inomap_rehash(m, b, seed) < 0)
		return NULL;
	at = mix(ino + mix(dev, seed), seed) >> 20 & (m->slots - 1);
	while (m->slot[at].group >= 0) {
		if (m->slot[at].ino == ino && m->slot[at].dev == dev)
			return &m->slot[at];
		at = (at + 1) & (m->slots - 1);
	}
	m->count++;
	m->slot[at] = (struct inode){ .dev = dev, .ino = ino, .group = -1 };
	return &m->slot[at];
}

void inomap_free(struct inomap *m, struct budget *b)
{
	mem_free(b, m->slot);
	*m = (struct inomap){ 0 };
}

void flist_read_id_name(struct rd *r, char *name)
{
	size_t len = rd_u8(r);

	rd_bytes(r, name, len);
	name[r->failed ? 0 : len] = '\0';
	for (const char *p = name; *p; p++) {
		if ((uint8_t)*p < 0x20 || *p == 0x7f) {
			rd_fail(r, RX_PROTOCOL, "control byte in a user or group name");
			*name = '\0';
			return;
		}
	}
}

void flist_id_named(struct flist_set *s, struct rd *r, bool is_group, uint32_t id, const char *name)
{
	struct u32set *set = is_group ? &s->groups : &s->users;
	int added;

	if (r->failed || !*name)
		return;
	added = u32set_add(set, s->budget, id, s->seed);
	if (added < 0)
		rd_fail(r, RX_MALLOC, "exceeded the memory limit in the list of %s ids", is_group ? "group" : "user");
	else if (set->count > ID_LIST_MAX)
		rd_fail(r, RX_PROTOCOL, "more than %d %s names", ID_LIST_MAX, is_group ? "group" : "user");
	else if (s->on_id)
		s->on_id(s->on_id_ctx, is_group, id, name);
}

static void read_list(struct flist_set *s, struct rd *r, bool is_group)
{
	char name[ID_NAME_MAX + 1];

	for (unsigned n = 0; !r->failed; n++) {
		uint32_t id = (uint32_t)rd_varint30(r, s->fmt.proto);

		if (!id)
			break;
		if (n == ID_LIST_MAX) {
			rd_fail(r, RX_PROTOCOL, "more than %d %s names", ID_LIST_MAX, is_group ? "group" : "user");
			return;
		}
		flist_read_id_name(r, name);
		flist_id_named(s, r, is_group, id, name);
	}
	if (s->fmt.id0_names) {
		flist_read_id_name(r, name);
		flist_id_named(s, r, is_group, 0, name);
	}
}

static bool have_lists(const struct flist_set *s)
{
	return !s->fmt.inc_recurse && !s->fmt.numeric_ids;
}

void ids_read_lists(struct flist_set *s, struct rd *r)
{
	if (have_lists(s) && (s->fmt.uid || s->fmt.acls))
		read_list(s, r, false);
	if (have_lists(s) && (s->fmt.gid || s->fmt.acls))
		read_list(s, r, true);
}

static void write_name(struct wr *w, const char *name)
{
	size_t len = name ? strnlen(name, ID_NAME_MAX) : 0;

	wr_u8(w, (uint8_t)len);
	wr_bytes(w, name ? name : "", len);
}

static const char *name_of(const struct flist_set *s, bool is_group, uint32_t id)
{
	const char *name = s->name_of ? s->name_of(s->name_ctx, is_group, id) : NULL;

	return name && *name ? name : NULL;
}

/* Latest first: the order of the stock sender. */
static void write_list(struct flist_set *s, struct wr *w, bool is_group)
{
	const struct u32set *set = is_group ? &s->groups : &s->users;

	for (size_t i = s->fmt.no_names ? 0 : set->count; i--;) {
		uint32_t id = set->order[i];
		const char *name = id ? name_of(s, is_group, id) : NULL;

		if (name) {
			wr_varint30(w, s->fmt.proto, (int32_t)id);
			write_name(w, name);
		}
	}
	wr_varint30(w, s->fmt.proto, 0);
	if (s->fmt.id0_names)
		write_name(w, name_of(s, is_group, 0));
}

void ids_write_lists(struct flist_set *s, struct wr *w)
{
	if (have_lists(s) && (s->fmt.uid || s->fmt.acls))
		write_list(s, w, false);
	if (have_lists(s) && (s->fmt.gid || s->fmt.acls))
		write_list(s, w, true);
}

const char *ids_use(struct flist_set *s, bool is_group, uint32_t id, bool *nomem)
{
	int added;

	if (s->fmt.numeric_ids || s->fmt.no_names)
		return NULL;
	added = u32set_add(is_group ? &s->groups : &s->users, s->budget, id, s->seed);
	if (added < 0)
		*nomem = true;
	return added > 0 && s->fmt.inc_recurse ? name_of(s, is_group, id) : NULL;
}

const char *flist_id_inline(struct flist_set *s, bool is_group, uint32_t id)
{
	bool nomem = false;

	return ids_use(s, is_group, id, &nomem);
}

void flist_on_id(struct flist_set *s, flist_id_fn *fn, void *ctx)
{
	s->on_id = fn;
	s->on_id_ctx = ctx;
}

void flist_name_source(struct flist_set *s, flist_name_fn *fn, void *ctx)
{
	s->name_of = fn;
	s->name_ctx = ctx;
}
