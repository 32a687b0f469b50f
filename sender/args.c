/*
 * args.c - source arguments and --files-from: from text to entries of the first list, and
 * of later lists for what lies deeper (spec 02 §12, §13; 05 §5.4, §6).
 */
#include "config.h"
#include "sender/argname.h"
#include "sender/sender.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "base/say.h"
#include "base/text.h"
#include "sandbox/opfile.h"
#include "sandbox/places.h"

/* ---- messages ---- */

static int change_dir_failed(struct sender *s, int errnum, const struct arg_name *p)
{
	char path[NAME_BUF], joined[NAME_BUF];

	/* A listed name is relative to the base. */
	if (p->listed)
		place_join(joined, s->roots[s->base_root].at, p->dir, strlen(p->dir) - (*p->dir && p->dir[strlen(p->dir) - 1] == '/'));
	else if (place_resolve(s, p->dir, joined) < 0)
		snprintf(joined, sizeof joined, "%s", p->dir);
	strcpy(path, joined);
	s->x->io_error |= IOERR_GENERAL;
	say_errno(SAY_ERROR_XFER, errnum, "change_dir %s failed", place_show_path(s, path));
	return 0;
}

static int send_operand(struct sender *s, struct operand *op, const struct arg_name *p);

/* The item does not exist or cannot be looked at. root: -1 when its directory part is already unknown. */
static int link_stat_failed(struct sender *s, int errnum, const struct arg_name *p, int root)
{
	const char *shown;
	char at[NAME_BUF];

	if (errnum == ENOENT && s->o->delete_missing_args) {
		struct operand op = { .name = p->name, .missing = true, .next = -1 };

		if (root < 0) {
			uint16_t r;

			root = place_root(s, p->dir, "", p->listed, &r) == 0 ? r : 0;
			if (!s->root_count)
				return 0;
		}
		op.root = (uint16_t)root;
		return send_operand(s, &op, p);
	}
	if (errnum == ENOENT && s->o->ignore_missing_args)
		return 0;
	if (root >= 0) {
		shown = place_show(s, (uint16_t)root, p->name);
	} else {
		if (p->listed)
			place_join(at, s->roots[s->base_root].at, p->dir, strlen(p->dir));
		else if (place_resolve(s, p->dir, at) < 0)
			at[0] = '\0';
		if (strlen(at) + strlen(p->name) + 2 < sizeof at) {
			strcat(at, *at && p->name[0] != '/' ? "/" : "");
			strcat(at, p->name + (!*at && p->name[0] == '/'));
		}
		shown = place_show_path(s, at);
	}
	if (errnum != ENOENT)
		s->x->io_error |= IOERR_GENERAL;
	say_errno(SAY_ERROR_XFER, errnum, "link_stat %s failed", shown);
	return 0;
}

/* ---- operands below directories of later lists ---- */

static struct waiting *note(struct sender *s, const struct fent *e)
{
	struct waiting *v = mem_grow(s->budget, s->pend, &s->pend_cap, s->pend_count + 1, sizeof *v);

	if (!v) {
		sender_nomem(s);
		return NULL;
	}
	s->pend = v;
	v += s->pend_count++;
	*v = (struct waiting){ .e = e, .head = -1, .tail = -1 };
	return v;
}

int args_note_dir(struct sender *s, const struct fent *e, dev_t dev)
{
	struct waiting *v;

	if (!s->inc || !s->o->one_fs)
		return 0;
	v = note(s, e);
	if (v)
		v->dev = dev;
	return v ? 0 : -1;
}

/* Puts an operand (already in the table) behind the others that wait below the parent sent last. */
static void wait_below(struct sender *s, int32_t op)
{
	struct waiting *v = &s->pend[s->implied_slot];

	s->operands[op].next = -1;
	if (v->tail >= 0)
		s->operands[v->tail].next = op;
	else
		v->head = op;
	v->tail = op;
}

static int by_entry(const void *a, const void *b)
{
	const struct waiting *x = a, *y = b;

	return x->e < y->e ? -1 : x->e > y->e;
}

void args_waiting_sort(struct sender *s)
{
	if (s->pend_count > 1)
		qsort(s->pend, s->pend_count, sizeof s->pend[0], by_entry);
}

const struct waiting *args_waiting(struct sender *s, const struct fent *e)
{
	struct waiting key = { .e = e };

	return s->pend_count ? bsearch(&key, s->pend, s->pend_count, sizeof key, by_entry) : NULL;
}

