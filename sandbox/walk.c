/*
 * walk.c - see walk.h.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/say.h"
#include "sandbox/walk.h"

#define STEPS_MAX 8192         /* opens for one name: bounds what a nest of links may cost */
#define TODO_SIZE (2 * (PATH_LIMIT + 1))

const char *walk_component(const char **p, size_t *len)
{
	const char *s = *p;

	while (*s == '/')
		s++;
	if (!*s) {
		*p = s;
		return NULL;
	}
	*len = strcspn(s, "/");
	*p = s + *len;
	return s;
}

int walk_openat2(int root, const char *path, int oflags, bool follow)
{
	struct open_how how = {
		.flags = (unsigned)(oflags | O_CLOEXEC),
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | (follow ? 0u : RESOLVE_NO_SYMLINKS),
	};

	for (int tries = 0; tries < 256; tries++) {
		long fd = syscall(SYS_openat2, root, path, &how, sizeof(how));
		if (fd >= 0)
			return (int)fd;
		/* a rename on the way made ".." unsafe, or a signal came */
		if (errno != EAGAIN && errno != EINTR)
			break;
	}
	return errno == EXDEV ? -ELOOP : -errno;
}

/* Without links: only one fd is held at a time. */
static int walk_plain(int root, const char *path, int oflags)
{
	char name[256];
	const char *c, *p = path;
	size_t len;
	int cur = root;

	while ((c = walk_component(&p, &len))) {
		if (len >= sizeof(name)) {
			if (cur != root)
				close(cur);
			return -ENAMETOOLONG;
		}
		memcpy(name, c, len);
		name[len] = '\0';
		int how = O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | (*p ? O_PATH : oflags);
		int fd = len == 2 && c[0] == '.' && c[1] == '.' ? (errno = EINVAL, -1) : openat(cur, name, how);
		int e = errno;
		char probe[1];
		if (fd < 0 && e == ENOTDIR && readlinkat(cur, name, probe, sizeof(probe)) >= 0)
			e = ELOOP;
		if (cur != root)
			close(cur);
		if (fd < 0)
			return -e;
		cur = fd;
	}
	if (cur != root)
		return cur;
	int fd = openat(root, ".", O_DIRECTORY | O_CLOEXEC | oflags);
	return fd < 0 ? -errno : fd;
}

static int walk_trusted_dir(int root, const char *path, int oflags)
{
	_cleanup_spot_ struct spot spot = { .parent = -1 };
	int r = walk_spot(root, path, 0, 0, &spot);

	if (r < 0)
		return r;
	int fd = openat(spot.parent, spot.leaf, O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | oflags);
	return fd < 0 ? -errno : fd;
}

int walk_dir(int root, const char *path, enum links links, bool portable, int oflags)
{
	int fd;

	if (!*path)
		path = ".";
	if (links == LINKS_FREE) {
		fd = openat(root, path, O_DIRECTORY | O_CLOEXEC | oflags);
		return fd < 0 ? -errno : fd;
	}
	bool in_root = links == LINKS_IN_ROOT;
	if (!portable)
		fd = walk_openat2(root, path, O_DIRECTORY | oflags, in_root);
	else if (!in_root)
		fd = walk_plain(root, path, oflags);
	else {
		_cleanup_close_ int pin = walk_beneath(root, path, WALK_FOLLOW, 0, NULL, NULL);
		if (pin < 0 || oflags & O_PATH)
			return TAKE_FD(pin);
		fd = openat(pin, ".", O_DIRECTORY | O_CLOEXEC | oflags);
		return fd < 0 ? -errno : fd;
	}
	if (fd == -ELOOP && links == LINKS_TRUSTED)
		return walk_trusted_dir(root, path, oflags);
	return fd;
}

/* State of walk_beneath: real is what was walked, free of links; todo is what is left. */
struct beneath {
	int root, cur;         /* cur: fd of real, or -1 after a step up */
	unsigned flags, steps, links, made;
	mode_t mode;
	size_t len;
	char real[PATH_LIMIT + 1];
	char todo[TODO_SIZE];
	const char *next;
};

static int step_up(struct beneath *b)
{
	if (!b->len)
		return -ELOOP;
	while (b->len && b->real[b->len - 1] != '/')
		b->len--;
	if (b->len)
		b->len--;
	b->real[b->len] = '\0';
	close(TAKE_FD(b->cur));
	return 0;
}

/* After steps up the way is walked again from the root: an open ".." could lead out if a directory moved. */
static int step_sync(struct beneath *b)
{
	if (b->cur >= 0)
		return 0;
	for (size_t i = 0; i < b->len; i++)
		b->steps += b->real[i] == '/';
	b->cur = walk_plain(b->root, b->real, O_PATH);
	return b->cur < 0 ? b->cur : 0;
}

