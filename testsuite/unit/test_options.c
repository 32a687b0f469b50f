/*
 * test_options.c - argument vectors, values, refusals, and path arguments of a server.
 */
#include "config.h"
#include "testsuite/unit/unit.h"

#include <stdio.h>
#include <time.h>

#include "base/say.h"
#include "session/args.h"
#include "session/glob.h"
#include "session/options.h"
#include "session/optvals.h"

struct run {
	struct options p;
	struct xfer_opts o;
	int rc;
};

static char said[4000];

static void collect(void *ctx, enum say_kind kind, const char *text, size_t len)
{
	(void)ctx, (void)kind;
	snprintf(said + strlen(said), sizeof(said) - strlen(said), "%.*s\n", (int)len, text);
}

static struct run *parse(bool daemon, const char *refuse, const char *const *words)
{
	struct run *r = calloc(1, sizeof(*r));
	int n = 0;

	assert_non_null(r);
	while (words[n])
		n++;
	assert_int_equal(options_init(&r->p, &r->o, NULL, daemon), 0);
	if (refuse)
		options_refuse(&r->p, refuse, false);
	r->rc = options_parse(&r->p, words, n, true);
	if (r->rc == 0 && !r->p.secluded)
		r->rc = options_finish(&r->p);
	return r;
}

static void done(struct run *r)
{
	options_free(&r->p);
	free(r);
}

/* Splits at blanks; no quoting. */
static struct run *parse_line(bool daemon, const char *refuse, const char *line)
{
	static char copy[6000];
	const char *words[64];
	int n = 0;

	snprintf(copy, sizeof(copy), "%s", line);
	for (char *w = strtok(copy, " "); w; w = strtok(NULL, " "))
		words[n++] = w;
	words[n] = NULL;
	return parse(daemon, refuse, words);
}

static void check_bundle(const struct run *r, const char *letters, const char *line)
{
	const struct xfer_opts *o = &r->o;
	const char *e = strchr(letters, 'e');
	size_t n = e ? (size_t)(e - letters) : strlen(letters);
	const struct { char letter; bool on; } is[] = {
		{ 'b', o->backup }, { 'u', o->update }, { 'n', o->dry_run }, { 'l', o->links }, { 'K', o->keep_dirlinks },
		{ 'm', o->prune_empty_dirs }, { 'J', o->omit_link_times }, { 'y', o->fuzzy > 0 },
		{ 'L', o->copy_links }, { 'k', o->copy_dirlinks }, { 'W', o->whole_file }, { 'H', o->hard_links > 0 }, { 'o', o->owner },
		{ 'g', o->group }, { 'D', o->devices }, { 't', o->times }, { 'U', o->atimes > 0 }, { 'p', o->perms },
		{ 'r', o->recurse }, { 'c', o->checksum }, { 'C', o->cvs_exclude }, { 'I', o->ignore_times }, { 'R', o->relative },
		{ 'x', o->one_fs }, { 'S', o->sparse }, { 'q', o->quiet }, { 'E', o->executability }, { 's', r->p.secluded },
	};

	for (size_t i = 0; i < ARRAY_SIZE(is); i++) {
		bool want = memchr(letters, is[i].letter, n) != NULL;

		if (is[i].on != want)
			print_error("%s: letter %c\n", line, is[i].letter);
		assert_true(is[i].on == want);
	}
	assert_string_equal(o->ecaps, e ? e + 1 : "");
}

static void check_vectors(void **state)
{
	static const char *const rows[][12] = {
#include "testsuite/unit/option_vectors.inc"
	};
	int checked = 0;
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct run *r = parse(true, NULL, rows[i]);
		char line[400] = "";
		const char *bundle = "";
		bool lacks = false, paths = false;
		int npaths = 0;

		for (int k = 0; rows[i][k]; k++) {
			const char *w = rows[i][k];

			snprintf(line + strlen(line), sizeof(line) - strlen(line), "%s ", w);
			npaths += paths;
			paths |= strcmp(w, ".") == 0;
			if (!paths && w[0] == '-' && w[1] != '-' && w[1] != 'B' && w[1] != '@' && (!*bundle || strlen(w) > 3))
				bundle = w + 1;
			lacks |= strcmp(w, "--max-alloc=0") == 0 ||
			         strncmp(w, "--opt=", 6) == 0;
		}
		if (lacks) {
			assert_int_equal(r->rc, -1);
			assert_int_equal(r->p.exit_code, RX_UNSUPPORTED);
			done(r);
			continue;
		}
		if (r->rc)
			print_error("%s: %s\n", line, r->p.error);
		assert_int_equal(r->rc, 0);
		assert_true(r->o.am_sender == (strcmp(rows[i][1], "--sender") == 0));
		assert_int_equal(r->p.npaths, npaths);
		check_bundle(r, bundle, line);
		checked++;
		done(r);
	}
	assert_in_range(checked, 140, 400);
}

static struct run *parse_ok(const char *line)
{
	struct run *r = parse_line(true, NULL, line);

	if (r->rc)
		print_error("%s: %s\n", line, r->p.error);
	assert_int_equal(r->rc, 0);
	return r;
}

