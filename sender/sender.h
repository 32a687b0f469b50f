/*
 * sender.h - inside of the sender: one struct for the whole session, and what its files
 * offer each other.
 *
 * place.c    where names start: source roots, views of the sandbox, names in messages
 * args.c     source arguments and --files-from
 * entry.c    one file-list entry from one name
 * convert.c  names to and from UTF-8
 * walk.c     directories: scanning, recursion, sub-lists
 * request.c  requests and deliveries
 * attrs.c    ACLs and extended attributes
 * remove.c   --remove-source-files
 * sender.c   set-up, phases, goodbye
 *
 * One thread does everything. Input is read ahead by the connection while writes block;
 * messages are handled when the reader comes to them, never in the middle of a write.
 */
#ifndef SENDER_SENDER_H
#define SENDER_SENDER_H

#include "delta/search.h"
#include "filter/filter.h"
#include "protocol/flist.h"
#include "protocol/ptab.h"
#include "sandbox/fs.h"
#include "transfer/chmod.h"
#include "transfer/xfer.h"

#define NAME_BUF (PATH_LIMIT + SB_NAME_MAX + 8)

/* A view of the sandbox; the sb is made when needed and dropped when too many are open. */
struct view {
	struct anchor *anchor;
	struct sb *sb;
	uint64_t used;
};

/* Where the names of some entries start (spec 02 §13): entries point here by number. */
struct src_root {
	uint32_t view;
	uint32_t skip;                 /* leading bytes of an entry's directory part that prefix stands for (--relative) */
	const char *prefix;            /* directory in the view, "" = its anchor */
	const char *at;                /* place of all names by name, anchor-relative: for messages and rules */
	bool whole;                    /* the place itself is transferred, as "." */
};

/* An item asked for by argument, waiting for the list of its parent (incremental --relative). */
struct operand {
	const char *name;              /* as it will be in the list, leading slash included */
	int32_t next;                  /* index of the next one below the same directory, -1 */
	uint16_t root;
	bool contents;                 /* its contents are wanted although nothing recurses (trailing slash); a link is followed */
	bool at_place;                 /* the root's place is the item itself, not its parent */
	bool missing;                  /* does not exist; send a mode-0 entry */
};

/* What walk.c knows about a directory of the directory table. */
struct dir_info {
	int32_t parent;                /* -1 for directories of the first list */
	int32_t first, count;          /* its sub-directories in the table */
	int32_t operands;              /* list of struct operand, -1 */
	int32_t dup;                   /* next directory of equal name, -1 */
	dev_t dev;                     /* device of the operand it was found under */
};

/* A directory being scanned, or the place of an operand. */
struct spot {
	struct sb *sb;
	struct sb_dir *d;              /* NULL: names are looked up through sb */
	const char *dir;               /* anchor-relative, for sb */
	const struct fdir *fdir;
	const char *look;              /* operand: leaf by which it is looked at */
	uint16_t root;
	dev_t dev;                     /* of the operand; set by entry_make for the operand itself */
	bool operand, follow;
};

/* What is known about a directory entry of the list under construction. */
struct waiting {
	const struct fent *e;
	int32_t head, tail;            /* operands that wait below it, -1 */
	dev_t dev;                     /* one_fs: device of its operand */
};

/* What was read for a delivery. */
struct sent_id { int32_t ndx; bool used; uint64_t dev, ino; };

struct sender {
	struct xfer *x;
	const struct xfer_opts *o;
	struct conn *c;
	struct rd *r;
	struct wr *w;
	struct err *err;
	struct budget *budget;
	int proto;
	bool inc;                      /* incremental recursion */
	bool confined;                 /* links lead nowhere outside x->root: daemon, --confine-root */
	bool follows;                  /* -L, -k or --copy-unsafe-links */
	struct flist_set *set;
	struct ndx_state in_ndx, out_ndx;
	struct arena *arena;           /* strings that live as long as the session */
	struct fd_run read_fds;        /* files that were delivered, not closed yet */

	/* place.c */
	struct view *views;
	size_t view_count, view_cap;
	uint64_t view_clock;
	unsigned views_open;
	struct src_root *roots;
	size_t root_count, root_cap;
	uint32_t free_view;            /* x->root, following as an argument does */
	uint32_t scan_view;            /* confined: the view that all roots share */
	struct ptab root_keys;         /* parts of arguments that gave roots */
	const struct fdir *cached_dir; /* dir_path holds the place of this directory part … */
	uint16_t cached_root;          /* … under this root */

	/* rules */
	struct filt_files files;
	struct filt_walk *rules;
	int32_t rules_root;            /* root that the walk has started at, -1 */

