/*
 * daemon_run.c - a daemon's session in its confined worker: arguments, set-up, role
 * (spec 01 §4, 06 §6.1 steps 21-24).
 */
#include "config.h"
#include <stdio.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/say.h"
#include "sandbox/broker.h"
#include "session/args.h"
#include "session/itemlog.h"
#include "session/run.h"
#include "session/setup.h"

struct request {
	struct options p;
	struct words batch1, batch2, split, clean, paths, hook;
	char text[2048];           /* what the client asked for, for logs and hooks */
	char refusal[PRE_XFER_TEXT];
	struct itemlog log;
};

/* The file arguments joined by blanks; they stop being added at about 1 kB (06 §6.3). */
static void request_text(struct request *rq)
{
	size_t at = 0;

	rq->text[0] = '\0';
	for (int i = 0; i < rq->p.npaths && at < 1024; i++) {
		at += (size_t)snprintf(rq->text + at, sizeof rq->text - at, "%s%s", at ? " " : "", rq->p.paths[i]);
		at = MIN(at, sizeof rq->text - 1);
	}
}

static int read_args(struct session *s, const struct session_start *st, struct request *rq)
{
	struct rd *r = &s->conn.in;

	if (args_read(&rq->batch1, r, st->proto >= 30) < 0)
		return -1;
	/* A mistake in the options is told after the set-up; the client's second batch must be read first. */
	if (options_parse(&rq->p, rq->batch1.v, rq->batch1.n, true) < 0 && rq->p.exit_code == RX_MALLOC)
		return rd_fail(r, RX_MALLOC, "%s", rq->p.error);
	if (rq->p.secluded && !rq->p.old_args) {
		rq->batch2.max_bytes = rq->batch1.max_bytes - rq->batch1.bytes;
		rq->batch2.max_words++; /* its first word is the program's name */
		if (args_read(&rq->batch2, r, true) < 0)
			return -1;
		if (s->o.iconv && st->charset && args_from_utf8(&rq->batch2, st->charset) < 0)
			return rd_fail(r, RX_MALLOC, "out of memory for arguments");
		if (options_parse(&rq->p, rq->batch2.v + 1, MAX(rq->batch2.n - 1, 0), false) < 0 && rq->p.exit_code == RX_MALLOC)
			return rd_fail(r, RX_MALLOC, "%s", rq->p.error);
	}
	if (s->o.am_sender && !rq->p.server)
		return rd_fail(r, RX_USAGE, "--sender without --server");
	request_text(rq);
	if (!rq->p.exit_code && options_finish(&rq->p) == 0)
		options_confine_paths(&rq->p, st->policy.filter, st->policy.sanitize);
	return 0;
}

static int clean_paths(struct session *s, const struct session_start *st, struct request *rq)
{
	struct sb *sb = sb_new(st->root, 0);
	char *p;
	int rc = sb ? 0 : -1;

	for (int i = 0; i < rq->p.npaths && rc == 0; i++)
		rc = args_module(&rq->split, rq->p.paths[i], st->policy.module, rq->p.secluded);
	for (int i = 0; i < rq->split.n && rc == 0; i++) {
		const char *w = rq->split.v[i];

		/* One byte more than the word: an empty result becomes ".". */
		p = arena_alloc(rq->clean.arena, strlen(w) + 2, 1);
		if (!p) {
			rc = -1;
			break;
		}
		if (st->policy.sanitize) {
			args_sanitize(w, 0, s->o.relative, p);
		} else {
			strcpy(p, w);
			args_collapse(p);
		}
		rc = args_glob(&rq->paths, p, sb, "", st->policy.filter);
	}
	sb_free(sb);
	s->x.args = rq->paths.v;
	s->x.arg_count = rq->paths.n;
	return rc < 0 ? rd_fail(&s->conn.in, RX_MALLOC, "out of memory for arguments") : 0;
}

/* Puts the module's settings over the client's. */
static void apply_policy(struct session *s, const struct session_start *st)
{
	const struct session_policy *m = &st->policy;
	struct xfer_opts *o = &s->o;

	options_cap_verbosity(o, m->max_verbosity);
	/* The client's --max-alloc can only ask for less. */
	if (o->max_alloc > 0 && (uint64_t)o->max_alloc < s->budget.single)
		s->budget.single = (size_t)o->max_alloc;
	o->munge_links = m->munge_symlinks;
	o->insecure_links = m->insecure_links;
	o->ids_are_numeric_here = m->ids_are_numeric;
	o->sanitize_paths = m->sanitize;
	o->read_only = m->read_only;
	o->ignore_nonreadable = m->ignore_nonreadable;
	o->skip_compress_all = m->dont_compress_all;
	if (m->fake_super) {
		o->super = 2;
		o->xattrs = o->xattrs > 0;     /* -XX would read and write what fake-super stores */
	}
	o->super_allowed = m->super_allowed;
	o->devices_allowed = st->broker && m->device_make;
	o->chmod_module = o->am_sender ? m->outgoing_chmod : m->incoming_chmod;
	if (m->ignore_errors)
		o->ignore_errors = true;
	if (m->open_noatime >= 0)
		o->open_noatime = m->open_noatime;
	if (m->timeout > 0 && (!o->timeout || (unsigned)m->timeout < o->timeout))
		o->timeout = (unsigned)m->timeout;
	if (m->bwlimit && (!o->bwlimit || m->bwlimit < o->bwlimit))
		o->bwlimit = m->bwlimit;
	if (!o->temp_dir && m->temp_dir && *m->temp_dir) {
		o->temp_dir = m->temp_dir;
		o->module_temp_dir = true;
	}
}

