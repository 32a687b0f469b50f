/* The filesystem operations: with openat2 and with the portable walk, as root and as nobody. */
#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#include "testsuite/unit/fs_util.h"

BOTH(hostile_names)
{
	static const char *const leaves[] = { "", "..", "a/b", "/", "/etc", "../x", "x/", "./x", "a/.." };
	static const char *const dirs[] = { "..", "/", "/etc", "d/..", "../root", "d/../d", "d/", "d//e", "./d", "d/./e", "/d" };
	_cleanup_sb_ struct sb *sb = view(LINKS_REFUSE, 0);
	char name[SB_NAME_MAX + 1], rd[PATH_LIMIT + 1], buf[64];
	struct sb_dir *d;
	struct stat st;
	struct timespec t = { 1, 0 };

	for (size_t i = 0; i < ARRAY_SIZE(leaves) + ARRAY_SIZE(dirs); i++) {
		const char *dir = i < ARRAY_SIZE(leaves) ? "" : dirs[i - ARRAY_SIZE(leaves)];
		const char *leaf = i < ARRAY_SIZE(leaves) ? leaves[i] : "f";
		assert_int_equal(sb_lstat(sb, dir, leaf, &st), -EINVAL);
		assert_int_equal(sb_stat_follow(sb, dir, leaf, &st), -EINVAL);
		assert_int_equal(sb_readlink(sb, dir, leaf, buf, sizeof(buf)), -EINVAL);
		assert_int_equal(sb_resolve_in_root(sb, dir, leaf, rd, name), -EINVAL);
		assert_int_equal(sb_open_read(sb, dir, leaf, 0, &st), -EINVAL);
		assert_int_equal(sb_open_read_follow(sb, dir, leaf, 0, &st), -EINVAL);
		assert_int_equal(sb_open_write(sb, dir, leaf, SB_CREATE, 0644, &st), -EINVAL);
		assert_int_equal(sb_create_temp(sb, dir, leaf, 0, 0600, name), -EINVAL);
		assert_int_equal(sb_temp_name(sb, dir, leaf, name), -EINVAL);
		assert_int_equal(sb_pin(sb, dir, leaf, &st), -EINVAL);
		assert_int_equal(sb_mkdir(sb, dir, leaf, 0755), -EINVAL);
		assert_int_equal(sb_rmdir(sb, dir, leaf), -EINVAL);
		assert_int_equal(sb_unlink(sb, dir, leaf), -EINVAL);
		assert_int_equal(sb_symlink(sb, "x", dir, leaf), -EINVAL);
		assert_int_equal(sb_link(sb, dir, leaf, sb, "d", "new"), -EINVAL);
		assert_int_equal(sb_link(sb, "", "f", sb, dir, leaf), -EINVAL);
		assert_int_equal(sb_rename(sb, dir, leaf, sb, "d", "new", 0), -EINVAL);
		assert_int_equal(sb_rename(sb, "", "f", sb, dir, leaf, 0), -EINVAL);
		assert_int_equal(sb_mknod(sb, dir, leaf, S_IFIFO | 0600), -EINVAL);
		assert_int_equal(sb_chmod(sb, dir, leaf, 0600), -EINVAL);
		assert_int_equal(sb_chown(sb, dir, leaf, 0, 0), -EINVAL);
		assert_int_equal(sb_utimes(sb, dir, leaf, &t, &t), -EINVAL);
		assert_int_equal(sb_opendir(sb, dir, leaf, 0, &d, &st), -EINVAL);
		assert_int_equal(sb_getxattr(sb, dir, leaf, "user.x", buf, sizeof(buf)), -EINVAL);
		assert_int_equal(sb_listxattr(sb, dir, leaf, buf, sizeof(buf)), -EINVAL);
		assert_int_equal(sb_setxattr(sb, dir, leaf, "user.x", "v", 1), -EINVAL);
		assert_int_equal(sb_removexattr(sb, dir, leaf, "user.x"), -EINVAL);
		if (*dir)
			assert_int_equal(sb_mkdirs(sb, dir, 0755), -EINVAL);
	}
	/* "." is no leaf for what makes, moves or removes names */
	assert_int_equal(sb_unlink(sb, "d", "."), -EINVAL);
	assert_int_equal(sb_rmdir(sb, "d", "."), -EINVAL);
	assert_int_equal(sb_rename(sb, "d", ".", sb, "", "new", 0), -EINVAL);
	assert_true(has("root/f", "f"));
}

BOTH(odd_but_legal_names)
{
	static const char *const names[] = { "new\nline", "\xff\xfe", " ", "-rf", "...", "..x", "a\\b", "\x01\x7f" };
	_cleanup_sb_ struct sb *sb = view(LINKS_REFUSE, 0);
	char n255[256], n256[257];
	struct stat st;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		assert_int_equal(sb_mkdir(sb, "", names[i], 0755), 0);
		int fd = sb_open_write(sb, names[i], names[i], SB_CREATE | SB_EXCL, 0644, &st);
		assert_true(fd >= 0);
		close(fd);
		assert_int_equal(sb_unlink(sb, names[i], names[i]), 0);
		assert_int_equal(sb_rmdir(sb, "", names[i]), 0);
	}
	memset(n255, 'n', 255);
	n255[255] = 0;
	memset(n256, 'n', 256);
	n256[256] = 0;
	assert_int_equal(sb_mkdir(sb, "", n255, 0755), 0);
	assert_int_equal(sb_lstat(sb, n255, ".", &st), 0);
	assert_int_equal(sb_rmdir(sb, "", n255), 0);
	assert_int_equal(sb_mkdir(sb, "", n256, 0755), -ENAMETOOLONG);
	assert_int_equal(sb_lstat(sb, n256, ".", &st), -ENAMETOOLONG);
	char temp[SB_NAME_MAX + 1];
	int fd = sb_create_temp(sb, "", n255, 0, 0600, temp);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(strlen(temp), 254);
	assert_int_equal(sb_unlink(sb, "", temp), 0);
}

