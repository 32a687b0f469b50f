/*
 * test_filter.c - wildcard matcher, rule grammar, matching, merge files, wire exchange, safe links.
 */
#include "config.h"
#include "testsuite/unit/unit.h"

#include <errno.h>
#include <stdio.h>

#include "base/say.h"
#include "filter/filter.h"
#include "filter/safelink.h"
#include "filter/wildmatch.h"
#include "protocol/wire.h"

/* ---- a small tree of rule files ---- */

struct file { const char *path, *text; };

static int read_at(const struct file *f, const char *path, struct buf *out)
{
	for (; f && f->path; f++) {
		if (strcmp(f->path, path) == 0) {
			buf_adds(out, f->text);
			return 0;
		}
	}
	return -ENOENT;
}

static int read_file(void *ctx, const char *dir, const char *name, struct buf *out)
{
	char path[5000];

	snprintf(path, sizeof(path), "%s%s%s", dir, *dir ? "/" : "", name);
	return read_at(ctx, path, out);
}

static int read_named(void *ctx, const char *path, struct buf *out)
{
	return read_at(ctx, path, out);
}

static struct filt_files files_of(const struct file *f)
{
	return (struct filt_files){ .ctx = (void *)f, .read_file = read_file, .read_named = read_named };
}

static struct filter_list *make(const struct filt_config *c)
{
	struct filter_list *l = filt_new(c);

	assert_non_null(l);
	return l;
}

/* Rules as a client of protocol 31 would send them on a pull: the canonical form, joined by "|". */
static const char *canonical(const struct filter_list *l, int proto, bool delete_excluded, char *out, size_t size)
{
	struct wr_mem m;
	struct err err = { 0 };
	size_t n = 0, len;
	const uint8_t *p;

	wr_mem_init(&m, NULL, &err);
	out[0] = '\0';
	if (filt_send(l, &m.w, proto, delete_excluded)) {
		snprintf(out, size, "!%d %s", err.code, err.text);
		assert_int_equal(wr_mem_len(&m), 0);
		wr_mem_free(&m);
		return out;
	}
	p = m.base;
	len = wr_mem_len(&m);
	while (len >= 4) {
		uint32_t k = get_le32(p);

		p += 4;
		len -= 4;
		if (!k) {
			assert_int_equal(len, 0);
			break;
		}
		assert_true(k <= len);
		n += (size_t)snprintf(out + n, size - n, "%s%.*s", n ? "|" : "", (int)k, (const char *)p);
		p += k;
		len -= k;
	}
	wr_mem_free(&m);
	return out;
}

static void check_rows(void **state)
{
	static const struct { const char *pat, *name; bool is_dir, fires; } rows[] = {
#include "testsuite/unit/filter_rows.inc"
	};
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct filt_config c = { .am_sender = true };
		struct filter_list *l = make(&c);
		struct err err = { 0 };
		char rule[100];
		int v;

		snprintf(rule, sizeof(rule), "+ %s", rows[i].pat);
		assert_int_equal(filt_add_rule(l, rule, &err), 0);
		v = filt_check_path(l, rows[i].name, rows[i].is_dir);
		if ((v > 0) != rows[i].fires)
			print_error("row %zu: %s on %s gives %d\n", i + 1, rows[i].pat, rows[i].name, v);
		assert_true((v > 0) == rows[i].fires);
		filt_free(l);
	}
}

static void check_abs_rows(void **state)
{
	static const struct { const char *rule, *cwd, *name; bool is_dir, fires; } rows[] = {
		{ "-/ /A/src/x", "A/src", "x", false, true },
		{ "-/ /A/src/x", "A", "src/x", false, true },
		{ "-/ src/x", "A/src", "x", false, true },
		{ "-/ /x", "A/src", "x", false, false },
		{ "-/ x", "A/src", "x", false, true },
		{ "-/ /A/src/foo/**", "A/src", "foo", true, false },
		{ "-/ /A/src/foo/**", "A/src", "foo/bar", false, true },
		{ "-/ /A/src/foo/***", "A/src", "foo", true, true },
		{ "-/ /A/src/foo/***", "A/src", "foo/x/y", true, true },
		{ "-/ sub/foo", "d/sub", "foo", false, true },
		{ "-/ **/sub/foo", "d/sub", "foo", false, true },
		{ "- /A/src/x", "", "/A/src/x", false, true },
		{ "-! */", "", "f", false, true },
		{ "-! */", "", "d", true, false },
		{ "-! foo", "", "a/foo", false, false },
		{ "-! foo", "", "bar", false, true },
		{ "-! /foo/***", "", "foo", true, false },
		{ "-! /foo/***", "", "foo/x", false, false },
		{ "-! /foo/***", "", "x/foo", false, true },
		{ "- **/x", "deep/er", "x", false, true },
		{ "- a/**/", "deep/er", "a/b", true, true },
		{ "- foo", "", ".", true, false },
		{ "-! foo", "", ".", true, false },
		{ "-! foo", "", "", true, false },
	};
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct filt_config c = { .am_sender = true };
		struct filter_list *l = make(&c);
		struct err err = { 0 };
		struct filt_walk *w;

		assert_int_equal(filt_add_rule(l, rows[i].rule, &err), 0);
		w = filt_walk_new(NULL, l, NULL, NULL);
		assert_int_equal(filt_walk_start(w, rows[i].cwd), 0);
		if (filt_excluded(w, rows[i].name, rows[i].is_dir) != rows[i].fires)
			print_error("%s in %s on %s\n", rows[i].rule, rows[i].cwd, rows[i].name);
		assert_true(filt_excluded(w, rows[i].name, rows[i].is_dir) == rows[i].fires);
		filt_walk_free(w);
		filt_free(l);
	}
}

