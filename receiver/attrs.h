/*
 * attrs.h - owner, permissions and times: what an entry asks for, how it differs, and setting it
 * (spec 08 §14, 03 §4.2).
 */
#ifndef RECEIVER_ATTRS_H
#define RECEIVER_ATTRS_H

#include "receiver/rx.h"

/* Something whose attributes are set: an open fd, or a name. dir and leaf are also for messages. */
struct target {
	struct sb *sb;
	const char *dir, *leaf;
	int fd;                        /* -1: by name */
	const struct target *old;      /* what it replaces or is: has values that the peer did not send; NULL: nothing */
};

enum {
	ATTRS_EXACT = 1,               /* after a transfer: times are made exactly equal */
	ATTRS_NO_MTIME = 2,
	ATTRS_ZERO_MTIME = 4,          /* mtime 0: interrupted data under --partial */
	ATTRS_NO_MODE = 8,
	ATTRS_XATTRS = 16,             /* extended attributes too, if they are kept */
	ATTRS_NO_ACL = 32,             /* it is new and has no ACL */
};

/* Permission bits an entry gets (07777). exist: what is at the destination now, of the same type, or NULL.
   dflt: bits of a new item that the umask or the directory's default ACL leave over (0777). */
mode_t attrs_mode(const struct rx *rx, const struct fent *e, const struct stat *exist, unsigned dflt);

/* Sets what differs between st and the entry, in the order of §14.1. mode: permission bits wanted.
   1: something was changed, 0: nothing had to be, -1: a step failed (was said), the later ones were left out. */
int attrs_apply(struct hands *h, const struct target *t, const struct fent *e, mode_t mode, const struct stat *st,
		unsigned flags);

/* True when times of this entry's type are kept. */
bool attrs_keeps_time(const struct rx *rx, const struct fent *e);

/* ITEM_REPORT_* bits of an existing item that need no context: size, perms, owner, group, atime, time when kept, and
   ACLs and extended attributes of what is at t. only_attrs: the item stays, and its ACL then stands for its permissions. */
unsigned attrs_report(struct hands *h, const struct fent *e, const struct stat *st, const struct target *t, bool only_attrs);

/* Level 3 of an alternate destination: every preserved attribute is as wanted. */
bool attrs_unchanged(struct hands *h, const struct fent *e, const struct stat *st, const struct target *t);

/* What no stat shows, on a copy: ACLs, what fake-super stores and, if all, extended attributes; as far as they are kept. */
void attrs_copy(struct hands *h, const struct target *from, const struct target *to, bool all);

/* True when the owner or the group of a fresh item of ours (uid = euid, gid given) must be changed. */
bool attrs_wants_chown(struct hands *h, const struct fent *e, gid_t gid);

#endif
