/*
 * serverlog.h - the log that a remote-shell server keeps when it is told to.
 */
#ifndef SESSION_SERVERLOG_H
#define SESSION_SERVERLOG_H

#include "session/itemlog.h"
#include "session/run.h"

/* Opens --log-file and starts its items in il, which must outlive the session; call it before anything is sent and before the
   process is confined (the open file must be kept). A file that cannot be opened is told and goes without. -1: in_err. */
int serverlog_start(struct session *s, const struct server_logger *l, struct itemlog *il) NODISCARD;

#endif
