/*
 * walk.h - how a name becomes a held directory. Private to sandbox/.
 *
 * Two kinds of names: beneath an anchor (never leaves it, whatever races there are), and
 * an operator's (may lead anywhere, through links that trusted users own). Fds are O_CLOEXEC.
 */
#ifndef SANDBOX_WALK_H
#define SANDBOX_WALK_H

#include <sys/types.h>

#include "base/util.h"
#include "sandbox/anchor.h"

#define WALK_LINKS_MAX 40

/* The next component of *p, or NULL at the end; repeated slashes are skipped. len receives its length, *p is left behind it. */
const char *walk_component(const char **p, size_t *len);

/* openat2 with the anchor's meaning: symbolic links not at all or only inside. -EXDEV is told as -ELOOP,
   -EAGAIN is retried. -ENOSYS without the call. */
int walk_openat2(int root, const char *path, int oflags, bool follow);

/* Opens the directory path beneath root by the rule. portable: without openat2. oflags: O_PATH or O_RDONLY (+ O_NOATIME). */
int walk_dir(int root, const char *path, enum links links, bool portable, int oflags);

enum {
	WALK_FOLLOW = 1 << 0,      /* links among the components, the last included, are followed inside */
	WALK_CREATE_LAST = 1 << 1, /* make the last component if it is missing */
	WALK_CREATE = 1 << 2,      /* make every missing component */
	WALK_ANY = 1 << 3,         /* the last component need not be a directory */
};

/* Walks component by component beneath root; ".." steps up, but not above root (-ELOOP). Returns an O_PATH fd of the object.
   real (PATH_LIMIT + 1 bytes, or NULL) receives its path without links; made (or NULL) counts the directories made. */
int walk_beneath(int root, const char *path, unsigned flags, mode_t mode, char *real, unsigned *made);

/* An operator's path, resolved to a held parent and a leaf. leaf is "." for "/", "..", and the like. */
struct spot {
	int parent;                /* O_PATH, to be closed; -1 after failure */
	char leaf[256];
};

enum {
	SPOT_FREE = 1 << 0,        /* whoever owns the links */
	SPOT_NOFOLLOW_LEAF = 1 << 1,
	SPOT_CREATE = 1 << 2,      /* make missing parents */
};

/* path relative to the fd at (or AT_FDCWD). The leaf need not exist, and is never a link unless SPOT_NOFOLLOW_LEAF. */
int walk_spot(int at, const char *path, unsigned flags, mode_t mode, struct spot *out);

static inline void cleanup_spot(struct spot *s) { if (s->parent >= 0) close(s->parent); }
#define _cleanup_spot_ __attribute__((cleanup(cleanup_spot)))

#endif
