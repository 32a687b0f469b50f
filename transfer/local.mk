# What both roles share: options, protocol facts, the transfer context, the mode language.
noinst_LIBRARIES += libtransfer.a
libtransfer_a_SOURCES = transfer/options.h transfer/xfer.h transfer/xfer.c \
	transfer/chmod.c transfer/chmod.h \
	transfer/posix_acl.c transfer/posix_acl.h \
	transfer/fake_super.c transfer/fake_super.h

UNIT_TESTS += testsuite/unit/test_chmod
testsuite_unit_test_chmod_SOURCES = testsuite/unit/test_chmod.c
testsuite_unit_test_chmod_LDADD = $(UNIT_LDADD)

UNIT_TESTS += testsuite/unit/test_posix_acl
testsuite_unit_test_posix_acl_SOURCES = testsuite/unit/test_posix_acl.c
testsuite_unit_test_posix_acl_LDADD = $(UNIT_LDADD)

UNIT_TESTS += testsuite/unit/test_fake_super
testsuite_unit_test_fake_super_SOURCES = testsuite/unit/test_fake_super.c
testsuite_unit_test_fake_super_LDADD = $(UNIT_LDADD)
