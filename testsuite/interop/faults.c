/*
 * faults.c - makes system calls fail, for tests: preloaded into a server.
 *
 * KEDGE_FAULT is CALL:ERRNO:FIRST[:COUNT][@NAME]: calls number FIRST to FIRST+COUNT-1 (default: all from FIRST on) of
 * that kind (and with NAME: on a file or an attribute of that name, where the call takes one) fail with that errno; ERRNO 0 makes reads
 * and writes short instead; the clock is not failed, but moved by as many seconds. With KEDGE_FAULT_RUN they run that command, and go on. Calls are counted per process, and
 * only in processes that are confined, unless KEDGE_FAULT_ALL is set (the stock server).
 * Reads and writes count only on regular files.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#define NR_FCHMODAT2 452
#define NR_SETXATTRAT 463
#define NR_LISTXATTRAT 465

int __openat_2(int d, const char *path, int flags);    /* of the fortified openat */

static char kind[32];
static const char *only, *command;
static int code, everywhere;
static long first, count = 1L << 40;
static atomic_long seen;

static void in_child(void)
{
	atomic_store(&seen, 0);
}

__attribute__((constructor)) static void start(void)
{
	const char *e = getenv("KEDGE_FAULT");

	/* Copies: a program may write over its environment. */
	only = e && strchr(e, '@') ? strdup(strchr(e, '@') + 1) : NULL;
	command = getenv("KEDGE_FAULT_RUN") ? strdup(getenv("KEDGE_FAULT_RUN")) : NULL;
	if (!e || sscanf(e, "%31[a-z]:%d:%ld:%ld", kind, &code, &first, &count) < 3)
		kind[0] = 0;
	everywhere = getenv("KEDGE_FAULT_ALL") != NULL;
	pthread_atfork(NULL, NULL, in_child);
}

static void run(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		unsetenv("LD_PRELOAD");
		execl("/bin/sh", "sh", "-c", command, (char *)NULL);
		_exit(127);
	}
	waitpid(pid, NULL, 0);
}

static int hit(const char *k)
{
	long n;

	if (strcmp(k, kind))
		return 0;
	if (!everywhere && prctl(PR_GET_SECCOMP) != 2)
		return 0;
	n = atomic_fetch_add(&seen, 1) + 1;
	if (n < first || n - first >= count)
		return 0;
	if (command)
		run();
	return !command;
}

static int hit_name(const char *k, const char *path)
{
	const char *leaf = path ? strrchr(path, '/') : NULL;

	leaf = leaf ? leaf + 1 : path;
	return (!only || (leaf && !strcmp(leaf, only))) && hit(k);
}

static int hit_file(const char *k, int fd)
{
	struct stat st;

	return !strcmp(k, kind) && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && hit(k);
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define FAIL_IF(yes) do { if (yes) { errno = code; return -1; } } while (0)
#define FAIL_AS(k) FAIL_IF(hit(k))

/* Contents. */
#define IO(type, name, k, buf_t, extra_decl, extra) \
	type name(int fd, buf_t buf, size_t len extra_decl) \
	{ \
		static __typeof__(&name) real; \
		if (!real) \
			real = NEXT(name); \
		if (hit_file(k, fd)) { \
			if (code) { \
				errno = code; \
				return -1; \
			} \
			len = len > 1 ? len / 2 : len; \
		} \
		return real(fd, buf, len extra); \
	}
#define COMMA ,
IO(ssize_t, write, "write", const void *, , )
IO(ssize_t, pwrite, "write", const void *, COMMA off_t off, COMMA off)
IO(ssize_t, pwrite64, "write", const void *, COMMA off64_t off, COMMA off)
IO(ssize_t, read, "read", void *, , )
IO(ssize_t, pread, "read", void *, COMMA off_t off, COMMA off)
IO(ssize_t, pread64, "read", void *, COMMA off64_t off, COMMA off)

/* Everything else fails as a whole. */
#define CALL(name, k, params, args) \
	int name params \
	{ \
		FAIL_AS(k); \
		return NEXT(name) args; \
	}
CALL(rename, "rename", (const char *a, const char *b), (a, b))
CALL(renameat, "rename", (int d, const char *a, int e, const char *b), (d, a, e, b))
CALL(renameat2, "rename", (int d, const char *a, int e, const char *b, unsigned f), (d, a, e, b, f))
CALL(mkdir, "mkdir", (const char *a, mode_t m), (a, m))
CALL(mkdirat, "mkdir", (int d, const char *a, mode_t m), (d, a, m))
CALL(symlink, "symlink", (const char *a, const char *b), (a, b))
CALL(symlinkat, "symlink", (const char *a, int d, const char *b), (a, d, b))
CALL(unlink, "unlink", (const char *a), (a))
CALL(unlinkat, "unlink", (int d, const char *a, int f), (d, a, f))
CALL(link, "link", (const char *a, const char *b), (a, b))
CALL(linkat, "link", (int d, const char *a, int e, const char *b, int f), (d, a, e, b, f))
CALL(chmod, "chmod", (const char *a, mode_t m), (a, m))
CALL(fchmod, "chmod", (int d, mode_t m), (d, m))
CALL(fchmodat, "chmod", (int d, const char *a, mode_t m, int f), (d, a, m, f))
CALL(lchown, "chown", (const char *a, uid_t u, gid_t g), (a, u, g))
CALL(fchown, "chown", (int d, uid_t u, gid_t g), (d, u, g))
CALL(fchownat, "chown", (int d, const char *a, uid_t u, gid_t g, int f), (d, a, u, g, f))
CALL(utimensat, "utimes", (int d, const char *a, const struct timespec t[2], int f), (d, a, t, f))
CALL(futimens, "utimes", (int d, const struct timespec t[2]), (d, t))
CALL(ftruncate, "truncate", (int d, off_t n), (d, n))
CALL(ftruncate64, "truncate", (int d, off64_t n), (d, n))
CALL(fsync, "fsync", (int d), (d))
CALL(fdatasync, "fsync", (int d), (d))
CALL(fallocate, "allocate", (int d, int m, off_t o, off_t n), (d, m, o, n))
CALL(fallocate64, "allocate", (int d, int m, off64_t o, off64_t n), (d, m, o, n))

/* "clock": what it says is ERRNO seconds later than it is. */
int clock_gettime(clockid_t id, struct timespec *ts)
{
	int rc = NEXT(clock_gettime)(id, ts);

	if (hit("clock"))
		ts->tv_sec += code;
	return rc;
}

time_t time(time_t *out)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	if (out)
		*out = ts.tv_sec;
	return ts.tv_sec;
}

