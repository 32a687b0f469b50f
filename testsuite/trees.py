"""Random trees: grown, mutated, decorated with attributes. Whatever is random comes from the generator that is handed in."""
import os
import random
import shutil
import struct
import subprocess

from harness import IS_ROOT, write_file
from parity import NEW, OLD

NAMES = [b"a", b"b", b"c", b"a.o", b"b.o", b"a.c", b"a~", b"dir", b"sub", b"x y", b"-n", b".h", b"q.bak", b"core", b"a-b", b"a.b", b"*", b"[x]", b"new\nline",
         b"bad\xff", "\u00fc".encode(), b"back\\sl", b"#x", b"z" * 200, b"log.1", b"log.2", b"data-1.bin", b"data-2.bin"]
SIZES = [0, 1, 20, 699, 700, 701, 1400, 5000, 20000, 33000]
MODES = [0o644, 0o600, 0o755, 0o444, 0o640, 0o666, 0o700]
TIMES = [OLD, OLD + 10**9, NEW, NEW + 5 * 10**9, NEW + 5 * 10**9 + 123456789]


class Tree:
    names, sizes, modes, stamps = NAMES, SIZES, MODES, TIMES
    targets = [b"a", b"../b", b"nowhere", b"/etc/passwd", b"../../../x", b"dir/.."]
    dirs_are = 0o300

    def __init__(self, rnd, top, devices, like=None):
        """Empty, or a copy of another one."""
        self.rnd, self.top, self.devices = rnd, top, devices
        if like:
            subprocess.run(["cp", "-a", like, top], check=True)
        else:
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
        size = self.rnd.choice(self.sizes)
        kind = self.rnd.random()
        return bytes(size) if kind < 0.1 else self.rnd.randbytes(size) if kind < 0.6 else (b"line of text %d\n" % self.rnd.randrange(9) * size)[:size]

    def owner(self, path):
        if IS_ROOT and self.rnd.random() < 0.3:
            os.chown(path, self.rnd.choice([0, 1, 2, 1234]), self.rnd.choice([0, 1, 2, 4321]), follow_symlinks=False)

    def chmod(self, path):
        is_dir, is_file = os.path.isdir(path), os.path.isfile(path)
        os.chmod(path, self.rnd.choice(self.modes) & (0o7777 if is_dir or is_file else 0o777) | (self.dirs_are if is_dir else 0))

    def make(self, path):
        r = self.rnd.random()
        if r < 0.55:
            write_file(path, self.data())
        elif r < 0.75 and path.count(b"/") - self.top.count(b"/") < 5:
            os.mkdir(path)
        elif r < 0.85:
            os.symlink(self.rnd.choice(self.targets), path)
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
            self.chmod(path)
        self.owner(path)

    def grow(self, n):
        for _ in range(n):
            path = os.path.join(self.rnd.choice(sorted(self.dirs())), self.rnd.choice(self.names))
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
                other = os.path.join(os.path.dirname(path), self.rnd.choice(self.names))
                if not os.path.lexists(other):
                    os.rename(path, other)
            elif r < 0.65:
                self.remove(path)
                self.make(path)
            elif r < 0.75 and not os.path.islink(path):
                self.chmod(path)
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
                t = self.rnd.choice(self.stamps)
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


def layout(seed, devices, attrs):
    """Makes src, and dst, alt1, alt2 that once were the same."""
    def make(top, _):
        rnd, more = random.Random(seed), random.Random(seed * 31)
        at = os.fsencode(top)
        src = Tree(rnd, at + b"/src", devices)
        src.grow(rnd.choice([8, 25, 60]))
        src.times(0)
        if attrs:
            decorate(src, more, 0.5)
        for name in (b"/dst", b"/alt1", b"/alt2"):
            t = Tree(rnd, at + name, devices, like=src.top)
            t.mutate(rnd.choice([0, 3, 15, 40]))
            t.times(rnd.choice([1, 0.9, 0.5]))
            if attrs:
                decorate(t, more, 0.2)
    return make


# ---- wide trees: what is rarer, and lists of names and rules beside them ----

RULES = [b"- *.o", b"+ a*", b"- a*", b"- /sub", b"- /src/sub", b"- sub/", b"+ *.c", b"-! */", b"H b*", b"S a*", b"P *.bak", b"R *", b"-s log*", b"-r log*", b"-p dir",
         b"- **/b", b"- dir/b", b"- [a-c]", b"!", b"-/ src/a", b"-/ /src/a", b"hide *~", b"risk a*", b"protect,! a*", b"- dir/**", b"+ dir/***", b"- a?b", b"- \\*",
         b"- data-[!1]*", b"-C", b"show .h", b"+ /dir/", b"- *", b": .rules", b"dir-merge,n- .cvsignore", b":e .rules", b":s .rules", b"- b", b"- [[:alpha:]]",
         b"; no rule", b"", b"+ */", b"- dir//b", b"- z*z"]
