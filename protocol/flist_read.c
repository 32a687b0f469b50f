/*
 * flist_read.c - decoding file lists (spec 02 §3, §4) and the checks of §18.
 *
 * Every byte comes from the peer. An entry is decoded into local variables, checked,
 * and only then takes memory.
 */
#include "config.h"
#include "protocol/flist_priv.h"

#include "base/say.h"
#include "base/text.h"

#define IOERR_GENERAL 1
#define IOERR_MASK    7
#define NSEC_MAX      999999999
#define DEPTH_MAX     1024

/* The entry that is being decoded. */
struct entry {
	struct flist_set *s;
	struct rd *r;
	uint32_t xf;
	unsigned l1;                   /* bytes shared with the previous wire name */
	const struct fdir *dir;
	const char *leaf;
	size_t leaf_len;
	bool hole;                     /* a name that cannot be used */
	int32_t ref;                   /* hard-link reference, or -1 */
	int64_t size, mtime;
	uint32_t nsec, uid, gid;
	uint16_t mode;
	uint64_t dev, ino;             /* pre-30 hard links */
	bool has_ino, ext;             /* ext: x must be kept */
	struct fext x;
	struct fent *link_to;          /* the entry that a hard-link reference abbreviates */
	char name[PATH_LIMIT + 1];     /* cleaned and converted name, where it is not the wire name */
};

static int nomem(struct rd *r)
{
	return rd_fail(r, RX_MALLOC, "exceeded the memory limit in the file list (--max-alloc)");
}

/* ---- header ---- */

/* 0 at the end of the list; *io_error then has the bits that came with it. */
static uint32_t read_xflags(struct flist_set *s, struct rd *r, int *io_error)
{
	uint32_t xf;

	if (s->fmt.varint_flags) {
		xf = (uint32_t)rd_varint(r);
		if (!xf)
			*io_error |= rd_varint(r) & IOERR_MASK;
		return xf;
	}
	xf = rd_u8(r);
	if (s->fmt.proto >= 28 && xf & XMIT_EXTENDED)
		xf |= (uint32_t)rd_u8(r) << 8;
	if (s->fmt.proto >= 28 && xf == XMIT_IO_ERROR_END) {
		if (s->fmt.safe_end)
			*io_error |= rd_varint(r) & IOERR_MASK;
		else
			rd_fail(r, RX_PROTOCOL, "Invalid flist flag: %x", xf);
		return 0;
	}
	return xf;
}

/* ---- names ---- */

static int unsafe_name(struct rd *r, const char *name)
{
	return rd_fail(r, RX_UNSUPPORTED, "ABORTING due to unsafe pathname from sender: %s", name);
}

/* Takes the last wire name, converts and cleans it, and splits it. */
static int general_name(struct entry *d, size_t len)
{
	struct flist_set *s = d->s;
	struct codec *c = &s->prev;
	char *name = d->name, *slash;
	unsigned depth = 1;

	c->clean = false;
	if (s->hooks.name_in) {
		int n = s->hooks.name_in(s->hooks.ctx, c->name, len, name);

		d->hole = n < 0;
		name[n < 0 ? 0 : n] = '\0';
		len = n < 0 ? 0 : (size_t)n;
	} else {
		memcpy(name, c->name, len + 1);
	}
	if (!len) {
		d->hole = true;
		d->dir = s->root_dir;
		d->leaf = "";
		d->leaf_len = 0;
		return 0;
	}
	if (path_has_dotdot(name) || (*name == '/' && !s->fmt.relative))
		return unsafe_name(d->r, name);
	len = path_clean(name);
	for (const char *p = name; *p; p++)
		depth += *p == '/';
	if (depth > DEPTH_MAX)
		return rd_fail(d->r, RX_MALLOC, "overflow: name of %u components [%s]", depth, say_role());
	slash = strrchr(name, '/');
	d->leaf = slash ? slash + 1 : name;
	d->leaf_len = len - (size_t)(d->leaf - name);
	if (!d->leaf_len) {            /* "/" alone: the root, as "/." */
		d->leaf = ".";
		d->leaf_len = 1;
	}
	d->dir = !slash ? s->root_dir : fdir_get(s, name, slash == name ? 1 : (size_t)(slash - name));
	if (!d->dir)
		return nomem(d->r);
	if (!s->hooks.name_in && len == c->len && !memcmp(name, c->name, len)) {
		c->clean = true;
		c->leaf = (size_t)(d->leaf - name);
		c->dir = d->dir;
	}
	return 0;
}

