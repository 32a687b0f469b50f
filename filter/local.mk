noinst_LIBRARIES += libfilter.a
libfilter_a_SOURCES = filter/placeholder.c \
	filter/filter.h filter/wildmatch.h filter/safelink.h
