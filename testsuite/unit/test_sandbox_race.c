/*
 * Symlink races against every operation (spec 09 §12): a second process exchanges a directory (F1) or a leaf (F3)
 * with a symbolic link that leads out, or replaces the directory step by step (F2), as fast as it can, while each
 * operation runs.
 *
 * Three arms: control (the same call by plain path) must escape, or the race was not live and the detector is
 * blind; check-then-use is reported; the subject must never escape, and must both succeed and be refused.
 * KEDGE_RACE_ATTEMPTS: attempts per operation and arm (default 250; acceptance runs use 40000).
 */
#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#include "testsuite/unit/unit.h"
#include "base/clock.h"
#include "sandbox/fs.h"

#define ARM_MS_MAX 15000

static char top[64];
static _Atomic unsigned long *flips;
static unsigned long attempts = 250;
static ino_t out_dir, out_f;   /* of the running group */
static int real_fd;            /* the directory that "a" is in its honest moments */

static char *in_top(const char *fmt, ...) PRINTF(1, 2);
static char *in_top(const char *fmt, ...)
{
	static char names[8][512];
	static unsigned n;
	char *p = names[n++ % 8];
	int len = snprintf(p, sizeof(names[0]), "%s/", top);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(p + len, sizeof(names[0]) - (size_t)len, fmt, ap);
	va_end(ap);
	return p;
}

static void put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

/* What an attempt saw: ESCAPED if bytes, inodes or names of the outside came back. */
enum { ESCAPED = -100000 };

static int judge_fd(int fd)
{
	char b[8] = "";

	if (fd < 0)
		return fd;
	ssize_t n = read(fd, b, sizeof(b) - 1);
	close(fd);
	return n > 0 && !strncmp(b, "secret", 6) ? ESCAPED : 0;
}

static int judge_stat(int r, const struct stat *st)
{
	return r < 0 ? r : st->st_ino == out_dir || st->st_ino == out_f ? ESCAPED : 0;
}

#define PLAIN(call) ((call) < 0 ? -errno : 0)

/* One attempt through the door (sb) or by plain path (sb NULL, names from the working directory group/root). */
typedef int op_fn(struct sb *sb, unsigned n);

static int op_read(struct sb *sb, unsigned n)
{
	(void)n;
	return judge_fd(sb ? sb_open_read(sb, "a", "f", 0, NULL) : open("a/f", O_RDONLY | O_NOFOLLOW));
}

static int op_read_follow(struct sb *sb, unsigned n)
{
	(void)n;
	return judge_fd(sb ? sb_open_read_follow(sb, "a", "lf", 0, NULL) : open("a/lf", O_RDONLY));
}

static int op_stat(struct sb *sb, unsigned n)
{
	struct stat st;

	(void)n;
	return judge_stat(sb ? sb_lstat(sb, "a", "f", &st) : PLAIN(lstat("a/f", &st)), &st);
}

static int op_stat_follow(struct sb *sb, unsigned n)
{
	struct stat st;

	(void)n;
	return judge_stat(sb ? sb_stat_follow(sb, "a", "lf", &st) : PLAIN(stat("a/lf", &st)), &st);
}

static int op_readlink(struct sb *sb, unsigned n)
{
	char b[64];
	ssize_t r;

	(void)n;
	if (sb)
		r = sb_readlink(sb, "a", "l", b, sizeof(b));
	else {
		r = PLAIN(readlink("a/l", b, sizeof(b)));
		r = r == 0 ? 6 : r;
	}
	return r > 0 && !strncmp(b, "secret", 6) ? ESCAPED : (int)r;
}

static int op_create(struct sb *sb, unsigned n)
{
	char name[32];

	snprintf(name, sizeof(name), sb ? "n%u" : "a/n%u", n);
	int fd = sb ? sb_open_write(sb, "a", name, SB_CREATE | SB_EXCL, 0644, NULL)
	            : open(name, O_WRONLY | O_CREAT | O_EXCL, 0644);
	if (fd >= 0)
		close(fd);
	return fd;
}

static int op_inplace(struct sb *sb, unsigned n)
{
	(void)n;
	int fd = sb ? sb_open_write(sb, "a", "f", 0, 0, NULL) : open("a/f", O_WRONLY | O_NOFOLLOW);
	if (fd < 0)
		return fd;
	ssize_t w = pwrite(fd, "inside", 6, 0);
	close(fd);
	return w == 6 ? 0 : -EIO;
}

