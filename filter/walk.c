/*
 * walk.c - one walker's per-directory merge lists (spec 04 §7), and evaluation along them.
 *
 * A head is one dir-merge rule that is in force; what it holds in the current directory is a chain of
 * segments, the file of this directory first, then what it inherited. Entering a directory saves all
 * heads' segments in a frame; leaving it restores them and drops the frame's memory.
 */
#include "config.h"
#include "base/say.h"
#include "base/text.h"
#include "filter/rules.h"

#include <errno.h>
#include <stdio.h>

struct seg {
	const struct seg *inherited;
	const struct filt_rule *head;
};

struct head {
	const struct filt_rule *rule;      /* NULL: the name is another head's, nothing is read */
	const struct filter_list *list;
	const struct seg *seg;
	const char *from;                  /* parent scan: outermost directory still to be read; NULL = none */
};

struct frame {
	char *dir;                         /* as given by the walker */
	size_t dir_len;
	const struct seg **saved;
	unsigned head_count, rules;
	struct arena *arena;
};

struct filt_walk {
	const struct filter_list *lists[2];    /* daemon, user */
	unsigned base[2];                      /* first head of each list */
	struct filt_files files;
	struct budget *budget;
	struct head *heads;
	unsigned head_count;
	size_t head_cap;
	struct frame *frames;                  /* [0] is the base: parent scans */
	unsigned frame_count;
	size_t frame_cap;
	unsigned rules;                        /* held by all segments */
	bool scanned, skip_perish, xattr_seen;
	size_t cwd_len;
	char cwd[PATH_LIMIT + 1];
	char scratch[SCRATCH_SIZE];            /* starts with cwd */
};

static bool leaf_taken(const struct filt_walk *w, const char *leaf)
{
	for (unsigned i = 0; i < w->head_count; i++) {
		if (w->heads[i].rule && strcmp(merge_leaf(w->heads[i].rule), leaf) == 0)
			return true;
	}
	return false;
}

static int add_head(struct filt_walk *w, const struct filter_list *l, const struct filt_rule *r)
{
	struct head *h = mem_grow(w->budget, w->heads, &w->head_cap, w->head_count + 1u, sizeof(*h));

	if (!h)
		return -1;
	w->heads = h;
	h += w->head_count;
	memset(h, 0, sizeof(*h));
	h->list = l;
	if (!(r->flags & RF_IDLE) && !leaf_taken(w, merge_leaf(r)))
		h->rule = r;
	w->head_count++;
	return 0;
}

struct filt_walk *filt_walk_new(const struct filter_list *daemon, const struct filter_list *user,
                                const struct filt_files *files, struct budget *budget)
{
	struct filt_walk *w = mem_alloc(budget, 1, sizeof(*w));

	if (!w)
		return NULL;
	memset(w, 0, offsetof(struct filt_walk, cwd));
	w->cwd[0] = '\0';
	w->budget = budget;
	if (files)
		w->files = *files;
	w->lists[0] = daemon;
	w->lists[1] = user;
	for (int k = 0; k < 2; k++) {
		const struct filter_list *l = w->lists[k];

		w->base[k] = w->head_count;
		for (unsigned i = 0; l && i < l->b->merge_count; i++) {
			if (add_head(w, l, l->b->merges[i])) {
				filt_walk_free(w);
				return NULL;
			}
		}
	}
	return w;
}

static void pop_frame(struct filt_walk *w)
{
	struct frame *f = &w->frames[--w->frame_count];

	w->head_count = f->head_count;
	for (unsigned i = 0; i < f->head_count; i++)
		w->heads[i].seg = f->saved[i];
	w->rules -= f->rules;
	mem_free(w->budget, f->dir);
	mem_free(w->budget, f->saved);
	if (f->arena)
		arena_free(f->arena);
}

void filt_walk_free(struct filt_walk *w)
{
	if (!w)
		return;
	while (w->frame_count)
		pop_frame(w);
	mem_free(w->budget, w->frames);
	mem_free(w->budget, w->heads);
	mem_free(w->budget, w);
}

