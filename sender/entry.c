/*
 * entry.c - one file-list entry from one name (spec 02 §4, §13, §14; 08 §6.1).
 */
#include "config.h"
#include "sender/sender.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <sys/sysmacros.h>
#include <time.h>

#include "base/say.h"
#include "filter/safelink.h"
#include "transfer/fake_super.h"

static const char munge_prefix[] = "/rsyncd-munged/";
#define MUNGE_LEN (sizeof munge_prefix - 1)

static int spot_lstat(const struct spot *sp, const char *leaf, struct stat *st)
{
	return sp->d ? sb_dir_lstat(sp->d, leaf, st) : sb_lstat(sp->sb, sp->dir, leaf, st);
}

int entry_overlay(struct sender *s, const struct spot *sp, const char *leaf, const char *name, struct stat *st)
{
	char bad[FAKE_STAT_MAX];
	int rc;

	if (s->o->super != 2)
		return 0;
	rc = fake_overlay(sp->sb, sp->dir, leaf, st, bad);
	if (rc == -EBADMSG)
		return rd_fail(s->r, RX_FILEIO, "Corrupt %s xattr attached to %s: \"%s\"", FAKE_STAT,
			       place_show(s, sp->root, name), bad);
	if (rc == 0 || rc == -ENOENT)
		return rc;
	sender_complain(s, -rc, "failed to read xattr %s for %s", FAKE_STAT, place_show(s, sp->root, name));
	return 0;
}

/* Follows the link; what the module's rules hide does not exist behind a link either. */
static int follow(struct sender *s, const struct spot *sp, const char *leaf, struct stat *st)
{
	char rdir[PATH_LIMIT + 1], rleaf[SB_NAME_MAX + 1], path[NAME_BUF];
	int rc = sb_stat_follow(sp->sb, sp->dir, leaf, st);

	bool hidden = s->confined && s->x->daemon_filter && s->x->daemon_filter->name_rules;

	if (rc < 0 || (!hidden && s->o->super != 2))
		return rc;
	rc = sb_resolve_in_root(sp->sb, sp->dir, leaf, rdir, rleaf);
	if (rc == 0)
		rc = entry_overlay(s, &(struct spot){ .sb = sp->sb, .dir = rdir, .root = sp->root }, rleaf, s->name, st);
	if (rc < 0 || !hidden)
		return rc;
	rc = place_join(path, rdir, rleaf, strcmp(rleaf, ".") ? strlen(rleaf) : 0);
	if (rc == 0 && *path && filt_hides_path(s->x->daemon_filter, path, S_ISDIR(st->st_mode)))
		rc = -ENOENT;
	return rc;
}

int entry_stat(struct sender *s, const struct spot *sp, const char *leaf, struct stat *st, size_t *link_len, bool *dangling)
{
	const struct xfer_opts *o = s->o;
	struct stat ref;
	ssize_t n;
	int rc = spot_lstat(sp, leaf, st);
	bool placeholder = false;

	*link_len = 0;
	*dangling = false;
	if (rc == 0 && !S_ISLNK(st->st_mode)) {
		rc = entry_overlay(s, sp, leaf, s->name, st);
		placeholder = true;
	}
	if (rc < 0 || !S_ISLNK(st->st_mode))
		return rc;
	/* The kernel follows no placeholder of a link, nor does anybody else. */
	if (!placeholder && o->copy_links) {
		rc = follow(s, sp, leaf, st);
		*dangling = rc == -ENOENT;
		return rc;
	}
	if (!placeholder && (o->copy_dirlinks || sp->follow)) {
		rc = follow(s, sp, leaf, &ref);
		if (rc == 0 && S_ISDIR(ref.st_mode)) {
			*st = ref;
			return 0;
		}
		/* In arguments, and to a daemon, it is the link, as one that leads to no directory is everywhere. */
		if (rc == -ELOOP && sp->follow && o->files_from && !s->confined)
			return rc;
	}
	if (!o->links && !o->copy_unsafe_links)
		return 0;
	n = placeholder ? fake_readlink(sp->sb, sp->dir, leaf, s->link, sizeof s->link - 1) :
			  sb_readlink(sp->sb, sp->dir, leaf, s->link, sizeof s->link - 1);
	if (n < 0)
		return (int)n;
	*link_len = (size_t)n;
	if (o->copy_unsafe_links && !placeholder && n && symlink_is_unsafe(s->link, s->name)) {
		if (info_gte(o, INFO_SYMSAFE, 1))
			say(SAY_INFO, "copying unsafe symlink \"%s\" -> \"%s\"", s->name, s->link);
		rc = follow(s, sp, leaf, st);
		*dangling = rc == -ENOENT;
		return rc;
	}
	if (o->munge_links && (size_t)n > MUNGE_LEN && !memcmp(s->link, munge_prefix, MUNGE_LEN)) {
		memmove(s->link, s->link + MUNGE_LEN, (size_t)n - MUNGE_LEN + 1);
		*link_len -= MUNGE_LEN;
	}
	return 0;
}

