/*
 * conn.c - buffering, framing, time-outs and rate limit of the two streams.
 */
#include "config.h"
#include "protocol/conn.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/clock.h"
#include "base/say.h"

#define IBUF_SIZE ((size_t)128 << 10)
#define OBUF_SIZE ((size_t)264 << 10)
#define HEADER 4

static int in_fill(struct rd *r);
static int out_drain(struct wr *w, size_t need);
static int out_big(struct wr *w, const void *data, size_t len);
static void open_frame(struct conn *c);

static void set_nonblock(int fd)
{
	int fl = fcntl(fd, F_GETFL);

	if (fl >= 0 && !(fl & O_NONBLOCK))
		fcntl(fd, F_SETFL, fl | O_NONBLOCK);
}

int conn_init(struct conn *c, int in_fd, int out_fd, struct budget *budget, struct err *err)
{
	int64_t now = clock_ms();

	*c = (struct conn){ .in_fd = in_fd, .out_fd = out_fd, .budget = budget, .posted = BUF_INIT(budget), .stop_fd = -1 };
	c->ibuf = mem_alloc(budget, IBUF_SIZE, 1);
	c->obuf = mem_alloc(budget, OBUF_SIZE, 1);
	if (!c->ibuf || !c->obuf) {
		conn_done(c);
		return fail(err, RX_MALLOC, "out of memory for connection buffers");
	}
	c->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (c->stop_fd < 0) {
		int en = errno;

		conn_done(c);
		return fail_errno(err, RX_IPC, en, "eventfd failed");
	}
	c->icap = IBUF_SIZE;
	c->ocap = OBUF_SIZE;
	c->in = (struct rd){ .fill = in_fill, .ctx = c, .err = err };
	c->out = (struct wr){ .drain = out_drain, .big = out_big, .ctx = c, .err = err };
	c->frame = c->obuf;
	open_frame(c);
	pthread_mutex_init(&c->post_lock, NULL);
	atomic_store(&c->last_in, now);
	atomic_store(&c->last_out, now);
	set_nonblock(in_fd);
	set_nonblock(out_fd);
	return 0;
}

void conn_done(struct conn *c)
{
	mem_free(c->budget, c->ibuf);
	mem_free(c->budget, c->obuf);
	c->ibuf = c->obuf = NULL;
	if (c->stop_fd > 0)
		close(c->stop_fd);
	c->stop_fd = -1;
	buf_free(&c->posted);
}

int conn_unread(struct conn *c, const void *data, size_t len)
{
	if (len > c->icap - c->iend)
		return rd_fail(&c->in, RX_PROTOCOL, "too much data before the transfer");
	memcpy(c->ibuf + c->iend, data, len);
	c->iend += len;
	return 0;
}

/* ---- waiting ---- */

static int64_t quiet_since(struct conn *c)
{
	int64_t in = atomic_load_explicit(&c->last_in, memory_order_relaxed);
	int64_t out = atomic_load_explicit(&c->last_out, memory_order_relaxed);

	return MAX(in, out);
}

#define STOP_TEXT "stopping at requested limit"

/* Milliseconds until the next time-out or keep-alive check, -1 for none. */
static int poll_slice(const struct conn *c)
{
	unsigned lull = (c->timeout + 1) / 2;
	int ms = c->timeout ? (int)MIN(lull, 60u) * 1000 : -1;

	if (UNLIKELY(c->end_ms != 0)) {
		int64_t left = MAX(c->end_ms - clock_ms(), (int64_t)0);

		ms = ms < 0 ? (int)MIN(left, (int64_t)60000) : (int)MIN((int64_t)ms, left);
	}
	return ms;
}

static bool is_over(const struct conn *c)
{
	return UNLIKELY(c->end_ms && clock_ms() >= c->end_ms);
}

static bool timed_out(struct conn *c)
{
	return c->timeout && clock_ms() - quiet_since(c) >= (int64_t)c->timeout * 1000;
}