#define WITH(line, ...) do { \
	struct run *r = parse_ok(line); \
	const struct xfer_opts *o = &r->o; \
	(void)o; \
	__VA_ARGS__; \
	done(r); \
} while (0)

static void check_fields(void **state)
{
	(void)state;
	WITH("--server -vvvlogDtpre.iLsfxCIvu . dst", assert_int_equal(o->verbose, 3); assert_int_equal(o->info[INFO_NAME], 2);
	     assert_true(o->specials); assert_string_equal(r->p.paths[0], "dst"));
	WITH("--server -logtpre.iLsfxCIvu --specials . d", assert_true(o->specials && !o->devices));
	WITH("--server -logDtpre.iLsfxCIvu --no-specials . d", assert_true(!o->specials && o->devices));
	WITH("--server -lyyogDtpre.i --link-dest ../a --link-dest /b . d", assert_int_equal(o->fuzzy, 2); assert_int_equal(o->alt_dest, ALT_LINK);
	     assert_int_equal(o->alt_count, 2); assert_string_equal(o->alt_dirs[0], "../a"));
	WITH("--server -r --suffix=\\*\\?x --backup . d", assert_string_equal(o->suffix, "*?x"));
	WITH("--server -rxx . d", assert_true(o->one_fs && o->one_fs_skip && !o->prune_empty_dirs && !o->mkpath));
	WITH("--server -rx --mkpath -m --no-x . d", assert_true(!o->one_fs && o->prune_empty_dirs && o->mkpath));
	WITH("--server -e.LsfxCIvu --no-r --delete -d . d", assert_true(o->delete_mode && !o->recurse); assert_int_equal(o->dirs, 2));
	WITH("--server -r --delete --max-delete=-1 . d", assert_int_equal(o->max_delete, 0));
	WITH("--server -r --delete-delay --delete-excluded . d", assert_int_equal(o->delete_when, DELETE_DELAY); assert_true(o->delete_excluded));
	WITH("--server -r --log-format=%i%I . d", assert_true(o->out_format && o->out_itemize && o->out_itemize_all));
	WITH("--server -r --log-format=X . d", assert_true(o->out_format && !o->out_itemize));
	WITH("--server -r --append --append . d", assert_int_equal(o->append, 2); assert_true(o->inplace));
	WITH("--server -r --inplace --no-W . d", assert_true(!o->whole_file));
	WITH("--server -rz --compress-level=9 . d", assert_true(o->compress); assert_int_equal(o->compress_level, 9));
	WITH("--server -rz --old-compress . d", assert_string_equal(o->compress_choice, "zlib"));
	WITH("--server -rzz . d", assert_string_equal(o->compress_choice, "zlibx"));
	WITH("--server -r --compress-choice=none . d", assert_false(o->compress));
	WITH("--server -r --timeout=0x10 --bwlimit=1536 -B8192 -@-1 . d", assert_int_equal(o->timeout, 16); assert_int_equal(o->bwlimit, 1536);
	     assert_int_equal(o->block_size, 8192); assert_int_equal(o->modify_window, -1));
	WITH("--server -r -B 8192 -e .iLs . d", assert_int_equal(o->block_size, 8192); assert_string_equal(o->ecaps, ".iLs"));
	WITH("--server -r --checksum-seed=-5 . d", assert_int_equal(o->checksum_seed, -5));
	WITH("--server -r --delay-updates . d", assert_string_equal(o->partial_dir, ".~tmp~"); assert_true(o->partial));
	WITH("--server -r --partial-dir . . d", assert_null(o->partial_dir); assert_true(o->partial));
	WITH("--server -b --backup-dir bk . d", assert_string_equal(o->suffix, ""); assert_false(o->omit_dir_times));
	WITH("--server -b . d", assert_string_equal(o->suffix, "~"); assert_true(o->omit_dir_times));
	WITH("--server --usermap=\\*:me --groupmap=0-5:x\\?y . d", assert_true(o->owner && o->group); assert_string_equal(o->usermap, "*:me"));
	WITH("--server --chown=me:you . d", assert_string_equal(o->usermap, "*:me"); assert_string_equal(o->groupmap, "*:you"));
	WITH("--server -UU . d", assert_int_equal(o->atimes, 2); assert_int_equal(o->open_noatime, 1));
	WITH("--server -r --info=DEL2,NAME,STATS3,bogus . d", assert_int_equal(o->info[INFO_DEL], 2); assert_int_equal(o->info[INFO_NAME], 1);
	     assert_int_equal(o->info[INFO_STATS], 3); assert_int_equal(o->info[INFO_NONREG], 1));
	WITH("--server -vv --info=ALL4,NAME0 . d", assert_int_equal(o->info[INFO_COPY], 4); assert_int_equal(o->info[INFO_NAME], 0));
	WITH("--server --info=none . d", assert_int_equal(o->info[INFO_NONREG], 0));
	WITH("--server --sender -rRe.i --files-from=- --from0 . mod", assert_string_equal(o->files_from, "-"); assert_true(o->relative && o->from0 && o->recurse));
	WITH("--server --sender -e.i --files-from ff --no-relative . mod", assert_true(!o->relative); assert_int_equal(o->dirs, 1));
	WITH("--server --sender -a --files-from ff . mod", assert_true(!o->recurse && o->links && o->relative));
	WITH("--server -g -l -o -p -D -r -t --backup --relative --ignore-non-existing --ignore-times --suffix X --link-dest=DIR . d",
	     assert_true(o->existing && o->ignore_times && o->relative && o->perms); assert_string_equal(o->suffix, "X"));
	WITH("--server -r --chmod=u+w --chmod=go-w . d", assert_string_equal(o->chmod, "u+w,go-w"));
	WITH("--server -r --only-write-batch=X . d", assert_true(o->only_write_batch));
	WITH("--server -rL . d", assert_false(o->copy_links));
	WITH("--server --sender -rK . d", assert_false(o->keep_dirlinks));
	WITH("--server -r . -x --delete . --server", assert_int_equal(r->p.npaths, 4); assert_string_equal(r->p.paths[0], "-x"); assert_false(o->one_fs));
	WITH("--server -r -- . -y", assert_int_equal(r->p.npaths, 1); assert_int_equal(o->fuzzy, 0));
	WITH("--server -r --filter=-_x --exclude y --exclude-from=z -F . d", assert_int_equal(r->p.nrules, 4);
	     assert_string_equal(r->p.rules[0].text, "-_x"); assert_int_equal(r->p.rules[3].kind, RULE_F));
}

