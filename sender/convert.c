/*
 * convert.c - --iconv on the sending side: names and symlink targets to UTF-8 (spec 02 §11).
 */
#include "config.h"
#include "sender/sender.h"

#include <errno.h>

#include "base/charset.h"
#include "base/say.h"

static int convert(struct sender *s, bool link, const char *local, size_t len, char *out)
{
	int n = charset_name(s->x->charset, CHARSET_TO_UTF8, local, len, out, PATH_LIMIT);

	if (n < 0) {
		s->conv_error = -n;
		s->conv_link = link;
	}
	return n;
}

static int name_out(void *ctx, const char *local, size_t len, char *out)
{
	return convert(ctx, false, local, len, out);
}

static int link_out(void *ctx, const char *local, size_t len, char *out)
{
	return convert(ctx, true, local, len, out);
}

void names_out_hooks(struct sender *s, struct flist_hooks *h)
{
	if (!s->x->charset)
		return;
	h->name_out = name_out;
	if (s->x->charset_links)
		h->link_out = link_out;
}

void convert_failed(struct sender *s, uint16_t root)
{
	int e = s->conv_error ? s->conv_error : ENAMETOOLONG;

	s->x->io_error |= IOERR_GENERAL;
	if (s->conv_link)
		say(SAY_ERROR_XFER, "[%s] cannot convert symlink data for: %s (%s)", say_role(), place_show(s, root, s->name), strerror(e));
	else
		say(SAY_ERROR_XFER, "[%s] cannot convert filename: %s (%s)", say_role(), s->name, strerror(e));
	s->conv_error = 0;
	s->conv_link = false;
}

char *convert_listed(struct sender *s, const char *name, size_t len, char *out)
{
	charset_text(s->x->charset, CHARSET_FROM_UTF8, name, len, out, PATH_LIMIT);
	return out;
}
