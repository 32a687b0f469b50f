/*
 * flist_sort.c - transfer order (spec 02 §7), duplicates (§8), and look-up by name.
 *
 * From protocol 29 on the order is that of a tree walk: a directory entry, then the
 * non-directories in it, then its sub-directories, each followed by what is in it. So
 * a list is sorted in two steps: the entries of each directory by their last component,
 * with eight bytes of it as a number beside the pointer; then the directories.
 */
#include "config.h"
#include "protocol/flist_priv.h"

/* ---- a stable merge sort that uses the order that is there ---- */

struct rec {
	uint64_t key;
	void *p;
};

#define MIN_RUN 12
#define PART_MAX ((size_t)32768)       /* records of one sort: they stay in the cache, and take no memory to speak of */

typedef int rec_cmp(const struct rec *a, const struct rec *b, size_t arg);

/* Length of the ordered run at v; a descending one is reversed. Short runs are extended by insertion. */
static inline __attribute__((always_inline)) size_t take_run(struct rec *v, size_t n, rec_cmp *cmp, size_t arg)
{
	size_t k = 1, want = MIN(n, (size_t)MIN_RUN);

	if (n < 2)
		return n;
	if (cmp(&v[1], &v[0], arg) < 0) {
		for (k = 2; k < n && cmp(&v[k], &v[k - 1], arg) < 0; k++)
			;
		for (size_t i = 0, j = k - 1; i < j; i++, j--) {
			struct rec t = v[i];
			v[i] = v[j];
			v[j] = t;
		}
	} else {
		for (k = 2; k < n && cmp(&v[k], &v[k - 1], arg) >= 0; k++)
			;
	}
	for (; k < want; k++) {
		struct rec t = v[k];
		size_t i = k;

		for (; i && cmp(&t, &v[i - 1], arg) < 0; i--)
			v[i] = v[i - 1];
		v[i] = t;
	}
	return k;
}

/* Merges v[0, mid) and v[mid, n); tmp holds the smaller part. */
static inline __attribute__((always_inline)) void merge(struct rec *v, size_t mid, size_t n, struct rec *tmp, rec_cmp *cmp, size_t arg)
{
	size_t lo = 0, hi = mid, i, j, k;

	while (lo < hi) {              /* what is in front already stays */
		size_t m = (lo + hi) / 2;
		if (cmp(&v[mid], &v[m], arg) < 0)
			hi = m;
		else
			lo = m + 1;
	}
	v += lo;
	mid -= lo;
	n -= lo;
	if (!mid)
		return;
	lo = mid;
	hi = n;
	while (lo < hi) {              /* what is behind already stays */
		size_t m = (lo + hi) / 2;
		if (cmp(&v[m], &v[mid - 1], arg) < 0)
			lo = m + 1;
		else
			hi = m;
	}
	n = lo;
	if (mid <= n - mid) {
		memcpy(tmp, v, mid * sizeof *v);
		for (i = 0, j = mid, k = 0; i < mid;)
			v[k++] = j < n && cmp(&v[j], &tmp[i], arg) < 0 ? v[j++] : tmp[i++];
	} else {
		memcpy(tmp, v + mid, (n - mid) * sizeof *v);
		for (i = mid, j = n - mid, k = n; j;)
			v[--k] = i && cmp(&tmp[j - 1], &v[i - 1], arg) < 0 ? v[--i] : tmp[--j];
	}
}

/* tmp: n / 2 records. */
static inline __attribute__((always_inline)) void merge_sort(struct rec *v, size_t n, struct rec *tmp, rec_cmp *cmp, size_t arg)
{
	struct { size_t at, len; } run[64];
	size_t sp = 0, at = 0;

	while (at < n) {
		size_t len = take_run(v + at, n - at, cmp, arg);

		run[sp].at = at;
		run[sp++].len = len;
		at += len;
		/* Each run is more than twice as long as the next, so the stack is never deeper than log2 n. */
		while (sp > 1 && (at == n || run[sp - 2].len <= 2 * run[sp - 1].len)) {
			merge(v + run[sp - 2].at, run[sp - 2].len, run[sp - 2].len + run[sp - 1].len, tmp, cmp, arg);
			run[sp - 2].len += run[sp - 1].len;
			sp--;
		}
	}
}

/* ---- the last components of one directory ---- */

