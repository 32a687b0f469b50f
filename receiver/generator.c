/*
 * generator.c - the generator thread: events, requests, phases (spec 03 §5, 01 §12.4).
 */
#include "config.h"
#include "receiver/gen.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/random.h>

#include "base/clock.h"
#include "receiver/xattrs.h"
#include "sandbox/places.h"

int gen_fail(struct gen *g, int code, const char *fmt, ...)
{
	char text[sizeof g->err.text];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	fail(&g->err, code, "%s", text);
	conn_stop(g->conn);
	return -1;
}

bool gen_bad(const struct gen *g)
{
	return g->out->failed || g->err.code || atomic_load_explicit(&g->conn->stopping, memory_order_relaxed);
}

/* ---- items ---- */

static struct target seen_at(struct gen *g, const struct gitem *it)
{
	return (struct target){ .sb = it->seen ? it->seen : g->h.dest, .dir = it->dir, .leaf = it->leaf, .fd = -1 };
}

unsigned gen_report(struct gen *g, const struct gitem *it, bool exists, const struct stat *st, unsigned iflags,
		    const char *xname)
{
	bool matched = iflags & GEN_MATCHED;
	const struct fent *e = it->e;
	struct target t;

	iflags &= 0xffff;
	if (!exists)
		return iflags | ITEM_IS_NEW | (g->o->xattrs && xa_differs(&g->h, e, NULL) ? ITEM_REPORT_XATTR : 0u);
	t = seen_at(g, it);
	iflags |= attrs_report(&g->h, e, st, &t, !(iflags & (ITEM_TRANSFER | ITEM_LOCAL_CHANGE)));
	if (!attrs_keeps_time(g->rx, e) && !matched && (iflags & (ITEM_TRANSFER | ITEM_LOCAL_CHANGE)) &&
	    !(iflags & ITEM_XNAME_FOLLOWS && xname && !*xname))
		iflags |= ITEM_REPORT_TIME;
	return iflags;
}

void gen_tell_same(struct gen *g, const struct fent *e, bool changed)
{
	if (info_gte(g->o, INFO_NAME, 2) && (!g->rx->itemizing || g->p->version < 29))
		say(SAY_INFO, changed ? "%s" : "%s is uptodate", ENAME(e));
}

void gen_keep(struct gen *g, struct gitem *it, unsigned flags)
{
	struct target t = { g->h.dest, it->dir, it->leaf, -1, NULL };
	bool changed = g->rx->dry ? !attrs_unchanged(&g->h, it->e, &it->st, &t) :
		       attrs_apply(&g->h, &t, it->e, it->mode, &it->st, flags) > 0;

	gen_tell_same(g, it->e, changed);
	walk_finished(g, it, false);
}

void gen_success(struct gen *g, struct gitem *it)
{
	if (it->ndx == g->awaited)
		gen_pending(g, it);
	else
		rx_success(g->rx, it->ndx);
}

#define INSIGNIFICANT (ITEM_BASIS_TYPE_FOLLOWS | ITEM_XNAME_FOLLOWS | ITEM_LOCAL_CHANGE)

static void fill_item(struct gen *g, int32_t ndx, unsigned iflags, uint8_t basis, const char *xname)
{
	size_t len = xname ? MIN(strlen(xname), sizeof g->item.xname - 1) : 0;

	g->item.ndx = ndx;
	g->item.flags = (uint16_t)iflags;
	g->item.basis = basis;
	g->item.xname_len = (uint16_t)len;
	if (len)
		memcpy(g->item.xname, xname, len);
	g->item.xname[len] = 0;
}

/* The item at hand, filled, has a request for extended attributes. */
static bool has_xattrs(struct gen *g)
{
	return item_has_xattrs(&g->item, g->p->version, g->o->xattrs, g->o->dry_run, g->p->compat & CF_AVOID_XATTR_OPTIM);
}

static void write_xattr_request(struct gen *g, const struct gitem *it, bool exists)
{
	struct target t = seen_at(g, it);

	if (has_xattrs(g))
		xa_request(&g->h, g->out, it->e, exists ? &t : NULL);
}

/* Tells the receiver thread that an item without data comes back with values: only then does it set any. */
static bool expect_xattrs(struct gen *g, const struct gitem *it, unsigned iflags)
{
	struct request r = { .ndx = it->ndx, .iflags = (uint16_t)iflags, .basis = BASIS_FNAME, .flags = RQ_XATTRS };

	if (g->o->remove_source)
		g->awaited = it->ndx;
	if (queue_push(&g->rx->requests, &r) == 0)
		return true;
	gen_fail(g, RX_MALLOC, "out of memory for requests");
	return false;
}

