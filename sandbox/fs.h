/*
 * fs.h - the filesystem operations: the one door.
 *
 * A struct sb is one thread's view of one anchor, with its own cache of open directory fds;
 * nothing in it is shared. Every operation names its object as (dir, leaf):
 *
 *   dir   relative to the anchor, without leading or trailing slash, without empty, "." or ".."
 *         components, at most 4095 bytes; "" (or ".") is the anchor itself.
 *   leaf  one component: not empty, no slash, not "..". "." means dir itself and is allowed only
 *         where the text says so.
 *
 * A name outside these rules is -EINVAL (dir too long: -ENAMETOOLONG) and nothing happens. A leaf is never
 * followed if it is a symbolic link, except by the *_follow operations. A symbolic link among the
 * components of dir is treated by the anchor's rule (enum links); refusal is -ELOOP.
 *
 * With the directory in the cache an operation is one system call; nothing is allocated per operation.
 * A directory removed or renamed through any sb of the process leaves every cache. What somebody else does to it is
 * noticed when a creation in it fails with ENOENT, and after SB_HELD_MS at the latest: then it is looked up again, and
 * an anchor that has left the process's own mount of the module is -ENOENT.
 *
 * All return 0 (or what the text says, >= 0) or a negative errno. Mutating operations on a
 * read-only anchor give -EROFS. Descriptors are O_CLOEXEC and belong to the caller. Spec 08 §11, §20; 09 §5, §12.
 */
#ifndef SANDBOX_FS_H
#define SANDBOX_FS_H

#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>

#include "base/util.h"
#include "sandbox/anchor.h"

struct sb;

#define SB_NAME_MAX 255
#define SB_DIRS_DEFAULT 64
#define SB_HELD_MS 10   /* for so long a directory is taken to be where it was; an operation that has begun goes on */

/* A view of a (referenced until sb_free). dirs: directory fds to keep (4..4096; 0: SB_DIRS_DEFAULT). NULL without memory. */
struct sb *sb_new(struct anchor *a, unsigned dirs);
void sb_free(struct sb *sb); /* NULL is allowed */
struct anchor *sb_anchor(const struct sb *sb);

/* Drops dir and everything beneath it from the cache; NULL: everything. */
void sb_forget(struct sb *sb, const char *dir);

static inline void cleanup_sbp(struct sb **sb) { sb_free(*sb); }
#define _cleanup_sb_ __attribute__((cleanup(cleanup_sbp)))

/* --- looking --- */

/* lstat. leaf may be ".". */
int sb_lstat(struct sb *sb, const char *dir, const char *leaf, struct stat *st);

/* stat that follows a symbolic link at leaf: inside the root, or as far as the anchor's rule allows. A link
   that leads out is -ELOOP. leaf may be ".". */
int sb_stat_follow(struct sb *sb, const char *dir, const char *leaf, struct stat *st);

/* Copies the target into buf (NUL-terminated); returns its length. -ENAMETOOLONG if it does not fit, -EINVAL if no link. */
ssize_t sb_readlink(struct sb *sb, const char *dir, const char *leaf, char *buf, size_t size);

/* The real (dir, leaf) of an existing object whose path runs through links that stay inside; rdir takes PATH_LIMIT + 1 bytes,
   rleaf SB_NAME_MAX + 1. The anchor itself gives ("", "."). */
int sb_resolve_in_root(struct sb *sb, const char *dir, const char *leaf, char *rdir, char *rleaf);

/* --- opening --- */
enum {
	SB_NOATIME = 1 << 0,   /* O_NOATIME */
	SB_CREATE = 1 << 2,    /* sb_open_write: create if missing */
	SB_EXCL = 1 << 3,      /* with SB_CREATE: must not exist */
	SB_RDWR = 1 << 4,      /* sb_open_write: for reading too */
	SB_TRUNC = 1 << 5,     /* sb_open_write: cut to 0 once it is known to be a regular file */
	SB_TEMP_DIR = 1 << 6,  /* sb_create_temp: the sb is --temp-dir's, no dot is put before the name */
};

