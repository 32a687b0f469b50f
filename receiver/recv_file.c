/*
 * recv_file.c - one delivery: tokens become a file (spec 03 §12, 08 §8).
 */
#include "config.h"
#include "receiver/dest.h"
#include "receiver/recv.h"

#include <errno.h>
#include <stdio.h>

#include "filter/filter.h"

/* A delivery on its way. */
struct delivery {
	struct recv *r;
	const struct request *req;
	const struct fent *e;
	const char *dir, *leaf;        /* D */
	struct sum_head head;
	int basis;                     /* fd or -1 */
	bool inplace;                  /* D itself or its partial file is written, not a temp */
	bool part;                     /* … the partial file */
	bool is_device;
	bool discard;
	bool no_basis;                 /* what the sums were of is gone */
	bool allocated;                /* longer than the data may be */
	int out;                       /* fd of inplace output, or the temp's */
	struct stat st;                /* of the inplace output before anything was written */
	mode_t made;                   /* bits of a temp as it was created */
	struct outw w;
	int64_t literal;
	/* Window of the basis in h.buf. */
	uint64_t win_off;
	size_t win_len;
	uint8_t *big;                  /* block buffer where blocks are longer than the window */
};

/* ---- basis ---- */

static int open_fuzzy(struct delivery *d)
{
	struct hands *h = &d->r->h;
	const char *name = d->req->xname;
	int k = d->req->basis - BASIS_FUZZY;

	if (!name || strchr(name, '/') || k > d->r->o->alt_count || (k && !h->alt[k - 1]))
		return -EINVAL;
	return hands_open(h, k ? h->alt[k - 1] : h->dest, d->dir, name, NULL);
}

static int open_basis(struct delivery *d)
{
	struct hands *h = &d->r->h;
	char path[PATH_LIMIT + 1], bleaf[SB_NAME_MAX + 1];
	uint8_t type = d->req->basis;
	struct sb *sb;

	if (type <= BASIS_ALT_LAST)
		return h->alt[type] ? hands_open(h, h->alt[type], d->dir, d->leaf, NULL) : -ENOENT;
	switch (type) {
	case BASIS_FNAME:
		return d->req->flags & RQ_DEVICE ? dest_open_device(d->r->rx, d->dir, d->leaf, false) :
						   hands_open(h, h->dest, d->dir, d->leaf, NULL);
	case BASIS_PARTIAL_DIR:
		return partial_name(h, d->dir, d->leaf, &sb, path) < 0 ? -ENOENT : hands_open(h, sb, path, d->leaf, NULL);
	case BASIS_BACKUP:
		if (snprintf(bleaf, sizeof bleaf, "%s%s", d->leaf, d->r->o->suffix ? d->r->o->suffix : "") > SB_NAME_MAX)
			return -ENAMETOOLONG;
		sb = d->r->o->backup_dir ? hands_backup(h) : h->dest;
		return sb ? hands_open(h, sb, d->dir, bleaf, NULL) : -ENOENT;
	default:
		return open_fuzzy(d);
	}
}

/* ---- output ---- */

/* A file we may not write but own: owner-write only for the opening. */
static int open_readonly(struct delivery *d)
{
	struct sb *sb = d->r->h.dest;
	struct stat st;
	int fd = sb_open_write(sb, d->dir, d->leaf, 0, 0, NULL);

	if (fd != -EACCES || sb_lstat(sb, d->dir, d->leaf, &st) < 0 || !S_ISREG(st.st_mode) || st.st_uid != d->r->rx->euid ||
	    (st.st_mode & 0200))
		return fd;
	if (sb_chmod(sb, d->dir, d->leaf, (st.st_mode | 0200) & PERM_BITS) < 0)
		return -EACCES;
	fd = sb_open_write(sb, d->dir, d->leaf, 0, 0, NULL);
	sb_chmod(sb, d->dir, d->leaf, st.st_mode & PERM_BITS);
	return fd;
}

