noinst_LIBRARIES += libprotocol.a
libprotocol_a_SOURCES = protocol/placeholder.c
