/*
 * rx.h - what the two threads of a receiving session share, and what each has for itself.
 *
 * The receiver thread owns conn->in, the file-list set and the deliveries; the generator thread
 * owns conn->out and everything that is decided per entry. Between them are two queues:
 * requests (generator -> receiver) and events (receiver -> generator). struct rx is constant
 * while both run, but for the atomics and what backup_lock guards.
 */
#ifndef RECEIVER_RX_H
#define RECEIVER_RX_H

#include <sys/stat.h>

#include "base/err.h"
#include "base/say.h"
#include "delta/sums.h"
#include "protocol/flist.h"
#include "receiver/idmap.h"
#include "receiver/queue.h"
#include "sandbox/fs.h"
#include "transfer/xfer.h"

#define RX_BUF ((size_t)256 << 10)     /* scratch buffer of each thread */
#define PERM_BITS 07777u

struct rx {
	struct xfer *x;
	const struct xfer_opts *o;
	const struct xfer_proto *p;
	struct conn *conn;
	struct budget *budget;
	struct idmap *ids;
	const struct flist_set *set;   /* only for flist_lookup in the generator */

	struct anchor *dest;           /* destination directory; NULL in a dry run that would have to create it */
	struct anchor *temp, *partial, *alt[ALT_DEST_MAX];     /* NULL: not given, or (alt) absent */
	char dest_path[PATH_LIMIT + 1];        /* of dest, relative to x->root */
	char rules_path[PATH_LIMIT + 1];       /* the same for a module's rules: where links lead */
	char single[SB_NAME_MAX + 1];  /* name the only entry is written to; "": entries have their own names */
	bool dest_made;                /* dest was created by this run */
	const char *partial_rel;       /* relative --partial-dir: one in each directory; NULL: none or absolute */
	bool inc;                      /* incremental recursion */
	bool super;                    /* acts as the super-user */
	bool fake;                     /* stores what the super-user would set */
	bool xattr_rules;              /* filter rules say which attributes take part */
	struct xattr_table *xattrs;    /* -X; NULL: without */
	struct acl_tables *acls;       /* -A */
	bool keep_partial;             /* interrupted data is kept */
	bool dir_times;                /* directory times are set */
	bool inplace_partial;          /* a partial-dir file is updated in place */
	bool itemizing;
	bool dry;                      /* nothing is changed here: --dry-run, --only-write-batch */
	mode_t umask;
	struct chmod_rules *module_chmod;      /* `incoming chmod`; NULL: none */
	uid_t euid;
	gid_t egid;

	struct queue requests, events;
	atomic_int io_error;           /* IOERR_* of both threads and of the peer */
	_Atomic int32_t dones_sent;    /* NDX_DONE written by the generator */
	pthread_mutex_t backup_lock;
	struct anchor *backup;         /* --backup-dir; opened on first use */
	pthread_mutex_t log_lock;
};

/* ---- generator -> receiver ---- */

enum {
	RQ_REDO = 0x01,        /* the last try of a file */
	RQ_NEW = 0x02,         /* nothing exists at the destination name */
	RQ_APPEND = 0x04,
	RQ_DEVICE = 0x08,      /* write into the device that is there */
	RQ_ACL_DIR = 0x10,     /* the directory has a default ACL: modes of new files are not what we ask for */
	RQ_NO_BACKUP = 0x20,   /* the generator made the backup */
	RQ_XATTRS = 0x40,      /* nothing is transferred, but extended attributes are to be set */
};

/* One request on the wire, in wire order. xname belongs to whoever holds the record. */
struct request {
	int32_t ndx;
	uint16_t iflags;
	uint16_t mode;         /* permission bits the file is to have in the end */
	uint8_t basis, flags;
	struct sum_head head;
	char *xname;           /* NULL: none */
};

/* ---- receiver -> generator ---- */

enum ev_kind { EV_LIST, EV_LIST_EOF, EV_OK, EV_REDO, EV_FAILED, EV_NO_SEND, EV_DONE,
	       EV_VALUES, EV_NO_VALUES /* of an item without data: its attributes are set, or not */ };

struct event {
	enum ev_kind kind;
	int32_t ndx;
	struct flist *fl;      /* EV_LIST: a complete list, valid until its NDX_DONE was answered */
};

/* ---- one thread's hands ---- */