static int open_inplace(struct delivery *d)
{
	struct recv *r = d->r;
	char path[PATH_LIMIT + 1];
	unsigned flags = SB_CREATE;
	struct sb *sb = r->h.dest;
	const char *dir = d->dir;
	int fd;

	if (d->part) {
		if (partial_name(&r->h, d->dir, d->leaf, &sb, path) < 0)
			return -ENOENT;
		dir = path;
		flags = 0;
	} else if (r->o->sparse && r->o->whole_file) {
		flags |= SB_TRUNC;
	}
	if (!d->part && d->req->flags & RQ_DEVICE)
		fd = dest_open_device(r->rx, dir, d->leaf, true);
	else
		fd = sb_open_write(sb, dir, d->leaf, flags, 0600, NULL);
	if (fd == -EACCES && !d->part && !(d->req->flags & RQ_DEVICE))
		fd = open_readonly(d);
	if (fd < 0)
		return fd;
	if (sbf_stat(fd, &d->st) < 0) {
		close(fd);
		return -EIO;
	}
	d->is_device = !S_ISREG(d->st.st_mode);
	d->out = fd;
	return 0;
}

/* The group that new files get in this directory. */
static void probe_group(struct recv *r, struct delivery *d)
{
	struct stat st;

	if (!r->o->group || r->probe_dir == d->e->dir || sbf_stat(r->temp.fd, &st) < 0)
		return;
	r->probe_dir = d->e->dir;
	r->probe_gid = st.st_gid;
}

/*
 * A temp is made with its final permissions where nobody gains by that before it gets its owner: then no chmod is
 * needed at the end. In an unknown directory the group is not known yet.
 */
static int open_temp(struct delivery *d)
{
	struct recv *r = d->r;
	const struct rx *rx = r->rx;
	bool known = !r->o->group || r->probe_dir == d->e->dir;
	mode_t mode = d->req->mode & 0777;
	int rc;

	if (rx->fake)
		mode = 0600;
	else if (!known || attrs_wants_chown(&r->h, d->e, r->probe_gid))
		mode &= 0700;
	rc = temp_create(&r->h, &r->temp, d->dir, d->leaf, mode);
	if (rc < 0)
		return rc;
	d->made = mode & ~rx->umask;
	/* The directory's default ACL has its own idea of the mode. */
	if ((d->req->flags & RQ_ACL_DIR) || rx->temp)
		d->made = ~(mode_t)d->req->mode & 0777;
	probe_group(r, d);
	d->out = r->temp.fd;
	return 0;
}

static void preallocate(struct delivery *d)
{
	struct recv *r = d->r;
	int rc;

	if (d->e->size <= 0 || d->is_device || (d->inplace && d->st.st_size >= d->e->size))
		return;
	rc = sbf_allocate(d->out, 0, d->e->size, !r->o->sparse);
	if (rc < 0)
		say_errno(SAY_WARNING, -rc, "do_fallocate %s", FULL(r->rx, d->dir, d->leaf));
	else
		d->allocated = true;
}

static void open_output(struct delivery *d)
{
	struct recv *r = d->r;
	int rc;

	d->part = d->req->basis == BASIS_PARTIAL_DIR && r->rx->inplace_partial && d->basis >= 0 && !r->o->inplace;
	d->inplace = r->o->inplace || d->part || (d->req->flags & RQ_DEVICE);
	rc = d->inplace ? open_inplace(d) : open_temp(d);
	if (rc < 0) {
		say_errno(SAY_ERROR_XFER, -rc, d->inplace ? "open %s failed" : "mkstemp %s failed", d->inplace || !r->temp.leaf[0] ?
			  FULL(r->rx, d->dir, d->leaf) : temp_full(r->rx, &r->temp, (char[NAME_TEXT]){ 0 }));
		d->discard = true;
		return;
	}
	if (r->o->preallocate)
		preallocate(d);
	d->w = (struct outw){ .fd = d->out, .buf = r->gather, .sparse = r->o->sparse && !d->is_device,
			      .punch = d->inplace || d->allocated };
}

/* ---- tokens ---- */

static int write_failed(struct delivery *d, int rc)
{
	struct recv *r = d->r;

	fail_errno(r->in->err, RX_FILEIO, -rc, "write failed on %s", FULL(r->rx, d->dir, d->leaf));
	return rd_fail(r->in, RX_FILEIO, "%s", "");
}

static int put_literal(struct delivery *d, const struct token *t)
{
	int rc;

	d->literal += (int64_t)t->len;
	if (d->discard)
		return 0;
	csum_update(d->r->sum, t->data, t->len);
	rc = outw_write(&d->w, t->data, t->len);
	return rc < 0 ? write_failed(d, rc) : 0;
}

static void read_basis(struct delivery *d, uint8_t *buf, size_t len, uint64_t off, size_t *got)
{
	*got = 0;
	while (*got < len) {
		ssize_t n = pread(d->basis, buf + *got, len - *got, (off_t)(off + *got));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return;
		*got += (size_t)n;
	}
}

