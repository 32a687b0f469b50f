/*
 * serverlog.h - the log that a remote-shell server keeps when it is told to.
 */
#ifndef SESSION_SERVERLOG_H
#define SESSION_SERVERLOG_H

#include "session/itemlog.h"
#include "session/run.h"

/* Opens --log-file, before the process is confined; l->fd() must be kept. A file that cannot be opened is told, and the
   session goes without. True if it is open. */
bool serverlog_open(const struct server_logger *l, const char *path);

/* Starts its items in il, which must outlive the session, once the options are complete and before anything is sent. -1: in_err. */
int serverlog_start(struct session *s, const struct server_logger *l, struct itemlog *il) NODISCARD;

#endif