BOTH(deep_paths)
{
	_cleanup_sb_ struct sb *sb = view(LINKS_REFUSE, 0);
	char path[4200] = "";
	struct stat st;
	size_t n = 0;

	while (n + 2 <= PATH_LIMIT) {
		n += (size_t)sprintf(path + n, "%sx", n ? "/" : "");
	}
	assert_int_equal(n, PATH_LIMIT);
	assert_int_equal(sb_mkdirs(sb, path, 0755), 2048);
	assert_int_equal(sb_mkdirs(sb, path, 0755), 0);
	int fd = sb_open_write(sb, path, "leaf", SB_CREATE, 0644, &st);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(sb_lstat(sb, path, "leaf", &st), 0);
	assert_int_equal(sb_unlink(sb, path, "leaf"), 0);
	strcat(path, "/x");
	assert_int_equal(sb_lstat(sb, path, "leaf", &st), -ENAMETOOLONG);
	assert_int_equal(sb_mkdirs(sb, path, 0755), -ENAMETOOLONG);
	path[PATH_LIMIT] = 0;
	while (*path) {
		char *slash = strrchr(path, '/');
		if (slash)
			*slash = 0;
		assert_int_equal(sb_rmdir(sb, slash ? path : "", slash ? slash + 1 : path), 0);
		if (!slash)
			break;
	}
	assert_int_equal(sb_lstat(sb, "x", ".", &st), -ENOENT);
}

/* Every operation, with a directory that is a link: nothing beneath it is reached. */
static void no_way_through(struct sb *sb, const char *dir)
{
	char name[SB_NAME_MAX + 1], rd[PATH_LIMIT + 1], buf[64];
	struct timespec t = { 1, 0 };
	struct sb_dir *d;
	struct stat st;
	const char *leaf = "secret";

	assert_int_equal(sb_lstat(sb, dir, leaf, &st), -ELOOP);
	assert_int_equal(sb_stat_follow(sb, dir, leaf, &st), -ELOOP);
	assert_int_equal(sb_readlink(sb, dir, leaf, buf, sizeof(buf)), -ELOOP);
	assert_int_equal(sb_resolve_in_root(sb, dir, leaf, rd, name), -ELOOP);
	assert_int_equal(sb_open_read(sb, dir, leaf, 0, &st), -ELOOP);
	assert_int_equal(sb_open_read_follow(sb, dir, leaf, 0, &st), -ELOOP);
	assert_int_equal(sb_open_write(sb, dir, leaf, 0, 0, &st), -ELOOP);
	assert_int_equal(sb_open_write(sb, dir, "new", SB_CREATE, 0644, &st), -ELOOP);
	assert_int_equal(sb_create_temp(sb, dir, leaf, 0, 0600, name), -ELOOP);
	assert_int_equal(sb_temp_name(sb, dir, leaf, name), -ELOOP);
	assert_int_equal(sb_pin(sb, dir, leaf, &st), -ELOOP);
	assert_int_equal(sb_mkdir(sb, dir, "new", 0755), -ELOOP);
	assert_int_equal(sb_mkdirs(sb, dir, 0755), -ELOOP);
	snprintf(buf, sizeof(buf), "%s/new/dir", dir);
	assert_int_equal(sb_mkdirs(sb, buf, 0755), -ELOOP);
	assert_int_equal(sb_rmdir(sb, dir, "sub"), -ELOOP);
	assert_int_equal(sb_unlink(sb, dir, leaf), -ELOOP);
	assert_int_equal(sb_symlink(sb, "x", dir, "new"), -ELOOP);
	assert_int_equal(sb_link(sb, dir, leaf, sb, "", "new"), -ELOOP);
	assert_int_equal(sb_link(sb, "", "f", sb, dir, "new"), -ELOOP);
	assert_int_equal(sb_rename(sb, dir, leaf, sb, "", "new", 0), -ELOOP);
	assert_int_equal(sb_rename(sb, "", "f", sb, dir, "new", 0), -ELOOP);
	assert_int_equal(sb_rename(sb, "", "f", sb, dir, leaf, SB_EXCHANGE), -ELOOP);
	assert_int_equal(sb_mknod(sb, dir, "new", S_IFIFO | 0600), -ELOOP);
	assert_int_equal(sb_chmod(sb, dir, leaf, 0777), -ELOOP);
	assert_int_equal(sb_chown(sb, dir, leaf, 1, 1), -ELOOP);
	assert_int_equal(sb_utimes(sb, dir, leaf, &t, &t), -ELOOP);
	assert_int_equal(sb_opendir(sb, dir, ".", 0, &d, &st), -ELOOP);
	assert_int_equal(sb_opendir(sb, "", dir, 0, &d, &st), strchr(dir, '/') ? -EINVAL : -ELOOP);
	assert_int_equal(sb_getxattr(sb, dir, leaf, "user.x", buf, sizeof(buf)), -ELOOP);
	assert_int_equal(sb_listxattr(sb, dir, leaf, buf, sizeof(buf)), -ELOOP);
	assert_int_equal(sb_setxattr(sb, dir, leaf, "user.x", "v", 1), -ELOOP);
	assert_int_equal(sb_removexattr(sb, dir, leaf, "user.x"), -ELOOP);
}