/* What was buffered long enough goes out, so that the other side has work. */
static void flush_sometimes(struct gen *g)
{
	int64_t now;

	if (++g->since_flush < 32)
		return;
	g->since_flush = 0;
	now = clock_ms();
	if (now - g->flushed_ms < 10)
		return;
	g->flushed_ms = now;
	conn_flush(g->conn);
}

void gen_itemize(struct gen *g, const struct gitem *it, bool exists, const struct stat *st, unsigned iflags,
		 const char *xname)
{
	if (xname)
		iflags |= ITEM_XNAME_FOLLOWS;
	iflags = gen_report(g, it, exists, st, iflags, xname);
	if (g->p->version < 29) {
		/* Such a peer gets no items, so none comes back to be logged. */
		if (g->rx->x->log_item) {
			struct item_record rec = { .e = it->e, .it = &g->item, .op = "recv" };

			fill_item(g, it->ndx, iflags, BASIS_FNAME, xname);
			rx_log_item(g->rx, &rec);
		}
		return;
	}
	if ((iflags & ~(unsigned)INSIGNIFICANT) || (xname && *xname) || info_gte(g->o, INFO_NAME, 2) || g->o->out_itemize_all) {
		fill_item(g, it->ndx, iflags, BASIS_FNAME, xname);
		if (has_xattrs(g) && !expect_xattrs(g, it, iflags))
			return;
		wr_item(g->out, &g->ndx, g->p->version, &g->item);
		write_xattr_request(g, it, exists);
		flush_sometimes(g);
	}
}

void gen_pending(struct gen *g, struct gitem *it)
{
	uint8_t *st = &it->gl->fl->state[it->ndx - it->gl->fl->ndx_start];

	(void)g;
	if (!(*st & ST_PENDING)) {
		*st |= ST_PENDING;
		it->gl->pending++;
	}
}

static void write_sums(struct gen *g, struct gitem *it, const struct gen_req *q, const struct sum_head *head)
{
	static const struct sum_head null_head;
	int io = 0, rc;

	if (!head->count) {
		sum_head_write(g->out, &null_head);
		return;
	}
	if (q->flags & RQ_APPEND) {
		sum_head_write(g->out, head);
		return;
	}
	rc = sum_writer_send(g->sums, g->out, head, q->fd, q->tap, q->tap_ctx, &io, &g->err);
	if (io)
		say_errno(SAY_ERROR_XFER, io, "read errors mapping %s", FULL(g->rx, it->dir, it->leaf));
	if (rc == 1)
		sum_head_write(g->out, &null_head);
	else if (rc < 0)
		gen_fail(g, RX_FILEIO, "%s", "");
}

/* Phase 1: what fails now is not asked for again. Incremental recursion ends it with the last list. */
static bool final_pass(const struct gen *g)
{
	return g->redo_ok && !g->rx->inc;
}

void gen_request(struct gen *g, struct gitem *it, const struct gen_req *q)
{
	struct request r = { .ndx = it->ndx, .mode = (uint16_t)it->mode, .basis = q->basis, .flags = (uint8_t)q->flags };
	unsigned iflags = q->iflags | ITEM_TRANSFER;

	if (q->basis != BASIS_FNAME)
		iflags |= ITEM_BASIS_TYPE_FOLLOWS;
	if (q->xname)
		iflags |= ITEM_XNAME_FOLLOWS;
	iflags = gen_report(g, it, q->report != NULL, q->report, iflags, q->xname);
	r.iflags = (uint16_t)iflags;
	if (!it->exists)
		r.flags |= RQ_NEW;
	if (g->redoing || final_pass(g))
		r.flags |= RQ_REDO;
	dirs_dflt(g, it->parent);
	if (g->dirs[it->parent].flags & GD_HAS_ACL)
		r.flags |= RQ_ACL_DIR;
	if (q->fd >= 0 && !g->o->dry_run)
		sum_head_choose(&r.head, (uint64_t)q->size, g->p->version, csum_len(g->p->xfer_sum), g->redoing,
				(uint32_t)g->o->block_size);
	if (q->xname) {
		size_t len = strlen(q->xname) + 1;

		r.xname = mem_alloc(g->rx->budget, len, 1);
		if (r.xname)
			memcpy(r.xname, q->xname, len);
	}
	/* Known to the receiver thread before the peer can answer it. */
	if ((q->xname && !r.xname) || queue_push(&g->rx->requests, &r) < 0) {
		mem_free(g->rx->budget, r.xname);
		gen_fail(g, RX_MALLOC, "out of memory for requests");
		return;
	}
	gen_pending(g, it);
	if (g->o->fuzzy && it->exists)
		fuzzy_busy(g, it);
	/* An update in place leaves the directory's time alone. */
	if (!it->exists || !g->o->inplace || g->o->backup)
		dirs_touched(g, it->parent);
	fill_item(g, it->ndx, iflags, q->basis, q->xname);
	wr_item(g->out, &g->ndx, g->p->version, &g->item);
	write_xattr_request(g, it, q->report != NULL);
	if (!g->o->dry_run)
		write_sums(g, it, q, &r.head);
	flush_sometimes(g);
}

