/*
 * reach.c - see reach.h.
 */
#include "config.h"
#include "session/reach.h"

#include <errno.h>
#include <fcntl.h>

#include "base/text.h"
#include "sandbox/fs.h"
#include "sandbox/opfile.h"

/* More operands than this are reached by way of their parent directories, and more of those by way of "/". */
#define DIRS_MAX 200

#define PARENT_RULES ".rsync-filter"

static int nomem(struct err *e)
{
	return fail(e, RX_MALLOC, "out of memory for the directories of the transfer");
}

static int add_dir(struct reach *r, int fd, enum confine_rights rights, struct err *e)
{
	struct confine_dir *v;

	if (r->ndirs == r->dirs_cap) {
		v = reallocarray(r->dirs, r->dirs_cap * 2 + 16, sizeof *v);
		if (!v)
			return nomem(e);
		r->dirs = v;
		r->dirs_cap = r->dirs_cap * 2 + 16;
	}
	r->dirs[r->ndirs++] = (struct confine_dir){ .fd = fd, .rights = rights };
	return 0;
}

/* Keeps an anchor until the domain is made. */
static int keep(struct reach *r, struct anchor *a, struct err *e)
{
	struct anchor **v;

	if (r->nanchors == r->anchors_cap) {
		v = reallocarray(r->anchors, r->anchors_cap * 2 + 16, sizeof *v);
		if (!v) {
			anchor_unref(a);
			return nomem(e);
		}
		r->anchors = v;
		r->anchors_cap = r->anchors_cap * 2 + 16;
	}
	r->anchors[r->nanchors++] = a;
	return 0;
}

static int open_abs(const char *path, enum trust trust, struct anchor **out)
{
	char full[PATH_LIMIT + 2] = "/";

	if (strlen(path) > PATH_LIMIT)
		return -ENAMETOOLONG;
	strcpy(full + 1, path);
	return anchor_open(out, full, trust, LINKS_TRUSTED, 0);
}

/* Cuts the last component off; false when there is none. */
static bool cut(char *path)
{
	char *slash = strrchr(path, '/');

	if (!*path)
		return false;
	*(slash ? slash : path) = '\0';
	return true;
}

/* ---- sender ---- */

static void drop_dirs(struct reach *r, size_t files)
{
	for (size_t i = 0; i < r->nanchors; i++)
		anchor_unref(r->anchors[i]);
	r->nanchors = 0;
	r->ndirs = files;
}

/* Directories are reached themselves, other operands by way of the directory that holds them. */
static int open_sources(struct reach *r, const struct reach_plan *pl, bool parents, enum confine_rights rights, struct err *e)
{
	char path[PATH_LIMIT + 1], last[PATH_LIMIT + 1] = "\n";
	struct anchor *a;

	for (size_t i = 0; i < pl->n; i++) {
		if (pl->item[i].kind != REACH_SOURCE)
			continue;
		strcpy(path, pl->item[i].path);
		a = NULL;
		if (parents)
			cut(path);
		if (!strcmp(path, last))
			continue;
		if (open_abs(path, TRUST_ALL, &a) < 0 && (parents || !cut(path) || !strcmp(path, last) || open_abs(path, TRUST_ALL, &a) < 0))
			continue;
		strcpy(last, path);
		if (r->nanchors >= DIRS_MAX) {
			anchor_unref(a);
			return 1;
		}
		if (keep(r, a, e) < 0 || add_dir(r, anchor_fd(a), rights, e) < 0)
			return -1;
	}
	return 0;
}

static int open_sender(struct reach *r, const struct reach_plan *pl, struct err *e)
{
	enum confine_rights rights = pl->flags & REACH_REMOVE ? CONFINE_READ_REMOVE : CONFINE_READ;
	size_t files = r->ndirs;
	int rc = anchor_open(&r->root, "/", TRUST_ALL, LINKS_FREE, 0);

	if (rc < 0)
		return fail(e, RX_FILEIO, "cannot open the root directory: %s", strerror(-rc));
	rc = 1;
	if (!(pl->flags & REACH_ANYWHERE)) {
		rc = open_sources(r, pl, false, rights, e);
		if (rc > 0) {
			drop_dirs(r, files);
			rc = open_sources(r, pl, true, rights, e);
		}
	}
	if (rc <= 0)
		return rc;
	drop_dirs(r, files);
	return add_dir(r, anchor_fd(r->root), rights, e);
}

