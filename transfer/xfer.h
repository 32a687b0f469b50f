/*
 * xfer.h - one transfer: what the sender and the receiver roles are given to work with.
 *
 * Built by session/ before a role starts. The rule for threads: what is not const here
 * belongs to the thread named in the comment.
 */
#ifndef TRANSFER_XFER_H
#define TRANSFER_XFER_H

#include <sys/types.h>

#include "base/mem.h"
#include "protocol/conn.h"
#include "protocol/item.h"
#include "transfer/options.h"

struct fent;
struct filter_list;
struct anchor;
struct places;
struct broker;
struct charset;

/* Names and ids of this system. In a confined worker the answers come from the monitor. Thread-safe. */
struct id_service {
	void *ctx;
	/* Name of an id into buf; 0 or -ENOENT. */
	int (*name)(void *ctx, bool is_group, uint32_t id, char *buf, size_t size);
	/* Id of a name; 0 or -ENOENT. */
	int (*id)(void *ctx, bool is_group, const char *name, uint32_t *id);
};

/* An item that was handled, for the item log of a daemon. Valid during the call. */
struct item_record {
	const struct fent *e;
	const struct item *it;
	const char *op;                /* "send", "recv", "del." */
	const char *path;              /* relative to the module: request directory and name */
	bool deleted;
	int64_t data_bytes, sum_bytes; /* of the stream, without frame headers; 0 if nothing was transferred */
	const uint8_t *sum;            /* whole-file digest of the transfer, NULL if there is none */
};

struct xfer {
	const struct xfer_opts *o;
	const struct xfer_proto *p;
	struct conn *conn;
	struct budget *budget;
	const struct id_service *ids;

	/* What the process may touch: the module root (daemon), "/" as the invoking user sees it (a remote-shell sender), or
	   the directory that it is jailed in (a remote-shell receiver). */
	struct anchor *root;
	/* A remote-shell server: what its arguments name, opened beforehand, by paths as seen from "/". A receiver reaches
	   nothing else. NULL: everything lies beneath root. */
	struct places *places;
	const char *cwd;               /* directory of relative arguments, anchor-relative, "" = the anchor */
	const char *module;            /* module name for messages, or NULL: " (in MODULE)" is added to paths */
	const char *const *args;       /* path arguments, cleaned, anchor-relative (leading slash kept for -R) */
	int arg_count;

	struct filter_list *daemon_filter;     /* module's rules; NULL without */
	struct filter_list *filter;            /* the client's rules as this side evaluates them */
	struct broker *broker;          /* NULL: this session creates no devices */
	const char *audit;             /* who, for records about devices: "client=… user=… module=…"; NULL: none are kept */

	struct charset *charset;       /* --iconv: of names here; NULL: names are bytes */
	bool charset_links;            /* symlink targets are converted too */
	bool charset_listed;           /* so are the names that cross the connection for --files-from (-s) */

	size_t block_table_max;        /* bytes of a table of block sums; 0: SUM_TABLE_LIMIT */
	size_t xattr_max;              /* bytes of one value of an extended attribute; 0: as the protocol allows */

	mode_t umask;                  /* of the process */
	int64_t start_ms;              /* clock_ms at the end of the handshake */

	/* Results, written by the role's owning thread, read by session/ at the end. */
	int io_error;                  /* IOERR_* */
	struct del_stats deleted;
	struct xfer_stats stats;
	int64_t literal, matched, files_sent;

	bool peer_exited;              /* input owner: the peer ended the session with MSG_ERROR_EXIT */

	/* Item log of a daemon (`transfer logging`): called when an item is finished, by one thread at a time; NULL without. */
	void (*log_item)(void *ctx, const struct item_record *rec);
	void *log_ctx;
};

/*
 * The roles. Each runs from "the filter list was read" to the goodbye and returns 0, or -1 with the
 * connection's error records filled. They do not send MSG_ERROR_EXIT and do not exit.
 */
int sender_run(struct xfer *x);
int receiver_run(struct xfer *x);

/* For a role's conn->on_msg: handles the frames that every role treats alike (text from the peer, NOOP,
   ERROR_EXIT). 1: handled, 0: the role's own business, -1: the session ends (the reader has failed). */
int xfer_common_msg(struct xfer *x, unsigned code, const uint8_t *data, size_t len);

/* A frame that may not arrive in this role: fails the reader with RX_STREAMIO and returns -1. */
int xfer_bad_msg(struct xfer *x, unsigned code, size_t len);

#endif
