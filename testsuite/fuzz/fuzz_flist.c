/*
 * fuzz_flist.c - file lists from a hostile sender.
 *
 * Input: protocol and mode byte, three bytes of options, then the first list and, each
 * led by a directory number, sub-lists. What was accepted must be in order, must be
 * found by name, and must survive being encoded and decoded again.
 */
#include "config.h"

#include <stdio.h>

#include "base/say.h"
#include "protocol/acl_wire.h"
#include "protocol/flist.h"
#include "protocol/xattr_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(x) do { if (!(x)) { fprintf(stderr, "failed: %s\n", #x); abort(); } } while (0)

static void quiet(void *ctx, enum say_kind kind, const char *text, size_t len)
{
	(void)ctx;
	(void)kind;
	(void)text;
	(void)len;
}

struct run {
	struct flist_fmt fmt;
	struct flist_set *set, *out;
	struct side { struct acl_tables *acls; struct xattr_table *xattrs; } in, written, back;
	struct fent *wire[4096];
	size_t n;
	bool re_encode;
	unsigned seen;
};

static void on_entry(void *ctx, struct rd *r, struct fent *e)
{
	struct run *run = ctx;

	(void)r;
	if (run->n < ARRAY_SIZE(run->wire))
		run->wire[run->n] = e;
	run->n++;
}

static void on_id(void *ctx, bool is_group, uint32_t id, const char *name)
{
	((struct run *)ctx)->seen += is_group + id + (unsigned)strlen(name);
}

/* As a converter would: what it cannot convert makes a hole. */
static int name_in(void *ctx, const char *wire, size_t len, char *out)
{
	(void)ctx;
	if (memchr(wire, 0xff, len))
		return -1;
	memcpy(out, wire, len);
	out[len] = '\0';
	return (int)len;
}

static int link_in(void *ctx, const struct fdir *dir, const char *leaf, const char *wire, size_t len, char *out)
{
	(void)dir;
	(void)leaf;
	return name_in(ctx, wire, len, out);
}

static void read_acl(void *ctx, struct rd *r, struct fent *e, struct fext *x)
{
	acl_read(((struct side *)ctx)->acls, r, e, x);
}

static void read_xattr(void *ctx, struct rd *r, struct fent *e, struct fext *x)
{
	xattr_read(((struct side *)ctx)->xattrs, r, e, x);
}

static void read_acl_first(void *ctx, struct rd *r, struct fent *e, struct fext *x)
{
	read_acl(&((struct run *)ctx)->in, r, e, x);
}

static void read_xattr_first(void *ctx, struct rd *r, struct fent *e, struct fext *x)
{
	read_xattr(&((struct run *)ctx)->in, r, e, x);
}

static size_t write_acl(void *ctx, struct wr *w, struct fent *e)
{
	return acl_write(((struct side *)ctx)->acls, w, e);
}

static size_t write_xattr(void *ctx, struct wr *w, struct fent *e)
{
	return xattr_write(((struct side *)ctx)->xattrs, w, e);
}

static void open_side(struct side *s, struct flist_set *set, struct budget *b)
{
	s->acls = acl_tables_new(set, b);
	s->xattrs = xattr_table_new(b, NULL);
}

static void close_side(struct side *s)
{
	acl_tables_free(s->acls);
	xattr_table_free(s->xattrs);
}

/* From the tables that were read into those to be written. */
static void copy_attrs(struct run *run, struct fext *x)
{
	const struct acl *access = acl_get(run->in.acls, false, x->acl_access), *def = acl_get(run->in.acls, true, x->acl_default);
	const struct xattr_list *l = xattr_get(run->in.xattrs, x->xattr);

	if (run->fmt.acls && access)
		REQUIRE((x->acl_access = acl_add(run->written.acls, false, access)) >= 0);
	if (run->fmt.acls && def)
		REQUIRE((x->acl_default = acl_add(run->written.acls, true, def)) >= 0);
	if (run->fmt.xattrs && l)
		REQUIRE((x->xattr = xattr_add(run->written.xattrs, l->v, l->count)) >= 0);
}

static void set_fmt(struct flist_fmt *f, const uint8_t *b)
{
	*f = (struct flist_fmt){ .proto = 27 + b[0] % 6, .inc_recurse = b[0] & 0x80, .varint_flags = b[0] & 0x40,
		.id0_names = b[0] & 0x20, .safe_end = b[0] & 0x10,
		.links = b[1] & 1, .hard_links = b[1] & 2, .devices = b[1] & 4, .specials = b[1] & 4, .uid = b[1] & 8,
		.gid = b[1] & 16, .atimes = b[1] & 32, .relative = b[1] & 64, .recurse = b[1] & 128,
		.delete_missing_args = b[2] & 1, .numeric_ids = b[2] & 2, .wire_order = b[2] & 4, .crtimes = b[2] & 8,
		.sum_len = b[2] & 16 ? (b[3] & 4 ? 8 : b[3] & 8 ? 20 : 16) : 0, .max_entries = b[2] & 32 ? 50 : 0,
		.acls = b[2] & 64, .xattrs = b[2] & 128, .ignore_errors = b[3] & 1, .no_names = b[3] & 2 };
	if (f->proto < 30)
		f->inc_recurse = f->varint_flags = f->id0_names = false;
	f->crtimes = f->crtimes && f->varint_flags;
	f->wire_order = f->wire_order && f->proto >= 30;
	f->acls = f->acls && f->proto >= 30;
	f->xattrs = f->xattrs && f->proto >= 30;
}

