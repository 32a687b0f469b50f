/*
 * gen_link.c - symbolic links, device nodes and specials, and the atomic creation of names (spec 08 §4, §6, §7).
 */
#include "config.h"
#include "receiver/gen.h"

#include <errno.h>
#include <stdio.h>
#include <sys/sysmacros.h>

#include "filter/safelink.h"
#include "receiver/dest.h"
#include "receiver/xattrs.h"
#include "sandbox/broker.h"

#define MUNGE_PREFIX "/rsyncd-munged/"

/* ---- targets ---- */

/* Rewrites a target so that it cannot lead above the transfer (spec 06 §12.3, ROOT ""). depth: directories above the link. */
static void sanitise(const char *p, int depth, char *out)
{
	size_t n = 0, floor = 0;

	if (*p == '/')
		depth = 0;
	while (*p) {
		size_t len = strcspn(p, "/");
		bool slash = p[len] == '/';

		if (len == 0 || (len == 1 && *p == '.')) {
			p += len + slash;
			continue;
		}
		if (len == 2 && p[0] == '.' && p[1] == '.') {
			if (n > floor) {
				/* The last component goes. */
				n--;
				while (n > floor && out[n - 1] != '/')
					n--;
			} else if (depth > 0) {
				depth--;
				memcpy(out + n, "../", 3);
				n += 3;
				floor = n;
			}
			p += len + slash;
			continue;
		}
		memcpy(out + n, p, len);
		n += len;
		if (slash)
			out[n++] = '/';
		p += len + slash;
	}
	/* A slash that ".." left behind, or that the kept ".." brought along. */
	if (n && n == floor)
		n--;
	if (!n)
		out[n++] = '.';
	out[n] = 0;
}

const char *gen_target(struct gen *g, const struct fent *e, char *buf)
{
	const char *t = e->ext && e->ext->link ? e->ext->link : "";
	size_t len = strlen(t);
	int depth = 0;

	if (g->o->munge_links) {
		if (len + sizeof MUNGE_PREFIX > PATH_LIMIT + 1)
			return NULL;
		memcpy(buf, MUNGE_PREFIX, sizeof MUNGE_PREFIX - 1);
		memcpy(buf + sizeof MUNGE_PREFIX - 1, t, len + 1);
		return buf;
	}
	if (!g->o->sanitize_paths || len > PATH_LIMIT)
		return len > PATH_LIMIT ? NULL : t;
	for (const char *d = fdir_rel(e->dir); *d; d += d[strcspn(d, "/")] == '/' ? strcspn(d, "/") + 1 : strcspn(d, "/"))
		depth++;
	sanitise(t, depth, buf);
	return buf;
}

/* ---- making names ---- */

/* fake-super: a regular file stands for it; a link's holds the target. */
static int make_placeholder(struct gen *g, struct gitem *it, const char *content, const char *leaf)
{
	_cleanup_close_ int fd = sb_open_write(g->h.dest, it->dir, leaf, SB_CREATE | SB_EXCL, 0600, NULL);
	size_t len = strlen(content);
	ssize_t n;

	if (fd < 0 || !len)
		return fd < 0 ? fd : 0;
	n = write(fd, content, len);
	if (n == (ssize_t)len)
		return 0;
	n = n < 0 ? -errno : -ENOSPC;
	sb_unlink(g->h.dest, it->dir, leaf);
	return (int)n;
}

/* Device nodes get names from the broker alone. */
static bool by_broker(const struct gen *g, const struct gitem *it, enum node_kind kind)
{
	return kind == NODE_HARDLINK && FENT_IS_DEV(it->e) && !g->rx->fake;
}

static int link_device(struct gen *g, const struct gitem *it, const char *sdir, const char *sleaf, const char *leaf)
{
	char from[PATH_LIMIT + 1], to[PATH_LIMIT + 1];
	struct broker_node node;

	if (!g->rx->x->broker || dest_broker_dir(g->rx, sdir, from) < 0 || dest_broker_dir(g->rx, it->dir, to) < 0)
		return -EPERM;
	return broker_link(g->rx->x->broker, from, sleaf, to, leaf, &node);
}

static int move_device(struct gen *g, const struct gitem *it, const char *temp)
{
	char dir[PATH_LIMIT + 1];
	struct broker_node node;

	if (dest_broker_dir(g->rx, it->dir, dir) < 0)
		return -EPERM;
	return broker_move(g->rx->x->broker, dir, temp, dir, it->leaf, true, &node);
}

