noinst_LIBRARIES += libsession.a
libsession_a_SOURCES = \
	session/session.h \
	session/args.c session/args.h \
	session/daemon_run.c \
	session/ids.c session/ids.h \
	session/options.c session/options.h \
	session/optvals.c session/optvals.h \
	session/route.c session/route.h \
	session/run.c session/run.h \
	session/server.c \
	session/setup.c session/setup.h
