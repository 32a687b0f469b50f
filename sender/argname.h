/*
 * argname.h - source arguments as text: where to look, and what the list calls it
 * (spec 02 §12, §13; 05 §5.4). No file is touched here.
 */
#ifndef SENDER_ARGNAME_H
#define SENDER_ARGNAME_H

#include "base/util.h"

#define ARG_BUF (PATH_LIMIT + 8)

/* An argument taken apart. */
struct arg_name {
	char dir[ARG_BUF];            /* where to look, "" = the working directory */
	char name[ARG_BUF];           /* list name; "." = the directory itself */
	size_t parents;                /* bytes of name that are its directory part, leading slash included */
	bool contents, dot_implied, listed;
};

/* Take an argument of at most PATH_LIMIT bytes apart; listed is set to false. -1: a --relative name holds "..". */
void arg_parse_plain(const char *arg, struct arg_name *p);
int arg_parse_relative(const char *arg, struct arg_name *p) NODISCARD;

/* Cleans a --files-from name in place (one byte more than it must be free): no leading slash, no ".." (it cannot
   climb), "." only where slash-dot-slash may mean something. */
void arg_clean_listed(char *name, bool keep_dots);

/* Length of the directory part of a list name; 1 for that of "/x". */
size_t arg_parent_len(const char *name);

#endif
