/*
 * delete.c - deleting what the sender does not have, and what is in the way (spec 08 §4, §16; 04 §14).
 */
#include "config.h"
#include "receiver/dest.h"
#include "receiver/gen.h"

#include <dirent.h>
#include <errno.h>

/* One entry of a scanned directory. */
struct dent {
	const char *name;
	uint32_t len;
	uint32_t mode;                 /* S_IFMT only, unless known better */
	bool is_dir, mount;
};

struct scan {
	struct arena *arena;
	struct dent *v;
	size_t n, cap;
	struct budget *budget;
	bool kept;                     /* something was protected */
};

static void scan_free(struct scan *s)
{
	if (s->arena)
		arena_free(s->arena);
	mem_free(s->budget, s->v);
}

/* Order of names within a directory: files before directories, those with a slash behind (spec 02 §7). */
static int dent_compare(const void *pa, const void *pb, void *proto)
{
	const struct dent *a = pa, *b = pb;
	size_t n = MIN(a->len, b->len);
	int c, ca, cb;

	if (*(int *)proto >= 29 && a->is_dir != b->is_dir)
		return a->is_dir ? 1 : -1;
	c = memcmp(a->name, b->name, n);
	if (c)
		return c;
	if (*(int *)proto < 29 || !a->is_dir)
		return a->len < b->len ? -1 : a->len > b->len;
	ca = n < a->len ? (unsigned char)a->name[n] : '/';
	cb = n < b->len ? (unsigned char)b->name[n] : '/';
	return ca - cb;
}

static mode_t type_mode(unsigned char type)
{
	switch (type) {
	case DT_DIR: return S_IFDIR;
	case DT_REG: return S_IFREG;
	case DT_LNK: return S_IFLNK;
	case DT_CHR: return S_IFCHR;
	case DT_BLK: return S_IFBLK;
	case DT_FIFO: return S_IFIFO;
	case DT_SOCK: return S_IFSOCK;
	default: return 0;
	}
}

/* `ignore nonreadable`: as if it were not there. */
static OWN_FRAME bool unreadable(struct gen *g, const char *dir, const char *leaf, mode_t mode)
{
	struct sb_dir *d;
	int rc = 0;

	if (S_ISDIR(mode)) {
		rc = sb_opendir(g->h.dest, dir, leaf, 0, &d, NULL);
		if (rc == 0)
			sb_closedir(d);
	} else if (S_ISREG(mode)) {
		rc = sb_open_read(g->h.dest, dir, leaf, 0, NULL);
		if (rc >= 0)
			close(rc);
	}
	return rc == -EACCES || rc == -EPERM;
}

/* dir as it is to be scanned ("" = the destination); dev: device that its subdirectories must be on with -x. */
static int scan_dir(struct gen *g, const char *dir, struct scan *s)
{
	char path[PATH_LIMIT + 1];
	struct sb_dirent ent;
	struct sb_dir *d;
	struct stat st, self;
	int proto = g->p->version, rc;

	*s = (struct scan){ .budget = g->rx->budget };
	rc = sb_opendir(g->h.dest, dir, ".", 0, &d, &self);
	if (rc < 0) {
		if (rc != -ENOENT)
			say_errno(SAY_ERROR_XFER, -rc, "opendir %s failed", FULL(g->rx, "", *dir ? dir : "."));
		return rc;
	}
	while ((rc = sb_readdir(d, &ent)) == 1) {
		struct dent e = { .len = (uint32_t)ent.len, .mode = type_mode(ent.type) };
		struct dent *p;

		/* A log of items may show the permissions of what is deleted. */
		if (!e.mode || (g->o->one_fs && e.mode == S_IFDIR) || g->rx->x->log_item) {
			if (sb_dir_lstat(d, ent.name, &st) < 0)
				continue;
			e.mode = st.st_mode;
			e.mount = g->o->one_fs && S_ISDIR(st.st_mode) && st.st_dev != self.st_dev;
		}
		e.is_dir = (e.mode & S_IFMT) == S_IFDIR;
		if (g->walk && path_join(path, dir, ent.name) == 0 && (filt_excluded(g->walk, path, e.is_dir) ||
		    (g->rx->x->daemon_filter && dest_follows(g->rx) && dest_hides(g->rx, "", dir, ent.name, e.is_dir)))) {
			s->kept = true;
			continue;
		}
		if (g->o->ignore_nonreadable && g->rx->euid && unreadable(g, dir, ent.name, e.mode))
			continue;
		if (!s->arena)
			s->arena = arena_new(s->budget, 8192);
		p = s->arena ? mem_grow(s->budget, s->v, &s->cap, s->n + 1, sizeof *p) : NULL;
		if (p) {
			s->v = p;
			e.name = arena_strndup(s->arena, ent.name, ent.len);
		}
		if (!p || !e.name) {
			rc = -ENOMEM;
			break;
		}
		s->v[s->n++] = e;
	}
	sb_closedir(d);
	if (rc < 0 && rc != -ENOMEM) {
		/* What could be read is gone through; nothing else is deleted from now on. */
		say_errno(SAY_ERROR_XFER, -rc, "readdir(%s)", FULL(g->rx, "", *dir ? dir : "."));
		atomic_fetch_or(&g->rx->io_error, IOERR_GENERAL);
	} else if (rc < 0) {
		scan_free(s);
		return rc;
	}
	if (s->n > 1)
		qsort_r(s->v, s->n, sizeof *s->v, dent_compare, &proto);
	return 0;
}

