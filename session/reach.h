/*
 * reach.h - what a remote-shell server may reach: planned from its arguments, opened before the peer is read,
 * and then all that there is.
 *
 * A plan is plain data: flags, and paths with a kind. It is made from parsed options: by the server itself when
 * they came on its command line, or by its argument reader (argreader.h) when the peer sent them. Opening it turns
 * the paths into held anchors and files, into a Landlock domain, and into the directory to be jailed in.
 */
#ifndef SESSION_REACH_H
#define SESSION_REACH_H

#include "base/err.h"
#include "base/mem.h"
#include "sandbox/anchor.h"
#include "sandbox/confine.h"
#include "sandbox/places.h"
#include "session/options.h"

enum reach_flag {
	REACH_SENDER = 1 << 0,
	REACH_ANYWHERE = 1 << 1,       /* a sender that follows links wherever they lead, or names of a list */
	REACH_REMOVE = 1 << 2,         /* --remove-source-files */
	REACH_MKPATH = 1 << 3,
	REACH_RULES = 1 << 4,          /* per-directory rule files may be wanted from parent directories */
	REACH_NAMES = 1 << 5,          /* user or group names are looked up */
	REACH_DEVICES = 1 << 6,        /* device nodes are asked for */
	REACH_OPEN_DEVICES = 1 << 7,   /* --copy-devices, --write-devices */
	REACH_XATTRS = 1 << 8,
	REACH_NOATIME = 1 << 9,
	REACH_INSECURE = 1 << 10,      /* --insecure-links: nothing can be said about where names lead */
	REACH_FLAGS = (1 << 11) - 1,
};

enum reach_kind {
	REACH_SOURCE,                  /* sender: an operand, seen from "/" */
	REACH_DEST,                    /* receiver: the destination, seen from "/" */
	/* Receiver: directories as the option names them, absolute or relative to the destination. */
	REACH_ALT, REACH_ALT_LINK, REACH_TEMP, REACH_PARTIAL, REACH_BACKUP,
	REACH_FILE,                    /* a file that an option names (list, rules), seen from "/" */
	/* Not opened by reach_open(). */
	REACH_LOG,                     /* --log-file, as given */
	REACH_USER,                    /* --copy-as, as given */
	REACH_KINDS
};

struct reach_plan {
	unsigned flags;
	struct reach_item { enum reach_kind kind; const char *path; } *item;
	size_t n, cap;
	struct arena *arena;
	struct budget *budget;
};

int reach_plan_init(struct reach_plan *pl, struct budget *budget);     /* -1 without memory */
void reach_plan_free(struct reach_plan *pl);
int reach_plan_add(struct reach_plan *pl, enum reach_kind kind, const char *path);

/* From finished options and path arguments; cwd without a leading slash. -1 without memory. Paths that are too long
   are left out: whoever uses them says so. */
int reach_plan_make(struct reach_plan *pl, const struct options *p, const char *const *args, int nargs, const char *cwd);

/* Joins a path argument to the directory it is relative to, both seen from "/": cleaned, "" for "/" itself. out:
   PATH_LIMIT + 1 bytes; -ENAMETOOLONG. */
int reach_join(const char *base, const char *arg, char *out);

struct reach {
	struct anchor *root;           /* becomes xfer.root */
	struct places *places;         /* becomes xfer.places; NULL: everything lies beneath root */
	struct anchor *dest;           /* receiver: of the destination or of its deepest parent (borrowed); NULL: none */
	struct confine_dir *dirs;
	size_t ndirs, dirs_cap;
	struct anchor **anchors;       /* of dirs, where places does not own them */
	size_t nanchors, anchors_cap;
	bool insecure;                 /* --insecure-links */
	bool jail;                     /* root is to become "/" where permitted */
	bool shielded;                 /* all of this is where no device can be opened (confine_shield()) */
	struct anchor *devices;        /* where devices are opened, by the broker; NULL: in dest */
};

#define REACH_INIT { .root = NULL }

/* Opens everything, and takes the devices in it out of this process's reach. What cannot be opened is remembered and told when it is used. 0, or -1 with e. */
int reach_open(struct reach *r, const struct reach_plan *pl, struct err *e) NODISCARD;
/* The same where root is "/" for the session: everything is found beneath it, later, and nothing else. */
int reach_open_root(struct reach *r, const struct reach_plan *pl, struct anchor *root, struct err *e) NODISCARD;
void reach_free(struct reach *r);

#endif
