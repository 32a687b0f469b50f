/*
 * listener.c - the stand-alone daemon: sockets, pid file, signals, children. It reads the configuration and
 * counts connections; it never reads a byte from a client.
 */
#include "config.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/say.h"
#include "daemon/activation.h"
#include "daemon/daemon.h"
#include "daemon/limits.h"
#include "daemon/log.h"
#include "daemon/notify.h"
#include "daemon/sockopts.h"
#include "sandbox/opfile.h"
#include "sandbox/spawn.h"

#define SOCKETS_MAX 64
#define DEFAULT_PORT 873

struct listener {
	struct daemon *d;
	struct pollfd fds[SOCKETS_MAX + 1];     /* the first one is the signal fd */
	nfds_t n;
	struct limits *limits;
	struct buf pid_file;
	int pid_fd;
	int64_t refusal_logged_ms;
	unsigned refusals;
	bool stop;
	int exit_code;
};

/* ---- sockets ---- */

static int bind_one(struct listener *l, const struct addrinfo *a, const char *options, struct buf *errors)
{
	int on = 1, fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, a->ai_protocol);

	if (fd < 0) {
		buf_addf(errors, "socket(%d,%d,%d) failed: %s\n", a->ai_family, a->ai_socktype, a->ai_protocol, strerror(errno));
		return -1;
	}
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	/* Accepted sockets inherit it. */
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
	sockopts_preset(fd);
	sockopts_apply(fd, options);
	if (a->ai_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
	if (bind(fd, a->ai_addr, a->ai_addrlen) < 0) {
		buf_addf(errors, "bind() failed: %s (address-family %d)\n", strerror(errno), a->ai_family);
		close(fd);
		return -1;
	}
	l->fds[l->n++] = (struct pollfd){ .fd = fd, .events = POLLIN };
	return 0;
}

static void log_lines(const char *text)
{
	while (*text) {
		size_t n = strcspn(text, "\n");

		say(SAY_ERROR, "%.*s", (int)n, text);
		text += n + (text[n] == '\n');
	}
}

static int open_sockets(struct listener *l, int port)
{
	const struct daemon_opts *o = &l->d->opt;
	const struct conf_value *g = l->d->conf->start;
	_cleanup_buf_ struct buf address = BUF_INIT(NULL), options = BUF_INIT(NULL), errors = BUF_INIT(NULL);
	const char *host = o->address ? o->address : daemon_string(&g[CP_ADDRESS], &address);
	const char *opts = o->sockopts ? o->sockopts : daemon_string(&g[CP_SOCKET_OPTIONS], &options);
	struct addrinfo hints = { .ai_family = o->family, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE }, *list;
	char service[16];
	int r;

	snprintf(service, sizeof service, "%d", port);
	r = getaddrinfo(*host ? host : NULL, service, &hints, &list);
	if (r) {
		say(SAY_ERROR, "rsync: getaddrinfo: bind address %s: %s", *host ? host : "*", gai_strerror(r));
		return -1;
	}
	for (const struct addrinfo *a = list; a && l->n < SOCKETS_MAX; a = a->ai_next)
		bind_one(l, a, opts, &errors);
	freeaddrinfo(list);
	if (l->n == 1) {
		log_lines(buf_str(&errors));
		say(SAY_ERROR, "unable to bind any inbound sockets on port %d", port);
		return -1;
	}
	if (o->verbose > 1)
		log_lines(buf_str(&errors));
	for (nfds_t i = 1; i < l->n; i++)
		if (listen(l->fds[i].fd, g[CP_LISTEN_BACKLOG].num) < 0) {
			say(SAY_ERROR, "listen() on socket failed: %s", strerror(errno));
			return -1;
		}
	return 0;
}

/* ---- connections ---- */

static struct limit_settings settings(const struct daemon *d)
{
	const struct conf_value *g = d->conf->global;

	return (struct limit_settings){
		.unauth = g[CP_MAX_UNAUTH].num, .unauth_host = g[CP_MAX_UNAUTH_HOST].num, .per_host = g[CP_MAX_PER_HOST].num,
		.rate = MIN(g[CP_CONNECT_RATE].num, 1000000), .penalties = g[CP_HOST_PENALTIES].num > 0,
	};
}