static void check_wild(void **state)
{
	char text[4000], pat[200];
	(void)state;

	assert_true(wild_match("", ""));
	assert_false(wild_match("", "a"));
	assert_true(wild_match("*", ""));
	assert_true(wild_match("**", "a/b"));
	assert_false(wild_match("*", "a/b"));
	assert_true(wild_match("a*/b**c*d", "axx/b/q/c1d2d"));
	assert_true(wild_match_fold("*.Example.COM", "host.example.com"));
	assert_true(wild_match_fold("[A-C]x", "bX"));
	assert_false(wild_match("[A-C]x", "bx"));
	/* made to be slow: still bounded, and right */
	memset(text, 'a', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	memset(pat, 0, sizeof(pat));
	for (int i = 0; i < 40; i++)
		strcat(pat, "**a*");
	assert_true(wild_match(pat, text));
	strcat(pat, "b");
	assert_false(wild_match(pat, text));
}

static void check_grammar(void **state)
{
	static const struct { const char *rule, *want; } good[] = {
		{ "- foo", "- foo" }, { "-, foo", "- foo" }, { "exclude foo", "- foo" }, { "exclude_foo", "- foo" },
		{ "exclude, foo", "- foo" }, { "-_foo", "- foo" }, { "-__foo", "- _foo" }, { "-  foo", "-  foo" },
		{ "-,s foo", "-s foo" }, { "exclude,s foo", "-s foo" }, { "hide foo", "-s foo" }, { "H foo", "-s foo" },
		{ "-ss foo", "-s foo" }, { "show foo", "+s foo" }, { "S foo", "+s foo" }, { "Hp foo", "-sp foo" },
		{ "H,p foo", "-sp foo" }, { "hide,p foo", "-sp foo" }, { "-/!srpx foo", "-/!xsrp foo" }, { "include,!s foo", "+!s foo" },
		{ ":C", ":C .cvsignore" }, { "dir-merge,C", ":C .cvsignore" }, { ":Cs", ":Cs .cvsignore" },
		{ ":e /a/b/.x", "- .x|: /a/b/.x" }, { "-C", "-C " }, { "-C foo", "-C " }, { "", "" },
		{ ":n- .y", ":n- .y" }, { "dir-merge,w+ .q", ":w+ .q" }, { ":/p .r", ":/p .r" }, { "-x user.foo", "-x user.foo" },
		{ "- foo/", "- foo/" }, { "- /", "- /" }, { "-sr both", "-sr both" }, { "P y", "" }, { "R_foo", "" },
	};
	static const struct { const char *rule, *text; } bad[] = {
		{ "-foo", "invalid modifier 'f' at position 1 in filter rule: -foo" },
		{ "-,sfoo", "invalid modifier 'f' at position 3 in filter rule: -,sfoo" },
		{ "hide,s foo", "invalid modifier 's' at position 5 in filter rule: hide,s foo" },
		{ "HC foo", "invalid modifier 'C' at position 1 in filter rule: HC foo" },
		{ "-e foo", "invalid modifier 'e' at position 1 in filter rule: -e foo" },
		{ "-n foo", "invalid modifier 'n' at position 1 in filter rule: -n foo" },
		{ "-w foo", "invalid modifier 'w' at position 1 in filter rule: -w foo" },
		{ "-z foo", "invalid modifier 'z' at position 1 in filter rule: -z foo" },
		{ ":! x", "invalid modifier '!' at position 1 in filter rule: :! x" },
		{ ":C+ x", "invalid modifier '+' at position 2 in filter rule: :C+ x" },
		{ ":+C x", "invalid modifier 'C' at position 2 in filter rule: :+C x" },
		{ ":-+ x", "invalid modifier '+' at position 2 in filter rule: :-+ x" },
		{ ":CC x", "invalid modifier 'C' at position 2 in filter rule: :CC x" },
		{ "HIDE foo", "invalid modifier 'I' at position 1 in filter rule: HIDE foo" },
		{ "exclude\tfoo", "invalid modifier '\t' at position 7 in filter rule: exclude\tfoo" },
		{ "foo", "Unknown filter rule: foo" }, { "h foo", "Unknown filter rule: h foo" },
		{ "Exclude foo", "Unknown filter rule: Exclude foo" }, { "#foo", "Unknown filter rule: #foo" },
		{ ";foo", "Unknown filter rule: ;foo" }, { " - foo", "Unknown filter rule:  - foo" },
		{ "excludes foo", "Unknown filter rule: excludes foo" }, { "clearx", "Unknown filter rule: clearx" },
		{ "-", "unexpected end of filter rule: -" }, { "- ", "unexpected end of filter rule: - " },
		{ "-_", "unexpected end of filter rule: -_" }, { "exclude ", "unexpected end of filter rule: exclude " },
		{ "-/", "unexpected end of filter rule: -/" }, { "-! ", "unexpected end of filter rule: -! " },
		{ ".", "unexpected end of filter rule: ." }, { ":", "unexpected end of filter rule: :" },
		{ ":e", "unexpected end of filter rule: :e" }, { "protect", "unexpected end of filter rule: protect" },
		{ "! ", "'!' rule has trailing characters: ! " }, { "!x", "'!' rule has trailing characters: !x" },
		{ "!,x", "'!' rule has trailing characters: !,x" }, { "clear x", "'!' rule has trailing characters: clear x" },
	};
	struct filt_config c = { 0 };
	char out[5000];
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		struct filter_list *l = make(&c);
		struct err err = { 0 };

		assert_int_equal(filt_add_rule(l, good[i].rule, &err), 0);
		assert_string_equal(canonical(l, 31, false, out, sizeof(out)), good[i].want);
		filt_free(l);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct filter_list *l = make(&c);
		struct err err = { 0 };

		assert_int_equal(filt_add_rule(l, bad[i].rule, &err), -1);
		assert_int_equal(err.code, RX_USAGE);
		assert_string_equal(err.text, bad[i].text);
		filt_free(l);
	}
}