/* ---- lists and events ---- */

struct glist *gen_list_of(struct gen *g, int32_t ndx)
{
	size_t lo = g->first, hi = g->nlists;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		const struct flist *fl = g->lists[mid]->fl;

		if (ndx < fl->ndx_start)
			hi = mid;
		else if (ndx - fl->ndx_start >= fl->count)
			lo = mid + 1;
		else
			return g->lists[mid];
	}
	return NULL;
}

const struct fent *gen_entry_of(struct gen *g, int32_t ndx, struct glist **gl)
{
	*gl = gen_list_of(g, ndx);
	return *gl ? flist_entry((*gl)->fl, ndx) : NULL;
}

static int index_compare(const void *a, const void *b, void *ctx)
{
	struct fent *const *sorted = ctx;
	uintptr_t x = (uintptr_t)sorted[*(const int32_t *)a], y = (uintptr_t)sorted[*(const int32_t *)b];

	return x < y ? -1 : x > y;
}

/* With wire_order the walk has another order than the indexes: position of each walked entry. */
static int32_t *make_index(struct gen *g, const struct flist *fl)
{
	size_t n = (size_t)fl->count;
	int32_t *by_ptr = mem_alloc(g->rx->budget, n, sizeof *by_ptr), *out = mem_alloc(g->rx->budget, n, sizeof *out);

	for (size_t i = 0; by_ptr && i < n; i++)
		by_ptr[i] = (int32_t)i;
	if (by_ptr && out) {
		qsort_r(by_ptr, n, sizeof *by_ptr, index_compare, fl->sorted);
		for (size_t i = 0; i < n; i++) {
			size_t lo = 0, hi = n - 1;

			while (lo < hi) {
				size_t mid = lo + (hi - lo) / 2;

				if ((uintptr_t)fl->sorted[by_ptr[mid]] < (uintptr_t)fl->walk[i])
					lo = mid + 1;
				else
					hi = mid;
			}
			out[i] = by_ptr[lo];
		}
	}
	mem_free(g->rx->budget, by_ptr);
	return out;
}

static void add_list(struct gen *g, struct flist *fl)
{
	struct glist **p, *gl;

	if (g->first > 64 && g->first * 2 > g->nlists) {
		memmove(g->lists, g->lists + g->first, (g->nlists - g->first) * sizeof *g->lists);
		g->nlists -= g->first;
		g->next -= g->first;
		g->first = 0;
	}
	p = mem_grow(g->rx->budget, g->lists, &g->lists_cap, g->nlists + 1, sizeof *p);
	gl = p ? mem_zalloc(g->rx->budget, 1, sizeof *gl) : NULL;
	if (p)
		g->lists = p;
	if (!gl) {
		gen_fail(g, RX_MALLOC, "out of memory for file lists");
		return;
	}
	gl->fl = fl;
	g->lists[g->nlists++] = gl;
	if (fl->walk != fl->sorted && fl->count && !(gl->index = make_index(g, fl)))
		gen_fail(g, RX_MALLOC, "out of memory for file lists");
	if (g->o->hard_links)
		hlink_collect(g, gl);
	if (!g->rx->inc)
		g->eof = true;
}

static void free_list(struct gen *g, struct glist *gl)
{
	mem_free(g->rx->budget, gl->index);
	mem_free(g->rx->budget, gl);
}

