/*
 * test_attr_wire.c - ACLs and extended attributes on the wire: the walk-throughs of spec 02 §15 and §16 byte by
 * byte, the tables, the exchange of long values, limits, and hostile input. Recorded lists: test_flist_replay.
 */
#include "config.h"
#include "testsuite/unit/unit.h"

#include <stdio.h>

#include "protocol/acl_wire.h"
#include "protocol/xattr_wire.h"
#include "testsuite/unit/flist_util.h"
#include "transfer/options.h"

static struct budget budget;
static struct err err;
static char last_name[256];

static const char *name_of(void *ctx, bool is_group, uint32_t id)
{
	(void)ctx;
	return id == 1 ? "daemon" : id == 2 && is_group ? "bin" : NULL;
}

static void on_id(void *ctx, bool is_group, uint32_t id, const char *name)
{
	(void)ctx;
	snprintf(last_name, sizeof last_name, "%c%u=%s", is_group ? 'g' : 'u', id, name);
}

struct env {
	struct flist_set *set;
	struct acl_tables *acls;
	struct xattr_table *xattrs;
	struct fent *dir, *file;
	struct wr_mem m;
};

static struct env *env_new(bool receiving, const struct xattr_limits *limits, bool numeric)
{
	struct flist_fmt fmt = { .proto = 32, .inc_recurse = true, .acls = true, .xattrs = true, .numeric_ids = numeric };
	struct env *e = calloc(1, sizeof *e);

	err = (struct err){ 0 };
	last_name[0] = '\0';
	e->set = flist_set_new(&fmt, &budget, receiving);
	e->acls = acl_tables_new(e->set, &budget);
	e->xattrs = xattr_table_new(&budget, limits);
	flist_name_source(e->set, name_of, NULL);
	flist_on_id(e->set, on_id, NULL);
	e->dir = calloc(1, sizeof *e->dir + 4);
	e->file = calloc(1, sizeof *e->file + 4);
	e->dir->mode = 040755;
	e->file->mode = 0100664;
	strcpy(e->dir->name, "d");
	strcpy(e->file->name, "f");
	wr_mem_init(&e->m, &budget, &err);
	return e;
}

static void env_free(struct env *e)
{
	acl_tables_free(e->acls);
	xattr_table_free(e->xattrs);
	flist_set_free(e->set);
	wr_mem_free(&e->m);
	free(e->dir->ext);
	free(e->file->ext);
	free(e->dir);
	free(e->file);
	free(e);
	assert_int_equal(budget.used, 0);
}

static struct fext *ext(struct fent *f)
{
	if (!f->ext)
		f->ext = calloc(1, sizeof *f->ext);
	f->ext->acl_access = f->ext->acl_default = f->ext->xattr = -1;
	return f->ext;
}

/* What was written since the last call, as hex; and the count that the writer gave. */
static void wrote(struct env *e, size_t bytes, const char *hex)
{
	uint8_t want[4096];
	size_t n = unhex(want, hex);

	assert_false(e->m.w.failed);
	assert_int_equal(wr_mem_len(&e->m), n);
	if (n)
		assert_memory_equal(e->m.base, want, n);
	assert_int_equal(bytes, n);
	wr_mem_clear(&e->m);
}

static struct rd reader(const char *hex)
{
	static uint8_t data[65536];
	struct rd r;

	err = (struct err){ 0 };
	rd_init_mem(&r, data, unhex(data, hex), &err);
	return r;
}

static struct fext got_acl(struct env *e, const struct fent *f, const char *hex)
{
	struct rd r = reader(hex);
	struct fext x = { .acl_access = -1, .acl_default = -1, .xattr = -1 };

	acl_read(e->acls, &r, f, &x);
	assert_false(r.failed);
	assert_int_equal(rd_avail(&r), 0);
	return x;
}

static void bad_acl(struct env *e, const struct fent *f, const char *hex, int code, const char *text)
{
	struct rd r = reader(hex);
	struct fext x = { .acl_access = -1, .acl_default = -1, .xattr = -1 };

	acl_read(e->acls, &r, f, &x);
	assert_true(r.failed);
	assert_int_equal(err.code, code);
	if (text)
		assert_non_null(strstr(err.text, text));
}

