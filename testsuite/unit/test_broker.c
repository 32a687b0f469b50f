/*
 * test_broker.c - the device broker: its policy, each of its rules broken once, races, its end.
 */
#include "config.h"
#include "testsuite/unit/unit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "sandbox/broker_proto.h"
#include "sandbox/seccomp.h"
#include "sandbox/spawn.h"

static char top[64];
static int topfd = -1, modfd = -1, audit[2] = { -1, -1 };
static struct broker_handle handle;
static struct broker bk;

static struct broker_config base_config(void)
{
	struct broker_config cfg = { .root_fd = modfd, .may = BROKER_MAY_MAKE, .audit_fd = audit[1], .client = "192.0.2.7", .user = "joe", .module = "m\nod", .session = "42" };
	char why[80];

	assert_int_equal(device_policy_parse("c 1:3, c 5:0-2, b 7", &cfg.policy, why, sizeof why), 0);
	return cfg;
}

static void start(const struct broker_config *cfg)
{
	struct err e = { 0 };

	if (broker_start(cfg, &handle, NULL, &e) < 0) {
		print_message("%s\n", e.text);
		assert_true(false);
	}
	broker_init(&bk, TAKE_FD(handle.worker_fd));
	broker_phase_begin(&handle, BROKER_MAY_MAKE | BROKER_MAY_OPEN);
}

static void start_default(void)
{
	struct broker_config cfg = base_config();

	start(&cfg);
}

static int stop(void **state)
{
	(void)state;
	broker_close(&bk);
	broker_stop(&handle);
	return 0;
}

/* What the audit pipe holds now. */
static const char *records(void)
{
	static char text[65536];
	ssize_t n = read(audit[0], text, sizeof text - 1);

	text[n > 0 ? n : 0] = 0;
	return text;
}

static bool have(const char *name)
{
	struct stat s;

	return fstatat(modfd, name, &s, AT_SYMLINK_NOFOLLOW) == 0;
}

/* Empties the module and makes its directories anew. */
static int fresh(void **state)
{
	char cmd[512];

	(void)state;
	snprintf(cmd, sizeof cmd, "cd %s && rm -rf mod/* mod/.[!.]* out && mkdir -p mod/dir mod/open mod/sticky mod/other out && chmod 777 mod/open "
		"&& chmod 1777 mod/sticky && chown 65534 mod/other && ln -s ../out mod/esc && ln -s dir mod/in && touch mod/file", top);
	if (system(cmd))
		return -1;
	records();
	return 0;
}

/* ---- policy ---- */

