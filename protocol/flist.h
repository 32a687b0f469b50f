/*
 * flist.h - the file list: entries, lists, indexes, order, and their wire form (spec 02).
 *
 * An entry is immutable once its list is complete. Directory entries and directory
 * names live as long as the set (later lists need them as parents); everything else
 * of a list is freed with the list. One thread owns the set and its codec; other
 * threads may read complete lists that the owner handed to them.
 */
#ifndef PROTOCOL_FLIST_H
#define PROTOCOL_FLIST_H

#include <sys/stat.h>

#include "base/mem.h"
#include "protocol/wire.h"

/* The directory part of names, shared by the entries of a directory: no trailing slash, "" for
   the transfer root. With --relative it may begin with '/' ("/" alone is the directory of "/x").
   One per string in a set, so equal pointers mean equal directories. */
struct fdir {
	uint32_t len;
	uint32_t hash, mark;           /* private */
	char s[];
};

/* Optional fields of an entry; allocated only when one is present. */
struct fext {
	const char *link;              /* symlink target, NUL-terminated; NULL if none */
	uint32_t link_len;
	uint32_t rdev_major, rdev_minor;
	int32_t hl_group;              /* group key of a hard-linked entry (spec 02 §4.10); -1 if none */
	int64_t atime, crtime;
	const uint8_t *sum;            /* -c digest of flist_fmt.sum_len bytes, or NULL */
	int32_t acl_access, acl_default, xattr;   /* indexes into the connection's tables; -1 if none */
};

enum {
	FENT_TOP_DIR = 0x01,           /* root of a requested hierarchy */
	FENT_CONTENT = 0x02,           /* directory whose contents are in the list: deletion may scan it */
	FENT_IMPLIED = 0x04,           /* parent made up by --relative */
	FENT_HLINKED = 0x08,
	FENT_HLINK_FIRST = 0x10,       /* first transmitted member of its group */
	FENT_CLEARED = 0x20,           /* hole: a removed duplicate or an unusable name; keeps its index */
	FENT_MISSING = 0x40,           /* mode 0: a missing argument (--delete-missing-args) */
	FENT_DUP_DIR = 0x80,           /* sender: a second directory of equal name, has no list of its own */
	FENT_MOUNT = 0x100,            /* sender: mount point under -x */
	FENT_SENT = 0x200,             /* sender: delivered once (redo detection) */
};

struct fent {
	const struct fdir *dir;
	struct fext *ext;              /* NULL if there are no optional fields */
	int64_t size, mtime;
	uint32_t nsec, uid, gid;       /* ids as the sender's system has them */
	uint16_t mode, flags;
	uint16_t root;                 /* sender: number of the source root it was found under */
	char name[];                   /* last component, NUL-terminated; "." for a transfer root */
};

#define FENT_TYPE(e)   ((e)->mode & S_IFMT)
#define FENT_IS_DIR(e) (FENT_TYPE(e) == S_IFDIR)
#define FENT_IS_REG(e) (FENT_TYPE(e) == S_IFREG)
#define FENT_IS_LNK(e) (FENT_TYPE(e) == S_IFLNK)
#define FENT_IS_DEV(e) (FENT_TYPE(e) == S_IFCHR || FENT_TYPE(e) == S_IFBLK)
#define FENT_IS_SPECIAL(e) (FENT_TYPE(e) == S_IFIFO || FENT_TYPE(e) == S_IFSOCK)

/* "dir/name" in out (PATH_LIMIT + 1 bytes), leading slash of --relative names dropped; returns the length. */
size_t fent_path(const struct fent *e, char *out);

struct flist {
	struct flist *next;            /* later list */
	int32_t ndx_start;             /* index of sorted[0] */
	int32_t count;                 /* entries, holes included */
	struct fent **sorted;          /* in transfer order; with wire_order, in wire order */
	struct fent **walk;            /* order in which to process: == sorted unless wire_order */
	struct fent *parent;           /* entry that index ndx_start - 1 denotes; NULL if that index is invalid */
	int32_t dir_ndx;               /* directory number that this list describes; -1 for the first list */
	struct arena *arena;
	uint8_t *state;                /* count bytes for the receiving side's generator; zeroed */
	int64_t total_size;            /* regular files and symlinks */
	void *user;                    /* for the role that uses the list */