static const struct acl named = {
	.flags = ACLW_MASK_OBJ | ACLW_GROUP_OBJ | ACLW_NAMES, .group_obj = 4, .mask_obj = 6, .count = 2,
	.names = (struct acl_name[]){ { 2, 4, false }, { 1, 6, true } },
};
static const struct acl default_acl = {
	.flags = 0x1f, .user_obj = 7, .group_obj = 5, .mask_obj = 7, .other_obj = 5, .count = 1,
	.names = (struct acl_name[]){ { 1, 7, true } },
};

static void acls_are_written(void **state)
{
	struct env *e = env_new(false, NULL, false);
	struct acl reduced = named;
	struct fext *x;

	(void)state;
	wrote(e, acl_write(e->acls, &e->m.w, e->file), "0000");
	wrote(e, acl_write(e->acls, &e->m.w, e->file), "01");
	x = ext(e->dir);
	x->acl_default = acl_add(e->acls, true, &default_acl);
	/* spec 02 §15.2: the default ACL, and the name at its first use */
	wrote(e, acl_write(e->acls, &e->m.w, e->dir), "01" "001f07050705" "01" "011f06" "6461656d6f6e");
	reduced.flags &= (uint8_t)~ACLW_MASK_OBJ;
	x = ext(e->file);
	x->acl_access = acl_add(e->acls, false, &reduced);
	wrote(e, acl_write(e->acls, &e->m.w, e->file), "00" "12" "04" "02" "011a" "0211" "03" "62696e");
	assert_int_equal(acl_add(e->acls, false, &reduced), x->acl_access);
	wrote(e, acl_write(e->acls, &e->m.w, e->file), "02");
	/* values that the flags say nothing of do not make a difference */
	reduced.mask_obj = 1;
	assert_int_equal(acl_add(e->acls, false, &reduced), x->acl_access);
	assert_int_not_equal(acl_add(e->acls, false, &named), x->acl_access);
	wrote(e, acl_write(e->acls, &e->m.w, e->dir), "01" "01");
	ext(e->dir);
	wrote(e, acl_write(e->acls, &e->m.w, e->dir), "01" "0000");
	env_free(e);

	e = env_new(false, NULL, true);
	x = ext(e->file);
	x->acl_access = acl_add(e->acls, false, &named);
	wrote(e, acl_write(e->acls, &e->m.w, e->file), "00" "16" "04" "06" "02" "011a" "0210");
	env_free(e);
}

static uint32_t plus_thousand(void *ctx, bool is_group, uint32_t id)
{
	(*(int *)ctx)++;
	return id + (is_group ? 2000 : 1000);
}

static void acls_are_read(void **state)
{
	struct env *e = env_new(true, NULL, false);
	struct fext x = got_acl(e, e->file, "0000");
	const struct acl *a;
	int calls = 0;

	(void)state;
	assert_int_equal(x.acl_access, -1);
	assert_null(acl_get(e->acls, false, -1));
	x = got_acl(e, e->dir, "01" "001f07050705" "01" "011f06" "6461656d6f6e");
	assert_int_equal(x.acl_access, -1);
	assert_string_equal(last_name, "u1=daemon");
	a = acl_get(e->acls, true, x.acl_default);
	assert_int_equal(a->flags, 0x1f);
	assert_int_equal(a->count, 1);
	assert_int_equal(a->names[0].perm, 7);
	assert_true(a->names[0].is_user);
	/* no mask was sent: the group bits of the mode */
	x = got_acl(e, e->file, "00" "12" "04" "02" "011a" "021103" "62696e");
	assert_string_equal(last_name, "g2=bin");
	a = acl_get(e->acls, false, x.acl_access);
	assert_int_equal(a->flags, ACLW_GROUP_OBJ | ACLW_MASK_OBJ | ACLW_NAMES);
	assert_int_equal(a->mask_obj, 6);
	assert_int_equal(got_acl(e, e->file, "02").acl_access, x.acl_access);
	/* a default ACL without one: the union */
	x = got_acl(e, e->dir, "01" "001b" "070104" "02" "010a" "0210");
	assert_int_equal(acl_get(e->acls, true, x.acl_default)->mask_obj, 2 | 4 | 1);
	acl_map_ids(e->acls, plus_thousand, &calls);
	assert_int_equal(calls, 5);
	assert_int_equal(a->names[0].id, 1001);
	assert_int_equal(a->names[1].id, 2002);
	acl_map_ids(e->acls, plus_thousand, &calls);
	assert_int_equal(calls, 5);
	/* unknown flags are ignored; flags without names */
	x = got_acl(e, e->file, "00" "e2" "03");
	assert_int_equal(acl_get(e->acls, false, x.acl_access)->flags, ACLW_GROUP_OBJ);
	x = got_acl(e, e->file, "00" "1000");
	assert_int_equal(x.acl_access, -1);
	env_free(e);
}

