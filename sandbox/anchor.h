/*
 * anchor.h - an anchor: a held directory and the rules for resolving names beneath it.
 *
 * Everything kedge does to files is (anchor, directory beneath it, leaf). An anchor is
 * immutable after creation and counted, so that threads may share it; a thread works
 * through its own view of it (struct sb, fs.h). Spec 08 §20, 09 §5.
 */
#ifndef SANDBOX_ANCHOR_H
#define SANDBOX_ANCHOR_H

#include <sys/types.h>

#include "base/util.h"

struct anchor;

/* What a symbolic link among the *directory components* of a name does. The leaf is never
   followed, except by the operations with "follow" in their name. */
enum links {
	LINKS_REFUSE,          /* -ELOOP: the rule for every name that came from a peer */
	LINKS_IN_ROOT,         /* followed while it stays beneath the anchor; absolute, empty or climbing
	                          out is -ELOOP (-K; -k, -L, --copy-unsafe-links of a daemon) */
	LINKS_TRUSTED,         /* followed anywhere if owned by uid 0 or our euid (names of --files-from) */
	LINKS_FREE,            /* plain following (--insecure-links; -k, -L of a sender that is no daemon) */
};

enum {
	ANCHOR_READ_ONLY = 1 << 0,     /* every operation that changes anything fails with -EROFS */
	ANCHOR_CREATE = 1 << 1,        /* when opening: create the last component if missing (0777 & ~umask) */
	ANCHOR_CREATE_PARENTS = 1 << 2, /* when opening: create every missing component */
	ANCHOR_DOTDOT = 1 << 3,        /* anchor_sub: ".." in relpath steps up, never above the anchor */
	ANCHOR_PORTABLE = 1 << 4,      /* walk component by component even if the kernel has openat2 (tests);
	                                  inherited by anchor_sub. Test-hook builds also take it from the
	                                  environment: KEDGE_PORTABLE_WALK=1 */
	ANCHOR_PRIVATE = 1 << 5,       /* what is created is its owner's alone (0700) */
};

/* Who must own a symbolic link that an operator's path runs through. */
enum trust {
	TRUST_OWNER,           /* uid 0 or our euid, in a directory others cannot rewrite; at most 40 links (08 §20.B) */
	TRUST_ALL,             /* as given: source operands (08 §20.C.1), insecure links */
};

/* Opens a directory that the operator named (absolute, or relative to the working directory) as
   an anchor. flags: ANCHOR_*. 0 or negative errno (-ELOOP: an untrusted link). */
int anchor_open(struct anchor **out, const char *path, enum trust trust, enum links links, unsigned flags);

/* anchor_open with TRUST_OWNER, LINKS_REFUSE and no flags. */
int anchor_open_trusted(struct anchor **out, const char *path);

/* Takes over an open directory fd (O_PATH is enough). -ENOTDIR if it is none; fd is closed on failure. */
int anchor_from_fd(struct anchor **out, int take_fd, enum links links, unsigned flags);

/* An anchor for a directory beneath another one: the destination, --temp-dir, --backup-dir, alternate
   destinations of a daemon; or, with relpath "", the same directory under another rule. relpath is relative
   (no leading slash); "." and repeated slashes are allowed, ".." only with ANCHOR_DOTDOT. how says what links
   inside relpath do (LINKS_REFUSE or LINKS_IN_ROOT, or wider if the parent's own rule is);
   links and flags are those of the new anchor; a read-only anchor has only read-only ones beneath it. */
int anchor_sub(struct anchor **out, const struct anchor *a, const char *relpath, enum links how,
	       enum links links, unsigned flags);

/* The deepest directory that holds them all (n > 0), as a new anchor with LINKS_REFUSE: what a process that only
   needs these can be jailed in. Found by stepping up from the held directories, not by names. */
int anchor_common(struct anchor **out, struct anchor *const *v, size_t n);

struct anchor *anchor_ref(struct anchor *a);
void anchor_unref(struct anchor *a); /* NULL is allowed; closes with the last reference */

/* The held fd (O_PATH), for Landlock rules and chroot; stays owned by the anchor. */
int anchor_fd(const struct anchor *a);
/* Where the directory that fd holds lies beneath the anchor: without leading slash, "" for the anchor itself. By the names
   that both have now: for finding it again, not for deciding what may be done there. out: PATH_LIMIT + 1 bytes.
   0, -EXDEV when it lies elsewhere, or another negative errno. */
int anchor_find(const struct anchor *a, int fd, char *out) NODISCARD;
enum links anchor_links(const struct anchor *a);
bool anchor_read_only(const struct anchor *a);

/* False where only the component-wise walk is available. */
bool anchor_have_openat2(void);

static inline void cleanup_anchorp(struct anchor **a) { anchor_unref(*a); }
#define _cleanup_anchor_ __attribute__((cleanup(cleanup_anchorp)))

#endif
