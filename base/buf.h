/*
 * buf.h - a growable byte string.
 *
 * Appending fails softly: after a failed allocation the buffer is marked and keeps
 * what it had; the caller tests buf->failed once at the end.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include "base/mem.h"

struct buf {
	char *data;            /* NUL-terminated behind len when not NULL */
	size_t len, cap;
	struct budget *budget; /* may be NULL */
	bool failed;
};

#define BUF_INIT(b) { .budget = (b) }

void buf_free(struct buf *b);
void buf_clear(struct buf *b);
void buf_add(struct buf *b, const void *data, size_t len);
void buf_adds(struct buf *b, const char *s);
void buf_addc(struct buf *b, char c);
void buf_addf(struct buf *b, const char *fmt, ...) PRINTF(2, 3);

/* Never NULL. */
static inline const char *buf_str(const struct buf *b) { return b->data ? b->data : ""; }

#define _cleanup_buf_ __attribute__((cleanup(buf_free)))

#endif
