#!/bin/sh
# The door test: nothing outside sandbox/ refers to a call that takes a path or changes privilege.
# Runs in the build directory, over every object of every room, and first over sandbox/ itself
# to see that it would find them.
set -u
export LC_ALL=C

banned='
open openat creat open_by_handle_at name_to_handle_at fopen freopen tmpfile tmpnam tempnam mkstemp mkostemp mkstemps mkostemps mkdtemp mktemp
mkdir mkdirat mknod mknodat xmknod xmknodat mkfifo mkfifoat symlink symlinkat link linkat rename renameat renameat2
unlink unlinkat rmdir remove truncate
chmod lchmod fchmod fchmodat chown lchown fchown fchownat utime utimes lutimes futimes futimesat utimensat futimens
stat lstat fstatat statx xstat lxstat fxstatat statfs statvfs access faccessat euidaccess eaccess pathconf
readlink readlinkat realpath canonicalize_file_name opendir fdopendir scandir scandirat ftw nftw fts_open glob wordexp
getxattr lgetxattr setxattr lsetxattr fsetxattr listxattr llistxattr removexattr lremovexattr fremovexattr
acl_get_file acl_set_file inotify_add_watch fanotify_mark
chdir fchdir chroot pivot_root mount umount umount2 swapon acct quotactl
setuid seteuid setreuid setresuid setfsuid setgid setegid setregid setresgid setfsgid setgroups initgroups
capset capng_apply capng_change_id capng_lock prctl unshare setns clone ptrace process_vm_readv process_vm_writev
execve execveat execv execvp execvpe execl execlp execle fexecve system popen posix_spawn posix_spawnp vfork
seccomp_load seccomp_init syscall dlopen dlmopen
'

# "Object:symbol" pairs that may be, each with its reason.
allowed='
'

# Undefined symbols of the objects given as "OBJECT SYMBOL"; hardened and 64-bit spellings are brought back to the plain name.
wants() {
	nm -A --undefined-only "$@" 2>/dev/null |
		sed -n 's/^\([^ ]*\):[^:]* U \([^ @]*\).*$/\1 \2/p' |
		sed -e 's/ __\([a-z]\)/ \1/' -e 's/_chk$//' -e 's/_2$//' -e 's/64$//'
}

offences() {
	wants "$@" | awk -v banned="$banned" -v allowed="$allowed" '
		BEGIN {
			n = split(banned, b, /[ \n]+/); for (i = 1; i <= n; i++) if (b[i] != "") bad[b[i]] = 1
			n = split(allowed, a, /[ \n]+/); for (i = 1; i <= n; i++) ok[a[i]] = 1
		}
		($2 in bad) && !(($1 ":" $2) in ok) { print $1 ": " $2 }'
}

command -v nm >/dev/null || { echo "door: nm is missing" >&2; exit 77; }

# Would we see it? These must be found in the room that may use them.
seen=$(offences $(find sandbox -name '*.o'))
for call in open openat mkdirat mknodat symlinkat linkat renameat renameat2 unlinkat fchmod fchownat utimensat fstatat readlinkat fsetxattr syscall; do
	printf '%s\n' "$seen" | grep -q ": $call\$" || { echo "door: blind: no reference to $call found in sandbox/" >&2; exit 1; }
done

objects=$(find . -name '*.o' ! -path './sandbox/*' ! -path './testsuite/*' | sed 's|^\./||')
count=$(printf '%s\n' "$objects" | wc -l)
[ "$count" -ge 20 ] || { echo "door: only $count objects found; run in the build directory" >&2; exit 1; }
found=$(offences $objects)
if [ -n "$found" ]; then
	echo "door: calls that belong in sandbox/:" >&2
	printf '%s\n' "$found" >&2
	exit 1
fi
echo "door: $count objects outside sandbox/ take no path and no privilege"
