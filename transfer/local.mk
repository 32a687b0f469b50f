# What both roles share: options, protocol facts, the transfer context, the mode language.
noinst_LIBRARIES += libtransfer.a
libtransfer_a_SOURCES = transfer/options.h transfer/xfer.h transfer/xfer.c \
	transfer/chmod.c transfer/chmod.h

UNIT_TESTS += testsuite/unit/test_chmod
testsuite_unit_test_chmod_SOURCES = testsuite/unit/test_chmod.c
testsuite_unit_test_chmod_LDADD = $(UNIT_LDADD)
