/*
 * confine.c - giving up power, layer by layer; see confine.h.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "sandbox/caps.h"
#include "sandbox/confine_priv.h"
#include "sandbox/fs_priv.h"
#include "sandbox/kcalls.h"
#include "sandbox/landlock.h"
#include "sandbox/spawn.h"

static bool done;

bool confine_done(void)
{
	return done;
}

#if UNDER_SANITIZER
/* The leak checker would need ptrace and clone, which a confined process has given up. */
int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void)
{
	return done;
}
#endif

static int failed(const struct confine_plan *plan, enum confine_layer layer, int err, const char *what, struct err *e)
{
	return fail(e, RX_UNSUPPORTED, "cannot confine the %s: %s: %s: %s", confine_role_name(plan->role),
		confine_layer_name(layer), what, strerror(err < 0 ? -err : err));
}

/* Environment of a daemon's role: what the C library needs to tell local time, and the operator's settings for sessions.
   The C library's own calls would copy, and free, in pages that were shared until then. */
static void clear_environment(void)
{
	static const char *const names[] = { "TZ=", "RSYNC_CHECKSUM_LIST=", "RSYNC_COMPRESS_LIST=", "RSYNC_MAX_ALLOC=", "CVSIGNORE=" };
	static char *kept[ARRAY_SIZE(names) + 1];
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		for (char **v = environ; v && *v; v++)
			if (!strncmp(*v, names[i], strlen(names[i]))) {
				kept[n++] = *v;
				break;
			}
	kept[n] = NULL;
	environ = kept;
}

/* Raising our own likelihood to be killed for lack of memory needs no privilege; without /proc nothing is lost. */
static void prefer_as_oom_victim(enum confine_role role)
{
	const char *score = role == CONFINE_GATE ? "500" : "200";
	_cleanup_close_ int fd = -1;

	if (role != CONFINE_GATE && role != CONFINE_WORKER_RECV && role != CONFINE_WORKER_SEND)
		return;
	fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	if (fd >= 0 && write(fd, score, 3) < 0)
		return;
}

/* Directories or descriptors that need no memory: in a process just forked, taking some copies pages. */
#define FEW 8

static uint64_t broker_rights(enum confine_role role, enum confine_rights rights)
{
	if (role == CONFINE_BROKER)
		return LL_BROKER;
	return rights == CONFINE_WRITE ? LL_BROKER | LL_READ_FILE | LL_WRITE_FILE : LL_READ_FILE;
}

/* The ruleset is built while the directory fds are still open. */
static int build_landlock(const struct confine_plan *plan, int *ruleset, struct err *e)
{
	struct landlock_rule few[FEW], *rules = few;
	_cleanup_free_ struct landlock_rule *many = NULL;
	const struct confine_params *p = plan->p;
	bool write_ok = plan->role == CONFINE_WORKER_RECV || plan->role == CONFINE_SERVER_RECV;
	bool broker = plan->role == CONFINE_BROKER || plan->role == CONFINE_BROKER_OPEN;
	size_t n = 0;

	*ruleset = -1;
	if (!plan->landlock)
		return 0;
	if (p->ndirs > FEW && !(rules = many = calloc(p->ndirs, sizeof *rules)))
		return fail(e, RX_MALLOC, "out of memory");
	for (size_t i = 0; i < p->ndirs && plan->role != CONFINE_GATE; i++) {
		uint64_t rights = LL_READ;

		if (broker)
			rights = broker_rights(plan->role, p->dirs[i].rights);
		else if (p->dirs[i].rights == CONFINE_WRITE && write_ok)
			rights = LL_WRITE;
		else if (p->dirs[i].rights == CONFINE_READ_REMOVE)
			rights = LL_READ | LL_REMOVE_FILE;
		else if (p->dirs[i].rights == CONFINE_READ_LINK && write_ok)
			rights = LL_READ | LL_WRITE_FILE | LL_TRUNCATE | LL_REFER;
		else if (p->dirs[i].rights == CONFINE_LIST)
			rights = LL_READ_DIR;
		rules[n++] = (struct landlock_rule){ .fd = p->dirs[i].fd, .rights = rights };
	}
	*ruleset = landlock_prepare(confine_kernel()->landlock_abi, rules, n);
	if (*ruleset < 0)
		return failed(plan, CONFINE_L_LANDLOCK, *ruleset, "making the ruleset", e);
	return 0;
}

/* A detached mount of the same tree in place of root_fd: device nodes are made there by the broker, which has the original,
   and opened by nobody. */
