/*
 * route.h - where a server's messages go: frames to the peer, standard error, the log
 * (spec 01 §9.6).
 */
#ifndef SESSION_ROUTE_H
#define SESSION_ROUTE_H

#include "base/charset.h"
#include "base/event.h"
#include "base/say.h"
#include "protocol/conn.h"

struct route {
	struct conn *conn;         /* NULL: no frames yet */
	int proto;
	bool to_stderr;            /* a remote-shell server: before multiplexing, and always with --msgs2stderr */
	bool only_stderr;
	struct charset *charset;   /* --iconv: text for the peer is converted to UTF-8; NULL: sent as it is */
	bool quiet;                /* -q on a remote-shell server: no info messages */
	void (*log)(void *ctx, enum say_kind kind, const char *text);
	event_sink *event;         /* as log, for events; NULL: none */
	void *log_ctx;
};

/* Makes r the sink of say(); r must outlive it. Set up before threads start. */
void route_install(struct route *r);

/* An event of the session for the log, if there is one. */
void route_event(const struct route *r, const char *event, const struct event_field *f, size_t n, const char *text);

#endif
