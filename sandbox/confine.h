/*
 * confine.h - giving up power: what each process of kedge may still do (spec 09 §15).
 *
 * The listener (or a single-use server) calls confine_prepare() once: it finds out what the
 * kernel offers. A role process calls confine_apply() as its first act, while it has one thread
 * and has read nothing from the peer.
 *
 * Layers are independent of each other; the report says which of them hold. A layer that the
 * kernel offers and that cannot be applied is an error whatever the policy: there is no
 * "proceed unconfined". What the kernel does not offer is judged by the policy.
 */
#ifndef SANDBOX_CONFINE_H
#define SANDBOX_CONFINE_H

#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/util.h"

enum confine_role {
	CONFINE_GATE,           /* pre-authentication: socket and monitor channel, nothing else */
	CONFINE_WORKER_RECV,    /* daemon worker that writes a module */
	CONFINE_WORKER_SEND,    /* daemon worker that reads one (also any read-only module) */
	CONFINE_SERVER_RECV,    /* remote-shell server or client, receiving, with the user's own ids */
	CONFINE_SERVER_SEND,
	CONFINE_BROKER,         /* device nodes; used by broker_start() */
	CONFINE_BROKER_OPEN,    /* the same where `device open` is on */
	CONFINE_NROLES
};


/* The `sandbox` parameter. */
enum confine_policy {
	CONFINE_DEFAULT,        /* openat2 and seccomp are required, Landlock is preferred */
	CONFINE_REQUIRE,        /* every layer is required */
	CONFINE_PREFER,         /* whatever the kernel offers */
};

enum confine_layer {
	CONFINE_L_NAMES,        /* the kernel resolves names beneath a directory (openat2); else a walk by components does */
	CONFINE_L_FDS,          /* all descriptors closed but the listed ones */
	CONFINE_L_LIMITS,       /* rlimits */
	CONFINE_L_ROOT,         /* chroot, at the module root or at an empty directory */
	CONFINE_L_IDS,          /* uid, gid, groups switched */
	CONFINE_L_CAPS,         /* capability sets reduced, bounding set cut, securebits locked */
	CONFINE_L_NNP,          /* no_new_privs, dumpable 0 */
	CONFINE_L_LANDLOCK,     /* file-system rights by Landlock */
	CONFINE_L_NET,          /* no TCP bind or connect (Landlock ABI 4) */
	CONFINE_L_SCOPE,        /* no signals or abstract sockets out of the domain (ABI 6) */
	CONFINE_L_SECCOMP,      /* system-call allow-list */
	CONFINE_NLAYERS
};

enum confine_state {
	CONFINE_UNTRIED,
	CONFINE_HELD,
	CONFINE_PARTLY,         /* an older kernel's share of it; the text says what is missing */
	CONFINE_MISSING,        /* not offered by the kernel, or not permitted to this user */
	CONFINE_NOT_NEEDED,     /* nothing to give up: e.g. a plain user has no capabilities */
	CONFINE_SWITCHED_OFF,   /* by KEDGE_DISABLE in a test build */
};

struct confine_report {
	enum confine_role role;
	bool silent;            /* nobody reads it: nothing is written down */
	struct {
		enum confine_state state;
		char text[88];
	} layer[CONFINE_NLAYERS];
};

/* What the kernel offers, found by confine_prepare(). */
struct confine_kernel {
	int landlock_abi;       /* 0: none */
	bool seccomp;           /* filters with KILL_PROCESS */
	bool openat2;
	bool fchmodat2;
	bool xattrat;           /* setxattrat and family */
	bool close_range;
	bool pidfd;
	bool own_mounts;        /* a mount of our own with other flags (open_tree, mount_setattr) */
	bool userns;            /* this user may make a user namespace */
};

/* How the devices that are in a role's reach are kept from being opened. */
enum confine_nodev {
	CONFINE_DEV_ANY,        /* not at all */
	/* Where the process has CAP_SYS_ADMIN, and is jailed: root_fd becomes, under the same number, a mount of its own
	   that no device can be opened on (nodev, nosuid, noexec). Other descriptors are not affected, so none should
	   lead there. */
	CONFINE_NODEV_ROOT,
	/* By confine_shield(), which held, or did not: for the report. */
	CONFINE_NODEV_SHIELDED,
	CONFINE_NODEV_MISSING,
};

/* Directories a role may reach, for the Landlock domain. */
enum confine_rights {
	CONFINE_READ,           /* read files and directories */
	CONFINE_LIST,           /* list directories, read no file */
	CONFINE_READ_REMOVE,    /* as CONFINE_READ, and remove files (--remove-source-files) */
	CONFINE_READ_LINK,      /* as CONFINE_READ, and link files from there into a CONFINE_WRITE directory (--link-dest):
	                           the kernel demands that a link gives no right that the file did not have */
	CONFINE_WRITE,          /* all of a receiver's rights; never device nodes, never execute. Of a broker: making nodes, and
	                           with CONFINE_BROKER_OPEN opening them; CONFINE_READ is then opening for reading alone */
};

