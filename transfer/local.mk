# What both roles share: options, protocol facts, the transfer context.
noinst_LIBRARIES += libtransfer.a
libtransfer_a_SOURCES = transfer/options.h transfer/xfer.h transfer/xfer.c
