"""System calls of the server that fail: the client hears of it in rsync's words with rsync's exit code, no file is half
written, no temp file stays. Through a remote shell the stock server gets the same faults; over TCP it is the confined worker."""
import errno
import os
import re
import subprocess
import time

import pytest
from harness import Daemon, IS_ROOT, KEDGE, STOCK_350, client, preloaded, rsh, write_file

IDS = {"uid": 0, "gid": 0} if IS_ROOT else {}
OLD = 1_500_000_000_000_000_000
HERE = os.path.dirname(os.path.abspath(__file__))


@pytest.fixture(scope="session")
def shim(tmp_path_factory):
    top = tmp_path_factory.mktemp("shim")
    for d in (top, top.parent):
        d.chmod(0o755)
    path = str(top / "faults.so")
    subprocess.run([os.environ.get("CC", "cc"), "-shared", "-fPIC", "-O1", "-o", path, HERE + "/faults.c", "-ldl"], check=True)
    return path


def lay(top):
    """src has news for dst: a change inside, a new file, a directory, a link, times."""
    src, dst = top + "/src", top + "/dst"
    for d in (src + "/newdir", src + "/olddir", dst + "/olddir", dst + "/gone"):
        os.makedirs(d)
    body = bytes(range(256)) * 800
    write_file(dst + "/changed", body, mtime=OLD)
    write_file(src + "/changed", body[:70000] + b"news" + body[70000:], mode=0o600, mtime=OLD + 10**9)
    write_file(src + "/fresh", body[:5000], mtime=OLD)
    write_file(src + "/newdir/in", b"inner\n", mtime=OLD)
    write_file(src + "/olddir/perm", b"same\n", mode=0o640, mtime=OLD)
    write_file(dst + "/olddir/perm", b"same\n", mtime=OLD)
    write_file(dst + "/gone/f", b"x", mtime=OLD)
    for name in ("changed", "olddir/perm"):
        os.setxattr(f"{src}/{name}", "user.small", b"1")
        os.setxattr(f"{src}/{name}", "user.large", b"2" * 100)
    os.setxattr(dst + "/olddir/perm", "user.large", b"3" * 100)
    os.symlink("fresh", src + "/link")
    os.link(src + "/fresh", src + "/second")
    for top_, dirs, _ in os.walk(top, topdown=False):
        os.utime(top_, ns=(OLD, OLD))
    return src, dst


def text(out, top):
    out = out.replace(top.encode(), b"TOP")
    out = re.sub(rb" at \S+\(\d+\)", b"", out)
    out = re.sub(rb"\[(\w+)=[^\]]*\]", rb"[\1]", out)
    out = re.sub(rb"llistxattr\((.*),\d+\)", rb"llistxattr(\1,N)", out.replace(b'/."', b'"').replace(b"/./", b"/").replace(b"(./", b"("))
    out = re.sub(rb"\.(\w+)\.[A-Za-z0-9]{6}", rb".\1.XXXXXX", out)
    return sorted(x for x in out.split(b"\n") if b"unexpectedly closed" not in x and b"write error" not in x)


def contents(top):
    out = {}
    for d, dirs, files in os.walk(top):
        for f in dirs + files:
            p = os.path.join(d, f)
            if os.path.islink(p):
                out[os.path.relpath(p, top)] = os.readlink(p)
            elif os.path.isdir(p):
                out[os.path.relpath(p, top)] = "directory"
            else:
                with open(p, "rb") as h:
                    out[os.path.relpath(p, top)] = h.read()
    return out


def run(work, name, shim, fault, push, opts, binary=None):
    """binary: through a remote shell; otherwise over TCP. Returns (exit code, stderr lines, contents, contents before)."""
    top = os.path.join(work, name)
    os.mkdir(top)
    src, dst = lay(top)
    before = contents(dst)
    write_file(top + "/list", b"fresh\nnewdir/in\nolddir\n")
    opts = [o.format(list=top + "/list") for o in opts]
    if binary:
        # Ours is confined when the transfer begins, and what it does before does not count.
        everywhere = {"KEDGE_FAULT_ALL": "1"} if binary == STOCK_350 else {}
        env = " ".join(f"'{k}={v}'" for k, v in {**preloaded(shim, KEDGE_FAULT=fault), **everywhere}.items())
        write_file(top + "/server", f"#!/bin/sh\nexec env {env} {binary} \"$@\"\n".encode(), 0o755)
        r = client([*opts, "-e", rsh(work), f"--rsync-path={top}/server", *([src + "/", f"h:{dst}/"] if push else [f"h:{src}/", dst + "/"])])
    else:
        mods = {"m": {"path": top, "read only": "no", "munge symlinks": "no", **IDS}}
        with Daemon(work, mods, env=preloaded(shim, KEDGE_FAULT=fault)) as d:
            r = client([*opts, *([src + "/", d.url("m/dst/")] if push else [d.url("m/src/"), dst + "/"])])
            assert not d.wait_idle()
    return r.returncode, text(r.stderr, top), contents(dst), before, contents(src)


