/* log.c - log file and syslog. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <strings.h>
#include <sys/stat.h>
#include <syslog.h>
#include <time.h>

#include "base/err.h"
#include "base/say.h"
#include "base/text.h"
#include "daemon/log.h"
#include "sandbox/opfile.h"

static struct log_dest dest = { .fd = -1, .tag = "rsyncd", .facility = LOG_DAEMON };
static bool stderr_too;
static _Atomic uint64_t written;

void log_init(bool to_stderr)
{
	tzset();
	stderr_too = to_stderr;
	/* Loads the time zone while the file system is in reach. */
	struct tm tm;
	time_t now = time(NULL);
	localtime_r(&now, &tm);
}

void log_to_stderr(bool on) { stderr_too = on; }
int log_fd(void) { return dest.fd; }

void log_set_form(const char *form)
{
	dest.json = !strcasecmp(form, "json");
}

void log_prefix(char *out, size_t size)
{
	snprintf(out, size, "<%d>%.32s[%ld]: ", dest.facility | LOG_NOTICE, dest.tag, (long)getpid());
}

void log_set_relay(void (*relay)(void *ctx, enum say_kind kind, const char *text), void *ctx)
{
	dest.relay = relay;
	dest.relay_ctx = ctx;
}

static int open_file(const char *path)
{
	mode_t mask = umask(022);
	int fd;

	umask(mask | 022);
	fd = opfile_open(path, O_WRONLY | O_CREAT | O_APPEND | O_NOCTTY, 0644, 0);
	umask(mask);
	return fd;
}

int log_open_file(const char *path)
{
	int fd = open_file(path);

	if (fd >= 0)
		dest.fd = fd;
	return MIN(fd, 0);
}

int log_open(const char *path, const char *tag, int facility)
{
	int old = dest.fd, fd = -1;

	if (*path)
		fd = open_file(path);
	dest.fd = fd < 0 ? -1 : fd;
	dest.facility = facility;
	snprintf(dest.tag, sizeof dest.tag, "%s", tag);
	if (fd < 0) {
		closelog();
		openlog(dest.tag, LOG_PID, facility);
		if (*path) {
			say_errno(SAY_WARNING, -fd, "failed to open log-file %s", path);
			say(SAY_INFO, "Ignoring \"log file\" setting.");
		}
	}
	return old;
}

void log_format_record(struct buf *out, time_t now, pid_t pid, const char *text, size_t len)
{
	char when[64];
	struct tm tm;

	localtime_r(&now, &tm);
	buf_add(out, when, strftime(when, sizeof when, "%Y/%m/%d %H:%M:%S", &tm));
	buf_addf(out, " [%ld] ", (long)pid);
	text_escape(out, text, MIN(len, (size_t)LOG_MESSAGE_MAX));
	out->len = MIN(out->len, (size_t)LOG_RECORD_MAX - 1);
	buf_addc(out, '\n');
}

/* One write(2) of a whole record, as long as the process has not written its share. */
static void write_out(const char *text, size_t n)
{
	_cleanup_buf_ struct buf last = BUF_INIT(NULL);
	uint64_t before = written;
	ssize_t w;

	if (before > LOG_SESSION_MAX)
		return;
	written = before + n;
	if (before + n > LOG_SESSION_MAX) {
		log_format_record(&last, time(NULL), getpid(), "log suppressed", 14);
		text = buf_str(&last);
		n = last.len;
	}
	do
		w = write(dest.fd, text, n);
	while (w < 0 && errno == EINTR);
}

static int priority(enum say_kind kind)
{
	return dest.facility | (kind <= SAY_WARNING ? LOG_WARNING : LOG_INFO);
}

static void emit_text(enum say_kind kind, const char *text, size_t len)
{
	_cleanup_buf_ struct buf b = BUF_INIT(NULL);

	if (dest.relay) {
		buf_add(&b, text, MIN(len, (size_t)LOG_MESSAGE_MAX));
		dest.relay(dest.relay_ctx, kind, buf_str(&b));
	} else if (dest.fd >= 0) {
		log_format_record(&b, time(NULL), getpid(), text, len);
		write_out(buf_str(&b), b.len);
	} else {
		text_escape(&b, text, MIN(len, (size_t)LOG_MESSAGE_MAX));
		syslog(priority(kind), "%s\n", buf_str(&b));
	}
}

static void emit_event(enum say_kind kind, const char *event, const struct event_field *f, size_t n)
{
	_cleanup_buf_ struct buf b = BUF_INIT(NULL);

	json_event(&b, event, f, n, dest.fd >= 0 && !dest.relay ? LOG_OBJECT_MAX : LOG_MESSAGE_MAX);
	if (b.failed)
		return;
	if (dest.relay) {
		dest.relay(dest.relay_ctx, kind, buf_str(&b));
	} else if (dest.fd >= 0) {
		buf_addc(&b, '\n');
		write_out(buf_str(&b), b.len);
	} else {
		syslog(priority(kind), "%s\n", buf_str(&b));
	}
}

static void one_line(enum say_kind kind, const char *text, size_t len, bool quiet)
{
	/* A line feed inside is part of a peer's name as often as not: it is escaped, never a new record. */
	while (len && text[len - 1] == '\n')
		len--;
	if (dest.json) {
		_cleanup_buf_ struct buf copy = BUF_INIT(NULL);

		buf_add(&copy, text, MIN(len, (size_t)LOG_MESSAGE_MAX));
		const struct event_field f[] = {
			EVENT_FIELD_TEXT("level", kind <= SAY_ERROR ? "error" : kind == SAY_WARNING ? "warning" : "info"),
			EVENT_FIELD_TEXT("text", buf_str(&copy)),
		};
		emit_event(kind, "message", f, ARRAY_SIZE(f));
	} else {
		emit_text(kind, text, len);
	}
	if (stderr_too && kind != SAY_LOG && !quiet)
		fprintf(stderr, "%.*s\n", (int)len, text);
}

void log_event(const char *event, const struct event_field *f, size_t n, const char *text)
{
	if (dest.json)
		emit_event(SAY_LOG, event, f, n);
	else if (text && *text)
		emit_text(SAY_LOG, text, strlen(text));
}

void log_relayed(enum say_kind kind, const char *text)
{
	emit_text(kind, text, strlen(text));
}

void log_sink(void *ctx, enum say_kind kind, const char *text, size_t len)
{
	(void)ctx;
	if (kind == SAY_CLIENT)
		return;
	one_line(kind, text, len, false);
}

void log_line(enum say_kind kind, const char *text)
{
	log_sink(NULL, kind, text, strlen(text));
}

void log_session(void *ctx, enum say_kind kind, const char *text)
{
	(void)ctx;
	one_line(kind, text, strlen(text), true);
}

void log_session_event(void *ctx, const char *event, const struct event_field *f, size_t n, const char *text)
{
	(void)ctx;
	log_event(event, f, n, text);
}

void log_printf(const char *fmt, ...)
{
	char text[LOG_MESSAGE_MAX + 1];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	log_line(SAY_LOG, text);
}

void log_exit(int code, const char *role)
{
	char text[256];

	snprintf(text, sizeof text, "rsync error: %s (code %d) at " PACKAGE "(0) [%s=" PACKAGE_VERSION "]", exit_text(code), code, role);
	log_session(NULL, SAY_ERROR, text);
}
