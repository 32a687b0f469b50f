/*
 * test_generator.c - the generator's rooms on a real directory: deletion, alternate directories, hard-link groups over
 * several lists, and the names of temporary and partial files.
 */
#include "config.h"
#include "testsuite/unit/unit.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "testsuite/unit/gen_util.h"

/* ---- deletion ---- */

static void extraneous(void)
{
	put("dest/keep", "k");
	put("dest/a", "a");
	put("dest/b", "b");
	put_dir("dest/x");
	put("dest/x/1", "1");
	put("dest/x/2", "2");
	put_dir("dest/x/s");
	put("dest/x/s/3", "3");
}

static void delete_what_is_not_listed(void **state)
{
	struct glist *gl;

	(void)state;
	extraneous();
	put_dir("elsewhere");
	put("elsewhere/f", "f");
	assert_int_equal(symlink("../elsewhere", in_top("dest/link")), 0);
	o.delete_mode = true;
	gen_begin(false);
	gl = GIVE(-1, D("."), F("keep", 1));
	delete_in_dir(&g, gl, entry("."));
	assert_int_equal(count("dest"), 1);
	assert_true(holds("dest/keep", "k"));
	assert_true(holds("elsewhere/f", "f"));                /* a link goes, not what it leads to */
	assert_int_equal(g.deletions, 8);
	assert_int_equal(g.deleted.files, 5);
	assert_int_equal(g.deleted.dirs, 2);
	assert_int_equal(g.deleted.links, 1);
	delete_note_limit(&g);
	assert_false(was_said("max-delete"));
	assert_int_equal(rx.io_error, 0);
	gen_end();
}

/* --update, and a time as long ago as a number can say. */
static void older_than_everything(void **state)
{
	struct glist *gl;

	(void)state;
	put("dest/f", "mine");
	o.update = true;
	gen_begin(false);
	gl = GIVE(-1, D("."), F("f", 5));
	((struct fent *)(uintptr_t)entry("f"))->mtime = INT64_MIN;
	walk_list(&g, gl);
	assert_no_request();
	gen_end();
}

/* --relative with an absolute argument: names have a leading slash. */
static void delete_below_absolute_names(void **state)
{
	struct glist *gl;

	(void)state;
	put_dir("dest/r");
	put_dir("dest/r/d");
	put("dest/r/keep", "k");
	put("dest/r/d/keep", "k");
	put("dest/r/gone", "g");
	put("dest/r/d/gone", "g");
	o.delete_mode = o.relative = true;
	gen_begin(false);
	gl = GIVE(-1, D("/r/"), F("/r/keep", 1), D("/r/d/"), F("/r/d/keep", 1));
	delete_in_dir(&g, gl, entry("r"));
	delete_in_dir(&g, gl, entry("r/d"));
	assert_true(there("dest/r/keep") && there("dest/r/d/keep"));
	assert_int_equal(g.deletions, 2);
	gen_end();
}

static void delete_up_to_the_limit(void **state)
{
	struct glist *gl;

	(void)state;
	for (int limit = 0; limit <= 7; limit++) {
		int left;

		if (limit)
			gen_setup(state);
		extraneous();
		o.delete_mode = true;
		o.max_delete = limit;
		gen_begin(false);
		gl = GIVE(-1, D("."), F("keep", 1));
		delete_in_dir(&g, gl, entry("."));
		assert_int_equal(g.deletions, limit);
		left = count("dest") - 1 + (there("dest/x") ? count("dest/x") : 0) + (there("dest/x/s") ? count("dest/x/s") : 0);
		assert_int_equal(left, 7 - limit);
		assert_true(holds("dest/keep", "k"));
		delete_note_limit(&g);
		assert_int_equal(was_said("Deletions stopped due to --max-delete limit"), limit < 7);
		assert_int_equal(rx.io_error, limit < 7 ? IOERR_DEL_LIMIT : 0);
		assert_int_equal(g.skipped_deletions > 0, limit < 7);
		/* What stays in a directory keeps it, and that is said. */
		assert_int_equal(was_said("cannot delete non-empty directory: x\n"), limit < 4);
		gen_end();
		if (limit < 7)
			gen_teardown(state);
	}
}

