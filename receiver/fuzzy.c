/*
 * fuzzy.c - finds a similar file to build a missing one from (spec 08 §10).
 */
#include "config.h"
#include "receiver/dest.h"
#include "receiver/gen.h"

#include <dirent.h>
#include <stdlib.h>

#define UNIT 65536u
#define MAX_UNITS 25u

struct fuzzy_file { const char *name; uint32_t len; bool busy; struct stat st; };

/* Regular files of one directory, in the destination ([0]) and the alternate directories. */
struct fuzzy_dir {
	struct arena *arena;
	const char *dir;               /* NULL: nothing loaded */
	struct fuzzy_file *v[1 + ALT_DEST_MAX];
	size_t n[1 + ALT_DEST_MAX], cap[1 + ALT_DEST_MAX];
};

uint32_t fuzzy_distance(const char *a, size_t alen, const char *b, size_t blen, uint32_t limit)
{
	uint32_t row[SB_NAME_MAX + 2], diag, up;
	const uint8_t *x = (const uint8_t *)a, *y = (const uint8_t *)b;
	size_t diff = alen > blen ? alen - blen : blen - alen;

	if (alen > SB_NAME_MAX || blen > SB_NAME_MAX || diff * UNIT > limit)
		return UINT32_MAX;
	/* What one has in front of the other counts by its length alone, unless the other is empty. */
	row[0] = 0;
	for (size_t j = 0; j < blen; j++)
		row[j + 1] = row[j] + UNIT + (alen ? 0 : y[j]);
	for (size_t i = 0; i < alen; i++) {
		diag = row[0];
		row[0] += UNIT + (blen ? 0 : x[i]);
		for (size_t j = 0; j < blen; j++) {
			int d = (int)x[i] - (int)y[j];
			uint32_t best = diag + (d ? UNIT + (uint32_t)abs(d) : 0);

			up = row[j + 1];
			best = MIN(best, up + UNIT + x[i]);
			best = MIN(best, row[j] + UNIT + y[j]);
			row[j + 1] = best;
			diag = up;
		}
	}
	return row[blen];
}

static bool is_digits(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (s[i] < '0' || s[i] > '9')
			return false;
	return n > 0;
}

const char *fuzzy_suffix(const char *name, size_t len, size_t *slen)
{
	const char *fallback = NULL;
	size_t fallback_len = 0, start = 0, all = len;
	bool tilde;

	while (start < len && name[start] == '.')
		start++;
	tilde = len > start && name[len - 1] == '~';
	if (tilde)
		len--;
	while (len > start) {
		size_t p = len;
		const char *s;
		size_t n;

		while (p > start && name[p - 1] != '.')
			p--;
		if (p <= start + 1)
			break;
		s = name + p - 1;
		n = len - (p - 1);
		len = p - 1;
		/* These only at the very end. */
		if (p - 1 + n == all && ((n == 4 && (!memcmp(s, ".bak", 4) || !memcmp(s, ".old", 4))) || (n == 5 && !memcmp(s, ".orig", 5))))
			continue;
		if (tilde && n > 2 && s[1] == '~' && is_digits(s + 2, n - 2))
			continue;
		if (is_digits(s + 1, n - 1)) {
			if (!fallback) {
				fallback = s;
				fallback_len = n;
			}
			continue;
		}
		*slen = n;
		return s;
	}
	*slen = fallback_len;
	return fallback ? fallback : "";
}

static int by_name(const void *a, const void *b)
{
	const struct fuzzy_file *x = a, *y = b;

	return strcmp(x->name, y->name);
}

static void load_one(struct gen *g, struct fuzzy_dir *f, int k, struct sb *sb, const char *dir)
{
	struct sb_dirent ent;
	struct sb_dir *d;

	f->n[k] = 0;
	if (!sb || sb_opendir(sb, dir, ".", 0, &d, NULL) < 0)
		return;
	while (sb_readdir(d, &ent) == 1) {
		struct fuzzy_file *p, e = { .len = (uint32_t)ent.len };

		if ((ent.type != DT_REG && ent.type != DT_UNKNOWN) || sb_dir_lstat(d, ent.name, &e.st) < 0 ||
		    !S_ISREG(e.st.st_mode) || !e.st.st_size)
			continue;
		p = mem_grow(g->rx->budget, f->v[k], &f->cap[k], f->n[k] + 1, sizeof *p);
		if (p)
			f->v[k] = p;
		e.name = p ? arena_strndup(f->arena, ent.name, ent.len) : NULL;
		if (!e.name)
			break;
		p[f->n[k]++] = e;
	}
	sb_closedir(d);
	/* Which of several equals is taken does not depend on the directory's order. */
	if (f->n[k] > 1)
		qsort(f->v[k], f->n[k], sizeof *f->v[k], by_name);
}