struct confine_dir {
	int fd;                 /* held O_PATH or O_DIRECTORY fd; a non-directory is allowed with CONFINE_READ */
	enum confine_rights rights;
};

struct confine_params {
	/* Directory that becomes "/". Used where the process has CAP_SYS_CHROOT, or may make a user
	   namespace (gate only: in one, foreign owners would be shown as nobody). -1: the gate takes
	   the prepared empty directory, the others keep "/". A directory below it stays where it was:
	   the fds in dirs and keep_fds stay valid. */
	int root_fd;
	enum confine_nodev nodev;
	const struct confine_dir *dirs;
	size_t ndirs;
	/* Descriptors to keep besides 0-2, any order. fds of dirs and root_fd are not kept by themselves. */
	const int *keep_fds;
	size_t nkeep;
	/* Identity; ignored (with a report) when the process is not root. */
	bool set_ids;
	uid_t uid;
	gid_t gid;
	const gid_t *groups;    /* complete list for setgroups */
	size_t ngroups;
	bool setfcap;           /* a uid-0 receiver may set security.capability xattrs */
	bool noatime;           /* a uid-0 sender opens foreign files with O_NOATIME */
	/* Limits; 0 = the role's default of spec 09 §15.5. */
	uint64_t memory;        /* the session's memory budget in bytes */
	unsigned nofile;
	unsigned threads;       /* most threads at one time (their arenas count in the address space) */
	uint64_t fsize;         /* largest file written; 0: no limit for workers, nothing for gate and broker;
	                           UINT64_MAX: no limit */
	unsigned cpu_seconds;
	/* Process that must outlive this one: death of it kills this one. 0: none. Its id as seen
	   before fork (getpid() in the parent). */
	pid_t parent;
};

#define CONFINE_PARAMS_INIT { .root_fd = -1 }

/* Finds the kernel's features, and makes what the role of the gate needs where that is wanted. May be called
   again. Fails (RX_UNSUPPORTED) when policy requires what the kernel lacks. */
int confine_prepare(bool with_gate, enum confine_policy policy, struct err *e) NODISCARD;

/* What confine_prepare() found; all zero before it. */
const struct confine_kernel *confine_kernel(void);

/* Where the empty directory for the gate is taken from when it must be made: default "/var/empty",
   "/run", "/tmp". Held as an fd since confine_prepare(); -1 without the gate. */
int confine_empty_root(void);

/* For a process that holds more than one directory: a mount namespace of its own, in which no device can be opened (nodev,
   nosuid, noexec, on every mount). It has the mounts that were there, with the same file systems in the same places, so that
   nothing else changes; mounts that the host makes later appear in it. What is opened by a path afterwards is there, what is
   held already stays where it is. Needs CAP_SYS_ADMIN, Linux 5.12, and a "/" that is a mount point. False where it cannot be
   had: nothing has changed. After confine_prepare(), with a single thread. */
bool confine_shield(void);

/* Confines the calling process, for good. Single-threaded callers only. On failure (RX_UNSUPPORTED) the process
   must exit; it may have lost part of its powers. report may be NULL. */
int confine_apply(enum confine_role role, const struct confine_params *p, struct confine_report *report, struct err *e) NODISCARD;

/* The same report without doing anything: what would hold for this role if the calling process, as it is now,
   applied it. For `--check-config`. */
void confine_foresee(enum confine_role role, const struct confine_params *p, struct confine_report *report);

/* Forks one throw-away child per forbidden act, under the exact profile of a worker, and fails if any act
   succeeds: a device node, a whiteout, a socket, an exec (spec 09 §15.6 step 6). Once per daemon start.
   p as for confine_apply. */
int confine_self_test(enum confine_role role, const struct confine_params *p, struct err *e) NODISCARD;

/* "role: chroot yes; ids 65534:65534; …" on one line, for the log. */
void confine_report_line(const struct confine_report *r, struct buf *out);
/* " layer (why), layer (why)": the layers that do not hold, or not entirely, and are not simply not needed. */
void confine_report_missing(const struct confine_report *r, struct buf *out);
/* One line per layer, indented by two blanks, for --check-config. */
void confine_report_table(const struct confine_report *r, struct buf *out);

const char *confine_role_name(enum confine_role role);
const char *confine_layer_name(enum confine_layer layer);

/* For a process that only answers others of ours from the system's databases: no capability, no new privileges, no core
   dumps, for good. It keeps its user's view of the file system. 0 or negative errno. */
int confine_shed(void);

/* Whether reading the file was refused by our own domain: the user would have been allowed to. For a file by its
   path; a path that cannot be looked at counts as not refused. */
bool confine_hides(const char *path);

/* True in a process in which confine_apply() succeeded. */
bool confine_done(void);

#endif
