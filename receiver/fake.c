/*
 * fake.c - ownership that is stored, not set (--fake-super, spec 08 §14.9).
 */
#include "config.h"
#include "receiver/attr_room.h"

#include <errno.h>
#include <sys/sysmacros.h>

#include "transfer/fake_super.h"

int hands_lstat(struct hands *h, struct sb *sb, const char *dir, const char *leaf, struct stat *st)
{
	char bad[FAKE_STAT_MAX];
	int rc;

	if (!h->rx->fake)
		return sb_lstat(sb, dir, leaf, st);
	rc = sb_lstat(sb, dir, leaf, st);
	if (rc < 0)
		return rc;
	rc = fake_overlay(sb, dir, leaf, st, bad);
	if (rc == -EBADMSG)
		say(SAY_ERROR, "Corrupt %s xattr attached to %s: \"%s\"", FAKE_STAT, FULL(h->rx, dir, leaf), bad);
	if (rc == 0 || rc == -EBADMSG || rc == -ENOENT)
		return rc;
	/* What is there stands for itself, then. */
	say_errno(SAY_ERROR_XFER, -rc, "failed to read xattr %s for %s", FAKE_STAT, FULL(h->rx, dir, leaf));
	return 0;
}

ssize_t hands_readlink(struct hands *h, struct sb *sb, const char *dir, const char *leaf, char *buf, size_t size)
{
	return h->rx->fake ? fake_readlink(sb, dir, leaf, buf, size) : sb_readlink(sb, dir, leaf, buf, size);
}

static int failed(struct hands *h, const struct target *t, const char *what, int rc)
{
	say_errno(SAY_ERROR_XFER, -rc, "%s %s failed", what, FULL(h->rx, t->dir, t->leaf));
	return -1;
}

int fake_apply(struct hands *h, const struct target *t, const struct fent *e, mode_t mode, uint32_t uid, uint32_t gid)
{
	char text[FAKE_STAT_MAX], have[FAKE_STAT_MAX];
	struct stat real, want;
	bool dev = FENT_IS_DEV(e) && e->ext, node;
	int rc = t->fd >= 0 ? sbf_stat(t->fd, &real) : sb_lstat(t->sb, t->dir, t->leaf, &real), changed = 0;
	mode_t disk;
	ssize_t n;
	size_t len;

	if (rc < 0)
		return failed(h, t, "stat", rc);
	node = S_ISCHR(real.st_mode) || S_ISBLK(real.st_mode);
	/* A module with fake super lists no nodes. */
	if (S_ISLNK(real.st_mode) || (node && h->rx->x->module))
		return 0;
	disk = fake_disk_mode(mode, S_ISDIR(real.st_mode));
	if ((real.st_mode & PERM_BITS) != disk) {
		rc = t->fd >= 0 ? sbf_chmod(t->fd, disk) : sb_chmod(t->sb, t->dir, t->leaf, disk);
		if (rc < 0)
			return failed(h, t, "failed to set permissions on", rc);
		changed = 1;
	}
	want = real;
	want.st_mode = (e->mode & S_IFMT) | mode;
	want.st_rdev = dev ? makedev(e->ext->rdev_major, e->ext->rdev_minor) : 0;
	want.st_uid = uid;
	want.st_gid = gid;
	n = t_getxattr(t, FAKE_STAT, have, sizeof have);
	if (want.st_mode == ((real.st_mode & S_IFMT) | disk) && (!dev || node) && uid == real.st_uid && gid == real.st_gid) {
		/* The disk shows it all. */
		if (n < 0 && n != -ERANGE)
			return changed;
		rc = t_setxattr(h, t, FAKE_STAT, NULL, 0);
		if (rc < 0)
			say_errno(SAY_ERROR_XFER, -rc, "delete of stat xattr failed for %s", FULL(h->rx, t->dir, t->leaf));
		return rc < 0 ? -1 : 1;
	}
	len = fake_stat_encode(&want, text);
	if (n == (ssize_t)len && memcmp(text, have, len) == 0)
		return changed;
	rc = t_setxattr(h, t, FAKE_STAT, text, len);
	if (rc < 0)
		say_errno(SAY_ERROR_XFER, -rc, "failed to write xattr %s for %s", FAKE_STAT, FULL(h->rx, t->dir, t->leaf));
	return rc < 0 ? -1 : 1;
}