static void policy_table(void **state)
{
	static const struct { const char *text; const char *why; } bad[] = {
		{ "c", "begin" }, { "x 1:3", "begin" }, { "c 1:3,", "empty" }, { ", c 1:3", "empty" }, { "c 4096", "major" }, { "c 1:1048576", "minor" },
		{ "c 1:3-2", "before" }, { "c 1:", "minor" }, { "c 1:3-", "range" }, { "c 1:3 4", "behind" }, { "c 99999999999999", "major" },
		{ "none, c 1:3", "alone" }, { "c -1", "major" }, { "anything", "begin" }, { "c 1.3", "':'" }, { "c1:3", "begin" },
	};
	static const struct { const char *text; char type; uint32_t major, minor; int want; } table[] = {
		{ "none", 'c', 1, 3, -EPERM }, { "", 'c', 1, 3, -EPERM }, { "  none ", 'b', 1, 3, -EPERM },
		{ "any", 'c', 1, 3, DEVICE_BY_ANY }, { "any", 'c', 0, 0, -EPERM }, { "any", 'b', 0, 0, DEVICE_BY_ANY }, { "any", 'c', 0, 1, DEVICE_BY_ANY },
		{ "any, c 0:0", 'c', 0, 0, DEVICE_BY_WHITEOUT }, { "c 0:0", 'c', 0, 0, DEVICE_BY_WHITEOUT }, { "c 0:0", 'c', 1, 3, -EPERM },
		{ "c 0:0-5", 'c', 0, 0, -EPERM }, { "c 0:0-5", 'c', 0, 1, 0 }, { "c 0", 'c', 0, 0, -EPERM },
		{ "c 1:3", 'c', 1, 3, 0 }, { "c 1:3", 'b', 1, 3, -EPERM }, { "c 1:3", 'c', 1, 4, -EPERM }, { "c 1:3", 'c', 2, 3, -EPERM },
		{ "b 7:0-255,c 5:0-2", 'b', 7, 255, 0 }, { "b 7:0-255,c 5:0-2", 'b', 7, 256, -EPERM }, { "b 7:0-255,c 5:0-2", 'c', 5, 2, 1 },
		{ "c\t1 , b 8", 'b', 8, 1048575, 1 }, { "any", 'c', 4096, 0, -EINVAL }, { "any", 'c', 1, 1048576, -EINVAL },
		{ "c 4095:1048575", 'c', 4095, 1048575, 0 },
	};
	struct device_policy p;
	char why[80], many[1024] = "c 1";

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(device_policy_parse(bad[i].text, &p, why, sizeof why), -EINVAL);
		if (!strstr(why, bad[i].why))
			print_message("%s: %s\n", bad[i].text, why);
		assert_non_null(strstr(why, bad[i].why));
		assert_true(device_policy_none(&p));
	}
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		assert_int_equal(device_policy_parse(table[i].text, &p, why, sizeof why), 0);
		assert_int_equal(device_policy_check(&p, table[i].type == 'c' ? S_IFCHR : S_IFBLK, table[i].major, table[i].minor), table[i].want);
	}
	assert_int_equal(device_policy_check(&p, S_IFIFO, 1, 3), -EINVAL);
	for (int i = 0; i < 64; i++)
		strcat(many, ",c 1");
	assert_int_equal(device_policy_parse(many, &p, why, sizeof why), -EINVAL);
	device_policy_own(&p);
	assert_int_equal(device_policy_check(&p, S_IFCHR, 0, 0), DEVICE_BY_WHITEOUT);
}

/* ---- what it does ---- */

static void makes_nodes(void **state)
{
	struct broker_node n;
	struct stat s;
	const char *log;

	(void)state;
	start_default();
	assert_int_equal(broker_mknod(&bk, "", "null", S_IFCHR, 1, 3, &n), 0);
	assert_int_equal(fstatat(modfd, "null", &s, AT_SYMLINK_NOFOLLOW), 0);
	assert_true(s.st_mode == S_IFCHR && s.st_rdev == makedev(1, 3) && s.st_ino == n.ino && s.st_dev == n.dev && s.st_uid == 0);
	assert_int_equal(broker_mknod(&bk, "dir", "loop \"x\"", S_IFBLK, 7, 5, &n), 0);
	assert_true(have("dir/loop \"x\""));
	assert_int_equal(broker_mknod(&bk, "", "null", S_IFCHR, 1, 3, &n), -EEXIST);
	assert_int_equal(broker_mknod(&bk, "", "esc", S_IFCHR, 1, 3, &n), -EEXIST);
	assert_int_equal(broker_mknod(&bk, "", "file", S_IFCHR, 1, 3, &n), -EEXIST);
	log = records();
	assert_non_null(strstr(log, "client=192.0.2.7 user=joe module=m\\#012od op=MKNOD path=\"null\" type=c dev=1:3 verdict=granted rule=\"c 1:3-3\" errno=0\n"));
	assert_non_null(strstr(log, "path=\"dir/loop\\#040\\#042x\\#042\" type=b dev=7:5 verdict=done"));
	assert_non_null(strstr(log, "verdict=failed rule=\"c 1:3-3\" errno=17\n"));
	/* Sticky directories of root and the module's own are fine. */
	assert_int_equal(broker_mknod(&bk, "sticky", "null", S_IFCHR, 5, 2, NULL), 0);
}

