/*
 * flist_write.c - encoding file lists (spec 02 §3, §4).
 *
 * The flags and bytes are those of the stock sender for the same entries in the same
 * order. "Same as before" is decided by what the reader's state will be (§4.0.1).
 */
#include "config.h"
#include "protocol/flist_priv.h"

/* Upper bound of an entry without its name, target and digest: fixed fields and two id names. */
#define FIXED_ROOM (128 + 2 * 256)

/* Group of an inode whose first entry was taken back. */
#define GROUP_TAKEN_BACK INT32_MAX

/* What hooks turned the names into. */
struct wire_text { char name[PATH_LIMIT + 1], link[PATH_LIMIT + 1]; };

struct out {
	struct flist_set *s;
	struct fent *e;
	const struct fent *first;      /* the entry whose fields stand for ours */
	uint32_t xf;
	int64_t mtime;
	uint32_t rdev27;
	const char *uname, *gname;
	bool nomem;
	const char *name;              /* wire name */
	size_t len, l1;
	const char *link;
	size_t link_len;
	struct wire_text *text;        /* NULL without such hooks */
};

/* ---- primitives on memory that is known to suffice ---- */

static uint8_t *put_varlong(uint8_t *p, uint64_t x, unsigned min)
{
	unsigned n = x ? (71 - (unsigned)__builtin_clzll(x)) / 8 : 1, k;
	uint8_t b[8];

	if (n < min)
		n = min;
	k = n - min;
	put_le64(b, x);
	if (b[n - 1] < 1u << (7 - k)) {
		*p++ = (uint8_t)(b[n - 1] | (uint8_t)(0xff << (8 - k)));
		memcpy(p, b, n - 1);
		return p + n - 1;
	}
	*p++ = (uint8_t)(0xff << (7 - k));
	memcpy(p, b, n);
	return p + n;
}

static uint8_t *put_varint(uint8_t *p, uint32_t x)
{
	if (x < 0x80) {
		*p = (uint8_t)x;
		return p + 1;
	}
	return put_varlong(p, x, 1);
}

static uint8_t *put_int(uint8_t *p, uint32_t x)
{
	put_le32(p, x);
	return p + 4;
}

static uint8_t *put_longint(uint8_t *p, int64_t v)
{
	if (v >= 0 && v <= INT32_MAX)
		return put_int(p, (uint32_t)v);
	p = put_int(p, UINT32_MAX);
	put_le64(p, (uint64_t)v);
	return p + 8;
}

static uint8_t *put_varint30(uint8_t *p, int proto, uint32_t x)
{
	return proto >= 30 ? put_varint(p, x) : put_int(p, x);
}

static uint8_t *put_id_name(uint8_t *p, const char *name)
{
	size_t len = strnlen(name, 255);

	*p++ = (uint8_t)len;
	memcpy(p, name, len);
	return p + len;
}

/* ---- names ---- */

/* Converted name for --iconv; false if it cannot be. */
static OWN_FRAME bool convert_names(struct out *o)
{
	struct flist_set *s = o->s;
	const struct fdir *d = o->e->dir;
	char leaf[PATH_LIMIT + 1];
	size_t at = 0;
	int n;

	if (s->conv_dir != d || s->conv_len < 0) {
		s->conv_dir = d;
		s->conv_len = d->len ? s->hooks.name_out(s->hooks.ctx, d->s, d->len, s->conv) : 0;
	}
	n = s->hooks.name_out(s->hooks.ctx, o->e->name, strlen(o->e->name), leaf);
	if (s->conv_len < 0 || n < 0)
		return false;
	memcpy(o->text->name, s->conv, (size_t)s->conv_len);
	at = (size_t)s->conv_len;
	if (fdir_prefix(d) > d->len && at < PATH_LIMIT)
		o->text->name[at++] = '/';
	if (at + (size_t)n > PATH_LIMIT)
		return false;
	memcpy(o->text->name + at, leaf, (size_t)n);
	o->name = o->text->name;
	o->len = at + (size_t)n;
	return true;
}

static bool convert_link(struct out *o)
{
	struct flist_set *s = o->s;
	int n;

	if (!o->link_len || !s->hooks.link_out)
		return true;
	n = s->hooks.link_out(s->hooks.ctx, o->link, o->link_len, o->text->link);
	if (n < 0)
		return false;
	o->link = o->text->link;
	o->link_len = (size_t)n;
	return true;
}

