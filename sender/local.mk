# The role that reads source files: file list, deliveries.
noinst_LIBRARIES += libsender.a
libsender_a_SOURCES = \
	sender/sender.c sender/sender.h \
	sender/argname.c sender/argname.h sender/convert.c \
	sender/place.c sender/args.c sender/entry.c sender/walk.c sender/request.c sender/remove.c sender/attrs.c

UNIT_TESTS += testsuite/unit/test_argname
testsuite_unit_test_argname_SOURCES = testsuite/unit/test_argname.c
testsuite_unit_test_argname_LDADD = $(UNIT_LDADD)