/* ---- removing ---- */

/* A directory's name ends in a NUL. */
static void post_deleted(struct gen *g, const char *path, size_t len, bool is_dir)
{
	char wire[PATH_LIMIT + 1];
	size_t n = rx_wire_name(g->rx, path, len, wire);

	conn_post(g->conn, MSG_DELETED, wire, is_dir ? n + 1 : n);
}

static void announce(struct gen *g, const char *dir, const char *leaf, mode_t mode)
{
	char path[PATH_LIMIT + 2];
	size_t len;

	if (path_join(path, dir, leaf) < 0)
		return;
	len = strlen(path);
	if (S_ISDIR(mode))
		g->deleted.dirs++;
	else if (S_ISLNK(mode))
		g->deleted.links++;
	else if (S_ISCHR(mode) || S_ISBLK(mode))
		g->deleted.devices++;
	else if (S_ISREG(mode))
		g->deleted.files++;
	else
		g->deleted.specials++;
	if (!g->o->am_server)
		say(SAY_INFO, g->o->out_itemize ? "*deleting   %s%s" : "deleting %s%s", path, S_ISDIR(mode) ? "/" : "");
	else if (g->p->version >= 29)
		post_deleted(g, path, len, S_ISDIR(mode));
	else if (g->o->out_itemize)
		say(SAY_INFO, "*deleting  %s", g->o->out_itemize_all ? "%I" : "");        /* all that a peer of that age is used to */
	else if (g->o->verbose || g->o->out_format)
		say(SAY_INFO, "deleting %s%s", path, S_ISDIR(mode) ? "/" : "");
	if (g->rx->x->log_item) {
		_Alignas(struct fent) char room[sizeof(struct fent) + PATH_LIMIT + 2] = { 0 };
		struct fent *fake = (struct fent *)room;
		static const struct fdir none;
		struct item it = { .ndx = -1 };
		struct item_record rec = { .e = fake, .it = &it, .op = "del.", .deleted = true };

		fake->mode = (uint16_t)mode;
		fake->dir = &none;
		memcpy(fake->name, path, len + 1);
		rx_log_item(g->rx, &rec);
	}
}

static void say_not_empty(struct gen *g, const char *dir, const char *leaf)
{
	char path[PATH_LIMIT + 1];

	(void)g;
	if (path_join(path, dir, leaf) == 0)
		say(SAY_INFO, "cannot delete non-empty directory: %s", path);
}

static int remove_contents(struct gen *g, char path[PATH_LIMIT + 1], unsigned flags);

static bool is_backup_name(const struct gen *g, const char *leaf)
{
	size_t len = strlen(leaf), suf = g->o->suffix ? strlen(g->o->suffix) : 0;

	return suf && len > suf && strcmp(leaf + len - suf, g->o->suffix) == 0;
}

/* A directory of ours that we may not write: its content could not go. */
static void make_writable(struct gen *g, const char *dir, const char *leaf)
{
	struct stat st;

	if (g->rx->super || g->rx->dry || sb_lstat(g->h.dest, dir, leaf, &st) < 0)
		return;
	if (S_ISDIR(st.st_mode) && !(st.st_mode & 0200) && st.st_uid == g->rx->euid)
		sb_chmod(g->h.dest, dir, leaf, (st.st_mode | 0200) & PERM_BITS);
}