	/* args.c */
	struct operand *operands;
	size_t operand_count, operand_cap;
	struct waiting *pend;          /* of the list under construction */
	size_t pend_count, pend_cap;
	const char *implied_at;        /* parents of `implied` are in the list already, for names that start here */
	size_t implied_slot;           /* incremental: the last of them in pend */
	bool implied_dot;
	uint16_t base_root;            /* --files-from: where names start */

	/* entry.c */
	struct csum_ctx *list_sum;
	struct chmod_rules *chmod, *chmod_module;

	struct attr_source *attrs;     /* attrs.c; NULL without -A and -X */

	/* convert.c: why the last conversion failed, and of what */
	int conv_error;
	bool conv_link;

	/* walk.c */
	struct fent **stack;           /* directories still to be scanned (non-incremental) */
	size_t stack_count, stack_cap;
	struct dir_info *dirs;
	size_t dir_cap;
	int32_t dir_count;
	int32_t top_count;             /* directories of the first list */
	int32_t at_dir;                /* last directory whose list was sent, -1 before the first */
	bool eof;                      /* all sub-lists were sent */
	int batch_error;               /* io_error when the current batch of sub-lists began */
	int64_t entries;               /* entries sent in all lists */

	/* request.c */
	struct item item;
	uint64_t item_in, item_out;    /* stream positions behind its header, and where the answer begins */
	uint8_t item_sum[CSUM_MAX_LEN];        /* whole-file digest of what was just delivered */
	struct csum_ctx *xfer_sum;
	struct search *search;
	struct token_out *tokens;
	struct sums sums;
	struct flist *cur;             /* list of the latest request */
	int phase;
	int start_error;               /* io_error when the transfer phase began */
	struct sent_id *sent;          /* --remove-source-files: what was delivered, open addressing */
	size_t sent_cap, sent_count;

	/* Buffers, undefined until they are written: most sessions write to few of their pages. */
	char name[NAME_BUF];           /* list name of the entry being looked at */
	char dir_path[NAME_BUF];       /* of cached_dir */
	char scan_path[NAME_BUF];
	char link[PATH_LIMIT + 2];
	char rules_name[PATH_LIMIT + 1];
	char implied[PATH_LIMIT + 1];
	char shown[NAME_BUF + 64];
};

/* ---- place.c ---- */

int place_init(struct sender *s);
void place_done(struct sender *s);

struct sb *place_view(struct sender *s, uint32_t view);
static inline struct sb *place_sb(struct sender *s, uint16_t root)
{
	return place_view(s, s->roots[root].view);
}

/* Finds or makes the root for names that start at dir (argument text, "" = x->cwd) plus inner (directory part of a
   --relative name, "" otherwise). listed: a name from --files-from, dir is relative to the base. 0: *root is set;
   a negative errno: the place cannot be entered; 1: fatal. */
int place_root(struct sender *s, const char *dir, const char *inner, bool listed, uint16_t *root);

/* "cwd/arg" without "." components and repeated slashes, anchor-relative, in out (NAME_BUF bytes); -ENAMETOOLONG. */
int place_resolve(const struct sender *s, const char *arg, char *out);

/* prefix + dir in out. */
int place_join(char *out, const char *prefix, const char *dir, size_t dir_len);

/* Directory in the view of the entry's root that holds the entry; valid until the next call. */
const char *place_dir(struct sender *s, const struct fent *e);

/* Sets where e.g. "a/b" of a root lies in its view: out takes NAME_BUF bytes. */
int place_of_name(const struct sender *s, uint16_t root, const char *name, size_t len, char *out);

/* Opens what a regular entry of the list stands for: a file, or with --copy-devices a device node, through the broker.
   follow: a link at leaf is followed. fd or negative errno. */
int place_open(struct sender *s, struct sb *sb, const char *dir, const char *leaf, bool follow, struct stat *st);

/* Quoted name for messages: "/at/name", "at/name" (in MODULE). Valid until the next call. */
const char *place_show(struct sender *s, uint16_t root, const char *name);
const char *place_show_path(struct sender *s, const char *path);        /* anchor-relative path */
const char *place_show_entry(struct sender *s, const struct fent *e);

/* The rules now apply to the contents of this directory (list name). 0 or -1 (fatal). */
int rules_enter(struct sender *s, uint16_t root, const char *name, size_t len);
/* The rules apply to names that start at this root. */
int rules_start(struct sender *s, uint16_t root);

/* filt_files.read_file; ctx is the sender. */
int rules_read_file(void *ctx, const char *dir, const char *name, struct buf *out);

/* ---- args.c ---- */

/* Builds the first list from the arguments. 0 or -1. */
int args_first_list(struct sender *s);

