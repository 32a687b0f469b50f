/*
 * stopper.c - stops a program and all its children before each file-system call that takes a path, and at chosen ones
 * exchanges two paths: stopper CONTROL PROGRAM ARGUMENTS. CONTROL is a file of a struct control, shared with the test
 * (stopper.py), which fills it and reads it between two transfers.
 *
 * The program keeps its process id; the tracer is a process of its own, attaches before exec and ends with the last tracee.
 * Only calls of processes that have put themselves under a filter are counted. A filter of ours, which they all inherit,
 * makes the kernel stop at these calls and no others.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <linux/ptrace.h>
#include <unistd.h>

enum { OUTSIDE_MAX = 128, PAIRS_MAX = 4 };

/* Offsets are stopper.py's: 8-byte numbers, then texts. */
struct control {
	uint64_t first, stride;        /* exchange at call `first`, and then at every `stride`th (0: no other); first 0: never */
	uint64_t stay;                 /* each exchange lasts until the next; 0: for its call only */
	uint64_t weak;                 /* openat2 loses its resolve flags, openat O_NOFOLLOW: the test must notice */
	uint64_t pairs, noutside;
	uint64_t early;                /* what counts is a call before its process is confined that looks up what changes places */
	uint64_t held;                 /* what counts is a success through a descriptor of an outside directory */
	uint64_t seen, hits, flipped;  /* calls, exchanges, state of the paths */
	uint64_t allowed, refused;     /* calls after an exchange that succeeded and failed */
	uint64_t leaks;
	struct { uint64_t dev, ino; } outside[OUTSIDE_MAX];
	char leak[256];                /* the first */
	char trouble[256];             /* of the tracer itself */
	char path[PAIRS_MAX][2][1024];
};

/* Calls with paths: descriptor and path of the first and second place, and what the result tells. -1: none. */
enum tells { NOTHING, FD, STAT, STATX };
static const struct call { int nr, dir, path, dir2, path2; enum tells tells; int buf; const char *name; } calls[] = {
#define AT(n) { SYS_##n, 0, 1, -1, -1, NOTHING, 0, #n }
#define PATH(n) { SYS_##n, -1, 0, -1, -1, NOTHING, 0, #n }
	{ SYS_openat, 0, 1, -1, -1, FD, 0, "openat" }, { SYS_openat2, 0, 1, -1, -1, FD, 0, "openat2" },
	{ SYS_statx, 0, 1, -1, -1, STATX, 4, "statx" },
	AT(faccessat), AT(readlinkat), AT(mkdirat), AT(unlinkat), AT(mknodat), AT(fchmodat), AT(fchownat), AT(utimensat),
	AT(name_to_handle_at),
	{ SYS_renameat2, 0, 1, 2, 3, NOTHING, 0, "renameat2" }, { SYS_linkat, 0, 1, 2, 3, NOTHING, 0, "linkat" },
	{ SYS_symlinkat, 1, 2, -1, -1, NOTHING, 0, "symlinkat" },
	PATH(truncate), PATH(chdir), PATH(getxattr), PATH(lgetxattr), PATH(setxattr), PATH(lsetxattr), PATH(listxattr), PATH(llistxattr),
	PATH(removexattr), PATH(lremovexattr),
	{ 439, 0, 1, -1, -1, NOTHING, 0, "faccessat2" }, { 452, 0, 1, -1, -1, NOTHING, 0, "fchmodat2" },
	{ 463, 0, 1, -1, -1, NOTHING, 0, "setxattrat" }, { 464, 0, 1, -1, -1, NOTHING, 0, "getxattrat" },
	{ 465, 0, 1, -1, -1, NOTHING, 0, "listxattrat" }, { 466, 0, 1, -1, -1, NOTHING, 0, "removexattrat" },
#ifdef SYS_newfstatat
	{ SYS_newfstatat, 0, 1, -1, -1, STAT, 2, "newfstatat" },
#endif
#ifdef SYS_renameat
	{ SYS_renameat, 0, 1, 2, 3, NOTHING, 0, "renameat" },
#endif
#ifdef SYS_open
	{ SYS_open, -1, 0, -1, -1, FD, 0, "open" }, { SYS_stat, -1, 0, -1, -1, STAT, 1, "stat" }, { SYS_lstat, -1, 0, -1, -1, STAT, 1, "lstat" },
	PATH(access), PATH(readlink), PATH(mkdir), PATH(rmdir), PATH(unlink), PATH(rename), PATH(link), PATH(symlink), PATH(mknod),
	PATH(chmod), PATH(chown), PATH(lchown),
#endif
};
enum { NCALLS = sizeof calls / sizeof *calls };