static int name_overflow(struct entry *d, unsigned l1, uint32_t l2)
{
	say(SAY_ERROR, "overflow: xflags=0x%x l1=%u l2=%d lastname=%s [%s]", d->xf, l1, (int32_t)l2, d->s->prev.name, say_role());
	return rd_fail(d->r, RX_MALLOC, "[%s] buffer overflow: recv_file_entry", say_role());
}

static int read_name(struct entry *d)
{
	struct flist_set *s = d->s;
	struct codec *c = &s->prev;
	unsigned l1 = d->xf & XMIT_SAME_NAME ? rd_u8(d->r) : 0;
	uint32_t l2 = d->xf & XMIT_LONG_NAME ? (uint32_t)rd_varint30(d->r, s->fmt.proto) : rd_u8(d->r);
	char *suffix = c->name + l1;
	bool same_dir;

	if (l2 > PATH_LIMIT || l1 + l2 > PATH_LIMIT)
		return name_overflow(d, l1, l2);
	if (l1 > c->len)
		return rd_fail(d->r, RX_PROTOCOL, "name prefix of %u bytes, but the previous name has %zu", l1, c->len);
	d->l1 = l1;
	rd_bytes(d->r, suffix, l2);
	if (d->r->failed)
		return -1;
	c->len = l1 + l2;
	c->name[c->len] = '\0';
	if (strlen(suffix) != l2)
		return rd_fail(d->r, RX_PROTOCOL, "NUL byte in a file name");
	/* Mostly only the last component differs: then the directory is known and the name clean. */
	same_dir = c->clean && l1 >= c->leaf && !memchr(suffix, '/', l2) && c->len > c->leaf;
	if (same_dir) {
		const char *leaf = c->name + c->leaf;

		if (leaf[0] != '.' || (leaf[1] && (leaf[1] != '.' || leaf[2]))) {
			d->dir = c->dir;
			d->leaf = leaf;
			d->leaf_len = c->len - c->leaf;
			return 0;
		}
	}
	return general_name(d, c->len);
}

static bool same_but_slash(const struct fdir *a, const struct fdir *b)
{
	const char *p = a->s + (*a->s == '/'), *q = b->s + (*b->s == '/');

	return !strcmp(p, q);
}

/* Incremental lists: the name must be directly in the directory that was announced (row 18). */
static int check_inside(struct entry *d)
{
	struct flist_set *s = d->s;
	char dir[PATH_LIMIT + 1];

	if (!s->fmt.inc_recurse || d->hole || d->dir == s->inside || d->dir == s->inside_ok)
		return 0;
	if (s->inside && s->fmt.relative && same_but_slash(d->dir, s->inside)) {
		s->inside_ok = d->dir;
		return 0;
	}
	memcpy(dir, d->dir->s, d->dir->len + 1);
	return rd_fail(d->r, RX_UNSUPPORTED, "ABORTING due to invalid path from sender: %s%s%.*s", dir,
		fdir_prefix(d->dir) > d->dir->len ? "/" : "", (int)d->leaf_len, d->leaf);
}

/* ---- fields ---- */

static int read_times_and_mode(struct entry *d)
{
	const struct flist_fmt *f = &d->s->fmt;
	struct codec *c = &d->s->prev;
	struct rd *r = d->r;

	d->size = rd_varlong30(r, f->proto, 3);
	if (d->size < 0)
		return rd_fail(r, RX_UNSUPPORTED, "Offset underflow: file-length is negative");
	if (!(d->xf & XMIT_SAME_TIME))
		c->mtime = f->proto >= 30 ? rd_varlong(r, 4) : (int64_t)rd_le32(r);
	d->mtime = c->mtime;
	if (f->proto >= 31 && d->xf & XMIT_MOD_NSEC) {
		int32_t nsec = rd_varint(r);

		if (nsec < 0 || nsec > NSEC_MAX)
			return rd_fail(r, RX_PROTOCOL, "wire value modtime_nsec out of range: %d not in [0,%d] [%s]",
				nsec, NSEC_MAX, say_role());
		d->nsec = (uint32_t)nsec;
	}
	if (f->crtimes) {
		d->x.crtime = f->varint_flags && d->xf & XMIT_CRTIME_EQ_MTIME ? d->mtime : rd_varlong(r, 4);
		d->ext = true;
	}
	if (!(d->xf & XMIT_SAME_MODE))
		c->mode = (uint16_t)rd_le32(r);
	d->mode = c->mode;
	return 0;
}

