/*
 * run.c - buffers, filters, role, and the end of a session.
 */
#include "config.h"
#include "session/run.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>

#include "base/clock.h"
#include "sandbox/fs.h"
#include "sandbox/opfile.h"
#include "sandbox/places.h"
#include "filter/filter.h"
#include "session/reach.h"

/* Spec 09 §11.1 row 22: all peer-driven memory of one connection. */
#define SESSION_MEMORY ((size_t)1 << 30)
#define DRAIN_MS 60000

static int read_all(int fd, struct buf *out)
{
	char piece[16384];
	ssize_t n;

	while ((n = read(fd, piece, sizeof piece)) > 0) {
		if (out->len + (size_t)n > FILT_FILE_MAX)
			return -EFBIG;
		buf_add(out, piece, (size_t)n);
	}
	return n < 0 ? -errno : out->failed ? -ENOMEM : 0;
}

/* Rule files that the peer names: beneath the anchor, through the session's own view of it. */
static int read_rule_file(void *ctx, const char *dir, const char *name, struct buf *out)
{
	struct session *s = ctx;
	char path[PATH_LIMIT + 1];
	int fd, rc;

	if (s->x.places) {
		/* Those that the command line named. */
		if ((size_t)snprintf(path, sizeof path, "%s%s%s", dir, *dir ? "/" : "", name) >= sizeof path)
			return -ENAMETOOLONG;
		fd = places_open_file(s->x.places, path);
	} else {
		if (!s->sb && s->x.root)
			s->sb = sb_new(s->x.root, 0);
		if (!s->sb)
			return -ENOENT;
		fd = sb_open_read(s->sb, dir, name, 0, NULL);
	}
	if (fd < 0)
		return fd;
	rc = read_all(fd, out);
	close(fd);
	return rc;
}

static struct conn *_Atomic interruptible;

static void on_signal(int sig)
{
	struct conn *c = atomic_load(&interruptible);
	int en = errno;

	(void)sig;
	if (c)
		conn_interrupt(c);
	errno = en;
}

/* The first one ends the session in good order, a second one at once. */
static void catch_signals(struct conn *c)
{
	struct sigaction sa = { .sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND | SA_RESTART };

	atomic_store(&interruptible, c);
	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGHUP, &sa, NULL);
}

int session_init(struct session *s, int in_fd, int out_fd)
{
	budget_init(&s->budget, SESSION_MEMORY, SESSION_MEMORY);
	if (conn_init(&s->conn, in_fd, out_fd, &s->budget, &s->in_err) < 0)
		return -1;
	catch_signals(&s->conn);
	s->conn.out.err = &s->out_err;
	s->route.conn = &s->conn;
	s->x.o = &s->o;
	s->x.p = &s->p;
	s->x.conn = &s->conn;
	s->x.budget = &s->budget;
	s->files = (struct filt_files){ .ctx = s, .read_file = read_rule_file };
	return 0;
}

static int add_option_rules(struct session *s, const struct options *p, struct err *e)
{
	struct filter_list *l = s->x.filter;
	int n = 0, rc = 0;

	for (size_t i = 0; i < p->nrules && rc == 0; i++) {
		const char *text = p->rules[i].text;

		switch (p->rules[i].kind) {
		case RULE_FILTER: rc = filt_add_rule(l, text, e); break;
		case RULE_EXCLUDE: rc = filt_add_pattern(l, text, false, e); break;
		case RULE_INCLUDE: rc = filt_add_pattern(l, text, true, e); break;
		case RULE_EXCLUDE_FROM: rc = filt_add_from(l, text, false, e); break;
		case RULE_INCLUDE_FROM: rc = filt_add_from(l, text, true, e); break;
		default: rc = filt_add_F(l, ++n, e); break;
		}
	}
	return rc;
}

/* Frames that come before the role reads: a client may give up while it sends its rules. */
static int early_message(void *ctx, unsigned code, const uint8_t *data, size_t len)
{
	int rc = xfer_common_msg(ctx, code, data, len);

	return rc ? rc : xfer_bad_msg(ctx, code, len);
}

