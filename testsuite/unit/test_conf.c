/* test_conf.c - the grammar of rsyncd.conf, inheritance, directives, values, variables (spec 06 part 1). */
#include "config.h"
#include "testsuite/unit/unit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

#include "daemon/conf.h"

/* Files in memory. */
struct mem_file { const char *path, *text; size_t len; };
static const struct mem_file *files;
static char messages[8192];

static const struct mem_file *find(const char *path)
{
	for (const struct mem_file *f = files; f && f->path; f++)
		if (!strcmp(f->path, path))
			return f;
	return NULL;
}

static bool is_dir(const char *path)
{
	size_t n = strlen(path);

	for (const struct mem_file *f = files; f && f->path; f++)
		if (!strncmp(f->path, path, n) && f->path[n] == '/')
			return true;
	return false;
}

static int m_stat(void *ctx, const char *path, struct stat *st)
{
	(void)ctx;
	*st = (struct stat){ 0 };
	if (find(path))
		st->st_mode = S_IFREG | 0644;
	else if (is_dir(path))
		st->st_mode = S_IFDIR | 0755;
	else
		return -ENOENT;
	return 0;
}

static int m_read(void *ctx, const char *path, struct buf *out, struct stat *st)
{
	const struct mem_file *f = find(path);

	if (!f)
		return -ENOENT;
	buf_add(out, f->text, f->len ? f->len : strlen(f->text));
	return m_stat(ctx, path, st);
}

static int m_list(void *ctx, const char *path, void (*each)(void *arg, const char *name), void *arg, struct stat *st)
{
	size_t n = strlen(path);

	/* Backwards, so that sorting shows. */
	const struct mem_file *last = files;
	while (last->path)
		last++;
	while (last-- > files)
		if (!strncmp(last->path, path, n) && last->path[n] == '/')
			each(arg, last->path + n + 1);
	return m_stat(ctx, path, st);
}

static const struct conf_source mem_source = { NULL, m_stat, m_read, m_list };

static void note(void *ctx, const char *text)
{
	size_t n = strlen(messages);

	(void)ctx;
	snprintf(messages + n, sizeof messages - n, "%s\n", text);
}

static struct conf *load_files(const struct mem_file *f, const char *const *dparams)
{
	struct conf *c = NULL;

	files = f;
	messages[0] = '\0';
	if (conf_load(&c, &mem_source, f[0].path, dparams, note, NULL) < 0) {
		conf_free(c);
		c = NULL;
	}
	return c;
}

static struct conf *load(const char *text)
{
	static struct mem_file f[2];

	f[0] = (struct mem_file){ "main", text, 0 };
	f[1] = (struct mem_file){ 0 };
	return load_files(f, NULL);
}

static const char *str(const struct conf *c, const char *module, enum conf_param p)
{
	const struct conf_module *m = conf_find_module(c, module);

	assert_non_null(m);
	return m->v[p].str;
}

static int num(const struct conf *c, const char *module, enum conf_param p)
{
	const struct conf_module *m = conf_find_module(c, module);

	assert_non_null(m);
	return m->v[p].num;
}

