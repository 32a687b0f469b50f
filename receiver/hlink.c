/*
 * hlink.c - hard-link groups (spec 08 §13): one member is brought about, the others are linked to it.
 */
#include "config.h"
#include "receiver/gen.h"

enum hg_state { HG_OPEN, HG_PENDING, HG_DONE };

struct hgroup {
	struct hgroup *next;
	int32_t key;
	enum hg_state state;
	int32_t last;                  /* last member known, in walk order */
	int32_t pending;               /* the member that was requested */
	int32_t *wait;                 /* members that wait, in the order of their visits */
	size_t nwait, wait_cap;
	int32_t *later;                /* not made, as they are elsewhere (--compare-dest) or something is in the way */
	size_t nlater, later_cap;
	/* HG_DONE */
	const char *dir, *leaf, *name;
	mode_t type;
	dev_t dev;
	ino_t ino;
};

static struct hgroup **find(struct gen *g, int32_t key)
{
	struct hgroup **p = &g->hgroups[((uint32_t)key * 2654435761u) & (g->hg_cap - 1)];

	while (*p && (*p)->key != key)
		p = &(*p)->next;
	return p;
}

static int grow(struct gen *g)
{
	size_t cap = MAX(g->hg_cap * 2, (size_t)64), old_cap = g->hg_cap;
	struct hgroup **t = mem_zalloc(g->rx->budget, cap, sizeof *t), **old = g->hgroups;

	if (!t)
		return -1;
	g->hgroups = t;
	g->hg_cap = cap;
	for (size_t i = 0; i < old_cap; i++) {
		struct hgroup *h = old[i], *next;

		for (; h; h = next) {
			struct hgroup **p = find(g, h->key);

			next = h->next;
			h->next = NULL;
			*p = h;
		}
	}
	mem_free(g->rx->budget, old);
	return 0;
}

static struct hgroup *group_of(struct gen *g, const struct fent *e)
{
	struct hgroup **p;

	if (g->hg_count >= g->hg_cap && grow(g) < 0)
		goto out;
	p = find(g, e->ext->hl_group);
	if (*p)
		return *p;
	*p = arena_alloc(g->arena, sizeof **p, 16);
	if (!*p)
		goto out;
	**p = (struct hgroup){ .key = e->ext->hl_group, .last = -1, .pending = -1 };
	g->hg_count++;
	return *p;
out:
	gen_fail(g, RX_MALLOC, "out of memory for hard links");
	return NULL;
}

void hlink_collect(struct gen *g, struct glist *gl)
{
	for (int32_t i = 0; i < gl->fl->count; i++) {
		const struct fent *e = gl->fl->walk[i];
		struct hgroup *h;

		if (!e || (e->flags & (FENT_CLEARED | FENT_MISSING)) || FENT_IS_DIR(e) || !hlinked(g, e))
			continue;
		h = group_of(g, e);
		if (!h)
			return;
		h->last = gl->fl->ndx_start + (gl->index ? gl->index[i] : i);
	}
}

static void wait_for_leader(struct gen *g, struct hgroup *h, struct gitem *it)
{
	int32_t *p = mem_grow(g->rx->budget, h->wait, &h->wait_cap, h->nwait + 1, sizeof *p);
	uint8_t *st = &it->gl->fl->state[it->ndx - it->gl->fl->ndx_start];

	if (!p) {
		gen_fail(g, RX_MALLOC, "out of memory for hard links");
		return;
	}
	h->wait = p;
	p[h->nwait++] = it->ndx;
	*st |= ST_HL_WAIT;
	it->gl->pending++;
}

void hlink_wait(struct gen *g, struct gitem *it)
{
	struct hgroup *h = group_of(g, it->e);

	if (h)
		wait_for_leader(g, h, it);
}

void hlink_later(struct gen *g, const struct gitem *it)
{
	struct hgroup *h = group_of(g, it->e);
	int32_t *p;

	if (h && h->state == HG_DONE)
		return;
	p = h ? mem_grow(g->rx->budget, h->later, &h->later_cap, h->nlater + 1, sizeof *p) : NULL;
	if (!p) {
		gen_fail(g, RX_MALLOC, "out of memory for hard links");
		return;
	}
	h->later = p;
	p[h->nlater++] = it->ndx;
}

void hlink_requested(struct gen *g, struct gitem *it)
{
	struct hgroup *h = group_of(g, it->e);

	if (!h || h->state == HG_DONE)
		return;
	h->state = HG_PENDING;
	h->pending = it->ndx;
}

/* ---- linking ---- */

/* A follower that is not there is told apart from what the alternate places have of it: with --link-dest only the
   leader itself counts. */
static bool compares_alt(struct gen *g, const struct gitem *it, const struct hgroup *h, struct alt_hit *hit)
{
	char buf[PATH_LIMIT + 1];

	if (it->exists || !g->o->alt_dest || (g->o->alt_dest != ALT_LINK && !FENT_IS_REG(it->e)))
		return false;
	alt_search(g, it, hit, FENT_IS_LNK(it->e) ? gen_target(g, it->e, buf) : NULL);
	if (hit->dir < 0)
		return false;
	if (g->o->alt_dest == ALT_LINK)
		return h->ino && hit->st.st_dev == h->dev && hit->st.st_ino == h->ino;
	return hit->level >= 2;
}

