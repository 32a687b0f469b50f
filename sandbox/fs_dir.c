/*
 * fs_dir.c - listing a directory from a held fd. See fs.h.
 *
 * The fd of a listing also serves as the cached place of that directory, so that looking at what
 * was listed costs no second open.
 */
#include "config.h"

#include <dirent.h>

#include "sandbox/fs_priv.h"

static int open_child(struct sb *sb, const char *dir, const char *leaf, int oflags, struct sb_dir *d)
{
	char path[PATH_LIMIT + 1], probe[1];

	d->slot = SLOT_NONE;
	d->fd = AT_PLACE(sb, dir, false, openat(at, leaf, oflags | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
	if (d->fd == -ENOTDIR && AT_PLACE(sb, dir, false, readlinkat(at, leaf, probe, sizeof(probe))) >= 0)
		return -ELOOP;
	if (d->fd < 0)
		return d->fd;
	if (sb_join(dir, leaf, path) == 0)
		sb_cache_listing(sb, path, d);
	return 0;
}

int sb_opendir(struct sb *sb, const char *dir, const char *leaf, unsigned flags, struct sb_dir **out, struct stat *st)
{
	const int how = O_RDONLY | O_NONBLOCK | O_NOCTTY | (flags & SB_NOATIME ? O_NOATIME : 0);
	int r = leaf_check(leaf, true);

	*out = NULL;
	if (r < 0)
		return r;
	struct sb_dir *d = sb->nspares ? sb->spares[--sb->nspares] : malloc(sizeof(*d));
	if (!d)
		return -ENOMEM;
	d->sb = sb;
	d->fd = -1;
	d->pos = d->end = 0;
	r = is_dot(leaf) ? sb_place_listing(sb, dir, how, d) : open_child(sb, dir, leaf, how, d);
	if (r == 0 && st && fstat(d->fd, st) < 0)
		r = -errno;
	if (r < 0) {
		if (d->fd < 0)
			d->fd = -1;
		sb_closedir(d);
		return r;
	}
	*out = d;
	return 0;
}

int sb_readdir(struct sb_dir *d, struct sb_dirent *ent)
{
	for (;;) {
		if (d->pos >= d->end) {
			ssize_t n = getdents64(d->fd, d->buf, sizeof(d->buf));
			if (n <= 0)
				return n < 0 && errno != ENOENT ? -errno : 0; /* ENOENT: it was removed meanwhile */
			d->pos = 0;
			d->end = (size_t)n;
		}
		const struct dirent64 *e = (const void *)(d->buf + d->pos);
		d->pos += e->d_reclen;
		const char *s = e->d_name;
		if (s[0] == '.' && (!s[1] || (s[1] == '.' && !s[2])))
			continue;
		ent->name = s;
		ent->len = strlen(s);
		ent->type = e->d_type;
		ent->ino = e->d_ino;
		return 1;
	}
}

int sb_dir_search(struct sb_dir *d)
{
	struct stat st;

	return fstatat(d->fd, ".", &st, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

int sb_dir_lstat(struct sb_dir *d, const char *leaf, struct stat *st)
{
	int r = leaf_check(leaf, false);

	if (r < 0)
		return r;
	return fstatat(d->fd, leaf, st, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

void sb_closedir(struct sb_dir *d)
{
	if (!d)
		return;
	struct sb *sb = d->sb;
	if (d->slot != SLOT_NONE)
		sb->slots[d->slot].user = NULL; /* the cache keeps it */
	else if (d->fd >= 0)
		close(d->fd);
	if (sb->nspares < SB_SPARES)
		sb->spares[sb->nspares++] = d;
	else
		free(d);
}
