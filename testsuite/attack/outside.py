"""What lies outside of a module in the race tests, and how it is known that nobody reached it."""
import ctypes
import os
import select
import stat
import struct

from harness import digest

SECRET = b"the secret of the outside\n"
# Nothing, partial transfer, vanished files, deletions stopped.
CLEAN = {0, 11, 23, 24, 25}     # 11: a side directory could not be entered
# What ends a session, as in the stock server: a module, an argument, a side directory or the basis of a delta turned into a link or gone.
REFUSED = {(3, b"failed: Too many levels of symbolic links (40)"), (1, b"The temp-dir is not a directory"), (1, b"The temp-dir does not exist"),
           (1, b"The backup-dir is not a directory"), (5, b"@ERROR: chdir failed"), (2, b"got a block match with no basis file for ")}
# user::rwx, user:1234:rwx, group::r--, mask::rwx, other::r--
ACL = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *e) for e in
                                      ((1, 7, 0xffffffff), (2, 7, 1234), (4, 4, 0xffffffff), (16, 7, 0xffffffff), (32, 4, 0xffffffff)))


def check_clean(r):
    """The client's end is one that a user can make sense of."""
    assert r.returncode in CLEAN or any(r.returncode == c and t in r.stderr for c, t in REFUSED), (r.returncode, r.stderr)
    assert b"killed by signal" not in r.stderr and b"violation" not in r.stderr, r.stderr


def attributes(path):
    """ACLs and extended attributes."""
    try:
        return {n: os.getxattr(path, n, follow_symlinks=False) for n in os.listxattr(path, follow_symlinks=False)}
    except OSError:
        return {}


def mark(path, value):
    """An extended attribute and an ACL, where the file system has them."""
    try:
        os.setxattr(path, "user.name", value)
        os.setxattr(path, "system.posix_acl_access", ACL)
    except OSError:
        pass


def fingerprint(top):
    """Everything of a tree that a write, a deletion or a change of attributes would show in."""
    out = {}
    for d, dirs, files in os.walk(top):
        for n in [".", *dirs, *files]:
            p = os.path.join(d, n)
            st = os.lstat(p)
            data = digest(p) if stat.S_ISREG(st.st_mode) else len(os.listdir(p)) if stat.S_ISDIR(st.st_mode) else None
            out[os.path.relpath(p, top)] = (st.st_ino, st.st_mode, st.st_uid, st.st_gid, st.st_nlink, st.st_mtime_ns, st.st_ctime_ns,
                                            attributes(p), data)
    return out


def secret_in(top):
    """The first file or directory in which something of the outside is."""
    for d, _, files in os.walk(top):
        for f in (".", *files):
            p = os.path.join(d, f)
            if SECRET in attributes(p).values():
                return p
            if f != "." and os.path.isfile(p) and not os.path.islink(p):
                with open(p, "rb") as h:
                    if SECRET in h.read():
                        return p
    return None


class Watch:
    """inotify on the directories of a tree: opening to read leaves no other trace."""
    EVENTS = {0x1: "read", 0x2: "written", 0x4: "attributes", 0x20: "opened", 0x40: "moved from", 0x80: "moved to", 0x100: "made",
              0x200: "deleted"}

    def __init__(self, top):
        libc = ctypes.CDLL(None, use_errno=True)
        self.fd = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        self.dirs = {}
        for d, _, _ in os.walk(top):
            self.dirs[libc.inotify_add_watch(self.fd, os.fsencode(d), sum(self.EVENTS))] = os.path.relpath(d, top)
        assert self.fd >= 0 and -1 not in self.dirs, os.strerror(ctypes.get_errno())
        self.seen()

    def seen(self):
        """What happened since the last time, as a set of texts."""
        out = set()
        while select.select([self.fd], [], [], 0)[0]:
            data = os.read(self.fd, 65536)
            while data:
                wd, mask, _, length = struct.unpack_from("iIII", data)
                name = data[16:16 + length].rstrip(b"\0")
                out |= {f"{what}: {self.dirs.get(wd)}/{os.fsdecode(name)}" for bit, what in self.EVENTS.items() if mask & bit}
                data = data[16 + length:]
        return out

    def close(self):
        os.close(self.fd)
