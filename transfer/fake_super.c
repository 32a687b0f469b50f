/*
 * fake_super.c - the %stat attribute and the placeholders it is attached to.
 */
#include "config.h"
#include "transfer/fake_super.h"

#include <errno.h>
#include <stdio.h>
#include <sys/sysmacros.h>
#include <unistd.h>

size_t fake_stat_encode(const struct stat *st, char text[FAKE_STAT_MAX])
{
	bool dev = S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode);
	int n = snprintf(text, FAKE_STAT_MAX, "%o %u,%u %u:%u", st->st_mode & (S_IFMT | 07777), dev ? major(st->st_rdev) : 0,
			 dev ? minor(st->st_rdev) : 0, st->st_uid, st->st_gid);

	return (size_t)n;
}

static bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

/* A number in front of the separator (0: whatever follows). */
static bool number(const char **p, const char *end, unsigned base, char sep, uint32_t *out)
{
	const char *s = *p;
	uint64_t v = 0;
	bool any = false;

	while (s < end && is_space(*s))
		s++;
	for (; s < end && *s >= '0' && *s < (char)('0' + base); s++, any = true) {
		v = v * base + (unsigned)(*s - '0');
		if (v > UINT32_MAX)
			return false;
	}
	if (!any || (sep && (s == end || *s != sep)))
		return false;
	*out = (uint32_t)v;
	*p = s + !!sep;
	return true;
}

int fake_stat_decode(const char *text, size_t len, struct stat *st)
{
	uint32_t mode, maj, min, uid, gid;
	const char *p = text, *end = text + len;

	if (!number(&p, end, 8, 0, &mode) || p == end || !is_space(*p) || !number(&p, end, 10, ',', &maj) ||
	    !number(&p, end, 10, 0, &min) || !number(&p, end, 10, ':', &uid) || !number(&p, end, 10, 0, &gid))
		return -EBADMSG;
	st->st_mode = mode & (S_IFMT | 07777);
	st->st_rdev = S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode) ? makedev(maj, min) : 0;
	st->st_uid = uid;
	st->st_gid = gid;
	return 0;
}

bool fake_is_own(const char *name)
{
	return strcmp(name, FAKE_STAT) == 0 || strcmp(name, FAKE_AACL) == 0 || strcmp(name, FAKE_DACL) == 0;
}

int fake_overlay(struct sb *sb, const char *dir, const char *leaf, struct stat *st, char *bad)
{
	bool dir_here = S_ISDIR(st->st_mode);
	char text[FAKE_STAT_MAX];
	ssize_t n;
	int rc;

	if (!S_ISREG(st->st_mode) && !S_ISDIR(st->st_mode))
		return 0;
	n = sb_getxattr(sb, dir, leaf, FAKE_STAT, text, sizeof text - 1);
	if (n == -ENODATA || n == -EOPNOTSUPP)
		return 0;
	if (n == -ERANGE) {
		memcpy(text, "…", sizeof "…");
		rc = -EBADMSG;
	} else if (n < 0) {
		return (int)n;
	} else {
		text[n] = 0;
		rc = fake_stat_decode(text, (size_t)n, st);
		/* A directory and something else cannot stand for each other. */
		if (rc == 0 && S_ISDIR(st->st_mode) != dir_here)
			st->st_mode = (st->st_mode & 07777) | (dir_here ? S_IFDIR : S_IFREG);
	}
	if (rc < 0 && bad)
		memcpy(bad, text, sizeof text);
	return rc;
}

int fake_lstat(struct sb *sb, const char *dir, const char *leaf, struct stat *st, struct stat *real, char *bad)
{
	int rc = sb_lstat(sb, dir, leaf, st);

	if (rc < 0)
		return rc;
	if (real)
		*real = *st;
	return fake_overlay(sb, dir, leaf, st, bad);
}

ssize_t fake_readlink(struct sb *sb, const char *dir, const char *leaf, char *buf, size_t size)
{
	_cleanup_close_ int fd = sb_open_read(sb, dir, leaf, 0, NULL);
	size_t got = 0;

	if (fd < 0)
		return fd;
	while (got < size) {
		ssize_t n = read(fd, buf + got, size - got);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0) {
			buf[got] = 0;
			return memchr(buf, 0, got) ? -EINVAL : (ssize_t)got;
		}
		got += (size_t)n;
	}
	return -ENAMETOOLONG;
}