/* ---- receiver ---- */

struct dest {
	char path[PATH_LIMIT + 1], parent[PATH_LIMIT + 1];
	struct anchor *at;             /* the destination if it is a directory */
	struct anchor *above;          /* else its parent, if that is one */
};

static int add_place(struct reach *r, const char *path, struct anchor *take, int err, enum confine_rights rights, struct err *e)
{
	if (take && add_dir(r, anchor_fd(take), rights, e) < 0) {
		anchor_unref(take);
		return -1;
	}
	return places_add(r->places, path, take, err) < 0 ? nomem(e) : 0;
}

/* What is used later is resolved beneath the anchor without links. */
static int add_strict(struct reach *r, const char *path, const struct anchor *a, enum confine_rights rights, struct err *e)
{
	struct anchor *strict = NULL;
	int rc = anchor_sub(&strict, a, "", LINKS_TRUSTED, LINKS_REFUSE, 0);

	if (rc < 0)
		return fail(e, RX_FILEIO, "cannot open /%s: %s", path, strerror(-rc));
	return add_place(r, path, strict, 0, rights, e);
}

/* The deepest part of the path that is there already. */
static int add_deepest(struct reach *r, char *path, struct err *e)
{
	struct anchor *a = NULL;
	int rc = -ENOENT;

	while (rc == -ENOENT && cut(path))
		rc = open_abs(path, TRUST_OWNER, &a);
	if (rc < 0)
		return rc == -ENOENT ? 0 : add_place(r, path, NULL, rc, 0, e);
	rc = add_strict(r, path, a, CONFINE_WRITE, e);
	anchor_unref(a);
	return rc;
}

static bool is_link(const struct anchor *a, const char *leaf)
{
	_cleanup_sb_ struct sb *sb = sb_new((struct anchor *)a, 4);
	struct stat st;

	return sb && *leaf && strcmp(leaf, "..") && sb_lstat(sb, "", leaf, &st) == 0 && S_ISLNK(st.st_mode);
}

static int open_dest(struct reach *r, const struct reach_plan *pl, const char *path, struct dest *d, struct err *e)
{
	char deep[PATH_LIMIT + 1];
	int rc, up;

	strcpy(d->path, path);
	strcpy(d->parent, path);
	rc = open_abs(path, TRUST_OWNER, &d->at);
	if (rc == 0)
		return add_strict(r, path, d->at, CONFINE_WRITE, e);
	if ((rc != -ENOENT && rc != -ENOTDIR) || !cut(d->parent))
		return add_place(r, path, NULL, rc, 0, e);
	up = open_abs(d->parent, TRUST_OWNER, &d->above);
	if (up == 0) {
		/* A link that leads nowhere, or to a file, is an obstacle or a name, not a way. */
		if (is_link(d->above, path_leaf(path)) && add_place(r, path, NULL, rc, 0, e) < 0)
			return -1;
		return add_strict(r, d->parent, d->above, CONFINE_WRITE, e);
	}
	if (up == -ENOENT && pl->flags & REACH_MKPATH) {
		strcpy(deep, d->parent);
		return add_deepest(r, deep, e);
	}
	return add_place(r, d->parent, NULL, up, 0, e);
}

static enum confine_rights side_rights(enum reach_kind kind)
{
	return kind == REACH_ALT ? CONFINE_READ : kind == REACH_ALT_LINK ? CONFINE_READ_LINK : CONFINE_WRITE;
}

