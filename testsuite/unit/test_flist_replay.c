/*
 * test_flist_replay.c - every recorded list is decoded to its last byte, compared field by field and in its
 * order with what an independent decoder said, and encoded again to the same bytes.
 */
#include "config.h"
#include "testsuite/unit/unit.h"

#include <stdio.h>

#include "protocol/acl_wire.h"
#include "protocol/xattr_wire.h"
#include "testsuite/unit/flist_util.h"
#include "transfer/posix_acl.h"

static struct session *sessions;
static size_t session_count;

struct replay {
	struct session *ses;
	struct seg *seg;
	struct fent *wire[512];
	uint16_t flags[512];           /* before duplicates are merged */
	size_t n;
	char *names[2][65536];
	struct acl_tables *acls[2];    /* read, written */
	struct xattr_table *xattrs[2];
};

static void read_acl(void *ctx, struct rd *r, struct fent *e, struct fext *x)
{
	acl_read(((struct replay *)ctx)->acls[0], r, e, x);
}

static void read_xattr(void *ctx, struct rd *r, struct fent *e, struct fext *x)
{
	xattr_read(((struct replay *)ctx)->xattrs[0], r, e, x);
}

static size_t write_acl(void *ctx, struct wr *w, struct fent *e)
{
	return acl_write(((struct replay *)ctx)->acls[1], w, e);
}

static size_t write_xattr(void *ctx, struct wr *w, struct fent *e)
{
	return xattr_write(((struct replay *)ctx)->xattrs[1], w, e);
}

static void on_entry(void *ctx, struct rd *r, struct fent *e)
{
	struct replay *p = ctx;

	(void)r;
	assert_true(p->n < ARRAY_SIZE(p->wire));
	p->flags[p->n] = e->flags;
	p->wire[p->n++] = e;
}

static void on_id(void *ctx, bool is_group, uint32_t id, const char *name)
{
	struct replay *p = ctx;

	if (id < 65536) {
		free(p->names[is_group][id]);
		p->names[is_group][id] = strdup(name);
	}
}

static const char *name_of(void *ctx, bool is_group, uint32_t id)
{
	struct replay *p = ctx;

	return id < 65536 ? p->names[is_group][id] : NULL;
}

static void check_entry(const struct replay *p, const struct want *w, const struct fent *e)
{
	static const struct fext none = { .hl_group = -1 };
	const struct fext *x = e->ext ? e->ext : &none;
	const struct flist_fmt *f = &p->ses->fmt;
	char name[8192];

	assert_int_equal(wire_name(e, name), w->name_len);
	assert_memory_equal(name, w->name, w->name_len);
	assert_int_equal(e->mode, w->mode);
	assert_int_equal(e->size, FENT_IS_DEV(e) || FENT_IS_SPECIAL(e) ? 0 : w->size);
	assert_int_equal(e->mtime, w->mtime);
	assert_int_equal(e->nsec, w->nsec);
	assert_int_equal(e->uid, f->uid ? w->uid : 0);
	assert_int_equal(e->gid, f->gid ? w->gid : 0);
	assert_int_equal(x->rdev_major, w->major);
	assert_int_equal(x->rdev_minor, w->minor);
	assert_int_equal(x->link_len, w->link_len);
	if (w->link_len)
		assert_memory_equal(x->link, w->link, w->link_len);
	if (w->sum_len) {
		assert_non_null(x->sum);
		assert_memory_equal(x->sum, w->sum, w->sum_len);
	}
	assert_int_equal(x->atime, f->atimes && !FENT_IS_DIR(e) ? w->atime : 0);
	if (w->ref >= 0) {
		assert_int_equal(x->hl_group, w->ref);
		assert_int_equal(e->flags & (FENT_HLINKED | FENT_HLINK_FIRST), FENT_HLINKED);
	}
}