static int check_mode(struct entry *d)
{
	switch (d->mode & S_IFMT) {
	case S_IFDIR:
		return 0;
	case S_IFREG:
	case S_IFLNK:
	case S_IFCHR:
	case S_IFBLK:
	case S_IFIFO:
	case S_IFSOCK:
		break;
	default:
		if (d->mode || !d->s->fmt.delete_missing_args)
			return rd_fail(d->r, RX_PROTOCOL, "invalid file mode 0%o for %s [%s]", d->mode, d->s->prev.name, say_role());
	}
	if (is_dot(d->leaf))
		return rd_fail(d->r, RX_PROTOCOL, "ERROR: rejecting non-directory transfer-root entry: %s", d->s->prev.name);
	return 0;
}

static uint32_t read_id(struct entry *d, bool is_group, bool named)
{
	char name[256];
	uint32_t id;

	if (d->s->fmt.proto < 30)
		return rd_le32(d->r);
	id = (uint32_t)rd_varint(d->r);
	if (named) {
		flist_read_id_name(d->r, name);
		flist_id_named(d->s, d->r, is_group, id, name);
	}
	return id;
}

static void read_owner(struct entry *d)
{
	const struct flist_fmt *f = &d->s->fmt;
	struct codec *c = &d->s->prev;

	if (f->atimes && !S_ISDIR(d->mode)) {
		if (!(d->xf & XMIT_SAME_ATIME))
			c->atime = rd_varlong(d->r, 4);
		d->x.atime = c->atime;
		d->ext = true;
	}
	if (f->uid && !(d->xf & XMIT_SAME_UID))
		c->uid = read_id(d, false, d->xf & XMIT_USER_NAME);
	if (f->gid && !(d->xf & XMIT_SAME_GID))
		c->gid = read_id(d, true, d->xf & XMIT_GROUP_NAME);
	d->uid = f->uid ? c->uid : 0;
	d->gid = f->gid ? c->gid : 0;
}

static void read_rdev(struct entry *d)
{
	const struct flist_fmt *f = &d->s->fmt;
	struct codec *c = &d->s->prev;
	bool device = S_ISCHR(d->mode) || S_ISBLK(d->mode);
	uint32_t minor;

	if (!carries_rdev(f, d->mode)) {
		c->rdev = 0;
		return;
	}
	d->size = 0;
	if (f->proto < 28) {
		if (!(d->xf & XMIT_SAME_RDEV_27))
			c->rdev = rd_le32(d->r);
		d->x.rdev_major = c->rdev >> 8 & 0xfff;
		minor = (c->rdev & 0xff) | (c->rdev >> 12 & 0xfff00);
	} else {
		if (!(d->xf & XMIT_SAME_RDEV_MAJOR))
			c->major = (uint32_t)rd_varint30(d->r, f->proto);
		d->x.rdev_major = c->major;
		if (f->proto >= 30)
			minor = (uint32_t)rd_varint(d->r);
		else
			minor = d->xf & XMIT_RDEV_MINOR_8_28 ? rd_u8(d->r) : rd_le32(d->r);
	}
	d->x.rdev_minor = minor;
	if (device)
		d->ext = true;
	else
		d->x.rdev_major = d->x.rdev_minor = 0;
}

static int read_link(struct entry *d)
{
	struct flist_set *s = d->s;
	int32_t len = rd_varint30(d->r, s->fmt.proto);
	char wire[PATH_LIMIT + 1], local[PATH_LIMIT + 1];
	char *p = wire;

	if (len < 0 || len > PATH_LIMIT)
		return rd_fail(d->r, RX_MALLOC, "overflow: linkname_len=%d", len);
	rd_bytes(d->r, wire, (size_t)len);
	if (d->r->failed)
		return -1;
	if (memchr(wire, '\0', (size_t)len))
		return rd_fail(d->r, RX_PROTOCOL, "NUL byte in a symlink target");
	if (s->hooks.link_in && len && !d->hole) {
		len = s->hooks.link_in(s->hooks.ctx, d->dir, d->leaf, wire, (size_t)len, local);
		p = local;
		if (len < 0) {
			d->hole = true;
			len = 0;
		}
	}
	d->x.link = arena_strndup(s->building->arena, p, (size_t)len);
	if (!d->x.link)
		return nomem(d->r);
	d->x.link_len = (uint32_t)len;
	d->ext = true;
	return 0;
}

