/* conf_lex.c - lines, continuation and blanks of rsyncd.conf. */
#include "config.h"

#include "daemon/conf_lex.h"

bool lex_init(struct lex *lx, const char *text, size_t len)
{
	lx->p = text;
	lx->end = text + len;
	lx->line = 1;
	return !len || !memchr(text, '\0', len);
}

/* Reads up to stop (0: none), an uncontinued line feed, or the end, and steps over what ended it. Returns
   what that was ('\n' or stop), or -1 at the end. *joined is where the last physical line begins in out. */
static int read_logical(struct lex *lx, char stop, struct buf *out, size_t *joined)
{
	size_t from = 0;

	buf_clear(out);
	while (lx->p < lx->end) {
		char c = *lx->p++;

		if (c == '\n') {
			size_t k = out->len;

			lx->line++;
			while (k > from && lex_space(out->data[k - 1]))
				k--;
			if (k > from && out->data[k - 1] == '\\') {
				out->len = from = k - 1;
				continue;
			}
			*joined = from;
			return '\n';
		}
		if (stop && c == stop) {
			*joined = from;
			return stop;
		}
		if (c == '\r' && !stop)
			continue;
		buf_addc(out, c);
	}
	*joined = from;
	return -1;
}

static void terminate(struct buf *b)
{
	if (b->data)
		b->data[b->len] = '\0';
}

/* Drops blanks at both ends and makes every run of them one space. */
static void collapse(struct buf *b)
{
	size_t w = 0;
	bool gap = false;

	for (size_t r = 0; r < b->len; r++) {
		if (lex_space(b->data[r])) {
			gap = w > 0;
			continue;
		}
		if (gap)
			b->data[w++] = ' ';
		gap = false;
		b->data[w++] = b->data[r];
	}
	b->len = w;
	terminate(b);
}

static void trim_value(struct buf *b, size_t joined)
{
	while (b->len > joined && lex_space(b->data[b->len - 1]))
		b->len--;
	terminate(b);
}

static void skip_blanks(struct lex *lx)
{
	while (lx->p < lx->end && *lx->p != '\n' && lex_space(*lx->p))
		lx->p++;
}

static void skip_line(struct lex *lx)
{
	while (lx->p < lx->end)
		if (*lx->p++ == '\n') {
			lx->line++;
			return;
		}
}

static enum lex_kind section(struct lex *lx, struct buf *name)
{
	size_t joined;
	int end = read_logical(lx, ']', name, &joined);

	collapse(name);
	if (end == '\n')
		return LEX_BAD_SECTION;
	if (end < 0)
		return LEX_EOF_IN_SECTION;
	skip_line(lx);
	return LEX_SECTION;
}

static enum lex_kind directive(struct lex *lx, struct buf *name, struct buf *value)
{
	size_t joined, n = 0, from;

	skip_blanks(lx);
	read_logical(lx, 0, value, &joined);
	trim_value(value, joined);
	buf_clear(name);
	while (n < value->len && value->data[n] != ' ' && value->data[n] != '\t' && value->data[n] != '=')
		n++;
	buf_add(name, buf_str(value), n);
	terminate(name);
	from = n;
	while (from < value->len && lex_space(value->data[from]))
		from++;
	if (from < value->len && value->data[from] == '=')
		from++;
	while (from < value->len && lex_space(value->data[from]))
		from++;
	if (value->data) {
		memmove(value->data, value->data + from, value->len - from);
		value->len -= from;
	}
	terminate(value);
	return LEX_DIRECTIVE;
}

static enum lex_kind parameter(struct lex *lx, struct buf *name, struct buf *value)
{
	size_t joined;
	int end = read_logical(lx, '=', name, &joined);

	collapse(name);
	if (end == '\n')
		return LEX_BAD_LINE;
	if (end < 0)
		return LEX_EOF_IN_LINE;
	skip_blanks(lx);
	read_logical(lx, 0, value, &joined);
	trim_value(value, joined);
	return LEX_PARAM;
}

enum lex_kind lex_next(struct lex *lx, struct buf *name, struct buf *value, unsigned *line)
{
	buf_clear(name);
	buf_clear(value);
	while (lx->p < lx->end) {
		char c = *lx->p;

		*line = lx->line;
		if (c == '\n') {
			lx->line++;
			lx->p++;
		} else if (lex_space(c) || c == '\\') {
			lx->p++;
		} else if (c == '#' || c == ';') {
			skip_line(lx);
		} else if (c == '[') {
			lx->p++;
			return section(lx, name);
		} else if (c == '&') {
			return directive(lx, name, value);
		} else {
			return parameter(lx, name, value);
		}
	}
	*line = lx->line;
	return LEX_END;
}