static struct filter_list *new_list(struct session *s)
{
	const struct xfer_opts *o = &s->o;
	struct filt_config fc = {
		.budget = &s->budget, .files = &s->files, .am_sender = o->am_sender, .am_server = true,
		.delete_excluded = o->delete_excluded, .from0 = o->from0, .proto = s->p.version, .cwd = s->x.cwd,
		.home = o->am_daemon || o->confine_root ? NULL : getenv("HOME"), .cvsignore = getenv("CVSIGNORE"), .daemon = s->x.daemon_filter,
	};
	struct filter_list *l = filt_new(&fc);

	if (!l)
		rd_fail(&s->conn.in, RX_MALLOC, "out of memory for filter rules");
	return l;
}

int session_check_files(struct session *s, const struct options *p)
{
	struct filter_list *l;
	int rc;

	/* Beneath a root the sender looks for it, and says so. */
	if (s->o.files_from && strcmp(s->o.files_from, "-") && !s->o.confine_root) {
		char path[PATH_LIMIT + 1];
		int fd = !*s->o.files_from ? -EINVAL :
			!s->x.places ? opfile_open(s->o.files_from, O_RDONLY, 0, s->o.insecure_links ? OPFILE_FREE : 0) :
			reach_join(s->x.cwd, s->o.files_from, path) < 0 ? -ENAMETOOLONG : places_open_file(s->x.places, path);

		if (fd < 0)
			return rd_fail(&s->conn.in, RX_USAGE, "rsync: failed to open files-from file %s: %s", s->o.files_from, strerror(-fd));
		close(fd);
	}
	if (!p->nrules)
		return 0;
	l = s->x.filter = new_list(s);
	rc = l ? add_option_rules(s, p, &s->in_err) : -1;
	filt_free(l);
	s->x.filter = NULL;
	return rc;
}

/* A client that sends comes to the same verdict after its filters, and says so itself: that is waited for. */
static int no_list_sum(struct session *s)
{
	struct rd *in = &s->conn.in;

	conn_flush(&s->conn);
	for (int i = 0; !s->o.am_sender && i < 65536 && !in->failed; i++)
		rd_u8(in);
	return rd_fail(in, RX_UNSUPPORTED, "Invalid checksum-choice for --checksum: none (0)");
}

int session_filters(struct session *s, const struct options *p)
{
	const struct xfer_opts *o = &s->o;
	struct err *e = &s->in_err;

	s->conn.on_msg = early_message;
	s->conn.on_msg_ctx = &s->x;
	s->x.filter = new_list(s);
	if (!s->x.filter)
		return -1;
	if (add_option_rules(s, p, e) < 0)
		return -1;
	if (filt_is_sent(!o->am_sender, o->prune_empty_dirs, o->delete_mode, o->delete_excluded, s->p.version) &&
	    filt_recv(s->x.filter, &s->conn.in, s->p.version) < 0)
		return -1;
	if (filt_server_cvs(s->x.filter, o->cvs_exclude, s->p.version, e) < 0)
		return -1;
	return o->checksum && s->p.list_sum == CSUM_NONE ? no_list_sum(s) : 0;
}

void session_charset(struct session *s, const struct options *p, struct charset *c)
{
	s->x.charset = s->route.charset = c;
	/* Clients that know of converted targets say so (spec 01 §7.3). */
	s->x.charset_links = strchr(s->o.ecaps, 's') != NULL;
	s->x.charset_listed = p->secluded;
}

int session_role(struct session *s)
{
	s->x.start_ms = clock_ms();
	if (s->o.stop_at)
		s->conn.end_ms = MAX(s->x.start_ms + (s->o.stop_at - (int64_t)time(NULL)) * 1000, (int64_t)1);
	s->conn.duplex = s->o.am_sender;
	return s->o.am_sender ? sender_run(&s->x) : receiver_run(&s->x);
}

static const struct err *what_failed(const struct session *s)
{
	return s->in_err.code ? &s->in_err : &s->out_err;
}

