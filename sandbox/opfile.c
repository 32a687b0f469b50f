/*
 * opfile.c - see opfile.h.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <sys/time.h>
#include <sys/un.h>

#include "sandbox/opfile.h"
#include "sandbox/walk.h"

static bool all_digits(const char *s)
{
	return *s && strlen(s) < 8 && !s[strspn(s, "0123456789")];
}

/* Names of descriptors that we already hold: shells pass them for process substitution. */
static bool names_own_fd(const char *path)
{
	static const char *const dirs[] = { "/dev/fd/", "/proc/self/fd/" };
	static const char *const names[] = { "/dev/stdin", "/dev/stdout", "/dev/stderr" };

	for (unsigned i = 0; i < ARRAY_SIZE(dirs); i++)
		if (!strncmp(path, dirs[i], strlen(dirs[i])) && all_digits(path + strlen(dirs[i])))
			return true;
	for (unsigned i = 0; i < ARRAY_SIZE(names); i++)
		if (!strcmp(path, names[i]))
			return true;
	return false;
}

static unsigned spot_flags(unsigned flags)
{
	return (flags & OPFILE_FREE ? SPOT_FREE : 0u) | (flags & OPFILE_NOFOLLOW_LEAF ? SPOT_NOFOLLOW_LEAF : 0u);
}

int opfile_open(const char *path, int oflags, mode_t mode, unsigned flags)
{
	_cleanup_spot_ struct spot spot = { .parent = -1 };
	struct stat st;
	int fd;

	oflags |= O_CLOEXEC | O_NOCTTY | (flags & OPFILE_REGULAR ? O_NONBLOCK : 0);
	if (names_own_fd(path))
		fd = open(path, oflags, mode);
	else {
		int r = walk_spot(AT_FDCWD, path, spot_flags(flags), 0, &spot);
		if (r < 0)
			return r;
		fd = openat(spot.parent, spot.leaf, oflags | O_NOFOLLOW, mode);
	}
	if (fd < 0)
		return (errno == ENXIO || errno == ENODEV) && flags & OPFILE_REGULAR ? -EINVAL : -errno;
	if (!(flags & OPFILE_REGULAR))
		return fd;
	int r = fstat(fd, &st) < 0 ? -errno : S_ISREG(st.st_mode) ? 0 : S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
	if (r < 0) {
		close(fd);
		return r;
	}
	return fd;
}

int opfile_read_all(const char *path, size_t max, unsigned flags, struct buf *out, struct stat *st)
{
	char piece[16384];
	size_t total = 0;

	_cleanup_close_ int fd = opfile_open(path, O_RDONLY, 0, flags);
	if (fd < 0)
		return fd;
	if (st && fstat(fd, st) < 0)
		return -errno;
	for (;;) {
		ssize_t n = read(fd, piece, sizeof(piece));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		if ((size_t)n > max - total)
			return -EFBIG;
		total += (size_t)n;
		buf_add(out, piece, (size_t)n);
		if (out->failed)
			return -ENOMEM;
	}
	explicit_bzero(piece, sizeof(piece)); /* it may have been a secrets file */
	return 0;
}

int opfile_stat(const char *path, unsigned flags, struct stat *st)
{
	_cleanup_spot_ struct spot spot = { .parent = -1 };
	int r = walk_spot(AT_FDCWD, path, spot_flags(flags), 0, &spot);

	if (r < 0)
		return r;
	return fstatat(spot.parent, spot.leaf, st, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

int opfile_nodev(const char *path)
{
	struct statvfs fs;

	return statvfs(path, &fs) < 0 ? -errno : (fs.f_flag & ST_NODEV) != 0;
}

int opfile_connect(const char *path)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	struct timeval patience = { .tv_sec = 2 };
	_cleanup_close_ int fd = -1;

	if (strlen(path) >= sizeof to.sun_path)
		return -ENAMETOOLONG;
	strcpy(to.sun_path, path);
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) < 0 ||
	    connect(fd, (struct sockaddr *)&to, sizeof to) < 0)
		return -errno;
	return TAKE_FD(fd);
}

int opfile_unlink(const char *path)
{
	_cleanup_spot_ struct spot spot = { .parent = -1 };
	int r = walk_spot(AT_FDCWD, path, SPOT_NOFOLLOW_LEAF, 0, &spot);

	if (r < 0)
		return r;
	return unlinkat(spot.parent, spot.leaf, 0) < 0 ? -errno : 0;
}
