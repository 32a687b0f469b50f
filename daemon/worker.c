/*
 * worker.c - the confined process that runs the transfer, and the monitor's service for it: names and ids,
 * the request line for hooks, lines for syslog (spec 06 §6.1 steps 17-24, 09 §15.6).
 */
#include "config.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/say.h"
#include "daemon/connection.h"
#include "daemon/hooks.h"
#include "daemon/log.h"
#include "sandbox/confine.h"
#include "sandbox/fs.h"
#include "sandbox/opfile.h"
#include "session/idlink.h"

#define LOG_SOCKET "/dev/log"

/* ---- the worker's side ---- */

struct monitor_link {
	struct idlink ids;              /* the channel, its lock, and lookups over it */
	bool hooks;                     /* the monitor wants to know the arguments */
};

static int tell_request(void *ctx, const struct session_request *rq, char *message)
{
	struct monitor_link *l = ctx;
	struct worker_request q = { .sending = rq->sending, .device_ops = (uint8_t)rq->device_ops };
	struct worker_go a;
	int r = 0;

	snprintf(q.request, sizeof q.request, "%s", rq->text);
	pthread_mutex_lock(&l->ids.lock);
	for (size_t i = 0; i < rq->nargs && l->hooks && r == 0; i++) {
		struct worker_arg m = { 0 };

		snprintf(m.text, sizeof m.text, "%s", rq->args[i]);
		r = chan_send(&l->ids.chan, WORKER_ARG, &m, sizeof m);
	}
	if (r == 0)
		r = chan_call(&l->ids.chan, WORKER_REQUEST, &q, sizeof q, WORKER_GO, &a, sizeof a, -1);
	pthread_mutex_unlock(&l->ids.lock);
	if (r < 0)
		return -1;
	a.text[sizeof a.text - 1] = '\0';
	strcpy(message, a.text);
	return a.refused ? 1 : 0;
}

static void relay_line(void *ctx, enum say_kind kind, const char *text)
{
	struct monitor_link *l = ctx;
	struct worker_log m = { .warns = kind <= SAY_WARNING };

	snprintf(m.text, sizeof m.text, "%s", text);
	pthread_mutex_lock(&l->ids.lock);
	(void)chan_send(&l->ids.chan, WORKER_LOG, &m, sizeof m);
	pthread_mutex_unlock(&l->ids.lock);
}

/* `numeric ids` (06 §3.6): with a name converter a chroot is no reason to leave names alone. */
static bool ids_are_numeric(const struct connection *c)
{
	int set = conn_num(c, CP_NUMERIC_IDS);

	return c->chrooted ? set != 0 && !c->text[CP_NAME_CONVERTER].len : set > 0;
}

/* NULL: items are not logged. --log-file-format turns them on for every module. */
static const char *item_format(struct connection *c)
{
	if (c->d->opt.log_format)
		return *c->d->opt.log_format ? c->d->opt.log_format : NULL;
	return conn_num(c, CP_TRANSFER_LOGGING) > 0 ? conn_string(c, CP_LOG_FORMAT) : NULL;
}

/* BROKER_MAY_* of the module: only root makes nodes; what may be opened, its user may open. */
static unsigned device_powers(const struct connection *c)
{
	unsigned may = 0;

	if (device_policy_none(&c->devices))
		return 0;
	if (conn_num(c, CP_DEVICE_OPEN) > 0)
		may = BROKER_MAY_READ | (c->read_only ? 0 : BROKER_MAY_WRITE);
	return may | (c->read_only || !c->d->root ? 0 : BROKER_MAY_MAKE);
}

/* Is it one of the words of a list with blanks? */
static bool has_word(const char *list, const char *word)
{
	size_t n;

	for (; *list; list += n) {
		list += strspn(list, " \t");
		n = strcspn(list, " \t");
		if (n == strlen(word) && !strncmp(list, word, n))
			return true;
	}
	return false;
}

