/* test_flist.c - order, duplicates, numbering, look-up, and the checks of spec 02 §18. */
#include "config.h"
#include "testsuite/unit/unit.h"

#include <stdio.h>

#include "base/say.h"
#include "testsuite/unit/flist_util.h"

static struct err err;
static struct flist_set *set;
static struct budget budget;
static char said[4096];

static void sink(void *ctx, enum say_kind kind, const char *text, size_t len)
{
	(void)ctx;
	(void)kind;
	snprintf(said, sizeof said, "%.*s", (int)len, text);
}

static struct flist_fmt fmt_of(int proto, bool inc)
{
	return (struct flist_fmt){ .proto = proto, .inc_recurse = inc, .varint_flags = proto >= 30, .links = true,
		.hard_links = true, .devices = true, .specials = true, .recurse = true };
}

static void open_set(const struct flist_fmt *f, bool receiving)
{
	flist_set_free(set);
	budget_init(&budget, 0, 0);
	err = (struct err){ 0 };
	said[0] = '\0';
	set = flist_set_new(f, &budget, receiving);
	assert_non_null(set);
}

static int teardown(void **state)
{
	(void)state;
	flist_set_free(set);
	set = NULL;
	return 0;
}

/* Reads a list written in hex; spaces and bars are ignored. */
static struct flist *read_hex(const char *hex, int32_t dir_ndx, int *io_error)
{
	static uint8_t b[65536];
	struct rd r;
	struct flist *fl;
	int bits = 0;

	rd_init_mem(&r, b, unhex(b, hex), &err);
	fl = flist_read(set, &r, dir_ndx, io_error ? io_error : &bits);
	if (fl)
		assert_int_equal(rd_avail(&r), 0);
	else
		assert_true(r.failed);
	return fl;
}

static void refuse(const struct flist_fmt *f, const char *hex, int code, const char *text)
{
	open_set(f, true);
	assert_null(read_hex(hex, -1, NULL));
	if (err.code != code || !strstr(err.text, text))
		print_error("got (%d) %s, not (%d) %s\n", err.code, err.text, code, text);
	assert_int_equal(err.code, code);
	assert_non_null(strstr(err.text, text));
}

/* ---- a list made from names; a trailing slash makes a directory ---- */

static void make_list(int proto, const char *const *names, size_t n, struct wr_mem *m)
{
	struct flist_fmt f = fmt_of(proto, false);
	struct flist_set *out = flist_set_new(&f, NULL, false);
	struct flist *fl = flist_begin(out, -1);

	wr_mem_init(m, NULL, &err);
	for (size_t i = 0; i < n; i++) {
		char name[4096];
		bool dir;
		char *slash;
		size_t len;
		struct fent *e;

		snprintf(name, sizeof name, "%s", names[i]);
		len = strlen(name);
		dir = name[len - 1] == '/' || !strcmp(name, ".");
		if (len > 1 && name[len - 1] == '/')
			name[len - 1] = '\0';
		slash = strrchr(name, '/');
		e = flist_add(out, slash ? flist_dir(out, name, (size_t)(slash - name)) : flist_dir(out, "", 0),
			slash ? slash + 1 : name, dir ? S_IFDIR | 0755 : S_IFREG | 0644);
		e->size = (int64_t)i;
		assert_true(flist_write_entry(out, &m->w, e));
	}
	flist_write_end(out, &m->w, fl, 0);
	assert_false(m->w.failed);
	flist_set_free(out);
}

static struct flist *read_mem(const struct wr_mem *m)
{
	struct rd r;
	int bits = 0;

	rd_init_mem(&r, m->base, wr_mem_len(m), &err);
	return flist_read(set, &r, -1, &bits);
}

/* ---- order ---- */

