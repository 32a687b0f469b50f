/*
 * options.c - the option table and its interpretation.
 */
#include "config.h"
#include "session/options.h"

#include <popt.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include "base/say.h"
#include "filter/wildmatch.h"
#include "protocol/conn.h"
#include "session/optvals.h"
#include "transfer/chmod.h"

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
	HACK,          /* daemon options: never from a peer */
	LACKS,         /* not supported by this build: refused with rsync's text */
	LACKSS,        /* the same with an argument */
};

enum special {
	SP_SERVER, SP_SENDER, SP_ARCHIVE, SP_D, SP_NO_D, SP_RECURSE, SP_NO_RECURSE, SP_OLD_DIRS, SP_FILES_FROM, SP_F, SP_FILTER,
	SP_EXCLUDE, SP_INCLUDE, SP_EXCLUDE_FROM, SP_INCLUDE_FROM, SP_MAX_SIZE, SP_MIN_SIZE, SP_CHECKSUM_CHOICE, SP_BLOCK_SIZE, SP_INPLACE,
	SP_APPEND, SP_APPEND_VERIFY, SP_NO_APPEND, SP_WRITE_DEVICES, SP_COMPARE_DEST, SP_COPY_DEST, SP_LINK_DEST, SP_COMPRESS, SP_NO_COMPRESS,
	SP_COMPRESS_CHOICE, SP_OLD_COMPRESS, SP_NEW_COMPRESS, SP_COMPRESS_LEVEL, SP_PARTIAL_DIR, SP_BACKUP_DIR, SP_BWLIMIT, SP_NO_BWLIMIT,
	SP_TIMEOUT, SP_NO_TIMEOUT, SP_MAX_ALLOC, SP_CHECKSUM_SEED, SP_USERMAP, SP_GROUPMAP, SP_CHMOD, SP_MODIFY_WINDOW,
	SP_DEL, SP_DEL_BEFORE, SP_DEL_DURING, SP_DEL_DELAY, SP_DEL_AFTER, SP_DEL_EXCLUDED, SP_MAX_DELETE, SP_VERBOSE, SP_NO_VERBOSE, SP_INFO,
	SP_STDERR, SP_MSGS2STDERR, SP_NO_MSGS2STDERR, SP_LOG_FORMAT, SP_ITEMIZE, SP_ONLY_WRITE_BATCH, SP_BATCH, SP_SECLUDED, SP_NO_SECLUDED,
	SP_ECAPS, SP_TEMP_DIR, SP_ACLS, SP_OPEN_NOATIME, SP_NO_OPEN_NOATIME, SP_ATIMES, SP_FAKE_SUPER, SP_STATS,
	SP_STOP_AFTER, SP_CHOWN, SP_COMPRESS_THREADS, SP_SUFFIX, SP_SKIP_COMPRESS, SP_ONE_FS, SP_NO_ONE_FS,
};

struct row {
	const char *name;
	char letter;
	uint8_t kind;
	uint16_t off;
	int value;
};

#define O(f) ((uint16_t)offsetof(struct xfer_opts, f))

