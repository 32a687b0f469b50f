/*
 * kcalls.h - system calls younger than the C library. Private to sandbox/.
 *
 * Each is one call, or -1 with ENOSYS where the kernel has none.
 */
#ifndef SANDBOX_KCALLS_H
#define SANDBOX_KCALLS_H

#include <stdint.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452
#endif
#ifndef SYS_setxattrat
#define SYS_setxattrat 463
#define SYS_getxattrat 464
#define SYS_listxattrat 465
#define SYS_removexattrat 466
#endif

#ifndef SYS_open_tree
#define SYS_open_tree 428
#endif
#ifndef SYS_mount_setattr
#define SYS_mount_setattr 442
#endif

/* linux/mount.h does not go together with older C libraries' sys/mount.h. */
#define KOPEN_TREE_CLONE 1u
#define KMOUNT_ATTR_NOSUID 2u
#define KMOUNT_ATTR_NODEV 4u
#define KMOUNT_ATTR_NOEXEC 8u
#define KAT_RECURSIVE 0x8000u

struct kmount_attr {
	uint64_t set, clear, propagation, userns_fd;
};

static inline int kopen_tree(int fd, unsigned flags)
{
	return (int)syscall(SYS_open_tree, fd, "", flags);
}

static inline int kmount_setattr(int fd, unsigned flags, const struct kmount_attr *attr)
{
	return (int)syscall(SYS_mount_setattr, fd, "", flags, attr, sizeof *attr);
}

#ifndef SYS_close_range
#define SYS_close_range 436
#endif

static inline int kclose_range(unsigned first, unsigned last, unsigned flags)
{
	return (int)syscall(SYS_close_range, first, last, flags);
}

struct kxattr_args {
	uint64_t value __attribute__((aligned(8)));
	uint32_t size;
	uint32_t flags;
};

static inline int kfchmodat2(int at, const char *path, mode_t mode, int flags)
{
	return (int)syscall(SYS_fchmodat2, at, path, mode, flags);
}

static inline ssize_t kgetxattrat(int at, const char *path, int flags, const char *name, void *buf, size_t size)
{
	struct kxattr_args args = { .value = (uintptr_t)buf, .size = (uint32_t)size };

	return syscall(SYS_getxattrat, at, path, flags, name, &args, sizeof(args));
}

static inline int ksetxattrat(int at, const char *path, int flags, const char *name, const void *value, size_t size)
{
	struct kxattr_args args = { .value = (uintptr_t)value, .size = (uint32_t)size };

	return (int)syscall(SYS_setxattrat, at, path, flags, name, &args, sizeof(args));
}

static inline ssize_t klistxattrat(int at, const char *path, int flags, char *list, size_t size)
{
	return syscall(SYS_listxattrat, at, path, flags, list, size);
}

static inline int kremovexattrat(int at, const char *path, int flags, const char *name)
{
	return (int)syscall(SYS_removexattrat, at, path, flags, name);
}

#endif
