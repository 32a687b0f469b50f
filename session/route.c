/*
 * route.c - the session's message sink.
 */
#include "config.h"
#include "session/route.h"

#include <stdio.h>

static enum msg_code frame_code(enum say_kind kind, int proto)
{
	/* Before protocol 30 a client knows only the first two kinds of text. */
	switch (kind) {
	case SAY_ERROR_XFER: return MSG_ERROR_XFER;
	case SAY_ERROR: return proto < 30 ? MSG_ERROR_XFER : MSG_ERROR;
	case SAY_WARNING: return proto < 30 ? MSG_INFO : MSG_WARNING;
	default: return MSG_INFO;
	}
}

static void route_sink(void *ctx, enum say_kind kind, const char *text, size_t len)
{
	struct route *r = ctx;
	char line[MSG_TEXT_MAX + 1];
	bool info = kind == SAY_INFO || kind == SAY_CLIENT;

	if (r->log && kind != SAY_CLIENT)
		r->log(r->log_ctx, kind, text);
	if (kind == SAY_LOG || (info && r->quiet))
		return;
	/* An old protocol has no warnings; behind a remote shell there is a better way than to call them information. */
	if (r->conn && r->conn->out_mux && !r->only_stderr && !(kind == SAY_WARNING && r->proto < 30 && r->to_stderr)) {
		len = MIN(len, sizeof line - 2);
		if (r->charset && !say_is_utf8())
			len = charset_text(r->charset, CHARSET_TO_UTF8, text, len, line, sizeof line - 2);
		else
			memcpy(line, text, len);
		line[len++] = '\n';
		conn_post(r->conn, frame_code(kind, r->proto), line, len);
	} else if (r->to_stderr || r->only_stderr) {
		fprintf(stderr, "%.*s\n", (int)len, text);
	}
}

void route_event(const struct route *r, const char *event, const struct event_field *f, size_t n, const char *text)
{
	if (r->event)
		r->event(r->log_ctx, event, f, n, text);
}

void route_install(struct route *r)
{
	say_set_sink(route_sink, r);
}