static void check_clear_and_dup(void **state)
{
	struct filt_config c = { 0 };
	struct filter_list *l = make(&c);
	struct err err = { 0 };
	char out[500];
	(void)state;

	filt_add_rule(l, "- a", &err);
	filt_add_rule(l, "clear,", &err);
	assert_int_equal(l->name_rules, 0);
	filt_add_rule(l, ":C", &err);
	filt_add_rule(l, ":sC", &err);
	filt_add_rule(l, ": sub/.cvsignore", &err);
	filt_add_pattern(l, "!foo", false, &err);
	filt_add_pattern(l, "- - x", true, &err);
	filt_add_pattern(l, "", true, &err);
	assert_int_equal(err.code, 0);
	assert_string_equal(canonical(l, 31, false, out, sizeof(out)), ":C .cvsignore|- !foo|- - x");
	filt_add_pattern(l, "!", false, &err);
	assert_string_equal(canonical(l, 31, false, out, sizeof(out)), "");
	filt_free(l);
}

static struct filter_list *list_of(const struct filt_config *c, const char *const *rules)
{
	struct filter_list *l = make(c);
	struct err err = { 0 };

	for (; *rules; rules++)
		assert_int_equal(filt_add_rule(l, *rules, &err), 0);
	return l;
}

static void check_wire_examples(void **state)
{
	static const char *const sided[] = { "P y", "H z", "-sr both", "R q", "S w", NULL };
	static const char *const dx[] = { "- x", ": .m", ":- .n", NULL };
	static const char *const p28[] = { "- - foo", "- + foo", "-  foo", NULL };
	static const char *const two[] = { "- *.o", "+ x/", NULL };
	static const char *const perish[] = { "-p x", NULL };
	static const char *const cvs[] = { "-C", NULL };
	struct filt_config push = { .am_sender = true }, pull = { 0 };
	static const uint8_t bytes28[] = { 3, 0, 0, 0, 0x2a, 0x2e, 0x6f, 4, 0, 0, 0, 0x2b, 0x20, 0x78, 0x2f, 0, 0, 0, 0 };
	static const uint8_t bytes29[] = { 5, 0, 0, 0, 0x2d, 0x20, 0x2a, 0x2e, 0x6f, 4, 0, 0, 0, 0x2b, 0x20, 0x78, 0x2f, 0, 0, 0, 0 };
	struct filter_list *l;
	struct err err = { 0 };
	struct wr_mem m;
	char out[3000];
	(void)state;

	l = list_of(&push, sided);
	assert_string_equal(canonical(l, 31, false, out, sizeof(out)), "-r y|-sr both|+r q");
	assert_string_equal(canonical(l, 28, false, out, sizeof(out)), "y|both|+ q");
	filt_free(l);
	l = list_of(&pull, sided);
	assert_string_equal(canonical(l, 31, false, out, sizeof(out)), "-s z|-sr both|+s w");
	assert_string_equal(canonical(l, 28, false, out, sizeof(out)), "z|both|+ w");
	filt_free(l);
	l = list_of(&pull, dx);
	assert_string_equal(canonical(l, 31, true, out, sizeof(out)), "-s x|: .m|:- .n");
	filt_free(l);
	push.delete_excluded = true;
	l = list_of(&push, dx);
	assert_string_equal(canonical(l, 31, true, out, sizeof(out)), ": .m");
	filt_free(l);
	push.delete_excluded = false;
	l = list_of(&pull, p28);
	assert_string_equal(canonical(l, 28, false, out, sizeof(out)), "- - foo|- + foo| foo");
	filt_free(l);
	l = list_of(&pull, perish);
	assert_string_equal(canonical(l, 28, false, out, sizeof(out)), "x");
	assert_string_equal(canonical(l, 29, false, out, sizeof(out)), "- x");
	assert_string_equal(canonical(l, 30, false, out, sizeof(out)), "-p x");
	filt_free(l);
	l = list_of(&push, perish);
	assert_string_equal(canonical(l, 28, false, out, sizeof(out)), "!2 filter rules are too modern for remote rsync.");
	assert_string_equal(canonical(l, 29, false, out, sizeof(out)), "!2 filter rules are too modern for remote rsync.");
	filt_free(l);
	l = list_of(&push, cvs);
	assert_memory_equal(canonical(l, 31, false, out, sizeof(out)), "-p RCS|-p SCCS|", 15);
	assert_non_null(strstr(out, "|-p .bzr/"));
	filt_free(l);
	l = list_of(&pull, two);
	wr_mem_init(&m, NULL, &err);
	assert_int_equal(filt_send(l, &m.w, 28, false), 0);
	assert_int_equal(wr_mem_len(&m), sizeof(bytes28));
	assert_memory_equal(m.base, bytes28, sizeof(bytes28));
	wr_mem_clear(&m);
	assert_int_equal(filt_send(l, &m.w, 31, false), 0);
	assert_int_equal(wr_mem_len(&m), sizeof(bytes29));
	assert_memory_equal(m.base, bytes29, sizeof(bytes29));
	wr_mem_free(&m);
	filt_free(l);
	assert_true(filt_is_sent(false, false, false, false, 27));
	assert_false(filt_is_sent(true, false, false, false, 31));
	assert_true(filt_is_sent(true, true, false, false, 31));
	assert_false(filt_is_sent(true, false, true, true, 28));
	assert_true(filt_is_sent(true, false, true, true, 29));
}

