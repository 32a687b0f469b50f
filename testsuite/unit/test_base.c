/* test_base.c - budgets, arenas, buffers, text helpers. */
#include "config.h"
#include "testsuite/unit/unit.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"

static void budget_limits_total_and_single(void **state)
{
	struct budget b;
	void *p, *q;

	(void)state;
	budget_init(&b, 4096, 2048);
	assert_null(mem_alloc(&b, 1, 2049));
	assert_null(mem_alloc(&b, SIZE_MAX / 2, 4));
	p = mem_alloc(&b, 1, 2048);
	assert_non_null(p);
	assert_null(mem_alloc(&b, 1, 2048));
	mem_free(&b, p);
	q = mem_alloc(&b, 1, 2000);
	assert_non_null(q);
	mem_free(&b, q);
	assert_int_equal(b.used, 0);
}

static void grow_keeps_contents(void **state)
{
	struct budget b;
	size_t cap = 0;
	int *v = NULL;

	(void)state;
	budget_init(&b, 0, 0);
	for (int i = 0; i < 1000; i++) {
		v = mem_grow(&b, v, &cap, (size_t)i + 1, sizeof *v);
		assert_non_null(v);
		v[i] = i;
	}
	for (int i = 0; i < 1000; i++)
		assert_int_equal(v[i], i);
	mem_free(&b, v);
	assert_int_equal(b.used, 0);
}

static void arena_aligns_and_credits(void **state)
{
	struct budget b;
	struct arena *a;

	(void)state;
	budget_init(&b, 0, 0);
	a = arena_new(&b, 4096);
	for (size_t i = 1; i < 300; i++) {
		char *p = arena_alloc(a, i, 8);
		assert_int_equal((uintptr_t)p % 8, 0);
		memset(p, 1, i);
	}
	assert_non_null(arena_alloc(a, 100000, 1));
	arena_free(a);
	assert_int_equal(b.used, 0);
}

static void path_cleaning(void **state)
{
	static const char *const rows[][2] = {
		{ "", "." }, { "/", "/" }, { ".", "." }, { "./", "." }, { "a//b/./c/", "a/b/c" },
		{ "/./a", "/a" }, { "a/../b", "a/../b" }, { "//x", "/x" }, { "./.x", ".x" }, { "/.", "/" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char p[64];
		strcpy(p, rows[i][0]);
		assert_int_equal(path_clean(p), strlen(rows[i][1]));
		assert_string_equal(p, rows[i][1]);
	}
	assert_true(path_has_dotdot("a/.."));
	assert_true(path_has_dotdot("../a"));
	assert_false(path_has_dotdot("a/...b/..c"));
}

static void path_collapsing(void **state)
{
	static const struct { const char *in; bool keep; const char *out; } rows[] = {
		{ "", true, "" }, { "..", true, "" }, { "../../a", true, "a" }, { "a/..", true, "" }, { "a/../b", true, "b" },
		{ "d//./e/", true, "d/./e/" }, { "d//./e/", false, "d/e/" }, { "d/e/../../f", true, "f" }, { "/abs//x/", true, "abs/x/" },
		{ ".", false, "" }, { ".", true, "." }, { "a/b/..", true, "a/" }, { "d/../../../etc/hostname", true, "etc/hostname" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char p[64];
		strcpy(p, rows[i].in);
		assert_int_equal(path_collapse(p, rows[i].keep), strlen(rows[i].out));
		assert_string_equal(p, rows[i].out);
	}
}

static void escaping(void **state)
{
	_cleanup_buf_ struct buf b = BUF_INIT(NULL);

	(void)state;
	text_escape(&b, "a\nb\x1b\t\\#012 \\#9", 14);
	assert_string_equal(buf_str(&b), "a\\#012b\\#033\t\\#134#012 \\#9");
}

static void base64(void **state)
{
	char out[16];

	(void)state;
	assert_int_equal(base64_encode(out, "abcd", 4), 6);
	assert_string_equal(out, "YWJjZA");
	base64_encode(out, "abc", 3);
	assert_string_equal(out, "YWJj");
	base64_encode(out, "ab", 2);
	assert_string_equal(out, "YWI");
}

static void first_error_wins(void **state)
{
	struct err e = { 0 };

	(void)state;
	assert_int_equal(fail(&e, RX_STREAMIO, "one %d", 1), -1);
	fail(&e, RX_MALLOC, "two");
	assert_int_equal(e.code, RX_STREAMIO);
	assert_string_equal(e.text, "one 1");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(budget_limits_total_and_single), cmocka_unit_test(grow_keeps_contents),
		cmocka_unit_test(arena_aligns_and_credits), cmocka_unit_test(path_cleaning), cmocka_unit_test(path_collapsing),
		cmocka_unit_test(escaping), cmocka_unit_test(base64), cmocka_unit_test(first_error_wins),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
