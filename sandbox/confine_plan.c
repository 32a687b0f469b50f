/*
 * confine_plan.c - what the kernel offers, what a role will give up, and whether it did.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "sandbox/anchor.h"
#include "sandbox/caps.h"
#include "sandbox/confine_priv.h"
#include "sandbox/kcalls.h"
#include "sandbox/landlock.h"

#define NR_CLOSE_RANGE 436
#define NR_FCHMODAT2 452
#define NR_SETXATTRAT 463
#define NR_PIDFD_OPEN 434

#define MIB (UINT64_C(1) << 20)

static struct confine_kernel kernel;
static bool probed;
static int empty_root = -1;

const struct confine_kernel *confine_kernel(void)
{
	return &kernel;
}

int confine_empty_root(void)
{
	return empty_root;
}

/* Asked once, as the processes that use it are started often. */
static uint64_t page_size = 4096;

/* A call with nonsense arguments fails either way; how it fails tells whether it exists. A container's
   filter may answer EPERM for what it does not know. */
static bool exists(long r)
{
	return r >= 0 || (errno != ENOSYS && errno != EPERM);
}

static bool can_make_userns(void)
{
	pid_t pid = fork();
	int status;

	if (pid == 0)
		_exit(unshare(CLONE_NEWUSER) < 0);
	while (pid > 0 && waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return false;
	return pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void probe_kernel(void)
{
	int fd;

	if (probed)
		return;
	probed = true;
	page_size = (uint64_t)sysconf(_SC_PAGESIZE);
	kernel.landlock_abi = landlock_abi();
	kernel.seccomp = seccomp_available();
	kernel.openat2 = anchor_have_openat2();
	kernel.fchmodat2 = exists(syscall(NR_FCHMODAT2, -1, "x", 0u, 0u));
	kernel.xattrat = exists(syscall(NR_SETXATTRAT, -1, "x", 0u, "user.x", NULL, (size_t)0));
	kernel.own_mounts = exists(kopen_tree(-1, KOPEN_TREE_CLONE)) && exists(kmount_setattr(-1, 0, &(struct kmount_attr){ 0 }));
	kernel.close_range = exists(syscall(NR_CLOSE_RANGE, ~0u, ~0u, 0u));
	fd = (int)syscall(NR_PIDFD_OPEN, getpid(), 0u);
	kernel.pidfd = exists(fd);
	if (fd >= 0)
		close(fd);
}

/* An empty directory that nobody can ever put anything into: one that is removed already. */
static int make_empty_root(struct err *e)
{
	static const char *const where[] = { "/run", "/tmp", "/var/tmp", "." };
	int fd;

	for (size_t i = 0; i < ARRAY_SIZE(where); i++) {
		char path[64];

		snprintf(path, sizeof path, "%s/kedge-empty-XXXXXX", where[i]);
		if (!mkdtemp(path))
			continue;
		/* Readable for the user we may become before the gate is made. */
		fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (fd >= 0 && fchmod(fd, 0555) < 0)
			close(TAKE_FD(fd));
		if (rmdir(path) == 0 && fd >= 0)
			return fd;
		if (fd >= 0)
			close(fd);
	}
	/* A read-only system: the directory that is kept empty for this purpose. */
	fd = open("/var/empty", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd >= 0 ? fd : fail(e, RX_UNSUPPORTED, "cannot make an empty directory for the gate: %s", strerror(errno));
}

int confine_prepare(bool with_gate, enum confine_policy policy, struct err *e)
{
	probe_kernel();
	if (policy != CONFINE_PREFER && !kernel.openat2)
		return fail(e, RX_UNSUPPORTED, "sandbox: this kernel has no openat2 (Linux 5.6); 'sandbox = prefer' would do without");
	if (policy != CONFINE_PREFER && !kernel.seccomp)
		return fail(e, RX_UNSUPPORTED, "sandbox: this kernel has no seccomp filters; 'sandbox = prefer' would do without");
	if (policy == CONFINE_REQUIRE && !kernel.landlock_abi)
		return fail(e, RX_UNSUPPORTED, "sandbox: this kernel has no Landlock, which 'sandbox = require' asks for");
	if (with_gate) {
		if (empty_root < 0)
			empty_root = make_empty_root(e);
		if (empty_root < 0)
			return -1;
		if (!kernel.userns && !caps_have(CAP_SYS_CHROOT))
			kernel.userns = can_make_userns();
	}
	return 0;
}

/* ---- planning ---- */

static bool is_server(enum confine_role role)
{
	return role == CONFINE_SERVER_RECV || role == CONFINE_SERVER_SEND;
}

static bool may_remove(const struct confine_params *p)
{
	for (size_t i = 0; i < p->ndirs; i++)
		if (p->dirs[i].rights == CONFINE_READ_REMOVE)
			return true;
	return false;
}

static enum filter_kind filter_of(enum confine_role role, const struct confine_params *p)
{
	switch (role) {
	case CONFINE_WORKER_RECV: case CONFINE_SERVER_RECV: return FILTER_RECV;
	case CONFINE_WORKER_SEND: case CONFINE_SERVER_SEND: return may_remove(p) ? FILTER_SEND_REMOVE : FILTER_SEND;
	case CONFINE_BROKER: return FILTER_BROKER;
	case CONFINE_BROKER_OPEN: return FILTER_BROKER_OPEN;
	default: return FILTER_GATE;
	}
}

/* Capabilities of a role (spec 09 §15.2), before they are cut to those we have. */
static uint64_t caps_of(enum confine_role role, const struct confine_params *p, bool root_user, bool seccomp)
{
	uint64_t set = 0;
	bool writes;

	switch (role) {
	case CONFINE_WORKER_RECV:
	case CONFINE_SERVER_RECV:
		if (!root_user && !is_server(role))
			return 0;
		set = CAP_BIT(CAP_CHOWN) | CAP_BIT(CAP_DAC_OVERRIDE) | CAP_BIT(CAP_FOWNER) | CAP_BIT(CAP_FSETID);
		return p->setfcap ? set | CAP_BIT(CAP_SETFCAP) : set;
	case CONFINE_WORKER_SEND:
	case CONFINE_SERVER_SEND:
		if (!root_user && !is_server(role))
			return 0;
		/* DAC_READ_SEARCH opens files by handle, out of any chroot, unless the filter forbids it. */
		set = CAP_BIT(seccomp ? CAP_DAC_READ_SEARCH : CAP_DAC_OVERRIDE);
		if (may_remove(p))
			set |= CAP_BIT(CAP_DAC_OVERRIDE) | CAP_BIT(CAP_FOWNER);
		return p->noatime ? set | CAP_BIT(CAP_FOWNER) : set;
	case CONFINE_BROKER:
	case CONFINE_BROKER_OPEN:
		writes = p->dirs[0].rights == CONFINE_WRITE;
		set = writes ? CAP_BIT(CAP_MKNOD) : 0;
		if (root_user)
			set |= CAP_BIT(CAP_DAC_OVERRIDE);
		/* Without it nobody links a node that belongs to another. */
		return root_user && writes ? set | CAP_BIT(CAP_FOWNER) : set;
	default:
		return 0;
	}
}

bool confine_switch(const char *name)
{
#ifdef KEDGE_TEST_HOOKS
	const char *list = getenv("KEDGE_DISABLE");
	size_t len = strlen(name);

	for (const char *s = list; s && (s = strstr(s, name)); s += len)
		if ((s == list || s[-1] == ',') && (!s[len] || s[len] == ','))
			return true;
#else
	(void)name;
#endif
	return false;
}

static void read_switches(struct confine_plan *plan)
{
	static const struct { const char *name; enum confine_layer layer; } names[] = {
		{ "fds", CONFINE_L_FDS }, { "limits", CONFINE_L_LIMITS }, { "chroot", CONFINE_L_ROOT }, { "uid", CONFINE_L_IDS },
		{ "caps", CONFINE_L_CAPS }, { "nnp", CONFINE_L_NNP }, { "landlock", CONFINE_L_LANDLOCK }, { "seccomp", CONFINE_L_SECCOMP },
	};
	bool *off = plan->switched_off;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		off[names[i].layer] = confine_switch(names[i].name);
	if (off[CONFINE_L_NNP]) /* the kernel demands it for these two */
		off[CONFINE_L_LANDLOCK] = off[CONFINE_L_SECCOMP] = true;
}

static bool can_mount(void)
{
	return kernel.own_mounts && caps_have(CAP_SYS_ADMIN);
}

/* The root directory that was planned, and what becomes of the devices in it. */
static void note_root(struct confine_plan *plan, const char *what)
{
	enum confine_nodev nodev = plan->p->nodev;
	bool hidden = plan->nodev || nodev == CONFINE_NODEV_SHIELDED;

	if (nodev != CONFINE_DEV_ANY && !hidden)
		confine_note(&plan->report, CONFINE_L_ROOT, CONFINE_PARTLY, "%s; device nodes in it can be opened: %s", what,
			can_mount() ? "no mounts of its own" : caps_have(CAP_SYS_ADMIN) ? "needs Linux 5.12" : "no CAP_SYS_ADMIN");
	else
		confine_note(&plan->report, CONFINE_L_ROOT, plan->root >= 0 || hidden ? CONFINE_HELD : CONFINE_NOT_NEEDED, "%s%s", what,
			hidden ? ", nodev" : "");
}

static void plan_root(struct confine_plan *plan)
{
	struct confine_report *r = &plan->report;
	int want = plan->p->root_fd >= 0 ? plan->p->root_fd : plan->role == CONFINE_GATE ? empty_root : -1;
	bool given = plan->p->root_fd >= 0;

	plan->root = -1;
	if (plan->switched_off[CONFINE_L_ROOT]) {
		confine_note(r, CONFINE_L_ROOT, CONFINE_SWITCHED_OFF, "switched off");
	} else if (want < 0) {
		note_root(plan, "no root directory was given");
	} else if (caps_have(CAP_SYS_CHROOT)) {
		plan->root = want;
		plan->nodev = plan->p->nodev == CONFINE_NODEV_ROOT && can_mount();
		note_root(plan, given ? "chroot into the given root" : "chroot into an empty directory");
	} else if (plan->role == CONFINE_GATE && kernel.userns) {
		plan->root = want;
		plan->userns = true;
		confine_note(r, CONFINE_L_ROOT, CONFINE_HELD, "chroot into an empty directory, in a user namespace");
	} else {
		confine_note(r, CONFINE_L_ROOT, CONFINE_MISSING, "not permitted to chroot");
	}
}

static void plan_ids(struct confine_plan *plan)
{
	const struct confine_params *p = plan->p;
	struct confine_report *r = &plan->report;

	if (plan->switched_off[CONFINE_L_IDS]) {
		confine_note(r, CONFINE_L_IDS, CONFINE_SWITCHED_OFF, "switched off");
	} else if (!p->set_ids) {
		confine_note(r, CONFINE_L_IDS, CONFINE_NOT_NEEDED, "stays uid %u, the user's own", geteuid());
	} else if (geteuid() && !caps_have(CAP_SETUID)) {
		confine_note(r, CONFINE_L_IDS, CONFINE_MISSING, "not root: stays uid %u", geteuid());
	} else {
		plan->ids = true;
		confine_note(r, CONFINE_L_IDS, CONFINE_HELD, "uid %u, gid %u, %zu groups", p->uid, p->gid, p->ngroups);
	}
}

static void plan_caps(struct confine_plan *plan)
{
	struct confine_report *r = &plan->report;
	char names[sizeof r->layer[0].text];
	uint64_t permitted = 0, effective = 0;
	uid_t uid = plan->ids ? plan->p->uid : geteuid();

	if (plan->switched_off[CONFINE_L_CAPS]) {
		confine_note(r, CONFINE_L_CAPS, CONFINE_SWITCHED_OFF, "switched off");
		return;
	}
	caps_get(&permitted, &effective);
	plan->have_caps = permitted != 0;
	plan->lock_caps = (effective & CAP_BIT(CAP_SETPCAP)) != 0;
	plan->caps = caps_of(plan->role, plan->p, uid == 0, plan->seccomp) & permitted;
	if (!r->silent)
		caps_names(plan->caps, names, sizeof names);
	if (!plan->have_caps)
		confine_note(r, CONFINE_L_CAPS, CONFINE_NOT_NEEDED, "a plain user has none");
	else if (plan->lock_caps)
		confine_note(r, CONFINE_L_CAPS, CONFINE_HELD, "%s", names);
	else
		confine_note(r, CONFINE_L_CAPS, CONFINE_PARTLY, "%s; the bounding set cannot be cut", names);
}

static void plan_kernel_layers(struct confine_plan *plan)
{
	struct confine_report *r = &plan->report;
	int abi = kernel.landlock_abi;
	bool off = plan->switched_off[CONFINE_L_LANDLOCK];

	plan->landlock = abi > 0 && !off;
	if (off) {
		for (unsigned l = CONFINE_L_LANDLOCK; l <= CONFINE_L_SCOPE; l++)
			confine_note(r, (enum confine_layer)l, CONFINE_SWITCHED_OFF, "switched off");
	} else if (!abi) {
		for (unsigned l = CONFINE_L_LANDLOCK; l <= CONFINE_L_SCOPE; l++)
			confine_note(r, (enum confine_layer)l, CONFINE_MISSING, "this kernel has no Landlock");
	} else {
		confine_note(r, CONFINE_L_LANDLOCK, abi >= 3 ? CONFINE_HELD : CONFINE_PARTLY, "Landlock ABI %d, %zu %s%s", abi, plan->p->ndirs,
			plan->p->ndirs == 1 ? "directory" : "directories", abi >= 3 ? "" : "; truncation is not covered");
		confine_note(r, CONFINE_L_NET, abi >= 4 ? CONFINE_HELD : CONFINE_MISSING, abi >= 4 ? "no TCP bind or connect" : "needs Landlock ABI 4");
		confine_note(r, CONFINE_L_SCOPE, abi >= 6 ? CONFINE_HELD : CONFINE_MISSING,
			abi >= 6 ? "no signals or abstract sockets to others" : "needs Landlock ABI 6");
	}
	plan->filter = filter_of(plan->role, plan->p);
	plan->seccomp = kernel.seccomp && !plan->switched_off[CONFINE_L_SECCOMP];
	if (plan->switched_off[CONFINE_L_SECCOMP])
		confine_note(r, CONFINE_L_SECCOMP, CONFINE_SWITCHED_OFF, "switched off");
	else if (!kernel.seccomp)
		confine_note(r, CONFINE_L_SECCOMP, CONFINE_MISSING, "this kernel has no seccomp filters");
	else
		confine_note(r, CONFINE_L_SECCOMP, CONFINE_HELD, UNDER_SANITIZER ? "allow-list of a sanitizer build" : "allow-list, else killed");
}

void confine_plan(struct confine_plan *plan, enum confine_role role, const struct confine_params *p, bool told)
{
	*plan = (struct confine_plan){ .role = role, .p = p, .report = { .role = role, .silent = !told } };
	read_switches(plan);
	if (plan->switched_off[CONFINE_L_FDS])
		confine_note(&plan->report, CONFINE_L_FDS, CONFINE_SWITCHED_OFF, "switched off");
	else
		confine_note(&plan->report, CONFINE_L_FDS, CONFINE_HELD, "0-2 and %zu more", p->nkeep);
	if (plan->switched_off[CONFINE_L_LIMITS])
		confine_note(&plan->report, CONFINE_L_LIMITS, CONFINE_SWITCHED_OFF, "switched off");
	else
		confine_note(&plan->report, CONFINE_L_LIMITS, UNDER_SANITIZER ? CONFINE_PARTLY : CONFINE_HELD,
			UNDER_SANITIZER ? "without an address-space limit" : "set");
	if (role == CONFINE_GATE)
		confine_note(&plan->report, CONFINE_L_NAMES, CONFINE_NOT_NEEDED, "opens nothing");
	else
		confine_note(&plan->report, CONFINE_L_NAMES, kernel.openat2 ? CONFINE_HELD : CONFINE_MISSING, "%s",
			kernel.openat2 ? "resolved by the kernel" : "walked component by component; needs openat2 (Linux 5.6)");
	plan_kernel_layers(plan);
	plan_root(plan);
	plan_ids(plan);
	plan_caps(plan);
	if (plan->switched_off[CONFINE_L_NNP])
		confine_note(&plan->report, CONFINE_L_NNP, CONFINE_SWITCHED_OFF, "switched off");
	else
		confine_note(&plan->report, CONFINE_L_NNP, CONFINE_HELD, "no_new_privs, not dumpable");
}

void confine_foresee(enum confine_role role, const struct confine_params *p, struct confine_report *report)
{
	struct confine_plan plan;

	probe_kernel();
	confine_plan(&plan, role, p, true);
	*report = plan.report;
}

/* ---- limits ---- */

static int limit(__rlimit_resource_t what, uint64_t value)
{
	struct rlimit old, new = { .rlim_cur = value, .rlim_max = value };
	int r = prlimit(0, what, &new, &old);

	/* Never above what was there: the kernel refuses it, but not to root. */
	if (r < 0 && (errno != EPERM || getrlimit(what, &old) < 0))
		return -errno;
	if (r < 0 || (old.rlim_max != RLIM_INFINITY && old.rlim_max < new.rlim_max)) {
		new.rlim_cur = new.rlim_max = MIN(old.rlim_max, new.rlim_max);
		r = setrlimit(what, &new);
	}
	return r < 0 ? -errno : 0;
}

/* Address space in use; 0 when /proc does not tell. */
uint64_t confine_address_space(void)
{
	_cleanup_close_ int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	char text[64];
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text);
	uint64_t pages = 0;

	for (ssize_t i = 0; i < n && text[i] >= '0' && text[i] <= '9'; i++)
		pages = pages * 10 + (uint64_t)(text[i] - '0');
	return pages * page_size;
}

/* A thread costs its stack and an arena of its own. */
#define PER_THREAD (72 * MIB)

static int limit_memory(const struct confine_plan *plan)
{
	const struct confine_params *p = plan->p;
	uint64_t room, threads = p->threads ? p->threads : 16;

	if (UNDER_SANITIZER || (is_server(plan->role) && !p->memory))
		return 0;
	switch (plan->role) {
	case CONFINE_GATE: room = 64 * MIB; break;
	case CONFINE_BROKER: case CONFINE_BROKER_OPEN: room = 32 * MIB; break;
	default: room = (p->memory ? p->memory : 1024 * MIB) + 256 * MIB + threads * PER_THREAD; break;
	}
	return ADD_OVERFLOWS(room, plan->vm_used, &room) ? 0 : limit(RLIMIT_AS, room);
}

int confine_limits(const struct confine_plan *plan)
{
	const struct confine_params *p = plan->p;
	bool small = plan->role == CONFINE_GATE || plan->role == CONFINE_BROKER || plan->role == CONFINE_BROKER_OPEN;
	uint64_t fsize = p->fsize ? p->fsize : small ? 0 : RLIM_INFINITY;
	uint64_t nofile = p->nofile ? p->nofile : small ? 16 : 256 + p->ndirs;
	uint64_t cpu = p->cpu_seconds ? p->cpu_seconds : plan->role == CONFINE_GATE ? 10 : 0;
	int r = 0;

	if (plan->switched_off[CONFINE_L_LIMITS])
		return 0;
	if (small)
		umask(plan->role == CONFINE_GATE ? 077 : 0777);
	if (!r)
		r = limit(RLIMIT_CORE, 0);
	if (!r && !(is_server(plan->role) && !p->nofile))
		r = limit(RLIMIT_NOFILE, nofile);
	if (!r && fsize != RLIM_INFINITY)
		r = limit(RLIMIT_FSIZE, fsize);
	if (!r && small)
		r = limit(RLIMIT_STACK, MIB);
	if (!r && small && !UNDER_SANITIZER)
		r = limit(RLIMIT_NPROC, 0);
	if (!r && cpu)
		r = limit(RLIMIT_CPU, cpu);
	return r ? r : limit_memory(plan);
}

/* ---- self-check ---- */

static bool ids_hold(const struct confine_params *p)
{
	uid_t r, e, s;
	gid_t rg, eg, sg;

	if (getresuid(&r, &e, &s) < 0 || getresgid(&rg, &eg, &sg) < 0)
		return false;
	return r == p->uid && e == p->uid && s == p->uid && rg == p->gid && eg == p->gid && sg == p->gid &&
		getgroups(0, NULL) == (int)p->ngroups && (!p->uid || setresuid((uid_t)-1, 0, (uid_t)-1) < 0);
}

/* The old root must not open any more, unless it is itself what was given. */
static bool outside_is_closed(int outside)
{
	int fd;

	if (outside < 0)
		return true;
	fd = openat(outside, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return true;
	close(fd);
	return false;
}

int confine_verify(const struct confine_plan *plan, int outside, const char **what)
{
	uint64_t permitted, effective;
	struct stat now;

	*what = "user and group ids";
	if (plan->ids && !ids_hold(plan->p))
		return -EPERM;
	*what = "capabilities";
	if (!plan->switched_off[CONFINE_L_CAPS]) {
		if (caps_get(&permitted, &effective) < 0 || permitted != plan->caps || effective != plan->caps)
			return -EPERM;
		if (plan->lock_caps && (caps_bounding() & ~plan->caps))
			return -EPERM;
	}
	*what = "no_new_privs";
	if (!plan->switched_off[CONFINE_L_NNP] && prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
		return -EPERM;
	*what = "root directory";
	if (plan->root >= 0 && (stat("/", &now) < 0 || now.st_dev != plan->root_dev || now.st_ino != plan->root_ino))
		return -EPERM;
	*what = "a directory outside can be opened";
	return outside_is_closed(outside) ? 0 : -EPERM;
}
