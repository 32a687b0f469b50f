/*
 * monitor.c - one connection from accept to the end: finds out who it is, forks the gate, answers its few
 * requests, hands over to the worker. It never reads a byte from the peer.
 */
#include "config.h"

#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/say.h"
#include "daemon/connection.h"
#include "daemon/gate.h"
#include "daemon/log.h"
#include "sandbox/confine.h"

#define HANDSHAKE_MAX 60        /* seconds */
#define NO_TRANSFER 255         /* exit code when the handshake ended without a transfer */

enum state { ST_PROXY, ST_REQUEST, ST_LOGIN, ST_OVER };

const char *conn_string(struct connection *c, enum conf_param p)
{
	struct buf *b = &c->text[p];

	buf_clear(b);
	if (conf_expand(b, c->m->v[p].str, c->vars) < 0) {
		/* A value that cannot be made must not turn into an empty list or path. */
		log_printf("Overflowed buf in expand_vars() trying to expand: %s", c->m->v[p].str);
		log_exit(RX_MALLOC, "Receiver");
		_exit(RX_MALLOC);
	}
	return buf_str(b);
}

int conn_phase_seconds(int timeout)
{
	return timeout > 0 && timeout < HANDSHAKE_MAX ? timeout : HANDSHAKE_MAX;
}

void conn_arm(struct connection *c, int timeout)
{
	if (!c->rsh)
		c->deadline = clock_ms() + conn_phase_seconds(timeout) * 1000;
}

void conn_penalty(struct connection *c, unsigned seconds)
{
	if (c->row)
		atomic_store(&c->row->penalty, (uint8_t)MIN(255u, atomic_load(&c->row->penalty) + seconds));
}

const char *conn_real_host(struct connection *c)
{
	if (!c->real_host[0]) {
		if (c->rsh && !strcmp(c->peer.text, "0.0.0.0"))
			strcpy(c->real_host, "UNKNOWN");
		else
			resolve_reverse(&c->peer, c->real_host);
	}
	return c->real_host;
}

/* ---- who it is ---- */

/* The address behind a remote shell (06 §4.3). */
static void remote_shell_peer(struct peer *p)
{
	static const char *const names[] = { "REMOTE_HOST", "SSH_CONNECTION", "SSH_CLIENT", "SSH2_CLIENT" };
	const char *value = NULL;
	char text[128];

	for (size_t i = 0; i < ARRAY_SIZE(names) && !value; i++)
		value = getenv(names[i]);
	snprintf(text, sizeof text, "%.*s", value ? (int)MIN(strcspn(value, " "), sizeof text - 1) : 0, value ? value : "");
	if (!peer_from_text(p, text))
		peer_from_bytes(p, 0, NULL, 0);
}

static int find_peer(struct connection *c)
{
	struct sockaddr_storage ss = { 0 };
	socklen_t len = sizeof ss;

	if (c->rsh)
		remote_shell_peer(&c->peer);
	else if (getpeername(c->in_fd, (struct sockaddr *)&ss, &len) < 0)
		return -1;
	else
		peer_from_sockaddr(&c->peer, &ss);
	c->socket_peer = c->peer;
	return 0;
}

static bool proxy_trusted(struct connection *c)
{
	_cleanup_buf_ struct buf hosts = BUF_INIT(NULL);
	struct access_request rq = { .peer = &c->peer, .host = "UNDETERMINED", .resolver = &resolver_system };
	const char *list = daemon_string(&c->d->conf->global[CP_PROXY_HOSTS], &hosts);

	if (access_list_match(&rq, list, false))
		return true;
	log_printf("proxy protocol rejected from untrusted peer UNDETERMINED (%s)", c->peer.text);
	return false;
}