static void order_is_that_of_the_specification(void **state)
{
	static const char *const right[] = { ".", "-x", "a.b", "b", "z", "A/", "A/q", "a-b/", "a-b/f", "a/", "a/f",
		"a/sub/", "a/sub/f", "aa/" };
	static const char *const plain[] = { "-x", ".", "A", "A/q", "a", "a-b", "a-b/f", "a.b", "a/f", "a/sub", "a/sub/f",
		"aa", "b", "z" };
	const char *shuffled[ARRAY_SIZE(right)];
	struct flist_fmt f;
	struct flist *fl;
	struct wr_mem m;

	(void)state;
	for (int proto = 28; proto <= 32; proto += 4) {
		for (size_t round = 0; round < 50; round++) {
			memcpy(shuffled, right, sizeof right);
			srandom((unsigned)round);
			for (size_t i = ARRAY_SIZE(right) - 1; i; i--) {
				size_t j = (size_t)random() % (i + 1);
				const char *t = shuffled[i];
				shuffled[i] = shuffled[j];
				shuffled[j] = t;
			}
			make_list(proto, shuffled, ARRAY_SIZE(right), &m);
			f = fmt_of(proto, false);
			open_set(&f, true);
			fl = read_mem(&m);
			assert_non_null(fl);
			for (size_t i = 0; i < ARRAY_SIZE(right); i++) {
				char name[4096];

				wire_name(fl->sorted[i], name);
				if (proto >= 29 && FENT_IS_DIR(fl->sorted[i]) && strcmp(name, "."))
					strcat(name, "/");
				assert_string_equal(name, proto >= 29 ? right[i] : plain[i]);
			}
			wr_mem_free(&m);
		}
	}
}

static char *random_name(char *out, bool dir)
{
	static const char bytes[] = " !-.0AaZz\x7f\xe9~+";
	size_t n = 0;

	for (unsigned k = 0; k < 1 + (unsigned)random() % 3; k++) {
		size_t start = n;

		for (unsigned i = 0; i < 1 + (unsigned)random() % 11; i++)
			out[n++] = random() % 3 ? 'a' : bytes[(size_t)random() % (sizeof bytes - 1)];
		out[n] = '\0';
		if (!strcmp(out + start, ".") || !strcmp(out + start, ".."))
			out[start] = 'x';
		out[n++] = '/';
	}
	if (!dir)
		n--;
	out[n] = '\0';
	return out;
}

/* A random tree with all parents; names may repeat. */
static size_t random_tree(char (*names)[64], const char **list, size_t want)
{
	size_t n = 0;

	while (n < want) {
		char name[64];

		random_name(name, random() % 3 == 0);
		for (char *p = strchr(name, '/'); p && n < want; p = strchr(p + 1, '/')) {
			if (!p[1])
				break;
			snprintf(names[n], 64, "%.*s", (int)(p - name) + 1, name);
			list[n] = names[n];
			n++;
		}
		if (n < want) {
			strcpy(names[n], name);
			list[n] = names[n];
			n++;
		}
	}
	return n;
}

/* The sort agrees with fent_compare, is total and stable; the comparison is antisymmetric and transitive. */
static void order_holds_for_random_trees(void **state)
{
	enum { N = 700 };
	static char names[N][64];
	const char *list[N];

	(void)state;
	for (unsigned round = 0; round < 30; round++) {
		int proto = 27 + (int)(round % 6);
		struct flist_fmt f = fmt_of(proto, false);
		size_t n;
		struct wr_mem m;
		struct flist *fl;

		srandom(round + 99);
		n = random_tree(names, list, N);
		make_list(proto, list, n, &m);
		open_set(&f, true);
		fl = read_mem(&m);
		assert_non_null(fl);
		assert_int_equal(fl->count, n);
		for (size_t i = 1; i < n; i++) {
			int c = fent_compare(fl->sorted[i - 1], fl->sorted[i], proto);

			assert_true(c <= 0);
			if (!c)
				assert_true(fl->sorted[i - 1]->size < fl->sorted[i]->size);
		}
		for (unsigned k = 0; k < 3000; k++) {
			size_t i = (size_t)random() % n, j = (size_t)random() % n;
			int c = fent_compare(fl->sorted[i], fl->sorted[j], proto);
			int d = fent_compare(fl->sorted[j], fl->sorted[i], proto);

			assert_int_equal((c > 0) - (c < 0), (d < 0) - (d > 0));
			assert_true(i < j ? c <= 0 : i > j ? c >= 0 : c == 0);
		}
		for (size_t i = 0; i < n; i++) {
			struct fent *e = fl->sorted[i], *hit = flist_lookup(set, fl, e->dir->s, e->name);

			if (!(e->flags & FENT_CLEARED)) {
				assert_ptr_equal(hit, e);
			} else {
				assert_non_null(hit);
				assert_string_equal(hit->name, e->name);
			}
		}
		assert_null(flist_lookup(set, fl, "", "no such name"));
		assert_null(flist_lookup(set, fl, "no such directory", "a"));
		wr_mem_free(&m);
	}
}

