/*
 * conf_lex.h - the characters and lines of rsyncd.conf (spec 06 §1.1, §1.2): a pure function over text.
 */
#ifndef DAEMON_CONF_LEX_H
#define DAEMON_CONF_LEX_H

#include "base/buf.h"

struct lex {
	const char *p, *end;
	unsigned line;          /* of *p, from 1 */
};

enum lex_kind {
	LEX_END,                /* end of the text */
	LEX_SECTION,            /* name: collapsed */
	LEX_PARAM,              /* name: collapsed, may be empty; value */
	LEX_DIRECTIVE,          /* name: the word with its &; value: the rest, may be empty */
	LEX_BAD_LINE,           /* line feed before '=': name holds the text */
	LEX_BAD_SECTION,        /* line feed before ']' */
	LEX_EOF_IN_SECTION,
	LEX_EOF_IN_LINE,        /* end of the text before '=' */
};

static inline bool lex_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

/* False if the text holds a NUL byte: it is no configuration then. */
bool lex_init(struct lex *lx, const char *text, size_t len);

/* The next item; name and value are overwritten. *line is where it began. */
enum lex_kind lex_next(struct lex *lx, struct buf *name, struct buf *value, unsigned *line);

#endif
