"""Stock client pulls from kedge over TCP."""
import os

import pytest
from harness import CLIENTS, Daemon, IS_ROOT, client, make_tree, mutate_tree, same

IDS = {"uid": 0, "gid": 0} if IS_ROOT else {}


@pytest.fixture
def tree(work):
    return make_tree(os.path.join(work, "src"))


def module(path, **kw):
    return {"m": {"path": path, "read only": "yes", **IDS, **{k.replace("_", " "): v for k, v in kw.items()}}}


@pytest.mark.parametrize("version", sorted(CLIENTS))
@pytest.mark.parametrize("proto", [30, 31, 32])
def test_archive(work, tree, version, proto):
    dst = os.path.join(work, "dst")
    with Daemon(work, module(tree)) as d:
        r = client(["-a", d.url("m/"), dst + "/"], version, proto)
        assert (r.returncode, r.stderr) == (0, b"")
        same(tree, dst, ns=proto >= 31)
        r = client(["-ai", d.url("m/"), dst + "/"], version, proto)
        assert (r.returncode, r.stdout) == (0, b"")


@pytest.mark.parametrize("opts", [
    ["--no-inc-recursive"], ["-c"], ["-I"], ["-W"], ["-z"], ["--zc=zlib"], ["--zc=zlibx"], ["--zc=lz4"], ["--zc=zstd"],
    ["--cc=md5"], ["--cc=md4"], ["--cc=sha1"], ["--cc=xxh64"], ["--cc=xxh3"], ["--cc=none"], ["-v"], ["--numeric-ids"],
    ["-s"], ["--inplace"], ["-H"], ["--partial"], ["--bwlimit=100000"], ["--timeout=60"]], ids=" ".join)
def test_update_with(work, tree, opts):
    """A second pull after the source changed: delta transfer under each option."""
    dst = os.path.join(work, "dst")
    with Daemon(work, module(tree)) as d:
        r = client(["-a", *opts, d.url("m/"), dst + "/"])
        assert r.returncode == 0, r.stderr
        same(tree, dst)
        mutate_tree(tree)
        r = client(["-a", "--delete", *opts, d.url("m/"), dst + "/"])
        assert r.returncode == 0, r.stderr
        same(tree, dst)