def whole(after, before, src):
    """Every file is the old or the new one; nothing else is there but partial directories as the options ask for them."""
    for name, data in after.items():
        if name.split("/")[-1] not in (".~tmp~", ".p"):
            plain = name.replace(".~tmp~/", "").replace(".p/", "")
            assert data in [s[plain] for s in (before, src) if plain in s] or name != plain, name


E = errno
PUSH = [
    (f"write:{E.ENOSPC}:1", ["-a"]), (f"write:{E.ENOSPC}:2", ["-aI", "-W"]), (f"write:{E.EIO}:1", ["-a"]), (f"write:{E.EDQUOT}:1", ["-a"]),
    (f"write:{E.EFBIG}:1", ["-a"]), (f"write:{E.ENOSPC}:1", ["-a", "--delay-updates"]), (f"write:{E.ENOSPC}:1", ["-a", "--partial-dir=.p"]),
    (f"write:{E.ENOSPC}:1", ["-a", "-S"]), (f"create:{E.EMFILE}:1", ["-a"]), (f"create:{E.ENOSPC}:2", ["-a"]), (f"create:{E.EROFS}:1", ["-a"]),
    (f"rename:{E.EACCES}:1", ["-a"]), (f"rename:{E.ENOSPC}:2", ["-a"]), (f"rename:{E.EIO}:1", ["-a", "--delay-updates"]),
    (f"mkdir:{E.ENOSPC}:1", ["-a"]), (f"mkdir:{E.EMLINK}:1", ["-a"]), (f"symlink:{E.EPERM}:1", ["-a"]), (f"link:{E.EMLINK}:1", ["-aH"]),
    (f"chmod:{E.EPERM}:1", ["-a"]), (f"utimes:{E.EPERM}:1", ["-a"]),
    (f"unlink:{E.EBUSY}:1", ["-a", "--delete"]), (f"list:{E.EIO}:1", ["-a", "--delete"]), (f"fsync:{E.EIO}:1", ["-a", "--fsync"]),
    (f"allocate:{E.ENOSPC}:1", ["-a", "--preallocate"]),
    # When the delayed files are moved into place, it is too late to ask for another member of the hard-link group.
    (f"rename:{E.EIO}:4", ["-aH", "--delay-updates"]),
]
# Faults that meet another call, or the same one on another file, in the stock server: the exit codes are compared.
LOOSE = ("chmod", "utimes", f"write:{E.ENOSPC}:2")
PULL = [
    (f"read:{E.EIO}:1", ["-a"]), (f"read:{E.EIO}:2:1", ["-aI", "--no-W"]), (f"list:{E.EIO}:1", ["-a", "--delete"]), (f"read:{E.EIO}:1", ["-ac"]),
    # Gone, or closed, between the directory and the list; between the list and the transfer.
    (f"stat:{E.ENOENT}:1@fresh", ["-aH", "--delete"]), (f"stat:{E.ENOENT}:1@newdir", ["-a", "--delete", "--no-i-r"]),
    (f"stat:{E.EIO}:1@link", ["-a", "--delete"]), (f"stat:{E.EIO}:1@in", ["-a", "--delete", "--ignore-errors"]),
    (f"stat:{E.ENOENT}:1@fresh", ["-a", "--files-from={list}"]), (f"stat:{E.ENOENT}:1@fresh", ["-a", "--files-from={list}", "--ignore-missing-args"]),
    (f"stat:{E.ENOENT}:1@in", ["-a", "--files-from={list}", "--delete-missing-args"]),
    (f"open:{E.ENOENT}:1@fresh", ["-a", "--delete-after"]), (f"open:{E.ENOENT}:1@in", ["-a", "--delete-delay", "-H"]),
    (f"open:{E.EACCES}:1@changed", ["-a", "--delete-after"]), (f"open:{E.EACCES}:1@in", ["-ac", "--delete"]),
    (f"open:{E.ENOENT}:1@fresh", ["-a", "--delete-after", "--files-from={list}"]),
    # What has lost its attributes on the way would cost the copy its own: it is left out.
    (f"getxattr:{E.EIO}:1@system.posix_acl_access", ["-aA"]), (f"getxattr:{E.EIO}:2:1@system.posix_acl_default", ["-aA", "--delete"]),
    (f"getxattr:{E.EIO}:1@user.large", ["-aX", "--delete"]),
    (f"listxattr:{E.EIO}:1", ["-aX", "--delete"]), (f"listxattr:{E.EIO}:5:1", ["-aX"]),
]