/* Codes after which the stream is of no use any more (spec 01 §13). */
static bool stream_is_dead(int code)
{
	return code == RX_SOCKETIO || code == RX_STREAMIO || code == RX_SIGUSR1 || code == RX_TIMEOUT;
}

static int end_failed(struct session *s)
{
	const struct err *e = what_failed(s);
	int code = e->code ? e->code : RX_STREAMIO;
	bool told = s->conn.out_mux && !s->out_err.code;

	if (s->x.peer_exited) {
		if (told && s->p.version >= 31) {
			conn_post(&s->conn, MSG_ERROR_EXIT, "", 0);
			conn_flush(&s->conn);
		}
		say(SAY_LOG, "rsync error: %s (code %d) [%s=%s]", exit_text(code), code, say_role(), PACKAGE_VERSION);
		return code;
	}
	if (stream_is_dead(code)) {
		s->route.conn = NULL;
		told = false;
	}
	if (e->text[0] && !e->quiet)
		say(SAY_ERROR, "%s", e->text);
	if (!e->quiet || told)
		say(SAY_ERROR, "rsync error: %s (code %d) at session(1) [%s=%s]", exit_text(code), code, say_role(), PACKAGE_VERSION);
	if (!told)
		return code;
	if (s->p.version >= 31)
		conn_post_int(&s->conn, MSG_ERROR_EXIT, code);
	s->conn.duplex = false;
	if (!s->conn.timeout)
		s->conn.timeout = DRAIN_MS / 1000;
	/* A peer that reads names raw has no eye for what is behind their end when the stream ends with it: as rsync, a moment later. */
	if (s->names_ended && conn_flush(&s->conn) == 0)
		conn_drain(&s->conn, 400);
	/* Older peers learn it from the end of the stream, not from a frame: waiting for them would wait for ever. */
	if (conn_flush(&s->conn) == 0 && (s->p.version >= 31 || shutdown(s->conn.out_fd, SHUT_WR) == 0))
		conn_drain(&s->conn, s->p.version >= 31 ? DRAIN_MS : 2000);
	return code;
}

static int end_code(const struct session *s)
{
	if (say_had_xfer_error() || (s->x.io_error & IOERR_GENERAL))
		return RX_PARTIAL;
	if (s->x.io_error & IOERR_VANISHED)
		return RX_VANISHED;
	return s->x.io_error & IOERR_DEL_LIMIT ? RX_DEL_LIMIT : RX_OK;
}

/* The counters of the session, for a log that programs read. */
static void end_event(const struct session *s, int code)
{
	const struct event_field f[] = {
		EVENT_FIELD_TEXT("module", s->x.module), EVENT_FIELD_INT("code", code),
		EVENT_FIELD_INT("sent", (int64_t)s->conn.bytes_out), EVENT_FIELD_INT("received", (int64_t)s->conn.bytes_in),
		EVENT_FIELD_INT("total_size", s->x.stats.total_size), EVENT_FIELD_INT("files", s->x.files_sent),
		EVENT_FIELD_INT("literal", s->x.literal), EVENT_FIELD_INT("matched", s->x.matched),
		EVENT_FIELD_INT("duration_ms", s->x.start_ms ? clock_ms() - s->x.start_ms : 0),
	};

	route_event(&s->route, "end", f, ARRAY_SIZE(f), NULL);
}

int session_end(struct session *s, int rc)
{
	int code;

	if (rc < 0) {
		code = end_failed(s);
	} else {
		code = end_code(s);
		say(SAY_LOG, "sent %llu bytes  received %llu bytes  total size %lld",
		    (unsigned long long)s->conn.bytes_out, (unsigned long long)s->conn.bytes_in,
		    (long long)s->x.stats.total_size);
		if (code)
			say(SAY_LOG, "rsync %s: %s (code %d) [%s=%s]", code == RX_VANISHED ? "warning" : "error",
			    exit_text(code), code, say_role(), PACKAGE_VERSION);
	}
	end_event(s, code);
	filt_free(s->x.filter);
	s->x.filter = NULL;
	sb_free(s->sb);
	s->sb = NULL;
	atomic_store(&interruptible, NULL);
	conn_done(&s->conn);
	return code;
}