static void check_secluded(void **state)
{
	static const char *const second[] = { "--delete", "--temp-dir", "/a b\\ c", ".", "d x" };
	struct run *r = parse_line(true, NULL, "--server -sre.iLs (null) --list-only . plain/pub");
	(void)state;

	assert_int_equal(r->rc, 0);
	assert_true(r->p.secluded);
	assert_int_equal(r->p.npaths, 0);
	assert_false(r->o.list_only);
	assert_int_equal(options_parse(&r->p, second, 5, false), 0);
	assert_int_equal(options_finish(&r->p), 0);
	assert_true(r->o.delete_mode && r->o.recurse);
	assert_string_equal(r->o.temp_dir, "/a b\\ c");
	assert_string_equal(r->p.paths[0], "d x");
	done(r);
}

static void check_errors(void **state)
{
	static const struct { const char *line, *text; } rows[] = {
		{ "-Q", "on remote machine: -Q: unknown option" }, { "-vQ9", "on remote machine: -vQ9: unknown option" },
		{ "-v9X", "on remote machine: -v9X: unknown option" },
		{ "--bogus", "on remote machine: --bogus: unknown option" }, { "--dele", "on remote machine: --dele: unknown option" },
		{ "--timeout=x", "on remote machine: --timeout=x: invalid numeric value" },
		{ "--timeout=99999999999", "on remote machine: --timeout=99999999999: number too large or too small" },
		{ "--stats=2", "on remote machine: --stats=2: option does not take an argument" },
		{ "--timeout", "on remote machine: .: invalid numeric value" },
		{ "--delete", "--delete does not work without --recursive (-r) or --dirs (-d)." },
		{ "-r --delete-before --delete-after", "You may not combine multiple --delete-WHEN options." },
		{ "--append -W", "--append cannot be used with --whole-file" },
		{ "--append --partial-dir=x", "--append cannot be used with --partial-dir" },
		{ "--inplace --delay-updates", "--inplace cannot be used with --delay-updates" },
		{ "--inplace --delay-updates --partial-dir=x", "--inplace cannot be used with --delay-updates" },
		{ "--suffix=a/b", "--suffix cannot contain slashes: a/b" }, { "-b --suffix=", "--suffix cannot be empty without a --backup-dir" },
		{ "-b --backup-dir=.", "--suffix cannot be empty when --backup-dir is the same as the dest dir" },
		{ "--usermap=a:b --usermap=c:d", "You can only specify --usermap once." },
		{ "--chown=a --usermap=b:c", "--usermap conflicts with prior --chown." },
		{ "--usermap=b:c --chown=a", "--chown conflicts with prior --usermap." },
		{ "--chown=a --chown=b", "You can only specify a user-affecting --chown once." },
		{ "--chown=:a --chown=:b", "You can only specify a group-affecting --chown once." },
		{ "--chown=:a --groupmap=b:c", "--groupmap conflicts with prior --chown." },
		{ "--chmod=u+q", "Invalid argument passed to --chmod (u+q)" }, { "--chmod=", "Invalid argument passed to --chmod ()" },
		{ "--stderr=x", "--stderr mode \"x\" is not one of errors, all, or client" },
		{ "--write-batch=x --read-batch=y", "--write-batch and --read-batch can not be used together" },
		{ "--link-dest=a --copy-dest=b", "ERROR: the --copy-dest option conflicts with the --link-dest option" },
		{ "-s --old-args --no-s -s --no-old-args --old-args --no-s --bogus", "on remote machine: --bogus: unknown option" },
		{ "--daemon", "Attempt to hack rsync thwarted!" }, { "--config=x", "Attempt to hack rsync thwarted!" },
		{ "--dparam x", "Attempt to hack rsync thwarted!" }, { "--no-detach", "Attempt to hack rsync thwarted!" },
		{ "--max-size=-1", "--max-size=-1 is too large" }, { "--max-size=1x", "--max-size=1x is invalid" },
		{ "--files-from=h:x", "The --files-from sent to the server cannot specify a host." },
		{ "--stop-at=2001-01-01", "--stop-at time is not in the future: 2001-01-01" }, { "--stop-at=xx", "invalid --stop-at format: xx" },
		{ "--stop-after=0", "invalid --stop-after value: 0" }, { "--stop-after=x", "invalid --stop-after value: x" },
		{ "--cc=foo", "unknown checksum name: foo" }, { "--cc=md5,foo", "unknown checksum name: foo" }, { "--zc=foo", "unknown compress name: foo" },
		{ "--block-size=9m", "--block-size=9m is too large (max: 128.00K)" }, { "--block-size=x", "--block-size=x is invalid" },
		{ "--bwlimit=0.4", "--bwlimit=0.4 is too small (min: 512 or 0 for unlimited)" },
		{ "--max-alloc=1", "--max-alloc=1 is too small (min: 1.00M or 0 for unlimited)" }, { "--max-alloc=0", "max-alloc must be greater than zero" },
		{ "-M x", "Remote option must start with a dash: x" },
	};
	struct run *r;
	char line[5000];
	(void)state;

	r = parse_line(true, NULL, "--server -N . d");
	assert_string_equal(r->p.error, "The server is configured to refuse --crtimes (-N)");
	done(r);
	r = parse_line(false, NULL, "--server -N . d");
	assert_string_equal(r->p.error, "The server does not support --crtimes (-N)");
	done(r);
	r = parse_line(true, NULL, "--server --copy-as=x . d");
	assert_string_equal(r->p.error, "The server does not support --copy-as");
	done(r);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		snprintf(line, sizeof(line), "--server %s . d", rows[i].line);
		r = parse_line(true, NULL, line);
		assert_int_equal(r->rc, -1);
		assert_int_equal(r->p.exit_code, RX_UNSUPPORTED);
		assert_string_equal(r->p.error, rows[i].text);
		done(r);
		r = parse_line(false, NULL, line);
		assert_int_equal(r->rc, -1);
		if (!strstr(rows[i].text, "hack"))
			assert_string_equal(r->p.error, rows[i].text);
		if (strstr(rows[i].text, "unknown c"))
			assert_true(r->p.bare_error && r->p.exit_code == RX_UNSUPPORTED);
		else
			assert_int_equal(r->p.exit_code, RX_USAGE);
		done(r);
	}
	r = parse_line(false, NULL, "--server -s --old-args");
	assert_int_equal(options_finish(&r->p), -1);
	assert_string_equal(r->p.error, "--secluded-args conflicts with --old-args.");
	done(r);
	strcpy(line, "--server");
	for (int i = 0; i < 21; i++)
		strcat(line, " --link-dest=x");
	r = parse_line(true, NULL, line);
	assert_string_equal(r->p.error, "ERROR: at most 20 --link-dest args may be specified");
	done(r);
	snprintf(line, sizeof(line), "--server --temp-dir=%04090d . d", 0);
	r = parse_line(true, NULL, line);
	assert_string_equal(r->p.error, "the --temp-dir path is WAY too long.");
	done(r);
}

