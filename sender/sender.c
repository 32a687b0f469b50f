/*
 * sender.c - the sender's session: set-up, first list, request loop, statistics, goodbye
 * (spec 01 §12, 03 §5).
 */
#include "config.h"
#include "sender/sender.h"

#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <zstd.h>

#include "base/clock.h"
#include "base/say.h"

/* Entries sent ahead of the list being worked on: always, and while the peer leaves us idle. */
#define AHEAD 1000
#define AHEAD_IDLE 10000

int sender_nomem(struct sender *s)
{
	return rd_fail(s->r, RX_MALLOC, "out of memory for the file list [%s]", say_role());
}

void sender_complain(struct sender *s, int errnum, const char *fmt, ...)
{
	char text[NAME_BUF + 256];
	va_list ap;

	s->x->io_error |= IOERR_GENERAL;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	say_errno(SAY_ERROR_XFER, errnum, "%s", text);
}

/* ---- messages ---- */

static int on_msg(void *ctx, unsigned code, const uint8_t *data, size_t len)
{
	struct sender *s = ctx;
	int rc = xfer_common_msg(s->x, code, data, len);

	if (rc)
		return rc < 0 ? -1 : 0;
	switch (code) {
	case MSG_SUCCESS:
		return remove_source(s, (int32_t)get_le32(data));
	case MSG_DELETED:
		/* A client sender reads the deletions of the server. */
		if (!s->o->am_server)
			return 0;
		break;
	case MSG_IO_ERROR:
		if (!s->o->am_server) {
			s->x->io_error |= (int)(get_le32(data) & IOERR_MASK);
			return 0;
		}
		break;
	default:
		break;
	}
	return xfer_bad_msg(s->x, code, len);
}

/* ---- set-up ---- */

static int make_set(struct sender *s)
{
	const struct xfer_opts *o = s->o;
	unsigned compat = s->x->p->compat;
	struct flist_hooks hooks = { .ctx = s };
	struct flist_fmt fmt = {
		.proto = s->proto,
		.inc_recurse = s->inc,
		.varint_flags = compat & CF_VARINT_FLIST_FLAGS,
		.safe_end = (compat & CF_SAFE_FLIST) || s->proto >= 31,
		.id0_names = compat & CF_ID0_NAMES,
		.links = o->links, .hard_links = o->hard_links, .devices = o->devices, .specials = o->specials,
		.uid = o->owner, .gid = o->group, .atimes = o->atimes, .acls = o->acls, .xattrs = o->xattrs,
		.relative = o->relative, .recurse = o->recurse, .delete_missing_args = o->delete_missing_args,
		.numeric_ids = o->numeric_ids, .no_names = o->ids_are_numeric_here, .ignore_errors = o->ignore_errors,
		.wire_order = o->iconv != NULL,
		.sum_len = o->checksum ? csum_len(s->x->p->list_sum) : 0,
	};

	s->set = flist_set_new(&fmt, s->budget, false);
	if (!s->set)
		return sender_nomem(s);
	flist_name_source(s->set, entry_id_name, s);
	names_out_hooks(s, &hooks);
	if (attrs_init(s, &hooks) < 0)
		return -1;
	flist_set_hooks(s->set, &hooks);
	return 0;
}

static int make_chmod(struct sender *s, const char *text, struct chmod_rules **out)
{
	if (!text || !*text)
		return 0;
	*out = chmod_parse(text, s->x->umask);
	return *out ? 0 : rd_fail(s->r, RX_USAGE, out == &s->chmod ? "Invalid argument passed to --chmod (%s)" :
				  "Invalid \"outgoing chmod\" directive: %s", text);
}

/* `dont compress = *`: the stream keeps its form at the least effort. */
static int codec_level(const struct sender *s)
{
	const struct xfer_proto *p = s->x->p;

	if (!s->o->skip_compress_all)
		return p->comp_level;
	return p->comp == COMP_ZSTD ? ZSTD_minCLevel() : 0;
}

static int make_codecs(struct sender *s)
{
	const struct xfer_proto *p = s->x->p;

	if (s->o->checksum) {
		s->list_sum = csum_ctx_new(p->list_sum, p->seed, p->md5_seed_last);
		if (!s->list_sum)
			return sender_nomem(s);
	}
	s->xfer_sum = csum_ctx_new(p->xfer_sum, p->seed, p->md5_seed_last);
	s->search = s->xfer_sum ? search_new(s->budget, s->xfer_sum) : NULL;
	if (!s->search)
		return sender_nomem(s);
	sums_init(&s->sums, s->budget);
	s->tokens = token_out_new(p->comp, codec_level(s), s->o->compress_threads, s->proto, s->budget, s->err);
	return s->tokens ? 0 : -1;
}