static void outside_untouched(void)
{
	struct stat st;

	assert_true(has("out/secret", "secret"));
	assert_int_equal(lstat(in_top("out/secret"), &st), 0);
	assert_int_equal(st.st_mode, S_IFREG | 0644);
	assert_int_equal(st.st_uid, 0);
	assert_int_not_equal(st.st_mtime, 1);
	assert_int_equal(lstat(in_top("out"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0777);
	unsigned n = 0;
	DIR *d = opendir(in_top("out"));
	while (readdir(d))
		n++;
	closedir(d);
	assert_int_equal(n, 3);
}

BOTH(links_refused)
{
	static const char *const dirs[] = { "esc", "in", "dots", "up", "around", "loop", "abs", "magic", "up/out", "in/e", "twice", "broken" };
	_cleanup_sb_ struct sb *sb = view(LINKS_REFUSE, 0);

	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++)
		no_way_through(sb, dirs[i]);
	outside_untouched();
}

BOTH(links_followed_inside_only)
{
	static const char *const out[] = { "esc", "up", "around", "loop", "abs", "magic", "up/out", "in/../up" };
	_cleanup_sb_ struct sb *sb = view(LINKS_IN_ROOT, 0);
	char rd[PATH_LIMIT + 1], rl[SB_NAME_MAX + 1];
	struct stat st, g;

	for (size_t i = 0; i + 1 < ARRAY_SIZE(out); i++)
		no_way_through(sb, out[i]);
	outside_untouched();
	assert_int_equal(sb_lstat(sb, "d", "g", &g), 0);
	assert_int_equal(sb_lstat(sb, "in", "g", &st), 0);
	assert_int_equal(st.st_ino, g.st_ino);
	assert_int_equal(sb_lstat(sb, "dots", "g", &st), 0);
	assert_int_equal(st.st_ino, g.st_ino);
	assert_int_equal(sb_mkdirs(sb, "in/n1/n2", 0755), 2);
	assert_int_equal(access(in_top("root/d/n1/n2"), F_OK), 0);
	assert_int_equal(sb_rmdir(sb, "in/n1", "n2"), 0);
	assert_int_equal(sb_rmdir(sb, "d", "n1"), 0);
	assert_int_equal(sb_lstat(sb, "in/n1", ".", &st), -ENOENT);
	assert_int_equal(sb_resolve_in_root(sb, "twice", ".", rd, rl), 0);
	assert_string_equal(rd, "d");
	assert_string_equal(rl, "e");
	assert_int_equal(sb_resolve_in_root(sb, "dots", "g", rd, rl), 0);
	assert_string_equal(rd, "d");
	assert_string_equal(rl, "g");
	assert_int_equal(sb_resolve_in_root(sb, "", ".", rd, rl), 0);
	assert_string_equal(rd, "");
	assert_string_equal(rl, ".");
	/* the link is replaced by a directory: the cached place must go */
	assert_int_equal(sb_symlink(sb, "d", "", "kl"), 0);
	assert_int_equal(sb_lstat(sb, "kl", "g", &st), 0);
	assert_int_equal(sb_unlink(sb, "", "kl"), 0);
	assert_int_equal(sb_mkdir(sb, "", "kl", 0755), 0);
	assert_int_equal(sb_lstat(sb, "kl", "g", &st), -ENOENT);
	assert_int_equal(sb_rmdir(sb, "", "kl"), 0);
}

BOTH(leaf_following)
{
	_cleanup_sb_ struct sb *sb = view(LINKS_REFUSE, 0);
	_cleanup_sb_ struct sb *free_sb = view(LINKS_FREE, 0), *trusted = view(LINKS_TRUSTED, 0);
	struct stat st, f;

	assert_int_equal(sb_lstat(sb, "", "f", &f), 0);
	assert_int_equal(sb_stat_follow(sb, "", "lf", &st), 0);
	assert_int_equal(st.st_ino, f.st_ino);
	int fd = sb_open_read_follow(sb, "", "lf", 0, &st);
	assert_true(fd >= 0);
	assert_int_equal(st.st_ino, f.st_ino);
	close(fd);
	assert_int_equal(sb_stat_follow(sb, "", "in", &st), 0);
	assert_true(S_ISDIR(st.st_mode));
	assert_int_equal(sb_open_read_follow(sb, "", "in", 0, &st), -EISDIR);
	assert_int_equal(sb_open_read(sb, "", "lf", 0, &st), -ELOOP);
	assert_int_equal(sb_open_write(sb, "", "lf", 0, 0, &st), -ELOOP);
	assert_int_equal(sb_open_write(sb, "", "broken", SB_CREATE, 0644, &st), -ELOOP);
	assert_int_equal(sb_stat_follow(sb, "", "lsecret", &st), -ELOOP);
	assert_int_equal(sb_open_read_follow(sb, "", "lsecret", 0, &st), -ELOOP);
	assert_int_equal(sb_stat_follow(sb, "", "loop", &st), -ELOOP);
	assert_int_equal(sb_stat_follow(sb, "", "broken", &st), -ENOENT);
	assert_int_equal(sb_stat_follow(sb, "", "abs", &st), -ELOOP);
	assert_int_equal(sb_stat_follow(sb, "", "magic", &st), -ELOOP);
	/* the wider rules are wider */
	struct sb *wide[] = { free_sb, trusted };
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(sb_stat_follow(wide[i], "", "lsecret", &st), 0);
		assert_int_equal(st.st_size, 6);
		fd = sb_open_read_follow(wide[i], "", "lsecret", 0, &st);
		assert_true(fd >= 0);
		close(fd);
		assert_int_equal(sb_lstat(wide[i], "esc", "secret", &st), 0);
		assert_int_equal(sb_mkdirs(wide[i], "in/w1/w2", 0755), 2);
		assert_int_equal(sb_rmdir(wide[i], "in/w1", "w2"), 0);
		assert_int_equal(sb_rmdir(wide[i], "in", "w1"), 0);
	}
	/* ... but a foreign user's link is not trusted */
	assert_int_equal(lchown(in_top("root/esc"), 65534, 65534), 0);
	sb_forget(trusted, NULL);
	assert_int_equal(sb_lstat(trusted, "esc", "secret", &st), -ELOOP);
	assert_int_equal(sb_stat_follow(trusted, "", "esc", &st), -ELOOP);
	assert_int_equal(sb_stat_follow(free_sb, "", "esc", &st), 0);
	assert_int_equal(lchown(in_top("root/esc"), 0, 0), 0);
}

