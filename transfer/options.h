/*
 * options.h - what both ends derive from the argument list and the negotiation, as
 * plain values: the options of one transfer (spec 05) and its protocol (spec 01 §7).
 *
 * Filled by session/, read by everyone else; constant once the transfer starts.
 * Strings belong to the option parser's arena. Peer-given directory strings are
 * anchor-relative or absolute as given: session/ turns them into anchors.
 */
#ifndef TRANSFER_OPTIONS_H
#define TRANSFER_OPTIONS_H

#include "base/util.h"
#include "delta/checksum.h"
#include "delta/compress.h"

/* Message levels by word, spec 05 §9.7: 0 = silent. */
enum info_word {
	INFO_BACKUP, INFO_COPY, INFO_DEL, INFO_FLIST, INFO_MISC, INFO_MOUNT, INFO_NAME, INFO_NONREG,
	INFO_PROGRESS, INFO_REMOVE, INFO_SKIP, INFO_STATS, INFO_SYMSAFE, INFO_WORDS
};

enum delete_when { DELETE_NONE, DELETE_BEFORE, DELETE_DURING, DELETE_DELAY, DELETE_AFTER };
enum alt_dest { ALT_NONE, ALT_COMPARE, ALT_COPY, ALT_LINK };

#define ALT_DEST_MAX 20

struct xfer_opts {
	/* roles and output */
	bool am_server, am_sender, am_daemon;
	int verbose;
	bool quiet;
	uint8_t info[INFO_WORDS];
	bool msgs_to_stderr, stderr_client;     /* spec 01 §9.6 */
	bool out_format, out_itemize, out_itemize_all, out_operation;  /* from --log-format=…: given, %i, %I, %o */
	bool stats;

	/* transfer shape */
	bool recurse, relative, implied_dirs, list_only, one_fs, one_fs_skip, prune_empty_dirs, mkpath;
	int dirs;                               /* 0 off, 1 implied, 2 -d given */
	bool no_inc_recurse;                    /* --no-inc-recursive, --qsort */
	const char *files_from;                 /* NULL, "-" (from the peer) or a file of this side */
	bool from0;
	bool cvs_exclude;
	int64_t max_size, min_size;             /* -1: no limit */
	bool existing, ignore_existing;
	int remove_source;                      /* 1 --remove-source-files, 2 --remove-sent-files */
	bool ignore_missing_args, delete_missing_args;

	/* comparison and data */
	bool checksum, ignore_times, size_only, update, whole_file, no_whole_file;
	int modify_window;                      /* seconds; -1: nanoseconds too */
	int32_t block_size;                     /* 0 = automatic */
	bool inplace, sparse, preallocate, write_devices, copy_devices, fsync;
	int append;                             /* 0, 1 --append, 2 --append-verify */
	int fuzzy;
	enum alt_dest alt_dest;
	int alt_count;
	const char *alt_dirs[ALT_DEST_MAX];
	bool compress;                          /* compression wanted in any way */
	const char *compress_choice;            /* explicit choice or NULL (negotiate) */
	int compress_level;                     /* INT_MIN: default */
	int compress_threads;
	const char *skip_compress;
	const char *checksum_choice;            /* explicit choice or NULL */
	bool partial, delay_updates;
	const char *partial_dir, *temp_dir;     /* NULL: none */
	bool module_temp_dir;                   /* temp_dir is the module's own */
	bool backup;
	const char *backup_dir, *suffix;        /* suffix never NULL when backup is on */
	unsigned bwlimit;                       /* KiB/s; 0 = none */
	unsigned timeout;                       /* seconds; 0 = none */
	int64_t max_alloc;
	int32_t checksum_seed;                  /* 0: choose */

	/* attributes */
	bool links, copy_links, copy_dirlinks, copy_unsafe_links, safe_links, keep_dirlinks, munge_links;
	int hard_links;
	bool perms, executability, acls, times, owner, group, devices, specials, numeric_ids;
	int xattrs, atimes, open_noatime;       /* open_noatime: -1 unset, 0, 1 */
	bool omit_dir_times, omit_link_times, drop_devices;
	int super;                              /* -1 automatic, 0 --no-super, 1 --super, 2 --fake-super */
	const char *usermap, *groupmap, *chmod;
	const char *copy_as;                    /* USER[:GROUP] to work as; NULL: whoever runs us */
	bool insecure_links;                    /* symlinks are followed whoever owns them and wherever they lead */
	const char *iconv;                      /* character set asked for; NULL: no conversion */
	const char *confine_root;               /* remote-shell server: the directory that is "/" for this session; NULL: none */

