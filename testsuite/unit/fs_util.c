/* fs_util.c - see fs_util.h. */
#include "config.h"
#include "testsuite/unit/fs_util.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

char top[64];
unsigned how;

const char *in_top(const char *rel)
{
	static char names[4][8192];
	static unsigned n;
	char *p = names[n++ % 4];

	snprintf(p, sizeof(names[0]), "%s/%s", top, rel);
	return p;
}

void put(const char *rel, const char *text)
{
	int fd = open(in_top(rel), O_WRONLY | O_CREAT | O_TRUNC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

bool has(const char *rel, const char *text)
{
	char b[256] = "";
	int fd = open(in_top(rel), O_RDONLY);

	if (fd < 0)
		return false;
	ssize_t n = read(fd, b, sizeof(b) - 1);
	close(fd);
	return n >= 0 && !strcmp(b, text);
}

static unsigned open_fds(void)
{
	unsigned n = 0;
	DIR *d = opendir("/proc/self/fd");

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

struct anchor *anchor(enum links links, unsigned flags)
{
	struct anchor *a;

	assert_int_equal(anchor_open(&a, in_top("root"), TRUST_OWNER, links, flags | how), 0);
	return a;
}

struct sb *view(enum links links, unsigned flags)
{
	_cleanup_anchor_ struct anchor *a = anchor(links, flags);
	struct sb *sb = sb_new(a, 8);

	assert_non_null(sb);
	return sb;
}

int start(void **state)
{
	(void)state;
	snprintf(top, sizeof(top), "/tmp/kedge-fs-XXXXXX");
	umask(022);
	if (!mkdtemp(top) || chmod(top, 0777) || mkdir(in_top("root"), 0777) || mkdir(in_top("out"), 0777) ||
	    mkdir(in_top("root/d"), 0777) || mkdir(in_top("root/d/e"), 0777))
		return -1;
	chmod(in_top("root"), 01777);
	chmod(in_top("out"), 0777);
	chmod(in_top("root/d"), 0777);
	chmod(in_top("root/d/e"), 0777);
	put("out/secret", "secret");
	put("root/f", "f");
	put("root/d/g", "gg");
	static const char *const links[][2] = {
		{ "../out", "esc" }, { "d", "in" }, { "d/e/../../d", "dots" }, { "f", "lf" }, { "../out/secret", "lsecret" },
		{ "loop", "loop" }, { "..", "up" }, { "d/e/../../../root/d", "around" }, { "nothing", "broken" }, { "in/e", "twice" },
	};
	for (size_t i = 0; i < ARRAY_SIZE(links); i++) {
		char p[128];
		snprintf(p, sizeof(p), "root/%s", links[i][1]);
		if (symlink(links[i][0], in_top(p)))
			return -1;
	}
	return symlink(in_top("root/d"), in_top("root/abs")) | symlink("/proc/self/cwd", in_top("root/magic"));
}

int stop(void **state)
{
	char cmd[2 * sizeof(top) + 64];

	(void)state;
	snprintf(cmd, sizeof(cmd), "chmod -R u+rwx %s; rm -rf %s", top, top);
	return system(cmd);
}

void twice(void (*test)(void))
{
	for (unsigned i = 0; i < 2; i++) {
		unsigned before = open_fds();
		how = i ? ANCHOR_PORTABLE : 0;
		test();
		assert_int_equal(open_fds(), before);
	}
}
