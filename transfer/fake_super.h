/*
 * fake_super.h - owner, mode, device numbers and types kept in attributes of an unprivileged
 * owner's files (--fake-super, `fake super`; spec 02 §17, 08 §14.9).
 */
#ifndef TRANSFER_FAKE_SUPER_H
#define TRANSFER_FAKE_SUPER_H

#include <sys/stat.h>

#include "sandbox/fs.h"

#define FAKE_PREFIX "user.rsync."              /* of attributes of other namespaces */
#define FAKE_STAT   FAKE_PREFIX "%stat"
#define FAKE_AACL   FAKE_PREFIX "%aacl"
#define FAKE_DACL   FAKE_PREFIX "%dacl"

#define FAKE_STAT_MAX 72                       /* longest text, with the NUL */

/* Text of %stat from mode, rdev (0,0 unless a device), uid and gid of st. Returns its length; NUL-terminated. */
size_t fake_stat_encode(const struct stat *st, char text[FAKE_STAT_MAX]);

/* Puts mode, rdev, uid and gid of the text over st. 0, or -EBADMSG for what is no such text (st unchanged). */
int fake_stat_decode(const char *text, size_t len, struct stat *st);

/* True for the three attributes that are no ordinary ones where fake-super is on. */
bool fake_is_own(const char *name);

/* The permission bits that a placeholder has on disk for wanted ones. */
static inline mode_t fake_disk_mode(mode_t perms, bool is_dir)
{
	return (perms & 0777) | (is_dir ? 0700 : 0600);
}

/* lstat with what %stat says put over it; real devices and specials are as they are. real (may be NULL): without it.
   -EBADMSG: corrupt, *bad receives the text (FAKE_STAT_MAX bytes; may be NULL). */
int fake_lstat(struct sb *sb, const char *dir, const char *leaf, struct stat *st, struct stat *real, char *bad);

/* The overlay alone, for an st that is known. */
int fake_overlay(struct sb *sb, const char *dir, const char *leaf, struct stat *st, char *bad);

/* Target of a symbolic link's placeholder, a regular file; as sb_readlink. */
ssize_t fake_readlink(struct sb *sb, const char *dir, const char *leaf, char *buf, size_t size);

#endif
