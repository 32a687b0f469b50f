/* Operator files: who may plant a link in their way; pid and lock files. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "testsuite/unit/fs_util.h"
#include "base/buf.h"
#include "sandbox/anchor.h"
#include "sandbox/opfile.h"

static void plant(const char *target, const char *rel, uid_t owner)
{
	assert_int_equal(symlink(target, in_top(rel)), 0);
	assert_int_equal(lchown(in_top(rel), owner, owner), 0);
}

static int plant_all(void **state)
{
	(void)state;
	umask(022);
	snprintf(top, sizeof(top), "/tmp/kedge-op-XXXXXX");
	if (!mkdtemp(top) || mkdir(in_top("d"), 0755) || mkdir(in_top("open"), 0777) || mkdir(in_top("sticky"), 0777))
		return -1;
	chmod(in_top("open"), 0777);
	chmod(in_top("sticky"), 01777);
	put("d/f", "content");
	plant("d", "good", 0);
	plant("d", "bad", 1000);
	plant("d/f", "goodleaf", 0);
	plant("d/f", "badleaf", 1000);
	plant("d/new", "newleaf", 0);
	plant(in_top("good"), "abs", 0);
	plant("bad", "chain", 0);
	plant("loop", "loop", 0);
	plant("../d", "open/l", 0);
	plant("../d", "sticky/l", 0);
	return 0;
}

static void whose_links(void **state)
{
	static const struct { const char *rel; int want, wide; } rows[] = {
		{ "d/f", 0, 0 }, { "good/f", 0, 0 }, { "bad/f", -ELOOP, 0 }, { "goodleaf", 0, 0 }, { "badleaf", -ELOOP, 0 },
		{ "abs/f", 0, 0 }, { "chain/f", -ELOOP, 0 }, { "loop", -ELOOP, -ELOOP }, { "loop/f", -ELOOP, -ELOOP },
		{ "open/l/f", -ELOOP, 0 }, { "sticky/l/f", 0, 0 }, { "d/../good//./f", 0, 0 }, { "nothing", -ENOENT, -ENOENT },
		{ "d/f/x", -ENOTDIR, -ENOTDIR }, { "d", -EISDIR, -EISDIR }, { "d/", -EISDIR, -EISDIR }, { "d/..", -EISDIR, -EISDIR },
	};
	struct stat st;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		for (unsigned wide = 0; wide < 2; wide++) {
			_cleanup_buf_ struct buf b = BUF_INIT(NULL);
			int want = wide ? rows[i].wide : rows[i].want;
			int r = opfile_read_all(in_top(rows[i].rel), 100, OPFILE_REGULAR | (wide ? OPFILE_FREE : 0), &b, &st);
			if (r != want)
				print_error("%s %u\n", rows[i].rel, wide);
			assert_int_equal(r, want);
			if (r == 0) {
				assert_string_equal(buf_str(&b), "content");
				assert_int_equal(st.st_size, 7);
			}
			r = opfile_stat(in_top(rows[i].rel), wide ? OPFILE_FREE : 0, &st);
			assert_int_equal(r, want == -EISDIR ? 0 : want);
		}
	}
	assert_int_equal(opfile_open("", O_RDONLY, 0, 0), -ENOENT);
}

static void output_files(void **state)
{
	struct stat st;

	(void)state;
	assert_int_equal(opfile_open(in_top("badleaf"), O_WRONLY | O_CREAT | O_APPEND, 0644, 0), -ELOOP);
	assert_int_equal(opfile_open(in_top("bad/log"), O_WRONLY | O_CREAT, 0644, 0), -ELOOP);
	assert_int_equal(opfile_open(in_top("goodleaf"), O_WRONLY, 0, OPFILE_NOFOLLOW_LEAF), -ELOOP);
	int fd = opfile_open(in_top("good/log"), O_WRONLY | O_CREAT | O_APPEND, 0666, OPFILE_REGULAR);
	assert_true(fd >= 0);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	close(fd);
	fd = opfile_open(in_top("newleaf"), O_WRONLY | O_CREAT, 0600, 0); /* a trusted link to nothing yet */
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(stat(in_top("d/new"), &st), 0);
	assert_int_equal(opfile_unlink(in_top("newleaf")), 0);
	assert_int_equal(stat(in_top("d/new"), &st), 0);
	assert_int_equal(opfile_unlink(in_top("bad/new")), -ELOOP);
	assert_int_equal(opfile_unlink(in_top("good/new")), 0);
	assert_int_equal(opfile_unlink(in_top("good/log")), 0);
}

static void odd_inputs(void **state)
{
	_cleanup_buf_ struct buf b = BUF_INIT(NULL), big = BUF_INIT(NULL);
	char name[32];
	int fds[2];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(write(fds[1], "piped", 5), 5);
	close(fds[1]);
	snprintf(name, sizeof(name), "/dev/fd/%d", fds[0]);
	assert_int_equal(opfile_read_all(name, 100, 0, &b, NULL), 0);
	assert_string_equal(buf_str(&b), "piped");
	close(fds[0]);
	assert_int_equal(mkfifo(in_top("fifo"), 0600), 0);
	assert_int_equal(opfile_open(in_top("fifo"), O_RDONLY, 0, OPFILE_REGULAR), -EINVAL);
	assert_int_equal(opfile_open(in_top("fifo"), O_WRONLY, 0, OPFILE_REGULAR), -EINVAL);
	assert_int_equal(opfile_read_all(in_top("d/f"), 7, 0, &big, NULL), 0);
	assert_int_equal(opfile_read_all(in_top("d/f"), 6, 0, &big, NULL), -EFBIG);
	struct budget tiny;
	budget_init(&tiny, 3, 3);
	_cleanup_buf_ struct buf small = BUF_INIT(&tiny);
	assert_int_equal(opfile_read_all(in_top("d/f"), 100, 0, &small, NULL), -ENOMEM);
}