static void delete_item_keeps_what_is_not_empty(void **state)
{
	(void)state;
	put_dir("dest/d");
	put("dest/d/f", "f");
	put_dir("dest/empty");
	gen_begin(false);
	assert_int_equal(delete_item(&g, "", "d", S_IFDIR | 0755, 0), 1);
	assert_true(was_said("cannot delete non-empty directory: d\n"));
	assert_true(holds("dest/d/f", "f"));
	assert_int_equal(g.deletions, 0);
	assert_int_equal(delete_item(&g, "", "empty", S_IFDIR | 0755, 0), 0);
	assert_false(there("dest/empty"));
	assert_int_equal(delete_item(&g, "", "gone", S_IFREG | 0644, 0), 0);   /* somebody was faster */
	assert_int_equal(delete_item(&g, "", "d", S_IFDIR | 0755, DEL_RECURSE), 0);
	assert_int_equal(count("dest"), 0);
	gen_end();
}

/* A directory that became a link to elsewhere between the scan and the removal. */
static void delete_never_follows(void **state)
{
	(void)state;
	put_dir("elsewhere");
	put("elsewhere/f", "f");
	assert_int_equal(symlink("../elsewhere", in_top("dest/d")), 0);
	gen_begin(false);
	assert_int_equal(delete_item(&g, "d", "f", S_IFREG | 0644, 0), -1);
	assert_int_equal(delete_item(&g, "", "d", S_IFDIR | 0755, DEL_RECURSE), -1);
	assert_true(holds("elsewhere/f", "f"));
	assert_true(was_said("delete_file: unlink(d/f) failed"));
	gen_end();
}

static void delete_with_backup(void **state)
{
	struct glist *gl;

	(void)state;
	put("dest/old", "new text");
	put("dest/old~", "older");
	put("dest/stale~", "s");
	put("dest/none", "n");
	put_dir("dest/x");
	put("dest/x/1", "1");
	o.delete_mode = o.backup = true;
	gen_begin(false);
	gl = GIVE(-1, D("."));
	assert_int_equal(delete_item(&g, "", "none", S_IFREG | 0644, DEL_NO_BACKUP), 0);
	assert_false(there("dest/none") || there("dest/none~"));
	delete_in_dir(&g, gl, entry("."));
	/* Backward through the directory: what is a backup goes before a new one comes. */
	assert_true(holds("dest/old~", "new text"));
	assert_false(there("dest/old") || there("dest/stale~") || there("dest/stale~~"));
	/* The backup is in the directory that was to go. */
	assert_true(holds("dest/x/1~", "1"));
	assert_true(was_said("cannot delete non-empty directory: x\n"));
	gen_end();
}

static void delete_not_after_an_io_error(void **state)
{
	struct glist *gl;

	(void)state;
	extraneous();
	o.delete_mode = true;
	gen_begin(false);
	gl = GIVE(-1, D("."), F("keep", 1));
	rx.io_error = IOERR_VANISHED | IOERR_GENERAL;
	delete_in_dir(&g, gl, entry("."));
	delete_in_dir(&g, gl, entry("."));
	assert_int_equal(count("dest"), 4);
	assert_string_equal(said, "IO error encountered -- skipping file deletion\n");
	o.ignore_errors = true;
	delete_in_dir(&g, gl, entry("."));
	assert_int_equal(count("dest"), 1);
	gen_end();
}

