"""A local user swaps directories with symlinks at full speed while kedge works in them."""
import ctypes
import multiprocessing
import os
import time

import pytest
from harness import Daemon, IS_ROOT, client, snapshot, write_file

IDS = {"uid": 0, "gid": 0} if IS_ROOT else {}
AT_FDCWD, RENAME_EXCHANGE = -100, 2


def flip(a, b, stop, count):
    libc = ctypes.CDLL(None, use_errno=True)
    while not stop.value:
        for _ in range(100):
            libc.renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE)
        count.value += 100


class Flipper:
    """Exchanges directory a with a symlink to an outside directory, as fast as it can."""

    def __init__(self, a, target):
        self.a, self.b = os.fsencode(a), os.fsencode(a + ".alt")
        os.symlink(target, self.b)
        self.stop, self.count = multiprocessing.Value("b", 0), multiprocessing.Value("L", 0)

    def __enter__(self):
        self.p = multiprocessing.Process(target=flip, args=(self.a, self.b, self.stop, self.count), daemon=True)
        self.p.start()
        return self

    def __exit__(self, *exc):
        self.stop.value = 1
        self.p.join()
        assert self.count.value > 1000, "the race was not live"


PUSH = [["-a"], ["-aI", "--inplace"], ["-aI", "--delete"], ["-aI", "-b", "--backup-dir=bk"], ["-aI", "--partial-dir=.p", "--delay-updates"],
        ["-aI", "--temp-dir=t"], ["-aHI", "--link-dest=../alt"], ["-aKI"]]


@pytest.mark.parametrize("opts", PUSH, ids=" ".join)
def test_push(work, opts):
    mod, out, src = (os.path.join(work, n) for n in ("mod", "out", "src"))
    for top in (mod + "/d/a", src + "/d/a", out, mod + "/d/t", mod + "/d/bk", mod + "/alt"):
        os.makedirs(top)
    for i in range(60):
        write_file(f"{src}/d/a/f{i}", os.urandom(2000))
        write_file(f"{out}/f{i}", b"outside\n", mtime=10**18)
    before = snapshot(out)
    with Daemon(work, {"m": {"path": mod, "read only": "no", "use chroot": "no", "munge symlinks": "no", **IDS}}) as d:
        with Flipper(mod + "/d/a", out):
            end = time.time() + 3
            runs = 0
            while time.time() < end:
                client([*opts, src + "/d/", d.url("m/d/")])
                runs += 1
        assert not d.wait_idle()
    assert runs
    assert snapshot(out) == before


@pytest.mark.parametrize("opts", [["-a"], ["-rL"], ["-ac"], ["-rk"]], ids=" ".join)
def test_pull(work, opts):
    mod, out, got = (os.path.join(work, n) for n in ("mod", "out", "got"))
    for top in (mod + "/d/a", out, got):
        os.makedirs(top)
    for i in range(60):
        write_file(f"{mod}/d/a/f{i}", b"inside\n" * 100)
        write_file(f"{out}/f{i}", b"the secret\n" * 100)
    with Daemon(work, {"m": {"path": mod, "use chroot": "no", "munge symlinks": "no", **IDS}}) as d:
        with Flipper(mod + "/d/a", "../../out"):
            end = time.time() + 3
            while time.time() < end:
                client([*opts, d.url("m/d/"), got + "/"])
                for top, _, files in os.walk(got):
                    for f in files:
                        p = os.path.join(top, f)
                        if not os.path.islink(p):
                            with open(p, "rb") as h:
                                assert b"the secret" not in h.read(), p
        assert not d.wait_idle()
