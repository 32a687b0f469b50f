/*
 * activation.h - the two small protocols of systemd: sockets handed over (LISTEN_FDS) and readiness
 * (NOTIFY_SOCKET), without its library.
 */
#ifndef DAEMON_ACTIVATION_H
#define DAEMON_ACTIVATION_H

#include "base/util.h"

/* Writes the fds of listening sockets that were handed over, stride bytes apart; returns their number (0: none). */
int activation_sockets(int *fd, size_t stride, int max);

/* A connected socket that was handed over (Accept=yes without StandardInput=socket), or -1. */
int activation_connection(void);

/* Tells the service manager that connections are served. */
void activation_ready(void);

#endif
