/*
 * hooks.h - the operator's programs around a transfer: early exec and post-xfer exec (spec 06 §10).
 */
#ifndef DAEMON_HOOKS_H
#define DAEMON_HOOKS_H

#include "daemon/connection.h"

/*
 * Inserts %VAR% into a hook command. Values of RSYNC_* variables come from the network: one with a shell
 * metacharacter is refused, others are quoted for the place where they stand (06 §10.4). Other variables are the
 * operator's environment and inserted as they are. 0; -1 with the refused variable's name in bad (64 bytes), or
 * "" there when the result is too long.
 */
int hook_expand(struct buf *out, const char *text, const struct conf_var *vars, char bad[64]);

/* Runs `early exec` if configured. 0; -1 with the verdict filled in. */
int hooks_early(struct connection *c, struct gate_verdict *v);

/* Makes the command of `post-xfer exec` ready, so that it can be run whatever happens; -1: refused. */
int hooks_prepare_post(struct connection *c, struct gate_verdict *v);

/* Runs it. status: wait status of the session. */
void hooks_post(struct connection *c, int status);

#endif