static const struct row rows[] = {
	{ "server", 0, CALL, 0, SP_SERVER }, { "sender", 0, CALL, 0, SP_SENDER },
	/* transfer shape */
	{ "recursive", 'r', CALL, 0, SP_RECURSE }, { "no-recursive", 0, CALL, 0, SP_NO_RECURSE }, { "no-r", 0, CALL, 0, SP_NO_RECURSE },
	{ "inc-recursive", 0, SET, O(no_inc_recurse), 0 }, { "i-r", 0, SET, O(no_inc_recurse), 0 },
	{ "no-inc-recursive", 0, SET, O(no_inc_recurse), 1 }, { "no-i-r", 0, SET, O(no_inc_recurse), 1 },
	{ "qsort", 0, SET, O(no_inc_recurse), 1 }, { "use-qsort", 0, SET, O(no_inc_recurse), 1 },
	{ "dirs", 'd', SETI, O(dirs), 2 }, { "no-dirs", 0, SETI, O(dirs), 0 }, { "no-d", 0, SETI, O(dirs), 0 },
	{ "old-dirs", 0, CALL, 0, SP_OLD_DIRS }, { "old-d", 0, CALL, 0, SP_OLD_DIRS },
	{ "relative", 'R', SET, O(relative), 1 }, { "no-relative", 0, SET, O(relative), 0 }, { "no-R", 0, SET, O(relative), 0 },
	{ "implied-dirs", 0, SET, O(implied_dirs), 1 }, { "i-d", 0, SET, O(implied_dirs), 1 },
	{ "no-implied-dirs", 0, SET, O(implied_dirs), 0 }, { "no-i-d", 0, SET, O(implied_dirs), 0 },
	{ "files-from", 0, CALLS, 0, SP_FILES_FROM }, { "from0", '0', SET, O(from0), 1 }, { "no-from0", 0, SET, O(from0), 0 },
	{ "list-only", 0, SET, O(list_only), 1 },
	{ "one-file-system", 'x', CALL, 0, SP_ONE_FS }, { "no-one-file-system", 0, CALL, 0, SP_NO_ONE_FS }, { "no-x", 0, CALL, 0, SP_NO_ONE_FS },
	{ "prune-empty-dirs", 'm', SET, O(prune_empty_dirs), 1 }, { "no-prune-empty-dirs", 0, SET, O(prune_empty_dirs), 0 },
	{ "no-m", 0, SET, O(prune_empty_dirs), 0 },
	{ "mkpath", 0, SET, O(mkpath), 1 }, { "no-mkpath", 0, SET, O(mkpath), 0 },
	{ "archive", 'a', CALL, 0, SP_ARCHIVE }, { "cvs-exclude", 'C', SET, O(cvs_exclude), 1 },
	{ NULL, 'F', CALL, 0, SP_F }, { "filter", 'f', CALLS, 0, SP_FILTER }, { "exclude", 0, CALLS, 0, SP_EXCLUDE },
	{ "include", 0, CALLS, 0, SP_INCLUDE }, { "exclude-from", 0, CALLS, 0, SP_EXCLUDE_FROM }, { "include-from", 0, CALLS, 0, SP_INCLUDE_FROM },
	{ "max-size", 0, CALLS, 0, SP_MAX_SIZE }, { "min-size", 0, CALLS, 0, SP_MIN_SIZE },
	{ "existing", 0, SET, O(existing), 1 }, { "ignore-non-existing", 0, SET, O(existing), 1 },
	{ "ignore-existing", 0, SET, O(ignore_existing), 1 },
	{ "remove-source-files", 0, SETI, O(remove_source), 1 }, { "remove-sent-files", 0, SETI, O(remove_source), 2 },
	{ "ignore-missing-args", 0, SET, O(ignore_missing_args), 1 }, { "delete-missing-args", 0, SET, O(delete_missing_args), 1 },
	/* comparison and data */
	{ "checksum", 'c', SET, O(checksum), 1 }, { "no-checksum", 0, SET, O(checksum), 0 }, { "no-c", 0, SET, O(checksum), 0 },
	{ "checksum-choice", 0, CALLS, 0, SP_CHECKSUM_CHOICE }, { "cc", 0, CALLS, 0, SP_CHECKSUM_CHOICE },
	{ "checksum-seed", 0, CALLI, 0, SP_CHECKSUM_SEED },
	{ "ignore-times", 'I', SET, O(ignore_times), 1 }, { "no-ignore-times", 0, SET, O(ignore_times), 0 }, { "no-I", 0, SET, O(ignore_times), 0 },
	{ "size-only", 0, SET, O(size_only), 1 }, { "update", 'u', SET, O(update), 1 },
	{ "modify-window", '@', CALLI, 0, SP_MODIFY_WINDOW },
	{ "whole-file", 'W', SET, O(whole_file), 1 }, { "no-whole-file", 0, SET, O(no_whole_file), 1 }, { "no-W", 0, SET, O(no_whole_file), 1 },
	{ "block-size", 'B', CALLS, 0, SP_BLOCK_SIZE },
	{ "inplace", 0, SET, O(inplace), 1 }, { "no-inplace", 0, SET, O(inplace), 0 },
	{ "append", 0, CALL, 0, SP_APPEND }, { "append-verify", 0, CALL, 0, SP_APPEND_VERIFY }, { "no-append", 0, CALL, 0, SP_NO_APPEND },
	{ "sparse", 'S', SET, O(sparse), 1 }, { "no-sparse", 0, SET, O(sparse), 0 }, { "no-S", 0, SET, O(sparse), 0 },
	{ "preallocate", 0, SET, O(preallocate), 1 },
	{ "write-devices", 0, SET, O(write_devices), 1 }, { "no-write-devices", 0, SET, O(write_devices), 0 },
	{ "copy-devices", 0, SET, O(copy_devices), 1 },
	{ "fuzzy", 'y', COUNT, O(fuzzy), 0 }, { "no-fuzzy", 0, SETI, O(fuzzy), 0 }, { "no-y", 0, SETI, O(fuzzy), 0 },
	{ "compare-dest", 0, CALLS, 0, SP_COMPARE_DEST }, { "copy-dest", 0, CALLS, 0, SP_COPY_DEST }, { "link-dest", 0, CALLS, 0, SP_LINK_DEST },
	{ "compress", 'z', CALL, 0, SP_COMPRESS }, { "no-compress", 0, CALL, 0, SP_NO_COMPRESS }, { "no-z", 0, CALL, 0, SP_NO_COMPRESS },
	{ "compress-choice", 0, CALLS, 0, SP_COMPRESS_CHOICE }, { "zc", 0, CALLS, 0, SP_COMPRESS_CHOICE },
	{ "old-compress", 0, CALL, 0, SP_OLD_COMPRESS }, { "new-compress", 0, CALL, 0, SP_NEW_COMPRESS },
	{ "compress-level", 0, CALLI, 0, SP_COMPRESS_LEVEL }, { "zl", 0, CALLI, 0, SP_COMPRESS_LEVEL },
	{ "compress-threads", 0, CALLI, 0, SP_COMPRESS_THREADS }, { "zt", 0, CALLI, 0, SP_COMPRESS_THREADS },
	{ "skip-compress", 0, CALLS, 0, SP_SKIP_COMPRESS },
	{ "partial", 0, SET, O(partial), 1 }, { "no-partial", 0, SET, O(partial), 0 }, { "partial-dir", 0, CALLS, 0, SP_PARTIAL_DIR },
	{ "delay-updates", 0, SET, O(delay_updates), 1 }, { "no-delay-updates", 0, SET, O(delay_updates), 0 },
	{ "temp-dir", 'T', CALLS, 0, SP_TEMP_DIR }, { "fsync", 0, SET, O(fsync), 1 },
	{ "backup", 'b', SET, O(backup), 1 }, { "no-backup", 0, SET, O(backup), 0 },
	{ "backup-dir", 0, CALLS, 0, SP_BACKUP_DIR }, { "suffix", 0, CALLS, 0, SP_SUFFIX },
	{ "bwlimit", 0, CALLS, 0, SP_BWLIMIT }, { "no-bwlimit", 0, CALL, 0, SP_NO_BWLIMIT },
	{ "timeout", 0, CALLI, 0, SP_TIMEOUT }, { "no-timeout", 0, CALL, 0, SP_NO_TIMEOUT },
	{ "max-alloc", 0, CALLS, 0, SP_MAX_ALLOC },
	/* attributes */
	{ "links", 'l', SET, O(links), 1 }, { "no-links", 0, SET, O(links), 0 }, { "no-l", 0, SET, O(links), 0 },
	{ "copy-links", 'L', SET, O(copy_links), 1 }, { "copy-dirlinks", 'k', SET, O(copy_dirlinks), 1 },
	{ "copy-unsafe-links", 0, SET, O(copy_unsafe_links), 1 }, { "safe-links", 0, SET, O(safe_links), 1 },
	{ "keep-dirlinks", 'K', SET, O(keep_dirlinks), 1 },
	{ "munge-links", 0, SET, O(munge_links), 1 }, { "no-munge-links", 0, SET, O(munge_links), 0 },
	{ "drop-D", 0, SET, O(drop_devices), 1 }, { "no-drop-D", 0, SET, O(drop_devices), 0 },
	{ "hard-links", 'H', COUNT, O(hard_links), 0 }, { "no-hard-links", 0, SETI, O(hard_links), 0 }, { "no-H", 0, SETI, O(hard_links), 0 },
	{ "perms", 'p', SET, O(perms), 1 }, { "no-perms", 0, SET, O(perms), 0 }, { "no-p", 0, SET, O(perms), 0 },
	{ "executability", 'E', SET, O(executability), 1 },
	{ "acls", 'A', LACKS, 0, 0 }, { "no-acls", 0, IGNORE, 0, 0 }, { "no-A", 0, IGNORE, 0, 0 },
	{ "xattrs", 'X', LACKS, 0, 0 }, { "no-xattrs", 0, IGNORE, 0, 0 }, { "no-X", 0, IGNORE, 0, 0 },
	{ "times", 't', SET, O(times), 1 }, { "no-times", 0, SET, O(times), 0 }, { "no-t", 0, SET, O(times), 0 },
	{ "atimes", 'U', CALL, 0, SP_ATIMES }, { "no-atimes", 0, SETI, O(atimes), 0 }, { "no-U", 0, SETI, O(atimes), 0 },
	{ "open-noatime", 0, CALL, 0, SP_OPEN_NOATIME }, { "no-open-noatime", 0, CALL, 0, SP_NO_OPEN_NOATIME },
	{ "crtimes", 'N', LACKS, 0, 0 }, { "no-crtimes", 0, IGNORE, 0, 0 }, { "no-N", 0, IGNORE, 0, 0 },
	{ "omit-dir-times", 'O', SET, O(omit_dir_times), 1 }, { "no-omit-dir-times", 0, SET, O(omit_dir_times), 0 },
	{ "no-O", 0, SET, O(omit_dir_times), 0 },
	{ "omit-link-times", 'J', SET, O(omit_link_times), 1 }, { "no-omit-link-times", 0, SET, O(omit_link_times), 0 },
	{ "no-J", 0, SET, O(omit_link_times), 0 },
	{ "owner", 'o', SET, O(owner), 1 }, { "no-owner", 0, SET, O(owner), 0 }, { "no-o", 0, SET, O(owner), 0 },
	{ "group", 'g', SET, O(group), 1 }, { "no-group", 0, SET, O(group), 0 }, { "no-g", 0, SET, O(group), 0 },
	{ NULL, 'D', CALL, 0, SP_D }, { "no-D", 0, CALL, 0, SP_NO_D },
	{ "devices", 0, SET, O(devices), 1 }, { "no-devices", 0, SET, O(devices), 0 },
	{ "specials", 0, SET, O(specials), 1 }, { "no-specials", 0, SET, O(specials), 0 },
	{ "numeric-ids", 0, SET, O(numeric_ids), 1 }, { "no-numeric-ids", 0, SET, O(numeric_ids), 0 },
	{ "usermap", 0, CALLS, 0, SP_USERMAP }, { "groupmap", 0, CALLS, 0, SP_GROUPMAP }, { "chown", 0, CALLS, 0, SP_CHOWN },
	{ "chmod", 0, CALLS, 0, SP_CHMOD },
	{ "super", 0, SETI, O(super), 1 }, { "no-super", 0, SETI, O(super), 0 }, { "fake-super", 0, CALL, 0, SP_FAKE_SUPER },
	{ "copy-as", 0, LACKSS, 0, 0 }, { "iconv", 0, LACKSS, 0, 0 }, { "no-iconv", 0, IGNORE, 0, 0 },
	{ "insecure-links", 0, LACKS, 0, 0 }, { "no-insecure-links", 0, IGNORE, 0, 0 }, { "confine-root", 0, LACKSS, 0, 0 },
	/* deletion */
	{ "delete", 0, CALL, 0, SP_DEL }, { "delete-before", 0, CALL, 0, SP_DEL_BEFORE }, { "delete-during", 0, CALL, 0, SP_DEL_DURING },
	{ "del", 0, CALL, 0, SP_DEL_DURING }, { "delete-delay", 0, CALL, 0, SP_DEL_DELAY }, { "delete-after", 0, CALL, 0, SP_DEL_AFTER },
	{ "delete-excluded", 0, CALL, 0, SP_DEL_EXCLUDED }, { "max-delete", 0, CALLI, 0, SP_MAX_DELETE },
	{ "force", 0, SET, O(force), 1 }, { "no-force", 0, SET, O(force), 0 },
	{ "ignore-errors", 0, SET, O(ignore_errors), 1 }, { "no-ignore-errors", 0, SET, O(ignore_errors), 0 },
	/* output and control */
	{ "verbose", 'v', CALL, 0, SP_VERBOSE }, { "no-verbose", 0, CALL, 0, SP_NO_VERBOSE }, { "no-v", 0, CALL, 0, SP_NO_VERBOSE },
	{ "info", 0, CALLS, 0, SP_INFO }, { "debug", 0, IGNORES, 0, 0 }, { "quiet", 'q', SET, O(quiet), 1 },
	{ "stderr", 0, CALLS, 0, SP_STDERR }, { "msgs2stderr", 0, CALL, 0, SP_MSGS2STDERR }, { "no-msgs2stderr", 0, CALL, 0, SP_NO_MSGS2STDERR },
	{ "out-format", 0, CALLS, 0, SP_LOG_FORMAT }, { "log-format", 0, CALLS, 0, SP_LOG_FORMAT },
	{ "itemize-changes", 'i', CALL, 0, SP_ITEMIZE },
	{ "no-itemize-changes", 0, SET, O(out_itemize), 0 }, { "no-i", 0, SET, O(out_itemize), 0 },
	{ "stats", 0, CALL, 0, SP_STATS }, { "dry-run", 'n', SET, O(dry_run), 1 },
	{ "only-write-batch", 0, CALLS, 0, SP_ONLY_WRITE_BATCH }, { "write-batch", 0, CALLS, 0, SP_BATCH }, { "read-batch", 0, CALLS, 0, SP_BATCH },
	{ "log-file", 0, LACKSS, 0, 0 }, { "log-file-format", 0, LACKSS, 0, 0 },
	{ "secluded-args", 's', CALL, 0, SP_SECLUDED }, { "protect-args", 0, CALL, 0, SP_SECLUDED },
	{ "no-secluded-args", 0, CALL, 0, SP_NO_SECLUDED }, { "no-protect-args", 0, CALL, 0, SP_NO_SECLUDED }, { "no-s", 0, CALL, 0, SP_NO_SECLUDED },
	{ "rsh", 'e', CALLS, 0, SP_ECAPS }, { "stop-after", 0, CALLI, 0, SP_STOP_AFTER }, { "time-limit", 0, CALLI, 0, SP_STOP_AFTER },
	{ "progress", 0, IGNORE, 0, 0 }, { "no-progress", 0, IGNORE, 0, 0 }, { "human-readable", 'h', IGNORE, 0, 0 },
	{ "no-human-readable", 0, IGNORE, 0, 0 }, { "no-h", 0, IGNORE, 0, 0 }, { "8-bit-output", '8', IGNORE, 0, 0 },
	{ "trust-sender", 0, IGNORE, 0, 0 }, { "old-args", 0, IGNORE, 0, 0 }, { "no-old-args", 0, IGNORE, 0, 0 }, { "protocol", 0, IGNORES, 0, 0 },
	{ "daemon", 0, HACK, 0, 0 }, { "config", 0, HACK, 1, 0 }, { "dparam", 0, HACK, 1, 0 }, { "detach", 0, HACK, 0, 0 }, { "no-detach", 0, HACK, 0, 0 },
};

