/*
 * anchor.c - see anchor.h.
 */
#include "config.h"

#include <linux/openat2.h>
#include <stdio.h>
#include <sys/syscall.h>

#include "sandbox/fs_priv.h"

bool anchor_have_openat2(void)
{
	static _Atomic int known; /* 0: not asked yet, 1: yes, 2: no */
	int k = atomic_load_explicit(&known, memory_order_relaxed);

	if (!k) {
		struct open_how how = { .flags = O_PATH | O_DIRECTORY | O_CLOEXEC, .resolve = RESOLVE_NO_SYMLINKS };
		long fd = syscall(SYS_openat2, AT_FDCWD, ".", &how, sizeof(how));

		/* old container filters answer EPERM for calls they do not know */
		k = fd < 0 && (errno == ENOSYS || errno == EPERM) ? 2 : 1;
		if (fd >= 0)
			close((int)fd);
		atomic_store_explicit(&known, k, memory_order_relaxed);
	}
	return k == 1;
}

static bool want_portable(unsigned flags)
{
#ifdef KEDGE_TEST_HOOKS
	const char *e = getenv("KEDGE_PORTABLE_WALK");
	if (e && *e == '1')
		return true;
#endif
	return flags & ANCHOR_PORTABLE || !anchor_have_openat2();
}

int anchor_from_fd(struct anchor **out, int take_fd, enum links links, unsigned flags)
{
	_cleanup_close_ int fd = take_fd;
	struct stat st;

	*out = NULL;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISDIR(st.st_mode))
		return -ENOTDIR;
	struct anchor *a = calloc(1, sizeof(*a));
	if (!a)
		return -ENOMEM;
	atomic_init(&a->refs, 1);
	a->fd = TAKE_FD(fd);
	a->links = links;
	a->flags = flags & (ANCHOR_READ_ONLY | ANCHOR_PORTABLE);
	a->portable = want_portable(flags);
	*out = a;
	return 0;
}

static mode_t make_mode(unsigned flags)
{
	return flags & ANCHOR_PRIVATE ? 0700 : 0777;
}

/* The directory of an operator's path that may have to be made. */
static int open_named(int at, const char *path, unsigned how, unsigned flags)
{
	_cleanup_spot_ struct spot spot = { .parent = -1 };
	const int oflags = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

	if (flags & ANCHOR_CREATE_PARENTS)
		how |= SPOT_CREATE;
	int r = walk_spot(at, path, how, make_mode(flags), &spot);
	if (r < 0)
		return r;
	int fd = openat(spot.parent, spot.leaf, oflags);
	if (fd < 0 && errno == ENOENT && flags & (ANCHOR_CREATE | ANCHOR_CREATE_PARENTS)) {
		if (mkdirat(spot.parent, spot.leaf, make_mode(flags)) < 0 && errno != EEXIST)
			return -errno;
		fd = openat(spot.parent, spot.leaf, oflags);
	}
	return fd < 0 ? -errno : fd;
}

int anchor_open(struct anchor **out, const char *path, enum trust trust, enum links links, unsigned flags)
{
	*out = NULL;
	int fd = open_named(AT_FDCWD, path, trust == TRUST_ALL ? SPOT_FREE : 0, flags);
	return fd < 0 ? fd : anchor_from_fd(out, fd, links, flags);
}

int anchor_open_trusted(struct anchor **out, const char *path)
{
	return anchor_open(out, path, TRUST_OWNER, LINKS_REFUSE, 0);
}

static int name_of(int fd, char *out)
{
	char link[40];
	ssize_t n;

	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	n = readlink(link, out, PATH_LIMIT + 1);
	if (n < 0)
		return errno == ENOENT ? -EBADF : -errno;
	if (n > PATH_LIMIT)
		return -ENAMETOOLONG;
	out[n] = '\0';
	return 0;
}

int anchor_find(const struct anchor *a, int fd, char *out)
{
	char root[PATH_LIMIT + 1];
	size_t n;
	int r = name_of(a->fd, root);

	if (r == 0)
		r = name_of(fd, out);
	if (r < 0)
		return r;
	n = strcmp(root, "/") ? strlen(root) : 0;
	if (strncmp(out, root, n) != 0 || (out[n] && out[n] != '/'))
		return -EXDEV;
	memmove(out, out + n + (out[n] == '/'), strlen(out + n) + (out[n] != '/'));
	return 0;
}

/* Copies relpath without "." and repeated slashes; ".." only where allowed. */
static int tidy(const char *relpath, bool dotdot, char *out)
{
	const char *c, *p = relpath;
	size_t len, n = 0;

	if (*p == '/')
		return -EINVAL;
	while ((c = walk_component(&p, &len))) {
		if (len == 1 && *c == '.')
			continue;
		if (len == 2 && c[0] == '.' && c[1] == '.' && !dotdot)
			return -EINVAL;
		if (n + 1 + len > PATH_LIMIT)
			return -ENAMETOOLONG;
		if (n)
			out[n++] = '/';
		memcpy(out + n, c, len);
		n += len;
	}
	out[n] = '\0';
	return 0;
}

