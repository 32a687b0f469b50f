"""A local user swaps directories and files with symlinks, or with directories elsewhere, at full speed while kedge works in them.

Nothing outside of the module may be made, changed, deleted or delivered; what fails must fail cleanly. The runs with the
jail and the Landlock domain switched off show that resolution alone holds; a naive program in the same place does not.
"""
import contextlib
import ctypes
import multiprocessing
import os
import shutil
import stat
import time

import pytest
from harness import Daemon, IS_ROOT, KEDGE, LIMIT, SANITIZED, client, rsh, write_file
from outside import SECRET, Watch, check_clean, fingerprint, mark, secret_in
from takeover import HOOKS

IDS = {"uid": 0, "gid": 0} if IS_ROOT else {}
RENAME_EXCHANGE = 2
# About 60 seconds for all rows together.
FILES, SECONDS = 40, 0.8
NOBODY = 65534
KINDS = ("link", "replace", "depth", "moved", "deep")
DEEP = ["d", *(f"q{i}" for i in range(1, 12))]


class Pair:
    """A name in a held directory, and what comes in its place: `target` by way of a link ("link", "replace"), or the directory
    `elsewhere` ("depth": in the module, "moved": not). To replace, it goes elsewhere for a moment."""

    def __init__(self, a, kind, target, elsewhere):
        parent, self.name = os.path.split(os.fsencode(a))
        self.kind, self.target, self.is_file = kind, os.fsencode(os.path.relpath(target, os.fsdecode(parent))), os.path.isfile(a)
        self.at = self.other_at = os.open(parent, os.O_RDONLY | os.O_DIRECTORY)
        if kind == "link":
            self.other = self.name + b".alt"
            os.symlink(self.target, self.other, dir_fd=self.at)
        else:
            there, self.other = os.path.split(os.fsencode(elsewhere))
            self.other_at = os.open(there, os.O_RDONLY | os.O_DIRECTORY)
            self.link = self.other + b".link"
            if kind != "replace":
                os.mkdir(elsewhere)

    def step(self, libc):
        if self.kind != "replace":
            libc.renameat2(self.at, self.name, self.other_at, self.other, RENAME_EXCHANGE)
            return
        here, away, link = (self.at, self.name), (self.other_at, self.other), (self.other_at, self.link)
        for old, new in ((here, away), (link, here), (here, link), (away, here)):
            libc.renameat2(*old, *new, 0)

    def type(self, at, name):
        try:
            return stat.S_IFMT(os.lstat(name, dir_fd=at).st_mode)
        except OSError:
            return 0

    def remove(self, at, name):
        if self.type(at, name) == stat.S_IFDIR:
            shutil.rmtree(name, dir_fd=at)
        else:
            os.unlink(name, dir_fd=at)

    def mend(self):
        """kedge puts what belongs there in the place of a link, and deletes: then the race needs new ones."""
        here, there = self.type(self.at, self.name), self.type(self.other_at, self.other)
        with contextlib.suppress(OSError):
            if self.kind == "replace" and there:
                self.remove(self.at, self.name)
            if not here or (self.kind == "replace" and there):
                os.rename(self.other, self.name, src_dir_fd=self.other_at, dst_dir_fd=self.at)
        with contextlib.suppress(OSError):
            if not self.type(self.at, self.name) and not self.is_file:
                os.mkdir(self.name, dir_fd=self.at)
        link = self.link if self.kind == "replace" else self.other
        links = {"link": (here, there), "replace": (self.type(self.other_at, link),)}.get(self.kind)
        if links and stat.S_IFLNK not in links:
            with contextlib.suppress(OSError):
                self.remove(self.other_at, link)
            with contextlib.suppress(OSError):
                os.symlink(self.target, link, dir_fd=self.other_at)
        elif links is None:
            with contextlib.suppress(OSError):
                os.mkdir(self.other, dir_fd=self.other_at)


def flip(pairs, stop, count, uid):
    if uid:
        os.setgroups([])
        os.setgid(uid)
        os.setuid(uid)
    libc = ctypes.CDLL(None, use_errno=True)
    while not stop.value:
        for i in range(100):
            pairs[i % len(pairs)].step(libc)
        count.value += 100
        for p in pairs:
            p.mend()


