/*
 * xattr_wire.c - extended attributes in file-list entries and in items (spec 02 §16).
 */
#include "config.h"
#include "protocol/xattr_wire.h"

#include <pthread.h>
#include <stdatomic.h>
#include <xxhash.h>

#include "base/say.h"
#include "protocol/ptab.h"
#include "transfer/options.h"

#define SMALL      4096                /* values up to this share chunks */
#define FIRST_STEP 65536               /* a large value's first piece of memory */

struct held {
	struct xattr_list list;
	int32_t number;                /* sending: on the wire, from 1; 0 until it was sent */
};

/* A large value. */
struct blob {
	struct blob *next;
	uint8_t data[];
};

struct xattr_table {
	struct budget *budget;
	struct xattr_limits limits;
	struct arena *arena;           /* lists, names, short values */
	struct ptab items;             /* struct held */
	int32_t sent;                  /* literals so far */
	int32_t empty;                 /* sending: index of the empty list, -1 until it is needed */
	struct xattr *v;               /* of the list being read */
	size_t cap;
	char *name;                    /* of the attribute being read */
	pthread_mutex_t lock;          /* of what follows */
	struct arena *values;
	struct blob *blobs;
};

static size_t limit(size_t wanted, size_t max) { return wanted && wanted < max ? wanted : max; }

struct xattr_table *xattr_table_new(struct budget *budget, const struct xattr_limits *limits)
{
	static const struct xattr_limits none;
	struct xattr_table *t = mem_zalloc(budget, 1, sizeof *t);

	if (!t)
		return NULL;
	if (!limits)
		limits = &none;
	t->budget = budget;
	t->empty = -1;
	t->limits = (struct xattr_limits){
		.count = (uint32_t)limit(limits->count, XATTR_WIRE_COUNT_MAX), .name = (uint32_t)limit(limits->name, XATTR_WIRE_NAME_MAX),
		.value = limit(limits->value, XATTR_WIRE_VALUE_MAX), .list = limit(limits->list, XATTR_WIRE_LIST_MAX),
	};
	pthread_mutex_init(&t->lock, NULL);
	t->arena = arena_new_growing(budget, 1024);
	t->values = arena_new_growing(budget, 1024);
	t->name = mem_alloc(budget, 1, t->limits.name);
	if (!t->arena || !t->values || !t->name) {
		xattr_table_free(t);
		return NULL;
	}
	return t;
}

void xattr_table_free(struct xattr_table *t)
{
	if (!t)
		return;
	for (struct blob *b = t->blobs, *next; b; b = next) {
		next = b->next;
		mem_free(t->budget, b);
	}
	if (t->arena)
		arena_free(t->arena);
	if (t->values)
		arena_free(t->values);
	ptab_free(&t->items, t->budget);
	mem_free(t->budget, t->v);
	mem_free(t->budget, t->name);
	pthread_mutex_destroy(&t->lock);
	mem_free(t->budget, t);
}

struct xattr_list *xattr_get(const struct xattr_table *t, int32_t index)
{
	return index < 0 ? NULL : &((struct held *)ptab_get(&t->items, (uint32_t)index))->list;
}

static uint8_t state_of(const struct xattr *a) { return atomic_load_explicit(&a->state, memory_order_acquire); }
static void set_state(struct xattr *a, uint8_t state) { atomic_store_explicit(&a->state, state, memory_order_release); }

static void adopt(struct xattr_table *t, struct blob *b)
{
	pthread_mutex_lock(&t->lock);
	b->next = t->blobs;
	t->blobs = b;
	pthread_mutex_unlock(&t->lock);
}

uint8_t *xattr_room(struct xattr_table *t, size_t len)
{
	struct blob *b;
	uint8_t *p;

	if (len <= SMALL) {
		pthread_mutex_lock(&t->lock);
		p = arena_alloc(t->values, MAX(len, (size_t)1), 1);
		pthread_mutex_unlock(&t->lock);
		return p;
	}
	b = mem_alloc(t->budget, 1, sizeof *b + len);
	if (!b)
		return NULL;
	adopt(t, b);
	return b->data;
}

void xattr_set(struct xattr *a, const uint8_t *value, size_t len)
{
	a->value = value;
	a->len = len;
	set_state(a, XA_FULL);
}

/* ---- file list, receiving ---- */

static int nomem(struct rd *r)
{
	return rd_fail(r, RX_MALLOC, "exceeded the memory limit in the list of extended attributes");
}