static int op_temp(struct sb *sb, unsigned n)
{
	char name[SB_NAME_MAX + 1];

	if (!sb)
		return op_create(NULL, n);
	int fd = sb_create_temp(sb, "a", "f", 0, 0600, name);
	if (fd >= 0)
		close(fd);
	return fd;
}

static int op_mkdir(struct sb *sb, unsigned n)
{
	char name[32];

	snprintf(name, sizeof(name), sb ? "n%u" : "a/n%u", n);
	return sb ? sb_mkdir(sb, "a", name, 0755) : PLAIN(mkdir(name, 0755));
}

static int op_mkdirs(struct sb *sb, unsigned n)
{
	char name[32];

	snprintf(name, sizeof(name), sb ? "a/n%u/m" : "a/n%u", n);
	return sb ? sb_mkdirs(sb, name, 0755) : PLAIN(mkdir(name, 0755));
}

static int op_symlink(struct sb *sb, unsigned n)
{
	char name[32];

	snprintf(name, sizeof(name), sb ? "n%u" : "a/n%u", n);
	return sb ? sb_symlink(sb, "x", "a", name) : PLAIN(symlink("x", name));
}

static int op_mknod(struct sb *sb, unsigned n)
{
	char name[32];

	snprintf(name, sizeof(name), sb ? "n%u" : "a/n%u", n);
	return sb ? sb_mknod(sb, "a", name, S_IFIFO | 0600) : PLAIN(mknod(name, S_IFIFO | 0600, 0));
}

static int op_link_to(struct sb *sb, unsigned n)
{
	char name[32];

	snprintf(name, sizeof(name), sb ? "n%u" : "a/n%u", n);
	return sb ? sb_link(sb, "", "top", sb, "a", name) : PLAIN(link("top", name));
}

static int op_link_from(struct sb *sb, unsigned n)
{
	char name[32];

	snprintf(name, sizeof(name), "n%u", n);
	return sb ? sb_link(sb, "a", "f", sb, "", name) : PLAIN(link("a/f", name));
}

static int op_rename_to(struct sb *sb, unsigned n)
{
	char name[32];
	int fd = open("tmp", O_WRONLY | O_CREAT, 0600);

	if (fd >= 0)
		close(fd);
	snprintf(name, sizeof(name), sb ? "n%u" : "a/n%u", n);
	return sb ? sb_rename(sb, "", "tmp", sb, "a", name, 0) : PLAIN(rename("tmp", name));
}

static int op_rename_from(struct sb *sb, unsigned n)
{
	(void)n;
	int r = sb ? sb_rename(sb, "a", "f", sb, "", "moved", 0) : PLAIN(rename("a/f", "moved"));
	if (r == 0)
		renameat(AT_FDCWD, "moved", real_fd, "f"); /* what is left of it, for the next attempt */
	return r;
}

static int op_unlink(struct sb *sb, unsigned n)
{
	(void)n;
	int r = sb ? sb_unlink(sb, "a", "f") : PLAIN(unlink("a/f"));
	if (r == 0)
		put("spare", "inside"), renameat(AT_FDCWD, "spare", real_fd, "f");
	return r;
}

static int op_rmdir(struct sb *sb, unsigned n)
{
	(void)n;
	int r = sb ? sb_rmdir(sb, "a", "sub") : PLAIN(rmdir("a/sub"));
	if (r == 0)
		mkdirat(real_fd, "sub", 0755);
	return r;
}

static int op_chmod(struct sb *sb, unsigned n)
{
	mode_t mode = 0600 | (n & 077);

	return sb ? sb_chmod(sb, "a", "f", mode) : PLAIN(chmod("a/f", mode));
}

static int op_chown(struct sb *sb, unsigned n)
{
	return sb ? sb_chown(sb, "a", "f", 0, n & 15) : PLAIN(chown("a/f", 0, n & 15));
}

static int op_utimes(struct sb *sb, unsigned n)
{
	struct timespec t = { (time_t)n + 1, 0 }, two[2] = { t, t };

	return sb ? sb_utimes(sb, "a", "f", &t, &t) : PLAIN(utimensat(AT_FDCWD, "a/f", two, 0));
}

static int op_setxattr(struct sb *sb, unsigned n)
{
	char v = (char)n;

	return sb ? sb_setxattr(sb, "a", "f", "user.k", &v, 1) : PLAIN(setxattr("a/f", "user.k", &v, 1, 0));
}