static void read_ino(struct entry *d)
{
	struct codec *c = &d->s->prev;

	if (d->s->fmt.proto < 28 || !(d->xf & XMIT_SAME_DEV_28))
		c->dev = (uint64_t)rd_longint(d->r);
	d->dev = c->dev;
	d->ino = (uint64_t)rd_longint(d->r);
	d->has_ino = true;
}

static int read_sum(struct entry *d)
{
	struct flist_set *s = d->s;
	uint8_t *sum;

	if (!S_ISREG(d->mode)) {       /* protocol 27 has zeros here */
		rd_skip(d->r, s->fmt.sum_len);
		return 0;
	}
	sum = arena_alloc(s->building->arena, s->fmt.sum_len, 1);
	if (!sum)
		return nomem(d->r);
	rd_bytes(d->r, sum, s->fmt.sum_len);
	d->x.sum = sum;
	d->ext = true;
	return 0;
}

/* Fields 5 to 16. */
static int read_fields(struct entry *d)
{
	const struct flist_fmt *f = &d->s->fmt;

	if (read_times_and_mode(d) < 0 || d->r->failed || check_mode(d) < 0)
		return -1;
	read_owner(d);
	read_rdev(d);
	if (f->links && S_ISLNK(d->mode) && read_link(d) < 0)
		return -1;
	if (f->hard_links && f->proto < 30 && (f->proto < 28 ? S_ISREG(d->mode) : (d->xf & XMIT_HLINKED) != 0))
		read_ino(d);
	if (carries_sum(f, d->mode) && read_sum(d) < 0)
		return -1;
	return d->r->failed ? -1 : 0;
}

/* ---- hard links ---- */

static bool was_declared(const struct flist_set *s, int32_t group)
{
	size_t lo = 0, hi = s->declared_count;

	while (lo < hi) {
		size_t m = (lo + hi) / 2;

		if (s->declared[m] < group)
			lo = m + 1;
		else
			hi = m;
	}
	return lo < s->declared_count && s->declared[lo] == group;
}

/* Field 4 of protocol 30 and later. */
static int read_reference(struct entry *d)
{
	struct flist_set *s = d->s;
	int32_t start = s->building->ndx_start, ref;

	if (s->fmt.proto < 30 || !(d->xf & XMIT_HLINKED) || d->xf & XMIT_HLINK_FIRST)
		return 0;
	ref = rd_varint(d->r);
	if (d->r->failed)
		return -1;
	if (ref < 0 || (int64_t)ref >= (int64_t)start + (int64_t)s->wire_count)
		return rd_fail(d->r, RX_PROTOCOL, "hard-link reference out of range: %d (%lld)", ref,
			(long long)start + (long long)s->wire_count);
	if (ref < start) {
		if (s->fmt.hard_links && !was_declared(s, ref))
			return rd_fail(d->r, RX_PROTOCOL, "hard-link gnum %d precedes flist start %d", ref, start);
	} else {
		d->link_to = s->wire[ref - start];
		if (!(d->link_to->flags & FENT_WIRE_FIRST))
			return rd_fail(d->r, RX_PROTOCOL, "hard-link reference to an entry that is no first link: %d", ref);
	}
	d->ref = ref;
	return 0;
}

/* Fields 5 to 16 come from the entry that is referred to, and the codec's state with them. */
static void copy_link(struct entry *d)
{
	const struct flist_fmt *f = &d->s->fmt;
	struct codec *c = &d->s->prev;
	const struct fent *e = d->link_to;

	d->size = e->size;
	d->nsec = e->nsec;
	d->mtime = c->mtime = e->mtime;
	d->mode = c->mode = e->mode;
	d->uid = e->uid;
	d->gid = e->gid;
	if (f->uid)
		c->uid = e->uid;
	if (f->gid)
		c->gid = e->gid;
	if (e->ext) {
		d->x = *e->ext;
		d->x.acl_access = d->x.acl_default = d->x.xattr = -1;
		d->ext = true;
		if (f->atimes)
			c->atime = d->x.atime;
		if (f->devices && FENT_IS_DEV(e))
			c->major = d->x.rdev_major;
	}
}