/* A length of a value; -1: failed. */
static int32_t read_value_len(struct xattr_table *t, struct rd *r)
{
	int32_t n = rd_varint(r);

	if (n < 0)
		return rd_fail(r, RX_PROTOCOL, "wire size xattr datum_len out of range: %u > %d [%s]", (unsigned)n, INT32_MAX,
			       say_role());
	if ((size_t)n > t->limits.value)
		return rd_fail(r, RX_PROTOCOL, "xattr datum_len exceeds per-value limit [%s]", say_role());
	return r->failed ? -1 : n;
}

static int read_name(struct xattr_table *t, struct rd *r, struct xattr *a, uint32_t name_len)
{
	rd_bytes(r, t->name, name_len);
	if (r->failed)
		return -1;
	if (name_len < 2 || t->name[name_len - 1])
		return rd_fail(r, RX_FILEIO, "Invalid xattr name received (missing trailing \\0).");
	if (memchr(t->name, '\0', name_len - 1))
		return rd_fail(r, RX_PROTOCOL, "NUL byte in the name of an extended attribute");
	a->name_len = name_len - 1;
	a->name = arena_strndup(t->arena, t->name, name_len - 1);
	return a->name ? 0 : nomem(r);
}

static int read_attr(struct xattr_table *t, struct rd *r, struct xattr *a, uint64_t *total)
{
	int32_t name_len = rd_varint(r), len;
	uint8_t *value;

	if (name_len < 0 || (uint32_t)name_len > t->limits.name)
		return rd_fail(r, RX_PROTOCOL, "wire size xattr name_len out of range: %u > %u [%s]", (unsigned)name_len,
			       t->limits.name, say_role());
	len = read_value_len(t, r);
	if (len < 0)
		return -1;
	*total += (uint64_t)name_len + (uint64_t)len;
	if (*total > t->limits.list)
		return rd_fail(r, RX_PROTOCOL, "xattr list exceeds per-file limit [%s]", say_role());
	if (read_name(t, r, a, (uint32_t)name_len) < 0)
		return -1;
	a->len = (size_t)len;
	if (a->len > XATTR_FULL_MAX) {
		a->state = XA_ABBREV;
		rd_bytes(r, a->digest, XATTR_DIGEST_LEN);
		return r->failed ? -1 : 0;
	}
	a->state = XA_FULL;
	a->value = value = arena_alloc(t->arena, MAX(a->len, (size_t)1), 1);
	if (!value)
		return nomem(r);
	rd_bytes(r, value, a->len);
	return r->failed ? -1 : 0;
}

/* A list in the table, with room for count attributes; NULL when over budget. */
static struct held *new_list(struct xattr_table *t, uint32_t count, int32_t *index)
{
	struct held *h = arena_alloc(t->arena, sizeof *h, _Alignof(struct held));

	if (!h)
		return NULL;
	*h = (struct held){ .list.count = count };
	if (count) {
		h->list.v = arena_alloc(t->arena, count * sizeof *h->list.v, _Alignof(struct xattr));
		if (!h->list.v)
			return NULL;
	}
	*index = ptab_add(&t->items, t->budget, h);
	return *index < 0 ? NULL : h;
}

/* Room grows with what has arrived, not with what was announced. */
static int32_t read_literal(struct xattr_table *t, struct rd *r)
{
	int32_t count = rd_varint(r), index;
	uint64_t total = 0;
	struct held *h;

	if (count < 0 || (uint32_t)count > t->limits.count)
		return rd_fail(r, RX_PROTOCOL, "wire value xattr count out of range: %d not in [0,%u] [%s]", count,
			       t->limits.count, say_role());
	for (uint32_t i = 0; i < (uint32_t)count; i++) {
		struct xattr *v = mem_grow(t->budget, t->v, &t->cap, i + 1u, sizeof *v);

		if (!v)
			return nomem(r);
		t->v = v;
		v[i] = (struct xattr){ .num = i + 1 };
		if (read_attr(t, r, &v[i], &total) < 0)
			return -1;
	}
	if (r->failed)
		return -1;
	h = new_list(t, (uint32_t)count, &index);
	if (!h)
		return nomem(r);
	if (count)
		memcpy(h->list.v, t->v, (size_t)count * sizeof *t->v);
	return index;
}

void xattr_read(struct xattr_table *t, struct rd *r, const struct fent *e, struct fext *x)
{
	int32_t i = rd_varint(r);

	x->xattr = -1;
	if (i < 0 || (uint32_t)i > t->items.count) {
		rd_fail(r, RX_STREAMIO, "receive_xattr: xa index %d out of range for %s", i, e->name);
		return;
	}
	if (r->failed)
		return;
	i = i ? i - 1 : read_literal(t, r);
	if (i >= 0 && xattr_get(t, i)->count)
		x->xattr = i;
}

/* ---- file list, sending ---- */

