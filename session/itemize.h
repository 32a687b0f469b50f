/*
 * itemize.h - the eleven characters that say what happened to an item, `%i` (spec 07 §14.6).
 */
#ifndef SESSION_ITEMIZE_H
#define SESSION_ITEMIZE_H

#include "protocol/flist.h"
#include "transfer/xfer.h"

#define ITEMIZE_LEN 11

/* Writes them with a NUL. deleted: a deletion, flags do not matter. */
void itemize(char out[ITEMIZE_LEN + 1], const struct xfer *x, const struct fent *e, const struct item *it, bool deleted);

/* True if the item changed something that is worth a line. */
bool itemize_significant(const struct item *it);

#endif
