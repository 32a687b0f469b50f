/*
 * dest.c - the destination argument and the directories named by options.
 */
#include "config.h"
#include "receiver/dest.h"

#include <errno.h>
#include <stdio.h>

#include "base/text.h"
#include "filter/filter.h"
#include "receiver/finish.h"
#include "sandbox/broker.h"
#include "sandbox/places.h"

/* How links inside a path that the user gave are treated: who has a root stays inside it. */
static enum links path_links(const struct rx *rx)
{
	return (rx->o->am_daemon || rx->o->confine_root) && !rx->o->insecure_links ? LINKS_IN_ROOT : anchor_links(rx->x->root);
}

/* How links among the directories of list names are treated: only where existing ones may be used. */
static enum links tree_links(const struct rx *rx)
{
	if (!rx->o->keep_dirlinks && (!rx->o->relative || rx->o->implied_dirs))
		return LINKS_REFUSE;
	return rx->o->insecure_links ? LINKS_FREE : LINKS_IN_ROOT;
}

/* Joins a path argument to the directory it is relative to; the result is relative to x->root. */
static int join_arg(const char *base, const char *arg, char *out)
{
	if (arg[0] == '/') {
		base = "";
		while (*arg == '/')
			arg++;
	}
	if (path_join(out, base, arg) < 0)
		return -ENAMETOOLONG;
	path_clean(out);
	if (strcmp(out, ".") == 0)
		out[0] = 0;
	return 0;
}

/* Full name of a path relative to x->root, for messages. */
static char *path_text(const struct rx *rx, const char *path, char *out)
{
	if (rx->x->module)
		snprintf(out, NAME_TEXT, "\"%s%s\" (in %s)", rx->o->sanitize_paths ? "" : "/", *path ? path : ".", rx->x->module);
	else
		snprintf(out, NAME_TEXT, "\"/%s\"", path);
	return out;
}
#define PATH_TEXT(rx, path) path_text(rx, path, (char[NAME_TEXT]){ 0 })

/* Splits path at its last slash: the parent stays in dir, the leaf is returned ("." for ""). */
static const char *split(const char *path, char *dir)
{
	const char *slash = strrchr(path, '/');

	if (!slash) {
		dir[0] = 0;
		return *path ? path : ".";
	}
	memcpy(dir, path, (size_t)(slash - path));
	dir[slash - path] = 0;
	return slash + 1;
}

/* The anchor that path (seen from x->root, or from "/" where places were opened beforehand) is to be resolved from. */
static int find_start(struct rx *rx, const char *path, struct anchor **start, const char **rest)
{
	*start = rx->x->root;
	*rest = path;
	return rx->x->places ? places_find(rx->x->places, path, start, rest) : 0;
}

static int open_dir(struct rx *rx, const char *path, enum links tree, unsigned flags, struct anchor **out)
{
	struct anchor *start;
	const char *rest;
	int rc = find_start(rx, path, &start, &rest);

	return rc < 0 ? rc : anchor_sub(out, start, rest, path_links(rx), tree, flags | ANCHOR_DOTDOT);
}

static int open_at(struct rx *rx, const char *path, unsigned flags, struct anchor **out)
{
	return open_dir(rx, path, tree_links(rx), flags, out);
}

int dest_broker_dir(const struct rx *rx, const char *dir, char *out)
{
	const char *rest = rx->dest_path;
	struct anchor *start;

	/* The broker of a remote-shell server stands where the destination was opened. */
	if (rx->x->places && places_find(rx->x->places, rx->dest_path, &start, &rest) < 0)
		return -ENOENT;
	return path_join(out, rest, dir) < 0 ? -ENAMETOOLONG : 0;
}

int dest_open_device(const struct rx *rx, const char *dir, const char *leaf, bool for_write)
{
	char at[PATH_LIMIT + 1];
	int fd, rc = rx->x->broker ? dest_broker_dir(rx, dir, at) : -EPERM;

	if (rc == 0)
		rc = broker_open(rx->x->broker, at, leaf, for_write, &fd);
	return rc < 0 ? rc : fd;
}

