/*
 * filter.h - filter rules: parsing, matching, per-directory merge files, wire exchange
 * (spec 04; daemon parameters 06 §12.6).
 *
 * Two kinds of object:
 *   filter_list  the rules of one origin (the client's, or the daemon module's). Built by one thread,
 *                then constant: any number of threads may evaluate it.
 *   filt_walk    one walker's place in a tree: current directory, contents of the per-directory merge
 *                files on the way. Belongs to one thread. Sender and generator have one each.
 *
 * Paths. A *name* is relative to the transfer root ("a/b", no leading "./"; with --relative it may begin
 * with "/"). The *cwd* is where those names start: a path relative to the anchor (module root, or "/"),
 * without leading or trailing slash, "" = the anchor itself. cwd + "/" + name is what absolute rules see.
 *
 * This room opens no files: rule files are read through filt_files callbacks, whose implementor enforces
 * the opening rules of §3.5 (trusted-owner walk; confined to the module). Whether the daemon's rules hide
 * a rule file is tested here, before the callback is asked.
 */
#ifndef FILTER_FILTER_H
#define FILTER_FILTER_H

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"

struct rd;
struct wr;

enum filt_verdict { FILT_EXCLUDED = -1, FILT_NO_MATCH = 0, FILT_INCLUDED = 1 };

/* spec 09 §11.1 row 34 */
#define FILT_RULES_MAX 100000
#define FILT_FILE_MAX (16u << 20)
#define FILT_NESTING_MAX 32
#define FILT_WIRE_MAX 5120     /* a rule on the wire is shorter */

/* How rule files are read. Both append the whole file to out (at most FILT_FILE_MAX bytes: -EFBIG beyond)
   and return 0 or a negative errno; "cannot be opened" of any kind is reported as -ENOENT or the like, and such a
   per-directory file counts as absent; but -EPERM says that going on without it would be wrong: it ends the session. */
struct filt_files {
	void *ctx;
	/* A file met while walking or named by the peer: dir is anchor-relative ("" = the anchor), name one
	   component. Must not leave the anchor. */
	int (*read_file)(void *ctx, const char *dir, const char *name, struct buf *out);
	/* A file that the operator or the invoking user named (configuration, --exclude-from, $HOME/.cvsignore);
	   path as given; "-" is standard input on a client. NULL: no such files here. */
	int (*read_named)(void *ctx, const char *path, struct buf *out);
};

struct filt_config {
	struct budget *budget;             /* charged for rules; may be NULL */
	const struct filt_files *files;    /* NULL: every merge file is absent; must outlive the list */
	bool daemon_list;                  /* the module's own parameters: rules of §12.1 */
	bool am_sender, am_server;
	bool delete_excluded;              /* unsided rules parsed from now on are sender-side (§2 step 5) */
	bool from0;                        /* rule files are NUL-separated */
	int proto;                         /* negotiated version; 0 = not known yet (counts as the newest) */
	const char *cwd;                   /* where ". NAME" and ". a/NAME" start, anchor-relative; NULL = "" */
	const char *home;                  /* directory of the user's .cvsignore; NULL = none. A server reads it through
	                                      read_file (anchor-relative; a module: "/"), others through read_named */
	const char *cvsignore;             /* value of $CVSIGNORE; NULL = none */
	const struct filter_list *daemon;  /* rule files named by this list's rules are tested against it; may be NULL */
};

struct filt_rule;

/* Opaque except for the two counts that let callers skip work. */
struct filter_list {
	unsigned name_rules;               /* rules that can say something about a file name on this side */
	unsigned xattr_rules;              /* "x" rules parsed */
	unsigned dir_merges;               /* per-directory merge rules parsed */
	struct filt_build *b;
	struct filt_rule *head;
};

/* NULL without memory. Strings of the config are copied; budget and files are borrowed. */
struct filter_list *filt_new(const struct filt_config *c);
void filt_free(struct filter_list *l);

/* ---- building; each returns 0, or -1 with err filled (exit 1 syntax, 11 file, 22 limits) ---- */

/* --filter=TEXT, one new-style rule (§2). Empty text adds nothing. */
int filt_add_rule(struct filter_list *l, const char *text, struct err *err);
/* --include / --exclude: old-style text (§2.2). */
int filt_add_pattern(struct filter_list *l, const char *text, bool include, struct err *err);
/* --include-from / --exclude-from. A file that cannot be read is fatal (11). */
int filt_add_from(struct filter_list *l, const char *path, bool include, struct err *err);
/* The n-th -F on a command line (n from 1). */
int filt_add_F(struct filter_list *l, int n, struct err *err);
/* What -C appends: ":C" if dir_merge, then "-C" if global (§9.6 says who appends which). */
int filt_add_cvs(struct filter_list *l, bool dir_merge, bool global, struct err *err);
/* --delete-excluded was met: rules parsed from now on are affected. */
void filt_set_delete_excluded(struct filter_list *l);