/* The receiver thread is finished with a request, or the sender will not answer it. */
static void conclude(struct gen *g, const struct event *ev)
{
	struct glist *gl;
	const struct fent *e = gen_entry_of(g, ev->ndx, &gl);
	uint8_t *st;

	if (!e)
		return;
	st = &gl->fl->state[ev->ndx - gl->fl->ndx_start];
	if (!(*st & ST_PENDING))
		return;
	if (ev->kind == EV_REDO) {
		int32_t *p = mem_grow(g->rx->budget, g->redo, &g->redo_cap, g->nredo + 1, sizeof *p);

		if (!p) {
			gen_fail(g, RX_MALLOC, "out of memory for redo requests");
			return;
		}
		g->redo = p;
		p[g->nredo++] = ev->ndx;
		return;
	}
	*st &= (uint8_t)~ST_PENDING;
	gl->pending--;
	if (ev->kind == EV_VALUES)
		rx_success(g->rx, ev->ndx);
	if (!hlinked(g, e) || ev->kind == EV_VALUES || ev->kind == EV_NO_VALUES)
		return;
	if (ev->kind == EV_OK)
		hlink_finished(g, ev->ndx);
	else
		hlink_failed(g, ev->ndx);
}

void gen_again(struct gen *g, int32_t ndx, bool redo)
{
	struct gitem it = { .ndx = ndx };
	uint8_t *st;

	it.e = gen_entry_of(g, ndx, &it.gl);
	if (!it.e)
		return;
	st = &it.gl->fl->state[ndx - it.gl->fl->ndx_start];
	if (*st & ST_PENDING) {
		*st &= (uint8_t)~ST_PENDING;
		it.gl->pending--;
	}
	g->redoing = redo;
	it.hl_last = true;
	if (walk_look(g, &it))
		gen_file(g, &it);
	g->redoing = false;
}

void gen_poll(struct gen *g)
{
	struct event *p, ev;

	while (!gen_bad(g) && (p = queue_peek(&g->rx->events))) {
		ev = *p;
		queue_pop(&g->rx->events);
		switch (ev.kind) {
		case EV_LIST:
			add_list(g, ev.fl);
			break;
		case EV_LIST_EOF:
			g->eof = true;
			break;
		case EV_DONE:
			g->answers++;
			break;
		default:
			conclude(g, &ev);
			break;
		}
		while (g->redo_ok && g->nredo && !gen_bad(g))
			gen_again(g, g->redo[--g->nredo], true);
	}
}

void gen_wait(struct gen *g)
{
	if (!queue_peek(&g->rx->events)) {
		int ms = conn_idle(g->conn);

		if (ms == -2)
			return;
		queue_wait(&g->rx->events, ms);
	}
	gen_poll(g);
}

/* ---- phases ---- */

static void write_done(struct gen *g)
{
	atomic_fetch_add(&g->rx->dones_sent, 1);
	wr_ndx(g->out, &g->ndx, g->p->version, NDX_DONE);
}

/* Incremental recursion: tells the sender about lists that are finished, in order. */
static void complete_lists(struct gen *g)
{
	while (g->first < g->next && !gen_bad(g)) {
		struct glist *gl = g->lists[g->first];

		if (!gl->walked || gl->pending)
			return;
		/* The DONE of a list waits for the next one: without it the sender would take it for the end of a phase. */
		if (g->first + 1 == g->nlists && !g->eof)
			return;
		if (g->delete_when != DELETE_DELAY)
			dirs_touch_up(g, gl->dir, false);
		free_list(g, gl);
		g->first++;
		g->done_lists++;
		write_done(g);
	}
}

static void first_pass(struct gen *g)
{
	while (!g->eof && g->next == g->nlists && !gen_bad(g))
		gen_wait(g);
	if (gen_bad(g))
		return;
	if (g->o->verbose >= 2)
		say(SAY_INFO, g->o->whole_file ? "delta-transmission disabled for local transfer or --whole-file" :
						 "delta-transmission enabled");
	walk_prune(g, g->lists[g->first]);
	if (g->delete_when == DELETE_BEFORE)
		delete_all_dirs(g);
	while (!gen_bad(g)) {
		if (g->next == g->nlists) {
			if (g->eof)
				break;
			gen_wait(g);
		} else {
			struct glist *gl = g->lists[g->next++];

			walk_list(g, gl);
			gl->walked = true;
		}
		if (g->rx->inc)
			complete_lists(g);
	}
	while (g->rx->inc && !gen_bad(g) && g->first < g->nlists) {
		gen_wait(g);
		complete_lists(g);
	}
	if (!g->rx->inc && !gen_bad(g)) {
		g->done_lists = 1;
		write_done(g);
	}
	g->redo_ok = true;
	while (g->nredo && !gen_bad(g))
		gen_again(g, g->redo[--g->nredo], true);
}