static int set_up(struct sender *s)
{
	s->arena = arena_new_growing(s->budget, 1024);
	if (!s->arena)
		return sender_nomem(s);
	s->files = (struct filt_files){ .ctx = s, .read_file = rules_read_file };
	if (s->x->daemon_filter || s->x->filter) {
		s->rules = filt_walk_new(s->x->daemon_filter, s->x->filter, &s->files, s->budget);
		if (!s->rules)
			return sender_nomem(s);
	}
	if (make_set(s) < 0 || place_init(s) < 0 || make_codecs(s) < 0)
		return -1;
	return make_chmod(s, s->o->chmod, &s->chmod) < 0 ? -1 : make_chmod(s, s->o->chmod_module, &s->chmod_module);
}

static void tear_down(struct sender *s)
{
	s->c->on_msg = NULL;
	sbf_close_run(&s->read_fds);
	sums_free(&s->sums);
	token_out_free(s->tokens);
	search_free(s->search);
	csum_ctx_free(s->xfer_sum);
	csum_ctx_free(s->list_sum);
	chmod_free(s->chmod);
	chmod_free(s->chmod_module);
	filt_walk_free(s->rules);
	attrs_done(s);
	flist_set_free(s->set);
	place_done(s);
	mem_free(s->budget, s->operands);
	mem_free(s->budget, s->pend);
	mem_free(s->budget, s->stack);
	mem_free(s->budget, s->dirs);
	mem_free(s->budget, s->sent);
	arena_free(s->arena);
	free(s);
}

/* ---- first list ---- */

static int first_list(struct sender *s)
{
	int64_t start = clock_ms();
	struct flist *fl = walk_begin_list(s, -1);

	if (!fl || args_first_list(s) < 0 || walk_end_list(s, fl, -1) < 0)
		return -1;
	walk_check_eof(s);
	s->cur = fl;
	s->x->stats.build_ms = MAX(clock_ms() - start, 1);
	return s->w->failed ? -1 : 0;
}

/* ---- request loop ---- */

static bool input_idle(const struct sender *s)
{
	struct pollfd pfd = { .fd = s->c->in_fd, .events = POLLIN };

	return !rd_avail(s->r) && s->c->ip == s->c->iend && !s->r->failed && poll(&pfd, 1, 0) == 0;
}

/* While the peer has nothing for us, later lists are made. What it may be waiting for goes out first. */
static int use_idle_time(struct sender *s)
{
	bool flushed = false;

	if (walk_ahead(s, AHEAD) < 0)
		return -1;
	while (!s->eof && walk_entries_ahead(s) < AHEAD_IDLE && input_idle(s)) {
		if (!flushed && conn_flush(s->c) < 0)
			return -1;
		flushed = true;
		if (walk_sublist(s) < 0)
			return -1;
	}
	return 0;
}

static int read_del_stats(struct sender *s)
{
	rd_del_stats(s->r, &s->x->deleted);
	if (s->r->failed)
		return -1;
	if (s->o->am_server)
		wr_del_stats(s->w, &s->out_ndx, s->proto, &s->x->deleted);
	return 0;
}

/* Ends a list or a phase. 1: the last phase is over. */
static int handle_done(struct sender *s)
{
	int last = s->proto >= 29 ? 2 : 1;
	struct flist *fl = flist_first(s->set);

	if (s->inc && fl) {
		bool more = fl->next != NULL;

		if (s->cur == fl)
			s->cur = fl->next;
		flist_drop_first(s->set);
		if (more) {
			wr_ndx(s->w, &s->out_ndx, s->proto, NDX_DONE);
			return 0;
		}
	}
	if (++s->phase > last)
		return 1;
	wr_ndx(s->w, &s->out_ndx, s->proto, NDX_DONE);
	return 0;
}