static void delete_dry_and_delayed(void **state)
{
	struct glist *gl;

	(void)state;
	extraneous();
	o.delete_mode = true;
	o.delete_when = DELETE_DELAY;
	gen_begin(false);
	gl = GIVE(-1, D("."), F("keep", 1));
	rx.dry = true;
	assert_int_equal(delete_item(&g, "", "x", S_IFDIR | 0755, DEL_RECURSE), 0);
	assert_int_equal(g.deletions, 5);
	assert_int_equal(count("dest/x"), 3);
	assert_int_equal(delete_item(&g, "", "x", S_IFDIR | 0755, 0), 1);
	rx.dry = false;
	delete_in_dir(&g, gl, entry("."));
	assert_int_equal(g.ndoomed, 3);
	assert_int_equal(count("dest"), 4);
	put("dest/x/late", "l");
	delete_delayed(&g);
	assert_int_equal(count("dest"), 1);
	gen_end();
}

/* ---- alternate directories ---- */

static struct alt_hit search(const char *name)
{
	struct gitem it = { .ndx = ndx_of(name) };
	struct alt_hit hit;

	it.e = gen_entry_of(&g, it.ndx, &it.gl);
	assert_true(walk_look(&g, &it));
	alt_search(&g, &it, &hit, NULL);
	return hit;
}

static void alt_dirs(int n)
{
	char name[16];

	for (int i = 0; i < n; i++) {
		snprintf(name, sizeof name, "alt%d", i);
		put_dir(name);
	}
	o.alt_count = n;
}

static void alt_best_of_twenty(void **state)
{
	static const struct { const char *name; int dir, level; } rows[] = {
		{ "exact", 7, 3 }, { "last", 19, 3 }, { "content", 5, 2 }, { "exists", 1, 1 }, { "nowhere", -1, 0 },
		{ "type", -1, 0 }, { "away/f", -1, 0 },
	};

	(void)state;
	o.alt_dest = ALT_COMPARE;
	alt_dirs(ALT_DEST_MAX);
	assert_int_equal(rmdir(in_top("alt0")), 0);            /* one that is not there */
	put("alt1/exact", "not it");
	put("alt2/exact", "abc");
	assert_int_equal(chmod(in_top("alt2/exact"), 0600), 0);
	put("alt7/exact", "abc");
	put("alt8/exact", "abc");
	put("alt19/last", "abc");
	put("alt1/content", "not it");
	put("alt5/content", "abc");
	assert_int_equal(chmod(in_top("alt5/content"), 0600), 0);
	put("alt1/exists", "a");
	put("alt9/exists", "ab");
	put_dir("alt3/type");
	assert_int_equal(symlink("exact", in_top("alt7/type")), 0);
	put_dir("elsewhere");
	put("elsewhere/f", "abc");
	assert_int_equal(symlink("../elsewhere", in_top("alt4/away")), 0);
	gen_begin(false);
	GIVE(-1, D("."), D("away/"), F("away/f", 3), F("content", 3), F("exact", 3), F("exists", 3), F("last", 3), F("nowhere", 3),
	     F("type", 3));
	dirs_add(&g, entry("away"), 0);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct alt_hit hit = search(rows[i].name);

		assert_int_equal(hit.dir, rows[i].dir);
		assert_int_equal(hit.level, rows[i].level);
	}
	gen_end();
}

/* In order of the walk: differs, exact, mode, old. */
static struct glist *alt_files(enum alt_dest kind)
{
	o.alt_dest = kind;
	alt_dirs(2);
	put("alt1/exact", "abc");
	put("alt0/mode", "abc");
	assert_int_equal(chmod(in_top("alt0/mode"), 0600), 0);
	put("alt1/differs", "abcd");
	put("alt1/old", "abc");
	put("dest/old", "x");
	gen_begin(false);
	return GIVE(-1, D("."), F("differs", 3), F("exact", 3), F("mode", 3), F("old", 3));
}

static mode_t mode_of(const char *rel)
{
	struct stat st;

	assert_int_equal(lstat(in_top(rel), &st), 0);
	return st.st_mode & PERM_BITS;
}