	/* deletion */
	bool delete_mode;                       /* any --delete… */
	enum delete_when delete_when;           /* decided after the protocol is known */
	bool delete_excluded, force, ignore_errors;
	int max_delete;                         /* -1: no limit (a wire value below 0 means 0) */

	const char *log_file, *log_file_format; /* of a remote-shell server; NULL: not given */
	bool dry_run, only_write_batch;
	int64_t stop_at;                        /* time(2) value; 0 = none */
	const char *ecaps;                      /* the client's capability letters, "" if none */

	/* forced by the daemon module */
	bool ids_are_numeric_here;              /* `numeric ids`: names are neither sent nor looked up */
	bool sanitize_paths;                    /* spec 06 §12.3: the module root is not the process root */
	bool read_only;
	bool ignore_nonreadable;
	bool skip_compress_all;                 /* `dont compress = *` */
	const char *chmod_module;               /* incoming/outgoing chmod */
	bool super_allowed;                     /* this process may act as the super-user (uid 0 worker) */
	bool devices_refused, specials_refused; /* `refuse options` has them: none is made, whichever option asks for it */
	bool devices_allowed;                   /* a broker exists: char and block nodes can be created */
};

/* True when a message at this level of the word is wanted. */
static inline bool info_gte(const struct xfer_opts *o, enum info_word w, int level)
{
	return o->info[w] >= level;
}

/* Compat flags, spec 01 §7.2. */
enum {
	CF_INC_RECURSE = 0x001, CF_SYMLINK_TIMES = 0x002, CF_SYMLINK_ICONV = 0x004, CF_SAFE_FLIST = 0x008,
	CF_AVOID_XATTR_OPTIM = 0x010, CF_CHKSUM_SEED_FIX = 0x020, CF_INPLACE_PARTIAL_DIR = 0x040,
	CF_VARINT_FLIST_FLAGS = 0x080, CF_ID0_NAMES = 0x100,
};

struct xfer_proto {
	int version;                            /* 27 … 32 */
	unsigned compat;                        /* CF_*; 0 below 30 */
	int32_t seed;
	enum csum xfer_sum;                     /* blocks and whole files */
	enum csum list_sum;                     /* -c */
	bool md5_seed_last;                     /* spec 03 §8.3 */
	enum comp comp;                         /* COMP_NONE also when "off" by level */
	int comp_level;                         /* as comp_level() left it */
};

/* io_error bits, spec 02 §3.4. */
enum { IOERR_GENERAL = 1, IOERR_VANISHED = 2, IOERR_DEL_LIMIT = 4, IOERR_MASK = 7 };

/* Item flags, spec 03 §4.2. */
enum {
	ITEM_REPORT_ATIME = 0x0001, ITEM_REPORT_CHANGE = 0x0002, ITEM_REPORT_SIZE = 0x0004, ITEM_REPORT_TIMEFAIL = 0x0004,
	ITEM_REPORT_TIME = 0x0008, ITEM_REPORT_PERMS = 0x0010, ITEM_REPORT_OWNER = 0x0020, ITEM_REPORT_GROUP = 0x0040,
	ITEM_REPORT_ACL = 0x0080, ITEM_REPORT_XATTR = 0x0100, ITEM_REPORT_CRTIME = 0x0400,
	ITEM_BASIS_TYPE_FOLLOWS = 0x0800, ITEM_XNAME_FOLLOWS = 0x1000, ITEM_IS_NEW = 0x2000,
	ITEM_LOCAL_CHANGE = 0x4000, ITEM_TRANSFER = 0x8000,
};

/* Basis types, spec 03 §4.3. */
enum {
	BASIS_ALT_FIRST = 0x00, BASIS_ALT_LAST = 0x7f, BASIS_FNAME = 0x80, BASIS_PARTIAL_DIR = 0x81,
	BASIS_BACKUP = 0x82, BASIS_FUZZY = 0x83,
};

#endif
