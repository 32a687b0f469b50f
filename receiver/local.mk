noinst_LIBRARIES += libreceiver.a
libreceiver_a_SOURCES = receiver/placeholder.c
