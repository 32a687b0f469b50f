/* Conversion of names: both ways, failures, bounds (base/charset.h). */
#include "config.h"
#include <errno.h>

#include "base/charset.h"
#include "unit.h"

static struct charset *open_set(const char *name)
{
	struct charset *c;

	assert_int_equal(charset_open(&c, name), 0);
	return c;
}

static void test_names(void **state)
{
	struct charset *c = open_set("ISO-8859-1");
	char out[16];

	(void)state;
	assert_int_equal(charset_name(c, CHARSET_TO_UTF8, "a\xe4", 2, out, 15), 3);
	assert_string_equal(out, "a\xc3\xa4");
	assert_int_equal(charset_name(c, CHARSET_FROM_UTF8, "a\xc3\xa4", 3, out, 15), 2);
	assert_string_equal(out, "a\xe4");
	assert_int_equal(charset_name(c, CHARSET_FROM_UTF8, "plain", 5, out, 15), 5);
	assert_int_equal(charset_name(c, CHARSET_FROM_UTF8, "", 0, out, 15), 0);
	assert_string_equal(out, "");
	assert_int_equal(charset_name(c, CHARSET_FROM_UTF8, "\xe2\x82\xac", 3, out, 15), -EILSEQ);
	assert_int_equal(charset_name(c, CHARSET_FROM_UTF8, "x\xc3", 2, out, 15), -EINVAL);
	assert_int_equal(charset_name(c, CHARSET_FROM_UTF8, "\xff", 1, out, 15), -EILSEQ);
	charset_close(c);
}

static void test_bounds(void **state)
{
	struct charset *c = open_set("ISO-8859-1");
	char out[16];

	(void)state;
	memset(out, '#', sizeof out);
	assert_int_equal(charset_name(c, CHARSET_TO_UTF8, "\xe4\xe4", 2, out, 4), 4);
	assert_int_equal(out[4], 0);
	assert_int_equal(out[5], '#');
	assert_int_equal(charset_name(c, CHARSET_TO_UTF8, "\xe4\xe4", 2, out, 3), -E2BIG);
	assert_int_equal(charset_name(c, CHARSET_TO_UTF8, "abcd", 4, out, 3), -E2BIG);
	charset_close(c);
}

/* A character set in which names would have NULs makes no names. */
static void test_no_nul(void **state)
{
	struct charset *c = open_set("UTF-16LE");
	char out[32];

	(void)state;
	assert_int_equal(charset_name(c, CHARSET_FROM_UTF8, "ab", 2, out, 31), -EILSEQ);
	assert_int_equal(charset_name(c, CHARSET_TO_UTF8, "\0\0", 2, out, 31), -EILSEQ);
	charset_close(c);
}

/* Shift states end with the name. */
static void test_stateful(void **state)
{
	struct charset *c = open_set("ISO-2022-JP");
	char out[32], back[32];
	int n;

	(void)state;
	n = charset_name(c, CHARSET_FROM_UTF8, "\xe6\x97\xa5", 3, out, 31);
	assert_int_equal(n, 8);
	assert_memory_equal(out + 5, "\x1b(B", 3);
	assert_int_equal(charset_name(c, CHARSET_TO_UTF8, out, (size_t)n, back, 31), 3);
	assert_string_equal(back, "\xe6\x97\xa5");
	charset_close(c);
}

static void test_text(void **state)
{
	struct charset *c = open_set("ISO-8859-1");
	char out[64];

	(void)state;
	assert_int_equal(charset_text(c, CHARSET_FROM_UTF8, "\xe6\x97\xa5 \xc3\xa4\xff", 7, out, 60), 6);
	assert_string_equal(out, "\xe6\x97\xa5 \xe4\xff");
	assert_true(charset_text(c, CHARSET_TO_UTF8, "\xe4\xe4\xe4\xe4\xe4\xe4\xe4\xe4\xe4\xe4\xe4\xe4\xe4\xe4\xe4\xe4", 16, out, 20) <= 20);
	assert_int_equal(charset_text(c, CHARSET_TO_UTF8, "0123456789", 10, out, 4), 4);
	assert_string_equal(out, "0123");
	charset_close(c);
}

static void test_unknown(void **state)
{
	struct charset *c;

	(void)state;
	assert_int_equal(charset_open(&c, "no such character set"), -EINVAL);
	assert_null(c);
	c = open_set(".");
	charset_close(c);
	charset_close(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names), cmocka_unit_test(test_bounds), cmocka_unit_test(test_no_nul),
		cmocka_unit_test(test_stateful), cmocka_unit_test(test_text), cmocka_unit_test(test_unknown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
