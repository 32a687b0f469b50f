/*
 * argreader.h - secluded arguments (-s): read and understood by a process of their own.
 *
 * They are the first bytes of the peer, and name what the server will be allowed to reach. So the server forks a
 * reader that may list directories, for wildcards, and do nothing else; it parses the words, expands the paths and
 * sends back, as messages of fixed size, the words (opaque here; parsed again behind the confinement), the paths, and
 * the plan of what is to be opened (reach.h).
 */
#ifndef SESSION_ARGREADER_H
#define SESSION_ARGREADER_H

#include "session/args.h"
#include "session/reach.h"

struct argreader {
	struct options *p;             /* the first batch, parsed; the reader's copy takes the second */
	int in_fd;                     /* read up to the end of the batch and not a byte further */
	const char *cwd;               /* without a leading slash */
	struct anchor *root;           /* --confine-root; NULL: the reader lists what the user may */
	const char *host_root;         /* see inroot.h */
	struct charset *charset;       /* --iconv; may be NULL */
	/* Results, initialised by the caller. */
	struct words *batch;           /* words of the second batch, its first one included */
	struct words *paths;           /* path arguments, expanded */
	struct reach_plan *plan;
};

/* Single-threaded callers only, after confine_prepare(). 0; -1 with e; or the exit code of a
   reader that has told its user what is wrong. */
int argreader_run(struct argreader *a, struct err *e) NODISCARD;

#endif