int filt_walk_start(struct filt_walk *w, const char *cwd)
{
	size_t len = strlen(cwd);

	if (len > PATH_LIMIT)
		return -ENAMETOOLONG;
	while (w->frame_count > 1)
		pop_frame(w);
	memcpy(w->cwd, cwd, len + 1);
	memcpy(w->scratch, cwd, len + 1);
	w->cwd_len = len;
	return 0;
}

void filt_ignore_perishable(struct filt_walk *w, bool on)
{
	w->skip_perish = on;
}

/* ---- reading one directory's file ---- */

struct load {
	struct filt_walk *w;
	struct frame *f;
	const char *dir;               /* anchor-relative */
	bool scanning;                 /* a parent scan: nested rules take part in it from here on */
};

static int nested_merge(struct parse *p, struct filt_rule *r)
{
	struct load *ld = p->ctx;
	struct filt_walk *w = ld->w;
	char at[PATH_LIMIT + 1];
	const char *leaf = merge_leaf(r);
	size_t n;

	if (leaf_taken(w, leaf))
		return 0;
	if (add_head(w, p->l, r))
		return fail(p->err, RX_MALLOC, "out of memory in filter rules");
	r->merge = w->head_count - 1;
	if (ld->scanning) {
		w->heads[r->merge].from = p->dir;
	} else if (leaf > r->pat && !path_resolve(at, ld->dir, r->pat, (size_t)(leaf - r->pat))) {
		n = strlen(at);
		if (strncmp(at, ld->dir, n) == 0 && (!n ? *ld->dir != '\0' : ld->dir[n] == '/')) {
			w->heads[r->merge].from = arena_strndup(p->arena, at, n);
			if (!w->heads[r->merge].from)
				return fail(p->err, RX_MALLOC, "out of memory in filter rules");
		}
	}
	return 1;
}

static int too_long(const char *dir)
{
	say(SAY_ERROR, "cannot add local filter rules in long-named directory: /%s", dir);
	return 1;
}

/* Reads the file of head i in dir and puts its segment in front. 0, 1 (too long), -1. */
static int load_head(struct filt_walk *w, struct frame *f, unsigned i, const char *dir, bool scanning, struct err *err)
{
	const struct filt_rule *r = w->heads[i].rule;
	const struct filter_list *l = w->heads[i].list;
	const struct seg *inherited = r->flags & RF_NO_INHERIT ? NULL : w->heads[i].seg;
	_cleanup_buf_ struct buf text = BUF_INIT(w->budget);
	char path[PATH_LIMIT + 1], label[300];
	const char *leaf = merge_leaf(r);
	struct load ld = { w, f, dir, scanning };
	const struct filter_list *daemon = l == w->lists[0] ? NULL : w->lists[0]; /* the daemon's own files are never hidden from it */
	bool cleared = false, hidden;
	struct chain chain;
	struct parse p = { .l = (struct filter_list *)l /* read only: the arena is ours */, .out = &chain, .cleared = &cleared, .from_file = true, .peer_named = true,
	                   .cwd = w->cwd, .merge_dir = dir, .add_merge = nested_merge, .ctx = &ld, .err = err };
	struct seg *s;
	int e;

	w->heads[i].seg = inherited;
	if ((size_t)snprintf(path, sizeof(path), "%s%s%s", dir, *dir ? "/" : "", leaf) >= sizeof(path))
		return too_long(dir);
	e = read_rule_file(&w->files, daemon, path, &text, &hidden);
	if (e == -EFBIG || e == -ENOMEM)
		return fail(err, RX_MALLOC, "filter rule file is too large: /%s", path);
	if (e == -EPERM)
		return fail(err, RX_FILEIO, "filter rule file is out of reach: /%s", path);
	if (e)
		return 0;
	if (!f->arena)
		f->arena = arena_new(w->budget, 2048);
	s = f->arena ? arena_alloc(f->arena, sizeof(*s), 8) : NULL;
	p.arena = f->arena;
	p.dir = s ? arena_strndup(f->arena, dir, strlen(dir)) : NULL;
	if (!p.dir)
		return fail(err, RX_MALLOC, "out of memory in filter rules");
	chain_init(&chain);
	snprintf(label, sizeof(label), "/%.*s", (int)sizeof(label) - 2, path);
	p.label = label;
	p.rules = &w->rules;
	p.files = &w->files;
	p.daemon = daemon;
	p.xattr_seen = &w->xattr_seen;
	p.depth = 1;
	parse_as_merge(&p, r->flags);
	f->rules -= w->rules;
	e = parse_contents(&p, buf_str(&text), text.len);
	f->rules += w->rules;
	if (e)
		return -1;
	s->inherited = cleared ? NULL : inherited;
	s->head = chain.head;
	w->heads[i].seg = s;
	return 0;
}

