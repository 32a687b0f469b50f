/* sockopts.c - socket options by name. */
#include "config.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "base/util.h"
#include "daemon/log.h"
#include "daemon/sockopts.h"

enum kind { FLAG, INT, SECONDS, FIXED };

static const struct { const char *name; int level, option; enum kind kind; int value; } options[] = {
	{ "SO_KEEPALIVE", SOL_SOCKET, SO_KEEPALIVE, FLAG, 0 }, { "SO_REUSEADDR", SOL_SOCKET, SO_REUSEADDR, FLAG, 0 },
	{ "SO_BROADCAST", SOL_SOCKET, SO_BROADCAST, FLAG, 0 }, { "TCP_NODELAY", IPPROTO_TCP, TCP_NODELAY, FLAG, 0 },
	{ "SO_SNDBUF", SOL_SOCKET, SO_SNDBUF, INT, 0 }, { "SO_RCVBUF", SOL_SOCKET, SO_RCVBUF, INT, 0 },
	{ "SO_SNDLOWAT", SOL_SOCKET, SO_SNDLOWAT, INT, 0 }, { "SO_RCVLOWAT", SOL_SOCKET, SO_RCVLOWAT, INT, 0 },
	{ "SO_SNDTIMEO", SOL_SOCKET, SO_SNDTIMEO, SECONDS, 0 }, { "SO_RCVTIMEO", SOL_SOCKET, SO_RCVTIMEO, SECONDS, 0 },
	{ "IPTOS_LOWDELAY", IPPROTO_IP, IP_TOS, FIXED, IPTOS_LOWDELAY },
	{ "IPTOS_THROUGHPUT", IPPROTO_IP, IP_TOS, FIXED, IPTOS_THROUGHPUT },
};

static void apply(int fd, const char *name, const char *value)
{
	for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
		int v = value ? atoi(value) : 1;
		struct timeval tv = { .tv_sec = v };
		int r;

		if (strcmp(options[i].name, name))
			continue;
		if (options[i].kind == FIXED) {
			if (value)
				log_printf("syntax error -- %s does not take a value", name);
			v = options[i].value;
		}
		if (options[i].kind == SECONDS)
			r = setsockopt(fd, options[i].level, options[i].option, &tv, sizeof tv);
		else
			r = setsockopt(fd, options[i].level, options[i].option, &v, sizeof v);
		if (r < 0)
			log_printf("rsync: [Receiver] failed to set socket option %s: %s (%d)", name, strerror(errno), errno);
		return;
	}
	log_printf("Unknown socket option %s", name);
}

void sockopts_preset(int fd)
{
	int on = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

void sockopts_apply(int fd, const char *list)
{
	for (;;) {
		char item[128], *eq;
		size_t n;

		list += strspn(list, " \t,");
		n = strcspn(list, " \t,");
		if (!n)
			return;
		snprintf(item, sizeof item, "%.*s", (int)MIN(n, sizeof item - 1), list);
		eq = strchr(item, '=');
		if (eq)
			*eq++ = '\0';
		apply(fd, item, eq);
		list += n;
	}
}