/* One side directory, as seen from a base: text is how the receiver will name it. there: the base is the destination. */
static int open_side(struct reach *r, const struct reach_item *it, const char *base, const struct anchor *from, const char *rel,
		     bool there, struct err *e)
{
	char text[PATH_LIMIT + 1];
	struct anchor *a = NULL;
	int rc;

	if (reach_join(base, it->path, text) < 0)
		return 0;
	rc = from ? anchor_sub(&a, from, rel, LINKS_TRUSTED, LINKS_TRUSTED, ANCHOR_DOTDOT) : open_abs(text, TRUST_OWNER, &a);
	if (rc == 0) {
		rc = add_strict(r, text, a, side_rights(it->kind), e);
		anchor_unref(a);
		return rc;
	}
	if (rc != -ENOENT)
		return add_place(r, text, NULL, rc, 0, e);
	/* Else it would be looked for beneath the destination, without links. */
	if (it->kind == REACH_TEMP && *it->path != '/' && (there || path_has_dotdot(it->path)))
		return add_place(r, text, NULL, rc, 0, e);
	if (it->kind != REACH_BACKUP && it->kind != REACH_PARTIAL)
		return 0;
	return add_deepest(r, text, e);
}

static int open_sides(struct reach *r, const struct reach_plan *pl, const struct dest *d, struct err *e)
{
	int rc = 0;

	for (size_t i = 0; i < pl->n && rc == 0; i++) {
		const struct reach_item *it = &pl->item[i];

		if (it->kind < REACH_ALT || it->kind > REACH_BACKUP)
			continue;
		if (*it->path == '/' || d->at) {
			rc = open_side(r, it, d->path, *it->path == '/' ? NULL : d->at, it->path, true, e);
			continue;
		}
		/* A new destination, or a file in the parent: which, is known when the list is. */
		if (d->above && !strncmp(it->path, "../", 3))
			rc = open_side(r, it, d->path, d->above, it->path[3] ? it->path + 3 : ".", false, e);
		if (rc == 0 && d->above)
			rc = open_side(r, it, d->parent, d->above, it->path, false, e);
	}
	return rc;
}

/* Everything is beneath "/", and may lead anywhere. */
static int open_insecure(struct reach *r, struct err *e)
{
	int rc = anchor_open(&r->root, "/", TRUST_ALL, LINKS_FREE, 0);

	if (rc < 0 || places_add(r->places, "", anchor_ref(r->root), 0) < 0)
		return fail(e, RX_FILEIO, "cannot open the root directory: %s", strerror(rc < 0 ? -rc : ENOMEM));
	r->dest = r->root;
	return add_dir(r, anchor_fd(r->root), CONFINE_WRITE, e);
}

static int open_receiver(struct reach *r, const struct reach_plan *pl, struct err *e)
{
	struct dest d = { .at = NULL };
	struct anchor **v;
	const char *rest;
	size_t n;
	int rc = 0;

	if (r->insecure)
		return open_insecure(r, e);
	for (size_t i = 0; i < pl->n && rc == 0; i++)
		if (pl->item[i].kind == REACH_DEST)
			rc = open_dest(r, pl, pl->item[i].path, &d, e);
	if (rc == 0)
		rc = open_sides(r, pl, &d, e);
	anchor_unref(d.at);
	anchor_unref(d.above);
	if (rc < 0)
		return -1;
	if (places_find(r->places, d.path, &r->dest, &rest) < 0)
		r->dest = NULL;
	v = calloc(places_count(r->places) + 1, sizeof *v);
	if (!v)
		return nomem(e);
	n = places_anchors(r->places, v);
	/* Without a single place nothing will come of it but an error message: any directory will do. */
	rc = n ? anchor_common(&r->root, v, n) : anchor_open(&r->root, "/", TRUST_ALL, LINKS_REFUSE, 0);
	free(v);
	r->jail = n > 0;
	return rc < 0 ? fail(e, RX_FILEIO, "cannot find a directory to work in: %s", strerror(-rc)) : 0;
}

/* ---- files ---- */

static int add_file(struct reach *r, const char *path, bool must, struct err *e)
{
	char full[PATH_LIMIT + 2] = "/";
	struct stat st;
	int fd;

	strcpy(full + 1, path);
	fd = opfile_open(full, O_RDONLY, 0, (must ? 0 : OPFILE_REGULAR) | (r->insecure ? OPFILE_FREE : 0));
	if (fd < 0 && !must)
		return 0;
	/* What is no file of a file system (a pipe) needs no right. */
	if (fd >= 0 && sbf_stat(fd, &st) == 0 && S_ISREG(st.st_mode) && add_dir(r, fd, CONFINE_READ, e) < 0) {
		close(fd);
		return -1;
	}
	return places_add_file(r->places, path, fd) < 0 ? nomem(e) : 0;
}

