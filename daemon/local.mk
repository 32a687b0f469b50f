noinst_LIBRARIES += libdaemon.a
libdaemon_a_SOURCES = \
	daemon/about.c daemon/about.h \
	daemon/access.c daemon/access.h \
	daemon/activation.c daemon/activation.h \
	daemon/auth.c daemon/auth.h \
	daemon/check.c \
	daemon/cmdline.c daemon/cmdline.h \
	daemon/conf_lex.c daemon/conf_lex.h \
	daemon/conf_table.c \
	daemon/conf.c daemon/conf.h \
	daemon/connection.h \
	daemon/daemon.c daemon/daemon.h \
	daemon/gate.c daemon/gate.h \
	daemon/handshake.c daemon/handshake.h \
	daemon/hooks.c daemon/hooks.h \
	daemon/quota.c daemon/quota.h \
	daemon/ident.c daemon/ident.h \
	daemon/limits.c daemon/limits.h \
	daemon/listener.c \
	daemon/log.c daemon/log.h \
	daemon/login.c \
	daemon/messages.h \
	daemon/module.c \
	daemon/monitor.c \
	daemon/notify.c daemon/notify.h \
	daemon/proxy.c daemon/proxy.h \
	daemon/resolve.c daemon/resolve.h \
	daemon/restricted.c daemon/restricted.h \
	daemon/sockopts.c daemon/sockopts.h \
	daemon/worker.c

bin_PROGRAMS += kedge
kedge_SOURCES = daemon/main.c
kedge_LDADD = $(KEDGE_LIBS) $(EXT_LIBS)

UNIT_TESTS += testsuite/unit/test_conf testsuite/unit/test_access testsuite/unit/test_auth
testsuite_unit_test_conf_SOURCES = testsuite/unit/test_conf.c
testsuite_unit_test_conf_LDADD = $(UNIT_LDADD)
testsuite_unit_test_access_SOURCES = testsuite/unit/test_access.c
testsuite_unit_test_access_LDADD = $(UNIT_LDADD)
testsuite_unit_test_auth_SOURCES = testsuite/unit/test_auth.c
testsuite_unit_test_auth_LDADD = $(UNIT_LDADD)