@pytest.mark.parametrize("push,fault,opts", [(True, *c) for c in PUSH] + [(False, *c) for c in PULL],
                         ids=[f"{'push' if p else 'pull'}-{f}-{' '.join(o)}" for p, c in ((True, PUSH), (False, PULL)) for f, o in c])
def test_like_stock(work, shim, push, fault, opts):
    stock = run(work, "stock", shim, fault, push, opts, STOCK_350)
    ours = run(work, "ours", shim, fault, push, opts, KEDGE)
    tcp = run(work, "tcp", shim, fault, push, opts)
    assert stock[0] != 0 or len(stock[1]) > 1 or stock[2] != stock[4], "the fault was not met"
    for got in (ours, tcp):
        whole(*got[2:])
    assert ours[0] == tcp[0] == stock[0], (ours[1], tcp[1])
    if fault.startswith(LOOSE):
        return
    assert ours[1] == stock[1]
    assert [n for n in ours[2] | stock[2] if ours[2].get(n) != stock[2].get(n) and ".p" not in n and ".~tmp~" not in n] == []


def test_basis_gone(work, shim):
    """The generator sums a basis that the receiver cannot open."""
    stock = run(work, "stock", shim, f"open:{E.ENOENT}:1", True, ["-a"], STOCK_350)
    ours = run(work, "ours", shim, f"open:{E.ENOENT}:2:1", True, ["-a"], KEDGE)
    whole(*ours[2:])
    assert ours[:2] == stock[:2]
    assert any(x.startswith(b"got a block match with no basis file for") for x in ours[1])


# The client is stopped at a moment (see faults.c) and a command changes the server's files: (push, options, moment, command).
BY_FIRST_TEMP, BY_OPEN = "create:0:1:1", "open:0:1:1@a"
MEANWHILE = [
    (False, "-a", BY_FIRST_TEMP, "truncate -s 4M src/a"), (False, "-aI --no-W", BY_FIRST_TEMP, "truncate -s 4M src/a"),
    (False, "-a", BY_FIRST_TEMP, "echo more >> src/a"), (False, "-az --inplace", BY_FIRST_TEMP, "truncate -s 4M src/a"),
    (False, "-a --delete-after", BY_FIRST_TEMP, "truncate -s 10 src/b; echo more >> src/c; rm src/d; : > src/e"),
    (False, "-a --remove-source-files", BY_FIRST_TEMP, "truncate -s 10 src/b; echo more >> src/c; rm src/d; : > src/e"),
    (False, "-a --append", BY_FIRST_TEMP, "truncate -s 10 src/b; echo more >> src/c; rm src/d; : > src/e"),
    (True, "-a --append", BY_OPEN, "echo longer >> dst/a"), (True, "-a --append", BY_OPEN, "truncate -s 5 dst/a"),
    (True, "-a --append-verify", BY_OPEN, "echo longer >> dst/a"),
    (True, "-a --append-verify", BY_OPEN, "truncate -s 5 dst/a"), (True, "-a --append-verify", BY_OPEN, "rm dst/a"),
    (True, "-aI --no-W", BY_OPEN, "truncate -s 5 dst/a"),
    (True, "-aI --no-W --inplace", BY_OPEN, "truncate -s 5 dst/a"), (True, "-aI --no-W --inplace", BY_OPEN, "rm dst/a; mkdir dst/a"),
    (True, "-aI", BY_OPEN, "rm dst/a; mkdir dst/a"), (True, "-aI -b", BY_OPEN, "rm dst/a"), (True, "-aI", BY_OPEN, "rm -r dst; mkdir dst"),
]