static void check_list(const struct run *run, const struct flist *fl)
{
	char path[PATH_LIMIT + 1];

	for (int32_t i = 0; i < fl->count; i++) {
		const struct fent *e = fl->walk[i];

		REQUIRE(i == 0 || fent_compare(fl->walk[i - 1], e, run->fmt.proto) <= 0);
		if (e->flags & FENT_CLEARED)
			continue;
		fent_path(e, path);
		REQUIRE(*path && *path != '/' && strcmp(path, "..") && strncmp(path, "../", 3) && !strstr(path, "/../"));
		if (strcmp(e->name, "."))
			REQUIRE(flist_lookup(run->set, fl, e->dir->s, e->name) == e);
	}
}

/* Encodes the list as it came and decodes that: it must be accepted and be the same. */
static void again(struct run *run, const struct flist *fl)
{
	static struct budget b;
	struct flist_set *back;
	struct flist *copy, *out;
	struct err err = { 0 };
	struct wr_mem m;
	struct rd r;
	int bits = 0;

	if (run->fmt.inc_recurse || run->n > ARRAY_SIZE(run->wire) || (run->fmt.hard_links && run->fmt.proto < 30))
		return;
	budget_init(&b, 0, 0);
	run->out = flist_set_new(&run->fmt, &b, false);
	back = flist_set_new(&run->fmt, &b, true);
	open_side(&run->written, run->out, &b);
	open_side(&run->back, back, &b);
	flist_set_hooks(run->out, &(struct flist_hooks){ .ctx = &run->written, .write_acl = write_acl, .write_xattr = write_xattr });
	flist_set_hooks(back, &(struct flist_hooks){ .ctx = &run->back, .read_acl = read_acl, .read_xattr = read_xattr });
	wr_mem_init(&m, &b, &err);
	out = flist_begin(run->out, -1);
	for (size_t i = 0; i < run->n; i++) {
		const struct fent *e = run->wire[i];
		struct fent *c = flist_add(run->out, flist_dir(run->out, e->dir->s, e->dir->len), e->name, e->mode);

		c->size = e->size;
		c->mtime = e->mtime;
		c->nsec = e->nsec;
		c->uid = e->uid;
		c->gid = e->gid;
		c->flags = e->flags & (FENT_TOP_DIR | FENT_CONTENT | FENT_IMPLIED | FENT_MISSING);
		if (e->ext) {
			*flist_ext(run->out, c) = *e->ext;
			copy_attrs(run, c->ext);
			if (e->flags & FENT_HLINKED)
				REQUIRE(flist_hardlink(run->out, c, 1, (uint64_t)e->ext->hl_group) == 0);
		}
		REQUIRE(flist_write_entry(run->out, &m.w, c));
	}
	flist_write_end(run->out, &m.w, out, 0);
	REQUIRE(!m.w.failed);
	rd_init_mem(&r, m.base, wr_mem_len(&m), &err);
	copy = flist_read(back, &r, -1, &bits);
	if (!copy)
		fprintf(stderr, "%s\n", err.text);
	REQUIRE(copy && !rd_avail(&r) && copy->count == (int32_t)run->n);
	(void)fl;
	for (size_t i = 0; i < run->n; i++) {
		const struct fent *a = out->sorted[i], *c = copy->sorted[i];

		REQUIRE(!strcmp(a->name, c->name) && !strcmp(a->dir->s, c->dir->s) && a->mode == c->mode);
		REQUIRE(a->uid == c->uid && a->gid == c->gid);
	}
	close_side(&run->written);
	close_side(&run->back);
	flist_set_free(run->out);
	flist_set_free(back);
	wr_mem_free(&m);
}

static void read_lists(struct run *run, struct rd *r)
{
	bool first = true;

	do {
		int32_t dir = first ? -1 : rd_u8(r);
		int bits = 0;
		struct flist *fl;

		run->n = 0;
		fl = flist_read(run->set, r, dir, &bits);
		if (!fl) {
			REQUIRE(r->failed && r->err->code);
			return;
		}
		REQUIRE(!(bits & ~7));
		check_list(run, fl);
		if (first)
			again(run, fl);
		first = false;
	} while (rd_avail(r));
	for (int32_t i = 0; i < flist_last(run->set)->ndx_start + flist_last(run->set)->count + 3; i++) {
		struct flist *fl = flist_find(run->set, i);

		if (fl)
			flist_entry(fl, i);
	}
	flist_drop_first(run->set);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct run run;
	struct err err = { 0 };
	struct budget b;
	struct rd r;
	bool convert;

	if (size < 5)
		return 0;
	say_set_sink(quiet, NULL);
	memset(&run, 0, sizeof run);
	budget_init(&b, 8 << 20, 0);
	set_fmt(&run.fmt, data);
	run.set = flist_set_new(&run.fmt, &b, true);
	open_side(&run.in, run.set, &b);
	convert = data[3] & 16;
	flist_set_hooks(run.set, &(struct flist_hooks){ .ctx = &run, .on_entry = on_entry, .read_acl = read_acl_first,
		.read_xattr = read_xattr_first, .name_in = convert ? name_in : NULL, .link_in = convert ? link_in : NULL });
	flist_on_id(run.set, on_id, &run);
	rd_init_mem(&r, data + 4, size - 4, &err);
	read_lists(&run, &r);
	close_side(&run.in);
	flist_set_free(run.set);
	REQUIRE(b.used == 0);
	return 0;
}
