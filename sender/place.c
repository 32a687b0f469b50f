/*
 * place.c - where names start: source roots, views of the sandbox, names in messages.
 *
 * The directory part of an argument is followed as given and becomes the place from which
 * everything below is resolved (spec 08 §20.C). Behind a daemon (or any confinement) links in it
 * must stay beneath x->root, and what was found is remembered as a path without links; otherwise
 * the place is held as an anchor of its own.
 */
#include "config.h"
#include "sender/sender.h"

#include <errno.h>
#include <stdio.h>
#include <xxhash.h>

#include "base/say.h"
#include "base/text.h"
#include "sandbox/broker.h"
#include "sandbox/confine.h"
#include "sandbox/opfile.h"

#define VIEWS_OPEN_MAX 16

static int add_view(struct sender *s, const char *rel, enum links links, uint32_t *out)
{
	unsigned flags = ANCHOR_DOTDOT | (s->o->remove_source ? 0 : ANCHOR_READ_ONLY);
	struct anchor *a = NULL;
	struct view *v;
	int rc;

	v = mem_grow(s->budget, s->views, &s->view_cap, s->view_count + 1, sizeof *v);
	if (!v)
		return -ENOMEM;
	s->views = v;
	rc = anchor_sub(&a, s->x->root, rel, anchor_links(s->x->root) == LINKS_FREE ? LINKS_FREE : LINKS_REFUSE, links, flags);
	if (rc < 0)
		return rc;
	v[s->view_count] = (struct view){ .anchor = a };
	*out = (uint32_t)s->view_count++;
	return 0;
}

int place_init(struct sender *s)
{
	enum links scan = s->follows || s->o->files_from ? LINKS_IN_ROOT : LINKS_REFUSE;
	int rc;

	s->confined = anchor_links(s->x->root) != LINKS_FREE;
	s->rules_root = -1;
	rc = add_view(s, "", s->confined ? LINKS_IN_ROOT : LINKS_FREE, &s->free_view);
	if (rc == 0 && s->confined)
		rc = add_view(s, "", scan, &s->scan_view);
	if (rc < 0)
		return rd_fail(s->r, RX_FILEIO, "rsync: [%s] cannot enter the source root: %s (%d)", say_role(), strerror(-rc), -rc);
	return 0;
}

void place_done(struct sender *s)
{
	for (size_t i = 0; i < s->view_count; i++) {
		sb_free(s->views[i].sb);
		anchor_unref(s->views[i].anchor);
	}
	mem_free(s->budget, s->views);
	mem_free(s->budget, s->roots);
	ptab_free(&s->root_keys, s->budget);
}

/* Drops the view that was not used for the longest time. */
static void close_one_view(struct sender *s)
{
	struct view *oldest = NULL;

	for (size_t i = 0; i < s->view_count; i++) {
		struct view *v = &s->views[i];

		if (v->sb && i != s->free_view && (!oldest || v->used < oldest->used))
			oldest = v;
	}
	if (oldest) {
		sb_free(oldest->sb);
		oldest->sb = NULL;
		s->views_open--;
	}
}

struct sb *place_view(struct sender *s, uint32_t view)
{
	struct view *v = &s->views[view];

	v->used = ++s->view_clock;
	if (v->sb)
		return v->sb;
	if (s->views_open >= VIEWS_OPEN_MAX)
		close_one_view(s);
	v->sb = sb_new(v->anchor, 0);
	if (v->sb)
		s->views_open++;
	return v->sb;
}

int place_join(char *out, const char *prefix, const char *dir, size_t dir_len)
{
	size_t n = strlen(prefix);

	while (dir_len && *dir == '/')
		dir++, dir_len--;
	if (n + 1 + dir_len >= NAME_BUF) {
		*out = '\0';
		return -ENAMETOOLONG;
	}
	if (out != prefix)
		memcpy(out, prefix, n);
	if (n && dir_len)
		out[n++] = '/';
	memcpy(out + n, dir, dir_len);
	out[n + dir_len] = '\0';
	return 0;
}

int place_resolve(const struct sender *s, const char *arg, char *out)
{
	const char *cwd = *arg == '/' ? "" : s->x->cwd ? s->x->cwd : "";
	int rc = place_join(out, cwd, arg, strlen(arg));

	if (rc < 0)
		return rc;
	path_clean(out);
	if (!strcmp(out, "."))
		*out = '\0';
	else if (*out == '/')
		memmove(out, out + 1, strlen(out));
	return 0;
}