/* One read(2) into the tail of the raw buffer. 1: got bytes, 0: would block or full, -1: end or error (in failed). */
static int read_some(struct conn *c)
{
	int64_t now;
	ssize_t n;

	if (c->iend == c->icap || c->in_eof)
		return 0;
	n = read(c->in_fd, c->ibuf + c->iend, c->icap - c->iend);
	if (n > 0) {
		c->iend += (size_t)n;
		c->bytes_in += (uint64_t)n;
		now = clock_ms();
		atomic_store_explicit(&c->last_in, now, memory_order_relaxed);
		return UNLIKELY(c->end_ms && now >= c->end_ms) ? rd_fail(&c->in, RX_TIMEOUT, STOP_TEXT) : 1;
	}
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	c->in_eof = true;
	if (n < 0 && errno != ECONNRESET)
		return rd_fail(&c->in, RX_SOCKETIO, "rsync: [%s] read error: %s (%d)", say_role(), strerror(errno), errno);
	return rd_fail(&c->in, RX_STREAMIO, "rsync: connection unexpectedly closed (%llu bytes received so far) [%s]",
		       (unsigned long long)c->bytes_in, say_role());
}

/* ---- input ---- */

bool conn_ack_now(int fd)
{
	int on = 1;

	return setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof on) == 0;
}

/* Little came since the last wait: what follows it may be held back until it is acknowledged. */
#define LITTLE 4096u

static void ack_little(struct conn *c)
{
	uint64_t came = c->bytes_in - c->acked;

	c->acked = c->bytes_in;
	if (came && came < LITTLE && !c->no_acks)
		c->no_acks = !conn_ack_now(c->in_fd);
}

static int wait_readable(struct conn *c)
{
	struct pollfd pfd[2] = {
		{ .fd = c->in_fd, .events = POLLIN },
		{ .fd = c->stop_fd, .events = POLLIN },
	};
	int ms = poll_slice(c), n;

	if (c->duplex) {
		ms = conn_idle(c);
		if (ms == -2)
			return rd_fail(&c->in, c->out.err->code, "%s", c->out.err->text);
	}
	if (c->deadline) {
		int64_t left = c->deadline - clock_ms();

		if (left <= 0)
			return rd_fail(&c->in, RX_TIMEOUT, "[%s] daemon handshake timeout -- exiting", say_role());
		ms = ms < 0 ? (int)left : (int)MIN((int64_t)ms, left);
	}
	ack_little(c);
	if (c->on_wait)
		c->on_wait(c->on_msg_ctx);
	n = poll(pfd, 2, ms);
	if (n < 0 && errno != EINTR)
		return rd_fail(&c->in, RX_SOCKETIO, "rsync: [%s] poll: %s (%d)", say_role(), strerror(errno), errno);
	if (is_over(c))
		return rd_fail(&c->in, RX_TIMEOUT, STOP_TEXT);
	if (n == 0 && timed_out(c))
		return rd_fail(&c->in, RX_TIMEOUT, "[%s] io timeout after %u seconds -- exiting", say_role(), c->timeout);
	return 0;
}

/* Makes at least want <= icap raw bytes available. Only while `in` exposes nothing. */
static int need_raw(struct conn *c, size_t want)
{
	if (c->ip == c->iend) {
		c->ip = c->iend = 0;
	} else if (c->icap - c->ip < want) {
		memmove(c->ibuf, c->ibuf + c->ip, c->iend - c->ip);
		c->iend -= c->ip;
		c->ip = 0;
	}
	while (c->iend - c->ip < want) {
		int got;

		if (atomic_load_explicit(&c->stopping, memory_order_relaxed)) {
			if (atomic_load(&c->interrupted))
				return rd_fail(&c->in, RX_SIGNAL, "%s", "");
			c->in.err->quiet = true;
			return rd_fail(&c->in, RX_STREAMIO, "%s", "");
		}
		got = read_some(c);
		if (got < 0 || (got == 0 && c->in_eof))
			return -1;
		if (got == 0) {
			/* Nothing at hand: whatever the peer may be waiting for goes out first. */
			if (c->duplex && conn_flush(c) < 0)
				return rd_fail(&c->in, c->out.err->code, "%s", c->out.err->text);
			if (c->duplex && c->iend - c->ip >= want)
				break;
			if (wait_readable(c) < 0)
				return -1;
		}
	}
	return 0;
}

