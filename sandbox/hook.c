/*
 * hook.c - programs that kedge starts: exec hooks, the name converter, a remote shell; see spawn.h.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "sandbox/spawn.h"
#include "sandbox/spawn_priv.h"

extern char **environ;

bool hook_disabled(void)
{
	return getenv("RSYNC_NO_XFER_EXEC") != NULL;
}

void hook_result_free(struct hook_result *res)
{
	free(res->out);
	res->out = NULL;
}

/* In the child: adds or replaces variables. */
static int extend_environment(const char *const *env)
{
	for (; env && *env; env++) {
		const char *eq = strchr(*env, '=');
		_cleanup_free_ char *name = eq ? strndup(*env, (size_t)(eq - *env)) : NULL;

		if (!name || setenv(name, eq + 1, 1) < 0)
			return -1;
	}
	return 0;
}

/* In the child: in and out become 0 and 1 (-1: ours stay), all else goes. The ends may already be at
   0 or 1, so both are moved out of the way first. keep (or -1) stays open until exec. */
static int place_stdio(int in, int out, int keep)
{
	int hi_in = in >= 0 ? fcntl(in, F_DUPFD_CLOEXEC, 10) : -1;
	int hi_out = out >= 0 ? fcntl(out, F_DUPFD_CLOEXEC, 10) : -1;

	if ((in >= 0 && (hi_in < 0 || dup2(hi_in, 0) < 0)) || (out >= 0 && (hi_out < 0 || dup2(hi_out, 1) < 0)))
		return -1;
	for (int fd = 0; fd <= 2; fd++) /* those that stay ours may be marked close-on-exec */
		if (fcntl(fd, F_GETFD) >= 0 && fcntl(fd, F_SETFD, 0) < 0)
			return -1;
	return proc_close_others(&keep, keep >= 0);
}

static int become(const struct hook *h)
{
	if (h->no_new_privs && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -1;
	if (!h->set_ids || geteuid())
		return 0;
	return setgroups(1, &h->gid) < 0 || setresgid(h->gid, h->gid, h->gid) < 0 || setresuid(h->uid, h->uid, h->uid) < 0 ? -1 : 0;
}

static _Noreturn void run_shell(const struct hook *h, int in, int out)
{
	const char *shell = getenv("RSYNC_SHELL");
	char dash[] = "-c";
	char *argv[4];

	if (!shell || !*shell)
		shell = "/bin/sh";
	setpgid(0, 0);
	spawn_reset_signals();
	if (place_stdio(in, out, -1) < 0 || extend_environment(h->env) < 0 || become(h) < 0)
		_exit(255);
	argv[0] = (char *)(uintptr_t)shell;
	argv[1] = dash;
	argv[2] = (char *)(uintptr_t)h->command;
	argv[3] = NULL;
	execvp(shell, argv);
	_exit(127);
}

static int make_pipe(int p[2], struct err *e)
{
	return pipe2(p, O_CLOEXEC) < 0 ? fail_errno(e, RX_IPC, errno, "pipe failed") : 0;
}

static void close_pipe(int p[2])
{
	for (int i = 0; i < 2; i++)
		if (p[i] >= 0)
			close(TAKE_FD(p[i]));
}

struct feed {
	const char *in;
	size_t left;
	int to, from;           /* pipe ends, -1 when finished */
	struct hook_result *res;
	size_t capture;
};

static void feed_input(struct feed *f)
{
	ssize_t n = write(f->to, f->in, f->left);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0) {
		f->in += n;
		f->left -= (size_t)n;
	}
	if (n < 0 || !f->left) /* a hook that does not read its input has its reasons */
		close(TAKE_FD(f->to));
}

static void read_output(struct feed *f)
{
	char chunk[4096];
	ssize_t n = read(f->from, chunk, sizeof chunk);
	struct hook_result *res = f->res;
	size_t take;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		close(TAKE_FD(f->from));
		return;
	}
	take = MIN((size_t)n, f->capture - res->outlen);
	if (take < (size_t)n)
		res->truncated = true;
	memcpy(res->out + res->outlen, chunk, take);
	res->outlen += take;
	res->out[res->outlen] = 0;
}

/* Feeds and reads until the hook has ended, or its time is over. Output is waited for only as long as the
   hook itself runs: a background child that keeps the pipe open does not hold the session. */
