/*
 * glob.h - wildcard expansion of path arguments by the server (spec 05 §5.3).
 *
 * Works on names alone: the tree is seen through callbacks, the module's rules through the filter room.
 */
#ifndef SESSION_GLOB_H
#define SESSION_GLOB_H

#include "filter/filter.h"

/* More open directories, or more names looked at, than any sensible argument needs: a pattern of many stars over
   symlinks to their own directory would otherwise walk for ever. */
#define GLOB_DEPTH_MAX 32
#define GLOB_NAMES_MAX 1000000

struct glob_tree {
	void *ctx;
	/* Calls each() for the entries of dir (anchor-relative, "" = the anchor) in directory order, without "." and
	   "..", until it returns non-zero, and returns that. 0 also when dir cannot be read. */
	int (*list)(void *ctx, const char *dir, int (*each)(void *arg, const char *name), void *arg);
	/* True if path is a directory; symlinks count as what they lead to. */
	bool (*is_dir)(void *ctx, const char *path);
};

/*
 * Calls found() for each expansion of word: relative ones are seen from cwd (anchor-relative), absolute ones from the
 * anchor. hidden: the module's rules, may be NULL. Returns how many, -1 when found() failed, -2 past GLOB_NAMES_MAX.
 * Nothing is found for a word without wildcards.
 */
int glob_expand(const struct glob_tree *tree, const char *word, const char *cwd, const struct filter_list *hidden,
                int (*found)(void *arg, const char *path), void *arg);

#endif
