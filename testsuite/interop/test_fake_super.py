"""fake super: what the stock server and kedge store is equal to the byte, and comes back."""
import os
import shutil
import socket
import stat

import pytest
from harness import CLIENTS, Daemon, IS_ROOT, KEDGE, STOCK_350, client, difference, rsh, settle, snapshot, write_file
from test_attrs_push import ACCESS, DEFAULT, acl, set_attr

pytestmark = pytest.mark.skipif(not IS_ROOT, reason="needs root: a source with devices and foreign owners")


def tree(top):
    os.makedirs(top + "/d")
    for name, mode, ids in (("f", 0o6711, (5, 6)), ("r", 0o400, (0, 0)), ("w", 0o644, (65534, 65534)), ("own", 0o600, (65534, 65534)),
                            ("d/x", 0o1755, (9, 9))):
        write_file(f"{top}/{name}", name.encode() * 9, mode, 1_600_000_000_000_000_000)
        os.chown(f"{top}/{name}", *ids)
        os.chmod(f"{top}/{name}", mode)
    os.chown(top + "/d", 7, 8)
    os.chmod(top + "/d", 0o2555)
    os.mknod(top + "/null", stat.S_IFCHR | 0o644, os.makedev(1, 3))
    os.mknod(top + "/blk", stat.S_IFBLK | 0o640, os.makedev(259, 300))
    os.mkfifo(top + "/fifo", 0o644)
    s = socket.socket(socket.AF_UNIX)
    here = os.open(top, os.O_RDONLY)
    s.bind(f"/proc/self/fd/{here}/sock")
    os.close(here)
    s.close()
    os.symlink("f", top + "/link")
    os.symlink("/no/where", top + "/dangling")
    os.chown(top + "/link", 5, 6, follow_symlinks=False)
    os.link(top + "/null", top + "/null2")
    os.link(top + "/f", top + "/f2")
    set_attr(top + "/f", "trusted.foo", b"t" * 40)
    set_attr(top + "/w", "user.u", b"u")
    set_attr(top + "/w", ACCESS, acl(6, 4, 6, 4, users=[(1, 6)], groups=[(2, 4)]))
    set_attr(top + "/d", DEFAULT, acl(7, 5, 7, 5, users=[(1, 7)]))
    settle(os.fsencode(top), 1_600_000_000_000_000_000)


def change(top):
    os.chmod(top + "/f", 0o644)
    os.chown(top + "/r", 3, 3)
    os.chown(top + "/w", 1, 1)
    os.unlink(top + "/null")
    os.unlink(top + "/null2")
    os.mknod(top + "/null", stat.S_IFCHR | 0o600, os.makedev(1, 5))
    os.unlink(top + "/fifo")
    write_file(top + "/fifo", b"a file now", 0o644, 1_700_000_000_000_000_000)
    os.unlink(top + "/link")
    os.symlink("own", top + "/link")
    os.removexattr(top + "/w", ACCESS)
    set_attr(top + "/own", ACCESS, acl(6, 4, 4, 0, users=[(1, 4)]))     # and so another mode
    os.removexattr(top + "/f", "trusted.foo")
    os.chmod(top + "/d", 0o755)
    settle(os.fsencode(top), 1_700_000_000_000_000_000)


def stored(top, dir_times=True):
    return snapshot(top, xattrs=True, links=True, dir_times=dir_times)


def params(path, user):
    ids = {} if user else {"uid": 0, "gid": 0}
    return {"m": {"path": path, "read only": "no", "fake super": "yes", "munge symlinks": "no", **ids}}


def compare(work, opts, push_args, servers, version, user):
    got = {}
    for name, binary in (("stock", STOCK_350), ("kedge", KEDGE)):
        src, dst = os.path.join(work, "src-" + name), os.path.join(work, "dst-" + name)
        tree(src)
        os.mkdir(dst)
        if user:
            shutil.chown(dst, user)
        with servers(dst, binary) as where:
            rounds = []
            for step in range(3):
                r = client(["-ii", *opts, *push_args(binary), src + "/", where], version)
                rounds.append((r.returncode, r.stdout.decode().split("\n"), r.stderr.decode(), stored(dst, "-b" not in opts)))
                if step == 0:
                    change(src)
        got[name] = rounds
    for a, b in zip(got["stock"], got["kedge"]):
        # Which of two that do not depend on each other is told first is chance.
        assert sorted(b[1]) == sorted(a[1])
        assert not difference(a[3], b[3])
        assert (b[0], b[2]) == (a[0], a[2])
        assert b[0] == 0
    return os.path.join(work, "src-kedge"), os.path.join(work, "dst-kedge")


class Tcp:
    def __init__(self, work, user):
        self.work, self.user = work, user

    def __call__(self, dst, binary):
        self.d = Daemon(self.work, params(dst, self.user), binary=binary, user=self.user)
        return self

    def __enter__(self):
        self.d.__enter__()
        return self.d.url("m/")

    def __exit__(self, *exc):
        self.d.__exit__(*exc)


@pytest.mark.parametrize("opts", ["-aH", "-aHAX", "-aAX --inplace --no-inc-recursive --numeric-ids", "-aX --delete -b"])
@pytest.mark.parametrize("user", [None, "nobody"])
def test_module(work, opts, user):
    compare(work, opts.split(), lambda b: [], Tcp(work, user), "3.5.0", user)


@pytest.mark.parametrize("version", sorted(CLIENTS))
def test_remote_shell_and_back(work, version):
    class Shell:
        def __call__(self, dst, binary):
            self.where = "h:" + dst + "/"
            return self

        def __enter__(self):
            return self.where

        def __exit__(self, *exc):
            pass

    src, dst = compare(work, ["-aHAX", "--delete", "-M--fake-super"], lambda b: ["-e", rsh(work), "--rsync-path=" + b], Shell(), version, None)
    back = os.path.join(work, "back")
    r = client(["-aHAX", "-M--fake-super", "-e", rsh(work), "--rsync-path=" + STOCK_350, "h:" + dst + "/", back + "/"], version)
    assert (r.returncode, r.stderr) == (0, b"")
    assert not difference(stored(src), stored(back))


def test_corrupt(work):
    """A text that is none ends the session, as with the stock server."""
    src, dst = os.path.join(work, "src"), os.path.join(work, "dst")
    os.mkdir(dst)
    tree(src)
    write_file(dst + "/f", b"", 0o644)
    set_attr(dst + "/f", "user.rsync.%stat", b"not a number")
    with Daemon(work, params(dst, None)) as d:
        r = client(["-a", src + "/", d.url("m/")])
    assert r.returncode == 11
    assert b'Corrupt user.rsync.%stat xattr attached to "' in r.stderr


def test_conflict(work):
    a, b = (client(["-aXX", "-M--fake-super", "-e", rsh(work), "--rsync-path=" + s, work + "/", "h:" + work + "/x/"])
            for s in (STOCK_350, KEDGE))
    assert b.returncode == a.returncode != 0
    assert b"--fake-super conflicts with -XX" in a.stderr and b"--fake-super conflicts with -XX" in b.stderr
