noinst_LIBRARIES += libbase.a
libbase_a_SOURCES = \
	base/util.h \
	base/err.c base/err.h \
	base/say.c base/say.h \
	base/mem.c base/mem.h \
	base/buf.c base/buf.h \
	base/text.c base/text.h \
	base/event.c base/event.h \
	base/clock.c base/clock.h \
	base/charset.c base/charset.h

UNIT_TESTS += testsuite/unit/test_base testsuite/unit/test_charset
testsuite_unit_test_charset_SOURCES = testsuite/unit/test_charset.c
testsuite_unit_test_charset_LDADD = $(UNIT_LDADD)
testsuite_unit_test_base_SOURCES = testsuite/unit/test_base.c
testsuite_unit_test_base_LDADD = $(UNIT_LDADD)
