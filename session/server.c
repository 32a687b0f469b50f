/*
 * server.c - `kedge --server`: the remote program of a remote shell (spec 01 §6).
 *
 * It starts with the invoking user's authority. From its command line it learns what the transfer may touch; it opens
 * that, starts the helpers that it will need, and confines itself before it reads the first byte of the peer. Arguments
 * that come from the peer (-s) are read by a confined process of their own (argreader.h).
 */
#include "config.h"
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

#include "base/say.h"
#include "sandbox/broker.h"
#include "sandbox/spawn.h"
#include "session/argreader.h"
#include "session/idlink.h"
#include "session/inroot.h"
#include "session/keyrules.h"
#include "session/reach.h"
#include "session/serverlog.h"
#include "session/run.h"
#include "session/setup.h"

#define OUR_VERSION 32

/* The pre-release rule of spec 01 §6.2: a client that says V.S may lower what we offer. */
static int offered_version(const char *ecaps)
{
	char *end;
	long v = strtol(ecaps, &end, 10), sub;

	if (end == ecaps || *end != '.')
		return OUR_VERSION;
	sub = strtol(end + 1, NULL, 10);
	if (v <= 0 || sub <= 0 || v > OUR_VERSION)
		return OUR_VERSION;
	return v < OUR_VERSION ? (int)v - 1 : OUR_VERSION - 1;
}

static int exchange_versions(struct session *s)
{
	struct conn *c = &s->conn;
	int ours = offered_version(s->o.ecaps), theirs;

	wr_int(&c->out, ours);
	if (conn_flush(c) < 0)
		return -1;
	theirs = rd_int(&c->in);
	if (c->in.failed)
		return -1;
	if (theirs < 20 || theirs > 40)
		return rd_fail(&c->in, RX_PROTOCOL, "protocol version mismatch -- is your shell clean?\n"
			       "(see the rsync manpage for an explanation)");
	s->p.version = MIN(ours, theirs);
	if (s->p.version < 27)
		return rd_fail(&c->in, RX_PROTOCOL, "--protocol must be at least 27 on the Server.");
	return 0;
}

static int usage(const struct options *p)
{
	fprintf(stderr, "%s%s\n", options_prefix(p), p->error);
	fprintf(stderr, "rsync error: %s (code %d) at server [server=%s]\n", exit_text(p->exit_code), p->exit_code, PACKAGE_VERSION);
	return p->exit_code;
}

/* --iconv may load code from the system's files. */
static int open_charset(struct session *s, struct err *e)
{
	if (!s->o.iconv || s->x.charset || charset_open(&s->x.charset, s->o.iconv) == 0)
		return 0;
	return fail(e, RX_UNSUPPORTED, "iconv_open(\"UTF-8\", \"%s\") failed", s->o.iconv);
}

/* ---- before the first byte of the peer ---- */

struct server {
	struct session s;
	struct options p;
	struct words batch, paths;     /* second batch of -s; path arguments */
	struct anchor *root;           /* --confine-root; NULL: none */
	char host_root[PATH_LIMIT + 1];        /* its path on the host, where arguments may begin with it */
	struct reach_plan plan;
	struct reach reach;
	struct idlink ids;
	struct id_service id_service;
	struct broker_handle broker_handle;
	struct broker broker;
	char cwd[PATH_LIMIT + 1];      /* without its leading slash */
	const struct server_logger *logger;
	struct itemlog items;
	bool logging;
	struct err user_err;           /* of --copy-as: told once the peer can hear it, as rsync does */
};

static const char *host_root(const struct server *sv)
{
	return *sv->host_root ? sv->host_root : NULL;
}

/* The session's "/" is held before anything else is looked at, with the authority that we were started with. */
static int open_root(struct server *sv, struct err *e)
{
	const struct keyrules *key = sv->p.key;
	const char *dir = sv->s.o.confine_root;
	int rc;

	if (!dir)
		return 0;
	rc = anchor_open(&sv->root, dir, TRUST_OWNER, LINKS_REFUSE, key && key->read_only ? ANCHOR_READ_ONLY : 0);
	if (rc < 0)
		return fail_errno(e, RX_FILESELECT, -rc, "cannot confine to \"%s\"", dir);
	if (key && key->absolute) {
		if (reach_join(sv->cwd, dir, sv->host_root) < 0)
			return fail_errno(e, RX_FILESELECT, ENAMETOOLONG, "cannot confine to \"%s\"", dir);
		args_collapse(sv->host_root);
	}
	*sv->cwd = '\0';
	return 0;
}

