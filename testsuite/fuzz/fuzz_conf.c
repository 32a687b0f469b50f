/* fuzz_conf.c - the grammar of rsyncd.conf, with the same text as main file and as every included one. */
#include "config.h"

#include <errno.h>
#include <sys/stat.h>

#include "daemon/conf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct text { const uint8_t *data; size_t size; int reads; };

static int give_stat(void *ctx, const char *path, struct stat *st)
{
	(void)ctx, (void)path;
	*st = (struct stat){ .st_mode = S_IFREG | 0600 };
	return 0;
}

static int give_text(void *ctx, const char *path, struct buf *out, struct stat *st)
{
	struct text *t = ctx;

	if (++t->reads > 20)
		return -EMFILE;
	give_stat(ctx, path, st);
	buf_add(out, t->data, t->size);
	return 0;
}

static int no_list(void *ctx, const char *path, void (*each)(void *, const char *), void *arg, struct stat *st)
{
	(void)ctx, (void)path, (void)each, (void)arg, (void)st;
	return -ENOENT;
}

static void quiet(void *ctx, const char *text)
{
	(void)ctx, (void)text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct text t = { data, size, 0 };
	const struct conf_source src = { .ctx = &t, .stat = give_stat, .read = give_text, .list = no_list };
	struct conf *c = NULL;

	if (size > 4096 || memchr(data, 0, size))
		return 0;
	if (conf_load(&c, &src, "/etc/rsyncd.conf", NULL, quiet, NULL) == 0)
		conf_find_module(c, "m");
	conf_free(c);
	return 0;
}