static int op_getxattr(struct sb *sb, unsigned n)
{
	char b[8] = "";
	ssize_t r;

	(void)n;
	if (sb)
		r = sb_getxattr(sb, "a", "f", "user.w", b, sizeof(b));
	else
		r = PLAIN(getxattr("a/f", "user.w", b, sizeof(b)));
	return r >= 0 && b[0] == 's' ? ESCAPED : (int)r;
}

static int op_list(struct sb *sb, unsigned n)
{
	struct sb_dir *d;
	struct sb_dirent e;
	int escaped = 0;

	(void)n;
	if (!sb) {
		DIR *p = opendir("a");
		if (!p)
			return -errno;
		for (struct dirent *pe; (pe = readdir(p)); )
			escaped |= !strcmp(pe->d_name, "secret-name");
		closedir(p);
		return escaped ? ESCAPED : 0;
	}
	int r = sb_opendir(sb, "", "a", 0, &d, NULL);
	if (r < 0)
		return r;
	while (sb_readdir(d, &e) == 1)
		escaped |= !strcmp(e.name, "secret-name");
	sb_closedir(d);
	return escaped ? ESCAPED : 0;
}

static int op_list_deep(struct sb *sb, unsigned n)
{
	struct sb_dir *d;
	struct sb_dirent e;
	int escaped = 0;

	if (!sb)
		return op_list(sb, n);
	int r = sb_opendir(sb, "a", "sub", 0, &d, NULL);
	if (r < 0)
		return r;
	while (sb_readdir(d, &e) == 1)
		escaped |= !strcmp(e.name, "secret-name");
	sb_closedir(d);
	return escaped ? ESCAPED : 0;
}

/* Leaf races: "leaf" is a file in one moment and a link to the outside in the other. */
static int op_leaf_read(struct sb *sb, unsigned n)
{
	(void)n;
	return judge_fd(sb ? sb_open_read(sb, "", "leaf", 0, NULL) : open("leaf", O_RDONLY));
}

static int op_leaf_read_follow(struct sb *sb, unsigned n)
{
	(void)n;
	return judge_fd(sb ? sb_open_read_follow(sb, "", "leaf", 0, NULL) : open("leaf", O_RDONLY));
}

static int op_leaf_write(struct sb *sb, unsigned n)
{
	(void)n;
	int fd = sb ? sb_open_write(sb, "", "leaf", SB_CREATE, 0644, NULL) : open("leaf", O_WRONLY | O_CREAT, 0644);
	if (fd < 0)
		return fd;
	ssize_t w = pwrite(fd, "inside", 6, 0);
	close(fd);
	return w == 6 ? 0 : -EIO;
}

static int op_leaf_chmod(struct sb *sb, unsigned n)
{
	mode_t mode = 0600 | (n & 077);

	return sb ? sb_chmod(sb, "", "leaf", mode) : PLAIN(chmod("leaf", mode));
}

static int op_leaf_setxattr(struct sb *sb, unsigned n)
{
	char v = (char)n;

	return sb ? sb_setxattr(sb, "", "leaf", "user.k", &v, 1) : PLAIN(setxattr("leaf", "user.k", &v, 1, 0));
}

enum race { F1_DIR, F2_REPLACE, F3_LEAF };

static const struct op {
	const char *name;
	op_fn *fn;
	enum race race;
} ops[] = {
	{ "read", op_read, F1_DIR }, { "read-follow", op_read_follow, F1_DIR }, { "stat", op_stat, F1_DIR },
	{ "stat-follow", op_stat_follow, F1_DIR }, { "readlink", op_readlink, F1_DIR }, { "create", op_create, F1_DIR },
	{ "inplace", op_inplace, F1_DIR }, { "temp", op_temp, F1_DIR }, { "mkdir", op_mkdir, F1_DIR },
	{ "mkdirs", op_mkdirs, F1_DIR }, { "symlink", op_symlink, F1_DIR }, { "mknod", op_mknod, F1_DIR },
	{ "link-to", op_link_to, F1_DIR }, { "link-from", op_link_from, F1_DIR }, { "rename-to", op_rename_to, F1_DIR },
	{ "rename-from", op_rename_from, F1_DIR }, { "unlink", op_unlink, F1_DIR }, { "rmdir", op_rmdir, F1_DIR },
	{ "chmod", op_chmod, F1_DIR }, { "chown", op_chown, F1_DIR }, { "utimes", op_utimes, F1_DIR },
	{ "setxattr", op_setxattr, F1_DIR }, { "getxattr", op_getxattr, F1_DIR }, { "list", op_list, F1_DIR },
	{ "list-deep", op_list_deep, F1_DIR }, { "leaf-read", op_leaf_read, F3_LEAF },
	{ "read-f2", op_read, F2_REPLACE }, { "create-f2", op_create, F2_REPLACE }, { "mkdirs-f2", op_mkdirs, F2_REPLACE },
	{ "list-f2", op_list, F2_REPLACE }, { "setxattr-f2", op_setxattr, F2_REPLACE },
	{ "leaf-read-follow", op_leaf_read_follow, F3_LEAF }, { "leaf-write", op_leaf_write, F3_LEAF },
	{ "leaf-chmod", op_leaf_chmod, F3_LEAF }, { "leaf-setxattr", op_leaf_setxattr, F3_LEAF },
};

