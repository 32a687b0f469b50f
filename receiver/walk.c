/*
 * walk.c - goes through a list and decides, in the order of spec 08 §2, what happens to each entry.
 */
#include "config.h"
#include "receiver/dest.h"
#include "receiver/gen.h"

#include <errno.h>

void walk_skipped(struct gen *g, const struct gitem *it)
{
	if (hlinked(g, it->e))
		hlink_failed(g, it->ndx);
}

void walk_finished(struct gen *g, struct gitem *it, bool made)
{
	if (g->o->remove_source == 1 || (g->o->remove_source && made))
		gen_success(g, it);
	if (hlinked(g, it->e))
		hlink_finished(g, it->ndx);
}

/* ---- directories ---- */

/* A directory whose entry is not applied (--no-implied-dirs) must be there all the same. */
static void make_implied(struct gen *g, uint32_t n, const char *path)
{
	struct stat st;
	int rc = g->h.dest ? sb_lstat(g->h.dest, path, ".", &st) : -ENOENT;

	if (rc == -ENOENT && !g->rx->dry) {
		rc = sb_mkdirs(g->h.dest, path, 0777);
		if (rc >= 0)
			g->dirs[n].flags |= GD_NEW;
	}
	if (rc < 0) {
		g->dirs[n].flags |= GD_MISSING;
		if (!g->rx->dry)
			say_errno(SAY_ERROR_XFER, -rc, "recv_generator: mkdir %s failed", FULL(g->rx, path, ""));
	}
	g->dirs[n].flags |= GD_DONE;
}

static void enter_unknown(struct gen *g, const struct fent *e, const char *path, uint32_t *n)
{
	if (!g->rx->inc && !(e->flags & FENT_MISSING)) {
		gen_fail(g, RX_PROTOCOL, "ABORTING due to invalid path from sender: %s/%s", path, e->name);
		return;
	}
	*n = dirs_add_path(g, path, GD_LISTED | GD_DONE);
}

bool walk_enter(struct gen *g, const struct fent *e)
{
	if (e->dir != g->cur_fdir) {
		const char *path = fdir_rel(e->dir);
		uint32_t n = g->rx->single[0] ? 0 : dirs_find(g, path);

		if (n == NO_DIR || (n && !(g->dirs[n].flags & GD_LISTED)))
			enter_unknown(g, e, path, &n);
		if (gen_bad(g))
			return false;
		g->cur_fdir = e->dir;
		g->cur = n;
		if (g->o->relative && !g->o->implied_dirs && n && !(g->dirs[n].flags & GD_DONE))
			make_implied(g, n, path);
		if (g->walk && filt_enter_dir(g->walk, e->dir->s, &g->err) < 0)
			gen_fail(g, RX_USAGE, "%s", "");
	}
	return !(g->dirs[g->cur].flags & GD_SKIP) && !gen_bad(g);
}

/* ---- looking ---- */

/* A name that runs through a link to what the module's rules hide. */
static OWN_FRAME bool linked_to_hidden(struct gen *g, const char *name, bool is_dir)
{
	const char *slash = strrchr(name, '/');
	char dir[PATH_LIMIT + 1];

	memcpy(dir, name, slash ? (size_t)(slash - name) : 0);
	dir[slash ? slash - name : 0] = '\0';
	return dest_hides(g->rx, "", dir, slash ? slash + 1 : name, is_dir);
}

static bool hidden_by_daemon(struct gen *g, struct gitem *it)
{
	bool is_dir = FENT_IS_DIR(it->e);
	char name[PATH_LIMIT + 1];

	if (!g->walk || !filt_walk_active(g->walk, FILT_DAEMON))
		return false;
	if (g->rx->single[0])
		memcpy(name, g->rx->single, strlen(g->rx->single) + 1);
	else
		fent_path(it->e, name);
	if (!filt_daemon_excluded(g->walk, name, is_dir) && !(dest_follows(g->rx) && linked_to_hidden(g, name, is_dir)))
		return false;
	say(SAY_ERROR_XFER, "ERROR: daemon refused to receive %s \"%s\"", is_dir ? "directory" : "file", name);
	if (is_dir) {
		say(SAY_ERROR_XFER, "*** Skipping any contents from this failed directory ***");
		dirs_add(g, it->e, GD_SKIP);
	}
	return true;
}

