/*
 * forward.c - a thread that writes names: neither it nor the reader of the list can block the other.
 */
#include "config.h"
#include "receiver/forward.h"

#include <errno.h>

#include "base/text.h"
#include "receiver/dest.h"

/* Names end at NUL, and at line ends unless the list is --from0; empty ones are not sent. Returns the bytes left. */
static size_t convert(uint8_t *p, size_t len, bool from0, bool *at_start)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		uint8_t c = p[i];

		if (!from0 && (c == '\n' || c == '\r'))
			c = 0;
		if (!c && *at_start)
			continue;
		*at_start = !c;
		p[n++] = c;
	}
	return n;
}

/* With --iconv and -s names go out in UTF-8, so they are gathered first; over-long ones are cut (spec 02 §12). */
static void convert_names(struct forward *f, const uint8_t *p, size_t len)
{
	char wire[PATH_LIMIT + 1];

	for (size_t i = 0; i < len; i++) {
		if (p[i]) {
			if (f->name_len < PATH_LIMIT)
				f->name[f->name_len++] = (char)p[i];
			continue;
		}
		wr_bytes(&f->rx->conn->out, wire, rx_wire_name(f->rx, f->name, f->name_len, wire));
		wr_u8(&f->rx->conn->out, 0);
		f->name_len = 0;
	}
}

static void put_names(struct forward *f, const uint8_t *p, size_t len)
{
	if (f->rx->x->charset && f->rx->x->charset_listed)
		convert_names(f, p, len);
	else
		wr_bytes(&f->rx->conn->out, p, len);
}

static void *forward_thread(void *arg)
{
	struct forward *f = arg;
	struct conn *c = f->rx->conn;
	bool raw = f->rx->p->version < 31, at_start = true;
	uint8_t buf[16384];
	ssize_t n;

	say_set_role("Receiver");
	if (raw && conn_mux_out(c, false) < 0)
		return NULL;
	while ((n = read(f->fd, buf, sizeof buf)) != 0 && !c->out.failed) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			say_errno(SAY_ERROR_XFER, errno, "failed to read files-from file \"%s\"", f->rx->o->files_from);
			break;
		}
		put_names(f, buf, convert(buf, (size_t)n, f->rx->o->from0, &at_start));
	}
	if (!at_start)
		put_names(f, (const uint8_t[]){ 0 }, 1);
	wr_u8(&c->out, 0);
	if (raw)
		conn_mux_out(c, true);
	else
		conn_flush(c);
	return NULL;
}

int forward_start(struct forward *f, struct rx *rx, struct err *err)
{
	const char *file = rx->o->files_from;

	*f = (struct forward){ .rx = rx, .fd = -1 };
	if (!file || !rx->o->am_server || strcmp(file, "-") == 0)
		return 0;
	f->fd = dest_open_file(rx, file);
	if (f->fd < 0)
		return fail(err, RX_FILEIO, "failed to open files-from file %s: %s", file, strerror(-f->fd));
	rx->conn->out.err = &f->err;
	if (pthread_create(&f->thread, NULL, forward_thread, f) != 0) {
		rx->conn->out.err = err;
		close(f->fd);
		return fail(err, RX_IPC, "cannot start a thread for the names of \"%s\"", file);
	}
	f->running = true;
	return 0;
}

int forward_join(struct forward *f, bool stop, struct err *err)
{
	if (!f->running)
		return 0;
	if (stop)
		conn_stop(f->rx->conn);
	pthread_join(f->thread, NULL);
	close(f->fd);
	f->running = false;
	f->rx->conn->out.err = f->rx->conn->in.err;
	return f->err.code && !stop ? fail(err, f->err.code, "%s", f->err.text) : 0;
}