static void check_version(void **state)
{
	static const struct { const char *line; int version; const char *text; } rows[] = {
		{ "--inplace --link-dest=/x", 28, "--link-dest with --inplace requires protocol 29 or higher (negotiated 28)." },
		{ "--copy-dest=/x --copy-dest=/y", 28, "Using more than one --copy-dest option requires protocol 29 or higher (negotiated 28)." },
		{ "-y", 28, "--fuzzy requires protocol 29 or higher (negotiated 28)." },
		{ "-m", 28, "--prune-empty-dirs requires protocol 29 or higher (negotiated 28)." },
		{ "-ym --inplace --copy-dest=a --copy-dest=b", 29, NULL }, { "--copy-dest=/x", 27, NULL },
	};
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char line[200];
		struct run *r;

		snprintf(line, sizeof(line), "--server -r %s . d", rows[i].line);
		r = parse_line(true, NULL, line);
		assert_int_equal(r->rc, 0);
		assert_int_equal(options_check_version(&r->p, rows[i].version), rows[i].text ? -1 : 0);
		if (rows[i].text) {
			assert_string_equal(r->p.error, rows[i].text);
			assert_int_equal(r->p.exit_code, RX_PROTOCOL);
			assert_string_equal(options_prefix(&r->p), "");
		}
		done(r);
	}
}

