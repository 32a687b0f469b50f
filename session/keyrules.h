/*
 * keyrules.h - what a restricted key may do: `kedge --restrict`, run by sshd as a forced command.
 *
 * The client's command line comes in the environment and is split without a shell (shellwords.h). Its options pass an
 * allow-list over the table of session/opttable.c: a row that is not on it is refused. The directory becomes the
 * session's "/" (--confine-root). The words and codes of refusals are those of rrsync, where it has them.
 */
#ifndef SESSION_KEYRULES_H
#define SESSION_KEYRULES_H

#include "session/options.h"

struct keyrules {
	const char *dir;               /* absolute, or relative to the working directory */
	bool read_only;                /* -ro; means no_delete too */
	bool write_only;               /* -wo */
	bool munge;                    /* -munge: links are stored munged */
	bool absolute;                 /* -absolute: arguments may begin with dir as it is on the host */
	bool no_delete;                /* -no-del */
	bool no_overwrite;             /* -no-overwrite: as if --ignore-existing were given */
	/* For each word of the command line: its wildcard pattern, NULL if it has no wildcard to expand. */
	const char *const *patterns;
	int npatterns;
};

/* Marks what the client may not ask for. After options_init(); k is kept. */
void keyrules_refuse(struct options *p, const struct keyrules *k);

/* Direction, and what is forced upon the client. From options_finish(). As options_parse(). */
int keyrules_apply(struct options *p);

#endif
