"""Random trees, random mutations, random options: the stock server and kedge must leave equal trees and say the same.

A seed decides everything. KEDGE_SEEDS=FIRST-LAST (or one number) runs others than the default ones; a seed that once
failed goes into FAILED.
"""
import os
import random
import re
import shutil
import struct
import subprocess

import pytest
from harness import CLIENTS, IS_ROOT, write_file
from parity import NEW, OLD, Case, Pair, Way

FAILED = [20, 24, 142, 160, 184, 186, 239, 323, 354]
DEFAULT = range(1, 41)

NAMES = [b"a", b"b", b"c", b"a.o", b"b.o", b"a.c", b"a~", b"dir", b"sub", b"x y", b"-n", b".h", b"q.bak", b"core", b"a-b", b"a.b", b"*", b"[x]", b"new\nline",
         b"bad\xff", "\u00fc".encode(), b"back\\sl", b"#x", b"z" * 200, b"log.1", b"log.2", b"data-1.bin", b"data-2.bin"]
SIZES = [0, 1, 20, 699, 700, 701, 1400, 5000, 20000, 33000]
MODES = [0o644, 0o600, 0o755, 0o444, 0o640, 0o666, 0o700]
TIMES = [OLD, OLD + 10**9, NEW, NEW + 5 * 10**9, NEW + 5 * 10**9 + 123456789]


class Tree:
    def __init__(self, rnd, top, devices):
        self.rnd, self.top, self.devices = rnd, top, devices
        os.mkdir(top)

    def dirs(self):
        return [d for d, _, _ in os.walk(self.top)]

    def entries(self):
        """Everything but the top, in a fixed order."""
        out = []
        for d, dirs, files in os.walk(self.top):
            dirs.sort()
            out += [os.path.join(d, n) for n in sorted(dirs + files)]
        return sorted(out)

    def data(self):
        size = self.rnd.choice(SIZES)
        kind = self.rnd.random()
        return bytes(size) if kind < 0.1 else self.rnd.randbytes(size) if kind < 0.6 else (b"line of text %d\n" % self.rnd.randrange(9) * size)[:size]

    def owner(self, path):
        if IS_ROOT and self.rnd.random() < 0.3:
            os.chown(path, self.rnd.choice([0, 1, 2, 1234]), self.rnd.choice([0, 1, 2, 4321]), follow_symlinks=False)

    def make(self, path):
        r = self.rnd.random()
        if r < 0.55:
            write_file(path, self.data())
        elif r < 0.75 and path.count(b"/") - self.top.count(b"/") < 5:
            os.mkdir(path)
        elif r < 0.85:
            os.symlink(self.rnd.choice([b"a", b"../b", b"nowhere", b"/etc/passwd", b"../../../x", b"dir/.."]), path)
        elif r < 0.89:
            os.mkfifo(path)
        elif r < 0.92 and self.devices:
            os.mknod(path, self.rnd.choice([0o020644, 0o060600]), os.makedev(self.rnd.randrange(1, 4), self.rnd.randrange(5)))
        else:
            files = [p for p in self.entries() if os.path.isfile(p) and not os.path.islink(p)]
            if files:
                os.link(self.rnd.choice(files), path)
                return
            write_file(path, self.data())
        if not os.path.islink(path):
            os.chmod(path, self.rnd.choice(MODES) | (0o300 if os.path.isdir(path) else 0))
        self.owner(path)

    def grow(self, n):
        for _ in range(n):
            path = os.path.join(self.rnd.choice(sorted(self.dirs())), self.rnd.choice(NAMES))
            if not os.path.lexists(path):
                self.make(path)

    def remove(self, path):
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        else:
            os.unlink(path)

    def mutate(self, n):
        for _ in range(n):
            all_of = self.entries()
            if not all_of:
                return self.grow(3)
            path, r = self.rnd.choice(all_of), self.rnd.random()
            plain = os.path.isfile(path) and not os.path.islink(path)
            if r < 0.3 and plain:
                self.edit(path)
            elif r < 0.4:
                self.remove(path)
            elif r < 0.5:
                other = os.path.join(os.path.dirname(path), self.rnd.choice(NAMES))
                if not os.path.lexists(other):
                    os.rename(path, other)
            elif r < 0.65:
                self.remove(path)
                self.make(path)
            elif r < 0.75 and not os.path.islink(path):
                os.chmod(path, self.rnd.choice(MODES) | (0o300 if os.path.isdir(path) else 0))
            elif r < 0.85:
                self.owner(path)
            else:
                self.grow(2)

    def edit(self, path):
        with open(path, "rb") as f:
            data = bytearray(f.read())
        kind = self.rnd.randrange(5)
        at = self.rnd.randrange(len(data) + 1)
        if kind == 0:
            data = data[:at] + b"inserted" + data[at:]
        elif kind == 1:
            data = data[:at]
        elif kind == 2:
            data += self.rnd.randbytes(300)
        elif kind == 3 and data:
            data[at % len(data)] ^= 1
        else:
            data = data[at:] + data[:at]
        with open(path, "r+b") as f:
            f.write(data)
            f.truncate()

    def times(self, keep):
        """Every mtime is one of few, so that some agree; `keep` of the entries stay as they are."""
        for path in reversed(self.entries()):
            if self.rnd.random() >= keep:
                t = self.rnd.choice(TIMES)
                os.utime(path, ns=(t, t), follow_symlinks=False)
        os.utime(self.top, ns=(NEW, NEW))


