/*
 * fs_priv.h - the insides of anchors and views. Private to sandbox/.
 */
#ifndef SANDBOX_FS_PRIV_H
#define SANDBOX_FS_PRIV_H

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>

#include "sandbox/fs.h"
#include "sandbox/walk.h"

struct anchor {
	_Atomic unsigned refs;
	int fd;
	unsigned flags;
	enum links links;
	bool portable;         /* no openat2: not there, or not wanted */
};

/* An open directory in the cache. */
struct dirent_fd {
	int fd;
	uint32_t hash;
	unsigned prev, next;   /* by use; slot numbers */
	unsigned chain;        /* next in the hash bucket */
	size_t len;
	size_t cap;
	char *path;
	int64_t seen;          /* when it was looked up */
	struct sb_dir *user;   /* a listing that reads from fd; fd goes to it when the slot is dropped */
};

#define SLOT_NONE UINT_MAX
#define SB_SPARES 4
#define SB_DIR_BUF 32768

struct sb_dir {
	struct sb *sb;
	int fd;
	unsigned slot;         /* the cache slot that owns fd, or SLOT_NONE: we do */
	size_t pos, end;
	char buf[SB_DIR_BUF] __attribute__((aligned(8)));
};

struct sb {
	struct anchor *a;
	unsigned changes;      /* the global count of directory changes that the cache reflects */
	unsigned last;         /* slot of the latest directory, or SLOT_NONE */
	unsigned hand;         /* slot of the operation's first directory: not to be closed */
	int64_t now, seen;     /* when the operation began; when the anchor was looked at */
	bool fresh;            /* the latest place was opened just now: a retry is useless */
	unsigned size, mask;   /* slots; buckets - 1 */
	unsigned head, tail, empty; /* most and least recently used; list of empty slots (by next) */
	struct dirent_fd *slots;
	unsigned *buckets;
	uint64_t prng;
	unsigned nspares;
	struct sb_dir *spares[SB_SPARES];
};

/* The held directory for dir: an fd that stays valid until the next sb_place of this view (sb_place_more: until
   the next but one). Borrowed. */
int sb_place(struct sb *sb, const char *dir);
int sb_place_more(struct sb *sb, const char *dir); /* the second one of an operation */
void sb_sync(struct sb *sb); /* begins an operation: looks for changes by other threads, and at the clock */

/* Opens dir readable for listing: an fd of its own, which is also put into the cache (d->slot) where possible. */
int sb_place_listing(struct sb *sb, const char *dir, int oflags, struct sb_dir *d);

/* Gives an open directory to the cache on behalf of d, if the path is not there yet. */
void sb_cache_listing(struct sb *sb, const char *path, struct sb_dir *d);

/* After a failure with error r (negative): true if the directory should be looked up again and the call repeated.
   creates: the call makes its leaf, so that ENOENT speaks of the directory. */
bool sb_stale(struct sb *sb, const char *dir, int r, bool creates);

/* dir/leaf has been removed, renamed or replaced, and may have been a directory (or, where links are followed, a link to one). */
void sb_changed(struct sb *sb, const char *dir, const char *leaf, bool surely_dir);

/* From now on this process reaches no mount on which a device can be opened (confine.c). */
void sb_devices_are_shut(void);

/* dir + "/" + leaf, into PATH_LIMIT + 1 bytes. leaf "." gives dir. */
int sb_join(const char *dir, const char *leaf, char *out);

static inline bool is_dot(const char *leaf) { return leaf[0] == '.' && !leaf[1]; }

/* 0 or -EINVAL. */
static inline int leaf_check(const char *leaf, bool dot_ok)
{
	if (leaf[0] == '.') {
		if (!leaf[1])
			return dot_ok ? 0 : -EINVAL;
		if (leaf[1] == '.' && !leaf[2])
			return -EINVAL;
	}
	return !leaf[0] || strchr(leaf, '/') ? -EINVAL : 0;
}

static inline int may_change(const struct sb *sb, const char *leaf, bool dot_ok)
{
	return sb->a->flags & ANCHOR_READ_ONLY ? -EROFS : leaf_check(leaf, dot_ok);
}

/* Runs call, an expression giving -1 and errno, with the directory fd in the variable at. */
#define AT_PLACE(sb, dir, creates, call) __extension__({ \
	int r_; \
	do { \
		int at = sb_place((sb), (dir)); \
		r_ = at < 0 ? at : (int)(call); \
		if (at >= 0 && r_ < 0) \
			r_ = -errno; \
	} while (UNLIKELY(r_ < 0) && sb_stale((sb), (dir), r_, (creates))); \
	r_; \
})

/* For kernels without the *at form of a call: opens a regular file or directory for an f* call. -EOPNOTSUPP for other
   types. */
int sb_open_plain(struct sb *sb, const char *dir, const char *leaf);

#endif