static size_t common(const char *a, size_t na, const char *b, size_t nb)
{
	size_t n = MIN(na, nb), i = 0;

	while (i < n && i < 255 && a[i] == b[i])
		i++;
	return i;
}

/* Finds the wire name and how much of it the reader has, and makes it the previous name. */
static bool set_name(struct out *o)
{
	struct codec *c = &o->s->prev;
	const struct fent *e = o->e;
	size_t prefix, leaf_len;
	const char *leaf;

	if (o->s->hooks.name_out) {
		o->l1 = common(o->name, o->len, c->name, c->len);
		memcpy(c->name, o->name, o->len);
		c->len = o->len;
		c->dir = NULL;
		return true;
	}
	prefix = fdir_prefix(e->dir);
	leaf = e->name;
	leaf_len = strlen(leaf);
	if (prefix + leaf_len > PATH_LIMIT)
		return false;
	if (c->any && c->dir == e->dir) {
		o->l1 = prefix + common(leaf, leaf_len, c->name + prefix, c->len - prefix);
		o->l1 = MIN(o->l1, (size_t)255);
	} else {
		o->l1 = common(e->dir->s, e->dir->len, c->name, c->len);
		if (o->l1 == e->dir->len && o->l1 < 255) {
			if (prefix == o->l1) {
				o->l1 += common(leaf, leaf_len, c->name + prefix, c->len - o->l1);
			} else if (c->len > o->l1 && c->name[o->l1] == '/') {
				o->l1++;
				o->l1 += common(leaf, leaf_len, c->name + prefix, c->len - o->l1);
			}
			o->l1 = MIN(o->l1, (size_t)255);
		}
		memcpy(c->name, e->dir->s, e->dir->len);
		if (prefix > e->dir->len)
			c->name[prefix - 1] = '/';
		c->dir = e->dir;
	}
	memcpy(c->name + prefix, leaf, leaf_len);
	c->len = prefix + leaf_len;
	o->name = c->name;
	o->len = c->len;
	return true;
}

/* ---- flags ---- */

static uint32_t dev_27(const struct fext *x)
{
	return (x->rdev_minor & 0xff) | (x->rdev_major & 0xfff) << 8 | (x->rdev_minor & 0xfff00) << 12;
}

static uint32_t rdev_flags(struct out *o)
{
	const struct flist_fmt *f = &o->s->fmt;
	struct codec *c = &o->s->prev;
	const struct fent *e = o->e;
	static const struct fext none;
	const struct fext *x = e->ext ? e->ext : &none;
	uint32_t xf = 0;

	if (!carries_rdev(f, e->mode)) {
		if (f->proto < 28)
			c->rdev = 0;
		return 0;
	}
	if (FENT_IS_SPECIAL(e)) {
		if (f->proto < 28)
			return XMIT_SAME_RDEV_27;
		return f->proto < 30 ? XMIT_SAME_RDEV_MAJOR | XMIT_RDEV_MINOR_8_28 : XMIT_SAME_RDEV_MAJOR;
	}
	if (f->proto < 28) {
		o->rdev27 = dev_27(x);
		return o->rdev27 == c->rdev ? XMIT_SAME_RDEV_27 : 0;
	}
	if (x->rdev_major == c->major)
		xf |= XMIT_SAME_RDEV_MAJOR;
	if (f->proto < 30 && x->rdev_minor <= 0xff)
		xf |= XMIT_RDEV_MINOR_8_28;
	return xf;
}

static uint32_t dir_flags(const struct out *o)
{
	uint16_t f = o->e->flags;

	if (!FENT_IS_DIR(o->e))
		return 0;
	if (o->s->fmt.proto < 30)
		return f & FENT_TOP_DIR && !(f & FENT_IMPLIED) ? XMIT_TOP_DIR : 0;
	if (f & FENT_IMPLIED)
		return XMIT_TOP_DIR | XMIT_NO_CONTENT_DIR;
	return (f & FENT_TOP_DIR ? XMIT_TOP_DIR : 0) | (f & FENT_CONTENT ? 0 : XMIT_NO_CONTENT_DIR);
}

static uint32_t link_flags(struct out *o)
{
	struct flist_set *s = o->s;
	const struct fent *e = o->e;

	if (s->fmt.proto < 28 || !(e->flags & FENT_HLINKED))
		return 0;
	if (s->fmt.proto < 30)
		return XMIT_HLINKED | (s->hl_dev == s->prev.dev ? XMIT_SAME_DEV_28 : 0);
	if (e->flags & FENT_HLINK_FIRST)
		return XMIT_HLINKED | XMIT_HLINK_FIRST;
	if (e->ext->hl_group >= s->building->ndx_start)
		o->first = s->wire[e->ext->hl_group - s->building->ndx_start];
	return XMIT_HLINKED;
}

