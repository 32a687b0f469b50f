/*
 * acls.c - ACLs of the destination (spec 02 §15.3, 08 §14.1 step 7, §14.8).
 */
#include "config.h"
#include "receiver/attr_room.h"

#include <errno.h>
#include <stdlib.h>

#include "transfer/fake_super.h"

static int by_id(const void *pa, const void *pb)
{
	const struct acl_name *a = pa, *b = pb;

	if (a->is_user != b->is_user)
		return a->is_user ? -1 : 1;
	return (a->id > b->id) - (a->id < b->id);
}

/* Copies the named entries, sorted by their local ids. -1: more than the system can hold. */
static int sort_names(struct acl *a, struct acl_name *to)
{
	if (a->count > POSIX_ACL_NAMES_MAX)
		return -1;
	if (a->count)
		memcpy(to, a->names, a->count * sizeof *to);
	a->names = to;
	if (a->count > 1)
		qsort(to, a->count, sizeof *to, by_id);
	return 0;
}

static const char *acl_name_of(const struct rx *rx, bool is_default)
{
	if (rx->fake)
		return is_default ? FAKE_DACL : FAKE_AACL;
	return is_default ? SB_ACL_DEFAULT : SB_ACL_ACCESS;
}

/* What is stored at t, in room->other and, decoded, *out; its length. Nothing, or no support: 0. So is what is kept for a
   file that cannot be read: that was told already. */
static ssize_t stored(struct hands *h, struct attr_room *room, const struct target *t, bool is_default, struct acl *out)
{
	ssize_t n = t_getxattr(t, acl_name_of(h->rx, is_default), room->other, sizeof room->other);
	int rc = 0;

	*out = (struct acl){ .names = room->now };
	if (n == -ENODATA || n == -EOPNOTSUPP || (n == -EACCES && h->rx->fake))
		return 0;
	if (n > 0)
		rc = h->rx->fake ? fake_acl_decode(room->other, (size_t)n, out, room->now) :
				   posix_acl_decode(room->other, (size_t)n, out, room->now);
	if (rc == 0 && n > 0)
		sort_names(out, room->now);
	return n < 0 ? n : rc < 0 ? rc : n;
}

static const struct acl *wire_acl(struct hands *h, const struct fent *e, bool is_default)
{
	static const struct acl none;
	const struct acl *a = !e->ext ? NULL : acl_get(h->rx->acls, is_default, is_default ? e->ext->acl_default : e->ext->acl_access);

	/* A default ACL without an owner's entry says that there is none. */
	return a && (!is_default || (a->flags & ACLW_USER_OBJ)) ? a : &none;
}

static bool same_names(const struct acl *a, const struct acl *b)
{
	if (a->count != b->count)
		return false;
	for (uint32_t i = 0; i < a->count; i++)
		if (a->names[i].id != b->names[i].id || a->names[i].perm != b->names[i].perm || a->names[i].is_user != b->names[i].is_user)
			return false;
	return true;
}

static bool is_masked(const struct acl *a)
{
	return (a->flags & ACLW_MASK_OBJ) || a->count;
}

/* What an access ACL grants the group itself: under a mask, where its entry is left out it is what the permissions say. */
static uint8_t group_of(const struct acl *a, mode_t mode)
{
	return a->flags & ACLW_GROUP_OBJ ? a->group_obj : mode >> 3 & 7;
}

/* Access ACLs are compared without what the permissions say; a mask always is the group permissions. */
static bool access_differs(const struct acl *want, mode_t wanted, const struct acl *now, mode_t mode)
{
	if (is_masked(want) != is_masked(now))
		return true;
	if ((is_masked(want) || (want->flags & ACLW_GROUP_OBJ)) && group_of(want, wanted) != group_of(now, mode))
		return true;
	return !same_names(want, now);
}

static bool default_differs(const struct acl *want, const struct acl *now)
{
	const unsigned objs = ACLW_USER_OBJ | ACLW_GROUP_OBJ | ACLW_MASK_OBJ | ACLW_OTHER_OBJ;

	return ((want->flags ^ now->flags) & objs) || want->user_obj != now->user_obj || want->group_obj != now->group_obj ||
	       want->other_obj != now->other_obj || ((want->flags & ACLW_MASK_OBJ) && want->mask_obj != now->mask_obj) ||
	       !same_names(want, now);
}

unsigned acl_differs(struct hands *h, const struct fent *e, const struct target *t, mode_t wanted, mode_t mode)
{
	struct attr_room *room = attr_room(h);
	unsigned which = 0;

	if (!room || FENT_IS_LNK(e))
		return 0;
	for (int d = 0; d <= FENT_IS_DIR(e); d++) {
		struct acl now, want = *wire_acl(h, e, d);

		if (sort_names(&want, room->wanted) < 0 || stored(h, room, t, d, &now) < 0 ||
		    (d ? default_differs(&want, &now) : access_differs(&want, wanted, &now, mode)))
			which |= d ? ACL_DEFAULT : ACL_ACCESS;
	}
	return which;
}

