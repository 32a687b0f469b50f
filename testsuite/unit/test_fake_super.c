/*
 * The %stat text: the table of spec 08 §14.9, both ways.
 */
#include "testsuite/unit/unit.h"

#include <errno.h>
#include <sys/sysmacros.h>

#include "transfer/fake_super.h"

static const struct { mode_t mode; unsigned maj, min; uid_t uid; gid_t gid; const char *text; } rows[] = {
	{ 0106711, 0, 0, 5, 6, "106711 0,0 5:6" },
	{ 0100400, 0, 0, 0, 0, "100400 0,0 0:0" },
	{ 042555, 0, 0, 7, 8, "42555 0,0 7:8" },
	{ 020644, 1, 3, 0, 0, "20644 1,3 0:0" },
	{ 060644, 259, 300, 0, 0, "60644 259,300 0:0" },
	{ 010644, 0, 0, 0, 0, "10644 0,0 0:0" },
	{ 0140755, 0, 0, 0, 0, "140755 0,0 0:0" },
	{ 0120777, 0, 0, 4294967295, 4294967294, "120777 0,0 4294967295:4294967294" },
};

static void both_ways(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct stat st = { .st_mode = rows[i].mode, .st_rdev = makedev(rows[i].maj, rows[i].min), .st_uid = rows[i].uid,
				   .st_gid = rows[i].gid }, back = { .st_size = 9 };
		char text[FAKE_STAT_MAX];

		assert_int_equal(fake_stat_encode(&st, text), strlen(rows[i].text));
		assert_string_equal(text, rows[i].text);
		assert_int_equal(fake_stat_decode(text, strlen(text), &back), 0);
		assert_int_equal(back.st_mode, rows[i].mode);
		assert_int_equal(back.st_rdev, st.st_rdev);
		assert_int_equal(back.st_uid, rows[i].uid);
		assert_int_equal(back.st_gid, rows[i].gid);
		assert_int_equal(back.st_size, 9);
	}
}

/* Numbers of something that is no device are dropped. */
static void no_device(void **state)
{
	struct stat st = { .st_mode = 0100644, .st_rdev = makedev(8, 1) };
	char text[FAKE_STAT_MAX];

	(void)state;
	fake_stat_encode(&st, text);
	assert_string_equal(text, "100644 0,0 0:0");
	assert_int_equal(fake_stat_decode("100644 8,1 0:0", 14, &st), 0);
	assert_int_equal(st.st_rdev, 0);
}

static void bad_text(void **state)
{
	static const char *const bad[] = { "", "100644", "100644 0,0", "100644 0,0 1", "100644 0,0 1:", "100644 0 0 1:1", "100844 0,0 1:1",
		"100644 0,0 4294967296:1", "1006440,0 1:1", "x100644 0,0 1:1", "-1 0,0 1:1" };
	struct stat st = { .st_mode = 7, .st_uid = 7 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(fake_stat_decode(bad[i], strlen(bad[i]), &st), -EBADMSG);
		assert_true(st.st_mode == 7 && st.st_uid == 7);
	}
	assert_int_equal(fake_stat_decode("100644\t\n 0,0  1:1", 17, &st), 0);
	/* No further than the length says. */
	assert_int_equal(fake_stat_decode("100644 0,0 1:19", 14, &st), 0);
	assert_int_equal(st.st_gid, 1);
}

static void names(void **state)
{
	(void)state;
	assert_true(fake_is_own("user.rsync.%stat") && fake_is_own("user.rsync.%aacl") && fake_is_own("user.rsync.%dacl"));
	assert_false(fake_is_own("user.rsync.%statx") || fake_is_own("user.rsync.") || fake_is_own("user.%stat"));
	assert_int_equal(fake_disk_mode(06411, false), 0611);
	assert_int_equal(fake_disk_mode(01055, true), 0755);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_ways), cmocka_unit_test(no_device), cmocka_unit_test(bad_text), cmocka_unit_test(names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
