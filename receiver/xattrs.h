/*
 * xattrs.h - extended attributes and ACLs on the receiving side: comparing, asking for values, setting
 * (spec 02 §15.3, §16.3, 08 §14.8).
 *
 * The receiver thread reads the tables and decides, once per list, under which name each attribute is kept.
 */
#ifndef RECEIVER_XATTRS_H
#define RECEIVER_XATTRS_H

#include "protocol/acl_wire.h"
#include "protocol/xattr_wire.h"
#include "receiver/attrs.h"

/* Each thread's buffers; made on first use. */
struct attr_room;
void attr_room_free(struct hands *h);

/* ---- extended attributes ---- */

/* The entry's list differs from what is at t; t NULL: there is nothing yet. */
bool xa_differs(struct hands *h, const struct fent *e, const struct target *t);

/* Writes an item's request. have: where equal values are already, or NULL. */
void xa_request(struct hands *h, struct wr *w, const struct fent *e, const struct target *have);

/* Makes the attributes of t those of the entry's list. t->old (may be NULL) has equal values of those that were not
   asked for. 1: changed, 0: nothing to do, -1: failed (was said). */
int xa_apply(struct hands *h, const struct target *t, const struct fent *e);

/* Gives to the attributes of from, and with fake-super also what stands for its ownership and ACLs. */
void xa_copy(struct hands *h, const struct target *from, const struct target *to);

/* Receiver thread: local names for the lists with indexes in [from, to]. */
int xa_prepare(struct hands *h, struct filt_walk *rules, int32_t from, int32_t to);

/* ---- ACLs ---- */

/* Which of the entry's ACLs differ from those at t, whose (real or stored) permissions are mode: ACL_* bits. */
enum { ACL_ACCESS = 1, ACL_DEFAULT = 2 };
unsigned acl_differs(struct hands *h, const struct fent *e, const struct target *t, mode_t wanted, mode_t mode);

/* Sets access and default ACL. mode: permissions wanted; st: of t now, st_mode is updated. fresh: t is known to have none.
   1, 0, -1 as above. */
int acl_apply(struct hands *h, const struct target *t, const struct fent *e, mode_t mode, struct stat *st, bool fresh);

#endif