static void replaces_by_renaming(void **state)
{
	char temp[BROKER_LEAF];
	struct broker_node n, m;
	struct stat s;

	(void)state;
	start_default();
	assert_int_equal(broker_mktemp(&bk, "dir", "null", S_IFCHR, 1, 3, temp, &n), 0);
	assert_int_equal(strncmp(temp, ".null.", 6), 0);
	assert_int_equal(broker_move(&bk, "dir", temp, "", "file", false, &m), -EEXIST);
	assert_true(broker_move(&bk, "dir", temp, "", "sticky", true, &m) < 0 && have("sticky/.")); /* never a directory */
	assert_int_equal(broker_move(&bk, "dir", temp, "", "file", true, &m), 0);
	assert_true(m.ino == n.ino && fstatat(modfd, "file", &s, AT_SYMLINK_NOFOLLOW) == 0 && s.st_ino == n.ino);
	assert_int_equal(broker_link(&bk, "", "file", "dir", "linked", &m), 0);
	assert_int_equal(fstatat(modfd, "dir/linked", &s, AT_SYMLINK_NOFOLLOW), 0);
	assert_true(s.st_ino == n.ino && s.st_nlink == 2);
	/* Not nodes, or not covered ones. */
	assert_int_equal(mknodat(modfd, "full", S_IFCHR, makedev(1, 7)), 0);
	assert_int_equal(close(openat(modfd, "plain", O_CREAT | O_WRONLY | O_CLOEXEC, 0600)), 0);
	assert_int_equal(broker_move(&bk, "", "plain", "", "plain2", false, NULL), -EPERM);
	assert_int_equal(broker_move(&bk, "", "full", "", "full2", false, NULL), -EPERM);
	assert_int_equal(broker_link(&bk, "", "full", "", "full2", NULL), -EPERM);
	assert_int_equal(broker_link(&bk, "", "esc", "", "esc2", NULL), -EPERM); /* the symlink itself: no node */
	assert_int_equal(broker_link(&bk, "", "in", "", "x", NULL), -EPERM);
	assert_int_equal(broker_open(&bk, "", "file", false, &(int){ 0 }), -EPERM);
}

static void a_long_leaf_makes_a_temporary(void **state)
{
	char leaf[BROKER_LEAF], temp[BROKER_LEAF];

	(void)state;
	memset(leaf, 'x', 255);
	leaf[255] = 0;
	start_default();
	assert_int_equal(broker_mktemp(&bk, "dir", leaf, S_IFCHR, 1, 3, temp, NULL), 0);
	assert_true(strlen(temp) <= 255);
	assert_int_equal(broker_move(&bk, "dir", temp, "dir", leaf, false, NULL), 0);
}

static void opens_when_permitted(void **state)
{
	struct broker_config cfg = base_config();
	int fd;

	(void)state;
	cfg.may |= BROKER_MAY_OPEN;
	start(&cfg);
	assert_int_equal(mknodat(modfd, "null", S_IFCHR | 0600, makedev(1, 3)), 0);
	assert_int_equal(mknodat(modfd, "full", S_IFCHR | 0600, makedev(1, 7)), 0);
	assert_int_equal(broker_open(&bk, "", "null", true, &fd), 0);
	assert_int_equal(write(fd, "x", 1), 1);
	close(fd);
	assert_int_equal(broker_open(&bk, "", "null", false, &fd), 0);
	assert_int_equal(read(fd, &(char){ 0 }, 1), 0);
	close(fd);
	assert_int_equal(broker_open(&bk, "", "full", true, &fd), -EPERM);
	assert_int_equal(broker_open(&bk, "", "file", true, &fd), -EPERM);
	assert_int_equal(broker_mknod(&bk, "", "after", S_IFCHR, 1, 3, NULL), 0);
}

