/*
 * test_memory.c - what runs out of its budget anywhere on the way ends cleanly: with each limit from nothing up to what is
 * enough, the error says memory, and everything is given back.
 */
#include "config.h"
#include "testsuite/unit/unit.h"

#include <errno.h>

#include "base/say.h"
#include "daemon/conf.h"
#include "delta/sums.h"
#include "filter/filter.h"
#include "protocol/acl_wire.h"
#include "protocol/xattr_wire.h"
#include "session/options.h"
#include "testsuite/unit/flist_util.h"

#define MOST ((size_t)8 << 20)

static void quiet(void *ctx, enum say_kind kind, const char *text, size_t len)
{
	(void)ctx;
	(void)kind;
	(void)text;
	(void)len;
}

/* ---- file lists ---- */

struct tables {
	struct acl_tables *acls;
	struct xattr_table *xattrs;
};

static void read_acl(void *ctx, struct rd *r, struct fent *e, struct fext *x)
{
	acl_read(((struct tables *)ctx)->acls, r, e, x);
}

static void read_xattr(void *ctx, struct rd *r, struct fent *e, struct fext *x)
{
	xattr_read(((struct tables *)ctx)->xattrs, r, e, x);
}

/* The exit code of reading every list of a session with that much memory. */
static int read_session(const struct session *ses, size_t total)
{
	struct err err = { 0 };
	struct flist_set *set;
	struct tables t = { 0 };
	struct budget b;
	int code = RX_MALLOC, bits = 0;

	budget_init(&b, total, 0);
	set = flist_set_new(&ses->fmt, &b, true);
	if (set) {
		t.acls = acl_tables_new(set, &b);
		t.xattrs = xattr_table_new(&b, NULL);
	}
	if (t.acls && t.xattrs) {
		code = 0;
		flist_set_hooks(set, &(struct flist_hooks){ .ctx = &t, .read_acl = read_acl, .read_xattr = read_xattr });
		for (size_t i = 0; i < ses->n && !code; i++) {
			struct rd r;

			rd_init_mem(&r, ses->seg[i].bytes, ses->seg[i].len, &err);
			if (!flist_read(set, &r, ses->seg[i].dir_ndx, &bits)) {
				assert_true(r.failed);
				code = err.code;
			}
		}
	}
	if (t.acls)
		acl_tables_free(t.acls);
	if (t.xattrs)
		xattr_table_free(t.xattrs);
	if (set)
		flist_set_free(set);
	assert_int_equal(b.used, 0);
	return code;
}

static void file_lists(void **state)
{
	static struct session *all;            /* never freed */
	size_t n = load_sessions(DATA_DIR "/flist-sessions.txt", &all), incremental = 0, used = 0;

	(void)state;
	assert_true(n > 40);
	for (size_t i = 0; i < n; i++) {
		const struct session *s = &all[i];
		size_t total = 0, failures = 0;
		int code;

		/* Those with attributes, hard links or more than one list. */
		if (!(s->fmt.acls || s->fmt.xattrs || s->fmt.hard_links || s->n > 1) || strchr(s->opts, 'p'))
			continue;
		while ((code = read_session(s, total ? total : 1)) != 0) {
			assert_int_equal(code, RX_MALLOC);
			failures++;
			total += 512;
			assert_true(total < MOST);
		}
		assert_true(failures > 4);
		incremental += s->n > 1;
		used++;
	}
	assert_true(used >= 10 && incremental >= 2);
}

/* ---- filter rules and merge files ---- */

static int give_rules(struct buf *out, const char *name)
{
	if (strcmp(name, ".rules") != 0)
		return -ENOENT;
	buf_adds(out, "- a*\n+ b/c\n!\n- [x-z]?\n# comment\n- **/deep/*/er\nP,p hidden\n");
	return 0;
}

static int give_file(void *ctx, const char *dir, const char *name, struct buf *out)
{
	(void)ctx;
	(void)dir;
	return give_rules(out, name);
}

static int give_named(void *ctx, const char *path, struct buf *out)
{
	(void)ctx;
	return give_rules(out, path);
}

