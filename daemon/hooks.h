/*
 * hooks.h - the operator's programs around a transfer: early, pre-xfer and post-xfer exec, name converter
 * (spec 06 §10, §11).
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

/* Makes the commands of the other hooks ready, so that post-xfer exec can be run whatever happens; -1: refused
   (silent, with an exit code). */
int hooks_prepare(struct connection *c);

/* All arguments of a request together, as environment strings. */
#define HOOK_ARGS_MAX ((size_t)1 << 20)

/* Keeps the next argument for the environment of the hooks that follow. */
void hooks_take_arg(struct connection *c, const char *text);

/* Runs `pre-xfer exec` if configured. False: it refuses; text (size bytes) is for the client. */
bool hooks_pre(struct connection *c, char *text, size_t size);

/* Starts `name converter` if configured; a failure is that of the first question. */
void hooks_start_converter(struct connection *c);
void hooks_stop_converter(struct connection *c);
/* Asks it: what is "uid", "gid", "usr" or "grp". 0 with the answer; -ENOENT: unknown; -EPIPE: it is gone, which was
   logged and ends the session. */
int hooks_convert(struct connection *c, const char *what, const char *key, char *out, size_t size);

/* Runs `post-xfer exec`. status: wait status of the session. */
void hooks_post(struct connection *c, int status);

#endif
