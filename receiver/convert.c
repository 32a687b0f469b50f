/*
 * convert.c - --iconv on the receiving side: names and symlink targets from UTF-8 (spec 02 §11).
 */
#include "config.h"
#include "receiver/recv.h"

#include "base/charset.h"

static int name_in(void *ctx, const char *wire, size_t len, char *out)
{
	struct recv *r = ctx;
	int n = charset_name(r->rx->x->charset, CHARSET_FROM_UTF8, wire, len, out, PATH_LIMIT);

	if (n < 0)
		say_utf8(SAY_ERROR_XFER, "[%s] cannot convert filename: %.*s (%s)", say_role(), (int)len, wire, strerror(-n));
	return n;
}

static int link_in(void *ctx, const struct fdir *dir, const char *leaf, const char *wire, size_t len, char *out)
{
	struct recv *r = ctx;
	int n = charset_name(r->rx->x->charset, CHARSET_FROM_UTF8, wire, len, out, PATH_LIMIT);

	if (n < 0)
		say(SAY_ERROR_XFER, "[%s] cannot convert symlink data for: %s (%s)", say_role(), FULL(r->rx, fdir_rel(dir), leaf),
		    strerror(-n));
	return n;
}

void names_in_hooks(struct recv *r, struct flist_hooks *h)
{
	if (!r->rx->x->charset)
		return;
	h->name_in = name_in;
	if (r->rx->x->charset_links)
		h->link_in = link_in;
}

size_t rx_wire_name(const struct rx *rx, const char *name, size_t len, char *out)
{
	if (rx->x->charset)
		return charset_text(rx->x->charset, CHARSET_TO_UTF8, name, len, out, PATH_LIMIT);
	memcpy(out, name, len);
	out[len] = '\0';
	return len;
}
