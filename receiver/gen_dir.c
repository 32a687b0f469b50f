/*
 * gen_dir.c - directories (spec 08 §5).
 */
#include "config.h"
#include "receiver/gen.h"

#include <errno.h>

#include "receiver/xattrs.h"
#include "transfer/fake_super.h"

/* Ahead of its own list: only so that its parent's time can be set in peace. */
void gen_dir_early(struct gen *g, struct gitem *it)
{
	const struct fent *e = it->e;

	if (!g->rx->dir_times || g->rx->dry || (e->flags & FENT_MISSING) || (g->o->existing) ||
	    ((e->flags & FENT_IMPLIED) && !g->o->implied_dirs))
		return;
	it->first_visit = true;
	if (!walk_enter(g, e) || !g->h.dest)
		return;
	if (g->walk && filt_daemon_excluded(g->walk, ENAME(e), true))
		return;
	it->dir = rx_dir(g->rx, e);
	it->leaf = rx_leaf(g->rx, e);
	it->parent = g->cur;
	if (!(g->dirs[g->cur].flags & GD_NEW) && sb_lstat(g->h.dest, it->dir, it->leaf, &it->st) != -ENOENT)
		return;
	if (sb_mkdir(g->h.dest, it->dir, it->leaf, e->mode & 0700) == 0) {
		dirs_add(g, e, GD_NEW | GD_EARLY);
		dirs_touched(g, g->cur);
	}
}

static int failed(struct gen *g, struct gitem *it)
{
	say(SAY_ERROR_XFER, "*** Skipping any contents from this failed directory ***");
	dirs_add(g, it->e, GD_SKIP);
	return -1;
}

static int make(struct gen *g, struct gitem *it)
{
	mode_t mode = g->rx->fake ? fake_disk_mode(it->mode, true) : it->mode & 0777;
	int rc = sb_mkdir(g->h.dest, it->dir, it->leaf, mode);

	if (rc == -ENOENT && g->o->relative && *it->dir && sb_mkdirs(g->h.dest, it->dir, 0777) >= 0)
		rc = sb_mkdir(g->h.dest, it->dir, it->leaf, mode);
	if (rc < 0 && rc != -EEXIST) {
		say_errno(SAY_ERROR_XFER, -rc, "recv_generator: mkdir %s failed", FULL(g->rx, it->dir, it->leaf));
		return -1;
	}
	dirs_touched(g, it->parent);
	return hands_lstat(&g->h, g->h.dest, it->dir, it->leaf, &it->st);
}

static OWN_FRAME void not_ours(struct gen *g, const struct gitem *it)
{
	say_errno(SAY_ERROR_XFER, EPERM, "failed to modify permissions on %s", FULL(g->rx, it->dir, it->leaf));
}

/* Owner, permissions and, of one that was there before, times. Loosens what would lock ourselves out. True: it changed. */
static bool set_attrs(struct gen *g, struct gitem *it, uint32_t n, bool fresh)
{
	struct target t = { g->h.dest, it->dir, it->leaf, -1, NULL };
	mode_t mode = it->mode;
	bool later = fresh && !g->rx->single[0], locked, ours = it->st.st_uid == g->rx->euid;
	int rc;

	if (!g->o->perms)
		mode |= it->st.st_mode & S_ISGID;
	locked = !g->rx->super && !g->rx->fake && (mode & 0700) != 0700 && !g->rx->single[0];
	if (locked && ours) {
		g->dirs[n].flags |= GD_MODE;
		g->dirs[n].mode = (uint16_t)mode;
		mode |= 0700;
	}
	rc = attrs_apply(&g->h, &t, it->e, mode, &it->st, later ? ATTRS_NO_MTIME : 0);
	if (rc < 0)
		g->dirs[n].flags &= (uint16_t)~GD_MODE;
	if (locked && !ours && g->o->perms)
		not_ours(g, it);
	if (later)
		dirs_touched(g, n);
	return rc > 0 || (later && g->rx->dir_times);
}

int gen_dir(struct gen *g, struct gitem *it)
{
	const struct fent *e = it->e;
	char path[PATH_LIMIT + 1];
	uint32_t n;
	bool fresh;
	struct alt_hit hit = { .dir = -1 };

	if ((e->flags & FENT_IMPLIED) && !g->o->implied_dirs) {
		dirs_add(g, e, it->exists || !g->rx->dry ? 0 : GD_MISSING);
		return 0;
	}
	if (it->exists && !S_ISDIR(it->st.st_mode)) {
		if (delete_make_way(g, it, "directory") < 0)
			return failed(g, it);
		it->exists = false;
	}
	fent_path(e, path);
	n = dirs_find(g, strcmp(path, ".") == 0 ? "" : path);
	fresh = !it->exists || (n != NO_DIR && (g->dirs[n].flags & GD_EARLY)) ||
		(n == 0 && !g->rx->single[0] && (g->dirs[0].flags & GD_NEW));
	it->mode = attrs_mode(g->rx, e, fresh ? NULL : &it->st, g->o->perms || !fresh ? 0777 : dirs_dflt(g, it->parent));
	if (fresh && g->o->alt_dest) {
		if (!alt_other(g, it, &hit, NULL)) {
			it->seen = hit.dir >= 0 ? g->h.alt[hit.dir] : NULL;
			gen_itemize(g, it, hit.dir >= 0, &hit.st, ITEM_LOCAL_CHANGE | (hit.level == 3 ? GEN_MATCHED : 0),
				    NULL);
		}
	} else {
		gen_itemize(g, it, !fresh, &it->st, fresh ? ITEM_LOCAL_CHANGE : 0, NULL);
	}
	if (g->rx->dry) {
		dirs_add(g, e, GD_DONE | (it->exists ? 0u : (unsigned)(GD_MISSING | GD_NEW)));
	} else {
		bool made = !it->exists;

		if (made && make(g, it) < 0)
			return failed(g, it);
		if (hit.dir >= 0 && g->o->xattrs)
			xa_copy(&g->h, &(struct target){ g->h.alt[hit.dir], it->dir, it->leaf, -1, NULL },
				&(struct target){ g->h.dest, it->dir, it->leaf, -1, NULL });
		n = dirs_add(g, e, GD_DONE | (fresh && !g->rx->single[0] ? GD_NEW : 0u));
		if (set_attrs(g, it, n, fresh) && tells_old_peer(g))
			say(SAY_INFO, "%s/", ENAME(e));
	}
	if (gen_bad(g))
		return -1;
	if ((e->flags & FENT_CONTENT) && (g->delete_when == DELETE_DURING || g->delete_when == DELETE_DELAY)) {
		if (!fresh)
			delete_in_dir(g, it->gl, e);
		else if (!g->rx->dry)
			delete_stopped(g);
	}
	return 0;
}
