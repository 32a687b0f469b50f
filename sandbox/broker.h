/*
 * broker.h - device nodes: the one process that may make them, and how to ask it (spec 09 §13, §14).
 *
 * The monitor parses the module's policy, calls broker_start(), hands the worker's end over and tells the
 * broker when the file-list phase begins and ends. The worker wraps its end in a struct broker and asks.
 * The broker believes nothing: it resolves paths from its own root fd, judges each request by its own copy
 * of the policy, and writes an audit record for each.
 */
#ifndef SANDBOX_BROKER_H
#define SANDBOX_BROKER_H

#include <pthread.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/util.h"

/* ---- policy: the `device nodes` parameter ---- */

#define DEVICE_RULES_MAX 64
#define DEVICE_MAJOR_MAX 4095u
#define DEVICE_MINOR_MAX 1048575u

struct device_rule {
	char type;              /* 'c' or 'b' */
	uint32_t major, minor_lo, minor_hi;
};

struct device_policy {
	bool any;               /* every number but char 0:0 */
	bool whiteout;          /* char 0:0 has its own item */
	unsigned n;
	struct device_rule rule[DEVICE_RULES_MAX];
};

/* Parses "none", "any", or a comma-separated list of `c|b MAJOR[:MINOR[-MINOR]]`; "any" may be an item of a
   list ("any, c 0:0"). Without minors a rule covers them all; char 0:0 is only covered by the item "c 0:0".
   Empty text means none. Returns 0, or -EINVAL with a reason in why (whysize bytes). */
int device_policy_parse(const char *text, struct device_policy *out, char *why, size_t whysize);

/* "any" and char 0:0: what a root user's own server or client may make. */
void device_policy_own(struct device_policy *out);

static inline bool device_policy_none(const struct device_policy *p) { return !p->any && !p->whiteout && !p->n; }

/* The number of the rule that permits the node (0-based), DEVICE_BY_ANY, DEVICE_BY_WHITEOUT, or a negative
   errno: -EPERM not permitted, -EINVAL numbers out of range or not a device type. type is S_IFCHR or S_IFBLK. */
#define DEVICE_BY_ANY 1000
#define DEVICE_BY_WHITEOUT 1001
int device_policy_check(const struct device_policy *p, mode_t type, uint32_t major, uint32_t minor);

/* ---- the monitor's side ---- */

/* What a broker does; the phase grants a part of what its configuration has. */
enum {
	BROKER_MAY_MAKE = 1 << 0,       /* create, move and link nodes */
	BROKER_MAY_READ = 1 << 1,       /* open nodes for reading (--copy-devices; the basis of --write-devices) */
	BROKER_MAY_WRITE = 1 << 2,      /* open nodes for writing (--write-devices) */
};
#define BROKER_MAY_OPEN ((unsigned)(BROKER_MAY_READ | BROKER_MAY_WRITE))

struct broker_limits {
	uint32_t per_session;   /* creations; 0: 100 000 */
	uint32_t per_second;    /* 0: 2 000 */
};

struct broker_config {
	int root_fd;            /* module root: becomes the broker's "/" where permitted */
	struct device_policy policy;
	unsigned may;           /* BROKER_MAY_*: what this broker will ever do; its process gives up the rest */
	bool own_authority;     /* not a module but the invoking user's own authority: directories may have any owner and
	                           lie on other mounts (spec 09 D4). Never for a daemon. */
	const struct confine_dir *dirs; /* what may be reached, for Landlock; NULL: root_fd and all beneath it */
	size_t ndirs;
	bool set_ids;           /* as struct confine_params */
	uid_t uid;
	gid_t gid;
	int audit_fd;           /* each record is one write(2) of a line; -1: none (then audit_required refuses all) */
	char audit_prefix[64];  /* before each record: what a syslog socket wants */
	bool audit_required;    /* `device audit = require` */
	bool audit_json;        /* `log form = json` */
	struct broker_limits limits;
	/* For the audit records; escaped by the broker, cut at the sizes of struct broker_config. */
	char client[64], user[64], module[64], session[32];
};

struct broker_handle {
	pid_t pid;              /* 0: not running */
	int worker_fd;          /* for the worker; the monitor closes its copy after forking it */
	void *page;             /* shared phase word */
};