/* True if dir is from, or lies below it. */
static bool below(const char *dir, const char *from)
{
	size_t n = strlen(from);

	return !n || (strncmp(dir, from, n) == 0 && (!dir[n] || dir[n] == '/'));
}

/* Reads for the directories above full the heads whose parent scan reaches there, outermost first; heads from first on. */
static int scan_parents(struct filt_walk *w, struct frame *f, unsigned first, const char *full, struct err *err)
{
	char dir[PATH_LIMIT + 1];
	size_t n = 0, len = strlen(full);
	int worst = 0;

	while (n < len) {
		memcpy(dir, full, n);
		dir[n] = '\0';
		for (unsigned i = first; i < w->head_count; i++) {
			int r;

			if (!w->heads[i].rule || !w->heads[i].from || !below(dir, w->heads[i].from))
				continue;
			r = load_head(w, f, i, dir, true, err);
			if (r < 0) {
				worst = -1;
				goto out;
			}
			worst |= r;
		}
		n += n > 0;
		while (n < len && full[n] != '/')
			n++;
	}
out:
	for (unsigned i = first; i < w->head_count; i++)
		w->heads[i].from = NULL;
	return worst;
}

static struct frame *push_frame(struct filt_walk *w, const char *dir)
{
	struct frame *f = mem_grow(w->budget, w->frames, &w->frame_cap, w->frame_count + 1u, sizeof(*f));

	if (!f)
		return NULL;
	w->frames = f;
	f += w->frame_count;
	memset(f, 0, sizeof(*f));
	f->dir_len = strlen(dir);
	f->dir = mem_alloc(w->budget, f->dir_len + 1, 1);
	f->saved = mem_alloc(w->budget, w->head_count, sizeof(*f->saved));
	if (!f->dir || !f->saved) {
		mem_free(w->budget, f->dir);
		mem_free(w->budget, f->saved);
		return NULL;
	}
	memcpy(f->dir, dir, f->dir_len + 1);
	for (unsigned i = 0; i < w->head_count; i++)
		f->saved[i] = w->heads[i].seg;
	f->head_count = w->head_count;
	w->frame_count++;
	return f;
}

/* The first directory of all: parent scans go into the base frame and stay. */
static int first_scan(struct filt_walk *w, const char *full, struct err *err)
{
	char (*from)[PATH_LIMIT + 1];
	struct frame *f = push_frame(w, "");
	int r;

	if (!f)
		return fail(err, RX_MALLOC, "out of memory in filter rules");
	w->scanned = true;
	from = mem_alloc(w->budget, w->head_count, sizeof(*from));
	if (!from)
		return fail(err, RX_MALLOC, "out of memory in filter rules");
	for (unsigned i = 0; i < w->head_count; i++) {
		const struct filt_rule *m = w->heads[i].rule;
		const char *leaf = m ? merge_leaf(m) : NULL;
		size_t n;

		if (!m || leaf == m->pat || path_resolve(from[i], w->cwd, m->pat, (size_t)(leaf - m->pat)))
			continue;
		n = strlen(from[i]);
		if (below(full, from[i]) && strlen(full) > n)
			w->heads[i].from = from[i];
	}
	r = scan_parents(w, f, 0, full, err);
	mem_free(w->budget, from);
	return r;
}

static bool is_parent(const struct frame *f, const char *dir)
{
	if (!f->dir_len)
		return *dir != '\0';
	return strncmp(f->dir, dir, f->dir_len) == 0 && dir[f->dir_len] == '/';
}

