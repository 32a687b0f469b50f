/*
 * spawn.c - forking roles, waiting, process set-up; see spawn.h.
 */
#include "config.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "sandbox/spawn.h"
#include "sandbox/spawn_priv.h"

#define NR_PIDFD_OPEN 434
#define NR_CLOSE_RANGE 436

/* The memory of argv, where ps(1) looks. */
static char *title;
static size_t title_size;

void proc_title_init(int argc, char **argv)
{
	char *end;

	if (argc < 1 || !argv[0])
		return;
	end = argv[0] + strlen(argv[0]) + 1;
	for (int i = 1; i < argc && argv[i] == end; i++)
		end = argv[i] + strlen(argv[i]) + 1;
	title = argv[0];
	title_size = (size_t)(end - title);
}

static void set_title(const char *text)
{
	if (title_size < 2)
		return;
	memset(title, 0, title_size);
	memcpy(title, text, MIN(strlen(text), title_size - 1));
}

void proc_ignore_signals(void)
{
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
}

void spawn_reset_signals(void)
{
	sigset_t none;

	for (int s = 1; s < NSIG; s++) {
		struct sigaction sa;

		/* Keep what nobody set; a sanitizer's own handlers are for faults. */
		if (s == SIGKILL || s == SIGSTOP || s == SIGSEGV || s == SIGBUS || s == SIGFPE || s == SIGILL || s == SIGABRT)
			continue;
		if (sigaction(s, NULL, &sa) == 0 && sa.sa_handler != SIG_DFL)
			signal(s, SIG_DFL);
	}
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static bool signals_clean;
static sigset_t no_signals;

void proc_clean_signals(void)
{
	if (signals_clean) {
		sigprocmask(SIG_SETMASK, &no_signals, NULL);
		return;
	}
	sigemptyset(&no_signals);
	spawn_reset_signals();
	proc_ignore_signals();
	signals_clean = true;
}

pid_t proc_fork_role(const char *name)
{
	char comm[16] = "kedge-", text[32] = "kedge: ";
	pid_t pid = fork();

	if (pid < 0)
		return -errno;
	if (pid > 0)
		return pid;
	proc_clean_signals();
	for (size_t i = 0; name[i] && i < sizeof comm - 7; i++)
		comm[i + 6] = text[i + 7] = name[i];
	prctl(PR_SET_NAME, comm, 0, 0, 0);
	set_title(text);
	return 0;
}

static int reap(pid_t pid, int flags, int *status)
{
	pid_t r;

	do {
		r = waitpid(pid, status, flags);
	} while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : r == pid;
}

int proc_wait(pid_t pid, int timeout_ms, int *status)
{
	_cleanup_close_ int fd = -1;
	int64_t end = clock_ms() + timeout_ms;
	int r;

	if (timeout_ms < 0)
		return reap(pid, 0, status);
	fd = (int)syscall(NR_PIDFD_OPEN, pid, 0u);
	while ((r = reap(pid, WNOHANG, status)) == 0) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		int64_t left = end - clock_ms();

		if (left <= 0)
			return 0;
		/* Without pidfds, look again every 20 ms. */
		poll(&p, fd >= 0 ? 1 : 0, (int)(fd >= 0 ? left : MIN(left, 20)));
	}
	return r;
}

static volatile sig_atomic_t forward_to;

static void forward(int sig)
{
	int en = errno;

	(void)sig;
	if (forward_to > 0)
		kill((pid_t)forward_to, SIGTERM);
	errno = en;
}

void proc_forward_signals(pid_t pid)
{
	struct sigaction sa = { .sa_handler = pid > 0 ? forward : SIG_DFL, .sa_flags = SA_RESTART };

	forward_to = (sig_atomic_t)pid;
	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGHUP, &sa, NULL);
}

void proc_kill_wait(pid_t pid, int sig)
{
	int status;

	if (pid <= 0)
		return;
	kill(pid, sig);
	reap(pid, 0, &status);
}

int proc_exit_code(int status)
{
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* ---- process set-up ---- */

static int held_null = -1;

/* In a chroot without devices something else that gives nothing and takes nothing. */
static int open_null(void)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	return fd >= 0 || errno != ENOENT ? fd : eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
}

int proc_hold_null(void)
{
	_cleanup_close_ int fd = held_null < 0 ? open_null() : -1;

	/* Above what a broker puts in fixed places. */
	if (fd >= 0)
		held_null = fcntl(fd, F_DUPFD_CLOEXEC, 16);
	return held_null < 0 ? -errno : 0;
}

int proc_null_stdio(bool only_missing)
{
	int null = held_null >= 0 ? dup(held_null) : open_null();
	int r = 0;

	if (null < 0)
		return -errno;
	for (int fd = 0; fd <= 2 && !r; fd++) {
		if (fd == null) /* it took a missing one's place: let it pass on exec like any standard fd */
			r = fcntl(fd, F_SETFD, 0) < 0 ? -errno : 0;
		else if (!only_missing || fcntl(fd, F_GETFD) < 0)
			r = dup2(null, fd) < 0 ? -errno : 0;
	}
	if (null > 2)
		close(null);
	return r;
}