#define NROWS ((int)ARRAY_SIZE(rows))

int options_init(struct options *p, struct xfer_opts *o, struct budget *budget, bool daemon)
{
	*p = (struct options){ .o = o, .daemon = daemon, .budget = budget };
	p->arena = arena_new(budget, 4096);
	p->refused = mem_zalloc(budget, ARRAY_SIZE(rows), 1);
	if (!p->arena || !p->refused) {
		options_free(p);
		return -1;
	}
	*o = (struct xfer_opts){
		.am_server = true, .am_daemon = daemon, .implied_dirs = true, .max_size = -1, .min_size = -1, .max_delete = -1,
		.compress_level = COMP_LEVEL_DEFAULT, .max_alloc = (int64_t)1 << 30, .open_noatime = -1, .super = -1, .ecaps = "",
	};
	o->info[INFO_NONREG] = 1;
	return 0;
}

void options_free(struct options *p)
{
	mem_free(p->budget, p->refused);
	mem_free(p->budget, p->rules);
	mem_free(p->budget, (void *)p->paths);
	arena_free(p->arena);
	*p = (struct options){ 0 };
}

PRINTF(3, 4)
static int mistake(struct options *p, int code, const char *fmt, ...)
{
	va_list ap;

	if (!p->exit_code) {
		p->exit_code = code;
		va_start(ap, fmt);
		vsnprintf(p->error, sizeof p->error, fmt, ap);
		va_end(ap);
	}
	return -1;
}