/* lstat of the last component, through the links that its parents may be. */
static int stat_path(struct rx *rx, const char *path, struct stat *st)
{
	_cleanup_anchor_ struct anchor *a = NULL;
	_cleanup_sb_ struct sb *sb = NULL;
	char dir[PATH_LIMIT + 1];
	const char *leaf = split(path, dir);
	int rc = open_at(rx, dir, 0, &a);

	if (rc < 0)
		return rc;
	sb = sb_new(a, 4);
	if (!sb)
		return -ENOMEM;
	if (strcmp(leaf, "..") == 0)
		return -EISDIR;
	rc = sb_lstat(sb, "", leaf, st);
	return rc;
}

static bool announces(const struct rx *rx)
{
	return info_gte(rx->o, INFO_NAME, 1) || rx->itemizing;
}

int dest_open_file(struct rx *rx, const char *name)
{
	char path[PATH_LIMIT + 1], dir[PATH_LIMIT + 1];
	_cleanup_anchor_ struct anchor *a = NULL;
	_cleanup_sb_ struct sb *sb = NULL;
	const char *leaf;
	int rc = join_arg(rx->x->cwd, name, path);

	if (rc < 0)
		return rc;
	if (rx->x->module)
		path_collapse(path, false);
	if (rx->x->daemon_filter && filt_hides_path(rx->x->daemon_filter, path, false))
		return -ENOENT;
	if (rx->x->places)
		return places_open_file(rx->x->places, path);
	leaf = split(path, dir);
	rc = open_dir(rx, dir, path_links(rx), 0, &a);
	if (rc < 0)
		return rc;
	sb = sb_new(a, 4);
	return sb ? sb_open_read_follow(sb, "", leaf, 0, NULL) : -ENOMEM;
}

static int mkdir_failed(struct rx *rx, int errnum, const char *path, struct err *err)
{
	return fail_errno(err, RX_FILEIO, errnum, "mkdir %s failed", PATH_TEXT(rx, path));
}

static void tell_parents(const struct rx *rx, const char *arg, int made, bool of_file)
{
	size_t len = strlen(arg);

	if (made <= 0 || !announces(rx))
		return;
	/* The part of the argument that was made. */
	if (of_file)
		while (len > 1 && arg[len - 1] != '/')
			len--;
	while (len > 1 && arg[len - 1] == '/')
		len--;
	say(SAY_INFO, "created %d director%s for %.*s", made, made == 1 ? "y" : "ies", (int)len, arg);
}

/* How many components of dir (relative to the root) a run that is not dry would make. */
static int missing_components(struct rx *rx, const char *dir)
{
	_cleanup_sb_ struct sb *sb = NULL;
	char path[PATH_LIMIT + 1];
	struct anchor *start;
	const char *rest;
	struct stat st;
	int n = 0;

	if (find_start(rx, dir, &start, &rest) < 0)
		return 0;
	sb = sb_new(start, 4);
	memcpy(path, rest, strlen(rest) + 1);
	while (sb && *path && sb_lstat(sb, path, ".", &st) == -ENOENT) {
		char *slash = strrchr(path, '/');

		n++;
		*(slash ? slash : path) = 0;
	}
	return n;
}

/* --mkpath: the parents, or all of it when the argument names a directory. */
static int make_parents(struct rx *rx, const char *arg, const char *path, int64_t entries, bool slash, struct err *err)
{
	_cleanup_anchor_ struct anchor *a = NULL;
	_cleanup_sb_ struct sb *sb = NULL;
	struct anchor *start;
	char dir[PATH_LIMIT + 1];
	const char *rest;
	int made;

	if (!strchr(arg, '/') && entries <= 1)
		return 0;
	if (entries > 1 || slash)
		memcpy(dir, path, strlen(path) + 1);
	else
		split(path, dir);
	if (!*dir)
		return 0;
	if (rx->dry) {
		made = missing_components(rx, dir);
		tell_parents(rx, arg, made, entries <= 1 && !slash);
		return 0;
	}
	made = find_start(rx, dir, &start, &rest);
	if (made == 0)
		made = anchor_sub(&a, start, "", path_links(rx), path_links(rx), 0);
	if (made == 0) {
		sb = sb_new(a, 4);
		made = sb ? sb_mkdirs(sb, rest, 0777) : -ENOMEM;
	}
	if (made < 0) {
		if (slash && strlen(dir) < PATH_LIMIT)
			strcat(dir, "/");
		return mkdir_failed(rx, -made, dir, err);
	}
	tell_parents(rx, arg, made, entries <= 1 && !slash);
	return 0;
}

