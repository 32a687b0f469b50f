/* cmdline.h - the daemon's command line (spec 06 §4.1). */
#ifndef DAEMON_CMDLINE_H
#define DAEMON_CMDLINE_H

#include "daemon/daemon.h"

/* True if one of the daemon-only options is among the arguments. */
bool cmdline_is_daemon(int argc, char **argv);

/* Parses it. 0; 1: help was printed, exit 0; -1: an error was printed, exit 1. */
int cmdline_parse(struct daemon_opts *o, int argc, char **argv);

#endif