/* Adds what waits below a directory, whose list name has depth bytes, to the list under construction. */
int args_below(struct sender *s, int32_t head, size_t depth);

/* What is noted for a directory entry of the list that was just completed, NULL for nothing. Sort first. */
const struct waiting *args_waiting(struct sender *s, const struct fent *e);
void args_waiting_sort(struct sender *s);

/* Notes the device of the operand that a directory was found under. */
int args_note_dir(struct sender *s, const struct fent *e, dev_t dev);

/* ---- entry.c ---- */

/* Looks at leaf in a spot and sends its entry. s->name holds the list name. type: DT_* or DT_UNKNOWN.
   1: *out is the new entry; 0: left out (said if it must be); -1: fatal. */
int entry_make(struct sender *s, struct spot *sp, const char *leaf, unsigned char type, unsigned flags, struct fent **out);

/* Entry of mode 0 for a missing argument, and of a parent made up by --relative. */
int entry_missing(struct sender *s, uint16_t root, const struct fdir *fdir, const char *leaf);
int entry_implied(struct sender *s, uint16_t root, const struct fdir *fdir, const char *leaf, const struct stat *st, struct fent **out);

/* lstat, or stat where the options follow links; s->link gets a link's target. -ENOENT with *dangling for a link without referent. */
int entry_stat(struct sender *s, const struct spot *sp, const char *leaf, struct stat *st, size_t *link_len, bool *dangling);

/* fake-super: what %stat says, over st of leaf in the spot (sb, dir, root). name: as it is in the list, for messages.
   0, -ENOENT, or -1 for a corrupt text, and then s->r has failed. */
int entry_overlay(struct sender *s, const struct spot *sp, const char *leaf, const char *name, struct stat *st);

/* Whether access(R_OK) would fail (`ignore nonreadable`). */
bool entry_unreadable(struct sender *s, const struct spot *sp, const char *leaf, const struct stat *st);

const char *entry_id_name(void *ctx, bool is_group, uint32_t id);

/* ---- convert.c ---- */

/* Sets the hooks that --iconv needs; ctx must be the sender. */
void names_out_hooks(struct sender *s, struct flist_hooks *h);

/* The entry of s->name was not written: says why. */
void convert_failed(struct sender *s, uint16_t root);

/* A name of a forwarded list in our character set, in out (PATH_LIMIT + 1 bytes); returns out. */
char *convert_listed(struct sender *s, const char *name, size_t len, char *out);

/* ---- attrs.c ---- */

/* Call when the set exists. 0 or -1. */
int attrs_init(struct sender *s, struct flist_hooks *h);
void attrs_done(struct sender *s);

/* Gathers what the options want of an entry about to be written. look: its leaf in the spot. 0; 1: what is there cannot be
   read (said): without it the receiver would take it from its copy, so the entry must be left out; -1: fatal. */
int attrs_add(struct sender *s, const struct spot *sp, const char *look, struct fent *e);

/* The block of s->item: reads what is wanted, and answers behind the echoed header. */
int attrs_read_request(struct sender *s, const struct fent *e);
void attrs_write_reply(struct sender *s, const struct fent *e);

/* ---- walk.c ---- */

/* Scans a directory entry of the list under construction and, if the list is not incremental, everything below it. */
int walk_contents(struct sender *s, struct fent *d, dev_t dev);

/* A list begins; dir_ndx as in flist_begin. NULL: fatal. */
struct flist *walk_begin_list(struct sender *s, int32_t dir_ndx);

/* The list under construction is complete: end marker, directory table. */
int walk_end_list(struct sender *s, struct flist *fl, int32_t parent);

/* Sends sub-lists until at least want entries lie beyond the list of the latest request, or all are sent. */
int walk_ahead(struct sender *s, int64_t want);

/* Sends the next sub-list. */
int walk_sublist(struct sender *s);
int64_t walk_entries_ahead(const struct sender *s);

/* After a list: announces that no more will follow if that is so. */
void walk_check_eof(struct sender *s);

/* ---- request.c ---- */

/* Handles one index >= 0 of the request stream. */
int request_handle(struct sender *s, int32_t ndx);

/* Entry of an index that a peer sent; NULL: the reader has failed. */
struct fent *request_entry(struct sender *s, int32_t ndx, struct flist **fl);

/* ---- remove.c ---- */

int remove_note(struct sender *s, int32_t ndx, const struct stat *st);
int remove_source(struct sender *s, int32_t ndx);

/* Says "TEXT: STRERROR" and makes the run a partial transfer. */
void sender_complain(struct sender *s, int errnum, const char *fmt, ...) PRINTF(3, 4);
int sender_nomem(struct sender *s);

#endif
