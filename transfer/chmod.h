/*
 * chmod.h - the mode language of --chmod and of the daemon's incoming/outgoing chmod
 * (spec 08 §14.6).
 */
#ifndef TRANSFER_CHMOD_H
#define TRANSFER_CHMOD_H

#include <sys/stat.h>

#include "base/util.h"

struct chmod_rules;

/* Parses a comma-separated specification; umask applies to items without who-letters. Several
   specifications are one joined by commas. NULL: bad text (errno EINVAL) or no memory (ENOMEM). */
struct chmod_rules *chmod_parse(const char *spec, mode_t mask);
void chmod_free(struct chmod_rules *r);        /* NULL is allowed */

/* Permission bits of mode after all items; its type decides about D and F and is kept. Symbolic
   links are returned unchanged. r may be NULL: no change. */
mode_t chmod_apply(const struct chmod_rules *r, mode_t mode);

#endif