static uint32_t owner_flags(struct out *o)
{
	const struct flist_fmt *f = &o->s->fmt;
	const struct codec *c = &o->s->prev;
	const struct fent *e = o->e;
	uint32_t xf = 0;

	if (!f->uid || (e->uid == c->uid && c->any))
		xf |= XMIT_SAME_UID;
	if (!f->gid || (e->gid == c->gid && c->any))
		xf |= XMIT_SAME_GID;
	/* What is abbreviated sends no id, so it is no first use either. */
	if (o->first)
		return xf;
	if (!(xf & XMIT_SAME_UID) && (o->uname = ids_use(o->s, false, e->uid, &o->nomem)))
		xf |= XMIT_USER_NAME;
	if (!(xf & XMIT_SAME_GID) && (o->gname = ids_use(o->s, true, e->gid, &o->nomem)))
		xf |= XMIT_GROUP_NAME;
	return xf;
}

static void find_flags(struct out *o)
{
	const struct flist_fmt *f = &o->s->fmt;
	const struct codec *c = &o->s->prev;
	const struct fent *e = o->e;
	uint32_t xf = dir_flags(o) | rdev_flags(o) | link_flags(o);

	if (e->mode == c->mode)
		xf |= XMIT_SAME_MODE;
	o->mtime = f->proto >= 30 ? e->mtime : (int64_t)(uint32_t)e->mtime;
	if (o->mtime == c->mtime)
		xf |= XMIT_SAME_TIME;
	if (f->proto >= 31 && e->nsec && e->nsec <= 999999999)
		xf |= XMIT_MOD_NSEC;
	if (f->proto >= 28 && f->atimes && !FENT_IS_DIR(e) && e->ext && e->ext->atime == c->atime)
		xf |= XMIT_SAME_ATIME;
	if (f->varint_flags && f->crtimes && e->ext && e->ext->crtime == e->mtime)
		xf |= XMIT_CRTIME_EQ_MTIME;
	xf |= owner_flags(o);
	if (o->l1)
		xf |= XMIT_SAME_NAME;
	if (o->len - o->l1 > 255)
		xf |= XMIT_LONG_NAME;
	o->xf = xf;
}

/* ---- bytes ---- */

/* The header; it must never look like an end marker. */
static uint8_t *put_flags(struct out *o, uint8_t *p)
{
	bool dir = FENT_IS_DIR(o->e);
	uint32_t xf = o->xf;

	if (o->s->fmt.varint_flags)
		return put_varint(p, xf ? xf : XMIT_EXTENDED);
	if (o->s->fmt.proto < 28) {
		if (!(xf & 0xff))
			xf |= dir ? XMIT_LONG_NAME : XMIT_TOP_DIR;
		o->xf = xf;
		*p = (uint8_t)xf;
		return p + 1;
	}
	if (!xf && !dir)
		xf = XMIT_TOP_DIR;
	if (!xf || xf & 0xff00) {
		put_le16(p, (uint16_t)(xf | XMIT_EXTENDED));
		return p + 2;
	}
	*p = (uint8_t)xf;
	return p + 1;
}

static uint8_t *put_rdev(struct out *o, uint8_t *p)
{
	struct codec *c = &o->s->prev;
	const struct fent *e = o->e;
	static const struct fext none;
	const struct fext *x = e->ext ? e->ext : &none;
	int proto = o->s->fmt.proto;
	uint32_t minor = FENT_IS_SPECIAL(e) ? 0 : x->rdev_minor;

	if (!carries_rdev(&o->s->fmt, e->mode))
		return p;
	if (proto < 28) {
		if (o->xf & XMIT_SAME_RDEV_27)
			return p;
		c->rdev = o->rdev27;
		return put_int(p, c->rdev);
	}
	if (!(o->xf & XMIT_SAME_RDEV_MAJOR)) {
		c->major = x->rdev_major;
		p = put_varint30(p, proto, c->major);
	}
	if (proto < 30 && o->xf & XMIT_RDEV_MINOR_8_28) {
		*p = (uint8_t)minor;
		return p + 1;
	}
	return put_varint30(p, proto, minor);
}