/* Order of two sub-directories' names: as if each ended in a slash. */
static int slash_cmp(const char *a, const char *b)
{
	uint8_t x, y;

	while (*a && *a == *b) {
		a++;
		b++;
	}
	x = *a ? (uint8_t)*a : '/';
	y = *b ? (uint8_t)*b : '/';
	return *a || *b ? (int)x - (int)y : 0;
}

static uint64_t leaf_key(const char *s, bool dir)
{
	uint64_t key = 0;
	unsigned i;

	for (i = 0; i < 8 && s[i]; i++)
		key = key << 8 | (uint8_t)s[i];
	if (i < 8) {
		key = key << 8 | (dir ? '/' : 0);
		i++;
	}
	return i < 8 ? key << (64 - 8 * i) : key;
}

static inline int cmp_file(const struct rec *a, const struct rec *b, size_t skip)
{
	if (a->key != b->key)
		return a->key < b->key ? -1 : 1;
	if (!(a->key & 0xff))
		return 0;
	return strcmp(((const struct fent *)a->p)->name + skip, ((const struct fent *)b->p)->name + skip);
}

static inline int cmp_dir(const struct rec *a, const struct rec *b, size_t skip)
{
	uint8_t last = (uint8_t)a->key;

	if (a->key != b->key)
		return a->key < b->key ? -1 : 1;
	if (!last || last == '/')
		return 0;
	return slash_cmp(((const struct fent *)a->p)->name + skip, ((const struct fent *)b->p)->name + skip);
}

/* How far all names are the same. */
static size_t common_part(struct fent *const *v, size_t n)
{
	size_t common = strlen(v[0]->name);

	for (size_t i = 1; i < n && common; i++) {
		const char *p = v[0]->name, *q = v[i]->name;
		size_t k = 0;

		while (k < common && p[k] == q[k])
			k++;
		common = k;
	}
	return common;
}

static uint8_t leaf_byte(const struct fent *e, size_t at, bool dir)
{
	uint8_t c = (uint8_t)e->name[at];

	return c || !dir ? c : '/';
}

/* Orders by the byte at `at` alone. */
static OWN_FRAME void split_leaves(struct fent **v, size_t n, size_t at, bool dir, struct fent **tmp)
{
	size_t count[256] = { 0 }, next = 0;

	for (size_t i = 0; i < n; i++)
		count[leaf_byte(v[i], at, dir)]++;
	for (unsigned c = 0; c < 256; c++) {
		size_t k = count[c];

		count[c] = next;
		next += k;
	}
	for (size_t i = 0; i < n; i++)
		tmp[count[leaf_byte(v[i], at, dir)]++] = v[i];
	memcpy(v, tmp, n * sizeof *v);
}

/* Sorts entries of one directory and one class. More than PART_MAX are split at the first byte that differs, time after time: a
   step is one byte of a name deeper. rec: room for MIN(n, PART_MAX) records and half as many; tmp: n pointers. */
static void sort_leaves(struct fent **v, size_t n, bool dir, struct rec *rec, struct fent **tmp)
{
	size_t common;

	if (n < 2)
		return;
	common = common_part(v, n);
	if (n > PART_MAX) {
		split_leaves(v, n, common, dir, tmp);
		for (size_t i = 0, j; i < n; i = j) {
			for (j = i + 1; j < n && leaf_byte(v[j], common, dir) == leaf_byte(v[i], common, dir); j++)
				;
			if (j - i < n) /* else all names are equal */
				sort_leaves(v + i, j - i, dir, rec, tmp);
		}
		return;
	}
	for (size_t i = 0; i < n; i++)
		rec[i] = (struct rec){ leaf_key(v[i]->name + common, dir), v[i] };
	if (dir)
		merge_sort(rec, n, rec + n, cmp_dir, common + 8);
	else
		merge_sort(rec, n, rec + n, cmp_file, common + 8);
	for (size_t i = 0; i < n; i++)
		v[i] = rec[i].p;
}

/* Classes of a last component in the order in which they sort. */
enum leaf_class { LEAF_EMPTY, LEAF_DOT, LEAF_FILE, LEAF_DIR, LEAF_CLASSES };

static enum leaf_class class_of(const struct fent *e)
{
	if (!*e->name)
		return LEAF_EMPTY;
	if (!FENT_IS_DIR(e))
		return LEAF_FILE;
	return is_dot(e->name) ? LEAF_DOT : LEAF_DIR;
}

