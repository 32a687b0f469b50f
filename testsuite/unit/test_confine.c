/*
 * test_confine.c - each role, confined for real in a child, tries what it must not be able to do.
 *
 * The acts run as root where the test does; each names the call and the exit tells what happened:
 * killed by the filter, refused with an errno, or done.
 */
#include "config.h"
#include "testsuite/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/securebits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>

#include "sandbox/caps.h"
#include "sandbox/confine.h"
#include "sandbox/seccomp.h"
#include "sandbox/spawn.h"

#define DONE 100       /* exit: the act succeeded */
#define BROKEN 101     /* exit: could not be confined */

static char top[64];   /* scratch: top/mod is the module, top/secret lies outside */
static int modfd = -1, outfd = -1, rc;
static pid_t bystander;

static int try(long r)
{
	return r < 0 ? errno : DONE;
}

/* ---- acts that must fail; each returns DONE or an errno ---- */

static int a_absolute(void) { return try(open("/etc/shadow", O_RDONLY)); }
static int a_openat_abs(void) { return try(openat(modfd, "/etc/shadow", O_RDONLY)); }
static int a_dotdot(void) { return try(openat(modfd, "../secret", O_RDONLY)); }
static int a_heldfd(void) { return try(openat(outfd, "secret", O_RDONLY)); }
static int a_heldfd_create(void) { return try(openat(outfd, "made", O_WRONLY | O_CREAT, 0600)); }
static int a_heldfd_mkdir(void) { return try(mkdirat(outfd, "madedir", 0700)); }
static int a_heldfd_unlink(void) { return try(unlinkat(outfd, "secret", 0)); }
static int a_chmod_abs(void) { return try(fchmodat(AT_FDCWD, top, 0755, 0)); }
static int a_chmod_legacy(void) { return try(syscall(SYS_chmod, "file", 0644)); }
static int a_char(void) { return try(mknodat(modfd, "null", S_IFCHR | 0600, makedev(1, 3))); }
static int a_char_masked(void) { return try(mknodat(modfd, "null2", 0x10000 | S_IFCHR, makedev(1, 3))); }
static int a_block(void) { return try(mknodat(modfd, "blk", S_IFBLK | 0600, makedev(7, 0))); }
static int a_whiteout_node(void) { return try(mknodat(modfd, "wh", S_IFCHR, 0)); }
static int a_whiteout(void) { return try(syscall(SYS_renameat2, modfd, "file", modfd, "file2", RENAME_WHITEOUT)); }
static int a_mknod_legacy(void) { return try(syscall(SYS_mknod, "null3", S_IFCHR | 0600, makedev(1, 3))); }
static int a_exec(void) { char *av[] = { NULL }; return try(execve("/bin/true", av, av)); }
static int a_execveat(void) { char *av[] = { NULL }; return try(syscall(SYS_execveat, modfd, "file", av, av, 0)); }
static int a_fork(void) { pid_t p = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0); if (!p) _exit(0); return try(p); }
static int a_vfork(void) { return try(syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0)); }
static int a_socket(void) { return try(socket(AF_INET, SOCK_STREAM, 0)); }
static int a_unix(void) { return try(socket(AF_UNIX, SOCK_DGRAM, 0)); }
static int a_kill(void) { return try(kill(bystander, SIGUSR1)); }
static int a_tgkill(void) { return try(syscall(SYS_tgkill, bystander, bystander, SIGUSR1)); }
static int a_ptrace(void) { return try(ptrace(PTRACE_ATTACH, bystander, 0, 0)); }
static int a_vm_readv(void) { return try(syscall(SYS_process_vm_readv, bystander, 0, 0, 0, 0, 0)); }
static int a_pidfd(void) { return try(syscall(434, bystander, 0)); }
static int a_setuid(void) { return try(setuid(0)); }
static int a_setgid(void) { return try(setgid(0)); }
static int a_capset(void) { return caps_set(CAP_BIT(CAP_SYS_ADMIN)) ? EPERM : DONE; }
static int a_mount(void) { return try(mount("none", "/", "tmpfs", 0, NULL)); }
static int a_umount(void) { return try(umount2("/proc", MNT_DETACH)); }
static int a_fsopen(void) { return try(syscall(430, "tmpfs", 0)); }
static int a_unshare(void) { return try(unshare(CLONE_NEWUSER)); }
static int a_setns(void) { return try(syscall(SYS_setns, 0, 0)); }
static int a_chroot(void) { return try(chroot(".")); }
static int a_pivot(void) { return try(syscall(SYS_pivot_root, ".", ".")); }
static int a_uring(void) { char params[256] = { 0 }; return try(syscall(425, 4, params)); }
static int a_bpf(void) { return try(syscall(SYS_bpf, 0, NULL, 0)); }
static int a_perf(void) { return try(syscall(SYS_perf_event_open, NULL, 0, 0, 0, 0)); }
static int a_keyctl(void) { return try(syscall(SYS_keyctl, 0, -3, 1)); }
static int a_userfault(void) { return try(syscall(SYS_userfaultfd, 1)); }
static int a_personality(void) { return try(syscall(SYS_personality, 0)); }
static int a_memfd(void) { return try(memfd_create("x", 0)); }
static int a_mmap_exec(void) { void *p = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); return try(p == MAP_FAILED ? -1 : 0); }
static int a_mprotect_exec(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? errno : try(mprotect(p, 4096, PROT_READ | PROT_EXEC));
}
static int a_prctl(void) { return try(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)); }
static int a_ioctl(void) { return try(ioctl(modfd, FS_IOC_GETFLAGS, &(int){ 0 })); }
static int a_sockopt(void) { return try(setsockopt(0, SOL_SOCKET, SO_ATTACH_FILTER, NULL, 0)); }
static int a_setrlimit(void) { return try(syscall(SYS_prlimit64, 0, 7, &(uint64_t[2]){ 100, 100 }, NULL)); }
static int a_handle(void)
{
	struct { struct file_handle h; char space[128]; } fh = { .h.handle_bytes = 128 };
	int mount_id;

	if (name_to_handle_at(modfd, "file", &fh.h, &mount_id, 0) < 0)
		return errno;
	return try(open_by_handle_at(modfd, &fh.h, O_RDONLY));
}
static int a_open_handle(void)
{
	struct { struct file_handle h; char space[128]; } fh = { .h.handle_bytes = 8, .h.handle_type = 1 };

	return try(open_by_handle_at(modfd, &fh.h, O_RDONLY));
}
#if defined(__x86_64__)
static int a_int80(void) /* 32-bit getpid: another architecture's entry */
{
	long r = 20;

	__asm__ volatile("int $0x80" : "+a"(r) : : "memory", "r8", "r9", "r10", "r11");
	return r > 0 ? DONE : ENOSYS;
}
static int a_x32(void) { return try(syscall(0x40000000 | SYS_getpid)); }
#endif
static int a_write_file(void) { int fd = openat(modfd, "file", O_WRONLY); return fd < 0 ? errno : try(write(fd, "x", 1)); }
static int a_create(void) { return try(openat(modfd, "new", O_WRONLY | O_CREAT, 0600)); }
static int a_unlink(void) { return try(unlinkat(modfd, "victim", 0)); }
static int a_fchmod(void) { return try(fchmodat(modfd, "file", 0640, 0)); }
static int a_read_in(void) { int fd = openat(modfd, "file", O_RDONLY); return try(fd); }
static int a_opendir(void) { return try(openat(modfd, ".", O_RDONLY | O_DIRECTORY)); }
static int a_fifo(void) { return try(mknodat(modfd, "fifo", S_IFIFO | 0600, 0)); }
static int a_broker_bits(void) { return try(mknodat(modfd, "bits", S_IFCHR | 0666, makedev(1, 3))); }
static int a_link_flags(void) { return try(linkat(modfd, "good", modfd, "better", AT_SYMLINK_FOLLOW)); }
static int a_rmdir(void) { return try(unlinkat(modfd, "empty", AT_REMOVEDIR)); }
static int a_broker_ok(void) { return try(mknodat(modfd, "good", S_IFCHR, makedev(1, 3))); }