static void say_created(const struct rx *rx, const char *arg)
{
	size_t len = strlen(arg);

	while (len > 1 && arg[len - 1] == '/')
		len--;
	if (announces(rx))
		say(SAY_INFO, "created directory %.*s", (int)len, arg);
}

/* The destination becomes a new directory. */
static int make_dest(struct rx *rx, const char *arg, const char *path, struct err *err)
{
	_cleanup_anchor_ struct anchor *parent = NULL;
	_cleanup_sb_ struct sb *sb = NULL;
	char dir[PATH_LIMIT + 1];
	const char *leaf = split(path, dir);
	int rc;

	rx->dest_made = true;
	memcpy(rx->dest_path, path, strlen(path) + 1);
	if (rx->dry) {
		say_created(rx, arg);
		return 0;
	}
	rc = open_at(rx, dir, 0, &parent);
	if (rc == 0) {
		sb = sb_new(parent, 4);
		rc = sb ? sb_mkdir(sb, "", leaf, 0777) : -ENOMEM;
	}
	if (rc < 0)
		return mkdir_failed(rx, -rc, path, err);
	say_created(rx, arg);
	rc = anchor_sub(&rx->dest, parent, leaf, LINKS_REFUSE, tree_links(rx), 0);
	if (rc < 0)
		return fail_errno(err, RX_FILESELECT, -rc, "change_dir#2 %s failed", PATH_TEXT(rx, path));
	return 0;
}

/* The single entry is written to the argument's own name. */
static int use_parent(struct rx *rx, const char *path, struct err *err)
{
	const char *leaf = split(path, rx->dest_path);
	int rc;

	if (strlen(leaf) > SB_NAME_MAX || strcmp(leaf, "..") == 0)
		return fail_errno(err, RX_FILESELECT, ENAMETOOLONG, "change_dir#3 %s failed", PATH_TEXT(rx, path));
	memcpy(rx->single, leaf, strlen(leaf) + 1);
	rc = open_at(rx, rx->dest_path, 0, &rx->dest);
	if (rc == -ENOENT && rx->dry && rx->o->mkpath)
		return 0;
	if (rc < 0)
		return fail_errno(err, RX_FILESELECT, -rc, "change_dir#3 %s failed", PATH_TEXT(rx, rx->dest_path));
	return 0;
}

/* Where a path leads to, as far as it is there, if the module has rules: a link is no way around them (spec 09 LNK-22e). */
static OWN_FRAME void find_real(struct rx *rx, const char *path, char out[PATH_LIMIT + 1])
{
	_cleanup_anchor_ struct anchor *a = NULL;
	_cleanup_sb_ struct sb *sb = NULL;
	char at[PATH_LIMIT + 1], dir[PATH_LIMIT + 1], real[PATH_LIMIT + 1], leaf[SB_NAME_MAX + 1];
	const char *name, *rest = "";
	int rc = -ENOENT;

	memcpy(out, path, strlen(path) + 1);
	if (!*path || !rx->x->daemon_filter || !rx->x->daemon_filter->name_rules || open_dir(rx, "", LINKS_IN_ROOT, 0, &a) < 0 ||
	    !(sb = sb_new(a, 4)))
		return;
	memcpy(at, path, strlen(path) + 1);
	while (rc == -ENOENT && *at) {
		name = split(at, dir);
		rc = strlen(name) > SB_NAME_MAX ? -ENOENT : sb_resolve_in_root(sb, dir, name, real, leaf);
		if (rc == -ENOENT) {
			rest = path + (name - at);
			memcpy(at, dir, strlen(dir) + 1);
		}
	}
	if (rc == 0 && path_join(dir, real, strcmp(leaf, ".") ? leaf : "") == 0 && path_join(real, dir, rest) == 0)
		memcpy(out, real, strlen(real) + 1);
}

static bool hidden(const struct rx *rx, const char *path)
{
	return rx->x->daemon_filter && *path &&
	       (filt_hides_path(rx->x->daemon_filter, path, false) || filt_hides_path(rx->x->daemon_filter, path, true));
}

