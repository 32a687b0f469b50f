/*
 * keyrules.c - see keyrules.h.
 */
#include "config.h"
#include "session/keyrules.h"

#include "session/optpriv.h"

/* What clients send and rrsync lets pass, by a name of its row; links are followed, since they lead nowhere outside the
   root, and secluded arguments are read, since they are checked as well. */
static const char *const allowed[] = {
	"server", "sender", "recursive", "no-r", "dirs", "relative", "no-relative", "no-implied-dirs", "files-from", "from0", "list-only",
	"one-file-system", "prune-empty-dirs", "mkpath", "cvs-exclude", "max-size", "min-size", "existing", "ignore-existing",
	"remove-source-files", "remove-sent-files", "ignore-missing-args", "delete-missing-args", "use-qsort",
	"checksum", "checksum-choice", "checksum-seed", "ignore-times", "size-only", "update", "modify-window", "whole-file", "no-W",
	"block-size", "inplace", "append", "sparse", "preallocate", "fuzzy", "compare-dest", "copy-dest", "link-dest",
	"compress", "old-compress", "new-compress", "compress-choice", "compress-level", "compress-threads", "skip-compress",
	"partial", "partial-dir", "delay-updates", "temp-dir", "fsync", "backup", "backup-dir", "suffix", "bwlimit", "timeout", "max-alloc",
	"links", "copy-links", "copy-dirlinks", "copy-unsafe-links", "safe-links", "keep-dirlinks", "munge-links", "hard-links",
	"perms", "executability", "acls", "xattrs", "times", "atimes", "open-noatime", "crtimes", "omit-dir-times", "omit-link-times",
	"owner", "group", "D", "specials", "no-specials", "numeric-ids", "usermap", "groupmap", "super", "fake-super", "iconv",
	"delete", "delete-before", "delete-during", "delete-delay", "delete-after", "delete-excluded", "max-delete", "force", "ignore-errors",
	"verbose", "info", "quiet", "stderr", "msgs2stderr", "no-msgs2stderr", "log-format", "stats", "dry-run", "only-write-batch",
	"secluded-args", "protect-args", "rsh",
};

/* -no-del: --force empties directories that are in the way. */
static const char *const deleting[] = {
	"remove-source-files", "remove-sent-files", "delete-missing-args", "delete", "delete-before", "delete-during", "delete-delay",
	"delete-after", "delete-excluded", "force",
};

/* -no-overwrite: what replaces files that --ignore-existing does not look at. */
static const char *const replacing[] = { "partial-dir", "delay-updates", "backup", "backup-dir" };

static bool has(const char *const *names, size_t n, const struct row *r)
{
	for (size_t i = 0; i < n; i++)
		if (r->name ? !strcmp(names[i], r->name) : names[i][0] == r->letter && !names[i][1])
			return true;
	return false;
}

void keyrules_refuse(struct options *p, const struct keyrules *k)
{
	p->key = k;
	for (int i = 0; i < option_row_count; i++) {
		const struct row *r = &option_rows[i];

		p->refused[i] = !has(allowed, ARRAY_SIZE(allowed), r) || (k->no_delete && has(deleting, ARRAY_SIZE(deleting), r)) ||
				(k->no_overwrite && has(replacing, ARRAY_SIZE(replacing), r));
	}
}

int keyrules_apply(struct options *p)
{
	const struct keyrules *k = p->key;
	struct xfer_opts *o = p->o;

	if (k->read_only && !o->am_sender)
		return opt_mistake(p, RX_USAGE, "sending to read-only server is not allowed");
	if (k->write_only && o->am_sender)
		return opt_mistake(p, RX_USAGE, "reading from write-only server is not allowed");
	if (k->write_only && o->files_from && strcmp(o->files_from, "-") != 0)
		return opt_mistake(p, RX_USAGE, "a write-only server cannot read a remote --files-from path");
	if (k->munge)
		o->munge_links = true;
	if (o->am_sender)
		return 0;
	o->drop_devices = true;
	if (k->no_overwrite)
		o->ignore_existing = true;
	return 0;
}
