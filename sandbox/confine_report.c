/*
 * confine_report.c - which layers hold, in words; and a trial of the forbidden acts at start.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

#include "sandbox/confine_priv.h"
#include "sandbox/spawn.h"

static const char *const role_names[CONFINE_NROLES] = {
	[CONFINE_GATE] = "gate", [CONFINE_WORKER_RECV] = "receiving worker", [CONFINE_WORKER_SEND] = "sending worker",
	[CONFINE_SERVER_RECV] = "receiver", [CONFINE_SERVER_SEND] = "sender",
	[CONFINE_BROKER] = "device broker", [CONFINE_BROKER_OPEN] = "device broker",
};

static const char *const layer_names[CONFINE_NLAYERS] = {
	[CONFINE_L_NAMES] = "names", [CONFINE_L_FDS] = "descriptors", [CONFINE_L_LIMITS] = "limits", [CONFINE_L_ROOT] = "root", [CONFINE_L_IDS] = "ids",
	[CONFINE_L_CAPS] = "capabilities", [CONFINE_L_NNP] = "privileges", [CONFINE_L_LANDLOCK] = "landlock",
	[CONFINE_L_NET] = "network", [CONFINE_L_SCOPE] = "scope", [CONFINE_L_SECCOMP] = "seccomp",
};

static const char *const state_names[] = {
	[CONFINE_UNTRIED] = "untried", [CONFINE_HELD] = "yes", [CONFINE_PARTLY] = "partly", [CONFINE_MISSING] = "NO",
	[CONFINE_NOT_NEEDED] = "-", [CONFINE_SWITCHED_OFF] = "OFF",
};

const char *confine_role_name(enum confine_role role)
{
	return role < CONFINE_NROLES ? role_names[role] : "process";
}

const char *confine_layer_name(enum confine_layer layer)
{
	return layer < CONFINE_NLAYERS ? layer_names[layer] : "layer";
}

void confine_note(struct confine_report *r, enum confine_layer layer, enum confine_state state, const char *fmt, ...)
{
	va_list ap;

	if (r->silent)
		return;
	r->layer[layer].state = state;
	va_start(ap, fmt);
	vsnprintf(r->layer[layer].text, sizeof r->layer[layer].text, fmt, ap);
	va_end(ap);
}

void confine_report_line(const struct confine_report *r, struct buf *out)
{
	buf_adds(out, confine_role_name(r->role));
	for (unsigned l = 0; l < CONFINE_NLAYERS; l++)
		buf_addf(out, "%s %s %s (%s)", l ? ";" : ":", layer_names[l], state_names[r->layer[l].state], r->layer[l].text);
}

void confine_report_missing(const struct confine_report *r, struct buf *out)
{
	const char *sep = "";

	for (unsigned l = 0; l < CONFINE_NLAYERS; l++)
		if (r->layer[l].state != CONFINE_HELD && r->layer[l].state != CONFINE_NOT_NEEDED && r->layer[l].state != CONFINE_UNTRIED) {
			buf_addf(out, "%s %s (%s)", sep, layer_names[l], r->layer[l].text);
			sep = ",";
		}
}

void confine_report_table(const struct confine_report *r, struct buf *out)
{
	for (unsigned l = 0; l < CONFINE_NLAYERS; l++)
		buf_addf(out, "  %-12s %-7s %s\n", layer_names[l], state_names[r->layer[l].state], r->layer[l].text);
}

/* ---- the trial ---- */

/* Each returns 0 when the forbidden act succeeded. They work on the root directory fd 3, if at all. */
static int try_char(void) { return mknodat(3, ".kedge-trial", S_IFCHR | 0600, makedev(1, 3)); }
static int try_whiteout_node(void) { return mknodat(3, ".kedge-trial", S_IFCHR, makedev(0, 0)); }
static int try_rename(void) { return (int)syscall(SYS_renameat2, 3, ".kedge-none", 3, ".kedge-trial", 4u); }
static int try_socket(void) { return socket(AF_INET, SOCK_STREAM, 0); }
static int try_fork(void) { return (int)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, 0ul); }
static int try_exec(void)
{
	static char name[] = "true", *argv[] = { name, NULL };

	return execve("/bin/true", argv, NULL);
}

/* All of these are the filter's to stop, whatever stands behind it. What the kernel answers in its place when the
   filter lets the call through counts as done: the name or the directory is not there. */
static const struct trial {
	const char *what;
	int (*act)(void);
} trials[] = {
	{ "making a device node", try_char },
	{ "making a character node 0:0", try_whiteout_node },
	{ "renaming with a whiteout", try_rename },
	{ "making a socket", try_socket },
	{ "starting a process", try_fork },
	{ "executing a program", try_exec },
};

#define TRIAL_DENIED 0
#define TRIAL_DONE 3
#define TRIAL_UNCONFINED 4

static _Noreturn void trial_child(enum confine_role role, const struct confine_params *p, const struct trial *t)
{
	struct confine_params mine = *p;
	struct confine_dir dir = { .fd = 3, .rights = CONFINE_WRITE };
	struct err e = { 0 };
	static const int keep[] = { 3 };
	int dirfd = p->ndirs ? p->dirs[0].fd : -1, r;

	if (dirfd >= 0 && dirfd != 3 && dup2(dirfd, 3) < 0)
		_exit(TRIAL_UNCONFINED);
	dir.rights = p->ndirs ? p->dirs[0].rights : CONFINE_READ;
	mine.dirs = &dir;
	mine.ndirs = p->ndirs ? 1 : 0;
	mine.root_fd = p->root_fd >= 0 && p->ndirs ? 3 : p->root_fd;
	mine.keep_fds = keep;
	mine.nkeep = 1;
	mine.parent = 0;
	if (confine_apply(role, &mine, NULL, &e) < 0)
		_exit(TRIAL_UNCONFINED);
	r = t->act();
	if (r < 0)
		_exit(errno == ENOENT ? TRIAL_DONE : TRIAL_DENIED);
	_exit(TRIAL_DONE);
}

int confine_self_test(enum confine_role role, const struct confine_params *p, struct err *e)
{
	if (!confine_kernel()->seccomp || confine_switch("trial"))
		return 0; /* policy has judged that already */
	for (size_t i = 0; i < ARRAY_SIZE(trials); i++) {
		pid_t pid = fork();
		int status;

		if (pid < 0)
			return fail(e, RX_IPC, "cannot fork: %s", strerror(errno));
		if (pid == 0)
			trial_child(role, p, &trials[i]);
		if (proc_wait(pid, -1, &status) < 0)
			return fail(e, RX_WAITCHILD, "cannot wait for the sandbox trial");
		if (WIFSIGNALED(status) || WEXITSTATUS(status) == TRIAL_DENIED)
			continue;
		if (WEXITSTATUS(status) == TRIAL_UNCONFINED)
			return fail(e, RX_UNSUPPORTED, "sandbox trial: a %s could not be confined", confine_role_name(role));
		return fail(e, RX_UNSUPPORTED, "sandbox trial: %s was possible for a %s", trials[i].what, confine_role_name(role));
	}
	return 0;
}