static void hostile_acls(void **state)
{
	struct env *e = env_new(true, NULL, false);

	(void)state;
	got_acl(e, e->file, "0000");
	bad_acl(e, e->file, "02", RX_STREAMIO, "recv_acl_index: ACL_TYPE_ACCESS ACL index 2 > 1");
	bad_acl(e, e->file, "f0ffffffff", RX_STREAMIO, "ACL index -1 > 1");
	bad_acl(e, e->dir, "0101", RX_STREAMIO, "recv_acl_index: ACL_TYPE_DEFAULT ACL index 1 > 0");
	bad_acl(e, e->file, "000108", RX_STREAMIO, "recv_acl_access: value out of range: 8");
	bad_acl(e, e->file, "001001" "01" "22", RX_STREAMIO, "value out of range: 8");
	bad_acl(e, e->file, "0001f0ffffffff", RX_STREAMIO, "value out of range: ffffffff");
	bad_acl(e, e->file, "0010c10100", RX_PROTOCOL, "wire value ACL count out of range: 65537 not in [0,65536]");
	bad_acl(e, e->file, "0010f0ffffffff", RX_PROTOCOL, "wire value ACL count out of range: -1");
	bad_acl(e, e->file, "0010c10000" "0104", RX_STREAMIO, NULL);
	bad_acl(e, e->file, "001001" "0105" "03610a62", RX_PROTOCOL, "control byte");
	env_free(e);
}

/* ---- extended attributes ---- */

#define LONG_DIGEST "5b3a2a93e74c8b482e20699bbdfcbb91"
#define F1_LIST "0002" "0a28" "757365722e6c6f6e6700" LONG_DIGEST "0b03" "757365722e73686f727400" "616263"

static struct xattr f1_attrs[2] = {
	{ .name = "user.long", .name_len = 9, .len = 40,
	  .digest = { 0x5b, 0x3a, 0x2a, 0x93, 0xe7, 0x4c, 0x8b, 0x48, 0x2e, 0x20, 0x69, 0x9b, 0xbd, 0xfc, 0xbb, 0x91 } },
	{ .name = "user.short", .name_len = 10, .len = 3, .value = (const uint8_t *)"abc" },
};

static int32_t got_xattr(struct env *e, const char *hex)
{
	struct rd r = reader(hex);
	struct fext x;

	xattr_read(e->xattrs, &r, e->file, &x);
	assert_false(r.failed);
	assert_int_equal(rd_avail(&r), 0);
	return x.xattr;
}

static void bad_xattr(struct env *e, const char *hex, int code, const char *text)
{
	struct rd r = reader(hex);
	struct fext x;

	xattr_read(e->xattrs, &r, e->file, &x);
	assert_true(r.failed);
	assert_int_equal(err.code, code);
	if (text && !strstr(err.text, text))
		fail_msg("'%s' instead of '%s'", err.text, text);
}

static void lists_are_written_and_read(void **state)
{
	struct env *e = env_new(false, NULL, false);
	struct xattr_list *l;
	struct fext *x = ext(e->file);
	int32_t i;

	(void)state;
	wrote(e, xattr_write(e->xattrs, &e->m.w, e->dir), "0000");
	x->xattr = xattr_add(e->xattrs, f1_attrs, 2);
	assert_int_equal(xattr_add(e->xattrs, f1_attrs, 2), x->xattr);
	assert_int_not_equal(xattr_add(e->xattrs, f1_attrs, 1), x->xattr);
	wrote(e, xattr_write(e->xattrs, &e->m.w, e->file), F1_LIST);
	wrote(e, xattr_write(e->xattrs, &e->m.w, e->file), "02");
	wrote(e, xattr_write(e->xattrs, &e->m.w, e->dir), "01");
	for (int n = 0; n < 300; n++) {   /* many lists: found again */
		char name[16];
		struct xattr a = { .name = name, .name_len = (uint32_t)snprintf(name, sizeof name, "user.%d", n) };

		i = xattr_add(e->xattrs, &a, 1);
		assert_int_equal(xattr_add(e->xattrs, &a, 1), i);
		assert_string_equal(xattr_get(e->xattrs, i)->v[0].name, name);
	}
	env_free(e);

	e = env_new(true, NULL, false);
	assert_int_equal(got_xattr(e, "0000"), -1);
	i = got_xattr(e, F1_LIST);
	assert_int_equal(got_xattr(e, "02"), i);
	assert_int_equal(got_xattr(e, "01"), -1);
	l = xattr_get(e->xattrs, i);
	assert_int_equal(l->count, 2);
	assert_int_equal(l->v[0].state, XA_ABBREV);
	assert_int_equal(l->v[0].len, 40);
	assert_memory_equal(l->v[0].digest, f1_attrs[0].digest, 16);
	assert_int_equal(l->v[1].state, XA_FULL);
	assert_string_equal(l->v[1].name, "user.short");
	assert_int_equal(l->v[1].num, 2);
	assert_memory_equal(l->v[1].value, "abc", 3);
	env_free(e);
}

