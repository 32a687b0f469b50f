/*
 * The mode language of --chmod: the table of spec 08 §14.6.
 */
#include "testsuite/unit/unit.h"

#include "transfer/chmod.h"

static void table(void **state)
{
	static const struct { const char *spec; mode_t dir, file, xfile; } t[] = {
		{ "644", 0644, 0644, 0644 },
		{ "D755,F644", 0755, 0644, 0644 },
		{ "a=rX", 02555, 0444, 0555 },
		{ "=w", 02200, 0200, 0200 },
		{ "a+s", 06750, 06640, 06711 },
		{ "+s", 06750, 04640, 04711 },
		{ "o+s", 06750, 04640, 04711 },
		{ "a-s", 0750, 0640, 0711 },
		{ "g=u", 0770, 0660, 0771 },
		{ "a=u", 0777, 0666, 0777 },
		{ "go+u", 02777, 0666, 0777 },
		{ "g-u", 02700, 0600, 0701 },
		{ "ug=rw,Do+x", 02661, 0660, 0661 },
		{ "Dg+s,ug+w,Fo-w,+X", 02771, 0660, 0731 },
		{ "07777", 07777, 07777, 07777 },
		{ "u=", 02050, 040, 011 },
		{ "a=", 02000, 0, 0 },
		{ "755,D700", 0700, 0755, 0755 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct chmod_rules *r = chmod_parse(t[i].spec, 022);

		assert_non_null(r);
		assert_int_equal(chmod_apply(r, S_IFDIR | 02750), S_IFDIR | t[i].dir);
		assert_int_equal(chmod_apply(r, S_IFREG | 0640), S_IFREG | t[i].file);
		assert_int_equal(chmod_apply(r, S_IFREG | 0711), S_IFREG | t[i].xfile);
		assert_int_equal(chmod_apply(r, S_IFLNK | 0777), S_IFLNK | 0777);
		chmod_free(r);
	}
	assert_int_equal(chmod_apply(NULL, S_IFREG | 0640), S_IFREG | 0640);
}

static void bad_text(void **state)
{
	static const char *const bad[] = { "", "u+x,", "10000", "8", "u755", "D", "u+rq", "o=u-w", "u=rw+x", "DF+x", "u", "755x" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_null(chmod_parse(bad[i], 022));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(table),
		cmocka_unit_test(bad_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
