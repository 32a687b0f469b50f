/*
 * activation.h - sockets handed over by a service manager (sd_listen_fds(3): LISTEN_FDS, LISTEN_PID,
 * LISTEN_FDNAMES), without its library.
 */
#ifndef DAEMON_ACTIVATION_H
#define DAEMON_ACTIVATION_H

#include "base/util.h"

/* Writes the fds of listening sockets that were handed over, stride bytes apart; returns their number (0: none).
   Each one, and each that is no listening stream socket, is a line in the log. */
int activation_sockets(int *fd, size_t stride, int max);

/* True before activation_sockets() if this process was given descriptors: it is not to detach then. */
bool activation_given(void);

/* A connected socket that was handed over (Accept=yes without StandardInput=socket), or -1. */
int activation_connection(void);

#endif
