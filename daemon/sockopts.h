/* sockopts.h - `socket options` and --sockopts (spec 06 §5.1). */
#ifndef DAEMON_SOCKOPTS_H
#define DAEMON_SOCKOPTS_H

/* Applies a list to a socket; mistakes are logged and never fatal. */
void sockopts_apply(int fd, const char *list);

#endif