	/* private: where flist_lookup finds the entries of a directory */
	struct fgroup *groups;
	uint32_t *group_hash;
	uint32_t group_count, group_mask;
};

/* What the options and the negotiation make of the list format. */
struct flist_fmt {
	int proto;
	bool inc_recurse, varint_flags, safe_end, id0_names;      /* compat bits (safe_end also when proto >= 31) */
	bool links, hard_links, devices, specials, uid, gid, atimes, crtimes, acls, xattrs;
	bool relative, recurse, delete_missing_args, numeric_ids, ignore_errors;
	bool wire_order;               /* --iconv: indexes are wire positions (spec 02 §11) */
	unsigned sum_len;              /* digest bytes of -c entries; 0 without -c */
	unsigned max_entries;          /* 0: only the index space and the budget limit */
	bool no_names;                 /* sender, module with `numeric ids`: names neither inline nor in the lists, but
	                                  the lists' frame and the name of id 0 are sent (spec 02 §4.7) */
};

/* Counts for --stats (spec 03 §17). */
struct flist_stats {
	int64_t files, dirs, links, devices, specials, total_size, bytes;
};

/* Called when an id is seen with its name (inline or in the id lists, id 0 included); name is not empty
   and NUL-terminated. */
typedef void flist_id_fn(void *ctx, bool is_group, uint32_t id, const char *name);

/* Asked by the encoder: the name of an id, or NULL. */
typedef const char *flist_name_fn(void *ctx, bool is_group, uint32_t id);

struct flist_set;

/* NULL without memory. receiving: apply every check of spec 02 §18 that needs no client knowledge
   (rows 15, 16 and §5.3 are the on_entry hook's; rows 24-29 the caller's, by flist_find and flist_entry).
   fmt is copied. */
struct flist_set *flist_set_new(const struct flist_fmt *fmt, struct budget *budget, bool receiving);
void flist_set_free(struct flist_set *s);
const struct flist_stats *flist_set_stats(const struct flist_set *s);
struct flist *flist_first(const struct flist_set *s);   /* oldest list still held */
struct flist *flist_last(const struct flist_set *s);

/* ---- receiving ---- */

/* Reads one list (first or sub-list) with its end marker and, in non-incremental mode, the id lists
   and the io_error of old protocols; sorts it, removes duplicates (they become holes) and appends it.
   dir_ndx: -1 for the first list, else the announced directory number (checked here). Bits of
   io_error are OR-ed into *io_error (masked; dropped with ignore_errors). NULL on failure: r says why.
   Parents of entries are checked as well (rows 17, 18). Below protocol 30 hl_group is made up: equal for
   equal (dev, inode), and members of groups of one are not FENT_HLINKED. */
struct flist *flist_read(struct flist_set *s, struct rd *r, int32_t dir_ndx, int *io_error);
void flist_on_id(struct flist_set *s, flist_id_fn *fn, void *ctx);

/* ---- sending ---- */

/* Starts a list; dir_ndx as above. Entries are added in wire order with flist_add, then flist_end sorts
   (stable) and appends the directories to the directory table; that is done by flist_write_end. NULL when over budget. */
struct flist *flist_begin(struct flist_set *s, int32_t dir_ndx);

/* A new entry in the list under construction, zeroed but for dir and name; the caller fills the rest
   (ext by flist_ext) and then writes it with flist_write_entry. dir must come from flist_dir().
   NULL when over budget. */
const struct fdir *flist_dir(struct flist_set *s, const char *dir, size_t len);
struct fent *flist_add(struct flist_set *s, const struct fdir *dir, const char *name, uint16_t mode);
struct fext *flist_ext(struct flist_set *s, struct fent *e);   /* e->ext, made on first call: -1, 0 and NULL; NULL over budget */
char *flist_strdup(struct flist_set *s, struct fent *e, const char *str, size_t len);

/* The shared string of what is inside directory e ("dir/name", or e->dir for a "."). NULL when over budget. */
const struct fdir *flist_dir_inside(struct flist_set *s, const struct fent *e);

/* Takes back the entry added last (not yet written): it could not be read after all. */
void flist_unadd(struct flist_set *s, struct fent *e);

/* Hard links: dev and ino of an entry with more than one link; sets flags and ext->hl_group (p >= 30)
   or remembers the pair for the wire (older; call it right before flist_write_entry, and at protocol 27
   for every regular file). -1 when over budget. */
