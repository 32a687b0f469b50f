# sandbox, filesystem half
SANDBOX_FS = \
	sandbox/anchor.c sandbox/anchor.h \
	sandbox/places.c sandbox/places.h \
	sandbox/walk.c sandbox/walk.h \
	sandbox/fs.h sandbox/fs_priv.h sandbox/kcalls.h \
	sandbox/fs_cache.c \
	sandbox/fs_ops.c \
	sandbox/fs_open.c \
	sandbox/fs_dir.c \
	sandbox/fs_attr.c \
	sandbox/opfile.c sandbox/opfile.h \
	sandbox/pidfile.c

UNIT_TESTS += testsuite/unit/test_sandbox_fs
testsuite_unit_test_sandbox_fs_SOURCES = testsuite/unit/test_sandbox_fs.c testsuite/unit/fs_util.c testsuite/unit/fs_util.h
testsuite_unit_test_sandbox_fs_LDADD = $(UNIT_LDADD)
UNIT_TESTS += testsuite/unit/test_sandbox_held
testsuite_unit_test_sandbox_held_SOURCES = testsuite/unit/test_sandbox_held.c testsuite/unit/fs_util.c testsuite/unit/fs_util.h
testsuite_unit_test_sandbox_held_LDADD = $(UNIT_LDADD)

UNIT_TESTS += testsuite/unit/test_sandbox_race
testsuite_unit_test_sandbox_race_SOURCES = testsuite/unit/test_sandbox_race.c
testsuite_unit_test_sandbox_race_LDADD = $(UNIT_LDADD)

UNIT_TESTS += testsuite/unit/test_opfile
testsuite_unit_test_opfile_SOURCES = testsuite/unit/test_opfile.c testsuite/unit/fs_util.c testsuite/unit/fs_util.h
testsuite_unit_test_opfile_LDADD = $(UNIT_LDADD)