struct act {
	const char *name;
	int (*act)(void);
};

#define A(n) { #n, a_##n }
/* What no role may do. */
static const struct act forbidden[] = {
	A(absolute), A(openat_abs), A(dotdot), A(heldfd), A(heldfd_create), A(heldfd_mkdir), A(heldfd_unlink), A(chmod_abs), A(chmod_legacy),
	A(char_masked), A(whiteout), A(mknod_legacy), A(exec), A(execveat), A(fork), A(vfork), A(socket), A(unix), A(kill), A(tgkill),
	A(ptrace), A(vm_readv), A(pidfd), A(setuid), A(setgid), A(capset), A(mount), A(umount), A(fsopen), A(unshare), A(setns), A(chroot),
	A(pivot), A(uring), A(bpf), A(perf), A(keyctl), A(userfault), A(personality), A(memfd), A(mmap_exec), A(mprotect_exec), A(prctl),
	A(ioctl), A(sockopt), A(setrlimit), A(handle), A(open_handle),
#if defined(__x86_64__)
	A(int80), A(x32),
#endif
};
static const struct act no_devices[] = { A(char), A(block), A(whiteout_node) };
static const struct act no_writing[] = { A(write_file), A(create), A(fchmod), A(fifo) };
static const struct act no_files[] = { A(read_in), A(opendir), A(write_file), A(create), A(fchmod), A(fifo), A(unlink) };

