/* activation.c - socket activation. */
#include "config.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>

#include "daemon/activation.h"
#include "daemon/log.h"

#define FIRST_FD 3

/* Number of fds meant for this process. */
static int handed_over(void)
{
	const char *pid = getenv("LISTEN_PID"), *n = getenv("LISTEN_FDS");
	char ours[32];

	snprintf(ours, sizeof ours, "%ld", (long)getpid());
	if (!pid || !n || strcmp(pid, ours))
		return 0;
	int count = atoi(n);

	return count < 0 ? 0 : MIN(count, 64);
}

static int socket_flag(int fd, int option)
{
	int v = 0;
	socklen_t len = sizeof v;

	return getsockopt(fd, SOL_SOCKET, option, &v, &len) < 0 ? -1 : v;
}

/* Tells which sockets were taken, by the names that the manager gave them ("unknown" without one). */
static const char *next_name(const char **names, char out[64])
{
	size_t n = *names ? strcspn(*names, ":") : 0;

	snprintf(out, 64, "%.*s", (int)MIN(n, (size_t)63), n ? *names : "");
	if (*names)
		*names += n + ((*names)[n] == ':');
	return *out ? out : "unknown";
}

int activation_sockets(int *fd, size_t stride, int max)
{
	int n = handed_over(), found = 0;
	const char *names = getenv("LISTEN_FDNAMES");

	for (int i = 0; i < n && found < max; i++) {
		int f = FIRST_FD + i, on = 1;
		char name[64];
		const char *shown = next_name(&names, name);

		if (socket_flag(f, SO_ACCEPTCONN) != 1 || socket_flag(f, SO_TYPE) != SOCK_STREAM) {
			log_printf("descriptor %d (%s) was handed over and is no listening stream socket: closed", f, shown);
			close(f);
			continue;
		}
		log_printf("listening on descriptor %d (%s)", f, shown);
		fcntl(f, F_SETFD, FD_CLOEXEC);
		fcntl(f, F_SETFL, fcntl(f, F_GETFL) | O_NONBLOCK);
		setsockopt(f, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
		*(int *)(void *)((char *)fd + (size_t)found++ * stride) = f;
	}
	if (n) {
		unsetenv("LISTEN_PID");
		unsetenv("LISTEN_FDS");
		unsetenv("LISTEN_FDNAMES");
	}
	return found;
}

bool activation_given(void) { return handed_over() > 0; }

int activation_connection(void)
{
	if (handed_over() != 1 || socket_flag(FIRST_FD, SO_ACCEPTCONN) != 0)
		return -1;
	fcntl(FIRST_FD, F_SETFD, FD_CLOEXEC);
	return FIRST_FD;
}
