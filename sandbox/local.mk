noinst_LIBRARIES += libsandbox.a
libsandbox_a_SOURCES = sandbox/placeholder.c