/* Group keys of entries with a link flag. */
static int set_group(struct entry *d, struct fent *e)
{
	struct flist_set *s = d->s;
	int32_t number = s->building->ndx_start + (int32_t)s->wire_count, *p;

	if (!(d->xf & XMIT_HLINKED) || s->fmt.proto < 30)
		return 0;
	if (FENT_IS_DIR(e))
		return rd_fail(d->r, RX_PROTOCOL, "hard-linked directory in the file list: %s", s->prev.name);
	if (d->xf & XMIT_HLINK_FIRST)
		e->flags |= FENT_WIRE_FIRST;
	if (!s->fmt.hard_links)
		return 0;
	e->flags |= FENT_HLINKED;
	if (d->xf & XMIT_HLINK_FIRST)
		e->flags |= FENT_HLINK_FIRST;
	e->ext->hl_group = d->ref >= 0 ? d->ref : number;
	if (d->xf & XMIT_HLINK_FIRST && s->fmt.inc_recurse) {
		p = mem_grow(s->budget, s->declared, &s->declared_cap, s->declared_count + 1, sizeof *p);
		if (!p)
			return nomem(d->r);
		s->declared = p;
		p[s->declared_count++] = number;
	}
	return 0;
}

/* Below protocol 30: equal (dev, inode) make a group, once there are two. */
static int group_by_ino(struct entry *d, struct fent *e)
{
	struct flist_set *s = d->s;
	struct inode *at;

	if (!d->has_ino)
		return 0;
	if (FENT_IS_DIR(e))
		return rd_fail(d->r, RX_PROTOCOL, "hard-linked directory in the file list: %s", s->prev.name);
	at = inomap_place(&s->inodes, s->budget, d->dev, d->ino, s->seed);
	if (!at)
		return nomem(d->r);
	if (at->group < 0) {
		at->group = (int32_t)s->wire_count;
		at->first = e;
		return 0;
	}
	if (!(at->first->flags & FENT_HLINKED)) {
		if (!flist_ext(s, at->first))
			return nomem(d->r);
		at->first->ext->hl_group = at->group;
		at->first->flags |= FENT_HLINKED | FENT_HLINK_FIRST;
	}
	if (!flist_ext(s, e))
		return nomem(d->r);
	e->ext->hl_group = at->group;
	e->flags |= FENT_HLINKED;
	return 0;
}

/* ---- directories ---- */

/* Protocols 27 to 29 have only the top flag: what has its contents in the list follows from the names (§5.2). */
static uint16_t old_dir_flags(struct entry *d)
{
	const struct flist_fmt *f = &d->s->fmt;
	struct codec *c = &d->s->prev;

	if (d->xf & XMIT_TOP_DIR) {
		c->content = f->recurse;
		c->content_len = c->len;
		if (is_dot(d->leaf) && !d->dir->len)
			c->content_len = 0;
		else if (f->relative && c->len > 2 && !memcmp(c->name + c->len - 2, "/.", 2))
			c->content_len -= 2;
		return FENT_TOP_DIR | FENT_CONTENT;
	}
	if (!c->content)
		return 0;
	if (!f->relative || !c->content_len || (d->l1 >= c->content_len && c->name[c->content_len] == '/'))
		return FENT_CONTENT;
	c->content = false;
	return 0;
}

static uint16_t dir_flags(struct entry *d)
{
	if (!S_ISDIR(d->mode))
		return d->mode ? 0 : FENT_MISSING;
	if (d->s->fmt.proto < 30)
		return old_dir_flags(d);
	if (d->xf & XMIT_NO_CONTENT_DIR)
		return d->xf & XMIT_TOP_DIR ? FENT_IMPLIED : 0;
	return d->xf & XMIT_TOP_DIR ? FENT_TOP_DIR | FENT_CONTENT : FENT_CONTENT;
}

/* ---- entries and lists ---- */