static void fill_policy(struct connection *c, struct session_policy *p)
{
	*p = (struct session_policy){
		.module = c->m->name,
		.read_only = c->read_only, .write_only = conn_num(c, CP_WRITE_ONLY) > 0,
		.timeout = conn_num(c, CP_TIMEOUT),
		.sanitize = c->sanitize, .munge_symlinks = c->munge, .insecure_links = conn_num(c, CP_INSECURE_LINKS) > 0,
		.ids_are_numeric = ids_are_numeric(c),
		.fake_super = conn_num(c, CP_FAKE_SUPER) > 0,
		.ignore_errors = conn_num(c, CP_IGNORE_ERRORS) > 0,
		.ignore_nonreadable = conn_num(c, CP_IGNORE_NONREADABLE) > 0,
		.open_noatime = conn_num(c, CP_OPEN_NOATIME),
		.dont_compress_all = has_word(conn_string(c, CP_DONT_COMPRESS), "*"),
		.max_verbosity = conn_num(c, CP_MAX_VERBOSITY),
		.bwlimit = c->d->opt.bwlimit,
		.quota = c->quota,
		.refuse_options = conn_string(c, CP_REFUSE_OPTIONS),
		.incoming_chmod = conn_string(c, CP_INCOMING_CHMOD),
		.outgoing_chmod = conn_string(c, CP_OUTGOING_CHMOD),
		.temp_dir = conn_string(c, CP_TEMP_DIR),
		.filter = c->filter,
		.super_allowed = c->id.set ? c->id.uid == 0 : geteuid() == 0,
		.device_make = device_powers(c) & BROKER_MAY_MAKE, .device_open = conn_num(c, CP_DEVICE_OPEN) > 0,
		.log_format = item_format(c), .log_json = !strcasecmp(c->m->v[CP_LOG_FORM].str, "json"),
		.module_path = buf_str(&c->path),
	};
	if (strlen(p->temp_dir) > PATH_LIMIT - 10) {
		log_printf("the 'temp dir' value for %s is WAY too long -- ignoring.", c->m->name);
		p->temp_dir = "";
	}
	if (c->d->opt.temp_dir && !*p->temp_dir)
		p->temp_dir = c->d->opt.temp_dir;
}

static void send_line(const struct connection *c, const char *text)
{
	size_t n = strlen(text);

	while (n) {
		ssize_t w = write(c->out_fd, text, n);

		if (w < 0 && errno == EINTR)
			continue;
		if (w <= 0)
			return;
		text += w;
		n -= (size_t)w;
	}
}

/* The module's `sandbox`: "require" wants every layer that the kernel has a name for, nothing wants openat2 and seccomp,
   "prefer" takes what there is. A word that is none of these asks for the most. */
static bool layers_suffice(const struct connection *c, const struct confine_report *rep)
{
	const char *want = c->m->v[CP_SANDBOX].str;

	if (!strcasecmp(want, "prefer"))
		return true;
	for (int i = 0; i < CONFINE_NLAYERS; i++) {
		enum confine_state state = rep->layer[i].state;
		bool always = (i == CONFINE_L_NAMES || i == CONFINE_L_SECCOMP) && state == CONFINE_MISSING;

		if (always || (*want && (state == CONFINE_MISSING || state == CONFINE_SWITCHED_OFF))) {
			log_printf("module %s requires %s; %s: %s", c->m->name, *want ? "every sandbox layer" : "openat2 and seccomp",
				   confine_layer_name((enum confine_layer)i), rep->layer[i].text);
			return false;
		}
	}
	return true;
}

