/*
 * xattrs.c - extended attributes of the destination (spec 02 §16, 08 §14.8).
 */
#include "config.h"
#include "receiver/attr_room.h"

#include <errno.h>
#include <stdlib.h>

#include "delta/checksum.h"
#include "filter/filter.h"
#include "transfer/fake_super.h"

static bool has_prefix(const char *s, const char *prefix) { return strncmp(s, prefix, strlen(prefix)) == 0; }

struct attr_room *attr_room(struct hands *h)
{
	if (!h->room && (h->room = mem_zalloc(h->rx->budget, 1, sizeof *h->room))) {
		h->room->md5 = csum_ctx_new(CSUM_MD5, 0, false);
		if (!h->room->md5)
			attr_room_free(h);
	}
	return h->room;
}

void attr_room_free(struct hands *h)
{
	if (!h->room)
		return;
	csum_ctx_free(h->room->md5);
	mem_free(h->rx->budget, h->room->names);
	mem_free(h->rx->budget, h->room);
	h->room = NULL;
}

ssize_t t_getxattr(const struct target *t, const char *name, void *buf, size_t size)
{
	return t->fd >= 0 ? sbf_getxattr(t->fd, name, buf, size) : sb_getxattr(t->sb, t->dir, t->leaf, name, buf, size);
}

static int set_once(const struct target *t, const char *name, const void *value, size_t size)
{
	if (!value)
		return t->fd >= 0 ? sbf_removexattr(t->fd, name) : sb_removexattr(t->sb, t->dir, t->leaf, name);
	return t->fd >= 0 ? sbf_setxattr(t->fd, name, value, size) : sb_setxattr(t->sb, t->dir, t->leaf, name, value, size);
}

int t_setxattr(struct hands *h, const struct target *t, const char *name, const void *value, size_t size)
{
	struct stat st;
	int rc = set_once(t, name, value, size);

	/* A file that its owner may not write: only for the moment. */
	if (rc != -EACCES || h->rx->super ||
	    (t->fd >= 0 ? sbf_stat(t->fd, &st) : sb_lstat(t->sb, t->dir, t->leaf, &st)) < 0 || S_ISLNK(st.st_mode) ||
	    (st.st_mode & 0200))
		return rc;
	if ((t->fd >= 0 ? sbf_chmod(t->fd, (st.st_mode | 0200) & PERM_BITS) :
			  sb_chmod(t->sb, t->dir, t->leaf, (st.st_mode | 0200) & PERM_BITS)) < 0)
		return rc;
	rc = set_once(t, name, value, size);
	if (t->fd >= 0)
		sbf_chmod(t->fd, st.st_mode & PERM_BITS);
	else
		sb_chmod(t->sb, t->dir, t->leaf, st.st_mode & PERM_BITS);
	return rc;
}

/* ---- which attributes ---- */

/* A name on disk that takes part: it is compared, replaced and removed. */
static bool takes_part(struct hands *h, const char *name)
{
	if (h->rx->xattr_rules ? filt_xattr_excluded(h->xrules, name) :
	    h->rx->super ? has_prefix(name, "system.") : !has_prefix(name, "user."))
		return false;
	return !(h->rx->fake && fake_is_own(name));
}

static int prepare(struct hands *h, struct filt_walk *rules, struct xattr *a)
{
	const struct rx *rx = h->rx;
	const char *local = a->name;

	if (rx->xattr_rules ? filt_xattr_excluded(rules, a->name) : rx->super && has_prefix(a->name, "system."))
		a->drop = true;
	if (!a->drop && !rx->super && !has_prefix(a->name, "user.")) {
		char *p = NULL;

		if (!rx->fake && !rx->xattr_rules) {
			a->drop = true;
			return 0;
		}
		p = (char *)xattr_room(rx->xattrs, sizeof FAKE_PREFIX + a->name_len);
		if (!p)
			return -1;
		memcpy(p, FAKE_PREFIX, sizeof FAKE_PREFIX - 1);
		memcpy(p + sizeof FAKE_PREFIX - 1, a->name, a->name_len + 1);
		local = a->user = p;
	}
	if (has_prefix(local, FAKE_PREFIX "%") && rx->o->xattrs < 2)
		a->drop = true;
	return 0;
}