static void alt_compare(void **state)
{
	(void)state;
	walk_list(&g, alt_files(ALT_COMPARE));
	assert_request("differs", 1);
	assert_no_request();
	assert_true(holds("dest/mode", "abc"));
	assert_int_equal(mode_of("dest/mode"), 0644);
	assert_int_equal(mode_of("alt0/mode"), 0600);
	assert_int_equal(count("dest"), 1);                    /* what is as it should be elsewhere is not here */
	gen_end();
}

static void alt_copy(void **state)
{
	struct stat st;

	(void)state;
	walk_list(&g, alt_files(ALT_COPY));
	assert_request("differs", 1);
	assert_request("old", BASIS_FNAME);                    /* what is there is updated */
	assert_no_request();
	assert_true(holds("dest/exact", "abc") && !same_file("dest/exact", "alt1/exact"));
	assert_int_equal(lstat(in_top("dest/exact"), &st), 0);
	assert_int_equal(st.st_mtim.tv_sec, THEN);
	assert_int_equal(mode_of("dest/mode"), 0644);
	assert_true(holds("dest/old", "x"));
	assert_int_equal(count("dest"), 3);                    /* no temporary file */
	gen_end();
}

static void alt_link(void **state)
{
	(void)state;
	walk_list(&g, alt_files(ALT_LINK));
	assert_request("differs", 1);
	assert_no_request();
	assert_true(same_file("dest/exact", "alt1/exact"));
	assert_true(same_file("dest/old", "alt1/old"));
	assert_true(holds("dest/mode", "abc") && !same_file("dest/mode", "alt0/mode"));
	assert_int_equal(mode_of("alt0/mode"), 0600);          /* never through the link */
	assert_int_equal(count("dest"), 3);
	gen_end();
}

static void alt_dry(void **state)
{
	(void)state;
	o.dry_run = true;
	walk_list(&g, alt_files(ALT_LINK));
	assert_request("differs", 1);
	assert_no_request();
	assert_int_equal(count("dest"), 1);
	assert_true(holds("dest/old", "x"));
	gen_end();
}

/* ---- hard links ---- */

static void links_wait_for_the_last(void **state)
{
	struct glist *gl;

	(void)state;
	o.hard_links = 1;
	gen_begin(false);
	gl = GIVE(-1, D("."), L("a", 3, 5), L("c", 3, 5), F("other", 3), L("z", 3, 5));
	walk_list(&g, gl);
	assert_request("other", BASIS_FNAME);
	assert_request("z", BASIS_FNAME);
	assert_no_request();
	assert_int_equal(gl->pending, 4);
	put("dest/z", "abc");
	outcome(EV_OK, "z");
	assert_true(same_file("dest/a", "dest/z") && same_file("dest/c", "dest/z"));
	assert_int_equal(gl->pending, 1);
	outcome(EV_OK, "other");
	assert_int_equal(gl->pending, 0);
	gen_end();
}

static void links_to_what_is_there(void **state)
{
	struct glist *gl;

	(void)state;
	o.hard_links = 1;
	put("dest/m", "abc");
	put("dest/z", "to go");
	gen_begin(false);
	gl = GIVE(-1, D("."), L("a", 3, 5), L("m", 3, 5), L("n", 3, 6), L("o", 3, 6), L("z", 3, 5));
	walk_list(&g, gl);
	assert_true(same_file("dest/a", "dest/m") && same_file("dest/z", "dest/m"));
	assert_true(holds("dest/z", "abc"));
	assert_request("o", BASIS_FNAME);                      /* the other group is not touched by it */
	assert_no_request();
	assert_int_equal(gl->pending, 2);
	assert_int_equal(count("dest"), 3);
	outcome(EV_FAILED, "o");
	gen_end();
}