static int confine_worker(struct connection *c, struct monitor_link *l)
{
	enum confine_role role = c->read_only ? CONFINE_WORKER_SEND : CONFINE_WORKER_RECV;
	/* The operator may have opened the jail as far as links lead. */
	int jail = anchor_fd(c->outer ? c->outer : c->root);
	struct confine_dir dir = { .fd = jail, .rights = c->read_only ? CONFINE_READ : CONFINE_WRITE };
	int keep[8];
	struct confine_params p = CONFINE_PARAMS_INIT;
	struct confine_report rep;
	struct err e = { 0 };

	keep[p.nkeep++] = c->in_fd;
	keep[p.nkeep++] = c->out_fd;
	keep[p.nkeep++] = l->ids.chan.fd;
	keep[p.nkeep++] = anchor_fd(c->root);
	if (log_fd() >= 0)
		keep[p.nkeep++] = log_fd();
	if (c->broker.worker_fd >= 0)
		keep[p.nkeep++] = c->broker.worker_fd;
	p.keep_fds = keep;
	p.root_fd = jail;
	p.nodev = c->outer ? CONFINE_DEV_ANY : CONFINE_NODEV_ROOT;
	p.dirs = &dir;
	p.ndirs = 1;
	p.memory = c->quota.memory;
	p.set_ids = c->id.set;
	p.uid = c->id.uid;
	p.gid = c->id.gid;
	p.groups = c->id.groups;
	p.ngroups = c->id.ngroups;
	p.parent = c->self;
	if (confine_apply(role, &p, &rep, &e) < 0) {
		log_printf("%s", e.text);
		send_line(c, strstr(e.text, "setgroups") ? "@ERROR: setgroups failed\n" :
			     strstr(e.text, "setresgid") || strstr(e.text, "setgid") ? "@ERROR: setgid failed\n" :
			     strstr(e.text, "setresuid") || strstr(e.text, "setuid") ? "@ERROR: setuid failed\n" :
			     strstr(e.text, "chroot") ? "@ERROR: chroot failed\n" :
			     "@ERROR: daemon security issue -- contact admin\n");
		return -1;
	}
	if (!layers_suffice(c, &rep)) {
		send_line(c, "@ERROR: daemon security issue -- contact admin\n");
		return -1;
	}
	return 0;
}

static _Noreturn void worker_process(struct connection *c, struct chan end)
{
	static struct monitor_link link;
	static struct broker broker;
	struct id_service ids = idlink_service(&link.ids);
	struct session_start st = {
		.in_fd = c->in_fd, .out_fd = c->out_fd, .proto = c->protocol,
		.handshake_seconds = c->rsh ? 0 : conn_phase_seconds(conn_num(c, CP_TIMEOUT)),
		.user = c->user, .host = c->host, .addr = c->peer.text, .root = c->root, .ids = &ids,
		.charset = c->charset,
		.log = log_session, .event = log_session_event, .on_request_ctx = &link,
	};

	idlink_init(&link.ids, end);
	fill_policy(c, &st.policy);
	if (confine_worker(c, &link) < 0)
		_exit(RX_UNSUPPORTED);
	if (log_fd() < 0)
		log_set_relay(relay_line, &link);
	if (c->broker.worker_fd >= 0) {
		broker_init(&broker, c->broker.worker_fd);
		broker.policy = &c->devices;
		st.broker = (void *)&broker;
	}
	link.ids.converter = c->text[CP_NAME_CONVERTER].len;
	link.hooks = c->text[CP_PRE_XFER_EXEC].len || link.ids.converter;
	if (c->broker.worker_fd >= 0 || c->text[CP_POST_XFER_EXEC].len || link.hooks)
		st.on_request = tell_request;
	send_line(c, "@RSYNCD: OK\n");
	_exit(session_run_daemon(&st));
}

/* ---- the monitor's side ---- */

enum { ST_ARGUMENTS, ST_TRANSFER };

