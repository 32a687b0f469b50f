/*
 * ident.h - under which ids a module's worker runs: `uid`, `gid`, `daemon uid`, `daemon gid`
 * (spec 06 §6.1).
 */
#ifndef DAEMON_IDENT_H
#define DAEMON_IDENT_H

#include <sys/types.h>

#include "base/util.h"

#define IDENT_GROUPS_MAX 256

struct identity {
	bool set;               /* ids are to be switched; false for a daemon without root */
	uid_t uid;
	gid_t gid;              /* = groups[0] */
	size_t ngroups;
	gid_t groups[IDENT_GROUPS_MAX];
};

/* Resolves a module's expanded `uid` and `gid`. As root both have a default (nobody); without root neither may
   name anybody else. 0, or -1 with the text for the client behind "@ERROR: " in why. */
int ident_resolve(struct identity *id, const char *uid, const char *gid, bool root, char *why, size_t size);

/* One name or number. False if unknown. Digits that do not fit are unknown; so is (uid_t)-1. */
bool ident_user(const char *text, uid_t *uid);
bool ident_group(const char *text, gid_t *gid);

#endif