static int make_at(struct gen *g, struct gitem *it, enum node_kind kind, const char *target, struct sb *src,
		   const char *sdir, const char *sleaf, const char *leaf)
{
	if (g->rx->fake && kind != NODE_HARDLINK)
		return make_placeholder(g, it, kind == NODE_SYMLINK ? target : "", leaf);
	switch (kind) {
	case NODE_SYMLINK:
		return sb_symlink(g->h.dest, target, it->dir, leaf);
	case NODE_SPECIAL:
		return sb_mknod(g->h.dest, it->dir, leaf, (it->e->mode & S_IFMT) | (it->mode & 0777));
	case NODE_HARDLINK:
		if (by_broker(g, it, kind))
			return link_device(g, it, sdir, sleaf, leaf);
		return sb_link(src, sdir, sleaf, g->h.dest, it->dir, leaf);
	default:
		return -EPERM;
	}
}

/* What rsync says of what cannot be made room for. */
static const char *const kind_text[] = { "symlink", "device file", "special file", "regular file" };

static void say_failed(struct gen *g, struct gitem *it, enum node_kind kind, const char *what, int rc)
{
	if (kind == NODE_SYMLINK)
		say_errno(SAY_ERROR_XFER, -rc, "symlink %s -> \"%s\" failed", FULL(g->rx, it->dir, it->leaf), what);
	else if (kind == NODE_HARDLINK)
		say_errno(SAY_ERROR_XFER, -rc, "link %s => %s failed", FULL(g->rx, it->dir, it->leaf), what);
	else
		say_errno(SAY_ERROR_XFER, -rc, "mknod %s failed", FULL(g->rx, it->dir, it->leaf));
}

/* Makes it under a free name and renames it over what is there. */
static int make_over(struct gen *g, struct gitem *it, enum node_kind kind, const char *target, struct sb *src,
		     const char *sdir, const char *sleaf)
{
	char name[SB_NAME_MAX + 1];
	int rc = sb_temp_name(g->h.dest, it->dir, it->leaf, name);

	if (rc == 0)
		rc = make_at(g, it, kind, target, src, sdir, sleaf, name);
	if (rc < 0)
		return rc;
	rc = by_broker(g, it, kind) ? move_device(g, it, name) :
				      sb_rename(g->h.dest, it->dir, name, g->h.dest, it->dir, it->leaf, 0);
	if (rc < 0)
		sb_unlink(g->h.dest, it->dir, name);
	return rc;
}

/* Clears D, or keeps it under its backup name, before something takes its place. -1: was said. */
static int prepare(struct gen *g, struct gitem *it, enum node_kind kind)
{
	if (!it->exists)
		return 0;
	if (S_ISDIR(it->st.st_mode)) {
		if (delete_make_way(g, it, kind_text[kind]) < 0)
			return -1;
		it->exists = false;
		return 0;
	}
	return g->o->backup ? backup_make(&g->h, it->dir, it->leaf, &it->st, false) : 0;
}

int gen_link_over(struct gen *g, struct gitem *it, struct sb *src)
{
	char name[SB_NAME_MAX + 1];
	int rc = sb_temp_name(g->h.dest, it->dir, it->leaf, name);

	if (rc == 0)
		rc = sb_link(src, it->dir, it->leaf, g->h.dest, it->dir, name);
	if (rc < 0)
		return rc;
	rc = prepare(g, it, NODE_HARDLINK);
	if (rc == 0)
		rc = sb_rename(g->h.dest, it->dir, name, g->h.dest, it->dir, it->leaf, 0);
	if (rc < 0)
		sb_unlink(g->h.dest, it->dir, name);
	return rc;
}

int gen_make(struct gen *g, struct gitem *it, enum node_kind kind, const char *target, struct sb *src, const char *sdir,
	     const char *sleaf)
{
	int rc;

	if (prepare(g, it, kind) < 0)
		return -1;
	if (g->rx->dry)
		return 0;
	dirs_touched(g, it->parent);
	rc = it->exists ? make_over(g, it, kind, target, src, sdir, sleaf) :
			  make_at(g, it, kind, target, src, sdir, sleaf, it->leaf);
	/* Something appeared after we looked. */
	if (rc == -EEXIST && sb_lstat(g->h.dest, it->dir, it->leaf, &it->st) == 0) {
		it->exists = true;
		if (prepare(g, it, kind) < 0)
			return -1;
		rc = it->exists ? make_over(g, it, kind, target, src, sdir, sleaf) :
				  make_at(g, it, kind, target, src, sdir, sleaf, it->leaf);
	}
	if (rc < 0) {
		say_failed(g, it, kind, target, rc);
		return -1;
	}
	return 0;
}