/* At most one line a second about refused connections. */
static void log_refusal(struct listener *l, const struct peer *p, enum limit_verdict v, int64_t now)
{
	l->refusals++;
	if (now - l->refusal_logged_ms < 1000)
		return;
	log_printf("connection from %s refused: %s (%u since the last such line)", p->text, limit_text(v), l->refusals);
	l->refusals = 0;
	l->refusal_logged_ms = now;
}

static void refuse(struct listener *l, int fd, const struct peer *p, enum limit_verdict v, int64_t now)
{
	if (v == LIMIT_PER_HOST) {
		char text[128];
		int n = snprintf(text, sizeof text, "@ERROR: max connections (%d) reached -- try again later\n",
				 settings(l->d).per_host);

		send(fd, text, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL);
	}
	log_refusal(l, p, v, now);
	close(fd);
}

/* Out of descriptors or memory: the connection still waits, and would wake us again at once. */
static void not_accepted(struct listener *l, int en, int64_t now)
{
	if (en != EMFILE && en != ENFILE && en != ENOBUFS && en != ENOMEM)
		return;
	if (now - l->refusal_logged_ms >= 1000) {
		log_printf("could not accept a connection: %s", strerror(en));
		l->refusal_logged_ms = now;
	}
	poll(NULL, 0, 100);
}

static _Noreturn void child(struct listener *l, int fd, struct conn_row *row)
{
	for (nfds_t i = 0; i < l->n; i++)
		close(l->fds[i].fd);
	if (l->pid_fd >= 0)
		close(l->pid_fd);
	/* No exit handlers of the listener run here. */
	_exit(monitor_serve(l->d, fd, fd, row));
}

static void accept_one(struct listener *l, int listen_fd)
{
	struct sockaddr_storage ss = { 0 };
	socklen_t len = sizeof ss;
	int64_t now = clock_ms();
	struct limit_settings s = settings(l->d);
	int fd = accept4(listen_fd, (struct sockaddr *)&ss, &len, SOCK_CLOEXEC);
	struct conn_row *row = NULL;
	enum limit_verdict v;
	struct peer peer;
	pid_t pid, evict;

	if (fd < 0) {
		not_accepted(l, errno, now);
		return;
	}
	peer_from_sockaddr(&peer, &ss);
	v = limits_admit(l->limits, &s, &peer, now, &row, &evict);
	if (v != LIMIT_OK) {
		refuse(l, fd, &peer, v, now);
		return;
	}
	/* Its gate ends with it. */
	if (evict)
		kill(evict, SIGKILL);
	daemon_reload_if_changed(l->d);
	daemon_check_log(l->d);
	pid = proc_fork_role("monitor");
	if (pid == 0)
		child(l, fd, row);
	close(fd);
	if (pid < 0) {
		limits_release(l->limits, row);
		log_printf("could not create child server process: %s", strerror((int)-pid));
		poll(NULL, 0, 2000);
		return;
	}
	row->pid = pid;
}

static void reap(struct listener *l)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		limits_reap(l->limits, pid, clock_ms());
}

/* ---- signals ---- */

static int open_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGUSR2);
	sigaddset(&set, SIGCHLD);
	/* Once here, so that no connection pays for it; from now on signals are only blocked. */
	proc_clean_signals();
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -1;
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void end(struct listener *l, int code)
{
	notify_stopping();
	l->stop = true;
	l->exit_code = code;
	if (code)
		log_exit(code, "Receiver");
	else
		log_printf("sent 0 bytes  received 0 bytes  total size 0");
}

static void on_signals(struct listener *l)
{
	struct signalfd_siginfo si;

	while (read(l->fds[0].fd, &si, sizeof si) == (ssize_t)sizeof si) {
		switch (si.ssi_signo) {
		case SIGCHLD:
			reap(l);
			break;
		case SIGHUP:
			/* Every connection gets the current file anyway: this only tells mistakes and reopens the log. */
			notify_reloading();
			daemon_reload(l->d);
			notify_ready((unsigned)l->d->conf->nmodules);
			break;
		case SIGTERM:
			end(l, RX_OK);
			break;
		case SIGINT:
			end(l, RX_SIGNAL);
			break;
		case SIGUSR1:
			end(l, RX_SIGUSR1);
			break;
		default:
			break;
		}
	}
}

