noinst_LIBRARIES += libsession.a
libsession_a_SOURCES = \
	session/session.h \
	session/args.c session/args.h \
	session/argreader.c session/argreader.h \
	session/daemon_run.c \
	session/glob.c session/glob.h \
	session/itemize.c session/itemize.h \
	session/itemlog.c session/itemlog.h \
	session/ids.c session/ids.h \
	session/inroot.c session/inroot.h \
	session/keyrules.c session/keyrules.h \
	session/shellwords.c session/shellwords.h \
	session/idlink.c session/idlink.h \
	session/reach.c session/reach.h session/reach_plan.c \
	session/options.c session/options.h session/optpriv.h \
	session/opttable.c session/optcheck.c session/stoptime.c \
	session/optvals.c session/optvals.h \
	session/route.c session/route.h \
	session/serverlog.c session/serverlog.h \
	session/run.c session/run.h \
	session/server.c \
	session/setup.c session/setup.h

UNIT_TESTS += testsuite/unit/test_options
testsuite_unit_test_options_SOURCES = testsuite/unit/test_options.c testsuite/unit/option_vectors.inc
testsuite_unit_test_options_LDADD = $(UNIT_LDADD)

FUZZ_TARGETS += testsuite/fuzz/fuzz_options
testsuite_fuzz_fuzz_options_SOURCES = testsuite/fuzz/fuzz_options.c
testsuite_fuzz_fuzz_options_LDADD = $(KEDGE_LIBS) $(EXT_LIBS)
testsuite_fuzz_fuzz_options_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer

UNIT_TESTS += testsuite/unit/test_shellwords
testsuite_unit_test_shellwords_SOURCES = testsuite/unit/test_shellwords.c
testsuite_unit_test_shellwords_LDADD = $(UNIT_LDADD)

FUZZ_TARGETS += testsuite/fuzz/fuzz_shellwords
testsuite_fuzz_fuzz_shellwords_SOURCES = testsuite/fuzz/fuzz_shellwords.c
testsuite_fuzz_fuzz_shellwords_LDADD = $(KEDGE_LIBS) $(EXT_LIBS)
testsuite_fuzz_fuzz_shellwords_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
