/*
 * restricted.h - `kedge --restrict [OPTION]... DIR`: a forced command for an ssh key, in place of rrsync(1).
 */
#ifndef DAEMON_RESTRICTED_H
#define DAEMON_RESTRICTED_H

#include <stdbool.h>

#include "session/session.h"

/* By a first argument, or by the name rrsync. */
bool restricted_asked(int argc, char **argv);

/* Of the environment, SSH_ORIGINAL_COMMAND is read, and then all of it dropped. Returns the exit code. */
int restricted_main(int argc, char **argv, const struct server_logger *logger);

#endif