/* ---- entries ---- */

/* Where parents of --relative names are looked at: links in them are followed like those of an argument. */
static int stat_parent(struct sender *s, const struct operand *op, const char *name, size_t len, struct stat *st)
{
	const struct src_root *r = &s->roots[op->root];
	char path[NAME_BUF];
	struct sb *sb;
	int rc;

	if (s->o->files_from) {
		sb = place_sb(s, op->root);
		rc = place_join(path, r->prefix, name, len == 1 && *name == '.' ? 0 : len);
	} else {
		sb = place_view(s, s->free_view);
		rc = place_join(path, r->at, name, len == 1 && *name == '.' ? 0 : len);
	}
	if (rc < 0)
		return rc;
	rc = sb ? sb_lstat(sb, path, ".", st) : -ENOMEM;
	if (rc == 0)
		rc = S_ISDIR(st->st_mode) ? entry_overlay(s, &(struct spot){ .sb = sb, .dir = path, .root = op->root }, ".", name, st) :
					    -ENOTDIR;
	return rc;
}

/* Sends the implied parent name[0, len). 1: *out; 0: it is gone; -1: fatal. */
static int send_parent(struct sender *s, const struct operand *op, const char *name, size_t len, struct fent **out)
{
	char n[NAME_BUF];
	const struct fdir *fdir;
	size_t dir_len;
	struct stat st;
	int rc;

	memcpy(n, name, len);
	n[len] = '\0';
	rc = stat_parent(s, op, n, len, &st);
	if (s->r->failed)
		return -1;
	if (rc < 0) {
		s->x->io_error |= rc == -ENOENT ? IOERR_VANISHED : IOERR_GENERAL;
		if (rc == -ENOENT)
			say(SAY_WARNING, "file has vanished: %s", place_show(s, op->root, n));
		else
			say_errno(SAY_ERROR_XFER, -rc, "link_stat %s failed", place_show(s, op->root, n));
		return 0;
	}
	dir_len = arg_parent_len(n);
	fdir = flist_dir(s->set, n, dir_len);
	if (!fdir)
		return sender_nomem(s);
	return entry_implied(s, op->root, fdir, path_leaf(n), &st, out);
}

/* The item itself, and its contents as far as they belong to this list. */
static int send_item(struct sender *s, const struct operand *op)
{
	size_t dir_len = arg_parent_len(op->name);
	const struct fdir *fdir = flist_dir(s->set, op->name, dir_len);
	const char *leaf = path_leaf(op->name);
	bool whole = op->contents || s->o->recurse, dot = !strcmp(leaf, ".");
	char dir[NAME_BUF];
	struct spot sp = { .fdir = fdir, .dir = dir, .root = op->root, .operand = true, .follow = op->contents,
			   .look = op->at_place ? "." : leaf };
	struct fent *e;
	int rc;

	if (!fdir)
		return sender_nomem(s);
	if (op->missing)
		return entry_missing(s, op->root, fdir, leaf) < 0 ? -1 : 0;
	sp.sb = place_sb(s, op->root);
	if (!sp.sb)
		return sender_nomem(s);
	if (place_of_name(s, op->root, op->name, dir_len, dir) < 0)
		return 0;
	strcpy(s->name, op->name);
	rc = entry_make(s, &sp, leaf, DT_UNKNOWN, whole ? FENT_TOP_DIR | FENT_CONTENT : 0, &e);
	if (rc <= 0 || !FENT_IS_DIR(e))
		return rc < 0 ? -1 : 0;
	if (args_note_dir(s, e, sp.dev) < 0)
		return -1;
	/* Incremental: only the contents of the transfer root belong to its own list. */
	return whole && (!s->inc || dot) ? walk_contents(s, e, sp.dev) : 0;
}

/* True if the parent name[0, len) was sent for an earlier name of the same place. */
static bool parent_known(const struct sender *s, const char *at, const char *name, size_t len)
{
	return s->implied_at && !strcmp(s->implied_at, at) && !strncmp(s->implied, name, len) &&
	       (!s->implied[len] || s->implied[len] == '/');
}