struct hands {
	struct rx *rx;
	struct sb *dest, *temp, *partial, *backup, *backup_old, *alt[ALT_DEST_MAX];
	struct anchor *backup_at;      /* what backup looks at */
	struct idview ids;
	struct filt_walk *xrules;      /* of attribute names; NULL: none */
	struct attr_room *room;        /* xattrs.c */
	uint8_t *buf;          /* RX_BUF bytes */
};

/* The rules that apply to names of extended attributes, for one thread. NULL without memory. */
struct filt_walk *rx_xattr_rules(struct rx *rx);

/* -1 without memory. hands_done also after a failed or missing init of a zeroed struct. */
int hands_init(struct hands *h, struct rx *rx, struct err *err) NODISCARD;
void hands_done(struct hands *h);

/* lstat and readlink of what is there in the eyes of the peer (fake.c): %stat put over it with fake-super.
   -EBADMSG: a corrupt attribute, was said. */
int hands_lstat(struct hands *h, struct sb *sb, const char *dir, const char *leaf, struct stat *st);
ssize_t hands_readlink(struct hands *h, struct sb *sb, const char *dir, const char *leaf, char *buf, size_t size);

/* Opens content that is there for reading: --open-noatime counts. st may be NULL. Returns an fd or -errno. */
int hands_open(struct hands *h, struct sb *sb, const char *dir, const char *leaf, struct stat *st);

/* View of the backup directory, created on first use. NULL: was said. */
struct sb *hands_backup(struct hands *h);
/* The same of an absolute --partial-dir; NULL: there is none. */
struct sb *hands_partial(struct hands *h, bool make);

/* ---- names ---- */

/* Where an entry is put: directory (a leading slash of --relative dropped) and leaf. */
static inline const char *fdir_rel(const struct fdir *d)
{
	return d->s + (d->len && d->s[0] == '/');
}

static inline const char *rx_dir(const struct rx *rx, const struct fent *e)
{
	return rx->single[0] ? "" : fdir_rel(e->dir);
}

static inline const char *rx_leaf(const struct rx *rx, const struct fent *e)
{
	return rx->single[0] ? rx->single : e->name;
}

#define NAME_TEXT (2 * PATH_LIMIT + 600)

/* The quoted full name for messages: "/abs/dir/leaf", or "dir/leaf" (in MODULE). out: NAME_TEXT bytes; returns out. */
char *rx_full(const struct rx *rx, const char *dir, const char *leaf, char *out);
#define FULL(rx, dir, leaf) rx_full(rx, dir, leaf, (char[NAME_TEXT]){ 0 })

/* The same of what lies in a directory that an option names: side, as the option has it. */
char *rx_full_side(const struct rx *rx, const char *side, const char *dir, const char *leaf, char *out);
#define FULL_SIDE(rx, side, dir, leaf) rx_full_side(rx, side, dir, leaf, (char[NAME_TEXT]){ 0 })

/* Name of the entry as the list has it. */
#define ENAME(e) entry_name(e, (char[PATH_LIMIT + 1]){ 0 })
char *entry_name(const struct fent *e, char *out);

/* dir/leaf, without another slash when dir is "" or ends in one. -1 when longer than PATH_LIMIT. out: PATH_LIMIT + 1 bytes. */
int path_join(char *out, const char *dir, const char *leaf);

/* A name of at most PATH_LIMIT bytes as the peer should see it, in out (PATH_LIMIT + 1 bytes); returns the length. */
size_t rx_wire_name(const struct rx *rx, const char *name, size_t len, char *out);

/* Puts an item into the daemon's log. */
void rx_log_item(struct rx *rx, struct item_record *rec);

/* Tells the peer that a source may be removed. */
void rx_success(struct rx *rx, int32_t ndx);

/* ---- times ---- */

/* -1, 0, 1: a is older, the same within the modify window, newer. */
int time_compare(const struct rx *rx, int64_t a_sec, uint32_t a_nsec, int64_t b_sec, uint32_t b_nsec);

/* The quick check of a regular file by size and time (or checksum, when list sums are in use: not here). */
static inline bool same_time(const struct rx *rx, const struct fent *e, const struct stat *st)
{
	return time_compare(rx, e->mtime, e->nsec, st->st_mtim.tv_sec, (uint32_t)st->st_mtim.tv_nsec) == 0;
}

/* ---- the generator thread (generator.c) ---- */
struct gen;
struct gen *gen_start(struct rx *rx, struct err *err);        /* starts the thread; NULL on failure */
/* Waits for its end. 0, or -1 with err filled; frees it. stop: end it first. */
int gen_join(struct gen *g, bool stop, struct err *err);

#endif
