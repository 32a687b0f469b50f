/*
 * text.h - text for logs and terminals, and lexical path helpers.
 */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include "base/buf.h"

/* Appends s with control bytes (except TAB), DEL-free, and 0x80-0x9f written as \#ooo, and the
   backslash of a literal \#ooo escaped, as in rsync's log file (spec 06 §14.2). */
void text_escape(struct buf *out, const char *s, size_t len);

/* Cleans a path in place: duplicate slashes and "." components removed, trailing slash removed,
   one leading slash kept; ".." is left alone. An empty result becomes ".". Returns the length. */
size_t path_clean(char *p);

/* Resolves a relative path in place by its text: slashes that repeat or lead go, ".." takes the component before it and
   cannot climb, "." goes unless keep_dots; a trailing slash stays. Returns the length, which may be 0. */
size_t path_collapse(char *p, bool keep_dots);

/* True if any component of p is "..". */
bool path_has_dotdot(const char *p);

/* Last component of p (p itself without a slash). */
const char *path_leaf(const char *p);

/* Unpadded base64 (spec 01 §3.8). out takes 4 * ((n + 2) / 3) + 1 bytes. Returns the length. */
size_t base64_encode(char *out, const void *in, size_t n);

/* Compares n bytes in constant time. */
bool same_secret(const void *a, const void *b, size_t n);

#endif
