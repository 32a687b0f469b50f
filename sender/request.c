/*
 * request.c - requests and deliveries (spec 03 §4, §11).
 */
#include "config.h"
#include "sender/sender.h"

#include <errno.h>
#include <stdio.h>

#include "base/say.h"

struct fent *request_entry(struct sender *s, int32_t ndx, struct flist **out)
{
	struct flist *fl = flist_find(s->set, ndx), *first = flist_first(s->set), *last = flist_last(s->set);
	struct fent *e = fl ? flist_entry(fl, ndx) : NULL;

	if (!fl)
		rd_fail(s->r, RX_PROTOCOL, "File-list index %d not in %d - %d (read_ndx_and_attrs) [%s]", ndx,
			first ? first->ndx_start - 1 : 0, last ? last->ndx_start + last->count - 1 : -1, say_role());
	else if (!e)
		rd_fail(s->r, RX_PROTOCOL, "refusing transfer of cleared file index %d [%s]", ndx, say_role());
	*out = fl;
	return e;
}

static OWN_FRAME void log_item(struct sender *s, const struct fent *e, bool delivered)
{
	struct item_record rec = { .e = e, .it = &s->item, .op = "send" };
	const char *at = s->roots[e->root].at;
	char name[PATH_LIMIT + 1], path[2 * PATH_LIMIT + 2];

	fent_path(e, name);
	snprintf(path, sizeof path, "%s%s%s", at, *at ? "/" : "", name);
	rec.path = path;
	if (delivered) {
		rec.data_bytes = (int64_t)(conn_pos_out(s->c) - s->item_out);
		rec.sum_bytes = (int64_t)(conn_pos_in(s->c) - s->item_in);
		rec.sum = s->item_sum;
	}
	s->x->log_item(s->x->log_ctx, &rec);
}

static void item_done(struct sender *s, const struct fent *e, bool delivered)
{
	if (s->x->log_item)
		log_item(s, e, delivered);
}

static void echo(struct sender *s, const struct fent *e)
{
	wr_item(s->w, &s->out_ndx, s->proto, &s->item);
	attrs_write_reply(s, e);
}

static void no_send(struct sender *s)
{
	if (s->proto >= 30)
		conn_post_int(s->c, MSG_NO_SEND, s->item.ndx);
}

/* True if a file can be read in one go with its opening: a small one that goes out as it is, of which nothing else is asked. */
static bool one_go(const struct sender *s, const struct fent *e)
{
	const struct xfer_opts *o = s->o;

	return e->size > 0 && e->size <= TOKEN_CHUNK && !s->sums.head.count && token_out_is_plain(s->tokens) && !o->append &&
	       !o->remove_source && !o->copy_links && !o->copy_unsafe_links && !o->copy_devices;
}

/* *whole (sb_open_whole): if its contents are in search_room() already; of st only size and type are set then. */
static int open_source(struct sender *s, const struct fent *e, struct stat *st, int *whole)
{
	struct sb *sb = place_sb(s, e->root);
	void *room;

	*whole = 0;
	if (!sb)
		return -ENOMEM;
	if (one_go(s, e) && (room = search_room(s->search))) {
		st->st_mode = S_IFREG;
		st->st_size = e->size;
		return sb_open_whole(sb, place_dir(s, e), e->name, s->o->open_noatime == 1 ? SB_NOATIME : 0u, room, (size_t)e->size,
				     whole, st);
	}
	/* What the list promised may be the referent of a link, where options follow links. */
	return place_open(s, sb, place_dir(s, e), e->name, s->o->copy_links || s->o->copy_unsafe_links, st);
}

static void open_failed(struct sender *s, const struct fent *e, int errnum)
{
	const char *shown = place_show_entry(s, e);

	if (errnum == ENOENT) {
		s->x->io_error |= IOERR_VANISHED;
		say(s->proto < 28 ? SAY_ERROR : SAY_WARNING, "file has vanished: %s", shown);
	} else {
		sender_complain(s, errnum, "send_files failed to open %s", shown);
	}
	no_send(s);
}

static bool is_device(const struct stat *st)
{
	return S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode);
}

static enum append_mode append_mode(const struct sender *s, const struct fent *e)
{
	/* A file that was delivered before is being redone: as an ordinary in-place update. */
	if (!s->o->append || (e->flags & FENT_SENT))
		return APPEND_OFF;
	return s->o->append == 1 && s->proto >= 30 ? APPEND_PLAIN : APPEND_VERIFY;
}