/* ---- start and end ---- */

static int claim_pid_file(struct listener *l)
{
	const char *path = daemon_string(&l->d->conf->start[CP_PID_FILE], &l->pid_file), *step = "";

	l->pid_fd = -1;
	if (!*path)
		return 0;
	l->pid_fd = pidfile_claim(path, &step);
	if (l->pid_fd >= 0)
		return 0;
	if (!strcmp(step, "open pid-file directory")) {
		const char *slash = strrchr(path, '/');

		say(SAY_ERROR, "rsync: [Receiver] failed to open pid-file directory \"%.*s\": %s (%d)", slash ? (int)(slash - path) : 1,
		    slash ? path : ".", strerror(-l->pid_fd), -l->pid_fd);
	} else {
		say(SAY_ERROR, "failed to %s pid file %s: %s", step, path, strerror(-l->pid_fd));
	}
	return -1;
}

static void warn_start(const struct daemon *d)
{
	const struct conf_value *g = d->conf->global;

	if (g[CP_PROXY_PROTOCOL].num > 0 && !g[CP_PROXY_HOSTS].str[0])
		log_printf("\"proxy protocol = true\" but \"proxy protocol hosts\" is unset: all connections will be rejected as "
			   "untrusted proxy peers.");
	if (g[CP_PORT].set && !d->conf->start[CP_PORT].set && !d->opt.port)
		log_printf("\"port\" stands behind a section header and is ignored");
}

static int start(struct listener *l)
{
	int port = l->d->opt.port > 0 ? l->d->opt.port : l->d->conf->start[CP_PORT].num;
	int fd = open_signals(), n;

	if (port <= 0)
		port = DEFAULT_PORT;
	if (fd < 0)
		return RX_IPC;
	l->fds[l->n++] = (struct pollfd){ .fd = fd, .events = POLLIN };
	l->limits = limits_new();
	if (!l->limits)
		return RX_MALLOC;
	log_printf("rsyncd version " PACKAGE_VERSION " starting, listening on port %d", port);
	warn_start(l->d);
	n = activation_sockets(&l->fds[1].fd, sizeof l->fds[0], SOCKETS_MAX);
	for (int i = 0; i < n; i++) {
		sockopts_preset(l->fds[l->n].fd);
		l->fds[l->n++].events = POLLIN;
	}
	return n > 0 || open_sockets(l, port) == 0 ? RX_OK : RX_SOCKETIO;
}

int listener_run(struct daemon *d)
{
	struct listener l = { .d = d, .pid_fd = -1 };
	struct err e = { 0 };
	bool detach = !d->opt.no_detach && !activation_given();

	if (detach && proc_detach(&e) < 0) {
		say(SAY_ERROR, "%s", e.text);
		return e.code;
	}
	log_to_stderr(!detach);
	notify_init();
	if (claim_pid_file(&l) < 0) {
		log_exit(RX_FILEIO, "Receiver");
		buf_free(&l.pid_file);
		return RX_FILEIO;
	}
	l.exit_code = start(&l);
	mem_settle();
	if (l.exit_code == RX_OK)
		notify_ready((unsigned)d->conf->nmodules);
	else
		log_exit(l.exit_code, "Receiver");
	while (l.exit_code == RX_OK && !l.stop) {
		if (poll(l.fds, l.n, notify_watchdog(clock_ms())) < 0) {
			if (errno == EINTR)
				continue;
			l.exit_code = RX_SOCKETIO;
			break;
		}
		if (l.fds[0].revents)
			on_signals(&l);
		for (nfds_t i = 1; i < l.n && !l.stop; i++)
			if (l.fds[i].revents)
				accept_one(&l, l.fds[i].fd);
	}
	if (l.pid_fd >= 0)
		pidfile_remove(buf_str(&l.pid_file), l.pid_fd);
	buf_free(&l.pid_file);
	limits_free(l.limits);
	return l.exit_code;
}