/* ---- directories ---- */

/* A piece of the sorted list: a sub-directory's entry (leaf set), or what else is directly in a directory. */
struct piece {
	const struct fdir *dir;
	const char *leaf;
	struct fent **v;
	size_t n;
};

/* Byte i >= dir->len of the piece's directory path, each component ended by a slash; -1 at its end. */
static int piece_byte(const struct piece *p, size_t i)
{
	size_t prefix = fdir_prefix(p->dir), leaf;

	if (i < prefix)
		return '/';
	if (!p->leaf)
		return -1;
	leaf = strnlen(p->leaf, i - prefix + 1);
	if (leaf > i - prefix)
		return (uint8_t)p->leaf[i - prefix];
	return leaf == i - prefix ? '/' : -1;
}

static int cmp_piece(const struct rec *ra, const struct rec *rb, size_t arg)
{
	const struct piece *a = ra->p, *b = rb->p;
	size_t n = MIN(a->dir->len, b->dir->len), i = 0;
	int x, y;

	(void)arg;
	if (a->dir == b->dir && a->leaf && b->leaf)
		return slash_cmp(a->leaf, b->leaf);
	if (a->dir != b->dir) {
		while (i < n && a->dir->s[i] == b->dir->s[i])
			i++;
		if (i < n)
			return (int)(uint8_t)a->dir->s[i] - (int)(uint8_t)b->dir->s[i];
	} else {
		i = n;
	}
	for (;; i++) {
		x = i < a->dir->len ? (uint8_t)a->dir->s[i] : piece_byte(a, i);
		y = i < b->dir->len ? (uint8_t)b->dir->s[i] : piece_byte(b, i);
		if (x != y)
			return x - y;
		if (x < 0)
			break;
	}
	/* The entry of a directory comes before what is in it. */
	return (a->leaf ? 0 : 1) - (b->leaf ? 0 : 1);
}

/* One directory's share of the list while it is sorted. */
struct bucket {
	const struct fdir *dir;
	size_t n[LEAF_CLASSES], at[LEAF_CLASSES];
};

static int find_buckets(struct flist_set *s, struct bucket **out, size_t *out_n)
{
	struct bucket *b = NULL;
	size_t n = 0, cap = 0, at = 0;

	for (size_t i = 0; i < s->wire_count; i++) {
		const struct fent *e = s->wire[i];
		struct fdir *d = (struct fdir *)(uintptr_t)e->dir;

		if (!d->mark) {
			struct bucket *grown = mem_grow(s->budget, b, &cap, n + 1, sizeof *b);

			if (!grown) {
				for (size_t k = 0; k < n; k++)
					((struct fdir *)(uintptr_t)b[k].dir)->mark = 0;
				mem_free(s->budget, b);
				return -1;
			}
			b = grown;
			b[n++] = (struct bucket){ .dir = d };
			d->mark = (uint32_t)n;
		}
		b[d->mark - 1].n[class_of(e)]++;
	}
	for (size_t k = 0; k < n; k++) {
		for (unsigned c = 0; c < LEAF_CLASSES; c++) {
			b[k].at[c] = at;
			at += b[k].n[c];
		}
	}
	*out = b;
	*out_n = n;
	return 0;
}

/* Fills v with the entries bucket by bucket, each bucket sorted. at[] then points behind each class. */
static int fill_buckets(struct flist_set *s, struct bucket *b, size_t n, struct fent **v)
{
	size_t most = 0;
	struct rec *rec;

	for (size_t i = 0; i < s->wire_count; i++) {
		struct fent *e = s->wire[i];

		v[b[e->dir->mark - 1].at[class_of(e)]++] = e;
	}
	for (size_t k = 0; k < n; k++) {
		((struct fdir *)(uintptr_t)b[k].dir)->mark = 0;
		most = MAX(most, b[k].n[LEAF_FILE]);
		most = MAX(most, b[k].n[LEAF_DIR]);
	}
	most = MIN(most, PART_MAX);
	rec = mem_alloc(s->budget, most + most / 2 + 1, sizeof *rec);
	if (!rec)
		return -1;
	/* Nobody needs the wire order any more. */
	for (size_t k = 0; k < n; k++) {
		sort_leaves(v + b[k].at[LEAF_FILE] - b[k].n[LEAF_FILE], b[k].n[LEAF_FILE], false, rec, s->wire);
		sort_leaves(v + b[k].at[LEAF_DIR] - b[k].n[LEAF_DIR], b[k].n[LEAF_DIR], true, rec, s->wire);
	}
	mem_free(s->budget, rec);
	return 0;
}