static int check_direction(struct session *s, const struct session_policy *m, const struct options *p)
{
	struct rd *r = &s->conn.in;

	if (!s->o.am_sender && m->read_only)
		return rd_fail(r, RX_USAGE, "ERROR: module is read only");
	if (s->o.am_sender && m->write_only)
		return rd_fail(r, RX_USAGE, "ERROR: module is write only");
	if (s->o.remove_source && m->read_only)
		return rd_fail(r, RX_USAGE, "ERROR: --%s cannot be used with a read-only module",
			       s->o.remove_source == 1 ? "remove-source-files" : "remove-sent-files");
	if (s->o.am_sender && p->no_words)
		return rd_fail(r, RX_USAGE, "ERROR: do_server_sender called without args");
	return 0;
}

static void log_request(const struct session *s, const struct session_start *st, const char *text)
{
	_cleanup_buf_ struct buf line = BUF_INIT(NULL);
	const struct event_field f[] = {
		EVENT_FIELD_TEXT("op", s->o.am_sender ? "send" : "recv"), EVENT_FIELD_NAME("request", text),
		EVENT_FIELD_TEXT("module", st->policy.module), EVENT_FIELD_TEXT("user", *st->user ? st->user : NULL),
		EVENT_FIELD_TEXT("host", st->host), EVENT_FIELD_TEXT("addr", st->addr),
	};

	buf_addf(&line, "rsync %s %s from %s%s%s (%s)", s->o.am_sender ? "on" : "to", text, st->user, *st->user ? "@" : "",
		 st->host, st->addr);
	route_event(&s->route, "request", f, ARRAY_SIZE(f), buf_str(&line));
}

static int add_words(struct words *to, const char *const *v, int n, bool up_to_dot)
{
	for (int i = 0; i < n; i++) {
		if (words_add(to, v[i], strlen(v[i])) < 0)
			return -1;
		if (up_to_dot && !strcmp(v[i], "."))
			break;
	}
	return 0;
}

/* The argument vector that hooks see: options as they came, paths as they will be used (06 §10.2). */
static int hook_args(struct request *rq)
{
	const struct words *paths = &rq->paths;

	for (int i = 0; i < rq->batch1.n && strcmp(rq->batch1.v[i], ".") != 0; i++)
		args_unescape((char *)(uintptr_t)rq->batch1.v[i]);
	if (words_add(&rq->hook, "rsyncd", 6) < 0 || add_words(&rq->hook, rq->batch1.v, rq->batch1.n, !rq->p.secluded) < 0)
		return -1;
	if (rq->p.secluded && rq->batch2.n > 1 && add_words(&rq->hook, rq->batch2.v + 1, rq->batch2.n - 1, true) < 0)
		return -1;
	return add_words(&rq->hook, paths->v, paths->n, false);
}

/* What is wanted of the broker. */
static unsigned device_ops(const struct xfer_opts *o)
{
	if (o->am_sender)
		return o->copy_devices ? BROKER_MAY_READ : 0;
	return (o->devices && !o->drop_devices && !o->devices_refused ? BROKER_MAY_MAKE : 0) | (o->write_devices ? BROKER_MAY_OPEN : 0);
}

/* Tells the monitor, which runs the module's hook. 1: the hook refuses. */
static int announce(struct session *s, const struct session_start *st, struct request *rq)
{
	struct session_request r = {
		.sending = s->o.am_sender, .device_ops = device_ops(&s->o), .text = rq->text,
	};
	int rc;

	if (!st->on_request)
		return 0;
	if (hook_args(rq) < 0)
		return rd_fail(&s->conn.in, RX_MALLOC, "out of memory for arguments");
	r.args = rq->hook.v;
	r.nargs = (size_t)rq->hook.n;
	rc = st->on_request(st->on_request_ctx, &r, rq->refusal);
	return rc < 0 ? rd_fail(&s->conn.in, RX_IPC, "the monitor refused the request") : rc;
}

/* Says a refusal line by line and ends with its code. */
static int refused(struct session *s, char *text)
{
	char *line, *save = NULL;

	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		say(SAY_ERROR, "%s", line);
	s->in_err.quiet = true;
	return rd_fail(&s->conn.in, RX_UNSUPPORTED, "%s", "");
}