/* Non-incremental: all parents, then the item. */
static int send_with_parents(struct sender *s, const struct operand *op)
{
	const char *at = s->roots[op->root].at, *name = op->name;
	size_t dir_len = arg_parent_len(name);
	struct fent *e;

	/* Old receivers derive deletion scopes from the parents they see: without implied dirs they get none. */
	if (s->proto >= 30 || s->o->implied_dirs) {
		for (size_t i = 1; i <= dir_len; i++) {
			if (name[i] != '/' && i != dir_len)
				continue;
			if (i == 1 && name[0] == '/')
				continue;
			if (!parent_known(s, at, name, i) && send_parent(s, op, name, i, &e) < 0)
				return -1;
		}
		memcpy(s->implied, name, dir_len);
		s->implied[dir_len] = '\0';
		s->implied_at = at;
	}
	return send_item(s, op);
}

static int32_t keep_operand(struct sender *s, const struct operand *op)
{
	struct operand *v = mem_grow(s->budget, s->operands, &s->operand_cap, s->operand_count + 1, sizeof *v);
	const char *name = v ? arena_strndup(s->arena, op->name, strlen(op->name)) : NULL;

	if (!name)
		return sender_nomem(s);
	s->operands = v;
	v[s->operand_count] = *op;
	v[s->operand_count].name = name;
	return (int32_t)s->operand_count++;
}

/*
 * Incremental: the next component below name[0, depth) goes into the list under construction, either as the item or
 * as the parent below which the operand waits. op is in the table, or it is put there when it has to wait.
 */
static int send_next(struct sender *s, const struct operand *op, int32_t kept, size_t depth)
{
	const char *at = s->roots[op->root].at, *name = op->name;
	size_t end = depth + (name[depth] == '/');
	struct fent *e;
	int rc;

	end += strcspn(name + end, "/");
	if (!name[end])
		return send_item(s, op);
	if (!parent_known(s, at, name, end) || s->implied[end]) {
		rc = send_parent(s, op, name, end, &e);
		if (rc <= 0)
			return rc;
		memcpy(s->implied, name, end);
		s->implied[end] = '\0';
		s->implied_at = at;
		if (!note(s, e))
			return -1;
		s->implied_slot = s->pend_count - 1;
	}
	if (kept < 0)
		kept = keep_operand(s, op);
	if (kept < 0)
		return -1;
	wait_below(s, kept);
	return 0;
}

int args_below(struct sender *s, int32_t head, size_t depth)
{
	for (int32_t i = head, next; i >= 0; i = next) {
		struct operand op = s->operands[i];

		next = op.next;
		if (send_next(s, &op, i, depth) < 0)
			return -1;
	}
	return 0;
}

static int send_operand(struct sender *s, struct operand *op, const struct arg_name *p)
{
	if (!s->o->relative || !p->parents)
		return send_item(s, op);
	return s->inc ? send_next(s, op, -1, 0) : send_with_parents(s, op);
}

/* "./a" with --relative: the directory itself is a parent as well, even if the item turns out to be missing. */
static int send_implied_dot(struct sender *s, const struct arg_name *p)
{
	struct operand op = { .next = -1 };
	struct fent *e;

	if (!p->dot_implied || s->implied_dot || place_root(s, p->dir, "", p->listed, &op.root) != 0)
		return 0;
	s->implied_dot = true;
	return send_parent(s, &op, ".", 1, &e) < 0 ? -1 : 0;
}

/* ---- one argument ---- */

static bool module_hides(struct sender *s, uint16_t root, const char *name, bool is_dir)
{
	char path[NAME_BUF];

	if (!s->x->daemon_filter)
		return false;
	if (place_join(path, s->roots[root].at, name, strcmp(name, ".") ? strlen(name) : 0) < 0)
		return true;
	return *path && filt_hides_path(s->x->daemon_filter, path, is_dir);
}

/* 0: the place of the item is *root; 1: left out (told); -1: fatal. */
static int find_root(struct sender *s, const struct arg_name *p, uint16_t *root)
{
	char inner[NAME_BUF];
	int rc;

	memcpy(inner, p->name, p->parents);
	inner[p->parents] = '\0';
	rc = place_root(s, p->dir, p->listed ? "" : inner, p->listed, root);
	if (rc < 0 && *inner && !p->listed) {
		/* Which part is wrong: the place where names start, or the path to the item? */
		int err = -rc;

		rc = place_root(s, p->dir, "", false, root);
		if (rc == 0)
			return link_stat_failed(s, err, p, -1) < 0 ? -1 : 1;
	}
	if (rc < 0)
		return change_dir_failed(s, -rc, p) < 0 ? -1 : 1;
	return rc > 0 ? -1 : 0;
}

