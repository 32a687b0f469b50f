/*
 * gen.h - the generator thread: what it knows about lists and directories, and how its parts call each other.
 *
 * Failure is sticky: gen_fail() records it and gen_bad() is asked at the loops; nothing in between
 * needs a return code for it.
 */
#ifndef RECEIVER_GEN_H
#define RECEIVER_GEN_H

#include "filter/filter.h"
#include "receiver/finish.h"

/* fl->state[] */
enum {
	ST_PENDING = 0x01,     /* requested; the receiver has not told the outcome */
	ST_PRUNED = 0x02,      /* dropped by --prune-empty-dirs */
	ST_HL_WAIT = 0x04,     /* waits for another member of its hard-link group */
	ST_HL_OUT = 0x08,      /* taken out of its group */
};

/* A list under work. */
struct glist {
	struct flist *fl;
	int32_t pending;       /* entries with ST_PENDING or ST_HL_WAIT */
	bool walked;
	uint32_t dir;          /* number (gen.dirs) of the directory it describes */
	int32_t *index;        /* wire_order: position in sorted of walk[i]; NULL otherwise */
};

/* Directories of the destination that the transfer knows. */
enum {
	GD_SKIP = 0x01,        /* nothing beneath it is done */
	GD_NEW = 0x02,         /* made by this run: what we did not make is not there */
	GD_MISSING = 0x04,     /* not there (dry run) */
	GD_TIME = 0x08,        /* its time must be set at the end */
	GD_MODE = 0x10,        /* its permissions were loosened */
	GD_ACL = 0x20,         /* default ACL was looked up: dflt is valid */
	GD_HAS_ACL = 0x40,
	GD_EARLY = 0x80,       /* made ahead of its own turn */
	GD_PRUNED = 0x100,
	GD_LISTED = 0x200,     /* an entry of the list */
	GD_DONE = 0x400,       /* had its turn */
	GD_KEEP = 0x800,       /* --prune-empty-dirs: something in it stays */
};

struct gdir {
	const struct fent *e;  /* NULL: the destination itself without an entry, or a directory that is no entry */
	const char *path;      /* with e NULL */
	uint64_t hash;
	uint16_t flags, dflt;  /* dflt: 0777 bits for new items */
	uint16_t mode;         /* permission bits it gets in the end (GD_MODE) */
	dev_t dev;
};

/* Entries to be deleted later (--delete-delay). */
struct doomed { const char *path; uint32_t mode; };

struct hgroup;
struct fuzzy_dir;

struct gen {
	struct hands h;
	struct rx *rx;
	const struct xfer_opts *o;
	const struct xfer_proto *p;
	struct conn *conn;
	struct wr *out;
	pthread_t thread;
	bool started;
	struct err err;
	struct ndx_state ndx;
	struct item item;
	struct csum_ctx *sum, *list_sum;
	struct sum_writer *sums;
	struct filt_walk *walk;        /* NULL: no rules */
	struct filt_files files;
	struct sb *root;               /* of x->root, for rule files */
	struct arena *arena;           /* paths that live until the end */

	struct glist **lists;          /* [first, nlists) are held */
	size_t first, nlists, lists_cap;
	size_t next;                   /* next list to walk */
	bool eof;                      /* no more lists */
	int32_t answers, done_lists;

	struct gdir *dirs;             /* [0] is the destination */
	size_t ndirs, dirs_cap;
	uint32_t *dir_index;           /* hash table of numbers + 1 */
	size_t index_cap;
	uint64_t hash_seed;
	const struct fdir *cur_fdir;
	uint32_t cur;                  /* number of the directory of the current entry */

	int32_t *redo;                 /* indexes to try again */
	size_t nredo, redo_cap;
	bool redoing;
	bool redo_ok;                  /* redo requests may be sent */
	bool closed;                   /* the last phase that takes requests was ended */
	int32_t awaited;               /* the last item that comes back with attribute values; -1: none */
	unsigned since_flush;
	int64_t flushed_ms;

	struct del_stats deleted;
	int64_t deletions, skipped_deletions;
	bool io_error_told;
	struct arena *doom_arena;
	struct doomed *doomed;
	size_t ndoomed, doomed_cap;
	enum delete_when delete_when;
	dev_t *top_devs;
	size_t ntop_devs, top_devs_cap;

	struct hgroup **hgroups;
	size_t hg_cap, hg_count;
	const struct stat *hl_would;   /* dry run: the alternate file that the leader at hand would be a link to */
	bool hl_failing;               /* a group is looking for another member to request */
	struct fuzzy_dir *fuzzy;
};

