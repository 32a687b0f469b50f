# The one door to the filesystem and to privilege. Two halves: fs.mk (anchors, places,
# operations) and proc.mk (confinement of a process, the broker).
noinst_LIBRARIES += libsandbox.a
libsandbox_a_SOURCES = $(SANDBOX_FS) $(SANDBOX_PROC)

include $(top_srcdir)/sandbox/fs.mk
include $(top_srcdir)/sandbox/proc.mk