static struct control *c;
static bool known[1 << 22];            /* by thread id: confined */

static void trouble(const char *what)
{
	if (!c->trouble[0])
		snprintf(c->trouble, sizeof c->trouble, "%s: %s", what, strerror(errno));
}

/* ---- in the program, before exec ---- */

static int load_filter(void)
{
	struct sock_filter f[NCALLS + 4];
	struct sock_fprog prog = { .filter = f };
	unsigned n = 0, all = NCALLS + 1;

	f[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
	for (int i = 0; i < NCALLS; i++, n++)
		f[n] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)calls[i].nr, (uint8_t)(all - n + 1), 0);
	f[n] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_prctl, (uint8_t)(all - n + 1), 0);
	n++;
	f[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	f[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE);
	prog.len = (unsigned short)n;
	if (geteuid() && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -1;
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog);
}

/* ---- the exchanges ---- */

static void exchange(void)
{
	c->flipped = !c->flipped;
	for (uint64_t i = 0; i < c->pairs; i++) {
		/* One may be in the other: the inner goes first and comes back last. */
		uint64_t k = c->flipped ? c->pairs - 1 - i : i;
		const char *a = c->path[k][0], *b = c->path[k][1];

		/* One of them may have gone by what the call did. */
		if (renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE) < 0 && renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_NOREPLACE) < 0)
			renameat2(AT_FDCWD, b, AT_FDCWD, a, RENAME_NOREPLACE);
	}
}

/* ---- what a call reached ---- */

static int is_outside(uint64_t dev, uint64_t ino)
{
	for (uint64_t i = 0; i < c->noutside; i++)
		if (c->outside[i].dev == dev && c->outside[i].ino == ino)
			return 1;
	return 0;
}

static int fd_outside(pid_t tid, int64_t fd)
{
	char path[64];
	struct stat st;

	snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)tid, (int)fd);
	return stat(path, &st) == 0 && is_outside(st.st_dev, st.st_ino);
}

static int peek(pid_t tid, uint64_t from, void *to, size_t len)
{
	struct iovec l = { to, len }, r = { (void *)(uintptr_t)from, len };

	return process_vm_readv(tid, &l, 1, &r, 1, 0) == (ssize_t)len;
}

/* As much of a text as is there. */
static void peek_text(pid_t tid, uint64_t from, char *to, size_t len)
{
	size_t here = 4096 - (size_t)(from & 4095);
	struct iovec l = { to, len - 1 }, r[2];
	ssize_t n;

	if (here > len - 1)
		here = len - 1;
	r[0] = (struct iovec){ (void *)(uintptr_t)from, here };
	r[1] = (struct iovec){ (void *)(uintptr_t)(from + here), len - 1 - here };
	n = process_vm_readv(tid, &l, 1, r, 2, 0);
	to[n < 0 ? 0 : n] = 0;
}

/* Landlock looks at what opens, makes and removes, and not at attributes. */
static int landlocked(pid_t tid, const struct call *k, const uint64_t *args)
{
	uint64_t flags = args[2];

	switch (k->nr) {
	case SYS_openat2:
		return peek(tid, args[2], &flags, sizeof flags) && !(flags & O_PATH);
	case SYS_openat:
		return !(flags & O_PATH);
	case SYS_mkdirat: case SYS_unlinkat: case SYS_mknodat: case SYS_symlinkat: case SYS_linkat: case SYS_renameat2:
		return 1;
	default:
		return 0;
	}
}

