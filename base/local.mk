noinst_LIBRARIES += libbase.a
libbase_a_SOURCES = \
	base/util.h \
	base/err.c base/err.h \
	base/say.c base/say.h \
	base/mem.c base/mem.h \
	base/buf.c base/buf.h \
	base/text.c base/text.h \
	base/clock.c base/clock.h

UNIT_TESTS += testsuite/unit/test_base
testsuite_unit_test_base_SOURCES = testsuite/unit/test_base.c
testsuite_unit_test_base_LDADD = $(UNIT_LDADD)
