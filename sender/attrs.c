/*
 * attrs.c - ACLs and extended attributes of what is sent (spec 02 §15.2, §16.2, §16.5).
 */
#include "config.h"
#include "sender/sender.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/say.h"
#include "delta/checksum.h"
#include "protocol/acl_wire.h"
#include "protocol/xattr_wire.h"
#include "transfer/fake_super.h"
#include "transfer/posix_acl.h"

#define LIST_MAX 65536                 /* the kernel's limits of a list of names and of a value */
#define VALUE_MAX 65536
#define PREFIX_LEN (sizeof FAKE_PREFIX - 1)

struct attr_source {
	struct acl_tables *acls;
	struct xattr_table *xattrs;
	struct csum_ctx *md5;
	char names[LIST_MAX];
	uint8_t value[VALUE_MAX];
	struct acl_name acl_names[POSIX_ACL_NAMES_MAX];
	const char **sorted;
	size_t sorted_cap;
	struct xattr *v;
	size_t v_cap;
	uint8_t *small;                /* values of at most XATTR_FULL_MAX bytes, by position */
	size_t small_cap;
};

/* Where an object's attributes are; links that were followed are resolved. */
struct place {
	struct sb *sb;
	const char *dir, *leaf;
	char rdir[NAME_BUF], rleaf[SB_NAME_MAX + 1];
};

static size_t write_acl(void *ctx, struct wr *w, struct fent *e)
{
	return acl_write(((struct sender *)ctx)->attrs->acls, w, e);
}

static size_t write_xattr(void *ctx, struct wr *w, struct fent *e)
{
	return xattr_write(((struct sender *)ctx)->attrs->xattrs, w, e);
}

int attrs_init(struct sender *s, struct flist_hooks *h)
{
	struct attr_source *a;

	if (!s->o->acls && !s->o->xattrs)
		return 0;
	a = s->attrs = mem_zalloc(s->budget, 1, sizeof *a);
	if (!a)
		return sender_nomem(s);
	a->acls = acl_tables_new(s->set, s->budget);
	a->xattrs = xattr_table_new(s->budget, NULL);
	a->md5 = csum_ctx_new(CSUM_MD5, 0, false);
	if (!a->acls || !a->xattrs || !a->md5)
		return sender_nomem(s);
	h->write_acl = write_acl;
	h->write_xattr = write_xattr;
	return 0;
}

void attrs_done(struct sender *s)
{
	struct attr_source *a = s->attrs;

	if (!a)
		return;
	acl_tables_free(a->acls);
	xattr_table_free(a->xattrs);
	csum_ctx_free(a->md5);
	mem_free(s->budget, a->sorted);
	mem_free(s->budget, a->v);
	mem_free(s->budget, a->small);
	mem_free(s->budget, a);
}

/* What was sent for a link that options follow is the referent. 0 or a negative errno. */
static int settle(struct place *p, const struct fent *e)
{
	struct stat st;
	int rc = sb_lstat(p->sb, p->dir, p->leaf, &st);

	if (rc < 0 || !S_ISLNK(st.st_mode) || FENT_IS_LNK(e))
		return rc;
	rc = sb_resolve_in_root(p->sb, p->dir, p->leaf, p->rdir, p->rleaf);
	p->dir = p->rdir;
	p->leaf = p->rleaf;
	return rc;
}

/* The place of an entry of a list. Parents made up by --relative lie above their root's prefix. */
static int find(struct sender *s, const struct fent *e, struct place *p)
{
	const struct src_root *r = &s->roots[e->root];
	char name[PATH_LIMIT + 1];
	size_t len;

	if (!(e->flags & FENT_IMPLIED)) {
		p->sb = place_sb(s, e->root);
		p->dir = place_dir(s, e);
		p->leaf = e->name;
		return p->sb ? settle(p, e) : -ENOMEM;
	}
	p->sb = s->o->files_from ? place_sb(s, e->root) : place_view(s, s->free_view);
	p->dir = p->rdir;
	p->leaf = ".";
	len = fent_path(e, name);
	if (!p->sb)
		return -ENOMEM;
	return place_join(p->rdir, s->o->files_from ? r->prefix : r->at, name, !strcmp(name, ".") ? 0 : len);
}

/* No attribute, or none that the file system or this kernel can give: nothing to send. */
static bool is_none(ssize_t rc) { return rc == -ENODATA || rc == -ENOTSUP || rc == -EOPNOTSUPP || rc == -ENOSYS; }

/* ---- ACLs ---- */