/* The complete ACL that gives these permissions. */
static void complete(struct acl *a, mode_t mode)
{
	a->user_obj = mode >> 6 & 7;
	a->other_obj = mode & 7;
	if (!(a->flags & ACLW_GROUP_OBJ))
		a->group_obj = mode >> 3 & 7;
	a->flags |= ACLW_USER_OBJ | ACLW_GROUP_OBJ | ACLW_OTHER_OBJ;
	if (a->count)
		a->flags |= ACLW_MASK_OBJ;
	if (a->flags & ACLW_MASK_OBJ)
		a->mask_obj = mode >> 3 & 7;
}

static int failed(struct hands *h, const struct target *t, bool is_default, int rc)
{
	char path[PATH_LIMIT + 1];

	if (h->rx->fake)
		say_errno(SAY_ERROR_XFER, -rc, "set_xattr_acl: fsetxattr(%s,\"%s\") failed", FULL(h->rx, t->dir, t->leaf),
			  acl_name_of(h->rx, is_default));
	else
		say_errno(SAY_ERROR_XFER, -rc, "set_acl: sys_acl_set_file(%s, %s)", path_join(path, t->dir, t->leaf) == 0 ? path : t->leaf,
			  is_default ? "ACL_TYPE_DEFAULT" : "ACL_TYPE_ACCESS");
	return -1;
}

/* Encodes it (nothing, if empty) and stores it where it differs. */
static int store(struct hands *h, struct attr_room *room, const struct target *t, bool is_default, const struct acl *a, bool empty,
		 bool fresh)
{
	struct acl now;
	ssize_t n = 0, have;
	int rc;

	if (!empty)
		n = h->rx->fake ? fake_acl_encode(a, room->value, sizeof room->value) :
				  posix_acl_encode(a, room->value, sizeof room->value);
	if (n < 0)
		return failed(h, t, is_default, (int)n);
	have = fresh ? 0 : stored(h, room, t, is_default, &now);
	if (have == n && (n == 0 || memcmp(room->value, room->other, (size_t)n) == 0))
		return 0;
	rc = t_setxattr(h, t, acl_name_of(h->rx, is_default), n ? room->value : NULL, (size_t)n);
	return rc == 0 || (rc == -ENODATA && !n) ? 1 : failed(h, t, is_default, rc);
}

static int apply_access(struct hands *h, struct attr_room *room, const struct target *t, const struct fent *e, mode_t mode,
			struct stat *st, bool fresh)
{
	struct acl a = *wire_acl(h, e, false), now;
	bool plain = !a.count && !(a.flags & ACLW_MASK_OBJ), careful;
	int rc;

	if (sort_names(&a, room->wanted) < 0)
		return failed(h, t, false, -ERANGE);
	if (h->rx->fake)
		return store(h, room, t, false, &a, !a.flags && (fresh || stored(h, room, t, false, &now) == 0), fresh);
	/* The usual case: no ACL on either side, permissions say it all. */
	if (plain && (fresh || stored(h, room, t, false, &now) == 0))
		return 0;
	/* What the set-id or sticky bits are to restrict may not be there before them. */
	careful = S_ISDIR(st->st_mode) ? (mode & ~st->st_mode & S_ISVTX) : (~mode & st->st_mode & (S_ISUID | S_ISGID));
	complete(&a, careful ? mode & ~(mode_t)077 : mode);
	rc = store(h, room, t, false, &a, false, fresh);
	/* The system may have dropped a set-gid bit with it, or not: it is set anew, or removed. */
	if (rc > 0)
		st->st_mode = (st->st_mode & ~(mode_t)(0777 | S_ISGID)) | (mode & (careful ? 0700 : 0777)) |
			      (st->st_mode & S_ISGID ? ~mode & S_ISGID : 0);
	return rc;
}

int acl_apply(struct hands *h, const struct target *t, const struct fent *e, mode_t mode, struct stat *st, bool fresh)
{
	struct attr_room *room = attr_room(h);
	int rc, d = 0;

	if (FENT_IS_LNK(e))
		return 0;
	if (!room)
		return -1;
	rc = apply_access(h, room, t, e, mode, st, fresh);
	if (rc >= 0 && FENT_IS_DIR(e)) {
		struct acl a = *wire_acl(h, e, true);

		if (sort_names(&a, room->wanted) < 0)
			return failed(h, t, true, -ERANGE);
		d = store(h, room, t, true, &a, !a.flags, fresh);
	}
	return rc < 0 || d < 0 ? -1 : rc | d;
}