static int read_message(struct conn *c, int code, size_t len)
{
	bool text = (code >= MSG_ERROR_XFER && code <= MSG_WARNING) || code == MSG_DELETED;

	switch (code) {
	case MSG_ERROR_XFER: case MSG_INFO: case MSG_ERROR: case MSG_WARNING: case MSG_DELETED:
	case MSG_IO_ERROR: case MSG_IO_TIMEOUT: case MSG_NOOP: case MSG_ERROR_EXIT: case MSG_SUCCESS: case MSG_NO_SEND:
		break;
	case 5: case 6: case 7: case 8: case 9: case 10:
		return rd_fail(&c->in, RX_STREAMIO, "invalid multi-message %d:%zu [%s]", code, len, say_role());
	default:
		return rd_fail(&c->in, RX_STREAMIO, "unexpected tag %d [%s]", code, say_role());
	}
	if (text && len > MSG_TEXT_MAX)
		return rd_fail(&c->in, RX_STREAMIO, "multiplexing overflow %d:%zu [%s]", code, len, say_role());
	if (!text && len != 4 && !(len == 0 && (code == MSG_NOOP || code == MSG_ERROR_EXIT)))
		return rd_fail(&c->in, RX_STREAMIO, "invalid multi-message %d:%zu [%s]", code, len, say_role());
	if (need_raw(c, len) < 0)
		return -1;
	c->ip += len;
	return c->on_msg ? c->on_msg(c->on_msg_ctx, (unsigned)code, c->ibuf + c->ip - len, len) : 0;
}

static int in_fill(struct rd *r)
{
	struct conn *c = r->ctx;
	size_t n;

	if (!c->in_mux) {
		if (need_raw(c, 1) < 0)
			return -1;
		n = c->iend - c->ip;
	} else {
		while (!c->frame_left) {
			uint32_t h;
			int code;

			if (need_raw(c, HEADER) < 0)
				return -1;
			h = get_le32(c->ibuf + c->ip);
			c->ip += HEADER;
			code = (int)(h >> 24) - 7;
			if (code == MSG_DATA)
				c->frame_left = h & 0xffffff;
			else if (read_message(c, code, h & 0xffffff) < 0)
				return -1;
			if (r->failed)
				return -1;
		}
		if (need_raw(c, 1) < 0)
			return -1;
		n = MIN(c->iend - c->ip, c->frame_left);
		c->frame_left -= n;
	}
	r->p = c->ibuf + c->ip;
	r->end = r->p + n;
	c->ip += n;
	c->exposed += n;
	return 0;
}

void conn_mux_in(struct conn *c, bool on)
{
	/* Bytes that were exposed raw but not read belong to the new mode. */
	if (!c->in.failed && !c->in_mux) {
		c->ip -= rd_avail(&c->in);
		c->exposed -= rd_avail(&c->in);
		c->in.p = c->in.end = NULL;
	}
	c->in_mux = on;
}

/* ---- output ---- */

static size_t header_len(const struct conn *c)
{
	return c->out_mux ? HEADER : 0;
}

/* Opens a frame at c->frame: the writer may fill up to FRAME_MAX bytes behind its header. */
static void open_frame(struct conn *c)
{
	size_t left = c->ocap - (size_t)(c->frame - c->obuf) - header_len(c);

	c->out.p = c->frame + header_len(c);
	c->out.end = c->out.p + MIN(left, (size_t)FRAME_MAX);
}

/* Closes the open frame: fills its header in, or drops it when empty. */
static void close_frame(struct conn *c)
{
	size_t len = (size_t)(c->out.p - c->frame) - header_len(c);

	if (len && c->out_mux)
		put_le32(c->frame, (uint32_t)(MSG_DATA + 7) << 24 | (uint32_t)len);
	c->framed += len;
	if (len)
		c->frame = c->out.p;
	c->out.p = c->out.end = c->frame;
}

static void pace(struct conn *c, size_t n)
{
	int64_t now = clock_ms() * 1000, wait;

	if (c->bw_next < now)
		c->bw_next = now;
	c->bw_next += (int64_t)(n * 1000000 / c->bwlimit);
	wait = c->bw_next - now;
	/* Small debts are carried over instead of being slept off one by one. */
	if (wait > 100000)
		usleep((useconds_t)wait);
}

static int wait_writable(struct conn *c)
{
	bool both = c->duplex && !c->in_eof && !c->in.failed && c->iend < c->icap;
	bool stop = atomic_load(&c->stopping);
	struct pollfd pfd[3] = {
		{ .fd = c->out_fd, .events = POLLOUT },
		{ .fd = stop ? -1 : c->stop_fd, .events = POLLIN },
		{ .fd = both ? c->in_fd : -1, .events = POLLIN },
	};
	int n = poll(pfd, 3, stop ? 200 : poll_slice(c));

	if (n < 0 && errno != EINTR)
		return wr_fail(&c->out, RX_SOCKETIO, "rsync: [%s] poll: %s (%d)", say_role(), strerror(errno), errno);
	if (!stop && is_over(c))
		return wr_fail(&c->out, RX_TIMEOUT, STOP_TEXT);
	if (n == 0 && !stop && timed_out(c))
		return wr_fail(&c->out, RX_TIMEOUT, "[%s] io timeout after %u seconds -- exiting", say_role(), c->timeout);
	if (n == 0 && stop && clock_ms() - atomic_load(&c->stop_ms) > CONN_STOP_GRACE)
		return wr_fail(&c->out, RX_STREAMIO, "the peer does not read (%s)", say_role());
	if (n > 0 && both && pfd[2].revents)
		read_some(c);
	return 0;
}

