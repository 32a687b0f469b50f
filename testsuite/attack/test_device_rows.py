"""More rows of the device matrix: `refuse options`, fake super and remote-shell servers, with the stock 3.5.0 and 3.2.7 beside."""
import contextlib
import os
import shutil
import stat
import struct
import subprocess

import pytest
from harness import CLIENTS, Daemon, IS_ROOT, KEDGE, client, give_tree, obstacle, rsh, write_file
from takeover import HOOKS

pytestmark = pytest.mark.skipif(not IS_ROOT, reason="making device nodes to send needs root")
CHR, BLK, FIFO, SOCK = stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK
KINDS = {"chr": (CHR, (1, 3)), "blk": (BLK, (7, 0)), "fifo": (FIFO, (0, 0)), "sock": (SOCK, (0, 0))}
DEVICES, SPECIALS = {"chr", "blk"}, {"fifo", "sock"}
VERSIONS = ["3.5.0", "3.2.7"]


def make_kinds(top):
    os.makedirs(top)
    for name, (kind, dev) in KINDS.items():
        os.mknod(f"{top}/{name}", kind | 0o640, os.makedev(*dev))
    write_file(top + "/reg", b"data\n")


def module(work, **params):
    os.makedirs(work + "/mod", exist_ok=True)
    return {"m": {"path": work + "/mod", "read only": "no", "uid": 0, "gid": 0, **{k.replace("_", " "): v for k, v in params.items()}}}


def empty(top):
    shutil.rmtree(top, ignore_errors=True)
    os.mkdir(top)


# options: (devices, specials) that they ask for
ASKED = {"-a": (True, True), "-rlptD": (True, True), "-rlpt --devices": (True, False), "-rlpt --specials": (False, True), "-rlpt": (False, False)}
REFUSED = ["devices", "specials", "devices specials", "D", "a", "archive", "no-devices"]


@pytest.mark.parametrize("refuse", REFUSED)
def test_refuse_options(work, refuse):
    """By effect: what is refused is not made, whichever option asks for it. Stock knows the word only, and makes it with -D."""
    make_kinds(work + "/src")
    results = {}
    for program in (KEDGE, CLIENTS["3.5.0"], CLIENTS["3.2.7"]):
        params = {"refuse_options": refuse, **({"device_nodes": "any"} if program == KEDGE else {})}
        with Daemon(work, module(work, **params), binary=program) as d:
            for flags in ASKED:
                empty(work + "/mod")
                r = client([*flags.split(), work + "/src/", d.url("m/")])
                assert not d.wait_idle()
                results[program, flags] = (r.returncode, set(os.listdir(work + "/mod")), (r.stdout + r.stderr).decode())
    words = refuse.split()
    for flags, (devices, specials) in ASKED.items():
        rc, made, said = results[KEDGE, flags]
        stock = results[CLIENTS["3.5.0"], flags]
        assert (rc, rc or stock[1]) == (stock[0], rc or {"reg"} | (DEVICES if devices else set()) | (SPECIALS if specials else set())), (flags, said)
        assert results[CLIENTS["3.2.7"], flags][:2] == stock[:2], flags
        if rc:
            assert not made and b"configured to refuse" in said.encode(), (flags, said)
            continue
        want = {"reg"}
        want |= DEVICES if devices and "devices" not in words else set()
        want |= SPECIALS if specials and "specials" not in words else set()
        assert made == want, (flags, made, said)
        for name in KINDS.keys() - made:
            assert f'skipping non-regular file "{name}"' in said, (flags, name, said)


EXISTING = ["none", "same", "number", "file", "link", "dir", "full"]


