/*
 * fuzz_acl.c - ACL blocks of a hostile sender. Input: a mode byte (incremental, ids without names), then blocks, each led by
 * a byte that says whether the entry is a directory. What was accepted must survive being written and read again.
 */
#include "config.h"

#include <stdio.h>

#include "base/say.h"
#include "protocol/acl_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(x) do { if (!(x)) { fprintf(stderr, "failed: %s\n", #x); abort(); } } while (0)

static int by_kind_and_id(const void *pa, const void *pb)
{
	const struct acl_name *a = pa, *b = pb;

	if (a->is_user != b->is_user)
		return a->is_user ? -1 : 1;
	if (a->id != b->id)
		return a->id > b->id ? 1 : -1;
	return a->perm - b->perm;
}

/* Names are compared as sets: a writer puts them in order. */
static void same(const struct acl *a, const struct acl *b)
{
	if (!a || !b) {
		REQUIRE(a == b);
		return;
	}
	REQUIRE(a->flags == b->flags && a->count == b->count && a->user_obj == b->user_obj && a->group_obj == b->group_obj &&
		a->mask_obj == b->mask_obj && a->other_obj == b->other_obj && a->count <= ACL_NAMES_MAX);
	REQUIRE(!(a->flags & ACLW_NAMES) == !a->count);
	for (uint32_t i = 0; i < a->count; i++)
		REQUIRE(!by_kind_and_id(&a->names[i], &b->names[i]) && a->names[i].perm <= 7);
}

static uint32_t same_id(void *ctx, bool is_group, uint32_t id)
{
	*(unsigned *)ctx += is_group;
	return id;
}

struct side {
	struct flist_set *set;
	struct acl_tables *t;
};

static struct budget budget;

static void open_side(struct side *s, const struct flist_fmt *f, bool receiving)
{
	s->set = flist_set_new(f, &budget, receiving);
	s->t = acl_tables_new(s->set, &budget);
}

static void close_side(struct side *s)
{
	acl_tables_free(s->t);
	flist_set_free(s->set);
}

static void sorted(struct side *in, bool is_default, int32_t i)
{
	const struct acl *a = acl_get(in->t, is_default, i);

	if (a && a->count)
		qsort(a->names, a->count, sizeof *a->names, by_kind_and_id);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct flist_fmt f = { .proto = 32, .acls = true };
	struct err err = { 0 };
	struct side in, out, back;
	struct wr_mem m;
	unsigned groups = 0;
	struct rd r;

	if (!size)
		return 0;
	f.inc_recurse = data[0] & 1;
	f.numeric_ids = data[0] & 2;
	budget_init(&budget, 64 << 20, 0);
	open_side(&in, &f, true);
	open_side(&out, &f, false);
	open_side(&back, &f, true);
	wr_mem_init(&m, NULL, &err);
	rd_init_mem(&r, data + 1, size - 1, &err);
	while (rd_avail(&r) && !r.failed) {
		struct fent e = { .mode = rd_u8(&r) & 1 ? 040750 : 0100640 };
		struct fext x = { .acl_access = -1, .acl_default = -1 }, w = x, b = x;
		struct rd again;
		size_t n;

		acl_read(in.t, &r, &e, &x);
		if (r.failed)
			break;
		sorted(&in, false, x.acl_access);
		sorted(&in, true, x.acl_default);
		if (x.acl_access >= 0)
			REQUIRE((w.acl_access = acl_add(out.t, false, acl_get(in.t, false, x.acl_access))) >= 0);
		if (x.acl_default >= 0)
			REQUIRE((w.acl_default = acl_add(out.t, true, acl_get(in.t, true, x.acl_default))) >= 0);
		e.ext = &w;
		wr_mem_clear(&m);
		n = acl_write(out.t, &m.w, &e);
		REQUIRE(!m.w.failed && n == wr_mem_len(&m));
		rd_init_mem(&again, m.base, n, &err);
		acl_read(back.t, &again, &e, &b);
		REQUIRE(!again.failed && !rd_avail(&again));
		same(acl_get(in.t, false, x.acl_access), acl_get(back.t, false, b.acl_access));
		same(acl_get(in.t, true, x.acl_default), acl_get(back.t, true, b.acl_default));
	}
	acl_map_ids(in.t, same_id, &groups);
	close_side(&in);
	close_side(&out);
	close_side(&back);
	wr_mem_free(&m);
	REQUIRE(!budget.used);
	return 0;
}