/* Such a link stays one, whatever -K says. */
static OWN_FRAME bool leads_to_hidden(struct gen *g, const struct gitem *it)
{
	char dir[PATH_LIMIT + 1], leaf[SB_NAME_MAX + 1];

	return sb_resolve_in_root(g->h.dest, it->dir, it->leaf, dir, leaf) == 0 && dest_hides(g->rx, "", dir, leaf, true);
}

static int look(struct gen *g, struct gitem *it)
{
	unsigned flags = g->dirs[it->parent].flags;
	int rc;

	it->exists = false;
	/* What we made ourselves a moment ago holds nothing that we did not put there. */
	if (!g->h.dest || (flags & GD_MISSING) || ((flags & GD_NEW) && it->first_visit && strcmp(it->leaf, ".") != 0))
		return -ENOENT;
	rc = hands_lstat(&g->h, g->h.dest, it->dir, it->leaf, &it->st);
	if (rc == -EBADMSG)
		gen_fail(g, RX_FILEIO, "%s", "");
	if (rc == 0 && FENT_IS_DIR(it->e) && g->o->keep_dirlinks && S_ISLNK(it->st.st_mode)) {
		struct stat st;

		rc = sb_stat_follow(g->h.dest, it->dir, it->leaf, &st);
		if (rc == 0 && S_ISDIR(st.st_mode) && g->rx->x->daemon_filter && leads_to_hidden(g, it))
			rc = 0;
		else if (rc == 0 && S_ISDIR(st.st_mode))
			it->st = st;
		else if (rc == -ENOENT || rc == 0)
			rc = 0;
	}
	it->exists = rc == 0;
	return rc;
}

bool walk_look(struct gen *g, struct gitem *it)
{
	int rc;

	if (!walk_enter(g, it->e)) {
		if (FENT_IS_DIR(it->e) && !gen_bad(g))
			dirs_add(g, it->e, GD_SKIP);
		walk_skipped(g, it);
		return false;
	}
	if (hidden_by_daemon(g, it)) {
		walk_skipped(g, it);
		return false;
	}
	it->dir = rx_dir(g->rx, it->e);
	it->leaf = rx_leaf(g->rx, it->e);
	it->parent = g->cur;
	rc = look(g, it);
	it->err = -rc;
	/* What cannot be seen may be made all the same, or making it tells why not; a file is never replaced unseen. */
	if (rc < 0 && rc != -ENOENT && rc != -ENOTDIR && (rc != -EACCES || FENT_IS_REG(it->e))) {
		say_errno(SAY_ERROR_XFER, -rc, "recv_generator: failed to stat %s", FULL(g->rx, it->dir, it->leaf));
		if (FENT_IS_DIR(it->e))
			dirs_add(g, it->e, GD_SKIP);
		walk_skipped(g, it);
		return false;
	}
	if (!FENT_IS_DIR(it->e)) {
		/* A node keeps the permissions of whatever it replaces. */
		bool same = it->exists && (FENT_IS_REG(it->e) ? S_ISREG(it->st.st_mode) : !S_ISDIR(it->st.st_mode));

		it->mode = attrs_mode(g->rx, it->e, same ? &it->st : NULL,
				      g->o->perms || same ? 0777 : dirs_dflt(g, it->parent));
	}
	return true;
}

/* ---- entries ---- */

