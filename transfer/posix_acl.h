/*
 * posix_acl.h - POSIX ACLs as the kernel stores them, as they go over the wire, and as
 * fake-super keeps them (spec 02 §15, §17).
 */
#ifndef TRANSFER_POSIX_ACL_H
#define TRANSFER_POSIX_ACL_H

#include <sys/stat.h>

#include "protocol/acl_wire.h"

/* The kernel limits an attribute's value to 64 KiB: so many named entries fit. */
#define POSIX_ACL_NAMES_MAX 8191
#define POSIX_ACL_VALUE_MAX 65536

/* Value of system.posix_acl_access or _default into *out: all that is there. names takes POSIX_ACL_NAMES_MAX entries and
   becomes out->names. 0, or -EINVAL for a value that is none. len 0 is an ACL without anything. */
int posix_acl_decode(const void *value, size_t len, struct acl *out, struct acl_name *names);

/* Kernel value of a complete ACL (objects by flags; a mask is needed with names); returns its length,
   -EINVAL when incomplete, -ERANGE when it does not fit. */
ssize_t posix_acl_encode(const struct acl *a, void *value, size_t size);

/* Values of user.rsync.%aacl and %dacl. */
int fake_acl_decode(const void *value, size_t len, struct acl *out, struct acl_name *names);
ssize_t fake_acl_encode(const struct acl *a, void *value, size_t size);

/* Takes out of an access ACL what the mode says already (§15.2). */
void posix_acl_reduce(struct acl *a, mode_t mode);

#endif
