/*
 * receiver.c - a receiving session from the first list to the goodbye: the receiver thread's main loop.
 *
 * This thread never writes to the connection: requests, sums and NDX_DONEs are the generator's, messages are
 * posted. So it always comes back to reading, whatever the peer does (spec 01 §10).
 */
#include "config.h"
#include "receiver/recv.h"

#include <errno.h>
#include <grp.h>

#include "base/clock.h"
#include "delta/checksum.h"
#include "receiver/dest.h"
#include "receiver/forward.h"
#include "filter/filter.h"
#include "receiver/xattrs.h"
#include "transfer/chmod.h"

int recv_event(struct recv *r, enum ev_kind kind, int32_t ndx, struct flist *fl)
{
	struct event ev = { kind, ndx, fl };
	/* What is done: the generator has other things to do, or waits for all of it. */
	bool late = kind == EV_OK || kind == EV_VALUES;

	if ((late ? queue_push_lazily(&r->rx->events, &ev) : queue_push(&r->rx->events, &ev)) < 0)
		return rd_fail(r->in, RX_MALLOC, "out of memory for events");
	return 0;
}

/* ---- messages from the peer ---- */

static void on_wait(void *ctx)
{
	queue_flush(&((struct recv *)ctx)->rx->events);
}

static int on_message(void *ctx, unsigned code, const uint8_t *data, size_t len)
{
	struct recv *r = ctx;
	int rc = xfer_common_msg(r->rx->x, code, data, len);
	int32_t ndx;

	if (rc)
		return rc < 0 ? -1 : 0;
	switch (code) {
	case MSG_NO_SEND:
		if (len != 4)
			return xfer_bad_msg(r->rx->x, code, len);
		ndx = (int32_t)get_le32(data);
		if (ndx < 0 || !flist_find(r->set, ndx))
			return rd_fail(r->in, RX_PROTOCOL, "invalid file index %d in MSG_NO_SEND [%s]", ndx, say_role());
		return recv_event(r, EV_NO_SEND, ndx, NULL);
	case MSG_IO_ERROR:
		if (len != 4)
			return xfer_bad_msg(r->rx->x, code, len);
		atomic_fetch_or(&r->rx->io_error, (int)(get_le32(data) & IOERR_MASK));
		return 0;
	default:
		return xfer_bad_msg(r->rx->x, code, len);
	}
}

/* ---- lists ---- */

static void list_format(const struct rx *rx, struct flist_fmt *f)
{
	const struct xfer_opts *o = rx->o;
	const struct xfer_proto *p = rx->p;

	*f = (struct flist_fmt){
		.proto = p->version,
		.inc_recurse = p->compat & CF_INC_RECURSE,
		.varint_flags = p->compat & CF_VARINT_FLIST_FLAGS,
		.safe_end = (p->compat & CF_SAFE_FLIST) || p->version >= 31,
		.id0_names = p->compat & CF_ID0_NAMES,
		.links = o->links, .hard_links = o->hard_links, .devices = o->devices, .specials = o->specials,
		.uid = o->owner, .gid = o->group, .atimes = o->atimes, .acls = o->acls, .xattrs = o->xattrs,
		.relative = o->relative, .recurse = o->recurse, .delete_missing_args = o->delete_missing_args,
		.numeric_ids = o->numeric_ids, .ignore_errors = o->ignore_errors, .wire_order = o->iconv != NULL,
		.sum_len = o->checksum ? csum_len(p->list_sum) : 0,
	};
}

static void read_acl(void *ctx, struct rd *in, struct fent *e, struct fext *x)
{
	struct recv *r = ctx;

	acl_read(r->rx->acls, in, e, x);
}