static void hostile_lists(void **state)
{
	struct env *e = env_new(true, NULL, false);
	const struct xattr_limits small = { .count = 1, .name = 12, .value = 64, .list = 70 };

	(void)state;
	bad_xattr(e, "01", RX_STREAMIO, "receive_xattr: xa index 1 out of range for f");
	bad_xattr(e, "f0ffffffff", RX_STREAMIO, "receive_xattr: xa index -1 out of range for f");
	bad_xattr(e, "00c10100", RX_PROTOCOL, "wire value xattr count out of range: 65537 not in [0,65536]");
	bad_xattr(e, "00f0ffffffff", RX_PROTOCOL, "wire value xattr count out of range: -1 not in [0,65536]");
	bad_xattr(e, "0001" "9001", RX_PROTOCOL, "wire size xattr name_len out of range: 4097 > 4096");
	bad_xattr(e, "0001" "f0ffffffff", RX_PROTOCOL, "wire size xattr name_len out of range: ");
	bad_xattr(e, "0001" "0000", RX_FILEIO, "Invalid xattr name received (missing trailing \\0).");
	bad_xattr(e, "0001" "0200" "6161", RX_FILEIO, "Invalid xattr name received (missing trailing \\0).");
	bad_xattr(e, "0001" "0400" "61006100", RX_PROTOCOL, "NUL byte");
	bad_xattr(e, "0001" "02" "f000000080" "6100", RX_PROTOCOL, "wire size xattr datum_len out of range: 2147483648 > 2147483647");
	bad_xattr(e, "0001" "02" "e8010000" "6100", RX_PROTOCOL, "xattr datum_len exceeds per-value limit");
	/* 128 MiB is allowed, and costs nothing; five of them are too much for a file */
#define HUGE_ATTR "02" "e8000000" "6100" LONG_DIGEST
	got_xattr(e, "0003" HUGE_ATTR HUGE_ATTR HUGE_ATTR);
	bad_xattr(e, "0005" HUGE_ATTR HUGE_ATTR HUGE_ATTR HUGE_ATTR HUGE_ATTR, RX_PROTOCOL, "xattr list exceeds per-file limit");
	bad_xattr(e, "00c10000" "0200" "6100", RX_STREAMIO, NULL);
	env_free(e);

	e = env_new(true, &small, false);
	bad_xattr(e, "0002", RX_PROTOCOL, "wire value xattr count out of range: 2 not in [0,1]");
	bad_xattr(e, "0001" "0d", RX_PROTOCOL, "wire size xattr name_len out of range: 13 > 12");
	bad_xattr(e, "0001" "0241", RX_PROTOCOL, "xattr datum_len exceeds per-value limit");
	bad_xattr(e, "0001" "0740", RX_PROTOCOL, "xattr list exceeds per-file limit");
	env_free(e);
}

static int load(void *ctx, const struct xattr *a, const uint8_t **value, size_t *len)
{
	const char *text = ctx;

	assert_string_equal(a->name, "user.long");
	if (!text)
		return -1;
	*value = (const uint8_t *)text;
	*len = strlen(text);
	return 0;
}

static void request_of(struct env *e, int32_t index, const char *hex)
{
	struct rd r = reader(hex);

	xattr_read_request(e->xattrs, &r, index, "f");
	assert_false(r.failed);
	assert_int_equal(rd_avail(&r), 0);
}

