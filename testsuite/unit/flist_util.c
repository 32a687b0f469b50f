/* flist_util.c - see flist_util.h. */
#include "config.h"
#include "testsuite/unit/flist_util.h"

#include <ctype.h>
#include <stdio.h>

size_t unhex(uint8_t *out, const char *hex)
{
	size_t n = 0;
	unsigned v;

	for (; *hex; hex++) {
		if (!isxdigit((unsigned char)*hex))
			continue;
		if (sscanf(hex, "%2x", &v) != 1)
			break;
		out[n++] = (uint8_t)v;
		hex++;
	}
	return n;
}

size_t wire_name(const struct fent *e, char *out)
{
	size_t n = e->dir->len;

	memcpy(out, e->dir->s, n);
	if (n && out[n - 1] != '/')
		out[n++] = '/';
	strcpy(out + n, e->name);
	return n + strlen(e->name);
}

static void set_fmt(struct session *s)
{
	struct flist_fmt *f = &s->fmt;
	const char *o = s->opts;

	*f = (struct flist_fmt){ .proto = s->proto, .inc_recurse = s->compat & 1, .safe_end = s->compat & 8,
		.varint_flags = s->compat & 0x80, .id0_names = s->compat & 0x100, .sum_len = s->sum_len };
	f->links = strchr(o, 'l');
	f->hard_links = strchr(o, 'H');
	f->devices = f->specials = strchr(o, 'D');
	f->uid = strchr(o, 'o');
	f->gid = strchr(o, 'g');
	f->atimes = strchr(o, 'U');
	f->acls = strchr(o, 'A');
	f->xattrs = strchr(o, 'X');
	f->relative = strchr(o, 'R');
	f->recurse = strchr(o, 'r');
	f->delete_missing_args = strchr(o, 'm');
	f->numeric_ids = strchr(o, 'n');
	f->wire_order = strchr(o, 'i');
}

static void add_entry(struct seg *g, const char *line)
{
	static char name[16384], link[16384], sum[256];
	struct want *w;

	g->want = realloc(g->want, (g->n + 1) * sizeof *g->want);
	w = &g->want[g->n++];
	memset(w, 0, sizeof *w);
	if (sscanf(line, "entry %16000s %o %lld %lld %lld %lld %lld %lld %lld %16000s %lld %lld %200s %lld %lld %lld", name, &w->mode,
		&w->size, &w->mtime, &w->nsec, &w->uid, &w->gid, &w->major, &w->minor, link, &w->dev, &w->ino, sum,
		&w->ref, &w->atime, &w->sorted) != 16)
		abort();
	w->name_len = unhex(w->name, name);
	w->link_len = unhex(w->link, link);
	w->sum_len = unhex(w->sum, sum);
}

size_t load_sessions(const char *path, struct session **out)
{
	static char line[65536], hex[65536];
	FILE *f = fopen(path, "r");
	struct session *all = NULL, *s = NULL;
	struct seg *g = NULL;
	size_t n = 0;

	if (!f)
		return 0;
	while (fgets(line, sizeof line, f)) {
		if (!strncmp(line, "session ", 8)) {
			all = realloc(all, (n + 1) * sizeof *all);
			s = &all[n++];
			memset(s, 0, sizeof *s);
			if (sscanf(line, "session %31s %d %x %31s %u", s->name, &s->proto, &s->compat, s->opts, &s->sum_len) != 5)
				abort();
			set_fmt(s);
		} else if (s && !strncmp(line, "list ", 5)) {
			s->seg = realloc(s->seg, (s->n + 1) * sizeof *s->seg);
			g = &s->seg[s->n++];
			memset(g, 0, sizeof *g);
			if (sscanf(line, "list %d %zu %65000s", &g->dir_ndx, &g->list_len, hex) != 3)
				abort();
			g->bytes = malloc(strlen(hex) / 2 + 1);
			g->len = unhex(g->bytes, hex);
		} else if (g && !strncmp(line, "entry ", 6)) {
			add_entry(g, line);
		}
	}
	fclose(f);
	*out = all;
	return n;
}
