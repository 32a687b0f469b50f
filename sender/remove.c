/*
 * remove.c - --remove-source-files: what the receiver reports as safely arrived is removed
 * here (spec 03 §14, 08 §18, 09 LNK-8).
 *
 * The name is looked at again beneath the held directory; it must still be what the list said,
 * and, for a file whose data we sent, the very file that was read.
 */
#include "config.h"
#include "sender/sender.h"

#include <errno.h>

#include "base/say.h"
#include "transfer/fake_super.h"

static size_t slot_of(const struct sender *s, int32_t ndx)
{
	size_t i = (uint32_t)ndx * 2654435761u & (s->sent_cap - 1);

	while (s->sent[i].used && s->sent[i].ndx != ndx)
		i = (i + 1) & (s->sent_cap - 1);
	return i;
}

static int grow_sent(struct sender *s)
{
	struct sent_id *old = s->sent;
	size_t old_cap = s->sent_cap, cap = old_cap ? old_cap * 2 : 256;
	struct sent_id *v = mem_zalloc(s->budget, cap, sizeof *v);

	if (!v)
		return sender_nomem(s);
	s->sent = v;
	s->sent_cap = cap;
	for (size_t i = 0; i < old_cap; i++)
		if (old[i].used)
			v[slot_of(s, old[i].ndx)] = old[i];
	mem_free(s->budget, old);
	return 0;
}

int remove_note(struct sender *s, int32_t ndx, const struct stat *st)
{
	size_t i;

	if (s->sent_count * 2 >= s->sent_cap && grow_sent(s) < 0)
		return -1;
	i = slot_of(s, ndx);
	if (!s->sent[i].used)
		s->sent_count++;
	s->sent[i] = (struct sent_id){ .ndx = ndx, .used = true, .dev = st->st_dev, .ino = st->st_ino };
	return 0;
}

static bool same_file(const struct sender *s, int32_t ndx, const struct fent *e, const struct stat *st)
{
	int64_t size = S_ISREG(st->st_mode) || S_ISLNK(st->st_mode) ? st->st_size : 0;
	const struct sent_id *id = NULL;

	if (s->sent_cap)
		id = &s->sent[slot_of(s, ndx)];
	if (id && id->used && (id->dev != st->st_dev || id->ino != st->st_ino))
		return false;
	if ((st->st_mode & S_IFMT) != FENT_TYPE(e))
		return false;
	return size == e->size && st->st_mtim.tv_sec == e->mtime &&
	       (!e->nsec || (uint32_t)st->st_mtim.tv_nsec == e->nsec);
}

int remove_source(struct sender *s, int32_t ndx)
{
	struct flist *fl;
	struct fent *e;
	struct stat st;
	struct sb *sb;
	char dir[NAME_BUF], name[PATH_LIMIT + 1];
	int rc;

	if (!s->o->remove_source)
		return 0;
	e = request_entry(s, ndx, &fl);
	if (!e)
		return -1;
	if (FENT_IS_DIR(e) || !FENT_TYPE(e) || s->o->dry_run)
		return 0;
	sb = place_sb(s, e->root);
	if (!sb)
		return sender_nomem(s);
	fent_path(e, name);
	rc = place_of_name(s, e->root, e->dir->s, e->dir->len, dir);
	if (rc == 0)
		rc = s->o->copy_links ? sb_stat_follow(sb, dir, e->name, &st) : sb_lstat(sb, dir, e->name, &st);
	if (rc == 0 && s->o->super == 2 && !s->o->copy_links)
		rc = fake_overlay(sb, dir, e->name, &st, NULL);
	if (rc == 0 && !same_file(s, ndx, e, &st)) {
		say(SAY_ERROR_XFER, "ERROR: Skipping sender remove for changed file: %s", name);
		return 0;
	}
	if (rc == 0)
		rc = sb_unlink(sb, dir, e->name);
	if (rc == -ENOENT)
		say(SAY_INFO, "sender file already removed: %s", name);
	else if (rc < 0)
		say_errno(SAY_ERROR_XFER, -rc, "sender failed to remove %s", name);
	else if (info_gte(s->o, INFO_REMOVE, 1))
		say(SAY_INFO, "sender removed %s", name);
	return 0;
}