/* group/root is the anchor and the working directory. */
static void build(const char *group)
{
	struct stat st;

	assert_int_equal(mkdir(in_top("%s", group), 0777), 0);
	static const char *const dirs[] = { "root", "root/a", "root/a/sub", "out", "out/sub", "out/sub/secret-name" };
	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++)
		assert_int_equal(mkdir(in_top("%s/%s", group, dirs[i]), 0777), 0);
	put(in_top("%s/root/a/f", group), "inside");
	put(in_top("%s/root/top", group), "top");
	put(in_top("%s/root/leaf", group), "inside");
	put(in_top("%s/out/f", group), "secret");
	put(in_top("%s/out/secret-name", group), "secret");
	mkdir(in_top("%s/out/empty", group), 0777);
	assert_int_equal(rmdir(in_top("%s/out/sub/secret-name", group)), 0);
	setxattr(in_top("%s/out/f", group), "user.w", "s", 1, 0);
	setxattr(in_top("%s/root/a/f", group), "user.w", "i", 1, 0);
	assert_int_equal(symlink("f", in_top("%s/root/a/lf", group)), 0);
	assert_int_equal(symlink("f", in_top("%s/out/lf", group)), 0);
	assert_int_equal(symlink("inside", in_top("%s/root/a/l", group)), 0);
	assert_int_equal(symlink("secret", in_top("%s/out/l", group)), 0);
	assert_int_equal(symlink("../out", in_top("%s/root/a.alt", group)), 0);
	assert_int_equal(symlink("../out/f", in_top("%s/root/leaf.alt", group)), 0);
	assert_int_equal(lstat(in_top("%s/out", group), &st), 0);
	out_dir = st.st_ino;
	assert_int_equal(lstat(in_top("%s/out/f", group), &st), 0);
	out_f = st.st_ino;
	assert_int_equal(chdir(in_top("%s/root", group)), 0);
	real_fd = open("a", O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert_true(real_fd >= 0);
}

static uint64_t sum;

static int add_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	const uint64_t parts[] = { st->st_ino, st->st_mode, st->st_uid, st->st_gid, st->st_nlink, (uint64_t)st->st_size,
		(uint64_t)st->st_mtim.tv_sec, (uint64_t)st->st_mtim.tv_nsec, (uint64_t)st->st_ctim.tv_sec, (uint64_t)st->st_ctim.tv_nsec };
	uint64_t h = 14695981039346656037u;

	(void)type, (void)ftw;
	for (const char *p = path; *p; p++)
		h = (h ^ (unsigned char)*p) * 1099511628211u;
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
		h = (h ^ parts[i]) * 1099511628211u;
	sum += h;
	return 0;
}

/* Names, inodes, modes, owners, link counts, sizes, mtimes and ctimes of the outside. */
static uint64_t snapshot(const char *group)
{
	sum = 0;
	assert_int_equal(nftw(in_top("%s/out", group), add_entry, 16, FTW_PHYS), 0);
	return sum;
}

/* Gone, a link, gone, back. What the victim makes in the gaps is put aside. */
static void replace_once(void)
{
	static unsigned n;
	char junk[32];

	if (rename("a", "a.real") < 0)
		_exit(1);
	while (symlink("../out", "a") < 0 && errno == EEXIST) {
		snprintf(junk, sizeof(junk), "junk%u", n++);
		rename("a", junk);
	}
	unlink("a");
	while (rename("a.real", "a") < 0) {
		snprintf(junk, sizeof(junk), "junk%u", n++);
		rename("a", junk);
	}
}

static pid_t start_flipper(enum race race)
{
	const char *x = race == F3_LEAF ? "leaf" : "a", *y = race == F3_LEAF ? "leaf.alt" : "a.alt";
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid)
		return pid;
	for (;;) {
		if (race == F2_REPLACE)
			replace_once();
		else if (renameat2(AT_FDCWD, x, AT_FDCWD, y, RENAME_EXCHANGE) < 0)
			_exit(1);
		atomic_fetch_add(flips, 1);
		if (getppid() == 1)
			_exit(0);
	}
}

