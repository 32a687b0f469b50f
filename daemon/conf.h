/*
 * conf.h - rsyncd.conf: the grammar, the parameters, and the parsed file (spec 06 §1-3, 09 §11.4).
 *
 * A parsed configuration is immutable and lives in one arena; the listener keeps one, every connection
 * inherits it, and conf_changed() says when it must be read again. Strings are kept as they were
 * written; conf_expand() inserts %VAR% at the moment of use, because some variables exist only
 * after the module, the host or the user is known.
 */
#ifndef DAEMON_CONF_H
#define DAEMON_CONF_H

#include <sys/stat.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/buf.h"

#define CONF_DEPTH_MAX 16           /* nesting of &include and &merge */
#define CONF_FILE_MAX (8u << 20)    /* bytes of one file */
#define CONF_FILES_MAX 4096         /* files and directories in all */
#define CONF_EXPAND_MAX 2048        /* growth by %VAR% */

enum conf_type { CT_STRING, CT_PATH, CT_BOOL, CT_BOOL3, CT_INT, CT_FACILITY };

enum conf_param {
	/* global only */
	CP_ADDRESS, CP_PORT, CP_LISTEN_BACKLOG, CP_SOCKET_OPTIONS, CP_PID_FILE, CP_MOTD_FILE,
	CP_DAEMON_CHROOT, CP_DAEMON_GID, CP_DAEMON_UID, CP_PROXY_PROTOCOL, CP_PROXY_HOSTS,
	CP_MAX_UNAUTH, CP_MAX_UNAUTH_HOST, CP_MAX_PER_HOST, CP_CONNECT_RATE, CP_HOST_PENALTIES,
	CP_GATE_USER,
	/* of a module; given globally: the default for the modules that follow */
	CP_MODULE_FIRST,
	CP_PATH = CP_MODULE_FIRST, CP_COMMENT, CP_LIST, CP_NAME, CP_USE_CHROOT, CP_UID, CP_GID,
	CP_READ_ONLY, CP_WRITE_ONLY, CP_MAX_CONNECTIONS, CP_LOCK_FILE, CP_TIMEOUT,
	CP_HOSTS_ALLOW, CP_HOSTS_DENY, CP_REVERSE_LOOKUP, CP_FORWARD_LOOKUP,
	CP_AUTH_USERS, CP_SECRETS_FILE, CP_STRICT_MODES, CP_AUTH_DIGEST,
	CP_EARLY_EXEC, CP_PRE_XFER_EXEC, CP_POST_XFER_EXEC, CP_NAME_CONVERTER,
	CP_NUMERIC_IDS, CP_FAKE_SUPER, CP_MUNGE_SYMLINKS, CP_INSECURE_LINKS,
	CP_FILTER, CP_INCLUDE_FROM, CP_INCLUDE, CP_EXCLUDE_FROM, CP_EXCLUDE,
	CP_INCOMING_CHMOD, CP_OUTGOING_CHMOD, CP_CHARSET, CP_REFUSE_OPTIONS, CP_DONT_COMPRESS,
	CP_IGNORE_ERRORS, CP_IGNORE_NONREADABLE, CP_OPEN_NOATIME, CP_TEMP_DIR, CP_MAX_VERBOSITY,
	CP_LOG_FILE, CP_SYSLOG_FACILITY, CP_SYSLOG_TAG, CP_TRANSFER_LOGGING, CP_LOG_FORMAT, CP_LOG_FORM,
	/* kedge's own */
	CP_SANDBOX, CP_DEVICE_NODES, CP_DEVICE_OPEN, CP_DEVICE_AUDIT,
	CP_MEMORY_LIMIT, CP_MAX_ARGS_SIZE, CP_MAX_XATTR_SIZE, CP_MAX_BLOCK_TABLE, CP_HOOK_TIMEOUT,
	CP_COUNT,
	CP_UNKNOWN = -1,
};

struct conf_def {
	const char *name;
	enum conf_type type;
	int num;                /* default of the non-string types */
	const char *str;        /* default of strings, "" if none */
};

extern const struct conf_def conf_defs[CP_COUNT];

struct conf_value {
	const char *str;        /* CT_STRING, CT_PATH: as written; never NULL */
	int num;                /* the other types; CT_BOOL3: -1 unset */
	uint32_t line;          /* where it was set; 0: built-in default */
	uint16_t file;          /* index into conf.files */
	bool set;
};

struct conf_module {
	const char *name;       /* what clients ask for */
	uint32_t line;
	uint16_t file;
	struct conf_value v[CP_COUNT];  /* the global-only part is unused */
};

/* A file or directory that took part: a change of any of these means parsing again. */
struct conf_file {
	const char *path;
	int err;                /* errno when it could not be read, else 0 */
	dev_t dev;
	ino_t ino;
	int64_t size, mtime_ns, ctime_ns;
};

struct conf {
	struct budget budget;
	struct arena *arena;
	struct conf_value global[CP_COUNT];     /* at the end of the file: what holds before a module is known */
	struct conf_value start[CP_COUNT];      /* at the first section header: all the listener may use (06 §2.2) */
	struct conf_module **modules;           /* in the order of definition */
	size_t nmodules;
	struct conf_file *files;
	size_t nfiles;
	bool racy;              /* a file changed so shortly before it was read that its time stamp proves nothing */
	bool any_reverse;       /* reverse lookup is on globally or in a module */
};

/* Where messages of the parser go: one line each, without newline. */
typedef void conf_report(void *ctx, const char *text);

/* Where the parser gets its text. Functions return 0 or a negative errno. */
struct conf_source {
	void *ctx;
	int (*stat)(void *ctx, const char *path, struct stat *st);
	int (*read)(void *ctx, const char *path, struct buf *out, struct stat *st);
	/* Calls each() for every name in the directory, any order. */
	int (*list)(void *ctx, const char *path, void (*each)(void *arg, const char *name), void *arg, struct stat *st);
};

extern const struct conf_source conf_from_files;       /* by the trusted-owner walk */

/* Reads the file. dparams: NULL-terminated "NAME=VALUE" (or NULL), checked already by conf_check_dparam().
   -1 after a fatal error, which was reported; then *out has but the global values as they were at the error, or is NULL.
   The result is freed by conf_free(). */
int conf_load(struct conf **out, const struct conf_source *src, const char *path, const char *const *dparams,
	      conf_report *report, void *ctx);
void conf_free(struct conf *c); /* NULL is allowed */

/* Adds a file whose change makes the configuration stale (motd). */
int conf_watch(struct conf *c, const char *path, const struct stat *st, int err);

/* One stat per file: true when the configuration must be read again. */
bool conf_changed(const struct conf *c, const struct conf_source *src);

/* Checks --dparam: 0; -1 with the text of the error ("Unknown parameter …", "--dparam value is missing …"). */
int conf_check_dparam(const char *arg, struct err *e);

/* The parameter of this name (spec 06 §1.5), or CP_UNKNOWN. */
enum conf_param conf_find_param(const char *name);

/* The module of exactly this name, or NULL; of equal ones the later. */
const struct conf_module *conf_find_module(const struct conf *c, const char *name);

/* Equal but for letter case and white space. */
bool conf_same_name(const char *a, const char *b);

/* ---- %VAR% (spec 06 §1.7) ---- */

/* Variables of the connection that shadow the environment; a NULL value is a variable that does not exist yet. */
struct conf_var { const char *name, *value; };

/* Appends text with variables inserted. vars: ends with a NULL name; may be NULL.
   -1 when the result grew by more than CONF_EXPAND_MAX. */
int conf_expand(struct buf *out, const char *text, const struct conf_var *vars);

#endif