static bool rules_hide(struct sender *s, bool is_dir)
{
	return filt_excluded(s->rules, s->name, is_dir);
}

/* A scanned name that cannot be looked at. */
static int stat_failed(struct sender *s, const struct spot *sp, int errnum, bool dangling)
{
	const char *shown;

	if (!sp->operand && (rules_hide(s, false) || rules_hide(s, true)))
		return 0;
	shown = place_show(s, sp->root, s->name);
	if (dangling && errnum == ENOENT) {
		s->x->io_error |= IOERR_GENERAL;
		say(SAY_ERROR_XFER, "symlink has no referent: %s", shown);
	} else if (errnum == ENOENT) {
		s->x->io_error |= IOERR_VANISHED;
		say(SAY_WARNING, "file has vanished: %s", shown);
	} else {
		s->x->io_error |= IOERR_GENERAL;
		say_errno(SAY_ERROR_XFER, errnum, "readlink_stat(%s) failed", shown);
	}
	return 0;
}

static bool mode_denies(const struct stat *st)
{
	gid_t groups[256];
	int n;

	if (geteuid() == 0)
		return false;
	if (st->st_uid == geteuid())
		return !(st->st_mode & S_IRUSR);
	if (st->st_gid == getegid())
		return !(st->st_mode & S_IRGRP);
	n = getgroups((int)ARRAY_SIZE(groups), groups);
	for (int i = 0; i < n; i++)
		if (groups[i] == st->st_gid)
			return !(st->st_mode & S_IRGRP);
	return !(st->st_mode & S_IROTH);
}

bool entry_unreadable(struct sender *s, const struct spot *sp, const char *leaf, const struct stat *st)
{
	struct sb_dir *d;
	struct stat real;
	int rc;

	if (S_ISLNK(st->st_mode) || geteuid() == 0)
		return false;
	/* What stands for a device can be opened. */
	if (s->o->super == 2 && !S_ISREG(st->st_mode) && !S_ISDIR(st->st_mode) && spot_lstat(sp, leaf, &real) == 0)
		st = &real;
	/* Opening a device or a FIFO has side effects; the mode decides there. */
	if (!S_ISREG(st->st_mode) && !S_ISDIR(st->st_mode))
		return mode_denies(st);
	if (S_ISDIR(st->st_mode)) {
		rc = sb_opendir(sp->sb, sp->dir, leaf, 0, &d, NULL);
		if (rc == 0)
			sb_closedir(d);
	} else {
		rc = s->follows ? sb_open_read_follow(sp->sb, sp->dir, leaf, 0, NULL) : sb_open_read(sp->sb, sp->dir, leaf, 0, NULL);
		if (rc >= 0)
			close(rc);
	}
	return rc == -EACCES || rc == -EPERM;
}

/* --copy-devices: the entry becomes a regular file as long as the device. */
static int device_as_file(struct sender *s, const struct spot *sp, const char *leaf, struct stat *st)
{
	int fd = place_open(s, sp->sb, sp->dir, leaf, s->follows, NULL);
	off_t size;

	if (fd < 0)
		return fd;
	size = lseek(fd, 0, SEEK_END);
	close(fd);
	st->st_size = size > 0 ? size : 0;
	st->st_mode = S_IFREG | (st->st_mode & 07777);
	st->st_nlink = 1;
	st->st_mtim = (struct timespec){ .tv_sec = time(NULL) };
	return 0;
}

