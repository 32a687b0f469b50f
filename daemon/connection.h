/*
 * connection.h - one connection as its monitor sees it; internal to monitor.c, login.c, module.c, worker.c.
 *
 * The monitor never reads from the peer. It fills this record step by step (spec 06 §6.1), first from the
 * gate's messages, then from the configuration and the system.
 */
#ifndef DAEMON_CONNECTION_H
#define DAEMON_CONNECTION_H

#include "daemon/access.h"
#include "daemon/daemon.h"
#include "daemon/ident.h"
#include "daemon/messages.h"
#include "filter/filter.h"
#include "sandbox/anchor.h"
#include "sandbox/broker.h"
#include "sandbox/spawn.h"
#include "session/session.h"

/* Variables of 06 §1.7, in the order of struct connection.vars. */
enum conn_var { VAR_MODULE_NAME, VAR_MODULE_PATH, VAR_HOST_ADDR, VAR_HOST_NAME, VAR_USER_NAME, VAR_PID, VAR_COUNT };

struct connection {
	struct daemon *d;
	int in_fd, out_fd;
	bool is_socket, rsh;
	struct conn_row *row;           /* NULL outside the listener */
	struct conf_var vars[VAR_COUNT + 1];
	pid_t self;
	char pid_text[16];

	struct peer peer, socket_peer;
	char host[HOST_NAME_MAX_LEN + 1];       /* for checks and log lines */
	char real_host[HOST_NAME_MAX_LEN + 1];  /* result of the reverse lookup, "" before */

	struct chan gate;
	pid_t gate_pid;
	int worker_status;              /* wait status */
	int64_t deadline;               /* clock_ms(); 0: none */

	const struct conf_module *m;
	int protocol;
	enum hs_digest digest;
	char challenge[AUTH_CHALLENGE_MAX];
	char user[AUTH_USER_MAX + 2];
	size_t early_len;
	bool read_only;
	bool handed_off;
	bool silent;                    /* closed without a word */
	int exit_code;

	/* the module, entered */
	struct buf path;                /* RSYNC_MODULE_PATH */
	bool chrooted, sanitize, munge;
	struct anchor *root;
	struct anchor *outer;           /* `insecure links`: what links may lead to, "/" or the chroot; NULL: nothing but root */
	struct filter_list *filter;
	struct charset *charset;        /* NULL without `charset` */
	struct session_quota quota;
	struct broker_handle broker;
	int lock_fd;
	struct buf text[CP_COUNT];      /* expanded strings that outlive a call */

	/* hooks */
	struct buf args;                /* "RSYNC_ARGn=…" of the request, NUL-terminated each */
	unsigned nargs;
	bool args_cut;                  /* more than a hook can be given */
	pid_t converter;                /* name converter, 0: none */
	int to_converter, from_converter;
	bool converter_failed;

	/* the session */
	bool sending;

	/* Large, and mostly not touched: behind what every connection writes to. */
	struct identity id;
	struct device_policy devices;
	uint8_t early[HS_EARLY_MAX];
	char request[2048];
};

/* An expanded string of the module, kept until the connection ends. */
const char *conn_string(struct connection *c, enum conf_param p);
static inline int conn_num(const struct connection *c, enum conf_param p) { return c->m->v[p].num; }

/* Seconds a handshake phase may take for this `timeout` (06 §6.2). */
int conn_phase_seconds(int timeout);
void conn_arm(struct connection *c, int timeout);

/* The reverse name by lookup, once. */
const char *conn_real_host(struct connection *c);

void conn_penalty(struct connection *c, unsigned seconds);

/* An event of this connection in the log: fmt is the line for people; fields for programs are host, addr, module, and
   verdict, user and module where they are given (NULL: left out). */
void conn_event(const struct connection *c, const char *event, const char *verdict, const char *user, const char *module,
		const char *fmt, ...) PRINTF(6, 7);

/* login.c: what the gate may ask. Fill in the verdict. */
void login_select(struct connection *c, const struct gate_select *q, struct gate_verdict *v);
void login_answer(struct connection *c, const struct gate_answer *a, struct gate_verdict *v);
void verdict_error(struct gate_verdict *v, const char *fmt, ...) PRINTF(2, 3);

/* module.c: slot, ids, path, filter, log, hooks. On failure the verdict says what the client gets. */
int module_enter(struct connection *c, struct gate_verdict *v);
void module_leave(struct connection *c);

/* worker.c: forks, confines and serves the worker to its end; the exit code. */
int worker_serve(struct connection *c);

#endif
