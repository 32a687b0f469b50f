/*
 * Source arguments as text: the tables of spec 05 §5.4 and 02 §12, §13.
 */
#include "testsuite/unit/unit.h"

#include "sender/argname.h"

struct row { const char *arg, *dir, *name; size_t parents; bool contents, dot; };

static void check(const struct row *t, const struct arg_name *p)
{
	assert_string_equal(p->dir, t->dir);
	assert_string_equal(p->name, t->name);
	assert_int_equal(p->parents, t->parents);
	assert_int_equal(p->contents, t->contents);
	assert_int_equal(p->dot_implied, t->dot);
	assert_false(p->listed);
}

static void plain(void **state)
{
	static const struct row t[] = {
		{ "a", "", "a", 0, false, false },
		{ "a/b", "a", "b", 0, false, false },
		{ "/a", "/", "a", 0, false, false },
		{ "a/b/", "a/b/", ".", 0, true, false },
		{ "a/b/.", "a/b/.", ".", 0, true, false },
		{ "a/..", "a/..", ".", 0, true, false },
		{ "..", "..", ".", 0, true, false },
		{ ".", ".", ".", 0, true, false },
		{ "", "", ".", 0, true, false },
		{ "/", "/", ".", 0, true, false },
		{ "a/b..", "a", "b..", 0, false, false },
		{ "a/.b", "a", ".b", 0, false, false },
		{ "x.", "", "x.", 0, false, false },
		{ "...", "", "...", 0, false, false },
	};
	struct arg_name p;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		arg_parse_plain(t[i].arg, &p);
		check(&t[i], &p);
	}
}

static void relative(void **state)
{
	static const struct row t[] = {
		{ "a/b/c", "", "a/b/c", 3, false, false },
		{ "x/y/./b/c", "x/y", "b/c", 1, false, false },
		{ "x/./b/./c", "x", "b/c", 1, false, false },
		{ "/./b", "/", "b", 0, false, false },
		{ "./a/b", "", "a/b", 1, false, true },
		{ "/a/b", "/", "/a/b", 2, false, false },
		{ "/a", "/", "/a", 1, false, false },
		{ "/", "/", "/.", 1, true, false },
		{ "a//b/", "", "a/b", 1, true, false },
		{ "a/b/.", "", "a/b", 1, true, false },
		{ ".", "", ".", 0, true, false },
		{ "./", "", ".", 0, true, false },
		{ "x/./", "x", ".", 0, true, false },
	};
	struct arg_name p;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		assert_int_equal(arg_parse_relative(t[i].arg, &p), 0);
		check(&t[i], &p);
	}
	assert_int_equal(arg_parse_relative("a/../b", &p), -1);
	assert_int_equal(arg_parse_relative("x/./..", &p), -1);
	assert_int_equal(arg_parse_relative("../x/./b", &p), 0);
	assert_string_equal(p.dir, "../x");
}

static void listed(void **state)
{
	static const struct { const char *in, *out, *dots; } t[] = {
		{ "a/b", "a/b", "a/b" },
		{ "/a", "a", "a" },
		{ "../../etc/x", "etc/x", "etc/x" },
		{ "a/../b", "b", "b" },
		{ "a/b/..", "a/", "a/" },
		{ "..", ".", "." },
		{ "a/./b", "a/b", "a/./b" },
		{ "./a", "a", "./a" },
		{ "//a//b/", "a/b/", "a/b/" },
		{ "a/../../b", "b", "b" },
	};
	char buf[64];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		strcpy(buf, t[i].in);
		arg_clean_listed(buf, false);
		assert_string_equal(buf, t[i].out);
		strcpy(buf, t[i].in);
		arg_clean_listed(buf, true);
		assert_string_equal(buf, t[i].dots);
	}
}

static void parents(void **state)
{
	(void)state;
	assert_int_equal(arg_parent_len("a"), 0);
	assert_int_equal(arg_parent_len("/a"), 1);
	assert_int_equal(arg_parent_len("/a/b"), 2);
	assert_int_equal(arg_parent_len("a/b/c"), 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain),
		cmocka_unit_test(relative),
		cmocka_unit_test(listed),
		cmocka_unit_test(parents),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
