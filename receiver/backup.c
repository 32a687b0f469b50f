/*
 * backup.c - keeping the old item under its backup name (spec 08 §12).
 */
#include "config.h"
#include "receiver/finish.h"

#include <errno.h>
#include <stdio.h>
#include <sys/sysmacros.h>

#include "filter/safelink.h"
#include "receiver/dest.h"
#include "sandbox/broker.h"

/* Removes all of a directory but the first directory in it, whose leaf it gives: 1. 0: it is empty. Or negative errno. */
static int clear_level(struct sb *sb, const char *path, char sub[SB_NAME_MAX + 1])
{
	struct sb_dirent ent;
	struct sb_dir *d;
	int rc = sb_opendir(sb, path, ".", 0, &d, NULL);

	if (rc < 0)
		return rc;
	while ((rc = sb_readdir(d, &ent)) == 1) {
		rc = sb_unlink(sb, path, ent.name);
		if (rc < 0)
			break;
	}
	if (rc == -EISDIR || rc == -EPERM) {
		memcpy(sub, ent.name, ent.len + 1);
		rc = 1;
	}
	sb_closedir(d);
	return rc;
}

/* One directory is open at a time, however deep it goes. */
int tree_remove(struct sb *sb, const char *dir, const char *leaf)
{
	char path[PATH_LIMIT + 1], sub[SB_NAME_MAX + 1];
	int rc = sb_unlink(sb, dir, leaf);
	size_t top, len;

	if (rc != -EISDIR && rc != -EPERM)
		return rc;
	if (path_join(path, dir, leaf) < 0)
		return -ENAMETOOLONG;
	top = len = strlen(path);
	for (;;) {
		char *slash;

		rc = clear_level(sb, path, sub);
		if (rc < 0)
			return rc;
		if (rc) {
			if (len + 1 + strlen(sub) > PATH_LIMIT)
				return -ENAMETOOLONG;
			path[len] = '/';
			strcpy(path + len + 1, sub);
			len += 1 + strlen(sub);
			continue;
		}
		if (len == top)
			return sb_rmdir(sb, dir, leaf);
		slash = strrchr(path, '/');
		*slash = '\0';
		rc = sb_rmdir(sb, path, slash + 1);
		if (rc < 0)
			return rc;
		len = strlen(path);
	}
}

/* Makes the directories of path beneath the backup directory, each with the attributes of the one it stands for. */
static int make_dirs(struct hands *h, struct sb *bk, const char *path)
{
	char dir[PATH_LIMIT + 1], leaf[SB_NAME_MAX + 1];
	size_t at = 0;

	while (path[at]) {
		size_t len = strcspn(path + at, "/");
		struct stat st;
		int rc;

		if (len > SB_NAME_MAX)
			return -ENAMETOOLONG;
		memcpy(dir, path, at ? at - 1 : 0);
		dir[at ? at - 1 : 0] = 0;
		memcpy(leaf, path + at, len);
		leaf[len] = 0;
		rc = sb_mkdir(bk, dir, leaf, 0777);
		if (rc == -EEXIST && sb_lstat(bk, dir, leaf, &st) == 0 && !S_ISDIR(st.st_mode)) {
			rc = sb_unlink(bk, dir, leaf);
			if (rc == 0)
				rc = sb_mkdir(bk, dir, leaf, 0777);
		}
		if (rc == 0 && sb_lstat(h->dest, dir, leaf, &st) == 0) {
			struct stat made;

			/* Without -p what it has inherited stays. */
			if (!h->rx->o->perms && sb_lstat(bk, dir, leaf, &made) == 0)
				st.st_mode |= made.st_mode & S_ISGID;
			if (h->rx->super && (h->rx->o->owner || h->rx->o->group))
				sb_chown(bk, dir, leaf, h->rx->o->owner ? st.st_uid : (uid_t)-1, h->rx->o->group ? st.st_gid : (gid_t)-1);
			attrs_copy(h, &(struct target){ h->dest, dir, leaf, -1, NULL }, &(struct target){ bk, dir, leaf, -1, NULL }, false);
			sb_utimes(bk, dir, leaf, NULL, &st.st_mtim);
			sb_chmod(bk, dir, leaf, st.st_mode & PERM_BITS);
		} else if (rc < 0 && rc != -EEXIST) {
			return rc;
		}
		at += len;
		while (path[at] == '/')
			at++;
	}
	return 0;
}

struct sb *backup_place(struct hands *h, const char *dir, const char *leaf, const char **bdir, char bleaf[SB_NAME_MAX + 1])
{
	struct sb *bk = h->dest;
	char name[BACKUP_NAME];
	int rc = 0;