static int make_entry(struct entry *d)
{
	struct flist_set *s = d->s;
	struct fent *e = fent_new(s, d->dir, d->hole ? "" : d->leaf, d->hole ? 0 : d->leaf_len, d->mode);
	bool hooks = s->fmt.acls || s->fmt.xattrs;

	if (!e)
		return nomem(d->r);
	if (d->hole)
		e->dir = s->root_dir;
	e->size = d->size;
	e->mtime = d->mtime;
	e->nsec = d->nsec;
	e->uid = d->uid;
	e->gid = d->gid;
	e->flags = dir_flags(d);
	if (d->hole)
		e->flags |= FENT_CLEARED;
	if (s->fmt.hard_links && s->fmt.proto >= 30 && d->xf & XMIT_HLINKED)
		d->ext = true;
	if (hooks) {
		if (s->fmt.acls && !FENT_IS_LNK(e) && s->hooks.read_acl)
			s->hooks.read_acl(s->hooks.ctx, d->r, e, &d->x);
		if (s->fmt.xattrs && s->hooks.read_xattr)
			s->hooks.read_xattr(s->hooks.ctx, d->r, e, &d->x);
		d->ext |= d->x.acl_access >= 0 || d->x.acl_default >= 0 || d->x.xattr >= 0;
		if (d->r->failed)
			return -1;
	}
	if (d->ext) {
		if (!flist_ext(s, e))
			return nomem(d->r);
		*e->ext = d->x;
	}
	if (set_group(d, e) < 0 || group_by_ino(d, e) < 0)
		return -1;
	flist_count(s, e);
	if (s->hooks.on_entry && !d->hole) {
		s->hooks.on_entry(s->hooks.ctx, d->r, e);
		if (d->r->failed)
			return -1;
	}
	return fent_append(s, e) < 0 ? nomem(d->r) : 0;
}

static int read_entry(struct flist_set *s, struct rd *r, uint32_t xf, bool *hole)
{
	struct entry d;

	/* name is large and need not be cleared. */
	memset(&d, 0, offsetof(struct entry, name));
	d.s = s;
	d.r = r;
	d.xf = xf;
	d.ref = -1;
	fext_init(&d.x);
	if (s->total == s->fmt.max_entries && s->total)
		return rd_fail(r, RX_MALLOC, "file list has grown too large to expand (limit %u)", s->total);
	if ((int64_t)s->building->ndx_start + (int64_t)s->wire_count >= INT32_MAX - 2)
		return rd_fail(r, RX_MALLOC, "file list has grown too large to expand");
	if (read_name(&d) < 0 || check_inside(&d) < 0 || read_reference(&d) < 0)
		return -1;
	if (d.link_to)
		copy_link(&d);
	else if (read_fields(&d) < 0)
		return -1;
	s->total++;
	if (make_entry(&d) < 0)
		return -1;
	*hole |= d.hole;
	return 0;
}

/* Rows 19 to 24: may a list for this directory come now? */
static int check_dir_ndx(struct flist_set *s, struct rd *r, int32_t dir_ndx)
{
	struct fent *dir;
	bool unnamed;
	uint8_t *listed;
	size_t old = s->listed_cap;

	s->inside = s->inside_ok = NULL;
	if (dir_ndx < 0 || !s->any_list || !s->fmt.inc_recurse) {
		if (s->any_list || dir_ndx >= 0)
			return rd_fail(r, RX_PROTOCOL, "Invalid file index: %d (-1 - %d) [%s]",
				dir_ndx < 0 ? -1 : NDX_FLIST_OFFSET - dir_ndx, s->next_start - 2, say_role());
		s->inside = s->root_dir;
		return 0;
	}
	if ((size_t)dir_ndx >= s->dir_count)
		return rd_fail(r, RX_PROTOCOL, "Invalid dir index: %lld (%d - %lld) [%s]", (long long)NDX_FLIST_OFFSET - dir_ndx,
			NDX_FLIST_OFFSET, (long long)NDX_FLIST_OFFSET - (long long)s->dir_count + 1, say_role());
	if (!s->first)
		return rd_fail(r, RX_PROTOCOL, "refusing sub-flist after final flist was freed");
	dir = s->dirs[dir_ndx];
	unnamed = s->hooks.name_in && !*dir->name;
	if (dir->flags & FENT_CLEARED && !unnamed)
		return rd_fail(r, RX_PROTOCOL, "refusing flist for cleared dir_ndx %d", dir_ndx);
	listed = mem_grow(s->budget, s->dir_listed, &s->listed_cap, s->dir_count, 1);
	if (!listed)
		return nomem(r);
	memset(listed + old, 0, s->listed_cap - old);
	s->dir_listed = listed;
	if (listed[dir_ndx])
		return rd_fail(r, RX_PROTOCOL, "refusing malicious duplicate flist for dir %d", dir_ndx);
	listed[dir_ndx] = 1;
	/* Nothing can be inside ".": its contents are in the first list; nor in what has no name here (--iconv),
	   because names in it cannot be converted either: all are holes. */
	if (!is_dot(dir->name) && !unnamed) {
		s->inside = flist_dir_inside(s, dir);
		if (!s->inside)
			return nomem(r);
	}
	return 0;
}