/* Rule files of the directories above a transfer (-F): the usual name is known before the rules are. */
static int add_parent_rules(struct reach *r, const char *below, struct err *e)
{
	char path[PATH_LIMIT + 1], file[PATH_LIMIT + 1];

	strcpy(path, below);
	while (cut(path)) {
		if (reach_join(path, PARENT_RULES, file) < 0)
			continue;
		if (!places_has_file(r->places, file) && add_file(r, file, false, e) < 0)
			return -1;
	}
	return 0;
}

static int open_files(struct reach *r, const struct reach_plan *pl, struct err *e)
{
	char parent[PATH_LIMIT + 1], last[PATH_LIMIT + 1] = "\n";

	for (size_t i = 0; i < pl->n; i++) {
		const struct reach_item *it = &pl->item[i];

		if (it->kind == REACH_FILE && add_file(r, it->path, true, e) < 0)
			return -1;
		if (it->kind > REACH_DEST || !(pl->flags & REACH_RULES) || pl->flags & REACH_ANYWHERE)
			continue;
		/* Operands of one directory have the same parents. */
		strcpy(parent, it->path);
		if (!cut(parent) || !strcmp(parent, last))
			continue;
		strcpy(last, parent);
		if (add_parent_rules(r, it->path, e) < 0)
			return -1;
	}
	return 0;
}

/* For the broker, which opens devices: the same directory, where that is possible. */
static void open_for_devices(struct reach *r, const struct reach_plan *pl)
{
	char path[PATH_LIMIT + 1] = "";
	int rc;

	for (size_t i = 0; i < pl->n && !r->insecure; i++)
		if (pl->item[i].kind == REACH_DEST)
			strcpy(path, pl->item[i].path);
	do
		rc = open_abs(path, TRUST_OWNER, &r->devices);
	while ((rc == -ENOENT || rc == -ENOTDIR) && cut(path));
}

static int open_dirs(struct reach *r, const struct reach_plan *pl, struct err *e)
{
	const struct anchor *work;
	struct stat a, b;

	if ((pl->flags & REACH_SENDER ? open_sender(r, pl, e) : open_receiver(r, pl, e)) < 0)
		return -1;
	work = pl->flags & REACH_SENDER ? r->root : r->dest;
	/* Exchanged meanwhile: no device is opened then. */
	if (r->devices && (!work || sbf_stat(anchor_fd(r->devices), &a) < 0 || sbf_stat(anchor_fd(work), &b) < 0 ||
			   a.st_dev != b.st_dev || a.st_ino != b.st_ino)) {
		anchor_unref(r->devices);
		r->devices = NULL;
	}
	return 0;
}

int reach_open(struct reach *r, const struct reach_plan *pl, struct err *e)
{
	r->insecure = pl->flags & REACH_INSECURE;
	r->places = places_new();
	if (!r->places)
		return nomem(e);
	/* Operators' files may be devices: /dev/null, /dev/stdin. */
	if (open_files(r, pl, e) < 0)
		return -1;
	if (pl->flags & REACH_OPEN_DEVICES)
		open_for_devices(r, pl);
	r->shielded = confine_shield();
	return open_dirs(r, pl, e);
}

int reach_open_root(struct reach *r, const struct reach_plan *pl, struct anchor *root, struct err *e)
{
	enum confine_rights rights = !(pl->flags & REACH_SENDER) ? CONFINE_WRITE : pl->flags & REACH_REMOVE ? CONFINE_READ_REMOVE : CONFINE_READ;

	r->root = r->dest = anchor_ref(root);
	r->jail = true;
	return add_dir(r, anchor_fd(root), rights, e);
}

void reach_free(struct reach *r)
{
	for (size_t i = 0; i < r->nanchors; i++)
		anchor_unref(r->anchors[i]);
	free(r->anchors);
	free(r->dirs);
	places_free(r->places);
	anchor_unref(r->root);
	anchor_unref(r->devices);
	*r = (struct reach)REACH_INIT;
}