/* ---- running one ---- */

static const uid_t test_uid = 65534;

static int confined(enum confine_role role, bool root_module, enum confine_rights rights, int (*act)(void), struct err *e)
{
	struct confine_dir dirs[] = { { modfd, rights } };
	int keep[] = { modfd, outfd };
	gid_t group = test_uid;
	struct confine_params p = CONFINE_PARAMS_INIT;

	p.root_fd = role == CONFINE_GATE ? -1 : modfd;
	p.dirs = dirs;
	p.ndirs = role == CONFINE_GATE ? 0 : 1;
	p.keep_fds = keep;
	p.nkeep = 2;
	if (!root_module) {
		p.set_ids = true;
		p.uid = test_uid;
		p.gid = test_uid;
		p.groups = &group;
		p.ngroups = 1;
	}
	if (role == CONFINE_BROKER) { /* its descriptors are at fixed places */
		dup2(modfd, BROKER_FD_ROOT);
		modfd = dirs[0].fd = keep[0] = p.root_fd = BROKER_FD_ROOT;
	}
	return confine_apply(role, &p, NULL, e) < 0 ? BROKEN : act();
}

/* The wait status of a child that is confined and acts. */
static int status_of(enum confine_role role, bool root_module, enum confine_rights rights, int (*act)(void))
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		struct err e = { 0 };
		int r;

		/* A kernel without 32-bit entries answers with SIGSEGV: that is not for the test library to report. */
		signal(SIGSEGV, SIG_DFL);
		signal(SIGALRM, SIG_DFL);
		alarm(10);
		r = confined(role, root_module, rights, act, &e);
		if (r == BROKEN)
			dprintf(2, "%s\n", e.text);
		_exit(r);
	}
	assert_int_equal(proc_wait(pid, 20000, &status), 1);
	return status;
}

/* The kernel answers these without asking any layer, or the filter answers by errno on purpose. */
static const char *how(int status)
{
	static char text[64];

	if (WIFSIGNALED(status))
		snprintf(text, sizeof text, "killed by signal %d%s", WTERMSIG(status), WTERMSIG(status) == SIGSYS ? " (seccomp)" : "");
	else if (WEXITSTATUS(status) == DONE)
		return "DONE";
	else if (WEXITSTATUS(status) == BROKEN)
		return "not confined";
	else
		snprintf(text, sizeof text, "refused: %s", strerror(WEXITSTATUS(status)));
	return text;
}

static void expect_denied(enum confine_role role, bool root_module, enum confine_rights rights, const struct act *acts, size_t n)
{
	unsigned bad = 0;

	for (size_t i = 0; i < n; i++) {
		int status = status_of(role, root_module, rights, acts[i].act);
		/* SIGSEGV: a kernel without 32-bit entries. */
		bool denied = WIFSIGNALED(status) ?
			WTERMSIG(status) == SIGSYS || (WTERMSIG(status) == SIGSEGV && !strcmp(acts[i].name, "int80")) :
			WEXITSTATUS(status) < DONE && WEXITSTATUS(status) > 0;

		if (getenv("VERBOSE") || !denied)
			print_message("%s%s: %s: %s\n", confine_role_name(role), root_module ? " of root" : "", acts[i].name, how(status));
		bad += !denied;
	}
	assert_int_equal(bad, 0);
}

