/*
 * args.h - argument batches on the connection, and path arguments (spec 01 §4, 05 §5, 06 §12.3).
 */
#ifndef SESSION_ARGS_H
#define SESSION_ARGS_H

#include "base/charset.h"
#include "filter/filter.h"
#include "protocol/wire.h"
#include "sandbox/fs.h"

struct words {
	const char **v;
	int n;
	size_t cap, bytes, max_bytes;  /* max_bytes: of all words together */
	int max_words;
	struct arena *arena;
	struct budget *budget;
};

int words_init(struct words *w, struct budget *budget);
void words_free(struct words *w);
/* 0, or -1 without memory. */
int words_add(struct words *w, const char *s, size_t len);

/* Reads one batch up to its empty word. nul: words end in NUL, else in CR or LF. Limits of spec 09 §11.1 rows 12-14. */
int args_read(struct words *w, struct rd *r, bool nul);

/* A secluded batch comes in UTF-8: converts its words in place; what cannot be converted stays as it is (05 §3.3). 0, or -1
   without memory. */
int args_from_utf8(struct words *w, struct charset *cs);

/* Takes away a client's backslashes of an option word, in place. */
void args_unescape(char *s);

/* The sanitiser of 06 §12.3 with ROOT "": out takes strlen(p) + 2 bytes. depth: how many ".." may be kept. */
void args_sanitize(const char *p, int depth, bool keep_dots, char *out);

/* Cleaning without a boundary (06 §12.2): duplicate slashes and ".." resolved, "." kept. In place. */
void args_collapse(char *p);

/* Removes a leading module name (only in front of "/" or the end) and, unless secluded, splits at " MODULE/". */
int args_module(struct words *out, const char *arg, const char *module, bool secluded);

/* Wildcard expansion against the tree beneath the view (05 §5.3): adds the matches, or the word itself. */
int args_glob(struct words *out, const char *word, struct sb *sb, const char *cwd, const struct filter_list *hidden);
/* The same for a pattern; plain is what it is called when nothing matches. */
int args_glob_or(struct words *out, const char *pattern, const char *plain, struct sb *sb, const char *cwd,
		 const struct filter_list *hidden);

#endif
