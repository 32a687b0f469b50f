/*
 * optvals.h - value syntaxes of options (spec 05 §9).
 */
#ifndef SESSION_OPTVALS_H
#define SESSION_OPTVALS_H

#include <time.h>

#include "base/mem.h"
#include "transfer/options.h"

#define BLOCK_SIZE_MAX ((int64_t)1 << 17)

/* One half of --chown as the map that it stands for; NULL without memory. */
const char *optval_map_all(struct arena *a, const char *to, size_t len);

/* --stop-at: the moment meant by text as seen at now. 0, -1 bad syntax, -2 not in the future. */
int optval_stop_at(const char *text, time_t now, int64_t *out);

/* --info=WORDS on a server: unknown words are ignored; user-given levels outrank those of -v. */
void optval_info(struct xfer_opts *o, const char *arg);

/* Fills in the levels that -v and --stats set by default, below what --info gave. */
void optval_verbosity(struct xfer_opts *o);

#endif
