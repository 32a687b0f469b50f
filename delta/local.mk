noinst_LIBRARIES += libdelta.a
libdelta_a_SOURCES = \
	delta/block_index.c delta/block_index.h \
	delta/checksum.c delta/checksum.h \
	delta/compress.c delta/compress.h \
	delta/md4.c delta/md4.h \
	delta/rolling.c delta/rolling.h \
	delta/scan.c delta/scan.h \
	delta/search.c delta/search.h \
	delta/source.c delta/source.h \
	delta/sums.c delta/sums.h \
	delta/token_in.c delta/token_in.h \
	delta/token_out.c delta/token_out.h \
	delta/xxh_avx2.c delta/xxh_base.c delta/xxh.h delta/xxh_body.h

UNIT_TESTS += testsuite/unit/test_sums testsuite/unit/test_tokens
testsuite_unit_test_sums_SOURCES = testsuite/unit/test_sums.c testsuite/unit/unit.h
testsuite_unit_test_sums_LDADD = $(UNIT_LDADD)
testsuite_unit_test_tokens_SOURCES = testsuite/unit/test_tokens.c testsuite/unit/unit.h
testsuite_unit_test_tokens_LDADD = $(UNIT_LDADD)
UNIT_TESTS += testsuite/unit/test_search
testsuite_unit_test_search_SOURCES = testsuite/unit/test_search.c testsuite/unit/unit.h
testsuite_unit_test_search_LDADD = $(UNIT_LDADD)

FUZZ_TARGETS += testsuite/fuzz/fuzz_tokens testsuite/fuzz/fuzz_sums
testsuite_fuzz_fuzz_tokens_SOURCES = testsuite/fuzz/fuzz_tokens.c
testsuite_fuzz_fuzz_tokens_LDADD = $(KEDGE_LIBS) $(EXT_LIBS)
testsuite_fuzz_fuzz_tokens_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
testsuite_fuzz_fuzz_sums_SOURCES = testsuite/fuzz/fuzz_sums.c
testsuite_fuzz_fuzz_sums_LDADD = $(KEDGE_LIBS) $(EXT_LIBS)
testsuite_fuzz_fuzz_sums_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer

# Built on request: make testsuite/bench/bench_delta
EXTRA_PROGRAMS += testsuite/bench/bench_delta
testsuite_bench_bench_delta_SOURCES = testsuite/bench/bench_delta.c
testsuite_bench_bench_delta_LDADD = $(KEDGE_LIBS) $(EXT_LIBS)