/* The exit code of a plain usage mistake: a daemon can only answer later, with 4. */
static int usage_code(const struct options *p)
{
	return p->daemon ? RX_UNSUPPORTED : RX_USAGE;
}

static const char *keep(struct options *p, const char *s)
{
	const char *k = arena_strndup(p->arena, s, strlen(s));

	if (!k)
		mistake(p, RX_MALLOC, "out of memory for options");
	return k ? k : "";
}

static bool same_action(const struct row *a, const struct row *b)
{
	return a->kind == b->kind && a->off == b->off && a->value == b->value && a->kind != LACKS && a->kind != LACKSS &&
	       a->kind != IGNORE && a->kind != IGNORES && a->kind != HACK;
}

/* Options that only their exact name or letter can refuse (06 §3.9 step 1). */
static bool wild_protected(const struct row *r)
{
	static const char *const names[] = { "server", "sender", "rsh", "dry-run", "secluded-args", "protect-args", "from0", "iconv",
		"no-iconv", "checksum-seed", "log-format", "out-format", "copy-devices", "write-devices" };

	for (size_t i = 0; r->name && i < ARRAY_SIZE(names); i++)
		if (!strcmp(r->name, names[i]))
			return true;
	return false;
}

static bool refuse_one(struct options *p, const char *item, bool yes)
{
	bool wild = strpbrk(item, "*?[") != NULL, hit = false;
	char letter[2] = "";

	if (!strcmp(item, "a") || !strcmp(item, "archive")) {
		item = "[ardlptgoD]";
		wild = true;
	}
	for (int i = 0; i < NROWS; i++) {
		const struct row *r = &rows[i];

		letter[0] = r->letter;
		if (wild ? wild_protected(r) || !((r->name && wild_match(item, r->name)) || (r->letter && wild_match(item, letter)))
			 : !((r->name && !strcmp(item, r->name)) || (r->letter && !strcmp(item, letter))))
			continue;
		hit = true;
		p->refused[i] = yes;
		for (int k = 0; k < NROWS && !wild; k++)
			if (same_action(r, &rows[k]))
				p->refused[k] = yes;
	}
	return hit;
}

