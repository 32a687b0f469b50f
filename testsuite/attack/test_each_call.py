"""What test_races.py leaves to chance, in order: a confined process is stopped before its n-th file-system call, and for that
call, or from then on, a directory or a file of the module is a symlink to something outside.

Nothing outside may be reached, and the session ends cleanly. With the resolve flags taken out of its openat2 calls the same
transfers do reach it. So it is with root's processes before they are confined, when they look up the place where they will be, and somebody
else's link is there. KEDGE_EVERY_CALL=1 tries every n; without it a few of each row.
"""
import os
import random
import shutil
import time

import pytest
import stopper
from harness import Daemon, IS_ROOT, KEDGE, LIMIT, SANITIZED, children, client, rsh, write_file
from outside import SECRET, Watch, check_clean, fingerprint, mark, secret_in
from takeover import HOOKS

pytestmark = [pytest.mark.skipif(not os.access(HOOKS, os.X_OK), reason=f"{HOOKS} was not built"),
              pytest.mark.skipif(SANITIZED, reason="a sanitizer build makes calls of its own")]
IDS = {"uid": 0, "gid": 0} if IS_ROOT else {}
EVERY = os.environ.get("KEDGE_EVERY_CALL")
CALLS = 30                  # each row has more
NOBODY = 65534
ALONE = "chroot,landlock,trial"
FILES = ("f1", "f2")


@pytest.fixture(scope="session")
def tool(tmp_path_factory):
    top = tmp_path_factory.mktemp("stopper")
    for d in (top, top.parent):
        d.chmod(0o755)
    return stopper.build(str(top))


class Place:
    """A small module with files in d/a, made anew for each transfer, a source, and the outside."""

    def __init__(self, work):
        self.work = work
        self.top, self.mod, self.out, self.src, self.got, self.spare = (
            os.path.join(work, n) for n in ("top", "top/mod", "outer/mod", "src", "got", "spare"))
        for d in (self.src + "/d/a/deep", self.out + "/deep"):
            os.makedirs(d)
        for where in ("", "deep/"):
            for f in FILES:
                write_file(f"{self.src}/d/a/{where}{f}", os.urandom(3000))
                write_file(f"{self.out}/{where}{f}", SECRET * 100, mtime=10**18)
        write_file(self.src + "/d/a/deep/.rules", b"- *.o\n")
        os.symlink("no target", self.src + "/d/a/link")
        os.link(self.src + "/d/a/f1", self.src + "/d/a/hard")
        os.mkfifo(self.src + "/d/a/fifo")
        if IS_ROOT:
            os.mknod(self.src + "/d/a/null", 0o20644, os.makedev(1, 3))
        for p in ("/f1", "/deep"):
            mark(self.src + "/d/a" + p, b"value")
        for p in ("", "/f1", "/deep"):
            mark(self.out + p, SECRET)
        self.before, self.watch = fingerprint(self.out), Watch(self.out)

    def lay(self, flips):
        """The module as it is before a transfer; returns the pairs of paths that change places."""
        for top in (self.top, self.mod, self.spare, self.got):
            if os.path.islink(top):
                os.unlink(top)
            shutil.rmtree(top, ignore_errors=True)
        for d in ("d/a/deep/gone", "d/t", "d/bk", "d/.p", "d/a/.p", "alt/a/deep", "d/fs"):
            os.makedirs(f"{self.mod}/{d}")
        os.mkdir(self.spare)
        os.mkdir(self.got)
        for f in FILES:
            for where in ("d/a/", "d/a/deep/", "alt/a/"):
                write_file(f"{self.mod}/{where}{f}", b"inside\n" * 300)
        shutil.copyfile(self.src + "/d/a/f2", self.mod + "/alt/a/f2")
        write_file(self.mod + "/d/a/.p/f2", b"a part")
        write_file(self.mod + "/d/a/deep/gone/x.o", b"x")
        write_file(self.mod + "/d/a/.rules", b"- *.o\n")
        os.symlink("f1", self.mod + "/d/a/to-f1")
        os.symlink("a/deep", self.mod + "/d/to-deep")
        mark(self.mod + "/d/a/f1", b"inside")
        return [self.pair(i, *flip) for i, flip in enumerate(flips)]

    def pair(self, i, what, kind):
        a, b = os.path.normpath(f"{self.mod}/{what}"), f"{self.spare}/{i}"
        name = what.rsplit("/", 1)[-1]
        target = os.path.normpath(self.out + ("/" + name if name in (*FILES, "..") else "" if name in ("a", "d", ".") else "/deep"))
        if kind == "link":
            # Relative, so that it leads outside for a resolution that knows no more than where its root is.
            os.symlink(os.path.relpath(target, os.path.dirname(a)), b)
        elif kind == "fifo":
            os.mkfifo(b)
        elif kind == "directory":
            os.mkdir(b)
        elif kind == "moved":       # a directory, out of the module
            os.makedirs(b + "/deep")
        else:                       # a directory, to another depth of the module
            b = f"{self.mod}/{kind}"
        return a, b