static void read_xattr(void *ctx, struct rd *in, struct fent *e, struct fext *x)
{
	struct recv *r = ctx;

	xattr_read(r->rx->xattrs, in, e, x);
	if (in->failed || x->xattr < r->xattrs_ready)
		return;
	if (xa_prepare(&r->h, r->xrules, r->xattrs_ready, x->xattr) < 0)
		rd_fail(in, RX_MALLOC, "out of memory for extended attributes");
	r->xattrs_ready = x->xattr + 1;
}

static int open_tables(struct recv *r, struct flist_hooks *hooks)
{
	struct rx *rx = r->rx;
	struct xattr_limits limits = { .value = rx->x->xattr_max };

	r->h.rx = rx;
	if (rx->o->acls) {
		rx->acls = acl_tables_new(r->set, rx->budget);
		hooks->read_acl = read_acl;
	}
	if (rx->o->xattrs) {
		rx->xattrs = xattr_table_new(rx->budget, &limits);
		hooks->read_xattr = read_xattr;
	}
	if (rx->xattr_rules && !(r->xrules = rx_xattr_rules(rx)))
		return -1;
	return (rx->o->acls && !rx->acls) || (rx->o->xattrs && !rx->xattrs) ? -1 : 0;
}

static uint32_t map_acl_id(void *ctx, bool is_group, uint32_t id)
{
	return idview_map(ctx, is_group, id, NULL);
}

static struct flist *read_list(struct recv *r, int32_t dir_ndx)
{
	int io_error = 0;
	struct flist *fl = flist_read(r->set, r->in, dir_ndx, &io_error);

	if (io_error)
		atomic_fetch_or(&r->rx->io_error, io_error);
	if (!fl) {
		rd_fail(r->in, RX_PROTOCOL, "unusable file list [%s]", say_role());
		return NULL;
	}
	if (r->rx->acls) {
		struct idview ids;

		/* All names that count have come by now. */
		idview_init(&ids, r->rx->ids);
		acl_map_ids(r->rx->acls, map_acl_id, &ids);
	}
	r->lists++;
	r->entries += fl->count;
	return fl;
}

/* A sub-list or the end of them. sub: receives the list, NULL at the end. */
static int read_sub_list(struct recv *r, int32_t ndx, struct flist **sub)
{
	*sub = NULL;
	if (ndx == NDX_FLIST_EOF) {
		r->list_eof = true;
		return 0;
	}
	if (r->lists >= INT32_MAX / 2)
		return rd_fail(r->in, RX_MALLOC, "too many file lists");
	*sub = read_list(r, NDX_FLIST_OFFSET - ndx);
	return *sub ? 0 : -1;
}

/* ---- items ---- */

/* The request that this delivery answers: those before it were skipped by the sender. */
static int match_request(struct recv *r, struct request *req)
{
	struct request *q;

	while ((q = queue_peek(&r->rx->requests))) {
		*req = *q;
		queue_pop(&r->rx->requests);
		if (req->ndx == r->item.ndx)
			return 0;
		mem_free(r->rx->budget, req->xname);
	}
	return rd_fail(r->in, RX_PROTOCOL, "rejecting file transfer that was not requested: %d [%s]", r->item.ndx, say_role());
}

static int check_echo(struct recv *r, const struct request *req)
{
	const struct item *it = &r->item;
	const char *xname = req->xname ? req->xname : "";

	if (r->p->version < 29)
		return 0;
	if (it->flags != req->iflags || it->basis != req->basis || strcmp(it->xname, xname) != 0) {
		if (it->basis >= BASIS_FUZZY && !r->o->fuzzy)
			return rd_fail(r->in, RX_PROTOCOL, "refusing malicious fuzzy operation for %s", it->xname);
		if (it->basis <= BASIS_ALT_LAST && it->basis >= r->o->alt_count)
			return rd_fail(r->in, RX_PROTOCOL, "invalid basis_dir index: %d", it->basis);
		return rd_fail(r->in, RX_PROTOCOL, "item %d differs from what was requested [%s]", it->ndx, say_role());
	}
	return 0;
}

