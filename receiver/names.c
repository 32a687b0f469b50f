/*
 * names.c - names for messages and small things that both threads need.
 */
#include "config.h"
#include "receiver/rx.h"

#include <errno.h>
#include <stdio.h>

#include "filter/filter.h"
#include "receiver/dest.h"
#include "receiver/xattrs.h"

int path_join(char *out, const char *dir, const char *leaf)
{
	size_t d = strlen(dir), l = strlen(leaf), slash = d && l && dir[d - 1] != '/';

	if (d + slash + l > PATH_LIMIT)
		return -1;
	memcpy(out, dir, d);
	if (slash)
		out[d] = '/';
	memcpy(out + d + slash, leaf, l + 1);
	return 0;
}

char *rx_full_side(const struct rx *rx, const char *side, const char *dir, const char *leaf, char *out)
{
	bool dot = strcmp(leaf, ".") == 0 || !*leaf, any = false;
	/* The destination itself is the "." in it. */
	const char *part[4] = { *side == '/' ? "" : rx->dest_path, side, dir, !dot ? leaf : *dir ? "" : "." };
	size_t n = 0;

	out[n++] = '"';
	/* A module's name is absolute unless it is of the module itself and the module is not the process's root. */
	if (*side != '/' && (!rx->x->module || *rx->dest_path || !rx->o->sanitize_paths))
		out[n++] = '/';
	for (int i = 0; i < 4; i++) {
		size_t len = strnlen(part[i], PATH_LIMIT);

		if (!len || n + len > NAME_TEXT - 400)
			continue;
		if (any && out[n - 1] != '/')
			out[n++] = '/';
		memcpy(out + n, part[i], len);
		n += len;
		any = true;
	}
	out[n++] = '"';
	out[n] = 0;
	if (rx->x->module)
		snprintf(out + n, NAME_TEXT - n, " (in %s)", rx->x->module);
	return out;
}

char *rx_full(const struct rx *rx, const char *dir, const char *leaf, char *out)
{
	return rx_full_side(rx, "", dir, leaf, out);
}

char *entry_name(const struct fent *e, char *out)
{
	fent_path(e, out);
	return out;
}

void rx_log_item(struct rx *rx, struct item_record *rec)
{
	char name[PATH_LIMIT + 1], path[2 * PATH_LIMIT + 2];

	if (!rx->x->log_item)
		return;
	/* The name as the list has it, also where a single file gets another one. */
	fent_path(rec->e, name);
	/* A daemon's log has the path in the module, that of a remote-shell server the name alone. */
	snprintf(path, sizeof path, "%s%s%s", rx->x->module ? rx->dest_path : "", rx->x->module && rx->dest_path[0] ? "/" : "", name);
	rec->path = path;
	pthread_mutex_lock(&rx->log_lock);
	rx->x->log_item(rx->x->log_ctx, rec);
	pthread_mutex_unlock(&rx->log_lock);
}

void rx_success(struct rx *rx, int32_t ndx)
{
	if (rx->o->remove_source && !rx->dry)
		conn_post_int(rx->conn, MSG_SUCCESS, ndx);
}

int time_compare(const struct rx *rx, int64_t a_sec, uint32_t a_nsec, int64_t b_sec, uint32_t b_nsec)
{
	int win = rx->o->modify_window;
	int64_t diff;

	if (win < 0 && a_sec == b_sec)
		return a_nsec == b_nsec ? 0 : a_nsec < b_nsec ? -1 : 1;
	if (__builtin_sub_overflow(a_sec, b_sec, &diff))
		return a_sec < b_sec ? -1 : 1;
	if (win > 0 && diff <= win && diff >= -(int64_t)win)
		return 0;
	return diff == 0 ? 0 : diff < 0 ? -1 : 1;
}

/* ---- one thread's hands ---- */

struct filt_walk *rx_xattr_rules(struct rx *rx)
{
	struct filt_walk *w = filt_walk_new(rx->x->daemon_filter, rx->x->filter, NULL, rx->budget);

	if (w && filt_walk_start(w, "") < 0) {
		filt_walk_free(w);
		return NULL;
	}
	return w;
}

int hands_init(struct hands *h, struct rx *rx, struct err *err)
{
	*h = (struct hands){ .rx = rx };
	idview_init(&h->ids, rx->ids);
	h->buf = mem_alloc(rx->budget, RX_BUF, 1);
	if (!h->buf || (rx->dest && !(h->dest = sb_new(rx->dest, 0))) || (rx->temp && !(h->temp = sb_new(rx->temp, 4))) ||
	    (rx->partial && !(h->partial = sb_new(rx->partial, 4))))
		return fail(err, RX_MALLOC, "out of memory");
	for (int i = 0; i < rx->o->alt_count; i++)
		if (rx->alt[i] && !(h->alt[i] = sb_new(rx->alt[i], 0)))
			return fail(err, RX_MALLOC, "out of memory");
	if (rx->xattr_rules && !(h->xrules = rx_xattr_rules(rx)))
		return fail(err, RX_MALLOC, "out of memory for filters");
	return 0;
}

int hands_open(struct hands *h, struct sb *sb, const char *dir, const char *leaf, struct stat *st)
{
	return sb_open_read(sb, dir, leaf, h->rx->o->open_noatime == 1 ? SB_NOATIME : 0, st);
}

void hands_done(struct hands *h)
{
	if (!h->rx)
		return;
	mem_free(h->rx->budget, h->buf);
	attr_room_free(h);
	filt_walk_free(h->xrules);
	sb_free(h->dest);
	sb_free(h->temp);
	sb_free(h->partial);
	sb_free(h->backup);
	sb_free(h->backup_old);
	for (int i = 0; i < ALT_DEST_MAX; i++)
		sb_free(h->alt[i]);
	h->rx = NULL;
}

struct sb *hands_partial(struct hands *h, bool make)
{
	struct anchor *a = h->partial ? NULL : dest_partial_anchor(h->rx, make);

	if (a)
		h->partial = sb_new(a, 4);
	return h->partial;
}

struct sb *hands_backup(struct hands *h)
{
	struct anchor *a;
	int rc = dest_backup_anchor(h->rx, &a);

	if (rc == 0 && h->backup && h->backup_at == a)
		return h->backup;
	/* A caller may be using the one before. */
	sb_free(h->backup_old);
	h->backup_old = h->backup;
	h->backup = rc == 0 ? sb_new(a, 0) : NULL;
	h->backup_at = a;
	if (!h->backup) {
		rc = rc < 0 ? -rc : ENOMEM;
		say_errno(SAY_ERROR_XFER, rc, "backup-dir \"%s\" failed", h->rx->o->backup_dir);
		errno = rc;
	}
	return h->backup;
}