int proc_detach(struct err *e)
{
	pid_t pid = fork();
	int r;

	if (pid < 0)
		return fail_errno(e, RX_IPC, errno, "fork failed");
	if (pid > 0)
		_exit(0);
	if (setsid() < 0)
		return fail_errno(e, RX_IPC, errno, "setsid failed");
	r = proc_null_stdio(false);
	return r < 0 ? fail_errno(e, RX_FILEIO, -r, "failed to open /dev/null") : 0;
}

static void close_slowly(unsigned from, unsigned to)
{
	struct rlimit lim;

	if (getrlimit(RLIMIT_NOFILE, &lim) == 0 && lim.rlim_max < to)
		to = lim.rlim_max > 65536 ? 65536 : (unsigned)lim.rlim_max;
	for (unsigned fd = from; fd <= to; fd++)
		close((int)fd);
}

static int close_span(unsigned from, unsigned to)
{
	if (from > to || syscall(NR_CLOSE_RANGE, from, to, 0u) == 0)
		return 0;
	if (errno != ENOSYS && errno != EPERM)
		return -errno;
	close_slowly(from, to);
	return 0;
}

int proc_close_others(const int *keep, size_t n)
{
	unsigned from = 3, next;

	for (;; from = next + 1) {
		int r;

		/* The next one that is kept. They are few: no copy is sorted. */
		next = ~0u;
		for (size_t i = 0; i < n; i++)
			if (keep[i] >= 0 && (unsigned)keep[i] >= from)
				next = MIN(next, (unsigned)keep[i]);
		if (next == ~0u)
			return close_span(from, ~0u);
		r = next > from ? close_span(from, next - 1) : 0;
		if (r < 0)
			return r;
	}
}

unsigned proc_raise_nofile(unsigned want)
{
	struct rlimit lim;

	if (getrlimit(RLIMIT_NOFILE, &lim) < 0)
		return 0;
	if (lim.rlim_cur < want) {
		rlim_t old = lim.rlim_cur;

		lim.rlim_cur = MIN((rlim_t)want, lim.rlim_max);
		if (setrlimit(RLIMIT_NOFILE, &lim) < 0)
			lim.rlim_cur = old;
	}
	return lim.rlim_cur > UINT_MAX ? UINT_MAX : (unsigned)lim.rlim_cur;
}

int proc_daemon_chroot(const char *dir, struct err *e)
{
	if (chroot(dir) < 0)
		return fail_errno(e, RX_FILEIO, errno, "daemon chroot(\"%s\") failed", dir);
	if (chdir("/") < 0)
		return fail_errno(e, RX_FILEIO, errno, "daemon chdir(\"/\") failed");
	return 0;
}

int proc_daemon_ids(const gid_t *gid, const uid_t *uid, struct err *e)
{
	if (gid && (setgroups(1, gid) < 0 || setresgid(*gid, *gid, *gid) < 0))
		return fail_errno(e, RX_UNSUPPORTED, errno, "Unable to set group to daemon gid %u", (unsigned)*gid);
	if (uid && setresuid(*uid, *uid, *uid) < 0)
		return fail_errno(e, RX_UNSUPPORTED, errno, "Unable to set user to daemon uid %u", (unsigned)*uid);
	return 0;
}

/* Digits only, and neither too large nor the id that means "none". */
static bool parse_id(const char *s, uint32_t *id)
{
	uint64_t v = 0;

	if (!*s)
		return false;
	for (; *s; s++) {
		if (*s < '0' || *s > '9' || (v = v * 10 + (uint64_t)(*s - '0')) >= UINT32_MAX)
			return false;
	}
	*id = (uint32_t)v;
	return true;
}

int proc_copy_as(const char *spec, struct err *e)
{
	size_t n = strcspn(spec, ":");
	_cleanup_free_ char *user = strndup(spec, n);
	const char *group = spec[n] ? spec + n + 1 : NULL;
	const struct passwd *pw;
	const struct group *gr;
	uint32_t uid, gid;

	if (!user)
		return fail(e, RX_MALLOC, "out of memory for --copy-as");
	pw = parse_id(user, &uid) ? getpwuid(uid) : getpwnam(user);
	if (pw)
		uid = pw->pw_uid;
	else if (!parse_id(user, &uid))
		return fail(e, RX_USAGE, "Invalid copy-as user: %s", user);
	if (!pw && !group)
		return fail_errno(e, RX_USAGE, ENOENT, "getpwuid failed");
	gid = pw ? pw->pw_gid : 0;
	if (group && !parse_id(group, &gid)) {
		gr = getgrnam(group);
		if (!gr)
			return fail(e, RX_USAGE, "Invalid copy-as group: %s", group);
		gid = gr->gr_gid;
	}
	if (setresgid(gid, gid, gid) < 0)
		return fail_errno(e, RX_USAGE, errno, "setgid failed");
	if (group ? setgroups(1, &gid) < 0 : initgroups(pw->pw_name, gid) < 0)
		return fail_errno(e, RX_USAGE, errno, "setgroups failed");
	if (setresuid(uid, uid, uid) < 0)
		return fail_errno(e, RX_USAGE, errno, "setuid failed");
	return 0;
}
