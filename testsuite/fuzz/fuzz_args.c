/* fuzz_args.c - argument batches: words, options, path arguments. */
#include "config.h"

#include <stdio.h>

#include "base/say.h"
#include "session/args.h"
#include "session/options.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void quiet(void *ctx, enum say_kind kind, const char *text, size_t len)
{
	(void)ctx, (void)kind, (void)text, (void)len;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err e = { 0 };
	struct rd r;
	struct words w, out;
	struct xfer_opts o;
	struct options p;
	struct budget b;

	say_set_sink(quiet, NULL);
	budget_init(&b, 64u << 20, 16u << 20);
	rd_init_mem(&r, data, size, &e);
	if (words_init(&w, &b) < 0 || words_init(&out, &b) < 0 || options_init(&p, &o, &b, true) < 0)
		return 0;
	options_refuse(&p, size & 1 ? "delete-* !delete-during c a" : "", false);
	if (args_read(&w, &r, true) == 0 && options_parse(&p, w.v, w.n, true) == 0 && options_finish(&p) == 0)
		options_check_version(&p, 27 + (int)(size % 6));
	for (int i = 0; i < w.n; i++) {
		char *copy = malloc(strlen(w.v[i]) + 2);

		args_module(&out, w.v[i], "mod", i & 1);
		args_sanitize(w.v[i], i % 3, i & 1, copy);
		if (strlen(copy) > strlen(w.v[i]) + 1)
			abort();
		strcpy(copy, w.v[i]);
		args_collapse(copy);
		if (strlen(copy) > strlen(w.v[i]) + 1)
			abort();
		free(copy);
	}
	options_free(&p);
	words_free(&w);
	words_free(&out);
	return 0;
}
