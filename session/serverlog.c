/*
 * serverlog.c - the log of a remote-shell server: --log-file, --log-file-format (spec 05 §8.5).
 */
#include "config.h"
#include "session/serverlog.h"

#include "base/say.h"

bool serverlog_open(const struct server_logger *l, const char *path)
{
	int rc = *path && l ? l->open(path) : 0;

	if (rc < 0) {
		say_errno(SAY_ERROR, -rc, "failed to open log-file %s", path);
		say(SAY_ERROR, "Ignoring \"log file\" setting.");
	}
	return *path && l && rc >= 0;
}

int serverlog_start(struct session *s, const struct server_logger *l, struct itemlog *il)
{
	const struct xfer_opts *o = &s->o;

	s->route.log = l->line;
	s->route.event = l->event;
	*il = (struct itemlog){
		.format = o->log_file_format ? o->log_file_format : "%i %n%L", .host = "", .addr = "", .user = "", .module = "",
		.module_path = "", .sink = l->event,
	};
	return itemlog_start(il, &s->x, false, &s->in_err);
}