/* What is wanted is known: from the command line, or from the peer by way of the argument reader. 0, -1 with e, or an exit code. */
static int make_plan(struct server *sv, struct err *e)
{
	struct argreader a = { .p = &sv->p, .in_fd = 0, .cwd = sv->cwd, .charset = sv->s.x.charset,
			       .root = sv->root, .host_root = host_root(sv),
			       .batch = &sv->batch, .paths = &sv->paths, .plan = &sv->plan };
	struct options *p = &sv->p;
	int rc = 0;

	if (p->secluded && !p->old_args) {
		if (confine_prepare(false, CONFINE_PREFER, e) < 0)
			return -1;
		return argreader_run(&a, e);
	}
	/* Words of a restricted key's client are not those of a front end. */
	if (sv->root && !p->key && inroot_handed(p, sv->root) < 0)
		return usage(p);
	if (options_finish(p) < 0 || (sv->root && inroot_paths(&sv->paths, p, sv->root, host_root(sv)) < 0))
		return usage(p);
	for (int i = 0; !sv->root && i < p->npaths && rc == 0; i++)
		rc = words_add(&sv->paths, p->paths[i], strlen(p->paths[i]));
	if (rc == 0)
		rc = reach_plan_make(&sv->plan, p, sv->paths.v, sv->paths.n, sv->cwd);
	return rc < 0 ? fail(e, RX_MALLOC, "out of memory for arguments") : 0;
}

static unsigned broker_powers(const struct server *sv)
{
	unsigned flags = sv->plan.flags, may = 0;

	if (flags & REACH_OPEN_DEVICES)
		may = BROKER_MAY_READ | (flags & REACH_SENDER ? 0 : BROKER_MAY_WRITE);
	return may | (flags & REACH_DEVICES && geteuid() == 0 ? BROKER_MAY_MAKE : 0);
}

/* Whoever runs us may make any node that the system lets it make. */
static int start_broker(struct server *sv, struct err *e)
{
	bool sender = sv->plan.flags & REACH_SENDER;
	struct anchor *at = sv->reach.devices ? sv->reach.devices : sender ? sv->reach.root : sv->reach.dest;
	struct broker_config cfg = { .own_authority = true, .may = broker_powers(sv), .audit_fd = -1 };

	sv->broker_handle = (struct broker_handle)BROKER_HANDLE_INIT;
	if (!cfg.may || !at)
		return 0;
	sv->s.x.broker = &sv->broker;
	/* The broker does not do without: then each node is an error, and all the rest is done. */
	if (!confine_kernel()->openat2) {
		broker_init(&sv->broker, -ENOSYS);
		return 0;
	}
	device_policy_own(&cfg.policy);
	cfg.root_fd = anchor_fd(at);
	if (sender) {
		cfg.dirs = sv->reach.dirs;
		cfg.ndirs = sv->reach.ndirs;
	}
	cfg.uid = geteuid();
	cfg.gid = getegid();
	if (broker_start(&cfg, &sv->broker_handle, NULL, e) < 0)
		return -1;
	broker_phase_begin(&sv->broker_handle, cfg.may);
	broker_leave(&sv->broker_handle);
	broker_init(&sv->broker, sv->broker_handle.worker_fd);
	return 0;
}