static int reaches_out(pid_t tid, const struct call *k, const uint64_t *args, int64_t result)
{
	struct statx stx;
	struct stat st;

	if (c->held)
		return landlocked(tid, k, args) && ((k->dir >= 0 && fd_outside(tid, (int)args[k->dir])) ||
						    (k->dir2 >= 0 && fd_outside(tid, (int)args[k->dir2])));
	switch (k->tells) {
	case FD:
		return fd_outside(tid, result);
	case STAT:
		return peek(tid, args[k->buf], &st, sizeof st) && is_outside(st.st_dev, st.st_ino);
	case STATX:
		return peek(tid, args[k->buf], &stx, sizeof stx) && is_outside(makedev(stx.stx_dev_major, stx.stx_dev_minor), stx.stx_ino);
	default:
		return 0;
	}
}

/* ---- calls ---- */

static const struct call *find_call(uint64_t nr)
{
	for (int i = 0; i < NCALLS; i++)
		if ((uint64_t)calls[i].nr == nr)
			return &calls[i];
	return NULL;
}

/* Under a filter besides ours. */
static int confined(pid_t tid)
{
	char path[64], line[256];
	int n = 0;
	FILE *f;

	if ((size_t)tid < sizeof known && known[tid])
		return 1;
	snprintf(path, sizeof path, "/proc/%d/status", (int)tid);
	f = fopen(path, "re");
	if (!f)
		return 0;
	while (n == 0 && fgets(line, sizeof line, f))
		sscanf(line, "Seccomp_filters: %d", &n);
	fclose(f);
	if (n > 1 && (size_t)tid < sizeof known)
		known[tid] = true;
	return n > 1;
}

/* Whether one of the components is the name of something that changes places. */
static int looks_up(const char *path)
{
	for (uint64_t i = 0; i < c->pairs; i++) {
		const char *name = strrchr(c->path[i][0], '/') + 1;
		size_t len = strlen(name);

		for (const char *s = path; (s = strstr(s, name)); s += len)
			if ((s == path || s[-1] == '/') && (!s[len] || s[len] == '/'))
				return 1;
	}
	return 0;
}

static int counts(pid_t tid, const char *path)
{
	return c->early ? looks_up(path) && !confined(tid) : confined(tid);
}

/* Argument 1 or 2 of the call. */
static void set_argument(pid_t tid, int n, uint64_t value)
{
	struct user_regs_struct regs;
	struct iovec v = { &regs, sizeof regs };

	if (ptrace(PTRACE_GETREGSET, tid, 1 /* NT_PRSTATUS */, &v) < 0)
		return;
#if defined __x86_64__
	*(n == 1 ? &regs.rsi : &regs.rdx) = value;
#elif defined __aarch64__
	regs.regs[n] = value;
#endif
	if (ptrace(PTRACE_SETREGSET, tid, 1, &v) < 0)
		trouble("PTRACE_SETREGSET");
}

/* A process that cannot be dumped shows its descriptors and its memory to root only. */
static void stay_readable(pid_t tid, const struct __ptrace_syscall_info *info)
{
	if (geteuid() && info->seccomp.args[0] == PR_SET_DUMPABLE)
		set_argument(tid, 1, 1);
}

static void weaken(pid_t tid, int nr, const uint64_t *args)
{
	uint64_t none = 0;
	struct iovec l = { &none, sizeof none }, r = { (void *)(uintptr_t)(args[2] + offsetof(struct open_how, resolve)), sizeof none };

	if (nr == SYS_openat)
		set_argument(tid, 2, args[2] & ~(uint64_t)O_NOFOLLOW);
	else if (nr == SYS_openat2 && process_vm_writev(tid, &l, 1, &r, 1, 0) != (ssize_t)sizeof none)
		trouble("process_vm_writev");
}

/* Lets the call run to its end. 0: the process ended. */
static int finish(pid_t tid, int64_t *result)
{
	struct __ptrace_syscall_info info;
	int st;

	*result = -EINTR;
	if (ptrace(PTRACE_SYSCALL, tid, 0, 0) < 0 || waitpid(tid, &st, __WALL) != tid || !WIFSTOPPED(st))
		return 0;
	if (WSTOPSIG(st) != (SIGTRAP | 0x80))
		return ptrace(PTRACE_CONT, tid, 0, st >> 16 ? 0 : WSTOPSIG(st)), 0;
	if (ptrace(PTRACE_GET_SYSCALL_INFO, tid, sizeof info, &info) > 0 && info.op == PTRACE_SYSCALL_INFO_EXIT)
		*result = info.exit.rval;
	return 1;
}