/* Looking at a name. */
#define STAT(name, params, args) \
	int name params \
	{ \
		FAIL_IF(hit_name("stat", path)); \
		return NEXT(name) args; \
	}
STAT(lstat, (const char *path, struct stat *st), (path, st))
STAT(lstat64, (const char *path, struct stat64 *st), (path, st))
STAT(fstatat, (int d, const char *path, struct stat *st, int f), (d, path, st, f))
STAT(fstatat64, (int d, const char *path, struct stat64 *st, int f), (d, path, st, f))
STAT(statx, (int d, const char *path, int f, unsigned m, struct statx *st), (d, path, f, m, st))

/* Attributes. */
#define XATTR(type, name, k, params, args) \
	type name params \
	{ \
		FAIL_IF(hit_name(k, a)); \
		return NEXT(name) args; \
	}
XATTR(ssize_t, getxattr, "getxattr", (const char *p, const char *a, void *v, size_t n), (p, a, v, n))
XATTR(ssize_t, lgetxattr, "getxattr", (const char *p, const char *a, void *v, size_t n), (p, a, v, n))
XATTR(ssize_t, fgetxattr, "getxattr", (int d, const char *a, void *v, size_t n), (d, a, v, n))
XATTR(int, lsetxattr, "setxattr", (const char *p, const char *a, const void *v, size_t n, int f), (p, a, v, n, f))
XATTR(int, setxattr, "setxattr", (const char *p, const char *a, const void *v, size_t n, int f), (p, a, v, n, f))
XATTR(int, fsetxattr, "setxattr", (int d, const char *a, const void *v, size_t n, int f), (d, a, v, n, f))

ssize_t llistxattr(const char *p, char *v, size_t n)
{
	FAIL_AS("listxattr");
	return NEXT(llistxattr)(p, v, n);
}

ssize_t flistxattr(int d, char *v, size_t n)
{
	FAIL_AS("listxattr");
	return NEXT(flistxattr)(d, v, n);
}

ssize_t getdents64(int d, void *b, size_t n)
{
	FAIL_AS("list");
	return NEXT(getdents64)(d, b, n);
}

struct dirent64 *readdir64(DIR *d)
{
	if (hit("list")) {
		errno = code;
		return NULL;
	}
	return NEXT(readdir64)(d);
}

struct dirent *readdir(DIR *d)
{
	if (hit("list")) {
		errno = code;
		return NULL;
	}
	return NEXT(readdir)(d);
}

/* Opening: "create" makes a file, "open" only reads. */
static const char *open_kind(int flags)
{
	return flags & O_CREAT ? "create" : flags & (O_DIRECTORY | O_PATH) ? "" : "open";
}

#define OPEN(name, dir_decl, dir) \
	int name(dir_decl const char *path, int flags, ...) \
	{ \
		va_list ap; \
		mode_t mode; \
		va_start(ap, flags); \
		mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(ap, mode_t) : 0; \
		va_end(ap); \
		FAIL_IF(hit_name(open_kind(flags), path)); \
		return NEXT(name)(dir path, flags, mode); \
	}
OPEN(open, , )
OPEN(open64, , )
OPEN(openat, int d COMMA, d COMMA)
OPEN(openat64, int d COMMA, d COMMA)
int __openat_2(int d, const char *path, int flags)
{
	FAIL_IF(hit_name(open_kind(flags), path));
	return NEXT(__openat_2)(d, path, flags);
}

CALL(mkstemp, "create", (char *t), (t))
CALL(mkstemp64, "create", (char *t), (t))

long syscall(long nr, ...)
{
	long a[6];
	va_list ap;

	va_start(ap, nr);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(ap, long);
	va_end(ap);
	if (nr == SYS_openat2) {
		const struct open_how *how = (const void *)a[2];

		FAIL_IF(hit_name(open_kind((int)how->flags), (const char *)a[1]));
	} else if (nr == SYS_renameat2) {
		FAIL_AS("rename");
	} else if (nr == NR_SETXATTRAT || nr == NR_SETXATTRAT + 1) {
		FAIL_IF(hit_name(nr == NR_SETXATTRAT ? "setxattr" : "getxattr", (const char *)a[3]));
	} else if (nr == NR_LISTXATTRAT) {
		FAIL_AS("listxattr");
	} else if (nr == NR_FCHMODAT2) {
		FAIL_AS("chmod");
	}
	return NEXT(syscall)(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
}
