noinst_LIBRARIES += libfilter.a
libfilter_a_SOURCES = \
	filter/filter.h filter/rules.h \
	filter/parse.c filter/list.c filter/match.c filter/walk.c filter/wire.c \
	filter/wildmatch.c filter/wildmatch.h \
	filter/safelink.c filter/safelink.h

UNIT_TESTS += testsuite/unit/test_filter
testsuite_unit_test_filter_SOURCES = testsuite/unit/test_filter.c testsuite/unit/filter_rows.inc
testsuite_unit_test_filter_LDADD = $(UNIT_LDADD)

FUZZ_TARGETS += testsuite/fuzz/fuzz_wildmatch testsuite/fuzz/fuzz_filter
testsuite_fuzz_fuzz_wildmatch_SOURCES = testsuite/fuzz/fuzz_wildmatch.c
testsuite_fuzz_fuzz_wildmatch_LDADD = $(KEDGE_LIBS) $(EXT_LIBS)
testsuite_fuzz_fuzz_wildmatch_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
testsuite_fuzz_fuzz_filter_SOURCES = testsuite/fuzz/fuzz_filter.c
testsuite_fuzz_fuzz_filter_LDADD = $(KEDGE_LIBS) $(EXT_LIBS)
testsuite_fuzz_fuzz_filter_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