static bool same_attr(const struct xattr *a, const struct xattr *b)
{
	if (a->name_len != b->name_len || a->len != b->len || memcmp(a->name, b->name, a->name_len))
		return false;
	return a->len > XATTR_FULL_MAX ? !memcmp(a->digest, b->digest, XATTR_DIGEST_LEN)
				       : !a->len || !memcmp(a->value, b->value, a->len);
}

static bool same_list(const void *item, const void *key)
{
	const struct xattr_list *a = &((const struct held *)item)->list, *b = key;

	if (a->count != b->count)
		return false;
	for (uint32_t i = 0; i < a->count; i++)
		if (!same_attr(&a->v[i], &b->v[i]))
			return false;
	return true;
}

static uint64_t hash_list(const struct xattr_table *t, const struct xattr *v, uint32_t count)
{
	uint64_t h = (uintptr_t)t;

	for (uint32_t i = 0; i < count; i++) {
		bool abbrev = v[i].len > XATTR_FULL_MAX;

		h = XXH3_64bits_withSeed(v[i].name, v[i].name_len, h ^ v[i].len);
		h = XXH3_64bits_withSeed(abbrev ? v[i].digest : v[i].value, abbrev ? XATTR_DIGEST_LEN : v[i].len, h);
	}
	return h;
}

static int copy_attr(struct xattr_table *t, struct xattr *to, const struct xattr *from, uint32_t num)
{
	*to = (struct xattr){ .name_len = from->name_len, .num = num, .len = from->len, .state = XA_ABBREV };
	to->name = arena_strndup(t->arena, from->name, from->name_len);
	if (!to->name)
		return -1;
	if (from->len > XATTR_FULL_MAX) {
		memcpy(to->digest, from->digest, XATTR_DIGEST_LEN);
		return 0;
	}
	to->state = XA_FULL;
	to->value = (const uint8_t *)arena_strndup(t->arena, (const char *)from->value, from->len);
	return to->value ? 0 : -1;
}

int32_t xattr_add(struct xattr_table *t, const struct xattr *v, uint32_t count)
{
	uint64_t hash = hash_list(t, v, count);
	int32_t index = ptab_find(&t->items, hash, same_list, &(struct xattr_list){ count, (struct xattr *)v });
	struct held *h;

	if (index >= 0)
		return index;
	h = new_list(t, count, &index);
	if (!h)
		return -1;
	for (uint32_t i = 0; i < count; i++)
		if (copy_attr(t, &h->list.v[i], &v[i], i + 1) < 0)
			return -1;
	return ptab_index(&t->items, t->budget, hash, index) < 0 ? -1 : index;
}

static size_t put_varint(struct wr *w, size_t v)
{
	wr_varint(w, (int32_t)v);
	return wr_varint_len((int32_t)v);
}

static size_t write_attr(struct wr *w, const struct xattr *a)
{
	bool abbrev = a->len > XATTR_FULL_MAX;
	size_t bytes = put_varint(w, a->name_len + 1u) + put_varint(w, a->len), n = abbrev ? XATTR_DIGEST_LEN : a->len;

	wr_bytes(w, a->name, a->name_len + 1u);
	wr_bytes(w, abbrev ? a->digest : a->value, n);
	return bytes + a->name_len + 1u + n;
}

size_t xattr_write(struct xattr_table *t, struct wr *w, const struct fent *e)
{
	int32_t index = e->ext ? e->ext->xattr : -1;
	struct held *h;
	size_t bytes;

	if (index < 0) {
		if (t->empty < 0)
			t->empty = xattr_add(t, NULL, 0);
		index = t->empty;
	}
	if (index < 0) {
		wr_fail(w, RX_MALLOC, "exceeded the memory limit in the list of extended attributes");
		return 0;
	}
	h = ptab_get(&t->items, (uint32_t)index);
	if (h->number)
		return put_varint(w, (uint32_t)h->number);
	h->number = ++t->sent;
	bytes = put_varint(w, 0) + put_varint(w, h->list.count);
	for (uint32_t i = 0; i < h->list.count; i++)
		bytes += write_attr(w, &h->list.v[i]);
	return bytes;
}

/* ---- items ---- */

bool item_has_xattrs(const struct item *it, int proto, bool xattrs, bool dry_run, bool avoid_optim)
{
	const unsigned linked = ITEM_XNAME_FOLLOWS | ITEM_LOCAL_CHANGE;

	return xattrs && !dry_run && it->flags & ITEM_REPORT_XATTR &&
	       (avoid_optim || proto < 31 || (it->flags & linked) != linked);
}