static const char *keep(struct sender *s, const char *str)
{
	return arena_strndup(s->arena, str, strlen(str));
}

static int add_root(struct sender *s, uint32_t view, size_t skip, const char *prefix, const char *at, uint16_t *out)
{
	struct src_root *r;

	if (s->root_count >= UINT16_MAX) {
		rd_fail(s->r, RX_MALLOC, "too many source directories");
		return 1;
	}
	r = mem_grow(s->budget, s->roots, &s->root_cap, s->root_count + 1, sizeof *r);
	if (!r)
		return sender_nomem(s), 1;
	s->roots = r;
	r += s->root_count;
	*r = (struct src_root){ .view = view, .skip = (uint32_t)skip, .prefix = keep(s, prefix), .at = keep(s, at) };
	if (!r->prefix || !r->at)
		return sender_nomem(s), 1;
	*out = (uint16_t)s->root_count++;
	return 0;
}

/* The module's rules hide a place by its name and by where links lead (spec 09 LNK-22e). */
static bool hidden(const struct sender *s, const char *path)
{
	return s->x->daemon_filter && *path && filt_hides_path(s->x->daemon_filter, path, true);
}

static int confined_root(struct sender *s, const char *path, char *prefix)
{
	struct sb *sb = place_view(s, s->free_view);
	char rleaf[SB_NAME_MAX + 1];
	struct stat st;
	int rc;

	if (!sb)
		return -ENOMEM;
	rc = sb_resolve_in_root(sb, path, ".", prefix, rleaf);
	if (rc < 0)
		return rc;
	rc = place_join(prefix, prefix, rleaf, strcmp(rleaf, ".") ? strlen(rleaf) : 0);
	if (rc < 0)
		return rc;
	rc = sb_lstat(sb, prefix, ".", &st);
	if (rc < 0)
		return rc;
	if (!S_ISDIR(st.st_mode))
		return -ENOTDIR;
	return hidden(s, prefix) ? -ENOENT : 0;
}

static int listed_root(struct sender *s, const char *dir, uint16_t *root)
{
	uint16_t b = s->base_root;
	char prefix[NAME_BUF], at[NAME_BUF];
	struct stat st;
	struct sb *sb;
	int rc;

	if (!*dir || !strcmp(dir, ".")) {
		*root = b;
		return 0;
	}
	rc = place_join(prefix, s->roots[b].prefix, dir, strlen(dir));
	if (rc == 0)
		rc = place_join(at, s->roots[b].at, dir, strlen(dir));
	if (rc < 0)
		return rc;
	path_clean(prefix);
	path_clean(at);
	if (hidden(s, at))
		return -ENOENT;
	sb = place_sb(s, b);
	if (!sb)
		return -ENOMEM;
	rc = sb_lstat(sb, prefix, ".", &st);
	if (rc < 0)
		return rc;
	return S_ISDIR(st.st_mode) ? add_root(s, s->roots[b].view, 0, prefix, at, root) : -ENOTDIR;
}

static int plain_root(struct sender *s, const char *dir, const char *inner, uint16_t *root)
{
	char at[NAME_BUF], prefix[NAME_BUF];
	uint32_t view = s->scan_view;
	int rc = place_resolve(s, dir, at);
	size_t n = strlen(at);

	prefix[0] = '\0';
	if (rc == 0)
		rc = place_join(at, at, inner, strlen(inner));
	if (rc < 0)
		return rc;
	if (hidden(s, at))
		return -ENOENT;
	if (s->confined) {
		rc = confined_root(s, at, prefix);
	} else {
		/* Names of --files-from may run through links of trusted owners; what a scan finds may not. */
		enum links links = s->follows || (s->o->files_from && s->o->insecure_links) ? LINKS_FREE : s->o->files_from ? LINKS_TRUSTED : LINKS_REFUSE;

		rc = add_view(s, at, links, &view);
	}
	at[n] = '\0';
	return rc < 0 ? rc : add_root(s, view, strlen(inner), prefix, at, root);
}

/* Parts of an argument, and the root that they gave. */
struct root_key {
	const char *dir, *inner;
	bool listed;
	uint16_t root;
};

static bool same_key(const void *item, const void *key)
{
	const struct root_key *a = item, *b = key;

	return a->listed == b->listed && !strcmp(a->dir, b->dir) && !strcmp(a->inner, b->inner);
}