# ---- extended attributes and ACLs ----

ATTRS = [b"user.a", b"user.b", b"user.long-name." + b"n" * 60, b"user.bad\xff", b"user.sp ace"]
VALUES = [0, 1, 31, 32, 33, 300, 2000]


def acl(rnd, is_default):
    """In the form of the kernel: version, then tag, permissions and id of each entry."""
    entries = [(1, rnd.choice([7, 6, 7]) if not is_default else 7, None), (4, rnd.choice([0, 4, 5, 7]), None), (0x20, rnd.choice([0, 4, 5]), None)]
    named = [(tag, rnd.randrange(8), i) for tag in (2, 8) for i in (0, 1, 4321) if rnd.random() < 0.3]
    if named or rnd.random() < 0.2:
        entries += [*named, (0x10, rnd.choice([7, 5, 4, 0]), None)]
    entries.sort(key=lambda e: (e[0], -1 if e[2] is None else e[2]))
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", t, p, 0xffffffff if i is None else i) for t, p, i in entries)


def decorate(tree, rnd, share):
    for path in tree.entries():
        if os.path.islink(path) or rnd.random() >= share:
            continue
        is_dir = os.path.isdir(path)
        if os.path.isfile(path) or is_dir:
            for name in ATTRS:
                if rnd.random() < 0.4:
                    os.setxattr(path, name, rnd.randbytes(rnd.choice(VALUES)))
                elif rnd.random() < 0.3 and name in map(os.fsencode, os.listxattr(path)):
                    os.removexattr(path, name)
        for name in (b"system.posix_acl_access", *([b"system.posix_acl_default"] if is_dir else [])):
            if rnd.random() < 0.5:
                os.setxattr(path, name, acl(rnd, name.endswith(b"default")))


def copy(a, b):
    subprocess.run(["cp", "-a", a, b], check=True)


def layout(seed, devices, attrs):
    def make(top, _):
        rnd, more = random.Random(seed), random.Random(seed * 31)
        src = Tree(rnd, os.fsencode(top) + b"/src", devices)
        src.grow(rnd.choice([8, 25, 60]))
        src.times(0)
        if attrs:
            decorate(src, more, 0.5)
        for name in (b"/dst", b"/alt1", b"/alt2"):
            copy(src.top, os.fsencode(top) + name)
            t = Tree.__new__(Tree)
            t.rnd, t.top, t.devices = rnd, os.fsencode(top) + name, devices
            t.mutate(rnd.choice([0, 3, 15, 40]))
            t.times(rnd.choice([1, 0.9, 0.5]))
            if attrs:
                decorate(t, more, 0.2)
    return make


