/*
 * gen_file.c - regular files: skip, up to date, or request (spec 08 §2 rules 16-25).
 */
#include "config.h"
#include "receiver/dest.h"
#include "receiver/gen.h"

#include <errno.h>

/* What the new content is to be built from. */
struct basis {
	uint8_t type;
	bool found;
	struct sb *sb;
	const char *dir;
	struct stat st;
	char name[SB_NAME_MAX + 1];    /* fuzzy, else "" */
	char path[PATH_LIMIT + 1];     /* partial-dir */
};

bool gen_quick_check(struct gen *g, const struct fent *e, struct sb *sb, const char *dir, const char *leaf,
		     const struct stat *st)
{
	if (st->st_size != e->size)
		return false;
	if (g->o->checksum && !g->redoing) {
		_cleanup_close_ int fd = -1;
		uint8_t sum[CSUM_MAX_LEN];

		if (!e->ext || !e->ext->sum)
			return false;
		fd = hands_open(&g->h, sb, dir, leaf, NULL);
		return fd >= 0 && csum_list_fd(g->list_sum, fd, (uint64_t)st->st_size, sum) == 0 &&
		       memcmp(sum, e->ext->sum, csum_len(g->p->list_sum)) == 0;
	}
	if (g->o->size_only && !g->redoing)
		return true;
	if (g->o->ignore_times || g->redoing)
		return false;
	return same_time(g->rx, e, st);
}

/* D is newer than the entry, whose time may be any number. */
static bool newer(const struct gen *g, const struct gitem *it)
{
	int64_t there = it->st.st_mtim.tv_sec, diff;

	if (__builtin_sub_overflow(it->e->mtime, there, &diff))
		return it->e->mtime < there;
	return diff < g->o->modify_window;
}

static OWN_FRAME void say_skipped(const struct fent *e, const char *why)
{
	say(SAY_INFO, "%s is %s", ENAME(e), why);
}

/* Size limits and --update. */
static bool skipped(struct gen *g, const struct gitem *it)
{
	const struct fent *e = it->e;
	const char *why = NULL;

	if (g->redoing)
		return false;
	if (g->o->max_size >= 0 && e->size > g->o->max_size)
		why = "over max-size";
	else if (g->o->min_size >= 0 && e->size < g->o->min_size)
		why = "under min-size";
	else if (g->o->update && it->exists && S_ISREG(it->st.st_mode) && newer(g, it))
		why = "newer";
	if (why && info_gte(g->o, INFO_SKIP, 1))
		say_skipped(e, why);
	return why != NULL;
}

static void up_to_date(struct gen *g, struct gitem *it)
{
	gen_itemize(g, it, true, &it->st, 0, NULL);
	gen_keep(g, it, g->o->checksum ? ATTRS_EXACT : 0);
}

static bool find_partial(struct gen *g, const struct gitem *it, struct basis *b)
{
	if (!g->o->partial_dir || (g->dirs[it->parent].flags & (GD_MISSING | (it->first_visit ? GD_NEW : 0))) ||
	    partial_name(&g->h, it->dir, it->leaf, &b->sb, b->path) < 0 || sb_lstat(b->sb, b->path, it->leaf, &b->st) < 0 ||
	    !S_ISREG(b->st.st_mode))
		return false;
	b->dir = b->path;
	b->type = BASIS_PARTIAL_DIR;
	return true;
}

/* --inplace --backup: the old content is copied; while it is read for the sums, where all of it is. */
struct backup_copy { int fd; int rc; };

