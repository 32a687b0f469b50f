/*
 * spawn.h - everything that forks, execs or waits.
 *
 * Children never inherit what they were not given: every fd kedge opens is close-on-exec, hooks start
 * with the three fds of their spec only, and role processes keep the list given to confine_apply().
 */
#ifndef SANDBOX_SPAWN_H
#define SANDBOX_SPAWN_H

#include <sys/types.h>

#include "base/err.h"
#include "base/util.h"

/* ---- roles ---- */

/* fork() for a role process: in the child, handlers are reset, blocked signals unblocked, SIGPIPE and
   SIGXFSZ ignored, and the process is named "kedge-NAME" (comm and, where the caller allowed it with
   proc_title_init, the command line). Returns as fork(); negative errno on failure. */
pid_t proc_fork_role(const char *name);

/* Lets role names appear in ps(1): remembers the memory of argv. Optional; first thing in main(). */
void proc_title_init(int argc, char **argv);

/* Waits for one child. Returns 1 with *status (wait status) set, 0 when timeout_ms passed (< 0: none),
   negative errno otherwise. */
int proc_wait(pid_t pid, int timeout_ms, int *status);

/* Termination signals go to this child from now on, and the caller lives to see its end. 0: no longer. */
void proc_forward_signals(pid_t pid);

/* Kills a child and reaps it. */
void proc_kill_wait(pid_t pid, int sig);

/* Exit status as rsync counts it: exit code, or -1 after a signal. */
int proc_exit_code(int status);

/* ---- process set-up ---- */

/* Goes to the background: fork, the parent exits 0 at once; the child leads a session with fds 0-2 on
   /dev/null. Working directory and umask stay (spec 06 §5.2). */
int proc_detach(struct err *e) NODISCARD;

/* 0-2 to /dev/null; those of them that are open already stay when only_missing. */
int proc_null_stdio(bool only_missing);

/* Keeps /dev/null open, for proc_null_stdio() where it cannot be opened any more. 0 or negative errno. */
int proc_hold_null(void);

/* Closes every fd above 2 except those listed. */
int proc_close_others(const int *keep, size_t n);

/* Raises the soft RLIMIT_NOFILE towards want, as far as the hard limit goes; returns what holds now. */
unsigned proc_raise_nofile(unsigned want);

/* SIGPIPE and SIGXFSZ ignored: writes report EPIPE and EFBIG instead. */
void proc_ignore_signals(void);

/* Nothing blocked, and every signal at its default but for the two above: what proc_fork_role gives its child. The
   first call in a process or its parents settles the dispositions, and they must not be changed behind it. */
void proc_clean_signals(void);

/* `daemon chroot` / `daemon gid` / `daemon uid` of the global section; for good. */
int proc_daemon_chroot(const char *dir, struct err *e) NODISCARD;
int proc_daemon_ids(const gid_t *gid, const uid_t *uid, struct err *e) NODISCARD;

/* ---- hooks (spec 06 §10) ---- */

enum hook_input {
	HOOK_IN_EMPTY,          /* end of file at once */
	HOOK_IN_BYTES,          /* the bytes given, then end of file */
	HOOK_IN_INHERIT,        /* our standard input */
};

struct hook {
	const char *command;    /* for $RSYNC_SHELL -c, else /bin/sh -c */
	const char *const *env; /* "NAME=VALUE" on top of our environment (same names replaced), NULL-terminated; may be NULL */
	enum hook_input input;
	const void *bytes;      /* HOOK_IN_BYTES */
	size_t nbytes;
	size_t capture;         /* keep up to this many bytes of standard output; 0: standard output is ours */
	int timeout_ms;         /* kills the hook's process group; <= 0: none */
	bool no_new_privs;
	/* Identity for the hook; only where root. */
	bool set_ids;
	uid_t uid;
	gid_t gid;
};

struct hook_result {
	int status;             /* wait status; 255 << 8 when it could not be started or run */
	bool timed_out;
	char *out;              /* captured output, NUL-terminated; the caller frees it. NULL if capture was 0 */
	size_t outlen;
	bool truncated;         /* more output than capture: the rest was read and dropped */
};

/* Runs a hook to its end. -1 with e set when it could not be forked; a command that fails is a result. */
int hook_run(const struct hook *h, struct hook_result *res, struct err *e) NODISCARD;
void hook_result_free(struct hook_result *res);

/* True when RSYNC_NO_XFER_EXEC is in our environment. */
bool hook_disabled(void);

/* A hook that serves over pipes (name converter): *to and *from are the caller's, close-on-exec. */
int hook_start(const struct hook *h, pid_t *pid, int *to, int *from, struct err *e) NODISCARD;

/* Starts a program by argument vector with to/from on its standard input and output: the remote shell of a
   client. pid is the caller's to wait for. */
int proc_start(char *const *argv, const char *const *env, pid_t *pid, int *to, int *from, struct err *e) NODISCARD;

/* --copy-as=USER[:GROUP], names or numbers: this process works as them from now on, with only GROUP or with all of USER's
   groups; no power is kept to go back. 0, or -1 with rsync's text (RX_USAGE). Single-threaded callers only. */
int proc_copy_as(const char *spec, struct err *e) NODISCARD;

#endif