static int recv_bytes(const void *data, size_t len, int proto, struct filter_list **l, struct err *err)
{
	struct filt_config c = { .am_server = true, .am_sender = true };
	struct rd r;

	memset(err, 0, sizeof(*err));
	*l = make(&c);
	rd_init_mem(&r, data, len, err);
	return filt_recv(*l, &r, proto);
}

static void check_recv(void **state)
{
	static const char ok[] = "\5\0\0\0- *.o\4\0\0\0+ x/\0\0\0\0rest";
	static const char old[] = "\3\0\0\0*.o\4\0\0\0+ x/\1\0\0\0!\1\0\0\0b\0\0\0\0";
	struct filter_list *l;
	struct err err;
	(void)state;

	assert_int_equal(recv_bytes(ok, sizeof(ok) - 1, 31, &l, &err), 0);
	assert_int_equal(filt_check_path(l, "d/a.o", false), FILT_EXCLUDED);
	assert_int_equal(filt_check_path(l, "x", true), FILT_INCLUDED);
	assert_int_equal(filt_check_path(l, "y", true), FILT_NO_MATCH);
	filt_free(l);
	assert_int_equal(recv_bytes(old, sizeof(old) - 1, 28, &l, &err), 0);
	assert_int_equal(filt_check_path(l, "a.o", false), FILT_NO_MATCH);
	assert_int_equal(filt_check_path(l, "b", false), FILT_EXCLUDED);
	filt_free(l);
	assert_int_equal(recv_bytes("\x10\x27\0\0xxxx", 8, 31, &l, &err), -1);
	assert_int_equal(err.code, RX_MALLOC);
	filt_free(l);
	assert_int_equal(recv_bytes("\xff\xff\xff\xff", 4, 31, &l, &err), -1);
	assert_int_equal(err.code, RX_MALLOC);
	filt_free(l);
	assert_int_equal(recv_bytes("\3\0\0\0foo", 7, 31, &l, &err), -1);
	assert_int_equal(err.code, RX_USAGE);
	assert_string_equal(err.text, "Unknown filter rule: foo");
	filt_free(l);
	assert_int_equal(recv_bytes("\3\0\0\0fo", 6, 31, &l, &err), -1);
	assert_int_equal(err.code, RX_STREAMIO);
	filt_free(l);
}

static struct filt_walk *walk_of(const struct filter_list *daemon, const struct filter_list *user, const struct filt_files *f, const char *cwd)
{
	struct filt_walk *w = filt_walk_new(daemon, user, f, NULL);

	assert_non_null(w);
	assert_int_equal(filt_walk_start(w, cwd), 0);
	return w;
}

static void check_merge_inheritance(void **state)
{
	static const struct file tree[] = {
		{ "src/.f", "- top\n- /anch\n- in/ner\n+ keep\n" },
		{ "src/a/.f", "# comment\r\n; too\n- keep\n- /anch2\n: .g\n" },
		{ "src/a/.g", "- gfile\n" },
		{ "src/a/b/.g", "- deep\n" },
		{ "src/c/.f", "!\n- only\n" },
		{ "src/w[x]/.f", "- /lit\n" },
		{ NULL, NULL },
	};
	static const char *const rules[] = { ": .f", "- keep", NULL };
	struct filt_files files = files_of(tree);
	struct filt_config c = { .am_sender = true, .files = &files };
	struct filter_list *l = list_of(&c, rules);
	struct filt_walk *w = walk_of(NULL, l, &files, "src");
	struct err err = { 0 };
	(void)state;

	assert_true(filt_excluded(w, "keep", false));     /* no file read yet */
	assert_false(filt_excluded(w, "top", false));
	assert_int_equal(filt_enter_dir(w, ".", &err), 0);
	assert_false(filt_excluded(w, "keep", false));
	assert_true(filt_excluded(w, "top", false));
	assert_true(filt_excluded(w, "anch", false));
	assert_false(filt_excluded(w, "q/anch", false));
	assert_true(filt_excluded(w, "q/in/ner", false));
	assert_int_equal(filt_enter_dir(w, "a", &err), 0);
	assert_true(filt_excluded(w, "a/keep", false));
	assert_true(filt_excluded(w, "a/top", false));
	assert_true(filt_excluded(w, "a/anch2", false));
	assert_false(filt_excluded(w, "a/anch", false));
	assert_true(filt_excluded(w, "a/gfile", false));
	assert_int_equal(filt_enter_dir(w, "a/b", &err), 0);
	assert_true(filt_excluded(w, "a/b/deep", false));
	assert_true(filt_excluded(w, "a/b/gfile", false));
	assert_int_equal(filt_enter_dir(w, "c", &err), 0);  /* leaves a/b and a */
	assert_true(filt_excluded(w, "c/only", false));
	assert_false(filt_excluded(w, "c/top", false));
	assert_false(filt_excluded(w, "c/gfile", false));
	assert_false(filt_excluded(w, "c/deep", false));
	filt_leave_dir(w);
	assert_true(filt_excluded(w, "top", false));
	assert_int_equal(filt_enter_dir(w, "w[x]", &err), 0); /* the directory part is literal */
	assert_true(filt_excluded(w, "w[x]/lit", false));
	assert_false(filt_excluded(w, "wx/lit", false));
	filt_walk_free(w);
	filt_free(l);
}

