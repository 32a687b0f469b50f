/*
 * daemon.h - what the processes of the daemon inherit from the one that started: command line, configuration,
 * and texts and tables that are prepared once for all connections.
 */
#ifndef DAEMON_DAEMON_H
#define DAEMON_DAEMON_H

#include <stdatomic.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"
#include "daemon/conf.h"

struct daemon_opts {
	const char *config;             /* NULL: the default place */
	const char *address;
	const char *log_file;           /* --log-file: wins over the configuration */
	const char *log_format;         /* --log-file-format: items of every module in this format; "": none; NULL: not given */
	const char *sockopts;
	const char *temp_dir;
	const char **dparams;           /* NULL-terminated */
	int port;                       /* 0: not given */
	int family;                     /* AF_UNSPEC, AF_INET, AF_INET6 */
	int protocol;                   /* announced */
	unsigned bwlimit;
	int verbose;
	bool no_detach;
	bool server;                    /* behind a remote shell */
	bool check;                     /* --check-config */
	bool dump;                      /* --dump-config */
};

/* The listener's row for a live connection, in memory shared with its monitor. */
struct conn_row {
	pid_t pid;                      /* 0: free; listener only */
	uint8_t source[17];             /* family and prefix; listener only */
	bool evicted;                   /* made way for a newer one; listener only */
	int64_t since_ms;               /* listener only */
	_Atomic uint8_t known;          /* access was granted: no longer unauthenticated */
	_Atomic uint8_t penalty;        /* seconds the source earned */
};

struct daemon {
	struct daemon_opts opt;
	const char *config_path;
	struct conf *conf;
	struct buf hello, listing;      /* what gates send */
	char cwd[PATH_LIMIT + 1];       /* relative module paths start here */
	bool root;                      /* effective uid 0 */
	bool can_chroot;
	uid_t gate_uid;                 /* `gate user`, never 0 in a daemon that runs as root */
	gid_t gate_gid;
};

/* Reads the configuration and prepares what depends on it; on failure the old one stays. report gets the
   parser's messages. A first one that fails leaves the global values understood so far, for the log, or NULL. */
int daemon_load(struct daemon *d, conf_report *report, void *ctx);

/* daemon_load(); failures go to the log, and what was read before stays in force. */
void daemon_reload(struct daemon *d);
/* The same, when a file changed. */
void daemon_reload_if_changed(struct daemon *d);
/* Opens the log file anew after it was renamed. */
void daemon_check_log(struct daemon *d);

/* After the first load: digests, resolver, sandbox. */
int daemon_prepare(struct daemon *d, struct err *e);

/* Once per start of a stand-alone daemon: tries in throw-away children what a worker must not be able to do, and
   logs the layers that this machine cannot give. */
int daemon_prove(struct daemon *d, struct err *e);

/* Logs what is to be said about the mounts that modules with device nodes are on. */
void check_mounts(const struct daemon *d);

/* Opens the log that holds before a module is known. */
void daemon_open_log(struct daemon *d);

/* A global string with its variables in it; freed by buf_free. */
const char *daemon_string(const struct conf_value *v, struct buf *out);

/* ---- running ---- */

/* The stand-alone daemon. Returns the exit code. */
int listener_run(struct daemon *d);

/* Serves one connection in this process, as its monitor. Returns the exit code. */
int monitor_serve(struct daemon *d, int in_fd, int out_fd, struct conn_row *row);

/* Prints what was understood and what would hold. Returns the exit code. */
int check_config(struct daemon *d);

/* Prints every parameter as a file that means the same. Returns the exit code. */
int dump_config(struct daemon *d);

#endif
