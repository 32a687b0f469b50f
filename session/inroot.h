/*
 * inroot.h - path arguments of a server for which one directory is "/" (--confine-root).
 */
#ifndef SESSION_INROOT_H
#define SESSION_INROOT_H

#include "session/args.h"
#include "session/options.h"

/*
 * The path arguments of finished options as paths within root: absolute and relative ones both begin at it, ".." is
 * resolved in the text and may not lead above it. Wildcards are expanded where no shell has done so: in secluded
 * arguments, and where the rules of a restricted key have patterns for them. host_root: root as a path of the
 * host without leading slash, which absolute arguments may begin with; NULL: they may not.
 * 0, or -1 with exit_code and error of p.
 */
int inroot_paths(struct words *out, struct options *p, struct anchor *root, const char *host_root);

/*
 * rrsync looks at the client's paths itself, opens them, and names them to its rsync as /proc/self/fd/N or below it. In
 * the options and paths of a command line such names become paths within root, where the directory behind N lies in it.
 * Before options_finish(). 0, or -1 with exit_code and error of p.
 */
int inroot_handed(struct options *p, const struct anchor *root);

#endif
