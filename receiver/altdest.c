/*
 * altdest.c - --compare-dest, --copy-dest, --link-dest (spec 08 §9).
 */
#include "config.h"
#include "receiver/dest.h"
#include "receiver/gen.h"
#include "receiver/xattrs.h"

#include <errno.h>
#include <sys/sysmacros.h>

bool alt_same_content(struct gen *g, const struct gitem *it, struct sb *sb, const struct stat *st, const char *target)
{
	const struct fent *e = it->e;
	char have[PATH_LIMIT + 1];

	if (FENT_IS_REG(e))
		return gen_quick_check(g, e, sb, it->dir, it->leaf, st);
	if (FENT_IS_LNK(e))
		return hands_readlink(&g->h, sb, it->dir, it->leaf, have, sizeof have) >= 0 && target && strcmp(have, target) == 0;
	if (FENT_IS_DEV(e))
		return e->ext && major(st->st_rdev) == e->ext->rdev_major && minor(st->st_rdev) == e->ext->rdev_minor;
	return true;
}

/* The first directory with the highest level. */
void alt_search(struct gen *g, const struct gitem *it, struct alt_hit *hit, const char *target)
{
	*hit = (struct alt_hit){ .dir = -1 };
	for (int i = 0; i < g->o->alt_count && hit->level < 3; i++) {
		struct target t = { g->h.alt[i], it->dir, it->leaf, -1, NULL };
		struct stat st;
		int level = 1;

		/* What is hidden is not to be had by asking for a copy. */
		if (dest_hides(g->rx, g->o->alt_dirs[i], it->dir, it->leaf, S_ISDIR(it->e->mode)))
			continue;
		if (!g->h.alt[i] || hands_lstat(&g->h, g->h.alt[i], it->dir, it->leaf, &st) < 0 || ((st.st_mode ^ it->e->mode) & S_IFMT))
			continue;
		if (alt_same_content(g, it, g->h.alt[i], &st, target))
			level = attrs_unchanged(&g->h, it->e, &st, &t) ? 3 : 2;
		if (level > hit->level)
			*hit = (struct alt_hit){ i, level, st };
	}
}

/* The item at the alternate place, hard-linked to D. */
static bool link_alt(struct gen *g, struct gitem *it, const struct alt_hit *hit)
{
	if (g->rx->dry)
		return true;
	/* The link may be refused (another file system, somebody else's file): that is no error, and it is tried before anything
	   makes way for it. */
	if (!it->exists)
		return sb_link(g->h.alt[hit->dir], it->dir, it->leaf, g->h.dest, it->dir, it->leaf) == 0;
	dirs_touched(g, it->parent);
	return gen_link_over(g, it, g->h.alt[hit->dir]) == 0;
}

static void copy_failed(struct gen *g, const struct gitem *it, const struct alt_hit *hit, int rc)
{
	if (info_gte(g->o, INFO_COPY, 1))
		say_errno(SAY_INFO, -rc, "copy_file %s => %s", ALT_NAME(g, hit->dir, it->dir, it->leaf), ENAME(it->e));
}

/* A copy of the alternate file, with the entry's attributes. False: it is transferred instead. */
static OWN_FRAME bool copy_alt(struct gen *g, struct gitem *it, const struct alt_hit *hit)
{
	_cleanup_close_ int from = -1;
	struct temp t = TEMP_INIT;
	struct target tg;
	struct stat st;
	int rc;

	if (g->rx->dry)
		return true;
	from = hands_open(&g->h, g->h.alt[hit->dir], it->dir, it->leaf, NULL);
	if (from < 0) {
		say_errno(SAY_ERROR_XFER, -from, "open %s", ALT_NAME(g, hit->dir, it->dir, it->leaf));
		copy_failed(g, it, hit, from);
		return false;
	}
	rc = temp_create(&g->h, &t, it->dir, it->leaf, it->mode & 0700);
	if (rc < 0) {
		say_errno(SAY_ERROR_XFER, -rc, "mkstemp %s failed", temp_full(g->rx, &t, (char[NAME_TEXT]){ 0 }));
		return false;
	}
	rc = copy_data(&g->h, from, t.fd);
	if (rc == 0)
		rc = sbf_stat(t.fd, &st);
	if (rc == 0) {
		tg = (struct target){ g->h.dest, it->dir, it->leaf, t.fd, NULL };
		if (g->o->xattrs)
			xa_copy(&g->h, &(struct target){ g->h.alt[hit->dir], it->dir, it->leaf, from, NULL }, &tg);
		attrs_apply(&g->h, &tg, it->e, it->mode, &st, ATTRS_EXACT);
		rc = temp_place(&g->h, &t, it->dir, it->leaf, it->e, it->mode);
	} else {
		copy_failed(g, it, hit, rc);
	}
	temp_drop(&t);
	dirs_touched(g, it->parent);
	return rc == 0;
}