void options_refuse(struct options *p, const char *list, bool have_charset)
{
	static const char *const always[] = { "log-file*", "insecure-links" };
	char item[256];

	refuse_one(p, "copy-devices", true);
	refuse_one(p, "write-devices", true);
	while (*list) {
		size_t len = strcspn(list, " ");
		bool no;

		if (len && len < sizeof item) {
			memcpy(item, list, len);
			item[len] = '\0';
			no = item[0] == '!';
			if (!refuse_one(p, item + no, !no))
				say(SAY_LOG, "No match for refuse-options string \"%s\"", item);
		}
		list += len + (list[len] == ' ');
	}
	if (!have_charset)
		refuse_one(p, "iconv", true);
	for (size_t i = 0; i < ARRAY_SIZE(always); i++)
		refuse_one(p, always[i], true);
}

static int refusal(struct options *p, const struct row *r)
{
	if (!r->name)
		return mistake(p, RX_UNSUPPORTED, "The server is configured to refuse -%c", r->letter);
	if (r->letter)
		return mistake(p, RX_UNSUPPORTED, "The server is configured to refuse --%s (-%c)", r->name, r->letter);
	return mistake(p, RX_UNSUPPORTED, "The server is configured to refuse --%s", r->name);
}

/* Refuses as the named option when that one is refused. */
static int consequence(struct options *p, const char *name)
{
	for (int i = 0; i < NROWS; i++)
		if (p->refused[i] && rows[i].name && !strcmp(rows[i].name, name))
			return refusal(p, &rows[i]);
	return 0;
}

static int add_rule(struct options *p, int kind, const char *text)
{
	struct option_rule *r = mem_grow(p->budget, p->rules, &p->rules_cap, p->nrules + 1, sizeof *r);

	if (!r)
		return mistake(p, RX_MALLOC, "out of memory for options");
	p->rules = r;
	r[p->nrules++] = (struct option_rule){ kind, keep(p, text) };
	return 0;
}

static int size_value(struct options *p, const char *name, const char *arg, char unit, int64_t min, int64_t max, int64_t *out)
{
	int64_t v = options_size(arg, unit, min, max);

	if (v == -2)
		return mistake(p, usage_code(p), "--%s=%s is too large%s", name, arg, max == BLOCK_SIZE_MAX ? " (max: 128.00K)" : "");
	if (v == -3)
		return mistake(p, usage_code(p), "--%s=%s is too small (min: %s or 0 for unlimited)", name, arg, min == 512 ? "512" : "1.00M");
	if (v < 0)
		return mistake(p, usage_code(p), "--%s=%s is invalid", name, arg);
	*out = v;
	return 0;
}

static int alt_dest(struct options *p, enum alt_dest kind, const char *arg)
{
	static const char *const names[] = { "", "compare-dest", "copy-dest", "link-dest" };
	struct xfer_opts *o = p->o;

	if (o->alt_dest && o->alt_dest != kind)
		return mistake(p, usage_code(p), "ERROR: the --%s option conflicts with the --%s option", names[kind], names[o->alt_dest]);
	if (o->alt_count == ALT_DEST_MAX)
		return mistake(p, usage_code(p), "ERROR: at most %d --%s args may be specified", ALT_DEST_MAX, names[kind]);
	o->alt_dest = kind;
	o->alt_dirs[o->alt_count++] = keep(p, arg);
	return 0;
}

static int delete_when(struct options *p, enum delete_when when)
{
	struct xfer_opts *o = p->o;

	o->delete_mode = true;
	if (o->delete_when != DELETE_NONE && o->delete_when != when)
		p->delete_whens++;
	o->delete_when = when;
	return 0;
}

static int checksum_choice(struct options *p, const char *arg)
{
	const char *comma = strchr(arg, ',');
	size_t len = comma ? (size_t)(comma - arg) : strlen(arg);

	if (!strcasecmp(arg, "auto") || !strcasecmp(arg, "auto,auto")) {
		p->o->checksum_choice = NULL;
		return 0;
	}
	if (csum_parse(arg, len) == CSUM_INVALID && strncasecmp(arg, "auto", MAX(len, (size_t)4)))
		return mistake(p, RX_UNSUPPORTED, "unknown checksum name: %.*s", (int)len, arg);
	if (comma && csum_parse(comma + 1, strlen(comma + 1)) == CSUM_INVALID && strcasecmp(comma + 1, "auto"))
		return mistake(p, RX_UNSUPPORTED, "unknown checksum name: %s", comma + 1);
	p->o->checksum_choice = keep(p, arg);
	return 0;
}

static int compress_choice(struct options *p, const char *arg)
{
	struct xfer_opts *o = p->o;

	o->compress = true;
	if (!strcasecmp(arg, "auto")) {
		o->compress_choice = NULL;
		return 0;
	}
	if (comp_parse(arg, strlen(arg)) == COMP_INVALID)
		return mistake(p, RX_UNSUPPORTED, "unknown compress name: %s", arg);
	o->compress_choice = keep(p, arg);
	o->compress = comp_parse(arg, strlen(arg)) != COMP_NONE;
	return 0;
}

static int stderr_mode(struct options *p, const char *arg)
{
	size_t n = strlen(arg);
	struct xfer_opts *o = p->o;

	if (!n || (strncmp(arg, "errors", n) && strncmp(arg, "all", n) && strncmp(arg, "client", n)))
		return mistake(p, usage_code(p), "--stderr mode \"%s\" is not one of errors, all, or client", arg);
	o->msgs_to_stderr = arg[0] == 'a';
	o->stderr_client = arg[0] == 'c';
	return 0;
}

static void set_archive(struct options *p)
{
	struct xfer_opts *o = p->o;

	o->recurse = o->links = o->perms = o->times = o->group = o->owner = o->devices = o->specials = true;
}

static void log_format(struct options *p, const char *arg)
{
	struct xfer_opts *o = p->o;

	o->out_format = true;
	if (strstr(arg, "%i"))
		o->out_itemize = true;
	if (strstr(arg, "%I"))
		o->out_itemize_all = true;
	if (strstr(arg, "%o"))
		o->out_operation = true;
}