/* A directory that may be read but not searched: its contents cannot be wanted. */
static bool search_denied(struct sb *sb, const char *dir)
{
	struct stat st;

	return geteuid() != 0 && sb_lstat(sb, dir, "...", &st) == -EACCES;
}

/* Looks at the item. 0: *st; 1: left out (told); -1: fatal. */
static int look_at(struct sender *s, const struct arg_name *p, struct operand *op, struct stat *st)
{
	bool dot = !strcmp(p->name, "."), dangling, linked;
	struct spot sp = { .root = op->root, .operand = true, .follow = p->contents };
	char dir[NAME_BUF];
	size_t link_len;
	int rc;

	sp.sb = place_sb(s, op->root);
	if (!sp.sb)
		return sender_nomem(s);
	sp.dir = dir;
	strcpy(s->name, p->name);
	rc = place_of_name(s, op->root, p->name, p->parents, dir);
	/* "-R link/": what is behind the link is what is wanted; the link is part of the argument. */
	linked = rc == 0 && p->contents && !dot && !p->listed && sb_lstat(sp.sb, dir, path_leaf(p->name), st) == 0 && S_ISLNK(st->st_mode);
	if (linked && place_root(s, p->dir, p->name, false, &op->root) == 0) {
		sp.sb = place_sb(s, op->root);
		op->at_place = true;
		rc = !sp.sb ? -ENOMEM : sb_lstat(sp.sb, s->roots[op->root].prefix, ".", st);
	} else if (rc == 0 && dot && search_denied(sp.sb, dir)) {
		rc = -EACCES;
	} else if (rc == 0) {
		rc = entry_stat(s, &sp, path_leaf(p->name), st, &link_len, &dangling);
	}
	if (s->r->failed)
		return -1;
	if (rc == 0 && module_hides(s, op->root, p->name, S_ISDIR(st->st_mode)))
		rc = -ENOENT;
	if (rc == -EACCES && !s->o->relative)
		return change_dir_failed(s, EACCES, p) < 0 ? -1 : 1;
	if (rc < 0)
		return link_stat_failed(s, -rc, p, op->root) < 0 ? -1 : 1;
	return 0;
}

static int one_argument(struct sender *s, const char *arg, bool listed)
{
	struct arg_name p;
	struct operand op = { .next = -1 };
	struct stat st;
	bool is_dir;
	int rc;

	if (strlen(arg) > PATH_LIMIT) {
		char cut[PATH_LIMIT];

		snprintf(cut, sizeof cut, "%s", arg + (*arg == '/'));
		s->x->io_error |= IOERR_GENERAL;
		say_errno(SAY_ERROR_XFER, ENAMETOOLONG, "link_stat %s failed", place_show_path(s, cut));
		return 0;
	}
	if (!s->o->relative)
		arg_parse_plain(arg, &p);
	else if (arg_parse_relative(arg, &p) < 0)
		return rd_fail(s->r, RX_USAGE, "found \"..\" dir in relative path: %s", arg);
	p.listed = listed;
	if (send_implied_dot(s, &p) < 0)
		return -1;
	rc = find_root(s, &p, &op.root);
	if (rc == 0)
		rc = look_at(s, &p, &op, &st);
	if (rc)
		return rc < 0 ? -1 : 0;
	op.name = p.name;
	op.contents = p.contents;
	rules_start(s, op.root);
	is_dir = S_ISDIR(st.st_mode);
	if (is_dir && !s->o->recurse && !s->o->dirs && !s->o->list_only) {
		say(SAY_INFO, "skipping directory %s", p.name);
		return 0;
	}
	if ((!p.contents || strcmp(p.name, ".") != 0) && filt_user_excluded(s->rules, p.name, is_dir))
		return 0;
	if (!strcmp(path_leaf(p.name), "."))
		s->roots[op.root].whole = true;
	return send_operand(s, &op, &p);
}

/* ---- --files-from ---- */

static int listed_name(struct sender *s, char *name, size_t len)
{
	name[len] = '\0';
	arg_clean_listed(name, s->o->relative);
	if (one_argument(s, name, true) < 0)
		return -1;
	return s->w->failed ? -1 : 0;
}

/* Names that the peer forwards: each ends in NUL, an empty one is the end. Our list goes out meanwhile:
   the connection flushes it before it waits. */