/* Opens for reading; returns the fd. A regular file, else -EISDIR (directory), -ELOOP (link) or -EINVAL (anything else, which
   is not read from: devices are opened by the broker alone, broker.h). Never blocks. st (may be NULL): fstat of the very file. */
int sb_open_read(struct sb *sb, const char *dir, const char *leaf, unsigned flags, struct stat *st);

/* As sb_open_read, of a file that is thought to have len bytes, which it reads at once into buf (len + 1 bytes). *whole is 1
   if the file is regular and these are all its contents; st is not filled in then. It is 0 if not, and wherever this process
   could open a device, or a negative errno if reading failed: buf says nothing then. */
int sb_open_whole(struct sb *sb, const char *dir, const char *leaf, unsigned flags, void *buf, size_t len, int *whole,
		  struct stat *st);

/* As sb_open_read, following a link at leaf as sb_stat_follow does. */
int sb_open_read_follow(struct sb *sb, const char *dir, const char *leaf, unsigned flags, struct stat *st);

/* The path of an object as the kernel knows it, seen from "/" and without links, in out (PATH_LIMIT + 1 bytes): for asking
   another process of ours, which resolves it again. Where nothing hides /proc; -ENOENT elsewhere. */
int sb_real_path(struct sb *sb, const char *dir, const char *leaf, bool follow, char *out);

/* Opens in place for writing (--inplace, --append, copies); never cut except by SB_TRUNC. mode: for SB_CREATE, filtered by
   the umask. Errors as sb_open_read. */
int sb_open_write(struct sb *sb, const char *dir, const char *leaf, unsigned flags, mode_t mode, struct stat *st);

/* Creates the temporary file for base in dir (08 §11.2: ".BASE.XXXXXX"), O_RDWR|O_EXCL; name receives its leaf. Returns the fd. */
int sb_create_temp(struct sb *sb, const char *dir, const char *base, unsigned flags, mode_t mode, char name[SB_NAME_MAX + 1]);

/* A free temporary name for a symlink, node or hard link: ".BASE.N", N counting from the pid (08 §11.2).
   -EEXIST after 100 names in use. */
int sb_temp_name(struct sb *sb, const char *dir, const char *base, char name[SB_NAME_MAX + 1]);

/* Pins an object of any type without opening it (O_PATH): returns the fd for sbf_pin_* and st. leaf may be ".". */
int sb_pin(struct sb *sb, const char *dir, const char *leaf, struct stat *st);

/* --- names --- */
int sb_mkdir(struct sb *sb, const char *dir, const char *leaf, mode_t mode);

/* Creates the missing components of dir, each in the held fd of the one before. mode filtered by the umask.
   Returns how many were made. -ENOTDIR or -ELOOP if something else is in the way. */
int sb_mkdirs(struct sb *sb, const char *dir, mode_t mode);
int sb_rmdir(struct sb *sb, const char *dir, const char *leaf);
int sb_unlink(struct sb *sb, const char *dir, const char *leaf);
int sb_symlink(struct sb *sb, const char *target, const char *dir, const char *leaf);

/* Hard link; the two sides may be different views. A symbolic link is linked itself, never followed. */
int sb_link(struct sb *from, const char *dir, const char *leaf, struct sb *to, const char *todir, const char *toleaf);

enum {
	SB_NOREPLACE = 1 << 0, /* -EEXIST if the new name exists */
	SB_EXCHANGE = 1 << 1,  /* swap the two */
	SB_IS_DIR = 1 << 2,    /* a directory may be on either side: tell the caches of other threads */
};
int sb_rename(struct sb *from, const char *dir, const char *leaf, struct sb *to, const char *todir, const char *toleaf,
	      unsigned flags);

/* FIFOs and sockets only; devices are -EPERM here (the broker makes them), other types -EINVAL. */
int sb_mknod(struct sb *sb, const char *dir, const char *leaf, mode_t mode);

/* --- attributes by name; leaf may be "." --- */

/* mode: 07777. A symbolic link gives -ELOOP. -EOPNOTSUPP where no safe call reaches the object. */
int sb_chmod(struct sb *sb, const char *dir, const char *leaf, mode_t mode);
int sb_chown(struct sb *sb, const char *dir, const char *leaf, uid_t uid, gid_t gid); /* (uid_t)-1, (gid_t)-1: leave */