static int shield_root(const struct confine_plan *plan, struct err *e)
{
	const struct kmount_attr attr = { .set = KMOUNT_ATTR_NODEV | KMOUNT_ATTR_NOSUID | KMOUNT_ATTR_NOEXEC };
	_cleanup_close_ int tree = -1;

	if (!plan->nodev)
		return 0;
	tree = kopen_tree(plan->root, KOPEN_TREE_CLONE | O_CLOEXEC | AT_EMPTY_PATH | KAT_RECURSIVE);
	if (tree < 0 || kmount_setattr(tree, AT_EMPTY_PATH | KAT_RECURSIVE, &attr) < 0 || dup3(tree, plan->root, O_CLOEXEC) < 0)
		return failed(plan, CONFINE_L_ROOT, errno, "a mount without devices", e);
	sb_devices_are_shut();
	return 0;
}

bool confine_shield(void)
{
	const struct kmount_attr attr = { .set = KMOUNT_ATTR_NODEV | KMOUNT_ATTR_NOSUID | KMOUNT_ATTR_NOEXEC, .propagation = MS_SLAVE };
	_cleanup_close_ int top = -1;

	if (!confine_kernel()->own_mounts || !caps_have(CAP_SYS_ADMIN) || confine_switch("chroot"))
		return false;
	if (proc_hold_null() < 0 || unshare(CLONE_NEWNS) < 0)
		return false;
	top = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (top < 0 || kmount_setattr(top, AT_EMPTY_PATH | KAT_RECURSIVE, &attr) < 0)
		return false;
	sb_devices_are_shut();
	return true;
}

static int change_root(struct confine_plan *plan, struct err *e)
{
	struct stat st;

	if (plan->root < 0)
		return 0;
	if (plan->userns && unshare(CLONE_NEWUSER) < 0)
		return failed(plan, CONFINE_L_ROOT, errno, "making a user namespace", e);
	if (fstat(plan->root, &st) < 0)
		return failed(plan, CONFINE_L_ROOT, errno, "reading the directory", e);
	plan->root_dev = st.st_dev;
	plan->root_ino = st.st_ino;
	if (fchdir(plan->root) < 0)
		return failed(plan, CONFINE_L_ROOT, errno, "entering the directory", e);
	if (chroot(".") < 0)
		return failed(plan, CONFINE_L_ROOT, errno, "chroot", e);
	if (chdir("/") < 0)
		return failed(plan, CONFINE_L_ROOT, errno, "chdir", e);
	return 0;
}

/* The present "/", to see later that it is closed to us; -1 when it is itself one of the given directories. */
static int open_outside(const struct confine_params *p)
{
	int fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct stat root, st;

	if (fd >= 0 && fstat(fd, &root) == 0) {
		size_t i = 0;

		while (i < p->ndirs && !(fstat(p->dirs[i].fd, &st) == 0 && st.st_dev == root.st_dev && st.st_ino == root.st_ino))
			i++;
		if (i == p->ndirs)
			return fd;
	}
	if (fd >= 0)
		close(fd);
	return -1;
}

static int close_fds(const struct confine_plan *plan, int ruleset, int outside, struct err *e)
{
	const struct confine_params *p = plan->p;
	int few[FEW + 2], *keep = few;
	_cleanup_free_ int *many = NULL;
	size_t n = p->nkeep;
	int r;

	if (plan->switched_off[CONFINE_L_FDS])
		return 0;
	if (n > FEW && !(keep = many = calloc(n + 2, sizeof *keep)))
		return fail(e, RX_MALLOC, "out of memory");
	if (n)
		memcpy(keep, p->keep_fds, n * sizeof *keep);
	if (ruleset >= 0)
		keep[n++] = ruleset;
	if (outside >= 0)
		keep[n++] = outside;
	r = proc_close_others(keep, n);
	return r < 0 ? failed(plan, CONFINE_L_FDS, r, "closing descriptors", e) : 0;
}

static int change_ids(const struct confine_plan *plan, struct err *e)
{
	const struct confine_params *p = plan->p;

	if (!plan->ids)
		return 0;
	if (setgroups(p->ngroups, p->groups) < 0)
		return failed(plan, CONFINE_L_IDS, errno, "setgroups", e);
	if (setresgid(p->gid, p->gid, p->gid) < 0)
		return failed(plan, CONFINE_L_IDS, errno, "setgid", e);
	if (setresuid(p->uid, p->uid, p->uid) < 0)
		return failed(plan, CONFINE_L_IDS, errno, "setuid", e);
	return 0;
}

static int drop_caps_before_ids(const struct confine_plan *plan, struct err *e)
{
	int r;

	if (!plan->have_caps || plan->switched_off[CONFINE_L_CAPS])
		return 0;
	if (!plan->lock_caps) /* keep what is needed across setuid the old way */
		return prctl(PR_SET_KEEPCAPS, plan->caps ? 1 : 0, 0, 0, 0) < 0 ?
			failed(plan, CONFINE_L_CAPS, errno, "keeping capabilities", e) : 0;
	r = caps_lock(plan->caps);
	return r < 0 ? failed(plan, CONFINE_L_CAPS, r, "cutting the bounding set", e) : 0;
}

