/*
 * list.c - --list-only on the receiving side: entries are told, nothing is done (spec 07 §12).
 */
#include "config.h"
#include "receiver/gen.h"

#include <stdio.h>
#include <time.h>

static void put_perms(mode_t mode, char out[11])
{
	static const char rwx[] = "rwxrwxrwx";

	out[0] = S_ISDIR(mode) ? 'd' : S_ISLNK(mode) ? 'l' : S_ISBLK(mode) ? 'b' : S_ISCHR(mode) ? 'c' :
		 S_ISFIFO(mode) ? 'p' : S_ISSOCK(mode) ? 's' : '-';
	for (int i = 0; i < 9; i++)
		out[i + 1] = mode & (0400u >> i) ? rwx[i] : '-';
	if (mode & S_ISUID)
		out[3] = mode & 0100 ? 's' : 'S';
	if (mode & S_ISGID)
		out[6] = mode & 0010 ? 's' : 'S';
	if (mode & S_ISVTX)
		out[9] = mode & 0001 ? 't' : 'T';
	out[10] = 0;
}

/* With a comma between thousands. out: 32 bytes. */
static void put_size(int64_t size, char *out)
{
	char digits[24];
	int n = snprintf(digits, sizeof digits, "%lld", (long long)size), k = 0;

	for (int i = 0; i < n; i++) {
		out[k++] = digits[i];
		if (i + 1 < n && (n - i - 1) % 3 == 0)
			out[k++] = ',';
	}
	out[k] = 0;
}

/* out: 24 bytes; always 19 characters. */
static void put_time(int64_t when, char *out)
{
	time_t t = (time_t)when;
	struct tm tm;

	if (!localtime_r(&t, &tm) || !strftime(out, 24, "%Y/%m/%d %H:%M:%S", &tm))
		strcpy(out, "(time out of range)");
}

void list_entry(struct gen *g, const struct fent *e)
{
	char perms[11], size[32], mtime[24], atime[32] = "";
	bool link = FENT_IS_LNK(e) && e->ext && e->ext->link;

	if ((e->flags & FENT_IMPLIED) && !g->o->implied_dirs)
		return;
	if (e->flags & FENT_MISSING) {
		say(SAY_INFO, "%-*s %s", g->o->atimes ? 65 : 45, "*missing", ENAME(e));
		return;
	}
	put_perms(e->mode, perms);
	put_size(FENT_IS_DEV(e) || FENT_IS_SPECIAL(e) ? 0 : link ? e->ext->link_len : e->size, size);
	put_time(e->mtime, mtime);
	if (g->o->atimes) {
		memset(atime, ' ', 20);
		if (!FENT_IS_DIR(e) && e->ext)
			put_time(e->ext->atime, atime + 1);
	}
	say(SAY_INFO, "%s %14s %s%.20s %s%s%s", perms, size, mtime, atime, ENAME(e), link && g->o->links ? " -> " : "",
	    link && g->o->links ? e->ext->link : "");
}