static void say_exists(struct gen *g, const struct gitem *it)
{
	char target[PATH_LIMIT + 1];
	const char *why = "";

	if (!info_gte(g->o, INFO_SKIP, 1))
		return;
	if (info_gte(g->o, INFO_SKIP, 2)) {
		if ((it->st.st_mode ^ it->e->mode) & S_IFMT)
			why = " (type change)";
		else if (!alt_same_content(g, it, g->h.dest, &it->st, FENT_IS_LNK(it->e) ? gen_target(g, it->e, target) : NULL))
			why = g->o->checksum ? " (sum change)" : " (file change)";
		else
			why = attrs_unchanged(&g->h, it->e, &it->st, &(struct target){ g->h.dest, it->dir, it->leaf, -1, NULL }) ? " (uptodate)" : " (attr change)";
	}
	say(SAY_INFO, "%s exists%s", ENAME(it->e), why);
}

/* --existing and --ignore-existing. True: the entry ends here. */
static bool ruled_out(struct gen *g, struct gitem *it)
{
	bool is_dir = FENT_IS_DIR(it->e);

	if (g->o->existing && !it->exists && it->err == ENOENT) {
		if (is_dir)
			dirs_add(g, it->e, GD_SKIP);
		if (info_gte(g->o, INFO_SKIP, 1))
			say(SAY_INFO, "not creating new %s \"%s\"", is_dir ? "directory" : "file", ENAME(it->e));
		return true;
	}
	if (g->o->ignore_existing && it->exists && !(is_dir && S_ISDIR(it->st.st_mode))) {
		say_exists(g, it);
		/* Each thing in it will find that there is no directory. */
		if (is_dir)
			dirs_add(g, it->e, g->rx->dry ? GD_MISSING : 0);
		return true;
	}
	return false;
}

static bool makes_node(const struct gen *g, const struct fent *e)
{
	if (g->o->drop_devices || (FENT_IS_DEV(e) ? g->o->devices_refused : g->o->specials_refused))
		return false;
	if (FENT_IS_DEV(e) && g->rx->fake)
		return g->o->devices;
	/* Who insists on it may fail at it. */
	if (FENT_IS_DEV(e) && !g->rx->x->broker && g->o->super == 1 && !g->rx->x->module)
		return g->o->devices;
	if (FENT_IS_DEV(e))
		/* A module without the super-user's ids may have nodes too, if it lists them: they belong to its user. */
		return g->o->devices && g->o->devices_allowed && g->rx->x->broker &&
			(g->rx->super || (g->o->super < 0 && !g->o->super_allowed));
	return FENT_IS_SPECIAL(e) && g->o->specials;
}

/* --delete-missing-args: the argument is gone at the source. */
static void missing_arg(struct gen *g, struct gitem *it)
{
	const struct fent *e = it->e;
	struct stat st;

	if (!walk_enter(g, e) || !g->h.dest || (g->dirs[g->cur].flags & GD_MISSING))
		return;
	if (sb_lstat(g->h.dest, rx_dir(g->rx, e), rx_leaf(g->rx, e), &st) < 0)
		return;
	if (filt_user_excluded(g->walk, ENAME(e), S_ISDIR(st.st_mode)))
		return;
	delete_item(g, rx_dir(g->rx, e), rx_leaf(g->rx, e), st.st_mode,
		    g->o->delete_mode || g->o->force ? DEL_RECURSE : 0);
	dirs_touched(g, g->cur);
}