/* len bytes of the basis at off; zeros where it has become shorter: the checksum will tell. */
static const uint8_t *basis_data(struct delivery *d, uint64_t off, size_t len)
{
	struct hands *h = &d->r->h;
	uint8_t *buf = h->buf;
	size_t got;

	if (len > RX_BUF) {
		buf = d->big;
		read_basis(d, buf, len, off, &got);
		memset(buf + got, 0, len - got);
		return buf;
	}
	if (off >= d->win_off && off + len <= d->win_off + d->win_len)
		return buf + (off - d->win_off);
	/* Read ahead: matches usually go on where they stopped. */
	read_basis(d, buf, RX_BUF, off, &got);
	d->win_off = off;
	d->win_len = got;
	if (got < len) {
		memset(buf + got, 0, len - got);
		d->win_len = len;
	}
	return buf;
}

static int put_block(struct delivery *d, const uint8_t *data, size_t len, uint64_t off)
{
	struct recv *r = d->r;
	int rc;

	csum_update(r->sum, data, len);
	rc = d->inplace && d->w.pos == off && d->req->basis != BASIS_BACKUP && (d->part || d->req->basis == BASIS_FNAME) ?
	     outw_keep(&d->w, data, len) : outw_write(&d->w, data, len);
	return rc < 0 ? write_failed(d, rc) : 0;
}

static int put_match(struct delivery *d, const struct token *t)
{
	struct recv *r = d->r;
	bool see = token_in_wants_blocks(r->tok);
	uint32_t i = t->block, end = t->block + t->run;

	if (d->basis < 0 && !d->discard)
		return rd_fail(r->in, RX_PROTOCOL, "got a block match with no basis file for %s [%s]", FULL(r->rx, d->dir, d->leaf),
			       say_role());
	while (i < end) {
		uint64_t off = sum_block_offset(&d->head, i);
		size_t len = sum_block_len(&d->head, i);
		const uint8_t *data;

		i++;
		/* As many blocks of the run as fit, unless the decoder wants to see them one by one. */
		while (!see && i < end && len + sum_block_len(&d->head, i) <= RX_BUF)
			len += sum_block_len(&d->head, i++);
		r->rx->x->matched += (int64_t)len;
		if (d->discard)
			continue;
		data = basis_data(d, off, len);
		if (see && token_in_see(r->tok, data, len, r->in->err) < 0)
			return rd_fail(r->in, r->in->err->code, "%s", "");
		if (put_block(d, data, len, off) < 0)
			return -1;
	}
	return 0;
}

/* --append-verify: what is there already counts. */
static int hash_prefix(struct delivery *d, uint64_t len)
{
	struct hands *h = &d->r->h;
	uint64_t off = 0;

	while (off < len) {
		size_t n = (size_t)MIN((uint64_t)RX_BUF, len - off), got;
		int fd = d->basis;

		if (fd < 0)
			return 0;
		read_basis(d, h->buf, n, off, &got);
		if (!got)
			return 0;
		csum_update(d->r->sum, h->buf, got);
		off += got;
	}
	return 0;
}

static int tokens(struct delivery *d)
{
	struct recv *r = d->r;
	uint64_t most = (uint64_t)MAX(d->e->size, 0) * 2 + ((uint64_t)4 << 30);
	struct token t;
	int rc = 0;

	token_in_begin(r->tok, r->in, d->head.count, most, d->discard);
	while (rc == 0) {
		if (token_in_next(r->tok, &t, r->in->err) < 0)
			return rd_fail(r->in, r->in->err->code, "%s", "");
		if (t.kind == TOKEN_END)
			break;
		rc = t.kind == TOKEN_LITERAL ? put_literal(d, &t) : put_match(d, &t);
	}
	return rc;
}

