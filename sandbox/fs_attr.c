/*
 * fs_attr.c - owner, mode, times and extended attributes by (dir, leaf), nothing followed. See fs.h.
 *
 * One system call where the kernel has the call that takes (directory fd, leaf); else an fd of the
 * object, which only regular files and directories allow without side effects (spec 09 §15.7).
 */
#include "config.h"

#include <sys/xattr.h>

#include "sandbox/fs_priv.h"
#include "sandbox/kcalls.h"

/* Set once the kernel has answered ENOSYS. */
static _Atomic bool no_fchmodat2, no_xattrat;

static inline bool lacks(const struct sb *sb, const _Atomic bool *flag)
{
	return sb->a->portable || atomic_load_explicit(flag, memory_order_relaxed);
}

static inline void learn(_Atomic bool *flag)
{
	atomic_store_explicit(flag, true, memory_order_relaxed);
}

int sb_open_plain(struct sb *sb, const char *dir, const char *leaf)
{
	static const int ways[] = { O_RDONLY, O_WRONLY };
	struct stat st;
	int fd = -1;
	int r = sb_lstat(sb, dir, leaf, &st);

	if (r < 0)
		return r;
	if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
		return -EOPNOTSUPP;
	/* a file may be writable without being readable */
	for (unsigned i = 0; i < ARRAY_SIZE(ways); i++) {
		fd = AT_PLACE(sb, dir, false, openat(at, leaf, ways[i] | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
		if (fd != -EACCES || S_ISDIR(st.st_mode))
			break;
	}
	if (fd == -EACCES)
		return -EOPNOTSUPP;
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0 || (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))) {
		close(fd);
		return -EOPNOTSUPP;
	}
	return fd;
}

static int chmod_at(int at, const char *leaf, mode_t mode)
{
	return is_dot(leaf) ? kfchmodat2(at, "", mode, AT_EMPTY_PATH) : kfchmodat2(at, leaf, mode, AT_SYMLINK_NOFOLLOW);
}

int sb_chmod(struct sb *sb, const char *dir, const char *leaf, mode_t mode)
{
	struct stat st;
	int r = may_change(sb, leaf, true);

	if (r < 0)
		return r;
	mode &= 07777;
	if (!lacks(sb, &no_fchmodat2))
		r = AT_PLACE(sb, dir, false, chmod_at(at, leaf, mode));
	else
		r = -ENOSYS;
	if (r == -ENOSYS) {
		if (!sb->a->portable)
			learn(&no_fchmodat2);
		_cleanup_close_ int fd = sb_open_plain(sb, dir, leaf);
		r = fd < 0 ? fd : fchmod(fd, mode) < 0 ? -errno : 0;
	}
	if (r == -EOPNOTSUPP && sb_lstat(sb, dir, leaf, &st) == 0 && S_ISLNK(st.st_mode))
		return -ELOOP;
	return r;
}

int sb_chown(struct sb *sb, const char *dir, const char *leaf, uid_t uid, gid_t gid)
{
	int r = may_change(sb, leaf, true);
	const bool dot = is_dot(leaf);

	return r < 0 ? r : AT_PLACE(sb, dir, false, fchownat(at, dot ? "" : leaf, uid, gid,
	                                                     AT_SYMLINK_NOFOLLOW | (dot ? AT_EMPTY_PATH : 0)));
}

static void times_fill(struct timespec ts[2], const struct timespec *atime, const struct timespec *mtime)
{
	static const struct timespec leave = { .tv_nsec = UTIME_OMIT };

	ts[0] = atime ? *atime : leave;
	ts[1] = mtime ? *mtime : leave;
}

int sb_utimes(struct sb *sb, const char *dir, const char *leaf, const struct timespec *atime, const struct timespec *mtime)
{
	struct timespec ts[2];
	int r = may_change(sb, leaf, true);

	if (r < 0)
		return r;
	times_fill(ts, atime, mtime);
	if (is_dot(leaf)) {
		r = AT_PLACE(sb, dir, false, utimensat(at, "", ts, AT_EMPTY_PATH));
		if (r != -EINVAL && r != -ENOENT) /* before Linux 5.8 */
			return r;
	}
	return AT_PLACE(sb, dir, false, utimensat(at, leaf, ts, AT_SYMLINK_NOFOLLOW));
}

/* --- extended attributes --- */

bool sb_attrs_by_fd_only(const struct sb *sb)
{
	return lacks(sb, &no_xattrat);
}

ssize_t sb_getxattr(struct sb *sb, const char *dir, const char *leaf, const char *name, void *buf, size_t size)
{
	ssize_t r = leaf_check(leaf, true);

	if (r < 0)
		return r;
	if (!lacks(sb, &no_xattrat)) {
		r = AT_PLACE(sb, dir, false, kgetxattrat(at, leaf, AT_SYMLINK_NOFOLLOW, name, buf, size));
		if (r != -ENOSYS)
			return r;
		learn(&no_xattrat);
	}
	_cleanup_close_ int fd = sb_open_plain(sb, dir, leaf);
	if (fd < 0)
		return fd;
	return sbf_getxattr(fd, name, buf, size);
}

