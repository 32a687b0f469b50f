/*
 * recv.h - the receiver thread: lists, echoed items and deliveries.
 */
#ifndef RECEIVER_RECV_H
#define RECEIVER_RECV_H

#include "delta/token_in.h"
#include "receiver/finish.h"
#include "receiver/outw.h"

/* A verified file that waits in the partial-dir for --delay-updates. */
struct delayed { int32_t ndx; uint16_t mode; uint8_t flags; };

struct recv {
	struct hands h;
	struct rx *rx;
	const struct xfer_opts *o;
	const struct xfer_proto *p;
	struct conn *conn;
	struct rd *in;                 /* == &conn->in */
	struct flist_set *set;
	struct ndx_state ndx;
	struct item item;              /* the item at hand */
	uint64_t item_in;              /* stream position behind its header */
	uint8_t item_sum[CSUM_MAX_LEN];        /* whole-file digest of the latest delivery */
	struct token_in *tok;
	struct csum_ctx *sum;
	uint8_t *gather;               /* OUTW_GATHER bytes */
	struct temp temp;              /* the only one this thread has at a time */
	int32_t xattrs_ready;          /* lists of attributes that have local names */
	struct filt_walk *xrules;      /* for them */
	int32_t lists;                 /* lists received */
	int64_t entries;               /* entries received, holes included */
	int32_t answers;               /* NDX_DONE received */
	bool list_eof;
	const struct fdir *probe_dir;  /* directory in which new files were seen to get probe_gid */
	gid_t probe_gid;
	struct delayed *delayed;
	size_t delayed_n, delayed_cap;
};

/* Result of a delivery, for the generator. */
enum outcome { OUTCOME_FATAL = -1, OUTCOME_OK, OUTCOME_REDO, OUTCOME_FAILED, OUTCOME_DELAYED };

/* Receives the data of req for e (the item header was read). OUTCOME_FATAL: the session ends, in->err says why. */
enum outcome recv_file(struct recv *r, const struct request *req, const struct fent *e);

/* Sets the hooks that --iconv needs (convert.c); ctx must be r. */
void names_in_hooks(struct recv *r, struct flist_hooks *h);

/* --delay-updates: moves everything that waits into place. */
int recv_delayed(struct recv *r);

/* Tells the generator; -1 without memory. */
int recv_event(struct recv *r, enum ev_kind kind, int32_t ndx, struct flist *fl);

#endif