static int start_item_log(struct session *s, const struct session_start *st, struct itemlog *il)
{
	*il = (struct itemlog){
		.format = st->policy.log_format, .host = st->host, .addr = st->addr, .user = st->user,
		.module = st->policy.module, .module_path = st->policy.module_path, .sink = st->event, .sink_ctx = st->log_ctx,
	};
	return st->event ? itemlog_start(il, &s->x, st->policy.log_json, s->conn.in.err) : 0;
}

/* Clients of protocol 30 and below read the names of a list of ours raw: they must not take a refusal for one (spec 01 §4.3). */
static int no_names(struct session *s)
{
	struct conn *c = &s->conn;

	if (s->o.am_sender || s->p.version >= 31 || !s->o.files_from || strcmp(s->o.files_from, "-") == 0)
		return 0;
	if (conn_mux_out(c, false) < 0)
		return -1;
	wr_u8(&c->out, 0);
	s->names_ended = true;
	return conn_mux_out(c, true);
}

static int run(struct session *s, const struct session_start *st, struct request *rq)
{
	struct conn *c = &s->conn;
	bool broken;
	int rejected;

	if (st->unread_len && conn_unread(c, st->unread, st->unread_len) < 0)
		return -1;
	if (st->handshake_seconds > 0)
		c->deadline = clock_ms() + (int64_t)st->handshake_seconds * 1000;
	if (read_args(s, st, rq) < 0)
		return -1;
	broken = rq->p.exit_code != 0 || options_check_version(&rq->p, st->proto) < 0;
	if (!broken && s->o.iconv)
		session_charset(s, &rq->p, st->charset);
	say_set_role(s->o.am_sender ? "sender" : "Receiver");
	if (clean_paths(s, st, rq) < 0)
		return -1;
	rejected = announce(s, st, rq);
	if (rejected < 0)
		return -1;
	log_request(s, st, rq->text);
	apply_policy(s, st);
	c->timeout = s->o.timeout;
	/* How long the hook took is not the peer's fault. What a time-out bounds anyhow needs no deadline. */
	if (c->deadline)
		c->deadline = c->timeout && c->timeout <= (unsigned)st->handshake_seconds ? 0 :
			clock_ms() + (int64_t)st->handshake_seconds * 1000;
	if (setup_protocol(c, &s->o, st->proto, &s->p) < 0)
		return -1;
	c->deadline = 0;
	if ((rejected || broken || st->policy.read_only) && no_names(s) < 0)
		return -1;
	if (rejected)
		return refused(s, rq->refusal);
	if (broken)
		return rd_fail(&c->in, rq->p.exit_code, "%s%s", options_prefix(&rq->p), rq->p.error);
	c->bwlimit = (uint64_t)s->o.bwlimit * 1024;
	if (c->timeout && s->p.version >= 31)
		conn_post_int(c, MSG_IO_TIMEOUT, (int32_t)c->timeout);
	if (!s->o.am_sender && check_direction(s, &st->policy, &rq->p) < 0)
		return -1;
	if (start_item_log(s, st, &rq->log) < 0)
		return -1;
	if (session_filters(s, &rq->p) < 0 || (s->o.am_sender && check_direction(s, &st->policy, &rq->p) < 0))
		return -1;
	return session_role(s);
}

int session_run_daemon(const struct session_start *st)
{
	static struct session s;
	static struct request rq;
	static char who[1024];
	struct words *lists[] = { &rq.batch1, &rq.batch2, &rq.split, &rq.clean, &rq.paths, &rq.hook };
	int code;

	if (session_init(&s, st->in_fd, st->out_fd) < 0)
		return s.in_err.code;
	s.route.log = st->log;
	s.route.event = st->event;
	s.route.log_ctx = st->log_ctx;
	s.route.proto = st->proto;
	route_install(&s.route);
	say_set_role("Receiver");
	if (options_init(&rq.p, &s.o, &s.budget, true) < 0)
		return RX_MALLOC;
	options_refuse(&rq.p, st->policy.refuse_options, st->charset != NULL);
	/* Clients ask for both by -D: judged by what would be made, not by the word (spec 09 D3, D5). */
	s.o.devices_refused = options_refuses(&rq.p, "devices");
	s.o.specials_refused = options_refuses(&rq.p, "specials");
	if (!st->policy.device_open)
		options_refuse_devices(&rq.p);
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
		if (words_init(lists[i], &s.budget) < 0)
			return RX_MALLOC;
	s.budget.total = s.budget.single = st->policy.quota.memory;
	s.x.block_table_max = st->policy.quota.block_table;
	s.x.xattr_max = st->policy.quota.xattr;
	rq.batch1.max_bytes = st->policy.quota.args;
	s.x.umask = umask(0);
	umask(s.x.umask);
	s.x.root = st->root;
	s.x.cwd = "";
	s.x.module = st->policy.module;
	s.x.ids = st->ids;
	s.x.broker = st->broker;
	snprintf(who, sizeof who, "client=%s user=%s module=%s", st->addr, st->user, st->policy.module);
	s.x.audit = who;
	s.x.daemon_filter = st->policy.filter;
	code = session_end(&s, run(&s, st, &rq));
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
		words_free(lists[i]);
	options_free(&rq.p);
	return code;
}