/* hit: what the alternate places have of it, NULL if it does not matter. */
static void link_to_leader(struct gen *g, struct gitem *it, const struct hgroup *h, const struct alt_hit *hit)
{
	bool same = hit || it->exists;       /* as it was found, of whatever type */
	bool told = !hit || g->o->alt_dest != ALT_LINK || info_gte(g->o, INFO_NAME, 2) || g->o->out_itemize_all;
	struct stat old = hit ? hit->st : it->st;

	if (hit)
		it->seen = g->h.alt[hit->dir];
	if (it->exists && h->ino && it->st.st_dev == h->dev && it->st.st_ino == h->ino) {
		gen_itemize(g, it, true, &it->st, ITEM_LOCAL_CHANGE, "");
		gen_tell_same(g, it->e, false);
		if (g->o->remove_source == 1)
			gen_success(g, it);
		return;
	}
	if (gen_make(g, it, NODE_HARDLINK, h->name, g->h.dest, h->dir, h->leaf) < 0)
		return;
	if (told)
		gen_itemize(g, it, same, &old, ITEM_LOCAL_CHANGE, h->name);
	if (tells_old_peer(g))
		say(SAY_INFO, "%s => %s", ENAME(it->e), h->name);
	if (g->o->remove_source == 1)
		gen_success(g, it);
}

bool hlink_check(struct gen *g, struct gitem *it)
{
	struct hgroup *h = group_of(g, it->e);
	struct alt_hit hit;

	if (!h)
		return true;
	switch (h->state) {
	case HG_DONE:
		/* A group of mixed types is a lie; each member then stands for itself. */
		if (h->type != (it->e->mode & S_IFMT))
			return false;
		link_to_leader(g, it, h, compares_alt(g, it, h, &hit) ? &hit : NULL);
		return true;
	case HG_PENDING:
		if (!FENT_IS_REG(it->e))
			return false;
		wait_for_leader(g, h, it);
		return true;
	default:
		it->hl_last = !FENT_IS_REG(it->e) || h->last == it->ndx;
		return false;
	}
}

/* Takes a waiting member off the list of its flist. */
static bool unwait(struct gen *g, int32_t ndx, struct gitem *it)
{
	uint8_t *st;

	*it = (struct gitem){ .ndx = ndx };
	it->e = gen_entry_of(g, ndx, &it->gl);
	if (!it->e)
		return false;
	st = &it->gl->fl->state[ndx - it->gl->fl->ndx_start];
	if (!(*st & ST_HL_WAIT))
		return false;
	*st &= (uint8_t)~ST_HL_WAIT;
	it->gl->pending--;
	return true;
}

static void free_members(struct gen *g, struct hgroup *h)
{
	mem_free(g->rx->budget, h->wait);
	mem_free(g->rx->budget, h->later);
	h->wait = h->later = NULL;
	h->nwait = h->wait_cap = h->nlater = h->later_cap = 0;
}

void hlink_finished(struct gen *g, int32_t ndx)
{
	char path[PATH_LIMIT + 1];
	struct gitem it;
	struct glist *gl;
	const struct fent *e = gen_entry_of(g, ndx, &gl);
	struct hgroup *h = e ? group_of(g, e) : NULL;
	const char *dir, *leaf;
	struct stat st;

	if (!h || h->state == HG_DONE)
		return;
	dir = rx_dir(g->rx, e);
	leaf = rx_leaf(g->rx, e);
	fent_path(e, path);
	h->dir = arena_strndup(g->arena, dir, strlen(dir));
	h->leaf = arena_strndup(g->arena, leaf, strlen(leaf));
	h->name = arena_strndup(g->arena, path, strlen(path));
	if (!h->dir || !h->leaf || !h->name) {
		gen_fail(g, RX_MALLOC, "out of memory for hard links");
		return;
	}
	h->type = e->mode & S_IFMT;
	if (g->hl_would)
		st = *g->hl_would;
	if (g->hl_would || (g->h.dest && sb_lstat(g->h.dest, dir, leaf, &st) == 0)) {
		h->dev = st.st_dev;
		h->ino = st.st_ino;
	}
	h->state = HG_DONE;
	while (h->nwait && !gen_bad(g)) {
		if (unwait(g, h->wait[--h->nwait], &it) && walk_look(g, &it))
			link_to_leader(g, &it, h, NULL);
	}
	while (h->nlater && !gen_bad(g)) {
		it = (struct gitem){ .ndx = h->later[--h->nlater] };
		it.e = gen_entry_of(g, it.ndx, &it.gl);
		if (it.e && walk_look(g, &it))
			link_to_leader(g, &it, h, NULL);
	}
	g->cur_fdir = NULL;
	free_members(g, h);
}

void hlink_failed(struct gen *g, int32_t ndx)
{
	struct glist *gl;
	const struct fent *e = gen_entry_of(g, ndx, &gl);
	struct hgroup *h = e ? group_of(g, e) : NULL;
	struct gitem it;

	if (!h || h->state == HG_DONE || (h->state == HG_PENDING && h->pending != ndx))
		return;
	if (h->state == HG_OPEN && h->last != ndx)
		return;
	h->state = HG_OPEN;
	if (g->hl_failing)
		return;
	/* The latest of those that wait takes over; if it fails as well, it comes back here, and the next one has its turn.
	   Too late, all fail with it. */
	g->hl_failing = true;
	while (h->nwait && h->state == HG_OPEN && !gen_bad(g)) {
		if (!unwait(g, h->wait[--h->nwait], &it) || g->closed)
			continue;
		h->last = it.ndx;
		gen_again(g, it.ndx, false);
	}
	g->hl_failing = false;
	g->cur_fdir = NULL;
}

void hlink_free(struct gen *g)
{
	for (size_t i = 0; i < g->hg_cap; i++)
		for (struct hgroup *h = g->hgroups[i]; h; h = h->next)
			free_members(g, h);
	mem_free(g->rx->budget, g->hgroups);
}
