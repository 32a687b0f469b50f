/*
 * flist_priv.h - inside of a file-list set; for protocol/flist*.c and ids.c only.
 */
#ifndef PROTOCOL_FLIST_PRIV_H
#define PROTOCOL_FLIST_PRIV_H

#include "protocol/flist.h"

/* Header flags, spec 02 §3.1. */
enum {
	XMIT_TOP_DIR = 0x0001,
	XMIT_SAME_MODE = 0x0002,
	XMIT_SAME_RDEV_27 = 0x0004,
	XMIT_EXTENDED = 0x0004,
	XMIT_SAME_UID = 0x0008,
	XMIT_SAME_GID = 0x0010,
	XMIT_SAME_NAME = 0x0020,
	XMIT_LONG_NAME = 0x0040,
	XMIT_SAME_TIME = 0x0080,
	XMIT_SAME_RDEV_MAJOR = 0x0100,
	XMIT_NO_CONTENT_DIR = 0x0100,
	XMIT_HLINKED = 0x0200,
	XMIT_SAME_DEV_28 = 0x0400,
	XMIT_USER_NAME = 0x0400,
	XMIT_RDEV_MINOR_8_28 = 0x0800,
	XMIT_GROUP_NAME = 0x0800,
	XMIT_HLINK_FIRST = 0x1000,
	XMIT_IO_ERROR_END = 0x1004,
	XMIT_MOD_NSEC = 0x2000,
	XMIT_SAME_ATIME = 0x4000,
	XMIT_CRTIME_EQ_MTIME = 0x20000,
};

/* Private flag of an entry: it was sent as first of a hard-link group, whether or not -H is on. */
#define FENT_WIRE_FIRST 0x8000

/* A set of 32-bit numbers that remembers the order of arrival. */
struct u32set {
	uint32_t *order, *slot;        /* slot: position in order + 1 */
	size_t count, cap, mask, slots;
};

/* 1: new, 0: known, -1: over budget. */
int u32set_add(struct u32set *s, struct budget *b, uint32_t v, uint64_t seed);
void u32set_free(struct u32set *s, struct budget *b);

/* (dev, inode) -> group. */
struct inode {
	uint64_t dev, ino;
	struct fent *first;            /* pre-30 receiver: first member */
	int32_t group;                 /* -1: free slot */
};

struct inomap {
	struct inode *slot;
	size_t count, slots;
};

/* The place of (dev, ino); a new one has group -1 and must be given one. NULL: over budget. */
struct inode *inomap_place(struct inomap *m, struct budget *b, uint64_t dev, uint64_t ino, uint64_t seed);
void inomap_free(struct inomap *m, struct budget *b);

/* Values that both ends remember between entries, spec 02 §4.0.1. */
struct codec {
	char name[PATH_LIMIT + 1];     /* wire name */
	size_t len;
	size_t leaf;                   /* offset of its last component; valid if clean */
	bool clean;                    /* the wire name is its own cleaned form, and dir is its directory */
	const struct fdir *dir;        /* writer: directory of the previous entry; reader: if clean */
	bool any;                      /* an entry was coded */
	int64_t mtime, atime;
	uint32_t uid, gid, rdev, major;
	uint64_t dev;
	uint16_t mode;
	bool content;                  /* pre-30 reader, spec 02 §5.2 */
	size_t content_len;
};

struct fgroup {
	const struct fdir *dir;
	struct fent **files, **dirs;   /* in order */
	uint32_t file_count, dir_count;
};

struct flist_set {
	struct flist_fmt fmt;
	struct budget *budget;
	bool receiving;
	uint64_t seed;
	struct flist_hooks hooks;
	struct flist_stats stats;
	struct codec prev;

	struct flist *first, *last, *building, *found;
	int32_t next_start;            /* ndx_start of the next list */
	unsigned total;                /* entries in all */
	bool any_list;