void xattr_write_request(struct xattr_table *t, struct wr *w, int32_t index,
			 bool (*want)(void *ctx, struct xattr *a), void *ctx)
{
	struct xattr_list *l = xattr_get(t, index);
	uint32_t last = 0;

	for (uint32_t i = 0; l && i < l->count; i++) {
		struct xattr *a = &l->v[i];

		if (a->drop || state_of(a) != XA_ABBREV || (want && !want(ctx, a)) || state_of(a) != XA_ABBREV)
			continue;
		set_state(a, XA_WANTED);
		wr_varint(w, (int32_t)(a->num - last));
		last = a->num;
	}
	wr_varint(w, 0);
}

/* The next attribute that is named; NULL at the end and on failure. */
static struct xattr *next_num(struct rd *r, struct xattr_list *l, uint32_t *num, const char *name)
{
	int32_t rel = rd_varint(r), sum;

	if (r->failed || !rel)
		return NULL;
	if (__builtin_add_overflow((int32_t)*num, rel, &sum)) {
		rd_fail(r, RX_PROTOCOL, "xattr number overflow for %s", name);
		return NULL;
	}
	if (sum <= 0 || !l || (uint32_t)sum > l->count) {
		rd_fail(r, RX_PROTOCOL, "could not find xattr #%d for %s", sum, name);
		return NULL;
	}
	*num = (uint32_t)sum;
	return &l->v[sum - 1];
}

static int bad_state(struct rd *r, const struct xattr *a, const char *name)
{
	return rd_fail(r, RX_PROTOCOL, "internal abbrev error on %s (%s, len=%zu)!", name, a->name, a->len);
}

/* Memory is taken as bytes arrive. NULL: r failed. */
static uint8_t *read_large(struct xattr_table *t, struct rd *r, size_t len)
{
	size_t cap = 0, got = 0;
	struct blob *b = NULL;

	while (got < len && !r->failed) {
		size_t step = MAX(got, (size_t)FIRST_STEP), n = MIN(len - got, step);
		uint8_t *p = mem_grow(t->budget, (uint8_t *)b, &cap, sizeof *b + got + n, 1);

		if (!p) {
			nomem(r);
			break;
		}
		b = (struct blob *)(void *)p;
		rd_bytes(r, b->data + got, n);
		got += n;
	}
	if (r->failed) {
		mem_free(t->budget, b);
		return NULL;
	}
	adopt(t, b);
	return b->data;
}

static uint8_t *read_value(struct xattr_table *t, struct rd *r, size_t len)
{
	uint8_t *p;

	if (len > SMALL)
		return read_large(t, r, len);
	p = xattr_room(t, len);
	if (!p)
		nomem(r);
	else
		rd_bytes(r, p, len);
	return r->failed ? NULL : p;
}

void xattr_read_reply(struct xattr_table *t, struct rd *r, int32_t index, const char *name)
{
	struct xattr_list *l = xattr_get(t, index);
	uint32_t num = 0;
	struct xattr *a;

	while ((a = next_num(r, l, &num, name))) {
		const uint8_t *value;
		int32_t len;

		if (state_of(a) != XA_WANTED) {
			bad_state(r, a, name);
			return;
		}
		len = read_value_len(t, r);
		if (len < 0)
			return;
		value = read_value(t, r, (size_t)len);
		if (!value)
			return;
		if (len)
			xattr_set(a, value, (size_t)len);
		else
			set_state(a, XA_GONE);
	}
}

void xattr_read_request(struct xattr_table *t, struct rd *r, int32_t index, const char *name)
{
	struct xattr_list *l = xattr_get(t, index);
	uint32_t num = 0;
	struct xattr *a;

	while ((a = next_num(r, l, &num, name))) {
		if (state_of(a) != XA_ABBREV) {
			bad_state(r, a, name);
			return;
		}
		set_state(a, XA_WANTED);
	}
}

void xattr_write_reply(struct xattr_table *t, struct wr *w, int32_t index,
		       int (*load)(void *ctx, const struct xattr *a, const uint8_t **value, size_t *len), void *ctx)
{
	struct xattr_list *l = xattr_get(t, index);
	uint32_t last = 0;

	for (uint32_t i = 0; l && i < l->count; i++) {
		struct xattr *a = &l->v[i];
		const uint8_t *value = NULL;
		size_t len = 0;

		if (state_of(a) != XA_WANTED)
			continue;
		set_state(a, XA_ABBREV);
		if (load(ctx, a, &value, &len) < 0)
			len = 0;
		wr_varint(w, (int32_t)(a->num - last));
		last = a->num;
		wr_varint(w, (int32_t)len);
		wr_bytes(w, value ? value : (const uint8_t *)"", len);
	}
	wr_varint(w, 0);
}