static int confine(struct server *sv, struct err *e)
{
	enum confine_role role = sv->plan.flags & REACH_SENDER ? CONFINE_SERVER_SEND : CONFINE_SERVER_RECV;
	size_t nplaces = sv->reach.places ? places_count(sv->reach.places) : 0, n = 0;
	_cleanup_free_ int *keep = calloc(nplaces + 8, sizeof *keep);
	_cleanup_buf_ struct buf missing = BUF_INIT(NULL);
	struct confine_params p = CONFINE_PARAMS_INIT;
	struct confine_report rep;
	size_t len;

	if (!keep)
		return fail(e, RX_MALLOC, "out of memory");
	keep[n++] = sv->s.conn.stop_fd;
	keep[n++] = anchor_fd(sv->reach.root);
	if (sv->ids.chan.fd >= 0)
		keep[n++] = sv->ids.chan.fd;
	if (sv->s.x.broker && broker_present(sv->s.x.broker))
		keep[n++] = sv->broker.fd;
	if (sv->logging && sv->logger->fd() >= 0)
		keep[n++] = sv->logger->fd();
	for (size_t i = 0; i < nplaces; i++)
		if (places_fd(sv->reach.places, i) >= 0)
			keep[n++] = places_fd(sv->reach.places, i);
	p.keep_fds = keep;
	p.nkeep = n;
	p.dirs = sv->reach.dirs;
	p.ndirs = sv->reach.ndirs;
	p.setfcap = sv->plan.flags & REACH_XATTRS;
	p.noatime = sv->plan.flags & REACH_NOATIME;
	if (sv->reach.jail)
		p.root_fd = anchor_fd(sv->reach.root);
	p.nodev = sv->root ? CONFINE_NODEV_ROOT : sv->reach.shielded ? CONFINE_NODEV_SHIELDED : CONFINE_NODEV_MISSING;
	if (confine_apply(role, &p, &rep, e) < 0)
		return -1;
	/* A plain user has most of the layers not, and knows it. */
	if (sv->logging && geteuid() == 0) {
		buf_adds(&missing, "sandbox: not to be had here:");
		len = missing.len;
		confine_report_missing(&rep, &missing);
		if (missing.len > len)
			sv->logger->line(NULL, SAY_LOG, buf_str(&missing));
	}
	return 0;
}

/* What must happen with the authority that we were started with: opening the log, and becoming somebody else. */
static void log_and_user(struct server *sv)
{
	for (size_t i = 0; i < sv->plan.n; i++)
		if (sv->plan.item[i].kind == REACH_LOG)
			sv->logging = serverlog_open(sv->logger, sv->plan.item[i].path);
	for (size_t i = 0; i < sv->plan.n; i++)
		if (sv->plan.item[i].kind == REACH_USER) {
			say_set_role(sv->plan.flags & REACH_SENDER ? "sender" : "Receiver");
			(void)!proc_copy_as(sv->plan.item[i].path, &sv->user_err);
		}
	sv->s.o.super_allowed = geteuid() == 0;
}

/* Opens what the plan names, starts the helpers that outlive the confinement, and confines this process. */
static int close_the_door(struct server *sv, struct err *e)
{
	sv->ids.chan.fd = -1;
	log_and_user(sv);
	if (confine_prepare(false, CONFINE_PREFER, e) < 0)
		return -1;
	/* Before our view of the system is narrowed. */
	if (sv->plan.flags & REACH_NAMES && idlink_start(&sv->ids, e) < 0)
		return -1;
	if ((sv->root ? reach_open_root(&sv->reach, &sv->plan, sv->root, e) : reach_open(&sv->reach, &sv->plan, e)) < 0)
		return -1;
	if (start_broker(sv, e) < 0)
		return -1;
	/* Reads the time zone while that can be done. */
	tzset();
	if (confine(sv, e) < 0)
		return -1;
	sv->id_service = idlink_service(&sv->ids);
	sv->s.x.ids = &sv->id_service;
	sv->s.x.root = sv->reach.root;
	sv->s.x.places = sv->reach.places;
	sv->s.o.devices_allowed = sv->s.x.broker && broker_powers(sv) & BROKER_MAY_MAKE;
	return 0;
}

/* ---- behind it ---- */