/* The entry at hand. */
struct gitem {
	struct glist *gl;
	const struct fent *e;
	int32_t ndx;
	const char *dir, *leaf;        /* D */
	uint32_t parent;               /* number of its directory */
	bool exists;
	int err;                       /* errno of the lstat if it does not */
	struct stat st;
	mode_t mode;                   /* permission bits it gets */
	bool hl_last;                  /* hard link: must be requested if nothing is found */
	bool first_visit;              /* nobody touched D before in this run */
	struct sb *seen;               /* where what is compared with was found; NULL: at D */
};

/* In iflags of gen_itemize only: the item equals an alternate one in everything. */
#define GEN_MATCHED 0x100000u

int gen_fail(struct gen *g, int code, const char *fmt, ...) PRINTF(3, 4);
bool gen_bad(const struct gen *g);

/* ---- generator.c ---- */

/* Reports an entry on the wire if it has to be. exists: st describes what was at D or its alternate. */
void gen_itemize(struct gen *g, const struct gitem *it, bool exists, const struct stat *st, unsigned iflags,
		 const char *xname);

/* Verbose: an item whose content is as it should be. changed: its attributes were not. */
void gen_tell_same(struct gen *g, const struct fent *e, bool changed);

/* What is there already gets its attributes; flags: ATTRS_*. */
void gen_keep(struct gen *g, struct gitem *it, unsigned flags);

/* The sender may remove its file, now or, where attribute values are still to come from it, when they are set. */
void gen_success(struct gen *g, struct gitem *it);
/* Below protocol 29 there are no items: what is not transferred is told here, when names are wanted. */
static inline bool tells_old_peer(const struct gen *g)
{
	return g->p->version < 29 && info_gte(g->o, INFO_NAME, 1);
}

/* REPORT bits of an item, without writing it. */
unsigned gen_report(struct gen *g, const struct gitem *it, bool exists, const struct stat *st, unsigned iflags,
		    const char *xname);

/* A request: publishes it to the receiver thread, then writes header and sums. fd: basis to be summed, or -1. */
struct gen_req {
	unsigned iflags;
	uint8_t basis;
	const char *xname;
	int fd;
	int64_t size;                  /* of the basis */
	unsigned flags;                /* RQ_* */
	const struct stat *report;     /* what REPORT bits compare with; NULL: new */
	sum_tap *tap;
	void *tap_ctx;
};
void gen_request(struct gen *g, struct gitem *it, const struct gen_req *q);

void gen_pending(struct gen *g, struct gitem *it);
struct glist *gen_list_of(struct gen *g, int32_t ndx);
const struct fent *gen_entry_of(struct gen *g, int32_t ndx, struct glist **gl);
/* Waits for something to happen and handles it. */
void gen_wait(struct gen *g);
void gen_poll(struct gen *g);

/* Does one entry again as a plain file (redo, and hard-link members whose turn has come). */
void gen_again(struct gen *g, int32_t ndx, bool redo);

/* ---- walk.c ---- */
void walk_list(struct gen *g, struct glist *gl);
/* Fills it: place, parent, lstat. False: the entry is not to be done. */
bool walk_look(struct gen *g, struct gitem *it);
/* The entry ends without being done: its hard-link group goes on without it. */
void walk_skipped(struct gen *g, const struct gitem *it);
/* The entry is as it should be. */
void walk_finished(struct gen *g, struct gitem *it, bool made);
/* Switches to an entry's directory. False: its contents are skipped, or the session ended. */
bool walk_enter(struct gen *g, const struct fent *e);
void walk_prune(struct gen *g, struct glist *gl);

/* ---- dirs.c ---- */
uint32_t dirs_find(struct gen *g, const char *path);           /* 0xffffffff: unknown */
uint32_t dirs_add(struct gen *g, const struct fent *e, unsigned flags);
uint32_t dirs_add_path(struct gen *g, const char *path, unsigned flags);
#define NO_DIR UINT32_MAX
const char *dirs_path(const struct gdir *d, char *buf);        /* buf: PATH_LIMIT + 1 */
unsigned dirs_dflt(struct gen *g, uint32_t dir);               /* 0777 bits that new items may have */
void dirs_touched(struct gen *g, uint32_t dir);                /* something in it changed */
void dirs_touch_up(struct gen *g, uint32_t dir, bool last);
void dirs_finish(struct gen *g);

/* ---- list.c ---- */
/* --list-only: tells the entry. */
void list_entry(struct gen *g, const struct fent *e);

/* ---- gen_dir.c ---- */
/* 0: go on with the contents, -1: skip them. */
int gen_dir(struct gen *g, struct gitem *it);
void gen_dir_early(struct gen *g, struct gitem *it);

/* ---- gen_file.c ---- */
void gen_file(struct gen *g, struct gitem *it);
bool gen_quick_check(struct gen *g, const struct fent *e, struct sb *sb, const char *dir, const char *leaf,
		     const struct stat *st);

