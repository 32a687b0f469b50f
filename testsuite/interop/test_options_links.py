"""`insecure links`, --insecure-links, --copy-as: whose authority opens what."""
import os
import pwd
import shutil

import pytest
from harness import Daemon, IS_ROOT, KEDGE, STOCK_350, at_once, client, rsh

IDS = {"uid": 0, "gid": 0} if IS_ROOT else {}
REMOTE = {"kedge": KEDGE, "stock": STOCK_350}


def make(work):
    for d in ("mod/m/real", "out/d", "src/ldir", "src/lrel", "src/plain"):
        os.makedirs(f"{work}/{d}")
    for path in ("out/d/secret", "mod/m/real/f", "src/ldir/new", "src/lrel/new", "src/plain/new"):
        with open(f"{work}/{path}", "w") as f:
            f.write(path)
    os.symlink(f"{work}/out/d", f"{work}/mod/m/ldir")
    os.symlink("../../out/d", f"{work}/mod/m/lrel")
    os.symlink("real", f"{work}/mod/m/lin")


def names(top):
    return sorted(os.path.relpath(os.path.join(d, n), top) + "@" * os.path.islink(os.path.join(d, n))
                  for d, dirs, files in os.walk(top) for n in dirs + files)


RUNS = [["-r", "{u}m/ldir/", "{w}/o"], ["-rL", "{u}m/", "{w}/o"], ["-r", "{u}m/lrel/secret", "{w}/o"],
        ["-r", "{w}/src/plain/", "{u}m/ldir/"], ["-rK", "{w}/src/", "{u}m/"], ["-r", "{w}/src/", "{u}m/"],
        ["-r", "--files-from=:/real/f", "{u}m/", "{w}/o"]]


@pytest.mark.parametrize("chroot", ["yes", "no", "inner"] if IS_ROOT else ["no"])
def test_insecure_links_of_a_module(work, chroot):
    """Followed as far as the chroot, or the system, goes, as by the stock daemon."""
    path = "mod/./m" if chroot == "inner" else "mod/m"
    found = {}
    for who, binary in REMOTE.items():
        found[who] = []
        top = f"{work}/{who}"
        params = {"path": f"{top}/{path}", "read only": "no", "munge symlinks": "no", "insecure links": "yes",
                  "use chroot": "no" if chroot == "no" else "yes", **IDS}
        with Daemon(work, {"m": params}, binary=binary) as d:
            for run in RUNS:
                os.mkdir(top)
                make(top)
                r = client([a.format(u=d.url(), w=top) for a in run])
                found[who].append((run, r.returncode, *[names(f"{top}/{n}") for n in ("mod", "out", "o")]))
                shutil.rmtree(top)
    assert found["kedge"] == found["stock"]


def test_one_module_in_two_ways(work):
    """At the same time, of the same directory: what one connection may, another does not get (spec 09 T4)."""
    make(work)
    params = {"path": f"{work}/mod/m", "munge symlinks": "no", "use chroot": "no", **IDS}
    with Daemon(work, {"strict": params, "loose": {**params, "insecure links": "yes"}}) as d:
        def pull(i):
            name = ("strict", "loose")[i % 2]
            r = client(["-rL", d.url(f"{name}/"), f"{work}/o{i}"])
            assert (r.returncode, os.path.exists(f"{work}/o{i}/ldir/secret")) == ((0, True) if i % 2 else (23, False)), (name, r.stderr)

        for _ in range(2):
            assert not at_once(pull, 8)
            for i in range(8):
                shutil.rmtree(f"{work}/o{i}")


@pytest.mark.skipif(not IS_ROOT, reason="makes files of another user")
@pytest.mark.parametrize("opts", [[], ["-M--insecure-links"], ["-M--insecure-links", "-M--no-insecure-links"]], ids=" ".join)
def test_insecure_links_of_a_server(work, opts):
    """-K through an absolute link; --files-from through links of a stranger."""
    found = {}
    for who, binary in REMOTE.items():
        top = f"{work}/{who}"
        os.mkdir(top)
        make(top)
        os.lchown(f"{top}/mod/m/ldir", 1234, 1234)
        with open(f"{top}/list", "w") as f:
            f.write("ldir/secret\n")
        args = ["-e", rsh(work), f"--rsync-path={binary}", *opts]
        push = client(["-rK", *args, f"{top}/src/", f"host:{top}/mod/m/"])
        pull = client(["-r", *args, f"--files-from={top}/list", f"host:{top}/mod/m/", f"{top}/o"])
        found[who] = (push.returncode, pull.returncode, *[names(f"{top}/{n}") for n in ("mod", "out", "o")])
    assert found["kedge"] == found["stock"]


def pairs():
    nobody = pwd.getpwnam("nobody")
    return ["nobody", "nobody:nogroup", str(nobody.pw_uid), f"{nobody.pw_uid}:12345", "12345:54321", "0", "nosuch", "nobody:nosuch",
            "nobody:", ":nogroup", "", "12x", "12345", "4294967295"]


@pytest.mark.skipif(not IS_ROOT, reason="changes ids")
@pytest.mark.parametrize("spec", pairs())
def test_copy_as(work, spec):
    """What is written belongs to USER:GROUP, what USER may not read is not sent; the groups of root are gone."""
    found = {}
    for who, binary in REMOTE.items():
        top = f"{work}/{who}"
        os.makedirs(f"{top}/src")
        os.mkdir(f"{top}/dst")
        os.chmod(f"{top}/dst", 0o777)
        for name, mode in (("open", 0o644), ("closed", 0o600), ("group", 0o640)):
            with open(f"{top}/src/{name}", "w") as f:
                f.write(name)
            os.chmod(f"{top}/src/{name}", mode)
        args = ["-rg", "-e", rsh(work), f"--rsync-path={binary}", f"-M--copy-as={spec}"]
        push = client([*args, f"{top}/src/", f"host:{top}/dst/"])
        owners = {n: (os.stat(f"{top}/dst/{n}").st_uid, os.stat(f"{top}/dst/{n}").st_gid) for n in os.listdir(f"{top}/dst")}
        pull = client([*args, f"host:{top}/src/", f"{top}/back/"])
        said = [s for s in push.stderr.decode().splitlines() if "copy-as" in s]
        # Without power over its ids a stock sender hangs up: its client makes that 12.
        found[who] = (push.returncode, pull.returncode and 1, owners, names(f"{top}/back"), said if spec != "4294967295" else [])
    assert found["kedge"] == found["stock"]


def test_a_daemon_takes_neither(work):
    os.mkdir(f"{work}/m")
    with Daemon(work, {"m": {"path": f"{work}/m", "read only": "no", **IDS}}) as d:
        for opt in ("--insecure-links", "--copy-as=nobody", "--log-file=x", "--log-file-format=%f"):
            r = client(["-r", f"-M{opt}", d.url("m/"), f"{work}/o"])
            assert r.returncode != 0 and opt.split("=")[0].encode() in r.stderr
