/*
 * walk.c - directories: scanning, recursion, sub-lists (spec 02 §9, §13).
 *
 * Incremental lists go out depth first: after a directory's list comes that of its first
 * sub-directory, else of its next sibling, else upwards. The directories of one list are
 * neighbours in the directory table, so a directory needs to know only its parent and where its
 * children begin.
 */
#include "config.h"
#include "sender/sender.h"

#include <errno.h>

#include "base/say.h"

struct flist *walk_begin_list(struct sender *s, int32_t dir_ndx)
{
	struct flist *fl = flist_begin(s->set, dir_ndx);

	s->pend_count = 0;
	s->implied_at = NULL;
	if (!fl)
		sender_nomem(s);
	return fl;
}

static int push_dir(struct sender *s, struct fent *e)
{
	struct fent **v = mem_grow(s->budget, s->stack, &s->stack_cap, s->stack_count + 1, sizeof *v);

	if (!v)
		return sender_nomem(s);
	s->stack = v;
	v[s->stack_count++] = e;
	return 0;
}

static int open_failed(struct sender *s, const struct fent *d, int errnum)
{
	const char *shown = place_show_entry(s, d);

	if (errnum == ENOENT) {
		s->x->io_error |= IOERR_VANISHED;
		say(SAY_WARNING, "directory has vanished: %s", shown);
	} else {
		sender_complain(s, errnum, "opendir %s failed", shown);
	}
	return 0;
}

/* Entries of all names in an open directory. Sub-directories that are to be scanned go on the stack. */
static int scan_names(struct sender *s, const struct fent *d, struct spot *sp, size_t base)
{
	struct sb_dirent ent;
	struct fent *e;
	int rc, more;

	while ((more = sb_readdir(sp->d, &ent)) == 1) {
		if (base + ent.len > PATH_LIMIT) {
			s->x->io_error |= IOERR_GENERAL;
			say(SAY_ERROR_XFER, "filename overflows max-path len by %zu: %s/%s", base + ent.len - PATH_LIMIT,
			    sp->fdir->s, ent.name);
			continue;
		}
		if (!ent.len) {
			s->x->io_error |= IOERR_GENERAL;
			say(SAY_ERROR_XFER, "cannot send file with empty name in %s", place_show_entry(s, d));
			continue;
		}
		memcpy(s->name + base, ent.name, ent.len + 1);
		rc = entry_make(s, sp, ent.name, ent.type, 0, &e);
		if (rc < 0)
			return -1;
		if (rc == 0 || !FENT_IS_DIR(e))
			continue;
		if (args_note_dir(s, e, sp->dev) < 0)
			return -1;
		if (!s->inc && (e->flags & FENT_CONTENT) && push_dir(s, e) < 0)
			return -1;
	}
	if (more < 0)
		sender_complain(s, -more, "readdir(%s)", place_show_entry(s, d));
	return 0;
}

static int scan_dir(struct sender *s, struct fent *d, dev_t dev)
{
	struct spot sp = { .root = d->root, .dir = s->scan_path, .dev = dev };
	bool dot = !strcmp(d->name, ".");
	size_t base;
	int rc;

	sp.fdir = flist_dir_inside(s->set, d);
	if (!sp.fdir)
		return sender_nomem(s);
	base = sp.fdir->len;
	if (rules_enter(s, d->root, dot ? "." : sp.fdir->s, dot ? 1 : base) < 0)
		return -1;
	if (place_of_name(s, d->root, sp.fdir->s, base, s->scan_path) < 0)
		return open_failed(s, d, ENAMETOOLONG);
	sp.sb = place_sb(s, d->root);
	if (!sp.sb)
		return sender_nomem(s);
	rc = sb_opendir(sp.sb, s->scan_path, ".", s->o->open_noatime == 1 ? SB_NOATIME : 0, &sp.d, NULL);
	/* Said once, as of the directory, whatever the rules leave of it; a link may lead to another one. */
	if (rc == 0 && !s->follows) {
		rc = sb_dir_search(sp.d);
		if (rc < 0)
			sb_closedir(sp.d);
	}
	if (rc < 0)
		return open_failed(s, d, -rc);
	memcpy(s->name, sp.fdir->s, base);
	if (base && s->name[base - 1] != '/')
		s->name[base++] = '/';
	rc = scan_names(s, d, &sp, base);
	sb_closedir(sp.d);
	return rc;
}

int walk_contents(struct sender *s, struct fent *d, dev_t dev)
{
	size_t from = s->stack_count, to;
	int rc = scan_dir(s, d, dev);

	/* Children in directory order, each followed by what is below it. A name has at most PATH_LIMIT / 2
	   components: that bounds the depth here. */
	to = s->stack_count;
	for (size_t i = from; i < to && rc == 0; i++)
		rc = walk_contents(s, s->stack[i], dev);
	s->stack_count = from;
	return rc;
}

/* ---- end of a list ---- */

/* The first directory of the same name in this list, which gets the contents of both. */
static void join_twin(struct sender *s, int32_t dir, int32_t list_first)
{
	const struct fent *e = flist_dir_entry(s->set, dir);

	for (int32_t i = dir - 1; i >= list_first; i--) {
		const struct fent *f = flist_dir_entry(s->set, i);

		if (f->dir != e->dir || strcmp(f->name, e->name))
			continue;
		s->dirs[dir].dup = s->dirs[i].dup;
		s->dirs[i].dup = dir;
		return;
	}
}

