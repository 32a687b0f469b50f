/*
 * dirs.c - the table of destination directories: what is known about each, default ACLs, and the final
 * touch-up of times and permissions.
 */
#include "config.h"
#include "receiver/gen.h"

#include <errno.h>
#include <xxhash.h>

const char *dirs_path(const struct gdir *d, char *buf)
{
	if (!d->e)
		return d->path;
	fent_path(d->e, buf);
	return strcmp(buf, ".") == 0 ? "" : buf;
}

static uint64_t hash_of(const struct gen *g, const char *path)
{
	return XXH3_64bits_withSeed(path, strlen(path), g->hash_seed);
}

uint32_t dirs_find(struct gen *g, const char *path)
{
	uint64_t h = hash_of(g, path);
	char buf[PATH_LIMIT + 1];

	if (!g->index_cap)
		return NO_DIR;
	for (size_t i = h & (g->index_cap - 1); g->dir_index[i]; i = (i + 1) & (g->index_cap - 1)) {
		uint32_t n = g->dir_index[i] - 1;

		if (g->dirs[n].hash == h && strcmp(dirs_path(&g->dirs[n], buf), path) == 0)
			return n;
	}
	return NO_DIR;
}

static int grow_index(struct gen *g)
{
	size_t cap = MAX(g->index_cap * 2, (size_t)256);
	uint32_t *t = mem_zalloc(g->rx->budget, cap, sizeof *t);

	if (!t)
		return -1;
	for (size_t n = 0; n < g->ndirs; n++) {
		size_t i = g->dirs[n].hash & (cap - 1);

		while (t[i])
			i = (i + 1) & (cap - 1);
		t[i] = (uint32_t)n + 1;
	}
	mem_free(g->rx->budget, g->dir_index);
	g->dir_index = t;
	g->index_cap = cap;
	return 0;
}

static uint32_t add(struct gen *g, const struct fent *e, const char *path, unsigned flags)
{
	struct gdir *p = mem_grow(g->rx->budget, g->dirs, &g->dirs_cap, g->ndirs + 1, sizeof *p);
	size_t i;

	if (p)
		g->dirs = p;
	if (!p || g->ndirs >= NO_DIR - 1 || ((g->ndirs + 1) * 2 > g->index_cap && grow_index(g) < 0)) {
		gen_fail(g, RX_MALLOC, "out of memory for directories");
		return 0;
	}
	p = &g->dirs[g->ndirs];
	*p = (struct gdir){ .e = e, .path = path, .flags = (uint16_t)flags };
	p->hash = hash_of(g, path);
	if (e)
		p->path = NULL;
	for (i = p->hash & (g->index_cap - 1); g->dir_index[i]; )
		i = (i + 1) & (g->index_cap - 1);
	g->dir_index[i] = (uint32_t)g->ndirs + 1;
	return (uint32_t)g->ndirs++;
}

uint32_t dirs_add(struct gen *g, const struct fent *e, unsigned flags)
{
	char path[PATH_LIMIT + 1];
	uint32_t n;

	fent_path(e, path);
	if (strcmp(path, ".") == 0)
		path[0] = 0;
	n = dirs_find(g, path);
	if (n == NO_DIR)
		return add(g, e, path, flags | GD_LISTED);
	g->dirs[n].e = e;
	g->dirs[n].flags |= (uint16_t)(flags | GD_LISTED);
	return n;
}

uint32_t dirs_add_path(struct gen *g, const char *path, unsigned flags)
{
	uint32_t n = dirs_find(g, path);
	char *copy;

	if (n != NO_DIR) {
		g->dirs[n].flags |= (uint16_t)flags;
		return n;
	}
	copy = arena_strndup(g->arena, path, strlen(path));
	if (!copy) {
		gen_fail(g, RX_MALLOC, "out of memory for directories");
		return 0;
	}
	return add(g, NULL, copy, flags);
}

/* ---- default ACLs ---- */

/* Owner, mask-or-group and other bits of a default ACL in the kernel's form; -1 if it has none of these. */
static int acl_bits(const uint8_t *v, size_t len)
{
	int user = 0, group = 0, mask = -1, other = 0;

	if (len < 4 || get_le32(v) != 2)
		return -1;
	for (size_t i = 4; i + 8 <= len; i += 8) {
		int perm = get_le16(v + i + 2) & 7;

		switch (get_le16(v + i)) {
		case 0x01: user = perm; break;
		case 0x04: group = perm; break;
		case 0x10: mask = perm; break;
		case 0x20: other = perm; break;
		}
	}
	return user << 6 | (mask >= 0 ? mask : group) << 3 | other;
}

