/*
 * landlock.c - file-system rights by Landlock; see landlock.h.
 */
#include "config.h"

#include <errno.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "sandbox/landlock.h"

/* The same numbers on every architecture. */
#define NR_CREATE_RULESET 444
#define NR_ADD_RULE 445
#define NR_RESTRICT_SELF 446

#define CREATE_RULESET_VERSION 1u
#define RULE_PATH_BENEATH 1

#define NET_BIND_TCP 1u
#define NET_CONNECT_TCP 2u
#define SCOPE_ABSTRACT_UNIX 1u
#define SCOPE_SIGNAL 2u

struct ruleset_attr {
	uint64_t fs, net, scoped;
};

struct path_beneath_attr {
	uint64_t allowed;
	int32_t parent_fd;
} __attribute__((packed));

#define FILE_RIGHTS (LL_EXECUTE | LL_WRITE_FILE | LL_READ_FILE | LL_TRUNCATE | LL_IOCTL_DEV)

int landlock_abi(void)
{
	long abi = syscall(NR_CREATE_RULESET, NULL, (size_t)0, CREATE_RULESET_VERSION);

	return abi > 0 ? (int)abi : 0;
}

static uint64_t known_rights(int abi)
{
	uint64_t last = abi >= 5 ? LL_IOCTL_DEV : abi >= 3 ? LL_TRUNCATE : abi >= 2 ? LL_REFER : LL_MAKE_SYM;

	return last * 2 - 1;
}

int landlock_prepare(int abi, const struct landlock_rule *rules, size_t n)
{
	struct ruleset_attr attr = { .fs = known_rights(abi) };
	size_t size = sizeof attr.fs;
	int ruleset;

	if (abi >= 4) {
		attr.net = NET_BIND_TCP | NET_CONNECT_TCP;
		size = offsetof(struct ruleset_attr, scoped);
	}
	if (abi >= 6) {
		attr.scoped = SCOPE_ABSTRACT_UNIX | SCOPE_SIGNAL;
		size = sizeof attr;
	}
	ruleset = (int)syscall(NR_CREATE_RULESET, &attr, size, 0u);
	if (ruleset < 0)
		return -errno;
	for (size_t i = 0; i < n; i++) {
		struct path_beneath_attr rule = { .allowed = rules[i].rights & attr.fs, .parent_fd = rules[i].fd };
		struct stat st;
		int err = 0;

		if (fstat(rules[i].fd, &st) < 0)
			err = errno;
		else if (!S_ISDIR(st.st_mode))
			rule.allowed &= FILE_RIGHTS;
		if (!err && rule.allowed && syscall(NR_ADD_RULE, ruleset, RULE_PATH_BENEATH, &rule, 0u) < 0)
			err = errno;
		if (err) {
			close(ruleset);
			return -err;
		}
	}
	return ruleset;
}

int landlock_enter(int ruleset)
{
	return syscall(NR_RESTRICT_SELF, ruleset, 0u) < 0 ? -errno : 0;
}