static void check_merge_modifiers(void **state)
{
	static const struct file tree[] = {
		{ ".n", "- one\n" }, { "d/x", "" },
		{ ".w", "aa  bb\n#x !\n" },
		{ ".c", "cc\n! dd\n" },
		{ ".p", "-s hid\n-r prot\n-p per\n-x user.q\n- plain\n" },
		{ ".neg", "*.c\n" },
		{ NULL, NULL },
	};
	static const char *const rules[] = { ":n .n", ":w- .w", ":C .c", ": .p", NULL };
	static const char *const abs[] = { ":/- .neg", NULL };
	struct filt_files files = files_of(tree);
	struct filt_config c = { .am_sender = true, .files = &files };
	struct filter_list *l = list_of(&c, rules);
	struct filt_walk *w = walk_of(NULL, l, &files, "");
	struct err err = { 0 };
	(void)state;

	assert_int_equal(filt_enter_dir(w, "", &err), 0);
	assert_true(filt_excluded(w, "one", false));
	assert_true(filt_excluded(w, "aa", false));
	assert_true(filt_excluded(w, "bb", false));
	assert_true(filt_excluded(w, "#x", false));
	assert_true(filt_excluded(w, "!", false));
	assert_false(filt_excluded(w, "cc", false));
	assert_true(filt_excluded(w, "dd", false));
	assert_true(filt_excluded(w, "hid", false));
	assert_false(filt_excluded(w, "prot", false));
	assert_true(filt_excluded(w, "per", false));
	filt_ignore_perishable(w, true);
	assert_false(filt_excluded(w, "per", false));
	filt_ignore_perishable(w, false);
	assert_false(filt_excluded(w, "user.q", false));
	assert_true(filt_xattr_excluded(w, "user.q"));
	assert_false(filt_xattr_excluded(w, "plain"));
	assert_true(filt_has_xattr_rules(w));
	assert_int_equal(filt_enter_dir(w, "d", &err), 0);
	assert_false(filt_excluded(w, "d/one", false));
	assert_true(filt_excluded(w, "d/aa", false));
	assert_false(filt_excluded(w, "d/dd", false));      /* C is not inherited */
	filt_walk_free(w);
	filt_free(l);

	c.am_sender = false;                                 /* receiver */
	l = list_of(&c, rules);
	w = walk_of(NULL, l, &files, "");
	assert_int_equal(filt_enter_dir(w, "", &err), 0);
	assert_false(filt_excluded(w, "hid", false));
	assert_true(filt_excluded(w, "prot", false));
	assert_true(filt_excluded(w, "plain", false));
	filt_walk_free(w);
	filt_free(l);

	c.delete_excluded = true;
	l = list_of(&c, rules);
	w = walk_of(NULL, l, &files, "");
	assert_int_equal(filt_enter_dir(w, "", &err), 0);
	assert_false(filt_excluded(w, "plain", false));
	assert_true(filt_excluded(w, "prot", false));
	filt_walk_free(w);
	filt_free(l);

	c.delete_excluded = false;
	l = list_of(&c, abs);
	w = walk_of(NULL, l, &files, "");
	assert_int_equal(filt_enter_dir(w, "", &err), 0);
	assert_true(filt_excluded(w, "m/x.c", false));
	filt_walk_free(w);
	filt_free(l);
}

