/*
 * chan.h - fixed-size messages between our own processes.
 *
 * A channel is one end of a SOCK_SEQPACKET pair. Every message is a struct that begins
 * with struct chan_head; its type alone fixes its size. There is nothing to parse: a
 * message of another size, with a wrong magic, a wrong sequence number, or an fd where
 * none is declared is a violation, which ends the connection and is logged by the caller.
 * Both ends are the same program, so integers are in host order.
 *
 * A channel is used by one thread at a time; callers that share one hold a lock over
 * the whole request/reply exchange.
 *
 * Errors: functions return 0 or a negative errno. The ones with a meaning of their own:
 *   -ECONNRESET  the other end is gone            -ETIMEDOUT  the deadline passed
 *   -EPROTO      violation; ch->why says which    -EMSGSIZE   (send) message over CHAN_MAX
 */
#ifndef SANDBOX_CHAN_H
#define SANDBOX_CHAN_H

#include "base/err.h"
#include "base/util.h"

#define CHAN_MAX (64u * 1024)   /* largest message, head included */
#define CHAN_MAGIC 0x6b656467u  /* "kedg" */

/* The first member of every message; filled in by chan_send. */
struct chan_head {
	uint32_t magic;
	uint16_t type;          /* 1..UINT16_MAX - 1, defined by the user of the channel */
	uint16_t pad;           /* zero */
	uint32_t size;          /* of the whole message */
	uint32_t seq;           /* 1, 2, 3 ... per direction */
};

struct chan {
	int fd;                 /* -1 when closed */
	uint32_t sent, received;/* last sequence numbers */
	const char *why;        /* what the last -EPROTO was about, static text */
};

#define CHAN_CLOSED { .fd = -1 }

/* Makes two connected ends, close-on-exec. */
int chan_pair(struct chan *a, struct chan *b);

/* Takes a connected SEQPACKET fd over as a fresh channel. */
void chan_init(struct chan *ch, int fd);

void chan_close(struct chan *ch);

/* Sends one message: msg begins with a struct chan_head, size includes it. */
int chan_send(struct chan *ch, uint16_t type, void *msg, size_t size);

/* As chan_send, and passes a copy of fd along. The receiver must use chan_recv_fd. */
int chan_send_fd(struct chan *ch, uint16_t type, void *msg, size_t size, int fd);

/* Receives exactly one message of this type and size; anything else is -EPROTO.
   timeout_ms < 0 waits for ever. fds sent along are dropped by the kernel. */
int chan_recv(struct chan *ch, uint16_t type, void *msg, size_t size, int timeout_ms);

/* As chan_recv for a message that must carry one fd; *fd is the caller's, close-on-exec. */
int chan_recv_fd(struct chan *ch, uint16_t type, void *msg, size_t size, int *fd, int timeout_ms);

/* Sends req and waits for the reply: the client's side of most exchanges. */
int chan_call(struct chan *ch, uint16_t req_type, void *req, size_t req_size,
	uint16_t rep_type, void *rep, size_t rep_size, int timeout_ms);

/*
 * The serving side: a table says which request is legal in which state, and how often.
 *
 * State is a number 0..31 of the caller's own enumeration; handlers change it with
 * chan_server_state(). A handler answers with chan_send() itself, if the request has an answer;
 * it returns 0 to go on, 1 to end serving in good order, or a negative errno that ends the connection.
 */
struct chan_server;
typedef int chan_handler(struct chan_server *srv, const void *msg, int fd);

struct chan_rule {
	uint16_t type;
	const char *name;       /* for the log */
	size_t size;            /* exact, head included */
	uint32_t states;        /* bit mask of CHAN_STATE(n) where it is legal */
	uint32_t max_count;     /* per connection; 0 = no limit */
	bool takes_fd;          /* must carry one fd, else must carry none; handlers get -1 then.
	                           The handler owns the fd. */
	chan_handler *handler;
};

#define CHAN_STATE(n) (1u << (n))
#define CHAN_RULES_MAX 48

struct chan_server {
	struct chan *ch;
	const struct chan_rule *rules;
	size_t nrules;          /* <= CHAN_RULES_MAX */
	unsigned state;
	uint32_t count[CHAN_RULES_MAX];
	void *ctx;              /* the caller's */
	void *buf;              /* for the message being handled */
	size_t size;            /* of buf: that of the largest request */
	char violation[128];    /* one line about the last violation; empty if none */
};

/* -ENOMEM, or -EINVAL for a table that contradicts itself (doubled types, sizes out of range). */
int chan_server_init(struct chan_server *srv, struct chan *ch, const struct chan_rule *rules, size_t nrules, void *ctx);
void chan_server_free(struct chan_server *srv);

static inline void chan_server_state(struct chan_server *srv, unsigned state) { srv->state = state; }

/* Receives one request, judges it by the table and runs its handler. Returns the handler's value;
   -ECONNRESET when the peer is gone; -ETIMEDOUT; -EPROTO with srv->violation filled in. */
int chan_serve_one(struct chan_server *srv, int timeout_ms);

/* What chan_serve_one does between receiving and handling, as a pure function (fuzzed): the rule
   that admits a message of len bytes in this state, or NULL with *why set. Counts are not changed. */
const struct chan_rule *chan_judge(const struct chan_server *srv, const void *msg, size_t len, bool has_fd, const char **why);

#endif