class Victim:
    """Something that transfers, with its file-system calls under control."""

    def __init__(self, tool, work, disable=ALONE):
        self.disable = disable
        self.place, self.env = Place(work), {"KEDGE_DISABLE": disable} if disable else {}
        self.stopper = stopper.Stopper(tool, work, HOOKS if disable else KEDGE)
        self.daemon = None

    def over_tcp(self):
        mods = {n: {"path": self.place.mod, "read only": "no", "use chroot": "no", "munge symlinks": "no", **IDS, **more}
                for n, more in (("m", {}), ("n", {"device nodes": "any"}), ("f", {"fake super": "yes"}))}
        os.makedirs(self.place.mod)
        self.daemon = Daemon(self.place.work, mods, binary=self.stopper.program, env=self.env, global_lines=["socket options = TCP_NODELAY"])
        return self.daemon

    def run(self, way, opts, flips, first, **how):
        """One transfer, and whether anything outside was reached."""
        p, s = self.place, self.stopper
        pairs = p.lay(flips)
        for _, b in pairs if how.get("early") else ():
            os.lchown(b, NOBODY, NOBODY)    # a link of root's own would be followed
        moved = [p.mod + "/" + what for what, kind in flips if kind == "moved"]
        s.arm(first, pairs, moved or [p.out], held=bool(moved), **how)
        p.watch.seen()
        module, *words = opts.split()
        if module in ("m", "n", "f"):
            args, url = words, self.daemon.url(module)
        else:
            args, url = ["-e", rsh(p.work), f"--rsync-path={s.program}", module, *words], "h:" + p.mod
        args += ["--sockopts=TCP_NODELAY", *([p.src + "/d/", url + "/d/"] if way == "push" else [url + "/d/", p.got + "/"])]
        r = client(args, env=self.env)
        end = time.time() + LIMIT
        while self.daemon and children(self.daemon.proc.pid) and time.time() < end:
            time.sleep(0.002)
        s.disarm()
        return r, self.reached(s)

    def reached(self, s):
        events = sorted(self.place.watch.seen())
        after = fingerprint(self.place.out)
        changed = sorted(k for k in after.keys() | self.place.before.keys() if after.get(k) != self.place.before.get(k))
        self.place.watch.seen()
        return {k: v for k, v in {"call": s.leak(), "events": events, "changed": changed, "delivered": secret_in(self.place.got)}.items() if v}


@pytest.fixture(scope="module")
def daemon_alone(tool, tmp_path_factory):
    yield from serve(tool, tmp_path_factory, ALONE)


@pytest.fixture(scope="module")
def daemon_landlock(tool, tmp_path_factory):
    yield from serve(tool, tmp_path_factory, "chroot,trial")


@pytest.fixture(scope="module")
def daemon_whole(tool, tmp_path_factory):
    yield from serve(tool, tmp_path_factory, None)