/* NULL: accepted; else what is named as refused. */
static void check_refusals(void **state)
{
	static const struct { const char *refuse, *line, *what; } rows[] = {
		{ "c delete", "-rc", "--checksum (-c)" }, { "c delete", "-r --delete", "--delete" }, { "c delete", "-r --del", "--delete" },
		{ "c delete", "-r --delete-after", "--delete" }, { "c delete", "-r --delete-excluded", "--delete" },
		{ "delete", "--delete-missing-args", "--delete" }, { "delete", "--sender -r --remove-source-files", "--delete" },
		{ "delete", "-r --remove-source-files", NULL }, { "delete", "-r --force --max-delete=3", NULL },
		{ "delete-*", "-r --delete-during", "--delete-during" }, { "delete-*", "-r --delete", "--delete-before" },
		{ "delete-* !delete-during", "-r --delete", NULL }, { "delete-* !delete-during", "-r --delete-during", NULL },
		{ "delete-before", "-r --delete", NULL }, { "delete-during", "-r --delete", NULL },
		{ "checksum*", "--checksum-choice=md5", "--checksum-choice" }, { "checksum*", "--checksum-seed=4", NULL },
		{ "*", "-r", "--recursive (-r)" }, { "*", "-n", NULL }, { "*", "--log-format=%i", NULL },
		{ "* !a !v", "-av", NULL }, { "* !a !v", "-avz", "--compress (-z)" }, { "* !a !z", "--compress-level=3", "--compress-level" },
		{ "copy-links", "--sender -L", "--copy-links (-L)" }, { "", "--sender --copy-devices", "--copy-devices" }, { "", "--write-devices", "--write-devices" },
		{ "!write-devices", "--write-devices", NULL }, { "!write*", "--write-devices", "--write-devices" },
		{ "e", "-e.i", "--rsh (-e)" }, { "rsh", "-e.i", "--rsh (-e)" }, { "sender", "--sender -r", "--sender" }, { "server", "-r", "--server" },
		{ "del", "-r --delete-during", "--delete-during" }, { "existing", "--ignore-non-existing", "--ignore-non-existing" },
		{ "recursive", "-r", "--recursive (-r)" }, { "t", "-a", "--archive (-a)" }, { "a", "-t", "--times (-t)" }, { "archive", "-D", "-D" },
		{ "archive*", "-t", NULL }, { "compress", "--compress-choice=zstd", "--compress (-z)" }, { "z", "--new-compress", "--compress (-z)" },
		{ "z", "--compress-level=3", "--compress (-z)" }, { "zc", "--compress-choice=lz4", "--compress-choice" },
		{ "partial", "--inplace", "--partial" }, { "partial", "--append", "--partial" }, { "partial", "--partial-dir=x", NULL },
		{ "partial", "--partial-dir=.", "--partial" }, { "partial", "-P", "--partial" }, { "progress", "-P", "--progress" },
		{ "inplace", "--append", "--inplace" }, { "inplace !write-devices", "--write-devices", "--inplace" },
		{ "no-iconv", "-r", "--no-iconv" }, { "checksum,delete", "-rc --delete", NULL }, { "", "--log-file=x", "--log-file" },
		{ "!log-file", "--log-file=x", "--log-file" }, { "!insecure-links", "--insecure-links", "--insecure-links" },
		{ "!iconv", "--iconv=x", "--iconv" }, { "Delete", "-r --delete", NULL }, { "partial-dir", "--partial", NULL },
	};
	(void)state;

	say_set_sink(collect, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char line[200], want[200];
		struct run *r;

		snprintf(line, sizeof(line), "--server %s . d", rows[i].line);
		snprintf(want, sizeof(want), "The server is configured to refuse %s", rows[i].what ? rows[i].what : "");
		r = parse_line(true, rows[i].refuse, line);
		if ((r->rc == 0) != !rows[i].what || (rows[i].what && strcmp(r->p.error, want) != 0))
			print_error("refuse %s, %s: %s\n", rows[i].refuse, rows[i].line, r->p.error);
		assert_int_equal(r->rc, rows[i].what ? -1 : 0);
		if (rows[i].what) {
			assert_string_equal(r->p.error, want);
			assert_int_equal(r->p.exit_code, RX_UNSUPPORTED);
		}
		assert_int_equal(r->p.npaths, 1);
		if (strcmp(rows[i].refuse, "delete-before") == 0)
			assert_int_equal(r->o.delete_when, DELETE_DURING);
		if (strcmp(rows[i].refuse, "delete-during") == 0)
			assert_int_equal(r->o.delete_when, DELETE_BEFORE);
		done(r);
	}
	/* The answer comes behind a set-up that the client expects by its own options. */
	struct run *r = parse_line(true, "l s z checksum*", "--server --sender -slze.LsfxCIvu --bogus --timeout=x --checksum-choice=md5 --compress-choice=zlib . d");
	assert_true(r->p.secluded && r->o.am_sender && r->o.compress && !r->o.links && !r->o.timeout);
	assert_string_equal(r->o.ecaps, ".LsfxCIvu");
	assert_string_equal(r->o.checksum_choice, "md5");
	assert_string_equal(r->o.compress_choice, "zlib");
	assert_string_equal(r->p.error, "The server is configured to refuse --secluded-args (-s)");
	done(r);
	said[0] = '\0';
	done(parse_line(true, "checksum,delete ! nosuch c", "--server"));
	assert_string_equal(said, "No match for refuse-options string \"checksum,delete\"\nNo match for refuse-options string \"!\"\n"
			    "No match for refuse-options string \"nosuch\"\n");
	say_set_sink(NULL, NULL);
}