static void links_take_turns_at_failing(void **state)
{
	struct glist *gl;

	(void)state;
	o.hard_links = 1;
	gen_begin(false);
	gl = GIVE(-1, D("."), L("a", 3, 5), L("b", 3, 5), L("c", 3, 5));
	walk_list(&g, gl);
	assert_request("c", BASIS_FNAME);
	assert_no_request();
	outcome(EV_FAILED, "c");
	assert_request("b", BASIS_FNAME);
	assert_no_request();
	outcome(EV_FAILED, "c");                               /* told twice: nothing happens */
	assert_no_request();
	outcome(EV_NO_SEND, "b");
	assert_request("a", BASIS_FNAME);
	outcome(EV_FAILED, "a");
	assert_no_request();
	assert_int_equal(gl->pending, 0);
	assert_int_equal(count("dest"), 0);
	gen_end();
}

/* One that is left out on the way changes nothing for those that wait. */
static void links_without_one_of_them(void **state)
{
	struct glist *gl;

	(void)state;
	o.hard_links = 1;
	o.ignore_existing = true;
	put("dest/b", "mine");
	gen_begin(false);
	gl = GIVE(-1, D("."), L("a", 3, 5), L("b", 3, 5), L("c", 3, 5));
	walk_list(&g, gl);
	assert_request("c", BASIS_FNAME);
	assert_no_request();
	assert_int_equal(gl->pending, 2);
	put("dest/c", "abc");
	outcome(EV_OK, "c");
	assert_true(same_file("dest/a", "dest/c"));
	assert_true(holds("dest/b", "mine"));
	assert_int_equal(gl->pending, 0);
	gen_end();
}

/* A member of a list that comes after the request waits for its outcome, and its list with it. */
static void links_over_lists(void **state)
{
	struct glist *first, *second, *third;

	(void)state;
	o.hard_links = 1;
	gen_begin(true);
	first = GIVE(-1, D("."), L("a", 3, 5), D("d/"), D("e/"));
	walk_list(&g, first);
	assert_request("a", BASIS_FNAME);
	second = GIVE(1, L("d/b", 3, 5), F("d/f", 3), L("d/z", 3, 5));
	third = GIVE(2, L("e/y", 3, 5));
	walk_list(&g, second);
	assert_request("d/f", BASIS_FNAME);
	walk_list(&g, third);
	assert_no_request();
	assert_int_equal(first->pending, 1);
	assert_int_equal(second->pending, 3);
	assert_int_equal(third->pending, 1);
	put("dest/a", "abc");
	outcome(EV_OK, "a");
	assert_true(same_file("dest/d/b", "dest/a") && same_file("dest/d/z", "dest/a") && same_file("dest/e/y", "dest/a"));
	assert_int_equal(first->pending, 0);
	assert_int_equal(second->pending, 1);
	assert_int_equal(third->pending, 0);
	outcome(EV_FAILED, "d/f");
	gen_end();
}

static void links_over_lists_fail(void **state)
{
	struct glist *first, *second;

	(void)state;
	o.hard_links = 1;
	gen_begin(true);
	first = GIVE(-1, D("."), L("a", 3, 5), D("d/"));
	second = GIVE(1, L("d/b", 3, 5), L("d/c", 3, 5));
	walk_list(&g, first);                                  /* both known: the last one of all is asked for */
	assert_no_request();
	assert_int_equal(first->pending, 1);
	walk_list(&g, second);
	assert_request("d/c", BASIS_FNAME);
	outcome(EV_FAILED, "d/c");
	assert_request("d/b", BASIS_FNAME);
	outcome(EV_FAILED, "d/b");
	assert_request("a", BASIS_FNAME);
	put("dest/a", "abc");
	outcome(EV_OK, "a");
	assert_int_equal(first->pending + second->pending, 0);
	assert_int_equal(count("dest/d"), 0);                  /* those that failed were told of already */
	gen_end();
}

/* ---- temporary, partial and backup files ---- */

