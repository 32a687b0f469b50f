noinst_LIBRARIES += libreceiver.a
libreceiver_a_SOURCES = \
	receiver/rx.h receiver/names.c receiver/convert.c \
	receiver/queue.c receiver/queue.h \
	receiver/idmap.c receiver/idmap.h \
	receiver/attrs.c receiver/attrs.h receiver/attr_room.h \
	receiver/xattrs.c receiver/xattrs.h receiver/acls.c receiver/fake.c \
	receiver/dest.c receiver/dest.h \
	receiver/outw.c receiver/outw.h \
	receiver/finish.c receiver/finish.h receiver/backup.c \
	receiver/forward.c receiver/forward.h receiver/receiver.c receiver/recv_file.c receiver/recv.h \
	receiver/generator.c receiver/gen.h receiver/walk.c receiver/dirs.c \
	receiver/list.c receiver/gen_dir.c receiver/gen_file.c receiver/gen_link.c \
	receiver/delete.c receiver/hlink.c receiver/altdest.c receiver/fuzzy.c

UNIT_TESTS += testsuite/unit/test_receiver
testsuite_unit_test_receiver_SOURCES = testsuite/unit/test_receiver.c
testsuite_unit_test_receiver_CPPFLAGS = $(AM_CPPFLAGS)
testsuite_unit_test_receiver_LDADD = $(UNIT_LDADD)

UNIT_TESTS += testsuite/unit/test_generator
testsuite_unit_test_generator_SOURCES = testsuite/unit/test_generator.c testsuite/unit/gen_util.c testsuite/unit/gen_util.h
testsuite_unit_test_generator_CPPFLAGS = $(AM_CPPFLAGS)
testsuite_unit_test_generator_LDADD = $(UNIT_LDADD)