static void trusted_anchors(void **state)
{
	struct anchor *a;

	(void)state;
	assert_int_equal(anchor_open_trusted(&a, in_top("good")), 0);
	anchor_unref(a);
	assert_int_equal(anchor_open_trusted(&a, in_top("bad")), -ELOOP);
	assert_null(a);
	assert_int_equal(anchor_open(&a, in_top("bad"), TRUST_ALL, LINKS_REFUSE, 0), 0);
	anchor_unref(a);
	assert_int_equal(anchor_open_trusted(&a, in_top("d/f")), -ENOTDIR);
	assert_int_equal(anchor_open_trusted(&a, in_top("x/y")), -ENOENT);
	assert_int_equal(anchor_open(&a, in_top("x/y"), TRUST_OWNER, LINKS_REFUSE, ANCHOR_CREATE), -ENOENT);
	assert_int_equal(anchor_open(&a, in_top("bad/y"), TRUST_OWNER, LINKS_REFUSE, ANCHOR_CREATE_PARENTS), -ELOOP);
	assert_int_equal(anchor_open(&a, in_top("x/y"), TRUST_OWNER, LINKS_REFUSE, ANCHOR_CREATE_PARENTS), 0);
	anchor_unref(a);
	assert_int_equal(anchor_open_trusted(&a, "/"), 0);
	anchor_unref(a);
	assert_int_equal(anchor_open_trusted(&a, "."), 0);
	anchor_unref(a);
	int fd = open(in_top("d/f"), O_RDONLY);
	assert_int_equal(anchor_from_fd(&a, fd, LINKS_REFUSE, 0), -ENOTDIR);
	assert_int_equal(fcntl(fd, F_GETFD), -1);
}

static int in_child(int (*fn)(void))
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (!pid)
		_exit(fn());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int claim_fails_at_lock(void)
{
	const char *step;
	int r = pidfile_claim(in_top("pid"), &step);

	return r == -EAGAIN && !strcmp(step, "lock") ? 0 : 1;
}

static void pid_file(void **state)
{
	const char *step;
	char text[32], want[32];
	struct stat st;

	(void)state;
	plant("d/f", "pid", 1000); /* a link in the way is replaced, its target untouched */
	int fd = pidfile_claim(in_top("pid"), &step);
	assert_true(fd >= 0);
	assert_int_equal(lstat(in_top("pid"), &st), 0);
	assert_true(S_ISREG(st.st_mode));
	assert_int_equal(st.st_mode & 07777, 0644);
	assert_int_equal(stat(in_top("d/f"), &st), 0);
	assert_int_equal(st.st_size, 7);
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
	assert_true(n > 0);
	text[n] = 0;
	snprintf(want, sizeof(want), "%ld\n", (long)getpid());
	assert_string_equal(text, want);
	assert_int_equal(in_child(claim_fails_at_lock), 0);
	pidfile_remove(in_top("pid"), fd);
	assert_int_equal(lstat(in_top("pid"), &st), -1);

	put("pid", "12345\nstale");
	fd = pidfile_claim(in_top("pid"), &step);
	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_size, strlen(want));
	/* somebody else's file of that name is not ours to remove */
	unlink(in_top("pid"));
	put("pid", "other");
	pidfile_remove(in_top("pid"), fd);
	assert_int_equal(lstat(in_top("pid"), &st), 0);
	put("pid", "this is not a pid file, it is too long for one");
	assert_int_equal(pidfile_claim(in_top("pid"), &step), -EINVAL);
	assert_string_equal(step, "find small");
	assert_int_equal(pidfile_claim(in_top("no/pid"), &step), -ENOENT);
	assert_string_equal(step, "open pid-file directory");
	assert_int_equal(pidfile_claim(in_top("d"), &step), -EISDIR);
	assert_string_equal(step, "unlink");
}

static int want_slot;

static int take_slot(void)
{
	int fd = lockfile_open(in_top("lock"));

	return fd >= 0 && lockfile_take(fd, 2) == want_slot ? 0 : 1;
}

static void lock_file(void **state)
{
	struct stat st;

	(void)state;
	int fd = lockfile_open(in_top("lock"));
	assert_true(fd >= 0);
	assert_int_equal(lockfile_take(fd, -1), -EAGAIN);
	assert_int_equal(lockfile_take(fd, 0), -EAGAIN);
	assert_int_equal(lockfile_take(fd, 2), 0);
	want_slot = 1;
	assert_int_equal(in_child(take_slot), 0);
	assert_int_equal(in_child(take_slot), 0); /* freed with its process */
	struct flock second = { .l_type = F_WRLCK, .l_start = 4, .l_len = 4 };
	assert_int_equal(fcntl(fd, F_SETLK, &second), 0);
	want_slot = -EAGAIN;
	assert_int_equal(in_child(take_slot), 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_size, 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	close(fd);
	plant("d/f", "lock2", 1000);
	assert_int_equal(lockfile_open(in_top("lock2")), -ELOOP);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whose_links), cmocka_unit_test(output_files), cmocka_unit_test(odd_inputs),
		cmocka_unit_test(trusted_anchors), cmocka_unit_test(pid_file), cmocka_unit_test(lock_file),
	};

	if (geteuid() != 0)
		return 77; /* links of other users cannot be planted */
	return cmocka_run_group_tests(tests, plant_all, stop);
}
