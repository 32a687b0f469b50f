/*
 * optpriv.h - the inside of the option parser: its table, and what its files share.
 */
#ifndef SESSION_OPTPRIV_H
#define SESSION_OPTPRIV_H

#include "session/options.h"

/* What a row does with its field. */
enum kind {
	SET,           /* bool field = value */
	SETI,          /* int field = value */
	COUNT,         /* int field += 1 */
	STR,           /* const char * field = the argument */
	INT,           /* int field = the argument */
	CALL,          /* special(value) without argument */
	CALLS,         /* special(value) with a string argument */
	CALLI,         /* special(value) with an integer argument */
	IGNORE,        /* concerns the client's terminal only; has no effect on a server by definition (05 §8.5) */
	IGNORES,       /* the same with an argument */
	IGNOREI,       /* the same with an integer argument */
	HACK,          /* daemon options: never from a peer */
	LACKS,         /* not supported by this build: refused with rsync's text */
};

enum special {
	SP_SERVER, SP_SENDER, SP_ARCHIVE, SP_D, SP_NO_D, SP_RECURSE, SP_NO_RECURSE, SP_OLD_DIRS, SP_FILES_FROM, SP_F, SP_FILTER,
	SP_EXCLUDE, SP_INCLUDE, SP_EXCLUDE_FROM, SP_INCLUDE_FROM, SP_MAX_SIZE, SP_MIN_SIZE, SP_CHECKSUM_CHOICE, SP_BLOCK_SIZE, SP_INPLACE,
	SP_APPEND, SP_APPEND_VERIFY, SP_NO_APPEND, SP_WRITE_DEVICES, SP_COMPARE_DEST, SP_COPY_DEST, SP_LINK_DEST, SP_COMPRESS, SP_NO_COMPRESS,
	SP_COMPRESS_CHOICE, SP_OLD_COMPRESS, SP_NEW_COMPRESS, SP_COMPRESS_LEVEL, SP_PARTIAL_DIR, SP_BACKUP_DIR, SP_BWLIMIT, SP_NO_BWLIMIT,
	SP_TIMEOUT, SP_NO_TIMEOUT, SP_MAX_ALLOC, SP_CHECKSUM_SEED, SP_USERMAP, SP_GROUPMAP, SP_CHMOD, SP_MODIFY_WINDOW,
	SP_DEL, SP_DEL_BEFORE, SP_DEL_DURING, SP_DEL_DELAY, SP_DEL_AFTER, SP_DEL_EXCLUDED, SP_MAX_DELETE, SP_VERBOSE, SP_NO_VERBOSE, SP_INFO,
	SP_STDERR, SP_MSGS2STDERR, SP_NO_MSGS2STDERR, SP_LOG_FORMAT, SP_ITEMIZE, SP_ONLY_WRITE_BATCH, SP_WRITE_BATCH, SP_READ_BATCH, SP_SECLUDED, SP_NO_SECLUDED,
	SP_ECAPS, SP_TEMP_DIR, SP_ACLS, SP_OPEN_NOATIME, SP_NO_OPEN_NOATIME, SP_ATIMES, SP_FAKE_SUPER, SP_STATS,
	SP_STOP_AFTER, SP_STOP_AT, SP_CHOWN, SP_ONE_FS, SP_NO_ONE_FS, SP_RELATIVE, SP_NO_RELATIVE, SP_PARTIAL_PROGRESS,
	SP_OLD_ARGS, SP_NO_OLD_ARGS, SP_REMOTE_OPTION, SP_COMPRESS_THREADS, SP_SUFFIX, SP_SKIP_COMPRESS,
	SP_ICONV, SP_NO_ICONV, SP_COPY_AS, SP_CONFINE_ROOT,
};

struct row {
	const char *name;
	char letter;
	uint8_t kind;
	uint16_t off;
	int value;
};

extern const struct row option_rows[];
extern const int option_row_count;

/* Keeps the first mistake; returns -1. */
int opt_mistake(struct options *p, int code, const char *fmt, ...) PRINTF(3, 4);

/* The exit code of a plain usage mistake: a daemon can only answer later, with 4. */
static inline int usage_code(const struct options *p) { return p->daemon ? RX_UNSUPPORTED : RX_USAGE; }

/* Copy in the arena; "" after a mistake. */
const char *opt_keep(struct options *p, const char *s);

/* "The server is configured to refuse …"; returns -1. */
int opt_refusal(struct options *p, const struct row *r);

/* Whether a row of this name (or letter) is refused. */
const struct row *opt_refused(const struct options *p, const char *name);

#endif