/* Puts the target of the link fd in front of what is left to do. */
static OWN_FRAME int step_link(struct beneath *b, int fd)
{
	char target[PATH_LIMIT + 1];
	size_t rest = strlen(b->next);

	if (!(b->flags & WALK_FOLLOW) || ++b->links > WALK_LINKS_MAX)
		return -ELOOP;
	ssize_t n = readlinkat(fd, "", target, sizeof(target));
	if (n < 0)
		return -errno;
	if (n == 0 || (size_t)n >= sizeof(target) || target[0] == '/')
		return -ELOOP;
	if ((size_t)n + rest + 1 > sizeof(b->todo))
		return -ENAMETOOLONG;
	memmove(b->todo + n, b->next, rest + 1);
	memcpy(b->todo, target, (size_t)n);
	b->next = b->todo;
	return 0;
}

static int step_open(struct beneath *b, const char *name)
{
	const int how = O_PATH | O_NOFOLLOW | O_CLOEXEC;
	int fd = openat(b->cur, name, how);
	bool last = !b->next[strspn(b->next, "/")];

	if (fd < 0 && errno == ENOENT && (b->flags & WALK_CREATE || (last && b->flags & WALK_CREATE_LAST))) {
		if (mkdirat(b->cur, name, b->mode) == 0)
			b->made++;
		else if (errno != EEXIST)
			return -errno;
		fd = openat(b->cur, name, how);
	}
	return fd < 0 ? -errno : fd;
}

/* One component that is neither "." nor "..". *other is set when it is the end and no directory. */
static int step_down(struct beneath *b, const char *c, size_t len, bool *other)
{
	char name[256];
	struct stat st;

	if (len >= sizeof(name))
		return -ENAMETOOLONG;
	memcpy(name, c, len);
	name[len] = '\0';
	int r = step_sync(b);
	if (r < 0)
		return r;
	_cleanup_close_ int fd = step_open(b, name);
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (S_ISLNK(st.st_mode) && (b->flags & WALK_FOLLOW || !(b->flags & WALK_ANY) || *b->next))
		return step_link(b, fd);
	if (!S_ISDIR(st.st_mode)) {
		if (!(b->flags & WALK_ANY) || *b->next)
			return -ENOTDIR;
		*other = true;
	}
	if (b->len + 1 + len > PATH_LIMIT)
		return -ENAMETOOLONG;
	if (b->len)
		b->real[b->len++] = '/';
	memcpy(b->real + b->len, name, len + 1);
	b->len += len;
	close(b->cur);
	b->cur = TAKE_FD(fd);
	return 0;
}

