/*
 * conn.h - the two byte streams of a session, their multiplexing, buffering, time-outs
 * and rate limit (spec 01 §8-§11).
 *
 * Each direction has one owner thread: the input is read through conn->in, the output
 * is written through conn->out. Any thread may post a message; the owner of the output
 * sends posted messages ahead of its data, always between frames. A single-threaded
 * role (the sender) sets `duplex`: while its writes are blocked, input is read into a
 * bounded buffer, and output is flushed before a read blocks (spec 01 §10).
 */
#ifndef PROTOCOL_CONN_H
#define PROTOCOL_CONN_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/buf.h"
#include "protocol/wire.h"

/* Frame codes, spec 01 §9.3. */
enum msg_code {
	MSG_DATA = 0,
	MSG_ERROR_XFER = 1,
	MSG_INFO = 2,
	MSG_ERROR = 3,
	MSG_WARNING = 4,
	MSG_IO_ERROR = 22,
	MSG_IO_TIMEOUT = 33,
	MSG_NOOP = 42,
	MSG_ERROR_EXIT = 86,
	MSG_SUCCESS = 100,
	MSG_DELETED = 101,
	MSG_NO_SEND = 102,
};

#define MSG_TEXT_MAX 5119          /* longest text or name in a message */
#define FRAME_MAX    65532         /* longest frame that we send */

struct conn {
	/* Input: owned by the reading thread. */
	struct rd in;
	int in_fd;
	bool in_mux, in_eof;
	uint8_t *ibuf;
	size_t icap, ip, iend;     /* raw bytes not yet handed to `in`: ibuf[ip, iend) */
	size_t frame_left;         /* payload bytes of the current data frame not yet handed over */
	uint64_t bytes_in;
	uint64_t acked;                /* bytes_in at the last wait */
	bool no_acks;                  /* not TCP */
	uint64_t exposed;          /* payload handed to `in` so far */
	/* Called for each message frame; returns 0, or -1 after rd_fail(&conn->in, ...). */
	int (*on_msg)(void *ctx, unsigned code, const uint8_t *data, size_t len);
	void *on_msg_ctx;
	void (*on_wait)(void *ctx);    /* NULL, or called with on_msg_ctx before the reading thread sleeps for input */

	/* Output: owned by the writing thread. */
	struct wr out;
	int out_fd;
	bool out_mux, duplex;
	uint8_t *obuf;
	size_t ocap;
	uint8_t *frame;            /* start of the open frame's header (or of raw bytes) */
	uint64_t bytes_out;
	uint64_t framed;           /* payload of closed frames */
	int64_t bw_next;           /* microseconds (of clock_ms) at which the rate limit lets the next write go */
	uint64_t bwlimit;          /* bytes per second; 0 = none */

	/* Shared. */
	struct budget *budget;
	unsigned timeout;          /* seconds; 0 = none; set before threads start */
	int64_t end_ms;            /* clock_ms at which the session ends, whatever it is doing (--stop-at); 0 = never; set before threads start */
	int64_t deadline;          /* input owner: clock_ms by which reading must have ended (set-up phase); 0 = none */
	_Atomic int64_t last_in, last_out;   /* clock_ms of the last successful read and write */
	atomic_bool stopping;      /* set when the session ends early: reads then end quietly */
	atomic_bool interrupted;   /* ... because of a signal: reads then end with RX_SIGNAL */
	_Atomic int64_t stop_ms;   /* clock_ms of conn_stop */
	int stop_fd;               /* eventfd that wakes whoever waits for the descriptors */
	pthread_mutex_t post_lock;
	struct buf posted;         /* framed messages; guarded by post_lock */
	atomic_bool has_posted;
	void (*wake)(void *ctx);   /* called after a post, without the lock; may be NULL */
	void *wake_ctx;
};

/* Takes the descriptors (which may be the same) and makes them non-blocking. err serves both
   directions until they get their own. -1 without memory. */
int conn_init(struct conn *c, int in_fd, int out_fd, struct budget *budget, struct err *err) NODISCARD;

/* Frees buffers; does not close the descriptors. */
void conn_done(struct conn *c);

/* Bytes that were read ahead by an earlier process of this connection; before the first read. */
int conn_unread(struct conn *c, const void *data, size_t len);

/* Switches a direction to or from frames, at the current position. conn_mux_out flushes first. */
void conn_mux_in(struct conn *c, bool on);
int conn_mux_out(struct conn *c, bool on);

/* Position in the payload of a direction: bytes without frame headers and messages. */
static inline uint64_t conn_pos_in(const struct conn *c) { return c->exposed - rd_avail(&c->in); }
uint64_t conn_pos_out(const struct conn *c);

/*
 * Acknowledges at once what has come on a TCP socket. The stock client writes small pieces one after the other, and its kernel keeps the
 * second until the first is acknowledged, which ours puts off for 40 ms. False: not TCP.
 */
bool conn_ack_now(int fd);

/* Sends everything written and posted so far. Blocks (reading meanwhile when duplex). -1 on failure. */
int conn_flush(struct conn *c);

/* True if conn_flush would send something. */
bool conn_pending(const struct conn *c);

/* Queues one message frame (any thread). Text kinds: spec 01 §9.4. Silently dropped while the
   output is not multiplexed or when memory is short. */
void conn_post(struct conn *c, enum msg_code code, const void *data, size_t len);
void conn_post_int(struct conn *c, enum msg_code code, int32_t v);

/* Output owner, while it waits for something else: flushes posted messages, sends a keep-alive if
   one is due, and fails on time-out (spec 01 §11). Returns milliseconds to wait at most, -1 for ever,
   -2 on failure (conn->out failed). */
int conn_idle(struct conn *c);

/* Any thread: the session ends early. A blocked or later read fails quietly at once; a write that cannot
   go out fails after CONN_STOP_GRACE milliseconds, so that last messages still have their chance. */
#define CONN_STOP_GRACE 5000
void conn_stop(struct conn *c);

/* The same from a signal handler: the session fails with RX_SIGNAL. */
void conn_interrupt(struct conn *c);

/* After a fatal error: reads and discards until end of stream, MSG_ERROR_EXIT, or max_ms. */
void conn_drain(struct conn *c, int max_ms);

#endif