static int plain_special(struct options *p, enum special sp)
{
	struct xfer_opts *o = p->o;

	switch (sp) {
	case SP_SERVER: p->server = true; break;
	case SP_SENDER: o->am_sender = true; break;
	case SP_ARCHIVE: set_archive(p); break;
	case SP_D: o->devices = o->specials = true; break;
	case SP_NO_D: o->devices = o->specials = false; break;
	case SP_ONE_FS: o->one_fs_skip = o->one_fs; o->one_fs = true; break;
	case SP_NO_ONE_FS: o->one_fs = o->one_fs_skip = false; break;
	case SP_RECURSE: o->recurse = p->recurse_given = true; break;
	case SP_NO_RECURSE: o->recurse = false; break;
	case SP_OLD_DIRS: o->recurse = true; return add_rule(p, RULE_FILTER, "- /*/*");
	case SP_F: return add_rule(p, RULE_F, "");
	case SP_APPEND: o->append++; break;
	case SP_APPEND_VERIFY: o->append = 2; break;
	case SP_NO_APPEND: o->append = 0; break;
	case SP_COMPRESS:
		if (o->compress && !o->compress_choice)
			o->compress_choice = "zlibx";
		o->compress = true;
		break;
	case SP_NO_COMPRESS: o->compress = false; o->compress_choice = NULL; break;
	case SP_OLD_COMPRESS: o->compress = true; o->compress_choice = "zlib"; break;
	case SP_NEW_COMPRESS: o->compress = true; o->compress_choice = "zlibx"; break;
	case SP_NO_BWLIMIT: o->bwlimit = 0; break;
	case SP_NO_TIMEOUT: o->timeout = 0; break;
	case SP_DEL: o->delete_mode = true; break;
	case SP_DEL_BEFORE: return delete_when(p, DELETE_BEFORE);
	case SP_DEL_DURING: return delete_when(p, DELETE_DURING);
	case SP_DEL_DELAY: return delete_when(p, DELETE_DELAY);
	case SP_DEL_AFTER: return delete_when(p, DELETE_AFTER);
	case SP_DEL_EXCLUDED: o->delete_mode = o->delete_excluded = true; break;
	case SP_VERBOSE: o->verbose += o->verbose < 99; break;
	case SP_NO_VERBOSE: o->verbose = 0; break;
	case SP_MSGS2STDERR: o->msgs_to_stderr = true; o->stderr_client = false; break;
	case SP_NO_MSGS2STDERR: o->msgs_to_stderr = false; o->stderr_client = true; break;
	case SP_ITEMIZE: o->out_itemize_all = o->out_itemize; o->out_itemize = o->out_format = true; break;
	case SP_SECLUDED: p->secluded = true; break;
	case SP_NO_SECLUDED: p->secluded = false; break;
	case SP_OPEN_NOATIME: o->open_noatime = 1; break;
	case SP_NO_OPEN_NOATIME: o->open_noatime = 0; break;
	case SP_ATIMES:
		if (++o->atimes > 1)
			o->open_noatime = 1;
		break;
	/* A daemon's client may not choose where ids are stored: it gets what --super means (05 §8.3). */
	case SP_FAKE_SUPER:
		if (!p->daemon)
			return mistake(p, usage_code(p), "The server does not support --fake-super");
		o->super = 1;
		break;
	case SP_STATS: o->stats = true; break;
	default: break;
	}
	return 0;
}

static int string_special(struct options *p, enum special sp, const char *arg)
{
	struct xfer_opts *o = p->o;
	int64_t v;

	switch (sp) {
	case SP_FILES_FROM: o->files_from = keep(p, arg); return 0;
	case SP_FILTER: return add_rule(p, RULE_FILTER, arg);
	case SP_EXCLUDE: return add_rule(p, RULE_EXCLUDE, arg);
	case SP_INCLUDE: return add_rule(p, RULE_INCLUDE, arg);
	case SP_EXCLUDE_FROM: return add_rule(p, RULE_EXCLUDE_FROM, arg);
	case SP_INCLUDE_FROM: return add_rule(p, RULE_INCLUDE_FROM, arg);
	case SP_MAX_SIZE: return size_value(p, "max-size", arg, 'b', 0, INT64_MAX, &o->max_size);
	case SP_MIN_SIZE: return size_value(p, "min-size", arg, 'b', 0, INT64_MAX, &o->min_size);
	case SP_BLOCK_SIZE:
		if (size_value(p, "block-size", arg, 'b', 0, BLOCK_SIZE_MAX, &v) < 0)
			return -1;
		o->block_size = (int32_t)v;
		return 0;
	case SP_BWLIMIT:
		if (size_value(p, "bwlimit", arg, 'K', 512, INT64_MAX, &v) < 0)
			return -1;
		o->bwlimit = (unsigned)MIN((v + 512) / 1024, (int64_t)INT32_MAX);
		return 0;
	case SP_MAX_ALLOC:
		if (size_value(p, "max-alloc", arg, 'b', 1 << 20, INT64_MAX, &o->max_alloc) < 0)
			return -1;
		return o->max_alloc ? 0 : mistake(p, usage_code(p), "max-alloc must be greater than zero");
	case SP_CHECKSUM_CHOICE: return checksum_choice(p, arg);
	case SP_COMPRESS_CHOICE: return compress_choice(p, arg);
	case SP_COMPARE_DEST: return alt_dest(p, ALT_COMPARE, arg);
	case SP_COPY_DEST: return alt_dest(p, ALT_COPY, arg);
	case SP_LINK_DEST: return alt_dest(p, ALT_LINK, arg);
	case SP_PARTIAL_DIR: o->partial_dir = *arg && strcmp(arg, ".") ? keep(p, arg) : NULL; return 0;
	case SP_BACKUP_DIR: o->backup_dir = strcmp(arg, ".") ? keep(p, arg) : NULL; o->backup = true; return 0;
	case SP_TEMP_DIR: o->temp_dir = keep(p, arg); return 0;
	case SP_SUFFIX: o->suffix = keep(p, arg); return 0;
	case SP_SKIP_COMPRESS: o->skip_compress = keep(p, arg); return 0;
	case SP_USERMAP:
		if (o->usermap)
			return mistake(p, usage_code(p), "You can only specify --usermap once.");
		o->usermap = keep(p, arg);
		o->owner = true;
		return 0;
	case SP_GROUPMAP:
		if (o->groupmap)
			return mistake(p, usage_code(p), "You can only specify --groupmap once.");
		o->groupmap = keep(p, arg);
		o->group = true;
		return 0;
	case SP_CHOWN: return optval_chown(arg, p->arena, &o->usermap, &o->groupmap, &o->owner, &o->group) < 0
				? mistake(p, usage_code(p), "--chown=%s is invalid", arg) : 0;
	case SP_CHMOD: o->chmod = keep(p, arg); return 0;
	case SP_INFO: optval_info(o, arg); return 0;
	case SP_STDERR: return stderr_mode(p, arg);
	case SP_LOG_FORMAT: log_format(p, arg); return 0;
	case SP_ONLY_WRITE_BATCH: o->only_write_batch = true; return 0;
	case SP_BATCH: say(SAY_WARNING, "ignoring --write-batch option sent to server"); return 0;
	case SP_ECAPS: o->ecaps = keep(p, arg); return 0;
	default: return 0;
	}
}