static void refuses_names_and_places(void **state)
{
	char longname[300];

	(void)state;
	memset(longname, 'n', sizeof longname - 1);
	longname[sizeof longname - 1] = 0;
	start_default();
	static const char *const leaves[] = { ".", "..", "a/b", "/", "x/" };
	for (size_t i = 0; i < ARRAY_SIZE(leaves); i++)
		assert_int_equal(broker_mknod(&bk, "", leaves[i], S_IFCHR, 1, 3, NULL), -EINVAL);
	assert_int_equal(broker_mknod(&bk, "", longname, S_IFCHR, 1, 3, NULL), -ENAMETOOLONG);
	assert_int_equal(broker_mknod(&bk, "", "", S_IFCHR, 1, 3, NULL), -ENOENT);
	static const char *const parents[] = { "..", "/", "/dir", "dir/", "dir//x", "dir/..", "./dir", "dir/./x", "." };
	for (size_t i = 0; i < ARRAY_SIZE(parents); i++)
		assert_int_equal(broker_mknod(&bk, parents[i], "n", S_IFCHR, 1, 3, NULL), -EINVAL);
	assert_int_equal(broker_mknod(&bk, "esc", "n", S_IFCHR, 1, 3, NULL), -ELOOP);
	assert_int_equal(broker_mknod(&bk, "in", "n", S_IFCHR, 1, 3, NULL), -ELOOP);
	assert_int_equal(broker_mknod(&bk, "file", "n", S_IFCHR, 1, 3, NULL), -ENOTDIR);
	assert_int_equal(broker_mknod(&bk, "none", "n", S_IFCHR, 1, 3, NULL), -ENOENT);
	assert_int_equal(broker_mknod(&bk, "open", "n", S_IFCHR, 1, 3, NULL), -EACCES);
	assert_int_equal(broker_mknod(&bk, "other", "n", S_IFCHR, 1, 3, NULL), -EACCES);
	assert_int_equal(broker_mknod(&bk, "", "n", S_IFCHR, 1, 5, NULL), -EPERM);
	assert_int_equal(broker_mknod(&bk, "", "n", S_IFCHR, 0, 0, NULL), -EPERM);
	assert_int_equal(broker_mknod(&bk, "", "n", S_IFBLK, 1, 3, NULL), -EPERM);
	assert_int_equal(broker_mknod(&bk, "", "n", S_IFBLK, 4096, 3, NULL), -EINVAL);
	assert_int_equal(broker_mknod(&bk, "", "n", S_IFIFO, 0, 0, NULL), -EINVAL);
	assert_int_equal(broker_mknod(&bk, "", "n", S_IFREG, 1, 3, NULL), -EINVAL);
	assert_int_equal(broker_mknod(&bk, "", "n", S_IFCHR | 04000, 1, 3, NULL), -EINVAL);
	assert_int_equal(broker_mknod(&bk, "", "n", S_IFCHR | 0666, 1, 3, NULL), -EINVAL);
	assert_int_equal(broker_mknod(&bk, "", "n", 0x10000 | S_IFCHR, 1, 3, NULL), -EINVAL);
	assert_false(have("n"));
	assert_non_null(strstr(records(), "verdict=refused"));
}

static void invoking_users_own_authority(void **state)
{
	struct broker_config cfg = base_config();

	(void)state;
	cfg.own_authority = true;
	device_policy_own(&cfg.policy);
	start(&cfg);
	assert_int_equal(broker_mknod(&bk, "other", "null", S_IFCHR, 1, 3, NULL), 0);
	assert_int_equal(broker_mknod(&bk, "other", "wh", S_IFCHR, 0, 0, NULL), 0);
	assert_int_equal(broker_mknod(&bk, "esc", "null", S_IFCHR, 1, 3, NULL), -ELOOP);
}

static void module_with_a_uid(void **state)
{
	struct broker_config cfg = base_config();
	struct stat s;

	(void)state;
	cfg.set_ids = true;
	cfg.uid = cfg.gid = 65534;
	start(&cfg);
	assert_int_equal(broker_mknod(&bk, "other", "null", S_IFCHR, 1, 3, NULL), 0);
	assert_int_equal(fstatat(modfd, "other/null", &s, AT_SYMLINK_NOFOLLOW), 0);
	assert_int_equal(s.st_uid, 65534);
	assert_int_equal(broker_mknod(&bk, "dir", "null", S_IFCHR, 1, 3, NULL), -EACCES); /* root's: no DAC_OVERRIDE */
}

