/*
 * flist.c - the set of file lists: memory, directory strings, indexes, look-up.
 */
#include "config.h"
#include "protocol/flist_priv.h"

#include <sys/random.h>
#include <time.h>
#include <xxhash.h>

struct flist_set *flist_set_new(const struct flist_fmt *fmt, struct budget *budget, bool receiving)
{
	struct flist_set *s = mem_alloc(budget, 1, sizeof *s);

	if (!s)
		return NULL;
	memset(s, 0, offsetof(struct flist_set, conv));
	s->fmt = *fmt;
	s->fmt.safe_end = fmt->safe_end || fmt->proto >= 31;
	s->budget = budget;
	s->receiving = receiving;
	s->next_start = fmt->inc_recurse ? 1 : 0;
	s->conv_len = -1;
	/* Directory names are the peer's choice: it must not be able to aim at one hash chain. */
	if (getrandom(&s->seed, sizeof s->seed, GRND_NONBLOCK) != sizeof s->seed)
		s->seed = (uintptr_t)s ^ (uint64_t)time(NULL) << 20;
	s->dir_arena = arena_new_growing(budget, 4096);
	if (s->dir_arena)
		s->root_dir = fdir_get(s, "", 0);
	if (!s->root_dir) {
		flist_set_free(s);
		return NULL;
	}
	return s;
}

static void free_list(struct flist_set *s, struct flist *fl)
{
	if (fl)
		arena_free(fl->arena);
	(void)s;
}

void flist_set_free(struct flist_set *s)
{
	if (!s)
		return;
	while (s->first)
		flist_drop_first(s);
	flist_abandon(s);
	u32set_free(&s->users, s->budget);
	u32set_free(&s->groups, s->budget);
	inomap_free(&s->inodes, s->budget);
	mem_free(s->budget, s->declared);
	mem_free(s->budget, s->wire);
	mem_free(s->budget, s->dirs);
	mem_free(s->budget, s->dir_listed);
	mem_free(s->budget, s->dir_slot);
	arena_free(s->dir_arena);
	mem_free(s->budget, s);
}

const struct flist_stats *flist_set_stats(const struct flist_set *s) { return &s->stats; }
struct flist *flist_first(const struct flist_set *s) { return s->first; }
struct flist *flist_last(const struct flist_set *s) { return s->last; }
void flist_set_hooks(struct flist_set *s, const struct flist_hooks *hooks) { s->hooks = *hooks; }

/* ---- directory strings ---- */

uint32_t fdir_hash(const struct flist_set *s, const char *dir, size_t len)
{
	return (uint32_t)XXH3_64bits_withSeed(dir, len, s->seed);
}

static int grow_dirs(struct flist_set *s)
{
	size_t n = s->dir_slots ? s->dir_slots * 2 : 64;
	struct fdir **slot = mem_zalloc(s->budget, n, sizeof(struct fdir *));

	if (!slot)
		return -1;
	for (size_t i = 0; i < s->dir_slots; i++) {
		struct fdir *d = s->dir_slot[i];
		size_t at;

		if (!d)
			continue;
		at = d->hash & (n - 1);
		while (slot[at])
			at = (at + 1) & (n - 1);
		slot[at] = d;
	}
	mem_free(s->budget, s->dir_slot);
	s->dir_slot = slot;
	s->dir_slots = n;
	return 0;
}

struct fdir *fdir_get(struct flist_set *s, const char *dir, size_t len)
{
	uint32_t hash = fdir_hash(s, dir, len);
	struct fdir *d;
	size_t at;

	if (s->dir_strings * 2 >= s->dir_slots && grow_dirs(s) < 0)
		return NULL;
	for (at = hash & (s->dir_slots - 1); (d = s->dir_slot[at]); at = (at + 1) & (s->dir_slots - 1)) {
		if (d->hash == hash && d->len == len && !memcmp(d->s, dir, len))
			return d;
	}
	d = arena_alloc(s->dir_arena, offsetof(struct fdir, s) + len + 1, _Alignof(struct fdir));
	if (!d)
		return NULL;
	d->len = (uint32_t)len;
	d->hash = hash;
	d->mark = 0;
	memcpy(d->s, dir, len);
	d->s[len] = '\0';
	s->dir_slot[at] = d;
	s->dir_strings++;
	return d;
}

const struct fdir *flist_dir(struct flist_set *s, const char *dir, size_t len)
{
	return fdir_get(s, dir, len);
}