static int build_and_walk(size_t total)
{
	static const char *const rules[] = { "- *.o", "+ /keep/**", "P x", ": .rules", "merge .rules", "H,! */", "-x user.*", ":n- .rules" };
	static const struct filt_files files = { .read_file = give_file, .read_named = give_named };
	struct err err = { 0 };
	struct filt_walk *w = NULL;
	struct filter_list *l;
	struct budget b;
	int rc;

	budget_init(&b, total, 0);
	l = filt_new(&(struct filt_config){ .budget = &b, .files = &files, .am_sender = true });
	rc = l ? 0 : -1;
	for (size_t i = 0; i < ARRAY_SIZE(rules) && rc == 0; i++)
		rc = filt_add_rule(l, rules[i], &err);
	if (rc == 0)
		rc = filt_add_pattern(l, "old/*/style", false, &err);
	if (rc == 0)
		rc = filt_add_cvs(l, true, true, &err);
	if (rc == 0) {
		w = filt_walk_new(NULL, l, &files, &b);
		rc = w ? filt_walk_start(w, "") : -1;
	}
	for (const char *const *d = (const char *const[]){ "", "a", "a/b", "a/b/c", "a/d", NULL }; *d && rc == 0; d++)
		rc = filt_enter_dir(w, *d, &err);
	if (rc == 0)
		(void)filt_check_lists(w, FILT_BOTH, "a/d/f.o", 7, false);
	filt_walk_free(w);
	filt_free(l);
	assert_int_equal(b.used, 0);
	if (rc && err.code && err.code != RX_MALLOC)
		fail_msg("%zu bytes: code %d: %s", total, err.code, err.text);
	return rc;
}

static void filters(void **state)
{
	size_t total = 1, failures = 0;

	(void)state;
	while (build_and_walk(total) != 0) {
		failures++;
		total += 16;
		assert_true(total < MOST);
	}
	assert_true(failures > 10);
}

/* ---- options ---- */

static int parse(size_t total)
{
	static const char *const words[] = {
		"--server", "-vlogDtprcze.iLsfxCIvu", "--partial-dir=.part", "--backup-dir=old", "--suffix=~", "--link-dest=a", "--link-dest=b",
		"--usermap=1:2,*:nobody", "--chmod=Dg+s,F-w", "--skip-compress=gz/zip", "--temp-dir=t",
		"--checksum-choice=md5", ".", "m/one", "m/two", "m/three" };
	struct options p;
	struct xfer_opts o;
	struct budget b;
	int rc = RX_MALLOC;

	budget_init(&b, total, 0);
	if (options_init(&p, &o, &b, true) == 0) {
		rc = options_parse(&p, words, ARRAY_SIZE(words), true) < 0 || options_finish(&p) < 0 ? p.exit_code : 0;
		if (rc && (rc != RX_MALLOC || !*p.error))
			fail_msg("%zu bytes: code %d: %s", total, rc, p.error);
		if (rc)
			assert_true(*p.error);
		else
			assert_int_equal(p.npaths, 3);
		options_free(&p);
	}
	assert_int_equal(b.used, 0);
	return rc;
}

static void options(void **state)
{
	size_t total = 1, failures = 0;
	int rc;

	(void)state;
	while ((rc = parse(total)) != 0) {
		assert_int_equal(rc, RX_MALLOC);
		failures++;
		total += 16;
		assert_true(total < MOST);
	}
	assert_true(failures > 10);
}

/* ---- block sums ---- */

static int read_sums(size_t total, const uint8_t *data, size_t len, uint32_t count)
{
	struct sum_head h = { .count = count, .blength = 700, .s2length = 2 };
	struct err e = { 0 };
	struct budget b;
	struct sums s;
	struct rd r;
	int rc;

	budget_init(&b, total, 0);
	sums_init(&s, &b);
	rd_init_mem(&r, data, len, &e);
	rc = sums_read(&s, &r, &h, CSUM_MD5, true, SUM_TABLE_LIMIT, &e);
	sums_free(&s);
	assert_int_equal(b.used, 0);
	return rc < 0 ? e.code : 0;
}

