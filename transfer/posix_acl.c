/*
 * posix_acl.c - conversions of POSIX ACLs.
 */
#include "config.h"
#include "transfer/posix_acl.h"

#include <errno.h>

/* The kernel's form: a version word, then entries of tag, perm (u16) and id (u32), little-endian. */
#define ACL_VERSION   2u
#define HEAD      4u
#define ENTRY     8u
#define NO_ID     0xffffffffu

enum { TAG_USER_OBJ = 1, TAG_USER = 2, TAG_GROUP_OBJ = 4, TAG_GROUP = 8, TAG_MASK = 0x10, TAG_OTHER = 0x20 };

/* fake-super: four words for the objects, then id and access per name. */
#define FAKE_HEAD   16u
#define FAKE_ABSENT 0x80u
#define FAKE_USER   0x80000000u

int posix_acl_decode(const void *value, size_t len, struct acl *out, struct acl_name *names)
{
	const uint8_t *p = value, *end = p + len;

	*out = (struct acl){ .names = names };
	if (!len)
		return 0;
	if (len < HEAD || (len - HEAD) % ENTRY || get_le32(p) != ACL_VERSION)
		return -EINVAL;
	for (p += HEAD; p < end; p += ENTRY) {
		uint16_t tag = get_le16(p), perm = get_le16(p + 2);

		if (perm > 7)
			return -EINVAL;
		switch (tag) {
		case TAG_USER_OBJ: out->user_obj = (uint8_t)perm; out->flags |= ACLW_USER_OBJ; break;
		case TAG_GROUP_OBJ: out->group_obj = (uint8_t)perm; out->flags |= ACLW_GROUP_OBJ; break;
		case TAG_MASK: out->mask_obj = (uint8_t)perm; out->flags |= ACLW_MASK_OBJ; break;
		case TAG_OTHER: out->other_obj = (uint8_t)perm; out->flags |= ACLW_OTHER_OBJ; break;
		case TAG_USER: case TAG_GROUP:
			if (out->count >= POSIX_ACL_NAMES_MAX)
				return -EINVAL;
			names[out->count++] = (struct acl_name){
				.id = get_le32(p + 4), .perm = (uint8_t)perm, .is_user = tag == TAG_USER,
			};
			out->flags |= ACLW_NAMES;
			break;
		default:
			return -EINVAL;
		}
	}
	return 0;
}

static uint8_t *put_entry(uint8_t *p, uint16_t tag, uint8_t perm, uint32_t id)
{
	put_le16(p, tag);
	put_le16(p + 2, perm);
	put_le32(p + 4, id);
	return p + ENTRY;
}

static uint8_t *put_names(uint8_t *p, const struct acl *a, bool users)
{
	for (uint32_t i = 0; i < a->count; i++)
		if (a->names[i].is_user == users)
			p = put_entry(p, users ? TAG_USER : TAG_GROUP, a->names[i].perm, a->names[i].id);
	return p;
}

ssize_t posix_acl_encode(const struct acl *a, void *value, size_t size)
{
	const unsigned need = ACLW_USER_OBJ | ACLW_GROUP_OBJ | ACLW_OTHER_OBJ;
	size_t len = HEAD + ((size_t)a->count + 3 + !!(a->flags & ACLW_MASK_OBJ)) * ENTRY;
	uint8_t *p = value;

	if ((a->flags & need) != need || (a->count && !(a->flags & ACLW_MASK_OBJ)))
		return -EINVAL;
	if (a->count > POSIX_ACL_NAMES_MAX || len > size)
		return -ERANGE;
	put_le32(p, ACL_VERSION);
	p = put_entry(p + HEAD, TAG_USER_OBJ, a->user_obj, NO_ID);
	p = put_names(p, a, true);
	p = put_entry(p, TAG_GROUP_OBJ, a->group_obj, NO_ID);
	p = put_names(p, a, false);
	if (a->flags & ACLW_MASK_OBJ)
		p = put_entry(p, TAG_MASK, a->mask_obj, NO_ID);
	put_entry(p, TAG_OTHER, a->other_obj, NO_ID);
	return (ssize_t)len;
}

int fake_acl_decode(const void *value, size_t len, struct acl *out, struct acl_name *names)
{
	static const uint8_t bit[4] = { ACLW_USER_OBJ, ACLW_GROUP_OBJ, ACLW_MASK_OBJ, ACLW_OTHER_OBJ };
	uint8_t *obj[4] = { &out->user_obj, &out->group_obj, &out->mask_obj, &out->other_obj };
	const uint8_t *p = value;

	*out = (struct acl){ .names = names };
	if (len < FAKE_HEAD || (len - FAKE_HEAD) % ENTRY || (len - FAKE_HEAD) / ENTRY > POSIX_ACL_NAMES_MAX)
		return -EINVAL;
	for (int i = 0; i < 4; i++, p += 4) {
		uint32_t v = get_le32(p);

		if (v == FAKE_ABSENT)
			continue;
		if (v > 7)
			return -EINVAL;
		*obj[i] = (uint8_t)v;
		out->flags |= bit[i];
	}
	out->count = (uint32_t)((len - FAKE_HEAD) / ENTRY);
	for (uint32_t i = 0; i < out->count; i++, p += ENTRY) {
		uint32_t access = get_le32(p + 4);

		if ((access & ~FAKE_USER) > 7)
			return -EINVAL;
		names[i] = (struct acl_name){ .id = get_le32(p), .perm = access & 7, .is_user = access & FAKE_USER };
	}
	if (out->count)
		out->flags |= ACLW_NAMES;
	return 0;
}

ssize_t fake_acl_encode(const struct acl *a, void *value, size_t size)
{
	size_t len = FAKE_HEAD + (size_t)a->count * ENTRY;
	uint8_t *p = value;

	if (len > size)
		return -ERANGE;
	put_le32(p, a->flags & ACLW_USER_OBJ ? a->user_obj : FAKE_ABSENT);
	put_le32(p + 4, a->flags & ACLW_GROUP_OBJ ? a->group_obj : FAKE_ABSENT);
	put_le32(p + 8, a->flags & ACLW_MASK_OBJ ? a->mask_obj : FAKE_ABSENT);
	put_le32(p + 12, a->flags & ACLW_OTHER_OBJ ? a->other_obj : FAKE_ABSENT);
	p += FAKE_HEAD;
	for (uint32_t i = 0; i < a->count; i++, p += ENTRY) {
		put_le32(p, a->names[i].id);
		put_le32(p + 4, a->names[i].perm | (a->names[i].is_user ? FAKE_USER : 0));
	}
	return (ssize_t)len;
}

void posix_acl_reduce(struct acl *a, mode_t mode)
{
	uint8_t group = mode >> 3 & 7;

	a->flags &= (uint8_t)~(ACLW_USER_OBJ | ACLW_OTHER_OBJ);
	if (!(a->flags & ACLW_MASK_OBJ)) {
		a->flags &= (uint8_t)~ACLW_GROUP_OBJ;
		return;
	}
	if (a->group_obj == group)
		a->flags &= (uint8_t)~ACLW_GROUP_OBJ;
	if (a->count && a->mask_obj == group)
		a->flags &= (uint8_t)~ACLW_MASK_OBJ;
}