static uint8_t *put_ino(struct out *o, uint8_t *p)
{
	struct flist_set *s = o->s;

	if (!s->fmt.hard_links || s->fmt.proto >= 30)
		return p;
	if (s->fmt.proto < 28 ? !FENT_IS_REG(o->e) : !(o->xf & XMIT_HLINKED))
		return p;
	if (s->hl_ent != o->e) {       /* not told: a file of its own */
		s->hl_dev = 1;
		s->hl_ino = s->wire_count;
	}
	if (s->fmt.proto < 28 || !(o->xf & XMIT_SAME_DEV_28)) {
		s->prev.dev = s->hl_dev;
		p = put_longint(p, (int64_t)s->hl_dev);
	}
	return put_longint(p, (int64_t)s->hl_ino);
}

static uint8_t *put_owner(struct out *o, uint8_t *p)
{
	struct codec *c = &o->s->prev;
	int proto = o->s->fmt.proto;

	if (!(o->xf & XMIT_SAME_UID)) {
		c->uid = o->e->uid;
		p = put_varint30(p, proto, c->uid);
		if (o->uname)
			p = put_id_name(p, o->uname);
	}
	if (!(o->xf & XMIT_SAME_GID)) {
		c->gid = o->e->gid;
		p = put_varint30(p, proto, c->gid);
		if (o->gname)
			p = put_id_name(p, o->gname);
	}
	return p;
}

/* Fields 5 to 16. */
static uint8_t *put_fields(struct out *o, uint8_t *p)
{
	const struct flist_fmt *f = &o->s->fmt;
	struct codec *c = &o->s->prev;
	const struct fent *e = o->e;
	uint64_t size = FENT_IS_DEV(e) || FENT_IS_SPECIAL(e) ? 0 : (uint64_t)e->size;

	p = f->proto >= 30 ? put_varlong(p, size, 3) : put_longint(p, (int64_t)size);
	if (!(o->xf & XMIT_SAME_TIME)) {
		c->mtime = o->mtime;
		p = f->proto >= 30 ? put_varlong(p, (uint64_t)o->mtime, 4) : put_int(p, (uint32_t)o->mtime);
	}
	if (o->xf & XMIT_MOD_NSEC)
		p = put_varint(p, e->nsec);
	if (f->crtimes && !(o->xf & XMIT_CRTIME_EQ_MTIME))
		p = put_varlong(p, e->ext ? (uint64_t)e->ext->crtime : 0, 4);
	if (!(o->xf & XMIT_SAME_MODE)) {
		c->mode = e->mode;
		p = put_int(p, e->mode);
	}
	if (f->atimes && !FENT_IS_DIR(e) && !(o->xf & XMIT_SAME_ATIME)) {
		c->atime = e->ext ? e->ext->atime : 0;
		p = put_varlong(p, (uint64_t)c->atime, 4);
	}
	p = put_owner(o, p);
	p = put_rdev(o, p);
	if (f->links && FENT_IS_LNK(e)) {
		p = put_varint30(p, f->proto, (uint32_t)o->link_len);
		memcpy(p, o->link, o->link_len);
		p += o->link_len;
	}
	p = put_ino(o, p);
	if (carries_sum(f, e->mode)) {
		if (e->ext && e->ext->sum)
			memcpy(p, e->ext->sum, f->sum_len);
		else
			memset(p, 0, f->sum_len);
		p += f->sum_len;
	}
	return p;
}

/* After an abbreviated entry the reader has the values of the entry that it refers to. */
static void load_state(struct flist_set *s, const struct fent *e)
{
	struct codec *c = &s->prev;

	c->mtime = e->mtime;
	c->mode = e->mode;
	if (s->fmt.uid)
		c->uid = e->uid;
	if (s->fmt.gid)
		c->gid = e->gid;
	if (s->fmt.atimes && e->ext)
		c->atime = e->ext->atime;
	if (s->fmt.devices && FENT_IS_DEV(e) && e->ext)
		c->major = e->ext->rdev_major;
}