static void temps_do_not_stay(void **state)
{
	char longest[SB_NAME_MAX + 1], name[SB_NAME_MAX + 1], taken[SB_NAME_MAX + 16];
	struct temp t = TEMP_INIT;

	(void)state;
	put_dir("dest/d");
	put_dir("dest/d/wall");
	gen_begin(false);
	assert_int_equal(temp_create(&g.h, &t, "d", "f", 0600), 0);
	assert_int_equal(strlen(t.leaf), strlen(".f.XXXXXX"));
	assert_int_equal(strncmp(t.leaf, ".f.", 3), 0);
	assert_int_equal(write(t.fd, "half", 4), 4);
	assert_int_equal(count("dest/d"), 2);
	temp_drop(&t);
	temp_drop(&t);                                         /* once is enough */
	assert_int_equal(count("dest/d"), 1);

	memset(longest, 'n', SB_NAME_MAX);
	longest[SB_NAME_MAX] = 0;
	assert_int_equal(temp_create(&g.h, &t, "d", longest, 0600), 0);
	assert_true(strlen(t.leaf) <= SB_NAME_MAX && strncmp(t.leaf, ".nnn", 4) == 0);
	temp_drop(&t);
	assert_int_equal(count("dest/d"), 1);

	/* What cannot be brought to its name is still to be removed. */
	GIVE(-1, D("."), D("d/"), F("d/g", 3), F("d/wall", 3));
	assert_int_equal(temp_create(&g.h, &t, "d", "wall", 0600), 0);
	assert_int_equal(temp_place(&g.h, &t, "d", "wall", entry("d/wall"), 0644), -1);
	assert_true(t.live && was_said("rename "));
	temp_drop(&t);
	assert_int_equal(count("dest/d"), 1);

	assert_int_equal(temp_create(&g.h, &t, "d", "g", 0600), 0);
	assert_int_equal(write(t.fd, "abc", 3), 3);
	assert_int_equal(temp_place(&g.h, &t, "d", "g", entry("d/g"), 0644), 0);
	temp_drop(&t);
	assert_true(holds("dest/d/g", "abc"));
	assert_int_equal(count("dest/d"), 2);

	/* For nodes: numbers from the pid on, the first one that is free. */
	assert_int_equal(sb_temp_name(g.h.dest, "", "n", name), 0);
	assert_int_equal(strncmp(name, ".n.", 3), 0);
	snprintf(taken, sizeof taken, "dest/%s", name);
	put(taken, "in use");
	assert_int_equal(sb_temp_name(g.h.dest, "", "n", name), 0);
	assert_string_not_equal(taken + 5, name);
	gen_end();
}

static void temps_in_a_directory_of_their_own(void **state)
{
	struct temp t = TEMP_INIT;

	(void)state;
	put_dir("temps");
	put_dir("dest/d");
	o.temp_dir = "temps";
	gen_begin(false);
	GIVE(-1, D("."), D("d/"), F("d/f", 3));
	assert_int_equal(temp_create(&g.h, &t, "d", "f", 0600), 0);
	assert_int_equal(strncmp(t.leaf, "f.", 2), 0);         /* no dot */
	assert_int_equal(count("temps"), 1);
	assert_int_equal(count("dest/d"), 0);
	temp_drop(&t);
	assert_int_equal(count("temps"), 0);
	assert_int_equal(temp_create(&g.h, &t, "d", "f", 0600), 0);
	assert_int_equal(temp_place(&g.h, &t, "d", "f", entry("d/f"), 0644), 0);
	temp_drop(&t);
	assert_int_equal(count("temps"), 0);
	assert_true(there("dest/d/f"));
	gen_end();
}

static int keep(const char *leaf, const char *text)
{
	struct temp t = TEMP_INIT;
	int rc;

	assert_int_equal(temp_create(&g.h, &t, "d", leaf, 0600), 0);
	assert_int_equal(write(t.fd, text, strlen(text)), strlen(text));
	rc = partial_keep(&g.h, &t, "d", leaf);
	temp_drop(&t);
	return rc;
}

