"""What the kernel does not have is required, or done without, as `sandbox` says; and what is done without it is the same
(spec 09 CFG-10, section 15.7)."""
import os
import platform
import subprocess
import sys

import pytest
from harness import Daemon, IS_ROOT, KEDGE, SANITIZED, client, make_tree, rsh, same, write_file

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64" or SANITIZED, reason="system calls are taken away by their x86-64 numbers")
CALLS = {"seccomp": 317, "open_tree": 428, "pidfd_open": 434, "clone3": 435, "close_range": 436, "openat2": 437, "faccessat2": 439,
         "mount_setattr": 442, "landlock": 444, "fchmodat2": 452, "setxattrat": 463, "getxattrat": 464, "listxattrat": 465, "removexattrat": 466}
OLD = [n for n in CALLS if n != "seccomp"]  # Linux 5.2, about


def old(work, missing, program=KEDGE):
    """A program that runs kedge without these calls."""
    path = f"{work}/old-kedge"
    numbers = ",".join(str(CALLS[m]) for m in missing)
    here = os.path.join(os.path.dirname(os.path.abspath(__file__)), "old_kernel.py")
    write_file(path, f'#!/bin/sh\nexec {sys.executable} -B {here} {numbers} {program} "$@"\n'.encode(), 0o755)
    return path


# (what is missing, `sandbox` of the global part, of the module): (why it does not start, or None; why it refuses, or None; layers told)
REFUSES = "requires every sandbox layer; "
ROWS = {
    ("openat2", "", ""): ("this kernel has no openat2 (Linux 5.6); 'sandbox = prefer' would do without", None, None),
    ("openat2", "require", ""): ("this kernel has no openat2", None, None),
    ("openat2", "prefer", ""): (None, None, "names (walked component by component; needs openat2 (Linux 5.6))"),
    ("openat2", "prefer", "require"): (None, REFUSES + "names: walked", "names ("),
    ("seccomp", "", ""): ("this kernel has no seccomp filters; 'sandbox = prefer' would do without", None, None),
    ("seccomp", "prefer", ""): (None, None, "seccomp (this kernel has no seccomp filters)"),
    ("landlock", "", ""): (None, None, "landlock (this kernel has no Landlock), network (this kernel has no Landlock), scope ("),
    ("landlock", "", "require"): (None, REFUSES + "landlock: this kernel has no Landlock", "landlock ("),
    ("landlock", "require", ""): ("this kernel has no Landlock, which 'sandbox = require' asks for", None, None),
}


@pytest.mark.parametrize("row", ROWS, ids=" ".join)
def test_missing_layers(work, row):
    missing, globally, word = row
    stops, refuses, told = ROWS[row]
    os.mkdir(f"{work}/mod")
    write_file(f"{work}/mod/file", b"data\n")
    params = {"path": f"{work}/mod", **({"sandbox": word} if word else {})}
    ids = {"uid": 0, "gid": 0} if IS_ROOT else {}
    binary, lines = old(work, [missing]), [f"sandbox = {globally}"] if globally else []
    if stops:
        with pytest.raises(RuntimeError) as e:
            Daemon(work, {"m": {**params, **ids}}, binary=binary, global_lines=lines)
        assert stops in str(e.value)
        return
    with Daemon(work, {"m": {**params, **ids}}, binary=binary, global_lines=lines) as d:
        r = client(["-a", d.url("m/"), f"{work}/got"])
        log = d.read_log()
        table = subprocess.run([binary, "--daemon", "--check-config", f"--config={d.conf}"], stdout=subprocess.PIPE, text=True, check=False).stdout
    assert [line.count(told) for line in log.splitlines() if "sandbox: not to be had here:" in line] == [1], log
    assert (r.returncode == 0) == os.path.exists(f"{work}/got/file") == (not refuses), r.stderr
    # A plain user's daemon lacks the jail too, and that comes first.
    assert not refuses or (refuses if IS_ROOT else REFUSES) in log, log
    layer = told.split(" ")[0]
    assert [line.split()[1] for line in table.splitlines() if line.startswith(f"  {layer} ")] == ["NO"], table
    assert (f"connections will be refused: every sandbox layer is required, and there is no {layer}" in table) == bool(refuses), table


@pytest.mark.skipif(not IS_ROOT, reason="a tree with every owner")
@pytest.mark.parametrize("server", ["daemon", "remote shell"])
def test_everything_works(work, server):
    """Without any call that is younger than Linux 5.2: trees, links and owners there and back; a link on the way is still not
    followed. Only devices need more: there each is an error, or the module with a list of them refuses its connections."""
    make_tree(f"{work}/src")
    os.mkdir(f"{work}/dst")
    os.mkdir(f"{work}/out")
    os.symlink("../out", f"{work}/dst/way")
    binary = old(work, OLD)
    params = {"path": f"{work}/dst", "read only": "no", "uid": 0, "gid": 0, "munge symlinks": "no"}
    with Daemon(work, {"m": params}, binary=binary, global_lines=["sandbox = prefer"]) as d:
        where = d.url("m/") if server == "daemon" else f"h:{work}/dst/"
        options = [] if server == "daemon" else ["-e", rsh(work), f"--rsync-path={binary}"]
        r = client([*options, "-aHA", "--no-D", "--specials", f"{work}/src/", f"{where}to/"])
        assert r.returncode == 0, r.stderr
        same(f"{work}/src", f"{work}/dst/to")
        r = client([*options, "-aHA", f"{where}to/", f"{work}/back/"])
        assert r.returncode == 0, r.stderr
        same(f"{work}/src", f"{work}/back")
        os.mknod(f"{work}/src/null", 0o20600, os.makedev(1, 3))
        r = client([*options, "-a", f"{work}/src/null", f"{work}/src/zeros", where])
        if server == "daemon":
            assert r.returncode == 0 and b'skipping non-regular file "null"' in r.stdout, r.stderr
        else:
            assert r.returncode == 23 and b"null\" failed: Function not implemented" in r.stderr, r.stderr
        assert os.path.exists(f"{work}/dst/zeros") and not os.path.lexists(f"{work}/dst/null")
        if server == "daemon":
            r = client(["-a", f"{work}/src/zeros", f"{where}way/"])
            assert r.returncode and not os.listdir(f"{work}/out"), r.stderr


@pytest.mark.skipif(not IS_ROOT, reason="a plain user makes no nodes")
def test_no_devices(work):
    os.mkdir(f"{work}/mod")
    with Daemon(work, {"m": {"path": f"{work}/mod", "read only": "no", "device nodes": "c 1:3"}}, binary=old(work, ["openat2"]),
                global_lines=["sandbox = prefer"]) as d:
        r = client(["-a", f"{work}/mod", d.url("m/")])
        log = d.read_log()
    assert r.returncode and "device broker: device nodes need openat2 (Linux 5.6)" in log
    assert "module m: connections will be refused: device nodes need openat2" in log