static void check_parent_scan(void **state)
{
	static const struct file tree[] = {
		{ ".rsync-filter", "- root\n- /home/u/src/byroot\n" },
		{ "home/u/.rsync-filter", "- /src/x\n- all\n" },
		{ "home/u/src/.rsync-filter", "- here\n" },
		{ "home/u/src/d/.rsync-filter", "- sub\n" },
		{ "other/.rsync-filter", "- other\n" },
		{ NULL, NULL },
	};
	struct filt_files files = files_of(tree);
	struct filt_config c = { .am_sender = true, .files = &files };
	struct filter_list *l = make(&c);
	struct filt_walk *w;
	struct err err = { 0 };
	char out[200];
	(void)state;

	assert_int_equal(filt_add_F(l, 1, &err), 0);
	assert_int_equal(filt_add_F(l, 2, &err), 0);
	assert_int_equal(filt_add_F(l, 3, &err), 0);
	assert_string_equal(canonical(l, 31, false, out, sizeof(out)), ": /.rsync-filter|- .rsync-filter");
	w = walk_of(NULL, l, &files, "home/u/src");
	assert_int_equal(filt_enter_dir(w, "", &err), 0);
	assert_true(filt_excluded(w, "root", false));
	assert_true(filt_excluded(w, "byroot", false));
	assert_true(filt_excluded(w, "x", false));
	assert_false(filt_excluded(w, "d/x", false));
	assert_true(filt_excluded(w, "all", false));
	assert_true(filt_excluded(w, "here", false));
	assert_false(filt_excluded(w, "other", false));
	assert_false(filt_excluded(w, "sub", false));
	assert_int_equal(filt_enter_dir(w, "d", &err), 0);
	assert_true(filt_excluded(w, "d/sub", false));
	assert_true(filt_excluded(w, "d/here", false));
	assert_int_equal(filt_walk_start(w, "home"), 0);     /* what the scan found stays */
	assert_true(filt_excluded(w, "u/src/x", false));
	assert_false(filt_excluded(w, "u/src/here", false));
	filt_walk_free(w);
	filt_free(l);
}

static void check_merge_errors(void **state)
{
	static const struct file tree[] = {
		{ ".bad", "- ok\nsecret text\n" }, { ".badw", "x -\n" }, { ".open", "- a\n. ./none\n" }, { ".loop", ". ./.loop\n" },
		{ ".sided", "-p x\n-sp y\n" }, { "mf2", ". mf3\n" }, { "mf3", "secret\n" }, { ".noslash", ". base\n" }, { "base", "- from-base\n" },
		{ "d/.noslash", ". ./beside\n" }, { "d/beside", "- b\n- /anch\n" }, { NULL, NULL },
	};
	static const struct { const char *rule; int code; const char *text; } bad[] = {
		{ ": .bad", 1, "Unknown filter rule: <rule from /.bad line 2>" },
		{ ":w .badw", 1, "Unknown filter rule: <rule from /.badw>" },
		{ ": .open", 11, "failed to open exclude file <rule from /.open line 2>" },
		{ ":s .sided", 1, "specified-side merge file contains specified-side filter: <rule from /.sided line 2>" },
	};
	struct filt_files files = files_of(tree);
	struct filt_config c = { .am_sender = true, .files = &files };
	struct filter_list *l;
	struct filt_walk *w;
	struct err err;
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		const char *rules[] = { bad[i].rule, NULL };

		memset(&err, 0, sizeof(err));
		l = list_of(&c, rules);
		w = walk_of(NULL, l, &files, "");
		assert_int_equal(filt_enter_dir(w, "", &err), -1);
		assert_int_equal(err.code, bad[i].code);
		assert_string_equal(err.text, bad[i].text);
		filt_walk_free(w);
		filt_free(l);
	}
	memset(&err, 0, sizeof(err));
	l = make(&c);
	assert_int_equal(filt_add_rule(l, ". mf2", &err), -1);
	assert_string_equal(err.text, "Unknown filter rule: <rule from a file named at mf2 line 1>");
	filt_free(l);
	memset(&err, 0, sizeof(err));
	l = make(&c);
	assert_int_equal(filt_add_rule(l, ". none", &err), -1);
	assert_int_equal(err.code, RX_FILEIO);
	assert_non_null(strstr(err.text, "failed to open exclude file none: No such file or directory (2)"));
	filt_free(l);
	memset(&err, 0, sizeof(err));
	l = list_of(&c, (const char *[]){ ": .loop", NULL });
	w = walk_of(NULL, l, &files, "");
	assert_int_equal(filt_enter_dir(w, "", &err), -1);
	assert_int_equal(err.code, RX_FILEIO);
	assert_non_null(strstr(err.text, "merge-file include depth limit (32) exceeded at <rule from "));
	filt_walk_free(w);
	filt_free(l);

	memset(&err, 0, sizeof(err));
	l = list_of(&c, (const char *[]){ ": .noslash", NULL });
	w = walk_of(NULL, l, &files, "");
	assert_int_equal(filt_enter_dir(w, "", &err), 0);
	assert_true(filt_excluded(w, "from-base", false));
	assert_int_equal(filt_enter_dir(w, "d", &err), 0);
	assert_true(filt_excluded(w, "d/b", false));
	assert_false(filt_excluded(w, "d/anch", false));     /* "." keeps the anchoring of the top */
	assert_true(filt_excluded(w, "anch", false));
	filt_walk_free(w);
	filt_free(l);
}

