noinst_LIBRARIES += libdelta.a
libdelta_a_SOURCES = \
	delta/checksum.h \
	delta/compress.h \
	delta/rolling.c delta/rolling.h \
	delta/search.h \
	delta/sums.h \
	delta/token_in.h \
	delta/token_out.h