static int decide(struct rx *rx, int64_t entries, const struct fent *only, struct err *err)
{
	const char *arg = rx->x->arg_count > 0 && *rx->x->args[0] ? rx->x->args[0] : ".";
	char path[PATH_LIMIT + 1];
	size_t len = strlen(arg);
	bool slash = arg[len - 1] == '/' || (len > 1 && arg[len - 1] == '.' && arg[len - 2] == '/');
	struct stat st;
	int rc;

	if (rx->o->list_only)
		return 0;
	if (join_arg(rx->x->cwd, arg, path) < 0)
		return fail_errno(err, RX_FILESELECT, ENAMETOOLONG, "change_dir#1 %s failed", PATH_TEXT(rx, arg));
	find_real(rx, path, rx->rules_path);
	if (hidden(rx, path) || hidden(rx, rx->rules_path))
		return fail(err, RX_FILESELECT, "ERROR: daemon has excluded destination \"%s\"", arg);
	rc = open_at(rx, path, 0, &rx->dest);
	if (rc == 0) {
		memcpy(rx->dest_path, path, strlen(path) + 1);
		return 0;
	}
	if (rc == -ENOENT && rx->o->mkpath) {
		if (make_parents(rx, arg, path, entries, slash, err) < 0)
			return -1;
		rc = open_at(rx, path, 0, &rx->dest);
		if (rc == 0) {
			memcpy(rx->dest_path, path, strlen(path) + 1);
			return 0;
		}
	}
	if (rc == -ENOTDIR) {
		if (stat_path(rx, path, &st) < 0 || slash) {
			if (slash && strlen(path) < PATH_LIMIT)
				strcat(path, "/");
			return fail_errno(err, RX_FILESELECT, ENOTDIR, "ERROR: cannot stat destination %s", PATH_TEXT(rx, path));
		}
		if (entries > 1)
			return fail(err, RX_FILESELECT,
				    "ERROR: destination must be a directory when copying more than 1 file");
		if (only && FENT_IS_DIR(only))
			return fail(err, RX_FILESELECT, "ERROR: cannot overwrite non-directory with a directory");
		return use_parent(rx, path, err);
	}
	if (rc == -ELOOP)
		return fail_errno(err, RX_FILESELECT, ELOOP, "change_dir#1 %s failed", PATH_TEXT(rx, path));
	if (rc != -ENOENT) {
		if (slash && strlen(path) < PATH_LIMIT)
			strcat(path, "/");
		return fail_errno(err, RX_FILESELECT, -rc, "ERROR: cannot stat destination %s", PATH_TEXT(rx, path));
	}
	return entries > 1 || slash ? make_dest(rx, arg, path, err) : use_parent(rx, path, err);
}

int dest_decide(struct rx *rx, int64_t entries, const struct fent *only, struct err *err)
{
	int rc = decide(rx, entries, only, err);

	if (rc == 0)
		find_real(rx, rx->dest_path, rx->rules_path);
	return rc;
}

/* ---- directories named by options ---- */

/* Resolves ".." in the text; it cannot climb above the root. */
static void collapse(char *path)
{
	char *out = path, *in = path;

	while (*in) {
		size_t len = strcspn(in, "/");

		if (len == 2 && in[0] == '.' && in[1] == '.') {
			while (out > path && *--out != '/')
				;
		} else if (len) {
			if (out > path)
				*out++ = '/';
			memmove(out, in, len);
			out += len;
		}
		in += len + (in[len] == '/');
	}
	*out = 0;
}

/* Drops what would climb above the root: there it stays, as in a chroot. */
static void clamp(char *path)
{
	char *out = path, *in = path;
	int depth = 0;

	while (*in) {
		size_t len = strcspn(in, "/");
		bool up = len == 2 && in[0] == '.' && in[1] == '.';

		if (len && (!up || depth)) {
			if (out > path)
				*out++ = '/';
			memmove(out, in, len);
			out += len;
			depth += up ? -1 : 1;
		}
		in += len + (in[len] == '/');
	}
	*out = 0;
}

