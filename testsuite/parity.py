"""One client command against two servers: the stock rsync and kedge must give equal trees, item lines, messages,
numbers and exit codes.

A Pair owns one directory per server, equal in length, each with its own daemon. A case is laid out there twice from
the same templates, run, and compared. Every parity test (options, filters, random sessions) goes through Pair.compare.
"""
import contextlib
import dataclasses
import os
import re
import shlex
import shutil
import subprocess
import tempfile
import time

import harness
from harness import CLIENTS, Daemon, IS_ROOT, LIMIT, STOCK_350, difference, rsh, snapshot, write_file

OLD = 1_400_000_000 * 10**9
NEW = 1_600_000_000 * 10**9
FRESH, FUTURE = 1_750_000_000 * 10**9, 2_000_000_000 * 10**9     # what is in between was made by the run itself
NOBODY = 65534


@dataclasses.dataclass(frozen=True)
class Case:
    """opts, `sources` (relative to the case's directory, of the sending side) and `dest`; `layout` names how the
    destination starts. `{remote}` in opts is where the server sees the case's directory."""
    opts: str
    sources: str = "src/"
    dest: str = "dst/"
    layout: str = "old"

    @staticmethod
    def parse(line):
        """opts [| sources [| dest [| layout]]], empty parts take the defaults."""
        parts = [p.strip() for p in line.split(" | ")] if " | " in line else [line.strip()]
        names = [f.name for f in dataclasses.fields(Case)]
        return Case(**{n: p for n, p in zip(names, parts) if p or n == "opts"})

    def __str__(self):
        parts = [self.opts]
        for f in dataclasses.fields(Case)[1:]:
            if getattr(self, f.name) != f.default:
                parts.append(f"{f.name[0]}:{getattr(self, f.name)}")
        return " ".join(parts)


@dataclasses.dataclass(frozen=True)
class Way:
    """How a case travels: direction, transport, protocol (None: the newest), version of the client."""
    push: bool
    rsh: bool = False
    proto: int = None
    version: str = "3.5.0"
    user: int = None        # who runs the remote-shell server and the client

    def __str__(self):
        return "-".join(["push" if self.push else "pull", "rsh" if self.rsh else "tcp", f"p{self.proto or 32}",
                         *([self.version] if self.version != "3.5.0" else []), *(["user"] if self.user else [])])


RACY = (b"write error", b"unexpectedly closed", b"Broken pipe", b"Connection reset", b"error in socket IO", b"error in rsync protocol data stream",
        b"received SIGUSR1", b"protocol incompatibility (code 2) [Receiver]")


def lines(text, root, failed):
    """Output without what is never the same twice."""
    text = text.replace(root, b"ROOT")
    for pattern, to in ((rb"\r[^\n]*\r", b"\r"), (rb" +[0-9.]+[kMG]?B/s +[0-9:?]+", b"RATE"), (rb"opening (tcp )?connection .*", b""),
                        (rb"\[([\w ]+)=[0-9.]+\w*\]", rb"[\1]"), (rb" at [\w./]+\(\d+\)", b""), (rb"[0-9,.]+[KMG]? bytes/sec", b"N bytes/sec"),
                        (rb"(sent|received|Total bytes sent:|Total bytes received:) +[0-9,.]+[KMG]?", rb"\1 N"),
                        (rb"speedup is [0-9,.]+", b"speedup"), (rb"File list (generation|transfer) time: .*", b""),
                        (rb"port \d+", b"port N"), (rb"total: matches=.*", b""), (rb"\.[A-Za-z0-9]{6}(\"|')", rb".XXXXXX\1"),
                        (rb"/\.([^/\n]+)\.\d+\"", rb'/\1"')):
        text = re.sub(pattern, to, text)
    return [x for x in text.split(b"\n") if x and not (failed and any(w in x for w in RACY))]


@dataclasses.dataclass
class Result:
    code: int
    out: list
    err: list
    tree: dict
    sent: int = 0


