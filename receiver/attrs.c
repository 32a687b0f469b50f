/*
 * attrs.c - comparing and setting owner, group, times and permissions.
 */
#include "config.h"
#include "receiver/attrs.h"

#include <errno.h>

#include "receiver/attr_room.h"
#include "transfer/chmod.h"
#include "transfer/fake_super.h"

mode_t attrs_mode(const struct rx *rx, const struct fent *e, const struct stat *exist, unsigned dflt)
{
	mode_t mode;

	if (rx->o->perms)
		return e->mode & PERM_BITS;
	if (!exist)
		return e->mode & dflt & 0777;
	mode = exist->st_mode & PERM_BITS;
	if (rx->o->executability && FENT_IS_REG(e)) {
		if (!(e->mode & 0111))
			mode &= ~(mode_t)0111;
		else if (!(mode & 0111))
			mode |= (mode & 0444) >> 2;
	}
	return mode;
}

bool attrs_keeps_time(const struct rx *rx, const struct fent *e)
{
	if (FENT_IS_DIR(e))
		return rx->dir_times;
	return rx->o->times && !(FENT_IS_LNK(e) && rx->o->omit_link_times);
}

static bool keeps_atime(const struct rx *rx, const struct fent *e)
{
	return rx->o->atimes && e->ext && !FENT_IS_DIR(e) && !(FENT_IS_LNK(e) && rx->o->omit_link_times);
}

static bool wants_uid(struct hands *h, const struct fent *e, uid_t now, uint32_t *uid)
{
	if (!h->rx->o->owner || !(h->rx->super || h->rx->fake))
		return false;
	*uid = idview_map(&h->ids, false, e->uid, NULL);
	return *uid != now;
}

static bool wants_gid(struct hands *h, const struct fent *e, gid_t now, uint32_t *gid)
{
	bool can;

	if (!h->rx->o->group)
		return false;
	*gid = idview_map(&h->ids, true, e->gid, &can);
	return can && *gid != now;
}

bool attrs_wants_chown(struct hands *h, const struct fent *e, gid_t gid)
{
	uint32_t id;

	return wants_uid(h, e, h->rx->euid, &id) || wants_gid(h, e, gid, &id);
}

unsigned attrs_report(struct hands *h, const struct fent *e, const struct stat *st, const struct target *t, bool only_attrs)
{
	const struct xfer_opts *o = h->rx->o;
	mode_t mode = e->mode;
	unsigned f = 0, which;
	uint32_t id;

	if (h->rx->module_chmod && !FENT_IS_LNK(e))
		mode = chmod_apply(h->rx->module_chmod, mode);
	if (FENT_IS_REG(e) && e->size != st->st_size)
		f |= ITEM_REPORT_SIZE;
	if (attrs_keeps_time(h->rx, e) && !same_time(h->rx, e, st))
		f |= ITEM_REPORT_TIME;
	if (o->atimes && e->ext && !FENT_IS_DIR(e) && !FENT_IS_LNK(e) && e->ext->atime != st->st_atim.tv_sec)
		f |= ITEM_REPORT_ATIME;
	if (!FENT_IS_LNK(e) || !S_ISLNK(st->st_mode)) {
		if (o->perms ? ((mode ^ st->st_mode) & PERM_BITS) != 0 :
		    o->executability && FENT_IS_REG(e) && !(attrs_mode(h->rx, e, st, 0) & 0111) != !(st->st_mode & 0111))
			f |= ITEM_REPORT_PERMS;
	}
	if (wants_uid(h, e, st->st_uid, &id))
		f |= ITEM_REPORT_OWNER;
	if (wants_gid(h, e, st->st_gid, &id))
		f |= ITEM_REPORT_GROUP;
	if (o->acls && (which = acl_differs(h, e, t, mode, st->st_mode))) {
		f |= ITEM_REPORT_ACL;
		/* The ACL brings its permissions, where it can be set. */
		if (only_attrs && !FENT_IS_DIR(e) && !h->rx->dry && !h->rx->fake && (which & ACL_ACCESS) && !((mode ^ st->st_mode) & 07000) &&
		    (h->rx->euid == 0 || h->rx->euid == st->st_uid))
			f &= ~(unsigned)ITEM_REPORT_PERMS;
	}
	if (o->xattrs && xa_differs(h, e, t))
		f |= ITEM_REPORT_XATTR;
	return f;
}