/* One write(2) of what is left; with a rate limit of an eighth of a second's worth, so that the stream flows evenly
   and no pause is a silence. */
static ssize_t send_some(struct conn *c, const struct iovec *iov, int cnt)
{
	size_t most = (size_t)MAX(c->bwlimit / 8, (uint64_t)512);
	struct iovec part = { iov->iov_base, MIN(iov->iov_len, most) };

	return c->bwlimit ? writev(c->out_fd, &part, 1) : writev(c->out_fd, iov, cnt);
}

static int send_all(struct conn *c, struct iovec *iov, int cnt)
{
	int64_t now;

	while (cnt) {
		ssize_t n;

		if (!iov->iov_len) {
			iov++, cnt--;
			continue;
		}
		/* A sender may not come to reading for long. */
		if (c->duplex && atomic_load_explicit(&c->interrupted, memory_order_relaxed))
			return wr_fail(&c->out, RX_SIGNAL, "%s", "");
		n = send_some(c, iov, cnt);
		if (n < 0) {
			if (errno == EINTR)
				continue;
			if (errno == EAGAIN) {
				if (wait_writable(c) < 0)
					return -1;
				continue;
			}
			return wr_fail(&c->out, RX_SOCKETIO, "rsync: [%s] write error: %s (%d)", say_role(), strerror(errno), errno);
		}
		c->bytes_out += (uint64_t)n;
		now = clock_ms();
		atomic_store_explicit(&c->last_out, now, memory_order_relaxed);
		if (UNLIKELY(c->end_ms && now >= c->end_ms))
			return wr_fail(&c->out, RX_TIMEOUT, STOP_TEXT);
		if (c->bwlimit)
			pace(c, (size_t)n);
		while (cnt && (size_t)n >= iov->iov_len) {
			n -= (ssize_t)iov->iov_len;
			iov++, cnt--;
		}
		if (cnt) {
			iov->iov_base = (char *)iov->iov_base + n;
			iov->iov_len -= (size_t)n;
		}
	}
	return 0;
}

/* Sends posted messages, closed frames, and optionally one more frame header and block. */
static int transmit(struct conn *c, const void *head, size_t head_len, const void *data, size_t len)
{
	_cleanup_buf_ struct buf msgs = BUF_INIT(NULL);
	struct iovec iov[4];
	size_t ready = (size_t)(c->frame - c->obuf);
	int rc;

	if (atomic_load(&c->has_posted)) {
		pthread_mutex_lock(&c->post_lock);
		msgs = c->posted;
		c->posted = (struct buf)BUF_INIT(c->budget);
		atomic_store(&c->has_posted, false);
		pthread_mutex_unlock(&c->post_lock);
		if (msgs.failed)
			return wr_fail(&c->out, RX_MALLOC, "out of memory for messages");
	}
	iov[0] = (struct iovec){ msgs.data, msgs.len };
	iov[1] = (struct iovec){ c->obuf, ready };
	iov[2] = (struct iovec){ (void *)(uintptr_t)head, head_len };
	iov[3] = (struct iovec){ (void *)(uintptr_t)data, len };
	c->frame = c->obuf;
	rc = send_all(c, iov, 4);
	if (rc == 0)
		open_frame(c);
	return rc;
}

int conn_flush(struct conn *c)
{
	if (c->out.failed)
		return -1;
	close_frame(c);
	if (c->frame == c->obuf && !atomic_load(&c->has_posted)) {
		open_frame(c);
		return 0;
	}
	return transmit(c, NULL, 0, NULL, 0);
}

static int out_drain(struct wr *w, size_t need)
{
	struct conn *c = w->ctx;

	close_frame(c);
	if (c->ocap - (size_t)(c->frame - c->obuf) < MAX(need, (size_t)WR_ROOM) + HEADER)
		return transmit(c, NULL, 0, NULL, 0);
	open_frame(c);
	return 0;
}