static void large_directory_sorts_in_any_input_order(void **state)
{
	enum { N = 20000, MANY = 70000 }; /* many: more than are sorted at a time */
	static char names[MANY][64];
	static const char *list[MANY];
	struct flist_fmt f = fmt_of(32, false);
	struct wr_mem many;
	struct flist *all;

	(void)state;
	/* Names that begin with one another, some of them twice, in every other place a directory. */
	for (unsigned i = 0; i < MANY; i++) {
		snprintf(names[i], 64, "same%.*x%s", (int)(i % 3), i * 7919 % (MANY / 8), i % 2 ? "/" : "");
		list[i] = names[i];
	}
	make_list(32, list, MANY, &many);
	open_set(&f, true);
	all = read_mem(&many);
	assert_non_null(all);
	for (unsigned i = 1; i < MANY; i++) {
		int c = fent_compare(all->sorted[i - 1], all->sorted[i], 32);

		assert_true(c < 0 || (c == 0 && all->sorted[i - 1]->size < all->sorted[i]->size));
	}
	wr_mem_free(&many);
	for (int kind = 0; kind < 4; kind++) {
		struct wr_mem m;
		struct flist *fl;

		for (unsigned i = 0; i < N; i++) {
			unsigned v = kind == 0 ? i : kind == 1 ? N - 1 - i : kind == 2 ? i * 7919 % N : i ^ 1;

			snprintf(names[i], 64, "a-long-common-prefix-%08u", v);
			list[i] = names[i];
		}
		make_list(32, list, N, &m);
		open_set(&f, true);
		fl = read_mem(&m);
		assert_non_null(fl);
		for (unsigned i = 0; i < N; i++) {
			snprintf(names[0], 64, "a-long-common-prefix-%08u", i);
			assert_string_equal(fl->sorted[i]->name, names[0]);
		}
		wr_mem_free(&m);
	}
}

/* A million empty files must cost less than 82 bytes each beside their names, sorting included. */
static void entries_are_compact(void **state)
{
	enum { N = 1000000, NAME = 10 };
	struct flist_fmt f = fmt_of(32, false);
	uint8_t *b = malloc((size_t)N * 24 + 64), *p = b;
	struct flist *fl;
	struct rd r;
	int bits = 0;

	(void)state;
	for (unsigned i = 0; i < N; i++) {
		char name[16];

		snprintf(name, sizeof name, "f%09u", i * 31 % N);
		*p++ = i ? 0x9a : 0x18;    /* the first one has mode and time */
		*p++ = NAME;
		p = mempcpy(p, name, NAME);
		p = mempcpy(p, "\0\0\0\x40\0\0\0\xa4\x81\0\0", i ? 3 : 11);
	}
	*p++ = 0;
	f.varint_flags = false;
	open_set(&f, true);
	budget.total = (size_t)N * (82 + NAME);
	rd_init_mem(&r, b, (size_t)(p - b), &err);
	fl = flist_read(set, &r, -1, &bits);
	if (!fl)
		print_error("%s\n", err.text);
	assert_non_null(fl);
	assert_int_equal(fl->count, N);
	assert_string_equal(fl->sorted[12345]->name, "f000012345");
	free(b);
}

/* ---- duplicates and numbers: spec 02 §8 and §21.11 ---- */

static const char dup_first[] =
	"19|01|2e|000010|65800092|ed410000 8098|01|66|000200|a4810000 809a|03|796432|000200 8098|04|626f7468|000010|ed410000"
	"809a|02|7864|000010 809b|01|2e|000010 809a|02|7964|000010 8098|01|66|000300|a4810000 8098|03|796432|000010|ed410000"
	"809a|04|626f7468|000010 00|00";

