"""A local user swaps directories and files with symlinks at full speed while kedge works in them.

Nothing outside of the module may be made, changed, deleted or delivered; what fails must fail cleanly. The runs with the
jail and the Landlock domain switched off show that resolution alone holds; a naive program in the same place does not.
"""
import contextlib
import ctypes
import multiprocessing
import os
import shutil
import time

import pytest
from harness import Daemon, IS_ROOT, KEDGE, LIMIT, SANITIZED, client, rsh, write_file
from outside import SECRET, check_clean, fingerprint, mark, secret_in
from takeover import HOOKS

IDS = {"uid": 0, "gid": 0} if IS_ROOT else {}
AT_FDCWD, RENAME_EXCHANGE = -100, 2
# About 60 seconds for all rows together.
FILES, SECONDS = 40, 0.8
NOBODY = 65534


def flip(a, b, target, stop, count, uid):
    if uid:
        os.setgroups([])
        os.setgid(uid)
        os.setuid(uid)
    libc = ctypes.CDLL(None, use_errno=True)
    is_file = os.path.isfile(a)
    while not stop.value:
        for _ in range(100):
            libc.renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE)
        count.value += 100
        # kedge puts what belongs there in the place of a link: then the race needs a new one.
        if not os.path.islink(a) and not os.path.islink(b):
            with contextlib.suppress(OSError):
                if not os.path.lexists(a):
                    os.rename(b, a) if os.path.lexists(b) else None if is_file else os.mkdir(a)
                shutil.rmtree(b) if os.path.isdir(b) else os.path.lexists(b) and os.unlink(b)
            with contextlib.suppress(OSError):
                os.symlink(target, b)


class Flipper:
    """Exchanges a with a symlink to something outside, as fast as it can. uid: whose process that is, for root."""

    def __init__(self, a, target, uid=None):
        self.a, self.b = os.fsencode(a), os.fsencode(a + ".alt")
        os.symlink(target, self.b)
        self.stop, self.count = multiprocessing.Value("b", 0), multiprocessing.Value("L", 0)
        self.p = multiprocessing.Process(target=flip, args=(self.a, self.b, os.fsencode(target), self.stop, self.count, uid), daemon=True)

    def __enter__(self):
        self.p.start()
        return self

    def __exit__(self, *exc):
        self.stop.value = 1
        self.p.join()
        assert self.live(), "the race was not live"

    def live(self):
        return self.count.value > 1000 * SECONDS


class Place:
    """A module with files in d/a, an outside tree with files of the same names, a source and a destination of the client."""

    def __init__(self, work, disable=None, owner=None):
        self.work, self.disable = work, disable
        self.mod, self.out, self.src, self.got = (os.path.join(work, n) for n in ("mod", "out", "src", "got"))
        for top in (self.mod + "/d/a/deep", self.src + "/d/a/deep", self.out + "/deep", self.mod + "/d/t", self.mod + "/d/bk", self.mod + "/d/.p",
                    self.mod + "/alt/a", self.got):
            os.makedirs(top)
        for i in range(FILES):
            write_file(f"{self.src}/d/a/f{i}", os.urandom(3000))
            write_file(f"{self.src}/d/a/deep/f{i}", os.urandom(300))
            for where in ("", "deep/"):
                write_file(f"{self.out}/{where}f{i}", SECRET * 10, mtime=10**18)
        os.symlink("no target", self.src + "/d/a/link")
        os.link(self.src + "/d/a/f0", self.src + "/d/a/hard")
        for p in (self.src + "/d/a/deep", self.src + "/d/a/f1", self.src + "/d/a/f2", self.mod + "/d/a/deep"):
            mark(p, b"value")
        for p in (self.out, self.out + "/deep", self.out + "/f1", self.out + "/f2", self.out + "/deep/f1"):
            mark(p, SECRET)
        # Held, so that filling it does not race.
        self.a = os.open(self.mod + "/d/a", os.O_RDONLY | os.O_DIRECTORY)
        self.owner = owner
        if owner:
            for top in (self.mod, self.src, self.got, self.out):
                for d, _, files in os.walk(top):
                    for n in (".", *files):
                        os.chown(os.path.join(d, n), owner, owner, follow_symlinks=False)
        self.before = fingerprint(self.out)

    def fill(self):
        """The module's files, made anew where they are gone."""
        for i in range(FILES):
            with contextlib.suppress(FileExistsError):
                fd = os.open(f"f{i}", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644, dir_fd=self.a)
                os.write(fd, b"inside\n" * 200)
                if self.owner:
                    os.fchown(fd, self.owner, self.owner)
                os.close(fd)

    def daemon(self):
        return Daemon(self.work, {"m": {"path": self.mod, "read only": "no", "use chroot": "no", "munge symlinks": "no", **IDS}},
                      binary=HOOKS if self.disable else None, env={"KEDGE_DISABLE": self.disable} if self.disable else None)

    def race(self, what, target, args, refill=False):
        with self.daemon() as d:
            self.run(what, target, [a.replace("URL", d.url("m")) for a in args], refill)
            assert not d.wait_idle()
            log = d.read_log()
        assert "killed by signal" not in log and "violation" not in log, log[-3000:]

    def race_server(self, what, target, args, user, refill=False):
        """Over a remote shell, in the place of the destination or source; the racing process belongs to the owner."""
        shell = ["-e", rsh(self.work), f"--rsync-path={HOOKS if self.disable else KEDGE}"]
        self.run(what, target, shell + [a.replace("URL", "h:" + self.mod) for a in args], refill, user=user,
                 env={"KEDGE_DISABLE": self.disable} if self.disable else None)

    def run(self, what, target, args, refill, **kw):
        count = 0
        with Flipper(os.path.join(self.mod, what), target, self.owner):
            end = time.time() + SECONDS * (3 if SANITIZED else 1)
            while time.time() < end or count < 2:
                if refill:
                    self.fill()
                r = client(args, **kw)
                if r.returncode == 4 and b"not supported" in r.stderr:
                    pytest.skip(f"{args[0]}: {r.stderr.decode().splitlines()[0]}")
                count += 1
                check_clean(r)
        assert fingerprint(self.out) == self.before
        assert not secret_in(self.got)


