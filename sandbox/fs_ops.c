/*
 * fs_ops.c - names: look, make, move, remove. See fs.h.
 */
#include "config.h"

#include <linux/fs.h>
#include <stdio.h>
#include <sys/syscall.h>

#include "sandbox/fs_priv.h"

/* "." means the held directory itself, also where it may not be searched. */
static int stat_at(int at, const char *leaf, struct stat *st)
{
	return is_dot(leaf) ? fstatat(at, "", st, AT_EMPTY_PATH) : fstatat(at, leaf, st, AT_SYMLINK_NOFOLLOW);
}

int sb_lstat(struct sb *sb, const char *dir, const char *leaf, struct stat *st)
{
	int r = leaf_check(leaf, true);

	return r < 0 ? r : AT_PLACE(sb, dir, false, stat_at(at, leaf, st));
}

/* Pins what dir/leaf leads to, links at leaf included. */
static int pin_followed(struct sb *sb, const char *dir, const char *leaf)
{
	char path[PATH_LIMIT + 1];

	if (sb->a->links == LINKS_FREE)
		return AT_PLACE(sb, dir, false, openat(at, leaf, O_PATH | O_CLOEXEC));
	if (sb->a->links == LINKS_TRUSTED) {
		_cleanup_spot_ struct spot spot = { .parent = -1 };
		int t = sb_place(sb, dir);
		if (t >= 0)
			t = walk_spot(t, leaf, 0, 0, &spot);
		if (t < 0)
			return t;
		t = openat(spot.parent, spot.leaf, O_PATH | O_NOFOLLOW | O_CLOEXEC);
		return t < 0 ? -errno : t;
	}
	int r = sb_join(dir, leaf, path);
	if (r < 0)
		return r;
	if (!sb->a->portable)
		return walk_openat2(sb->a->fd, *path ? path : ".", O_PATH, true);
	return walk_beneath(sb->a->fd, path, WALK_FOLLOW | WALK_ANY, 0, NULL, NULL);
}

int sb_stat_follow(struct sb *sb, const char *dir, const char *leaf, struct stat *st)
{
	int r = sb_lstat(sb, dir, leaf, st);

	if (r < 0 || !S_ISLNK(st->st_mode))
		return r;
	_cleanup_close_ int fd = pin_followed(sb, dir, leaf);
	if (fd < 0)
		return fd;
	return fstat(fd, st) < 0 ? -errno : 0;
}

ssize_t sb_readlink(struct sb *sb, const char *dir, const char *leaf, char *buf, size_t size)
{
	int r = leaf_check(leaf, false);

	if (r < 0)
		return r;
	if (!size)
		return -ENAMETOOLONG;
	r = AT_PLACE(sb, dir, false, readlinkat(at, leaf, buf, size));
	if (r < 0)
		return r;
	if ((size_t)r >= size)
		return -ENAMETOOLONG;
	buf[r] = '\0';
	return r;
}

int sb_resolve_in_root(struct sb *sb, const char *dir, const char *leaf, char *rdir, char *rleaf)
{
	int r = leaf_check(leaf, true);

	if (r == 0)
		r = sb_place(sb, dir);
	if (r >= 0)
		r = sb_join(dir, leaf, rdir);
	if (r < 0)
		return r;
	/* It takes a copy before it answers. */
	_cleanup_close_ int fd = walk_beneath(sb->a->fd, rdir, WALK_FOLLOW | WALK_ANY, 0, rdir, NULL);
	if (fd < 0)
		return fd;
	char *slash = strrchr(rdir, '/');
	char *last = slash ? slash + 1 : rdir;
	strcpy(rleaf, *last ? last : ".");
	*(slash ? slash : rdir) = '\0';
	return 0;
}

int sb_pin(struct sb *sb, const char *dir, const char *leaf, struct stat *st)
{
	int r = leaf_check(leaf, true);

	if (r < 0)
		return r;
	_cleanup_close_ int fd = AT_PLACE(sb, dir, false, openat(at, leaf, O_PATH | O_NOFOLLOW | O_CLOEXEC));
	if (fd < 0)
		return fd;
	if (fstat(fd, st) < 0)
		return -errno;
	return TAKE_FD(fd);
}

int sb_mkdir(struct sb *sb, const char *dir, const char *leaf, mode_t mode)
{
	int r = may_change(sb, leaf, false);

	return r < 0 ? r : AT_PLACE(sb, dir, true, mkdirat(at, leaf, mode));
}

/* Where links may lead out, the kernel or the owner rule resolves each level. */
static int mkdirs_wide(struct sb *sb, const char *dir, mode_t mode)
{
	char path[PATH_LIMIT + 1];
	size_t len = strlen(dir);
	int made = 0;

	memcpy(path, dir, len + 1);
	for (size_t i = 1; i <= len; i++) {
		if (path[i] && path[i] != '/')
			continue;
		char keep = path[i];
		path[i] = '\0';
		int r = sb_place(sb, path);
		if (r == -ENOENT) {
			char *slash = strrchr(path, '/');
			if (slash)
				*slash = '\0';
			r = sb_mkdir(sb, slash ? path : "", slash ? slash + 1 : path, mode);
			if (slash)
				*slash = '/';
			made += r == 0;
		}
		if (r < 0 && r != -EEXIST)
			return r;
		path[i] = keep;
	}
	return made;
}