/* Attributes of what was just made at D. */
static void attrs_of_new(struct gen *g, struct gitem *it, const struct alt_hit *hit)
{
	struct target t = { g->h.dest, it->dir, it->leaf, -1, NULL };
	struct stat st;

	if (hit->dir >= 0 && g->o->xattrs && !g->rx->dry)
		xa_copy(&g->h, &(struct target){ g->h.alt[hit->dir], it->dir, it->leaf, -1, NULL }, &t);
	if (g->rx->dry || sb_lstat(g->h.dest, it->dir, it->leaf, &st) < 0)
		return;
	attrs_apply(&g->h, &t, it->e, it->mode, &st, ATTRS_EXACT);
}

static void unchanged(struct gen *g, struct gitem *it)
{
	gen_itemize(g, it, true, &it->st, 0, NULL);
	gen_keep(g, it, 0);
}

/* Reports something made anew, or made where another of its kind was. */
static void report_made(struct gen *g, struct gitem *it, bool existed, const struct stat *st, const struct alt_hit *hit)
{
	bool same = existed && ((st->st_mode ^ it->e->mode) & S_IFMT) == 0;

	if (!same && !existed && hit->dir >= 0) {
		it->seen = g->h.alt[hit->dir];
		gen_itemize(g, it, true, &hit->st, ITEM_LOCAL_CHANGE | (hit->level < 3 ? ITEM_REPORT_CHANGE : GEN_MATCHED), NULL);
	} else {
		gen_itemize(g, it, same, st, ITEM_LOCAL_CHANGE | ITEM_REPORT_CHANGE, NULL);
	}
}

void gen_symlink(struct gen *g, struct gitem *it)
{
	char tbuf[PATH_LIMIT + 1];
	const struct fent *e = it->e;
	const char *target = gen_target(g, e, tbuf);
	struct alt_hit hit = { .dir = -1 };
	struct stat old = it->st;
	bool existed = it->exists;

	if (!target || !*target) {
		say_errno(SAY_ERROR_XFER, target ? ENOENT : ENAMETOOLONG, "symlink %s -> \"%s\" failed",
			  FULL(g->rx, it->dir, it->leaf), target ? "" : e->ext->link);
		walk_skipped(g, it);
		return;
	}
	if (g->o->safe_links && symlink_is_unsafe(e->ext->link, ENAME(e))) {
		if (info_gte(g->o, INFO_NAME, 1))
			say(SAY_INFO, "ignoring unsafe symlink \"%s\" -> \"%s\"", ENAME(e), e->ext->link);
		walk_skipped(g, it);
		return;
	}
	if (it->exists && S_ISLNK(it->st.st_mode) && alt_same_content(g, it, g->h.dest, &it->st, target)) {
		unchanged(g, it);
		return;
	}
	if (!it->exists && g->o->alt_dest && alt_other(g, it, &hit, target))
		return;
	if (gen_make(g, it, NODE_SYMLINK, target, NULL, NULL, NULL) < 0) {
		walk_skipped(g, it);
		return;
	}
	attrs_of_new(g, it, &hit);
	report_made(g, it, existed, &old, &hit);
	if (tells_old_peer(g))
		say(SAY_INFO, "%s -> %s", ENAME(e), e->ext->link);
	walk_finished(g, it, true);
}

/* ---- nodes ---- */

/* The same kind, and for devices the same numbers. */
static bool same_node(const struct fent *e, const struct stat *st)
{
	if (FENT_IS_SPECIAL(e))
		return ((st->st_mode ^ e->mode) & S_IFMT) == 0;
	return (S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode)) && e->ext && major(st->st_rdev) == e->ext->rdev_major &&
	       minor(st->st_rdev) == e->ext->rdev_minor;
}

static void skip_node(struct gen *g, struct gitem *it)
{
	if (info_gte(g->o, INFO_NONREG, 1))
		say(SAY_INFO, "skipping non-regular file \"%s\"", ENAME(it->e));
	walk_skipped(g, it);
}

/* Through the broker: made without permission bits under a name of its own, given its attributes, moved over D.
   What is at D stays as it is until then. 0, -1 when it failed and was said, 1 when the module's policy has no such node. */