	struct arena *dir_arena;       /* directories, their optional parts, and directory strings */
	struct fdir **dir_slot;
	size_t dir_slots, dir_strings;
	const struct fdir *root_dir;
	struct fent **dirs;            /* directory table */
	uint8_t *dir_listed;           /* a list was read for it */
	size_t dir_count, dir_cap, listed_cap;

	struct fent **wire;            /* entries of the list under construction in wire order */
	size_t wire_count, wire_cap;
	const struct fdir *inside;     /* what names must be in (spec 02 §9.3); NULL: anything */
	const struct fdir *inside_ok;  /* a directory that is equal to it but for a leading slash */

	struct u32set users, groups;
	struct inomap inodes;
	uint64_t hl_dev, hl_ino;       /* pre-30 writer: of hl_ent */
	const struct fent *hl_ent;
	int32_t *declared;             /* reader, incremental: groups whose first member was seen, ascending */
	size_t declared_count, declared_cap;

	flist_id_fn *on_id;
	void *on_id_ctx;
	flist_name_fn *name_of;
	void *name_ctx;

	const struct fdir *conv_dir;   /* --iconv writer: last directory converted */
	int conv_len;
	char conv[PATH_LIMIT + 1];     /* last: not touched before it is used */
};

/* Length of what stands before the leaf in a full name: dir and its slash. */
static inline size_t fdir_prefix(const struct fdir *d)
{
	return d->len && d->s[d->len - 1] != '/' ? (size_t)d->len + 1 : d->len;
}

static inline bool is_dot(const char *s) { return s[0] == '.' && !s[1]; }

/* The string of a directory in the set; made if it is new. NULL: over budget. */
struct fdir *fdir_get(struct flist_set *s, const char *dir, size_t len);
uint32_t fdir_hash(const struct flist_set *s, const char *dir, size_t len);

/* Starts and completes a list. NULL / -1: over budget. */
struct flist *flist_start(struct flist_set *s, int32_t dir_ndx);
int flist_complete(struct flist_set *s);
void flist_abandon(struct flist_set *s);

/* Sorts s->wire into fl->walk and leaves it in no order; for a receiving set makes the groups that flist_lookup uses. -1: over budget. */
int flist_sort(struct flist_set *s, struct flist *fl);

/* Receiving: duplicates become holes (spec 02 §8). Sending: marks second directories. */
void flist_mark_duplicates(struct flist_set *s, struct flist *fl);

/* Non-incremental lists: each entry's parent must be a directory of the list (row 17). */
int flist_check_parents(struct flist_set *s, struct rd *r, struct flist *fl);

/* An entry's place in memory: directories live in the set's arena, others in the list's. */
static inline struct arena *fent_arena(struct flist_set *s, const struct fent *e)
{
	return FENT_IS_DIR(e) ? s->dir_arena : s->building->arena;
}

struct fent *fent_new(struct flist_set *s, const struct fdir *dir, const char *name, size_t len, uint16_t mode);
int fent_append(struct flist_set *s, struct fent *e);
void flist_count(struct flist_set *s, const struct fent *e);
static inline void fext_init(struct fext *x)
{
	*x = (struct fext){ .hl_group = -1, .acl_access = -1, .acl_default = -1, .xattr = -1 };
}

static inline bool carries_rdev(const struct flist_fmt *f, uint16_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFCHR:
	case S_IFBLK:
		return f->devices;
	case S_IFIFO:
	case S_IFSOCK:
		return f->specials && f->proto <= 30;
	}
	return false;
}

static inline bool carries_sum(const struct flist_fmt *f, uint16_t mode)
{
	return f->sum_len && (S_ISREG(mode) || f->proto < 28);
}

/* Id lists of non-incremental mode (spec 02 §6). */
void ids_read_lists(struct flist_set *s, struct rd *r);
void ids_write_lists(struct flist_set *s, struct wr *w);

/* First use of an id by the writer: the name to send inline, or NULL. */
const char *ids_use(struct flist_set *s, bool is_group, uint32_t id, bool *nomem);

#endif