int xa_prepare(struct hands *h, struct filt_walk *rules, int32_t from, int32_t to)
{
	for (int32_t i = from; i <= to; i++) {
		struct xattr_list *l = xattr_get(h->rx->xattrs, i);

		for (uint32_t k = 0; k < l->count; k++)
			if (prepare(h, rules, &l->v[k]) < 0)
				return -1;
	}
	return 0;
}

static const char *local_name(const struct xattr *a) { return a->user ? a->user : a->name; }

static const struct xattr_list *list_of(struct hands *h, const struct fent *e)
{
	static const struct xattr_list none;
	const struct xattr_list *l = xattr_get(h->rx->xattrs, e->ext ? e->ext->xattr : -1);

	return l ? l : &none;
}

/* ---- what is there ---- */

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Names at t that take part, sorted, in room->names; their number, or a negative errno. */
static ssize_t list_names(struct hands *h, struct attr_room *room, const struct target *t)
{
	ssize_t len = t->fd >= 0 ? sbf_listxattr(t->fd, room->list, sizeof room->list) :
				   sb_listxattr(t->sb, t->dir, t->leaf, room->list, sizeof room->list);
	size_t n = 0;

	for (ssize_t at = 0; at < len; at += (ssize_t)strlen(room->list + at) + 1) {
		const char **p;

		if (!takes_part(h, room->list + at))
			continue;
		p = mem_grow(h->rx->budget, room->names, &room->names_cap, n + 1, sizeof *p);
		if (!p)
			return -ENOMEM;
		room->names = p;
		p[n++] = room->list + at;
	}
	if (n > 1)
		qsort(room->names, n, sizeof *room->names, by_name);
	return len < 0 ? len : (ssize_t)n;
}

static bool has_name(const struct attr_room *room, size_t n, const char *name)
{
	return n && bsearch(&name, room->names, n, sizeof *room->names, by_name);
}

static bool digest_is(struct attr_room *room, const struct xattr *a, size_t len)
{
	uint8_t sum[CSUM_MAX_LEN];

	csum_block(room->md5, room->value, len, sum);
	return memcmp(sum, a->digest, XATTR_DIGEST_LEN) == 0;
}

/* Value at t of an attribute into room->value: its length, or -1 unless it is what the sender has. */
static ssize_t same_value(struct attr_room *room, const struct target *t, const struct xattr *a)
{
	uint8_t state = atomic_load_explicit(&a->state, memory_order_acquire);
	ssize_t n = t_getxattr(t, local_name(a), room->value, sizeof room->value);

	if (n < 0 || state == XA_GONE)
		return -1;
	if (state == XA_FULL)
		return (size_t)n == a->len && memcmp(room->value, a->value, a->len) == 0 ? n : -1;
	return digest_is(room, a, (size_t)n) ? n : -1;
}

bool xa_differs(struct hands *h, const struct fent *e, const struct target *t)
{
	const struct xattr_list *l = list_of(h, e);
	struct attr_room *room = attr_room(h);
	ssize_t n = t && room ? list_names(h, room, t) : 0;
	size_t wanted = 0;

	for (uint32_t i = 0; i < l->count; i++) {
		const struct xattr *a = &l->v[i];

		if (a->drop)
			continue;
		wanted++;
		if (n <= 0 || !has_name(room, (size_t)n, local_name(a)) || same_value(room, t, a) < 0)
			return true;
	}
	return n > 0 && (size_t)n != wanted;
}

/* ---- asking ---- */

struct asking { struct attr_room *room; const struct target *have; };

static bool want(void *ctx, struct xattr *a)
{
	struct asking *q = ctx;

	return !q->have || !q->room || same_value(q->room, q->have, a) < 0;
}

void xa_request(struct hands *h, struct wr *w, const struct fent *e, const struct target *have)
{
	struct asking q = { attr_room(h), have };

	xattr_write_request(h->rx->xattrs, w, e->ext ? e->ext->xattr : -1, want, &q);
}

/* ---- setting ---- */

static int failed(struct hands *h, const struct target *t, const char *what, const char *name, int rc)
{
	say_errno(SAY_ERROR_XFER, -rc, "rsync_xal_%s(%s,\"%s\") failed", what, FULL(h->rx, t->dir, t->leaf), name);
	return -1;
}