/* The five module parameters; NULL or "" = not set. l must have been made with daemon_list. */
struct filt_params { const char *filter, *include_from, *include, *exclude_from, *exclude; };
int filt_add_params(struct filter_list *l, const struct filt_params *p, struct err *err);

/* ---- wire (§9) ---- */

/* True if a client sends its list at all: the same test on both ends. push: the client is the sender. */
static inline bool filt_is_sent(bool push, bool prune_empty_dirs, bool delete_mode, bool delete_excluded, int proto)
{
	return !push || prune_empty_dirs || (delete_mode && (!delete_excluded || proto >= 29));
}

/* Server: reads rules until the terminator. Failures are in r's error record: over-long 22, syntax 1. */
int filt_recv(struct filter_list *l, struct rd *r, int proto);

/* Server, after filt_recv (or instead of it when nothing is sent): what the C letter appends (§9.6). */
int filt_server_cvs(struct filter_list *l, bool cvs_exclude, int proto, struct err *err);

/* Client: sends its list and the terminator. Failures in w's error record ("too modern": 2, before any byte). */
int filt_send(const struct filter_list *l, struct wr *w, int proto, bool delete_excluded);

/* ---- walking and matching ---- */

struct filt_walk;

/* daemon and user may be NULL or empty. files as above (NULL: no merge files). Never fails for two empty
   lists except without memory (NULL). */
struct filt_walk *filt_walk_new(const struct filter_list *daemon, const struct filter_list *user,
                                const struct filt_files *files, struct budget *budget);
void filt_walk_free(struct filt_walk *w);

/* Names start at cwd from now on (sender: per source argument; receiver: the destination directory). Leaves
   all entered directories. 0, or -ENAMETOOLONG. */
int filt_walk_start(struct filt_walk *w, const char *cwd);

/*
 * The walker begins with the contents of dir (a name as above; "" or "." = the cwd itself). Entered directories
 * that are not parents of dir are left first, so a walker that visits directories in depth-first order needs
 * no filt_leave_dir. Reads the merge files of dir, on the first call also those of a parent scan (§7.8).
 * 0; 1 when the path is too long for rule files (was said; the sender sets IOERR_GENERAL); -1 with err: end the session.
 * Free when no list has per-directory rules.
 */
int filt_enter_dir(struct filt_walk *w, const char *dir, struct err *err);

/* Leaves the directory entered last. */
void filt_leave_dir(struct filt_walk *w);

/* While true, perishable rules are passed over (contents of a directory being removed, §8.1). */
void filt_ignore_perishable(struct filt_walk *w, bool on);

enum filt_which { FILT_DAEMON = 1, FILT_USER = 2, FILT_BOTH = 3 };

/* The first rule that fires decides; the daemon's list comes first. "." and "" never match. No allocation. */
enum filt_verdict filt_check_lists(struct filt_walk *w, enum filt_which which, const char *name, size_t len, bool is_dir);

/* True if the name is hidden (sender) or protected (receiver) by either list. */
bool filt_walk_active(const struct filt_walk *w, enum filt_which which);
static inline bool filt_excluded(struct filt_walk *w, const char *name, bool is_dir)
{
	return w && filt_walk_active(w, FILT_BOTH) && filt_check_lists(w, FILT_BOTH, name, strlen(name), is_dir) < 0;
}
static inline bool filt_daemon_excluded(struct filt_walk *w, const char *name, bool is_dir)
{
	return w && filt_walk_active(w, FILT_DAEMON) && filt_check_lists(w, FILT_DAEMON, name, strlen(name), is_dir) < 0;
}
static inline bool filt_user_excluded(struct filt_walk *w, const char *name, bool is_dir)
{
	return w && filt_walk_active(w, FILT_USER) && filt_check_lists(w, FILT_USER, name, strlen(name), is_dir) < 0;
}

/* Attribute names (§8.2): excluded by an "x" rule of either list. filt_has_xattr_rules: any "x" rule was
   parsed, so the built-in selection of attributes is off. */
bool filt_xattr_excluded(struct filt_walk *w, const char *attr);
bool filt_has_xattr_rules(const struct filt_walk *w);

/* ---- without a walk (arguments, option values): thread-safe, no per-directory rules ---- */

/* path relative to the anchor, cleaned (no "..", no leading slash). */
enum filt_verdict filt_check_path(const struct filter_list *l, const char *path, bool is_dir);

/* True if the list excludes the path, or any of its leading directories (tested as directories).
   Used for pulled arguments (§12.2) and, stricter than rsync, for destinations. */
bool filt_hides_path(const struct filter_list *l, const char *path, bool is_dir);

/* ---- checks of a receiving client (§11) ---- */

/* Verdict of the user list as the sender should have applied it (test A); always FILT_NO_MATCH when the
   list holds per-directory rules. */
enum filt_verdict filt_check_as_sender(const struct filter_list *l, const char *cwd, const char *name, bool is_dir);

#endif
