/* What is held open: the cache of directories when they change, leave or are shared; files; descriptors to be closed. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>

#include "testsuite/unit/fs_util.h"
#include "sandbox/kcalls.h"

BOTH(cache_follows_changes)
{
	_cleanup_anchor_ struct anchor *a = anchor(LINKS_REFUSE, 0);
	_cleanup_sb_ struct sb *one = sb_new(a, 4), *two = sb_new(a, 4);
	struct stat st;
	char dir[16];

	assert_int_equal(sb_mkdirs(one, "c/k", 0755), 2);
	assert_int_equal(sb_lstat(one, "c/k", ".", &st), 0);
	assert_int_equal(sb_lstat(two, "c/k", ".", &st), 0);
	ino_t old = st.st_ino;
	/* by the other view */
	assert_int_equal(sb_rename(one, "c", "k", one, "c", "k2", SB_IS_DIR), 0);
	assert_int_equal(sb_mkdir(one, "c", "k", 0755), 0);
	assert_int_equal(sb_lstat(two, "c/k", ".", &st), 0);
	assert_true(st.st_ino != old);
	assert_int_equal(sb_rename(one, "", "c", one, "", "c2", 0), 0); /* held beneath: found without the flag */
	assert_int_equal(sb_lstat(one, "c/k", ".", &st), -ENOENT);
	assert_int_equal(sb_lstat(two, "c/k", ".", &st), -ENOENT);
	assert_int_equal(sb_lstat(two, "c2/k", ".", &st), 0);
	assert_int_equal(sb_lstat(two, "c2/k2", ".", &st), 0);
	assert_int_equal(sb_rmdir(one, "c2", "k"), 0);
	assert_int_equal(sb_lstat(two, "c2/k", ".", &st), -ENOENT);
	/* by somebody else: a creation looks again */
	assert_int_equal(sb_lstat(two, "c2/k2", ".", &st), 0);
	assert_int_equal(rmdir(in_top("root/c2/k2")), 0);
	assert_int_equal(mkdir(in_top("root/c2/k2"), 0755), 0);
	int fd = sb_open_write(two, "c2/k2", "x", SB_CREATE, 0644, &st);
	assert_true(fd >= 0);
	close(fd);
	put("root/y", "y");
	assert_int_equal(sb_lstat(one, "c2/k2", ".", &st), 0);
	assert_int_equal(unlink(in_top("root/c2/k2/x")), 0);
	assert_int_equal(rmdir(in_top("root/c2/k2")), 0);
	assert_int_equal(mkdir(in_top("root/c2/k2"), 0755), 0);
	assert_int_equal(sb_rename(one, "", "y", one, "c2/k2", "y", 0), 0);
	assert_int_equal(sb_unlink(one, "c2/k2", "y"), 0);
	assert_int_equal(sb_rmdir(one, "c2", "k2"), 0);
	assert_int_equal(sb_rmdir(one, "", "c2"), 0);
	/* more directories than slots, pairs of them */
	for (int i = 0; i < 20; i++) {
		snprintf(dir, sizeof(dir), "m%d", i);
		assert_int_equal(sb_mkdir(one, "", dir, 0755), 0);
		fd = sb_open_write(one, dir, "f", SB_CREATE, 0644, &st);
		assert_true(fd >= 0);
		close(fd);
	}
	for (int i = 0; i < 20; i++) {
		char to[16];
		snprintf(dir, sizeof(dir), "m%d", i);
		snprintf(to, sizeof(to), "m%d", (i * 7 + 3) % 20);
		assert_int_equal(sb_rename(one, dir, "f", one, to, "g", 0), 0);
		assert_int_equal(sb_lstat(one, to, "g", &st), 0);
	}
	for (int i = 0; i < 20; i++) {
		snprintf(dir, sizeof(dir), "m%d", i);
		assert_int_equal(sb_unlink(one, dir, "g"), 0);
		assert_int_equal(sb_rmdir(one, "", dir), 0);
	}
}

static void outlast(void)
{
	nanosleep(&(struct timespec){ .tv_nsec = 3 * SB_HELD_MS * 1000000 }, NULL);
}

/* A directory that somebody else moves out while it is held, in the cache and for a listing. */
BOTH(directories_that_leave)
{
	_cleanup_sb_ struct sb *sb = view(LINKS_REFUSE, 0);
	struct sb_dir *d;
	struct stat st;

	assert_int_equal(mkdir(in_top("root/going"), 0755), 0);
	put("root/going/x", "x");
	assert_int_equal(sb_opendir(sb, "going", ".", 0, &d, &st), 0);
	assert_int_equal(sb_lstat(sb, "going", "x", &st), 0);
	assert_int_equal(rename(in_top("root/going"), in_top("out/gone")), 0);
	outlast();
	assert_int_equal(sb_open_read(sb, "going", "x", 0, &st), -ENOENT);
	assert_int_equal(sb_mkdir(sb, "going", "new", 0755), -ENOENT);
	assert_int_equal(sb_unlink(sb, "going", "x"), -ENOENT);
	assert_int_equal(sb_rename(sb, "", "f", sb, "going", "f", 0), -ENOENT);
	assert_int_equal(sb_rename(sb, "going", "x", sb, "", "x", 0), -ENOENT);
	sb_closedir(d);
	assert_int_equal(sb_opendir(sb, "going", ".", 0, &d, &st), -ENOENT);
	/* Another one has its name: that is the one. */
	assert_int_equal(mkdir(in_top("root/going"), 0755), 0);
	assert_int_equal(sb_mkdir(sb, "going", "new", 0755), 0);
	assert_int_equal(sb_rmdir(sb, "going", "new"), 0);
	assert_int_equal(sb_rmdir(sb, "", "going"), 0);
	assert_int_equal(unlink(in_top("out/gone/x")), 0);
	assert_int_equal(rmdir(in_top("out/gone")), 0); /* with nothing else in it */
}