static void stop_flipper(pid_t pid)
{
	int status;

	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
}

enum arm { CONTROL, CHECKED, SUBJECT, SUBJECT_PORTABLE, SUBJECT_IN_ROOT, ARMS };

struct tally {
	unsigned long tries, fine, refused, escaped, flips;
};

static bool parent_looks_fine(enum race race)
{
	struct stat st;

	return lstat(race == F3_LEAF ? "leaf" : "a", &st) == 0 && !S_ISLNK(st.st_mode);
}

static bool wants_more(const struct tally *t, enum arm arm, bool outside_changed)
{
	switch (arm) {
	case CONTROL:
		return !t->escaped && !outside_changed;
	case CHECKED:
		return t->tries < attempts;
	case SUBJECT:
	case SUBJECT_PORTABLE:
	case SUBJECT_IN_ROOT:
	case ARMS:
		break;
	}
	return t->tries < attempts || t->flips < attempts || t->fine < attempts / 100 || t->refused < attempts / 100;
}

static struct tally run_arm(const struct op *op, enum arm arm)
{
	struct tally t = { 0 };
	char group[64];
	struct sb *sb = NULL;

	snprintf(group, sizeof(group), "%s-%d", op->name, (int)arm);
	build(group);
	if (arm >= SUBJECT) {
		_cleanup_anchor_ struct anchor *a = NULL;
		assert_int_equal(anchor_open(&a, ".", TRUST_OWNER, arm == SUBJECT_IN_ROOT ? LINKS_IN_ROOT : LINKS_REFUSE,
		                             arm == SUBJECT_PORTABLE ? ANCHOR_PORTABLE : 0), 0);
		sb = sb_new(a, 4);
		assert_non_null(sb);
	}
	uint64_t before = snapshot(group);
	bool changed = false;
	unsigned long flips_before = atomic_load(flips);
	int64_t until = clock_ms() + ARM_MS_MAX;
	pid_t pid = start_flipper(op->race);
	while (wants_more(&t, arm, changed) && clock_ms() < until) {
		for (int i = 0; i < 64; i++) {
			if (sb && t.tries & 3) /* one in four from the cache */
				sb_forget(sb, NULL);
			int r = arm == CHECKED && !parent_looks_fine(op->race) ? -ELOOP : op->fn(sb, (unsigned)t.tries);
			t.tries++;
			t.escaped += r == ESCAPED;
			t.fine += r >= 0;
			t.refused += r < 0 && r != ESCAPED;
		}
		t.flips = atomic_load(flips) - flips_before;
		if (arm == CONTROL)
			changed = snapshot(group) != before;
	}
	stop_flipper(pid);
	sb_free(sb);
	close(real_fd);
	t.escaped += snapshot(group) != before;
	assert_int_equal(chdir("/"), 0);
	return t;
}

static void every_operation(void **state)
{
	static const char *const arms[] = { "plain path", "check-then-use", "door", "door, portable", "door, in root" };
	unsigned long checked = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(ops); i++) {
		for (enum arm arm = CONTROL; arm < ARMS; arm++) {
			struct tally t = run_arm(&ops[i], arm);
			print_message("%-17s %-15s %6lu tries %6lu done %6lu refused %4lu escaped %7lu flips\n", ops[i].name,
			              arms[arm], t.tries, t.fine, t.refused, t.escaped, t.flips);
			if (arm == CONTROL)
				assert_true(t.escaped > 0);
			else if (arm == CHECKED)
				checked += t.escaped;
			else {
				assert_int_equal(t.escaped, 0);
				assert_true(t.fine > 0);
				assert_true(t.refused > 0);
				assert_true(t.flips >= attempts);
			}
		}
	}
	print_message("check-then-use escaped in %lu cases\n", checked);
}

static int start(void **state)
{
	const char *e = getenv("KEDGE_RACE_ATTEMPTS");

	(void)state;
	if (e && atol(e) > 0)
		attempts = (unsigned long)atol(e);
	snprintf(top, sizeof(top), "/tmp/kedge-race-XXXXXX");
	flips = mmap(NULL, sizeof(*flips), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return flips == MAP_FAILED || !mkdtemp(top) ? -1 : 0;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

static int stop(void **state)
{
	(void)state;
	return nftw(top, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(every_operation) };

	return cmocka_run_group_tests(tests, start, stop);
}