const struct fdir *flist_dir_inside(struct flist_set *s, const struct fent *e)
{
	char path[PATH_LIMIT + 1];
	size_t n = fdir_prefix(e->dir), leaf = strlen(e->name);

	if (is_dot(e->name))
		return e->dir;
	if (n + leaf > PATH_LIMIT)
		return NULL;
	memcpy(path, e->dir->s, e->dir->len);
	if (n > e->dir->len)
		path[n - 1] = '/';
	memcpy(path + n, e->name, leaf);
	return fdir_get(s, path, n + leaf);
}

/* ---- entries ---- */

size_t fent_path(const struct fent *e, char *out)
{
	const char *d = e->dir->s;
	size_t n = e->dir->len, leaf = strlen(e->name);

	if (n && *d == '/') {
		d++;
		n--;
	}
	if (n + 1 + leaf > PATH_LIMIT)
		leaf = n < PATH_LIMIT ? PATH_LIMIT - n - 1 : 0;
	memcpy(out, d, n);
	if (n)
		out[n++] = '/';
	memcpy(out + n, e->name, leaf);
	out[n + leaf] = '\0';
	return n + leaf;
}

struct fent *fent_new(struct flist_set *s, const struct fdir *dir, const char *name, size_t len, uint16_t mode)
{
	struct arena *a = S_ISDIR(mode) ? s->dir_arena : s->building->arena;
	struct fent *e = arena_alloc(a, offsetof(struct fent, name) + len + 1, _Alignof(struct fent));

	if (!e)
		return NULL;
	memset(e, 0, offsetof(struct fent, name));
	e->dir = dir;
	e->mode = mode;
	memcpy(e->name, name, len);
	e->name[len] = '\0';
	return e;
}

int fent_append(struct flist_set *s, struct fent *e)
{
	struct fent **w = s->wire;

	if (UNLIKELY(s->wire_count == s->wire_cap)) {
		w = mem_grow(s->budget, w, &s->wire_cap, s->wire_count + 1, sizeof *w);
		if (!w)
			return -1;
		s->wire = w;
	}
	w[s->wire_count++] = e;
	return 0;
}

struct fent *flist_add(struct flist_set *s, const struct fdir *dir, const char *name, uint16_t mode)
{
	struct fent *e;

	if (s->next_start > INT32_MAX - 2 - (int32_t)MIN(s->wire_count, (size_t)(INT32_MAX - 2)))
		return NULL;
	e = fent_new(s, dir, name, strlen(name), mode);
	return e && fent_append(s, e) == 0 ? e : NULL;
}

struct fext *flist_ext(struct flist_set *s, struct fent *e)
{
	if (!e->ext) {
		e->ext = arena_alloc(fent_arena(s, e), sizeof *e->ext, _Alignof(struct fext));
		if (e->ext)
			fext_init(e->ext);
	}
	return e->ext;
}

char *flist_strdup(struct flist_set *s, struct fent *e, const char *str, size_t len)
{
	return arena_strndup(fent_arena(s, e), str, len);
}

void flist_count(struct flist_set *s, const struct fent *e)
{
	struct flist_stats *st = &s->stats;

	st->files++;
	switch (FENT_TYPE(e)) {
	case S_IFREG:
	case S_IFLNK:
		/* A hostile sum of sizes must not overflow. */
		if (ADD_OVERFLOWS(st->total_size, e->size, &st->total_size))
			st->total_size = INT64_MAX;
		if (ADD_OVERFLOWS(s->building->total_size, e->size, &s->building->total_size))
			s->building->total_size = INT64_MAX;
		st->links += FENT_IS_LNK(e);
		break;
	case S_IFDIR:
		st->dirs++;
		break;
	case S_IFCHR:
	case S_IFBLK:
		st->devices++;
		break;
	case S_IFIFO:
	case S_IFSOCK:
		st->specials++;
		break;
	}
}

/* ---- lists ---- */

struct flist *flist_start(struct flist_set *s, int32_t dir_ndx)
{
	struct arena *a = dir_ndx >= 0 ? arena_new_growing(s->budget, 1024) : arena_new_growing(s->budget, 4096);
	struct flist *fl = a ? arena_alloc(a, sizeof *fl, _Alignof(struct flist)) : NULL;

	if (!fl) {
		arena_free(a);
		return NULL;
	}
	*fl = (struct flist){ .ndx_start = s->next_start, .dir_ndx = dir_ndx, .arena = a };
	if (dir_ndx >= 0 && (size_t)dir_ndx < s->dir_count)
		fl->parent = s->dirs[dir_ndx];
	s->building = fl;
	s->wire_count = 0;
	return fl;
}

