/*
 * opfile.h - files that the operator names: configuration, secrets, motd, log, pid and lock files,
 * filter files, batch files (spec 06 §2.1, 08 §20.B).
 *
 * Trusted-owner walk: a symbolic link anywhere in the path, the leaf included, is followed only if it
 * is owned by uid 0 or our effective uid, and at most 40 of them; else -ELOOP. /dev/stdin, /dev/fd/N and
 * /proc/self/fd/N work. All return >= 0 or a negative errno; descriptors are O_CLOEXEC.
 */
#ifndef SANDBOX_OPFILE_H
#define SANDBOX_OPFILE_H

#include <sys/stat.h>

#include "base/buf.h"

enum {
	OPFILE_REGULAR = 1 << 0,       /* must be a regular file: -EISDIR, or -EINVAL for other types; never blocks */
	OPFILE_NOFOLLOW_LEAF = 1 << 1, /* not even a trusted link at the leaf */
	OPFILE_FREE = 1 << 2,          /* follow every link (insecure links) */
};

/* open(2) by these rules. oflags: O_RDONLY/O_WRONLY/O_RDWR, O_CREAT, O_EXCL, O_APPEND, O_TRUNC; mode is filtered by the umask. */
int opfile_open(const char *path, int oflags, mode_t mode, unsigned flags);

/* Appends the whole file to out. -EFBIG above max bytes, -ENOMEM when out is over budget. st may be NULL: fstat of the file read. */
int opfile_read_all(const char *path, size_t max, unsigned flags, struct buf *out, struct stat *st);

/* stat (following by the same rules). */
int opfile_stat(const char *path, unsigned flags, struct stat *st);

/* Whether the file system there is mounted nodev: 1, 0 or negative errno. */
int opfile_nodev(const char *path);

/* A datagram socket connected to the socket at path, e.g. that of syslog. A write that would block for two seconds fails. */
int opfile_connect(const char *path);

/* Unlinks the name itself; parents by the same rules. */
int opfile_unlink(const char *path);

/* Creates and locks a pid file and writes our pid (06 §5.3). Returns the fd, which is the lock: keep it open.
   On failure *step names what failed, for "failed to STEP pid file PATH: ERR" (static text); for a missing
   directory it is "open pid-file directory". */
int pidfile_claim(const char *path, const char **step);

/* Removes it, if the name still is the file we hold, and closes fd. */
void pidfile_remove(const char *path, int fd);

/* The lock file of `max connections` (06 §5.6): open it once per process, then take one of n slots.
   lockfile_take gives the slot or -EAGAIN if all are taken; it is held until the process ends or closes the file. */
int lockfile_open(const char *path);
int lockfile_take(int fd, int n);

#endif
