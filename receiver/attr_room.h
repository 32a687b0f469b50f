/*
 * attr_room.h - what xattrs.c, acls.c and fake.c share.
 */
#ifndef RECEIVER_ATTR_ROOM_H
#define RECEIVER_ATTR_ROOM_H

#include "receiver/xattrs.h"
#include "transfer/posix_acl.h"

#define XATTR_LOCAL_MAX 65536          /* what the system allows for a value and for a list of names */

struct attr_room {
	struct csum_ctx *md5;
	char list[XATTR_LOCAL_MAX];
	uint8_t value[XATTR_LOCAL_MAX], other[XATTR_LOCAL_MAX];
	const char **names;            /* into list */
	size_t names_cap;
	struct acl_name now[POSIX_ACL_NAMES_MAX], wanted[POSIX_ACL_NAMES_MAX];
};

struct attr_room *attr_room(struct hands *h);          /* NULL without memory */

ssize_t t_getxattr(const struct target *t, const char *name, void *buf, size_t size);
/* value NULL: removes it. A file without owner-write permission gets it for the moment. */
int t_setxattr(struct hands *h, const struct target *t, const char *name, const void *value, size_t size);

/* ---- fake.c: --fake-super ---- */

/* Stores owner, type, device numbers and permissions of the entry. st: what %stat and the disk say together. 1, 0, -1. */
int fake_apply(struct hands *h, const struct target *t, const struct fent *e, mode_t mode, uint32_t uid, uint32_t gid);

#endif
