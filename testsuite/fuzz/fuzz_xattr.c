/*
 * fuzz_xattr.c - lists of extended attributes, requests for values and replies, from a hostile peer. Input: blocks, each
 * led by a byte: an entry's list, or a request or reply for an earlier list. Accepted lists must survive being written and
 * read again; accepted requests must be answered so that a receiver accepts the answer.
 */
#include "config.h"

#include <stdio.h>

#include "protocol/xattr_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(x) do { if (!(x)) { fprintf(stderr, "failed: %s\n", #x); abort(); } } while (0)

static struct budget budget;
static struct xattr_table *in, *out, *back;
static struct wr_mem m;
static struct err err;
static struct fent entry = { .mode = 0100644 };

static void check(const struct xattr_list *l, const struct xattr_list *b)
{
	REQUIRE(l->count == b->count);
	for (uint32_t i = 0; i < l->count; i++) {
		const struct xattr *x = &l->v[i], *y = &b->v[i];

		REQUIRE(x->num == i + 1 && y->num == i + 1 && strlen(x->name) == x->name_len && !strcmp(x->name, y->name));
		if (x->state == XA_ABBREV && y->state == XA_ABBREV)
			REQUIRE(x->len == y->len && x->len > XATTR_FULL_MAX && !memcmp(x->digest, y->digest, XATTR_DIGEST_LEN));
	}
}

static void read_list(struct rd *r, int32_t *of_out)
{
	struct fext x, w = { .xattr = -1 }, b;
	struct xattr_list *l;
	struct rd again;
	size_t n;

	xattr_read(in, r, &entry, &x);
	if (r->failed || x.xattr < 0)
		return;
	l = xattr_get(in, x.xattr);
	for (uint32_t i = 0; i < l->count; i++)
		if (l->v[i].len <= XATTR_FULL_MAX && l->v[i].state != XA_FULL)
			return;                /* replaced by a reply */
	REQUIRE((w.xattr = xattr_add(out, l->v, l->count)) >= 0);
	*of_out = w.xattr;
	entry.ext = &w;
	wr_mem_clear(&m);
	n = xattr_write(out, &m.w, &entry);
	entry.ext = NULL;
	REQUIRE(!m.w.failed && n == wr_mem_len(&m));
	rd_init_mem(&again, m.base, n, &err);
	xattr_read(back, &again, &entry, &b);
	REQUIRE(!again.failed && !rd_avail(&again) && b.xattr >= 0);
	check(l, xattr_get(back, b.xattr));
}

static int load(void *ctx, const struct xattr *a, const uint8_t **value, size_t *len)
{
	(void)ctx;
	*value = (const uint8_t *)a->name;
	*len = a->name_len;
	return a->name_len & 1 ? -1 : 0;
}

static void answer(struct rd *r, int32_t i)
{
	xattr_read_request(out, r, i, "f");
	if (r->failed)
		return;
	wr_mem_clear(&m);
	xattr_write_reply(out, &m.w, i, load, NULL);
	REQUIRE(!m.w.failed && wr_mem_len(&m) > 0 && m.w.p[-1] == 0);
}

static bool want(void *ctx, struct xattr *a)
{
	uint8_t *p;

	(void)ctx;
	if (a->num % 3)
		return true;
	p = xattr_room(in, 4);
	REQUIRE(p);
	memcpy(p, "abcd", 4);
	xattr_set(a, p, 4);
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int32_t last = -1;
	struct rd r;

	err = (struct err){ 0 };
	budget_init(&budget, 64 << 20, 0);
	in = xattr_table_new(&budget, NULL);
	out = xattr_table_new(&budget, NULL);
	back = xattr_table_new(&budget, NULL);
	wr_mem_init(&m, NULL, &err);
	rd_init_mem(&r, data, size, &err);
	while (rd_avail(&r) && !r.failed) {
		switch (rd_u8(&r) & 3) {
		case 0:
		case 1:
			read_list(&r, &last);
			break;
		case 2:
			answer(&r, last);
			break;
		default:
			wr_mem_clear(&m);
			xattr_write_request(in, &m.w, last < 0 ? -1 : 0, want, NULL);
			xattr_read_reply(in, &r, last < 0 ? -1 : 0, "f");
			break;
		}
	}
	xattr_table_free(in);
	xattr_table_free(out);
	xattr_table_free(back);
	wr_mem_free(&m);
	REQUIRE(!budget.used);
	return 0;
}