def existing(top):
    """What stands in the place of each entry; stored by fake super where it is a node."""
    for name, (kind, dev) in KINDS.items():
        for e in EXISTING:
            path = f"{top}/{name}-{e}"
            if e in ("same", "number", "file"):
                write_file(path, b"old\n" if e == "file" else b"", 0o600)
            if e in ("same", "number"):
                number = dev if e == "same" else (1, 9) if kind in (CHR, BLK) else dev
                what = kind if e == "same" or kind in (CHR, BLK) else FIFO if kind == SOCK else SOCK
                os.setxattr(path, "user.rsync.%stat", b"%o %d,%d 0:0" % (what | 0o640, *number))
            else:
                obstacle(path, e)
    give_tree(top, 65534)


def facts(top):
    found = {}
    for n in sorted(os.listdir(top)):
        st = os.lstat(f"{top}/{n}")
        text = None
        if stat.S_ISREG(st.st_mode) and "user.rsync.%stat" in os.listxattr(f"{top}/{n}"):
            text = os.getxattr(f"{top}/{n}", "user.rsync.%stat")
        found[n] = (stat.S_IFMT(st.st_mode), st.st_size if stat.S_ISREG(st.st_mode) else 0, st.st_uid, text)
    return found


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("by", ["module", "client"])
def test_fake_super(work, by, version):
    """Every kind over every existing target: no node and no broker, and the placeholders are stock's to the byte."""
    os.mkdir(work + "/src")
    for name, (kind, dev) in KINDS.items():
        for e in EXISTING:
            os.mknod(f"{work}/src/{name}-{e}", kind | 0o640, os.makedev(*dev))
            os.utime(f"{work}/src/{name}-{e}", ns=(10**18, 10**18))
    seen = {}
    for who, program in (("kedge", KEDGE), ("stock", CLIENTS[version])):
        params = {"uid": 65534, "gid": 65534, "fake_super": "yes"}
        if who == "kedge":
            params["device_nodes"] = "any"  # of no consequence
        empty(work + "/mod")
        existing(work + "/mod")
        # A client's --fake-super is for a remote-shell server; a daemon takes it for --super, stock and ours.
        with Daemon(work, module(work, **params), binary=program) if by == "module" else contextlib.nullcontext() as d:
            options = ["-a"] if d else ["-a", "-M--fake-super", "-e", rsh(work), f"--rsync-path={program}"]
            where = d.url("m/") if d else f"h:{work}/mod/"
            r = client([*options, work + "/src/", where], version=version)
            seen[who] = (r.returncode, facts(work + "/mod"))
            assert not any(f[0] in (CHR, BLK, FIFO, SOCK) for f in seen[who][1].values())
            # Back again: a real node is a decision of the client's, who is root here.
            empty(work + "/back")
            assert client([*options, where, work + "/back"], version=version).returncode == 0
            for name, (kind, dev) in KINDS.items():
                st = os.lstat(f"{work}/back/{name}-none")
                assert stat.S_IFMT(st.st_mode) == kind and (kind not in (CHR, BLK) or st.st_rdev == os.makedev(*dev)), name
    assert seen["kedge"] == seen["stock"]


# ---- remote-shell servers ----

@pytest.mark.parametrize("where", ["bk", "../elsewhere"])
@pytest.mark.parametrize("server", ["kedge", *VERSIONS])
def test_backup_of_a_node(work, where, server):
    """A replaced node goes to --backup-dir; where the broker does not reach that, the node is not replaced, and that is an error."""
    os.makedirs(work + "/src")
    os.makedirs(work + "/dst")
    os.mkdir(work + "/elsewhere")
    for name in ("dev", "file"):
        os.mknod(f"{work}/dst/{name}", CHR | 0o600, os.makedev(1, 5))
    os.mknod(work + "/src/dev", CHR | 0o600, os.makedev(1, 3))
    write_file(work + "/src/file", b"new\n")
    program = KEDGE if server == "kedge" else CLIENTS[server]
    r = client(["-ab", f"--backup-dir={where}", "-e", rsh(work), f"--rsync-path={program}", work + "/src/", f"h:{work}/dst/"])
    kept = os.path.join(work, "dst", where)
    refused = server == "kedge" and where != "bk"
    assert r.returncode == (23 if refused else 0), r.stderr
    assert ("keep_backup failed" in r.stderr.decode()) == refused, r.stderr
    for name in ("dev", "file"):
        assert os.lstat(f"{work}/dst/{name}" if refused else f"{kept}/{name}").st_rdev == os.makedev(1, 5), (name, r.stderr)


