noinst_LIBRARIES += libsender.a
libsender_a_SOURCES = sender/placeholder.c
