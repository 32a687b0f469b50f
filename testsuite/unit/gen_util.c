/* gen_util.c - a generator without its thread, on a scratch directory. */
#include "config.h"
#include "testsuite/unit/gen_util.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static char top[64];           /* scratch: top/dest, top/alt0 ... */
char said[16384];
struct xfer_opts o;
static struct xfer_proto proto;
static struct xfer xfer;
static struct conn conn;
struct budget budget;
static struct err err;
struct rx rx;
struct gen g;
static struct wr_mem items;
static struct flist_set *out, *in;
static int wires[2];

static void sink(void *ctx, enum say_kind kind, const char *text, size_t len)
{
	size_t n = strlen(said);

	(void)ctx;
	(void)kind;
	snprintf(said + n, sizeof said - n, "%.*s\n", (int)len, text);
}

/* ---- the disk ---- */

const char *in_top(const char *rel)
{
	static char names[4][4096];
	static unsigned n;
	char *p = names[n++ % 4];

	snprintf(p, sizeof names[0], "%s/%s", top, rel);
	return p;
}

void put_dir(const char *rel)
{
	assert_int_equal(mkdir(in_top(rel), 0755), 0);
}

void put(const char *rel, const char *text)
{
	static const struct timespec times[2] = { { THEN, 0 }, { THEN, 0 } };
	int fd = open(in_top(rel), O_WRONLY | O_CREAT | O_TRUNC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(futimens(fd, times), 0);
	close(fd);
}

bool there(const char *rel)
{
	struct stat st;

	return lstat(in_top(rel), &st) == 0;
}

bool holds(const char *rel, const char *text)
{
	char b[256] = "";
	int fd = open(in_top(rel), O_RDONLY | O_NOFOLLOW);
	ssize_t n = fd < 0 ? -1 : read(fd, b, sizeof b - 1);

	if (fd >= 0)
		close(fd);
	return n >= 0 && strcmp(b, text) == 0;
}

bool same_file(const char *a, const char *b)
{
	struct stat x, y;

	return lstat(in_top(a), &x) == 0 && lstat(in_top(b), &y) == 0 && x.st_ino == y.st_ino && x.st_dev == y.st_dev;
}

int count(const char *rel)
{
	DIR *d = opendir(in_top(rel));
	struct dirent *e;
	int n = 0;

	assert_non_null(d);
	while ((e = readdir(d)))
		n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
	closedir(d);
	return n;
}

/* ---- a generator ---- */

static struct anchor *anchor(const char *rel)
{
	struct anchor *a;

	assert_int_equal(anchor_open_trusted(&a, in_top(rel)), 0);
	return a;
}

int gen_setup(void **state)
{
	(void)state;
	snprintf(top, sizeof top, "/tmp/kedge-gen-XXXXXX");
	umask(022);
	if (!mkdtemp(top) || mkdir(in_top("dest"), 0755) || socketpair(AF_UNIX, SOCK_STREAM, 0, wires))
		return -1;
	said[0] = 0;
	err = (struct err){ 0 };
	o = (struct xfer_opts){ .max_delete = -1, .max_size = -1, .min_size = -1, .recurse = true, .implied_dirs = true,
		.times = true, .perms = true, .links = true, .suffix = "~", .super = -1 };
	proto = (struct xfer_proto){ .version = 31, .xfer_sum = CSUM_XXH64, .list_sum = CSUM_XXH64 };
	say_set_sink(sink, NULL);
	return 0;
}

void gen_begin(bool inc)
{
	struct flist_fmt f = { .proto = 31, .inc_recurse = inc, .safe_end = true, .links = true, .hard_links = o.hard_links, .recurse = true,
		.relative = o.relative };

	if (inc)
		proto.compat |= CF_INC_RECURSE;
	budget_init(&budget, 0, 0);
	xfer = (struct xfer){ .o = &o, .p = &proto, .conn = &conn, .budget = &budget, .umask = 022 };
	memset(&conn, 0, sizeof conn);
	assert_int_equal(conn_init(&conn, wires[0], wires[0], &budget, &err), 0);
	memset(&rx, 0, sizeof rx);
	rx.x = &xfer;
	rx.o = &o;
	rx.p = &proto;
	rx.conn = &conn;
	rx.budget = &budget;
	rx.dest = anchor("dest");
	for (int i = 0; i < o.alt_count; i++) {
		char name[16];

		snprintf(name, sizeof name, "alt%d", i);
		rx.alt[i] = there(name) ? anchor(name) : NULL;
	}
	if (o.temp_dir)
		rx.temp = anchor(o.temp_dir);
	rx.partial_rel = o.partial_dir;
	rx.inc = inc;
	rx.dir_times = true;
	rx.dry = o.dry_run;
	rx.umask = 022;
	rx.euid = geteuid();
	rx.egid = getegid();
	pthread_mutex_init(&rx.backup_lock, NULL);
	pthread_mutex_init(&rx.log_lock, NULL);
	assert_int_equal(queue_init(&rx.requests, sizeof(struct request), &budget), 0);
	assert_int_equal(queue_init(&rx.events, sizeof(struct event), &budget), 0);
	out = flist_set_new(&f, &budget, false);
	in = flist_set_new(&f, &budget, true);
	rx.set = in;
	wr_mem_init(&items, &budget, &err);
	g = (struct gen){ .rx = &rx, .o = &o, .p = &proto, .conn = &conn, .out = &items.w, .ndx = NDX_STATE_INIT,
		.delete_when = o.delete_when };
	g.arena = arena_new(&budget, 0);
	g.doom_arena = arena_new(&budget, 0);
	g.sum = csum_ctx_new(proto.xfer_sum, 0, false);
	assert_non_null(g.sum);
	g.sums = sum_writer_new(&budget, g.sum);
	assert_int_equal(hands_init(&g.h, &rx, &err), 0);
	dirs_add_path(&g, "", 0);
}

void gen_end(void)
{
	struct request *q;

	assert_int_equal(g.err.code, 0);
	assert_int_equal(err.code, 0);
	while ((q = queue_peek(&rx.requests))) {
		mem_free(&budget, q->xname);
		queue_pop(&rx.requests);
	}
	for (size_t i = g.first; i < g.nlists; i++) {
		mem_free(&budget, g.lists[i]->index);
		mem_free(&budget, g.lists[i]);
	}
	mem_free(&budget, g.lists);
	mem_free(&budget, g.dirs);
	mem_free(&budget, g.dir_index);
	mem_free(&budget, g.redo);
	mem_free(&budget, g.doomed);
	mem_free(&budget, g.top_devs);
	hlink_free(&g);
	sum_writer_free(g.sums);
	csum_ctx_free(g.sum);
	arena_free(g.arena);
	arena_free(g.doom_arena);
	hands_done(&g.h);
	wr_mem_free(&items);
	flist_set_free(in);
	flist_set_free(out);
	queue_done(&rx.requests);
	queue_done(&rx.events);
	anchor_unref(rx.dest);
	anchor_unref(rx.temp);
	anchor_unref(rx.backup);
	for (int i = 0; i < ALT_DEST_MAX; i++)
		anchor_unref(rx.alt[i]);
	conn_done(&conn);
	assert_int_equal(budget.used, 0);
}

int gen_teardown(void **state)
{
	char cmd[128];

	(void)state;
	close(wires[0]);
	close(wires[1]);
	snprintf(cmd, sizeof cmd, "rm -rf %s", top);
	return system(cmd);
}

struct glist *give_rows(const struct row *rows, size_t n, int32_t dir_ndx)
{
	struct flist *tx = flist_begin(out, dir_ndx), *fl;
	struct wr_mem m;
	struct rd r;
	int bits = 0;

	assert_non_null(tx);
	wr_mem_init(&m, &budget, &err);
	for (size_t i = 0; i < n; i++) {
		char name[4096];
		size_t len = strlen(rows[i].name);
		bool dir = rows[i].name[len - 1] == '/' || strcmp(rows[i].name, ".") == 0;
		char *slash;
		struct fent *e;

		snprintf(name, sizeof name, "%s", rows[i].name);
		if (name[len - 1] == '/')
			name[len - 1] = 0;
		slash = strrchr(name, '/');
		e = flist_add(out, flist_dir(out, name, !slash ? 0 : slash == name ? 1 : (size_t)(slash - name)), slash ? slash + 1 : name,
			      dir ? S_IFDIR | 0755 : S_IFREG | 0644);
		assert_non_null(e);
		e->size = rows[i].size;
		e->mtime = THEN;
		if (dir)
			e->flags = FENT_CONTENT | (strcmp(name, ".") == 0 ? FENT_TOP_DIR : 0);
		if (rows[i].ino)
			assert_int_equal(flist_hardlink(out, e, 1, rows[i].ino), 0);
		assert_true(flist_write_entry(out, &m.w, e));
	}
	flist_write_end(out, &m.w, tx, 0);
	rd_init_mem(&r, m.base, wr_mem_len(&m), &err);
	fl = flist_read(in, &r, dir_ndx, &bits);
	assert_int_equal(err.code, 0);
	assert_non_null(fl);
	wr_mem_free(&m);
	assert_int_equal(queue_push(&rx.events, &(struct event){ EV_LIST, 0, fl }), 0);
	gen_poll(&g);
	return g.lists[g.nlists - 1];
}

int32_t ndx_of(const char *name)
{
	char path[PATH_LIMIT + 1];

	for (size_t k = g.first; k < g.nlists; k++)
		for (int32_t i = 0; i < g.lists[k]->fl->count; i++) {
			fent_path(g.lists[k]->fl->sorted[i], path);
			if (strcmp(path, name) == 0)
				return g.lists[k]->fl->ndx_start + i;
		}
	fail_msg("no entry %s", name);
	return -1;
}

const struct fent *entry(const char *name)
{
	struct glist *gl;

	return gen_entry_of(&g, ndx_of(name), &gl);
}

void outcome(enum ev_kind kind, const char *name)
{
	assert_int_equal(queue_push(&rx.events, &(struct event){ kind, ndx_of(name), NULL }), 0);
	gen_poll(&g);
}

void assert_request(const char *name, uint8_t basis)
{
	struct request *q = queue_peek(&rx.requests);

	assert_non_null(q);
	assert_int_equal(q->ndx, ndx_of(name));
	assert_int_equal(q->basis, basis);
	mem_free(&budget, q->xname);
	queue_pop(&rx.requests);
}

void assert_no_request(void)
{
	assert_null(queue_peek(&rx.requests));
}

bool was_said(const char *text)
{
	return strstr(said, text) != NULL;
}
