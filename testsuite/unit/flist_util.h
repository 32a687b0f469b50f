/* flist_util.h - recorded file lists (testsuite/unit/data/flist-sessions.txt) for tests. */
#ifndef FLIST_UTIL_H
#define FLIST_UTIL_H

#include "protocol/flist.h"

struct want {
	uint8_t name[4096], link[4096], sum[64];
	size_t name_len, link_len, sum_len;
	unsigned mode;
	long long size, mtime, nsec, uid, gid, major, minor, dev, ino, ref, atime, sorted;
};

struct seg {
	int dir_ndx;
	size_t len, list_len;          /* list_len: without id lists */
	uint8_t *bytes;
	struct want *want;
	size_t n;
};

struct session {
	char name[32], opts[32];
	int proto;
	unsigned compat, sum_len;
	struct flist_fmt fmt;
	struct seg *seg;
	size_t n;
};

/* Reads the data file; the result is never freed. Returns the number of sessions. */
size_t load_sessions(const char *path, struct session **out);

size_t unhex(uint8_t *out, const char *hex);

/* Full name as on the wire: directory, slash, last component. */
size_t wire_name(const struct fent *e, char *out);

#endif