/* Everything between the sum head and the digest. */
static int content(struct delivery *d)
{
	struct recv *r = d->r;
	bool append = d->req->flags & RQ_APPEND;
	int rc;

	csum_start(r->sum);
	if (append && !d->discard) {
		uint64_t span = sum_head_span(&d->head);

		if (r->o->append == 2 || r->p->version < 30)
			hash_prefix(d, span);
		d->w.pos = span;
	}
	if (!append && d->head.blength > RX_BUF && d->basis >= 0 && !d->discard) {
		d->big = mem_alloc(r->rx->budget, d->head.blength, 1);
		if (!d->big)
			return rd_fail(r->in, RX_MALLOC, "out of memory for a block of %u bytes", d->head.blength);
	}
	if (tokens(d) < 0)
		return -1;
	if (d->discard)
		return 0;
	rc = outw_end(&d->w);
	if (rc == 0 && !d->is_device && (d->allocated || d->w.ends_in_hole || (d->inplace && (uint64_t)d->st.st_size > d->w.pos)))
		rc = sbf_truncate(d->out, (int64_t)d->w.pos);
	if (rc < 0)
		return write_failed(d, rc);
	if (r->o->fsync && (rc = sbf_sync(d->out)) < 0) {
		fail_errno(r->in->err, RX_FILEIO, -rc, "fsync failed on %s", FULL(r->rx, d->dir, d->leaf));
		return rd_fail(r->in, RX_FILEIO, "%s", "");
	}
	return 0;
}

static int verify(struct delivery *d, bool *good)
{
	struct recv *r = d->r;
	uint8_t want[CSUM_MAX_LEN] = { 0 }, have[CSUM_MAX_LEN];
	unsigned len = csum_len(r->p->xfer_sum);

	rd_bytes(r->in, want, len);
	if (r->in->failed)
		return -1;
	csum_final(r->sum, have);
	*good = memcmp(want, have, len) == 0;
	memcpy(r->item_sum, have, len);
	return 0;
}

/* ---- afterwards ---- */

static void set_attrs(struct delivery *d, unsigned flags)
{
	struct recv *r = d->r;
	struct target old = { r->h.dest, d->dir, d->leaf, -1, NULL };
	struct target t = { r->h.dest, d->dir, d->leaf, d->out, &old };
	struct stat st = { 0 };

	flags |= ATTRS_XATTRS;
	if (!d->inplace && !(d->req->flags & RQ_ACL_DIR) && !r->rx->temp)
		flags |= ATTRS_NO_ACL;
	if ((d->req->flags & RQ_NEW) && d->req->basis <= BASIS_ALT_LAST)
		old.sb = r->h.alt[d->req->basis];
	else if ((d->req->flags & RQ_NEW) || !old.sb)
		t.old = NULL;

	if (d->inplace) {
		if (sbf_stat(d->out, &st) < 0)
			return;
		if (r->rx->fake && !d->part)
			hands_lstat(&r->h, r->h.dest, d->dir, d->leaf, &st);
	} else {
		/* Known without asking: it was made by us just now. */
		st.st_mode = S_IFREG | d->made;
		st.st_uid = r->rx->euid;
		st.st_gid = r->o->group ? r->probe_gid : r->rx->egid;
		st.st_mtim.tv_nsec = -1;
	}
	attrs_apply(&r->h, &t, d->e, d->req->mode, &st, flags | ATTRS_EXACT);
}

/* Keeps the old D. -1: was said. */
static int try_keep_old(struct delivery *d)
{
	struct recv *r = d->r;
	struct stat st;

	if (!r->o->backup || (d->req->flags & (RQ_NEW | RQ_NO_BACKUP)) || sb_lstat(r->h.dest, d->dir, d->leaf, &st) < 0)
		return 0;
	return backup_make(&r->h, d->dir, d->leaf, &st, false) == 0 ? 0 : -1;
}

/* -1: the session ends. */
static int keep_old(struct delivery *d)
{
	return try_keep_old(d) == 0 ? 0 : rd_fail(d->r->in, RX_FILEIO, "%s", "");
}

/* The name of D's partial file as the user thinks of it. out: PATH_LIMIT + 1. */
static const char *partial_text(struct delivery *d, char *out)
{
	const struct rx *rx = d->r->rx;
	const char *name = rx->partial_rel ? rx->partial_rel : rx->o->partial_dir;
	char dir[PATH_LIMIT + 1];

	if (path_join(dir, rx->partial_rel ? d->dir : "", name) < 0 || path_join(out, dir, d->leaf) < 0)
		strcpy(out, d->leaf);
	return out;
}

static void say_not_placed(struct delivery *d, int err, bool delayed)
{
	struct rx *rx = d->r->rx;
	char from[PATH_LIMIT + 1], to[PATH_LIMIT + 1];

	partial_text(d, from);
	if (delayed)
		say_errno(SAY_ERROR_XFER, err, "rename failed for %s (from %s)", FULL(rx, d->dir, d->leaf), from);
	else if (path_join(to, d->dir, d->leaf) == 0)
		say_errno(SAY_ERROR_XFER, err, "rename %s -> \"%s\"", FULL(rx, "", from), to);
}