int anchor_sub(struct anchor **out, const struct anchor *a, const char *relpath, enum links how,
	       enum links links, unsigned flags)
{
	char path[PATH_LIMIT + 1];
	const unsigned make = flags & (ANCHOR_CREATE | ANCHOR_CREATE_PARENTS);
	int fd;

	*out = NULL;
	if (how > LINKS_IN_ROOT && how > a->links)
		return -EINVAL;
	how = MAX(how, a->links);
	int r = tidy(relpath, flags & ANCHOR_DOTDOT, path);
	if (r < 0)
		return r;
	if (make && a->flags & ANCHOR_READ_ONLY)
		return -EROFS;
	if (how > LINKS_IN_ROOT)
		fd = open_named(a->fd, *path ? path : ".", how == LINKS_FREE ? SPOT_FREE : 0, flags);
	else if (make || a->portable) {
		unsigned w = how == LINKS_IN_ROOT ? WALK_FOLLOW : 0;
		w |= make & ANCHOR_CREATE_PARENTS ? WALK_CREATE : make ? WALK_CREATE_LAST : 0;
		fd = walk_beneath(a->fd, path, w, make_mode(flags), NULL, NULL);
	} else
		fd = walk_openat2(a->fd, *path ? path : ".", O_PATH | O_DIRECTORY, how == LINKS_IN_ROOT);
	if (fd < 0)
		return fd;
	return anchor_from_fd(out, fd, links, flags | (a->flags & (ANCHOR_READ_ONLY | ANCHOR_PORTABLE)));
}

/* ---- stepping up ---- */

#define CHAIN_MAX 2048

struct chain {
	size_t n;
	struct { dev_t dev; ino_t ino; } id[CHAIN_MAX];
};

static int step_up_from(int fd)
{
	int up = openat(fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);

	return up < 0 ? -errno : up;
}

/* The directories from fd up to the root, fd first. */
static int chain_of(int from, struct chain *c)
{
	_cleanup_close_ int fd = openat(from, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct stat st;

	c->n = 0;
	if (fd < 0)
		return -errno;
	for (;;) {
		if (fstat(fd, &st) < 0)
			return -errno;
		if (c->n && c->id[c->n - 1].dev == st.st_dev && c->id[c->n - 1].ino == st.st_ino)
			return 0;
		if (c->n == CHAIN_MAX)
			return -ELOOP;
		c->id[c->n].dev = st.st_dev;
		c->id[c->n++].ino = st.st_ino;
		int up = step_up_from(fd);
		if (up < 0)
			return up;
		close(fd);
		fd = up;
	}
}

static bool in_chain(const struct chain *c, const struct stat *st)
{
	for (size_t i = 0; i < c->n; i++)
		if (c->id[i].dev == st->st_dev && c->id[i].ino == st->st_ino)
			return true;
	return false;
}

int anchor_common(struct anchor **out, struct anchor *const *v, size_t n)
{
	_cleanup_close_ int top = openat(v[0]->fd, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	_cleanup_free_ struct chain *c = n > 1 ? malloc(sizeof *c) : NULL;
	struct stat st;
	int r;

	*out = NULL;
	if (top < 0)
		return -errno;
	if (n > 1 && !c)
		return -ENOMEM;
	for (size_t i = 1; i < n; i++) {
		r = chain_of(v[i]->fd, c);
		if (r < 0)
			return r;
		for (unsigned steps = 0;; steps++) {
			if (fstat(top, &st) < 0)
				return -errno;
			if (in_chain(c, &st))
				break;
			int up = steps < CHAIN_MAX ? step_up_from(top) : -ELOOP;
			if (up < 0)
				return up;
			close(top);
			top = up;
		}
	}
	return anchor_from_fd(out, TAKE_FD(top), LINKS_REFUSE, 0);
}

struct anchor *anchor_ref(struct anchor *a)
{
	atomic_fetch_add_explicit(&a->refs, 1, memory_order_relaxed);
	return a;
}

void anchor_unref(struct anchor *a)
{
	if (a && atomic_fetch_sub_explicit(&a->refs, 1, memory_order_acq_rel) == 1) {
		close(a->fd);
		free(a);
	}
}

int anchor_fd(const struct anchor *a) { return a->fd; }
enum links anchor_links(const struct anchor *a) { return a->links; }
bool anchor_read_only(const struct anchor *a) { return a->flags & ANCHOR_READ_ONLY; }