static void duplicates_leave_holes(void **state)
{
	static const char *const sorted[] = { ".", ".", "f", "f", "yd2", "both", "both", "xd", "yd", "yd2" };
	static const char *const dirs[] = { ".", ".", "both", "both", "xd", "yd", "yd2" };
	struct flist_fmt f = fmt_of(32, true);
	struct flist *fl, *sub;

	(void)state;
	f.links = f.hard_links = f.devices = f.specials = false;
	open_set(&f, true);
	fl = read_hex(dup_first, -1, NULL);
	assert_non_null(fl);
	assert_int_equal(fl->ndx_start, 1);
	assert_int_equal(fl->count, 10);
	for (int i = 0; i < 10; i++) {
		bool hole = i == 1 || i == 3 || i == 4 || i == 6;

		assert_string_equal(fl->sorted[i]->name, sorted[i]);
		assert_int_equal(!hole, flist_entry(fl, i + 1) != NULL);
	}
	assert_int_equal(flist_dir_count(set), 7);
	for (int i = 0; i < 7; i++)
		assert_string_equal(flist_dir_entry(set, i)->name, dirs[i]);
	assert_null(flist_dir_entry(set, 7));
	assert_ptr_equal(flist_entry(fl, 0), fl->sorted[0]);

	sub = read_hex("80b8|04|06|2f6f6e6c7931|000200|a4810000 80ba|05|01|63|000200 80ba|05|05|6f6e6c7932|000200"
		"80ba|05|01|63|000300 00|00", 2, NULL);
	/* the prefix lengths above refer to "both", the last name of the first list */
	assert_non_null(sub);
	assert_int_equal(sub->ndx_start, 12);
	assert_int_equal(sub->count, 4);
	assert_ptr_equal(sub->parent, fl->sorted[5]);
	assert_ptr_equal(flist_find(set, 11), sub);
	assert_ptr_equal(flist_entry(sub, 11), fl->sorted[5]);
	assert_null(flist_entry(sub, 13));
	assert_ptr_equal(flist_find(set, 10), fl);
	assert_null(flist_find(set, 16));
	assert_non_null(read_hex("00|00", 4, NULL));
	assert_int_equal(flist_last(set)->ndx_start, 17);
	assert_non_null(flist_find(set, 16));
	assert_null(read_hex("00|00", 3, NULL));
	assert_string_equal(err.text, "refusing flist for cleared dir_ndx 3");
	err = (struct err){ 0 };
	assert_null(read_hex("00|00", 4, NULL));
	assert_string_equal(err.text, "refusing malicious duplicate flist for dir 4");
	assert_int_equal(err.code, RX_PROTOCOL);
	err = (struct err){ 0 };
	assert_null(read_hex("00|00", 7, NULL));
	assert_non_null(strstr(err.text, "Invalid dir index: -108 (-101 - -107)"));
	err = (struct err){ 0 };
	flist_drop_first(set);
	assert_null(flist_find(set, 3));
	assert_ptr_equal(flist_find(set, 13), sub);
	flist_drop_first(set);
	flist_drop_first(set);
	assert_null(flist_find(set, 13));
	assert_string_equal(flist_dir_entry(set, 2)->name, "both");
	assert_null(read_hex("00|00", 5, NULL));
	assert_string_equal(err.text, "refusing sub-flist after final flist was freed");
}

static void sender_marks_second_directories(void **state)
{
	static const char *const names[] = { ".", "f", "both/", "x/", "f", "both/" };
	struct flist_fmt f = fmt_of(32, true);
	struct flist *fl;
	struct wr_mem m;

	(void)state;
	open_set(&f, false);
	wr_mem_init(&m, NULL, &err);
	fl = flist_begin(set, -1);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		char name[16];
		bool dir = strchr(names[i], '/') || names[i][0] == '.';

		snprintf(name, sizeof name, "%.*s", (int)strcspn(names[i], "/"), names[i]);
		flist_write_entry(set, &m.w, flist_add(set, flist_dir(set, "", 0), name, dir ? S_IFDIR | 0755 : S_IFREG | 0644));
	}
	flist_write_end(set, &m.w, fl, 0);
	assert_int_equal(fl->count, 6);
	assert_int_equal(fl->sorted[3]->flags & FENT_DUP_DIR, 0);
	assert_int_equal(fl->sorted[4]->flags & FENT_DUP_DIR, FENT_DUP_DIR);
	assert_non_null(flist_entry(fl, 3));
	wr_mem_free(&m);
}

/* ---- checks ---- */

#define FILE_TAIL "000000|00000000|a4810000"
#define END "00|00"

