/*
 * charset.h - conversion of names between a character set of this system and UTF-8, the
 * character set of the wire (--iconv; spec 02 §11, 05 §9.9).
 *
 * charset_open may load code of the C library from disk: it must be called before a process is
 * confined. Conversions afterwards need nothing. Thread-safe.
 */
#ifndef BASE_CHARSET_H
#define BASE_CHARSET_H

#include "base/util.h"

struct charset;

/* name: as iconv_open knows it; "." or "": that of the locale. 0, or a negative errno (-EINVAL: not known). */
int charset_open(struct charset **out, const char *name) NODISCARD;
void charset_close(struct charset *c);

enum charset_way { CHARSET_TO_UTF8, CHARSET_FROM_UTF8 };

/* Converts one name of len bytes; writes at most size bytes and a NUL behind them (out has size + 1). Returns the
   length, or -EILSEQ (no such character, or one that would be a NUL), -EINVAL (cut in the middle of a character),
   -E2BIG. */
int charset_name(struct charset *c, enum charset_way way, const char *in, size_t len, char *out, size_t size);

/* The same for text that is to be read by people, or names that are only looked up: what cannot be converted is
   copied as it is; the result is cut at size bytes. */
size_t charset_text(struct charset *c, enum charset_way way, const char *in, size_t len, char *out, size_t size);

#endif
