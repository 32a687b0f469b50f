/* activation.c - socket activation and readiness. */
#include "config.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "daemon/activation.h"

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

int activation_sockets(int *fd, size_t stride, int max)
{
	int n = handed_over(), found = 0;

	for (int i = 0; i < n && found < max; i++) {
		int f = FIRST_FD + i, on = 1;

		if (socket_flag(f, SO_ACCEPTCONN) != 1 || socket_flag(f, SO_TYPE) != SOCK_STREAM)
			continue;
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

int activation_connection(void)
{
	if (handed_over() != 1 || socket_flag(FIRST_FD, SO_ACCEPTCONN) != 0)
		return -1;
	fcntl(FIRST_FD, F_SETFD, FD_CLOEXEC);
	return FIRST_FD;
}

void activation_ready(void)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	static const char text[] = "READY=1\nSTATUS=Serving connections";
	size_t n = path ? strlen(path) : 0;
	int fd;

	if (!n || n >= sizeof sa.sun_path || (path[0] != '/' && path[0] != '@'))
		return;
	memcpy(sa.sun_path, path, n);
	if (path[0] == '@')
		sa.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	sendto(fd, text, sizeof text - 1, MSG_NOSIGNAL, (struct sockaddr *)&sa,
	       (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n));
	close(fd);
	unsetenv("NOTIFY_SOCKET");
}