static int unlink_one(struct gen *g, const char *dir, const char *leaf, mode_t mode, unsigned flags, const char **op)
{
	*op = "unlink";
	if (g->o->backup && !(flags & DEL_NO_BACKUP) && (g->o->backup_dir || !is_backup_name(g, leaf))) {
		struct stat st;
		int rc;

		*op = "make_backup";
		if (sb_lstat(g->h.dest, dir, leaf, &st) < 0)
			return 0;
		/* An unsafe symbolic link is not kept, but goes all the same. */
		rc = backup_make(&g->h, dir, leaf, &st, true);
		if (rc < 0)
			return rc;
		*op = "unlink";
	}
	(void)mode;
	return g->rx->dry ? 0 : sb_unlink(g->h.dest, dir, leaf);
}

/* What rmdir would say of a directory that nobody emptied, if it can be read. */
static int would_rmdir(struct gen *g, const char *dir, const char *leaf)
{
	struct sb_dirent ent;
	struct sb_dir *d;
	int rc = sb_opendir(g->h.dest, dir, leaf, 0, &d, NULL);

	if (rc < 0)
		return rc;
	rc = sb_readdir(d, &ent);
	sb_closedir(d);
	return rc == 1 ? -ENOTEMPTY : MIN(rc, 0);
}

/* Whether a directory that is to make way is empty cannot be seen. */
static OWN_FRAME void look_into(struct gen *g, const char *dir, const char *leaf)
{
	int rc = would_rmdir(g, dir, leaf);

	if (rc < 0 && rc != -ENOTEMPTY && rc != -ENOENT)
		say_errno(SAY_ERROR_XFER, -rc, "opendir %s failed", FULL(g->rx, dir, leaf));
}

int delete_item(struct gen *g, const char *dir, const char *leaf, mode_t mode, unsigned flags)
{
	bool emptied = flags & (DEL_RECURSE | DEL_EMPTIED);
	bool top = flags & DEL_MAKE_ROOM;
	char path[PATH_LIMIT + 1];
	const char *op = "rmdir";
	int rc;

	if (S_ISDIR(mode) && (flags & DEL_RECURSE)) {
		if (path_join(path, dir, leaf) < 0)
			return -1;
		make_writable(g, dir, leaf);
		if (remove_contents(g, path, flags & ~(unsigned)DEL_MAKE_ROOM) > 0)
			return 1;
	}
	if (!top && g->o->max_delete >= 0 && g->deletions >= g->o->max_delete) {
		g->skipped_deletions++;
		return 1;
	}
	if (S_ISDIR(mode) && top && !emptied)
		look_into(g, dir, leaf);
	if (!S_ISDIR(mode))
		rc = unlink_one(g, dir, leaf, mode, flags, &op);
	else if (g->rx->dry)
		rc = !emptied && would_rmdir(g, dir, leaf) == -ENOTEMPTY ? -ENOTEMPTY : 0;
	else
		rc = sb_rmdir(g->h.dest, dir, leaf);
	/* That it is not empty comes before that it may not be removed. */
	if (S_ISDIR(mode) && (rc == -EACCES || rc == -EPERM) && !emptied && would_rmdir(g, dir, leaf) == -ENOTEMPTY)
		rc = -ENOTEMPTY;
	if (rc == -ENOTEMPTY || rc == -EEXIST) {
		say_not_empty(g, dir, leaf);
		return 1;
	}
	if (rc < 0 && rc != -ENOENT) {
		say_errno(SAY_ERROR_XFER, -rc, "delete_file: %s(%s%s%s) failed", op, dir, *dir ? "/" : "", leaf);
		return -1;
	}
	if (!top) {
		g->deletions++;
		announce(g, dir, leaf, mode);
	}
	return 0;
}