static void limits(void **state)
{
	struct broker_config cfg = base_config();
	char name[16];

	(void)state;
	cfg.limits.per_session = 5;
	start(&cfg);
	for (int i = 0; i < 5; i++) {
		snprintf(name, sizeof name, "n%d", i);
		assert_int_equal(broker_mknod(&bk, "", name, S_IFCHR, 1, 3, NULL), 0);
	}
	assert_int_equal(broker_mknod(&bk, "", "n5", S_IFCHR, 1, 3, NULL), -EDQUOT);
	assert_false(have("n5"));
}

static void audit_that_must_be_kept(void **state)
{
	struct broker_config cfg = base_config();
	int p[2];

	(void)state;
	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	cfg.audit_fd = p[1];
	cfg.audit_required = true;
	start(&cfg);
	close(p[1]);
	assert_int_equal(broker_mknod(&bk, "", "first", S_IFCHR, 1, 3, NULL), 0);
	close(p[0]);
	assert_int_equal(broker_mknod(&bk, "", "second", S_IFCHR, 1, 3, NULL), -EIO);
	assert_int_equal(broker_mknod(&bk, "", "third", S_IFCHR, 1, 3, NULL), -EIO);
	assert_true(have("first") && !have("second") && !have("third"));
}

static void without_an_audit_sink(void **state)
{
	struct broker_config cfg = base_config();

	(void)state;
	cfg.audit_fd = -1;
	start(&cfg);
	assert_int_equal(broker_mknod(&bk, "", "a", S_IFCHR, 1, 3, NULL), 0);
	stop(NULL);
	cfg.audit_required = true;
	start(&cfg);
	assert_int_equal(broker_mknod(&bk, "", "b", S_IFCHR, 1, 3, NULL), -EIO);
	assert_false(have("b"));
}

/* ---- rules broken: each ends the broker ---- */

static struct broker_request request(uint64_t id)
{
	struct broker_request r = { .magic = BROKER_MAGIC, .version = BROKER_VERSION, .op = BROKER_MKNOD, .id = id, .mode = S_IFCHR,
		.major = 1, .minor = 3, .leaf_len = 1, .from.leaf = "v" };

	return r;
}

static void expect_violation(const char *what)
{
	int status;

	assert_int_equal(proc_wait(handle.pid, 3000, &status), 1);
	handle.pid = 0;
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1);
	if (what) {
		const char *log = records();

		if (!strstr(log, what))
			print_message("expected \"%s\" in %s\n", what, log);
		assert_non_null(strstr(log, what));
	}
	assert_false(have("v"));
	stop(NULL);
}

static void violate(struct broker_request r, size_t len, const char *what)
{
	start_default();
	assert_int_equal(send(bk.fd, &r, len, 0), (ssize_t)len);
	expect_violation(what);
}

static void violations(void **state)
{
	struct broker_request r = request(1);
	struct { struct broker_request r; char more[100]; } longer = { .r = request(1) };

	(void)state;
	violate(r, 10, "wrong length");
	violate(r, BROKER_SHORT - 1, "wrong length");
	violate(r, BROKER_LONG, "wrong length for the operation");
	start_default();
	assert_int_equal(send(bk.fd, &longer, sizeof longer, 0), (ssize_t)sizeof longer);
	expect_violation("wrong length");
	r.magic++;
	violate(r, BROKER_SHORT, "not a request");
	r = request(1), r.version = 2;
	violate(r, BROKER_SHORT, "not a request");
	r = request(1), r.op = BROKER_HELLO;
	violate(r, BROKER_SHORT, "not a request");
	r = request(1), r.op = 99;
	violate(r, BROKER_SHORT, "not a request");
	r = request(1), r.reserved[3] = 1;
	violate(r, BROKER_SHORT, "not zero");
	r = request(1), r.from.leaf[9] = 'x';
	violate(r, BROKER_SHORT, "not zero");
	r = request(1), r.from.parent[4000] = 'x';
	violate(r, BROKER_SHORT, "not zero");
	r = request(1), r.parent_len = 5000;
	violate(r, BROKER_SHORT, "out of range");
	r = request(1), r.leaf2_len = 1;
	violate(r, BROKER_SHORT, "not zero");
	r = request(1), r.flags = 1;
	violate(r, BROKER_SHORT, "not zero");
	violate(request(0), BROKER_SHORT, "out of order");
	violate(request(2), BROKER_SHORT, "out of order");
}