/* An anchor beneath the process's own mount of the module, where Landlock would let it go on. */
BOTH(anchors_that_leave)
{
	_cleanup_anchor_ struct anchor *root = NULL, *a = NULL;
	_cleanup_close_ int at = open(in_top("root"), O_PATH | O_DIRECTORY | O_CLOEXEC);
	int tree = kopen_tree(at, KOPEN_TREE_CLONE | O_CLOEXEC | AT_EMPTY_PATH);
	struct sb_dir *d;

	if (tree < 0 && (errno == EPERM || errno == ENOSYS))
		skip();
	assert_int_equal(mkdir(in_top("root/going"), 0755), 0);
	assert_int_equal(anchor_from_fd(&root, tree, LINKS_REFUSE, how), 0);
	assert_int_equal(anchor_sub(&a, root, "going", LINKS_REFUSE, LINKS_REFUSE, 0), 0);
	_cleanup_sb_ struct sb *sb = sb_new(a, 4), *top_view = sb_new(root, 4);
	assert_int_equal(sb_mkdirs(sb, "sub", 0755), 1);
	assert_int_equal(rename(in_top("root/going"), in_top("out/gone")), 0);
	outlast();
	assert_int_equal(sb_mkdir(sb, "", "new", 0755), -ENOENT);
	assert_int_equal(sb_mkdir(sb, "sub", "new", 0755), -ENOENT);
	assert_int_equal(sb_opendir(sb, "", ".", 0, &d, NULL), -ENOENT);
	assert_int_equal(sb_mkdir(top_view, "", "new", 0755), 0);
	assert_int_equal(sb_rmdir(top_view, "", "new"), 0);
	assert_int_equal(rename(in_top("out/gone"), in_top("root/going")), 0);
	assert_int_equal(sb_rmdir(sb, "", "sub"), 0); /* it is back */
	assert_int_equal(sb_rmdir(top_view, "", "going"), 0);
}

BOTH(held_files)
{
	_cleanup_sb_ struct sb *sb = view(LINKS_REFUSE, 0);
	struct timespec t = { 3000, 7 };
	struct stat st;

	int fd = sb_open_write(sb, "", "hf", SB_CREATE | SB_EXCL | SB_RDWR, 0600, &st);
	assert_true(fd >= 0);
	assert_int_equal(sb_open_write(sb, "", "hf", SB_CREATE | SB_EXCL, 0600, NULL), -EEXIST);
	assert_int_equal(sbf_truncate(fd, 1 << 20), 0);
	assert_int_equal(sbf_seek_data(fd, 0), -ENXIO);
	assert_int_equal(pwrite(fd, "data", 4, 4096), 4);
	assert_int_equal(sbf_seek_data(fd, 0), 4096);
	int r = sbf_punch(fd, 4096, 4096);
	if (r != -EOPNOTSUPP) {
		assert_int_equal(r, 0);
		assert_int_equal(sbf_seek_data(fd, 0), -ENXIO);
		assert_int_equal(sbf_allocate(fd, 0, 2 << 20, true), 0);
	}
	assert_int_equal(sbf_chmod(fd, 0604), 0);
	assert_int_equal(sbf_chown(fd, 3, 4), 0);
	assert_int_equal(sbf_utimes(fd, &t, &t), 0);
	assert_int_equal(sbf_sync(fd), 0);
	assert_int_equal(sbf_stat(fd, &st), 0);
	assert_int_equal(st.st_size, 1 << 20);
	assert_int_equal(st.st_mode, S_IFREG | 0604);
	assert_int_equal(st.st_gid, 4);
	assert_int_equal(st.st_mtim.tv_nsec, 7);
	close(fd);
	fd = sb_open_write(sb, "", "hf", SB_TRUNC, 0, &st);
	assert_true(fd >= 0);
	assert_int_equal(st.st_size, 0);
	close(fd);
	fd = sb_pin(sb, "", "hf", &st);
	assert_true(fd >= 0);
	assert_int_equal(st.st_size, 0);
	assert_int_equal(sbf_pin_chown(fd, 5, 5), 0);
	assert_int_equal(sbf_pin_utimes(fd, NULL, &t), 0);
	r = sbf_pin_chmod(fd, 0611);
	assert_true(r == 0 || r == -EOPNOTSUPP);
	assert_int_equal(sbf_stat(fd, &st), 0);
	assert_int_equal(st.st_uid, 5);
	close(fd);
	assert_int_equal(sb_unlink(sb, "", "hf"), 0);
}