static int add_acl(struct sender *s, const struct place *p, const struct fent *e, bool is_default, int32_t *index)
{
	struct attr_source *a = s->attrs;
	bool fake = s->o->super == 2;
	const char *name = fake ? (is_default ? FAKE_DACL : FAKE_AACL) : is_default ? SB_ACL_DEFAULT : SB_ACL_ACCESS;
	ssize_t n = sb_getxattr(p->sb, p->dir, p->leaf, name, a->value, sizeof a->value);
	struct acl acl;

	/* That a file cannot be read is told elsewhere. */
	if (is_none(n) || (fake && n == -EACCES))
		return 0;
	if (n >= 0)
		n = fake ? fake_acl_decode(a->value, (size_t)n, &acl, a->acl_names) :
			   posix_acl_decode(a->value, (size_t)n, &acl, a->acl_names);
	if (n < 0) {
		char listed[PATH_LIMIT + 1];

		fent_path(e, listed);
		sender_complain(s, (int)-n, "get_acl: sys_acl_get_file(%s, %s)", listed, is_default ? "ACL_TYPE_DEFAULT" : "ACL_TYPE_ACCESS");
		return 1;
	}
	if (!is_default)
		posix_acl_reduce(&acl, e->mode);
	if (!acl.flags)
		return 0;
	*index = acl_add(a->acls, is_default, &acl);
	return *index < 0 ? sender_nomem(s) : 0;
}

/* ---- extended attributes ---- */

static bool is_sent(struct sender *s, const char *name)
{
	if (filt_has_xattr_rules(s->rules)) {
		if (filt_xattr_excluded(s->rules, name))
			return false;
	} else if (!strncmp(name, "system.", 7)) {
		return false;
	}
	if (s->o->super == 2 && fake_is_own(name))
		return false;
	return s->o->xattrs > 1 || strncmp(name, FAKE_PREFIX "%", PREFIX_LEN + 1) != 0;
}