/* What differs from the exact match goes away. False: it cannot, and is updated instead. */
static bool exact_file(struct gen *g, struct gitem *it)
{
	int rc = 0;

	if (!it->exists || g->rx->dry)
		return true;
	if (g->o->backup)
		delete_item(g, it->dir, it->leaf, it->st.st_mode, DEL_MAKE_ROOM);
	else
		rc = sb_unlink(g->h.dest, it->dir, it->leaf);
	dirs_touched(g, it->parent);
	return rc == 0 || rc == -ENOENT;
}

/* Nothing is made of it, so others of its hard-link group cannot be linked to it, but it to them. */
static void exact_match(struct gen *g, struct gitem *it, const struct alt_hit *hit)
{
	it->seen = g->h.alt[hit->dir];
	gen_itemize(g, it, true, &hit->st, GEN_MATCHED, NULL);
	if (g->o->remove_source == 1 && FENT_IS_REG(it->e))
		gen_success(g, it);
	if (hlinked(g, it->e))
		hlink_later(g, it);
	walk_skipped(g, it);
}

bool alt_file(struct gen *g, struct gitem *it, struct alt_hit *hit)
{
	alt_search(g, it, hit, NULL);
	if (hit->dir < 0)
		return false;
	if (hit->level == 3 && g->o->alt_dest == ALT_COMPARE) {
		if (!exact_file(g, it)) {
			hit->dir = -1;
			return false;
		}
		exact_match(g, it, hit);
		return true;
	}
	if (hit->level == 3 && g->o->alt_dest == ALT_LINK) {
		if (it->exists && it->st.st_dev == hit->st.st_dev && it->st.st_ino == hit->st.st_ino) {
			hit->dir = -1;
			return false;
		}
		if (link_alt(g, it, hit)) {
			dirs_touched(g, it->parent);
			it->seen = g->h.alt[hit->dir];
			gen_itemize(g, it, true, &hit->st, ITEM_LOCAL_CHANGE | GEN_MATCHED, "");
			g->hl_would = g->rx->dry ? &hit->st : NULL;
			walk_finished(g, it, false);
			g->hl_would = NULL;
			return true;
		}
	}
	if (it->exists) {
		hit->dir = -1;
		return false;
	}
	if (hit->level < 2)
		return false;
	if (!copy_alt(g, it, hit)) {
		hit->dir = -1;
		return false;
	}
	it->seen = g->h.alt[hit->dir];
	gen_itemize(g, it, true, &hit->st, ITEM_LOCAL_CHANGE, NULL);
	walk_finished(g, it, true);
	return true;
}

bool alt_other(struct gen *g, struct gitem *it, struct alt_hit *hit, const char *target)
{
	alt_search(g, it, hit, target);
	if (hit->dir < 0 || hit->level < 3 || FENT_IS_DIR(it->e))
		return false;
	if (g->o->alt_dest == ALT_COMPARE) {
		exact_match(g, it, hit);
		return true;
	}
	if (g->o->alt_dest == ALT_LINK && link_alt(g, it, hit)) {
		dirs_touched(g, it->parent);
		it->seen = g->h.alt[hit->dir];
		gen_itemize(g, it, true, &hit->st, ITEM_LOCAL_CHANGE | GEN_MATCHED, "");
		/* The source stays: only files count as sent. */
		if (hlinked(g, it->e))
			hlink_finished(g, it->ndx);
		return true;
	}
	return false;
}