# What excludes each other is in one group; one of a group is taken with its probability.
GROUPS = [
    (1, ["-a", "-a", "-a", "-rlt", "-r", "-rlptD", "-dlt", "-rlpgoD", "-aR"]),
    (0.4, ["--delete", "--delete-before", "--delete-delay", "--delete-after", "--delete-excluded", "--delete --max-delete=3", "--delete --force"]),
    (0.25, ["--inplace", "--append", "--append-verify", "--delay-updates", "--partial-dir=.p", "--inplace --no-W"]),
    (0.25, ["-b", "-b --suffix=.old", "--backup-dir=.bak"]),
    (0.25, ["--link-dest=../alt1", "--copy-dest=../alt1", "--compare-dest=../alt1", "--link-dest=../alt2 --link-dest=../alt1",
            "--compare-dest=../alt1 --compare-dest=../alt2"]),
    (0.3, ["-c", "-I", "--size-only", "-u", "-W", "--modify-window=2", "--modify-window=-1"]),
    (0.2, ["--existing", "--ignore-existing", "--existing --ignore-existing"]),
    (0.3, ["-H --no-i-r", "--no-i-r"]),
    (0.2, ["-z", "--zc=lz4", "--zc=zlib", "--zc=zstd", "--zc=zlibx"]),
    (0.2, ["--max-size=2k", "--min-size=500", "--max-size=0"]),
    (0.2, ["-O", "-J", "-O -J"]),
    (0.2, ["-n"]),
    (0.15, ["-m"]),
    (0.15, ["-S"]),
    (0.1, ["-x"]),
    (0.15, ["--safe-links", "--copy-unsafe-links"]),
    (0.1, ["--chmod=Fg+w,Do-x", "--no-p", "-E --no-p", "--chmod=u+x --no-p"]),
    (0.1, ["--numeric-ids"]),
    (0.1, ["--ignore-errors", "--force"]),
    (0.1, ["--remove-source-files"]),
    (0.1, ["--stats"]),
    (0.1, ["-ii", "-v"]),
    (0.1, ["--cc=md5", "--cc=xxh64", "--cc=sha1"]),
    (0.1, ["-B 700", "-B 2000"]),
    (0.1, ["--preallocate", "--fsync"]),
    (0.1, ["-y"]),
    (0.35, ["-X", "-A", "-AX", "-AX", "-AX -M--fake-super" if IS_ROOT else "-AX"]),
    (0.2, ["--exclude=*.o", "--exclude=/a --exclude=sub/", "--include=a* --exclude=*.bin", "-C", "-f 'P a*' -f 'H b*'", "-f '-! */' -f 'S b'", "-f 'R a*' -f 'P *'"]),
]


def attributes(line):
    return any(w in ("-A", "-X", "-AX") for w in line.split())


def draw(seed):
    rnd = random.Random(seed * 7919)
    words = [rnd.choice(choices) for chance, choices in GROUPS if rnd.random() < chance]
    line = " ".join(words)
    push, shell = rnd.random() < 0.7, rnd.random() < 0.5
    proto = rnd.choice([None, None, None, 27, 28, 29, 30, 31, 32])
    inplace = "--inplace" in line or "--append" in line
    # What is another on purpose (doc/differences.md).
    if "--ignore-existing" in line:
        line = re.sub("--delete\\S*( --\\S*)?", "", line)
    if not {"-a", "-aR"} & set(line.split()):
        line = line.replace("-M--fake-super", "")
    # Combinations that a client refuses say nothing about a server.
    if ("delay-updates" in line or "partial-dir" in line) and inplace:
        line = line.replace("--inplace", "")
    if "--append" in line and " -W" in line:
        line = line.replace(" -W", "")
    if proto and proto < 30 and (("-b" in line.split() or "--backup-dir" in line) and inplace or "-m" in line.split() or "-dest" in line or
                                attributes(line)):
        proto = 30
    source = "src" if rnd.random() < 0.1 else "src/"
    version = "3.2.7" if rnd.random() < 0.2 and "3.2.7" in CLIENTS and not proto == 32 else "3.5.0"
    return Case("-i " + line, sources=source, layout=f"seed-{seed}"), Way(push, shell, proto, version)