class Flipper:
    """Changes what is at some names, as fast as it can. uid: whose process that is, for root."""

    def __init__(self, pairs, uid=None):
        self.stop, self.count = multiprocessing.Value("b", 0), multiprocessing.Value("L", 0)
        self.p = multiprocessing.Process(target=flip, args=(pairs, self.stop, self.count, uid), daemon=True)

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

    def __init__(self, work, disable=None, owner=None, kind="link"):
        self.work, self.disable, self.kind = work, disable, kind
        self.mod, self.out, self.src, self.got = (os.path.join(work, n) for n in ("mod", "out", "src", "got"))
        for top in (self.mod + "/d/a/deep", self.src + "/d/a/deep", self.out + "/deep", self.mod + "/d/t", self.mod + "/d/bk", self.mod + "/d/.p",
                    self.mod + "/alt/a", self.got):
            os.makedirs(top)
        for i in range(FILES):
            write_file(f"{self.src}/d/a/f{i}", os.urandom(3000))
            write_file(f"{self.src}/d/a/deep/f{i}", os.urandom(300))
            for where in ("", "deep/"):
                write_file(f"{self.out}/{where}f{i}", SECRET * 10, mtime=10**18)
        for i in range(1, len(DEEP) if kind == "deep" else 0):
            for top in (self.src + "/d", self.mod + "/d", self.out):
                os.makedirs("/".join([top, *DEEP[1:i + 1]]), exist_ok=True)
                write_file("/".join([top, *DEEP[1:i + 1], "f1"]), SECRET if top == self.out else b"inside\n", mtime=10**18)
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
        self.before, self.watch = fingerprint(self.out), Watch(self.out)

    def pairs(self, what):
        names = what.split("/")
        if self.kind == "deep":
            # Each in its turn: two of them are in opposite phases most of the time.
            return [Pair("/".join([self.mod, *DEEP[:n + 1]]), "link", "/".join([self.out, *DEEP[1:n + 1]]), None)
                    for n in (1, len(DEEP) // 2, len(DEEP) - 1)]
        target = self.out + ("/" + names[-1] if names[-1] in ("f1", "deep") else "")
        return [Pair(f"{self.mod}/{what}", self.kind, target, self.work + "/moved" if self.kind == "moved" else self.mod + "/elsewhere")]

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

    def race(self, what, args, refill=False):
        with self.daemon() as d:
            self.run(what, [a.replace("URL", d.url("m")) for a in args], refill)
            assert not d.wait_idle()
            log = d.read_log()
        assert "killed by signal" not in log and "violation" not in log, log[-3000:]

    def race_server(self, what, args, user, refill=False):
        """Over a remote shell, in the place of the destination or source; the racing process belongs to the owner."""
        shell = ["-e", rsh(self.work), f"--rsync-path={HOOKS if self.disable else KEDGE}"]
        self.run(what, shell + [a.replace("URL", "h:" + self.mod) for a in args], refill, user=user,
                 env={"KEDGE_DISABLE": self.disable} if self.disable else None)

    def run(self, what, args, refill, **kw):
        count = 0
        with Flipper(self.pairs(what), self.owner):
            end = time.time() + SECONDS * (3 if SANITIZED else 1)
            while time.time() < end or count < 2:
                if refill:
                    self.fill()
                r = client(args, **kw)
                if r.returncode == 4 and b"not supported" in r.stderr:
                    pytest.skip(f"{args[0]}: {r.stderr.decode().splitlines()[0]}")
                count += 1
                check_clean(r)
        assert not self.watch.seen()
        assert fingerprint(self.out) == self.before
        assert not secret_in(self.got)


needs_hooks = pytest.mark.skipif(not os.access(HOOKS, os.X_OK), reason=f"{HOOKS} was not built")


def runs(rows, others=("replace", "depth", "link")):
    """Each row with every layer, and every second one with nothing but resolution and in another of the ways."""
    alone = [r if r[-1] in KINDS else (*r, "replace" if r[-1].endswith("f1") else others[i % len(others)]) for i, r in enumerate(rows[::2])]
    rows = [r if r[-1] in KINDS else (*r, "link") for r in rows]
    return [pytest.param(*r, None, id=" ".join(r)) for r in rows] + [
        pytest.param(*r, "chroot,landlock,trial", id=" ".join(r) + ", resolution alone", marks=needs_hooks) for r in alone]


# options, what is exchanged, how if not with a link; the destination is d of the module
PUSH = [
    ("-aI", "d/a"), ("-aI", "d/a/f1"), ("-aI", "d"), ("-aI --inplace", "d/a"), ("-aI --inplace", "d/a/f1"), ("-aI --delete", "d/a"),
    ("-aI --delete-before", "d/a/deep"), ("-aHAXI", "d/a/f1"), ("-aHAXI", "d/a"), ("-aI -b", "d/a", "replace"),
    ("-aI -b --backup-dir=bk", "d/bk"), ("-aHAXI -b", "d/a"), ("-aHAXI -b --backup-dir=bk", "d/bk", "replace"),
    ("-aHAXI --inplace", "d/a/f1"), ("-aHAXI --inplace", "d", "deep"), ("-aHAXI --delete", "d/a/deep", "moved"),
    ("-aHAXI --delete", "d/a", "depth"), ("-aI --partial-dir=.p --delay-updates", "d/a"),
    ("-aHAXI --partial-dir=.p --delay-updates", "d/a"), ("-aI --temp-dir=t", "d/t", "replace"), ("-aHAXI --temp-dir=t", "d/t"),
    ("-aHI --link-dest=../alt", "alt/a", "replace"), ("-aHAXI --link-dest=../alt", "alt/a"), ("-aKI", "d/a"), ("-aHAXKI", "d", "deep"),
    ("-a --append", "d/a/f1"),
]


@pytest.mark.parametrize("opts,what,kind,disable", runs(PUSH))
def test_push(work, opts, what, kind, disable):
    p = Place(work, disable, kind=kind)
    p.fill()
    p.race(what, [*opts.split(), p.src + "/d/", "URL/d/"])


PULL = [("-a", "d/a"), ("-a", "d/a/f1"), ("-rL", "d/a"), ("-rLc", "d/a/f1", "replace"), ("-rk", "d/a"), ("-aR", "d"),
        ("-r --remove-source-files", "d/a"), ("-aHAX", "d/a/deep", "moved"), ("-aHAX", "d", "deep"), ("-aHAX", "d/a/f1"), ("-aHAXL", "d/a"),
        ("-aHAXk", "d/a", "replace"), ("-aHAX --remove-source-files", "d/a"), ("-aHAX --remove-source-files", "d/a/f1")]


@pytest.mark.parametrize("opts,what,kind,disable", runs(PULL))
def test_pull(work, opts, what, kind, disable):
    p = Place(work, disable, kind=kind)
    p.fill()
    p.race(what, [*opts.split(), "URL/d/", p.got + "/"], refill="remove" in opts)


# No modes that follow links: there a user's own server may leave the tree.
SERVER = [("push", "-aI", "d/a"), ("push", "-aHAXI --inplace", "d/a/f1"), ("push", "-aHAXI -b --delete", "d/a"),
          ("push", "-aHAXI --partial-dir=.p --delay-updates", "d/a"), ("pull", "-aHAX", "d/a"), ("pull", "-a", "d/a/f1"),
          ("pull", "-aHAX --remove-source-files", "d/a")]


@pytest.mark.parametrize("user", [None, NOBODY] if IS_ROOT else [None])
@pytest.mark.parametrize("way,opts,what,kind,disable", runs(SERVER, ("replace", "link")))
def test_server(work, way, opts, what, kind, disable, user):
    """A user's own server, and root's in the tree of somebody else."""
    p = Place(work, disable, NOBODY if IS_ROOT else None, kind)
    p.fill()
    args = [*opts.split(), *([p.src + "/d/", "URL/d/"] if way == "push" else ["URL/d/", p.got + "/"])]
    p.race_server(what, args, user, "remove" in opts)


def test_a_naive_program_is_fooled(work):
    """The same place and the same exchange: a writer and a reader that use paths do escape."""
    p = Place(work)
    p.fill()
    written = read = 0
    noticed = set()
    with Flipper(p.pairs("d/a")) as flipper:
        end = time.time() + LIMIT
        while not (read and written and flipper.live()) and time.time() < end:
            for i in range(FILES):
                with contextlib.suppress(OSError), open(f"{p.mod}/d/a/f{i}", "rb") as f:
                    read += SECRET in f.read()
                with contextlib.suppress(OSError):
                    if not os.path.islink(p.mod + "/d/a"):  # to check first does not help
                        with open(f"{p.mod}/d/a/f{i}", "r+b") as f:
                            f.write(b"overwritten")
            noticed |= p.watch.seen()
            after = fingerprint(p.out)
            p.watch.seen()      # what the line above did
            written = sum(after[k] != p.before[k] for k in p.before)
    assert read and written, (read, written)
    assert {e.split(":")[0] for e in noticed} >= {"opened", "read", "written"}