/* ---- gen_link.c ---- */
void gen_symlink(struct gen *g, struct gitem *it);
void gen_node(struct gen *g, struct gitem *it);
/* The audit record of a device that was not made or touched, where no broker keeps one. */
void gen_audit_refusal(struct gen *g, const struct fent *e);
enum node_kind { NODE_SYMLINK, NODE_DEVICE, NODE_SPECIAL, NODE_HARDLINK };
/* Creates it at D, atomically where something is there: a symlink (target), a node, or a hard link to (sdir, sleaf) of src. */
int gen_make(struct gen *g, struct gitem *it, enum node_kind kind, const char *target, struct sb *src, const char *sdir,
	     const char *sleaf);
/* A hard link to the same name of src takes the place of D, which is there. < 0: not said, unless something stood in its way. */
int gen_link_over(struct gen *g, struct gitem *it, struct sb *src);
/* The stored form of the entry's symlink target (munged or sanitised). NULL: too long. buf: PATH_LIMIT + 1. */
const char *gen_target(struct gen *g, const struct fent *e, char *buf);

/* ---- delete.c ---- */
enum { DEL_MAKE_ROOM = 1, DEL_RECURSE = 2, DEL_NO_BACKUP = 4, DEL_EMPTIED = 8 /* its contents went, or would have */ };
/* Deletes D, which is in the way. what: "regular file" … 0, or -1 (was said). */
int delete_make_way(struct gen *g, struct gitem *it, const char *what);
/* Deletes (dir, leaf). 0 done, 1 kept (not empty, limit), -1 failed (was said). */
int delete_item(struct gen *g, const char *dir, const char *leaf, mode_t mode, unsigned flags);
bool delete_stopped(struct gen *g);            /* by an I/O error of the sender; says so, once */
void delete_in_dir(struct gen *g, struct glist *gl, const struct fent *dir);
void delete_all_dirs(struct gen *g);           /* --delete-before, --delete-after */
void delete_delayed(struct gen *g);
void delete_note_limit(struct gen *g);

/* ---- hlink.c ---- */
void hlink_collect(struct gen *g, struct glist *gl);
/* An entry of a hard-link group that is not a directory. True: it is done or waits; false: go on as usual. */
bool hlink_check(struct gen *g, struct gitem *it);
/* Nothing was found for a regular member that is not the last one: it waits. */
void hlink_wait(struct gen *g, struct gitem *it);
/* Nothing is made of it, as --compare-dest found it elsewhere or something is in the way; linked all the same if another
   member is made later. */
void hlink_later(struct gen *g, const struct gitem *it);
void hlink_requested(struct gen *g, struct gitem *it);
void hlink_finished(struct gen *g, int32_t ndx);      /* in place (or up to date): link the others */
void hlink_failed(struct gen *g, int32_t ndx);        /* or skipped: another member takes over */
void hlink_free(struct gen *g);
static inline bool hlinked(const struct gen *g, const struct fent *e)
{
	return g->o->hard_links && (e->flags & FENT_HLINKED) && e->ext;
}

/* ---- altdest.c ---- */
/* What lies in the n-th alternate directory, for messages. */
#define ALT_NAME(g, n, dir, leaf) FULL_SIDE((g)->rx, (g)->o->alt_dirs[n], dir, leaf)

/* Looks for the entry in the alternate directories. */
struct alt_hit {
	int dir;                       /* its number, -1: none */
	int level;                     /* 1 exists, 2 same content, 3 same attributes */
	struct stat st;
};
/* st is what sb has in the entry's place: the same data, link text (target, of a link) or device numbers. */
bool alt_same_content(struct gen *g, const struct gitem *it, struct sb *sb, const struct stat *st, const char *target);
void alt_search(struct gen *g, const struct gitem *it, struct alt_hit *hit, const char *target);
/* Regular file. True: done. False: hit->level 1 may serve as a basis. */
bool alt_file(struct gen *g, struct gitem *it, struct alt_hit *hit);
/* Others. True: done (nothing to create). */
bool alt_other(struct gen *g, struct gitem *it, struct alt_hit *hit, const char *target);

/* ---- fuzzy.c ---- */
/* Best candidate. Returns its basis type or 0; name: SB_NAME_MAX + 1 bytes; st: its lstat. */
uint8_t fuzzy_find(struct gen *g, struct gitem *it, char *name, struct stat *st);
void fuzzy_busy(struct gen *g, const struct gitem *it);  /* it is about to be updated: no candidate */
void fuzzy_free(struct gen *g);
uint32_t fuzzy_distance(const char *a, size_t alen, const char *b, size_t blen, uint32_t limit);
const char *fuzzy_suffix(const char *name, size_t len, size_t *slen);

#endif