/* -c: a file that cannot be read gets zeros here and fails when it is asked for. */
static int add_checksum(struct sender *s, const struct spot *sp, const char *look, struct fent *e, struct fext *x)
{
	uint8_t sum[CSUM_MAX_LEN] = { 0 };
	int fd = place_open(s, sp->sb, sp->dir, look, s->follows, NULL);

	if (fd >= 0) {
		if (csum_list_fd(s->list_sum, fd, (uint64_t)e->size, sum) < 0)
			memset(sum, 0, sizeof sum);
		close(fd);
	}
	x->sum = (const uint8_t *)flist_strdup(s->set, e, (const char *)sum, csum_len(csum_ctx_kind(s->list_sum)));
	return x->sum ? 0 : sender_nomem(s);
}

/* The optional fields. */
static int add_ext(struct sender *s, const struct spot *sp, const char *look, const struct stat *st, size_t link_len, struct fent *e)
{
	const struct xfer_opts *o = s->o;
	bool dev = FENT_IS_DEV(e), link = FENT_IS_LNK(e) && o->links, sum = o->checksum && FENT_IS_REG(e);
	bool atime = o->atimes && !FENT_IS_DIR(e);
	struct fext *x;

	if (!dev && !link && !sum && !atime)
		return 0;
	x = flist_ext(s->set, e);
	if (!x)
		return sender_nomem(s);
	if (dev) {
		x->rdev_major = major(st->st_rdev);
		x->rdev_minor = minor(st->st_rdev);
	}
	if (link) {
		x->link = flist_strdup(s->set, e, s->link, link_len);
		x->link_len = (uint32_t)link_len;
		if (!x->link)
			return sender_nomem(s);
	}
	if (atime)
		x->atime = st->st_atim.tv_sec;
	return sum ? add_checksum(s, sp, look, e, x) : 0;
}

static mode_t list_mode(const struct sender *s, mode_t mode)
{
	return chmod_apply(s->chmod_module, chmod_apply(s->chmod, mode));
}

static int send_entry(struct sender *s, const struct spot *sp, const char *leaf, const struct stat *st, size_t link_len,
		      unsigned flags, struct fent **out)
{
	struct fent *e = flist_add(s->set, sp->fdir, leaf, (uint16_t)list_mode(s, st->st_mode));
	const char *look = sp->look ? sp->look : leaf;
	int rc;

	if (!e)
		return sender_nomem(s);
	e->flags |= (uint16_t)flags;
	e->root = sp->root;
	e->uid = st->st_uid;
	e->gid = st->st_gid;
	e->mtime = st->st_mtim.tv_sec;
	e->nsec = st->st_mtim.tv_nsec > 0 && st->st_mtim.tv_nsec <= 999999999 ? (uint32_t)st->st_mtim.tv_nsec : 0;
	if (S_ISREG(st->st_mode) || S_ISDIR(st->st_mode) || S_ISLNK(st->st_mode))
		e->size = st->st_size;
	if (add_ext(s, sp, look, st, link_len, e) < 0)
		return -1;
	rc = attrs_add(s, sp, look, e);
	if (rc < 0)
		return -1;
	if (rc > 0) {
		flist_unadd(s->set, e);
		return 0;
	}
	if (s->o->hard_links && !S_ISDIR(st->st_mode) && (s->proto < 28 ? S_ISREG(st->st_mode) : st->st_nlink > 1) &&
	    flist_hardlink(s->set, e, st->st_dev, st->st_ino) < 0)
		return sender_nomem(s);
	if (!flist_write_entry(s->set, s->w, e)) {
		convert_failed(s, sp->root);
		return 0;
	}
	s->entries++;
	*out = e;
	return s->w->failed ? -1 : 1;
}

