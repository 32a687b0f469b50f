/*
 * limits.h - which connections the listener admits (spec 09 §11.1 rows 1-3, 5, 6).
 *
 * A source is an IPv4 address or an IPv6 /64. Loopback is exempt from rate, total and penalties,
 * because a TLS front end makes all its clients look like it.
 */
#ifndef DAEMON_LIMITS_H
#define DAEMON_LIMITS_H

#include "daemon/access.h"
#include "daemon/daemon.h"

#define LIMIT_ROWS 8192         /* connections at one time, whatever the configuration */

struct limits;

struct limit_settings {
	int unauth, unauth_host, per_host;      /* 0 or less: no limit */
	int rate;                               /* connections per second and source; burst is three seconds' worth */
	bool penalties;
};

enum limit_verdict { LIMIT_OK, LIMIT_UNAUTH, LIMIT_UNAUTH_HOST, LIMIT_PER_HOST, LIMIT_RATE, LIMIT_PENALTY, LIMIT_FULL };

/* The rows lie in memory that is shared with the processes forked later. NULL without memory. */
struct limits *limits_new(void);
void limits_free(struct limits *l); /* NULL is allowed */

/* An unauthenticated connection of this age makes way when there are too many of them: who logs in has done so by then. */
#define LIMIT_UNAUTH_GRACE_MS 2000

/* Judges a new connection; on LIMIT_OK *row is its row, to be given a pid or back. *evict: the process of the oldest
   unauthenticated connection, which is to be ended in exchange, or 0. */
enum limit_verdict limits_admit(struct limits *l, const struct limit_settings *s, const struct peer *p, int64_t now_ms,
				struct conn_row **row, pid_t *evict);
void limits_release(struct limits *l, struct conn_row *row);

/* A child has ended: frees its row and remembers what its source earned. */
void limits_reap(struct limits *l, pid_t pid, int64_t now_ms);

const char *limit_text(enum limit_verdict v);

#endif