bool attrs_unchanged(struct hands *h, const struct fent *e, const struct stat *st, const struct target *t)
{
	unsigned f = attrs_report(h, e, st, t, false) & ~(unsigned)ITEM_REPORT_ATIME;

	if (FENT_IS_DIR(e) && h->rx->o->times && !same_time(h->rx, e, st))
		return false;	/* with -O too */
	if (!FENT_IS_REG(e))
		f &= ~(unsigned)ITEM_REPORT_SIZE;
	return f == 0;
}

/* ---- setting ---- */

static int t_stat(const struct target *t, struct stat *st)
{
	return t->fd >= 0 ? sbf_stat(t->fd, st) : sb_lstat(t->sb, t->dir, t->leaf, st);
}

static int set_owner(struct hands *h, const struct target *t, const struct fent *e, struct stat *st)
{
	uint32_t uid = 0, gid = 0;
	bool u = wants_uid(h, e, st->st_uid, &uid), g = wants_gid(h, e, st->st_gid, &gid);
	int rc;

	if (!u && !g)
		return 0;
	if ((u && uid == UINT32_MAX) || (g && gid == UINT32_MAX)) {
		say(SAY_ERROR_XFER, "%s 4294967295 (-1) is impossible to set on %s", u && uid == UINT32_MAX ? "uid" : "gid",
		    FULL(h->rx, t->dir, t->leaf));
		return -1;
	}
	rc = t->fd >= 0 ? sbf_chown(t->fd, u ? uid : (uid_t)-1, g ? gid : (gid_t)-1) :
			  sb_chown(t->sb, t->dir, t->leaf, u ? uid : (uid_t)-1, g ? gid : (gid_t)-1);
	if (rc < 0) {
		say_errno(SAY_ERROR_XFER, -rc, "%s %s failed", u ? "chown" : "chgrp", FULL(h->rx, t->dir, t->leaf));
		return -1;
	}
	/* The system drops set-id bits of files it gives away. */
	if ((st->st_mode & (S_ISUID | S_ISGID)) && t_stat(t, st) < 0)
		return -1;
	if (u)
		st->st_uid = uid;
	if (g)
		st->st_gid = gid;
	return 1;
}

static bool time_is_exact(const struct rx *rx, const struct fent *e, const struct stat *st)
{
	return e->mtime == st->st_mtim.tv_sec && (rx->p->version < 31 ? 0 : e->nsec) == (uint32_t)st->st_mtim.tv_nsec;
}

static int set_times(struct hands *h, const struct target *t, const struct fent *e, const struct stat *st, unsigned flags)
{
	const struct rx *rx = h->rx;
	struct timespec mt = { e->mtime, (long)e->nsec }, at = { 0, 0 };
	/* What stands for a link is a file: --omit-link-times does not spare it. */
	bool keeps = attrs_keeps_time(rx, e) || (rx->fake && FENT_IS_LNK(e) && rx->o->times);
	bool m = keeps && !(flags & ATTRS_NO_MTIME), a = keeps_atime(rx, e);
	int rc;

	if (flags & ATTRS_ZERO_MTIME) {
		m = true;
		mt = (struct timespec){ 0, 0 };
	} else if (m) {
		m = flags & ATTRS_EXACT ? !time_is_exact(rx, e, st) : !same_time(rx, e, st);
	}
	if (a) {
		at.tv_sec = e->ext->atime;
		a = (flags & ATTRS_EXACT) || st->st_atim.tv_sec != at.tv_sec;
	}
	if (!m && !a)
		return 0;
	rc = t->fd >= 0 ? sbf_utimes(t->fd, a ? &at : NULL, m ? &mt : NULL) :
			  sb_utimes(t->sb, t->dir, t->leaf, a ? &at : NULL, m ? &mt : NULL);
	if (rc < 0) {
		say_errno(SAY_ERROR_XFER, -rc, "failed to set times on %s", FULL(rx, t->dir, t->leaf));
		return -1;
	}
	return 1;
}

