/*
 * shellwords.c - see shellwords.h.
 */
#include "config.h"
#include "session/shellwords.h"

struct word {
	char *text, *pattern;          /* room for the rest of the line, and for twice as much */
	size_t len, plen;
	bool begun, wild;
};

static void put(struct word *w, char c, bool quoted)
{
	bool special = strchr("*?[]\\", c) != NULL;

	w->begun = true;
	w->text[w->len++] = c;
	w->wild |= !quoted && (c == '*' || c == '?' || c == '[');
	if (special && quoted)
		w->pattern[w->plen++] = '\\';
	w->pattern[w->plen++] = c;
}

/* s stands behind the opening quote; returns where the closing one stands, NULL without. */
static const char *quoted(struct word *w, const char *s, char quote)
{
	w->begun = true;
	for (; *s != quote; s++) {
		if (!*s)
			return NULL;
		if (quote == '"' && *s == '\\' && s[1] && strchr("\"\\$`", s[1]))
			s++;
		put(w, *s, true);
	}
	return s;
}

static const char *next_word(struct word *w, const char **at)
{
	const char *s = *at;

	for (; *s && *s != ' ' && *s != '\t'; s++) {
		switch (*s) {
		case '\n': case '\r':
			return "more than one line in the command";
		case '\\':
			if (!*++s)
				return "backslash at the end of the command";
			put(w, *s, true);
			break;
		case '\'': case '"':
			s = quoted(w, s + 1, *s);
			if (!s)
				return "unbalanced quotes in the command";
			break;
		default:
			put(w, *s, false);
		}
	}
	*at = s;
	return NULL;
}

static const char *add(struct shellwords *out, const struct word *w)
{
	if (out->text.n == SHELLWORDS_MAX)
		return "too many words in the command";
	if (words_add(&out->text, w->text, w->len) < 0)
		return "out of memory for the command";
	if (!w->wild)
		return NULL;
	out->pattern[out->text.n - 1] = arena_strndup(out->text.arena, w->pattern, w->plen);
	return out->pattern[out->text.n - 1] ? NULL : "out of memory for the command";
}

const char *shellwords_split(struct shellwords *out, const char *line, struct budget *budget)
{
	size_t size = strnlen(line, SHELLWORDS_BYTES_MAX + 1);
	_cleanup_free_ char *text = NULL, *pattern = NULL;
	const char *wrong = NULL;

	if (size > SHELLWORDS_BYTES_MAX)
		return "the command is too long";
	text = malloc(size + 1);
	pattern = malloc(2 * size + 1);
	if (words_init(&out->text, budget) < 0)
		return "out of memory for the command";
	out->pattern = arena_alloc(out->text.arena, (size / 2 + 2) * sizeof *out->pattern, sizeof *out->pattern);
	if (!text || !pattern || !out->pattern)
		return "out of memory for the command";
	memset(out->pattern, 0, (size / 2 + 2) * sizeof *out->pattern);
	while (!wrong && *line) {
		struct word w = { .text = text, .pattern = pattern };

		line += strspn(line, " \t");
		wrong = next_word(&w, &line);
		if (!wrong && w.begun)
			wrong = add(out, &w);
	}
	return wrong;
}

void shellwords_free(struct shellwords *w)
{
	if (w->text.arena)
		words_free(&w->text);
	*w = (struct shellwords){ 0 };
}