BOTH(types_are_checked)
{
	_cleanup_sb_ struct sb *sb = view(LINKS_REFUSE, 0);
	struct stat st;

	assert_int_equal(sb_mknod(sb, "", "fifo", S_IFIFO | 0640), 0);
	assert_int_equal(sb_mknod(sb, "", "sock", S_IFSOCK | 0640), 0);
	assert_int_equal(sb_mknod(sb, "", "chr", S_IFCHR | 0640), -EPERM);
	assert_int_equal(sb_mknod(sb, "", "blk", S_IFBLK | 0640), -EPERM);
	assert_int_equal(sb_mknod(sb, "", "reg", S_IFREG | 0640), -EINVAL);
	assert_int_equal(sb_mknod(sb, "", "none", 0640), -EINVAL);
	assert_int_equal(sb_open_read(sb, "", "fifo", 0, &st), -EINVAL);
	assert_int_equal(sb_open_write(sb, "", "fifo", 0, 0, &st), -EINVAL);
	assert_int_equal(sb_open_write(sb, "", "fifo", SB_RDWR, 0, &st), -EINVAL);
	assert_int_equal(sb_open_read(sb, "", "sock", 0, &st), -EINVAL);
	assert_int_equal(sb_open_write(sb, "", "sock", 0, 0, &st), -EINVAL);
	assert_int_equal(sb_open_read(sb, "", "d", 0, &st), -EISDIR);
	assert_int_equal(sb_open_write(sb, "", "d", 0, 0, &st), -EISDIR);
	if (mknod(in_top("root/null"), S_IFCHR | 0666, 0x103) == 0) {
		int fd = sb_open_read(sb, "", "null", 0, &st);
		assert_true(fd == -EINVAL || fd == -EACCES); /* a nodev mount */
		assert_int_equal(sb_open_write(sb, "", "null", 0, 0, &st), fd);
		assert_int_equal(sb_unlink(sb, "", "null"), 0);
	}
	assert_int_equal(sb_unlink(sb, "", "fifo"), 0);
	assert_int_equal(sb_unlink(sb, "", "sock"), 0);
}

/* Where devices could be opened nothing is read before it is known what it is; elsewhere only what is as long as thought. */
static void whole_in_one_go(void **state)
{
	_cleanup_sb_ struct sb *sb = view(LINKS_REFUSE, 0);
	bool node = mknod(in_top("root/null"), S_IFCHR | 0666, 0x103) == 0;
	struct stat st;
	char buf[8];
	int fd, whole;

	(void)state;
	put("root/three", "abc");
	assert_int_equal(sb_mknod(sb, "", "fifo", S_IFIFO | 0640), 0);
	for (int shut = 0; shut < 2; shut++) {
		for (size_t len = 2; len < 5; len++) {
			fd = sb_open_whole(sb, "", "three", 0, buf, len, &whole, &st);
			assert_true(fd >= 0);
			assert_int_equal(whole, shut && len == 3);
			assert_true(whole ? !memcmp(buf, "abc", 3) : st.st_size == 3);
			close(fd);
		}
		assert_int_equal(sb_open_whole(sb, "", "fifo", 0, buf, 0, &whole, &st), -EINVAL);
		assert_int_equal(whole, shut ? -ESPIPE : 0);
		assert_int_equal(sb_open_whole(sb, "", "d", 0, buf, 0, &whole, &st), -EISDIR);
		assert_int_equal(sb_open_whole(sb, "", "none", 0, buf, 0, &whole, &st), -ENOENT);
		assert_int_equal(whole, 0);
		if (node && !shut) {
			fd = sb_open_whole(sb, "", "null", 0, buf, 0, &whole, &st);
			assert_true(!whole && (fd == -EINVAL || fd == -EACCES)); /* a nodev mount */
		}
		sb_devices_are_shut();
	}
}