static int out_big(struct wr *w, const void *data, size_t len)
{
	struct conn *c = w->ctx;
	const uint8_t *d = data;

	while (len) {
		size_t n = MIN(len, (size_t)FRAME_MAX);
		uint8_t head[HEADER];

		close_frame(c);
		put_le32(head, (uint32_t)(MSG_DATA + 7) << 24 | (uint32_t)n);
		if (transmit(c, head, header_len(c), d, n) < 0)
			return -1;
		c->framed += n;
		d += n;
		len -= n;
	}
	return 0;
}

int conn_mux_out(struct conn *c, bool on)
{
	if (conn_flush(c) < 0)
		return -1;
	c->out_mux = on;
	c->frame = c->obuf;
	open_frame(c);
	return 0;
}

uint64_t conn_pos_out(const struct conn *c)
{
	return c->framed + (uint64_t)(c->out.p - c->frame) - header_len(c);
}

bool conn_pending(const struct conn *c)
{
	return c->out.p != c->obuf + header_len(c) || atomic_load(&c->has_posted);
}

void conn_post(struct conn *c, enum msg_code code, const void *data, size_t len)
{
	uint8_t head[HEADER];

	put_le32(head, (uint32_t)(code + 7) << 24 | (uint32_t)len);
	pthread_mutex_lock(&c->post_lock);
	if (c->out_mux) {
		/* Over budget, when a peer causes messages and does not read: the owner of the output finds out. */
		buf_add(&c->posted, head, HEADER);
		buf_add(&c->posted, data, len);
		atomic_store(&c->has_posted, true);
	}
	pthread_mutex_unlock(&c->post_lock);
	if (c->wake)
		c->wake(c->wake_ctx);
}

void conn_post_int(struct conn *c, enum msg_code code, int32_t v)
{
	uint8_t b[4];

	put_le32(b, (uint32_t)v);
	conn_post(c, code, b, 4);
}

int conn_idle(struct conn *c)
{
	unsigned lull = (c->timeout + 1) / 2;
	static const uint8_t empty[HEADER] = { 0, 0, 0, 7 };

	if (conn_flush(c) < 0)
		return -2;
	if (!c->timeout)
		return -1;
	if (timed_out(c)) {
		wr_fail(&c->out, RX_TIMEOUT, "[%s] io timeout after %u seconds -- exiting", say_role(), c->timeout);
		return -2;
	}
	if (c->out_mux && clock_ms() - atomic_load(&c->last_out) >= (int64_t)lull * 1000 &&
	    transmit(c, empty, HEADER, NULL, 0) < 0)
		return -2;
	return poll_slice(c);
}

void conn_stop(struct conn *c)
{
	uint64_t one = 1;

	if (atomic_exchange(&c->stopping, true))
		return;
	atomic_store(&c->stop_ms, clock_ms());
	/* Cannot fail: the counter never comes near its limit. */
	if (write(c->stop_fd, &one, sizeof one) < 0)
		return;
}

void conn_interrupt(struct conn *c)
{
	atomic_store(&c->interrupted, true);
	conn_stop(c);
}

/* What is being skipped by conn_drain: the rest of a frame, or part of the next header. */
struct skim { size_t left; uint8_t head[HEADER]; size_t have; };

/* Goes through frames; true at a MSG_ERROR_EXIT, the last thing that a peer sends. */
static bool skim(struct skim *k, const uint8_t *d, size_t len)
{
	while (len) {
		size_t n = k->left ? MIN(k->left, len) : 1;

		if (k->left) {
			k->left -= n;
		} else {
			k->head[k->have++] = *d;
			if (k->have == HEADER) {
				uint32_t h = get_le32(k->head);

				if ((int)(h >> 24) - 7 == MSG_ERROR_EXIT)
					return true;
				k->left = h & 0xffffff;
				k->have = 0;
			}
		}
		d += n;
		len -= n;
	}
	return false;
}

void conn_drain(struct conn *c, int max_ms)
{
	int64_t until = clock_ms() + max_ms;
	struct skim k = { .left = c->frame_left };

	conn_stop(c);
	if (c->in_mux && skim(&k, c->ibuf + c->ip, c->iend - c->ip))
		return;
	while (!c->in_eof) {
		struct pollfd pfd = { .fd = c->in_fd, .events = POLLIN };
		int64_t left = until - clock_ms();
		uint8_t scrap[16384];
		ssize_t n;

		if (left <= 0)
			return;
		if (poll(&pfd, 1, (int)left) <= 0)
			continue;
		n = read(c->in_fd, scrap, sizeof scrap);
		if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
			return;
		if (n > 0 && c->in_mux && skim(&k, scrap, (size_t)n))
			return;
	}
}
