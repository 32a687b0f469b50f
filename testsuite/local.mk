# unit tests, fuzz targets and scripts that belong to no single room

# Nothing outside sandbox/ takes a path or a privilege.
SCRIPT_TESTS += testsuite/door.sh
EXTRA_DIST += testsuite/door.sh

# Every decoder has a fuzz target.
SCRIPT_TESTS += testsuite/decoders.sh
EXTRA_DIST += testsuite/decoders.sh

# What is missing is named by configure; what is built is installed.
SCRIPT_TESTS += testsuite/configure.sh
EXTRA_DIST += testsuite/configure.sh

UNIT_TESTS += testsuite/unit/test_memory
testsuite_unit_test_memory_SOURCES = testsuite/unit/test_memory.c testsuite/unit/flist_util.c testsuite/unit/flist_util.h
testsuite_unit_test_memory_CPPFLAGS = $(AM_CPPFLAGS) -DDATA_DIR=\"$(abs_top_srcdir)/testsuite/unit/data\"
testsuite_unit_test_memory_LDADD = $(UNIT_LDADD)

FUZZ_FLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
FUZZ_LIBS = $(KEDGE_LIBS) $(EXT_LIBS)
FUZZ_TARGETS += testsuite/fuzz/fuzz_handshake testsuite/fuzz/fuzz_conf testsuite/fuzz/fuzz_conn \
	testsuite/fuzz/fuzz_flist testsuite/fuzz/fuzz_item testsuite/fuzz/fuzz_charset \
	testsuite/fuzz/fuzz_acl testsuite/fuzz/fuzz_xattr testsuite/fuzz/fuzz_wire testsuite/fuzz/fuzz_ids
testsuite_fuzz_fuzz_handshake_SOURCES = testsuite/fuzz/fuzz_handshake.c
testsuite_fuzz_fuzz_handshake_LDADD = $(FUZZ_LIBS)
testsuite_fuzz_fuzz_handshake_LDFLAGS = $(FUZZ_FLAGS)
testsuite_fuzz_fuzz_conf_SOURCES = testsuite/fuzz/fuzz_conf.c
testsuite_fuzz_fuzz_conf_LDADD = $(FUZZ_LIBS)
testsuite_fuzz_fuzz_conf_LDFLAGS = $(FUZZ_FLAGS)
testsuite_fuzz_fuzz_conn_SOURCES = testsuite/fuzz/fuzz_conn.c
testsuite_fuzz_fuzz_conn_LDADD = $(FUZZ_LIBS)
testsuite_fuzz_fuzz_conn_LDFLAGS = $(FUZZ_FLAGS)
testsuite_fuzz_fuzz_flist_SOURCES = testsuite/fuzz/fuzz_flist.c
testsuite_fuzz_fuzz_flist_LDADD = $(FUZZ_LIBS)
testsuite_fuzz_fuzz_flist_LDFLAGS = $(FUZZ_FLAGS)
testsuite_fuzz_fuzz_item_SOURCES = testsuite/fuzz/fuzz_item.c
testsuite_fuzz_fuzz_item_LDADD = $(FUZZ_LIBS)
testsuite_fuzz_fuzz_item_LDFLAGS = $(FUZZ_FLAGS)
testsuite_fuzz_fuzz_xattr_SOURCES = testsuite/fuzz/fuzz_xattr.c
testsuite_fuzz_fuzz_xattr_LDADD = $(FUZZ_LIBS)
testsuite_fuzz_fuzz_xattr_LDFLAGS = $(FUZZ_FLAGS)
testsuite_fuzz_fuzz_acl_SOURCES = testsuite/fuzz/fuzz_acl.c
testsuite_fuzz_fuzz_acl_LDADD = $(FUZZ_LIBS)
testsuite_fuzz_fuzz_acl_LDFLAGS = $(FUZZ_FLAGS)
testsuite_fuzz_fuzz_wire_SOURCES = testsuite/fuzz/fuzz_wire.c
testsuite_fuzz_fuzz_wire_LDADD = $(FUZZ_LIBS)
testsuite_fuzz_fuzz_wire_LDFLAGS = $(FUZZ_FLAGS)
testsuite_fuzz_fuzz_ids_SOURCES = testsuite/fuzz/fuzz_ids.c
testsuite_fuzz_fuzz_ids_LDADD = $(FUZZ_LIBS)
testsuite_fuzz_fuzz_ids_LDFLAGS = $(FUZZ_FLAGS)
testsuite_fuzz_fuzz_charset_SOURCES = testsuite/fuzz/fuzz_charset.c
testsuite_fuzz_fuzz_charset_LDADD = $(FUZZ_LIBS)
testsuite_fuzz_fuzz_charset_LDFLAGS = $(FUZZ_FLAGS)

# kedge with switches that turn its defences off, for the attack tests: made by name only, never installed.
EXTRA_PROGRAMS += testsuite/attack/kedge_hooks
CLEANFILES += testsuite/attack/kedge_hooks$(EXEEXT)
testsuite_attack_kedge_hooks_SOURCES = daemon/main.c sandbox/confine_plan.c sandbox/anchor.c
testsuite_attack_kedge_hooks_CPPFLAGS = $(AM_CPPFLAGS) -DKEDGE_TEST_HOOKS=1
testsuite_attack_kedge_hooks_LDADD = $(KEDGE_LIBS) $(EXT_LIBS)
