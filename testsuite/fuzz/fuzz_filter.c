/*
 * fuzz_filter.c - the first byte chooses: an option rule, wire rules, a merge file. What was accepted
 * must match names without harm and survive being sent and received again with the same text.
 */
#include "config.h"
#include "base/say.h"
#include "base/text.h"
#include "filter/filter.h"
#include "protocol/wire.h"

#include <errno.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input { const uint8_t *p; size_t n; };

static void drop(void *ctx, enum say_kind kind, const char *text, size_t len)
{
	(void)ctx, (void)kind, (void)text, (void)len;
}

static int read_file(void *ctx, const char *dir, const char *name, struct buf *out)
{
	const struct input *in = ctx;

	if (path_has_dotdot(dir) || strchr(name, '/'))
		abort();
	if (name[0] != '.')
		return -ENOENT;
	buf_add(out, in->p, in->n);
	return 0;
}

static int read_named(void *ctx, const char *path, struct buf *out)
{
	return path[0] == '.' && !strchr(path, '/') ? read_file(ctx, "", path, out) : -ENOENT;
}

static void probe(const struct filter_list *l, const struct filt_files *files)
{
	static const struct { const char *name; bool is_dir; } names[] = {
		{ "a", false }, { "a/b", true }, { "a/b/c.o", false }, { "/abs/x", false }, { ".hid", true }, { "a/b/*", false },
	};
	struct filt_walk *w = filt_walk_new(l, l, files, NULL);
	struct err err = { 0 };

	if (!w)
		return;
	(void)filt_walk_start(w, "cwd/x");
	if (filt_enter_dir(w, "", &err) >= 0 && filt_enter_dir(w, "a", &err) >= 0)
		(void)filt_enter_dir(w, "a/b", &err);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		(void)filt_excluded(w, names[i].name, names[i].is_dir);
		(void)filt_xattr_excluded(w, names[i].name);
		(void)filt_hides_path(l, names[i].name, names[i].is_dir);
	}
	filt_leave_dir(w);
	filt_ignore_perishable(w, true);
	(void)filt_excluded(w, "a/b", true);
	filt_walk_free(w);
}

static void send_again(const struct filter_list *l, const struct filt_config *c)
{
	struct err err = { 0 }, err2 = { 0 };
	struct filter_list *back = filt_new(c);
	struct wr_mem m, m2;
	struct rd r;

	wr_mem_init(&m, NULL, &err);
	wr_mem_init(&m2, NULL, &err);
	if (back && !filt_send(l, &m.w, 31, false)) {
		rd_init_mem(&r, m.base, wr_mem_len(&m), &err2);
		if (filt_recv(back, &r, 31) || filt_send(back, &m2.w, 31, false) ||
		    wr_mem_len(&m) != wr_mem_len(&m2) || memcmp(m.base, m2.base, wr_mem_len(&m)) != 0)
			abort();
	}
	wr_mem_free(&m);
	wr_mem_free(&m2);
	filt_free(back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data + 1, size ? size - 1 : 0 };
	struct filt_files files = { &in, read_file, read_named };
	struct filt_config c = { .files = &files, .am_server = true, .cwd = "cwd" };
	struct err err = { 0 };
	struct filter_list *l;
	char *text;

	if (!size)
		return 0;
	say_set_sink(drop, NULL);
	c.am_sender = data[0] & 8;
	c.from0 = data[0] & 16;
	c.daemon_list = data[0] & 32;
	c.delete_excluded = data[0] & 64;
	l = filt_new(&c);
	text = malloc(in.n + 1);
	if (!l || !text)
		abort();
	memcpy(text, in.p, in.n);
	text[in.n] = '\0';
	switch (data[0] & 7) {
	case 0: case 1: {
		struct rd r;

		rd_init_mem(&r, in.p, in.n, &err);
		(void)filt_recv(l, &r, data[0] & 1 ? 28 : 31);
		break;
	}
	case 2: (void)filt_add_rule(l, ":ne- .m", &err); break;
	case 3: (void)filt_add_rule(l, ": /a/.m", &err); break;
	case 4: (void)filt_add_rule(l, ":C", &err); break;
	case 5: {
		struct filt_params p = { .filter = text, .exclude = text };

		(void)filt_add_params(l, &p, &err);
		break;
	}
	case 6: (void)filt_add_from(l, ".x", true, &err); break;
	default:
		if (!filt_add_rule(l, text, &err) && in.n < 4000 && !c.delete_excluded && !c.daemon_list)
			send_again(l, &c);
	}
	if (!err.code)
		probe(l, &files);
	filt_free(l);
	free(text);
	return 0;
}