bool dest_hides(struct rx *rx, const char *side, const char *dir, const char *leaf, bool is_dir)
{
	char base[PATH_LIMIT + 1], path[PATH_LIMIT + 1];
	const struct filter_list *rules = rx->x->daemon_filter;

	if (!rules || !rules->name_rules || join_arg(rx->rules_path, side, path) < 0 || path_join(base, path, dir) < 0)
		return false;
	collapse(base);
	if (path_join(path, base, leaf) == 0 && *path && filt_hides_path(rules, path, is_dir))
		return true;
	find_real(rx, base, path);
	return path_join(base, path, leaf) == 0 && *base && filt_hides_path(rules, base, is_dir);
}

bool dest_follows(const struct rx *rx)
{
	return tree_links(rx) != LINKS_REFUSE;
}

static int rejected(struct err *err)
{
	return fail(err, RX_USAGE, "Your options have been rejected by the server.");
}

/* Absolute ones start at the root, others at base. */
static int open_from(struct rx *rx, const char *base, const char *name, unsigned flags, struct anchor **out)
{
	char path[PATH_LIMIT + 1];
	int rc = join_arg(base, name, path);

	/* A dry run has no destination to step up from; places know such names as they are. */
	if (rc == 0 && !rx->dest && !rx->x->places)
		collapse(path);
	else if (rc == 0 && rx->x->module)
		clamp(path);
	if (rc == 0)
		rc = open_dir(rx, path, LINKS_REFUSE, flags, out);
	return rc;
}

static int open_side(struct rx *rx, const char *name, unsigned flags, struct anchor **out)
{
	return open_from(rx, rx->dest_path, name, flags, out);
}

/* As rsync has it: a dry run that did not enter a new destination looks from where it is. */
static int open_here(struct rx *rx, const char *name, struct anchor **out)
{
	return open_from(rx, rx->dest ? rx->dest_path : rx->x->cwd, name, 0, out);
}

/* Something that is no directory is in the middle of the name, or links lead round in a circle: looking at it fails. */
static bool stat_fails(struct rx *rx, const char *base, const char *name, int rc)
{
	_cleanup_anchor_ struct anchor *a = NULL;
	char path[PATH_LIMIT + 1], dir[PATH_LIMIT + 1];

	if (rc != -ENOTDIR)
		return rc == -ELOOP;
	if (join_arg(base, name, path) < 0)
		return false;
	split(path, dir);
	return open_dir(rx, dir, LINKS_REFUSE, 0, &a) == -ENOTDIR;
}

int dest_backup_path(struct rx *rx, char out[PATH_LIMIT + 1])
{
	int rc = join_arg(rx->dest_path, rx->o->backup_dir, out);

	if (rc == 0)
		collapse(out);
	return rc;
}

static int open_alt(struct rx *rx, int i, struct err *err)
{
	const char *name = rx->o->alt_dirs[i];
	const char *opt = rx->o->alt_dest == ALT_COMPARE ? "--compare-dest" : rx->o->alt_dest == ALT_COPY ? "--copy-dest" :
			  "--link-dest";
	char path[PATH_LIMIT + 1];
	int rc = join_arg(rx->dest_path, name, path);

	if (dest_hides(rx, name, "", "", true))
		return rejected(err);
	/* Links are only created beneath it through the destination's view; nothing here is ever changed. */
	rc = open_side(rx, name, 0, &rx->alt[i]);
	if (rc == 0)
		return 0;
	rx->alt[i] = NULL;
	if (stat_fails(rx, rx->dest_path, name, rc))
		rc = -ENOENT;
	if (!rx->dest)
		collapse(path);
	if (name[0] == '/')
		say(SAY_WARNING, rc == -ENOTDIR ? "%s arg is not a dir: %s" : "%s arg does not exist: %s", opt, name);
	else
		say(SAY_WARNING, rc == -ENOTDIR ? "%s arg is not a dir: %s%s" : "%s arg does not exist: %s%s", opt,
		    rx->x->module && !*rx->dest_path ? "" : "/", path);
	return 0;
}

