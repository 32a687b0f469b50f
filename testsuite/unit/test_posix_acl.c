/*
 * ACL conversions: the captures of spec 02 §15.2 and §17.
 */
#include "testsuite/unit/unit.h"

#include <errno.h>

#include "transfer/posix_acl.h"

static struct acl_name names[POSIX_ACL_NAMES_MAX];

/* user::rw-, user:1:rw-, group::r--, group:2:r--, mask::rw-, other::r-- */
static const uint8_t kernel[] = {
	2, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255, 2, 0, 6, 0, 1, 0, 0, 0, 4, 0, 4, 0, 255, 255, 255, 255,
	8, 0, 4, 0, 2, 0, 0, 0, 16, 0, 6, 0, 255, 255, 255, 255, 32, 0, 4, 0, 255, 255, 255, 255,
};

static void kernel_form(void **state)
{
	uint8_t out[sizeof kernel];
	struct acl a;

	(void)state;
	assert_int_equal(posix_acl_decode(kernel, sizeof kernel, &a, names), 0);
	assert_int_equal(a.flags, 0x1f);
	assert_int_equal(a.count, 2);
	assert_true(a.names[0].is_user && a.names[0].id == 1 && a.names[0].perm == 6);
	assert_true(!a.names[1].is_user && a.names[1].id == 2 && a.names[1].perm == 4);
	assert_int_equal(posix_acl_encode(&a, out, sizeof out), sizeof kernel);
	assert_memory_equal(out, kernel, sizeof kernel);
	assert_int_equal(posix_acl_encode(&a, out, sizeof out - 1), -ERANGE);
	for (size_t n = 1; n < sizeof kernel; n++)
		if ((n - 4) % 8)
			assert_int_equal(posix_acl_decode(kernel, n, &a, names), -EINVAL);
	assert_int_equal(posix_acl_decode(kernel, 0, &a, names), 0);
	assert_int_equal(a.flags, 0);
}

static void reduce(void **state)
{
	struct acl a;

	(void)state;
	/* Captured: mode 0664 gives flags 0x12. */
	posix_acl_decode(kernel, sizeof kernel, &a, names);
	posix_acl_reduce(&a, 0100664);
	assert_int_equal(a.flags, ACLW_GROUP_OBJ | ACLW_NAMES);
	/* A mask that the mode does not show. */
	posix_acl_decode(kernel, sizeof kernel, &a, names);
	posix_acl_reduce(&a, 0100644);
	assert_int_equal(a.flags, ACLW_MASK_OBJ | ACLW_NAMES);
	/* A mask without names is always sent. */
	a = (struct acl){ .flags = 0x0f, .group_obj = 5, .mask_obj = 5 };
	posix_acl_reduce(&a, 040755);
	assert_int_equal(a.flags, ACLW_MASK_OBJ);
	/* A plain file. */
	a = (struct acl){ .flags = 0x0b, .group_obj = 4 };
	posix_acl_reduce(&a, 0100644);
	assert_int_equal(a.flags, 0);
}

static void fake_form(void **state)
{
	static const uint8_t aacl[] = {
		0x80, 0, 0, 0, 4, 0, 0, 0, 6, 0, 0, 0, 0x80, 0, 0, 0, 1, 0, 0, 0, 6, 0, 0, 0x80, 2, 0, 0, 0, 4, 0, 0, 0,
	};
	uint8_t out[sizeof aacl];
	struct acl a;

	(void)state;
	assert_int_equal(fake_acl_decode(aacl, sizeof aacl, &a, names), 0);
	assert_int_equal(a.flags, ACLW_GROUP_OBJ | ACLW_MASK_OBJ | ACLW_NAMES);
	assert_true(a.count == 2 && a.names[0].is_user && !a.names[1].is_user);
	assert_int_equal(fake_acl_encode(&a, out, sizeof out), sizeof aacl);
	assert_memory_equal(out, aacl, sizeof aacl);
	assert_int_equal(fake_acl_decode(aacl, 15, &a, names), -EINVAL);
	assert_int_equal(fake_acl_decode(aacl, 20, &a, names), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(kernel_form),
		cmocka_unit_test(reduce),
		cmocka_unit_test(fake_form),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