/* A value as it comes out of a comment line. */
static void values(void **state)
{
	static const char *const rows[][2] = {
		{ "comment = a # b ; c\n", "a # b ; c" },
		{ "comment=x\n", "x" },
		{ "comment =   two  words  \t\n", "two  words" },
		{ "comment =\n", "" },
		{ "comment = one \\\n   two\n", "one    two" },
		{ "comment = \\\n  lead\n", "  lead" },
		{ "comment = trail   \\\n\nlist = yes\n", "trail   " },
		{ "comment = a\\\\\nb\n", "a\\b" },
		{ "comment = a \\  \nb\n", "a b" },
		{ "comment = cr\rlf\r\n", "crlf" },
		{ "com\\\nment = joined\n", "joined" },
		{ "\\comment = x\n", "x" },
		{ "  COM MENT = loose\n", "loose" },
		{ "comment = \"quoted\"\n", "\"quoted\"" },
		{ "comment = a=b=c\n", "a=b=c" },
		{ "comment = first\ncomment = last\n", "last" },
		{ "# comment = hidden \\\ncomment = shown\n", "shown" },
		{ "; x\n\n\t\ncomment = end of file", "end of file" },
		{ "comment = \xff\xfe\n", "\xff\xfe" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char text[256];
		struct conf *c;

		snprintf(text, sizeof text, "[m]\n%s", rows[i][0]);
		c = load(text);
		assert_non_null(c);
		assert_string_equal(str(c, "m", CP_COMMENT), rows[i][1]);
		conf_free(c);
	}
}

static void section_names(void **state)
{
	static const char *const rows[][2] = {
		{ "[  a   b ]\n", "a b" }, { "[c#d=e]\n", "c#d=e" }, { "[f\\]\n", "f\\" }, { "[x] ignored\n", "x" },
		{ "[lo\\\nng]\n", "long" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct conf *c = load(rows[i][0]);

		assert_non_null(c);
		assert_int_equal(c->nmodules, 1);
		assert_string_equal(c->modules[0]->name, rows[i][1]);
		conf_free(c);
	}
}

static void fatal_faults(void **state)
{
	static const char *const rows[][2] = {
		{ "[]\n", "Empty section name in config file." },
		{ "[  ]\n", "Empty section name in config file." },
		{ "[open\n", "Badly formed line in config file: open" },
		{ "[open", "Unexpected EOF in the config file: open" },
		{ "[a/b]\n", "Warning: invalid section name in configuration file: a/b" },
		{ "= x\n", "Invalid parameter name in config file." },
		{ "&foo x\n", "Unknown directive: &foo." },
		{ "&include /nosuch\n", "unable to stat config file \"/nosuch\": No such file or directory" },
		{ "[My Mod]\n[MYMOD]\n", "differs from [My Mod] only in letter case" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_null(load(rows[i][0]));
		assert_non_null(strstr(messages, rows[i][1]));
	}
	{
		static const struct mem_file f[] = { { "main", "a\0b", 3 }, { 0 } };
		assert_null(load_files(f, NULL));
	}
}

static void faults_that_are_survived(void **state)
{
	static const char *const rows[][2] = {
		{ "[m]\nno equals sign\n", "Ignoring badly formed line in config file: no equals sign" },
		{ "[m]\nthe end", "Unexpected end-of-file at: the end" },
		{ "[m]\nfoo bar = 1\n", "Unknown Parameter encountered: \"foo bar\"\nIGNORING unknown parameter" },
		{ "[m]\nread_only = no\n", "IGNORING unknown parameter \"read_only\"" },
		{ "[m]\n-x = 1\n", "IGNORING unknown parameter \"-x\"" },
		{ "[m]\nport = 1\n", "Global parameter port found in module section!" },
		{ "[m]\nread only = on\n", "Badly formed boolean in configuration file: \"on\"." },
		{ "[m]\nlist = \"yes\"\n", "Badly formed boolean in configuration file: \"\"yes\"\"." },
		{ "[m]\n&include\n", "Ignoring badly formed line in config file: &include" },
		{ "\xef\xbb\xbfport = 1\n[m]\n", "IGNORING unknown parameter" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct conf *c = load(rows[i][0]);
		char want[256], *lf;

		assert_non_null(c);
		snprintf(want, sizeof want, "%s", rows[i][1]);
		for (char *w = want; w; w = lf ? lf + 1 : NULL) {
			lf = strchr(w, '\n');
			if (lf)
				*lf = '\0';
			assert_non_null(strstr(messages, w));
		}
		assert_int_equal(num(c, "m", CP_READ_ONLY), 1);
		conf_free(c);
	}
	struct conf *c = load("[m]\n-x = 1\n");
	assert_null(strstr(messages, "Unknown Parameter"));
	conf_free(c);
}

static void typed_values(void **state)
{
	struct conf *c = load("[m]\nread only = f a l s e\nlist=NO\nuse chroot = -1\nnumeric ids = unset\nmunge symlinks = 1\n"
			      "timeout = -5abc\nmax connections = junk\npath = /a/b//\ntemp dir = /\nsyslog facility = LOCAL3\n"
			      "[n]\nsyslog facility = 16\nmax verbosity = 99999999999\n[o]\nsyslog facility = nosuch\n");

	(void)state;
	assert_non_null(c);
	assert_int_equal(num(c, "m", CP_READ_ONLY), 0);
	assert_int_equal(num(c, "m", CP_LIST), 0);
	assert_int_equal(num(c, "m", CP_USE_CHROOT), -1);
	assert_int_equal(num(c, "m", CP_NUMERIC_IDS), -1);
	assert_int_equal(num(c, "m", CP_MUNGE_SYMLINKS), 1);
	assert_int_equal(num(c, "m", CP_TIMEOUT), -5);
	assert_int_equal(num(c, "m", CP_MAX_CONNECTIONS), 0);
	assert_string_equal(str(c, "m", CP_PATH), "/a/b");
	assert_string_equal(str(c, "m", CP_TEMP_DIR), "/");
	assert_int_equal(num(c, "m", CP_SYSLOG_FACILITY), LOG_LOCAL3);
	assert_int_equal(num(c, "n", CP_SYSLOG_FACILITY), LOG_MAIL);
	assert_int_equal(num(c, "n", CP_MAX_VERBOSITY), INT_MAX);
	assert_int_equal(num(c, "o", CP_SYSLOG_FACILITY), LOG_DAEMON);
	assert_string_equal(str(c, "m", CP_LOCK_FILE), "/var/run/rsyncd.lock");
	conf_free(c);
}

static void defaults_and_global(void **state)
{
	struct conf *c = load("comment = def1\nport = 1\n[m1]\n[global]\ncomment = def2\nport = 2\n[m2]\n[m1]\nlist = no\n[m3]\nname = other\n");

	(void)state;
	assert_non_null(c);
	assert_string_equal(str(c, "m1", CP_COMMENT), "def1");
	assert_string_equal(str(c, "m2", CP_COMMENT), "def2");
	assert_int_equal(num(c, "m1", CP_LIST), 0);
	assert_int_equal(c->start[CP_PORT].num, 1);
	assert_int_equal(c->global[CP_PORT].num, 2);
	assert_null(conf_find_module(c, "m3"));
	assert_non_null(conf_find_module(c, "other"));
	assert_null(conf_find_module(c, "M1"));
	assert_null(conf_find_module(c, " m1"));
	conf_free(c);
	c = load("[global]\nport = 5\n[m]\n");
	assert_non_null(c);
	assert_int_equal(c->start[CP_PORT].num, 0);
	conf_free(c);
}

static void includes(void **state)
{
	static const struct mem_file f[] = {
		{ "main", "comment = outer\n[a]\nlist = no\n&include inc.conf\ncomment = global again\n[z]\n&merge m.inc\nlist = no\n"
			  "&INCLUDE = dir\n[after]\n", 0 },
		{ "inc.conf", "comment = inner\n[b]\n", 0 },
		{ "m.inc", "comment = merged\n", 0 },
		{ "dir/b.conf", "[fromb]\n", 0 }, { "dir/.hid.conf", "comment = hid\n[hid]\n", 0 }, { "dir/c.inc", "[never]\n", 0 },
		{ 0 },
	};
	struct conf *c = load_files(f, NULL);

	(void)state;
	assert_non_null(c);
	assert_string_equal(str(c, "a", CP_COMMENT), "outer");
	assert_string_equal(str(c, "b", CP_COMMENT), "inner");
	assert_string_equal(str(c, "z", CP_COMMENT), "merged");
	assert_int_equal(num(c, "z", CP_LIST), 0);
	assert_string_equal(str(c, "hid", CP_COMMENT), "hid");
	assert_string_equal(str(c, "fromb", CP_COMMENT), "global again");
	assert_string_equal(str(c, "after", CP_COMMENT), "global again");
	assert_null(conf_find_module(c, "never"));
	/* ".hid.conf" sorts before "b.conf". */
	assert_string_equal(c->modules[3]->name, "hid");
	conf_free(c);
}

static void include_loop_ends(void **state)
{
	static const struct mem_file f[] = { { "main", "&include main\n", 0 }, { 0 } };

	(void)state;
	assert_null(load_files(f, NULL));
	assert_non_null(strstr(messages, "nested more than"));
}

static void dparams(void **state)
{
	static const char *const set[] = { "comment= given ", "Port=77", NULL };
	static const struct mem_file f[] = {
		{ "main", "comment = file\nport = 1\n&include i\n[m2]\n[m3]\ncomment = own\n[global]\ncomment = later\n[m4]\n", 0 },
		{ "i", "[m1]\n", 0 }, { 0 },
	};
	struct err e = { 0 };
	struct conf *c = load_files(f, set);

	(void)state;
	assert_non_null(c);
	assert_string_equal(str(c, "m1", CP_COMMENT), "given ");
	assert_string_equal(str(c, "m2", CP_COMMENT), "given ");
	assert_string_equal(str(c, "m3", CP_COMMENT), "own");
	assert_string_equal(str(c, "m4", CP_COMMENT), "later");
	assert_int_equal(c->start[CP_PORT].num, 77);
	conf_free(c);
	assert_int_equal(conf_check_dparam("comment=x", &e), 0);
	assert_int_equal(conf_check_dparam("nosuch=x", &e), -1);
	assert_string_equal(e.text, "Unknown parameter \"nosuch\"");
	e = (struct err){ 0 };
	assert_int_equal(conf_check_dparam("comment", &e), -1);
	assert_string_equal(e.text, "--dparam value is missing an '=': comment");
}

static void variables(void **state)
{
	static const struct conf_var vars[] = { { "RSYNC_USER_NAME", "joe" }, { "RSYNC_PID", NULL }, { "RSYNC_MODULE_NAME", "" }, { 0 } };
	static const char *const rows[][2] = {
		{ "/home/%RSYNC_USER_NAME%/x", "/home/joe/x" }, { "100%", "100%" }, { "%%", "%%" }, { "%foo%", "%foo%" },
		{ "%NOPE%", "%NOPE%" }, { "%RSYNC_PID%", "%RSYNC_PID%" }, { "a%RSYNC_MODULE_NAME%b", "ab" },
		{ "%KEDGE-T%", "v%KEDGE_U%" }, { "%RSYNC_USER_NAME", "%RSYNC_USER_NAME" },
		{ "%A%RSYNC_USER_NAME%", "%Ajoe" }, { "%%RSYNC_USER_NAME%%", "%joe%" },
	};

	(void)state;
	setenv("KEDGE-T", "v%KEDGE_U%", 1);
	setenv("KEDGE_U", "never", 1);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_buf_ struct buf b = BUF_INIT(NULL);

		assert_int_equal(conf_expand(&b, rows[i][0], vars), 0);
		assert_string_equal(buf_str(&b), rows[i][1]);
	}
	{
		_cleanup_buf_ struct buf b = BUF_INIT(NULL);
		char big[3000];

		memset(big, 'x', sizeof big - 1);
		big[sizeof big - 1] = '\0';
		setenv("KEDGE_BIG", big, 1);
		assert_int_equal(conf_expand(&b, "%KEDGE_BIG%", NULL), -1);
	}
}

static void staleness(void **state)
{
	static const struct mem_file f[] = { { "main", "[m]\n", 0 }, { 0 } };
	struct conf *c = load_files(f, NULL);

	(void)state;
	assert_non_null(c);
	assert_false(conf_changed(c, &mem_source));
	c->files[0].size = 99;
	assert_true(conf_changed(c, &mem_source));
	conf_free(c);
}

static void table_is_complete(void **state)
{
	(void)state;
	for (int i = 0; i < CP_COUNT; i++) {
		assert_non_null(conf_defs[i].name);
		assert_int_equal(conf_find_param(conf_defs[i].name), i);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values), cmocka_unit_test(section_names), cmocka_unit_test(fatal_faults),
		cmocka_unit_test(faults_that_are_survived), cmocka_unit_test(typed_values), cmocka_unit_test(defaults_and_global),
		cmocka_unit_test(includes), cmocka_unit_test(include_loop_ends), cmocka_unit_test(dparams),
		cmocka_unit_test(variables), cmocka_unit_test(staleness), cmocka_unit_test(table_is_complete),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
