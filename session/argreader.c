/*
 * argreader.c - see argreader.h.
 */
#include "config.h"
#include "session/argreader.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>

#include "base/say.h"
#include "sandbox/chan.h"
#include "sandbox/spawn.h"
#include "session/inroot.h"
#include "session/run.h"

enum { ARG_WORD = 1, ARG_PATH, ARG_ITEM, ARG_DONE };

#define ARG_TEXT_MAX 5120

struct arg_text { struct chan_head head; uint32_t kind; char text[ARG_TEXT_MAX]; };
struct arg_done { struct chan_head head; uint32_t flags; };

/* ---- the reader's side ---- */

struct byte_source { int fd; uint8_t byte; };

/* One byte at a time: what follows the batch is for the server, and its connection does not block. */
static int fill(struct rd *r)
{
	struct byte_source *b = r->ctx;
	struct pollfd p = { .fd = b->fd, .events = POLLIN };
	ssize_t n;

	while ((n = read(b->fd, &b->byte, 1)) < 0) {
		if (errno != EINTR && (errno != EAGAIN || (poll(&p, 1, -1) < 0 && errno != EINTR)))
			break;
	}
	if (n <= 0)
		return rd_fail(r, RX_STREAMIO, "connection unexpectedly closed (%llu bytes received so far) [%s]",
			       (unsigned long long)r->filled, say_role());
	r->p = &b->byte;
	r->end = r->p + 1;
	r->filled++;
	return 0;
}

static int send_text(struct chan *ch, uint16_t type, uint32_t kind, const char *text)
{
	static struct arg_text m;

	if (strlen(text) >= sizeof m.text)
		return -ENAMETOOLONG;
	memset(m.text, 0, sizeof m.text);
	m.kind = kind;
	strcpy(m.text, text);
	return chan_send(ch, type, &m, sizeof m);
}

static int send_all(const struct argreader *a, struct chan *ch)
{
	struct arg_done d = { .flags = a->plan->flags };
	int rc = 0;

	for (int i = 0; i < a->batch->n && rc == 0; i++)
		rc = send_text(ch, ARG_WORD, 0, a->batch->v[i]);
	for (int i = 0; i < a->paths->n && rc == 0; i++)
		rc = send_text(ch, ARG_PATH, 0, a->paths->v[i]);
	for (size_t i = 0; i < a->plan->n && rc == 0; i++)
		rc = send_text(ch, ARG_ITEM, a->plan->item[i].kind, a->plan->item[i].path);
	return rc < 0 ? rc : chan_send(ch, ARG_DONE, &d, sizeof d);
}

static int confine_reader(const struct anchor *root, bool jail, int chan, struct err *e)
{
	struct confine_dir dir = { .fd = anchor_fd(root), .rights = CONFINE_LIST };
	struct confine_params p = CONFINE_PARAMS_INIT;
	int keep[] = { chan, anchor_fd(root) };

	p.dirs = &dir;
	p.ndirs = 1;
	if (jail)
		p.root_fd = anchor_fd(root);
	p.keep_fds = keep;
	p.nkeep = ARRAY_SIZE(keep);
	return confine_apply(CONFINE_SERVER_SEND, &p, NULL, e);
}

static int tell(const char *prefix, const char *text, int code)
{
	fprintf(stderr, "%s%s\n", prefix, text);
	fprintf(stderr, "rsync error: %s (code %d) at server [server=%s]\n", exit_text(code), code, PACKAGE_VERSION);
	return code;
}

static int expand(struct argreader *a, struct anchor *root)
{
	_cleanup_sb_ struct sb *sb = sb_new(root, 0);
	int rc = sb ? 0 : -1;

	for (int i = 0; i < a->p->npaths && rc == 0; i++)
		rc = args_glob(a->paths, a->p->paths[i], sb, a->cwd, NULL);
	return rc;
}

static int read_and_send(struct argreader *a, struct chan *ch, struct anchor *root)
{
	struct byte_source src = { .fd = a->in_fd };
	struct err e = { 0 };
	struct rd r = { .fill = fill, .ctx = &src, .err = &e };
	struct options *p = a->p;
	int rc;

	if (args_read(a->batch, &r, true) < 0)
		return tell("rsync: ", e.text, e.code);
	if (a->charset && args_from_utf8(a->batch, a->charset) < 0)
		return tell("rsync: ", "out of memory for arguments", RX_MALLOC);
	if (options_parse(p, a->batch->v + 1, MAX(a->batch->n - 1, 0), false) < 0 || options_finish(p) < 0)
		return tell(options_prefix(p), p->error, p->exit_code);
	rc = a->root ? inroot_paths(a->paths, p, a->root, a->host_root) : expand(a, root);
	if (p->exit_code)
		return tell(options_prefix(p), p->error, p->exit_code);
	if (rc < 0 || reach_plan_make(a->plan, p, a->paths->v, a->paths->n, a->cwd) < 0)
		return tell("rsync: ", "out of memory for arguments", RX_MALLOC);
	rc = send_all(a, ch);
	return rc < 0 ? tell("rsync: ", strerror(-rc), RX_IPC) : RX_OK;
}

