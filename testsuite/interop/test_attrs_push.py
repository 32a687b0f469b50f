"""Pushes with -A and -X: the stock daemon and kedge end with the same attributes, output and exit code."""
import os
import shutil
import struct

import pytest
from harness import CLIENTS, Daemon, IS_ROOT, KEDGE, STOCK_350, client, difference, rsh, settle, snapshot, write_file

IDS = {"uid": 0, "gid": 0} if IS_ROOT else {}
ACCESS, DEFAULT = "system.posix_acl_access", "system.posix_acl_default"
NONE = 0xffffffff


def acl(user, group, mask, other, users=(), groups=()):
    """An ACL as the kernel stores it; mask None: without."""
    e = [(1, user, NONE)] + [(2, p, i) for i, p in users] + [(4, group, NONE)] + [(8, p, i) for i, p in groups]
    e += [(16, mask, NONE)] if mask is not None else []
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *x) for x in e + [(32, other, NONE)])


def set_attr(path, name, value):
    os.setxattr(path, name, value, follow_symlinks=False)


def attr_tree(top):
    os.makedirs(top + "/d/sub")
    os.mkdir(top + "/plain")
    for name in ("a", "b", "d/c", "d/sub/e", "plain/f", "ro"):
        write_file(f"{top}/{name}", name.encode() * 50, 0o640, 1_600_000_000_000_000_000)
    os.symlink("a", top + "/link")
    os.mkfifo(top + "/fifo", 0o640)
    for name in ("a", "b", "d", "d/sub/e"):
        set_attr(f"{top}/{name}", "user.short", b"value")
        set_attr(f"{top}/{name}", "user.empty", b"")
        set_attr(f"{top}/{name}", "user.long", b"x" * 50)
    set_attr(top + "/b", "user.other", b"y" * 33)
    set_attr(top + "/ro", "user.ro", b"z" * 100)
    set_attr(top + "/a", ACCESS, acl(6, 4, 6, 4, users=[(1, 6)], groups=[(2, 4)]))
    set_attr(top + "/d/c", ACCESS, acl(6, 6, 4, 0, users=[(1, 7), (77, 5)]))
    set_attr(top + "/plain/f", ACCESS, acl(6, 4, 6, 0))
    set_attr(top + "/d", DEFAULT, acl(7, 5, 7, 5, users=[(1, 7)]))
    set_attr(top + "/d/sub", ACCESS, acl(7, 5, 5, 5, groups=[(3, 5)]))
    set_attr(top + "/plain", DEFAULT, acl(7, 0, None, 0))
    if IS_ROOT:
        set_attr(top + "/fifo", ACCESS, acl(6, 4, 6, 4, users=[(5, 6)]))
    os.chmod(top + "/ro", 0o440)
    settle(os.fsencode(top), 1_600_000_000_000_000_000)


def change(top):
    """One of each: changed, removed, added, only data, only an ACL."""
    set_attr(top + "/a", "user.short", b"other")
    set_attr(top + "/a", "user.long", b"w" * 3000)
    os.removexattr(top + "/b", "user.long")
    set_attr(top + "/b", "user.new", b"n" * 200)
    set_attr(top + "/d", "user.dir", b"d" * 90)
    os.removexattr(top + "/d/sub", ACCESS)
    os.removexattr(top + "/d", DEFAULT)
    set_attr(top + "/d/c", ACCESS, acl(6, 6, 6, 0, users=[(1, 7)]))
    set_attr(top + "/plain/f", ACCESS, acl(6, 4, 7, 4, users=[(9, 7)]))
    set_attr(top + "/plain", DEFAULT, acl(7, 5, 5, 0, users=[(9, 7)]))
    write_file(top + "/d/sub/e", b"new content" * 100, 0o600, 1_700_000_000_000_000_000)
    settle(os.fsencode(top), 1_700_000_000_000_000_000)


