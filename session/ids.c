/*
 * ids.c - name service of an unconfined session; one lookup at a time.
 */
#include "config.h"
#include "session/ids.h"

#include <errno.h>
#include <grp.h>
#include <pthread.h>
#include <pwd.h>
#include <stdio.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static int name_of(void *ctx, bool is_group, uint32_t id, char *buf, size_t size)
{
	const char *name = NULL;
	int rc = -ENOENT;

	(void)ctx;
	pthread_mutex_lock(&lock);
	if (is_group) {
		struct group *g = getgrgid((gid_t)id);
		name = g ? g->gr_name : NULL;
	} else {
		struct passwd *p = getpwuid((uid_t)id);
		name = p ? p->pw_name : NULL;
	}
	if (name && (size_t)snprintf(buf, size, "%s", name) < size)
		rc = 0;
	pthread_mutex_unlock(&lock);
	return rc;
}

static int id_of(void *ctx, bool is_group, const char *name, uint32_t *id)
{
	int rc = -ENOENT;

	(void)ctx;
	pthread_mutex_lock(&lock);
	if (is_group) {
		struct group *g = getgrnam(name);
		if (g) {
			*id = g->gr_gid;
			rc = 0;
		}
	} else {
		struct passwd *p = getpwnam(name);
		if (p) {
			*id = p->pw_uid;
			rc = 0;
		}
	}
	pthread_mutex_unlock(&lock);
	return rc;
}

const struct id_service ids_of_system = { .name = name_of, .id = id_of };