static void order_and_phase(void **state)
{
	struct broker_request r = request(1);
	struct broker_reply rep;

	(void)state;
	r.from.leaf[0] = 'w';
	start_default();
	assert_int_equal(send(bk.fd, &r, BROKER_SHORT, 0), BROKER_SHORT);
	assert_int_equal(recv(bk.fd, &rep, sizeof rep, 0), BROKER_REPLY);
	assert_int_equal(rep.err, 0);
	assert_int_equal(send(bk.fd, &r, BROKER_SHORT, 0), BROKER_SHORT); /* replay */
	expect_violation("out of order");

	start_default();
	broker_phase_end(&handle);
	assert_int_equal(broker_mknod(&bk, "", "v", S_IFCHR, 1, 3, NULL), -EPIPE);
	expect_violation("outside of the file-list phase");

	struct broker_config cfg = base_config();
	struct err e = { 0 };
	assert_int_equal(broker_start(&cfg, &handle, NULL, &e), 0);
	broker_init(&bk, TAKE_FD(handle.worker_fd));
	assert_int_equal(broker_mknod(&bk, "", "v", S_IFCHR, 1, 3, NULL), -EPIPE);
	expect_violation("outside of the file-list phase");
}

static void one_request_in_flight(void **state)
{
	struct broker_request r = request(1), s = request(2);
	struct broker_config cfg = base_config();

	(void)state;
	/* One creation a second: the first waits, and the second is seen to be there already. */
	cfg.limits.per_second = 1;
	start(&cfg);
	r.from.leaf[0] = 'w';
	assert_int_equal(send(bk.fd, &r, BROKER_SHORT, 0), BROKER_SHORT);
	assert_int_equal(send(bk.fd, &s, BROKER_SHORT, 0), BROKER_SHORT);
	expect_violation("before the reply");
}

static void rate(void **state)
{
	struct broker_config cfg = base_config();
	int r = 0, n = 0;

	(void)state;
	cfg.limits.per_second = 20;
	start(&cfg);
	/* Refused requests cost the broker time as well: past ten times the rate it ends. */
	while (n < 1000 && r != -EPIPE) {
		r = broker_mknod(&bk, "", "v", S_IFCHR, 1, 5, NULL);
		n++;
	}
	assert_int_equal(r, -EPIPE);
	assert_true(n > 200);
	expect_violation("ten times");
}

/* ---- descriptors, ends, races ---- */

static int count_fds(pid_t pid)
{
	char path[64];
	DIR *d;
	int n = 0;

	snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
	d = opendir(path);
	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n - 2;
}

static void descriptors_sent_along_are_dropped(void **state)
{
	struct broker_request r = request(1);
	struct broker_reply rep;
	union { struct cmsghdr h; char space[CMSG_SPACE(sizeof(int))]; } ctl = { .space = { 0 } };
	struct iovec iov = { .iov_base = &r, .iov_len = BROKER_SHORT };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &ctl, .msg_controllen = sizeof ctl };

	(void)state;
	start_default();
	assert_int_equal(count_fds(handle.pid), 6); /* 0-2, channel, root, audit */
	ctl.h.cmsg_level = SOL_SOCKET;
	ctl.h.cmsg_type = SCM_RIGHTS;
	ctl.h.cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(&ctl.h), &topfd, sizeof topfd);
	assert_int_equal(sendmsg(bk.fd, &mh, 0), BROKER_SHORT);
	assert_int_equal(recv(bk.fd, &rep, sizeof rep, 0), BROKER_REPLY);
	assert_int_equal(count_fds(handle.pid), 6);
}

