"""A remote-shell server starts no helper that it does not need, and works where a layer cannot be had."""
import os
import shutil
import subprocess

import pytest

from harness import IS_ROOT, KEDGE, SANITIZED, client, write_file
from server import Server


def test_nothing_to_look_up(work):
    """A transfer that needs no names and no devices costs no helper."""
    os.mkdir(f"{work}/dst")
    with Server(work, "push", f"{work}/dst/", ["--no-owner", "--no-group", "--no-D"]) as s:
        assert s.helpers() == {}


# What the server is started with: (the command before it, what its log says is missing)
PLACES = {
    "as it is": ("", None),
    "without CAP_SYS_ADMIN": ("setpriv --bounding-set=-sys_admin --inh-caps=-sys_admin", "no CAP_SYS_ADMIN"),
    "a chroot with nothing but the program": ("chroot @/pen", "no mounts of its own"),
}


@pytest.mark.skipif(not IS_ROOT or SANITIZED, reason="needs root, and libraries that can be copied")
@pytest.mark.parametrize("place", PLACES)
def test_reduced_places(work, place):
    """Side directories far apart on one file system, with links and renames between them, and a device; and what is missing is told."""
    before, missing = PLACES[place]
    top, seen = work, work
    if "@" in before:
        top, seen = work + "/pen", ""
        libs = subprocess.run(["ldd", KEDGE], capture_output=True, text=True, check=True).stdout.split()
        for f in {KEDGE, *(x for x in libs if x.startswith("/"))}:
            os.makedirs(top + os.path.dirname(f), exist_ok=True)
            shutil.copy(f, top + f)
    for d in ("src", top + "/dst", top + "/far/apart/alt", top + "/far/temp", top + "/backup"):
        os.makedirs(os.path.join(work, d))
    for d in ("src", top + "/far/apart/alt"):
        write_file(os.path.join(work, d, "linked"), b"the same\n", mtime=10**18)
    write_file(f"{work}/src/changed", b"new\n")
    write_file(f"{top}/dst/changed", b"older\n", mtime=10**18)
    os.mknod(f"{work}/src/null", 0o20600, os.makedev(1, 3))
    write_file(work + "/shell", f'#!/bin/sh\nshift\nexec {before.replace("@", work)} "$@"\n'.encode(), 0o755)
    r = client(["-ab", "-e", work + "/shell", f"--rsync-path={KEDGE}", f"-M--log-file={seen}/log", f"--backup-dir={seen}/backup",
                f"--temp-dir={seen}/far/temp", f"--link-dest={seen}/far/apart/alt", work + "/src/", f"h:{seen}/dst/"])
    assert r.returncode == 0, r.stderr
    assert os.path.samefile(f"{top}/dst/linked", f"{top}/far/apart/alt/linked")
    assert os.stat(f"{top}/backup/changed").st_size == 6 and os.stat(f"{top}/dst/changed").st_size == 4
    assert os.lstat(f"{top}/dst/null").st_rdev == os.makedev(1, 3) and os.listdir(f"{top}/far/temp") == []
    with open(f"{top}/log") as f:
        told = [line for line in f if "sandbox: not to be had here:" in line]
    assert len(told) == bool(missing) and all(missing in line for line in told), told
