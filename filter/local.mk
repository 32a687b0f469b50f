noinst_LIBRARIES += libfilter.a
libfilter_a_SOURCES = filter/placeholder.c
