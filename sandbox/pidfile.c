/*
 * pidfile.c - the pid file and the lock file of the daemon (spec 06 §5.3, §5.6). See opfile.h.
 *
 * Both rest on fcntl record locks: they vanish when the process ends, so a stale file needs no care,
 * and when the process closes any descriptor of the file, so it is opened once.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "sandbox/opfile.h"

#define PID_FILE_MAX 32
#define SLOT_BYTES 4

static int try_lock(int fd, off_t start, off_t len)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = start, .l_len = len };

	return fcntl(fd, F_SETLK, &lock) < 0 ? -errno : 0;
}

/* Opens the directory of path, links and all, and points *leaf at the last component. */
static int open_parent(const char *path, const char **leaf)
{
	char dir[PATH_LIMIT + 1];
	const char *slash = strrchr(path, '/');
	size_t len = slash ? (size_t)(slash - path) : 0;

	*leaf = slash ? slash + 1 : path;
	if (len > PATH_LIMIT)
		return -ENAMETOOLONG;
	memcpy(dir, path, len);
	dir[len] = '\0';
	int fd = open(*dir ? dir : slash ? "/" : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* The steps from the opened, locked file to our pid in it. */
static int check_and_write(int dir, const char *leaf, int fd, const char **step)
{
	struct stat own, name;
	char text[24];

	*step = "fstat opened";
	if (fstat(fd, &own) < 0)
		return -errno;
	*step = "find small";
	if (!S_ISREG(own.st_mode) || own.st_size > PID_FILE_MAX)
		return -EINVAL;
	*step = "lstat";
	if (fstatat(dir, leaf, &name, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	*step = "avoid file overwrite race for";
	if (!same_file(&own, &name))
		return -EINVAL;
	*step = "truncate";
	if (ftruncate(fd, 0) < 0)
		return -errno;
	*step = "write";
	int n = snprintf(text, sizeof(text), "%ld\n", (long)getpid());
	ssize_t w = pwrite(fd, text, (size_t)n, 0);
	return w == n ? 0 : w < 0 ? -errno : -ENOSPC;
}

int pidfile_claim(const char *path, const char **step)
{
	const char *leaf;
	struct stat st;

	*step = "open pid-file directory";
	_cleanup_close_ int dir = open_parent(path, &leaf);
	if (dir < 0)
		return dir;
	*step = "unlink";
	if (fstatat(dir, leaf, &st, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISREG(st.st_mode) && unlinkat(dir, leaf, 0) < 0)
		return -errno;
	*step = "open";
	_cleanup_close_ int fd = openat(dir, leaf, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0664);
	if (fd < 0)
		return -errno;
	*step = "lock";
	int r = try_lock(fd, 0, SLOT_BYTES);
	if (r < 0)
		return r == -EACCES ? -EAGAIN : r;
	r = check_and_write(dir, leaf, fd, step);
	return r < 0 ? r : TAKE_FD(fd);
}

void pidfile_remove(const char *path, int fd)
{
	const char *leaf;
	struct stat own, name;

	_cleanup_close_ int dir = open_parent(path, &leaf);
	if (dir >= 0 && fstat(fd, &own) == 0 && fstatat(dir, leaf, &name, AT_SYMLINK_NOFOLLOW) == 0 && same_file(&own, &name))
		unlinkat(dir, leaf, 0);
	close(fd);
}

int lockfile_open(const char *path)
{
	return opfile_open(path, O_RDWR | O_CREAT, 0600, OPFILE_REGULAR);
}

int lockfile_take(int fd, int n)
{
	for (int i = 0; i < n; i++) {
		int r = try_lock(fd, (off_t)SLOT_BYTES * i, SLOT_BYTES);
		if (r == 0)
			return i;
		if (r != -EAGAIN && r != -EACCES)
			return r;
	}
	return -EAGAIN;
}