BOTH(temp_names)
{
	static const char *const want[][2] = { /* base, stem (08 §11.2) */
		{ "f", ".f." }, { ".hid", ".hid." }, { "trail.", ".trail." },
	};
	_cleanup_sb_ struct sb *sb = view(LINKS_REFUSE, 0);
	char name[SB_NAME_MAX + 1], e[256] = "", link[32];

	for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
		int fd = sb_create_temp(sb, "d", want[i][0], 0, 0600, name);
		assert_true(fd >= 0);
		size_t n = strlen(want[i][1]);
		assert_int_equal(strncmp(name, want[i][1], n), 0);
		assert_int_equal(strlen(name), n + 6);
		assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
		assert_int_equal(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDWR);
		close(fd);
		assert_int_equal(sb_unlink(sb, "d", name), 0);
	}
	int fd = sb_create_temp(sb, "d", "trail.", SB_TEMP_DIR, 0600, name);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(strncmp(name, "trail.", 6), 0);
	assert_int_equal(strlen(name), 12);
	assert_int_equal(sb_unlink(sb, "d", name), 0);
	for (int i = 0; i < 127; i++)
		strcat(e, "\xc3\xa9");
	fd = sb_create_temp(sb, "d", e, 0, 0600, name);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(strlen(name), 7);
	assert_int_equal(name[0], '.');
	assert_int_equal(sb_unlink(sb, "d", name), 0);

	assert_int_equal(sb_temp_name(sb, "d", "ln", name), 0);
	snprintf(link, sizeof(link), ".ln.%u", (unsigned)getpid() % 1000000u);
	assert_string_equal(name, link);
	assert_int_equal(sb_symlink(sb, "x", "d", name), 0);
	assert_int_equal(sb_temp_name(sb, "d", "ln", name), 0);
	snprintf(link, sizeof(link), ".ln.%u", ((unsigned)getpid() + 1) % 1000000u);
	assert_string_equal(name, link);
	snprintf(link, sizeof(link), ".ln.%u", (unsigned)getpid() % 1000000u);
	assert_int_equal(sb_unlink(sb, "d", link), 0);
}

BOTH(attributes)
{
	_cleanup_sb_ struct sb *sb = view(LINKS_REFUSE, 0);
	const struct timespec a = { 1000, 5 }, m = { 2000, 6 };
	struct stat st;
	char buf[64];

	put("root/at", "x");
	assert_int_equal(sb_chmod(sb, "", "at", 04751), 0);
	assert_int_equal(sb_chown(sb, "", "at", 7, (gid_t)-1), 0);
	assert_int_equal(sb_chmod(sb, "", "at", 02711), 0);
	assert_int_equal(sb_utimes(sb, "", "at", &a, &m), 0);
	assert_int_equal(sb_lstat(sb, "", "at", &st), 0);
	assert_int_equal(st.st_mode, S_IFREG | 02711);
	assert_int_equal(st.st_uid, 7);
	assert_int_equal(st.st_gid, 0);
	assert_int_equal(st.st_atim.tv_nsec, 5);
	assert_int_equal(st.st_mtim.tv_sec, 2000);
	assert_int_equal(sb_utimes(sb, "", "at", NULL, &a), 0);
	assert_int_equal(sb_lstat(sb, "", "at", &st), 0);
	assert_int_equal(st.st_atim.tv_sec, 1000);
	assert_int_equal(st.st_mtim.tv_sec, 1000);
	/* the links themselves, never their targets */
	assert_int_equal(sb_chmod(sb, "", "lsecret", 0777), -ELOOP);
	assert_int_equal(sb_chown(sb, "", "lsecret", 9, 9), 0);
	assert_int_equal(sb_utimes(sb, "", "lsecret", &a, &m), 0);
	assert_int_equal(sb_lstat(sb, "", "lsecret", &st), 0);
	assert_int_equal(st.st_uid, 9);
	assert_int_equal(st.st_mtim.tv_sec, 2000);
	assert_int_equal(sb_chown(sb, "", "lsecret", 0, 0), 0);
	/* directories, also as "." */
	assert_int_equal(sb_mkdir(sb, "", "ad", 0755), 0);
	assert_int_equal(sb_chmod(sb, "ad", ".", 0700), 0);
	assert_int_equal(sb_chown(sb, "ad", ".", 8, 8), 0);
	assert_int_equal(sb_utimes(sb, "ad", ".", &a, &m), 0);
	assert_int_equal(sb_lstat(sb, "ad", ".", &st), 0);
	assert_int_equal(st.st_mode, S_IFDIR | 0700);
	assert_int_equal(st.st_uid, 8);
	assert_int_equal(st.st_mtim.tv_nsec, 6);
	int r = sb_setxattr(sb, "", "at", "user.k", "value", 5);
	if (r != -EOPNOTSUPP) {
		assert_int_equal(r, 0);
		assert_int_equal(sb_getxattr(sb, "", "at", "user.k", NULL, 0), 5);
		assert_int_equal(sb_getxattr(sb, "", "at", "user.k", buf, 2), -ERANGE);
		assert_int_equal(sb_getxattr(sb, "", "at", "user.k", buf, sizeof(buf)), 5);
		assert_memory_equal(buf, "value", 5);
		assert_int_equal(sb_listxattr(sb, "", "at", buf, sizeof(buf)), 7);
		assert_string_equal(buf, "user.k");
		assert_int_equal(sb_removexattr(sb, "", "at", "user.k"), 0);
		assert_int_equal(sb_getxattr(sb, "", "at", "user.k", buf, sizeof(buf)), -ENODATA);
		assert_int_equal(sb_setxattr(sb, "ad", ".", "user.k", "v", 1), 0);
		assert_int_equal(getxattr(in_top("root/ad"), "user.k", buf, sizeof(buf)), 1);
		assert_true(sb_setxattr(sb, "", "lf", "user.k", "v", 1) < 0);
		assert_true(getxattr(in_top("root/f"), "user.k", buf, sizeof(buf)) < 0);
	}
	/* u::rw-,u:7:r--,g::r--,m::r--,o::--- in the kernel's form */
	static const unsigned char acl[] = { 2, 0, 0, 0, 1, 0, 6, 0, 0xff, 0xff, 0xff, 0xff, 2, 0, 4, 0, 7, 0, 0, 0,
		4, 0, 4, 0, 0xff, 0xff, 0xff, 0xff, 0x10, 0, 4, 0, 0xff, 0xff, 0xff, 0xff, 0x20, 0, 0, 0, 0xff, 0xff, 0xff, 0xff };
	r = sb_setxattr(sb, "", "at", SB_ACL_ACCESS, acl, sizeof(acl));
	if (r != -EOPNOTSUPP) {
		assert_int_equal(r, 0);
		assert_int_equal(sb_getxattr(sb, "", "at", SB_ACL_ACCESS, buf, sizeof(buf)), sizeof(acl));
		assert_memory_equal(buf, acl, sizeof(acl));
		assert_int_equal(sb_setxattr(sb, "", "ad", SB_ACL_DEFAULT, acl, sizeof(acl)), 0);
		assert_int_equal(sb_removexattr(sb, "", "ad", SB_ACL_DEFAULT), 0);
	}
	assert_int_equal(sb_rmdir(sb, "", "ad"), 0);
	assert_int_equal(sb_unlink(sb, "", "at"), 0);
}