/* Puts the buckets, and the directory entries in them, into tree order. */
static int order_pieces(struct flist_set *s, const struct bucket *b, size_t n, struct fent **v, struct fent **out)
{
	size_t total = n, k = 0, at = 0;
	struct piece *piece;
	struct rec *rec;

	for (size_t i = 0; i < n; i++)
		total += b[i].n[LEAF_DIR];
	piece = mem_alloc(s->budget, total, sizeof *piece);
	rec = mem_alloc(s->budget, total + total / 2 + 1, sizeof *rec);
	if (!piece || !rec) {
		mem_free(s->budget, piece);
		mem_free(s->budget, rec);
		return -1;
	}
	for (size_t i = 0; i < n; i++) {
		struct fent **d = v + b[i].at[LEAF_DIR] - b[i].n[LEAF_DIR];
		size_t others = b[i].n[LEAF_EMPTY] + b[i].n[LEAF_DOT] + b[i].n[LEAF_FILE];

		if (others)
			piece[k++] = (struct piece){ b[i].dir, NULL, d - others, others };
		for (size_t j = 0; j < b[i].n[LEAF_DIR]; j++)
			piece[k++] = (struct piece){ b[i].dir, d[j]->name, d + j, 1 };
	}
	for (size_t i = 0; i < k; i++)
		rec[i] = (struct rec){ 0, &piece[i] };
	merge_sort(rec, k, rec + k, cmp_piece, 0);
	for (size_t i = 0; i < k; i++) {
		const struct piece *p = rec[i].p;

		memcpy(out + at, p->v, p->n * sizeof *out);
		at += p->n;
	}
	mem_free(s->budget, piece);
	mem_free(s->budget, rec);
	return 0;
}

/* What flist_lookup uses: where the files of a directory are in the walk, and its sub-directories. */
static int make_groups(struct flist_set *s, struct flist *fl, const struct bucket *b, size_t n, struct fent **v)
{
	size_t slots = 1;

	while (slots < n * 2)
		slots *= 2;
	fl->groups = arena_alloc(fl->arena, n * sizeof *fl->groups, _Alignof(struct fgroup));
	fl->group_hash = arena_alloc(fl->arena, slots * sizeof *fl->group_hash, 4);
	if (!fl->groups || !fl->group_hash)
		return -1;
	memset(fl->group_hash, 0, slots * sizeof *fl->group_hash);
	fl->group_mask = (uint32_t)slots - 1;
	fl->group_count = (uint32_t)n;
	(void)s;
	for (size_t i = 0; i < n; i++) {
		struct fgroup *g = &fl->groups[i];
		uint32_t at = b[i].dir->hash & fl->group_mask;

		*g = (struct fgroup){ .dir = b[i].dir, .files = v + b[i].at[LEAF_FILE] - b[i].n[LEAF_FILE],
			.dirs = v + b[i].at[LEAF_DIR] - b[i].n[LEAF_DIR],
			.file_count = (uint32_t)b[i].n[LEAF_FILE], .dir_count = (uint32_t)b[i].n[LEAF_DIR] };
		while (fl->group_hash[at])
			at = (at + 1) & fl->group_mask;
		fl->group_hash[at] = (uint32_t)i + 1;
	}
	return 0;
}

static int sort_tree(struct flist_set *s, struct flist *fl)
{
	struct bucket *b = NULL;
	struct fent **v = fl->walk;
	size_t n;
	int ret;

	if (find_buckets(s, &b, &n) < 0)
		return -1;
	/* With one directory the bucket is the list. A receiver keeps the buckets for look-up. */
	if (n > 1)
		v = s->receiving ? arena_alloc(fl->arena, s->wire_count * sizeof *v, _Alignof(struct fent *))
			: mem_alloc(s->budget, s->wire_count, sizeof *v);
	ret = v ? fill_buckets(s, b, n, v) : -1;
	if (ret == 0 && n > 1)
		ret = order_pieces(s, b, n, v, fl->walk);
	if (ret == 0 && s->receiving)
		ret = make_groups(s, fl, b, n, v);
	if (n > 1 && !s->receiving)
		mem_free(s->budget, v);
	mem_free(s->budget, b);
	return ret;
}

