/*
 * about.h - what the program says of itself: --version, -V, -VV, --help.
 */
#ifndef DAEMON_ABOUT_H
#define DAEMON_ABOUT_H

#include "base/util.h"

/* Answers --version, -V, -VV (also as separate words) and --help, -h: prints to stdout and returns true if the
   first argument is one of them. */
bool about_answer(int argc, char **argv);

#endif