def has_mounts():
    return subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not has_mounts(), reason="mounting is not permitted here")
@pytest.mark.parametrize("program", [KEDGE, CLIENTS["3.5.0"]], ids=["kedge", "stock"])
def test_nodes_on_another_mount(work, program):
    """The invoking user's own authority: nodes may be made on file systems mounted below the destination (a module's may not: K5)."""
    make_kinds(work + "/src/disk")
    os.makedirs(work + "/dst/disk")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "kedge-test", work + "/dst/disk"], check=True)
    try:
        r = client(["-a", "-e", rsh(work), f"--rsync-path={program}", work + "/src/", f"h:{work}/dst/"])
        assert r.returncode == 0, r.stderr
        assert set(os.listdir(work + "/dst/disk")) == {"reg", *KINDS}
    finally:
        subprocess.run(["umount", "-l", work + "/dst/disk"], check=True)


ACL = "system.posix_acl_access"


@pytest.mark.parametrize("server", ["daemon", "kedge", *VERSIONS])
def test_acls_of_nodes(work, server):
    """Owner, mode, times and ACL of nodes new and old, which nobody can open."""
    make_kinds(work + "/src")
    os.mkdir(work + "/mod")
    value = struct.pack("<I" + "HHI" * 5, 2, 1, 6, 2**32 - 1, 2, 4, 65534, 4, 4, 2**32 - 1, 16, 6, 2**32 - 1, 32, 0, 2**32 - 1)
    for name, (kind, dev) in KINDS.items():
        try:
            os.setxattr(f"{work}/src/{name}", ACL, value)
        except OSError as e:
            pytest.skip(f"no ACLs here: {e}")
        os.chown(f"{work}/src/{name}", 1234, 5678)
        os.utime(f"{work}/src/{name}", ns=(10**18, 10**18))
        if name in ("blk", "sock"):  # there already, with another mode
            os.mknod(f"{work}/mod/{name}", kind | 0o600, os.makedev(*dev))
    with Daemon(work, module(work, device_nodes="any")) if server == "daemon" else contextlib.nullcontext() as d:
        program = KEDGE if server == "kedge" else CLIENTS.get(server)
        where = [d.url("m/")] if d else ["-e", rsh(work), f"--rsync-path={program}", f"h:{work}/mod/"]
        r = client(["-aA", work + "/src/", *where])
        assert r.returncode == 0, r.stderr
    for name, (kind, dev) in KINDS.items():
        st = os.lstat(f"{work}/mod/{name}")
        assert (stat.S_IFMT(st.st_mode), st.st_uid, st.st_gid, st.st_mtime_ns) == (kind, 1234, 5678, 10**18), name
        assert os.getxattr(f"{work}/mod/{name}", ACL) == value, name


@pytest.mark.skipif(not os.access(HOOKS, os.X_OK), reason=f"{HOOKS} was not built")
def test_attributes_out_of_reach(work):
    """A kernel without setxattrat has no safe way to a FIFO's or a link's attributes: an error that says so, not a silent loss."""
    os.makedirs(work + "/src")
    os.symlink("x", work + "/src/link")
    try:
        os.setxattr(work + "/src/link", "trusted.a", b"b", follow_symlinks=False)
    except OSError as e:
        pytest.skip(f"no attributes on links here: {e}")
    r = client(["-aX", "-e", rsh(work), f"--rsync-path={HOOKS}", work + "/src/", f"h:{work}/mod/"], env={"KEDGE_PORTABLE_WALK": "1"})
    assert r.returncode == 23 and b"Operation not supported" in r.stderr, r.stderr
    assert os.path.islink(work + "/mod/link")