static void log_received(struct recv *r, const struct fent *e, bool delivered)
{
	struct item_record rec = { .e = e, .it = &r->item, .op = "recv" };

	if (delivered) {
		rec.data_bytes = (int64_t)(conn_pos_in(r->conn) - r->item_in);
		rec.sum = r->item_sum;
	}
	rx_log_item(r->rx, &rec);
}

static int conclude(struct recv *r, const struct request *req, const struct fent *e, enum outcome oc)
{
	bool told = r->rx->inc || r->o->hard_links;

	switch (oc) {
	case OUTCOME_OK:
		rx_success(r->rx, req->ndx);
		log_received(r, e, !r->rx->dry);
		return told ? recv_event(r, EV_OK, req->ndx, NULL) : 0;
	case OUTCOME_DELAYED:
		log_received(r, e, true);
		return 0;
	case OUTCOME_REDO:
		return recv_event(r, EV_REDO, req->ndx, NULL);
	case OUTCOME_FAILED:
		return recv_event(r, EV_FAILED, req->ndx, NULL);
	default:
		return -1;
	}
}

/* The values that came with the item. */
static int read_xattrs(struct recv *r, const struct fent *e)
{
	if (!item_has_xattrs(&r->item, r->p->version, r->o->xattrs, r->o->dry_run, r->p->compat & CF_AVOID_XATTR_OPTIM))
		return 0;
	xattr_read_reply(r->rx->xattrs, r->in, e->ext ? e->ext->xattr : -1, e->name);
	return r->in->failed ? -1 : 0;
}

/* An item without data that has extended attributes to be set. */
static int item_xattrs(struct recv *r, const struct fent *e)
{
	const unsigned linked = ITEM_XNAME_FOLLOWS | ITEM_LOCAL_CHANGE;
	struct target t = { r->h.dest, rx_dir(r->rx, e), rx_leaf(r->rx, e), -1, NULL };
	struct request req = { 0 };
	int rc = 0;

	if (!item_has_xattrs(&r->item, r->p->version, r->o->xattrs, r->o->dry_run, r->p->compat & CF_AVOID_XATTR_OPTIM))
		return 0;
	if (match_request(r, &req) < 0)
		return -1;
	if (!(req.flags & RQ_XATTRS) || req.iflags != r->item.flags)
		return rd_fail(r->in, RX_PROTOCOL, "item %d differs from what was requested [%s]", r->item.ndx, say_role());
	if (read_xattrs(r, e) < 0)
		return -1;
	t.old = &(struct target){ t.sb, t.dir, t.leaf, -1, NULL };
	/* A hard link has them from its leader. */
	if (!r->rx->dry && t.sb && (r->item.flags & linked) != linked)
		rc = xa_apply(&r->h, &t, e);
	if (r->rx->o->remove_source && !FENT_IS_DIR(e))
		return recv_event(r, rc < 0 ? EV_NO_VALUES : EV_VALUES, r->item.ndx, NULL);
	return 0;
}

static int transfer(struct recv *r, const struct fent *e)
{
	struct request req = { 0 };
	enum outcome oc;
	int rc;

	if (match_request(r, &req) < 0)
		return -1;
	if (req.flags & RQ_XATTRS)
		return rd_fail(r->in, RX_PROTOCOL, "rejecting file transfer that was not requested: %d [%s]", r->item.ndx, say_role());
	rc = check_echo(r, &req);
	if (rc == 0)
		rc = read_xattrs(r, e);
	if (rc == 0) {
		r->rx->x->files_sent++;
		oc = r->rx->dry ? OUTCOME_OK : recv_file(r, &req, e);
		rc = conclude(r, &req, e, oc);
	}
	mem_free(r->rx->budget, req.xname);
	return rc;
}