	*bdir = dir;
	if (h->rx->o->backup_dir && !(bk = hands_backup(h)))
		return NULL;
	if (snprintf(bleaf, SB_NAME_MAX + 1, "%s%s", leaf, h->rx->o->suffix ? h->rx->o->suffix : "") > SB_NAME_MAX)
		rc = -ENAMETOOLONG;
	else if (bk != h->dest)
		rc = make_dirs(h, bk, dir);
	if (rc < 0) {
		say_errno(SAY_ERROR_XFER, -rc, "keep_backup failed: %s -> \"%s\"", FULL(h->rx, dir, leaf), backup_name(h->rx, dir, leaf, name));
		errno = -rc;
		return NULL;
	}
	return bk;
}

static bool is_unsafe_link(struct hands *h, const char *dir, const char *leaf)
{
	char target[PATH_LIMIT + 1], name[PATH_LIMIT + 1];

	if (hands_readlink(h, h->dest, dir, leaf, target, sizeof target) < 0 || path_join(name, dir, leaf) < 0)
		target[0] = 0;
	if (target[0] && !symlink_is_unsafe(target, name))
		return false;
	if (info_gte(h->rx->o, INFO_SYMSAFE, 1))
		say(SAY_INFO, "not backing up unsafe symlink \"%s\" -> \"%s\"", name, target);
	return true;
}

/* Where the broker finds the backup. That of a remote-shell server reaches the destination and what lies beneath it alone. */
static int backup_for_broker(struct rx *rx, const char *bdir, char *out)
{
	char base[PATH_LIMIT + 1], rel[PATH_LIMIT + 1];
	size_t n = strlen(rx->dest_path);

	if (dest_backup_path(rx, base) < 0)
		return -ENAMETOOLONG;
	if (!rx->x->places)
		return path_join(out, base, bdir) < 0 ? -ENAMETOOLONG : 0;
	if (strncmp(base, rx->dest_path, n) || (n && base[n] != '/'))
		return -EPERM;
	return path_join(rel, base + n + (n > 0), bdir) < 0 ? -ENAMETOOLONG : dest_broker_dir(rx, rel, out);
}

/* Device nodes get names from the broker alone. */
static int node_by_broker(struct hands *h, const char *dir, const char *leaf, bool removing, struct sb *bk, const char *bdir,
			  const char *bleaf)
{
	char from[PATH_LIMIT + 1], to[PATH_LIMIT + 1];
	struct rx *rx = h->rx;
	struct broker_node node;
	int rc;

	if (!rx->x->broker)
		return -EPERM;
	rc = dest_broker_dir(rx, dir, from);
	if (rc == 0)
		rc = bk == h->dest ? dest_broker_dir(rx, bdir, to) : backup_for_broker(rx, bdir, to);
	if (rc < 0)
		return rc;
	return removing ? broker_move(rx->x->broker, from, leaf, to, bleaf, true, &node) :
			  broker_link(rx->x->broker, from, leaf, to, bleaf, &node);
}

/* Link when it stays, rename when it goes; what cannot be linked is renamed too. */
static int link_or_rename(struct hands *h, const char *dir, const char *leaf, const struct stat *st, bool removing,
			  struct sb *bk, const char *bdir, const char *bleaf)
{
	int rc = -1;

	if ((S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode)) && !h->rx->fake)
		return node_by_broker(h, dir, leaf, removing, bk, bdir, bleaf);
	if (!removing) {
		rc = sb_link(h->dest, dir, leaf, bk, bdir, bleaf);
		if (rc == 0 || rc == -EEXIST || rc == -EISDIR)
			return rc;
		if (!S_ISREG(st->st_mode))
			return rc;
	}
	rc = sb_rename(h->dest, dir, leaf, bk, bdir, bleaf, 0);
	/* Renaming one name of a file onto another of its names does nothing. */
	if (rc == 0 && st->st_nlink > 1)
		sb_unlink(h->dest, dir, leaf);
	return rc;
}