static int int_special(struct options *p, enum special sp, int v)
{
	struct xfer_opts *o = p->o;

	switch (sp) {
	case SP_CHECKSUM_SEED: o->checksum_seed = v; break;
	case SP_MODIFY_WINDOW: o->modify_window = v; break;
	case SP_COMPRESS_LEVEL: o->compress_level = v; o->compress = true; break;
	case SP_COMPRESS_THREADS: o->compress_threads = v < 0 ? 0 : MIN(v, 8); break;
	case SP_TIMEOUT: o->timeout = v > 0 ? (unsigned)v : 0; break;
	case SP_MAX_DELETE: o->max_delete = MAX(v, 0); break;
	case SP_STOP_AFTER:
		if (v <= 0)
			return mistake(p, usage_code(p), "invalid --stop-after value: %d", v);
		o->stop_at = (int64_t)time(NULL) + (int64_t)v * 60;
		break;
	default: break;
	}
	return 0;
}

static int apply(struct options *p, const struct row *r, const char *arg, int ival)
{
	void *field = (char *)p->o + r->off;

	switch ((enum kind)r->kind) {
	case SET:
		*(bool *)field = r->value != 0;
		if (field == &p->o->relative)
			p->relative_given = true;
		return 0;
	case SETI: *(int *)field = r->value; return 0;
	case COUNT: *(int *)field += *(int *)field < 99; return 0;
	case STR: *(const char **)field = keep(p, arg); return 0;
	case INT: *(int *)field = ival; return 0;
	case CALL: return plain_special(p, (enum special)r->value);
	case CALLS: return string_special(p, (enum special)r->value, arg);
	case CALLI: return int_special(p, (enum special)r->value, ival);
	case IGNORE: case IGNORES: return 0;
	case HACK:
		return p->daemon ? mistake(p, RX_UNSUPPORTED, "Attempt to hack rsync thwarted!")
				 : mistake(p, RX_USAGE, "Daemon option(s) used without --daemon.");
	case LACKS: case LACKSS:
		return mistake(p, usage_code(p), r->letter ? "The server does not support --%s (-%c)" : "The server does not support --%s",
			       r->name, r->letter);
	}
	return 0;
}

static void unescape(char *s)
{
	char *d = s;

	for (; *s; s++) {
		if (*s == '\\' && s[1])
			s++;
		*d++ = *s;
	}
	*d = '\0';
}

static int add_path(struct options *p, const char *word)
{
	const char **v = mem_grow(p->budget, (void *)p->paths, &p->paths_cap, (size_t)p->npaths + 1, sizeof *v);

	if (!v)
		return mistake(p, RX_MALLOC, "out of memory for arguments");
	p->paths = v;
	v[p->npaths++] = keep(p, word);
	return 0;
}

static int run_popt(struct options *p, poptContext pc, const int *ival)
{
	int rc;

	while ((rc = poptGetNextOpt(pc)) > 0) {
		const struct row *r = &rows[rc - 1];
		char *arg = poptGetOptArg(pc);
		int done = p->refused[rc - 1] ? refusal(p, r) : apply(p, r, arg ? arg : "", *ival);

		free(arg);
		if (done < 0)
			return -1;
	}
	if (rc < -1)
		return mistake(p, usage_code(p), "on remote machine: %s: %s", poptBadOption(pc, POPT_BADOPTION_NOALIAS), poptStrerror(rc));
	return 0;
}

int options_parse(struct options *p, const char *const *words, int count, bool first_batch)
{
	struct poptOption table[ARRAY_SIZE(rows) + 1];
	static int ival;
	const char **argv;
	poptContext pc;
	const char *rest;
	int n = 0, rc;

	memset(table, 0, sizeof table);
	for (int i = 0; i < NROWS; i++) {
		const struct row *r = &rows[i];
		bool str = r->kind == STR || r->kind == CALLS || r->kind == IGNORES || r->kind == LACKSS || (r->kind == HACK && r->off);
		bool num = r->kind == INT || r->kind == CALLI;

		table[i] = (struct poptOption){ .longName = r->name, .shortName = r->letter, .val = i + 1,
			.argInfo = str ? POPT_ARG_STRING : num ? POPT_ARG_INT : POPT_ARG_NONE, .arg = num ? &ival : NULL };
	}
	argv = mem_alloc(p->budget, (size_t)count + 2, sizeof *argv);
	if (!argv)
		return mistake(p, RX_MALLOC, "out of memory for arguments");
	argv[n++] = "kedge";
	for (int i = 0; i < count; i++) {
		char *w = arena_strndup(p->arena, words[i], strlen(words[i]));

		if (!w)
			break;
		argv[n++] = w;
	}
	argv[n] = NULL;
	/* Words up to the first "." were quoted for a shell by the client. */
	for (int i = 1; i < n && p->daemon && first_batch; i++) {
		unescape((char *)(uintptr_t)argv[i]);
		if (!strcmp(argv[i], "."))
			break;
	}
	pc = poptGetContext("kedge", n, argv, table, POPT_CONTEXT_POSIXMEHARDER);
	rc = run_popt(p, pc, &ival);
	/* In secluded mode what is left of the first batch is debris of old clients (05 §3.3). */
	if (rc == 0 && !(p->secluded && first_batch)) {
		rest = poptGetArg(pc);
		if (rest && strcmp(rest, "."))
			rc = add_path(p, rest);
		while (rc == 0 && (rest = poptGetArg(pc)))
			rc = add_path(p, rest);
	}
	poptFreeContext(pc);
	mem_free(p->budget, (void *)argv);
	return rc;
}