static int on_request(struct chan_server *srv, const void *msg, int fd)
{
	struct connection *c = srv->ctx;
	const struct worker_request *q = msg;
	struct worker_go a = { 0 };

	(void)fd;
	c->sending = q->sending;
	memcpy(c->request, q->request, sizeof c->request);
	c->request[sizeof c->request - 1] = '\0';
	if (c->broker.pid > 0) {
		/* The answer only takes away: a transfer that asked for no nodes has nobody to make them. */
		unsigned ops = q->device_ops & device_powers(c) & (q->sending ? BROKER_MAY_READ : ~0u);

		if (ops)
			broker_phase_begin(&c->broker, ops);
		else
			broker_stop(&c->broker);
	}
	a.refused = !hooks_pre(c, a.text, sizeof a.text);
	if (!a.refused)
		hooks_start_converter(c);
	chan_server_state(srv, ST_TRANSFER);
	return chan_send(srv->ch, WORKER_GO, &a, sizeof a);
}

static int on_arg(struct chan_server *srv, const void *msg, int fd)
{
	struct worker_arg m;

	(void)fd;
	memcpy(&m, msg, sizeof m);
	m.text[sizeof m.text - 1] = '\0';
	hooks_take_arg(srv->ctx, m.text);
	return 0;
}

static int on_name(struct chan_server *srv, const void *msg, int fd)
{
	struct connection *c = srv->ctx;
	const struct idlink_name *q = msg;
	struct idlink_name_is a = { 0 };
	char number[16];
	int r;

	if (!c->converter)
		return idlink_on_name(srv, msg, fd);
	snprintf(number, sizeof number, "%u", q->id);
	r = hooks_convert(c, q->is_group ? "gid" : "uid", number, a.name, sizeof a.name);
	if (r == -EPIPE)
		return r;
	a.found = r == 0;
	return chan_send(srv->ch, IDLINK_NAME_IS, &a, sizeof a);
}

/* Only a plain number is an id, and never the one that means "leave it". */
static bool id_from_answer(const char *text, uint32_t *id)
{
	char *end;
	unsigned long long v = strtoull(text, &end, 10);

	*id = (uint32_t)v;
	return *text >= '0' && *text <= '9' && !*end && strlen(text) <= 10 && v < UINT32_MAX;
}

static int on_id(struct chan_server *srv, const void *msg, int fd)
{
	struct connection *c = srv->ctx;
	char text[IDLINK_NAME_MAX + 1];
	struct idlink_id q;
	struct idlink_id_is a = { 0 };
	int r;

	memcpy(&q, msg, sizeof q);
	q.name[IDLINK_NAME_MAX] = '\0';
	if (!c->converter || !idlink_sendable(q.name))
		return idlink_on_id(srv, msg, fd);
	r = hooks_convert(c, q.is_group ? "grp" : "usr", q.name, text, sizeof text);
	if (r == -EPIPE)
		return r;
	a.found = r == 0 && id_from_answer(text, &a.id);
	return chan_send(srv->ch, IDLINK_ID_IS, &a, sizeof a);
}

static int on_log(struct chan_server *srv, const void *msg, int fd)
{
	struct worker_log m;

	(void)srv;
	(void)fd;
	memcpy(&m, msg, sizeof m);
	m.text[sizeof m.text - 1] = '\0';
	log_relayed(m.warns ? SAY_WARNING : SAY_LOG, m.text);
	return 0;
}

#define ANY_STATE (CHAN_STATE(ST_ARGUMENTS) | CHAN_STATE(ST_TRANSFER))

static const struct chan_rule worker_rules[] = {
	{ WORKER_ARG, "argument", sizeof(struct worker_arg), CHAN_STATE(ST_ARGUMENTS), 2 * 16000, false, on_arg },
	{ WORKER_REQUEST, "request", sizeof(struct worker_request), CHAN_STATE(ST_ARGUMENTS), 1, false, on_request },
	IDLINK_RULES(ANY_STATE, on_name, on_id),
	{ WORKER_LOG, "log", sizeof(struct worker_log), ANY_STATE, 1u << 20, false, on_log },
};