int flist_hardlink(struct flist_set *s, struct fent *e, uint64_t dev, uint64_t ino);

/* Writes the entry just completed (the one added last). ACL and xattr data follow through the hooks below.
   false: a hook could not convert the name; the entry was taken back and nothing was written. */
bool flist_write_entry(struct flist_set *s, struct wr *w, struct fent *e);

/* Writes the end marker (io_error 0 or bits; where the form cannot carry them the caller posts MSG_IO_ERROR, spec 02
   §14.2), the id lists where the mode has them, and completes the list: sorts it, appends it to the set and its
   directories to the directory table; second directories of a name get FENT_DUP_DIR. */
void flist_write_end(struct flist_set *s, struct wr *w, struct flist *fl, int io_error);
void flist_name_source(struct flist_set *s, flist_name_fn *fn, void *ctx);

/* First transmission of an id in an ACL entry: NULL, or the name to send inline. The id joins the lists of §6. */
const char *flist_id_inline(struct flist_set *s, bool is_group, uint32_t id);

/* An id that an ACL entry named inline. */
void flist_id_named(struct flist_set *s, struct rd *r, bool is_group, uint32_t id, const char *name);

/* Reads an inline name (length byte and bytes) into name (256 bytes), checked. */
void flist_read_id_name(struct rd *r, char *name);

/*
 * What the codec calls; any may be NULL.
 * ACL and xattr blocks: at their place in the entry (spec 02 §15, §16). Reading, they fill acl_access, acl_default
 * and xattr in *x (-1 for "nothing": saves the entry its optional part). Writing, they return the bytes written.
 * on_entry: receiving, each entry in wire order when all of it was read: may rd_fail (rows 15, 16), change its
 * FENT_* flags (§5.3), replace ext->link (flist_strdup), or set FENT_CLEARED to make it a hole.
 * name_in, name_out, link_in, link_out: --iconv (§11): out has PATH_LIMIT + 1 bytes; return the length, or -1 when it
 * cannot be converted: a received entry becomes a hole and io_error gets IOERR_GENERAL (the hook says so), an entry to be
 * sent is taken back (the caller of flist_write_entry says so). name_out sees directory part and last component
 * separately. link_in is told which entry it is about.
 */
struct flist_hooks {
	void *ctx;
	void (*read_acl)(void *ctx, struct rd *r, struct fent *e, struct fext *x);
	void (*read_xattr)(void *ctx, struct rd *r, struct fent *e, struct fext *x);
	size_t (*write_acl)(void *ctx, struct wr *w, struct fent *e);
	size_t (*write_xattr)(void *ctx, struct wr *w, struct fent *e);
	void (*on_entry)(void *ctx, struct rd *r, struct fent *e);
	int (*name_in)(void *ctx, const char *wire, size_t len, char *out);
	int (*name_out)(void *ctx, const char *local, size_t len, char *out);
	int (*link_in)(void *ctx, const struct fdir *dir, const char *leaf, const char *wire, size_t len, char *out);
	int (*link_out)(void *ctx, const char *local, size_t len, char *out);
};
void flist_set_hooks(struct flist_set *s, const struct flist_hooks *hooks);

/* ---- indexes (spec 02 §9.2, 03 §3) ---- */

/* List that index ndx belongs to (ndx_start - 1 included), or NULL. */
struct flist *flist_find(const struct flist_set *s, int32_t ndx);

/* Entry of an index; for ndx_start - 1 the parent entry. NULL if invalid or a hole. */
struct fent *flist_entry(const struct flist *fl, int32_t ndx);

/* Directory table: number of directories so far, and entry by number. */
int32_t flist_dir_count(const struct flist_set *s);
struct fent *flist_dir_entry(const struct flist_set *s, int32_t dir_ndx);

/* Frees the oldest list (its directories and directory names stay). */
void flist_drop_first(struct flist_set *s);

/* Transfer order of two names (spec 02 §7). */
int fent_compare(const struct fent *a, const struct fent *b, int proto);

/* Entry of that leaf name in a complete list of a receiving set (for deletion scans of one directory), or NULL;
   type is ignored, holes are not found. Non-incremental lists hold all directories: dir is the directory part to
   look in (as in fdir). Reads the list only: any thread that was given the list may call it. */
struct fent *flist_lookup(const struct flist_set *s, const struct flist *fl, const char *dir, const char *name);

#endif