/* fake-super: attributes of other namespaces are kept behind a prefix. */
static const char *wire_name(const struct sender *s, const char *local)
{
	bool foreign = s->o->super == 2 && !strncmp(local, FAKE_PREFIX, PREFIX_LEN) && local[PREFIX_LEN];

	return foreign ? local + PREFIX_LEN : local;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Names to be sent, in order, in a->sorted; their number, or -1. */
static int select_names(struct sender *s, size_t len)
{
	struct attr_source *a = s->attrs;
	size_t count = 0;

	for (const char *n = a->names, *end = n + len; n < end; n += strlen(n) + 1) {
		const char **v;

		if (!is_sent(s, n))
			continue;
		v = mem_grow(s->budget, a->sorted, &a->sorted_cap, count + 1, sizeof *v);
		if (!v)
			return sender_nomem(s);
		a->sorted = v;
		v[count++] = n;
	}
	if (count)
		qsort(a->sorted, count, sizeof *a->sorted, by_name);
	return (int)count;
}

/* 1: *x is filled; 0: it is gone; -1: it cannot be read (said). */
static int load_attr(struct sender *s, const struct place *p, const struct fent *e, const char *name, uint8_t *small, struct xattr *x)
{
	struct attr_source *a = s->attrs;
	ssize_t n = sb_getxattr(p->sb, p->dir, p->leaf, name, a->value, sizeof a->value);

	if (is_none(n))
		return 0;
	if (n < 0) {
		sender_complain(s, (int)-n, "get_xattr_data: lgetxattr(%s,\"%s\",%zu) failed", place_show_entry(s, e), name,
				(size_t)0);
		return -1;
	}
	name = wire_name(s, name);
	*x = (struct xattr){ .name = name, .name_len = (uint32_t)strlen(name), .len = (size_t)n };
	if (n <= XATTR_FULL_MAX) {
		memcpy(small, a->value, (size_t)n);
	} else {
		uint8_t digest[CSUM_MAX_LEN];

		csum_start(a->md5);
		csum_update(a->md5, a->value, (size_t)n);
		csum_final(a->md5, digest);
		memcpy(x->digest, digest, XATTR_DIGEST_LEN);
	}
	return 1;
}

static int grow(struct sender *s, size_t count)
{
	struct attr_source *a = s->attrs;
	struct xattr *v = mem_grow(s->budget, a->v, &a->v_cap, count, sizeof *v);
	uint8_t *small = mem_grow(s->budget, a->small, &a->small_cap, count * XATTR_FULL_MAX, 1);

	if (v)
		a->v = v;
	if (small)
		a->small = small;
	return v && small ? 0 : sender_nomem(s);
}

static int add_xattrs(struct sender *s, const struct place *p, const struct fent *e, int32_t *index)
{
	struct attr_source *a = s->attrs;
	ssize_t len = sb_listxattr(p->sb, p->dir, p->leaf, a->names, sizeof a->names);
	uint32_t used = 0;
	int count;

	if (is_none(len) || len == 0)
		return 0;
	if (len < 0) {
		sender_complain(s, (int)-len, "get_xattr_names: llistxattr(%s,%zu) failed", place_show_entry(s, e), sizeof a->names);
		return 1;
	}
	count = select_names(s, (size_t)len);
	if (count <= 0)
		return count;
	if (grow(s, (size_t)count) < 0)
		return -1;
	for (int i = 0; i < count; i++) {
		int rc = load_attr(s, p, e, a->sorted[i], a->small + used * XATTR_FULL_MAX, &a->v[used]);

		if (rc < 0)
			return 1;
		used += (uint32_t)rc;
	}
	for (uint32_t i = 0; i < used; i++)
		a->v[i].value = a->small + i * XATTR_FULL_MAX;
	if (!used)
		return 0;
	*index = xattr_add(a->xattrs, a->v, used);
	return *index < 0 ? sender_nomem(s) : 0;
}

/* Devices and specials that are not preserved carry nothing (§15.2, §16.2). */
static bool carries(const struct sender *s, const struct fent *e)
{
	if (FENT_IS_LNK(e))
		return s->o->links;
	if (FENT_IS_DEV(e))
		return s->o->devices;
	return !FENT_IS_SPECIAL(e) || s->o->specials;
}

static OWN_FRAME int add(struct sender *s, const struct spot *sp, const char *look, struct fent *e)
{
	int32_t access = -1, def = -1, xattr = -1;
	struct fext *x;
	struct place p;
	int rc = 0;

	p.sb = sp->sb;
	p.dir = sp->dir;
	p.leaf = look;
	if (p.sb)
		rc = s->follows || sp->follow ? settle(&p, e) : 0;
	else
		rc = find(s, e, &p);
	if (rc < 0) {
		if (rc != -ENOENT)     /* gone again: the transfer will say so */
			sender_complain(s, -rc, "failed to read the attributes of %s", place_show_entry(s, e));
		return rc != -ENOENT;
	}
	if (s->o->acls && !FENT_IS_LNK(e)) {
		rc = add_acl(s, &p, e, false, &access);
		if (!rc && FENT_IS_DIR(e))
			rc = add_acl(s, &p, e, true, &def);
	}
	if (!rc && s->o->xattrs)
		rc = add_xattrs(s, &p, e, &xattr);
	if (rc || (access < 0 && def < 0 && xattr < 0))
		return rc;
	x = flist_ext(s->set, e);
	if (!x)
		return sender_nomem(s);
	x->acl_access = access;
	x->acl_default = def;
	x->xattr = xattr;
	return 0;
}

int attrs_add(struct sender *s, const struct spot *sp, const char *look, struct fent *e)
{
	return s->attrs && carries(s, e) ? add(s, sp, look, e) : 0;
}

/* ---- values that are asked for ---- */

struct answer {
	struct sender *s;
	struct place p;
	const struct fent *e;
	int rc;                        /* of finding the place */
};

/* By wire name: what has another namespace is behind the prefix, unless it is there itself. */
static ssize_t read_again(const struct answer *an, const char *name)
{
	struct attr_source *a = an->s->attrs;
	char local[XATTR_WIRE_NAME_MAX + PREFIX_LEN];
	ssize_t n = sb_getxattr(an->p.sb, an->p.dir, an->p.leaf, name, a->value, sizeof a->value);

	if (an->s->o->super != 2 || !is_none(n))
		return n;
	snprintf(local, sizeof local, "%s%s", FAKE_PREFIX, name);
	return sb_getxattr(an->p.sb, an->p.dir, an->p.leaf, local, a->value, sizeof a->value);
}

static int load_value(void *ctx, const struct xattr *x, const uint8_t **value, size_t *len)
{
	struct answer *an = ctx;
	struct attr_source *a = an->s->attrs;
	ssize_t n = an->rc;

	if (n == 0)
		n = read_again(an, x->name);
	if (n < 0) {
		/* The list was whole: what there is to delete does not depend on it. */
		say_errno(SAY_ERROR_XFER, (int)-n, "failed to re-read xattr %s for %s", x->name, place_show_entry(an->s, an->e));
		return -1;
	}
	*value = a->value;
	*len = (size_t)n;
	return 0;
}

static bool has_block(const struct sender *s)
{
	return item_has_xattrs(&s->item, s->proto, s->o->xattrs, s->o->dry_run, s->x->p->compat & CF_AVOID_XATTR_OPTIM);
}

int attrs_read_request(struct sender *s, const struct fent *e)
{
	if (has_block(s))
		xattr_read_request(s->attrs->xattrs, s->r, e->ext ? e->ext->xattr : -1, e->name);
	return s->r->failed ? -1 : 0;
}

static OWN_FRAME void write_reply(struct sender *s, const struct fent *e)
{
	struct answer an;

	an.s = s;
	an.e = e;
	an.rc = find(s, e, &an.p);
	xattr_write_reply(s->attrs->xattrs, s->w, e->ext ? e->ext->xattr : -1, load_value, &an);
}

void attrs_write_reply(struct sender *s, const struct fent *e)
{
	if (has_block(s))
		write_reply(s, e);
}