/* Names, and the daemon's own confinement (06 §6.1 step 5). */
static int introduce(struct connection *c)
{
	const struct conf_value *g = c->d->conf->global;
	_cleanup_buf_ struct buf dir = BUF_INIT(NULL), uid = BUF_INIT(NULL), gid = BUF_INIT(NULL);
	const char *u = daemon_string(&g[CP_DAEMON_UID], &uid), *s = daemon_string(&g[CP_DAEMON_GID], &gid);
	struct err e = { 0 };
	uid_t uid_n = 0;
	gid_t gid_n = 0;

	if (c->d->conf->any_reverse)
		conn_real_host(c);
	snprintf(c->host, sizeof c->host, "%s", g[CP_REVERSE_LOOKUP].num > 0 ? c->real_host : "UNDETERMINED");
	if (*daemon_string(&g[CP_DAEMON_CHROOT], &dir) && proc_daemon_chroot(buf_str(&dir), &e) < 0) {
		log_printf("%s", e.text);
		return -1;
	}
	if (*s && !ident_group(s, &gid_n)) {
		log_printf("Invalid daemon gid: %s", s);
		return -1;
	}
	if (*u && !ident_user(u, &uid_n)) {
		log_printf("Invalid daemon uid: %s", u);
		return -1;
	}
	if ((*u || *s) && proc_daemon_ids(*s ? &gid_n : NULL, *u ? &uid_n : NULL, &e) < 0) {
		log_printf("%s", e.text);
		return -1;
	}
	if (geteuid() != 0)
		c->d->root = c->d->can_chroot = false;
	conn_event(c, "connect", NULL, NULL, NULL, "connect from %s (%s)", c->host, c->peer.text);
	return 0;
}

void conn_event(const struct connection *c, const char *event, const char *verdict, const char *user, const char *module,
		const char *fmt, ...)
{
	char text[LOG_MESSAGE_MAX + 1];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	LOG_EVENT(event, text, EVENT_FIELD_TEXT("host", c->host), EVENT_FIELD_TEXT("addr", c->peer.text),
		  EVENT_FIELD_TEXT("module", module), EVENT_FIELD_TEXT("user", user), EVENT_FIELD_TEXT("verdict", verdict),
		  EVENT_FIELD_TEXT("text", verdict ? text : NULL));
}

/* ---- the gate ---- */

static bool confines_daemon(const struct connection *c)
{
	const struct conf_value *g = c->d->conf->global;

	return g[CP_DAEMON_CHROOT].str[0] || g[CP_DAEMON_UID].str[0] || g[CP_DAEMON_GID].str[0];
}

static _Noreturn void gate_process(struct connection *c, struct gate *g)
{
	struct confine_params p = CONFINE_PARAMS_INIT;
	int keep[] = { c->in_fd, c->out_fd, g->chan.fd };
	struct err e = { 0 };

	p.keep_fds = keep;
	p.nkeep = ARRAY_SIZE(keep);
	p.parent = c->self;
	/* Without groups: setgroups() with an empty list. */
	p.set_ids = c->d->root;
	p.uid = c->d->gate_uid;
	p.gid = c->d->gate_gid;
	if (confine_apply(CONFINE_GATE, &p, NULL, &e) < 0) {
		log_printf("gate: %s", e.text);
		_exit(GATE_END_BROKEN);
	}
	_exit((int)gate_run(g));
}

static int start_gate(struct connection *c)
{
	struct gate g = {
		.in_fd = c->in_fd, .out_fd = c->out_fd, .is_socket = c->is_socket,
		.proxy = c->d->conf->global[CP_PROXY_PROTOCOL].num > 0, .wait = confines_daemon(c),
		.protocol = c->d->opt.protocol, .hello = buf_str(&c->d->hello), .hello_len = c->d->hello.len,
		.listing = buf_str(&c->d->listing), .listing_len = c->d->listing.len, .chan = CHAN_CLOSED,
	};

	g.wait = g.wait || g.proxy;
	if (chan_pair(&c->gate, &g.chan) < 0)
		return -1;
	c->gate_pid = proc_fork_role("gate");
	if (c->gate_pid == 0) {
		chan_close(&c->gate);
		gate_process(c, &g);
	}
	chan_close(&g.chan);
	if (c->gate_pid < 0)
		return -1;
	return 0;
}