def serve(tool, tmp_path_factory, disable):
    top = tmp_path_factory.mktemp("each")
    for d in (top, top.parent):
        d.chmod(0o755)
    v = Victim(tool, str(top), disable)
    with v.over_tcp() as d:
        yield v
        assert not d.wait_idle()
    log = d.read_log()
    assert "killed by signal" not in log and "violation" not in log, log[-3000:]


def chosen(name):
    """(first, stride, stay) of the runs of a row: one call; from one call on; every few calls."""
    rnd = random.Random(name)
    return [(rnd.randint(1, CALLS), 0, 0), (rnd.randint(1, CALLS), 0, 1), (rnd.randint(1, 4), rnd.randint(2, 5), rnd.randint(0, 1))]


def each_call(v, way, opts, flips):
    def check(first, stride, stay):
        r, out = v.run(way, opts, flips, first, stride=stride, stay=stay)
        if r.returncode == 4 and b"not supported" in r.stderr:
            pytest.skip(f"{opts}: {r.stderr.decode().splitlines()[0]}")
        assert not out, (first, stride, stay, out, r.stderr)
        check_clean(r)
        return v.stopper.hits

    if EVERY:
        for stay in (0, 1):
            first = 1
            while check(first, 0, stay):
                first += 1
            assert first > CALLS
    else:
        assert sum(check(*how) for how in chosen(f"{way} {opts} {flips}")), "nothing was exchanged"


def row(way, opts, *flips):
    flips = [tuple(f.split(":")) if ":" in f else (f, "link") for f in flips]
    return pytest.param(way, opts, flips, id=f"{way} {opts} " + " ".join(":".join(f) for f in flips))


# The module's name and options; what changes places with a symlink, or with what is named. Two at once change together.
ROWS = [
    row("push", "m -aI", "d/a"), row("push", "m -aI", "d"), row("push", "m -aI", "d/a/f1"), row("push", "m -aI", "d/a/f1:fifo"),
    row("push", "m -aI", "d/a/deep:alt/moved"), row("push", "m -aI", "d", "d/a"),
    row("push", "m -aI --inplace", "d/a"), row("push", "m -aI --inplace", "d/a/f1"), row("push", "m -aI --inplace", "d/a/f1:directory"),
    row("push", "m -a --append", "d/a/f1"), row("push", "m -aIS --preallocate", "d/a"),
    row("push", "m -aHAXI", "d/a"), row("push", "m -aHAXI --inplace", "d/a/f1"), row("push", "m -aI --delete", "d/a"),
    row("push", "m -aI --delete-before", "d/a/deep"), row("push", "m -aIF --delete", "d/a"), row("push", "m -aI --delete -b", "d/a"),
    row("push", "m -aI -b --backup-dir=bk", "d/bk"), row("push", "m -aI -b --backup-dir=bk", "d/a", "d/bk"),
    row("push", "m -aI --partial-dir=.p", "d/a/.p"), row("push", "m -aHI --partial-dir=.p --delay-updates", "d/a"),
    row("push", "m -aI --temp-dir=t", "d/t"), row("push", "m -aI --temp-dir=t", "d/a"), row("push", "m -aHI --link-dest=../alt", "alt/a"),
    row("push", "m -aI --copy-dest=../alt", "alt/a"), row("push", "m -aI --compare-dest=../alt", "d/a", "alt/a"),
    row("push", "m -aKI", "d/a"), row("push", "m -aKI", "d/a/deep"), row("push", "m -aI --fuzzy", "d/a"), row("push", "m -acI", "d/a"),
    row("push", "m -aRI --mkpath", "d"), row("push", "f -aXI", "d/a"), row("push", "f -aI", "d/a/f1"),
    row("pull", "m -a", "d/a"), row("pull", "m -a", "d/a/f1"), row("pull", "m -a", "d/a/f1:fifo"), row("pull", "m -aL", "d/a"),
    row("pull", "m -aL", "d/a/f1"), row("pull", "m -ak", "d/a/deep"), row("pull", "m -aHAX", "d/a"), row("pull", "m -ac", "d/a"),
    row("pull", "m -a --remove-source-files", "d/a"), row("pull", "m -a --remove-source-files", "d/a/f1"), row("pull", "m -aF", "d/a"),
    row("push", "m -aI --delete", "."), row("pull", "m -aL", ".."), row("pull", "m -aR", "d"), row("pull", "m -a --copy-unsafe-links", "d/a"), row("pull", "m -a", "d/a/deep:alt/moved"),
]
if IS_ROOT:
    ROWS += [row("push", "n -aI", "d/a"), row("push", "n -aIX", "d/a/null")]