/* May a directory of ours have a default ACL? It has its parent's, and so on: one that was there before knows. */
static bool may_inherit(struct gen *g, const char *name)
{
	char parent[PATH_LIMIT + 1];
	uint32_t up;

	strcpy(parent, name);
	do {
		char *slash = strrchr(parent, '/');

		*(slash ? slash : parent) = 0;
		up = dirs_find(g, parent);
	} while (up != NO_DIR && *parent && (g->dirs[up].flags & (GD_NEW | GD_ACL)) == GD_NEW);
	if (up == NO_DIR)
		return true;
	dirs_dflt(g, up);
	return g->dirs[up].flags & GD_HAS_ACL;
}

unsigned dirs_dflt(struct gen *g, uint32_t dir)
{
	char path[PATH_LIMIT + 1];
	unsigned flags = g->dirs[dir].flags, bits = 0777u & ~g->rx->umask;
	uint8_t acl[4 + 8 * 64];
	const char *name;
	ssize_t n = -ENODATA;

	if (flags & GD_ACL)
		return g->dirs[dir].dflt;
	name = dirs_path(&g->dirs[dir], path);
	if (flags & GD_NEW && *name && !g->rx->single[0] && !g->o->acls) {
		if (may_inherit(g, name))
			n = sb_getxattr(g->h.dest, name, ".", SB_ACL_DEFAULT, acl, sizeof acl);
	} else if (g->h.dest && !(flags & GD_MISSING)) {
		n = sb_getxattr(g->h.dest, name, ".", SB_ACL_DEFAULT, acl, sizeof acl);
	}
	if (n == -ERANGE)
		g->dirs[dir].flags |= GD_HAS_ACL;
	if (n > 0) {
		int b = acl_bits(acl, (size_t)n);

		g->dirs[dir].flags |= GD_HAS_ACL;
		if (b >= 0)
			bits = (unsigned)b;
	}
	g->dirs[dir].flags |= GD_ACL;
	g->dirs[dir].dflt = (uint16_t)bits;
	return bits;
}

/* ---- touch-up ---- */

void dirs_touched(struct gen *g, uint32_t dir)
{
	if (g->rx->dir_times)
		g->dirs[dir].flags |= GD_TIME;
}

void dirs_touch_up(struct gen *g, uint32_t dir, bool last)
{
	struct gdir *d = &g->dirs[dir];
	char path[PATH_LIMIT + 1];
	const char *name;
	int rc;

	if (!(d->flags & (GD_TIME | GD_MODE)) || !d->e || !(d->flags & GD_DONE) || (d->flags & (GD_SKIP | GD_MISSING)) ||
	    g->rx->dry || ((d->e->flags & FENT_IMPLIED) && !g->o->implied_dirs) || (g->rx->single[0] && d->e->name[0] == '.' && !d->e->name[1]))
		return;
	name = g->rx->single[0] ? g->rx->single : dirs_path(d, path);
	/* While lists beneath it are open it must stay passable. */
	if ((d->flags & GD_MODE) && (last || (d->mode & 0500) == 0500)) {
		rc = sb_chmod(g->h.dest, name, ".", d->mode);
		if (rc < 0)
			say_errno(SAY_ERROR_XFER, -rc, "failed to set permissions on %s", FULL(g->rx, name, ""));
		d->flags &= (uint16_t)~GD_MODE;
	}
	if ((d->flags & GD_TIME) && g->rx->dir_times) {
		struct timespec mt = { d->e->mtime, (long)d->e->nsec };
		struct stat st;

		/* A peer that knows whole seconds only leaves one of that second as it is.
		   A directory of somebody else: rsync does not tell it here either. */
		if ((d->flags & GD_NEW) || g->p->version >= 31 || sb_lstat(g->h.dest, name, ".", &st) < 0 || !same_time(g->rx, d->e, &st))
			(void)sb_utimes(g->h.dest, name, ".", NULL, &mt);
	}
	d->flags &= (uint16_t)~GD_TIME;
}

/* The backups may have gone into one of the list's; late deletions may have made their directory there. */
static void touched_by_backups(struct gen *g, const char *name)
{
	bool late = g->deletions && (g->delete_when == DELETE_AFTER || g->delete_when == DELETE_DELAY);
	char path[PATH_LIMIT + 1];
	size_t len = strlen(name);
	uint32_t n = dirs_find(g, name);

	if (n != NO_DIR)
		dirs_touched(g, n);
	if (!late || *name == '/' || len > PATH_LIMIT)
		return;
	memcpy(path, name, len + 1);
	do {
		path[len] = 0;
		n = dirs_find(g, path);
		if (n != NO_DIR)
			dirs_touched(g, n);
		while (len && path[len] != '/')
			len--;
	} while (len);
	dirs_touched(g, 0);
}

void dirs_finish(struct gen *g)
{
	if (g->o->backup && g->o->backup_dir)
		touched_by_backups(g, g->o->backup_dir);
	for (size_t i = 0; i < g->ndirs; i++)
		dirs_touch_up(g, (uint32_t)i, true);
}