static int gate_go(struct connection *c)
{
	struct gate_go go = { 0 };

	return chan_send(&c->gate, GATE_GO, &go, sizeof go);
}

static int on_proxy(struct chan_server *srv, const void *msg, int fd)
{
	struct connection *c = srv->ctx;
	const struct gate_proxy *m = msg;

	(void)fd;
	if (m->from.family) {
		peer_from_bytes(&c->peer, m->from.family == 4 ? 4 : 6, m->from.addr, 0);
		log_printf("proxy %s forwards %s", c->socket_peer.text, c->peer.text);
	}
	if (introduce(c) < 0)
		return 1;
	chan_server_state(srv, ST_REQUEST);
	return gate_go(c);
}

static int on_list(struct chan_server *srv, const void *msg, int fd)
{
	struct connection *c = srv->ctx;

	(void)msg;
	(void)fd;
	conn_event(c, "list", NULL, NULL, NULL, "module-list request from %s (%s)", c->host, c->peer.text);
	chan_server_state(srv, ST_OVER);
	return 0;
}

static int reply(struct chan_server *srv, struct gate_verdict *v)
{
	struct connection *c = srv->ctx;

	if (v->action == GATE_CHALLENGE)
		chan_server_state(srv, ST_LOGIN);
	else
		chan_server_state(srv, ST_OVER);
	return chan_send(&c->gate, GATE_VERDICT, v, sizeof *v);
}

static int on_select(struct chan_server *srv, const void *msg, int fd)
{
	struct gate_verdict v = { 0 };
	struct gate_select q;

	(void)fd;
	memcpy(&q, msg, sizeof q);
	q.module[sizeof q.module - 1] = '\0';
	login_select(srv->ctx, &q, &v);
	return reply(srv, &v);
}

static int on_answer(struct chan_server *srv, const void *msg, int fd)
{
	struct gate_verdict v = { 0 };
	struct gate_answer a;

	(void)fd;
	memcpy(&a, msg, sizeof a);
	a.user[sizeof a.user - 1] = '\0';
	a.response[sizeof a.response - 1] = '\0';
	login_answer(srv->ctx, &a, &v);
	return reply(srv, &v);
}

static const struct chan_rule gate_rules[] = {
	{ GATE_PROXY, "proxy", sizeof(struct gate_proxy), CHAN_STATE(ST_PROXY), 1, false, on_proxy },
	{ GATE_LIST, "list", sizeof(struct gate_list), CHAN_STATE(ST_REQUEST), 1, false, on_list },
	{ GATE_SELECT, "select", sizeof(struct gate_select), CHAN_STATE(ST_REQUEST), 1, false, on_select },
	{ GATE_ANSWER, "answer", sizeof(struct gate_answer), CHAN_STATE(ST_LOGIN), 1, false, on_answer },
};

static void stop_gate(struct connection *c, int sig)
{
	if (c->gate_pid > 0)
		proc_kill_wait(c->gate_pid, sig);
	c->gate_pid = 0;
	chan_close(&c->gate);
}

static const char *const gate_faults[GATE_ENDS] = {
	[GATE_END_LINE] = "over-long line or NUL byte", [GATE_END_GREETING] = "malformed greeting",
	[GATE_END_COMMAND] = "unknown command", [GATE_END_PROXY] = "malformed PROXY header",
};

/* The gate has closed its channel: how did it end? */
static int gate_ended(struct connection *c)
{
	int status = 0;

	if (proc_wait(c->gate_pid, 1000, &status) != 1) {
		stop_gate(c, SIGKILL);
		return c->handed_off ? 0 : -1;
	}
	c->gate_pid = 0;
	chan_close(&c->gate);
	if (WIFSIGNALED(status)) {
		log_printf("gate killed by signal %d while serving %s (%s)", WTERMSIG(status), c->host, c->peer.text);
		conn_penalty(c, 10);
		return -1;
	}
	if (WEXITSTATUS(status) >= GATE_END_LINE && WEXITSTATUS(status) < GATE_ENDS) {
		conn_event(c, "handshake", "failed", NULL, NULL, "%s from %s (%s)", gate_faults[WEXITSTATUS(status)],
			   *c->host ? c->host : "UNDETERMINED", c->peer.text);
		conn_penalty(c, 1);
	}
	return c->handed_off && WEXITSTATUS(status) == GATE_END_OK ? 0 : -1;
}

