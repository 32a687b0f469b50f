# sandbox, process half
SANDBOX_PROC = \
	sandbox/chan.c sandbox/chan.h \
	sandbox/caps.c sandbox/caps.h \
	sandbox/landlock.c sandbox/landlock.h \
	sandbox/seccomp.c sandbox/seccomp.h sandbox/seccomp_rules.c \
	sandbox/confine.h sandbox/spawn.h sandbox/broker.h