/* On another file system: content, target or node, and the attributes. */
static int copy_item(struct hands *h, const char *dir, const char *leaf, const struct stat *st, struct sb *bk,
		     const char *bdir, const char *bleaf)
{
	char target[PATH_LIMIT + 1];
	int rc;

	if (S_ISLNK(st->st_mode)) {
		ssize_t n = sb_readlink(h->dest, dir, leaf, target, sizeof target);

		rc = n < 0 ? (int)n : sb_symlink(bk, target, bdir, bleaf);
	} else if (S_ISFIFO(st->st_mode) || S_ISSOCK(st->st_mode)) {
		rc = sb_mknod(bk, bdir, bleaf, st->st_mode);
	} else if (S_ISREG(st->st_mode)) {
		_cleanup_close_ int from = hands_open(h, h->dest, dir, leaf, NULL);
		_cleanup_close_ int to = from < 0 ? -1 : sb_open_write(bk, bdir, bleaf, SB_CREATE | SB_EXCL, 0600, NULL);

		rc = from < 0 ? from : to < 0 ? to : copy_data(h, from, to);
	} else if (h->rx->super) {
		return -EPERM; /* a node that cannot be kept is not replaced */
	} else {
		say(SAY_INFO, "make_bak: skipping non-regular file %s", leaf);
		return 0;
	}
	if (rc < 0)
		return rc;
	if (h->rx->super)
		sb_chown(bk, bdir, bleaf, st->st_uid, st->st_gid);
	attrs_copy(h, &(struct target){ h->dest, dir, leaf, -1, NULL }, &(struct target){ bk, bdir, bleaf, -1, NULL }, true);
	sb_utimes(bk, bdir, bleaf, NULL, &st->st_mtim);
	if (!S_ISLNK(st->st_mode))
		sb_chmod(bk, bdir, bleaf, st->st_mode & PERM_BITS);
	return 0;
}

/* Without the slashes at its end. */
static int backup_dir_len(const struct xfer_opts *o)
{
	size_t n = o->backup_dir ? strlen(o->backup_dir) : 0;

	while (n > 1 && o->backup_dir[n - 1] == '/')
		n--;
	return (int)n;
}

const char *backup_name(const struct rx *rx, const char *dir, const char *leaf, char out[BACKUP_NAME])
{
	const struct xfer_opts *o = rx->o;

	snprintf(out, BACKUP_NAME, "%.*s%s%s%s%s%s", backup_dir_len(o), o->backup_dir ? o->backup_dir : "", o->backup_dir ? "/" : "",
		 dir, *dir ? "/" : "", leaf, o->suffix ? o->suffix : "");
	return out;
}

void backup_say(const struct rx *rx, const char *dir, const char *leaf)
{
	char name[BACKUP_NAME];

	if (info_gte(rx->o, INFO_BACKUP, 1))
		say(SAY_INFO, "backed up %s%s%s to %s", dir, *dir ? "/" : "", leaf, backup_name(rx, dir, leaf, name));
}

void backup_say_dir(const struct rx *rx, bool is_there)
{
	if (info_gte(rx->o, INFO_BACKUP, 1))
		say(SAY_INFO, "%sbackup_dir is %.*s", is_there ? "" : "(new) ", backup_dir_len(rx->o), rx->o->backup_dir);
}

int backup_make(struct hands *h, const char *dir, const char *leaf, const struct stat *st, bool removing)
{
	char bleaf[SB_NAME_MAX + 1], name[BACKUP_NAME];
	const char *bdir;
	struct sb *bk;
	int rc;

	if (S_ISDIR(st->st_mode))
		return 0;
	if (S_ISLNK(st->st_mode) && h->rx->o->safe_links && h->rx->o->links && is_unsafe_link(h, dir, leaf))
		return 0;
	if (h->rx->dry) {
		backup_say(h->rx, dir, leaf);
		return 0;
	}
	bk = backup_place(h, dir, leaf, &bdir, bleaf);
	if (!bk)
		return -errno;
	rc = link_or_rename(h, dir, leaf, st, removing, bk, bdir, bleaf);
	if (rc == -EEXIST || rc == -EISDIR) {
		rc = tree_remove(bk, bdir, bleaf);
		if (rc < 0) {
			say_errno(SAY_ERROR_XFER, -rc, "could not make way for backup: %s", bleaf);
			return rc;
		}
		rc = link_or_rename(h, dir, leaf, st, removing, bk, bdir, bleaf);
	}
	if (rc == -ENOENT && sb_lstat(h->dest, dir, leaf, &(struct stat){ 0 }) == -ENOENT)
		return 0;
	if (rc < 0) {
		struct stat real = *st;

		/* A placeholder is copied as the file that it is. */
		if (h->rx->fake)
			sb_lstat(h->dest, dir, leaf, &real);
		rc = copy_item(h, dir, leaf, &real, bk, bdir, bleaf);
		if (rc == 0 && removing)
			rc = sb_unlink(h->dest, dir, leaf);
	}
	if (rc < 0) {
		say_errno(SAY_ERROR_XFER, -rc, "keep_backup failed: %s -> \"%s\"", FULL(h->rx, dir, leaf), backup_name(h->rx, dir, leaf, name));
		return rc;
	}
	backup_say(h->rx, dir, leaf);
	return 0;
}