static void partials(void **state)
{
	(void)state;
	put_dir("dest/d");
	put_dir("elsewhere");
	o.partial_dir = ".part";
	gen_begin(false);
	assert_int_equal(keep("f", "half"), 0);
	assert_int_equal(keep("g", "third"), 0);
	assert_true(holds("dest/d/.part/f", "half") && holds("dest/d/.part/g", "third"));
	assert_int_equal(mode_of("dest/d/.part"), 0700);
	assert_int_equal(count("dest/d"), 1);
	partial_cleanup(&g.h, "d", "f", true);
	assert_int_equal(count("dest/d/.part"), 1);            /* another one's is still there */
	partial_cleanup(&g.h, "d", "g", false);
	assert_true(holds("dest/d/.part/g", "third"));
	partial_cleanup(&g.h, "d", "g", true);
	assert_int_equal(count("dest/d"), 0);
	/* A link in its place goes; nothing is put where it leads. */
	assert_int_equal(symlink("../../elsewhere", in_top("dest/d/.part")), 0);
	assert_int_equal(keep("f", "half"), 0);
	assert_true(holds("dest/d/.part/f", "half"));
	assert_int_equal(count("elsewhere"), 0);
	gen_end();
}

static void backups(void **state)
{
	char longest[SB_NAME_MAX + 1], leaf[SB_NAME_MAX + 1], name[SB_NAME_MAX + 16];
	struct stat st;
	const char *dir;

	(void)state;
	o.backup = true;
	o.suffix = ".old";
	put_dir("dest/d");
	put("dest/d/f", "abc");
	put_dir("dest/d/f.old");
	put("dest/d/f.old/in the way", "x");
	gen_begin(false);
	assert_ptr_equal(backup_place(&g.h, "d", "f", &dir, leaf), g.h.dest);
	assert_string_equal(dir, "d");
	assert_string_equal(leaf, "f.old");
	assert_int_equal(sb_lstat(g.h.dest, "d", "f", &st), 0);
	assert_int_equal(backup_make(&g.h, "d", "f", &st, false), 0);
	assert_true(same_file("dest/d/f", "dest/d/f.old"));    /* until the new one takes its name */
	assert_int_equal(sb_lstat(g.h.dest, "d", "f", &st), 0);
	assert_int_equal(backup_make(&g.h, "d", "f", &st, true), 0);
	assert_true(holds("dest/d/f.old", "abc"));
	assert_int_equal(count("dest/d"), 1);
	assert_int_equal(backup_make(&g.h, "d", "f", &st, true), 0);   /* gone: nothing to keep */

	/* No backup can have that name: what is there stays. */
	memset(longest, 'n', SB_NAME_MAX);
	longest[SB_NAME_MAX] = 0;
	snprintf(name, sizeof name, "dest/d/%s", longest);
	put(name, "n");
	assert_null(backup_place(&g.h, "d", longest, &dir, leaf));
	assert_true(was_said("keep_backup failed: ") && was_said("File name too long"));
	assert_int_equal(delete_item(&g, "d", longest, S_IFREG | 0644, 0), -1);
	assert_true(holds(name, "n"));
	gen_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, gen_setup, gen_teardown)
		TEST(delete_what_is_not_listed), TEST(delete_below_absolute_names), TEST(older_than_everything),
		TEST(delete_up_to_the_limit),
		TEST(delete_item_keeps_what_is_not_empty),
		TEST(delete_never_follows),
		TEST(delete_with_backup),
		TEST(delete_not_after_an_io_error),
		TEST(delete_dry_and_delayed),
		TEST(alt_best_of_twenty),
		TEST(alt_compare),
		TEST(alt_copy),
		TEST(alt_link),
		TEST(alt_dry),
		TEST(links_wait_for_the_last),
		TEST(links_to_what_is_there),
		TEST(links_take_turns_at_failing),
		TEST(links_without_one_of_them),
		TEST(links_over_lists),
		TEST(links_over_lists_fail),
		TEST(temps_do_not_stay),
		TEST(temps_in_a_directory_of_their_own),
		TEST(partials),
		TEST(backups),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
