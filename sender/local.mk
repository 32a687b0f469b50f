# The role that reads source files: file list, deliveries.
noinst_LIBRARIES += libsender.a
libsender_a_SOURCES = \
	sender/sender.c sender/sender.h \
	sender/place.c sender/args.c sender/entry.c sender/walk.c sender/request.c sender/remove.c