static void hostile_names_are_refused(void **state)
{
	struct flist_fmt f = fmt_of(32, false), rel = f, old = fmt_of(29, false);

	(void)state;
	rel.relative = true;
	open_set(&f, true);
	assert_non_null(read_hex("18|01|66|" FILE_TAIL END, -1, NULL));
	refuse(&f, "18|02|2e2e|" FILE_TAIL END, 4, "ABORTING due to unsafe pathname from sender: ..");
	refuse(&f, "18|05|612f2e2e62|" FILE_TAIL "18|04|612f2e2e|" FILE_TAIL END, 4, "ABORTING due to unsafe pathname from sender: a/..");
	refuse(&f, "18|04|2e2e2f61|" FILE_TAIL END, 4, "unsafe pathname");
	refuse(&rel, "18|06|612f2e2e2f62|" FILE_TAIL END, 4, "unsafe pathname");
	refuse(&f, "18|02|2f61|" FILE_TAIL END, 4, "ABORTING due to unsafe pathname from sender: /a");
	open_set(&rel, true);
	assert_non_null(read_hex("18|02|2f61|" FILE_TAIL END, -1, NULL));
	refuse(&f, "18|01|2e|" FILE_TAIL END, 2, "ERROR: rejecting non-directory transfer-root entry: .");
	refuse(&rel, "18|02|2f2e|" FILE_TAIL END, 2, "ERROR: rejecting non-directory transfer-root entry: /.");
	refuse(&f, "18|03|610062|" FILE_TAIL END, 2, "NUL byte in a file name");
	refuse(&f, "38|01|01|66|" FILE_TAIL END, 2, "name prefix of 1 bytes");
	/* a prefix that is longer than the name before, in the middle of a list */
	refuse(&f, "18|01|66|" FILE_TAIL "38|02|01|66|" FILE_TAIL END, 2, "name prefix of 2 bytes");
	/* 4096 bytes; and a negative length */
	refuse(&f, "58|9000|61", 22, "buffer overflow");
	assert_non_null(strstr(said, "overflow: xflags=0x58 l1=0 l2=4096 lastname= ["));
	refuse(&f, "58|f0ffffffff", 22, "buffer overflow");
	refuse(&old, "58|ffffffff", 22, "buffer overflow");
	/* a name cannot be trusted because the one before was clean */
	refuse(&f, "18|03|612f62|" FILE_TAIL "38|02|02|2e2e" FILE_TAIL END, 4, "a/..");
}

static void names_are_cleaned(void **state)
{
	struct flist_fmt f = fmt_of(32, false);
	struct flist *fl;
	char name[4096];

	(void)state;
	open_set(&f, true);
	fl = read_hex("18|09|2e2f612f2f622f2e2f|000000|00000000|ed410000" /* ./a//b/./ */
		"18|03|612f2f|000000|00000000|ed410000" END, -1, NULL);
	assert_non_null(fl);
	assert_int_equal(fl->count, 2);
	wire_name(fl->sorted[0], name);
	assert_string_equal(name, "a");
	wire_name(fl->sorted[1], name);
	assert_string_equal(name, "a/b");
	/* nothing at all: a hole that sorts first */
	open_set(&f, true);
	fl = read_hex("18|01|66|" FILE_TAIL "18|00|" FILE_TAIL END, -1, NULL);
	assert_non_null(fl);
	assert_int_equal(fl->count, 2);
	assert_null(flist_entry(fl, 0));
	assert_string_equal(flist_entry(fl, 1)->name, "f");
}

static void hostile_fields_are_refused(void **state)
{
	struct flist_fmt f = fmt_of(32, false), old = fmt_of(29, false), bytes = fmt_of(30, false), missing = f;

	(void)state;
	refuse(&f, "18|01|66|000000|00000000|00000000" END, 2, "invalid file mode 00 for f [");
	refuse(&f, "18|01|66|000000|00000000|a4910000" END, 2, "invalid file mode 0110644 for f [");
	refuse(&f, "1a|01|66|000000|00000000" END, 2, "invalid file mode 00 for f [");
	missing.delete_missing_args = true;
	open_set(&missing, true);
	assert_non_null(read_hex("809a|01|66|000000" END, -1, NULL));
	assert_true(flist_first(set)->sorted[0]->flags & FENT_MISSING);
	refuse(&f, "18|01|66|fcffffffffffffffff|00000000|a4810000" END, 4, "Offset underflow: file-length is negative");
	refuse(&old, "18|01|66|ffffffffffffffffffffffff|00000000|a4810000" END, 4, "Offset underflow");
	refuse(&old, "18|01|66|feffffff|00000000|a4810000" END, 4, "Offset underflow");
	refuse(&f, "a018|01|66|000000|00000000|f000ca9a3b|a4810000" END, 2, "wire value modtime_nsec out of range: 1000000000 not in [0,999999999] [");
	refuse(&f, "a018|01|66|000000|00000000|f0ffffffff|a4810000" END, 2, "modtime_nsec out of range: -1");
	refuse(&f, "18|01|66|000000|00000000|ffa10000|9000" END, 22, "overflow: linkname_len=4096");
	refuse(&f, "18|01|66|000000|00000000|ffa10000|f0ffffffff" END, 22, "overflow: linkname_len=-1");
	refuse(&f, "18|01|66|000000|00000000|ffa10000|03610062" END, 2, "NUL byte in a symlink target");
	open_set(&f, true);
	assert_non_null(read_hex("18|01|66|000000|00000000|ffa10000|00" END, -1, NULL));
	assert_int_equal(flist_first(set)->sorted[0]->ext->link_len, 0);
	bytes.varint_flags = false;
	refuse(&bytes, "0410|01", 2, "Invalid flist flag: 1004");
	refuse(&f, "f8", 12, "Overflow in read_varint()");
	refuse(&f, "18|01|66|000000", 12, "");
	f.max_entries = 1;
	refuse(&f, "18|01|66|" FILE_TAIL "18|01|67|" FILE_TAIL END, 22, "file list has grown too large to expand");
}

