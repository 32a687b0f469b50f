/*
 * notify.h - what a service manager is told of the listener (sd_notify(3)'s datagrams, without its library).
 *
 * Without NOTIFY_SOCKET in the environment every call does nothing.
 */
#ifndef DAEMON_NOTIFY_H
#define DAEMON_NOTIFY_H

#include "base/util.h"

/* Takes NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID out of the environment, so that no child speaks for the
   listener. After proc_detach(): the watchdog is meant for one process id. */
void notify_init(void);

/* Connections are served; reload has begun (the end of it is notify_ready() again); the end has begun. */
void notify_ready(unsigned modules);
void notify_reloading(void);
void notify_stopping(void);

/* A sign of life if one is due. Returns the milliseconds until the next one, -1 without a watchdog. */
int notify_watchdog(int64_t now_ms);

#endif