/* ---- protocols 27 and 28: plain bytes of the full name ---- */

static int plain_cmp(const struct fdir *da, const char *na, const struct fdir *db, const char *nb)
{
	size_t pa = fdir_prefix(da), pb = fdir_prefix(db), i = 0;

	if (da == db)
		return strcmp(na, nb);
	for (;; i++) {
		int x = i < da->len ? (uint8_t)da->s[i] : i < pa ? '/' : (uint8_t)na[i - pa];
		int y = i < db->len ? (uint8_t)db->s[i] : i < pb ? '/' : (uint8_t)nb[i - pb];

		if (x != y)
			return x - y;
		if (!x)
			return 0;
	}
}

static int cmp_plain(const struct rec *ra, const struct rec *rb, size_t arg)
{
	const struct fent *a = ra->p, *b = rb->p;

	(void)arg;
	return plain_cmp(a->dir, a->name, b->dir, b->name);
}

static int sort_plain(struct flist_set *s, struct flist *fl)
{
	size_t n = s->wire_count;
	struct rec *rec = mem_alloc(s->budget, n + n / 2 + 1, sizeof *rec);

	if (!rec)
		return -1;
	for (size_t i = 0; i < n; i++)
		rec[i] = (struct rec){ 0, s->wire[i] };
	merge_sort(rec, n, rec + n, cmp_plain, 0);
	for (size_t i = 0; i < n; i++)
		fl->walk[i] = rec[i].p;
	mem_free(s->budget, rec);
	return 0;
}

int flist_sort(struct flist_set *s, struct flist *fl)
{
	if (!s->wire_count)
		return 0;
	return s->fmt.proto >= 29 ? sort_tree(s, fl) : sort_plain(s, fl);
}

/* The rule as the protocol states it, component by component; the sort above has the same result. */
int fent_compare(const struct fent *a, const struct fent *b, int proto)
{
	size_t pa = fdir_prefix(a->dir), pb = fdir_prefix(b->dir), start = 0;
	enum leaf_class ca = class_of(a), cb = class_of(b);

	if (proto < 29)
		return plain_cmp(a->dir, a->name, b->dir, b->name);
	if (ca == LEAF_EMPTY || cb == LEAF_EMPTY)
		return (ca == LEAF_EMPTY ? 0 : 1) - (cb == LEAF_EMPTY ? 0 : 1);
	/* Components of the directory parts are paths with a slash: compare them as strings. */
	if (a->dir == b->dir) {
		start = pa;
	} else {
		for (; start < MIN(pa, pb); start++) {
			int x = start < a->dir->len ? (uint8_t)a->dir->s[start] : '/';
			int y = start < b->dir->len ? (uint8_t)b->dir->s[start] : '/';

			if (x != y)
				return x - y;
		}
	}
	if (pa == pb) {
		if (ca != cb)
			return (int)ca - (int)cb;
		return ca == LEAF_DIR ? slash_cmp(a->name, b->name) : strcmp(a->name, b->name);
	}
	/* One name ends here, the other goes on with a path component. */
	if (pa < pb) {
		const char *n = a->name;

		if (ca != LEAF_DIR)
			return -1;
		for (size_t i = pa;; i++, n++) {
			int x = *n ? (uint8_t)*n : '/', y = i < b->dir->len ? (uint8_t)b->dir->s[i] : '/';

			if (x != y)
				return x - y;
			if (!*n)
				return -1;
		}
	}
	return -fent_compare(b, a, proto);
}

/* ---- duplicates ---- */

static bool same_name(const struct fent *a, const struct fent *b, int proto)
{
	if (proto < 29)
		return !plain_cmp(a->dir, a->name, b->dir, b->name);
	return a->dir == b->dir && FENT_IS_DIR(a) == FENT_IS_DIR(b) && !strcmp(a->name, b->name);
}

static void merge_dirs(struct fent *kept, const struct fent *gone)
{
	uint16_t implied = kept->flags & gone->flags & FENT_IMPLIED;

	kept->flags |= gone->flags & (FENT_TOP_DIR | FENT_CONTENT);
	kept->flags = (uint16_t)((kept->flags & ~FENT_IMPLIED) | implied);
}