def facts(top, opts):
    kept = any(o.startswith("-a") for o in opts)
    out = snapshot(top, xattrs=True, times=kept, dir_times=kept and not {"-b", "-n", "--backup-dir=old"} & set(opts))
    for rel, f in out.items():
        path = os.fsencode(top) + b"/" + rel
        f["xattrs"] = {n: os.getxattr(path, n, follow_symlinks=False) for n in os.listxattr(path, follow_symlinks=False)}
    return out


def dest(work, name):
    d = os.path.join(work, name)
    os.mkdir(d)
    return d


def module(path, user=None, **kw):
    return {"m": {"path": path, "read only": "no", "munge symlinks": "no", "numeric ids": "no", **({} if user else IDS),
                  **{k.replace("_", " "): v for k, v in kw.items()}}}


def rounds(work, opts, version="3.5.0", proto=None, params=(), remote=False, prepare=None, src=None, user=None):
    """Three pushes (first, after changes, nothing to do) to stock and to kedge. Returns [(rc, out, err, facts)] of each."""
    result = {}
    for name, binary in (("stock", STOCK_350), ("kedge", KEDGE)):
        src = os.path.join(work, "src-" + name)
        attr_tree(src)
        dst = dest(work, "dst-" + name)
        if user:
            shutil.chown(dst, user)
        if prepare:
            prepare(dst, src)
        got = []

        def push(where, extra=()):
            r = client(["-ii", *opts, *extra, src + "/", where], version, proto)
            text = r.stderr.decode().replace(name, "X").replace(binary, "RSYNC")
            got.append((r.returncode, r.stdout, text, facts(dst, opts)))

        def three(where, extra=()):
            push(where, extra)
            change(src)
            push(where, extra)
            push(where, extra)

        if remote:
            three("h:" + dst + "/", ["-e", rsh(work), "--rsync-path=" + binary])
        else:
            with Daemon(work, module(dst, user, **dict(params)), binary=binary, user=user) as d:
                three(d.url("m/"))
        result[name] = got
    for (rc1, out1, err1, f1), (rc2, out2, err2, f2) in zip(result["stock"], result["kedge"]):
        # Which of two that do not depend on each other is told first is chance.
        assert sorted(out2.decode().split("\n")) == sorted(out1.decode().split("\n"))
        assert not difference(f1, f2)
        assert (rc2, err2) == (rc1, err1)
    return result["kedge"]


@pytest.mark.parametrize("opts", ["-aX", "-aA", "-aAXX", "-aHAX --inplace", "-aAX --no-inc-recursive --numeric-ids", "-aAX -n",
                                  "-aAX -c", "-rAX", "-aAX --delay-updates", "-rlX --delete",
                                  "-aAX -b --backup-dir=old", "-aX --filter=-x_user.s* --filter=-x_system.*", "-aAX --usermap=1:55 --groupmap=2:66"])
def test_like_stock(work, opts):
    rounds(work, opts.split())


@pytest.mark.parametrize("version", sorted(CLIENTS))
@pytest.mark.parametrize("proto", [30, 31])
def test_protocols(work, version, proto):
    rounds(work, ["-aHAX"], version, proto)


def test_remote_shell(work):
    rounds(work, ["-aHAX"], remote=True)


@pytest.mark.skipif(not IS_ROOT, reason="needs root: a daemon of another user")
def test_plain_user(work):
    """trusted.* and security.* are not for everybody; files that may not be written get their attributes too."""
    rounds(work, ["-rltpAX"], user="nobody")