/* The partial file becomes D. */
static enum outcome place_partial(struct delivery *d, bool delayed)
{
	struct recv *r = d->r;
	char pdir[PATH_LIMIT + 1];
	struct sb *sb;
	int rc;

	if (delayed && try_keep_old(d) < 0)
		return OUTCOME_FAILED;
	if (!delayed && keep_old(d) < 0)
		return OUTCOME_FATAL;
	rc = partial_name(&r->h, d->dir, d->leaf, &sb, pdir) < 0 ? -ENOENT : sb_rename(sb, pdir, d->leaf, r->h.dest, d->dir, d->leaf, 0);
	if (rc < 0) {
		say_not_placed(d, -rc, delayed);
		return OUTCOME_FAILED;
	}
	partial_cleanup(&r->h, d->dir, d->leaf, false);
	return OUTCOME_OK;
}

static int remember_delayed(struct recv *r, const struct request *req)
{
	struct delayed *p = mem_grow(r->rx->budget, r->delayed, &r->delayed_cap, r->delayed_n + 1, sizeof *p);

	if (!p)
		return rd_fail(r->in, RX_MALLOC, "out of memory for delayed updates");
	r->delayed = p;
	p[r->delayed_n++] = (struct delayed){ req->ndx, req->mode, req->flags };
	return 0;
}

static enum outcome delay(struct delivery *d)
{
	struct recv *r = d->r;

	if (!d->part && partial_mkdir(&r->h, d->dir, d->leaf) < 0) {
		say(SAY_ERROR_XFER, "Unable to create partial-dir for %s -- discarding completed file.",
		    FULL(r->rx, d->dir, d->leaf));
		return OUTCOME_FAILED;
	}
	if (!d->part) {
		char path[PATH_LIMIT + 1];
		int rc = partial_keep(&r->h, &r->temp, d->dir, d->leaf);

		if (rc < 0) {
			say_errno(SAY_ERROR_XFER, -rc, "rename %s -> \"%s\"",
				  temp_full(r->rx, &r->temp, (char[NAME_TEXT]){ 0 }), partial_text(d, path));
			return OUTCOME_FAILED;
		}
	}
	return remember_delayed(r, d->req) < 0 ? OUTCOME_FATAL : OUTCOME_DELAYED;
}

static enum outcome good_file(struct delivery *d)
{
	struct recv *r = d->r;

	set_attrs(d, 0);
	if (d->inplace && !d->part)
		return OUTCOME_OK;
	if (r->o->delay_updates && !partial_hidden(&r->h, d->dir, d->leaf))
		return delay(d);
	if (d->part)
		return place_partial(d, false);
	if (keep_old(d) < 0) {
		if (r->rx->o->partial_dir && d->literal)
			partial_keep(&r->h, &r->temp, d->dir, d->leaf);
		return OUTCOME_FATAL;
	}
	if (temp_place(&r->h, &r->temp, d->dir, d->leaf, d->e, d->req->mode) < 0) {
		if (r->rx->o->partial_dir)
			partial_keep(&r->h, &r->temp, d->dir, d->leaf);
		return OUTCOME_FAILED;
	}
	if (d->req->basis == BASIS_PARTIAL_DIR)
		partial_cleanup(&r->h, d->dir, d->leaf, true);
	return OUTCOME_OK;
}

/* Saves what there is of a file that failed or was interrupted. True if it was kept, and in the partial-dir. */
static bool keep_data(struct delivery *d, bool interrupted, bool *in_dir)
{
	struct recv *r = d->r;

	*in_dir = false;
	if (d->inplace || !r->temp.live || !r->rx->keep_partial)
		return d->inplace;
	if (r->o->partial_dir) {
		set_attrs(d, ATTRS_NO_MTIME);
		*in_dir = partial_keep(&r->h, &r->temp, d->dir, d->leaf) == 0;
		return *in_dir;
	}
	set_attrs(d, interrupted ? ATTRS_ZERO_MTIME : ATTRS_NO_MTIME);
	if (interrupted && keep_old(d) < 0)
		return false;
	return temp_place(&r->h, &r->temp, d->dir, d->leaf, d->e, d->req->mode) == 0;
}