static void expect_done(enum confine_role role, bool root_module, enum confine_rights rights, const struct act *acts, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int status = status_of(role, root_module, rights, acts[i].act);

		if (!WIFEXITED(status) || WEXITSTATUS(status) != DONE) {
			print_message("%s: %s: %s\n", confine_role_name(role), acts[i].name, how(status));
			assert_true(false);
		}
	}
}

#define DENIED(role, root, rights, list) expect_denied(role, root, rights, list, ARRAY_SIZE(list))
#define ALLOWED(role, root, rights, ...) do { \
	const struct act list_[] = { __VA_ARGS__ }; \
	expect_done(role, root, rights, list_, ARRAY_SIZE(list_)); \
} while (0)

static void receiver(void **state)
{
	(void)state;
	DENIED(CONFINE_WORKER_RECV, false, CONFINE_WRITE, forbidden);
	DENIED(CONFINE_WORKER_RECV, false, CONFINE_WRITE, no_devices);
}

static void receiver_of_root(void **state)
{
	(void)state;
	DENIED(CONFINE_WORKER_RECV, true, CONFINE_WRITE, forbidden);
	DENIED(CONFINE_WORKER_RECV, true, CONFINE_WRITE, no_devices);
	ALLOWED(CONFINE_WORKER_RECV, true, CONFINE_WRITE, A(read_in), A(opendir), A(write_file), A(create), A(fchmod), A(fifo), A(unlink));
}

