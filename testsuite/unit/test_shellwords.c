/*
 * test_shellwords.c - a client's command line without a shell: words, patterns, and what is refused.
 */
#include "config.h"
#include "testsuite/unit/unit.h"

#include "session/shellwords.h"

#define WORDS(...) { __VA_ARGS__, NULL }

static const struct {
	const char *line;
	const char *text[6], *pattern[6];
} good[] = {
	{ "rsync --server . x", WORDS("rsync", "--server", ".", "x"), { NULL } },
	{ "  rsync\t--server  .   x \t", WORDS("rsync", "--server", ".", "x"), { NULL } },
	{ "a\\ b c\\\\d it\\'s \\\"q\\\"", WORDS("a b", "c\\d", "it's", "\"q\""), { NULL } },
	{ "'a b' \"c d\" e'f 'g 'it'\\''s'", WORDS("a b", "c d", "ef g", "it's"), { NULL } },
	{ "'' a\"\"b \"\"", WORDS("", "ab", ""), { NULL } },
	{ "\"a\\\"b\\$c\\`d\\\\e\\x\" 'a\\b'", WORDS("a\"b$c`d\\e\\x", "a\\b"), { NULL } },
	/* What a shell would act upon is a byte like any other. */
	{ "$(id) `id` ;id |id >f", WORDS("$(id)", "`id`", ";id", "|id", ">f"), { NULL } },
	{ "$HOME ~ {a,b} #x a&b", WORDS("$HOME", "~", "{a,b}", "#x", "a&b"), { NULL } },
	{ "new\\\nline '\n' \"\r\"", WORDS("new\nline", "\n", "\r"), { NULL } },
	/* Wildcards. */
	{ "a* b? [c]d", WORDS("a*", "b?", "[c]d"), { "a*", "b?", "[c]d" } },
	{ "a\\* 'b?' \"[c]\"", WORDS("a*", "b?", "[c]"), { NULL } },
	{ "a\\** '?'? \\[c]* d\\\\*", WORDS("a**", "??", "[c]*", "d\\*"), { "a\\**", "\\??", "\\[c]*", "d\\\\*" } },
	{ "c]d", WORDS("c]d"), { NULL } },
	{ "", { NULL }, { NULL } }, { " \t ", { NULL }, { NULL } },
};

static void test_good(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		struct shellwords w = { 0 };
		int n = 0;

		assert_null(shellwords_split(&w, good[i].line, NULL));
		while (good[i].text[n])
			n++;
		assert_int_equal(w.text.n, n);
		for (int k = 0; k < n; k++) {
			assert_string_equal(w.text.v[k], good[i].text[k]);
			if (!good[i].pattern[k])
				assert_null(w.pattern[k]);
			else
				assert_string_equal(w.pattern[k], good[i].pattern[k]);
		}
		shellwords_free(&w);
	}
}

static void test_bad(void **state)
{
	static const char *const bad[] = {
		"a\nb", "rsync --server . x\nid", "a\r", "\n", "'a", "\"a", "a\\", "\"a\\", "a \"b'",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct shellwords w = { 0 };

		assert_non_null(shellwords_split(&w, bad[i], NULL));
		shellwords_free(&w);
	}
}

static char *repeated(const char *piece, size_t times)
{
	size_t n = strlen(piece);
	char *s = malloc(n * times + 1);

	assert_non_null(s);
	for (size_t i = 0; i < times; i++)
		memcpy(s + i * n, piece, n);
	s[n * times] = '\0';
	return s;
}

static void test_limits(void **state)
{
	struct shellwords w = { 0 };
	char *line = repeated("a ", SHELLWORDS_MAX);

	(void)state;
	assert_null(shellwords_split(&w, line, NULL));
	assert_int_equal(w.text.n, SHELLWORDS_MAX);
	shellwords_free(&w);
	free(line);
	line = repeated("a ", SHELLWORDS_MAX + 1);
	assert_string_equal(shellwords_split(&w, line, NULL), "too many words in the command");
	shellwords_free(&w);
	free(line);
	line = repeated("*", SHELLWORDS_BYTES_MAX);
	assert_null(shellwords_split(&w, line, NULL));
	assert_int_equal(strlen(w.pattern[0]), SHELLWORDS_BYTES_MAX);
	shellwords_free(&w);
	free(line);
	line = repeated("a", SHELLWORDS_BYTES_MAX + 1);
	assert_string_equal(shellwords_split(&w, line, NULL), "the command is too long");
	shellwords_free(&w);
	free(line);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_good), cmocka_unit_test(test_bad), cmocka_unit_test(test_limits) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
