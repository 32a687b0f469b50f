/*
 * itemlog.h - the daemon's line per item: `transfer logging`, `log format`, `log form = json` (spec 06 §14.4).
 */
#ifndef SESSION_ITEMLOG_H
#define SESSION_ITEMLOG_H

#include "base/event.h"
#include "transfer/xfer.h"

struct itemlog {
	const struct xfer *x;
	const char *format;             /* of the text; in a log for programs it only turns items on */
	const char *host, *addr, *user, *module, *module_path;
	bool each;                      /* items without data too: `%i` is asked for, or the log is for programs */
	bool deletions;                 /* deletions are written in the format */
	event_sink *sink;
	void *sink_ctx;
};

/* Starts the log of x's items in il, whose strings must be set; il must outlive the session. Nothing happens with format
   NULL or in a dry run. -1 with e when the format is too long. */
int itemlog_start(struct itemlog *il, struct xfer *x, bool json, struct err *e) NODISCARD;

/* The text of a format for one item (for tests). Unknown escapes stay as they are. */
void itemlog_expand(const struct itemlog *il, const struct item_record *rec, struct buf *out);

#endif