static void block_sums(void **state)
{
	enum { COUNT = 9000 };                /* more than are allocated at once */
	uint8_t *data = calloc(COUNT, 6);
	size_t total = 1, failures = 0;
	int rc;

	(void)state;
	assert_non_null(data);
	while ((rc = read_sums(total, data, (size_t)COUNT * 6, COUNT)) != 0) {
		assert_int_equal(rc, RX_MALLOC);
		failures++;
		total += 1024;
		assert_true(total < MOST);
	}
	assert_true(failures > 10);
	free(data);
}

/* ---- the configuration ---- */

static size_t conf_room;       /* bytes that the parser may take behind its first allocation */

static const char *conf_text(const char *path)
{
	if (strcmp(path, "main") == 0)
		return "port = 2000\nlist = no\nuse chroot = false\n&merge more\n[one]\npath = /srv/one\nread only = no\n"
		       "max connections = 7\ncomment = with a %HOME% and a \\\n long line\n&include dir\n[last]\nmunge symlinks = yes";
	if (strcmp(path, "more") == 0)
		return "timeout = 60\nhosts allow = 127.0.0.1 ::1\nsyslog facility = local3\n";
	return strcmp(path, "dir/a.conf") == 0 ? "numeric ids = no\n[two]\nauth users = anna\nsecrets file = /etc/secrets\n" :
						 "[three]\npath = /srv/three\nwrite only = yes\nstrict modes = no";
}

static int conf_stat(void *ctx, const char *path, struct stat *st)
{
	(void)ctx;
	*st = (struct stat){ .st_mode = strcmp(path, "dir") == 0 ? S_IFDIR | 0755 : S_IFREG | 0644 };
	return 0;
}

static int conf_read(void *ctx, const char *path, struct buf *text, struct stat *st)
{
	if (strcmp(path, "main") == 0)
		text->budget->total = text->budget->used + conf_room;
	buf_adds(text, conf_text(path));
	return text->failed ? -ENOMEM : conf_stat(ctx, path, st);
}

static int conf_list(void *ctx, const char *path, void (*each)(void *arg, const char *name), void *arg, struct stat *st)
{
	each(arg, "b.conf");
	each(arg, "a.conf");
	return conf_stat(ctx, path, st);
}

static void conf_count(void *ctx, const char *text)
{
	(void)text;
	++*(size_t *)ctx;
}

static struct conf *conf_within(size_t room)
{
	static const struct conf_source source = { NULL, conf_stat, conf_read, conf_list };
	static const char *const dparams[] = { "ignore errors=yes", "motd file=/etc/motd", NULL };
	size_t messages = 0;
	struct conf *c;
	int rc;

	conf_room = room;
	rc = conf_load(&c, &source, "main", dparams, conf_count, &messages);
	assert_int_equal(messages > 0, rc < 0);
	if (rc < 0) {
		conf_free(c);
		c = NULL;
	}
	return c;
}

static void assert_values(const struct conf_value *a, const struct conf_value *b)
{
	for (int i = 0; i < CP_COUNT; i++) {
		assert_string_equal(a[i].str, b[i].str);
		assert_int_equal(a[i].num, b[i].num);
		assert_int_equal(a[i].set, b[i].set);
	}
}

/* Either all that was written holds, or there is no configuration: never one without some of its lines. */
static void configuration(void **state)
{
	struct conf *want = conf_within(MOST), *c;
	size_t failures = 0;

	(void)state;
	assert_non_null(want);
	assert_int_equal(want->nmodules, 4);
	for (size_t room = 1, loads = 0; loads < 64; room += 16) {
		assert_true(room < MOST);
		c = conf_within(room);
		if (!c) {
			failures++;
			continue;
		}
		loads++;
		assert_int_equal(c->nmodules, want->nmodules);
		assert_values(c->global, want->global);
		assert_values(c->start, want->start);
		for (size_t i = 0; i < c->nmodules; i++) {
			assert_string_equal(c->modules[i]->name, want->modules[i]->name);
			assert_values(c->modules[i]->v, want->modules[i]->v);
		}
		conf_free(c);
	}
	assert_true(failures > 8);
	conf_free(want);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(file_lists), cmocka_unit_test(filters), cmocka_unit_test(options), cmocka_unit_test(block_sums),
		cmocka_unit_test(configuration),
	};

	say_set_sink(quiet, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