def roomy():
    """Memory is quicker than a disk, where there is enough of it."""
    with contextlib.suppress(OSError):
        st = os.statvfs("/dev/shm")
        if os.access("/dev/shm", os.W_OK) and st.f_favail > 100_000 and st.f_bavail * st.f_frsize > 1 << 29:
            return "/dev/shm"
    return None


class Pair:
    """The two servers. templates: {name: function(directory)} that make what a layout consists of."""

    def __init__(self, layouts, modules=None):
        self.top = tempfile.mkdtemp(prefix="kedge-parity-", dir=roomy())
        os.chmod(self.top, 0o755)
        self.born = time.time_ns() // 10**9 * 10**9
        self.layouts = layouts
        self.modules = modules or {}
        self.made = {}
        self.daemons = {}
        self.sides = {"stock": STOCK_350, "kedge": harness.KEDGE}
        for name in self.sides:
            os.makedirs(self.place(name))
            os.chmod(os.path.dirname(self.place(name)), 0o755)

    def place(self, side):
        return os.path.join(self.top, side, "w")

    def template(self, layout):
        """The directory that a case of this layout starts from; made once."""
        if layout not in self.made:
            path = os.path.join(self.top, "layout-" + layout)
            os.mkdir(path)
            self.layouts[layout](path, lambda name: self.template(name))
            self.settle_atimes(path)
            self.made[layout] = path
        return self.made[layout]

    def settle_atimes(self, path):
        """So recent that reading does not change them."""
        for d, _, files in os.walk(os.fsencode(path)):
            for name in files:
                f = os.path.join(d, name)
                if os.path.isfile(f):
                    os.utime(f, ns=(self.born, os.lstat(f).st_mtime_ns), follow_symlinks=False)

    def daemon(self, side):
        if side not in self.daemons:
            ids = {"uid": 0, "gid": 0} if IS_ROOT else {}
            base = {"path": self.place(side), "read only": "no", "munge symlinks": "no", "max verbosity": 9, **ids}
            if IS_ROOT and side == "kedge":
                base["device nodes"] = "any"
            mods = {"m": base, **{n: {**base, **p} for n, p in self.modules.items()}}
            self.daemons[side] = Daemon(os.path.join(self.top, side), mods, binary=self.sides[side])
        return self.daemons[side]

    def lay(self, side, case, way):
        place = self.place(side)
        subprocess.run(["rm", "-rf", place], check=True)
        subprocess.run(["cp", "-a", self.template(case.layout), place], check=True)
        os.chmod(place, 0o755)
        if way.user:
            subprocess.run(["chown", "-Rh", f"{way.user}:{way.user}", place], check=True)
        return place

    def command(self, side, case, way, module="m"):
        server = f"{module}/" if not way.rsh else ""
        words = shlex.split(case.opts.replace("{remote}", f"/{module}/" if not way.rsh else ""))
        sources, dest = shlex.split(case.sources), case.dest
        if way.rsh:
            far = lambda p: "h:" + p  # noqa: E731
            words += ["-e", rsh(os.path.dirname(self.place(side))), f"--rsync-path={self.sides[side]}"]
        else:
            far = lambda p: self.daemon(side).url(server + p)  # noqa: E731
        if way.push:
            dest = far(dest)
        else:
            sources = [far(s) for s in sources]
        proto = [f"--protocol={way.proto}"] if way.proto else []
        return [CLIENTS[way.version], *proto, *words, *sources, dest]

    def run(self, side, case, way, module="m"):
        place = self.lay(side, case, way)
        env = {k: v for k, v in os.environ.items() if not k.startswith("RSYNC_")}
        env.update({"LC_ALL": "C", "HOME": "/nonexistent"})
        r = subprocess.run(self.command(side, case, way, module), cwd=place, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE, timeout=LIMIT, env=env, user=way.user, group=way.user,
                           extra_groups=[] if way.user else None)
        if not way.rsh:
            self.daemon(side).wait_idle()
            assert side != "kedge" or "killed by signal" not in self.daemon(side).read_log()
        tree = snapshot(place, links=True, xattrs=True)
        for name in (b".", b"batch", b"batch.sh"):
            tree.pop(name, None)
        for facts in tree.values():
            if FRESH < facts["mtime"] < FUTURE:
                facts["mtime"] = "now"
        root, failed = place.encode(), r.returncode not in (0, 23, 24, 25)
        m = re.search(rb"Total bytes sent: ([0-9,]+)", r.stdout)
        return Result(r.returncode, lines(r.stdout, root, failed), lines(r.stderr, root, failed), tree,
                      int(m[1].replace(b",", b"")) if m else 0)

    def compare(self, case, way, module="m", ordered=False, unique=False, early=(), keep=lambda line: True):
        """Returns what differs, as text; empty if nothing does. keep: which lines count; unique: not how often; early: exit
        codes of an end before the end, where it is chance how far things came."""
        a, b = (self.run(side, case, way, module) for side in self.sides)
        if any(b"Invalid packet at end of run" in x or b"(got_flist_entry_status)" in x for x in a.err):
            return ""       # a stock client that does not even get along with its own kind
        if a.code == b.code and a.code in early:
            return ""
        diff = difference(a.tree, b.tree)
        diff = [d for d in diff if keep(d.encode(errors="surrogateescape"))]
        assert a.code != 1 or not any(b"unknown option" in x for x in a.err), "the client itself does not know an option"
        # How a client sees the other side end early, and what it says then, depends on who is faster.
        if a.code and b.code and {a.code, b.code} & {10, 12}:
            for r in (a, b):
                r.code, r.err = 12, [x for x in r.err if not x.startswith(b"rsync error:")]
        if a.code != b.code and keep(b"exit code %d != %d" % (a.code, b.code)):
            diff.append(f"exit code {a.code} != {b.code}")
        for what, x, y in (("stdout", a.out, b.out), ("stderr", a.err, b.err)):
            x, y = list(filter(keep, x)), list(filter(keep, y))
            if unique:
                x, y = set(x), set(y)
            if not ordered:
                x, y = sorted(x), sorted(y)
            if x != y:
                diff.append(f"{what} differs:")
                diff += [f"  stock: {t!r}" for t in minus(x, y)] + [f"  kedge: {t!r}" for t in minus(y, x)]
                if not minus(x, y) and not minus(y, x):
                    diff.append("  only in order")
        return "\n".join(diff[:40])

    def close(self):
        try:
            for d in self.daemons.values():
                d.stop()
        finally:
            shutil.rmtree(self.top, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


def minus(x, y):
    left = list(y)
    out = []
    for line in x:
        if line in left:
            left.remove(line)
        else:
            out.append(line)
    return out


# ---- the tree of the option matrix ----

def put(top, name, data=None, mode=0o644, mtime=None, ids=None):
    path = os.path.join(top, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if os.path.lexists(path) and not os.path.isdir(path):
        os.unlink(path)
    write_file(path, (name.encode(errors="surrogateescape") + b"\n") * 20 if data is None else data, mode,
               NEW + len(name) * 10**9 + 7 if mtime is None else mtime)
    if ids and IS_ROOT:
        os.chown(path, *ids)
        os.chmod(path, mode)


def noise(n, seed=1):
    """Bytes without repetition."""
    out, x = bytearray(), seed
    while len(out) < n:
        x = (x * 6364136223846793005 + 1442695040888963407) & (1 << 64) - 1
        out += x.to_bytes(8, "little")[2:7]
    return bytes(out[:n])


def settle(top, when):
    """Links, specials and directories get times that do not depend on when the tree was made."""
    for d, dirs, files in os.walk(top, topdown=False):
        for name in dirs + files:
            path = os.path.join(d, name)
            if os.path.islink(path) or not os.path.isfile(path):
                t = when + len(name) * 10**9 + 5
                os.utime(path, ns=(t, t), follow_symlinks=False)
    os.utime(top, ns=(when, when))


def source(top, _):
    """What is sent: one of everything."""
    src = os.path.join(top, "src")
    put(src, "plain")
    put(src, "empty", b"")
    put(src, "exe", mode=0o755, ids=(1, 2))
    put(src, "setid", mode=0o6755, ids=(3, 4))
    put(src, "readonly", mode=0o400)
    put(src, "delta", noise(60000))
    put(src, "moved", noise(20000, 3) + noise(30000, 2))
    put(src, "swap", noise(16384, 6) + noise(16384, 5))
    put(src, "grown", noise(9000, 4))
    put(src, "holes", b"head" + bytes(70000) + noise(5000) + bytes(40000))
    put(src, "zeros", bytes(50000))
    put(src, "text", b"".join(b"line %d of a compressible text\n" % i for i in range(900)))
    for name in ("same", "sizesame", "timesame", "newer", "older", "modeonly", "nsonly", "regdir", "reglink", "regfifo", "regfull"):
        put(src, name, mode=0o640 if name == "modeonly" else 0o644)
    for name in ("owneronly",):
        put(src, name, ids=(5, 6))
    for name in ("sp ace", "new\nline", "-x", "a-b/f", "a/f", "a/sub/f", "A/q", "*star", "[br]", "back\\slash", "#hash", ";semi", ".hid/.f",
                 "bad\udcff\udcfe", "uml\u00e4ut", "trail.", "x" * 245, "..dots"):
        put(src, "odd/" + name)
    put(src, "/".join(["deep"] + [f"level{i:02}_abcdefgh" for i in range(12)] + ["f"]))
    os.makedirs(src + "/emptydir/inner")
    os.makedirs(src + "/Directory.over.File")
    put(src, "Directory.over.File/in")
    put(src, "renamed-2.0.tar.gz", noise(12000, 8))
    put(src, "fz/data-b.bin", noise(9000, 9))
    put(src, "alt/exact")
    put(src, "alt/attr", mode=0o600)
    put(src, "alt/delta", noise(15000, 10))
    put(src, "alt/second")
    put(src, "alt/have")
    put(src, "alt/sub/exact2")
    for name, target in (("l1", "exe"), ("dang", "nowhere"), ("ldir", "a-dir"), ("labs", "/etc/hostname"), ("odd/lup", "../exe"),
                         ("odd/out", "../../x"), ("lchanged", "new-target"), ("is-a-link-that-was-regular", "plain"), ("alt/link", "exact")):
        os.symlink(target, os.path.join(src, name))
    put(src, "a-dir/one")
    put(src, "a-dir/two", mode=0o600)
    os.mkfifo(src + "/fifo", 0o640)
    os.mkfifo(src + "/becomes-a-fifo-from-a-file", 0o600)
    if IS_ROOT:
        os.mknod(src + "/chr", 0o20644, os.makedev(1, 3))
        os.mknod(src + "/blk", 0o60600, os.makedev(259, 7000))
        os.chown(src + "/a-dir", 7, 12345)
        os.chown(src + "/l1", 9, 9, follow_symlinks=False)
    for name in ("hl/a", "hl/n1", "hl/x1"):
        put(src, name)
    os.link(src + "/hl/a", src + "/hl/b")
    os.link(src + "/hl/a", src + "/a-dir/hlc")
    os.link(src + "/hl/n1", src + "/hl/n2")
    os.link(src + "/hl/x1", src + "/hl/x2")
    os.link(src + "/delta", src + "/hl/delta2")
    os.link(src + "/l1", src + "/hl/l1b", follow_symlinks=False)
    put(src, "filt/.rsync-filter", b"- *.o\n+ keep.tmp\n- *.tmp\n- /anch\n")
    put(src, "filt/.cvsignore", b"ign*\n")
    for name in ("x.o", "y.c", "keep.tmp", "no.tmp", "anch", "sub/anch", "sub/z.o", "core", "ignored"):
        put(src, "filt/" + name)
    put(src, "filt/sub/.rsync-filter", b"!\n- z.*\n")
    settle(src, NEW)
    os.chmod(src + "/emptydir", 0o555 if not IS_ROOT else 0o2750)
    for name in ("1/f", "1/both/c", "1/both/only1", "1/yd2", "2/f", "2/both/c", "2/both/only2", "2/yd2/in"):
        put(top, "dup" + name)
    os.makedirs(top + "/dup1/xd")
    os.makedirs(top + "/dup2/yd")
    with open(os.path.join(top, "list"), "w") as f:
        f.write("exe\nodd/a/sub\n/a-dir/\n#hash\n./odd/a-b\nl1\n\nnonexist\nalt/sub/exact2\n;semi\nodd/./A/q\nldir/one\nfilt")
    with open(os.path.join(top, "list0"), "w") as f:
        f.write("exe\0odd/a\0nonexist\0plain\0odd/new\nline")
    with open(os.path.join(top, "listlinks"), "w") as f:
        f.write("dang/\nl1/.\nodd/lup/\nldir/\nnodir/a\nnodir\nnodir/b\ngone/a\ngone/b")
    for d in ("dup1", "dup2"):
        settle(os.path.join(top, d), NEW)


def old(top, template):
    """The destination holds an earlier state: one of every kind of change."""
    subprocess.run(["cp", "-a", template("new") + "/.", top], check=True)
    src, dst = os.path.join(top, "src"), os.path.join(top, "dst")
    subprocess.run(["rm", "-rf", dst], check=True)
    subprocess.run(["cp", "-a", src, dst], check=True)
    # an old delta: edited, cut and shifted
    data = bytearray(noise(60000))
    for at in (7, 20001, 33333, 59990):
        data[at:at + 5] = b"edits"
    put(dst, "delta", bytes(data), mtime=OLD)
    put(dst, "moved", noise(30000, 2) + noise(20000, 3), mtime=OLD)
    put(dst, "swap", noise(16384, 5) + noise(16384, 6), mtime=OLD)
    put(dst, "grown", noise(4000, 4), mtime=OLD)
    put(dst, "holes", noise(90000), mtime=OLD)
    put(dst, "sizesame", b"x" * os.path.getsize(src + "/sizesame"), mtime=OLD)
    put(dst, "timesame", b"y" * os.path.getsize(src + "/timesame"), mtime=os.stat(src + "/timesame").st_mtime_ns)
    put(dst, "newer", b"newer at the destination", mtime=NEW + 50 * 10**9)
    put(dst, "older", b"older", mtime=OLD)
    put(dst, "modeonly", mode=0o604)
    put(dst, "owneronly", ids=(8, 9))
    put(dst, "nsonly", mtime=os.stat(src + "/nsonly").st_mtime_ns + 100)
    put(dst, "text", b"".join(b"line %d of a compressible text\n" % i for i in range(0, 900, 7)), mtime=OLD)
    put(dst, "exe", b"short", mode=0o644, mtime=OLD)
    put(dst, "a-dir/one", mtime=NEW + 3 * 10**9)
    for name in ("regdir", "regfull", "reglink", "regfifo", "is-a-link-that-was-regular", "becomes-a-fifo-from-a-file", "plain", "empty", "dang", "hl/n1", "hl/n2", "hl/x2", "renamed-2.0.tar.gz",
                 "fz/data-b.bin", "chr", "alt/exact", "alt/attr", "alt/delta", "alt/second", "alt/sub/exact2", "alt/link"):
        if os.path.lexists(os.path.join(dst, name)):
            os.unlink(os.path.join(dst, name))
    shutil.rmtree(dst + "/Directory.over.File")
    shutil.rmtree(dst + "/odd/a")
    put(dst, "Directory.over.File", b"a file where a directory comes")
    os.mkdir(dst + "/regdir")
    put(dst, "regfull/in/side")
    os.symlink("exe", dst + "/reglink")
    os.mkfifo(dst + "/regfifo")
    put(dst, "is-a-link-that-was-regular")
    put(dst, "becomes-a-fifo-from-a-file")
    os.unlink(dst + "/lchanged")
    os.symlink("old-target", dst + "/lchanged")
    if IS_ROOT:
        os.mknod(dst + "/chr", 0o20644, os.makedev(1, 5))
    os.unlink(dst + "/hl/a")
    put(dst, "hl/a")
    os.link(dst + "/hl/x1", dst + "/hl/extra-link")
    put(dst, "renamed-1.9.tar.gz", noise(6000, 8) + b"-" + noise(12000, 8)[6000:], mtime=OLD)
    put(dst, "fz/data-a.bin", noise(9000, 9), mtime=os.stat(src + "/fz/data-b.bin").st_mtime_ns)
    for name in ("extra", "extra.o", "extradir/a/b", "extradir/c", "odd/gone", "plain~", "filt/extra.o", "filt/gone", "emptydir/inner/e", "gone.old/x"):
        put(dst, name, mtime=OLD)
    os.symlink("nowhere", dst + "/extralink")
    put(dst, ".part/delta", noise(30000), mtime=OLD)
    put(dst, ".part/plain", b"plain\n", mtime=OLD)
    put(dst, "bdir/keep", mtime=OLD)
    os.makedirs(dst + "/.tmp")
    settle(dst, NEW)
    os.utime(dst + "/emptydir", ns=(OLD, OLD))
    os.chmod(dst + "/odd", 0o700)
    os.utime(dst, ns=(OLD, OLD))
    for i in (1, 2):
        alt = os.path.join(top, f"alt{i}")
        os.makedirs(alt)
        os.chown(alt, os.geteuid(), os.getegid())
    subprocess.run(["cp", "-a", src + "/alt", src + "/hl", src + "/exe", src + "/plain", src + "/l1", src + "/fifo", top + "/alt1"], check=True)
    subprocess.run(["cp", "-a", src + "/alt", src + "/fz", src + "/chr" if IS_ROOT else src + "/fifo", src + "/empty", top + "/alt2"], check=True)
    os.unlink(top + "/alt1/alt/second")
    os.chmod(top + "/alt1/alt/attr", 0o666)
    put(top, "alt1/alt/delta", noise(7000, 10) + b"edit" + noise(15000, 10)[7000:], mtime=OLD)
    put(top, "alt1/alt/have", mtime=OLD)
    put(top, "alt2/alt/delta", b"other", mtime=OLD)
    put(top, "alt2/fz/data-bb.bin", noise(9000, 9)[:8000], mtime=OLD)
    os.unlink(top + "/alt2/fz/data-b.bin")
    for i in (1, 2):
        settle(f"{top}/alt{i}", OLD)


def empty(top, template):
    subprocess.run(["cp", "-a", template("new") + "/.", top], check=True)
    os.mkdir(top + "/dst")
    os.utime(top + "/dst", ns=(OLD, OLD))


def linked(top, template):
    """For -K: a directory of the source is a link to one at the destination."""
    old(top, template)
    shutil.rmtree(top + "/dst/a-dir")
    put(top, "dst/real/one", mtime=OLD)
    os.symlink("real", top + "/dst/a-dir")
    settle(top + "/dst", OLD)


def same(top, template):
    """Nothing to do."""
    subprocess.run(["cp", "-a", template("new") + "/.", top], check=True)
    subprocess.run(["cp", "-a", top + "/src", top + "/dst"], check=True)


def append(top, template):
    """Every regular file at the destination is the beginning of its source, or longer, or differs in the beginning."""
    same(top, template)
    n = 0
    for d, _, files in os.walk(top + "/dst"):
        for name in sorted(files):
            path = os.path.join(d, name)
            if os.path.islink(path) or not os.path.isfile(path) or os.stat(path).st_nlink > 1:
                continue
            n += 1
            with open(path, "r+b") as f:
                size = os.fstat(f.fileno()).st_size
                if n % 4 == 0:
                    f.seek(0, 2)
                    f.write(b"longer")
                else:
                    f.truncate(size // 2)
                if n % 4 == 1 and size:
                    f.seek(0)
                    f.write(b"!")
            os.utime(path, ns=(OLD, OLD))


LAYOUTS = {"new": source, "old": old, "empty": empty, "linked": linked, "same": same, "append": append}