@pytest.mark.parametrize("way,opts,flips", ROWS)
def test_resolution_alone(daemon_alone, way, opts, flips):
    each_call(daemon_alone, way, opts, flips)


# A directory that is moved out of the module while it is open: what opens, makes and removes fails there.
MOVED = [row("push", "m -aI --delete", "d/a:moved"), row("push", "m -aI --inplace", "d/a:moved"), row("push", "m -aI --delete -b", "d/a/deep:moved"),
         row("pull", "m -a", "d/a:moved")]
if IS_ROOT:
    MOVED += [row("push", "n -aI", "d/a:moved")]


@pytest.mark.parametrize("way,opts,flips", MOVED)
def test_landlock(daemon_landlock, way, opts, flips):
    each_call(daemon_landlock, way, opts, flips)


SERVER = [row("push", "-aI --delete", "d/a"), row("push", "-aHAXI --inplace", "d/a/f1"), row("push", "-aI -b", "d/a/deep"),
          row("push", "-aI --partial-dir=.p --delay-updates", "d/a"), row("pull", "-a", "d/a"), row("pull", "-aHAX --remove-source-files", "d/a/f1")]


@pytest.mark.parametrize("way,opts,flips", SERVER)
def test_server(tool, work, way, opts, flips):
    """A user's own server: no modes that follow links, with which it may leave the tree."""
    each_call(Victim(tool, work), way, opts, flips)


# Module, its parent, destination, source and side directories: every call that looks one of them up.
EARLY = [row("push", "m -aI", ".."), row("push", "-aI", "d"), row("pull", "-a", "d"), row("push", "m -aI", "."), row("push", "-aI", ".."),
         row("pull", "-a", "."), row("push", "-aI --temp-dir=t", "d/t"), row("push", "-aI --link-dest=../alt/a", "alt/a")]
needs_root = pytest.mark.skipif(not IS_ROOT, reason="makes links of another user")


@needs_root
@pytest.mark.parametrize("way,opts,flips", EARLY)
def test_before_it_is_confined(daemon_whole, way, opts, flips):
    first = 1
    while True:
        r, out = daemon_whole.run(way, opts, flips, first, early=1)
        assert not out, (first, out, r.stderr)
        check_clean(r)
        if not daemon_whole.stopper.hits:
            break
        first += 1
    assert first > 1, "nothing was exchanged"


@needs_root
@pytest.mark.parametrize("way,opts,flips", EARLY[:3])
def test_before_it_is_confined_links_would_be_followed(tool, work, way, opts, flips):
    v = Victim(tool, work, None)
    with v.over_tcp():
        assert any(v.run(way, opts, flips, first, early=1, weak=1, stay=stay)[1] for stay in (0, 1) for first in (1, 2, 3))


@pytest.mark.parametrize("way,opts", [("push", "m -aI --delete"), ("pull", "m -a")])
def test_without_resolve_flags_it_escapes(tool, work, way, opts):
    """The same transfers, and every way of knowing."""
    v, seen = Victim(tool, work), set()
    with v.over_tcp():
        for first in range(1, 4 * CALLS, 3):
            seen |= v.run(way, opts, [("d/a", "link")], first, weak=1, stay=1)[1].keys()
            if seen >= {"call", "events", "changed" if way == "push" else "delivered"}:
                return
    raise AssertionError(f"only {seen}")