static int register_dirs(struct sender *s, int32_t parent)
{
	int32_t from = s->dir_count, to = flist_dir_count(s->set);
	struct dir_info *v = mem_grow(s->budget, s->dirs, &s->dir_cap, (size_t)to + 1, sizeof *v);

	if (!v)
		return sender_nomem(s);
	s->dirs = v;
	args_waiting_sort(s);
	for (int32_t i = from; i < to; i++) {
		const struct fent *e = flist_dir_entry(s->set, i);
		const struct waiting *w = args_waiting(s, e);

		v[i] = (struct dir_info){ .parent = parent, .operands = w ? w->head : -1, .dup = -1, .dev = w ? w->dev : 0 };
		if (e->flags & FENT_DUP_DIR)
			join_twin(s, i, from);
	}
	s->dir_count = to;
	if (parent >= 0) {
		v[parent].first = from;
		v[parent].count = to - from;
	} else {
		s->top_count = to;
	}
	return 0;
}

int walk_end_list(struct sender *s, struct flist *fl, int32_t parent)
{
	int err = s->x->io_error;

	if (s->o->ignore_errors || (parent >= 0 && err == s->batch_error))
		err = 0;
	flist_write_end(s->set, s->w, fl, err);
	if (s->w->failed)
		return -1;
	fl->user = (void *)(uintptr_t)s->entries;
	/* Protocol 30 without the safe end marker: the error goes beside the list. */
	if (err && s->proto == 30 && !(s->x->p->compat & (CF_SAFE_FLIST | CF_VARINT_FLIST_FLAGS)))
		conn_post_int(s->c, MSG_IO_ERROR, s->x->io_error);
	return s->inc ? register_dirs(s, parent) : 0;
}

/* ---- sub-lists ---- */

static bool has_list(const struct sender *s, int32_t dir)
{
	const struct fent *e = flist_dir_entry(s->set, dir);

	return !(e->flags & FENT_DUP_DIR) && strcmp(e->name, ".");
}

/* First directory at or behind dir, among its siblings, that gets a list; -1 if none. */
static int32_t among(const struct sender *s, int32_t dir, int32_t end)
{
	while (dir < end && !has_list(s, dir))
		dir++;
	return dir < end ? dir : -1;
}

static int32_t siblings_end(const struct sender *s, int32_t dir)
{
	int32_t up = s->dirs[dir].parent;

	return up < 0 ? s->top_count : s->dirs[up].first + s->dirs[up].count;
}

/* The directory whose list comes next; -1 behind the last. */
static int32_t next_dir(const struct sender *s)
{
	int32_t at = s->at_dir, n;

	if (at < 0)
		return among(s, 0, s->top_count);
	n = among(s, s->dirs[at].first, s->dirs[at].first + s->dirs[at].count);
	while (n < 0 && at >= 0) {
		n = among(s, at + 1, siblings_end(s, at));
		at = s->dirs[at].parent;
	}
	return n;
}

void walk_check_eof(struct sender *s)
{
	if (!s->inc || s->eof || next_dir(s) >= 0)
		return;
	wr_ndx(s->w, &s->out_ndx, s->proto, NDX_FLIST_EOF);
	s->eof = true;
}

/* An operand that was named twice holds the same both times. done: a directory that was scanned, or -1. */
static bool same_place(const struct sender *s, int32_t done, int32_t dir)
{
	return done >= 0 && (!s->o->one_fs || s->dirs[done].dev == s->dirs[dir].dev) &&
		flist_dir_entry(s->set, done)->root == flist_dir_entry(s->set, dir)->root;
}

int walk_sublist(struct sender *s)
{
	int32_t dir = next_dir(s);
	struct flist *fl;

	wr_ndx(s->w, &s->out_ndx, s->proto, NDX_FLIST_OFFSET - dir);
	fl = walk_begin_list(s, dir);
	if (!fl)
		return -1;
	for (int32_t d = dir, done = -1; d >= 0; d = s->dirs[d].dup) {
		struct fent *e = flist_dir_entry(s->set, d);
		const struct fdir *inside = flist_dir_inside(s->set, e);

		if (!inside)
			return sender_nomem(s);
		if ((e->flags & FENT_CONTENT) && !same_place(s, done, d)) {
			if (scan_dir(s, e, s->dirs[d].dev) < 0)
				return -1;
			done = done < 0 ? d : done;
		}
		if (args_below(s, s->dirs[d].operands, inside->len) < 0)
			return -1;
	}
	s->at_dir = dir;
	if (walk_end_list(s, fl, dir) < 0)
		return -1;
	walk_check_eof(s);
	return s->w->failed ? -1 : 0;
}

int64_t walk_entries_ahead(const struct sender *s)
{
	return s->entries - (s->cur ? (int64_t)(uintptr_t)s->cur->user : 0);
}

int walk_ahead(struct sender *s, int64_t want)
{
	s->batch_error = s->x->io_error;
	while (!s->eof && walk_entries_ahead(s) < want)
		if (walk_sublist(s) < 0)
			return -1;
	return 0;
}
