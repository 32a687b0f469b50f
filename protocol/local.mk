noinst_LIBRARIES += libprotocol.a
libprotocol_a_SOURCES = \
	protocol/wire.c protocol/wire.h \
	protocol/conn.c protocol/conn.h \
	protocol/flist.c protocol/flist_read.c protocol/flist_write.c protocol/flist_sort.c \
	protocol/ids.c protocol/flist.h protocol/flist_priv.h \
	protocol/acl_wire.c protocol/acl_wire.h protocol/xattr_wire.c protocol/xattr_wire.h protocol/ptab.c protocol/ptab.h \
	protocol/item.c protocol/item.h

UNIT_TESTS += testsuite/unit/test_wire
testsuite_unit_test_wire_SOURCES = testsuite/unit/test_wire.c
testsuite_unit_test_wire_LDADD = $(UNIT_LDADD)

UNIT_TESTS += testsuite/unit/test_flist_replay
testsuite_unit_test_flist_replay_SOURCES = testsuite/unit/test_flist_replay.c \
	testsuite/unit/flist_util.c testsuite/unit/flist_util.h testsuite/unit/unit.h
testsuite_unit_test_flist_replay_CPPFLAGS = $(AM_CPPFLAGS) -DDATA_DIR=\"$(abs_top_srcdir)/testsuite/unit/data\"
testsuite_unit_test_flist_replay_LDADD = $(UNIT_LDADD)

UNIT_TESTS += testsuite/unit/test_flist
testsuite_unit_test_flist_SOURCES = testsuite/unit/test_flist.c testsuite/unit/flist_util.c testsuite/unit/flist_util.h
testsuite_unit_test_flist_CPPFLAGS = $(AM_CPPFLAGS)
testsuite_unit_test_flist_LDADD = $(UNIT_LDADD)

UNIT_TESTS += testsuite/unit/test_item
testsuite_unit_test_item_SOURCES = testsuite/unit/test_item.c testsuite/unit/flist_util.c testsuite/unit/flist_util.h
testsuite_unit_test_item_CPPFLAGS = $(AM_CPPFLAGS)
testsuite_unit_test_item_LDADD = $(UNIT_LDADD)

UNIT_TESTS += testsuite/unit/test_attr_wire
testsuite_unit_test_attr_wire_SOURCES = testsuite/unit/test_attr_wire.c testsuite/unit/flist_util.c testsuite/unit/flist_util.h
testsuite_unit_test_attr_wire_CPPFLAGS = $(AM_CPPFLAGS)
testsuite_unit_test_attr_wire_LDADD = $(UNIT_LDADD)