static void status_line(pid_t pid, const char *key, char *out, size_t size)
{
	char path[64], line[256];
	FILE *f;

	snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
	f = fopen(path, "re");
	assert_non_null(f);
	out[0] = 0;
	while (fgets(line, sizeof line, f))
		if (!strncmp(line, key, strlen(key)) && line[strlen(key)] == ':')
			snprintf(out, size, "%s", line + strlen(key) + 1 + strspn(line + strlen(key) + 1, " \t"));
	fclose(f);
	out[strcspn(out, "\n")] = 0;
}

static void its_privileges_seen_from_outside(void **state)
{
	static const struct { const char *key, *value; } want[] = {
		{ "CapInh", "0000000000000000" }, { "CapPrm", "000000000800000a" }, { "CapEff", "000000000800000a" },
		{ "CapBnd", "000000000800000a" }, { "CapAmb", "0000000000000000" }, { "NoNewPrivs", "1" }, { "Seccomp", "2" },
	};
	char text[128], path[64], root[128];
	ssize_t n;

	(void)state;
	start_default();
	for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
		status_line(handle.pid, want[i].key, text, sizeof text);
		assert_string_equal(text, want[i].value);
	}
	snprintf(path, sizeof path, "/proc/%d/root", (int)handle.pid);
	n = readlink(path, root, sizeof root - 1);
	assert_true(n > 0);
	root[n] = 0;
	assert_non_null(strstr(root, "/mod"));
}

static void ends_with_the_worker_and_removes_temporaries(void **state)
{
	char temp[3][BROKER_LEAF], path[300];
	int status;

	(void)state;
	start_default();
	for (int i = 0; i < 3; i++)
		assert_int_equal(broker_mktemp(&bk, i ? "dir" : "", "t", S_IFCHR, 1, 3, temp[i], NULL), 0);
	assert_int_equal(broker_move(&bk, "dir", temp[2], "dir", "kept", false, NULL), 0);
	broker_close(&bk);
	assert_int_equal(proc_wait(handle.pid, 1000, &status), 1);
	handle.pid = 0;
	assert_int_equal(status, 0);
	assert_false(have(temp[0]));
	snprintf(path, sizeof path, "dir/%s", temp[1]);
	assert_false(have(path));
	assert_true(have("dir/kept"));
}

static void many_temporaries(void **state)
{
	char temp[BROKER_LEAF];

	(void)state;
	start_default();
	for (int i = 0; i < BROKER_TEMPS; i++)
		assert_int_equal(broker_mktemp(&bk, "", "t", S_IFCHR, 1, 3, temp, NULL), 0);
	assert_int_equal(broker_mktemp(&bk, "", "t", S_IFCHR, 1, 3, temp, NULL), -EMFILE);
	/* One is removed by the worker: there is room again. */
	assert_int_equal(unlinkat(modfd, temp, 0), 0);
	assert_int_equal(broker_mktemp(&bk, "", "t", S_IFCHR, 1, 3, temp, NULL), 0);
}

static void a_dead_broker_is_an_error(void **state)
{
	(void)state;
	start_default();
	proc_kill_wait(handle.pid, SIGKILL);
	handle.pid = 0;
	assert_int_equal(broker_mknod(&bk, "", "x", S_IFCHR, 1, 3, NULL), -EPIPE);
	assert_int_equal(broker_mknod(&bk, "", "x", S_IFCHR, 1, 3, NULL), -EPIPE);
	assert_false(have("x"));
	stop(NULL);
	broker_init(&bk, -1);
	assert_int_equal(broker_mknod(&bk, "", "x", S_IFCHR, 1, 3, NULL), -EPERM);
}