static enum outcome bad_file(struct delivery *d)
{
	struct recv *r = d->r;
	bool redo = d->req->flags & RQ_REDO, in_dir, kept = keep_data(d, false, &in_dir);
	const char *what = in_dir || d->part ? "put into partial-dir" : kept ? "retained" : "discarded";

	if (d->inplace)
		set_attrs(d, ATTRS_NO_MTIME);
	if (redo)
		say(SAY_ERROR_XFER, "ERROR: %s failed verification -- update %s.", ENAME(d->e), what);
	else if (info_gte(r->o, INFO_NAME, 1) || r->rx->itemizing)
		say(SAY_WARNING, "WARNING: %s failed verification -- update %s (will try again).", ENAME(d->e), what);
	return redo ? OUTCOME_FAILED : OUTCOME_REDO;
}

static enum outcome run_delivery(struct delivery *d)
{
	struct recv *r = d->r;
	bool good = false, in_dir;

	if (content(d) < 0 || verify(d, &good) < 0) {
		if (d->literal && !d->discard)
			keep_data(d, true, &in_dir);
		return OUTCOME_FATAL;
	}
	r->rx->x->literal += d->literal;
	if (d->no_basis) {
		if (!(d->req->flags & RQ_REDO))
			return OUTCOME_REDO;
		say(SAY_ERROR_XFER, "ERROR: %s failed verification -- update discarded.", ENAME(d->e));
	}
	if (d->discard)
		return OUTCOME_FAILED;
	return good ? good_file(d) : bad_file(d);
}

/* The head comes back as it was sent, or null where the generator could not read its basis in the end. */
static int read_head(struct delivery *d)
{
	struct recv *r = d->r;
	const struct sum_head *q = &d->req->head;

	if (sum_head_read(r->in, &d->head, r->p->version, csum_len(r->p->xfer_sum), r->in->err) < 0)
		return rd_fail(r->in, r->in->err->code, "%s", "");
	if (d->head.count && memcmp(&d->head, q, sizeof *q) != 0)
		return rd_fail(r->in, RX_PROTOCOL, "sum head of item %d differs from what was sent [%s]", d->req->ndx, say_role());
	return 0;
}

enum outcome recv_file(struct recv *r, const struct request *req, const struct fent *e)
{
	struct delivery d = { .r = r, .req = req, .e = e, .basis = -1, .out = -1 };
	enum outcome oc;

	d.dir = rx_dir(r->rx, e);
	d.leaf = rx_leaf(r->rx, e);
	if (read_head(&d) < 0)
		return OUTCOME_FATAL;
	if (d.head.count || req->basis == BASIS_PARTIAL_DIR) {
		d.basis = open_basis(&d);
		/* What was only alike may have gone meanwhile: then it is asked for again, without it. */
		if (d.basis < 0 && req->basis != BASIS_FNAME && d.head.count) {
			d.discard = d.no_basis = true;
		} else if (d.basis == -EISDIR) {
			say(SAY_ERROR_XFER, "recv_files: %s is a directory", FULL(r->rx, d.dir, d.leaf));
			d.discard = true;
		}
		if (d.basis < 0)
			d.basis = -1;
	}
	if (!d.discard)
		open_output(&d);
	oc = run_delivery(&d);
	if (d.inplace && d.out >= 0)
		close(d.out);
	temp_drop(&r->temp);
	if (d.basis >= 0)
		close(d.basis);
	mem_free(r->rx->budget, d.big);
	return oc;
}

int recv_delayed(struct recv *r)
{
	for (size_t i = 0; i < r->delayed_n; i++) {
		struct request req = { .ndx = r->delayed[i].ndx, .mode = r->delayed[i].mode, .flags = r->delayed[i].flags };
		struct flist *fl = flist_find(r->set, req.ndx);
		struct fent *e = fl ? flist_entry(fl, req.ndx) : NULL;
		struct delivery d = { .r = r, .req = &req, .e = e, .part = true };
		enum outcome oc;

		if (!e)
			continue;
		d.dir = rx_dir(r->rx, e);
		d.leaf = rx_leaf(r->rx, e);
		oc = place_partial(&d, true);
		if (oc == OUTCOME_FATAL)
			return -1;
		if (oc == OUTCOME_OK)
			rx_success(r->rx, req.ndx);
		if (recv_event(r, oc == OUTCOME_OK ? EV_OK : EV_FAILED, req.ndx, NULL) < 0)
			return -1;
	}
	r->delayed_n = 0;
	return 0;
}