static int names_from_peer(struct sender *s)
{
	bool raw = s->proto == 30 && s->c->in_mux;
	char name[PATH_LIMIT + 2], local[PATH_LIMIT + 1];
	size_t len = 0;

	/* Protocol 30 sends the names outside of frames. */
	if (raw)
		conn_mux_in(s->c, false);
	for (;;) {
		uint8_t b = rd_u8(s->r);

		if (s->r->failed)
			return -1;
		if (b) {
			if (len >= PATH_LIMIT)
				return rd_fail(s->r, RX_PROTOCOL, "over-long name in the files-from list");
			name[len++] = (char)b;
			continue;
		}
		if (!len)
			break;
		if (s->x->charset && s->x->charset_listed)
			len = strlen(strcpy(name, convert_listed(s, name, len, local)));
		if (listed_name(s, name, len) < 0)
			return -1;
		len = 0;
	}
	if (raw)
		conn_mux_in(s->c, true);
	return 0;
}

static int open_list(struct sender *s)
{
	const char *file = s->o->files_from;
	char path[NAME_BUF], dir[NAME_BUF];
	const char *leaf;
	struct sb *sb;
	int rc;

	rc = place_resolve(s, file, path);
	if (rc < 0)
		return rc;
	if (!s->confined && !s->o->am_daemon) {
		memmove(path + 1, path, strlen(path) + 1);
		path[0] = '/';
		if (s->x->places)
			return places_open_file(s->x->places, path + 1);
		/* Relative names as given, so that /dev/fd/N and the like work. */
		return opfile_open(*file == '/' ? file : path, O_RDONLY, 0, s->o->insecure_links ? OPFILE_FREE : 0);
	}
	/* ".." ends at the module's root, as in a chroot. */
	if (s->o->am_daemon)
		path_collapse(path, false);
	if (!*path || (s->x->daemon_filter && filt_hides_path(s->x->daemon_filter, path, false)))
		return -ENOENT;
	leaf = path_leaf(path);
	memcpy(dir, path, (size_t)(leaf - path));
	dir[leaf > path ? leaf - path - 1 : 0] = '\0';
	sb = place_view(s, s->free_view);
	return sb ? sb_open_read_follow(sb, dir, leaf, 0, NULL) : -ENOMEM;
}

static int names_from_file(struct sender *s)
{
	char chunk[8192], name[PATH_LIMIT + 2];
	int fd = open_list(s), rc = 0;
	size_t len = 0;
	bool from0 = s->o->from0;
	ssize_t n = 1;

	if (fd < 0)
		return rd_fail(s->r, s->o->am_daemon ? RX_UNSUPPORTED : RX_USAGE, "rsync: failed to open files-from file %s: %s",
			       s->o->files_from, strerror(-fd));
	while (rc == 0 && n > 0) {
		n = read(fd, chunk, sizeof chunk);
		if (n < 0 && errno == EINTR) {
			n = 1;
			continue;
		}
		for (ssize_t i = 0; i <= n && rc == 0; i++) {
			/* The end of the file ends the last name. */
			bool end = i == n ? n <= 0 : from0 ? !chunk[i] : chunk[i] == '\n' || chunk[i] == '\r' || !chunk[i];

			if (!end && i < n) {
				if (len < PATH_LIMIT)
					name[len++] = chunk[i];
			} else if (end) {
				if (len && name[0] != '#' && name[0] != ';')
					rc = listed_name(s, name, len);
				len = 0;
			}
		}
	}
	close(fd);
	return rc;
}

static int files_from(struct sender *s)
{
	const char *base = s->x->arg_count ? s->x->args[0] : ".";
	char path[NAME_BUF];
	int rc;

	rc = place_root(s, base, "", false, &s->base_root);
	if (rc < 0) {
		if (place_resolve(s, base, path) < 0)
			path[0] = '\0';
		return rd_fail(s->r, RX_FILESELECT, "rsync: [%s] change_dir %s failed: %s (%d)", say_role(),
			       place_show_path(s, path), strerror(-rc), -rc);
	}
	if (rc > 0)
		return -1;
	return strcmp(s->o->files_from, "-") ? names_from_file(s) : names_from_peer(s);
}

int args_first_list(struct sender *s)
{
	if (s->o->files_from)
		return files_from(s);
	if (!s->x->arg_count && (s->o->recurse || s->o->dirs || s->o->list_only))
		return one_argument(s, ".", false);
	for (int i = 0; i < s->x->arg_count; i++)
		if (one_argument(s, s->x->args[i], false) < 0 || s->w->failed)
			return -1;
	return 0;
}