static void walk_entry(struct gen *g, struct gitem *it)
{
	const struct fent *e = it->e;

	if (g->o->list_only) {
		list_entry(g, e);
		return;
	}
	if (e->flags & FENT_MISSING) {
		missing_arg(g, it);
		return;
	}
	it->first_visit = true;
	if (!walk_look(g, it))
		return;
	if (ruled_out(g, it)) {
		walk_skipped(g, it);
		return;
	}
	if (FENT_IS_DIR(e)) {
		gen_dir(g, it);
		return;
	}
	it->hl_last = true;
	if (hlinked(g, e) && hlink_check(g, it))
		return;
	if (FENT_IS_LNK(e) && g->o->links) {
		gen_symlink(g, it);
	} else if (makes_node(g, e)) {
		gen_node(g, it);
	} else if (FENT_IS_REG(e)) {
		gen_file(g, it);
	} else {
		if (FENT_IS_DEV(e) && (!g->o->devices_allowed || g->o->devices_refused))
			gen_audit_refusal(g, e);
		if (info_gte(g->o, INFO_NONREG, 1))
			say(SAY_INFO, "skipping non-regular file \"%s\"", ENAME(e));
		walk_skipped(g, it);
	}
}

static bool is_root(const struct fent *e)
{
	return FENT_IS_DIR(e) && e->name[0] == '.' && !e->name[1];
}

/* The directory that a list describes has its turn before the list's entries. */
static void walk_parent(struct gen *g, struct glist *gl)
{
	struct gitem it = { .gl = gl, .e = gl->fl->parent, .ndx = gl->fl->ndx_start - 1 };
	char path[PATH_LIMIT + 1];

	if (!it.e || it.e->flags & FENT_CLEARED)
		return;
	if (g->o->list_only)
		list_entry(g, it.e);
	else if (walk_look(g, &it) && !ruled_out(g, &it))
		gen_dir(g, &it);
	gl->dir = is_root(it.e) ? 0 : dirs_find(g, fent_path(it.e, path) ? path : "");
	if (gl->dir == NO_DIR)
		gl->dir = dirs_add(g, it.e, GD_SKIP);
}

void walk_list(struct gen *g, struct glist *gl)
{
	const struct flist *fl = gl->fl;

	g->cur_fdir = NULL;
	if (g->rx->inc)
		walk_parent(g, gl);
	for (int32_t i = 0; i < fl->count && !gen_bad(g); i++) {
		struct gitem it = { .gl = gl, .e = fl->walk[i] };
		int32_t at = gl->index ? gl->index[i] : i;

		gen_poll(g);
		if (!it.e || (it.e->flags & FENT_CLEARED) || (fl->state[at] & ST_PRUNED))
			continue;
		it.ndx = fl->ndx_start + at;
		if (g->rx->inc && FENT_IS_DIR(it.e)) {
			if (!is_root(it.e) && !g->o->list_only)
				gen_dir_early(g, &it);
			continue;
		}
		walk_entry(g, &it);
	}
}

/* ---- --prune-empty-dirs ---- */

static void keep_parent(struct gen *g, const struct fent *e, const struct fdir **last)
{
	if (e->dir == *last)
		return;
	*last = e->dir;
	dirs_add_path(g, fdir_rel(e->dir), GD_KEEP);
}

/* From the end to the beginning: a directory comes after everything in it. */
void walk_prune(struct gen *g, struct glist *gl)
{
	const struct flist *fl = gl->fl;
	const struct fdir *last = NULL;
	char path[PATH_LIMIT + 1];

	if (!g->o->prune_empty_dirs || g->rx->inc)
		return;
	for (int32_t i = fl->count - 1; i >= 0 && !gen_bad(g); i--) {
		const struct fent *e = fl->walk[i];
		uint32_t n;

		if (!e || (e->flags & FENT_CLEARED) || is_root(e))
			continue;
		if (FENT_IS_DIR(e)) {
			fent_path(e, path);
			n = dirs_find(g, path);
			if (n == NO_DIR || !(g->dirs[n].flags & GD_KEEP)) {
				if (!g->walk || (filt_enter_dir(g->walk, e->dir->s, &g->err) < 0) ||
				    !filt_excluded(g->walk, path, true)) {
					fl->state[gl->index ? gl->index[i] : i] |= ST_PRUNED;
					dirs_add_path(g, path, GD_PRUNED);
					continue;
				}
			}
		}
		keep_parent(g, e, &last);
	}
}
