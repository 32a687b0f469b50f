/*
 * finish.c - temporary and partial files.
 */
#include "config.h"
#include "receiver/finish.h"

#include <errno.h>

#include "receiver/dest.h"

int temp_create(struct hands *h, struct temp *t, const char *dir, const char *leaf, mode_t mode)
{
	int fd;

	t->live = false;
	t->leaf[0] = 0;
	if (h->temp) {
		t->sb = h->temp;
		t->dir = "";
		fd = sb_create_temp(h->temp, "", leaf, SB_TEMP_DIR, mode, t->leaf);
	} else {
		t->sb = h->dest;
		t->dir = dir;
		fd = sb_create_temp(h->dest, dir, leaf, 0, mode, t->leaf);
	}
	if (fd < 0)
		return fd;
	t->fd = fd;
	t->live = true;
	return 0;
}

char *temp_full(const struct rx *rx, const struct temp *t, char *out)
{
	return rx_full_side(rx, rx->temp ? rx->o->temp_dir : "", t->dir, t->leaf, out);
}

void temp_drop(struct temp *t)
{
	if (t->fd >= 0)
		close(t->fd);
	t->fd = -1;
	if (t->live)
		sb_unlink(t->sb, t->dir, t->leaf);
	t->live = false;
}

int copy_data(struct hands *h, int from, int to)
{
	int64_t off = 0;

	for (;;) {
		ssize_t n = pread(from, h->buf, RX_BUF, off), done = 0;

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : 0;
		while (done < n) {
			ssize_t w = pwrite(to, h->buf + done, (size_t)(n - done), off + done);

			if (w < 0 && errno == EINTR)
				continue;
			if (w <= 0)
				return w < 0 ? -errno : -ENOSPC;
			done += w;
		}
		off += n;
	}
}

/* The temp lives on another file system: a second one is made next to D. */
static int place_copy(struct hands *h, struct temp *t, const char *dir, const char *leaf, const struct fent *e, mode_t mode)
{
	struct temp near = TEMP_INIT;
	struct target tg;
	struct stat st;
	int rc = sb_create_temp(h->dest, dir, leaf, 0, mode & 0700, near.leaf);

	if (rc < 0)
		return rc;
	near.sb = h->dest;
	near.dir = dir;
	near.fd = rc;
	near.live = true;
	rc = copy_data(h, t->fd, near.fd);
	if (rc == 0)
		rc = sbf_stat(near.fd, &st);
	if (rc == 0) {
		tg = (struct target){ h->dest, dir, leaf, near.fd, &(struct target){ t->sb, t->dir, t->leaf, t->fd, NULL } };
		attrs_apply(h, &tg, e, mode, &st, ATTRS_EXACT | ATTRS_XATTRS);
		rc = sb_rename(near.sb, dir, near.leaf, h->dest, dir, leaf, 0);
	}
	if (rc == 0)
		near.live = false;
	temp_drop(&near);
	if (rc == 0)
		temp_drop(t);
	return rc;
}

int temp_place(struct hands *h, struct temp *t, const char *dir, const char *leaf, const struct fent *e, mode_t mode)
{
	int rc = sb_rename(t->sb, t->dir, t->leaf, h->dest, dir, leaf, 0);

	for (int tries = 0; rc == -ETXTBSY && tries < 4; tries++) {
		rc = sb_unlink(h->dest, dir, leaf);
		if (rc == 0)
			rc = sb_rename(t->sb, t->dir, t->leaf, h->dest, dir, leaf, 0);
	}
	if (rc == -EXDEV)
		rc = place_copy(h, t, dir, leaf, e, mode);
	if (rc < 0) {
		say_errno(SAY_ERROR_XFER, -rc, "rename %s -> \"%s\"", temp_full(h->rx, t, (char[NAME_TEXT]){ 0 }), ENAME(e));
		return -1;
	}
	t->live = false;
	return 0;
}

/* ---- partial files ---- */

bool partial_hidden(struct hands *h, const char *dir, const char *leaf)
{
	const char *rel = h->rx->partial_rel;
	char path[PATH_LIMIT + 1];

	if (!h->rx->x->daemon_filter)
		return false;
	if (!rel)
		return dest_hides(h->rx, h->rx->o->partial_dir, "", leaf, false);
	return path_join(path, dir, rel) == 0 && dest_hides(h->rx, "", path, leaf, false);
}

int partial_name(struct hands *h, const char *dir, const char *leaf, struct sb **sb, char *pdir)
{
	if (partial_hidden(h, dir, leaf))
		return -1;
	if (h->rx->partial_rel) {
		*sb = h->dest;
		return path_join(pdir, dir, h->rx->partial_rel);
	}
	*sb = hands_partial(h, false);
	if (!*sb)
		return -1;
	pdir[0] = 0;
	return 0;
}

static const char *split_last(char *path)
{
	char *slash = strrchr(path, '/');

	if (!slash)
		return NULL;
	*slash = 0;
	return slash + 1;
}

int partial_mkdir(struct hands *h, const char *dir, const char *name)
{
	char parent[PATH_LIMIT + 1];
	struct sb *sb;
	const char *leaf;
	struct stat st;
	int rc;

	if (!h->rx->partial_rel)
		return !partial_hidden(h, dir, name) && hands_partial(h, true) ? 0 : -ENOENT;
	if (partial_name(h, dir, name, &sb, parent) < 0)
		return -ENAMETOOLONG;
	leaf = split_last(parent);
	if (!leaf) {
		leaf = h->rx->partial_rel;
		parent[0] = 0;
	}
	rc = sb_mkdir(sb, parent, leaf, 0700);
	if (rc != -EEXIST)
		return rc;
	rc = sb_lstat(sb, parent, leaf, &st);
	if (rc == 0 && !S_ISDIR(st.st_mode)) {
		rc = sb_unlink(sb, parent, leaf);
		if (rc == 0)
			rc = sb_mkdir(sb, parent, leaf, 0700);
	}
	return rc;
}

void partial_cleanup(struct hands *h, const char *dir, const char *leaf, bool unlink_it)
{
	char pdir[PATH_LIMIT + 1];
	const char *last;
	struct sb *sb;

	if (partial_name(h, dir, leaf, &sb, pdir) < 0)
		return;
	if (unlink_it)
		sb_unlink(sb, pdir, leaf);
	if (!h->rx->partial_rel)
		return;
	last = split_last(pdir);
	if (last)
		sb_rmdir(sb, pdir, last);
	else
		sb_rmdir(sb, "", h->rx->partial_rel);
}

int partial_keep(struct hands *h, struct temp *t, const char *dir, const char *leaf)
{
	char pdir[PATH_LIMIT + 1];
	struct sb *sb = NULL;
	int rc = partial_mkdir(h, dir, leaf);

	if (rc == 0 && partial_name(h, dir, leaf, &sb, pdir) < 0)
		rc = -ENAMETOOLONG;
	if (rc == 0)
		rc = sb_rename(t->sb, t->dir, t->leaf, sb, pdir, leaf, 0);
	if (rc == -EXDEV) {
		int to = sb_open_write(sb, pdir, leaf, SB_CREATE | SB_TRUNC, 0600, NULL);

		rc = to < 0 ? to : copy_data(h, t->fd, to);
		if (to >= 0)
			close(to);
		if (rc == 0)
			sb_unlink(t->sb, t->dir, t->leaf);
	}
	if (rc < 0)
		return rc;
	t->live = false;
	return 0;
}