static void wait_answers(struct gen *g, int32_t n)
{
	while (g->answers < n && !gen_bad(g))
		gen_wait(g);
}

static void write_del_stats(struct gen *g)
{
	if (g->p->version >= 31 && (g->o->delete_mode || g->o->force))
		wr_del_stats(g->out, &g->ndx, g->p->version, &g->deleted);
}

static void late_deletions(struct gen *g)
{
	if (gen_bad(g))
		return;
	if (g->delete_when == DELETE_DELAY)
		delete_delayed(g);
	else if (g->delete_when == DELETE_AFTER)
		delete_all_dirs(g);
}

static void later_phases(struct gen *g)
{
	bool late = g->delete_when == DELETE_DELAY || g->delete_when == DELETE_AFTER;
	bool delay = g->o->delay_updates;
	int32_t base = g->done_lists;

	wait_answers(g, base);
	if (gen_bad(g))
		return;
	g->closed = true;
	write_done(g);                                         /* phase 1 */
	if (g->p->version < 29) {
		wait_answers(g, base + 1);
		late_deletions(g);
		return;
	}
	if (delay) {
		if (!late)
			write_del_stats(g);
		wait_answers(g, base + 1);
	}
	if (gen_bad(g))
		return;
	write_done(g);                                         /* phase 2 */
	if (g->p->version < 31) {
		wait_answers(g, base + 2);
		late_deletions(g);
		return;
	}
	if (late) {
		wait_answers(g, base + 2);
		late_deletions(g);
	}
	if (late || !delay)
		write_del_stats(g);
	write_done(g);                                         /* phase 3 */
	wait_answers(g, base + 3);
}

static void gen_run(struct gen *g)
{
	first_pass(g);
	if (!gen_bad(g))
		later_phases(g);
	if (gen_bad(g))
		return;
	delete_note_limit(g);
	dirs_finish(g);
	write_done(g);
	conn_flush(g->conn);
}

static void *gen_thread(void *arg)
{
	struct gen *g = arg;

	say_set_role("generator");
	g->flushed_ms = clock_ms();
	g->awaited = -1;
	gen_run(g);
	/* A peer that is gone may have told the other thread why; but it may also just stay silent. */
	for (int i = 0; i < 20 && g->out->failed && !atomic_load(&g->conn->stopping); i++)
		queue_wait(&g->rx->events, 100);
	if (g->out->failed)
		conn_stop(g->conn);
	return NULL;
}

/* ---- life ---- */

static void wake(void *ctx)
{
	queue_kick(ctx);
}

static void gen_free(struct gen *g)
{
	struct budget *b = g->rx->budget;

	for (size_t i = g->first; i < g->nlists; i++)
		free_list(g, g->lists[i]);
	mem_free(b, g->lists);
	mem_free(b, g->dirs);
	mem_free(b, g->dir_index);
	mem_free(b, g->redo);
	mem_free(b, g->doomed);
	mem_free(b, g->top_devs);
	hlink_free(g);
	fuzzy_free(g);
	filt_walk_free(g->walk);
	sum_writer_free(g->sums);
	csum_ctx_free(g->sum);
	csum_ctx_free(g->list_sum);
	sb_free(g->root);
	if (g->arena)
		arena_free(g->arena);
	if (g->doom_arena)
		arena_free(g->doom_arena);
	hands_done(&g->h);
	mem_free(b, g);
}

/* Rule files are read through a view of the root; of a remote-shell server, in the destination or where its places are. */
static int open_rules(struct gen *g, const char *dir, const char *name)
{
	const char *top = g->rx->dest_path;
	char path[PATH_LIMIT + 1];
	size_t n = strlen(top);
	int fd;

	if (!g->rx->x->places)
		return sb_open_read(g->root, dir, name, 0, NULL);
	if (path_join(path, dir, name) < 0)
		return -ENAMETOOLONG;
	fd = places_open_file(g->rx->x->places, path);
	if (fd != -ENOENT || !g->h.dest || strncmp(dir, top, n) || (n && dir[n] && dir[n] != '/'))
		return fd;
	return sb_open_read(g->h.dest, dir + n + (n && dir[n]), name, 0, NULL);
}