ssize_t sb_listxattr(struct sb *sb, const char *dir, const char *leaf, char *list, size_t size)
{
	ssize_t r = leaf_check(leaf, true);

	if (r < 0)
		return r;
	if (!lacks(sb, &no_xattrat)) {
		r = AT_PLACE(sb, dir, false, klistxattrat(at, leaf, AT_SYMLINK_NOFOLLOW, list, size));
		if (r != -ENOSYS)
			return r;
		learn(&no_xattrat);
	}
	_cleanup_close_ int fd = sb_open_plain(sb, dir, leaf);
	if (fd < 0)
		return fd;
	return sbf_listxattr(fd, list, size);
}

int sb_setxattr(struct sb *sb, const char *dir, const char *leaf, const char *name, const void *value, size_t size)
{
	int r = may_change(sb, leaf, true);

	if (r < 0)
		return r;
	if (!lacks(sb, &no_xattrat)) {
		r = AT_PLACE(sb, dir, false, ksetxattrat(at, leaf, AT_SYMLINK_NOFOLLOW, name, value, size));
		if (r != -ENOSYS)
			return r;
		learn(&no_xattrat);
	}
	_cleanup_close_ int fd = sb_open_plain(sb, dir, leaf);
	if (fd < 0)
		return fd;
	return sbf_setxattr(fd, name, value, size);
}

int sb_removexattr(struct sb *sb, const char *dir, const char *leaf, const char *name)
{
	int r = may_change(sb, leaf, true);

	if (r < 0)
		return r;
	if (!lacks(sb, &no_xattrat)) {
		r = AT_PLACE(sb, dir, false, kremovexattrat(at, leaf, AT_SYMLINK_NOFOLLOW, name));
		if (r != -ENOSYS)
			return r;
		learn(&no_xattrat);
	}
	_cleanup_close_ int fd = sb_open_plain(sb, dir, leaf);
	if (fd < 0)
		return fd;
	return sbf_removexattr(fd, name);
}

/* --- on fds --- */
#define ERRNO(call) __extension__({ __typeof__(call) c_ = (call); c_ < 0 ? -errno : c_; })

int sbf_stat(int fd, struct stat *st) { return ERRNO(fstat(fd, st)); }
int sbf_chmod(int fd, mode_t mode) { return ERRNO(fchmod(fd, mode & 07777)); }
int sbf_chown(int fd, uid_t uid, gid_t gid) { return ERRNO(fchown(fd, uid, gid)); }
int sbf_truncate(int fd, int64_t size) { return ERRNO(ftruncate(fd, size)); }
int sbf_sync(int fd) { return ERRNO(fsync(fd)); }
int64_t sbf_seek_data(int fd, int64_t off) { return ERRNO(lseek(fd, off, SEEK_DATA)); }
int64_t sbf_seek_hole(int fd, int64_t off) { return ERRNO(lseek(fd, off, SEEK_HOLE)); }
int sbf_setxattr(int fd, const char *name, const void *value, size_t size) { return ERRNO(fsetxattr(fd, name, value, size, 0)); }
int sbf_removexattr(int fd, const char *name) { return ERRNO(fremovexattr(fd, name)); }
ssize_t sbf_getxattr(int fd, const char *name, void *buf, size_t size) { return ERRNO(fgetxattr(fd, name, buf, size)); }
ssize_t sbf_listxattr(int fd, char *list, size_t size) { return ERRNO(flistxattr(fd, list, size)); }

int sbf_utimes(int fd, const struct timespec *atime, const struct timespec *mtime)
{
	struct timespec ts[2];

	times_fill(ts, atime, mtime);
	return ERRNO(futimens(fd, ts));
}

int sbf_allocate(int fd, int64_t off, int64_t len, bool keep_size)
{
	return ERRNO(fallocate(fd, keep_size ? FALLOC_FL_KEEP_SIZE : 0, off, len));
}

int sbf_punch(int fd, int64_t off, int64_t len)
{
	return ERRNO(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, off, len));
}

int sbf_pin_chmod(int fd, mode_t mode)
{
	int r = ERRNO(kfchmodat2(fd, "", mode & 07777, AT_EMPTY_PATH));

	return r == -ENOSYS ? -EOPNOTSUPP : r;
}

int sbf_pin_chown(int fd, uid_t uid, gid_t gid) { return ERRNO(fchownat(fd, "", uid, gid, AT_EMPTY_PATH)); }

int sbf_pin_utimes(int fd, const struct timespec *atime, const struct timespec *mtime)
{
	struct timespec ts[2];

	times_fill(ts, atime, mtime);
	return ERRNO(utimensat(fd, "", ts, AT_EMPTY_PATH));
}