static bool write_entry(struct flist_set *s, struct wr *w, struct fent *e, struct wire_text *text)
{
	struct out o = { .s = s, .e = e, .link = "", .text = text };
	uint8_t *start, *p;

	if (e->ext && e->ext->link) {
		o.link = e->ext->link;
		o.link_len = e->ext->link_len;
	}
	if ((s->hooks.name_out && !convert_names(&o)) || !convert_link(&o) || !set_name(&o)) {
		flist_unadd(s, e);
		return false;
	}
	find_flags(&o);
	if (o.nomem) {
		wr_fail(w, RX_MALLOC, "exceeded the memory limit in the file list (--max-alloc)");
		return true;
	}
	start = p = wr_room(w, FIXED_ROOM + o.len - o.l1 + o.link_len + s->fmt.sum_len);
	if (!p)
		return true;
	p = put_flags(&o, p);
	if (o.l1)
		*p++ = (uint8_t)o.l1;
	if (o.xf & XMIT_LONG_NAME)
		p = put_varint30(p, s->fmt.proto, (uint32_t)(o.len - o.l1));
	else
		*p++ = (uint8_t)(o.len - o.l1);
	memcpy(p, o.name + o.l1, o.len - o.l1);
	p += o.len - o.l1;
	if (s->fmt.proto >= 30 && (o.xf & (XMIT_HLINKED | XMIT_HLINK_FIRST)) == XMIT_HLINKED)
		p = put_varint(p, (uint32_t)e->ext->hl_group);
	if (o.first)
		load_state(s, o.first);
	else
		p = put_fields(&o, p);
	s->prev.any = true;
	wr_commit(w, (size_t)(p - start));
	s->stats.bytes += p - start;
	flist_count(s, e);
	if (s->fmt.acls && !FENT_IS_LNK(e) && s->hooks.write_acl)
		s->stats.bytes += (int64_t)s->hooks.write_acl(s->hooks.ctx, w, e);
	if (s->fmt.xattrs && s->hooks.write_xattr)
		s->stats.bytes += (int64_t)s->hooks.write_xattr(s->hooks.ctx, w, e);
	return true;
}

static OWN_FRAME bool write_converted(struct flist_set *s, struct wr *w, struct fent *e)
{
	struct wire_text text;

	return write_entry(s, w, e, &text);
}

bool flist_write_entry(struct flist_set *s, struct wr *w, struct fent *e)
{
	return s->hooks.name_out || s->hooks.link_out ? write_converted(s, w, e) : write_entry(s, w, e, NULL);
}

int flist_hardlink(struct flist_set *s, struct fent *e, uint64_t dev, uint64_t ino)
{
	int32_t number = s->building->ndx_start + (int32_t)s->wire_count - 1;
	struct inode *at;

	if (s->fmt.proto < 30) {
		s->hl_dev = dev + 1;
		s->hl_ino = ino;
		s->hl_ent = e;
		e->flags |= FENT_HLINKED;
		return 0;
	}
	at = inomap_place(&s->inodes, s->budget, dev, ino, s->seed);
	if (!at || !flist_ext(s, e))
		return -1;
	e->flags |= FENT_HLINKED;
	if (at->group < 0 || at->group == GROUP_TAKEN_BACK) {
		at->group = number;
		e->flags |= FENT_HLINK_FIRST;
		s->hl_dev = dev;
		s->hl_ino = ino;
		s->hl_ent = e;
	}
	e->ext->hl_group = at->group;
	return 0;
}

/* The next link of its file becomes the first one. */
void flist_unadd(struct flist_set *s, struct fent *e)
{
	struct inode *at;

	if (!s->wire_count || s->wire[s->wire_count - 1] != e)
		return;
	s->wire_count--;
	if (s->fmt.proto >= 30 && e->flags & FENT_HLINK_FIRST && s->hl_ent == e) {
		at = inomap_place(&s->inodes, s->budget, s->hl_dev, s->hl_ino, s->seed);
		if (at)
			at->group = GROUP_TAKEN_BACK;
	}
}

void flist_write_end(struct flist_set *s, struct wr *w, struct flist *fl, int io_error)
{
	uint8_t *start = wr_room(w, 16), *p = start;
	int bits = s->fmt.ignore_errors ? 0 : io_error;

	if (!p || fl != s->building) {
		flist_abandon(s);
		if (p)
			wr_fail(w, RX_PROTOCOL, "end of a file list that was not begun");
		return;
	}
	if (s->fmt.varint_flags) {
		*p++ = 0;
		p = put_varint(p, (uint32_t)bits);
	} else if (bits && s->fmt.safe_end) {
		put_le16(p, XMIT_IO_ERROR_END);
		p = put_varint(p + 2, (uint32_t)bits);
	} else {
		*p++ = 0;
	}
	wr_commit(w, (size_t)(p - start));
	s->stats.bytes += p - start;
	ids_write_lists(s, w);
	if (s->fmt.proto < 30)
		wr_int(w, bits);
	if (!w->failed && flist_complete(s) < 0)
		wr_fail(w, RX_MALLOC, "exceeded the memory limit in the file list (--max-alloc)");
	if (w->failed)
		flist_abandon(s);
}