static void bad_request(struct env *e, int32_t index, const char *hex, const char *text)
{
	struct rd r = reader(hex);

	xattr_read_request(e->xattrs, &r, index, "f");
	assert_true(r.failed);
	assert_int_equal(err.code, RX_PROTOCOL);
	assert_non_null(strstr(err.text, text));
}

static void values_are_sent(void **state)
{
	struct env *e = env_new(false, NULL, false);
	int32_t i = xattr_add(e->xattrs, f1_attrs, 2);

	(void)state;
	xattr_write_reply(e->xattrs, &e->m.w, i, load, (void *)(uintptr_t)"none");
	wrote(e, 1, "00");
	request_of(e, i, "0100");
	xattr_write_reply(e->xattrs, &e->m.w, i, load, (void *)(uintptr_t)"a new value");
	wrote(e, 14, "01" "0b" "61206e65772076616c7565" "00");
	xattr_write_reply(e->xattrs, &e->m.w, i, load, (void *)(uintptr_t)"none");
	wrote(e, 1, "00");
	request_of(e, i, "0100");
	xattr_write_reply(e->xattrs, &e->m.w, i, load, NULL);
	wrote(e, 3, "01" "00" "00");
	request_of(e, -1, "00");
	bad_request(e, -1, "0100", "could not find xattr #1 for f");
	bad_request(e, i, "0300", "could not find xattr #3 for f");
	bad_request(e, i, "f0ffffffff", "could not find xattr #-1 for f");
	bad_request(e, i, "02", "internal abbrev error on f (user.short, len=3)!");
	bad_request(e, i, "01" "01", "internal abbrev error on f (user.short");
	env_free(e);

	e = env_new(false, NULL, false);
	i = xattr_add(e->xattrs, f1_attrs, 2);
	bad_request(e, i, "01" "f0ffffff7f", "xattr number overflow for f");
	env_free(e);
	e = env_new(false, NULL, false);
	i = xattr_add(e->xattrs, f1_attrs, 2);
	request_of(e, i, "0100");
	bad_request(e, i, "0100", "internal abbrev error on f (user.long, len=40)!");
	env_free(e);
}

static bool want_some(void *ctx, struct xattr *a)
{
	struct env *e = ctx;
	uint8_t *room;

	if (a->num != 3)
		return a->num != 5;
	room = xattr_room(e->xattrs, a->len);
	memset(room, 'x', a->len);
	xattr_set(a, room, a->len);
	return true;
}

#define ABBREV(c) "0228" c "00" LONG_DIGEST

static void values_are_received(void **state)
{
	struct env *e = env_new(true, NULL, false);
	int32_t i = got_xattr(e, "0006" ABBREV("61") "0201" "6200" "78" ABBREV("63") ABBREV("64") ABBREV("65") ABBREV("66"));
	struct xattr_list *l = xattr_get(e->xattrs, i);
	struct rd r;

	(void)state;
	l->v[3].drop = true;
	xattr_write_request(e->xattrs, &e->m.w, i, want_some, e);
	wrote(e, 3, "01" "05" "00");
	assert_int_equal(l->v[2].state, XA_FULL);
	assert_memory_equal(l->v[2].value, "xxxxx", 5);
	assert_int_equal(l->v[4].state, XA_ABBREV);
	/* another file with the same list asks for nothing of that */
	xattr_write_request(e->xattrs, &e->m.w, i, want_some, e);
	wrote(e, 1, "00");
	xattr_write_request(e->xattrs, &e->m.w, -1, NULL, NULL);
	wrote(e, 1, "00");
	r = reader("01" "03" "6e6577" "05" "00" "00");
	xattr_read_reply(e->xattrs, &r, i, "f");
	assert_false(r.failed);
	assert_int_equal(l->v[0].state, XA_FULL);
	assert_int_equal(l->v[0].len, 3);
	assert_memory_equal(l->v[0].value, "new", 3);
	assert_int_equal(l->v[5].state, XA_GONE);
	r = reader("01" "03" "6e6577" "00");
	xattr_read_reply(e->xattrs, &r, i, "f");
	assert_true(r.failed);
	assert_int_equal(err.code, RX_PROTOCOL);
	assert_non_null(strstr(err.text, "internal abbrev error on f (a"));
	env_free(e);
}

