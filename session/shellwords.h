/*
 * shellwords.h - a client's command line, split as its user's shell would have split it, without a shell.
 *
 * Blanks separate words; backslashes and quotes protect. Nothing is expanded: dollar signs, tildes, braces and operators
 * are ordinary bytes, as rsync's clients send them escaped. Wildcards that nothing protects make a pattern of the
 * word, for an expansion within the restricted directory.
 */
#ifndef SESSION_SHELLWORDS_H
#define SESSION_SHELLWORDS_H

#include "session/args.h"

/* Room enough for what ssh carries, and what args_read() takes from a peer. */
#define SHELLWORDS_BYTES_MAX ((size_t)256 << 10)
#define SHELLWORDS_MAX 16000

struct shellwords {
	struct words text;             /* words without their quoting */
	const char **pattern;          /* for each: wildcards that were quoted are escaped by backslashes; NULL: nothing to expand */
};

/*
 * NULL, or what is wrong with the line. An unprotected line feed or carriage return is wrong, since a second command
 * would begin there. w has been zeroed; free it in either case.
 */
const char *shellwords_split(struct shellwords *w, const char *line, struct budget *budget);
void shellwords_free(struct shellwords *w);

#endif