static struct fuzzy_dir *load(struct gen *g, const char *dir)
{
	struct fuzzy_dir *f = g->fuzzy;

	if (f && f->dir && strcmp(f->dir, dir) == 0)
		return f;
	if (!f)
		f = g->fuzzy = mem_zalloc(g->rx->budget, 1, sizeof *f);
	if (!f)
		return NULL;
	if (f->arena)
		arena_free(f->arena);
	f->arena = arena_new(g->rx->budget, 0);
	f->dir = f->arena ? arena_strndup(f->arena, dir, strlen(dir)) : NULL;
	if (!f->dir)
		return NULL;
	load_one(g, f, 0, g->h.dest, dir);
	for (int i = 0; i < g->o->alt_count && g->o->fuzzy > 1; i++)
		load_one(g, f, i + 1, g->h.alt[i], dir);
	return f;
}

static struct fuzzy_file *best_of(struct gen *g, struct fuzzy_dir *f, const struct gitem *it, int *which)
{
	int dirs = g->o->fuzzy > 1 ? 1 + g->o->alt_count : 1;
	size_t len = strlen(it->leaf), slen;
	const char *suffix = fuzzy_suffix(it->leaf, len, &slen);
	uint32_t lowest = MAX_UNITS * UNIT;
	struct fuzzy_file *best = NULL;

	for (int k = 0; k < dirs; k++)
		for (size_t i = 0; i < f->n[k]; i++) {
			struct fuzzy_file *c = &f->v[k][i];

			if (!c->busy && c->st.st_size == it->e->size && same_time(g->rx, it->e, &c->st)) {
				*which = k;
				return c;
			}
		}
	for (int k = 0; k < dirs; k++)
		for (size_t i = 0; i < f->n[k]; i++) {
			struct fuzzy_file *c = &f->v[k][i];
			uint32_t dist, sdist;
			const char *cs;
			size_t cslen;

			if (c->busy)
				continue;
			dist = fuzzy_distance(c->name, c->len, it->leaf, len, lowest);
			if (dist > lowest)
				continue;
			cs = fuzzy_suffix(c->name, c->len, &cslen);
			sdist = fuzzy_distance(cs, cslen, suffix, slen, UINT32_MAX / 16);
			if (sdist > UINT32_MAX / 16 || dist + sdist * 10 > lowest)
				continue;
			lowest = dist + sdist * 10;
			best = c;
			*which = k;
		}
	return best;
}

void fuzzy_busy(struct gen *g, const struct gitem *it)
{
	struct fuzzy_dir *f = load(g, it->dir);

	for (size_t i = 0; f && i < f->n[0]; i++)
		if (strcmp(f->v[0][i].name, it->leaf) == 0)
			f->v[0][i].busy = true;
}

uint8_t fuzzy_find(struct gen *g, struct gitem *it, char *name, struct stat *st)
{
	struct fuzzy_dir *f;
	struct fuzzy_file *c;
	char path[PATH_LIMIT + 1];
	int which = 0;

	if (!g->h.dest || (g->dirs[it->parent].flags & GD_MISSING) || !(f = load(g, it->dir)) ||
	    !(c = best_of(g, f, it, &which)))
		return 0;
	if (g->walk && path_join(path, it->dir, c->name) == 0 && filt_daemon_excluded(g->walk, path, false))
		return 0;
	if (which && dest_hides(g->rx, g->o->alt_dirs[which - 1], it->dir, c->name, false))
		return 0;
	memcpy(name, c->name, c->len + 1);
	*st = c->st;
	return (uint8_t)(BASIS_FUZZY + which);
}

void fuzzy_free(struct gen *g)
{
	struct fuzzy_dir *f = g->fuzzy;

	if (!f)
		return;
	if (f->arena)
		arena_free(f->arena);
	for (size_t k = 0; k < ARRAY_SIZE(f->v); k++)
		mem_free(g->rx->budget, f->v[k]);
	mem_free(g->rx->budget, f);
}
