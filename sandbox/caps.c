/*
 * caps.c - capability sets; see caps.h.
 */
#include "config.h"

#include <errno.h>
#include <linux/securebits.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "sandbox/caps.h"

static const char *const names[] = {
	"chown", "dac_override", "dac_read_search", "fowner", "fsetid", "kill", "setgid", "setuid", "setpcap",
	"linux_immutable", "net_bind_service", "net_broadcast", "net_admin", "net_raw", "ipc_lock", "ipc_owner",
	"sys_module", "sys_rawio", "sys_chroot", "sys_ptrace", "sys_pacct", "sys_admin", "sys_boot", "sys_nice",
	"sys_resource", "sys_time", "sys_tty_config", "mknod", "lease", "audit_write", "audit_control", "setfcap",
	"mac_override", "mac_admin", "syslog", "wake_alarm", "block_suspend", "audit_read", "perfmon", "bpf",
	"checkpoint_restore",
};

int caps_get(uint64_t *permitted, uint64_t *effective)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &head, data) < 0)
		return -errno;
	*permitted = data[0].permitted | (uint64_t)data[1].permitted << 32;
	*effective = data[0].effective | (uint64_t)data[1].effective << 32;
	return 0;
}

bool caps_have(int cap)
{
	uint64_t permitted = 0, effective = 0;

	return !caps_get(&permitted, &effective) && (effective & CAP_BIT(cap));
}

int caps_lock(uint64_t keep)
{
	unsigned long bits = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP | SECBIT_NO_SETUID_FIXUP_LOCKED |
		SECBIT_KEEP_CAPS_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;

	if (!caps_have(CAP_SETPCAP))
		return -EPERM;
	for (unsigned long c = 0; c < 64; c++) {
		if (keep & CAP_BIT(c) || prctl(PR_CAPBSET_DROP, c, 0, 0, 0) == 0)
			continue;
		if (errno == EINVAL)
			break; /* beyond the last one this kernel knows */
		return -errno;
	}
	return prctl(PR_SET_SECUREBITS, bits, 0, 0, 0) < 0 ? -errno : 0;
}

int caps_set(uint64_t keep)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = {
		{ .permitted = (uint32_t)keep, .effective = (uint32_t)keep },
		{ .permitted = (uint32_t)(keep >> 32), .effective = (uint32_t)(keep >> 32) },
	};

	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); /* absent before Linux 4.3: nothing to clear */
	return syscall(SYS_capset, &head, data) < 0 ? -errno : 0;
}

uint64_t caps_bounding(void)
{
	uint64_t set = 0;

	for (unsigned long c = 0; c < 64; c++) {
		int r = prctl(PR_CAPBSET_READ, c, 0, 0, 0);

		if (r < 0)
			break;
		if (r)
			set |= CAP_BIT(c);
	}
	return set;
}

void caps_names(uint64_t set, char *out, size_t size)
{
	size_t n = 0;

	snprintf(out, size, "none");
	for (unsigned c = 0; c < 64 && n < size; c++) {
		const char *sep = n ? "," : "";

		if (!(set & CAP_BIT(c)))
			continue;
		n += (size_t)(c < ARRAY_SIZE(names) ? snprintf(out + n, size - n, "%s%s", sep, names[c]) :
			snprintf(out + n, size - n, "%s%u", sep, c));
	}
}