static int item(struct recv *r, int32_t ndx)
{
	struct flist *fl = flist_find(r->set, ndx), *last = flist_last(r->set);
	struct fent *e = fl ? flist_entry(fl, ndx) : NULL;

	r->item.ndx = ndx;
	rd_item(r->in, &r->item, r->p->version);
	r->item.ndx = ndx;
	r->item_in = conn_pos_in(r->conn);
	if (r->in->failed)
		return -1;
	/* The keep-alive of protocol 29 (spec 03 §3.6). */
	if (r->p->version == 29 && ndx == flist_first(r->set)->count && r->item.flags == ITEM_IS_NEW)
		return 0;
	if (!fl)
		return rd_fail(r->in, RX_PROTOCOL, "File-list index %d not in %d - %d (read_ndx_and_attrs) [%s]", ndx,
			       flist_first(r->set)->ndx_start - 1, last->ndx_start + last->count - 1, say_role());
	if (!e)
		return rd_fail(r->in, RX_PROTOCOL, "refusing transfer of cleared file index %d [%s]", ndx, say_role());
	if (!(r->item.flags & ITEM_TRANSFER)) {
		log_received(r, e, false);
		return item_xattrs(r, e);
	}
	if (!FENT_IS_REG(e) || ndx < fl->ndx_start)
		return rd_fail(r->in, RX_PROTOCOL, "received request to transfer non-regular file: %d [%s]", ndx, say_role());
	if (r->answers > r->lists)
		return rd_fail(r->in, RX_PROTOCOL, "got transfer request in phase 2 [%s]", say_role());
	return transfer(r, e);
}

/* ---- phases ---- */

/* An answer to one of the generator's NDX_DONEs. 1 after the last one of the session. */
static int done(struct recv *r)
{
	int32_t last = r->lists + (r->p->version >= 31 ? 3 : r->p->version >= 29 ? 2 : 1);

	r->answers++;
	if (r->answers > atomic_load(&r->rx->dones_sent))
		return rd_fail(r->in, RX_PROTOCOL, "unexpected end of phase [%s]", say_role());
	if (r->rx->inc && flist_first(r->set) != flist_last(r->set))
		flist_drop_first(r->set);
	if (r->o->delay_updates && r->answers == r->lists + 1 && recv_delayed(r) < 0)
		return -1;
	if (recv_event(r, EV_DONE, 0, NULL) < 0)
		return -1;
	return r->answers == last;
}

static int loop(struct recv *r)
{
	struct del_stats ds;
	struct flist *sub;
	int rc = 0;

	while (rc == 0) {
		int32_t ndx = rd_ndx(r->in, &r->ndx, r->p->version);

		if (r->in->failed)
			return -1;
		if (ndx >= 0) {
			rc = item(r, ndx);
		} else if (ndx == NDX_DONE) {
			rc = done(r);
		} else if (ndx == NDX_DEL_STATS && !r->o->am_server && r->p->version >= 31) {
			rd_del_stats(r->in, &ds);
			rc = r->in->failed ? -1 : 0;
		} else if (r->rx->inc && (ndx == NDX_FLIST_EOF || ndx <= NDX_FLIST_OFFSET)) {
			rc = read_sub_list(r, ndx, &sub);
			if (rc == 0)
				rc = recv_event(r, sub ? EV_LIST : EV_LIST_EOF, 0, sub);
		} else {
			rc = rd_fail(r->in, RX_PROTOCOL, "Invalid file index: %d (-1 - %lld) [%s]", ndx,
				     (long long)r->entries - 1, say_role());
		}
	}
	return rc < 0 ? -1 : 0;
}

/* ---- setting up ---- */

static int find_ids(struct rx *rx, struct err *err)
{
	gid_t *groups = NULL;
	int n = getgroups(0, NULL);

	if (n > 0) {
		groups = mem_alloc(rx->budget, (size_t)n, sizeof *groups);
		n = groups ? getgroups(n, groups) : 0;
	}
	rx->ids = idmap_new(rx->o, rx->x->ids, rx->super || rx->fake, groups, n, rx->budget, err);
	mem_free(rx->budget, groups);
	return rx->ids ? 0 : -1;
}