static int read_rules(void *ctx, const char *dir, const char *name, struct buf *out)
{
	struct gen *g = ctx;
	_cleanup_close_ int fd = open_rules(g, dir, name);
	char chunk[8192];
	ssize_t n;

	if (fd < 0)
		return fd;
	while ((n = read(fd, chunk, sizeof chunk)) > 0) {
		if (out->len + (size_t)n > FILT_FILE_MAX)
			return -27;
		buf_add(out, chunk, (size_t)n);
	}
	return n < 0 || out->failed ? -5 : 0;
}

static int start_filters(struct gen *g, struct err *err)
{
	struct xfer *x = g->rx->x;
	unsigned rules = 0;

	if (x->daemon_filter)
		rules += x->daemon_filter->name_rules + x->daemon_filter->dir_merges;
	if (x->filter)
		rules += x->filter->name_rules + x->filter->dir_merges;
	if (!rules)
		return 0;
	g->files = (struct filt_files){ .ctx = g, .read_file = read_rules };
	g->root = sb_new(x->root, 8);
	g->walk = filt_walk_new(x->daemon_filter, x->filter, &g->files, g->rx->budget);
	if (!g->root || !g->walk || filt_walk_start(g->walk, g->rx->rules_path) < 0)
		return fail(err, RX_MALLOC, "cannot set up filters for \"%s\"", g->rx->dest_path);
	return 0;
}

static int gen_init(struct gen *g, struct rx *rx, struct err *err)
{
	const struct xfer_proto *p = rx->p;

	g->rx = rx;
	g->o = rx->o;
	g->p = p;
	g->conn = rx->conn;
	g->out = &rx->conn->out;
	g->ndx = (struct ndx_state)NDX_STATE_INIT;
	g->redo_ok = rx->inc;
	g->delete_when = rx->o->delete_mode && !rx->single[0] && !rx->o->list_only && !(rx->o->dry_run && (rx->dest_made || !rx->dest)) ?
			 rx->o->delete_when : DELETE_NONE;
	if (getrandom(&g->hash_seed, sizeof g->hash_seed, GRND_NONBLOCK) < 0)
		g->hash_seed = (uint64_t)clock_ms() ^ (uintptr_t)g;
	g->arena = arena_new(rx->budget, 0);
	g->doom_arena = arena_new(rx->budget, 0);
	g->sum = csum_ctx_new(p->xfer_sum, p->seed, p->md5_seed_last);
	g->list_sum = rx->o->checksum ? csum_ctx_new(p->list_sum, p->seed, p->md5_seed_last) : NULL;
	g->sums = g->sum ? sum_writer_new(rx->budget, g->sum) : NULL;
	if (!g->arena || !g->doom_arena || !g->sums || (rx->o->checksum && !g->list_sum))
		return fail(err, RX_MALLOC, "out of memory for the generator");
	if (hands_init(&g->h, rx, err) < 0 || start_filters(g, err) < 0)
		return -1;
	dirs_add_path(g, "", (rx->dest_made ? GD_NEW : 0) | (rx->dest ? 0u : (unsigned)GD_MISSING));
	return g->err.code ? fail(err, g->err.code, "%s", g->err.text) : 0;
}

struct gen *gen_start(struct rx *rx, struct err *err)
{
	struct gen *g = mem_zalloc(rx->budget, 1, sizeof *g);

	if (!g) {
		fail(err, RX_MALLOC, "out of memory for the generator");
		return NULL;
	}
	g->rx = rx;
	if (gen_init(g, rx, err) < 0) {
		gen_free(g);
		return NULL;
	}
	rx->conn->out.err = &g->err;
	rx->conn->wake_ctx = &rx->events;
	rx->conn->wake = wake;
	if (pthread_create(&g->thread, NULL, gen_thread, g) != 0) {
		rx->conn->wake = NULL;
		rx->conn->out.err = err;
		fail(err, RX_IPC, "cannot start the generator thread");
		gen_free(g);
		return NULL;
	}
	return g;
}

int gen_join(struct gen *g, bool stop, struct err *err)
{
	struct rx *rx = g->rx;
	int rc;

	if (stop) {
		conn_stop(rx->conn);
		queue_kick(&rx->events);
	}
	pthread_join(g->thread, NULL);
	rx->conn->wake = NULL;
	rx->conn->out.err = rx->conn->in.err;
	*err = g->err;
	rc = g->err.code ? -1 : 0;
	rx->x->deleted = g->deleted;
	gen_free(g);
	return rc;
}