void flist_abandon(struct flist_set *s)
{
	free_list(s, s->building);
	s->building = NULL;
	s->wire_count = 0;
}

struct flist *flist_begin(struct flist_set *s, int32_t dir_ndx)
{
	return flist_start(s, dir_ndx);
}

static int add_dirs(struct flist_set *s, const struct flist *fl)
{
	for (int32_t i = 0; i < fl->count; i++) {
		struct fent *e = fl->sorted[i], **d;

		if (!FENT_IS_DIR(e))
			continue;
		d = mem_grow(s->budget, s->dirs, &s->dir_cap, s->dir_count + 1, sizeof *d);
		if (!d)
			return -1;
		s->dirs = d;
		d[s->dir_count++] = e;
	}
	return 0;
}

/* Number 0 of an incremental transfer is its ".", if the first list has one (spec 02 §9.2). */
static struct fent *find_dot(const struct flist *fl)
{
	for (int32_t i = 0; i < fl->count; i++) {
		struct fent *e = fl->walk[i];

		if (e->flags & FENT_CLEARED)
			continue;
		return FENT_IS_DIR(e) && is_dot(e->name) ? e : NULL;
	}
	return NULL;
}

int flist_complete(struct flist_set *s)
{
	struct flist *fl = s->building;
	size_t n = s->wire_count;

	fl->count = (int32_t)n;
	fl->state = arena_alloc(fl->arena, n, 1);
	fl->walk = arena_alloc(fl->arena, n * sizeof *fl->walk, _Alignof(struct fent *));
	fl->sorted = s->fmt.wire_order ? arena_alloc(fl->arena, n * sizeof *fl->walk, _Alignof(struct fent *)) : fl->walk;
	if (!fl->state || !fl->walk || !fl->sorted)
		return -1;
	if (s->fmt.wire_order && n)
		memcpy(fl->sorted, s->wire, n * sizeof *fl->sorted);
	if (flist_sort(s, fl) < 0)
		return -1;
	memset(fl->state, 0, n);
	flist_mark_duplicates(s, fl);
	if (add_dirs(s, fl) < 0)
		return -1;
	if (fl->dir_ndx < 0 && s->fmt.inc_recurse)
		fl->parent = find_dot(fl);
	s->next_start = fl->ndx_start + fl->count + 1;
	if (s->last)
		s->last->next = fl;
	else
		s->first = fl;
	s->last = fl;
	s->any_list = true;
	s->building = NULL;
	s->wire_count = 0;
	/* The array serves every sub-list, but one large list should not keep it. */
	if (s->wire_cap > 65536) {
		mem_free(s->budget, s->wire);
		s->wire = NULL;
		s->wire_cap = 0;
	}
	return 0;
}

void flist_drop_first(struct flist_set *s)
{
	struct flist *fl = s->first;

	if (!fl)
		return;
	s->first = fl->next;
	if (!s->first)
		s->last = NULL;
	if (s->found == fl)
		s->found = NULL;
	free_list(s, fl);
}

/* ---- indexes ---- */

static bool in_list(const struct flist *fl, int32_t ndx)
{
	return ndx >= fl->ndx_start - 1 && ndx - fl->ndx_start < fl->count;
}

struct flist *flist_find(const struct flist_set *s, int32_t ndx)
{
	struct flist *fl = s->found;

	if (ndx < 0)
		return NULL;
	if (!fl || ndx < fl->ndx_start - 1)
		fl = s->first;
	while (fl && !in_list(fl, ndx))
		fl = ndx < fl->ndx_start ? NULL : fl->next;
	if (fl)
		((struct flist_set *)(uintptr_t)s)->found = fl;
	return fl;
}

struct fent *flist_entry(const struct flist *fl, int32_t ndx)
{
	struct fent *e;

	if (ndx < 0 || !in_list(fl, ndx))
		return NULL;
	e = ndx < fl->ndx_start ? fl->parent : fl->sorted[ndx - fl->ndx_start];
	return e && !(e->flags & FENT_CLEARED) ? e : NULL;
}

int32_t flist_dir_count(const struct flist_set *s) { return (int32_t)s->dir_count; }

struct fent *flist_dir_entry(const struct flist_set *s, int32_t dir_ndx)
{
	return dir_ndx >= 0 && (size_t)dir_ndx < s->dir_count ? s->dirs[dir_ndx] : NULL;
}