/* Returns 0 if the tracee runs already, or is gone. */
static int at_call(pid_t tid)
{
	struct __ptrace_syscall_info info;
	const struct call *k;
	const uint64_t *args = info.seccomp.args;
	int64_t result;
	char path[sizeof c->path[0][0]];
	int hit, alive;

	if (ptrace(PTRACE_GET_SYSCALL_INFO, tid, sizeof info, &info) <= 0 || info.op != PTRACE_SYSCALL_INFO_SECCOMP)
		return 1;
	if (info.seccomp.nr == SYS_prctl) {
		stay_readable(tid, &info);
		return 1;
	}
	k = find_call(info.seccomp.nr);
	/* By descriptor alone: nothing is looked up. */
	if (!k || !c->first)
		return 1;
	peek_text(tid, args[k->path], path, sizeof path);
	if (!*path || !counts(tid, path))
		return 1;
	if (c->weak)
		weaken(tid, k->nr, args);
	c->seen++;
	hit = c->seen == c->first || (c->stride && c->seen > c->first && (c->seen - c->first) % c->stride == 0);
	if (!hit && !c->flipped)
		return 1;
	if (hit) {
		c->hits++;
		exchange();
	}
	alive = finish(tid, &result);
	if (result < 0)
		c->refused++;
	else
		c->allowed++;
	if (alive && result >= 0 && c->flipped && reaches_out(tid, k, args, result) && !c->leaks++)
		snprintf(c->leak, sizeof c->leak, "call %lu, %s", (unsigned long)c->seen, k->name);
	if (hit && !c->stay)
		exchange();
	return alive;
}

/* ---- the tracer ---- */

static void trace(void)
{
	int st;
	pid_t tid;

	while ((tid = waitpid(-1, &st, __WALL)) > 0 || errno == EINTR) {
		int event = st >> 16, sig = WSTOPSIG(st);

		if (tid < 0)
			continue;
		if (!WIFSTOPPED(st)) {
			if ((size_t)tid < sizeof known)
				known[tid] = false;
			continue;
		}
		if (event == PTRACE_EVENT_SECCOMP) {
			if (at_call(tid))
				ptrace(PTRACE_CONT, tid, 0, 0);
		} else if (event == PTRACE_EVENT_STOP && (sig == SIGSTOP || sig == SIGTSTP || sig == SIGTTIN || sig == SIGTTOU)) {
			ptrace(PTRACE_LISTEN, tid, 0, 0);
		} else {
			ptrace(PTRACE_CONT, tid, 0, event || sig == (SIGTRAP | 0x80) ? 0 : sig);
		}
	}
}

int main(int argc, char **argv)
{
	const long options = PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC | PTRACE_O_TRACESECCOMP |
			     PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL;
	int fd = argc > 2 ? open(argv[1], O_RDWR | O_CLOEXEC) : -1, ready[2];
	pid_t me = getpid(), pid;
	char ok;

	c = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof *c, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (c == MAP_FAILED || pipe2(ready, O_CLOEXEC) < 0)
		return 125;
	prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);    /* Yama, where it is */
	pid = fork();
	if (pid == 0) {
		if (fork())
			_exit(0);
		setsid();
		if (ptrace(PTRACE_SEIZE, me, 0, options) < 0) {
			trouble("PTRACE_SEIZE");
			_exit(125);
		}
		if (write(ready[1], "", 1) != 1)
			_exit(125);
		for (int i = 0; i < 1024; i++)
			if (i != fd)
				close(i);
		trace();
		_exit(0);
	}
	close(ready[1]);
	waitpid(pid, NULL, 0);
	if (read(ready[0], &ok, 1) != 1 || load_filter() < 0) {
		trouble("starting");
		return 125;
	}
	execv(argv[2], argv + 2);
	trouble(argv[2]);
	return 125;
}