/* Serves the gate to its end. 0: the connection is for the worker. */
static int serve_gate(struct connection *c, bool proxy)
{
	struct chan_server srv;
	int r = chan_server_init(&srv, &c->gate, gate_rules, ARRAY_SIZE(gate_rules), c);

	if (r < 0) {
		stop_gate(c, SIGKILL);
		return -1;
	}
	chan_server_state(&srv, proxy ? ST_PROXY : ST_REQUEST);
	do {
		int left = -1;

		if (c->deadline) {
			int64_t ms = c->deadline - clock_ms();
			left = ms < 0 ? 0 : (int)ms;
		}
		r = chan_serve_one(&srv, left);
	} while (r == 0);
	if (r == -EPROTO)
		log_printf("gate: %s", srv.violation);
	chan_server_free(&srv);
	if (r == -ECONNRESET)
		return gate_ended(c);
	if (r == -ETIMEDOUT) {
		log_printf("[Receiver] daemon handshake timeout -- exiting");
		log_exit(RX_TIMEOUT, "Receiver");
		conn_penalty(c, 2);
		c->exit_code = RX_TIMEOUT;
	} else if (r == -EPROTO) {
		conn_penalty(c, 10);
	}
	stop_gate(c, SIGKILL);
	return -1;
}

/* ---- the whole ---- */

static void init_conn(struct connection *c, struct daemon *d, int in_fd, int out_fd, struct conn_row *row)
{
	static const char *const names[VAR_COUNT] = {
		[VAR_MODULE_NAME] = "RSYNC_MODULE_NAME", [VAR_MODULE_PATH] = "RSYNC_MODULE_PATH",
		[VAR_HOST_ADDR] = "RSYNC_HOST_ADDR", [VAR_HOST_NAME] = "RSYNC_HOST_NAME",
		[VAR_USER_NAME] = "RSYNC_USER_NAME", [VAR_PID] = "RSYNC_PID",
	};

	c->d = d;
	c->in_fd = in_fd;
	c->out_fd = out_fd;
	c->rsh = d->opt.server;
	c->is_socket = !c->rsh;
	c->row = row;
	c->lock_fd = -1;
	c->gate = (struct chan)CHAN_CLOSED;
	c->broker = (struct broker_handle)BROKER_HANDLE_INIT;
	c->exit_code = NO_TRANSFER;
	c->self = getpid();
	snprintf(c->pid_text, sizeof c->pid_text, "%ld", (long)c->self);
	for (int i = 0; i < VAR_COUNT; i++)
		c->vars[i].name = names[i];
}

int monitor_serve(struct daemon *d, int in_fd, int out_fd, struct conn_row *row)
{
	static struct connection c;
	const struct conf_value *g = d->conf->global;
	bool proxy = g[CP_PROXY_PROTOCOL].num > 0;
	int code;

	init_conn(&c, d, in_fd, out_fd, row);
	if (find_peer(&c) < 0)
		return NO_TRANSFER;
	conn_arm(&c, g[CP_TIMEOUT].num);
	if (proxy && !proxy_trusted(&c))
		return NO_TRANSFER;
	if (start_gate(&c) < 0) {
		log_printf("could not create child server process: %s", strerror(errno));
		return NO_TRANSFER;
	}
	if (!proxy && (introduce(&c) < 0 || (confines_daemon(&c) && gate_go(&c) < 0)))
		stop_gate(&c, SIGKILL);
	else if (serve_gate(&c, proxy) == 0)
		c.exit_code = worker_serve(&c);
	code = c.exit_code;
	module_leave(&c);
	return code;
}