#define BROKER_HANDLE_INIT { .worker_fd = -1 }

/* Forks and confines a broker and waits until it is ready (bounded by 5 s). Call after confine_prepare(), in a
   single-threaded process. The confinement report is copied out when report is not NULL. */
struct confine_report;
int broker_start(const struct broker_config *cfg, struct broker_handle *h, struct confine_report *report, struct err *e) NODISCARD;

/* The file-list phase: requests outside of it end the broker. In it, those are judged that may (BROKER_MAY_*) has:
   what the transfer asked for. */
void broker_phase_begin(struct broker_handle *h, unsigned may);
void broker_phase_end(struct broker_handle *h);

/* For a process that was monitor and becomes worker: forgets the broker but for worker_fd. The broker ends when that is
   closed. */
void broker_leave(struct broker_handle *h);

/* Kills and reaps it if it runs, closes worker_fd, unmaps. (It ends by itself when the last copy of the worker's
   end is closed, removing its temporaries; prefer to close that, then call this.) */
void broker_stop(struct broker_handle *h);

/* ---- the worker's side ---- */

#define BROKER_LEAF 256

struct broker {
	int fd;                 /* -1: no broker in this session */
	pthread_mutex_t lock;
	uint64_t id;
	bool gone;              /* an exchange failed; every later call answers -EPIPE */
	const struct device_policy *policy; /* what the broker judges by, for broker_covers(); NULL: not known here */
};

#define BROKER_NONE { .fd = -1, .lock = PTHREAD_MUTEX_INITIALIZER }

/* Takes fd over. A negative errno in its place is what every call is answered with: -EPERM (-1) as by a policy that has no
   node, anything else as a failure. */
void broker_init(struct broker *bk, int fd);
void broker_close(struct broker *bk);
static inline bool broker_present(const struct broker *bk) { return bk->fd >= 0; }

/* Whether the policy has such a node: what it has not, the worker leaves as it is (spec 09 §13.3 rows 8-10). */
static inline bool broker_covers(const struct broker *bk, mode_t type, uint32_t major, uint32_t minor)
{
	return !bk->policy || device_policy_check(bk->policy, type, major, minor) >= 0;
}

/* The inode the broker made, for the worker to pin and compare. */
struct broker_node {
	dev_t dev;
	ino_t ino;
};

/*
 * All calls: safe from several threads; dir is relative to the module root ("" = the root itself), without "."
 * or ".." or empty components; leaf is one component. They return 0 or a negative errno: the broker's verdict
 * (-EPERM not in the policy and nothing else, -EEXIST, -EACCES parent not trusted, -EDQUOT session limit, -EAGAIN rate, -EINVAL, ...), or
 * -EPIPE when the broker is gone, -ETIMEDOUT after 10 s, which end it too. Nodes are made with no permission bits.
 */
int broker_mknod(struct broker *bk, const char *dir, const char *leaf, mode_t type, uint32_t major, uint32_t minor,
	struct broker_node *node) NODISCARD;

/* Makes the node under a fresh name in dir, resembling leaf; the name is written to temp (BROKER_LEAF bytes).
   Temporaries that were not moved away are removed when the broker ends. */
int broker_mktemp(struct broker *bk, const char *dir, const char *leaf, mode_t type, uint32_t major, uint32_t minor,
	char temp[BROKER_LEAF], struct broker_node *node) NODISCARD;

/* Renames a covered node. Without replace an existing target is -EEXIST; with it any non-directory is replaced. */
int broker_move(struct broker *bk, const char *dir, const char *leaf, const char *to_dir, const char *to_leaf,
	bool replace, struct broker_node *node) NODISCARD;

/* Hard-links a covered node to a new name. */
int broker_link(struct broker *bk, const char *dir, const char *leaf, const char *to_dir, const char *to_leaf,
	struct broker_node *node) NODISCARD;

/* Opens a covered node for reading or for writing; *fd is the caller's. Nothing of the node but the opening itself was
   touched: O_NONBLOCK is off again, no O_CREAT, no O_TRUNC, never a controlling terminal. */
int broker_open(struct broker *bk, const char *dir, const char *leaf, bool for_write, int *fd) NODISCARD;

#endif
