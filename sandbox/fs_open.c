/*
 * fs_open.c - opening and temporary files. See fs.h.
 */
#include "config.h"

#include <stdio.h>

#include "sandbox/fs_priv.h"
#include "sandbox/kcalls.h"

#define OPEN_ALWAYS (O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)
#define STEM_MAX 246           /* NAME_MAX - 9 (08 §11.2) */

/* Looks at what was opened, before anything is read or written; sb_open_whole() reads first where that can do no harm. */
static int check_opened(int take_fd, struct stat *st)
{
	_cleanup_close_ int fd = take_fd;
	struct stat own;

	if (!st)
		st = &own;
	if (fstat(fd, st) < 0)
		return -errno;
	if (S_ISREG(st->st_mode))
		return TAKE_FD(fd);
	if (S_ISDIR(st->st_mode))
		return -EISDIR;
	return -EINVAL;
}

static bool devices_shut;

void sb_devices_are_shut(void)
{
	devices_shut = true;
}

/* A socket, a FIFO without reader, a node without driver: not something we read or write. */
static int open_error(int r)
{
	return r == -ENXIO || r == -ENODEV ? -EINVAL : r;
}

static int open_plain(struct sb *sb, const char *dir, const char *leaf, unsigned flags)
{
	const int how = O_RDONLY | OPEN_ALWAYS | (flags & SB_NOATIME ? O_NOATIME : 0);
	int r = leaf_check(leaf, false);

	if (r == 0)
		r = AT_PLACE(sb, dir, false, openat(at, leaf, how));
	return open_error(r);
}

int sb_open_read(struct sb *sb, const char *dir, const char *leaf, unsigned flags, struct stat *st)
{
	int fd = open_plain(sb, dir, leaf, flags);

	return fd < 0 ? fd : check_opened(fd, st);
}

int sb_open_whole(struct sb *sb, const char *dir, const char *leaf, unsigned flags, void *buf, size_t len, int *whole,
		  struct stat *st)
{
	int fd = open_plain(sb, dir, leaf, flags);

	*whole = 0;
	if (fd < 0)
		return fd;
	/* Where no device can be open, nothing but a file can be read at an offset. */
	if (devices_shut) {
		ssize_t n = pread(fd, buf, len + 1, 0);

		*whole = n < 0 ? -errno : n == (ssize_t)len;
	}
	return *whole > 0 ? fd : check_opened(fd, st);
}

/* The portable way inside the root: the object's real place, then a plain open there. */
static int open_resolved(struct sb *sb, const char *path, int how)
{
	char real[PATH_LIMIT + 1];

	_cleanup_close_ int pin = walk_beneath(sb->a->fd, path, WALK_FOLLOW | WALK_ANY, 0, real, NULL);
	if (pin < 0)
		return pin;
	char *slash = strrchr(real, '/');
	if (slash)
		*slash = '\0';
	_cleanup_close_ int parent = walk_dir(sb->a->fd, slash ? real : "", LINKS_REFUSE, true, O_PATH);
	if (parent < 0)
		return parent;
	int fd = openat(parent, slash ? slash + 1 : *real ? real : ".", how);
	return fd < 0 ? -errno : fd;
}

static int open_followed(struct sb *sb, const char *dir, const char *leaf, int how)
{
	char path[PATH_LIMIT + 1];

	if (sb->a->links == LINKS_FREE)
		return AT_PLACE(sb, dir, false, openat(at, leaf, how & ~O_NOFOLLOW));
	if (sb->a->links == LINKS_TRUSTED) {
		_cleanup_spot_ struct spot spot = { .parent = -1 };
		int t = sb_place(sb, dir);
		if (t >= 0)
			t = walk_spot(t, leaf, 0, 0, &spot);
		if (t < 0)
			return t;
		t = openat(spot.parent, spot.leaf, how);
		return t < 0 ? -errno : t;
	}
	int r = sb_join(dir, leaf, path);
	if (r < 0)
		return r;
	return sb->a->portable ? open_resolved(sb, path, how) : walk_openat2(sb->a->fd, path, how & ~O_NOFOLLOW, true);
}

int sb_open_read_follow(struct sb *sb, const char *dir, const char *leaf, unsigned flags, struct stat *st)
{
	int r = sb_open_read(sb, dir, leaf, flags, st);

	if (r != -ELOOP)
		return r;
	r = sb_place(sb, dir); /* the link may be in dir already, and then it stays refused */
	if (r < 0)
		return r;
	r = open_followed(sb, dir, leaf, O_RDONLY | OPEN_ALWAYS | (flags & SB_NOATIME ? O_NOATIME : 0));
	return r < 0 ? open_error(r) : check_opened(r, st);
}