static void sender(void **state)
{
	(void)state;
	DENIED(CONFINE_WORKER_SEND, true, CONFINE_READ, forbidden);
	DENIED(CONFINE_WORKER_SEND, true, CONFINE_READ, no_devices);
	DENIED(CONFINE_WORKER_SEND, true, CONFINE_READ, no_writing);
	DENIED(CONFINE_WORKER_SEND, true, CONFINE_READ_REMOVE, no_writing);
	ALLOWED(CONFINE_WORKER_SEND, true, CONFINE_READ, A(read_in), A(opendir));
	close(openat(modfd, "victim", O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	ALLOWED(CONFINE_WORKER_SEND, true, CONFINE_READ_REMOVE, A(unlink));
}

static void gate(void **state)
{
	(void)state;
	DENIED(CONFINE_GATE, false, CONFINE_READ, forbidden);
	DENIED(CONFINE_GATE, false, CONFINE_READ, no_devices);
	DENIED(CONFINE_GATE, false, CONFINE_READ, no_files);
}

static void broker(void **state)
{
	(void)state;
	DENIED(CONFINE_BROKER, true, CONFINE_WRITE, forbidden);
	DENIED(CONFINE_BROKER, true, CONFINE_WRITE, no_files);
	DENIED(CONFINE_BROKER, true, CONFINE_WRITE, ((const struct act[]){ A(broker_bits) }));
	unlinkat(modfd, "good", 0);
	assert_int_equal(mkdirat(modfd, "empty", 0700), 0);
	ALLOWED(CONFINE_BROKER, true, CONFINE_WRITE, A(broker_ok));
	DENIED(CONFINE_BROKER, true, CONFINE_WRITE, ((const struct act[]){ A(link_flags), A(rmdir) }));
	DENIED(CONFINE_WORKER_SEND, true, CONFINE_READ_REMOVE, ((const struct act[]){ A(rmdir) }));
	assert_int_equal(unlinkat(modfd, "empty", AT_REMOVEDIR), 0);
	unlinkat(modfd, "good", 0);
}

/* ---- what a worker must still be able to do ---- */

static void *thread(void *arg)
{
	_cleanup_free_ char *p = malloc(100000);

	memset(p, 1, 100000);
	*(int *)arg = p[99999];
	return arg;
}

static int works(void)
{
	pthread_t t[4];
	int got[4] = { 0 }, fd, n = 0;
	struct tm tm;
	time_t now = time(NULL);
	struct stat st;
	char text[64];
	struct timespec ts[2] = { { .tv_nsec = UTIME_NOW }, { .tv_sec = 1 } };

	for (int i = 0; i < 4; i++)
		if (pthread_create(&t[i], NULL, thread, &got[i]))
			return 1;
	for (int i = 0; i < 4; i++) {
		pthread_join(t[i], NULL);
		n += got[i];
	}
	if (n != 4)
		return 2;
	localtime_r(&now, &tm);
	strftime(text, sizeof text, "%Y %H", &tm);
	fd = openat(modfd, "work", O_RDWR | O_CREAT | O_EXCL, 0600);
	if (fd < 0 || write(fd, text, 7) != 7 || fchmod(fd, 0644) < 0 || futimens(fd, ts) < 0 || fstat(fd, &st) < 0 || ftruncate(fd, 100) < 0)
		return 3;
	if (fchown(fd, geteuid() ? (uid_t)-1 : 1234, (gid_t)-1) < 0)
		return 4;
	if (renameat(modfd, "work", modfd, "worked") < 0 || fstatat(modfd, "worked", &st, AT_SYMLINK_NOFOLLOW) < 0 ||
	    mkdirat(modfd, "dir", 0700) < 0 || symlinkat("x", modfd, "link") < 0 || linkat(modfd, "worked", modfd, "linked", 0) < 0)
		return 5;
	if (syscall(SYS_renameat2, modfd, "worked", modfd, "dir/worked", RENAME_NOREPLACE) < 0)
		return 6;
	if (unlinkat(modfd, "dir/worked", 0) < 0 || unlinkat(modfd, "dir", AT_REMOVEDIR) < 0 || unlinkat(modfd, "linked", 0) < 0 || unlinkat(modfd, "link", 0) < 0)
		return 7;
	raise(SIGWINCH);
	return DONE;
}

static void a_worker_can_work(void **state)
{
	const struct act list[] = { A(read_in), { "work", works } };

	(void)state;
	expect_done(CONFINE_WORKER_RECV, true, CONFINE_WRITE, list, ARRAY_SIZE(list));
	assert_int_equal(chown(top, test_uid, test_uid) | fchown(modfd, test_uid, test_uid), 0);
	expect_done(CONFINE_WORKER_RECV, false, CONFINE_WRITE, &list[1], 1);
	assert_int_equal(chown(top, 0, 0) | fchown(modfd, 0, 0), 0);
}

static int shows_state(void)
{
	uint64_t permitted, effective;
	struct stat st;

	/* chroot holds: the root is the module; only the kept fds are there. */
	if (fstatat(AT_FDCWD, "/", &st, 0) < 0 || fstatat(AT_FDCWD, "/file", &st, 0) < 0)
		return 1;
	for (int fd = 3; fd < 300; fd++)
		if (fd != modfd && fd != outfd && fcntl(fd, F_GETFD) >= 0)
			return 2;
	if (caps_get(&permitted, &effective) < 0 || permitted != effective)
		return 3;
	if (permitted != (CAP_BIT(CAP_CHOWN) | CAP_BIT(CAP_DAC_OVERRIDE) | CAP_BIT(CAP_FOWNER) | CAP_BIT(CAP_FSETID)))
		return 4;
	if (caps_bounding() != permitted || prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1 || prctl(PR_GET_DUMPABLE, 0, 0, 0, 0))
		return 5;
	return DONE;
}

static void state_after(void **state)
{
	int extra = open("/etc/passwd", O_RDONLY | O_CLOEXEC);

	(void)state;
	ALLOWED(CONFINE_WORKER_RECV, true, CONFINE_WRITE, { "state", shows_state });
	close(extra);
}

/* Nothing that the process could do to its ids brings a capability back, and nobody can change that. */
static void securebits_are_locked(void **state)
{
	const int bits = SECBIT_NOROOT | SECBIT_NO_SETUID_FIXUP | SECBIT_NO_CAP_AMBIENT_RAISE;
	const int locked = (bits | SECBIT_KEEP_CAPS) << 1;
	pid_t pid = fork();
	int status;

	(void)state;
	if (pid == 0) {
		if (caps_lock(CAP_BIT(CAP_FOWNER) | CAP_BIT(CAP_SETPCAP)) < 0 || caps_set(CAP_BIT(CAP_FOWNER) | CAP_BIT(CAP_SETPCAP)) < 0)
			_exit(1);
		if (prctl(PR_GET_SECUREBITS, 0, 0, 0, 0) != (bits | locked))
			_exit(2);
		_exit(prctl(PR_SET_SECUREBITS, locked, 0, 0, 0) < 0 && prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0 ? DONE : 3);
	}
	assert_int_equal(proc_wait(pid, 20000, &status), 1);
	assert_int_equal(proc_exit_code(status), DONE);
}

static void trial_passes(void **state)
{
	struct confine_dir dir = { modfd, CONFINE_WRITE };
	struct confine_params p = CONFINE_PARAMS_INIT;
	struct err e = { 0 };

	(void)state;
	p.root_fd = modfd;
	p.dirs = &dir;
	p.ndirs = 1;
	rc = confine_self_test(CONFINE_WORKER_RECV, &p, &e);
	if (rc < 0)
		print_message("%s\n", e.text);
	assert_int_equal(rc, 0);
}

static void the_report_tells(void **state)
{
	struct confine_params p = CONFINE_PARAMS_INIT;
	struct confine_report r;
	struct buf b = BUF_INIT(NULL);

	(void)state;
	p.root_fd = modfd;
	confine_foresee(CONFINE_WORKER_SEND, &p, &r);
	confine_report_line(&r, &b);
	confine_report_table(&r, &b);
	assert_non_null(strstr(buf_str(&b), "sending worker: "));
	assert_non_null(strstr(buf_str(&b), "seccomp yes"));
	assert_int_equal(r.layer[CONFINE_L_SECCOMP].state, CONFINE_HELD);
	if (getenv("VERBOSE"))
		print_message("%s", buf_str(&b));
	buf_free(&b);
}

/* A plain user: no chroot, no setuid, and yet closed. */
static int as_user(int (*act)(void))
{
	struct confine_dir dir = { modfd, CONFINE_WRITE };
	int keep[] = { modfd, outfd };
	struct confine_params p = CONFINE_PARAMS_INIT;
	struct err e = { 0 };

	if (setresgid(test_uid, test_uid, test_uid) < 0 || setresuid(test_uid, test_uid, test_uid) < 0)
		return BROKEN;
	p.root_fd = modfd;
	p.dirs = &dir;
	p.ndirs = 1;
	p.keep_fds = keep;
	p.nkeep = 2;
	if (confine_apply(CONFINE_WORKER_RECV, &p, NULL, &e) < 0)
		dprintf(2, "%s\n", e.text);
	return confine_done() ? act() : BROKEN;
}

static void plain_user(void **state)
{
	static const struct act list[] = { A(absolute), A(openat_abs), A(dotdot), A(heldfd), A(heldfd_create), A(whiteout_node), A(whiteout),
		A(exec), A(socket), A(kill), A(unshare), A(char), A(heldfd_unlink) };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(list); i++) {
		pid_t pid = fork();
		int status;

		if (pid == 0)
			_exit(as_user(list[i].act));
		assert_int_equal(proc_wait(pid, 20000, &status), 1);
		if (WIFEXITED(status) && WEXITSTATUS(status) >= DONE)
			print_message("plain user: %s: %s\n", list[i].name, how(status));
		assert_false(WIFEXITED(status) && WEXITSTATUS(status) >= DONE);
	}
}

static int as_user_gate(void)
{
	struct confine_params p = CONFINE_PARAMS_INIT;
	struct confine_report r;
	struct err e = { 0 };

	if (setresgid(test_uid, test_uid, test_uid) < 0 || setresuid(test_uid, test_uid, test_uid) < 0)
		return BROKEN;
	if (confine_prepare(true, CONFINE_DEFAULT, &e) < 0 || confine_apply(CONFINE_GATE, &p, &r, &e) < 0)
		return BROKEN;
	return write(1, "", 0) == 0 ? r.layer[CONFINE_L_ROOT].state == CONFINE_HELD ? DONE : 2 : 1;
}

static void gate_of_a_plain_user_has_an_empty_root(void **state)
{
	pid_t pid = fork();
	int status;

	(void)state;
	if (pid == 0)
		_exit(as_user_gate());
	assert_int_equal(proc_wait(pid, 20000, &status), 1);
	print_message("gate of a plain user: %s\n", how(status));
	assert_true(WIFEXITED(status) && (WEXITSTATUS(status) == DONE || (WEXITSTATUS(status) == 2 && !confine_kernel()->userns)));
}

/* ---- layers switched off: what each of them, alone, was holding ---- */

static int status_without(const char *off, enum confine_role role, bool root_module, int (*act)(void))
{
	int status;

	setenv("KEDGE_DISABLE", off, 1);
	status = status_of(role, root_module, CONFINE_WRITE, act);
	unsetenv("KEDGE_DISABLE");
	return status;
}

#ifdef KEDGE_TEST_HOOKS
#define WITHOUT(off, root, wanted, ...) { off, root, wanted, __VA_ARGS__ }
static const struct without {
	const char *off;
	bool root_module;
	bool done;              /* the act then succeeds; else another layer still holds */
	struct act act;
} without[] = {
	/* Leaving the module takes the failure of root and Landlock both. */
	WITHOUT("seccomp", true, false, A(absolute)), WITHOUT("seccomp,landlock", true, false, A(absolute)),
	WITHOUT("seccomp,chroot", true, false, A(absolute)), WITHOUT("chroot", true, false, A(absolute)),
	WITHOUT("landlock", true, false, A(absolute)), WITHOUT("landlock", true, false, A(openat_abs)),
	WITHOUT("landlock,chroot", true, true, A(absolute)), WITHOUT("landlock,chroot", false, false, A(absolute)), /* the uid */
	WITHOUT("landlock,chroot,uid,caps", false, true, A(absolute)),
	WITHOUT("chroot", true, false, A(dotdot)), WITHOUT("landlock,chroot", true, true, A(dotdot)), WITHOUT("landlock", true, false, A(dotdot)),
	WITHOUT("chroot", true, false, A(heldfd)), WITHOUT("seccomp,chroot", true, false, A(heldfd)), WITHOUT("landlock", true, true, A(heldfd)),
	/* Device nodes: filter, Landlock and capabilities. */
	WITHOUT("seccomp", true, false, A(char)), WITHOUT("landlock", true, false, A(char)), WITHOUT("caps", true, false, A(char)),
	WITHOUT("seccomp,caps", true, false, A(char)), WITHOUT("seccomp,landlock", true, false, A(char)),
	WITHOUT("landlock,caps", true, false, A(char)), WITHOUT("landlock,caps", true, false, A(block)),
	WITHOUT("seccomp,landlock,caps", true, true, A(char)), WITHOUT("seccomp,landlock,caps", true, true, A(block)),
	/* 0:0 needs no capability; a whiteout is not seen by Landlock: the filter is its only layer. */
	WITHOUT("seccomp", true, false, A(whiteout_node)), WITHOUT("landlock", true, false, A(whiteout_node)),
	WITHOUT("seccomp,landlock", true, true, A(whiteout_node)), WITHOUT("seccomp", true, true, A(whiteout)),
	/* Processes. */
	WITHOUT("seccomp", false, false, A(kill)), WITHOUT("landlock", false, false, A(kill)), WITHOUT("seccomp,landlock", false, true, A(kill)),
	WITHOUT("seccomp", true, true, A(socket)), WITHOUT("seccomp", true, true, A(fork)), WITHOUT("seccomp", true, false, A(exec)),
	WITHOUT("seccomp,landlock,chroot", true, true, A(exec)),
	/* Privileges. */
	WITHOUT("seccomp", false, false, A(setuid)), WITHOUT("seccomp,uid", false, true, A(setuid)), WITHOUT("seccomp", true, false, A(chroot)),
	WITHOUT("seccomp,caps", true, true, A(chroot)), WITHOUT("seccomp", true, false, A(mount)), WITHOUT("seccomp", true, false, A(capset)),
	WITHOUT("seccomp,caps", true, true, A(capset)), WITHOUT("seccomp", true, false, A(open_handle)), WITHOUT("seccomp", true, false, A(handle)),
};

static void layers_one_by_one(void **state)
{
	unsigned bad = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(without); i++) {
		const struct without *w = &without[i];
		int status = status_without(w->off, CONFINE_WORKER_RECV, w->root_module, w->act.act);
		bool done = WIFEXITED(status) && (WEXITSTATUS(status) == DONE || WEXITSTATUS(status) == 0);

		close(openat(modfd, "file", O_CREAT | O_WRONLY | O_CLOEXEC, 0666));
		for (const char *const *n = (const char *const[]){ "null", "blk", "wh", "file2", NULL }; *n; n++)
			unlinkat(modfd, *n, 0);
		if (getenv("VERBOSE") || done != w->done)
			print_message("without %s, %s: %s: %s\n", w->off, w->root_module ? "root" : "nobody", w->act.name, how(status));
		bad += done != w->done;
	}
	assert_int_equal(bad, 0);
}
#else
/* In a real build the variable means nothing. */
static void layers_one_by_one(void **state)
{
	static const struct act list[] = { A(absolute), A(heldfd), A(char), A(whiteout), A(socket), A(setuid) };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(list); i++) {
		int status = status_without("landlock,seccomp,chroot,caps,nnp,uid,fds,limits", CONFINE_WORKER_RECV, false, list[i].act);

		assert_true(WIFSIGNALED(status) || (WEXITSTATUS(status) && WEXITSTATUS(status) < DONE));
	}
}
#endif