/* Below protocol 30: linked exactly when another entry has the same (dev, inode). */
static void check_links(const struct replay *p, const struct flist *fl)
{
	const struct seg *g = p->seg;

	(void)fl;
	if (p->ses->proto >= 30 || !p->ses->fmt.hard_links)
		return;
	for (size_t i = 0; i < g->n; i++) {
		size_t first = i, same = 0;

		for (size_t j = 0; j < g->n; j++) {
			if (g->want[i].ino && g->want[j].ino == g->want[i].ino && g->want[j].dev == g->want[i].dev) {
				same++;
				first = MIN(first, j);
			}
		}
		assert_int_equal(same > 1, (p->wire[i]->flags & FENT_HLINKED) != 0);
		if (same > 1) {
			assert_int_equal(p->wire[i]->ext->hl_group, first);
			assert_int_equal(first == i, (p->wire[i]->flags & FENT_HLINK_FIRST) != 0);
		}
	}
}

static void check_list(const struct replay *p, const struct flist_set *s, const struct flist *fl)
{
	const struct seg *g = p->seg;

	assert_int_equal(fl->count, g->n);
	assert_int_equal(p->n, g->n);
	for (size_t i = 0; i < g->n; i++) {
		const struct fent *e = p->wire[i];
		int32_t at = (int32_t)g->want[i].sorted;

		check_entry(p, &g->want[i], e);
		if (p->ses->fmt.wire_order)
			assert_ptr_equal(fl->sorted[i], e);
		assert_ptr_equal(fl->walk[at - fl->ndx_start], e);
		if (!p->ses->fmt.wire_order) {
			assert_ptr_equal(flist_entry(fl, at), e->flags & FENT_CLEARED ? NULL : e);
			assert_ptr_equal(flist_find(s, at), fl);
		}
		if (!(e->flags & FENT_CLEARED) && strcmp(e->name, "."))
			assert_ptr_equal(flist_lookup(s, fl, e->dir->s, e->name), e);
	}
	for (int32_t i = 1; i < fl->count; i++)
		assert_true(fent_compare(fl->walk[i - 1], fl->walk[i], p->ses->proto) <= 0);
	check_links(p, fl);
}

/* From the tables that were read into those to be written. */
static void copy_attrs(const struct replay *p, struct fext *x, uint16_t mode)
{
	struct acl reduced;
	const struct acl *access = acl_get(p->acls[0], false, x->acl_access), *def = acl_get(p->acls[0], true, x->acl_default);
	const struct xattr_list *l = xattr_get(p->xattrs[0], x->xattr);

	if (access) {
		reduced = *access;     /* the reader computed the mask that was not sent */
		posix_acl_reduce(&reduced, mode);
		x->acl_access = acl_add(p->acls[1], false, &reduced);
	}
	if (def)
		x->acl_default = acl_add(p->acls[1], true, def);
	if (l)
		x->xattr = xattr_add(p->xattrs[1], l->v, l->count);
}

/* Puts the decoded entries into a sending set. */
static void encode_list(struct replay *p, struct flist_set *out, struct wr *w, int io_error)
{
	const struct seg *g = p->seg;
	struct flist *fl = flist_begin(out, g->dir_ndx);

	for (size_t i = 0; i < p->n; i++) {
		const struct fent *e = p->wire[i];
		struct fent *c = flist_add(out, flist_dir(out, e->dir->s, e->dir->len), e->name, e->mode);

		assert_non_null(c);
		c->size = g->want[i].size;
		c->mtime = e->mtime;
		c->nsec = e->nsec;
		c->uid = e->uid;
		c->gid = e->gid;
		c->flags = p->flags[i] & (FENT_TOP_DIR | FENT_CONTENT | FENT_IMPLIED | FENT_MISSING);
		if (e->ext) {
			int32_t group = e->ext->hl_group;

			assert_non_null(flist_ext(out, c));
			*c->ext = *e->ext;
			copy_attrs(p, c->ext, c->mode);
			if (p->ses->proto >= 30 && e->flags & FENT_HLINKED)
				assert_int_equal(flist_hardlink(out, c, 7, (uint64_t)group), 0);
		}
		if (p->ses->proto < 30 && g->want[i].dev)
			assert_int_equal(flist_hardlink(out, c, (uint64_t)g->want[i].dev - 1, (uint64_t)g->want[i].ino), 0);
		assert_true(flist_write_entry(out, w, c));
	}
	flist_write_end(out, w, fl, io_error);
}