int sb_real_path(struct sb *sb, const char *dir, const char *leaf, bool follow, char *out)
{
	const int how = O_PATH | O_NOFOLLOW | O_CLOEXEC;
	char fdname[40];
	ssize_t n;
	int r = sb_place(sb, dir); /* open_followed() takes it from the cache */

	if (r >= 0)
		r = follow ? open_followed(sb, dir, leaf, how) : openat(r, leaf, how);
	if (r < 0)
		return follow ? r : -errno;
	_cleanup_close_ int pin = r;
	snprintf(fdname, sizeof fdname, "/proc/self/fd/%d", pin);
	n = readlinkat(AT_FDCWD, fdname, out, PATH_LIMIT + 1);
	if (n < 0)
		return -errno;
	if (n > PATH_LIMIT || *out != '/')
		return n > PATH_LIMIT ? -ENAMETOOLONG : -ENOENT;
	memmove(out, out + 1, (size_t)n - 1);
	out[n - 1] = '\0';
	return 0;
}

int sb_open_write(struct sb *sb, const char *dir, const char *leaf, unsigned flags, mode_t mode, struct stat *st)
{
	const int how = (flags & SB_RDWR ? O_RDWR : O_WRONLY) | OPEN_ALWAYS |
	                (flags & SB_CREATE ? O_CREAT : 0) | (flags & SB_EXCL ? O_EXCL : 0);
	struct stat own;
	int r = may_change(sb, leaf, false);

	if (r < 0)
		return r;
	if (!st)
		st = &own;
	r = AT_PLACE(sb, dir, flags & SB_CREATE, openat(at, leaf, how, mode & 07777));
	if (r < 0)
		return open_error(r);
	_cleanup_close_ int fd = check_opened(r, st);
	if (fd < 0)
		return fd;
	if (flags & SB_TRUNC && S_ISREG(st->st_mode) && st->st_size) {
		if (ftruncate(fd, 0) < 0)
			return -errno;
		st->st_size = 0;
	}
	return TAKE_FD(fd);
}

/* The part of a temporary name before the last dot; returns its length, or -ENAMETOOLONG. */
static int temp_stem(const char *dir, const char *base, bool dot, char *out)
{
	size_t n = 0, len, room = strlen(dir) + 1 + 9, cut = STEM_MAX;

	if (room >= PATH_LIMIT)
		return -ENAMETOOLONG;
	cut = MIN(cut, PATH_LIMIT - room);
	if (dot) {
		out[n++] = '.';
		if (*base == '.')
			base++;
	}
	len = strlen(base);
	if (len > cut) {
		/* not in the middle of a character */
		bool high = base[cut] & 0x80;
		for (len = cut; high && len && base[len - 1] & 0x80; )
			len--;
	}
	memcpy(out + n, base, len);
	n += len;
	if (n && out[n - 1] == '.')
		n--;
	out[n++] = '.';
	return (int)n;
}

static uint64_t next_random(struct sb *sb)
{
	uint64_t z = sb->prng += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

int sb_create_temp(struct sb *sb, const char *dir, const char *base, unsigned flags, mode_t mode, char name[SB_NAME_MAX + 1])
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
	int r = may_change(sb, base, false);

	if (r < 0)
		return r;
	int n = temp_stem(dir, base, !(flags & SB_TEMP_DIR), name);
	if (n < 0)
		return n;
	for (int tries = 0; tries < 100; tries++) {
		uint64_t x = next_random(sb);
		for (int i = 0; i < 6; i++, x /= 62)
			name[n + i] = alphabet[x % 62];
		name[n + 6] = '\0';
		r = AT_PLACE(sb, dir, true, openat(at, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode & 07777));
		if (r != -EEXIST)
			break;
	}
	return r;
}

static void close_span(unsigned first, unsigned last)
{
	if (first < last && kclose_range(first, last, 0) == 0)
		return;
	for (unsigned fd = first; fd <= last; fd++)
		close((int)fd);
}

void sbf_close_run(struct fd_run *run)
{
	unsigned n = run->count, first = 0;
	int *v = run->fd;

	/* In order already, but for numbers that had become free in between. */
	for (unsigned i = 1; i < n; i++) {
		int fd = v[i];
		unsigned j = i;

		for (; j && v[j - 1] > fd; j--)
			v[j] = v[j - 1];
		v[j] = fd;
	}
	for (unsigned i = 1; i <= n; i++) {
		if (i < n && v[i] == v[i - 1] + 1)
			continue;
		close_span((unsigned)v[first], (unsigned)v[i - 1]);
		first = i;
	}
	run->count = 0;
}

void sbf_close_later(struct fd_run *run, int fd)
{
	if (run->count == FD_RUN_MAX)
		sbf_close_run(run);
	run->fd[run->count++] = fd;
}

int sb_temp_name(struct sb *sb, const char *dir, const char *base, char name[SB_NAME_MAX + 1])
{
	struct stat st;
	int r = leaf_check(base, false);

	if (r < 0)
		return r;
	int n = temp_stem(dir, base, true, name);
	if (n < 0)
		return n;
	for (unsigned i = 0; i < 100; i++) {
		snprintf(name + n, (size_t)(SB_NAME_MAX + 1 - n), "%u", ((unsigned)getpid() + i) % 1000000u);
		r = sb_lstat(sb, dir, name, &st);
		if (r == -ENOENT)
			return 0;
		if (r < 0)
			return r;
	}
	return -EEXIST;
}