static int cleanup(void)
{
	char cmd[128];

	snprintf(cmd, sizeof cmd, "rm -rf %s", top);
	return system(cmd);
}

static int prepare(void **state)
{
	struct err e = { 0 };
	char path[96];
	int fd;

	(void)state;
	if (geteuid()) {
		print_message("needs root: skipped\n");
		exit(77);
	}
	snprintf(top, sizeof top, "/tmp/kedge-confine-XXXXXX");
	if (!mkdtemp(top))
		return -1;
	chmod(top, 0755);
	snprintf(path, sizeof path, "%s/mod", top);
	mkdir(path, 0777);
	modfd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	outfd = open(top, O_PATH | O_DIRECTORY | O_CLOEXEC);
	fd = openat(outfd, "secret", O_CREAT | O_WRONLY | O_CLOEXEC, 0666);
	close(fd);
	for (const char *const *n = (const char *const[]){ "file", "victim", NULL }; *n; n++)
		close(openat(modfd, *n, O_CREAT | O_WRONLY | O_CLOEXEC, 0666));
	/* High numbers, so that a broker's fixed ones do not fall on them. */
	fd = fcntl(modfd, F_DUPFD_CLOEXEC, 100);
	close(modfd);
	modfd = fd;
	fd = fcntl(outfd, F_DUPFD_CLOEXEC, 100);
	close(outfd);
	outfd = fd;
	bystander = fork();
	if (bystander == 0) {
		if (setresuid(test_uid, test_uid, test_uid) < 0)
			_exit(1);
		for (;;)
			pause();
	}
	if (confine_prepare(true, CONFINE_DEFAULT, &e) < 0) {
		print_message("%s\n", e.text);
		return -1;
	}
	return 0;
}

static int finish(void **state)
{
	(void)state;
	proc_kill_wait(bystander, SIGKILL);
	return cleanup();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_worker_can_work),
		cmocka_unit_test(receiver),
		cmocka_unit_test(receiver_of_root),
		cmocka_unit_test(sender),
		cmocka_unit_test(gate),
		cmocka_unit_test(broker),
		cmocka_unit_test(state_after),
		cmocka_unit_test(securebits_are_locked),
		cmocka_unit_test(trial_passes),
		cmocka_unit_test(the_report_tells),
		cmocka_unit_test(plain_user),
		cmocka_unit_test(layers_one_by_one),
		cmocka_unit_test(gate_of_a_plain_user_has_an_empty_root),
	};

	return cmocka_run_group_tests_name("confine", tests, prepare, finish);
}