/* Empties a directory that is to go. > 0: something stays. All levels share the path: the stack would not hold one for each. */
static int remove_contents(struct gen *g, char path[PATH_LIMIT + 1], unsigned flags)
{
	size_t len = strlen(path);
	struct scan s;
	int kept = 0;

	if (g->walk) {
		if (filt_enter_dir(g->walk, path, &g->err) < 0) {
			gen_fail(g, RX_USAGE, "%s", "");
			return 1;
		}
		filt_ignore_perishable(g->walk, true);
	}
	if (scan_dir(g, path, &s) < 0) {
		if (g->walk)
			filt_ignore_perishable(g->walk, false);
		return 0;      /* rmdir will say what is wrong */
	}
	if (g->walk)
		filt_ignore_perishable(g->walk, false);
	kept = s.kept;
	for (size_t i = s.n; i-- > 0 && !gen_bad(g); ) {
		struct dent *e = &s.v[i];

		if (e->mount) {
			if (info_gte(g->o, INFO_MOUNT, 1))
				say(SAY_INFO, "cannot delete mount point: %s/%s", path, e->name);
			kept = 1;
			continue;
		}
		/* A directory that could not be emptied is tried all the same: that counts at the limit. */
		if (e->is_dir && len + 1 + e->len <= PATH_LIMIT) {
			make_writable(g, path, e->name);
			path[len] = '/';
			memcpy(path + len + 1, e->name, e->len + 1);
			kept |= remove_contents(g, path, flags);
			path[len] = 0;
		}
		if (delete_item(g, path, e->name, e->mode, (flags & ~(unsigned)DEL_RECURSE) | DEL_EMPTIED) != 0)
			kept = 1;
	}
	scan_free(&s);
	if (kept)
		say(SAY_INFO, "cannot delete non-empty directory: %s", path);
	return kept;
}

int delete_make_way(struct gen *g, struct gitem *it, const char *what)
{
	unsigned flags = DEL_MAKE_ROOM | (g->o->delete_mode || g->o->force ? DEL_RECURSE : 0);
	int rc;

	dirs_touched(g, it->parent);
	rc = delete_item(g, it->dir, it->leaf, it->st.st_mode, flags);
	/* Emptying it may have read rule files of its own. */
	g->cur_fdir = NULL;
	if (rc == 0)
		return 0;
	say(SAY_ERROR_XFER, "could not make way for new %s: %s", what, ENAME(it->e));
	/* As a link to another of its group it is tried once more. */
	if (!FENT_IS_DIR(it->e) && hlinked(g, it->e))
		hlink_later(g, it);
	return -1;
}

/* ---- --delete ---- */

bool delete_stopped(struct gen *g)
{
	if (!(atomic_load(&g->rx->io_error) & IOERR_GENERAL) || g->o->ignore_errors)
		return false;
	if (!g->io_error_told)
		say(SAY_INFO, "IO error encountered -- skipping file deletion");
	g->io_error_told = true;
	return true;
}

static bool known_device(struct gen *g, dev_t dev, bool learn)
{
	dev_t *p;

	for (size_t i = 0; i < g->ntop_devs; i++)
		if (g->top_devs[i] == dev)
			return true;
	if (learn && (p = mem_grow(g->rx->budget, g->top_devs, &g->top_devs_cap, g->ntop_devs + 1, sizeof *p))) {
		g->top_devs = p;
		p[g->ntop_devs++] = dev;
	}
	return learn;
}

static int doom(struct gen *g, const char *dir, const struct dent *e)
{
	struct doomed *p = mem_grow(g->rx->budget, g->doomed, &g->doomed_cap, g->ndoomed + 1, sizeof *p);
	char path[PATH_LIMIT + 1];

	if (path_join(path, dir, e->name) < 0)
		return 0;
	if (p)
		g->doomed = p;
	if (!p || !(p[g->ndoomed].path = arena_strndup(g->doom_arena, path, strlen(path))))
		return -1;
	p[g->ndoomed++].mode = e->mode;
	return 0;
}

/* raw: name of the directory as the list has it; dir: where it is. */
static bool is_listed(struct gen *g, struct glist *gl, const char *raw, const char *dir, const struct dent *e, bool pruned)
{
	char path[PATH_LIMIT + 1];
	uint32_t n;

	if (!flist_lookup(g->rx->set, gl->fl, raw, e->name))
		return false;
	if (!pruned || !e->is_dir || path_join(path, dir, e->name) < 0)
		return true;
	n = dirs_find(g, path);
	return n == NO_DIR || !(g->dirs[n].flags & GD_PRUNED);
}