@pytest.mark.parametrize("push,opts,moment,command", MEANWHILE, ids=[f"{'push' if m[0] else 'pull'} {m[1]} {m[3]}" for m in MEANWHILE])
def test_changed_meanwhile(work, shim, push, opts, moment, command):
    found = {}
    body = bytes(range(256)) * 40
    for who, server in (("stock", STOCK_350), ("kedge", KEDGE)):
        top = f"{work}/{who}"
        for name in "abcde":
            for side in ("src", "dst"):
                os.makedirs(f"{top}/{side}", exist_ok=True)
                data = body * (600 if name == "a" and not push else 5)
                write_file(f"{top}/{side}/{name}", data if side == "src" else data[:len(data) // 2], mtime=OLD + 10**9 * (side == "src"))
        write_file(f"{top}/dst/extra", b"extra", mtime=OLD)
        ends = [top + "/src/", f"h:{top}/dst/"] if push else [f"h:{top}/src/", top + "/dst/"]
        env = {**preloaded(shim, KEDGE_FAULT=moment), "KEDGE_FAULT_ALL": "1", "KEDGE_FAULT_RUN": f"cd {top}; touch met; {command}"}
        r = client(["-i", *opts.split(), "-e", rsh(work), f"--rsync-path=env -u LD_PRELOAD {server}", *ends], env=env)
        assert os.path.exists(top + "/met"), "the moment did not come"
        found[who] = (r.returncode, text(r.stderr, top), sorted(r.stdout.split(b"\n")), contents(top + "/dst"), contents(top + "/src"))
    for ours, stock in zip(found["kedge"], found["stock"]):
        assert ours == stock


@pytest.mark.parametrize("push,opt", [(True, "--stop-after=1"), (False, "--time-limit=2"), (False, "--stop-at=%Y-%m-%dT%H:%M")],
                         ids=["push", "pull", "at"])
def test_stop_after(work, shim, push, opt):
    """A server whose clock jumps ends there, and nothing half received stays. (Who still sends may be hung up on, and which of the
    client's two processes hears of the end first is chance.)"""
    found = []
    opt = time.strftime(opt, time.localtime(time.time() + 130))
    for who, server in (("stock", STOCK_350), ("kedge", KEDGE)):
        src, dst = lay(f"{work}/{who}")
        write_file(src + "/large", bytes(8_000_000), mtime=OLD)
        env = " ".join(f"{k}={v}" for k, v in {**preloaded(shim, KEDGE_FAULT="clock:150:25"), **({"KEDGE_FAULT_ALL": "1"} if who == "stock" else {})}.items())
        ends = [src + "/", f"h:{dst}/"] if push else [f"h:{src}/", dst + "/"]
        r = client(["-a", "-M" + opt, "-e", rsh(work), f"--rsync-path=env {env} {server}", *ends])
        found.append((r.returncode, text(r.stderr, f"{work}/{who}"), [n for n in os.listdir(dst) if n.startswith(".")]))
    for code, err, left in found:
        assert code in (30, 10, 12) and not left, found
    server = [[x for x in err if b"[sender]" in x or b"requested" in x] for _, err, _ in found]
    assert b"stopping at requested limit" in server[1] and (push or server[1] == server[0]), found


@pytest.mark.parametrize("call", ["read", "write"])
@pytest.mark.parametrize("push", [True, False], ids=["push", "pull"])
@pytest.mark.parametrize("opts", [["-a"], ["-aI", "--no-W"], ["-a", "--inplace", "--no-W"], ["-az", "-S"]], ids=" ".join)
def test_short_transfers_are_whole(work, shim, push, call, opts):
    code, err, after, before, src = run(work, "t", shim, f"{call}:0:1", push, [*opts, "--delete"])
    assert (code, err) == (0, [b""])
    assert after == src


@pytest.mark.skipif(not IS_ROOT, reason="mounting needs root")
@pytest.mark.parametrize("opts", [["-a"], ["-a", "--inplace"], ["-a", "--partial-dir=.p"], ["-a", "--delay-updates"], ["-a", "--preallocate"]],
                         ids=" ".join)
def test_full_file_system(work, opts):
    """A file system that really is full, in the module of a confined worker."""
    up, src = work + "/up", work + "/src"
    os.mkdir(up)
    os.mkdir(src)
    for i in range(4):
        write_file(f"{src}/f{i}", os.urandom(400_000), mtime=OLD)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=755", "none", up], check=True)
    try:
        with Daemon(work, {"m": {"path": up, "read only": "no", **IDS}}) as d:
            r = client([*opts, src + "/", d.url("m/")])
            assert r.returncode in ((11, 23) if "--preallocate" in opts else (11,)), r.stderr
            assert b"No space left on device (28)" in r.stderr
            assert "No space left on device" in d.read_log()
            assert not d.wait_idle()
            after, want = contents(up), contents(src)
            for name, data in after.items():
                if name.startswith(".p") or name.startswith(".~tmp~") or "--inplace" in opts:
                    assert data == "directory" or want[os.path.basename(name)].startswith(data.rstrip(b"\0"))
                else:
                    assert data == want[name]
    finally:
        subprocess.run(["umount", up], check=True)