/* True if the receiver overwrites the basis while we send (§11.3). */
static bool updating_basis(const struct sender *s)
{
	bool inplace = s->o->inplace || s->o->append;

	if (s->proto < 29)
		return inplace && !s->o->backup;
	if (s->item.basis == BASIS_PARTIAL_DIR)
		return s->x->p->compat & CF_INPLACE_PARTIAL_DIR;
	return inplace && s->item.basis == BASIS_FNAME;
}

static int deliver(struct sender *s, struct fent *e, int fd, const struct stat *st, int whole, enum append_mode append)
{
	struct search_job job = {
		.fd = fd, .size = (uint64_t)st->st_size, .whole = whole, .sums = &s->sums, .append = append, .updating_basis = updating_basis(s),
	};
	struct search_result res;

	s->item_out = conn_pos_out(s->c);
	echo(s, e);
	sum_head_write(s->w, &s->sums.head);
	token_out_begin(s->tokens, s->w);
	if (search_send(s->search, &job, s->tokens, &res, s->err) < 0)
		return -1;
	wr_bytes(s->w, res.digest, csum_len(s->x->p->xfer_sum));
	memcpy(s->item_sum, res.digest, csum_len(s->x->p->xfer_sum));
	s->x->literal += (int64_t)res.literal;
	s->x->matched += (int64_t)res.matched;
	if (res.read_errno)
		sender_complain(s, res.read_errno, "read errors mapping %s", place_show_entry(s, e));
	e->flags |= FENT_SENT;
	return s->w->failed ? -1 : 0;
}

static int handle_transfer(struct sender *s, struct fent *e)
{
	enum append_mode append = append_mode(s, e);
	struct sum_head head;
	struct stat st;
	int fd, rc, whole;

	if (s->o->dry_run) {
		echo(s, e);
		s->x->files_sent++;
		item_done(s, e, false);
		return 0;
	}
	s->item_in = conn_pos_in(s->c);
	if (sum_head_read(s->r, &head, s->proto, csum_len(s->x->p->xfer_sum), s->err) < 0 ||
	    sums_read(&s->sums, s->r, &head, s->x->p->xfer_sum, append == APPEND_OFF,
		      s->x->block_table_max ? s->x->block_table_max : SUM_TABLE_LIMIT, s->err) < 0)
		return -1;
	fd = open_source(s, e, &st, &whole);
	if (fd < 0) {
		open_failed(s, e, -fd);
		return 0;
	}
	if (is_device(&st)) {
		off_t size = lseek(fd, 0, SEEK_END);

		st.st_size = size > 0 ? size : 0;
	}
	if (append != APPEND_OFF && st.st_size < e->size) {
		say(SAY_WARNING, "skipped diminished file: %s", place_show_entry(s, e));
		no_send(s);
		close(fd);
		return 0;
	}
	rc = deliver(s, e, fd, &st, whole, append);
	sbf_close_later(&s->read_fds, fd);
	if (rc < 0)
		return -1;
	if (s->o->remove_source && remove_note(s, s->item.ndx, &st) < 0)
		return -1;
	s->x->files_sent++;
	item_done(s, e, true);
	return 0;
}

int request_handle(struct sender *s, int32_t ndx)
{
	struct item *it = &s->item;
	struct flist *fl, *first = flist_first(s->set);
	struct fent *e;

	rd_item(s->r, it, s->proto);
	if (s->r->failed)
		return -1;
	it->ndx = ndx;
	/* The keep-alive of protocol 29 (spec 03 §3.6). */
	if (s->proto == 29 && first && ndx == first->count && it->flags == ITEM_IS_NEW)
		return 0;
	e = request_entry(s, ndx, &fl);
	if (!e)
		return -1;
	if (it->flags & ITEM_TRANSFER) {
		if (s->phase >= 2)
			return rd_fail(s->r, RX_PROTOCOL, "got transfer request in phase %d [%s]", s->phase, say_role());
		if (!FENT_IS_REG(e) || ndx < fl->ndx_start)
			return rd_fail(s->r, RX_PROTOCOL, "received request to transfer non-regular file: %d [%s]", ndx, say_role());
	}
	if (!s->cur || fl->ndx_start > s->cur->ndx_start)
		s->cur = fl;
	if (s->inc && walk_ahead(s, 1000) < 0)
		return -1;
	if (attrs_read_request(s, e) < 0)
		return -1;
	if (it->flags & ITEM_TRANSFER)
		return handle_transfer(s, e);
	echo(s, e);
	item_done(s, e, false);
	return 0;
}
