/*
 * quota.h - what one session of a module may use up: `memory limit`, `max args size`, `max xattr size`,
 * `max block table` (spec 09 §11.4).
 */
#ifndef DAEMON_QUOTA_H
#define DAEMON_QUOTA_H

#include "daemon/conf.h"
#include "session/session.h"

/* Sizes in rsync's syntax (spec 05 §9.1), bytes without a unit. 0, or -1 with why: which value cannot be used. */
int quota_parse(const struct conf_module *m, struct session_quota *q, char *why, size_t size);

#endif
