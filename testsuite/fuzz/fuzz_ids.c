/*
 * fuzz_ids.c - the lists of user and group names behind a file list (spec 02 §6). Input: protocol and mode byte, then the
 * lists. What was accepted is written by a sender that has those names, and read again: the same ids with the same names.
 */
#include "config.h"

#include <stdio.h>

#include "base/say.h"
#include "protocol/flist_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(x) do { if (!(x)) { fprintf(stderr, "failed: %s\n", #x); abort(); } } while (0)

struct pair { bool is_group; uint32_t id; char name[256]; };
struct names {
	struct pair v[512];
	size_t n;
	bool too_many;
};

static struct pair *find(struct names *s, bool is_group, uint32_t id)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->v[i].is_group == is_group && s->v[i].id == id)
			return &s->v[i];
	return NULL;
}

static void on_id(void *ctx, bool is_group, uint32_t id, const char *name)
{
	struct names *s = ctx;
	struct pair *p = find(s, is_group, id);

	REQUIRE(*name && strlen(name) <= 255);
	for (const char *c = name; *c; c++)
		REQUIRE((uint8_t)*c >= 0x20 && *c != 0x7f);
	if (!p && s->n == ARRAY_SIZE(s->v)) {
		s->too_many = true;
		return;
	}
	if (!p)
		p = &s->v[s->n++];
	p->is_group = is_group;
	p->id = id;
	strcpy(p->name, name);
}

static const char *name_of(void *ctx, bool is_group, uint32_t id)
{
	struct pair *p = find(ctx, is_group, id);

	return p ? p->name : NULL;
}

static void again(const struct flist_fmt *f, struct budget *b, struct names *names)
{
	static struct names back;
	struct flist_set *out = flist_set_new(f, b, false), *in = flist_set_new(f, b, true);
	struct err err = { 0 };
	bool nomem = false;
	struct wr_mem m;
	struct rd r;

	back = (struct names){ 0 };
	flist_name_source(out, name_of, names);
	flist_on_id(in, on_id, &back);
	for (size_t i = 0; i < names->n; i++)
		REQUIRE(!ids_use(out, names->v[i].is_group, names->v[i].id, &nomem) && !nomem);
	wr_mem_init(&m, NULL, &err);
	ids_write_lists(out, &m.w);
	rd_init_mem(&r, m.base, wr_mem_len(&m), &err);
	ids_read_lists(in, &r);
	REQUIRE(!m.w.failed && !r.failed && !rd_avail(&r) && back.n == names->n);
	for (size_t i = 0; i < back.n; i++) {
		const struct pair *p = find(names, back.v[i].is_group, back.v[i].id);

		REQUIRE(p && !strcmp(p->name, back.v[i].name));
	}
	wr_mem_free(&m);
	flist_set_free(out);
	flist_set_free(in);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct names names;
	struct flist_fmt f = { 0 };
	struct err err = { 0 };
	struct flist_set *s;
	struct budget b;
	struct rd r;

	if (size < 2)
		return 0;
	f.proto = 27 + data[0] % 6;
	f.id0_names = data[0] & 0x80 && f.proto >= 30;
	f.uid = data[0] & 0x40;
	f.gid = data[0] & 0x20;
	f.acls = data[0] & 0x10;
	names = (struct names){ 0 };
	budget_init(&b, 8 << 20, 0);
	s = flist_set_new(&f, &b, true);
	flist_on_id(s, on_id, &names);
	rd_init_mem(&r, data + 1, size - 1, &err);
	ids_read_lists(s, &r);
	if (r.failed)
		REQUIRE(err.code == RX_STREAMIO || err.code == RX_PROTOCOL || err.code == RX_MALLOC);
	else if (!names.too_many)
		again(&f, &b, &names);
	flist_set_free(s);
	REQUIRE(!b.used);
	return 0;
}
