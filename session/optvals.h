/*
 * optvals.h - value syntaxes of options (spec 05 §9).
 */
#ifndef SESSION_OPTVALS_H
#define SESSION_OPTVALS_H

#include "base/mem.h"
#include "transfer/options.h"

#define BLOCK_SIZE_MAX ((int64_t)1 << 17)

/* --chown=U:G as the two maps that it stands for. -1 when a map was given before. */
int optval_chown(const char *arg, struct arena *a, const char **usermap, const char **groupmap, bool *owner, bool *group);

/* --info=WORDS on a server: unknown words are ignored; user-given levels outrank those of -v. */
void optval_info(struct xfer_opts *o, const char *arg);

/* Fills in the levels that -v and --stats set by default, below what --info gave. */
void optval_verbosity(struct xfer_opts *o);

#endif