static void hostile_links_are_refused(void **state)
{
	struct flist_fmt f = fmt_of(32, false), inc = fmt_of(32, true);
	struct flist *fl;

	(void)state;
	/* to itself, beyond, negative */
	refuse(&f, "8218|01|66|00" END, 2, "hard-link reference out of range: 0 (0)");
	refuse(&f, "9218|01|66|" FILE_TAIL "8218|01|67|01" END, 2, "hard-link reference out of range: 1 (1)");
	refuse(&f, "8218|01|66|f0ffffffff" END, 2, "hard-link reference out of range: -1 (0)");
	/* to an ordinary entry; a directory */
	refuse(&f, "18|01|66|" FILE_TAIL "8218|01|67|00" END, 2, "no first link");
	refuse(&f, "9218|01|66|000000|00000000|ed410000" END, 2, "hard-linked directory");
	/* to an earlier list: declared or not; number 0 */
	for (int number = 0; number < 3; number++) {
		char hex[64];

		open_set(&inc, true);
		fl = read_hex("9218|01|66|" FILE_TAIL "18|01|64|000000|00000000|ed410000" END, -1, NULL);
		assert_non_null(fl);
		snprintf(hex, sizeof hex, "8218|03|642f67|%02x|" FILE_TAIL END, (unsigned)number);
		fl = read_hex(hex, 0, NULL);
		if (number == 1) {
			assert_non_null(fl);
			assert_int_equal(fl->sorted[0]->ext->hl_group, 1);
		} else {
			assert_null(fl);
			assert_int_equal(err.code, 2);
			assert_non_null(strstr(err.text, "precedes flist start 4"));
		}
	}
	/* without -H the reference is read and means nothing */
	inc.hard_links = false;
	open_set(&inc, true);
	fl = read_hex("9218|01|66|000700|00000000|a4810000" "8218|01|67|01" END, -1, NULL);
	assert_non_null(fl);
	assert_int_equal(fl->sorted[1]->size, 7);
	assert_int_equal(fl->sorted[1]->flags & FENT_HLINKED, 0);
	assert_null(fl->sorted[1]->ext);
}

static void parents_are_checked(void **state)
{
	struct flist_fmt f = fmt_of(32, false), inc = fmt_of(32, true), rel = f, missing = f, old = fmt_of(28, false);

	(void)state;
	refuse(&f, "18|03|642f66|" FILE_TAIL END, 2, "ABORTING due to invalid path from sender: d/f");
	refuse(&old, "18|03|642f66|00000000|00000000|a4810000|00" "00000000", 2, "ABORTING due to invalid path from sender: d/f");
	/* the parent is a file */
	refuse(&f, "18|01|64|" FILE_TAIL "18|03|642f66|" FILE_TAIL END, 2, "invalid path from sender: d/f");
	/* order on the wire does not matter */
	open_set(&f, true);
	assert_non_null(read_hex("18|03|642f66|" FILE_TAIL "18|01|64|000000|00000000|ed410000" END, -1, NULL));
	missing.delete_missing_args = true;
	open_set(&missing, true);
	assert_non_null(read_hex("809a|03|642f66|000000" END, -1, NULL));
	assert_string_equal(said, "WARNING: parent dir is absent in the file list: d");
	rel.relative = true;
	open_set(&rel, true);
	assert_non_null(read_hex("18|04|2f642f66|" FILE_TAIL "18|01|64|000000|00000000|ed410000" END, -1, NULL));
	refuse(&inc, "18|03|642f66|" FILE_TAIL END, 4, "ABORTING due to invalid path from sender: d/f");
	open_set(&inc, true);
	assert_non_null(read_hex("18|01|2e|000000|00000000|ed410000" "18|01|64|000000|00000000|ed410000" END, -1, NULL));
	assert_null(read_hex("18|03|652f66|" FILE_TAIL END, 1, NULL));
	assert_int_equal(err.code, 4);
	assert_string_equal(err.text, "ABORTING due to invalid path from sender: e/f");
	err = (struct err){ 0 };
	assert_null(read_hex("18|01|66|" FILE_TAIL END, 0, NULL));
	assert_int_equal(err.code, 4);
	/* a second first list, a sub-list without incremental recursion */
	open_set(&f, true);
	assert_non_null(read_hex(END, -1, NULL));
	assert_null(read_hex(END, -1, NULL));
	assert_int_equal(err.code, 2);
	open_set(&f, true);
	assert_null(read_hex(END, 0, NULL));
	assert_non_null(strstr(err.text, "Invalid file index: -101 "));
}