static void replies_have_limits(void **state)
{
	static const struct { const char *hex; int code; } bad[] = {
		{ "01" "e8010000", RX_PROTOCOL }, { "01" "f0ffffffff", RX_PROTOCOL }, { "02" "00", RX_PROTOCOL },
		{ "01" "e8000000" "00", RX_STREAMIO }, { "01" "c80000" "00", RX_STREAMIO }, { "01", RX_STREAMIO },
	};

	(void)state;
	for (size_t k = 0; k < ARRAY_SIZE(bad); k++) {
		struct env *e = env_new(true, NULL, false);
		int32_t i = got_xattr(e, "0001" ABBREV("61"));
		struct rd r;

		xattr_write_request(e->xattrs, &e->m.w, i, NULL, NULL);
		wr_mem_clear(&e->m);
		r = reader(bad[k].hex);
		xattr_read_reply(e->xattrs, &r, i, "f");
		assert_true(r.failed);
		assert_int_equal(err.code, bad[k].code);
		assert_int_equal(xattr_get(e->xattrs, i)->v[0].state, XA_WANTED);
		env_free(e);
	}
}

/* A value of several pieces arrives whole. */
static void large_values(void **state)
{
	struct env *e = env_new(true, NULL, false);
	int32_t i = got_xattr(e, "0001" ABBREV("61"));
	size_t len = 300000;
	uint8_t *value = malloc(len);
	struct xattr *a;
	struct rd r;

	(void)state;
	xattr_write_request(e->xattrs, &e->m.w, i, NULL, NULL);
	wr_mem_clear(&e->m);
	for (size_t k = 0; k < len; k++)
		value[k] = (uint8_t)(k * 7 + k / 256);
	wr_varint(&e->m.w, 1);
	wr_varint(&e->m.w, (int32_t)len);
	wr_bytes(&e->m.w, value, len);
	wr_varint(&e->m.w, 0);
	rd_init_mem(&r, e->m.base, wr_mem_len(&e->m), &err);
	xattr_read_reply(e->xattrs, &r, i, "f");
	assert_false(r.failed);
	a = xattr_get(e->xattrs, i)->v;
	assert_int_equal(a->len, len);
	assert_memory_equal(a->value, value, len);
	free(value);
	env_free(e);
}

static void memory_is_limited(void **state)
{
	struct env *e = env_new(true, NULL, false);
	struct rd r;
	struct fext x;
	size_t before = budget.used;

	(void)state;
	budget.total = before + 100;
	r = reader("0001" ABBREV("61"));
	xattr_read(e->xattrs, &r, e->file, &x);
	assert_int_equal(err.code, RX_MALLOC);
	r = reader("0010" "02" "0104" "0204");
	acl_read(e->acls, &r, e->file, &x);
	assert_int_equal(err.code, RX_MALLOC);
	assert_int_equal(acl_add(e->acls, false, &named), -1);
	assert_int_equal(xattr_add(e->xattrs, f1_attrs, 2), -1);
	budget.total = 0;
	env_free(e);
}

static void items_with_a_block(void **state)
{
	struct item linked = { .flags = ITEM_REPORT_XATTR | ITEM_XNAME_FOLLOWS | ITEM_LOCAL_CHANGE };
	struct item plain = { .flags = ITEM_REPORT_XATTR | ITEM_LOCAL_CHANGE }, none = { .flags = ITEM_TRANSFER };

	(void)state;
	assert_true(item_has_xattrs(&plain, 31, true, false, false));
	assert_false(item_has_xattrs(&plain, 31, false, false, true));
	assert_false(item_has_xattrs(&plain, 31, true, true, true));
	assert_false(item_has_xattrs(&none, 31, true, false, true));
	assert_false(item_has_xattrs(&linked, 31, true, false, false));
	assert_true(item_has_xattrs(&linked, 31, true, false, true));
	assert_true(item_has_xattrs(&linked, 30, true, false, false));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(acls_are_written),
		cmocka_unit_test(acls_are_read),
		cmocka_unit_test(hostile_acls),
		cmocka_unit_test(lists_are_written_and_read),
		cmocka_unit_test(hostile_lists),
		cmocka_unit_test(values_are_sent),
		cmocka_unit_test(values_are_received),
		cmocka_unit_test(replies_have_limits),
		cmocka_unit_test(large_values),
		cmocka_unit_test(memory_is_limited),
		cmocka_unit_test(items_with_a_block),
	};

	budget_init(&budget, 0, 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