static int run(struct server *sv)
{
	struct session *s = &sv->s;
	struct options *p = &sv->p;

	if (p->secluded && (options_parse(p, sv->batch.v + 1, MAX(sv->batch.n - 1, 0), false) < 0 || options_finish(p) < 0))
		return rd_fail(&s->conn.in, p->exit_code, "%s%s", options_prefix(p), p->error);
	if (s->o.am_sender != ((sv->plan.flags & REACH_SENDER) != 0))
		return rd_fail(&s->conn.in, RX_PROTOCOL, "the arguments changed direction");
	/* Stock names it on the command line: one from the second batch must do with what is loaded. */
	if (open_charset(s, &s->in_err) < 0)
		return -1;
	if (session_check_files(s, p) < 0 || (sv->logging && serverlog_start(s, sv->logger, &sv->items) < 0))
		return -1;
	say_set_role(s->o.am_sender ? "sender" : "Receiver");
	if (s->o.iconv)
		session_charset(s, p, s->x.charset);
	s->route.only_stderr = s->o.msgs_to_stderr;
	s->route.quiet = s->o.quiet;
	s->x.args = sv->paths.v;
	s->x.arg_count = sv->paths.n;
	if (exchange_versions(s) < 0)
		return -1;
	s->route.proto = s->p.version;
	if (options_check_version(p, s->p.version) < 0)
		return rd_fail(&s->conn.in, p->exit_code, "%s%s", options_prefix(p), p->error);
	if (setup_protocol(&s->conn, &s->o, s->p.version, &s->p) < 0)
		return -1;
	s->conn.timeout = s->o.timeout;
	s->conn.bwlimit = (uint64_t)s->o.bwlimit * 1024;
	s->budget.single = (size_t)s->o.max_alloc;
	if (sv->user_err.code)
		return fail(&s->in_err, sv->user_err.code, "%s", sv->user_err.text);
	if (session_filters(s, p) < 0)
		return -1;
	return session_role(s);
}

static int begin(struct server *sv, int argc, char **argv, const struct keyrules *key)
{
	struct session *s = &sv->s;
	struct err e = { 0 };
	int rc;

	if (options_init(&sv->p, &s->o, &s->budget, false) < 0 || words_init(&sv->batch, &s->budget) < 0 ||
	    words_init(&sv->paths, &s->budget) < 0 || reach_plan_init(&sv->plan, &s->budget) < 0)
		return RX_MALLOC;
	if (key) {
		keyrules_refuse(&sv->p, key);
		s->o.confine_root = key->dir;
	}
	if (options_parse(&sv->p, (const char *const *)argv + 1, argc - 1, true) < 0)
		return usage(&sv->p);
	if (!getcwd(sv->cwd, sizeof sv->cwd))
		strcpy(sv->cwd, "/");
	memmove(sv->cwd, sv->cwd + 1, strlen(sv->cwd));
	s->x.umask = umask(0);
	umask(s->x.umask);
	s->x.cwd = sv->cwd;
	rc = open_charset(s, &e);
	if (rc == 0)
		rc = open_root(sv, &e);
	if (rc == 0)
		rc = make_plan(sv, &e);
	if (rc == 0)
		rc = close_the_door(sv, &e);
	if (rc < 0) {
		fprintf(stderr, "rsync: [%s] %s\n", say_role(), e.text);
		fprintf(stderr, "rsync error: %s (code %d) at server [server=%s]\n", exit_text(e.code), e.code, PACKAGE_VERSION);
		return e.code;
	}
	return rc;
}

int session_main_server(int argc, char **argv, const struct server_logger *logger, const struct keyrules *key)
{
	static struct server sv;
	struct session *s = &sv.s;
	int code;

	if (csum_global_init(&s->in_err) < 0 || session_init(s, 0, 1) < 0) {
		fprintf(stderr, "%s\n", s->in_err.text);
		return s->in_err.code;
	}
	proc_ignore_signals();
	/* What a remote-shell user may use up is that user's business, within --max-alloc. */
	s->budget.total = 0;
	s->route.to_stderr = true;
	route_install(&s->route);
	say_set_role("server");
	sv.logger = logger;
	code = begin(&sv, argc, argv, key);
	if (code == 0)
		code = session_end(s, run(&sv));
	reach_free(&sv.reach);
	anchor_unref(sv.root);
	charset_close(s->x.charset);
	reach_plan_free(&sv.plan);
	words_free(&sv.batch);
	words_free(&sv.paths);
	options_free(&sv.p);
	return code;
}