static void io_errors_are_masked(void **state)
{
	struct flist_fmt f = fmt_of(32, false), old = fmt_of(29, false), bytes = f;
	int bits = 0;

	(void)state;
	open_set(&f, true);
	assert_non_null(read_hex("00|f0ffffff7f", -1, &bits));
	assert_int_equal(bits, 7);
	bits = 0;
	f.ignore_errors = true;
	open_set(&f, true);
	assert_non_null(read_hex("00|01", -1, &bits));
	assert_int_equal(bits, 0);
	open_set(&old, true);
	assert_non_null(read_hex("00|f9000000", -1, &bits));
	assert_int_equal(bits, 1);
	bits = 0;
	bytes.varint_flags = false;
	open_set(&bytes, true);
	assert_non_null(read_hex("0410|02", -1, &bits));
	assert_int_equal(bits, 2);
}

static void budget_ends_a_list(void **state)
{
	struct flist_fmt f = fmt_of(32, false);
	static char hex[65536 + 16];
	size_t n = 0;

	(void)state;
	for (int i = 0; i < 1000; i++)
		n += (size_t)sprintf(hex + n, "18|04|%08x|" FILE_TAIL, 0x61616161 + (i & 15) + ((i >> 4 & 15) << 8) + (i >> 8 << 16));
	strcpy(hex + n, END);
	for (size_t total = 20000; total < 120000; total += 1777) {
		flist_set_free(set);
		set = NULL;
		err = (struct err){ 0 };
		budget_init(&budget, total, 0);
		set = flist_set_new(&f, &budget, true);
		if (!set)
			continue;
		if (!read_hex(hex, -1, NULL)) {
			assert_int_equal(err.code, RX_MALLOC);
			assert_non_null(strstr(err.text, "exceeded the memory limit"));
		} else {
			assert_int_equal(flist_first(set)->count, 1000);
		}
	}
	flist_set_free(set);
	set = NULL;
	assert_int_equal(budget.used, 0);
}

/* ---- id names ---- */

static void id_names_are_checked(void **state)
{
	struct flist_fmt f = fmt_of(32, false);

	(void)state;
	f.uid = f.gid = true;
	refuse(&f, END "01|03|6162", 12, "");
	refuse(&f, END "01|03|610162|00|00", 2, "control byte");
	open_set(&f, true);
	assert_non_null(read_hex(END "f0ffffffff|03|610062|00|00", -1, NULL));
}

static void dirs_of_old_protocols_get_content(void **state)
{
	struct flist_fmt f = fmt_of(29, false);
	struct flist *fl;

	(void)state;
	f.hard_links = false;
	open_set(&f, true);
	/* src (top), src/a: content; rel: TOP d/e, then d/f is outside of it */
	fl = read_hex("19|01|73|00000000|00000000|ed410000 ba|01|02|2f61|00000000 00|00000000", -1, NULL);
	assert_non_null(fl);
	assert_int_equal(fl->sorted[0]->flags, FENT_TOP_DIR | FENT_CONTENT);
	assert_int_equal(fl->sorted[1]->flags, FENT_CONTENT);
	f.relative = true;
	open_set(&f, true);
	fl = read_hex("18|01|64|00000000|00000000|ed410000 bb|01|02|2f65|00000000 ba|03|02|2f78|00000000 ba|02|01|66|00000000"
		"ba|03|02|2f79|00000000 00|00000000", -1, NULL);
	assert_non_null(fl);
	assert_int_equal(fl->count, 5);
	assert_int_equal(fl->sorted[0]->flags, 0);
	assert_int_equal(fl->sorted[1]->flags, FENT_TOP_DIR | FENT_CONTENT);
	assert_int_equal(fl->sorted[2]->flags, FENT_CONTENT);
	assert_int_equal(fl->sorted[3]->flags, 0);
	assert_int_equal(fl->sorted[4]->flags, 0);
}

