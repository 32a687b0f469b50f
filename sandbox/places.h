/*
 * places.h - what an operator's paths were found to be, before this process gave up reaching them.
 *
 * A table of path texts ("home/u/in": seen from "/", without a leading or trailing slash, ".." kept as given) and
 * the anchors or files that they named. Later a path is looked up by its longest entry, and what is left of it is
 * resolved beneath that anchor. Filled by one thread, then constant: any number of threads may look things up.
 */
#ifndef SANDBOX_PLACES_H
#define SANDBOX_PLACES_H

#include "sandbox/anchor.h"

struct places;

struct places *places_new(void);        /* NULL without memory */
void places_free(struct places *pl);    /* NULL is allowed; releases what was added */

/* An anchor (taken over; on failure released), or with NULL the negative errno that opening it gave. 0 or -ENOMEM. */
int places_add(struct places *pl, const char *path, struct anchor *take, int err);

/* An open file, or the negative errno that opening it gave. */
int places_add_file(struct places *pl, const char *path, int take_fd);

/* The anchor (borrowed) of the longest entry that path begins with, and the rest of path ("" or without a leading
   slash). 0, the entry's error, or -ENOENT. */
int places_find(const struct places *pl, const char *path, struct anchor **a, const char **rest);

/* A descriptor of the file of this very path, at its beginning if it is seekable. Its error, or -ENOENT. Not for
   two threads at a time: they would share the position. */
int places_open_file(const struct places *pl, const char *path);

bool places_has_file(const struct places *pl, const char *path);

/* The number of entries; the descriptor that entry i holds (anchor or file), -1 where it is an error; and the anchors
   (borrowed; v has room for all entries), whose number is returned. */
size_t places_count(const struct places *pl);
int places_fd(const struct places *pl, size_t i);
size_t places_anchors(const struct places *pl, struct anchor **v);

#endif