static int set_mode(struct hands *h, const struct target *t, mode_t mode, const struct stat *st)
{
	int rc;

	if (S_ISLNK(st->st_mode))
		return 0;
	if (!((st->st_mode ^ mode) & PERM_BITS))
		return 0;
	rc = t->fd >= 0 ? sbf_chmod(t->fd, mode) : sb_chmod(t->sb, t->dir, t->leaf, mode);
	if (rc < 0) {
		say_errno(SAY_ERROR_XFER, -rc, "failed to set permissions on %s", FULL(h->rx, t->dir, t->leaf));
		return -1;
	}
	return 1;
}

/* fake-super: what is not kept stays as it seems to be. */
static int store_owner(struct hands *h, const struct target *t, const struct fent *e, mode_t mode, const struct stat *st)
{
	uint32_t uid, gid;

	if (!wants_uid(h, e, st->st_uid, &uid))
		uid = st->st_uid;
	if (!wants_gid(h, e, st->st_gid, &gid))
		gid = st->st_gid;
	return fake_apply(h, t, e, mode, uid, gid);
}

int attrs_apply(struct hands *h, const struct target *t, const struct fent *e, mode_t mode, const struct stat *st,
		unsigned flags)
{
	const struct rx *rx = h->rx;
	struct stat now = *st;
	int own, xattrs = 0, times, acl = 0, perm = 0;

	if (rx->dry)
		return 0;
	if (rx->module_chmod && !FENT_IS_LNK(e))
		mode = chmod_apply(rx->module_chmod, (e->mode & S_IFMT) | mode) & PERM_BITS;
	/* Set-id bits mean nothing on a device node, so whoever sends them has other plans. */
	if ((S_ISCHR(now.st_mode) || S_ISBLK(now.st_mode)) && !rx->fake)
		mode &= 0777;
	own = rx->fake ? store_owner(h, t, e, mode, st) : set_owner(h, t, e, &now);
	if (own < 0 && !rx->fake)
		return -1;
	if ((flags & ATTRS_XATTRS) && rx->xattrs)
		xattrs = xa_apply(h, t, e);
	times = set_times(h, t, e, &now, flags);
	if (times < 0)
		return -1;
	if (rx->acls)
		acl = acl_apply(h, t, e, mode, &now, flags & ATTRS_NO_ACL);
	if (!(flags & ATTRS_NO_MODE) && !rx->fake)
		perm = set_mode(h, t, mode, &now);
	return own < 0 || perm < 0 || xattrs < 0 || acl < 0 ? -1 : own | xattrs | times | acl | perm;
}

static void copy_one(struct hands *h, const struct target *from, const struct target *to, const char *name)
{
	struct attr_room *room = attr_room(h);
	ssize_t n = room ? t_getxattr(from, name, room->value, sizeof room->value) : -ENOMEM;

	if (n >= 0)
		t_setxattr(h, to, name, room->value, (size_t)n);
}

void attrs_copy(struct hands *h, const struct target *from, const struct target *to, bool all)
{
	const struct rx *rx = h->rx;

	if (all && rx->o->xattrs)
		xa_copy(h, from, to);
	if (rx->fake)
		copy_one(h, from, to, FAKE_STAT);
	if (rx->o->acls) {
		copy_one(h, from, to, rx->fake ? FAKE_AACL : SB_ACL_ACCESS);
		copy_one(h, from, to, rx->fake ? FAKE_DACL : SB_ACL_DEFAULT);
	}
}
