"""Stock client pushes to kedge over TCP."""
import os
import time

import pytest
from harness import CLIENTS, Daemon, IS_ROOT, client, make_tree, mutate_tree, same

IDS = {"uid": 0, "gid": 0} if IS_ROOT else {}


@pytest.fixture
def tree(work):
    return make_tree(os.path.join(work, "src"))


@pytest.fixture
def dst(work):
    d = os.path.join(work, "dst")
    os.mkdir(d)
    return d


def module(path, **kw):
    return {"m": {"path": path, "read only": "no", "munge symlinks": "no", **IDS,
                  **{k.replace("_", " "): v for k, v in kw.items()}}}


@pytest.mark.parametrize("version", sorted(CLIENTS))
@pytest.mark.parametrize("proto", [30, 31, 32])
def test_archive(work, tree, dst, version, proto):
    with Daemon(work, module(dst)) as d:
        r = client(["-a", tree + "/", d.url("m/")], version, proto)
        assert (r.returncode, r.stderr) == (0, b"")
        same(tree, dst, ns=proto >= 31)
        r = client(["-ai", tree + "/", d.url("m/")], version, proto)
        assert (r.returncode, r.stdout) == (0, b"")


@pytest.mark.parametrize("opts", [
    ["--no-inc-recursive"], ["-c"], ["-I"], ["-W"], ["-z"], ["--zc=zlib"], ["--zc=zlibx"], ["--zc=lz4"], ["--zc=zstd"],
    ["--cc=md5"], ["--cc=md4"], ["--cc=sha1"], ["--cc=xxh64"], ["--cc=xxh3"], ["--cc=none"], ["-v"], ["--numeric-ids"],
    ["-s"], ["--inplace"], ["-H"], ["--partial"], ["--delay-updates"], ["--partial-dir=.pd"], ["-S"], ["--preallocate"],
    ["--delete-before"], ["--delete-delay"], ["--delete-after"], ["--bwlimit=100000"], ["--timeout=60"]], ids=" ".join)
def test_update_with(work, tree, dst, opts):
    """A second push after the source changed: delta transfer and deletion under each option."""
    with Daemon(work, module(dst)) as d:
        r = client(["-a", *opts, tree + "/", d.url("m/")])
        assert r.returncode == 0, r.stderr
        same(tree, dst)
        mutate_tree(tree)
        when = [] if any(o.startswith("--delete-") for o in opts) else ["--delete"]
        r = client(["-a", *when, *opts, tree + "/", d.url("m/")])
        assert r.returncode == 0, r.stderr
        same(tree, dst)


def test_directory_of_this_second(work, dst):
    """One that changed in the same second gets the rest of its time as well."""
    src = os.path.join(work, "src")
    os.mkdir(src)
    with open(src + "/new", "w"):
        pass
    with Daemon(work, module(dst)) as d:
        time.sleep(max(0, time.time() % 1 - 0.4))
        os.utime(src, ns=(0, int(time.time()) * 10**9 + 123456789))
        r = client(["-a", src + "/", d.url("m/")])
        assert (r.returncode, r.stderr) == (0, b"")
        assert os.stat(dst).st_mtime_ns == os.stat(src).st_mtime_ns
