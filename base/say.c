/*
 * say.c - dispatch of messages to the installed sink.
 */
#include "config.h"
#include "base/say.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>

static void stderr_sink(void *ctx, enum say_kind kind, const char *text, size_t len)
{
	(void)ctx;
	if (kind != SAY_LOG)
		fprintf(stderr, "%.*s\n", (int)len, text);
}

/* Both are set in every session: side by side, that is one page. */
static struct { say_sink *sink; void *ctx; } to = { .sink = stderr_sink };
static atomic_bool had_xfer_error;
static _Thread_local const char *the_role = "Receiver";
static _Thread_local bool is_utf8;

void say_set_sink(say_sink *sink, void *ctx)
{
	to.sink = sink ? sink : stderr_sink;
	to.ctx = ctx;
}

void say_set_role(const char *role)
{
	the_role = role;
}

const char *say_role(void)
{
	return the_role;
}

bool say_had_xfer_error(void)
{
	return atomic_load(&had_xfer_error);
}

static void deliver(enum say_kind kind, const char *text, size_t size, int len)
{
	if (len < 0)
		return;
	if (kind == SAY_ERROR_XFER)
		atomic_store(&had_xfer_error, true);
	to.sink(to.ctx, kind, text, MIN((size_t)len, size - 1));
}

void say(enum say_kind kind, const char *fmt, ...)
{
	char text[SAY_MAX + 1];
	va_list ap;
	int len;

	va_start(ap, fmt);
	len = vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	deliver(kind, text, sizeof text, len);
}

void say_utf8(enum say_kind kind, const char *fmt, ...)
{
	char text[4096];
	va_list ap;
	int len;

	va_start(ap, fmt);
	len = vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	is_utf8 = true;
	deliver(kind, text, sizeof text, len);
	is_utf8 = false;
}

bool say_is_utf8(void)
{
	return is_utf8;
}

void say_errno(enum say_kind kind, int errnum, const char *fmt, ...)
{
	char what[SAY_MAX + 1], text[SAY_MAX + 1];
	va_list ap;
	int len;

	va_start(ap, fmt);
	vsnprintf(what, sizeof what - 256, fmt, ap);
	va_end(ap);
	len = snprintf(text, sizeof text, "rsync: [%s] %s: %s (%d)", the_role, what, strerror(errnum), errnum);
	deliver(kind, text, sizeof text, len);
}
