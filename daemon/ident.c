/* ident.c - names to ids for the worker. */
#include "config.h"

#include <grp.h>
#include <pwd.h>
#include <stdio.h>

#include "daemon/ident.h"

/* 1 a number, 0 not all digits, -1 too large. */
static int digits(const char *s, uint32_t *out)
{
	uint64_t v = 0;

	if (!*s)
		return 0;
	for (; *s; s++) {
		if (*s < '0' || *s > '9')
			return 0;
		if (v <= UINT32_MAX)
			v = v * 10 + (uint64_t)(*s - '0');
	}
	if (v >= UINT32_MAX)
		return -1;
	*out = (uint32_t)v;
	return 1;
}

bool ident_user(const char *text, uid_t *uid)
{
	int r = digits(text, uid);
	const struct passwd *pw;

	if (r)
		return r > 0;
	pw = getpwnam(text);
	if (pw)
		*uid = pw->pw_uid;
	return pw;
}

bool ident_group(const char *text, gid_t *gid)
{
	int r = digits(text, gid);
	const struct group *g;

	if (r)
		return r > 0;
	g = getgrnam(text);
	if (g)
		*gid = g->gr_gid;
	return g;
}

static void add_group(struct identity *id, gid_t gid)
{
	if (id->ngroups < IDENT_GROUPS_MAX)
		id->groups[id->ngroups++] = gid;
}

/* `*`: every group of the module's uid, the primary one first. */
static int all_groups(struct identity *id, char *why, size_t size)
{
	const struct passwd *pw = getpwuid(id->uid);
	int n = IDENT_GROUPS_MAX;
	gid_t gids[IDENT_GROUPS_MAX];

	if (!pw) {
		snprintf(why, size, "getpwuid failed");
		return -1;
	}
	if (getgrouplist(pw->pw_name, pw->pw_gid, gids, &n) < 0) {
		snprintf(why, size, "getgrouplist failed");
		return -1;
	}
	add_group(id, pw->pw_gid);
	for (int i = 0; i < n; i++)
		if (gids[i] != pw->pw_gid)
			add_group(id, gids[i]);
	return 0;
}

static int parse_groups(struct identity *id, const char *list, char *why, size_t size)
{
	bool commas = list[strspn(list, " \t")] == ',';
	const char *sep = commas ? "," : " \t,", *lead = commas ? ", \t" : sep;

	for (bool first = true;; first = false) {
		char token[256];
		size_t n;
		gid_t gid;

		list += strspn(list, lead);
		n = strcspn(list, sep);
		if (!*list)
			break;
		snprintf(token, sizeof token, "%.*s", (int)MIN(n, sizeof token - 1), list);
		list += n;
		n = strlen(token);
		while (n && (token[n - 1] == ' ' || token[n - 1] == '\t'))
			token[--n] = '\0';
		if (first && !strcmp(token, "*")) {
			if (all_groups(id, why, size) < 0)
				return -1;
			continue;
		}
		if (!ident_group(token, &gid)) {
			snprintf(why, size, "invalid gid %s", token);
			return -1;
		}
		add_group(id, gid);
	}
	if (!id->ngroups) {
		snprintf(why, size, "invalid gid setting.");
		return -1;
	}
	return 0;
}

/* Without root nothing can be switched: what a module names must be what the daemon is already. */
static int check_own(struct identity *id, const char *uid, const char *gid, char *why, size_t size)
{
	if (*gid && parse_groups(id, gid, why, size) < 0)
		return -1;
	for (size_t i = 0; i < id->ngroups; i++)
		if (id->groups[i] != getegid()) {
			snprintf(why, size, i ? "setgroups failed" : "setgid failed");
			return -1;
		}
	if (*uid && !ident_user(uid, &id->uid)) {
		snprintf(why, size, "invalid uid %s", uid);
		return -1;
	}
	if (*uid && id->uid != geteuid()) {
		snprintf(why, size, "setuid failed");
		return -1;
	}
	return 0;
}

int ident_resolve(struct identity *id, const char *uid, const char *gid, bool root, char *why, size_t size)
{
	*id = (struct identity){ .set = root };
	if (!root)
		return check_own(id, uid, gid, why, size);
	if (!*uid)
		uid = "nobody";
	if (!ident_user(uid, &id->uid)) {
		snprintf(why, size, "invalid uid %s", uid);
		return -1;
	}
	if (!*gid) {
		gid = "nogroup";
		if (!ident_group(gid, &id->gid))
			gid = "nobody";
	}
	if (parse_groups(id, gid, why, size) < 0)
		return -1;
	id->gid = id->groups[0];
	return 0;
}
