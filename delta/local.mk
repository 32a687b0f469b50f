noinst_LIBRARIES += libdelta.a
libdelta_a_SOURCES = delta/placeholder.c