static int drop_caps_after_ids(const struct confine_plan *plan, struct err *e)
{
	int r;

	/* After a user namespace we have all capabilities inside it. */
	if ((!plan->have_caps && !plan->userns) || plan->switched_off[CONFINE_L_CAPS])
		return 0;
	if (plan->userns) {
		r = caps_lock(0);
		if (r < 0)
			return failed(plan, CONFINE_L_CAPS, r, "cutting the bounding set", e);
	}
	r = caps_set(plan->caps);
	return r < 0 ? failed(plan, CONFINE_L_CAPS, r, "reducing the sets", e) : 0;
}

static int no_new_privs(const struct confine_plan *plan, struct err *e)
{
	if (plan->switched_off[CONFINE_L_NNP])
		return 0;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return failed(plan, CONFINE_L_NNP, errno, "no_new_privs", e);
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return failed(plan, CONFINE_L_NNP, errno, "dumpable", e);
	return 0;
}

/* Changing ids clears the death signal, so it comes after them. */
static int die_with_parent(const struct confine_plan *plan, struct err *e)
{
	if (!plan->p->parent)
		return 0;
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
		return fail(e, RX_IPC, "cannot tie the %s to its parent: %s", confine_role_name(plan->role), strerror(errno));
	if (getppid() != plan->p->parent)
		return fail(e, RX_IPC, "the parent of the %s is gone", confine_role_name(plan->role));
	return 0;
}

static int enter_landlock(const struct confine_plan *plan, int *ruleset, struct err *e)
{
	int r;

	if (*ruleset < 0)
		return 0;
	r = landlock_enter(*ruleset);
	close(TAKE_FD(*ruleset));
	return r < 0 ? failed(plan, CONFINE_L_LANDLOCK, r, "entering the domain", e) : 0;
}

static int enter_seccomp(const struct confine_plan *plan, struct err *e)
{
	int r;

	if (!plan->seccomp)
		return 0;
	r = seccomp_enter(plan->filter);
	if (r < 0)
		return failed(plan, CONFINE_L_SECCOMP, r, "loading the filter", e);
	/* 2: a filter. Asked through the filter itself. */
	if (prctl(PR_GET_SECCOMP, 0, 0, 0, 0) != 2)
		return failed(plan, CONFINE_L_SECCOMP, EPERM, "the filter does not hold", e);
	return 0;
}

int confine_shed(void)
{
	struct rlimit none = { 0, 0 };
	uint64_t permitted, effective;
	int r = caps_get(&permitted, &effective);

	if (r < 0)
		return r;
	if (effective & CAP_BIT(CAP_SETPCAP) && (r = caps_lock(0)) < 0)
		return r;
	if (permitted && (r = caps_set(0)) < 0)
		return r;
	if (setrlimit(RLIMIT_CORE, &none) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return -errno;
	return 0;
}

bool confine_hides(const char *path)
{
	/* The kernel's access check knows nothing of Landlock. */
	return done && faccessat(AT_FDCWD, path, R_OK, AT_EACCESS) == 0;
}

int confine_apply(enum confine_role role, const struct confine_params *p, struct confine_report *report, struct err *e)
{
	_cleanup_close_ int ruleset = -1;
	struct confine_plan plan;
	const char *what;
	int outside = -1, r;

	confine_plan(&plan, role, p, report != NULL);
	if (report)
		*report = plan.report;
	plan.vm_used = confine_address_space();
	if (plan.landlock)
		outside = open_outside(p);
	if (role <= CONFINE_WORKER_SEND || role >= CONFINE_BROKER)
		clear_environment();
	prefer_as_oom_victim(role);
	if (shield_root(&plan, e) < 0 || build_landlock(&plan, &ruleset, e) < 0 || change_root(&plan, e) < 0)
		goto fail;
	r = confine_limits(&plan);
	if (r < 0) {
		failed(&plan, CONFINE_L_LIMITS, r, "setting", e);
		goto fail;
	}
	if (close_fds(&plan, ruleset, outside, e) < 0 || drop_caps_before_ids(&plan, e) < 0 || change_ids(&plan, e) < 0 ||
	    drop_caps_after_ids(&plan, e) < 0 || no_new_privs(&plan, e) < 0 || die_with_parent(&plan, e) < 0)
		goto fail;
	if (enter_landlock(&plan, &ruleset, e) < 0)
		goto fail;
	r = confine_verify(&plan, outside, &what);
	if (r < 0) {
		fail(e, RX_UNSUPPORTED, "self-check of the %s failed: %s", confine_role_name(role), what);
		goto fail;
	}
	if (outside >= 0)
		close(TAKE_FD(outside));
	if (enter_seccomp(&plan, e) < 0)
		return -1;
	done = true;
	return 0;
fail:
	if (outside >= 0)
		close(outside);
	return -1;
}