static void check_daemon(void **state)
{
	static const struct file tree[] = {
		{ "/etc/inc", "*.keep\n- not\n# c\n\n+ plus x\n" }, { "hid", "topsecret line\n" }, { "seen", "vis\n" }, { "dir/.m", "- q\n" },
		{ "d", "- a\n" }, { NULL, NULL },
	};
	struct filt_files files = files_of(tree);
	struct filt_config c = { .am_sender = true, .am_server = true, .daemon_list = true, .files = &files };
	struct filt_params p = { .filter = "- /d  - *.key H gone P prot", .include_from = "/etc/inc", .exclude = "/hid secret/ a/b !no - foo + bar", .include = "inc/" };
	struct filter_list *l = make(&c), *user;
	struct filt_walk *w;
	struct err err = { 0 };
	(void)state;

	assert_int_equal(filt_add_params(l, &p, &err), 0);
	assert_int_equal(filt_check_path(l, "d", true), FILT_EXCLUDED);
	assert_int_equal(filt_check_path(l, "x/d", true), FILT_NO_MATCH);
	assert_int_equal(filt_check_path(l, "x/y.key", false), FILT_EXCLUDED);
	assert_int_equal(filt_check_path(l, "gone", false), FILT_NO_MATCH);
	assert_int_equal(filt_check_path(l, "prot", false), FILT_EXCLUDED);
	assert_int_equal(filt_check_path(l, "z.keep", false), FILT_INCLUDED);
	assert_int_equal(filt_check_path(l, "not", false), FILT_EXCLUDED);
	assert_int_equal(filt_check_path(l, "plus x", false), FILT_INCLUDED);
	assert_int_equal(filt_check_path(l, "inc", true), FILT_INCLUDED);
	assert_int_equal(filt_check_path(l, "inc", false), FILT_NO_MATCH);
	assert_int_equal(filt_check_path(l, "secret", true), FILT_EXCLUDED);
	assert_int_equal(filt_check_path(l, "q/secret/in/x", false), FILT_EXCLUDED);
	assert_int_equal(filt_check_path(l, "secret", false), FILT_NO_MATCH);
	assert_int_equal(filt_check_path(l, "!no", false), FILT_EXCLUDED);
	assert_int_equal(filt_check_path(l, "foo", false), FILT_EXCLUDED);
	assert_int_equal(filt_check_path(l, "bar", false), FILT_INCLUDED);
	assert_true(filt_hides_path(l, "d/below/x", false));
	assert_false(filt_hides_path(l, "e/below/x", false));

	/* the module path counts, wherever the transfer starts */
	w = walk_of(l, NULL, &files, "q/a");
	assert_true(filt_daemon_excluded(w, "b", false));
	assert_true(filt_excluded(w, "b", false));
	assert_false(filt_user_excluded(w, "b", false));
	assert_false(filt_excluded(w, "c", false));
	filt_walk_free(w);

	/* a peer's rule file that the module hides is absent, in both ways of naming it */
	c = (struct filt_config){ .am_sender = true, .am_server = true, .files = &files, .daemon = l };
	user = list_of(&c, (const char *[]){ ":- /hid", ":- seen", ". /hid", ". d", NULL });
	w = walk_of(l, user, &files, "");
	assert_int_equal(filt_enter_dir(w, "", &err), 0);
	assert_false(filt_excluded(w, "topsecret line", false));
	assert_true(filt_excluded(w, "vis", false));
	assert_false(filt_excluded(w, "a", false));
	filt_walk_free(w);
	filt_free(user);
	filt_free(l);

	c = (struct filt_config){ .am_sender = true, .daemon_list = true, .files = &files };
	l = make(&c);
	p = (struct filt_params){ .exclude_from = "/nowhere" };
	assert_int_equal(filt_add_params(l, &p, &err), -1);
	assert_int_equal(err.code, RX_FILEIO);
	assert_non_null(strstr(err.text, "failed to open exclude file /nowhere"));
	filt_free(l);
	l = make(&c);
	memset(&err, 0, sizeof(err));
	p = (struct filt_params){ .filter = "- a ! :n- .m" };
	assert_int_equal(filt_add_params(l, &p, &err), 0);
	assert_int_equal(filt_check_path(l, "a", false), FILT_NO_MATCH);
	assert_int_equal(l->dir_merges, 1);
	filt_free(l);
}

static void check_sides(void **state)
{
	static const char *const rules[] = { "H h", "P p", "- u", "-sr b", "H dir/", NULL };
	struct filt_config c = { .am_sender = true };
	struct filter_list *l;
	(void)state;

	l = list_of(&c, rules);
	assert_int_equal(filt_check_path(l, "h", false), FILT_EXCLUDED);
	assert_int_equal(filt_check_path(l, "p", false), FILT_NO_MATCH);
	assert_int_equal(filt_check_path(l, "u", false), FILT_EXCLUDED);
	assert_int_equal(filt_check_path(l, "b", false), FILT_EXCLUDED);
	filt_free(l);
	c.am_sender = false;
	l = list_of(&c, rules);
	assert_int_equal(filt_check_path(l, "h", false), FILT_NO_MATCH);
	assert_int_equal(filt_check_path(l, "p", false), FILT_EXCLUDED);
	assert_int_equal(filt_check_path(l, "u", false), FILT_EXCLUDED);
	assert_int_equal(filt_check_path(l, "b", false), FILT_EXCLUDED);
	assert_int_equal(filt_check_as_sender(l, "", "h", false), FILT_EXCLUDED);
	assert_int_equal(filt_check_as_sender(l, "", "p", false), FILT_NO_MATCH);
	filt_free(l);
	c.delete_excluded = true;
	l = list_of(&c, rules);
	assert_int_equal(filt_check_path(l, "u", false), FILT_NO_MATCH);
	assert_int_equal(filt_check_path(l, "b", false), FILT_EXCLUDED);
	filt_free(l);
}

