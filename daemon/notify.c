/* notify.c - readiness, reload, stop and signs of life for a service manager. */
#include "config.h"

#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#include "daemon/notify.h"

static struct sockaddr_un address;
static socklen_t address_len;
static int watchdog_ms = -1;
static int64_t next_sign_ms;

static void take_watchdog(void)
{
	const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
	char ours[32];
	uint64_t v;

	snprintf(ours, sizeof ours, "%ld", (long)getpid());
	if (usec && (!pid || !strcmp(pid, ours))) {
		/* Half of the time that is allowed, at most a day. */
		v = strtoull(usec, NULL, 10) / 2000;
		if (v)
			watchdog_ms = (int)MIN(v, (uint64_t)86400000);
	}
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
}

void notify_init(void)
{
	const char *path = getenv("NOTIFY_SOCKET");
	size_t n = path ? strlen(path) : 0;

	take_watchdog();
	if (n && n < sizeof address.sun_path && (path[0] == '/' || path[0] == '@')) {
		address.sun_family = AF_UNIX;
		memcpy(address.sun_path, path, n);
		if (path[0] == '@')
			address.sun_path[0] = '\0';
		address_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
	}
	unsetenv("NOTIFY_SOCKET");
}

static void tell(const char *text)
{
	int fd;

	if (!address_len)
		return;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	sendto(fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT, (struct sockaddr *)&address, address_len);
	close(fd);
}

void notify_ready(unsigned modules)
{
	char text[96];

	snprintf(text, sizeof text, "READY=1\nSTATUS=Serving %u module%s", modules, modules == 1 ? "" : "s");
	tell(text);
}

void notify_reloading(void)
{
	struct timespec ts;
	char text[96];

	clock_gettime(CLOCK_MONOTONIC, &ts);
	snprintf(text, sizeof text, "RELOADING=1\nMONOTONIC_USEC=%lld",
		 (long long)ts.tv_sec * 1000000 + ts.tv_nsec / 1000);
	tell(text);
}

void notify_stopping(void)
{
	tell("STOPPING=1\nSTATUS=Running transfers end on their own");
}

int notify_watchdog(int64_t now_ms)
{
	if (watchdog_ms < 0)
		return -1;
	if (now_ms >= next_sign_ms) {
		tell("WATCHDOG=1");
		next_sign_ms = now_ms + watchdog_ms;
	}
	return (int)(next_sign_ms - now_ms);
}
