/*
 * fuzz_options.c - words separated by NUL, as a daemon gets them: options, path arguments, globs.
 * The first byte: 1 remote shell, 2 the rest is a refuse list and then the words, 4 protocol 28, 8 sanitize.
 */
#include "config.h"
#include "base/say.h"
#include "base/text.h"
#include "session/args.h"
#include "session/glob.h"
#include "session/options.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void drop(void *ctx, enum say_kind kind, const char *text, size_t len)
{
	(void)ctx, (void)kind, (void)text, (void)len;
}

static int list(void *ctx, const char *dir, int (*each)(void *arg, const char *name), void *arg)
{
	int *calls = ctx;

	if (path_has_dotdot(dir) || *dir == '/')
		abort();
	if (++*calls > 2000)
		return -1;
	return each(arg, "a") || each(arg, "b.c") ? -1 : 0;
}

static bool is_dir(void *ctx, const char *path)
{
	(void)ctx;
	return path[strlen(path) - 1] == 'a';
}

static int found(void *arg, const char *path)
{
	return words_add(arg, path, strlen(path));
}

static void paths(const struct options *p, const struct filter_list *hidden)
{
	int calls = 0;
	const struct glob_tree tree = { &calls, list, is_dir };
	struct words split, out;

	if (words_init(&split, NULL) || words_init(&out, NULL))
		abort();
	for (int i = 0; i < p->npaths; i++)
		if (args_module(&split, p->paths[i], "mod", p->secluded) < 0)
			abort();
	for (int i = 0; i < split.n; i++) {
		char *clean = malloc(strlen(split.v[i]) + 2);

		args_sanitize(split.v[i], 0, false, clean);
		if (path_has_dotdot(clean) || *clean == '/' || !*clean)
			abort();
		(void)glob_expand(&tree, clean, "", hidden, found, &out);
		strcpy(clean, split.v[i]);
		args_collapse(clean);
		if (path_has_dotdot(clean))
			abort();
		free(clean);
	}
	words_free(&split);
	words_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct filt_config c = { .daemon_list = true, .am_server = true };
	struct filt_params fp = { .exclude = "/b.c hid/" };
	struct err err = { 0 };
	struct filter_list *hidden = filt_new(&c);
	struct words w;
	struct rd r;
	struct options p;
	struct xfer_opts o;
	uint8_t how = size ? data[0] : 0;
	int rc;

	say_set_sink(drop, NULL);
	if (!hidden || filt_add_params(hidden, &fp, &err) || words_init(&w, NULL) || options_init(&p, &o, NULL, !(how & 1)))
		abort();
	rd_init_mem(&r, data + !!size, size - !!size, &err);
	rc = args_read(&w, &r, !(how & 4));
	if (rc == 0 && w.n) {
		if (how & 2)
			options_refuse(&p, w.v[0], false);
		rc = options_parse(&p, w.v + 1, w.n - 1, true);
		if (rc == 0 && p.secluded) {
			struct words w2;

			if (words_init(&w2, NULL))
				abort();
			if (args_read(&w2, &r, true) == 0 && w2.n)
				rc = options_parse(&p, w2.v + 1, w2.n - 1, false);
			words_free(&w2);
		}
		if (rc == 0 && options_finish(&p) == 0) {
			if (options_confine_paths(&p, hidden, how & 8) == 0 && (how & 8) && o.temp_dir && path_has_dotdot(o.temp_dir))
				abort();
			(void)options_check_version(&p, how & 4 ? 28 : 31);
			options_cap_verbosity(&o, how >> 4);
			paths(&p, hidden);
		} else if (!p.exit_code || !p.error[0]) {
			abort();
		}
	}
	options_free(&p);
	words_free(&w);
	filt_free(hidden);
	return 0;
}