static void show_difference(const struct replay *p, const struct wr_mem *m)
{
	size_t n = wr_mem_len(m), i = 0;

	while (i < n && i < p->seg->len && m->base[i] == p->seg->bytes[i])
		i++;
	if (i == n && n == p->seg->len)
		return;
	print_error("%s list %d: differs at %zu of %zu (we wrote %zu)\n", p->ses->name, p->seg->dir_ndx, i, p->seg->len, n);
}

static bool refused(const struct session *ses)
{
	return strchr(ses->opts, 'p') != NULL;
}

static void replay(struct session *ses)
{
	struct replay *p = calloc(1, sizeof *p);
	struct flist_set *in, *out;
	struct budget b;
	struct err err = { 0 };
	struct wr_mem m;
	int64_t bytes = 0;

	budget_init(&b, 0, 0);
	p->ses = ses;
	in = flist_set_new(&ses->fmt, &b, true);
	out = flist_set_new(&ses->fmt, &b, false);
	flist_set_hooks(in, &(struct flist_hooks){ .ctx = p, .on_entry = on_entry, .read_acl = read_acl,
					     .read_xattr = read_xattr });
	flist_set_hooks(out, &(struct flist_hooks){ .ctx = p, .write_acl = write_acl, .write_xattr = write_xattr });
	for (int i = 0; i < 2; i++) {
		p->acls[i] = acl_tables_new(i ? out : in, &b);
		p->xattrs[i] = xattr_table_new(&b, NULL);
		assert_true(p->acls[i] && p->xattrs[i]);
	}
	flist_on_id(in, on_id, p);
	flist_name_source(out, name_of, p);
	wr_mem_init(&m, &b, &err);
	for (size_t i = 0; i < ses->n; i++) {
		struct seg *g = &ses->seg[i];
		struct flist *fl;
		int io_error = 0;
		struct rd r;

		p->seg = g;
		p->n = 0;
		rd_init_mem(&r, g->bytes, g->len, &err);
		fl = flist_read(in, &r, g->dir_ndx, &io_error);
		if (refused(ses)) {
			assert_null(fl);
			assert_int_equal(err.code, RX_PROTOCOL);
			break;
		}
		if (!fl)
			print_error("%s: %s\n", ses->name, err.text);
		assert_non_null(fl);
		assert_int_equal(rd_avail(&r), 0);
		check_list(p, in, fl);
		bytes += (int64_t)g->list_len;
		assert_int_equal(flist_set_stats(in)->bytes, bytes);
		wr_mem_clear(&m);
		encode_list(p, out, &m.w, io_error);
		show_difference(p, &m);
		assert_int_equal(wr_mem_len(&m), g->len);
		assert_memory_equal(m.base, g->bytes, g->len);
		assert_memory_equal(flist_set_stats(in), flist_set_stats(out), sizeof(struct flist_stats));
		assert_int_equal(flist_last(out)->count, fl->count);
		assert_int_equal(flist_last(out)->ndx_start, fl->ndx_start);
		for (int32_t k = 0; k < fl->count; k++) {
			assert_string_equal(flist_last(out)->sorted[k]->name, fl->sorted[k]->name);
			assert_string_equal(flist_last(out)->sorted[k]->dir->s, fl->sorted[k]->dir->s);
		}
	}
	for (int i = 0; i < 2; i++) {
		acl_tables_free(p->acls[i]);
		xattr_table_free(p->xattrs[i]);
	}
	flist_set_free(in);
	flist_set_free(out);
	wr_mem_free(&m);
	assert_int_equal(b.used, 0);
	for (size_t i = 0; i < 65536; i++) {
		free(p->names[0][i]);
		free(p->names[1][i]);
	}
	free(p);
}

static void sessions_decode_and_encode(void **state)
{
	size_t done = 0;

	(void)state;
	for (size_t i = 0; i < session_count; i++) {
		replay(&sessions[i]);
		done++;
	}
	assert_true(done > 60);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sessions_decode_and_encode),
	};

	session_count = load_sessions(DATA_DIR "/flist-sessions.txt", &sessions);
	if (session_count < 80)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
