/* sockopts.h - `socket options` and --sockopts (spec 06 §5.1). */
#ifndef DAEMON_SOCKOPTS_H
#define DAEMON_SOCKOPTS_H

/* Applies a list to a socket; mistakes are logged and never fatal. */
void sockopts_apply(int fd, const char *list);

/* What every client's socket has unless the list says otherwise: TCP_NODELAY. We write whole messages, and one must not wait until the
   peer acknowledges the one before. Accepted sockets inherit it. */
void sockopts_preset(int fd);

#endif