/* atime or mtime NULL: leave. Of the link itself if it is one. */
int sb_utimes(struct sb *sb, const char *dir, const char *leaf, const struct timespec *atime, const struct timespec *mtime);

/* --- listing --- */
struct sb_dir;
struct sb_dirent {
	const char *name;      /* valid until the next call on the same sb_dir */
	size_t len;
	unsigned char type;    /* DT_*, may be DT_UNKNOWN */
	ino_t ino;
};

/* Opens dir/leaf ("." for dir itself) for listing. A link at leaf is -ELOOP. flags: SB_NOATIME. st may be NULL. */
int sb_opendir(struct sb *sb, const char *dir, const char *leaf, unsigned flags, struct sb_dir **out, struct stat *st);
int sb_readdir(struct sb_dir *d, struct sb_dirent *ent); /* 1: an entry (never "." or ".."), 0: the end */
int sb_dir_search(struct sb_dir *d); /* 0, or why names in it cannot be looked at */
int sb_dir_lstat(struct sb_dir *d, const char *leaf, struct stat *st); /* lstat in the open directory */
void sb_closedir(struct sb_dir *d); /* NULL is allowed; before sb_free of its sb */

/* --- extended attributes and ACLs by name, nothing followed; leaf may be "." ---
   Sizes and errors as in getxattr(2): size 0 asks for the size, -ERANGE too small, -ENODATA absent, -ENOTSUP not supported.
   -EOPNOTSUPP also where an old kernel offers no safe way to the object (then no other way is tried). */
#define SB_ACL_ACCESS "system.posix_acl_access"   /* the kernel's own value format */
#define SB_ACL_DEFAULT "system.posix_acl_default"
/* Whether the latter is why: known after the first try. */
bool sb_attrs_by_fd_only(const struct sb *sb);
ssize_t sb_getxattr(struct sb *sb, const char *dir, const char *leaf, const char *name, void *buf, size_t size);
ssize_t sb_listxattr(struct sb *sb, const char *dir, const char *leaf, char *list, size_t size);
int sb_setxattr(struct sb *sb, const char *dir, const char *leaf, const char *name, const void *value, size_t size);
int sb_removexattr(struct sb *sb, const char *dir, const char *leaf, const char *name);

/* --- on a held fd (from sb_open_* or sb_create_temp) --- */
int sbf_stat(int fd, struct stat *st);
int sbf_chmod(int fd, mode_t mode);
int sbf_chown(int fd, uid_t uid, gid_t gid);
int sbf_utimes(int fd, const struct timespec *atime, const struct timespec *mtime);
int sbf_truncate(int fd, int64_t size);
int sbf_allocate(int fd, int64_t off, int64_t len, bool keep_size);
int sbf_punch(int fd, int64_t off, int64_t len);       /* makes a hole, size kept */
int sbf_sync(int fd);
int64_t sbf_seek_data(int fd, int64_t off);            /* -ENXIO: no data behind off */
int64_t sbf_seek_hole(int fd, int64_t off);
ssize_t sbf_getxattr(int fd, const char *name, void *buf, size_t size);
ssize_t sbf_listxattr(int fd, char *list, size_t size);
int sbf_setxattr(int fd, const char *name, const void *value, size_t size);
int sbf_removexattr(int fd, const char *name);

/* Descriptors to be closed together: runs of neighbouring numbers, as the kernel hands them out, are closed by one call
   each. Files stay open the longer, so whoever queues them closes them before it waits. Start zeroed. */
#define FD_RUN_MAX 32u
struct fd_run { unsigned count; int fd[FD_RUN_MAX]; };
void sbf_close_later(struct fd_run *run, int fd);       /* takes fd */
void sbf_close_run(struct fd_run *run);

/* On an fd from sb_pin (O_PATH). */
int sbf_pin_chmod(int fd, mode_t mode);                 /* -EOPNOTSUPP before Linux 6.6 */
int sbf_pin_chown(int fd, uid_t uid, gid_t gid);
int sbf_pin_utimes(int fd, const struct timespec *atime, const struct timespec *mtime);

#endif