/* Value of an attribute; NULL: it must not be stored (*rc 0), or cannot (-1, was said). */
static const uint8_t *value_of(struct hands *h, struct attr_room *room, const struct target *t, const struct xattr *a,
			       size_t *len, int *rc)
{
	uint8_t state = atomic_load_explicit(&a->state, memory_order_acquire);
	ssize_t n = -1;

	*rc = 0;
	*len = a->len;
	if (state == XA_FULL)
		return a->value;
	if (state == XA_GONE)
		return NULL;
	if (t->old)
		n = same_value(room, t->old, a);
	if (n >= 0) {
		*len = (size_t)n;
		return room->value;
	}
	say(SAY_ERROR_XFER, "Missing abbreviated xattr value, %s, for %s", local_name(a), FULL(h->rx, t->dir, t->leaf));
	*rc = -1;
	return NULL;
}

static int set_all(struct hands *h, struct attr_room *room, const struct target *t, const struct xattr_list *l, size_t have)
{
	int changed = 0, bad = 0;

	for (uint32_t i = 0; i < l->count; i++) {
		const struct xattr *a = &l->v[i];
		const char *name = local_name(a);
		const uint8_t *value;
		size_t len;
		int rc;

		if (a->drop || (has_name(room, have, name) && same_value(room, t, a) >= 0))
			continue;
		value = value_of(h, room, t, a, &len, &rc);
		if (value) {
			rc = t_setxattr(h, t, name, value, len);
			if (rc < 0)
				failed(h, t, "set: lsetxattr", name, rc);
			changed = 1;
		}
		bad |= rc < 0;
	}
	return bad ? -1 : changed;
}

/* Local names that the list wants, sorted. */
static int remove_others(struct hands *h, struct attr_room *room, const struct target *t, const struct xattr_list *l,
			 size_t have)
{
	int changed = 0, bad = 0;
	size_t n = 0;
	const char **keep = l->count ? mem_alloc(h->rx->budget, l->count, sizeof *keep) : NULL;

	if (l->count && !keep)
		return -1;
	for (uint32_t i = 0; i < l->count; i++)
		if (!l->v[i].drop)
			keep[n++] = local_name(&l->v[i]);
	if (n > 1)
		qsort(keep, n, sizeof *keep, by_name);
	for (size_t i = 0; i < have; i++) {
		int rc;

		if (n && bsearch(&room->names[i], keep, n, sizeof *keep, by_name))
			continue;
		rc = t_setxattr(h, t, room->names[i], NULL, 0);
		if (rc < 0 && rc != -ENODATA)
			bad = failed(h, t, "clear: lremovexattr", room->names[i], rc);
		changed = 1;
	}
	mem_free(h->rx->budget, keep);
	return bad ? -1 : changed;
}

int xa_apply(struct hands *h, const struct target *t, const struct fent *e)
{
	const struct xattr_list *l = list_of(h, e);
	struct attr_room *room = attr_room(h);
	ssize_t have;
	int set, removed;

	if (!room)
		return -1;
	have = list_names(h, room, t);
	/* Not supported by the file system: nothing is said. But a kernel that has no safe way to a link or a FIFO loses what was sent. */
	if (have == -EOPNOTSUPP && !(l->count && t->fd < 0 && sb_attrs_by_fd_only(t->sb) && !S_ISREG(e->mode) && !S_ISDIR(e->mode)))
		return 0;
	if (have < 0)
		return failed(h, t, "get: llistxattr", "", (int)have);
	set = set_all(h, room, t, l, (size_t)have);
	removed = have ? remove_others(h, room, t, l, (size_t)have) : 0;
	return set < 0 || removed < 0 ? -1 : set | removed;
}

void xa_copy(struct hands *h, const struct target *from, const struct target *to)
{
	struct attr_room *room = attr_room(h);
	ssize_t n = room ? list_names(h, room, from) : -1;

	for (ssize_t i = 0; i < n; i++) {
		ssize_t len = t_getxattr(from, room->names[i], room->value, sizeof room->value);
		int rc = len < 0 ? (int)len : t_setxattr(h, to, room->names[i], room->value, (size_t)len);

		if (rc < 0)
			failed(h, to, "set: lsetxattr", room->names[i], rc);
	}
}