static int make_device(struct gen *g, struct gitem *it)
{
	struct broker *bk = g->rx->x->broker;
	char dir[PATH_LIMIT + 1], temp[BROKER_LEAF];
	struct broker_node node;
	struct target t = { g->h.dest, it->dir, temp, -1, NULL };
	const struct fext *x = it->e->ext;
	struct stat st;
	int rc;

	if (g->rx->dry)
		return prepare(g, it, NODE_DEVICE);
	if (!bk) {
		say_failed(g, it, NODE_DEVICE, "", -EPERM);
		return -1;
	}
	rc = dest_broker_dir(g->rx, it->dir, dir);
	if (rc == 0)
		rc = broker_mktemp(bk, dir, it->leaf, it->e->mode & S_IFMT, x->rdev_major, x->rdev_minor, temp, &node);
	if (rc == -EPERM)
		return 1;
	if (rc == 0) {
		rc = sb_lstat(g->h.dest, it->dir, temp, &st);
		if (rc == 0 && (st.st_ino != node.ino || st.st_dev != node.dev))
			rc = -ESTALE;
		if (rc == 0) {
			attrs_apply(&g->h, &t, it->e, it->mode, &st, ATTRS_EXACT);
			if (prepare(g, it, NODE_DEVICE) < 0) {
				sb_unlink(g->h.dest, it->dir, temp);
				return -1;
			}
			rc = broker_move(bk, dir, temp, dir, it->leaf, true, &node);
		}
		if (rc < 0)
			sb_unlink(g->h.dest, it->dir, temp);
	}
	if (rc < 0) {
		say_failed(g, it, NODE_DEVICE, "", rc);
		return -1;
	}
	dirs_touched(g, it->parent);
	return 0;
}

/* A name within quotes in an audit record, as the broker writes it. */
static void audit_name(char *out, size_t size, const char *name)
{
	size_t n = 0;

	for (; *name && n + 5 < size; name++) {
		unsigned char c = (unsigned char)*name;

		if (c > 0x20 && c < 0x7f && c != '"' && c != '\\' && c != '=')
			out[n++] = (char)c;
		else
			n += (size_t)snprintf(out + n, size - n, "\\#%03o", c);
	}
	out[n] = 0;
}

void gen_audit_refusal(struct gen *g, const struct fent *e)
{
	char name[1024];

	if (!g->rx->x->audit || !g->o->devices || g->o->drop_devices || g->o->super == 0 || !e->ext)
		return;
	audit_name(name, sizeof name, ENAME(e));
	say(SAY_LOG, "device %s op=MKNOD path=\"%s\" type=%c dev=%u:%u verdict=refused rule=\"none\"", g->rx->x->audit, name,
	    S_ISCHR(e->mode) ? 'c' : 'b', e->ext->rdev_major, e->ext->rdev_minor);
}

void gen_node(struct gen *g, struct gitem *it)
{
	struct alt_hit hit = { .dir = -1 };
	bool existed = it->exists, special = FENT_IS_SPECIAL(it->e);
	struct stat old = it->st;
	int rc;

	if (!special && !it->e->ext) {
		walk_skipped(g, it);
		return;
	}
	if (it->exists && same_node(it->e, &it->st)) {
		if (special || g->rx->fake ||
		    broker_covers(g->rx->x->broker, it->st.st_mode & S_IFMT, it->e->ext->rdev_major, it->e->ext->rdev_minor)) {
			unchanged(g, it);
			return;
		}
		gen_audit_refusal(g, it->e);
		skip_node(g, it);
		return;
	}
	/* Devices differ by class, not by character or block. */
	if (existed && !special && (S_ISCHR(old.st_mode) || S_ISBLK(old.st_mode)))
		old.st_mode = (old.st_mode & ~(mode_t)S_IFMT) | (it->e->mode & S_IFMT);
	if (existed && special && (S_ISFIFO(old.st_mode) || S_ISSOCK(old.st_mode)))
		old.st_mode = (old.st_mode & ~(mode_t)S_IFMT) | (it->e->mode & S_IFMT);
	if (!it->exists && g->o->alt_dest && alt_other(g, it, &hit, NULL))
		return;
	rc = special || g->rx->fake ? gen_make(g, it, special ? NODE_SPECIAL : NODE_DEVICE, NULL, NULL, NULL, NULL) : make_device(g, it);
	if (rc) {
		if (rc > 0)
			skip_node(g, it);
		else
			walk_skipped(g, it);
		return;
	}
	if (special || g->rx->fake)
		attrs_of_new(g, it, &hit);
	report_made(g, it, existed, &old, &hit);
	if (tells_old_peer(g))
		say(SAY_INFO, "%s", ENAME(it->e));
	/* --remove-sent-files does not count nodes. */
	walk_finished(g, it, false);
}