static int remember_root(struct sender *s, const struct root_key *key, uint64_t hash)
{
	struct root_key *k = arena_alloc(s->arena, sizeof *k, _Alignof(struct root_key));
	int32_t index;

	if (!k)
		return -1;
	*k = *key;
	k->dir = keep(s, key->dir);
	k->inner = keep(s, key->inner);
	index = k->dir && k->inner ? ptab_add(&s->root_keys, s->budget, k) : -1;
	return index < 0 ? -1 : ptab_index(&s->root_keys, s->budget, hash, index);
}

int place_root(struct sender *s, const char *dir, const char *inner, bool listed, uint16_t *root)
{
	struct root_key key = { dir, inner, listed, 0 };
	uint64_t hash = XXH3_64bits_withSeed(dir, strlen(dir), (uintptr_t)s + listed);
	int32_t known;
	int rc;

	hash = XXH3_64bits_withSeed(inner, strlen(inner), hash);
	known = ptab_find(&s->root_keys, hash, same_key, &key);
	if (known >= 0) {
		*root = ((const struct root_key *)ptab_get(&s->root_keys, (uint32_t)known))->root;
		return 0;
	}
	rc = listed ? listed_root(s, dir, root) : plain_root(s, dir, inner, root);
	if (rc)
		return rc;
	key.root = *root;
	return remember_root(s, &key, hash) < 0 ? sender_nomem(s), 1 : 0;
}

int place_of_name(const struct sender *s, uint16_t root, const char *name, size_t len, char *out)
{
	const struct src_root *r = &s->roots[root];

	/* The root's own entry, and parents above the place, lie at the place itself. */
	if (len <= r->skip || (len == 1 && *name == '.'))
		return place_join(out, r->prefix, "", 0);
	return place_join(out, r->prefix, name + r->skip, len - r->skip);
}

const char *place_dir(struct sender *s, const struct fent *e)
{
	if (s->cached_dir == e->dir && s->cached_root == e->root)
		return s->dir_path;
	place_of_name(s, e->root, e->dir->s, e->dir->len, s->dir_path);
	s->cached_dir = e->dir;
	s->cached_root = e->root;
	return s->dir_path;
}

/* Where the broker finds it: beneath the module's root or, from a server, "/". */
static int broker_name(struct sender *s, struct sb *sb, const char *dir, const char *leaf, bool follow, char *bdir, char *bleaf)
{
	char *slash;
	int rc;

	if (s->confined && follow)
		return sb_resolve_in_root(sb, dir, leaf, bdir, bleaf);
	if (s->confined) {
		strcpy(bdir, dir);
		return strlen(leaf) > SB_NAME_MAX ? -ENAMETOOLONG : (strcpy(bleaf, leaf), 0);
	}
	rc = sb_real_path(sb, dir, leaf, follow, bdir);
	if (rc < 0)
		return rc;
	slash = strrchr(bdir, '/');
	if (strlen(slash ? slash + 1 : bdir) > SB_NAME_MAX)
		return -ENAMETOOLONG;
	strcpy(bleaf, slash ? slash + 1 : bdir);
	*(slash ? slash : bdir) = '\0';
	return 0;
}

int place_open(struct sender *s, struct sb *sb, const char *dir, const char *leaf, bool follow, struct stat *st)
{
	unsigned flags = s->o->open_noatime == 1 ? SB_NOATIME : 0u;
	char bdir[PATH_LIMIT + 1], bleaf[SB_NAME_MAX + 1];
	struct stat seen;
	int rc = s->o->copy_devices ? follow ? sb_stat_follow(sb, dir, leaf, &seen) : sb_lstat(sb, dir, leaf, &seen) : -ENOSYS, fd;

	if (rc < 0 || !(S_ISCHR(seen.st_mode) || S_ISBLK(seen.st_mode)))
		return follow ? sb_open_read_follow(sb, dir, leaf, flags, st) : sb_open_read(sb, dir, leaf, flags, st);
	rc = s->x->broker ? broker_name(s, sb, dir, leaf, follow, bdir, bleaf) : -EPERM;
	if (rc == 0)
		rc = broker_open(s->x->broker, bdir, bleaf, false, &fd);
	if (rc == 0 && st && (rc = sbf_stat(fd, st)) < 0)
		close(fd);
	return rc < 0 ? rc : fd;
}

const char *place_show_path(struct sender *s, const char *path)
{
	if (s->x->module)
		snprintf(s->shown, sizeof s->shown, "\"%s%s\" (in %s)", *path && !s->o->sanitize_paths ? "/" : "",
			 *path ? path : ".", s->x->module);
	else
		snprintf(s->shown, sizeof s->shown, "\"/%s\"", path);
	return s->shown;
}

