/*
 * acl_wire.h - ACLs in the file list (spec 02 §15): the two tables of a connection, the
 * abbreviation by number, and the block's bytes. What an ACL means to the filesystem is
 * not known here.
 *
 * An entry holds table indexes (fext.acl_access, fext.acl_default). An ACL without
 * anything in it is index -1 in an entry, whatever its number on the wire.
 */
#ifndef PROTOCOL_ACL_WIRE_H
#define PROTOCOL_ACL_WIRE_H

#include "protocol/flist.h"

#define ACL_NAMES_MAX 65536            /* on the wire */

enum { ACLW_USER_OBJ = 1, ACLW_GROUP_OBJ = 2, ACLW_MASK_OBJ = 4, ACLW_OTHER_OBJ = 8, ACLW_NAMES = 16 };

struct acl_name {
	uint32_t id;                   /* of the sender's system; owner of the table may map it in place */
	uint8_t perm;                  /* rwx bits */
	bool is_user;
};

/* An ACL as it goes over the wire. The four objects are valid where flags has their ACLW_* bit. */
struct acl {
	uint8_t flags;                 /* ACLW_NAMES exactly if count > 0 */
	uint8_t user_obj, group_obj, mask_obj, other_obj;
	uint32_t count;
	struct acl_name *names;        /* sending: users first, then groups, each by ascending id; else as received */
};

struct acl_tables;

/* The tables of one direction of a connection; they use the id names of set (flist_id_inline, flist_id_named). */
struct acl_tables *acl_tables_new(struct flist_set *set, struct budget *budget);
void acl_tables_free(struct acl_tables *t);

/* ---- receiving: flist_hooks.read_acl with ctx = the tables (or called from your own hook) ---- */
void acl_read(struct acl_tables *t, struct rd *r, const struct fent *e, struct fext *x);

/* The ACL of an index of an entry, NULL for -1. Valid as long as the tables. Missing masks were computed
   (§15.3: access by the mode of the first entry that had it; default by OR). Threads that were given
   complete lists may call it while the owner reads further ones. */
const struct acl *acl_get(const struct acl_tables *t, bool is_default, int32_t index);

/* Calls fn for every named entry received so far (once each; later calls go on from there), for mapping ids after
   the id lists or after an incremental list. fn returns the local id. */
void acl_map_ids(struct acl_tables *t, uint32_t (*fn)(void *ctx, bool is_group, uint32_t id), void *ctx);

/* ---- sending ---- */

/* Finds or makes the table index of an ACL that the sender reduced as §15.2 says (copied; names need not be sorted).
   -1 when over budget. An empty ACL gets an index as well here. */
int32_t acl_add(struct acl_tables *t, bool is_default, const struct acl *acl);

/* Writes the blocks of an entry: e->ext->acl_access and, for directories, acl_default; -1 or no ext is an empty ACL.
   Returns the number of bytes. */
size_t acl_write(struct acl_tables *t, struct wr *w, const struct fent *e);

#endif
