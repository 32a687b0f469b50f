/*
 * landlock.h - file-system rights by the kernel's Landlock, rooted at held fds (spec 09 §15.4).
 *
 * The build machine's headers may be older than the kernel that runs, so the numbers of the interface
 * are written here.
 */
#ifndef SANDBOX_LANDLOCK_H
#define SANDBOX_LANDLOCK_H

#include "base/util.h"

#define LL_EXECUTE     (UINT64_C(1) << 0)
#define LL_WRITE_FILE  (UINT64_C(1) << 1)
#define LL_READ_FILE   (UINT64_C(1) << 2)
#define LL_READ_DIR    (UINT64_C(1) << 3)
#define LL_REMOVE_DIR  (UINT64_C(1) << 4)
#define LL_REMOVE_FILE (UINT64_C(1) << 5)
#define LL_MAKE_CHAR   (UINT64_C(1) << 6)
#define LL_MAKE_DIR    (UINT64_C(1) << 7)
#define LL_MAKE_REG    (UINT64_C(1) << 8)
#define LL_MAKE_SOCK   (UINT64_C(1) << 9)
#define LL_MAKE_FIFO   (UINT64_C(1) << 10)
#define LL_MAKE_BLOCK  (UINT64_C(1) << 11)
#define LL_MAKE_SYM    (UINT64_C(1) << 12)
#define LL_REFER       (UINT64_C(1) << 13) /* ABI 2 */
#define LL_TRUNCATE    (UINT64_C(1) << 14) /* ABI 3 */
#define LL_IOCTL_DEV   (UINT64_C(1) << 15) /* ABI 5 */

#define LL_READ (LL_READ_FILE | LL_READ_DIR)
#define LL_WRITE (LL_READ | LL_WRITE_FILE | LL_TRUNCATE | LL_MAKE_REG | LL_MAKE_DIR | LL_MAKE_SYM | \
	LL_MAKE_FIFO | LL_MAKE_SOCK | LL_REMOVE_FILE | LL_REMOVE_DIR | LL_REFER)
#define LL_BROKER (LL_MAKE_CHAR | LL_MAKE_BLOCK | LL_REMOVE_FILE | LL_REFER)

struct landlock_rule {
	int fd;
	uint64_t rights;        /* below fd; those the running ABI does not know are left out */
};

/* ABI version of the running kernel; 0: no Landlock. */
int landlock_abi(void);

/* Makes a ruleset that handles every right this ABI knows and allows only the rules. Returns its
   fd (close-on-exec) or a negative errno. */
int landlock_prepare(int abi, const struct landlock_rule *rules, size_t n);

/* Enters it; no_new_privs must be set. */
int landlock_enter(int ruleset);

#endif
