"""The test's half of stopper.c: exchanges of paths before the n-th file-system call of a confined process."""
import mmap
import os
import struct
import subprocess

HERE = os.path.dirname(os.path.abspath(__file__))
WORDS = ("first", "stride", "stay", "weak", "pairs", "noutside", "early", "held", "seen", "hits", "flipped", "allowed", "refused", "leaks")
OUTSIDE_MAX, PAIRS_MAX, PATH = 128, 4, 1024
OUTSIDE = 8 * len(WORDS)
LEAK = OUTSIDE + 16 * OUTSIDE_MAX
TROUBLE = LEAK + 256
PATHS = TROUBLE + 256
SIZE = PATHS + PAIRS_MAX * 2 * PATH
NEVER = 1 << 62


def build(top):
    path = os.path.join(top, "stopper")
    subprocess.run([os.environ.get("CC", "cc"), "-O1", "-o", path, HERE + "/stopper.c"], check=True)
    return path


class Stopper:
    """A program to be run in the place of `binary`, and the control of what happens in it."""

    def __init__(self, tool, work, binary):
        control = os.path.join(work, "control")
        with open(control, "wb") as f:
            f.truncate(SIZE)
        os.chmod(control, 0o666)
        with open(control, "r+b") as f:
            self.map = mmap.mmap(f.fileno(), SIZE)
        self.program = os.path.join(work, "stopped")
        with open(self.program, "w") as f:
            f.write(f'#!/bin/sh\nexec {tool} {control} {binary} "$@"\n')
        os.chmod(self.program, 0o755)

    def __getattr__(self, word):
        if word not in WORDS:
            raise AttributeError(word)
        return struct.unpack_from("Q", self.map, 8 * WORDS.index(word))[0]

    def text(self, at):
        return self.map[at:at + 256].split(b"\0")[0].decode()

    def set(self, **words):
        for word, value in words.items():
            struct.pack_into("Q", self.map, 8 * WORDS.index(word), int(value))

    def arm(self, first, pairs, outside, **how):
        """pairs: paths that change places. outside: trees nobody may reach while they have."""
        inodes = sorted({(st.st_dev, st.st_ino) for top in outside for d, _, files in os.walk(top)
                         for st in [os.lstat(os.path.join(d, n)) for n in (".", *files)]})
        assert len(inodes) <= OUTSIDE_MAX and len(pairs) <= PAIRS_MAX
        self.map[:] = bytes(SIZE)
        for i, (dev, ino) in enumerate(inodes):
            struct.pack_into("QQ", self.map, OUTSIDE + 16 * i, dev, ino)
        for i, pair in enumerate(pairs):
            for k, path in enumerate(pair):
                at = PATHS + (2 * i + k) * PATH
                self.map[at:at + len(path)] = os.fsencode(path)
        self.set(noutside=len(inodes), pairs=len(pairs), **how)
        self.set(first=first)

    def disarm(self):
        self.set(first=0)
        assert not self.text(TROUBLE), self.text(TROUBLE)

    def leak(self):
        return self.text(LEAK) if self.leaks else None