needs_hooks = pytest.mark.skipif(not os.access(HOOKS, os.X_OK), reason=f"{HOOKS} was not built")


def runs(rows):
    """Each row with every layer, and every second one with nothing but resolution."""
    return [pytest.param(*r, None, id=" ".join(r)) for r in rows] + [
        pytest.param(*r, "chroot,landlock,trial", id=" ".join(r) + ", resolution alone", marks=needs_hooks) for r in rows[::2]]


# options, what is exchanged; the destination is d of the module
PUSH = [
    ("-aI", "d/a"), ("-aI", "d/a/f1"), ("-aI", "d"), ("-aI --inplace", "d/a"), ("-aI --inplace", "d/a/f1"), ("-aI --delete", "d/a"),
    ("-aI --delete-before", "d/a/deep"), ("-aHAXI", "d/a/f1"), ("-aHAXI", "d/a"), ("-aI -b", "d/a"), ("-aI -b --backup-dir=bk", "d/bk"),
    ("-aHAXI -b", "d/a"), ("-aHAXI -b --backup-dir=bk", "d/bk"), ("-aHAXI --inplace", "d/a/f1"), ("-aHAXI --inplace", "d/a"),
    ("-aHAXI --delete", "d/a/deep"), ("-aHAXI --delete", "d/a"), ("-aI --partial-dir=.p --delay-updates", "d/a"),
    ("-aHAXI --partial-dir=.p --delay-updates", "d/a"), ("-aI --temp-dir=t", "d/t"), ("-aHAXI --temp-dir=t", "d/t"),
    ("-aHI --link-dest=../alt", "alt/a"), ("-aHAXI --link-dest=../alt", "alt/a"), ("-aKI", "d/a"), ("-aHAXKI", "d/a"),
    ("-a --append", "d/a/f1"),
]


@pytest.mark.parametrize("opts,what,disable", runs(PUSH))
def test_push(work, opts, what, disable):
    p = Place(work, disable)
    p.fill()
    target = p.out + ("/f1" if what.endswith("f1") else "/deep" if what.endswith("deep") else "")
    p.race(what, target, [*opts.split(), p.src + "/d/", "URL/d/"])


PULL = [("-a", "d/a"), ("-a", "d/a/f1"), ("-rL", "d/a"), ("-rLc", "d/a/f1"), ("-rk", "d/a"), ("-aR", "d"), ("-r --remove-source-files", "d/a"),
        ("-aHAX", "d/a/deep"), ("-aHAX", "d/a"), ("-aHAX", "d/a/f1"), ("-aHAXL", "d/a"), ("-aHAXk", "d/a"),
        ("-aHAX --remove-source-files", "d/a"), ("-aHAX --remove-source-files", "d/a/f1")]


@pytest.mark.parametrize("opts,what,disable", runs(PULL))
def test_pull(work, opts, what, disable):
    p = Place(work, disable)
    p.fill()
    # Relative, so that it leads outside without a jail too.
    depth = "../" * (what.count("/") + 1)
    target = depth + "out" + ("/f1" if what.endswith("f1") else "/deep" if what.endswith("deep") else "")
    p.race(what, target, [*opts.split(), "URL/d/", p.got + "/"], refill="remove" in opts)


# No modes that follow links: there a user's own server may leave the tree.
SERVER = [("push", "-aI", "d/a"), ("push", "-aHAXI --inplace", "d/a/f1"), ("push", "-aHAXI -b --delete", "d/a"),
          ("push", "-aHAXI --partial-dir=.p --delay-updates", "d/a"), ("pull", "-aHAX", "d/a"), ("pull", "-a", "d/a/f1"),
          ("pull", "-aHAX --remove-source-files", "d/a")]


@pytest.mark.parametrize("user", [None, NOBODY] if IS_ROOT else [None])
@pytest.mark.parametrize("way,opts,what,disable", runs(SERVER))
def test_server(work, way, opts, what, disable, user):
    """A user's own server, and root's in the tree of somebody else."""
    p = Place(work, disable, NOBODY if IS_ROOT else None)
    p.fill()
    args = [*opts.split(), *([p.src + "/d/", "URL/d/"] if way == "push" else ["URL/d/", p.got + "/"])]
    p.race_server(what, p.out + ("/f1" if what.endswith("f1") else ""), args, user, "remove" in opts)


def test_a_naive_program_is_fooled(work):
    """The same place and the same exchange: a writer and a reader that use paths do escape."""
    p = Place(work)
    p.fill()
    written = read = 0
    with Flipper(p.mod + "/d/a", p.out) as flipper:
        end = time.time() + LIMIT
        while not (read and written and flipper.live()) and time.time() < end:
            for i in range(FILES):
                with contextlib.suppress(OSError), open(f"{p.mod}/d/a/f{i}", "rb") as f:
                    read += SECRET in f.read()
                with contextlib.suppress(OSError):
                    if not os.path.islink(p.mod + "/d/a"):  # to check first does not help
                        with open(f"{p.mod}/d/a/f{i}", "r+b") as f:
                            f.write(b"overwritten")
            after = fingerprint(p.out)
            written = sum(after[k] != p.before[k] for k in p.before)
    assert read and written, (read, written)