int filt_enter_dir(struct filt_walk *w, const char *dir, struct err *err)
{
	char full[PATH_LIMIT + 1];
	struct frame *f;
	int worst = 0;

	if (!w || !w->head_count)
		return 0;
	if (strcmp(dir, ".") == 0)
		dir = "";
	if (path_resolve(full, *dir == '/' ? "" : w->cwd, dir, strlen(dir)))
		return too_long(dir);
	if (!w->scanned)
		worst = first_scan(w, full, err);
	if (worst < 0)
		return -1;
	while (w->frame_count > 1 && !is_parent(&w->frames[w->frame_count - 1], dir))
		pop_frame(w);
	f = push_frame(w, dir);
	if (!f)
		return fail(err, RX_MALLOC, "out of memory in filter rules");
	for (unsigned i = 0; i < w->head_count; i++) {
		unsigned before = w->head_count;
		int r;

		if (!w->heads[i].rule)
			continue;
		r = load_head(w, f, i, full, false, err);
		if (r >= 0 && w->head_count > before)
			r |= scan_parents(w, f, before, full, err);
		if (r < 0)
			return -1;
		worst |= r;
	}
	return worst;
}

void filt_leave_dir(struct filt_walk *w)
{
	if (w && w->frame_count > 1)
		pop_frame(w);
}

/* ---- evaluation ---- */

static enum filt_verdict walk_chain(const struct filt_walk *w, const struct filt_rule *r, unsigned base, struct name *n);

static enum filt_verdict head_check(const struct filt_walk *w, unsigned i, struct name *n)
{
	enum filt_verdict v = FILT_NO_MATCH;

	for (const struct seg *s = i < w->head_count ? w->heads[i].seg : NULL; s && !v; s = s->inherited)
		v = walk_chain(w, s->head, 0, n);
	return v;
}

static enum filt_verdict walk_chain(const struct filt_walk *w, const struct filt_rule *r, unsigned base, struct name *n)
{
	enum filt_verdict v;

	for (; r; r = r->next) {
		if (r->flags & (RF_DIR_MERGE | RF_CVS | RF_IDLE | RF_XATTR | RF_PERISH)) {
			if (r->flags & RF_IDLE)
				continue;
			if (r->flags & RF_DIR_MERGE) {
				v = head_check(w, base + r->merge, n);
				if (v)
					return v;
				continue;
			}
			if (r->sub) {
				v = walk_chain(w, r->sub, base, n);
				if (v)
					return v;
				continue;
			}
			if ((r->flags & RF_CVS) || (n->skip_perish && (r->flags & RF_PERISH)))
				continue;
			if (!!(r->flags & RF_XATTR) != n->xattr)
				continue;
		} else if (n->xattr) {
			continue;
		}
		if (rule_fires(r, n))
			return r->flags & RF_INCLUDE ? FILT_INCLUDED : FILT_EXCLUDED;
	}
	return FILT_NO_MATCH;
}

static enum filt_verdict check(struct filt_walk *w, enum filt_which which, struct name *n)
{
	enum filt_verdict v = FILT_NO_MATCH;

	for (unsigned k = 0; k < 2 && !v; k++) {
		if ((which & (1u << k)) && w->lists[k])
			v = walk_chain(w, w->lists[k]->head, w->base[k], n);
	}
	return v;
}

enum filt_verdict filt_check_lists(struct filt_walk *w, enum filt_which which, const char *name, size_t len, bool is_dir)
{
	struct name n;

	if (!name_init(&n, w->scratch, w->cwd_len, name, len, is_dir))
		return FILT_NO_MATCH;
	n.skip_perish = w->skip_perish;
	return check(w, which, &n);
}

bool filt_walk_active(const struct filt_walk *w, enum filt_which which)
{
	return ((which & FILT_DAEMON) && w->lists[0] && w->lists[0]->name_rules) ||
	       ((which & FILT_USER) && w->lists[1] && w->lists[1]->name_rules);
}

bool filt_xattr_excluded(struct filt_walk *w, const char *attr)
{
	struct name n;

	if (!w || !name_init(&n, w->scratch, w->cwd_len, attr, strlen(attr), false))
		return false;
	n.xattr = true;
	return check(w, FILT_BOTH, &n) < 0;
}

bool filt_has_xattr_rules(const struct filt_walk *w)
{
	return w && (w->xattr_seen || (w->lists[0] && w->lists[0]->xattr_rules) || (w->lists[1] && w->lists[1]->xattr_rules));
}