const char *place_show(struct sender *s, uint16_t root, const char *name)
{
	const char *at = s->roots[root].at;

	/* An absolute --relative name says it all. */
	if (*name == '/')
		at = "", name++;
	/* In a chrooted module the module's root is "/". */
	if (s->x->module)
		snprintf(s->shown, sizeof s->shown, "\"%s%s%s%s\" (in %s)", *at || !s->o->sanitize_paths ? "/" : "", at,
			 *at ? "/" : "", name, s->x->module);
	else
		snprintf(s->shown, sizeof s->shown, "\"/%s%s%s\"", at, *at ? "/" : "", name);
	return s->shown;
}

const char *place_show_entry(struct sender *s, const struct fent *e)
{
	char path[PATH_LIMIT + 1];

	fent_path(e, path);
	return place_show(s, e->root, path);
}

/* ---- rules ---- */

int rules_start(struct sender *s, uint16_t root)
{
	if (s->rules && filt_walk_start(s->rules, s->roots[root].at) < 0)
		s->x->io_error |= IOERR_GENERAL;
	s->rules_root = root;
	return 0;
}

static int enter_one(struct sender *s, const char *name)
{
	int rc = filt_enter_dir(s->rules, name, s->err);

	if (rc > 0)
		s->x->io_error |= IOERR_GENERAL;
	return rc < 0 ? -1 : 0;
}

static bool per_directory(const struct filter_list *l)
{
	return l && l->dir_merges;
}

int rules_enter(struct sender *s, uint16_t root, const char *name, size_t len)
{
	size_t skip = s->roots[root].skip;
	char *n = s->rules_name;

	if (!s->rules)
		return 0;
	if (s->rules_root == root && !per_directory(s->x->filter) && !per_directory(s->x->daemon_filter))
		return 0;
	if (len > PATH_LIMIT)
		return 0;
	memcpy(n, name, len);
	n[len] = '\0';
	if (s->rules_root != root) {
		/* Another place: the rule files of the directories on the way are read again. */
		rules_start(s, root);
		if (s->roots[root].whole && enter_one(s, ".") < 0)
			return -1;
		for (size_t i = skip + 1; i < len; i++) {
			if (n[i] != '/')
				continue;
			n[i] = '\0';
			if (enter_one(s, n) < 0)
				return -1;
			n[i] = '/';
		}
	}
	return enter_one(s, n);
}

/* filt_files: rule files found in directories. Links in the way must have a trusted owner; behind a
   confinement they must stay inside as well. */
static int read_confined(struct sender *s, const char *dir, const char *name, struct buf *out)
{
	struct sb *sb = place_view(s, s->free_view);
	struct stat st;
	int fd, rc;

	if (!sb)
		return -ENOMEM;
	fd = sb_open_read(sb, dir, name, 0, &st);
	if (fd == -ELOOP && sb_lstat(sb, dir, name, &st) == 0 && S_ISLNK(st.st_mode) &&
	    (st.st_uid == 0 || st.st_uid == geteuid()))
		fd = sb_open_read_follow(sb, dir, name, 0, &st);
	if (fd < 0)
		return fd;
	rc = st.st_size > (off_t)FILT_FILE_MAX ? -EFBIG : 0;
	while (rc == 0) {
		char chunk[8192];
		ssize_t n = read(fd, chunk, sizeof chunk);

		if (n == 0)
			break;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			rc = -errno;
		else if (out->len + (size_t)n > FILT_FILE_MAX)
			rc = -EFBIG;
		else
			buf_add(out, chunk, (size_t)n);
	}
	close(fd);
	return rc < 0 ? rc : out->failed ? -ENOMEM : 0;
}

int rules_read_file(void *ctx, const char *dir, const char *name, struct buf *out)
{
	struct sender *s = ctx;
	char path[NAME_BUF];
	int rc;

	if (s->confined || s->o->am_daemon)
		return read_confined(s, dir, name, out);
	path[0] = '/';
	if (place_join(path + 1, dir, name, strlen(name)) < 0 || strlen(path) > PATH_LIMIT)
		return -ENAMETOOLONG;
	rc = opfile_read_all(path, FILT_FILE_MAX, 0, out, NULL);
	/* Rules that are there but out of reach (above the operands): to go on without them could send what they hide. */
	return rc == -EACCES && confine_hides(path) ? -EPERM : rc;
}
