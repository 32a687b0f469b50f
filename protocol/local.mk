noinst_LIBRARIES += libprotocol.a
libprotocol_a_SOURCES = \
	protocol/wire.c protocol/wire.h \
	protocol/conn.c protocol/conn.h protocol/flist.h \
	protocol/item.c protocol/item.h

UNIT_TESTS += testsuite/unit/test_wire
testsuite_unit_test_wire_SOURCES = testsuite/unit/test_wire.c
testsuite_unit_test_wire_LDADD = $(UNIT_LDADD)
