/* resolve.h - preparing the system's resolver for the processes to come. */
#ifndef DAEMON_RESOLVE_H
#define DAEMON_RESOLVE_H

#include "base/util.h"

/* Once, in the process that forks the others. names: lookups will be made. */
void resolve_warm_up(bool names);

#endif
