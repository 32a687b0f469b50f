/*
 * caps.h - capability sets, by the raw system calls: no /proc is read, so they work inside a chroot.
 */
#ifndef SANDBOX_CAPS_H
#define SANDBOX_CAPS_H

#include <linux/capability.h>

#include "base/util.h"

#define CAP_BIT(c) (UINT64_C(1) << (c))

/* Permitted and effective set of this process. 0 or negative errno. */
int caps_get(uint64_t *permitted, uint64_t *effective);

/* Whether a capability is in our effective set. */
bool caps_have(int cap);

/* Before switching ids: makes capabilities survive setuid, forbids regaining them by uid 0 or ambient sets, locks
   that, and cuts the bounding set to keep. Needs CAP_SETPCAP (-EPERM without). */
int caps_lock(uint64_t keep);

/* After switching ids: permitted = effective = keep, nothing inheritable, nothing ambient. */
int caps_set(uint64_t keep);

/* The bounding set. */
uint64_t caps_bounding(void);

/* "none", or "chown,fowner,...", cut at size. */
void caps_names(uint64_t set, char *out, size_t size);

#endif
