/*
 * fs_cache.c - a thread's view of an anchor: (dir) to a held directory fd.
 *
 * Slots live in one array, linked twice: by use, and by hash bucket. The one thing threads share
 * is a counter of directory changes; a view that sees it move drops all it holds.
 */
#include "config.h"

#include <sys/random.h>

#include "sandbox/fs_priv.h"

static _Atomic unsigned dir_changes;

static uint32_t hash_path(const char *s, size_t len)
{
	uint32_t h = 2166136261u;

	for (size_t i = 0; i < len; i++)
		h = (h ^ (unsigned char)s[i]) * 16777619u;
	return h ^ h >> 15;
}

/* As of the last tick of the kernel's clock, which costs next to nothing. */
static int64_t tick_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

struct sb *sb_new(struct anchor *a, unsigned dirs)
{
	unsigned n = dirs ? dirs : SB_DIRS_DEFAULT, buckets = 8;
	struct sb *sb = calloc(1, sizeof(*sb));

	if (!sb)
		return NULL;
	n = MAX(n, 4u);
	n = MIN(n, 4096u);
	while (buckets < 2 * n)
		buckets *= 2;
	sb->slots = calloc(n, sizeof(*sb->slots));
	sb->buckets = malloc(buckets * sizeof(*sb->buckets));
	if (!sb->slots || !sb->buckets || getrandom(&sb->prng, sizeof(sb->prng), 0) != sizeof(sb->prng)) {
		free(sb->slots);
		free(sb->buckets);
		free(sb);
		return NULL;
	}
	sb->a = anchor_ref(a);
	sb->size = n;
	sb->mask = buckets - 1;
	sb->head = sb->tail = sb->last = sb->hand = SLOT_NONE;
	sb->seen = sb->now = tick_ms();
	sb->changes = atomic_load_explicit(&dir_changes, memory_order_acquire);
	for (unsigned i = 0; i < buckets; i++)
		sb->buckets[i] = SLOT_NONE;
	for (unsigned i = 0; i < n; i++) {
		sb->slots[i].fd = -1;
		sb->slots[i].next = i + 1 < n ? i + 1 : SLOT_NONE;
	}
	return sb;
}

struct anchor *sb_anchor(const struct sb *sb) { return sb->a; }

static void use_unlink(struct sb *sb, unsigned i)
{
	struct dirent_fd *d = &sb->slots[i];

	*(d->prev == SLOT_NONE ? &sb->head : &sb->slots[d->prev].next) = d->next;
	*(d->next == SLOT_NONE ? &sb->tail : &sb->slots[d->next].prev) = d->prev;
}

static void use_first(struct sb *sb, unsigned i)
{
	struct dirent_fd *d = &sb->slots[i];

	d->prev = SLOT_NONE;
	d->next = sb->head;
	*(sb->head == SLOT_NONE ? &sb->tail : &sb->slots[sb->head].prev) = i;
	sb->head = i;
}

static void drop_slot(struct sb *sb, unsigned i)
{
	struct dirent_fd *d = &sb->slots[i];
	unsigned *at = &sb->buckets[d->hash & sb->mask];

	while (*at != i)
		at = &sb->slots[*at].chain;
	*at = d->chain;
	use_unlink(sb, i);
	if (d->user) {
		d->user->slot = SLOT_NONE;
		d->user = NULL;
	} else
		close(d->fd);
	d->fd = -1;
	d->next = sb->empty;
	sb->empty = i;
	if (sb->last == i)
		sb->last = SLOT_NONE;
}

static void drop_all(struct sb *sb)
{
	while (sb->head != SLOT_NONE)
		drop_slot(sb, sb->head);
}

void sb_free(struct sb *sb)
{
	if (!sb)
		return;
	drop_all(sb);
	for (unsigned i = 0; i < sb->size; i++)
		free(sb->slots[i].path);
	while (sb->nspares)
		free(sb->spares[--sb->nspares]);
	anchor_unref(sb->a);
	free(sb->slots);
	free(sb->buckets);
	free(sb);
}