static void check_sizes(void **state)
{
	static const struct { const char *text; int64_t want; } rows[] = {
		{ "1", 1 }, { "1b", 1 }, { "1B", 1 }, { "1.", 1 }, { "1.5", 1 }, { "1bb", 1 }, { "1bib", 1 }, { "1k", 1024 }, { "1K", 1024 },
		{ "1kib", 1024 }, { "1KiB", 1024 }, { "1kb", 1000 }, { "1KB", 1000 }, { "1.5k", 1536 }, { ".5k", 512 }, { "1m", 1048576 },
		{ "1MB", 1000000 }, { "1g", 1 << 30 }, { "1t", (int64_t)1 << 40 }, { "1p", (int64_t)1 << 50 }, { "1k+1", 1025 }, { "1k-1", 1023 },
		{ "1kb+1", 1001 }, { "1+1", 2 }, { "1-1", 0 }, { "k", 0 }, { "b", 0 }, { "", 0 }, { "8191.99p", 9223360777855707136 },
		{ "8191P", 9222246136947933184 }, { "1.5mb-1", 1499999 }, { "2kib+1", 2049 }, { "2.5m", 2621440 },
		{ "9999p", -2 }, { "9223372036854775807", -2 }, { "-1", -2 }, { "0-1", -2 },
		{ "1e", -1 }, { "1e3", -1 }, { "0x10", -1 }, { "+1", -1 }, { "1k+2", -1 }, { "1k+", -1 }, { "1k1", -1 }, { "1kbb", -1 }, { "1ib", -1 },
		{ "1,5k", -1 }, { "1 k", -1 }, { "nan", -1 }, { "inf", -1 }, { "-2", -2 }, { "0+1", 1 }, { ".+1", 1 }, { "k+1", 1 }, { "b-1", -2 },
	};
	static const struct { const char *text; int64_t want; } bw[] = {
		{ "1", 1024 }, { "1.5", 1536 }, { "0.5", 512 }, { "0.4", -3 }, { "512b", 512 }, { "1535b", 1535 }, { "1m", 1 << 20 }, { "0", 0 },
	};
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		int64_t v = options_size(rows[i].text, 'b', 0, INT64_MAX);

		if (v != rows[i].want)
			print_error("%s gives %lld\n", rows[i].text, (long long)v);
		assert_true(v == rows[i].want);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bw); i++)
		assert_int_equal(options_size(bw[i].text, 'K', 512, INT64_MAX), bw[i].want);
}

static void check_stop_at(void **state)
{
	static const struct { const char *text; int rc; int y, mo, d, h, mi; } rows[] = {
		{ ":30", 0, 2026, 11, 24, 17, 30 }, { ":05", 0, 2026, 11, 24, 18, 5 }, { "14", 0, 2026, 12, 14, 0, 0 }, { "25", 0, 2026, 11, 25, 0, 0 },
		{ "3-1", 0, 2027, 3, 1, 0, 0 }, { "12/1", 0, 2026, 12, 1, 0, 0 }, { "12:30", 0, 2026, 11, 25, 12, 30 }, { "T18:00", 0, 2026, 11, 24, 18, 0 },
		{ "2030-01-02", 0, 2030, 1, 2, 0, 0 }, { "2030/1/2t3:04", 0, 2030, 1, 2, 3, 4 }, { "30-1-1", 0, 2030, 1, 1, 0, 0 },
		{ "24T18:00", 0, 2026, 11, 24, 18, 0 }, { "31", 0, 2026, 12, 31, 0, 0 }, { "2030-1-1T", 0, 2030, 1, 1, 0, 0 }, { "2-29", 0, 2028, 2, 29, 0, 0 },
		{ "70-1-1", 0, 2070, 1, 1, 0, 0 }, { "12-1-1", 0, 2112, 1, 1, 0, 0 },
		{ "2001-01-01", -2, 0, 0, 0, 0, 0 }, { "100-1-1", -2, 0, 0, 0, 0, 0 },
		{ "T45", -1, 0, 0, 0, 0, 0 }, { "T23", -1, 0, 0, 0, 0, 0 }, { "T24:00", -1, 0, 0, 0, 0, 0 }, { "T12:60", -1, 0, 0, 0, 0, 0 },
		{ ":61", -1, 0, 0, 0, 0, 0 }, { "5:", -1, 0, 0, 0, 0, 0 }, { "32", -1, 0, 0, 0, 0, 0 }, { "2-30", -1, 0, 0, 0, 0, 0 }, { "13-1", -1, 0, 0, 0, 0, 0 },
		{ "2030-1-1Tx", -1, 0, 0, 0, 0, 0 }, { "", -1, 0, 0, 0, 0, 0 }, { "-", -1, 0, 0, 0, 0, 0 }, { "1-", -1, 0, 0, 0, 0, 0 }, { "0", -1, 0, 0, 0, 0, 0 },
		{ "2030-1-1-1", -1, 0, 0, 0, 0, 0 }, { "+5", -1, 0, 0, 0, 0, 0 }, { " 5", -1, 0, 0, 0, 0, 0 }, { "2030-1-1T1:2:3", -1, 0, 0, 0, 0, 0 },
	};
	struct tm base = { .tm_year = 126, .tm_mon = 10, .tm_mday = 24, .tm_hour = 17, .tm_min = 17, .tm_sec = 26, .tm_isdst = -1 };
	time_t now = mktime(&base);
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		int64_t t = 0;
		int rc = optval_stop_at(rows[i].text, now, &t);
		struct tm tm;
		time_t tt;

		if (rc != rows[i].rc)
			print_error("%s gives %d\n", rows[i].text, rc);
		assert_int_equal(rc, rows[i].rc);
		if (rc)
			continue;
		tt = (time_t)t;
		assert_non_null(localtime_r(&tt, &tm));
		if (tm.tm_year + 1900 != rows[i].y || tm.tm_mon + 1 != rows[i].mo || tm.tm_mday != rows[i].d)
			print_error("%s gives %d-%d-%d\n", rows[i].text, tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday);
		assert_int_equal(tm.tm_year + 1900, rows[i].y);
		assert_int_equal(tm.tm_mon + 1, rows[i].mo);
		assert_int_equal(tm.tm_mday, rows[i].d);
		assert_int_equal(tm.tm_hour, rows[i].h);
		assert_int_equal(tm.tm_min, rows[i].mi);
	}
}

