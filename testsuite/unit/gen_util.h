/*
 * gen_util.h - a generator without its thread, on a scratch directory, for tests: lists come through the codec, requests and
 * outcomes through the queues. Paths are relative to the scratch directory: "dest" is the destination, "alt0" to "alt19" the
 * alternate directories as far as they exist.
 */
#ifndef GEN_UTIL_H
#define GEN_UTIL_H

#include "testsuite/unit/unit.h"

#include "receiver/gen.h"

/* Modification time of every entry and of what put() makes. */
#define THEN 1000000000

extern char said[16384];       /* every message, each with a newline */
extern struct xfer_opts o;     /* to be set before gen_begin */
extern struct budget budget;
extern struct rx rx;
extern struct gen g;

/* The scratch directory with an empty "dest". */
int gen_setup(void **state);
int gen_teardown(void **state);
/* After the options are set and the directories made. */
void gen_begin(bool inc);
/* Ends it: nothing may have failed, nothing may be left. */
void gen_end(void);

const char *in_top(const char *rel);           /* valid for four calls */
void put_dir(const char *rel);
void put(const char *rel, const char *text);
bool there(const char *rel);
bool holds(const char *rel, const char *text);
bool same_file(const char *a, const char *b);
int count(const char *rel);                    /* names in a directory */
bool was_said(const char *text);

/* An entry of a list; name ends in a slash: a directory. size: of a file; ino: not 0 for one with several links. */
struct row { const char *name; int64_t size; uint64_t ino; };
#define D(name) { name, 0, 0 }
#define F(name, size) { name, size, 0 }
#define L(name, size, ino) { name, size, ino }

/* Sends a list and has it taken in. dir_ndx: number of its directory, -1 for the first list. */
struct glist *give_rows(const struct row *rows, size_t n, int32_t dir_ndx);
#define GIVE(dir_ndx, ...) give_rows((const struct row[]){ __VA_ARGS__ }, sizeof((const struct row[]){ __VA_ARGS__ }) / sizeof(struct row), dir_ndx)

int32_t ndx_of(const char *name);
const struct fent *entry(const char *name);
/* What the other thread says of a request. */
void outcome(enum ev_kind kind, const char *name);
/* The next request is for that entry, and is taken. */
void assert_request(const char *name, uint8_t basis);
void assert_no_request(void);

#endif
