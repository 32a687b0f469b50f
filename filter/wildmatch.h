/*
 * wildmatch.h - rsync's wildcard matcher (spec 04 §6): ?, *, **, [classes] and backslash.
 *
 * Byte strings, no locale beyond the class tests; work is bounded by pattern x text.
 * Used for filter names, refuse options, host and user patterns, id maps and globs.
 */
#ifndef FILTER_WILDMATCH_H
#define FILTER_WILDMATCH_H

#include "base/util.h"

/* True if the pattern matches the whole text. Neither may hold NUL bytes in rsync's sense, but any byte is safe. */
bool wild_matchn(const char *pat, size_t plen, const char *text, size_t tlen);

/* The same for NUL-terminated strings. */
bool wild_match(const char *pat, const char *text);

/* Case-insensitive (ASCII), for host patterns only (spec 06). */
bool wild_match_fold(const char *pat, const char *text);

/* True if the string holds *, ? or [ : otherwise it is compared byte by byte. */
static inline bool wild_has(const char *s) { return s[strcspn(s, "*?[")] != '\0'; }

#endif