static void check_sanitize(void **state)
{
	static const struct { const char *in; int depth; bool dots; const char *out; } rows[] = {
		{ "/d/../../../etc/hostname", 0, true, "etc/hostname" }, { "..", 0, true, "." }, { "d//./e/", 0, true, "d/./e/" },
		{ "d/e/../../f", 0, true, "f" }, { "//abs/", 0, true, "abs/" }, { "", 0, false, "." }, { "/", 0, false, "." },
		{ "d//./e/", 0, false, "d/e/" }, { "./a/./b/.", 0, false, "a/b/" }, { "../../../ld", 1, false, "../ld" }, { "../ld", 1, false, "../ld" },
		{ "a/../../../x", 1, false, "../x" }, { "/../x", 3, false, "x" }, { "../..", 2, false, "../.." }, { "../a/../..", 1, false, "../" },
		{ "..a/...", 0, false, "..a/..." }, { "a/..", 0, false, "." }, { "../../../etc/passwd", 0, true, "etc/passwd" },
	};
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char out[100];

		args_sanitize(rows[i].in, rows[i].depth, rows[i].dots, out);
		if (strcmp(out, rows[i].out) != 0)
			print_error("%s gives %s\n", rows[i].in, out);
		assert_string_equal(out, rows[i].out);
	}
}

static const char *joined(const struct words *w)
{
	static char out[1000];

	out[0] = '\0';
	for (int i = 0; i < w->n; i++)
		snprintf(out + strlen(out), sizeof(out) - strlen(out), "%s%s", i ? "|" : "", w->v[i]);
	return out;
}

static void check_module(void **state)
{
	static const struct { const char *arg; bool secluded; const char *out; } rows[] = {
		{ "plain/norm", false, "/norm" }, { "plain", false, "" }, { "plain/", false, "/" }, { "plainnorm", false, "plainnorm" }, { "norm", false, "norm" },
		{ "otherm/norm", false, "otherm/norm" }, { "plain/pub plain/norm", false, "/pub|/norm" }, { "plain/pub plain/norm", true, "/pub plain/norm" },
		{ "plain/a b", false, "/a b" }, { "plain/a b plain/c plainx plain/d", false, "/a b|/c plainx|/d" }, { "plain/-x", false, "/-x" },
		{ "plain/pub[ ]plain/norm", false, "/pub[ ]plain/norm" },
	};
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct words w;

		assert_int_equal(words_init(&w, NULL), 0);
		assert_int_equal(args_module(&w, rows[i].arg, "plain", rows[i].secluded), 0);
		assert_string_equal(joined(&w), rows[i].out);
		words_free(&w);
	}
}

/* A tree of names; those with a trailing slash are directories; "loop" leads to its own directory. */
static const char *const tree_names[] = { "d2/", "d2/bar", "d1/", "d1/foo", "d1/a\\b", "d1/sub/", "d1/sub/y", ".hid/", ".hid/z", "d3/", "d3/hid/", "d3/hid/x", "top", NULL };

static bool tree_is_dir(void *ctx, const char *path)
{
	size_t n = strlen(path);

	if (ctx)
		return true;
	for (int i = 0; tree_names[i]; i++) {
		if (strncmp(tree_names[i], path, n) == 0 && strcmp(tree_names[i] + n, "/") == 0)
			return true;
	}
	return false;
}

static int tree_list(void *ctx, const char *dir, int (*each)(void *arg, const char *name), void *arg)
{
	size_t n = strlen(dir);
	char name[50];
	int rc = 0;

	if (ctx) {
		for (int i = 0; i < 3 && !rc; i++)
			rc = each(arg, i ? "l1" : "l2");
		return rc;
	}
	for (int i = 0; tree_names[i] && !rc; i++) {
		const char *p = tree_names[i];

		if (n && (strncmp(p, dir, n) != 0 || p[n] != '/' || !p[n + 1]))
			continue;
		p += n + !!n;
		if (strchr(p, '/') && strchr(p, '/')[1])
			continue;
		snprintf(name, sizeof(name), "%.*s", (int)strcspn(p, "/"), p);
		rc = each(arg, name);
	}
	return rc;
}

static int add_word(void *arg, const char *path)
{
	return words_add(arg, path, strlen(path));
}

