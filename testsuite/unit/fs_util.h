/* fs_util.h - a scratch tree, and anchors and views of it, for tests of the filesystem operations. */
#ifndef FS_UTIL_H
#define FS_UTIL_H

#include "testsuite/unit/unit.h"
#include "sandbox/fs_priv.h"

extern unsigned how;           /* ANCHOR_PORTABLE in the second round */

extern char top[64];           /* scratch; of start(), or of a test's own set-up */

/* Beneath the scratch directory, in which root is the anchor's place and out lies outside of it. One of four buffers. */
const char *in_top(const char *rel);
void put(const char *rel, const char *text);
bool has(const char *rel, const char *text); /* the file's contents are text */

struct anchor *anchor(enum links links, unsigned flags);
struct sb *view(enum links links, unsigned flags);

/* Group set-up and tear-down. */
int start(void **state);
int stop(void **state);

/* A round of one test with openat2, one with the portable walk; each with an fd balance check. */
void twice(void (*test)(void));

#define BOTH(name) \
	static void name##_(void); \
	static void name(void **state) { (void)state; twice(name##_); } \
	static void name##_(void)

#endif