static int rx_init(struct rx *rx, struct xfer *x, struct err *err)
{
	const struct xfer_opts *o = x->o;

	rx->x = x;
	rx->o = o;
	rx->p = x->p;
	rx->conn = x->conn;
	rx->budget = x->budget;
	rx->inc = x->p->compat & CF_INC_RECURSE;
	rx->euid = geteuid();
	rx->egid = getegid();
	rx->fake = o->super == 2;
	rx->super = !rx->fake && o->super != 0 && (o->super == 1 || o->super_allowed);
	rx->xattr_rules = o->xattrs && ((x->filter && x->filter->xattr_rules) || (x->daemon_filter && x->daemon_filter->xattr_rules));
	rx->keep_partial = (o->partial || o->partial_dir) && !o->inplace;
	rx->dir_times = o->times && !o->omit_dir_times && !(o->backup && !o->backup_dir);
	rx->inplace_partial = x->p->compat & CF_INPLACE_PARTIAL_DIR;
	rx->itemizing = o->out_itemize;
	rx->dry = o->dry_run || o->only_write_batch;
	rx->umask = x->umask;
	if (o->chmod_module && *o->chmod_module && !(rx->module_chmod = chmod_parse(o->chmod_module, x->umask)))
		return fail(err, RX_USAGE, "Invalid \"incoming chmod\" directive: %s", o->chmod_module);
	atomic_init(&rx->io_error, 0);
	atomic_init(&rx->dones_sent, 0);
	pthread_mutex_init(&rx->backup_lock, NULL);
	pthread_mutex_init(&rx->log_lock, NULL);
	if (queue_init(&rx->requests, sizeof(struct request), rx->budget) < 0 ||
	    queue_init(&rx->events, sizeof(struct event), rx->budget) < 0)
		return fail(err, RX_MALLOC, "out of memory for queues");
	return find_ids(rx, err);
}

static void rx_done(struct rx *rx)
{
	struct request *q;

	while (rx->requests.head && (q = queue_peek(&rx->requests))) {
		mem_free(rx->budget, q->xname);
		queue_pop(&rx->requests);
	}
	queue_done(&rx->requests);
	queue_done(&rx->events);
	idmap_free(rx->ids);
	chmod_free(rx->module_chmod);
	dest_close(rx);
	pthread_mutex_destroy(&rx->backup_lock);
	pthread_mutex_destroy(&rx->log_lock);
}

static int recv_init(struct recv *r, struct rx *rx)
{
	struct flist_hooks hooks = { .ctx = r };
	struct flist_fmt fmt;

	r->rx = rx;
	r->o = rx->o;
	r->p = rx->p;
	r->conn = rx->conn;
	r->in = &rx->conn->in;
	r->ndx = (struct ndx_state)NDX_STATE_INIT;
	r->temp = (struct temp)TEMP_INIT;
	list_format(rx, &fmt);
	r->set = flist_set_new(&fmt, rx->budget, true);
	r->gather = mem_alloc(rx->budget, OUTW_GATHER, 1);
	r->tok = token_in_new(rx->p->comp, rx->p->version, rx->budget, r->in->err);
	r->sum = csum_ctx_new(rx->p->xfer_sum, rx->p->seed, rx->p->md5_seed_last);
	if (!r->set || !r->gather || !r->tok || !r->sum)
		return rd_fail(r->in, RX_MALLOC, "out of memory for the receiver");
	rx->set = r->set;
	flist_on_id(r->set, idmap_learn, rx->ids);
	names_in_hooks(r, &hooks);
	if (open_tables(r, &hooks) < 0)
		return rd_fail(r->in, RX_MALLOC, "out of memory for ACLs and extended attributes");
	flist_set_hooks(r->set, &hooks);
	r->conn->on_msg = on_message;
	r->conn->on_msg_ctx = r;
	r->conn->on_wait = on_wait;
	return 0;
}