static int request_loop(struct sender *s)
{
	for (;;) {
		int32_t ndx;
		int rc = 0;

		/* No file is held open while we may be waiting for the peer. */
		if (s->read_fds.count && !rd_avail(s->r))
			sbf_close_run(&s->read_fds);
		if (s->inc && !s->eof && use_idle_time(s) < 0)
			return -1;
		if (UNLIKELY(s->c->end_ms && clock_ms() >= s->c->end_ms))
			return rd_fail(s->r, RX_TIMEOUT, "stopping at requested limit");
		ndx = rd_ndx(s->r, &s->in_ndx, s->proto);
		if (s->r->failed || s->w->failed)
			return -1;
		if (ndx == NDX_DONE) {
			rc = handle_done(s);
			if (rc > 0)
				return 0;
		} else if (ndx == NDX_DEL_STATS && s->proto >= 31) {
			rc = read_del_stats(s);
		} else if (ndx >= 0) {
			rc = request_handle(s, ndx);
		} else {
			struct flist *lf = flist_last(s->set);

			rc = rd_fail(s->r, RX_PROTOCOL, "Invalid file index: %d (-1 - %d) [%s]", ndx,
				     lf ? lf->ndx_start + lf->count - 1 : -1, say_role());
		}
		if (rc < 0)
			return -1;
	}
}

/* ---- the end ---- */

static int bad_end(struct sender *s, int32_t ndx)
{
	return rd_fail(s->r, RX_PROTOCOL, "Invalid packet at end of run (%d) [%s]", ndx, say_role());
}

/* Reads up to the next NDX_DONE at the end of the run. */
static int expect_done(struct sender *s, bool del_stats)
{
	for (;;) {
		int32_t ndx = rd_ndx(s->r, &s->in_ndx, s->proto);
		struct flist *fl = flist_first(s->set);

		if (s->r->failed)
			return -1;
		if (ndx == NDX_DONE)
			return 0;
		if (ndx == NDX_DEL_STATS && del_stats) {
			if (read_del_stats(s) < 0)
				return -1;
			continue;
		}
		if (s->proto == 29 && fl && ndx == fl->count && rd_le16(s->r) == ITEM_IS_NEW && !s->r->failed)
			continue;
		return s->r->failed ? -1 : bad_end(s, ndx);
	}
}

static int say_goodbye(struct sender *s)
{
	struct xfer_stats *st = &s->x->stats;

	if (s->x->io_error != s->start_error && s->proto >= 30)
		conn_post_int(s->c, MSG_IO_ERROR, s->x->io_error);
	wr_ndx(s->w, &s->out_ndx, s->proto, NDX_DONE);
	if (conn_flush(s->c) < 0)
		return -1;
	st->read = (int64_t)s->c->bytes_in;
	st->written = (int64_t)s->c->bytes_out;
	st->total_size = flist_set_stats(s->set)->total_size;
	if (s->o->am_server) {
		wr_xfer_stats(s->w, s->proto, st);
		if (conn_flush(s->c) < 0)
			return -1;
	}
	if (s->proto >= 31) {
		if (expect_done(s, true) < 0)
			return -1;
		wr_ndx(s->w, &s->out_ndx, s->proto, NDX_DONE);
		if (conn_flush(s->c) < 0)
			return -1;
	}
	return expect_done(s, false);
}

static int run(struct sender *s)
{
	if (set_up(s) < 0)
		return -1;
	if (s->o->am_server)
		say(SAY_LOG, "building file list");
	s->c->on_msg = on_msg;
	s->c->on_msg_ctx = s;
	if (first_list(s) < 0)
		return -1;
	/* The client of a pull does not start a transfer of nothing (spec 01 §12.5). */
	if (!s->entries && s->o->am_server)
		return conn_flush(s->c);
	s->start_error = s->x->io_error;
	if (request_loop(s) < 0)
		return -1;
	return say_goodbye(s);
}

int sender_run(struct xfer *x)
{
	struct sender *s = malloc(sizeof *s);
	int rc;

	if (!s)
		return rd_fail(&x->conn->in, RX_MALLOC, "out of memory");
	memset(s, 0, offsetof(struct sender, name));
	s->name[0] = '\0';
	s->x = x;
	s->o = x->o;
	s->c = x->conn;
	s->r = &x->conn->in;
	s->w = &x->conn->out;
	s->err = x->conn->in.err;
	s->budget = x->budget;
	s->proto = x->p->version;
	s->inc = x->p->compat & CF_INC_RECURSE;
	s->follows = x->o->copy_links || x->o->copy_dirlinks || x->o->copy_unsafe_links;
	s->in_ndx = s->out_ndx = (struct ndx_state)NDX_STATE_INIT;
	s->at_dir = -1;
	rc = run(s);
	tear_down(s);
	return rc;
}