static void delete_entries(struct gen *g, struct glist *gl, const char *raw, const char *dir, struct scan *s)
{
	for (size_t i = s->n; i-- > 0 && !gen_bad(g); ) {
		struct dent *e = &s->v[i];

		if (e->mount) {
			if (info_gte(g->o, INFO_MOUNT, 1))
				say(SAY_INFO, "cannot delete mount point: %s%s%s", dir, *dir ? "/" : "", e->name);
			continue;
		}
		if (is_listed(g, gl, raw, dir, e, g->o->prune_empty_dirs))
			continue;
		if (g->delete_when == DELETE_DELAY) {
			if (doom(g, dir, e) == 0)
				continue;
			say(SAY_WARNING, "NOTE: Unable to create delete-delay temp file%s",
			    g->rx->inc ? "." : " -- switching to --delete-after.");
			g->delete_when = g->rx->inc ? DELETE_NONE : DELETE_AFTER;
			return;
		}
		if (delete_item(g, dir, e->name, e->mode, DEL_RECURSE) == 0) {
			uint32_t n = dirs_find(g, dir);

			if (n != NO_DIR)
				dirs_touched(g, n);
		}
	}
}

void delete_in_dir(struct gen *g, struct glist *gl, const struct fent *e)
{
	char raw[PATH_LIMIT + 1], path[PATH_LIMIT + 1];
	struct stat st;
	struct scan s;
	const char *dir;

	if (!g->h.dest || delete_stopped(g) || path_join(raw, e->dir->s, strcmp(e->name, ".") == 0 ? "" : e->name) < 0)
		return;
	if (fent_path(e, path) == 0 || strcmp(path, ".") == 0)
		path[0] = 0;
	dir = path;
	if (g->walk && filt_enter_dir(g->walk, *raw ? raw : ".", &g->err) < 0) {
		gen_fail(g, RX_USAGE, "%s", "");
		return;
	}
	/* The rules of this directory are in force now, not those of the entries' own. */
	g->cur_fdir = NULL;
	if (g->o->one_fs) {
		if (sb_lstat(g->h.dest, dir, ".", &st) < 0 || !known_device(g, st.st_dev, e->flags & FENT_TOP_DIR))
			return;
	}
	if (scan_dir(g, dir, &s) < 0)
		return;
	delete_entries(g, gl, raw, dir, &s);
	scan_free(&s);
}

void delete_all_dirs(struct gen *g)
{
	struct glist *gl = g->first < g->nlists ? g->lists[g->first] : NULL;

	for (int32_t i = 0; gl && i < gl->fl->count && !gen_bad(g); i++) {
		const struct fent *e = gl->fl->walk[i];
		char path[PATH_LIMIT + 1];
		struct stat st;

		if (!e || (e->flags & FENT_CLEARED) || !FENT_IS_DIR(e) || !(e->flags & FENT_CONTENT) ||
		    (gl->fl->state[gl->index ? gl->index[i] : i] & ST_PRUNED))
			continue;
		if (fent_path(e, path) == 0 || strcmp(path, ".") == 0)
			path[0] = 0;
		if (!g->h.dest || sb_lstat(g->h.dest, path, ".", &st) < 0 || !S_ISDIR(st.st_mode))
			continue;
		delete_in_dir(g, gl, e);
		gen_poll(g);
	}
}

void delete_delayed(struct gen *g)
{
	char dir[PATH_LIMIT + 1];

	if (g->ndoomed && delete_stopped(g))
		return;
	for (size_t i = 0; i < g->ndoomed && !gen_bad(g); i++) {
		const char *path = g->doomed[i].path, *slash = strrchr(path, '/');
		size_t len = slash ? (size_t)(slash - path) : 0;
		uint32_t n;

		memcpy(dir, path, len);
		dir[len] = 0;
		if (delete_item(g, dir, slash ? slash + 1 : path, g->doomed[i].mode, DEL_RECURSE) != 0)
			continue;
		n = dirs_find(g, dir);
		if (n != NO_DIR)
			dirs_touched(g, n);
	}
}

void delete_note_limit(struct gen *g)
{
	if (!g->skipped_deletions)
		return;
	say(SAY_WARNING, "Deletions stopped due to --max-delete limit (%lld skipped)", (long long)g->skipped_deletions);
	atomic_fetch_or(&g->rx->io_error, IOERR_DEL_LIMIT);
}