static void check_cvs(void **state)
{
	static const struct file tree[] = { { "home/u/.cvsignore", "mine\n" }, { ".cvsignore", "local\n" }, { NULL, NULL } };
	struct filt_files files = files_of(tree);
	struct filt_config c = { .am_sender = true, .am_server = true, .files = &files, .home = "/home/u", .cvsignore = "env1 env2" };
	struct filter_list *l = make(&c);
	struct filt_walk *w;
	struct err err = { 0 };
	(void)state;

	assert_int_equal(filt_server_cvs(l, true, 31, &err), 0);
	w = walk_of(NULL, l, &files, "");
	assert_int_equal(filt_enter_dir(w, "", &err), 0);
	assert_true(filt_excluded(w, "x.o", false));
	assert_true(filt_excluded(w, ".git", true));
	assert_false(filt_excluded(w, ".git", false));
	assert_true(filt_excluded(w, "mine", false));
	assert_true(filt_excluded(w, "env2", false));
	assert_true(filt_excluded(w, "local", false));
	filt_ignore_perishable(w, true);
	assert_false(filt_excluded(w, "x.o", false));
	assert_true(filt_excluded(w, "mine", false));
	filt_walk_free(w);
	filt_free(l);
	c.am_sender = false;
	l = make(&c);
	assert_int_equal(filt_server_cvs(l, true, 31, &err), 0);
	assert_int_equal(l->name_rules, 0);
	assert_int_equal(filt_server_cvs(l, true, 28, &err), 0);
	assert_int_equal(l->dir_merges, 1);
	filt_free(l);
	c.cvsignore = "!";
	c.am_sender = true;
	l = make(&c);
	assert_int_equal(filt_add_cvs(l, false, true, &err), 0);
	assert_int_equal(filt_check_path(l, "x.o", false), FILT_NO_MATCH);
	filt_free(l);
}

static void drop(void *ctx, enum say_kind kind, const char *text, size_t len)
{
	(void)kind;
	(void)text;
	*(size_t *)ctx += len;
}

static void check_limits(void **state)
{
	struct filt_config c = { 0 };
	struct filter_list *l = make(&c);
	struct err err = { 0 };
	char big[5000];
	size_t said = 0;
	int n = 0;
	(void)state;

	memset(big, 'x', sizeof(big));
	big[0] = '-';
	big[1] = ' ';
	big[4099] = '\0';
	say_set_sink(drop, &said);
	assert_int_equal(filt_add_rule(l, big, &err), 0);
	say_set_sink(NULL, NULL);
	assert_in_range(said, 1000, 4095);
	assert_int_equal(l->name_rules, 0);
	big[4097] = '\0';
	assert_int_equal(filt_add_rule(l, big, &err), 0);
	assert_int_equal(l->name_rules, 1);
	while (n <= FILT_RULES_MAX && filt_add_rule(l, "- x", &err) == 0)
		n++;
	assert_int_equal(n, FILT_RULES_MAX - 1);
	assert_int_equal(err.code, RX_MALLOC);
	filt_free(l);
}

static void check_safelink(void **state)
{
	static const char *const all_safe[] = { "x", "a/x", "./x", ".", "a//b", "a/b/", "..x", "...", "a/." };
	static const char *const one_up[] = { "../x", "..", "../", "../b", "..//x", "../..x" };
	static const char *const never[] = { "../../../x", "../..", "./../x", "a/../x", "a/..", "x/..", "../a/../x", "/x", "" };
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(all_safe); i++) {
		assert_false(symlink_is_unsafe(all_safe[i], "l"));
		assert_false(symlink_is_unsafe(all_safe[i], "s/l"));
		assert_false(symlink_is_unsafe(all_safe[i], "a/b/l"));
	}
	for (size_t i = 0; i < ARRAY_SIZE(one_up); i++) {
		assert_true(symlink_is_unsafe(one_up[i], "l"));
		assert_false(symlink_is_unsafe(one_up[i], "s/l"));
		assert_false(symlink_is_unsafe(one_up[i], "s/a/l"));
	}
	assert_true(symlink_is_unsafe("../../x", "l"));
	assert_true(symlink_is_unsafe("../../x", "s/l"));
	assert_false(symlink_is_unsafe("../../x", "s/a/l"));
	for (size_t i = 0; i < ARRAY_SIZE(never); i++) {
		assert_true(symlink_is_unsafe(never[i], "l"));
		assert_true(symlink_is_unsafe(never[i], "a/l"));
		assert_true(symlink_is_unsafe(never[i], "a/b/l"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(check_rows), cmocka_unit_test(check_abs_rows), cmocka_unit_test(check_wild),
		cmocka_unit_test(check_grammar), cmocka_unit_test(check_clear_and_dup), cmocka_unit_test(check_wire_examples),
		cmocka_unit_test(check_recv), cmocka_unit_test(check_merge_inheritance), cmocka_unit_test(check_merge_modifiers),
		cmocka_unit_test(check_parent_scan), cmocka_unit_test(check_merge_errors), cmocka_unit_test(check_daemon),
		cmocka_unit_test(check_sides), cmocka_unit_test(check_cvs), cmocka_unit_test(check_limits), cmocka_unit_test(check_safelink),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