static int open_temp(struct rx *rx, struct err *err)
{
	int rc;

	if (!rx->o->module_temp_dir && dest_hides(rx, rx->o->temp_dir, "", "", true))
		return rejected(err);
	rc = open_here(rx, rx->o->temp_dir, &rx->temp);
	if (rc == 0)
		return 0;
	if (rc == -ENOENT)
		return fail(err, RX_USAGE, "The temp-dir does not exist: %s", rx->o->temp_dir);
	if (rc == -ENOTDIR && !stat_fails(rx, rx->dest ? rx->dest_path : rx->x->cwd, rx->o->temp_dir, rc))
		return fail(err, RX_USAGE, "The temp-dir is not a directory: %s", rx->o->temp_dir);
	return fail(err, RX_FILEIO, "Failed to stat temp-dir %s: %s", rx->o->temp_dir, strerror(-rc));
}

static int open_partial(struct rx *rx, struct err *err)
{
	const char *name = rx->o->partial_dir;

	if (name[0] != '/') {
		rx->partial_rel = name;
		return 0;
	}
	if (dest_hides(rx, name, "", "", true))
		return rejected(err);
	if (open_side(rx, name, 0, &rx->partial) < 0)
		rx->partial = NULL;
	return 0;
}

struct anchor *dest_partial_anchor(struct rx *rx, bool make)
{
	struct anchor *a;

	pthread_mutex_lock(&rx->backup_lock);
	if (make && !rx->partial && !dest_hides(rx, rx->o->partial_dir, "", "", true) &&
	    open_side(rx, rx->o->partial_dir, ANCHOR_CREATE | ANCHOR_PRIVATE, &rx->partial) < 0)
		rx->partial = NULL;
	a = rx->partial;
	pthread_mutex_unlock(&rx->backup_lock);
	return a;
}

int dest_open_sides(struct rx *rx, struct err *err)
{
	if (rx->o->list_only)
		return 0;
	for (int i = 0; i < rx->o->alt_count; i++)
		if (open_alt(rx, i, err) < 0)
			return -1;
	if (rx->o->backup && rx->o->backup_dir) {
		struct anchor *a = NULL;
		int rc;

		if (dest_hides(rx, rx->o->backup_dir, "", "", true))
			return rejected(err);
		rc = open_here(rx, rx->o->backup_dir, &a);
		if (rc == -ENOTDIR && stat_fails(rx, rx->dest ? rx->dest_path : rx->x->cwd, rx->o->backup_dir, rc))
			return fail(err, RX_FILEIO, "Failed to stat %s: %s", rx->o->backup_dir, strerror(-rc));
		if (rc == -ENOTDIR)
			return fail(err, RX_USAGE, "The backup-dir is not a directory: %s", rx->o->backup_dir);
		rx->backup = rc == 0 ? a : NULL;
		backup_say_dir(rx, rc == 0);
	}
	if (rx->o->temp_dir && open_temp(rx, err) < 0)
		return -1;
	return rx->dest && rx->o->partial_dir ? open_partial(rx, err) : 0;
}

int dest_backup_anchor(struct rx *rx, struct anchor **out)
{
	const char *name = rx->o->backup_dir;
	bool again = false;
	struct stat st;
	int rc = 0;

	pthread_mutex_lock(&rx->backup_lock);
	/* One within the destination may have been deleted like anything else there. */
	if (rx->backup && sbf_stat(anchor_fd(rx->backup), &st) == 0 && !st.st_nlink) {
		anchor_unref(rx->backup);
		rx->backup = NULL;
		again = *name != '/';
	}
	if (!rx->backup && dest_hides(rx, name, "", "", true))
		rc = -EPERM;
	else if (!rx->backup)
		rc = again ? anchor_sub(&rx->backup, rx->dest, name, LINKS_REFUSE, LINKS_REFUSE, ANCHOR_CREATE_PARENTS) :
			     open_side(rx, name, ANCHOR_CREATE_PARENTS, &rx->backup);
	if (rc < 0)
		rx->backup = NULL;
	*out = rx->backup;
	pthread_mutex_unlock(&rx->backup_lock);
	return rc;
}

void dest_close(struct rx *rx)
{
	anchor_unref(rx->dest);
	anchor_unref(rx->temp);
	anchor_unref(rx->partial);
	anchor_unref(rx->backup);
	for (int i = 0; i < ALT_DEST_MAX; i++)
		anchor_unref(rx->alt[i]);
}
