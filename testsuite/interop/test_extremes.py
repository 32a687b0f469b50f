"""What is legal and far from usual: the depth of trees, the size of groups and lists, a file system inside of another, no descriptor
left. No process may fall over it. The stack is small, so that less of it is needed to find what takes more of it with each level."""
import os
import resource
import subprocess

import pytest
from harness import Daemon, IS_ROOT, KEDGE, client, wait_for, write_file

NOBODY = 65534
IDS = {"uid": 0, "gid": 0} if IS_ROOT else {}


@pytest.fixture
def pair(work):
    """Source, and a daemon whose module is the destination."""
    src, dst = work + "/src", work + "/dst"
    os.mkdir(src)
    os.mkdir(dst)
    write_file(work + "/small", f"#!/bin/sh\nulimit -s 1024\nexec {KEDGE} \"$@\"\n".encode(), 0o755)
    module = {"path": dst, "read only": "no", **IDS}
    with Daemon(work, {"m": module, "logged": {**module, "transfer logging": "yes"}}, binary=work + "/small") as d:
        yield src, dst, d
        assert "killed by signal" not in d.read_log()
    subprocess.run(["rm", "-rf", src, dst], check=True)     # too deep for Python's own


def dig(top, depth):
    """A chain of directories; returns a descriptor of the last one."""
    fd = os.open(top, os.O_PATH)
    for _ in range(depth):
        os.mkdir("d", dir_fd=fd)
        below = os.open("d", os.O_PATH, dir_fd=fd)
        os.close(fd)
        fd = below
    return fd


def test_deep_tree(pair):
    """A new chain in place of an old one of another name."""
    src, dst, d = pair
    last = dig(src, 150)
    os.close(os.open("f", os.O_CREAT | os.O_WRONLY, dir_fd=last))
    os.close(last)
    os.mkdir(dst + "/old")
    os.close(dig(dst + "/old", 280))
    r = client(["-a", "--delete", src + "/", d.url("m/")])
    assert (r.returncode, r.stderr) == (0, b"")
    assert os.listdir(dst) == ["d"]
    assert client(["-ain", "--delete", src + "/", d.url("m/")]).stdout == b""


def test_deep_tree_in_the_way_of_a_backup(pair):
    """It is removed, with one descriptor at a time."""
    src, dst, d = pair
    write_file(src + "/f", b"new")
    write_file(dst + "/f", b"older")
    os.mkdir(dst + "/f~")
    os.close(dig(dst + "/f~", 280))
    write_file(dst + "/f~/d/file", b"x")
    r = client(["-ab", src + "/", d.url("m/")])
    assert (r.returncode, r.stderr, sorted(os.listdir(dst))) == (0, b"", ["f", "f~"])
    with open(dst + "/f~", "rb") as f:
        assert f.read() == b"older"


def test_hard_links_that_all_fail(pair):
    """The client cannot read the file; as each of the other names is asked for instead, something is in its way."""
    src, dst, d = pair
    names = [f"n{i:04}" for i in range(200)]
    for name in names:
        if name != names[0]:
            os.link(f"{src}/{names[0]}", f"{src}/{name}")
            os.makedirs(f"{dst}/{name}/full")
        else:
            write_file(f"{src}/{name}", b"new")
            write_file(f"{dst}/{name}", b"older")
    os.chmod(f"{src}/{names[0]}", 0)
    r = client(["-rltH", "--no-i-r", src + "/", d.url("m/")], user=NOBODY if IS_ROOT else None)
    assert r.returncode == 23 and r.stderr.count(b"could not make way") == len(names) - 1, r.stderr[-1000:]


@pytest.mark.skipif(not IS_ROOT, reason="mounting needs root")
@pytest.mark.parametrize("module", ["m", "logged"])
def test_mount_point(pair, module):
    """What is in it goes like anything else, unless -x says that it stays. What the log is told makes no difference."""
    src, dst, d = pair
    os.mkdir(dst + "/disk")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,mode=755", "none", dst + "/disk"], check=True)
    try:
        write_file(dst + "/disk/f", b"x")
        assert client(["-rx", "--delete", src + "/", d.url(module)]).returncode == 0
        assert os.listdir(dst + "/disk") == ["f"]
        assert client(["-r", "--delete", src + "/", d.url(module)]).returncode == 23
        assert os.listdir(dst + "/disk") == []
    finally:
        subprocess.run(["umount", dst + "/disk"], check=True)


def test_many_places(pair):
    """Names of a list that lie in two directories by turns: no more places than directories, however long it is."""
    dst, d = pair[1:]
    for name in ("a/x", "b/y"):
        os.makedirs(os.path.dirname(f"{dst}/{name}"))
        write_file(f"{dst}/{name}", name.encode())
    write_file(dst + "/list", b"a/x\nb/y\n" * 33000)
    r = client(["-t", "--no-R", "--files-from=:list", d.url("m/"), pair[0]])
    assert (r.returncode, r.stderr, sorted(os.listdir(pair[0]))) == (0, b"", ["x", "y"])


def test_no_descriptor_left(pair):
    """A daemon that cannot accept says so, and serves who waited when it can again."""
    d = pair[2]
    limits = resource.prlimit(d.proc.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(d.proc.pid, resource.RLIMIT_NOFILE, (3, limits[1]))
    with d.connect() as s:
        wait_for(lambda: "could not accept a connection: Too many open files" in d.read_log())
        resource.prlimit(d.proc.pid, resource.RLIMIT_NOFILE, limits)
        assert s.recv(8) == b"@RSYNCD:"