static void *ask_many(void *arg)
{
	char name[32];
	long bad = 0;

	for (int i = 0; i < 50; i++) {
		snprintf(name, sizeof name, "t%d-%d", *(int *)arg, i);
		bad += broker_mknod(&bk, "dir", name, S_IFCHR, 1, 3, NULL) != 0;
	}
	return (void *)bad;
}

static void several_threads(void **state)
{
	pthread_t t[3];
	int id[3] = { 0, 1, 2 };
	void *bad;

	(void)state;
	start_default();
	for (int i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&t[i], NULL, ask_many, &id[i]), 0);
	for (int i = 0; i < 3; i++) {
		pthread_join(t[i], &bad);
		assert_null(bad);
	}
}

/* Flips mod/dir between a directory and a symlink to ../out as fast as it can. */
static void flipper(void)
{
	for (;;)
		syscall(SYS_renameat2, modfd, "dir", modfd, "esc", RENAME_EXCHANGE);
}

static void races(void **state)
{
	pid_t flip;
	unsigned made = 0, refused = 0;
	char name[32], temp[BROKER_LEAF];
	struct broker_config cfg = base_config();
	DIR *d;

	(void)state;
	cfg.audit_fd = -1;
	cfg.limits.per_second = 100000;
	start(&cfg);
	flip = fork();
	if (flip == 0)
		flipper();
	for (int i = 0; i < 3000; i++) {
		int r;

		snprintf(name, sizeof name, "n%d", i);
		r = i % 3 ? broker_mknod(&bk, "dir", name, S_IFCHR, 1, 3, NULL) : broker_mktemp(&bk, "dir", name, S_IFCHR, 1, 3, temp, NULL);
		made += r == 0;
		refused += r == -ELOOP;
		if (!r && i % 3 == 0)
			r = broker_move(&bk, "dir", temp, "dir", name, true, NULL);
		assert_int_not_equal(r, -EPIPE);
	}
	proc_kill_wait(flip, SIGKILL);
	d = fdopendir(openat(topfd, "out", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	assert_non_null(d);
	for (struct dirent *de; (de = readdir(d)); )
		assert_true(de->d_name[0] == '.' && strlen(de->d_name) < 3);
	closedir(d);
	print_message("%u made, %u refused\n", made, refused);
	assert_true(made > 0 && refused > 0);
}

static int prepare(void **state)
{
	struct err e = { 0 };

	(void)state;
	if (geteuid()) {
		print_message("needs root: skipped\n");
		exit(77);
	}
	snprintf(top, sizeof top, "/tmp/kedge-broker-XXXXXX");
	if (!mkdtemp(top) || pipe2(audit, O_CLOEXEC) < 0)
		return -1;
	fcntl(audit[0], F_SETFL, O_NONBLOCK);
	fcntl(audit[0], F_SETPIPE_SZ, 1 << 20);
	chmod(top, 0755);
	topfd = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	mkdirat(topfd, "mod", 0755);
	modfd = openat(topfd, "mod", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (confine_prepare(false, CONFINE_DEFAULT, &e) < 0) {
		print_message("%s\n", e.text);
		return -1;
	}
	return 0;
}

static int finish(void **state)
{
	char cmd[128];

	(void)state;
	snprintf(cmd, sizeof cmd, "rm -rf %s", top);
	return system(cmd);
}

#define T(f) cmocka_unit_test_setup_teardown(f, fresh, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(policy_table),
		T(makes_nodes), T(replaces_by_renaming), T(a_long_leaf_makes_a_temporary), T(opens_when_permitted), T(refuses_names_and_places),
		T(invoking_users_own_authority), T(module_with_a_uid), T(limits), T(audit_that_must_be_kept), T(without_an_audit_sink),
		T(violations), T(order_and_phase), T(one_request_in_flight), T(rate), T(descriptors_sent_along_are_dropped),
		T(its_privileges_seen_from_outside), T(ends_with_the_worker_and_removes_temporaries), T(many_temporaries),
		T(a_dead_broker_is_an_error), T(several_threads), T(races),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests_name("broker", tests, prepare, finish);
}