static void recv_done(struct recv *r)
{
	temp_drop(&r->temp);
	hands_done(&r->h);
	token_in_free(r->tok);
	csum_ctx_free(r->sum);
	mem_free(r->rx->budget, r->gather);
	mem_free(r->rx->budget, r->delayed);
	filt_walk_free(r->xrules);
	acl_tables_free(r->rx->acls);
	xattr_table_free(r->rx->xattrs);
	if (r->set)
		flist_set_free(r->set);
}

/* The first list; with a single entry in it also what follows, which decides what the destination means. */
static int first_lists(struct recv *r, struct flist **first, struct flist **second)
{
	const struct fent *only = NULL;
	struct forward fw;

	*second = NULL;
	if (forward_start(&fw, r->rx, r->in->err) < 0)
		return -1;
	*first = read_list(r, -1);
	if (forward_join(&fw, !*first, r->in->err) < 0 || !*first)
		return -1;
	if (r->rx->inc && r->entries == 1) {
		int32_t ndx = rd_ndx(r->in, &r->ndx, r->p->version);

		if (r->in->failed)
			return -1;
		if (ndx != NDX_FLIST_EOF && ndx > NDX_FLIST_OFFSET)
			return rd_fail(r->in, RX_PROTOCOL, "Invalid dir index: %d (-101 - %d) [%s]", ndx,
				       NDX_FLIST_OFFSET - flist_dir_count(r->set) + 1, say_role());
		if (read_sub_list(r, ndx, second) < 0)
			return -1;
	}
	if (r->entries == 1)
		only = flist_entry(*first, (*first)->ndx_start);
	if (dest_decide(r->rx, r->entries, only, r->in->err) < 0 || dest_open_sides(r->rx, r->in->err) < 0)
		return -1;
	return hands_init(&r->h, r->rx, r->in->err);
}

/* Both threads at work, until the goodbye was sent or one of them failed. */
static int run(struct recv *r, struct flist *first, struct flist *second)
{
	struct err gen_err = { 0 };
	struct gen *g = gen_start(r->rx, r->in->err);
	int rc;

	if (!g)
		return -1;
	rc = recv_event(r, EV_LIST, 0, first);
	if (rc == 0 && second)
		rc = recv_event(r, EV_LIST, 0, second);
	if (rc == 0 && r->list_eof)
		rc = recv_event(r, EV_LIST_EOF, 0, NULL);
	if (rc == 0)
		rc = loop(r);
	if (gen_join(g, rc < 0, &gen_err) < 0) {
		/* This thread was only told to stop reading: the reason is the generator's. */
		if (rc == 0 || !r->in->err->code || (r->in->err->quiet && !r->rx->x->peer_exited))
			*r->in->err = gen_err;
		rc = -1;
	}
	return rc;
}

int receiver_run(struct xfer *x)
{
	struct rx rx = { 0 };
	struct recv r = { .rx = &rx, .temp = TEMP_INIT };
	struct flist *first = NULL, *second = NULL;
	int rc;

	say_set_role("Receiver");
	rc = rx_init(&rx, x, x->conn->in.err);
	if (rc == 0)
		rc = recv_init(&r, &rx);
	if (rc == 0 && x->o->am_server)
		say(SAY_LOG, "receiving file list");
	if (rc == 0)
		rc = first_lists(&r, &first, &second);
	if (rc == 0) {
		say_set_role("receiver");
		rc = run(&r, first, second);
	}
	x->io_error |= atomic_load(&rx.io_error);
	x->conn->on_msg = NULL;
	x->conn->on_wait = NULL;
	if (r.set)
		x->stats.total_size = flist_set_stats(r.set)->total_size;
	recv_done(&r);
	rx_done(&rx);
	return rc;
}