/* From protocol 29 on a directory wins over a non-directory of its name, which is elsewhere in the list. */
static void clear_shadowed(struct flist *fl)
{
	for (uint32_t k = 0; k < fl->group_count; k++) {
		const struct fgroup *g = &fl->groups[k];

		for (uint32_t i = 0; i < g->dir_count && g->file_count; i++) {
			uint32_t lo = 0, hi = g->file_count;

			if (g->dirs[i]->flags & FENT_CLEARED)
				continue;
			while (lo < hi) {
				uint32_t m = lo + (hi - lo) / 2;

				if (strcmp(g->files[m]->name, g->dirs[i]->name) < 0)
					lo = m + 1;
				else
					hi = m;
			}
			if (lo < g->file_count && !strcmp(g->files[lo]->name, g->dirs[i]->name))
				g->files[lo]->flags |= FENT_CLEARED;
		}
	}
}

void flist_mark_duplicates(struct flist_set *s, struct flist *fl)
{
	struct fent *kept = NULL;

	for (int32_t i = 0; i < fl->count; i++) {
		struct fent *e = fl->walk[i];

		if (e->flags & FENT_CLEARED || !*e->name)
			continue;
		if (!kept || !same_name(kept, e, s->fmt.proto)) {
			kept = e;
		} else if (!s->receiving) {
			if (FENT_IS_DIR(e) && FENT_IS_DIR(kept))
				e->flags |= FENT_DUP_DIR;
			else if (FENT_IS_DIR(e))
				kept = e;
		} else if (FENT_IS_DIR(e) && !FENT_IS_DIR(kept)) {
			kept->flags |= FENT_CLEARED;
			kept = e;
		} else {
			if (FENT_IS_DIR(e))
				merge_dirs(kept, e);
			e->flags |= FENT_CLEARED;
		}
	}
	if (s->receiving && s->fmt.proto >= 29)
		clear_shadowed(fl);
}

/* ---- look-up ---- */

static struct fent *find_leaf(struct fent **v, uint32_t n, const char *name, bool dir)
{
	uint32_t lo = 0, hi = n;

	while (lo < hi) {
		uint32_t m = lo + (hi - lo) / 2;
		int c = dir ? slash_cmp(v[m]->name, name) : strcmp(v[m]->name, name);

		if (c < 0)
			lo = m + 1;
		else
			hi = m;
	}
	for (; lo < n && !strcmp(v[lo]->name, name); lo++) {
		if (!(v[lo]->flags & FENT_CLEARED))
			return v[lo];
	}
	return NULL;
}

static struct fent *lookup_plain(const struct flist *fl, const char *dir, const char *name)
{
	union {
		struct fdir d;
		char room[sizeof(struct fdir) + PATH_LIMIT + 1];
	} key;
	size_t len = strlen(dir);
	int32_t lo = 0, hi = fl->count;

	if (len > PATH_LIMIT)
		return NULL;
	key.d.len = (uint32_t)len;
	memcpy(key.room + offsetof(struct fdir, s), dir, len + 1);
	while (lo < hi) {
		int32_t m = lo + (hi - lo) / 2;

		if (plain_cmp(fl->walk[m]->dir, fl->walk[m]->name, &key.d, name) < 0)
			lo = m + 1;
		else
			hi = m;
	}
	for (; lo < fl->count && !plain_cmp(fl->walk[lo]->dir, fl->walk[lo]->name, &key.d, name); lo++) {
		if (!(fl->walk[lo]->flags & FENT_CLEARED))
			return fl->walk[lo];
	}
	return NULL;
}

struct fent *flist_lookup(const struct flist_set *s, const struct flist *fl, const char *dir, const char *name)
{
	size_t len;
	uint32_t hash, at;

	if (s->fmt.proto < 29)
		return lookup_plain(fl, dir, name);
	if (!fl->group_count)
		return NULL;
	len = strlen(dir);
	hash = fdir_hash(s, dir, len);
	for (at = hash & fl->group_mask; fl->group_hash[at]; at = (at + 1) & fl->group_mask) {
		const struct fgroup *g = &fl->groups[fl->group_hash[at] - 1];
		struct fent *e;

		if (g->dir->hash != hash || g->dir->len != len || memcmp(g->dir->s, dir, len))
			continue;
		e = find_leaf(g->files, g->file_count, name, false);
		return e ? e : find_leaf(g->dirs, g->dir_count, name, true);
	}
	return NULL;
}
