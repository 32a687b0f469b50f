/*
 * say.h - messages for the user and the log.
 *
 * One process-wide sink takes every message. The session installs one that sends
 * frames to the peer and lines to the log (spec 01 §9.3, §9.6); the daemon installs
 * one for its log; before that, messages go to standard error. A sink is installed
 * before threads start and must itself be thread-safe.
 */
#ifndef BASE_SAY_H
#define BASE_SAY_H

#include "base/util.h"

enum say_kind {
	SAY_ERROR_XFER,        /* error that makes the run end with 23 */
	SAY_ERROR,
	SAY_WARNING,
	SAY_INFO,              /* to the user and the log */
	SAY_CLIENT,            /* to the user only */
	SAY_LOG,               /* to the log only */
};

/* text is one message without trailing newline, len bytes; it may hold any byte but NUL. */
typedef void say_sink(void *ctx, enum say_kind kind, const char *text, size_t len);

void say_set_sink(say_sink *sink, void *ctx);

/* The role shown in brackets in messages of this thread: "sender", "Receiver", "generator", "receiver". */
void say_set_role(const char *role);
const char *say_role(void);

/* Longest message: what a client takes in one frame, without its newline. */
#define SAY_MAX 5118

/* Says one message; no newline at the end of fmt. Cut at SAY_MAX bytes. */
void say(enum say_kind kind, const char *fmt, ...) PRINTF(2, 3);

/* Says "rsync: [ROLE] TEXT: STRERROR (ERRNO)". */
void say_errno(enum say_kind kind, int errnum, const char *fmt, ...) PRINTF(3, 4);

/* A message about a name as the wire has it: in UTF-8, whatever the character set of this side. */
void say_utf8(enum say_kind kind, const char *fmt, ...) PRINTF(2, 3);

/* For a sink: is the text it was given one of say_utf8()? */
bool say_is_utf8(void);

/* True once a SAY_ERROR_XFER was said by any thread. */
bool say_had_xfer_error(void);

#endif