/* ---- --iconv ---- */

static int upper(void *ctx, const char *in, size_t len, char *out)
{
	(void)ctx;
	for (size_t i = 0; i < len; i++) {
		if (in[i] == '?')
			return -1;
		out[i] = in[i] >= 'a' && in[i] <= 'z' ? (char)(in[i] - 32) : in[i];
	}
	return (int)len;
}

static int lower(void *ctx, const char *in, size_t len, char *out)
{
	(void)ctx;
	for (size_t i = 0; i < len; i++) {
		if (in[i] == '!')
			return -1;
		out[i] = in[i] >= 'A' && in[i] <= 'Z' ? (char)(in[i] + 32) : in[i];
	}
	return (int)len;
}

static void names_are_converted(void **state)
{
	static const char *const names[] = { "zz", "b?d", "q!", "aa" };
	struct flist_fmt f = fmt_of(32, true);
	struct flist_set *out;
	struct flist *fl;
	struct wr_mem m;
	struct fent *e;
	int bits = 0;
	struct rd r;

	(void)state;
	f.wire_order = true;
	out = flist_set_new(&f, NULL, false);
	flist_set_hooks(out, &(struct flist_hooks){ .name_out = upper });
	wr_mem_init(&m, NULL, &err);
	fl = flist_begin(out, -1);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		e = flist_add(out, flist_dir(out, "", 0), names[i], S_IFREG | 0644);
		/* a first link that is taken back passes its place on */
		if (i == 1 || i == 3)
			flist_hardlink(out, e, 1, 2);
		assert_int_equal(flist_write_entry(out, &m.w, e), i != 1);
	}
	assert_true(e->flags & FENT_HLINK_FIRST);
	assert_int_equal(e->ext->hl_group, 3);
	flist_write_end(out, &m.w, fl, 0);
	assert_int_equal(fl->count, 3);
	assert_non_null(memmem(m.base, wr_mem_len(&m), "ZZ", 2));

	open_set(&f, true);
	flist_set_hooks(set, &(struct flist_hooks){ .name_in = lower });
	rd_init_mem(&r, m.base, wr_mem_len(&m), &err);
	fl = flist_read(set, &r, -1, &bits);
	assert_non_null(fl);
	assert_int_equal(bits, 1);
	assert_string_equal(flist_entry(fl, 1)->name, "zz");
	assert_null(flist_entry(fl, 2));
	assert_string_equal(flist_entry(fl, 3)->name, "aa");
	assert_string_equal(fl->walk[1]->name, "aa");
	assert_string_equal(fl->walk[2]->name, "zz");
	assert_ptr_equal(flist_lookup(set, fl, "", "aa"), fl->walk[1]);
	flist_set_free(out);
	wr_mem_free(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(order_is_that_of_the_specification, teardown),
		cmocka_unit_test_teardown(order_holds_for_random_trees, teardown),
		cmocka_unit_test_teardown(large_directory_sorts_in_any_input_order, teardown),
		cmocka_unit_test_teardown(entries_are_compact, teardown),
		cmocka_unit_test_teardown(duplicates_leave_holes, teardown),
		cmocka_unit_test_teardown(sender_marks_second_directories, teardown),
		cmocka_unit_test_teardown(hostile_names_are_refused, teardown),
		cmocka_unit_test_teardown(names_are_cleaned, teardown),
		cmocka_unit_test_teardown(hostile_fields_are_refused, teardown),
		cmocka_unit_test_teardown(hostile_links_are_refused, teardown),
		cmocka_unit_test_teardown(parents_are_checked, teardown),
		cmocka_unit_test_teardown(io_errors_are_masked, teardown),
		cmocka_unit_test_teardown(budget_ends_a_list, teardown),
		cmocka_unit_test_teardown(id_names_are_checked, teardown),
		cmocka_unit_test_teardown(dirs_of_old_protocols_get_content, teardown),
		cmocka_unit_test_teardown(names_are_converted, teardown),
	};

	say_set_sink(sink, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