int sb_mkdirs(struct sb *sb, const char *dir, mode_t mode)
{
	unsigned made = 0, how = WALK_CREATE;

	if (sb->a->flags & ANCHOR_READ_ONLY)
		return -EROFS;
	int r = sb_place(sb, dir);
	if (r >= 0)
		return 0;
	if (r != -ENOENT) /* a name that breaks the rules, or something in the way */
		return r;
	if (sb->a->links > LINKS_IN_ROOT)
		return mkdirs_wide(sb, dir, mode);
	if (sb->a->links == LINKS_IN_ROOT)
		how |= WALK_FOLLOW;
	_cleanup_close_ int fd = walk_beneath(sb->a->fd, dir, how, mode, NULL, &made);
	return fd < 0 ? fd : (int)made;
}

int sb_rmdir(struct sb *sb, const char *dir, const char *leaf)
{
	int r = may_change(sb, leaf, false);

	if (r == 0)
		r = AT_PLACE(sb, dir, false, unlinkat(at, leaf, AT_REMOVEDIR));
	if (r == 0)
		sb_changed(sb, dir, leaf, true);
	return r;
}

int sb_unlink(struct sb *sb, const char *dir, const char *leaf)
{
	int r = may_change(sb, leaf, false);

	if (r == 0)
		r = AT_PLACE(sb, dir, false, unlinkat(at, leaf, 0));
	if (r == 0 && sb->a->links != LINKS_REFUSE)
		sb_changed(sb, dir, leaf, false);
	return r;
}

int sb_symlink(struct sb *sb, const char *target, const char *dir, const char *leaf)
{
	int r = may_change(sb, leaf, false);

	return r < 0 ? r : AT_PLACE(sb, dir, true, symlinkat(target, at, leaf));
}

int sb_mknod(struct sb *sb, const char *dir, const char *leaf, mode_t mode)
{
	int r = may_change(sb, leaf, false);

	if (r < 0)
		return r;
	if (S_ISCHR(mode) || S_ISBLK(mode))
		return -EPERM;
	if (!S_ISFIFO(mode) && !S_ISSOCK(mode))
		return -EINVAL;
	return AT_PLACE(sb, dir, true, mknodat(at, leaf, mode & (S_IFMT | 07777), 0));
}

/* --- two places --- */
struct pair {
	struct sb *from, *to;
	const char *dir, *leaf, *todir, *toleaf;
	bool fresh;            /* the first place was opened just now */
	bool again;            /* tried a second time: with both sides in one directory the first is never fresh alone */
	int at, toat;
};

static int pair_place(struct pair *p)
{
	sb_sync(p->from);
	if (p->to != p->from)
		sb_sync(p->to);
	p->at = sb_place_more(p->from, p->dir);
	if (p->at < 0)
		return p->at;
	p->fresh = p->from->fresh;
	p->toat = sb_place_more(p->to, p->todir);
	return MIN(p->toat, 0);
}

/* Either side may have gone; ENOENT is also what a missing leaf says, so only the target's directory counts for it. */
static bool pair_stale(struct pair *p, int r)
{
	bool again = sb_stale(p->to, p->todir, r, true);

	p->from->fresh = p->fresh;
	again |= sb_stale(p->from, p->dir, r, true);
	again &= !p->again;
	p->again = true;
	return again;
}

int sb_link(struct sb *from, const char *dir, const char *leaf, struct sb *to, const char *todir, const char *toleaf)
{
	struct pair p = { .from = from, .to = to, .dir = dir, .leaf = leaf, .todir = todir, .toleaf = toleaf };
	int r = may_change(to, toleaf, false);

	/* a link shares the inode: what is read-only must not gain a writable name */
	if (r == 0)
		r = leaf_check(leaf, false);
	if (r < 0)
		return r;
	do {
		r = pair_place(&p);
		if (r == 0 && linkat(p.at, leaf, p.toat, toleaf, 0) < 0)
			r = -errno;
	} while (r < 0 && pair_stale(&p, r));
	return r;
}

int sb_rename(struct sb *from, const char *dir, const char *leaf, struct sb *to, const char *todir, const char *toleaf,
	      unsigned flags)
{
	struct pair p = { .from = from, .to = to, .dir = dir, .leaf = leaf, .todir = todir, .toleaf = toleaf };
	const unsigned how = (flags & SB_NOREPLACE ? RENAME_NOREPLACE : 0u) | (flags & SB_EXCHANGE ? RENAME_EXCHANGE : 0u);
	int r = may_change(from, leaf, false);

	if (r == 0)
		r = may_change(to, toleaf, false);
	if (r < 0)
		return r;
	do {
		r = pair_place(&p);
		if (r < 0)
			continue;
		/* renameat where it does: old filesystems lack renameat2 */
		if ((how ? renameat2(p.at, leaf, p.toat, toleaf, how) : renameat(p.at, leaf, p.toat, toleaf)) < 0)
			r = -errno;
	} while (r < 0 && pair_stale(&p, r));
	if (r < 0)
		return r;
	bool dirs = flags & (SB_IS_DIR | SB_EXCHANGE);
	sb_changed(from, dir, leaf, dirs);
	sb_changed(to, todir, toleaf, dirs);
	return 0;
}