/* The entry of the directory that e is in. A missing argument can be in another one. */
static struct fent *entry_of_dir(const struct flist_set *s, const struct flist *fl, const struct fent *of)
{
	char path[PATH_LIMIT + 2];
	const char *skip = of->dir->s + (*of->dir->s == '/');

	/* With --relative some names may have the leading slash and others not. */
	for (int slash = 0; slash <= (s->fmt.relative ? 1 : 0); slash++) {
		char *p = path, *last;
		struct fent *e;

		if (slash)
			*p++ = '/';
		memcpy(p, skip, strlen(skip) + 1);
		last = strrchr(path, '/');
		if (!last)
			e = flist_lookup(s, fl, "", path);
		else if (last == path)
			e = flist_lookup(s, fl, "/", path + 1);
		else
			e = (*last = '\0', flist_lookup(s, fl, path, last + 1));
		if (e && (FENT_IS_DIR(e) || (of->flags & e->flags & FENT_MISSING)))
			return e;
	}
	return NULL;
}

int flist_check_parents(struct flist_set *s, struct rd *r, struct flist *fl)
{
	const struct fdir *good = NULL, *told = NULL;
	char path[PATH_LIMIT + 1];

	for (int32_t i = 0; i < fl->count; i++) {
		const struct fent *e = fl->walk[i], *parent;

		if (e->dir == good || !e->dir->len || e->flags & FENT_CLEARED || !strcmp(e->dir->s, "/"))
			continue;
		parent = entry_of_dir(s, fl, e);
		if (parent) {
			if (FENT_IS_DIR(parent))
				good = e->dir;
			continue;
		}
		if (!(e->flags & FENT_MISSING)) {
			fent_path(e, path);
			return rd_fail(r, RX_PROTOCOL, "ABORTING due to invalid path from sender: %s", path);
		}
		if (e->dir != told)
			say(SAY_WARNING, "WARNING: parent dir is absent in the file list: %s", e->dir->s);
		told = e->dir;
	}
	return 0;
}

static int read_all(struct flist_set *s, struct rd *r, int *io_error)
{
	uint64_t start = rd_pos(r);
	bool hole = false;
	int bits = 0;

	for (;;) {
		uint32_t xf = read_xflags(s, r, &bits);

		if (r->failed)
			return -1;
		if (!xf)
			break;
		if (read_entry(s, r, xf, &hole) < 0)
			return -1;
	}
	s->stats.bytes += (int64_t)(rd_pos(r) - start);
	ids_read_lists(s, r);
	if (s->fmt.proto < 30)
		bits |= rd_int(r) & IOERR_MASK;
	if (r->failed)
		return -1;
	if (s->fmt.ignore_errors)
		bits = 0;
	if (hole && s->hooks.name_in)
		bits |= IOERR_GENERAL;
	*io_error |= bits;
	return 0;
}

struct flist *flist_read(struct flist_set *s, struct rd *r, int32_t dir_ndx, int *io_error)
{
	struct flist *fl;

	if (r->failed || check_dir_ndx(s, r, dir_ndx) < 0)
		return NULL;
	fl = flist_start(s, dir_ndx);
	if (!fl) {
		nomem(r);
		return NULL;
	}
	if (read_all(s, r, io_error) < 0) {
		flist_abandon(s);
		return NULL;
	}
	if (flist_complete(s) < 0) {
		nomem(r);
		flist_abandon(s);
		return NULL;
	}
	if (!s->fmt.inc_recurse && flist_check_parents(s, r, fl) < 0)
		return NULL;
	return fl;
}