static void check_glob(void **state)
{
	static const struct { const char *word, *cwd, *out; } rows[] = {
		{ "*/foo", "", "d2/foo|d1/foo|.hid/foo|d3/foo" }, { "*/foo/", "", "" }, { "d*/hid/*", "", "d3/hid/x" }, { "d?/sub/", "", "d1/sub/" },
		{ "*/", "", "d2/|d1/|.hid/|d3/" }, { "d[1]/*", "", "d1/foo|d1/a\\b|d1/sub" }, { "nosuch/*", "", "" }, { "d1/a\\*", "", "" },
		{ "*1/a\\b", "", "d1/a\\b" }, { "d1//f*", "", "d1/foo" }, { "*/s*/y", "", "d1/sub/y" }, { "./d*", "", "./d2|./d1|./d3" },
		{ "/d*/sub", "x/y", "/d2/sub|/d1/sub|/d3/sub" }, { "f*", "d1", "foo" }, { "*/y", "d1", "sub/y" }, { "plain", "", "" }, { "*", "", "d2|d1|.hid|d3|top" },
		{ "d*/.", "", "d2/.|d1/.|d3/." },
	};
	const struct glob_tree tree = { NULL, tree_list, tree_is_dir }, loops = { &said, tree_list, tree_is_dir };
	struct filt_config c = { .daemon_list = true, .am_server = true };
	struct filt_params fp = { .exclude = "hid /d2/ top" };
	struct filter_list *l;
	struct err err = { 0 };
	struct words w;
	int n;
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_int_equal(words_init(&w, NULL), 0);
		n = glob_expand(&tree, rows[i].word, rows[i].cwd, NULL, add_word, &w);
		assert_int_equal(n, w.n);
		if (strcmp(joined(&w), rows[i].out) != 0)
			print_error("%s\n", rows[i].word);
		assert_string_equal(joined(&w), rows[i].out);
		words_free(&w);
	}
	l = filt_new(&c);
	assert_int_equal(filt_add_params(l, &fp, &err), 0);
	assert_int_equal(words_init(&w, NULL), 0);
	assert_int_equal(glob_expand(&tree, "*", "", l, add_word, &w), 3);
	assert_string_equal(joined(&w), "d1|.hid|d3");
	assert_int_equal(glob_expand(&tree, "d*/hid/*", "", l, add_word, &w), 0);
	assert_int_equal(glob_expand(&tree, "d2/*", "", l, add_word, &w), 0);
	words_free(&w);
	filt_free(l);
	/* a pattern made to walk for ever */
	assert_int_equal(words_init(&w, NULL), 0);
	assert_int_equal(glob_expand(&loops, "*/*/*/*/*/*/*/*/*/*/*/*/*/*/*/*/*/*/*/*/*/*/q*", "", NULL, add_word, &w), -2);
	words_free(&w);
}

static void check_confined(void **state)
{
	struct filt_config c = { .daemon_list = true, .am_server = true };
	struct filt_params fp = { .exclude = "/hid secret/" };
	struct filter_list *l = filt_new(&c);
	struct err err = { 0 };
	struct run *r;
	static const struct { const char *line; bool ok; } rows[] = {
		{ "--temp-dir=/hid", false }, { "--temp-dir=../x/../hid", false }, { "--temp-dir=hid/below", false }, { "--temp-dir=ok", true },
		{ "--backup-dir=/a/secret", false }, { "--sender --backup-dir=/hid", true }, { "--files-from=hid", false }, { "--files-from=-", true },
		{ "--exclude-from=/hid", false }, { "--include-from=x", true }, { "--exclude-from=", false },
	};
	(void)state;

	assert_int_equal(filt_add_params(l, &fp, &err), 0);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char line[100];

		snprintf(line, sizeof(line), "--server -r %s . d", rows[i].line);
		r = parse_line(true, NULL, line);
		assert_int_equal(r->rc, 0);
		if (options_confine_paths(&r->p, l, true) != (rows[i].ok ? 0 : -1))
			print_error("%s\n", rows[i].line);
		assert_int_equal(r->p.exit_code, rows[i].ok ? 0 : RX_UNSUPPORTED);
		if (!rows[i].ok)
			assert_string_equal(r->p.error, "Your options have been rejected by the server.");
		done(r);
	}
	filt_free(l);
	r = parse_line(true, NULL, "--server -r --temp-dir=../../t --backup-dir=/../../bk/./x --exclude-from=/.. . d");
	assert_int_equal(options_confine_paths(&r->p, NULL, true), 0);
	assert_string_equal(r->o.temp_dir, "t");
	assert_string_equal(r->o.backup_dir, "/bk/x");
	assert_string_equal(r->p.rules[0].text, "/");
	done(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(check_vectors), cmocka_unit_test(check_fields), cmocka_unit_test(check_secluded), cmocka_unit_test(check_errors),
		cmocka_unit_test(check_version), cmocka_unit_test(check_refusals), cmocka_unit_test(check_sizes), cmocka_unit_test(check_stop_at),
		cmocka_unit_test(check_sanitize), cmocka_unit_test(check_module), cmocka_unit_test(check_glob), cmocka_unit_test(check_confined),
	};

	setenv("TZ", "UTC", 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
