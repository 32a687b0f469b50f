/*
 * fuzz_shellwords.c - SSH_ORIGINAL_COMMAND: what a line is split into can be quoted and split into the same again.
 */
#include "config.h"
#include "base/buf.h"
#include "filter/wildmatch.h"
#include "session/shellwords.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void again(const struct shellwords *w)
{
	struct buf line = BUF_INIT(NULL);
	struct shellwords w2 = { 0 };

	for (int i = 0; i < w->text.n; i++) {
		buf_adds(&line, i ? " '" : "'");
		for (const char *s = w->text.v[i]; *s; s++)
			buf_adds(&line, *s == '\'' ? "'\\''" : (char[]){ *s, '\0' });
		buf_adds(&line, "'");
	}
	if (line.len <= SHELLWORDS_BYTES_MAX) {
		if (shellwords_split(&w2, buf_str(&line), NULL) || w2.text.n != w->text.n)
			abort();
		for (int i = 0; i < w->text.n; i++)
			if (strcmp(w->text.v[i], w2.text.v[i]) != 0 || w2.pattern[i])
				abort();
	}
	shellwords_free(&w2);
	buf_free(&line);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *line = malloc(size + 1);
	struct shellwords w = { 0 };

	memcpy(line, data, size);
	line[size] = '\0';
	if (!shellwords_split(&w, line, NULL)) {
		for (int i = 0; i < w.text.n; i++)
			if (w.pattern[i] && (!wild_has(w.pattern[i]) || strlen(w.pattern[i]) < strlen(w.text.v[i])))
				abort();
		again(&w);
	}
	shellwords_free(&w);
	free(line);
	return 0;
}