BOTH(moving_and_linking)
{
	_cleanup_anchor_ struct anchor *a = anchor(LINKS_REFUSE, 0);
	_cleanup_anchor_ struct anchor *sub = NULL;
	_cleanup_sb_ struct sb *sb = sb_new(a, 4);
	struct stat st, st2;

	assert_int_equal(anchor_sub(&sub, a, "side/deep", LINKS_REFUSE, LINKS_REFUSE, ANCHOR_CREATE), -ENOENT);
	assert_int_equal(anchor_sub(&sub, a, "side/deep", LINKS_REFUSE, LINKS_REFUSE, ANCHOR_CREATE_PARENTS), 0);
	_cleanup_sb_ struct sb *side = sb_new(sub, 4);
	char where[PATH_LIMIT + 1];

	assert_int_equal(anchor_find(a, anchor_fd(sub), where), 0);
	assert_string_equal(where, "side/deep");
	assert_int_equal(anchor_find(a, anchor_fd(a), where), 0);
	assert_string_equal(where, "");
	assert_int_equal(anchor_find(sub, anchor_fd(a), where), -EXDEV);
	assert_int_equal(anchor_find(a, 0x3fffff, where), -EBADF);
	put("root/m", "m");
	assert_int_equal(sb_link(sb, "", "m", side, "", "l"), 0);
	assert_int_equal(sb_lstat(sb, "side/deep", "l", &st), 0);
	assert_int_equal(st.st_nlink, 2);
	assert_int_equal(sb_link(sb, "", "m", side, "", "l"), -EEXIST);
	assert_int_equal(sb_rename(sb, "", "m", side, "", "n", SB_NOREPLACE), 0);
	assert_int_equal(sb_lstat(sb, "", "m", &st), -ENOENT);
	assert_int_equal(sb_rename(side, "", "n", sb, "", "f", SB_NOREPLACE), -EEXIST);
	assert_int_equal(sb_lstat(sb, "", "f", &st2), 0);
	assert_int_equal(sb_rename(side, "", "n", sb, "", "f", SB_EXCHANGE), 0);
	assert_true(has("root/side/deep/n", "f"));
	assert_int_equal(sb_rename(side, "", "n", sb, "", "f", 0), 0);
	assert_true(has("root/f", "f"));
	/* a symlink is linked and moved itself */
	assert_int_equal(sb_link(sb, "", "lsecret", sb, "d", "ls2"), 0);
	assert_int_equal(sb_lstat(sb, "d", "ls2", &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	assert_int_equal(sb_unlink(sb, "d", "ls2"), 0);
	assert_int_equal(sb_unlink(side, "", "l"), 0);
	assert_int_equal(sb_rmdir(sb, "side", "deep"), 0);
	/* the view of the removed directory says so */
	assert_int_equal(sb_mkdir(side, "", "x", 0755), -ENOENT);
	assert_int_equal(sb_rmdir(sb, "", "side"), 0);
	outside_untouched();
}

BOTH(listing)
{
	_cleanup_sb_ struct sb *sb = view(LINKS_REFUSE, 0);
	struct sb_dir *d, *d2;
	struct sb_dirent e;
	struct stat st;
	char name[64];
	unsigned n = 0;

	assert_int_equal(sb_mkdir(sb, "", "many", 0755), 0);
	for (int i = 0; i < 1500; i++) {
		snprintf(name, sizeof(name), "a-rather-long-file-name-%d", i);
		assert_int_equal(sb_symlink(sb, "x", "many", name), 0);
	}
	sb_forget(sb, NULL);
	assert_int_equal(sb_opendir(sb, "", "many", 0, &d, &st), 0);
	assert_true(S_ISDIR(st.st_mode));
	while (sb_readdir(d, &e) == 1) {
		n++;
		assert_int_equal(e.len, strlen(e.name));
		assert_int_equal(sb_dir_lstat(d, e.name, &st), 0);
		assert_int_equal(sb_lstat(sb, "many", e.name, &st), 0);
		assert_int_equal(st.st_ino, e.ino);
	}
	assert_int_equal(n, 1500);
	/* a second listing of the same directory, and the cache emptied under both */
	assert_int_equal(sb_opendir(sb, "many", ".", 0, &d2, NULL), 0);
	assert_int_equal(sb_readdir(d2, &e), 1);
	sb_forget(sb, NULL);
	assert_int_equal(sb_dir_lstat(d, e.name, &st), 0);
	assert_int_equal(sb_readdir(d2, &e), 1);
	sb_closedir(d2);
	sb_closedir(d);
	assert_int_equal(sb_opendir(sb, "many", ".", 0, &d, NULL), 0);
	while (sb_readdir(d, &e) == 1) {
		snprintf(name, sizeof(name), "%s", e.name);
		assert_int_equal(sb_unlink(sb, "many", name), 0);
	}
	assert_int_equal(sb_rmdir(sb, "", "many"), 0);
	assert_int_equal(sb_readdir(d, &e), 0);
	sb_closedir(d);
	assert_int_equal(sb_opendir(sb, "", "f", 0, &d, NULL), -ENOTDIR);
	assert_int_equal(sb_opendir(sb, "f", ".", 0, &d, NULL), -ENOTDIR);
	assert_int_equal(sb_opendir(sb, "", "nothing", 0, &d, NULL), -ENOENT);
	assert_int_equal(sb_opendir(sb, "", ".", 0, &d, NULL), 0);
	assert_int_equal(sb_readdir(d, &e), 1);
	sb_closedir(d);
}

BOTH(read_only)
{
	_cleanup_anchor_ struct anchor *a = anchor(LINKS_REFUSE, ANCHOR_READ_ONLY);
	_cleanup_anchor_ struct anchor *sub = NULL;
	_cleanup_sb_ struct sb *ro = sb_new(a, 0), *rw = view(LINKS_REFUSE, 0);
	char name[SB_NAME_MAX + 1];
	struct timespec t = { 1, 0 };
	struct stat st;

	assert_int_equal(anchor_sub(&sub, a, "new", LINKS_REFUSE, LINKS_REFUSE, ANCHOR_CREATE), -EROFS);
	assert_int_equal(anchor_sub(&sub, a, "d", LINKS_REFUSE, LINKS_REFUSE, 0), 0);
	assert_true(anchor_read_only(sub));
	assert_int_equal(sb_open_write(ro, "", "f", 0, 0, &st), -EROFS);
	assert_int_equal(sb_create_temp(ro, "", "f", 0, 0600, name), -EROFS);
	assert_int_equal(sb_mkdir(ro, "", "x", 0755), -EROFS);
	assert_int_equal(sb_mkdirs(ro, "x/y", 0755), -EROFS);
	assert_int_equal(sb_rmdir(ro, "d", "e"), -EROFS);
	assert_int_equal(sb_unlink(ro, "", "f"), -EROFS);
	assert_int_equal(sb_symlink(ro, "x", "", "x"), -EROFS);
	assert_int_equal(sb_link(ro, "", "f", ro, "", "x"), -EROFS);
	assert_int_equal(sb_link(rw, "", "f", ro, "", "x"), -EROFS);
	assert_int_equal(sb_rename(ro, "", "f", rw, "", "x", 0), -EROFS);
	assert_int_equal(sb_rename(rw, "", "f", ro, "", "x", 0), -EROFS);
	assert_int_equal(sb_mknod(ro, "", "x", S_IFIFO | 0600), -EROFS);
	assert_int_equal(sb_chmod(ro, "", "f", 0600), -EROFS);
	assert_int_equal(sb_chown(ro, "", "f", 0, 0), -EROFS);
	assert_int_equal(sb_utimes(ro, "", "f", &t, &t), -EROFS);
	assert_int_equal(sb_setxattr(ro, "", "f", "user.x", "v", 1), -EROFS);
	assert_int_equal(sb_removexattr(ro, "", "f", "user.x"), -EROFS);
	/* --link-dest: the basis may be read-only, the new name is elsewhere */
	assert_int_equal(sb_link(ro, "", "f", rw, "d", "hl"), 0);
	assert_int_equal(sb_unlink(rw, "d", "hl"), 0);
}

BOTH(sub_anchors)
{
	_cleanup_anchor_ struct anchor *a = anchor(LINKS_REFUSE, 0);
	static const struct { const char *rel; enum links links; unsigned flags; int want; } rows[] = {
		{ "", LINKS_REFUSE, 0, 0 }, { ".", LINKS_REFUSE, 0, 0 }, { "d//e/.", LINKS_REFUSE, 0, 0 },
		{ "/d", LINKS_REFUSE, 0, -EINVAL }, { "d/..", LINKS_REFUSE, 0, -EINVAL }, { "d/../d", LINKS_REFUSE, ANCHOR_DOTDOT, 0 },
		{ "d/../..", LINKS_REFUSE, ANCHOR_DOTDOT, -ELOOP }, { "../out", LINKS_REFUSE, ANCHOR_DOTDOT, -ELOOP },
		{ "in", LINKS_REFUSE, 0, -ELOOP }, { "in", LINKS_IN_ROOT, 0, 0 }, { "esc", LINKS_IN_ROOT, 0, -ELOOP },
		{ "in/../d", LINKS_REFUSE, ANCHOR_DOTDOT, -ELOOP }, { "twice/../e", LINKS_IN_ROOT, ANCHOR_DOTDOT, 0 },
		{ "abs", LINKS_IN_ROOT, 0, -ELOOP }, { "f", LINKS_REFUSE, 0, -ENOTDIR }, { "f/x", LINKS_REFUSE, 0, -ENOTDIR },
		{ "no", LINKS_REFUSE, 0, -ENOENT }, { "in", LINKS_FREE, 0, -EINVAL }, { "esc/new", LINKS_IN_ROOT, ANCHOR_CREATE_PARENTS, -ELOOP },
		{ "esc/new", LINKS_REFUSE, ANCHOR_CREATE_PARENTS, -ELOOP }, { "f", LINKS_REFUSE, ANCHOR_CREATE, -ENOTDIR },
		{ "d", LINKS_REFUSE, ANCHOR_CREATE, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_anchor_ struct anchor *s = NULL;
		int r = anchor_sub(&s, a, rows[i].rel, rows[i].links, LINKS_REFUSE, rows[i].flags);
		if (r != rows[i].want)
			print_error("row %zu %s\n", i, rows[i].rel);
		assert_int_equal(r, rows[i].want);
		assert_int_equal(s != NULL, r == 0);
	}
	outside_untouched();
}

/* What a plain user may and may not, in a forked child so that the rest stays root. */
static int as_nobody(void)
{
	struct stat st;
	struct sb *sb = view(LINKS_REFUSE, 0);
	char name[SB_NAME_MAX + 1], buf[8];
	const struct timespec t = { 5, 0 };

#define EXPECT(want, call) do { long got_ = (long)(call); if (got_ != (want)) { \
	fprintf(stderr, "nobody: %s = %ld\n", #call, got_); return 1; } } while (0)
	int fd = sb_create_temp(sb, "d", "mine", 0, 0600, name);
	if (fd < 0)
		return 1;
	close(fd);
	EXPECT(0, sb_chmod(sb, "d", name, 0200));
	/* the portable way needs to open what it changes, and says so where it cannot */
	EXPECT(0, sb_chmod(sb, "d", name, 0000));
	EXPECT(how ? -EOPNOTSUPP : 0, sb_chmod(sb, "d", name, 0600));
	EXPECT(0, sb_utimes(sb, "d", name, &t, &t));
	EXPECT(-EPERM, sb_chown(sb, "d", name, 1, (gid_t)-1));
	EXPECT(0, sb_rename(sb, "d", name, sb, "d/e", "mine", 0));
	EXPECT(0, sb_unlink(sb, "d/e", "mine"));
	EXPECT(-EPERM, sb_chmod(sb, "", "f", 0777));
	EXPECT(-EPERM, sb_utimes(sb, "", "f", &t, &t));
	EXPECT(-EACCES, sb_open_write(sb, "", "f", 0, 0, &st));
	EXPECT(-EACCES, sb_lstat(sb, "closed", "x", &st));
	EXPECT(-EACCES, sb_getxattr(sb, "closed", "x", "user.x", buf, sizeof(buf)));
	EXPECT(0, sb_lstat(sb, "", "closed", &st));
	sb_free(sb);
	return 0;
}

BOTH(plain_user)
{
	int status;

	if (geteuid() != 0)
		return;
	mkdir(in_top("root/closed"), 0700);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		if (setgid(65534) || setuid(65534))
			_exit(2);
		_exit(as_nobody());
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	rmdir(in_top("root/closed"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hostile_names), cmocka_unit_test(odd_but_legal_names), cmocka_unit_test(deep_paths),
		cmocka_unit_test(links_refused), cmocka_unit_test(links_followed_inside_only), cmocka_unit_test(leaf_following),
		cmocka_unit_test(types_are_checked), cmocka_unit_test(whole_in_one_go), cmocka_unit_test(temp_names), cmocka_unit_test(attributes),
		cmocka_unit_test(moving_and_linking), cmocka_unit_test(listing),
		cmocka_unit_test(read_only), cmocka_unit_test(sub_anchors), cmocka_unit_test(plain_user),
	
	};

	if (geteuid() != 0)
		return 77; /* owners, foreign links and a second user are half of what is tested */
	return cmocka_run_group_tests(tests, start, stop);
}