/* One-file-system rule: 0 go on, 1 leave out, 2 without contents. */
static int other_device(struct sender *s, const struct spot *sp, const struct stat *st)
{
	if (!s->o->one_fs || sp->operand || !S_ISDIR(st->st_mode) || st->st_dev == sp->dev)
		return 0;
	if (!s->o->one_fs_skip)
		return 2;
	if (info_gte(s->o, INFO_MOUNT, 1))
		say(SAY_INFO, "[%s] skipping mount-point dir %s", say_role(), s->name);
	return 1;
}

int entry_make(struct sender *s, struct spot *sp, const char *leaf, unsigned char type, unsigned flags, struct fent **out)
{
	const char *look = sp->look ? sp->look : leaf;
	bool tested = false, dangling;
	struct stat st;
	size_t link_len;
	int rc;

	/* What the rules exclude need not be looked at when the directory told its type. */
	if (!sp->operand && type != DT_UNKNOWN && (type != DT_LNK || !s->follows) && !(type == DT_DIR && s->o->one_fs_skip)) {
		if (rules_hide(s, type == DT_DIR))
			return 0;
		tested = true;
	}
	rc = entry_stat(s, sp, look, &st, &link_len, &dangling);
	if (s->r->failed)
		return -1;
	if (rc < 0)
		return stat_failed(s, sp, -rc, dangling);
	if (S_ISLNK(st.st_mode) && s->o->links && !link_len) {
		s->x->io_error |= IOERR_GENERAL;
		say(SAY_ERROR_XFER, "skipping symlink with 0-length value: %s", place_show(s, sp->root, s->name));
		return 0;
	}
	if (!st.st_mode) {
		s->x->io_error |= IOERR_GENERAL;
		say(SAY_INFO, "skipping file with bogus (zero) st_mode: %s", place_show(s, sp->root, s->name));
		return 0;
	}
	if (sp->operand)
		sp->dev = st.st_dev;
	rc = other_device(s, sp, &st);
	if (rc == 1)
		return 0;
	if (rc == 2)
		flags |= FENT_MOUNT;
	if (!sp->operand && !tested && rules_hide(s, S_ISDIR(st.st_mode)))
		return 0;
	/* What was asked for by name fails to be read, which is told. */
	if (s->o->ignore_nonreadable && !sp->operand && entry_unreadable(s, sp, look, &st))
		return 0;
	if (s->o->copy_devices && (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode))) {
		rc = device_as_file(s, sp, look, &st);
		if (rc < 0) {
			sender_complain(s, -rc, "failed to open %s", place_show(s, sp->root, s->name));
			return 0;
		}
	}
	if (S_ISDIR(st.st_mode)) {
		if (s->o->recurse && !(flags & FENT_MOUNT))
			flags |= FENT_CONTENT;
	} else {
		flags &= ~(unsigned)(FENT_TOP_DIR | FENT_CONTENT | FENT_MOUNT);
	}
	return send_entry(s, sp, leaf, &st, link_len, flags, out);
}

int entry_missing(struct sender *s, uint16_t root, const struct fdir *fdir, const char *leaf)
{
	struct fent *e = flist_add(s->set, fdir, leaf, 0);

	if (!e)
		return sender_nomem(s);
	e->root = root;
	e->flags |= FENT_MISSING;
	if (flist_write_entry(s->set, s->w, e))
		s->entries++;
	else
		convert_failed(s, root);
	return s->w->failed ? -1 : 1;
}

int entry_implied(struct sender *s, uint16_t root, const struct fdir *fdir, const char *leaf, const struct stat *st, struct fent **out)
{
	struct spot sp = { .fdir = fdir, .root = root };

	return send_entry(s, &sp, leaf, st, 0, FENT_IMPLIED, out);
}

/* ---- names of ids ---- */

const char *entry_id_name(void *ctx, bool is_group, uint32_t id)
{
	struct sender *s = ctx;
	char name[256];

	if (!s->x->ids || s->x->ids->name(s->x->ids->ctx, is_group, id, name, sizeof name) < 0)
		return NULL;
	/* Each id is asked for once in a session. */
	return arena_strndup(s->arena, name, strlen(name));
}