static int finish_conflicts(struct options *p)
{
	struct xfer_opts *o = p->o;
	int code = usage_code(p);

	if (p->delete_whens)
		return mistake(p, code, "You may not combine multiple --delete-WHEN options.");
	if (o->delete_mode && !o->recurse && !o->dirs)
		return mistake(p, code, "--delete does not work without --recursive (-r) or --dirs (-d).");
	if (o->append && o->whole_file)
		return mistake(p, code, "--append cannot be used with --whole-file");
	if (o->inplace && (o->partial_dir || o->delay_updates))
		return mistake(p, code, "--%s cannot be used with --%s", o->append ? "append" : "inplace", o->delay_updates ? "delay-updates" : "partial-dir");
	if (o->backup) {
		if (!o->suffix)
			o->suffix = o->backup_dir ? "" : "~";
		if (strchr(o->suffix, '/'))
			return mistake(p, code, "--suffix cannot contain slashes: %s", o->suffix);
		if (!*o->suffix && !o->backup_dir)
			return mistake(p, code, "--suffix cannot be empty without a --backup-dir");
		if (!o->backup_dir)
			o->omit_dir_times = true;
	}
	if (o->temp_dir && strlen(o->temp_dir) >= 4086)
		return mistake(p, code, "the --temp-dir path is WAY too long.");
	if (o->backup_dir && strlen(o->backup_dir) >= 4086)
		return mistake(p, code, "the --backup-dir path is WAY too long.");
	if (o->files_from && strcmp(o->files_from, "-") && strchr(o->files_from, ':') &&
	    (!strchr(o->files_from, '/') || strchr(o->files_from, ':') < strchr(o->files_from, '/')))
		return mistake(p, code, "The --files-from sent to the server cannot specify a host.");
	if (o->files_from && p->npaths > 1)
		return mistake(p, code, "--files-from takes one base directory only");
	if (o->chmod) {
		struct chmod_rules *rules = chmod_parse(o->chmod, 022);

		if (!rules)
			return mistake(p, code, "Invalid argument passed to --chmod (%s)", o->chmod);
		chmod_free(rules);
	}
	return 0;
}

static int finish_refusals(struct options *p)
{
	struct xfer_opts *o = p->o;
	int rc = 0;

	if (o->delete_mode || o->delete_missing_args || (o->am_sender && o->remove_source))
		rc |= consequence(p, "delete");
	if (o->delete_mode && o->delete_when == DELETE_NONE && !rc) {
		if (!consequence(p, "delete-before"))
			return 0;
		/* Plain --delete falls back to the other time when one of the two is refused. */
		p->exit_code = 0;
		if (!consequence(p, "delete-during")) {
			o->delete_when = DELETE_DURING;
		} else {
			p->exit_code = 0;
			rc |= consequence(p, "delete-before");
		}
	}
	return rc;
}

int options_finish(struct options *p)
{
	struct xfer_opts *o = p->o;
	int rc;

	if (p->exit_code)
		return -1;
	optval_verbosity(o);
	if (o->files_from) {
		if (!p->relative_given)
			o->relative = true;
		if (!o->recurse)
			o->dirs = MAX(o->dirs, 1);
	}
	if (o->recurse || (o->list_only && !o->dirs))
		o->dirs = MAX(o->dirs, 1);
	if (!o->relative)
		o->implied_dirs = false;
	if (o->append || o->write_devices)
		o->inplace = true;
	if (o->delay_updates && !o->partial_dir)
		o->partial_dir = ".~tmp~";
	if (o->partial_dir)
		o->partial = true;
	if (o->acls)
		o->perms = true;
	if (o->super == 2 && o->xattrs > 1)
		return mistake(p, usage_code(p), "--fake-super conflicts with -XX");
	if (o->am_sender)
		o->keep_dirlinks = false;
	else
		o->copy_links = o->copy_dirlinks = false;
	if (o->no_whole_file)
		o->whole_file = false;
	rc = finish_conflicts(p);
	if (rc == 0)
		rc = finish_refusals(p);
	if (rc == 0 && o->compress)
		rc = consequence(p, "compress");
	if (rc == 0 && o->inplace)
		rc = consequence(p, "inplace");
	if (rc == 0 && (o->inplace || (o->partial && !o->partial_dir)))
		rc = consequence(p, "partial");
	return rc < 0 ? -1 : 0;
}

int options_check_version(struct options *p, int version)
{
	const struct xfer_opts *o = p->o;
	const char *what = NULL;
	int need = 29;

	if (version < 30 && (o->acls || o->xattrs)) {
		what = o->acls ? "--acls" : "--xattrs";
		need = 30;
	} else if (version < 29) {
		if (o->fuzzy)
			what = "--fuzzy";
		else if (o->alt_count && o->inplace)
			what = "--link-dest with --inplace";
		else if (o->alt_count > 1)
			what = "Using more than one --link-dest";
		else if (o->prune_empty_dirs)
			what = "--prune-empty-dirs";
	}
	return what ? mistake(p, RX_PROTOCOL, "%s requires protocol %d or higher (negotiated %d).", what, need, version) : 0;
}
