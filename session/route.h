/*
 * route.h - where a server's messages go: frames to the peer, standard error, the log
 * (spec 01 §9.6).
 */
#ifndef SESSION_ROUTE_H
#define SESSION_ROUTE_H

#include "base/charset.h"
#include "base/say.h"
#include "protocol/conn.h"

struct route {
	struct conn *conn;         /* NULL: no frames yet */
	int proto;
	bool to_stderr;            /* a remote-shell server: before multiplexing, and always with --msgs2stderr */
	bool only_stderr;
	struct charset *charset;   /* --iconv: text for the peer is converted to UTF-8; NULL: sent as it is */
	bool quiet;                /* -q on a remote-shell server: no info messages */
	void (*log)(void *ctx, const char *text);
	void *log_ctx;
};

/* Makes r the sink of say(); r must outlive it. Set up before threads start. */
void route_install(struct route *r);

#endif