static _Noreturn void reader(struct argreader *a, struct chan *ch)
{
	struct anchor *root = a->root;
	struct err e = { 0 };

	if (!root && anchor_open(&root, "/", TRUST_ALL, LINKS_FREE, ANCHOR_READ_ONLY) < 0)
		_exit(tell("rsync: ", "cannot open the root directory", RX_FILEIO));
	if (confine_reader(root, a->root, ch->fd, &e) < 0)
		_exit(tell("", e.text, e.code));
	_exit(read_and_send(a, ch, root));
}

/* ---- the server's side ---- */

static int keep_word(struct chan_server *srv, const void *msg, struct words *w)
{
	const struct arg_text *m = msg;
	size_t len = strnlen(m->text, sizeof m->text);

	(void)srv;
	return len == sizeof m->text ? -EPROTO : words_add(w, m->text, len) < 0 ? -ENOMEM : 0;
}

static int on_word(struct chan_server *srv, const void *msg, int fd)
{
	(void)fd;
	return keep_word(srv, msg, ((struct argreader *)srv->ctx)->batch);
}

static int on_path(struct chan_server *srv, const void *msg, int fd)
{
	(void)fd;
	return keep_word(srv, msg, ((struct argreader *)srv->ctx)->paths);
}

static int on_item(struct chan_server *srv, const void *msg, int fd)
{
	const struct arg_text *m = msg;
	struct argreader *a = srv->ctx;

	(void)fd;
	if (m->kind >= REACH_KINDS || strnlen(m->text, sizeof m->text) > PATH_LIMIT)
		return -EPROTO;
	return reach_plan_add(a->plan, (enum reach_kind)m->kind, m->text) < 0 ? -ENOMEM : 0;
}

static int on_done(struct chan_server *srv, const void *msg, int fd)
{
	const struct arg_done *m = msg;
	struct argreader *a = srv->ctx;

	(void)fd;
	/* The direction is the command line's. */
	if (m->flags & ~(unsigned)REACH_FLAGS || !(m->flags & REACH_SENDER) != !a->p->o->am_sender)
		return -EPROTO;
	a->plan->flags = m->flags;
	return 1;
}

/* Counts: words as args_read() limits them; paths and items as globbing does. */
static const struct chan_rule rules[] = {
	{ ARG_WORD, "word", sizeof(struct arg_text), CHAN_STATE(0), 1u << 14, false, on_word },
	{ ARG_PATH, "path", sizeof(struct arg_text), CHAN_STATE(0), 1u << 20, false, on_path },
	{ ARG_ITEM, "item", sizeof(struct arg_text), CHAN_STATE(0), 1u << 20, false, on_item },
	{ ARG_DONE, "done", sizeof(struct arg_done), CHAN_STATE(0), 1, false, on_done },
};

static int collect(struct argreader *a, struct chan *ch)
{
	struct chan_server srv;
	int r = chan_server_init(&srv, ch, rules, ARRAY_SIZE(rules), a);

	while (r == 0)
		r = chan_serve_one(&srv, -1);
	chan_server_free(&srv);
	return r;
}

int argreader_run(struct argreader *a, struct err *e)
{
	struct chan ours, theirs;
	int r = chan_pair(&ours, &theirs), status = 0;
	pid_t pid;

	if (r < 0)
		return fail_errno(e, RX_IPC, -r, "cannot make a channel");
	pid = proc_fork_role("args");
	if (pid == 0) {
		chan_close(&ours);
		reader(a, &theirs);
	}
	chan_close(&theirs);
	r = pid < 0 ? (int)pid : collect(a, &ours);
	chan_close(&ours);
	if (pid < 0)
		return fail_errno(e, RX_IPC, -r, "fork failed in argreader_run");
	if (proc_wait(pid, -1, &status) != 1 || (r == 1 && proc_exit_code(status) != RX_OK))
		return fail(e, RX_IPC, "the argument reader failed");
	if (r == 1)
		return 0;
	return r == -ECONNRESET && proc_exit_code(status) > 0 ? proc_exit_code(status) : fail(e, RX_IPC, "the argument reader broke off");
}