static int tap_backup(void *ctx, const void *data, size_t len)
{
	struct backup_copy *c = ctx;
	const uint8_t *p = data;

	while (len) {
		ssize_t n = write(c->fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			c->rc = n < 0 ? -errno : -ENOSPC;
			return -1;
		}
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

static OWN_FRAME void request_with_backup(struct gen *g, struct gitem *it, struct gen_req *q)
{
	struct backup_copy c = { .fd = -1 };
	char bleaf[SB_NAME_MAX + 1], name[BACKUP_NAME];
	const char *bdir;
	struct sb *bk = backup_place(&g->h, it->dir, it->leaf, &bdir, bleaf);
	struct stat *st = &it->st;
	bool whole = q->fd < 0 || (q->flags & RQ_APPEND);
	_cleanup_close_ int from = -1;

	if (bk) {
		c.fd = sb_open_write(bk, bdir, bleaf, SB_CREATE | SB_EXCL, 0600, NULL);
		if (c.fd == -EEXIST || c.fd == -EISDIR) {
			tree_remove(bk, bdir, bleaf);
			c.fd = sb_open_write(bk, bdir, bleaf, SB_CREATE | SB_EXCL, 0600, NULL);
		}
	}
	if (c.fd >= 0 && whole) {
		from = hands_open(&g->h, g->h.dest, it->dir, it->leaf, NULL);
		c.rc = from < 0 ? from : copy_data(&g->h, from, c.fd);
	}
	if (c.fd < 0 || c.rc < 0) {
		if (bk && c.fd < 0)
			say_errno(SAY_ERROR_XFER, -c.fd, "open %s", FULL(g->rx, "", backup_name(g->rx, it->dir, it->leaf, name)));
		else if (bk)
			say_errno(SAY_ERROR_XFER, -c.rc, "backup of %s failed", FULL(g->rx, it->dir, it->leaf));
		if (c.fd >= 0)
			close(c.fd);
		walk_skipped(g, it);
		return;
	}
	q->flags |= RQ_NO_BACKUP;
	if (!whole) {
		q->basis = BASIS_BACKUP;
		q->tap = tap_backup;
		q->tap_ctx = &c;
	}
	if (hlinked(g, it->e))
		hlink_requested(g, it);
	gen_request(g, it, q);
	if (g->rx->super)
		sbf_chown(c.fd, st->st_uid, st->st_gid);
	attrs_copy(&g->h, &(struct target){ g->h.dest, it->dir, it->leaf, -1, NULL }, &(struct target){ bk, bdir, bleaf, c.fd, NULL }, true);
	sbf_utimes(c.fd, NULL, &st->st_mtim);
	sbf_chmod(c.fd, st->st_mode & PERM_BITS);
	close(c.fd);
	backup_say(g->rx, it->dir, it->leaf);
}

static int64_t device_size(int fd)
{
	off_t n = lseek(fd, 0, SEEK_END);

	return n > 0 ? n : 0;
}

/* A basis that cannot be read: the file is made as if it were new, and told so. */
static OWN_FRAME void unreadable(struct gen *g, struct gitem *it, const struct basis *b, struct gen_req *q, int rc)
{
	const char *leaf = b->name[0] ? b->name : it->leaf;
	int alt = b->type <= BASIS_ALT_LAST ? b->type : b->type > BASIS_FUZZY ? b->type - BASIS_FUZZY - 1 : -1;

	say_errno(SAY_WARNING, -rc, "failed to open %s, continuing", alt >= 0 ? ALT_NAME(g, alt, b->dir, leaf) : FULL(g->rx, b->dir, leaf));
	q->report = NULL;
	if (!g->o->perms && b->type != BASIS_PARTIAL_DIR)
		it->mode = attrs_mode(g->rx, it->e, NULL, dirs_dflt(g, it->parent));
}

/* b: the basis, or not found. report: what is compared with (D or the alternate file). */
static void request(struct gen *g, struct gitem *it, struct basis *b, const struct stat *report)
{
	struct gen_req q = { .basis = b->found ? b->type : BASIS_FNAME, .fd = -1, .report = report };
	bool whole = g->o->whole_file || g->p->xfer_sum == CSUM_NONE, dev = b->found && !S_ISREG(b->st.st_mode);
	bool append = g->o->append && !g->redoing && b->found;
	_cleanup_close_ int fd = -1;

	if (g->o->checksum && !g->redoing)
		q.iflags |= ITEM_REPORT_CHANGE;
	if (b->found && b->type >= BASIS_FUZZY)
		q.xname = b->name;
	if (append)
		q.flags |= RQ_APPEND;
	if (dev)
		q.flags |= RQ_DEVICE;
	if (b->found && !whole && !g->o->dry_run) {
		fd = dev ? dest_open_device(g->rx, b->dir, it->leaf, false) :
			   hands_open(&g->h, b->sb, b->dir, b->name[0] ? b->name : it->leaf, &b->st);
		if (fd < 0 && fd != -ENOENT)
			unreadable(g, it, b, &q, fd);
		if (fd < 0)
			fd = -1;
		q.size = fd >= 0 && dev ? device_size(fd) : b->st.st_size;
	}
	q.fd = fd;
	if (g->o->inplace && g->o->backup && !g->redoing && it->exists && S_ISREG(it->st.st_mode) && !g->rx->dry &&
	    (!b->found || b->type == BASIS_FNAME)) {
		request_with_backup(g, it, &q);
		return;
	}
	if (!hlinked(g, it->e)) {
		gen_request(g, it, &q);
		return;
	}
	hlink_requested(g, it);
	gen_request(g, it, &q);
	/* Nobody waits for what does not come. */
	if (g->rx->dry)
		hlink_finished(g, it->ndx);
}

/* D itself, or an alternate file. */
static void set_basis(struct basis *b, uint8_t type, struct sb *sb, const struct gitem *it, const struct stat *st)
{
	b->found = true;
	b->type = type;
	b->sb = sb;
	b->dir = it->dir;
	b->st = *st;
}

/* Chooses the basis for a D that exists or not. */
static void choose_basis(struct gen *g, struct gitem *it, struct basis *b, const struct alt_hit *hit)
{
	if (find_partial(g, it, b)) {
		b->found = true;
	} else if (it->exists) {
		set_basis(b, BASIS_FNAME, g->h.dest, it, &it->st);
	} else if (hit->dir >= 0) {
		set_basis(b, (uint8_t)hit->dir, g->h.alt[hit->dir], it, &hit->st);
	} else if (g->o->fuzzy && !g->redoing) {
		struct stat st;
		uint8_t type = fuzzy_find(g, it, b->name, &st);

		if (type)
			set_basis(b, type, type == BASIS_FUZZY ? g->h.dest : g->h.alt[type - BASIS_FUZZY - 1], it, &st);
	}
}

/* What was kept of an earlier transfer is of no use to a D that is up to date. */
static OWN_FRAME void drop_partial(struct gen *g, const struct gitem *it)
{
	struct basis part;

	if (find_partial(g, it, &part)) {
		partial_cleanup(&g->h, it->dir, it->leaf, true);
		dirs_touched(g, it->parent);
	}
}

static OWN_FRAME void stat_failed(struct gen *g, struct gitem *it)
{
	say_errno(SAY_ERROR_XFER, it->err, "recv_generator: failed to stat %s", FULL(g->rx, it->dir, it->leaf));
	walk_skipped(g, it);
}

/* D is to get new contents. device: it is one, and those are written to it. */
static OWN_FRAME void renew(struct gen *g, struct gitem *it, const struct alt_hit *hit, bool device)
{
	struct basis b;

	b.found = false;
	b.name[0] = '\0';
	if (device)
		set_basis(&b, BASIS_FNAME, g->h.dest, it, &it->st);
	else
		choose_basis(g, it, &b, hit);
	if (!b.found && !it->exists && hlinked(g, it->e) && !it->hl_last) {
		hlink_wait(g, it);
		return;
	}
	if (g->o->append && !g->redoing && b.found && b.st.st_size >= it->e->size) {
		walk_skipped(g, it);
		return;
	}
	if (!it->exists && b.found && b.type <= BASIS_ALT_LAST) {
		it->seen = g->h.alt[b.type];
		it->mode = attrs_mode(g->rx, it->e, &b.st, 0777);
	}
	request(g, it, &b, it->exists ? &it->st : b.found && b.type <= BASIS_ALT_LAST ? &b.st : NULL);
}

/* Nothing large lies in its frame: a file that is up to date passes through here and touches little. */
void gen_file(struct gen *g, struct gitem *it)
{
	struct alt_hit hit = { .dir = -1 };
	bool device = g->o->write_devices && it->exists && (S_ISCHR(it->st.st_mode) || S_ISBLK(it->st.st_mode));

	if (skipped(g, it)) {
		walk_skipped(g, it);
		return;
	}
	if (it->exists && !S_ISREG(it->st.st_mode) && !device) {
		if (delete_make_way(g, it, "regular file") < 0) {
			walk_skipped(g, it);
			return;
		}
		it->exists = false;
		it->err = ENOENT;
	}
	if (g->o->alt_dest && (!it->exists || g->o->alt_dest != ALT_COPY) && alt_file(g, it, &hit))
		return;
	/* Known from an alternate place, it is tried all the same. */
	if (!it->exists && it->err != ENOENT && hit.dir < 0) {
		stat_failed(g, it);
		return;
	}
	if (!device && it->exists && gen_quick_check(g, it->e, g->h.dest, it->dir, it->leaf, &it->st)) {
		if (g->o->partial_dir && !g->rx->dry)
			drop_partial(g, it);
		up_to_date(g, it);
		return;
	}
	renew(g, it, &hit, device);
}
