/*
 * spawn_priv.h - shared by spawn.c and hook.c.
 */
#ifndef SANDBOX_SPAWN_PRIV_H
#define SANDBOX_SPAWN_PRIV_H

/* All handlers to default, nothing blocked. */
void spawn_reset_signals(void);

#endif
