/*
 * idlink.c - see idlink.h.
 */
#include "config.h"
#include "session/idlink.h"

#include <errno.h>
#include <stdio.h>

#include "base/say.h"
#include "sandbox/confine.h"
#include "sandbox/spawn.h"
#include "session/ids.h"

bool idlink_sendable(const char *name)
{
	size_t n = strlen(name);

	if (!n || n > IDLINK_NAME_MAX)
		return false;
	for (; *name; name++)
		if ((unsigned char)*name < 0x20 || *name == 0x7f)
			return false;
	return true;
}

/* ---- asking ---- */

static int ask(struct idlink *l, uint16_t type, void *req, size_t req_size, uint16_t rep_type, void *rep, size_t rep_size)
{
	int r;

	pthread_mutex_lock(&l->lock);
	r = chan_call(&l->chan, type, req, req_size, rep_type, rep, rep_size, -1);
	pthread_mutex_unlock(&l->lock);
	return r;
}

static int ask_name(void *ctx, bool is_group, uint32_t id, char *buf, size_t size)
{
	struct idlink_name q = { .is_group = is_group, .id = id };
	struct idlink_name_is a;

	if (ask(ctx, IDLINK_NAME, &q, sizeof q, IDLINK_NAME_IS, &a, sizeof a) < 0 || !a.found)
		return -ENOENT;
	a.name[IDLINK_NAME_MAX] = '\0';
	return (size_t)snprintf(buf, size, "%s", a.name) < size ? 0 : -ENOENT;
}

static int ask_id(void *ctx, bool is_group, const char *name, uint32_t *id)
{
	struct idlink_id q = { .is_group = is_group };
	struct idlink_id_is a;
	struct idlink *l = ctx;

	if (!idlink_sendable(name)) {
		if (l->converter)
			say(SAY_ERROR, "invalid name-converter token: %s", name);
		return -ENOENT;
	}
	strcpy(q.name, name);
	if (ask(ctx, IDLINK_ID, &q, sizeof q, IDLINK_ID_IS, &a, sizeof a) < 0 || !a.found)
		return -ENOENT;
	*id = a.id;
	return 0;
}

void idlink_init(struct idlink *l, struct chan end)
{
	l->chan = end;
	pthread_mutex_init(&l->lock, NULL);
}

struct id_service idlink_service(struct idlink *l)
{
	return (struct id_service){ .ctx = l, .name = ask_name, .id = ask_id };
}

/* ---- answering ---- */

int idlink_on_name(struct chan_server *srv, const void *msg, int fd)
{
	const struct idlink_name *q = msg;
	struct idlink_name_is a = { 0 };

	(void)fd;
	a.found = ids_of_system.name(ids_of_system.ctx, q->is_group != 0, q->id, a.name, sizeof a.name) == 0;
	return chan_send(srv->ch, IDLINK_NAME_IS, &a, sizeof a);
}

int idlink_on_id(struct chan_server *srv, const void *msg, int fd)
{
	struct idlink_id q;
	struct idlink_id_is a = { 0 };

	(void)fd;
	memcpy(&q, msg, sizeof q);
	q.name[IDLINK_NAME_MAX] = '\0';
	a.found = idlink_sendable(q.name) && ids_of_system.id(ids_of_system.ctx, q.is_group != 0, q.name, &a.id) == 0;
	return chan_send(srv->ch, IDLINK_ID_IS, &a, sizeof a);
}

static const struct chan_rule rules[] = { IDLINK_RULES(CHAN_STATE(0), idlink_on_name, idlink_on_id) };

static _Noreturn void serve(struct chan *ch)
{
	struct chan_server srv;
	int r;

	if (proc_null_stdio(false) < 0 || proc_close_others(&ch->fd, 1) < 0 || confine_shed() < 0)
		_exit(RX_IPC);
	r = chan_server_init(&srv, ch, rules, ARRAY_SIZE(rules), NULL);
	while (r == 0)
		r = chan_serve_one(&srv, -1);
	_exit(RX_OK);
}

int idlink_start(struct idlink *l, struct err *e)
{
	struct chan ours, theirs;
	int r = chan_pair(&ours, &theirs);
	pid_t pid;

	if (r < 0)
		return fail_errno(e, RX_IPC, -r, "cannot make a channel");
	pid = proc_fork_role("names");
	if (pid == 0) {
		chan_close(&ours);
		serve(&theirs);
	}
	chan_close(&theirs);
	if (pid < 0) {
		chan_close(&ours);
		return fail_errno(e, RX_IPC, (int)-pid, "fork failed in idlink_start");
	}
	idlink_init(l, ours);
	return 0;
}