/* Drops every slot whose path is dir/leaf (leaf may be NULL) or beneath it. True if there was one. */
static bool drop_beneath(struct sb *sb, const char *dir, const char *leaf)
{
	size_t n = strlen(dir), m = leaf ? strlen(leaf) : 0, skip = n && leaf ? n + 1 : n;
	bool any = false;

	for (unsigned i = sb->head, next; i != SLOT_NONE; i = next) {
		struct dirent_fd *d = &sb->slots[i];
		next = d->next;
		if (d->len < skip + m || (d->len > skip + m && d->path[skip + m] != '/') ||
		    (skip > n && d->path[n] != '/'))
			continue;
		if (memcmp(d->path, dir, n) || (m && memcmp(d->path + skip, leaf, m)))
			continue;
		drop_slot(sb, i);
		any = true;
	}
	return any;
}

void sb_forget(struct sb *sb, const char *dir)
{
	if (!dir || !*dir || is_dot(dir))
		drop_all(sb);
	else
		drop_beneath(sb, dir, NULL);
}

void sb_changed(struct sb *sb, const char *dir, const char *leaf, bool surely_dir)
{
	if (is_dot(dir))
		dir = "";
	bool held = drop_beneath(sb, dir, leaf);

	if (!held && !surely_dir)
		return;
	/* the same directory may be held under another name */
	if (sb->a->links != LINKS_REFUSE)
		drop_all(sb);
	unsigned old = atomic_fetch_add_explicit(&dir_changes, 1, memory_order_acq_rel);
	if (sb->changes == old)
		sb->changes = old + 1;
}

void sb_sync(struct sb *sb)
{
	unsigned now = atomic_load_explicit(&dir_changes, memory_order_acquire);

	sb->now = tick_ms();
	sb->hand = SLOT_NONE;
	if (UNLIKELY(now != sb->changes)) {
		drop_all(sb);
		sb->changes = now;
	}
}

/* The rules of fs.h for dir. */
static int dir_check(const char *dir)
{
	const char *c = dir;

	for (;;) {
		size_t n = strcspn(c, "/");
		if (n == 0 || (c[0] == '.' && (n == 1 || (n == 2 && c[1] == '.'))))
			return -EINVAL;
		c += n;
		if (!*c)
			break;
		c++;
	}
	return c - dir > PATH_LIMIT ? -ENAMETOOLONG : 0;
}

static int open_dir(struct sb *sb, const char *dir, int oflags)
{
	for (;;) {
		int fd = walk_dir(sb->a->fd, dir, sb->a->links, sb->a->portable, oflags);
		if (fd >= 0 || (fd != -EMFILE && fd != -ENFILE) || sb->head == sb->tail)
			return fd;
		/* the latest one stays: the caller may still be using it */
		drop_slot(sb, sb->tail);
	}
}

/* Puts fd into the cache; it belongs to the cache if that succeeds. */
static unsigned insert(struct sb *sb, const char *dir, size_t len, uint32_t hash, int fd, struct sb_dir *user)
{
	if (sb->empty == SLOT_NONE)
		drop_slot(sb, sb->tail);
	unsigned i = sb->empty;
	struct dirent_fd *d = &sb->slots[i];

	if (d->cap <= len) {
		size_t cap = MAX(len + 1, (size_t)96);
		char *p = realloc(d->path, cap);
		if (!p)
			return SLOT_NONE;
		d->path = p;
		d->cap = cap;
	}
	sb->empty = d->next;
	memcpy(d->path, dir, len + 1);
	d->len = len;
	d->hash = hash;
	d->fd = fd;
	d->user = user;
	d->seen = sb->now;
	d->chain = sb->buckets[hash & sb->mask];
	sb->buckets[hash & sb->mask] = i;
	use_first(sb, i);
	return i;
}

/* Whoever may rename a directory that is held can take it out of the tree. */
static bool is_old(const struct sb *sb, int64_t seen)
{
	return UNLIKELY(sb->now - seen >= SB_HELD_MS);
}

/* The mount of a module's root keeps Landlock's rights in what was moved out of it, but has no way up from there. */
static int look_at_anchor(struct sb *sb)
{
	if (faccessat(sb->a->fd, "..", F_OK, 0) < 0 && errno == ENOENT)
		return -ENOENT;
	sb->seen = sb->now;
	return 0;
}

