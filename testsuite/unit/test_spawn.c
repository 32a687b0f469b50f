/* test_spawn.c - hooks, programs, waiting, descriptors of children. */
#include "config.h"
#include "testsuite/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "sandbox/spawn.h"

static struct hook_result run(struct hook h)
{
	struct hook_result r;
	struct err e = { 0 };

	if (!h.capture)
		h.capture = 4096;
	if (!h.timeout_ms)
		h.timeout_ms = 20000;
	assert_int_equal(hook_run(&h, &r, &e), 0);
	return r;
}

static void a_hook_sees_what_it_was_given(void **state)
{
	static const char *const env[] = { "RSYNC_MODULE_NAME=m", "RSYNC_ARG0=a b=c", "PATH_LIKE=", NULL };
	struct hook_result r = run((struct hook){ .command = "echo \"$RSYNC_MODULE_NAME:$RSYNC_ARG0:${PATH_LIKE-unset}\"; cat", .env = env,
		.input = HOOK_IN_BYTES, .bytes = "early\n", .nbytes = 6 });

	(void)state;
	assert_int_equal(r.status, 0);
	assert_string_equal(r.out, "m:a b=c:\nearly\n");
	assert_null(getenv("RSYNC_MODULE_NAME"));
	hook_result_free(&r);
}

static void status_is_the_wait_status(void **state)
{
	struct hook_result r = run((struct hook){ .command = "exit 3" });

	(void)state;
	assert_int_equal(r.status, 768);
	hook_result_free(&r);
	r = run((struct hook){ .command = "/no/such/program" });
	assert_int_equal(r.status, 127 << 8);
	hook_result_free(&r);
	r = run((struct hook){ .command = "kill -9 $$" });
	assert_true(WIFSIGNALED(r.status));
	assert_int_equal(proc_exit_code(r.status), -1);
	hook_result_free(&r);
}

static void output_is_cut_at_the_limit(void **state)
{
	struct hook_result r = run((struct hook){ .command = "head -c 300000 /dev/zero | tr '\\0' x; exit 1", .capture = 1000 });

	(void)state;
	assert_int_equal(r.outlen, 1000);
	assert_true(r.truncated);
	assert_int_equal(strlen(r.out), 1000);
	assert_int_equal(r.status, 256);
	hook_result_free(&r);
}

static void input_that_nobody_reads(void **state)
{
	static char big[300000];
	struct hook_result r = run((struct hook){ .command = "exit 0", .input = HOOK_IN_BYTES, .bytes = big, .nbytes = sizeof big });

	(void)state;
	assert_int_equal(r.status, 0);
	hook_result_free(&r);
}

static void time_runs_out(void **state)
{
	int64_t t = clock_ms();
	struct hook_result r = run((struct hook){ .command = "echo a; sleep 30 & sleep 30", .timeout_ms = 300 });

	(void)state;
	assert_true(r.timed_out && WIFSIGNALED(r.status));
	assert_true(clock_ms() - t < 5000);
	assert_string_equal(r.out, "a\n");
	hook_result_free(&r);
}

static void a_background_child_does_not_hold_us(void **state)
{
	int64_t t = clock_ms();
	struct hook_result r = run((struct hook){ .command = "sleep 5 & echo $!" });
	pid_t pid = (pid_t)atol(r.out);

	(void)state;
	assert_true(clock_ms() - t < 4000);
	assert_int_equal(r.status, 0);
	if (pid > 1)
		kill(pid, SIGKILL);
	hook_result_free(&r);
}

static void descriptors_do_not_leak(void **state)
{
	int leak = open("/dev/null", O_RDONLY); /* not even close-on-exec */
	struct hook_result r = run((struct hook){ .command = "ls /proc/self/fd | wc -l" });

	(void)state;
	assert_true(leak >= 0);
	assert_int_equal(atoi(r.out), 4); /* 0-2, and that of ls itself */
	close(leak);
	hook_result_free(&r);
}

static void another_shell_and_identity(void **state)
{
	struct hook_result r;

	(void)state;
	setenv("RSYNC_SHELL", "/bin/echo", 1);
	r = run((struct hook){ .command = "some words" });
	unsetenv("RSYNC_SHELL");
	assert_string_equal(r.out, "-c some words\n");
	hook_result_free(&r);
	if (geteuid())
		return;
	r = run((struct hook){ .command = "id -u; id -G; grep NoNewPrivs /proc/self/status", .set_ids = true, .uid = 1234, .gid = 1235, .no_new_privs = true });
	assert_string_equal(r.out, "1234\n1235\nNoNewPrivs:\t1\n");
	hook_result_free(&r);
}

static void a_hook_that_serves(void **state)
{
	struct hook h = { .command = "while read line; do echo \"<$line>\"; done" };
	struct err e = { 0 };
	char text[64];
	int to, from, status;
	pid_t pid;

	(void)state;
	assert_int_equal(hook_start(&h, &pid, &to, &from, &e), 0);
	assert_true((fcntl(to, F_GETFD) & FD_CLOEXEC) && (fcntl(from, F_GETFD) & FD_CLOEXEC));
	assert_int_equal(write(to, "usr joe\n", 8), 8);
	assert_int_equal(read(from, text, sizeof text), 10);
	assert_memory_equal(text, "<usr joe>\n", 10);
	close(to);
	assert_int_equal(proc_wait(pid, 5000, &status), 1);
	assert_true(WIFEXITED(status));
	close(from);
}