static int start_broker(struct connection *c)
{
	struct broker_config cfg = {
		.root_fd = anchor_fd(c->root), .policy = c->devices, .may = device_powers(c),
		.set_ids = c->id.set, .uid = c->id.uid, .gid = c->id.gid,
		.audit_fd = log_fd(), .audit_json = !strcasecmp(c->m->v[CP_LOG_FORM].str, "json"), .audit_required = !strcasecmp(c->m->v[CP_DEVICE_AUDIT].str, "require"),
	};
	_cleanup_close_ int sink = -1;
	struct err e = { 0 };

	if (!cfg.may)
		return 0;
	if (cfg.audit_fd < 0) {
		/* The log is syslog: the broker gets a socket of its own to it, and writes records in its form. */
		cfg.audit_fd = sink = opfile_connect(LOG_SOCKET);
		log_prefix(cfg.audit_prefix, sizeof cfg.audit_prefix);
		if (sink < 0)
			log_printf("device audit: no syslog at " LOG_SOCKET ": %s", strerror(-sink));
	}
	snprintf(cfg.client, sizeof cfg.client, "%s", c->peer.text);
	snprintf(cfg.user, sizeof cfg.user, "%.63s", c->user);
	snprintf(cfg.module, sizeof cfg.module, "%s", c->m->name);
	snprintf(cfg.session, sizeof cfg.session, "%s", c->pid_text);
	if (broker_start(&cfg, &c->broker, NULL, &e) == 0)
		return 0;
	log_printf("device broker: %s", e.text);
	return -1;
}

static int worker_ended(struct connection *c, pid_t pid)
{
	int r = proc_wait(pid, -1, &c->worker_status), code;

	proc_forward_signals(0);
	if (r != 1)
		return RX_IPC;
	if (WIFSIGNALED(c->worker_status)) {
		log_printf("worker of module %s for %s (%s) killed by signal %d", c->m->name, c->host, c->peer.text,
			   WTERMSIG(c->worker_status));
		log_exit(RX_CRASHED, "monitor");
		conn_penalty(c, 10);
		return RX_CRASHED;
	}
	code = WEXITSTATUS(c->worker_status);
	if (code == RX_PROTOCOL)
		conn_penalty(c, 1);
	return code;
}

int worker_serve(struct connection *c)
{
	static struct chan_server srv; /* what it holds is given back with the process, which over a remote shell returns to main */
	struct chan ours, theirs;
	pid_t pid;
	int r;

	if (start_broker(c) < 0 || chan_pair(&ours, &theirs) < 0) {
		send_line(c, "@ERROR: fork failed\n");
		return RX_IPC;
	}
	/* Taken before the fork, the memory for messages need not be copied after it. */
	r = chan_server_init(&srv, &ours, worker_rules, ARRAY_SIZE(worker_rules), c);
	pid = proc_fork_role("worker");
	if (pid == 0) {
		chan_close(&ours);
		worker_process(c, theirs);
	}
	chan_close(&theirs);
	if (pid < 0) {
		log_printf("could not create a worker: %s", strerror((int)-pid));
		send_line(c, "@ERROR: fork failed\n");
		return RX_IPC;
	}
	proc_forward_signals(pid);
	/* From here the connection is the worker's alone: its end is the peer's end of file. */
	if (!c->rsh) {
		close(c->in_fd);
		if (c->out_fd != c->in_fd)
			close(c->out_fd);
	}
	if (c->broker.worker_fd >= 0) {
		close(c->broker.worker_fd);
		c->broker.worker_fd = -1;
	}
	while (r == 0)
		r = chan_serve_one(&srv, -1);
	if (r == -EPROTO) {
		log_printf("worker: %s", srv.violation);
		conn_penalty(c, 10);
		proc_kill_wait(pid, SIGKILL);
		proc_forward_signals(0);
		chan_close(&ours);
		return RX_IPC;
	}
	/* Before the channel closes: a worker that finds it closed would go on without names. */
	if (c->converter_failed)
		proc_kill_wait(pid, SIGKILL);
	chan_close(&ours);
	return c->converter_failed ? RX_SOCKETIO : worker_ended(c, pid);
}