@pytest.mark.parametrize("option", ["--link-dest", "--copy-dest", "--compare-dest"])
def test_alternate(work, option):
    """Equal attributes make a link; others are set on the copy."""
    def prepare(dst, src):
        shutil.copytree(src, dst + "/alt", symlinks=True, ignore=lambda d, names: ["fifo"])
        for name in ("a", "b", "d/c", "plain/f"):
            path = f"{dst}/alt/{name}"
            os.chown(path, os.lstat(f"{src}/{name}").st_uid, os.lstat(f"{src}/{name}").st_gid)
            if ACCESS in os.listxattr(f"{src}/{name}"):
                set_attr(path, ACCESS, os.getxattr(f"{src}/{name}", ACCESS))
        set_attr(dst + "/alt/b", "user.short", b"not the same")
        os.removexattr(dst + "/alt/d/sub/e", "user.long")

    rounds(work, ["-aAX", option + "=/alt"], prepare=prepare)


def test_inherited_default(work):
    """What the destination's default ACL gives to new files is replaced by what the source has."""
    rounds(work, ["-aA"], prepare=lambda dst, src: set_attr(dst, DEFAULT, acl(7, 7, 7, 0, users=[(44, 7)])))


@pytest.mark.skipif(not IS_ROOT, reason="needs root: attributes of other namespaces")
def test_beyond_the_worker(work):
    """trusted.* needs a capability that no worker has: an error for each, and all else is done."""
    src, dst = os.path.join(work, "src"), dest(work, "dst")
    attr_tree(src)
    set_attr(src + "/a", "trusted.t", b"root")
    set_attr(src + "/link", "trusted.l", b"l" * 40)
    with Daemon(work, module(dst)) as d:
        r = client(["-aAX", src + "/", d.url("m/")])
    assert r.returncode == 23
    assert b'lsetxattr("/a" (in m),"trusted.t") failed: Operation not permitted (1)' in r.stderr
    assert b'lsetxattr("/link" (in m),"trusted.l") failed: Operation not permitted (1)' in r.stderr
    os.removexattr(src + "/a", "trusted.t")
    os.removexattr(src + "/link", "trusted.l", follow_symlinks=False)
    assert not difference(facts(src, ["-a"]), facts(dst, ["-a"]))


@pytest.mark.skipif(not IS_ROOT, reason="needs root: file capabilities")
def test_file_capability(work):
    """A server of the remote shell may set them; the daemon's worker says that it may not."""
    src, dst = os.path.join(work, "src"), dest(work, "dst")
    os.mkdir(src)
    write_file(src + "/b", b"b", 0o755)
    os.chown(src + "/b", 5, 5)
    cap = struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0)
    set_attr(src + "/b", "security.capability", cap)
    r = client(["-aX", "-e", rsh(work), "--rsync-path=" + KEDGE, src + "/", "h:" + dst + "/"])
    assert (r.returncode, r.stderr) == (0, b"")
    assert os.getxattr(dst + "/b", "security.capability") == cap
    with Daemon(work, module(dest(work, "other"))) as d:
        r = client(["-aX", src + "/", d.url("m/")])
    assert r.returncode == 23 and b'"security.capability") failed: Operation not permitted (1)' in r.stderr


@pytest.mark.parametrize("opts", [[], ["--no-i-r"]], ids=["incremental", "whole"])
def test_a_source_stays_until_its_values_are_read(work, opts):
    """--remove-source-files where nothing but long values are sent: the sender looks for them when it is asked."""
    src, dst = work + "/src", dest(work, "dst")
    for i in range(40):
        os.makedirs(f"{src}/{i}")
        for k in range(10):
            for top in (src, f"{dst}"):
                os.makedirs(f"{top}/{i}", exist_ok=True)
                write_file(f"{top}/{i}/{k}", b"same", mtime=1_600_000_000_000_000_000)
            set_attr(f"{src}/{i}/{k}", "user.long", b"%d" % k * 50)
    with Daemon(work, module(dst)) as d:
        r = client(["-aX", "--remove-source-files", *opts, src + "/", d.url("m/")])
        assert (r.returncode, r.stderr) == (0, b"")
    for i in range(40):
        assert os.listdir(f"{src}/{i}") == []
        assert all(os.getxattr(f"{dst}/{i}/{k}", "user.long") == b"%d" % k * 50 for k in range(10))