/* The slot of dir, if it may still be used. */
static unsigned find(struct sb *sb, const char *dir, size_t len, uint32_t hash)
{
	unsigned i = sb->buckets[hash & sb->mask];

	while (i != SLOT_NONE) {
		const struct dirent_fd *d = &sb->slots[i];
		if (d->hash == hash && d->len == len && !memcmp(d->path, dir, len))
			break;
		i = d->chain;
	}
	if (i != SLOT_NONE && i != sb->hand && is_old(sb, sb->slots[i].seen)) {
		drop_slot(sb, i);
		return SLOT_NONE;
	}
	return i;
}

/* The place in hand is the first by use, so that finding a second one cannot close it. */
static int take_slot(struct sb *sb, unsigned i)
{
	if (sb->head != i) {
		use_unlink(sb, i);
		use_first(sb, i);
	}
	sb->fresh = false;
	sb->last = sb->hand = i;
	return sb->slots[i].fd;
}

int sb_place_more(struct sb *sb, const char *dir)
{
	if (sb->last != SLOT_NONE && !is_old(sb, sb->slots[sb->last].seen) && !strcmp(sb->slots[sb->last].path, dir))
		return take_slot(sb, sb->last);
	sb->fresh = true;
	if (is_old(sb, sb->seen) && look_at_anchor(sb) < 0)
		return -ENOENT;
	if (!*dir || is_dot(dir))
		return sb->a->fd;
	size_t len = strlen(dir);
	uint32_t hash = hash_path(dir, len);
	unsigned i = find(sb, dir, len, hash);
	if (i != SLOT_NONE)
		return take_slot(sb, i);
	int r = dir_check(dir);
	if (r < 0)
		return r;
	int fd = open_dir(sb, dir, O_PATH);
	if (fd < 0)
		return fd;
	i = insert(sb, dir, len, hash, fd, NULL);
	if (i == SLOT_NONE) {
		close(fd);
		return -ENOMEM;
	}
	sb->last = sb->hand = i;
	return fd;
}

int sb_place(struct sb *sb, const char *dir)
{
	sb_sync(sb);
	return sb_place_more(sb, dir);
}

void sb_cache_listing(struct sb *sb, const char *path, struct sb_dir *d)
{
	size_t len = strlen(path);
	uint32_t hash = hash_path(path, len);

	d->slot = SLOT_NONE;
	if (len && find(sb, path, len, hash) == SLOT_NONE)
		d->slot = insert(sb, path, len, hash, d->fd, d);
}

int sb_place_listing(struct sb *sb, const char *dir, int oflags, struct sb_dir *d)
{
	d->slot = SLOT_NONE;
	sb_sync(sb);
	if (is_old(sb, sb->seen) && look_at_anchor(sb) < 0)
		return -ENOENT;
	if (!*dir || is_dot(dir)) {
		d->fd = openat(sb->a->fd, ".", oflags | O_DIRECTORY | O_CLOEXEC);
		return d->fd < 0 ? -errno : 0;
	}
	/* a held fd may be O_PATH, or in use by another listing, which owns the position */
	size_t len = strlen(dir);
	unsigned i = find(sb, dir, len, hash_path(dir, len));
	if (i != SLOT_NONE) {
		d->fd = openat(sb->slots[i].fd, ".", oflags | O_DIRECTORY | O_CLOEXEC);
		if (d->fd >= 0)
			return 0;
		if (errno != ENOENT && errno != ESTALE)
			return -errno;
		drop_beneath(sb, dir, NULL);
	}
	int r = dir_check(dir);
	if (r < 0)
		return r;
	d->fd = open_dir(sb, dir, oflags);
	if (d->fd < 0)
		return d->fd;
	sb_cache_listing(sb, dir, d);
	return 0;
}

bool sb_stale(struct sb *sb, const char *dir, int r, bool creates)
{
	if (sb->fresh || !(r == -ESTALE || (r == -ENOENT && creates)) || !*dir || is_dot(dir))
		return false;
	return drop_beneath(sb, dir, NULL);
}

int sb_join(const char *dir, const char *leaf, char *out)
{
	size_t n = is_dot(dir) ? 0 : strlen(dir), m = is_dot(leaf) ? 0 : strlen(leaf);

	if (n + 1 + m > PATH_LIMIT)
		return -ENAMETOOLONG;
	memcpy(out, dir, n);
	if (n && m)
		out[n++] = '/';
	memcpy(out + n, leaf, m);
	out[n + m] = '\0';
	return 0;
}