static void programs(void **state)
{
	char prog[] = "cat", none[] = "/no/such/shell", *argv[] = { prog, NULL }, *bad[] = { none, NULL };
	struct err e = { 0 };
	char text[8];
	int to, from, status;
	pid_t pid;

	(void)state;
	assert_int_equal(proc_start(argv, NULL, &pid, &to, &from, &e), 0);
	assert_int_equal(proc_wait(pid, 30, &status), 0);
	assert_int_equal(write(to, "hello", 5), 5);
	assert_int_equal(read(from, text, sizeof text), 5);
	close(to);
	assert_int_equal(proc_wait(pid, 5000, &status), 1);
	close(from);
	assert_int_equal(proc_start(bad, NULL, &pid, &to, &from, &e), -1);
	assert_int_equal(e.code, RX_IPC);
	assert_non_null(strstr(e.text, "Failed to exec /no/such/shell"));
}

static int open_fds(void)
{
	int n = 0;

	for (int fd = 0; fd < 512; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void closing_the_others(void **state)
{
	pid_t pid = fork();
	int status;

	(void)state;
	if (pid == 0) {
		int keep[] = { 300, 40, 299, 40, 5 };

		for (size_t i = 0; i < ARRAY_SIZE(keep); i++)
			dup2(0, keep[i]);
		dup2(0, 41);
		dup2(0, 400);
		if (proc_close_others(keep, ARRAY_SIZE(keep)) < 0)
			_exit(1);
		_exit(open_fds() == 3 + 4 && fcntl(299, F_GETFD) >= 0 && fcntl(41, F_GETFD) < 0 ? 0 : 2);
	}
	assert_int_equal(proc_wait(pid, 5000, &status), 1);
	assert_int_equal(status, 0);
}

static void roles_start_clean(void **state)
{
	sigset_t all;
	pid_t pid;
	int status;

	(void)state;
	signal(SIGTERM, SIG_IGN);
	sigemptyset(&all);
	sigaddset(&all, SIGUSR1);
	sigprocmask(SIG_BLOCK, &all, NULL);
	pid = proc_fork_role("test");
	if (pid == 0) {
		struct sigaction term, hup;

		sigprocmask(SIG_SETMASK, NULL, &all);
		sigaction(SIGTERM, NULL, &term);
		sigaction(SIGPIPE, NULL, &hup);
		_exit(sigismember(&all, SIGUSR1) || term.sa_handler != SIG_DFL || hup.sa_handler != SIG_IGN);
	}
	signal(SIGTERM, SIG_DFL);
	sigprocmask(SIG_UNBLOCK, &all, NULL);
	assert_int_equal(proc_wait(pid, 5000, &status), 1);
	assert_int_equal(status, 0);
	pid = fork();
	if (pid == 0)
		for (;;)
			pause();
	assert_int_equal(proc_wait(pid, 50, &status), 0);
	proc_kill_wait(pid, SIGKILL);
	assert_int_equal(kill(pid, 0), -1);
}

static void null_stdio(void **state)
{
	pid_t pid = fork();
	int status;

	(void)state;
	if (pid == 0) {
		struct stat s, n;

		close(0);
		close(2);
		if (proc_null_stdio(true) < 0 || stat("/dev/null", &n) < 0)
			_exit(1);
		_exit(!(fstat(0, &s) == 0 && s.st_rdev == n.st_rdev && fstat(2, &s) == 0 && s.st_rdev == n.st_rdev && open_fds() >= 3));
	}
	assert_int_equal(proc_wait(pid, 5000, &status), 1);
	assert_int_equal(status, 0);
}

static void more_descriptors(void **state)
{
	struct rlimit old;

	(void)state;
	getrlimit(RLIMIT_NOFILE, &old);
	assert_true(proc_raise_nofile(16) >= 16);
	assert_true(proc_raise_nofile(UINT_MAX) >= old.rlim_cur);
	setrlimit(RLIMIT_NOFILE, &old);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_hook_sees_what_it_was_given), cmocka_unit_test(status_is_the_wait_status),
		cmocka_unit_test(output_is_cut_at_the_limit), cmocka_unit_test(input_that_nobody_reads), cmocka_unit_test(time_runs_out),
		cmocka_unit_test(a_background_child_does_not_hold_us), cmocka_unit_test(descriptors_do_not_leak),
		cmocka_unit_test(another_shell_and_identity), cmocka_unit_test(a_hook_that_serves), cmocka_unit_test(programs),
		cmocka_unit_test(closing_the_others), cmocka_unit_test(roles_start_clean), cmocka_unit_test(null_stdio),
		cmocka_unit_test(more_descriptors),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests_name("spawn", tests, NULL, NULL);
}
