# sandbox, process half
SANDBOX_PROC = \
	sandbox/chan.c sandbox/chan.h \
	sandbox/caps.c sandbox/caps.h \
	sandbox/landlock.c sandbox/landlock.h \
	sandbox/seccomp.c sandbox/seccomp.h \
	sandbox/confine.c sandbox/confine.h sandbox/confine_priv.h \
	sandbox/confine_plan.c sandbox/confine_report.c \
	sandbox/spawn.c sandbox/spawn.h sandbox/spawn_priv.h sandbox/hook.c \
	sandbox/broker.h sandbox/broker_proto.h sandbox/broker_policy.c sandbox/broker_audit.c \
	sandbox/broker_serve.c sandbox/broker_start.c sandbox/broker_client.c

# libseccomp makes the system-call filters while kedge is built, for the machine it is built for: cross-building needs
# a way to run the target's programs.
noinst_PROGRAMS += sandbox/mkfilters
sandbox_mkfilters_SOURCES = sandbox/mkfilters.c sandbox/seccomp_rules.c
sandbox_mkfilters_LDADD = $(SECCOMP_LIBS)
nodist_libsandbox_a_SOURCES = sandbox/seccomp_programs.c
CLEANFILES += sandbox/seccomp_programs.c
sandbox/seccomp_programs.c: sandbox/mkfilters$(EXEEXT)
	$(AM_V_GEN)sandbox/mkfilters$(EXEEXT) >$@.tmp && mv -f $@.tmp $@

UNIT_TESTS += testsuite/unit/test_chan
testsuite_unit_test_chan_SOURCES = testsuite/unit/test_chan.c
testsuite_unit_test_chan_LDADD = $(UNIT_LDADD)

UNIT_TESTS += testsuite/unit/test_confine
testsuite_unit_test_confine_SOURCES = testsuite/unit/test_confine.c
testsuite_unit_test_confine_LDADD = $(UNIT_LDADD)

UNIT_TESTS += testsuite/unit/test_broker
testsuite_unit_test_broker_SOURCES = testsuite/unit/test_broker.c
testsuite_unit_test_broker_LDADD = $(UNIT_LDADD)

UNIT_TESTS += testsuite/unit/test_spawn
testsuite_unit_test_spawn_SOURCES = testsuite/unit/test_spawn.c
testsuite_unit_test_spawn_LDADD = $(UNIT_LDADD)

FUZZ_TARGETS += testsuite/fuzz/fuzz_broker testsuite/fuzz/fuzz_chan testsuite/fuzz/fuzz_devices
testsuite_fuzz_fuzz_broker_SOURCES = testsuite/fuzz/fuzz_broker.c
testsuite_fuzz_fuzz_broker_LDADD = $(KEDGE_LIBS) $(EXT_LIBS)
testsuite_fuzz_fuzz_broker_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
testsuite_fuzz_fuzz_chan_SOURCES = testsuite/fuzz/fuzz_chan.c
testsuite_fuzz_fuzz_chan_LDADD = $(KEDGE_LIBS) $(EXT_LIBS)
testsuite_fuzz_fuzz_chan_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
testsuite_fuzz_fuzz_devices_SOURCES = testsuite/fuzz/fuzz_devices.c
testsuite_fuzz_fuzz_devices_LDADD = $(KEDGE_LIBS) $(EXT_LIBS)
testsuite_fuzz_fuzz_devices_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