LIST = [b"a", b"dir/", b"sub", b"./b", b"dir/./sub", b"dir/sub/a", b"/dir/b", b"../src/a", b"nonexist", b"x y", b"#x", b";x", b"", b"-n", b".", b"./", b"dir//a", b"sub/.",
        b"*", b"bad\xff", b"\\#012", b"z" * 200, b".h", b"dir", b"dir/b/../a"]


WIDE_NAMES = NAMES + [b" lead", b"trail ", b"q'uote\"", b"tab\there", b"cr\rlf", b"\x01ctl", b"RCS", b"CVS", b"..x", b"~t", b"y" * 255, "u\u0308".encode(), b"\xfc", b"A", b"DIR", b"dir", b"sub",
                b"dir", b"sub", b"a", b"b", b"a.old", b".a.Xy12Zq", b"%s", b"back\\#134"]
WIDE_MODES = MODES + [0o000, 0o200, 0o4755, 0o2755, 0o1777, 0o111]


class Wide(Tree):
    sizes = SIZES + [2048, 4096, 32768, 70000, 200000]
    stamps = [*TIMES, -10**9, -1_500_000_000, 0, 1, 2**31 * 10**9, 2**32 * 10**9 + 5, NEW + 5 * 10**9 + 1, NEW + 6 * 10**9]
    targets = [b"a", b"nowhere", b"/etc/passwd", b"dir/b", b"x/" * 150, b"/rsyncd-munged/a"]
    circles = [b"../b", b"../../../x", b".", b"..", b"dir", b"sub/", b"../dir", b"dir/..", b"../src/a", b"../../src/dir"]

    def make(self, path):
        r = self.rnd.random()
        if r < 0.04:
            path = os.path.join(os.path.dirname(path), self.rnd.choice([b".rules", b".cvsignore", b".rsync-filter"]))
            if not os.path.lexists(path):
                write_file(path, b"\n".join(self.rnd.choices(RULES, k=3)) + b"\n")
        elif r < 0.12:
            os.symlink(self.rnd.choice(self.targets), path)
        elif r < 0.16 and (others := self.entries()):
            other = self.rnd.choice(others)
            if not os.path.isdir(other) or os.path.islink(other):
                os.link(other, path, follow_symlinks=False)
        elif r < 0.2:
            write_file(path, b"".join(bytes(self.rnd.choice([1, 1023, 5000, 70000])) + self.rnd.randbytes(self.rnd.choice([1, 500, 9000])) for _ in range(3)))
        elif r < 0.21 and path.count(b"/") - self.top.count(b"/") < 3:
            os.mkdir(path)
            for i in range(300):
                write_file(path + b"/%d" % i, b"%d" % (i % 7))
        else:
            super().make(path)

    def partial(self, src):
        """What an interrupted run left: beginnings of files, noise, a directory in the way."""
        for d in self.dirs():
            if self.rnd.random() < 0.3:
                os.mkdir(d + b"/.p")
                for name in sorted(os.listdir(d)):
                    path = src + d[len(self.top):] + b"/" + name
                    if self.rnd.random() < 0.6 and os.path.isfile(path) and not os.path.islink(path):
                        with open(path, "rb") as f:
                            data = f.read()
                        data = data[:self.rnd.randrange(len(data) + 1)]
                        write_file(d + b"/.p/" + name, data if self.rnd.random() < 0.7 else data + self.rnd.randbytes(50))


def wide_layout(seed, devices, attrs, follows, iconv, user, plain):
    """follows: links are, so that there may be no circles. iconv: all names can be converted. user: stock leaves a
    directory open that its owner cannot read. plain: no set-id bits."""
    def make(top, _):
        rnd, more = random.Random(seed), random.Random(seed * 31)
        at = os.fsencode(top)
        src = Wide(rnd, at + b"/src", devices)
        Wide.dirs_are = 0o700 if user else 0o300
        Wide.modes = MODES if plain else WIDE_MODES
        Wide.names = [n for n in WIDE_NAMES if not iconv or n.isascii() or n == "\u00fc".encode()]
        src.targets = Wide.targets + ([] if follows else Wide.circles)
        src.grow(rnd.choice([8, 25, 60, 100]))
        src.times(0)
        if attrs:
            decorate(src, more, 0.5)
        for name in (b"/dst", b"/alt1", b"/alt2", b"/alt3"):
            t = Wide(rnd, at + name, devices, like=src.top)
            t.targets = src.targets
            t.mutate(rnd.choice([0, 3, 15, 40]))
            if name == b"/dst" and rnd.random() < 0.3:
                t.partial(src.top)
            t.times(rnd.choice([1, 0.9, 0.5]))
            if attrs:
                decorate(t, more, 0.2)
        for name, end in ((b"/list", b"\n"), (b"/list0", b"\0"), (b"/listcr", b"\r\n")):
            write_file(at + name, end.join(rnd.choices(LIST, k=8) + [b"new\nline", b"-n"]))
        write_file(at + b"/rules", b"\n".join(rnd.choices(RULES, k=4)) + b"\n")
        os.mkdir(at + b"/tmp")
    return make