static int attend(struct feed *f, pid_t pid, int timeout_ms)
{
	int64_t end = clock_ms() + timeout_ms;
	int status = 0;

	for (;;) {
		struct pollfd p[2] = { { .fd = f->to, .events = POLLOUT }, { .fd = f->from, .events = POLLIN } };
		int64_t left = timeout_ms > 0 ? end - clock_ms() : 1000;
		int r;

		if (f->to < 0 && f->from < 0) {
			r = proc_wait(pid, timeout_ms > 0 ? (int)MAX(left, 0) : -1, &status);
			if (r)
				return r < 0 ? 255 << 8 : status;
		} else {
			r = poll(p, 2, left <= 0 ? 0 : left < 50 ? (int)left : 50);
			if (r > 0 && p[0].revents)
				feed_input(f);
			if (r > 0 && p[1].revents)
				read_output(f);
			if (r == 0 && proc_wait(pid, 0, &status) != 0)
				return status;
		}
		if (timeout_ms > 0 && clock_ms() >= end) {
			f->res->timed_out = true;
			kill(-pid, SIGKILL);
			kill(pid, SIGKILL);
			proc_wait(pid, -1, &status);
			return status;
		}
	}
}

int hook_run(const struct hook *h, struct hook_result *res, struct err *e)
{
	int in[2] = { -1, -1 }, out[2] = { -1, -1 };
	struct feed f = { .in = h->bytes, .left = h->nbytes, .to = -1, .from = -1, .res = res, .capture = h->capture };
	struct sigaction ign = { .sa_handler = SIG_IGN }, old;
	pid_t pid;

	*res = (struct hook_result){ .status = 255 << 8 };
	if (h->capture) {
		res->out = calloc(1, h->capture + 1);
		if (!res->out)
			return fail(e, RX_MALLOC, "out of memory");
	}
	if ((h->input != HOOK_IN_INHERIT && make_pipe(in, e) < 0) || (h->capture && make_pipe(out, e) < 0))
		goto fail;
	pid = fork();
	if (pid < 0) {
		fail_errno(e, RX_IPC, errno, "fork failed");
		goto fail;
	}
	if (pid == 0)
		run_shell(h, in[0], out[1]);
	setpgid(pid, pid);
	f.to = TAKE_FD(in[1]);
	f.from = TAKE_FD(out[0]);
	close_pipe(in);
	close_pipe(out);
	if (f.to >= 0 && (h->input == HOOK_IN_EMPTY || !f.left))
		close(TAKE_FD(f.to));
	if (f.to >= 0)
		fcntl(f.to, F_SETFL, O_NONBLOCK);
	sigaction(SIGPIPE, &ign, &old);
	res->status = attend(&f, pid, h->timeout_ms);
	sigaction(SIGPIPE, &old, NULL);
	if (f.to >= 0)
		close(f.to);
	if (f.from >= 0)
		close(f.from);
	return 0;
fail:
	close_pipe(in);
	close_pipe(out);
	hook_result_free(res);
	return -1;
}

int hook_start(const struct hook *h, pid_t *pid, int *to, int *from, struct err *e)
{
	int in[2] = { -1, -1 }, out[2] = { -1, -1 };

	if (make_pipe(in, e) < 0 || make_pipe(out, e) < 0)
		goto fail;
	*pid = fork();
	if (*pid < 0) {
		fail_errno(e, RX_IPC, errno, "fork failed");
		goto fail;
	}
	if (*pid == 0)
		run_shell(h, in[0], out[1]);
	*to = TAKE_FD(in[1]);
	*from = TAKE_FD(out[0]);
	close_pipe(in);
	close_pipe(out);
	return 0;
fail:
	close_pipe(in);
	close_pipe(out);
	return -1;
}

int proc_start(char *const *argv, const char *const *env, pid_t *pid, int *to, int *from, struct err *e)
{
	int in[2] = { -1, -1 }, out[2] = { -1, -1 }, probe[2] = { -1, -1 };
	int err = 0;
	ssize_t n;

	if (make_pipe(in, e) < 0 || make_pipe(out, e) < 0 || make_pipe(probe, e) < 0)
		goto fail;
	*pid = fork();
	if (*pid < 0) {
		fail_errno(e, RX_IPC, errno, "fork failed");
		goto fail;
	}
	if (*pid == 0) {
		int tell = fcntl(probe[1], F_DUPFD_CLOEXEC, 20);

		spawn_reset_signals();
		if (place_stdio(in[0], out[1], tell) == 0 && extend_environment(env) == 0)
			execvp(argv[0], argv);
		err = errno;
		if (write(tell, &err, sizeof err) < 0)
			_exit(126);
		_exit(127);
	}
	close(TAKE_FD(probe[1]));
	do {
		n = read(probe[0], &err, sizeof err);
	} while (n < 0 && errno == EINTR);
	if (n > 0) {
		proc_kill_wait(*pid, SIGKILL);
		fail_errno(e, RX_IPC, err, "Failed to exec %s", argv[0]);
		goto fail;
	}
	*to = TAKE_FD(in[1]);
	*from = TAKE_FD(out[0]);
	close_pipe(in);
	close_pipe(out);
	close_pipe(probe);
	return 0;
fail:
	close_pipe(in);
	close_pipe(out);
	close_pipe(probe);
	return -1;
}