def seeds():
    wanted = os.environ.get("KEDGE_SEEDS")
    if not wanted:
        return sorted({*FAILED, *DEFAULT})
    first, _, last = wanted.partition("-")
    return range(int(first), int(last or first) + 1)


@pytest.fixture(scope="module")
def pair():
    with Pair({}) as p:
        yield p


def hidden(case, way):
    """Lines of what is another on purpose (doc/differences.md), and of what depends on who is faster."""
    words = case.opts.split()
    out = []
    if "--ignore-existing" in words:    # a directory's time for what was kept from becoming one, and a look for things to delete
        out.append(b"mtime|Not a directory")
    if "--inplace" in words and {"-r", "-rlpgoD"} & set(words):
        out.append(b"mtime 'now' !=")
    if "--copy-unsafe-links" in words and not way.rsh:      # one that names the root
        out.append(b"no referent|Too many levels")
    if {"-b", "--backup-dir=.bak"} & set(words):
        backups = rb"dst/(\.bak\b|.*(~|\.old)['\"])"
        if "--compare-dest" in case.opts or "--link-dest" in case.opts:     # kept as well: what an alternate place replaces
            out.append(backups)
        elif "--inplace" in words and "-a" not in words:    # a copy, with the old file's time and owner
            out.append(backups + b".*: (mtime|ids)")
        if "--backup-dir=.bak" in words and "--safe-links" in words:        # made for a link that is not kept
            out.append(rb"only in first: b'dst/\.bak/")
    if way.push and "X" in "".join(w for w in words if w[:2] in ("-X", "-A")):
        # The stock receiver applies mode and time once more when long values arrive.
        if not {"-a", "-aR", "-rlptD", "-rlpgoD"} & set(words):
            out.append(b": (mode|xattrs) ")
        if (way.proto or 32) < 31:
            out.append(b": mtime [0-9]{10}0{9} != [0-9]{19}$")
        if not any(w[0] == "-" and w[1:2] != "-" and "H" in w for w in words):     # two names of one file that lose the same attributes
            out.append(rb"^\.f\.{8}x ")
    if not way.push:        # the bytes of a list, as they came
        out.append(b"File list size")
    if (way.proto or 32) < 29:      # what begins like "-" is sorted in front of the top, and may have changed its time
        out.append(rb"\.d\.\.[tT]\.* \./$")
    return [re.compile(x) for x in out]


def trouble_of(pair, seed):
    case, way = draw(seed)
    pair.layouts[case.layout] = layout(seed, IS_ROOT and way.rsh, attributes(case.opts))
    patterns = hidden(case, way)
    try:
        # A fuzzy basis that another process replaced meanwhile is asked for twice.
        trouble = pair.compare(case, way, unique="-y" in case.opts.split(), keep=lambda x: not any(p.search(x) for p in patterns))
    finally:
        shutil.rmtree(pair.template(case.layout), ignore_errors=True)
        pair.made.pop(case.layout, None)
    return trouble and f"seed {seed}: {way} {case}\n{trouble}"


@pytest.mark.slow
@pytest.mark.parametrize("seed", seeds())
def test_seed(pair, seed):
    trouble = trouble_of(pair, seed)
    assert not trouble, trouble