int walk_beneath(int root, const char *path, unsigned flags, mode_t mode, char *real, unsigned *made)
{
	struct beneath b;      /* large: its buffers are not cleared */
	size_t len = strlen(path);
	bool other = false;
	const char *c;
	int r = 0;

	if (len > PATH_LIMIT)
		return -ENAMETOOLONG;
	b.root = root;
	b.flags = flags;
	b.mode = mode;
	b.steps = b.links = b.made = 0;
	b.len = 0;
	b.real[0] = '\0';
	memcpy(b.todo, path, len + 1);
	b.next = b.todo;
	b.cur = openat(root, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (b.cur < 0)
		return -errno;
	while (r == 0 && (c = walk_component(&b.next, &len))) {
		if (++b.steps > STEPS_MAX)
			r = -ELOOP;
		else if (len == 1 && c[0] == '.')
			continue;
		else if (len == 2 && c[0] == '.' && c[1] == '.')
			r = step_up(&b);
		else
			r = step_down(&b, c, len, &other);
	}
	if (r == 0)
		r = step_sync(&b);
	if (made)
		*made = b.made;
	if (r < 0) {
		if (b.cur >= 0)
			close(b.cur);
		return r;
	}
	if (real)
		memcpy(real, b.real, b.len + 1);
	return b.cur;
}

/* Once per process: the path it is about is named by whoever asked for it. */
static int distrusted(void)
{
	static atomic_int told;
	int self = (int)getpid();

	if (atomic_exchange(&told, self) != self)
		say(SAY_ERROR, "refusing to follow a symlink owned by an untrusted user; use --insecure-links locally or "
		    "\"insecure links = yes\" in a daemon module ONLY if every path component is trusted");
	return -ELOOP;
}

/* May a link with this stat, found in the directory dir, be followed? */
static int spot_trusts(int dir, const struct stat *st)
{
	struct stat ds;

	if (st->st_uid != 0 && st->st_uid != geteuid())
		return distrusted();
	if (fstat(dir, &ds) < 0)
		return -errno;
	/* others could have put a trusted user's link here under this name */
	if (ds.st_mode & S_IWOTH && !(ds.st_mode & S_ISVTX))
		return -ELOOP;
	return 0;
}

struct spotter {
	unsigned flags, links, steps;
	mode_t mode;
	int cur;
	char todo[TODO_SIZE];
	const char *next;
};

static int spot_start(struct spotter *s, int at)
{
	int fd = s->next[0] == '/' ? open("/", O_PATH | O_DIRECTORY | O_CLOEXEC)
	                           : openat(at, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (s->cur >= 0)
		close(s->cur);
	s->cur = fd;
	return 0;
}

static OWN_FRAME int spot_link(struct spotter *s, int fd, const struct stat *st)
{
	char target[PATH_LIMIT + 1];
	size_t rest = strlen(s->next);

	if (++s->links > WALK_LINKS_MAX)
		return -ELOOP;
	if (!(s->flags & SPOT_FREE)) {
		int r = spot_trusts(s->cur, st);
		if (r < 0)
			return r;
	}
	ssize_t n = readlinkat(fd, "", target, sizeof(target));
	if (n < 0)
		return -errno;
	if (n == 0)
		return -ENOENT;
	if ((size_t)n >= sizeof(target) || (size_t)n + rest + 1 > sizeof(s->todo))
		return -ENAMETOOLONG;
	memmove(s->todo + n, s->next, rest + 1);
	memcpy(s->todo, target, (size_t)n);
	s->next = s->todo;
	return s->todo[0] == '/' ? spot_start(s, -1) : 0;
}

static int spot_enter(struct spotter *s, const char *name)
{
	int fd = openat(s->cur, name, O_PATH | O_NOFOLLOW | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	close(s->cur);
	s->cur = fd;
	return 0;
}

/* One component; *leaf is set when it is the last. */
static int spot_step(struct spotter *s, const char *name, bool *leaf)
{
	struct stat st;
	bool last = !s->next[strspn(s->next, "/")];

	_cleanup_close_ int fd = openat(s->cur, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0) {
		if (errno != ENOENT)
			return -errno;
		if (last) {
			*leaf = true;
			return 0;
		}
		if (!(s->flags & SPOT_CREATE))
			return -ENOENT;
		if (mkdirat(s->cur, name, s->mode) < 0 && errno != EEXIST)
			return -errno;
		return spot_enter(s, name);
	}
	if (fstat(fd, &st) < 0)
		return -errno;
	if (S_ISLNK(st.st_mode) && !(last && s->flags & SPOT_NOFOLLOW_LEAF))
		return spot_link(s, fd, &st);
	if (last) {
		*leaf = true;
		return 0;
	}
	if (!S_ISDIR(st.st_mode))
		return -ENOTDIR;
	close(s->cur);
	s->cur = TAKE_FD(fd);
	return 0;
}

/* Most paths have no link in them: the kernel walks those in one call. false: to be walked step by step. */
static OWN_FRAME bool spot_straight(int at, const char *path, size_t len, unsigned flags, struct spot *out)
{
	struct open_how how = {
		.flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
		.resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};
	const char *slash = strrchr(path, '/'), *leaf = slash ? slash + 1 : path;
	size_t dir_len = (size_t)(leaf - path), leaf_len = len - dir_len;
	char dir[PATH_LIMIT + 1];
	struct stat st;
	long fd;

	if (!leaf_len || leaf_len >= sizeof(out->leaf) || !strcmp(leaf, ".") || !strcmp(leaf, ".."))
		return false;
	memcpy(dir, path, dir_len);
	dir[dir_len] = '\0';
	fd = syscall(SYS_openat2, at, dir_len ? dir : ".", &how, sizeof(how));
	if (fd < 0)
		return false;
	if (flags & SPOT_NOFOLLOW_LEAF || (fstatat((int)fd, leaf, &st, AT_SYMLINK_NOFOLLOW) < 0 ? errno == ENOENT : !S_ISLNK(st.st_mode))) {
		memcpy(out->leaf, leaf, leaf_len + 1);
		out->parent = (int)fd;
		return true;
	}
	close((int)fd);
	return false;
}

static OWN_FRAME int spot_slowly(int at, const char *path, size_t len, unsigned flags, mode_t mode, struct spot *out)
{
	struct spotter s;
	bool leaf = false;
	const char *c;

	s.flags = flags;
	s.mode = mode;
	s.cur = -1;
	s.links = s.steps = 0;
	memcpy(s.todo, path, len + 1);
	s.next = s.todo;
	strcpy(out->leaf, ".");
	int r = spot_start(&s, at);
	while (r == 0 && !leaf && (c = walk_component(&s.next, &len))) {
		if (len >= sizeof(out->leaf))
			r = -ENAMETOOLONG;
		else if (++s.steps > STEPS_MAX)
			r = -ELOOP;
		else if (len == 1 && c[0] == '.')
			continue;
		else {
			memcpy(out->leaf, c, len);
			out->leaf[len] = '\0';
			r = strcmp(out->leaf, "..") ? spot_step(&s, out->leaf, &leaf) : spot_enter(&s, "..");
		}
		if (!leaf)
			strcpy(out->leaf, ".");
	}
	if (r < 0) {
		if (s.cur >= 0)
			close(s.cur);
		return r;
	}
	out->parent = s.cur;
	return 0;
}

int walk_spot(int at, const char *path, unsigned flags, mode_t mode, struct spot *out)
{
	size_t len = strlen(path);

	out->parent = -1;
	if (!len)
		return -ENOENT;
	if (len > PATH_LIMIT)
		return -ENAMETOOLONG;
	return spot_straight(at, path, len, flags, out) ? 0 : spot_slowly(at, path, len, flags, mode, out);
}
