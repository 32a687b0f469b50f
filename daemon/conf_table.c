/* conf_table.c - every parameter of rsyncd.conf, its type and default (spec 06 §3, 09 §11.4). */
#include "config.h"

#include <syslog.h>

#include "daemon/conf.h"

const struct conf_def conf_defs[CP_COUNT] = {
	[CP_ADDRESS] = { "address", CT_STRING, 0, "" },
	[CP_PORT] = { "port", CT_INT, 0, "" },
	[CP_LISTEN_BACKLOG] = { "listen backlog", CT_INT, 5, "" },
	[CP_SOCKET_OPTIONS] = { "socket options", CT_STRING, 0, "" },
	[CP_PID_FILE] = { "pid file", CT_STRING, 0, "" },
	[CP_MOTD_FILE] = { "motd file", CT_STRING, 0, "" },
	[CP_DAEMON_CHROOT] = { "daemon chroot", CT_STRING, 0, "" },
	[CP_DAEMON_GID] = { "daemon gid", CT_STRING, 0, "" },
	[CP_DAEMON_UID] = { "daemon uid", CT_STRING, 0, "" },
	[CP_PROXY_PROTOCOL] = { "proxy protocol", CT_BOOL, 0, "" },
	[CP_PROXY_HOSTS] = { "proxy protocol hosts", CT_STRING, 0, "" },
	[CP_MAX_UNAUTH] = { "max unauthenticated", CT_INT, 128, "" },
	[CP_MAX_UNAUTH_HOST] = { "max unauthenticated per host", CT_INT, 16, "" },
	[CP_MAX_PER_HOST] = { "max per host", CT_INT, 64, "" },
	[CP_CONNECT_RATE] = { "connect rate per host", CT_INT, 20, "" },
	[CP_HOST_PENALTIES] = { "host penalties", CT_BOOL, 1, "" },
	[CP_GATE_USER] = { "gate user", CT_STRING, 0, "nobody" },

	[CP_PATH] = { "path", CT_PATH, 0, "" },
	[CP_COMMENT] = { "comment", CT_STRING, 0, "" },
	[CP_LIST] = { "list", CT_BOOL, 1, "" },
	[CP_NAME] = { "name", CT_STRING, 0, "" },
	[CP_USE_CHROOT] = { "use chroot", CT_BOOL3, -1, "" },
	[CP_UID] = { "uid", CT_STRING, 0, "" },
	[CP_GID] = { "gid", CT_STRING, 0, "" },
	[CP_READ_ONLY] = { "read only", CT_BOOL, 1, "" },
	[CP_WRITE_ONLY] = { "write only", CT_BOOL, 0, "" },
	[CP_MAX_CONNECTIONS] = { "max connections", CT_INT, 0, "" },
	[CP_LOCK_FILE] = { "lock file", CT_STRING, 0, "/var/run/rsyncd.lock" },
	[CP_TIMEOUT] = { "timeout", CT_INT, 0, "" },
	[CP_HOSTS_ALLOW] = { "hosts allow", CT_STRING, 0, "" },
	[CP_HOSTS_DENY] = { "hosts deny", CT_STRING, 0, "" },
	[CP_REVERSE_LOOKUP] = { "reverse lookup", CT_BOOL, 1, "" },
	[CP_FORWARD_LOOKUP] = { "forward lookup", CT_BOOL, 1, "" },
	[CP_AUTH_USERS] = { "auth users", CT_STRING, 0, "" },
	[CP_SECRETS_FILE] = { "secrets file", CT_STRING, 0, "" },
	[CP_STRICT_MODES] = { "strict modes", CT_BOOL, 1, "" },
	[CP_AUTH_DIGEST] = { "auth digest", CT_STRING, 0, "" },
	[CP_EARLY_EXEC] = { "early exec", CT_STRING, 0, "" },
	[CP_PRE_XFER_EXEC] = { "pre-xfer exec", CT_STRING, 0, "" },
	[CP_POST_XFER_EXEC] = { "post-xfer exec", CT_STRING, 0, "" },
	[CP_NAME_CONVERTER] = { "name converter", CT_STRING, 0, "" },
	[CP_NUMERIC_IDS] = { "numeric ids", CT_BOOL3, -1, "" },
	[CP_FAKE_SUPER] = { "fake super", CT_BOOL, 0, "" },
	[CP_MUNGE_SYMLINKS] = { "munge symlinks", CT_BOOL3, -1, "" },
	[CP_INSECURE_LINKS] = { "insecure links", CT_BOOL, 0, "" },
	[CP_FILTER] = { "filter", CT_STRING, 0, "" },
	[CP_INCLUDE_FROM] = { "include from", CT_STRING, 0, "" },
	[CP_INCLUDE] = { "include", CT_STRING, 0, "" },
	[CP_EXCLUDE_FROM] = { "exclude from", CT_STRING, 0, "" },
	[CP_EXCLUDE] = { "exclude", CT_STRING, 0, "" },
	[CP_INCOMING_CHMOD] = { "incoming chmod", CT_STRING, 0, "" },
	[CP_OUTGOING_CHMOD] = { "outgoing chmod", CT_STRING, 0, "" },
	[CP_CHARSET] = { "charset", CT_STRING, 0, "" },
	[CP_REFUSE_OPTIONS] = { "refuse options", CT_STRING, 0, "" },
	[CP_DONT_COMPRESS] = { "dont compress", CT_STRING, 0, "" },
	[CP_IGNORE_ERRORS] = { "ignore errors", CT_BOOL, 0, "" },
	[CP_IGNORE_NONREADABLE] = { "ignore nonreadable", CT_BOOL, 0, "" },
	[CP_OPEN_NOATIME] = { "open noatime", CT_BOOL3, -1, "" },
	[CP_TEMP_DIR] = { "temp dir", CT_PATH, 0, "" },
	[CP_MAX_VERBOSITY] = { "max verbosity", CT_INT, 1, "" },
	[CP_LOG_FILE] = { "log file", CT_STRING, 0, "" },
	[CP_SYSLOG_FACILITY] = { "syslog facility", CT_FACILITY, LOG_DAEMON, "" },
	[CP_SYSLOG_TAG] = { "syslog tag", CT_STRING, 0, "rsyncd" },
	[CP_TRANSFER_LOGGING] = { "transfer logging", CT_BOOL, 0, "" },
	[CP_LOG_FORMAT] = { "log format", CT_STRING, 0, "%o %h [%a] %m (%u) %f %l" },
	[CP_LOG_FORM] = { "log form", CT_STRING, 0, "text" },

	[CP_SANDBOX] = { "sandbox", CT_STRING, 0, "" },
	[CP_DEVICE_NODES] = { "device nodes", CT_STRING, 0, "" },
	[CP_DEVICE_OPEN] = { "device open", CT_BOOL, 0, "" },
	[CP_DEVICE_AUDIT] = { "device audit", CT_STRING, 0, "" },
	[CP_MEMORY_LIMIT] = { "memory limit", CT_STRING, 0, "" },
	[CP_MAX_ARGS_SIZE] = { "max args size", CT_STRING, 0, "" },
	[CP_MAX_XATTR_SIZE] = { "max xattr size", CT_STRING, 0, "" },
	[CP_MAX_BLOCK_TABLE] = { "max block table", CT_STRING, 0, "" },
	[CP_HOOK_TIMEOUT] = { "hook timeout", CT_INT, 60, "" },
};

static const char *skip_space(const char *s)
{
	while (*s == ' ' || (*s >= '\t' && *s <= '\r'))
		s++;
	return s;
}

bool conf_same_name(const char *a, const char *b)
{
	for (;;) {
		a = skip_space(a);
		b = skip_space(b);
		unsigned char x = (unsigned char)*a, y = (unsigned char)*b;
		if (x >= 'A' && x <= 'Z')
			x = (unsigned char)(x + 32);
		if (y >= 'A' && y <= 'Z')
			y = (unsigned char)(y + 32);
		if (x != y)
			return false;
		if (!x)
			return true;
		a++;
		b++;
	}
}

enum conf_param conf_find_param(const char *name)
{
	for (int i = 0; i < CP_COUNT; i++)
		if (conf_same_name(conf_defs[i].name, name))
			return (enum conf_param)i;
	return CP_UNKNOWN;
}