/* Two threads, a view each, one anchor; one keeps replacing the directory in which the other works. */
static void *replacer(void *arg)
{
	_cleanup_sb_ struct sb *sb = sb_new(arg, 4);
	char name[SB_NAME_MAX + 1];

	for (int i = 0; i < 300; i++) {
		snprintf(name, sizeof(name), "old%d", i);
		if (sb_mkdirs(sb, "t/w", 0755) < 0 || sb_rename(sb, "t", "w", sb, "t", name, SB_IS_DIR) < 0)
			return arg;
	}
	return NULL;
}

BOTH(threads_share_an_anchor)
{
	_cleanup_anchor_ struct anchor *a = anchor(LINKS_REFUSE, 0);
	_cleanup_sb_ struct sb *sb = sb_new(a, 4);
	pthread_t thread;
	void *bad;
	struct sb_dir *d;
	struct sb_dirent e;
	struct stat st;

	assert_int_equal(sb_mkdirs(sb, "t/w", 0755), 2);
	assert_int_equal(pthread_create(&thread, NULL, replacer, a), 0);
	for (int i = 0; i < 300; i++) {
		char name[32];
		snprintf(name, sizeof(name), "f%d", i);
		int fd = sb_open_write(sb, "t/w", name, SB_CREATE, 0644, &st);
		assert_true(fd >= 0 || fd == -ENOENT);
		if (fd >= 0)
			close(fd);
	}
	assert_int_equal(pthread_join(thread, &bad), 0);
	assert_null(bad);
	/* after the last change this view sees what is there, not what it held */
	assert_int_equal(sb_mkdirs(sb, "t/w", 0755), 1);
	assert_int_equal(sb_opendir(sb, "t", ".", 0, &d, NULL), 0);
	while (sb_readdir(d, &e) == 1) {
		char dir[64];
		struct sb_dir *in;
		struct sb_dirent f;
		snprintf(dir, sizeof(dir), "t/%.40s", e.name);
		assert_int_equal(sb_opendir(sb, dir, ".", 0, &in, NULL), 0);
		while (sb_readdir(in, &f) == 1) {
			char leaf[64];
			snprintf(leaf, sizeof(leaf), "%.40s", f.name);
			assert_int_equal(sb_unlink(sb, dir, leaf), 0);
		}
		sb_closedir(in);
		assert_int_equal(sb_rmdir(sb, "t", dir + 2), 0);
	}
	sb_closedir(d);
	assert_int_equal(sb_rmdir(sb, "", "t"), 0);
}

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

/* Queues FD_RUN_MAX descriptors of base …: every step-th, from the given one on. */
static void queue_all(struct fd_run *run, int base, int from, int step)
{
	int n = (int)FD_RUN_MAX;

	for (int i = 0; i < n; i++)
		sbf_close_later(run, base + (from + i * step) % n);
}

static void runs_of_descriptors(void **state)
{
	/* In order; with one number in the wrong place; downwards; all in disorder. */
	static const int ways[][2] = { { 0, 1 }, { (int)FD_RUN_MAX - 1, 1 }, { (int)FD_RUN_MAX - 1, (int)FD_RUN_MAX - 1 }, { 3, 7 } };
	struct fd_run run = { 0 };
	int base = 200, n = (int)FD_RUN_MAX;

	(void)state;
	sbf_close_run(&run);
	for (size_t w = 0; w < ARRAY_SIZE(ways); w++) {
		for (int i = 0; i <= n; i++)
			assert_int_equal(dup2(0, base + i), base + i);
		queue_all(&run, base, ways[w][0], ways[w][1]);
		assert_int_equal(run.count, n);
		for (int i = 0; i < n; i++)
			assert_true(is_open(base + i));
		/* One too many closes the others. */
		sbf_close_later(&run, base + n);
		assert_int_equal(run.count, 1);
		for (int i = 0; i < n; i++)
			assert_false(is_open(base + i));
		assert_true(is_open(base + n));
		sbf_close_run(&run);
		assert_false(is_open(base + n));
	}
	/* What is not queued stays open: numbers 2 and 4 of six. */
	for (int i = 0; i < 6; i++)
		assert_int_equal(dup2(0, base + i), base + i);
	for (int i = 0; i < 4; i++)
		sbf_close_later(&run, base + (int[]){ 5, 0, 3, 1 }[i]);
	sbf_close_run(&run);
	assert_int_equal(run.count, 0);
	for (int i = 0; i < 6; i++)
		assert_int_equal(is_open(base + i), i == 2 || i == 4);
	close(base + 2);
	close(base + 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cache_follows_changes), cmocka_unit_test(directories_that_leave), cmocka_unit_test(anchors_that_leave),
		cmocka_unit_test(held_files), cmocka_unit_test(threads_share_an_anchor), cmocka_unit_test(runs_of_descriptors),
	};

	if (geteuid() != 0)
		return 77; /* owners and mounts are half of what is tested */
	return cmocka_run_group_tests(tests, start, stop);
}
