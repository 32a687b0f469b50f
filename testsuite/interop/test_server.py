"""`kedge --server` behind a remote shell, confined: a stock client does the same transfer with the stock server and with
kedge; the trees that result, the client's output and its exit code must be the same."""
import os
import re
import stat
import subprocess

import pytest

from harness import CLIENTS, IS_ROOT, KEDGE, LIMIT, STOCK_350, difference, snapshot, write_file

BASE = 1_600_000_000_000_000_000


def lay_out(top):
    """The world of one run: sources, a home (the working directory), places elsewhere."""
    for d in ("home/src/sub/deep", "home/dst", "data/in", "data/prev", "far/temp", "far/bak", "far/part", "outside", "client"):
        os.makedirs(f"{top}/{d}")
    write_file(f"{top}/home/src/a", b"alpha\n" * 300, mtime=BASE)
    write_file(f"{top}/home/src/sub/b", b"beta\n" * 300, 0o600, mtime=BASE)
    write_file(f"{top}/home/src/sub/deep/c", b"gamma\n" * 3000, 0o755, mtime=BASE)
    write_file(f"{top}/home/one", b"one\n", mtime=BASE)
    write_file(f"{top}/data/in/x", b"x\n" * 1000, mtime=BASE)
    write_file(f"{top}/data/prev/a", b"alpha\n" * 300, mtime=BASE)
    write_file(f"{top}/outside/secret", b"told\n", mtime=BASE)
    os.symlink("../../outside/secret", f"{top}/home/src/leads-out")
    os.symlink("../../outside", f"{top}/home/src/dir-out")
    os.symlink(f"{top}/data/in", f"{top}/home/in-link")


def source(top):
    """What a client pushes."""
    os.makedirs(f"{top}/client/push/sub")
    write_file(f"{top}/client/push/a", b"alpha\n" * 300, mtime=BASE)
    write_file(f"{top}/client/push/sub/n", b"new\n" * 50, mtime=BASE)
    os.utime(f"{top}/client/push/sub", ns=(BASE, BASE))
    os.utime(f"{top}/client/push", ns=(BASE, BASE))


def run(top, server, args, user=None, prepare=None, env=None):
    lay_out(top)
    source(top)
    if prepare:
        prepare(top)
    for d, dirs, files in os.walk(top):
        for name in dirs + files:
            if os.path.islink(f"{d}/{name}"):
                os.utime(f"{d}/{name}", ns=(BASE, BASE), follow_symlinks=False)
    shell = f"{top}/shell"
    with open(shell, "w") as f:
        f.write(f'#!/bin/sh\nshift\ncd {top}/home\nexec "$@"\n')
    os.chmod(shell, 0o755)
    if user:
        for d, dirs, files in os.walk(top):
            os.chown(d, user, user)
            for n in dirs + files:
                os.chown(f"{d}/{n}", user, user, follow_symlinks=False)
    full = {k: v for k, v in os.environ.items() if not k.startswith("RSYNC_")}
    full.update({"LC_ALL": "C", "HOME": f"{top}/home", **(env or {})})
    r = subprocess.run([CLIENTS["3.5.0"], "-e", shell, f"--rsync-path={server}", *[a.replace("@", top) for a in args]],
                       cwd=f"{top}/client", env=full, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                       timeout=LIMIT, user=user, group=user)
    os.unlink(shell)
    return r.returncode, r.stdout.decode(errors="surrogateescape")


def plain(text, top):
    """The client's output without what no two programs have in common."""
    text = text.replace(top, "@").replace("kedge", "rsync")
    text = re.sub(r"[-\w./]+\.c\(\d+\)|session\(\d+\)", "FILE", text)
    text = re.sub(r"\[(\w+)=[^\]]*\]", r"[\1]", text)
    text = re.sub(r"\.([A-Za-z0-9_-]+)\.[A-Za-z0-9]{6}\b", r".\1.TEMP", text)
    # Whether the client still writes when the server has gone is chance.
    return sorted(x for x in text.splitlines() if not x.endswith("write error: Broken pipe (32)"))


def both(work, args, user=None, prepare=None, code=None, texts=True, env=None):
    """Runs both servers and compares. Returns kedge's result and its tree."""
    done = []
    os.umask(0o022)
    for name, server in (("stock", STOCK_350), ("kedge", KEDGE)):
        # The same path for both: it appears in output and in links.
        top = f"{work}/w"
        os.mkdir(top)
        os.chmod(top, 0o755)
        rc, out = run(top, server, args, user, prepare, env)
        done.append((rc, plain(out, top), snapshot(top, dir_times=False, links=True)))
        os.rename(top, f"{work}/{name}")
    stock, ours = done
    assert ours[0] == stock[0], (stock[:2], ours[:2])
    if code is not None:
        assert ours[0] == code, ours[:2]
    if texts:
        assert ours[1] == stock[1]
    assert not difference(stock[2], ours[2]), difference(stock[2], ours[2])[:20]
    return ours


PULLS = {
    "absolute": ["-ai", "h:@/home/src/", "got/"],
    "relative": ["-ai", "h:src/", "got/"],
    "directory by name": ["-ai", "h:src", "got/"],
    "home": ["-ai", "h:", "got/"],
    "dot": ["-ai", "h:.", "got/"],
    "up": ["-ai", "h:../data/in", "got/"],
    "one file": ["-ai", "h:one", "got"],
    "several": ["-ai", "h:src/a", ":@/data/in", ":one", "got/"],
    "several, some missing": ["-ai", "h:src/a", ":nothing", ":@/data/none/x", ":one", "got/"],
    "missing": ["-ai", "h:nothing/here", "got/"],
    "through a link": ["-ai", "h:in-link/", "got/"],
    "the link itself": ["-ai", "h:in-link", "got/"],
    "relative names": ["-aRi", "h:src/sub/deep", ":@/data/./in/x", "got/"],
    "relative through a link": ["-aRi", "h:in-link/x", "got/"],
    "parent scan": ["-aiF", "h:src/", "got/"],
    "list of the client": ["-ai", "--files-from=@/client/list", "h:", "got/"],
    "list of the server": ["-ai", "--files-from=:src/list", "h:src", "got/"],
    "list, absolute": ["-ai", "--files-from=:@/far/list", "h:/", "got/"],
    "list with a link out": ["-ai", "--files-from=@/client/list-out", "h:src", "got/"],
    "follows": ["-aiL", "h:src/", "got/"],
    "follows directories": ["-aik", "h:src/", "got/"],
    "copies unsafe links": ["-ai", "--copy-unsafe-links", "h:src/", "got/"],
    "removes": ["-ai", "--remove-source-files", "h:src/", "got/"],
    "secluded": ["-ais", "h:src/", "got/"],
    "secluded, wildcards": ["-ais", "h:s*/[a-b]", ":@/da*/i?/", "got/"],
    "secluded, list": ["-ais", "--files-from=:src/list", "h:src", "got/"],
    "secluded, missing": ["-ais", "h:no*thing", "got/"],
    "exclude file there": ["-ai", "-M--exclude-from=@/far/rules", "h:src/", "got/"],
    "cvs": ["-aiC", "h:src/", "got/"],
    "listing": ["--list-only", "-r", "h:src/sub/deep/*"],
    "checksums": ["-aic", "h:src/", "got/"],
    "numeric": ["-ai", "--numeric-ids", "h:src/", "got/"],
}

PUSHES = {
    "absolute": ["-ai", "push/", "h:@/home/dst/"],
    "relative": ["-ai", "push/", "h:dst"],
    "home": ["-ai", "push/", "h:"],
    "new directory": ["-ai", "push/", "h:new"],
    "new directory, absolute": ["-ai", "push/", "h:@/far/new/"],
    "missing parent": ["-ai", "push/", "h:no/such/place"],
    "mkpath": ["-ai", "--mkpath", "push/", "h:no/such/place"],
    "mkpath, absolute": ["-ai", "--mkpath", "push/", "h:@/no/such/place/"],
    "mkpath, one file": ["-ai", "--mkpath", "push/a", "h:no/such/name"],
    "one file": ["-ai", "push/a", "h:name"],
    "one file over another": ["-ai", "push/a", "h:one"],
    "one file into a directory": ["-ai", "push/a", "h:dst"],
    "over a file": ["-ai", "push/", "h:one"],
    "below a file": ["-ai", "push/", "h:one/x"],
    "through a link": ["-ai", "push/", "h:in-link/"],
    "link as the destination": ["-ai", "push/", "h:in-link"],
    "up": ["-ai", "push/", "h:../far/new"],
    "relative names": ["-aRi", "push/./sub/n", "h:dst/"],
    "link-dest outside": ["-ai", "--link-dest=@/data/prev", "push/", "h:@/data/new/"],
    "link-dest beside": ["-ai", "--link-dest=../prev", "push/", "h:@/data/new/"],
    "link-dest beside, there": ["-ai", "--link-dest=../prev", "push/", "h:@/data/in/"],
    "link-dest two up": ["-ai", "--link-dest=../../data/prev", "push/", "h:@/far/new/"],
    "link-dest inside a new one": ["-ai", "--link-dest=prev", "push/", "h:@/data/new/"],
    "link-dest missing": ["-ai", "--link-dest=../none", "push/", "h:@/data/new/"],
    "link-dest of one file": ["-ai", "--link-dest=prev", "push/a", "h:@/data/name"],
    "copy-dest": ["-ai", "--copy-dest=@/data/prev", "push/", "h:dst/"],
    "compare-dest": ["-ai", "--compare-dest=@/data/prev", "push/", "h:dst/"],
    "two compare-dests": ["-ai", "--compare-dest=@/far/bak", "--compare-dest=../../data/prev", "push/", "h:dst/"],
    "alternate missing": ["-ai", "--copy-dest=@/data/none", "push/", "h:dst/"],
    "temp dir": ["-ai", "--temp-dir=@/far/temp", "push/", "h:dst/"],
    "temp dir missing": ["-ai", "--temp-dir=@/far/none", "push/", "h:dst/"],
    "temp dir beside, missing": ["-ai", "--temp-dir=../none", "push/", "h:@/data/prev/"],
    "backup": ["-aibI", "push/", "h:@/data/prev/"],
    "backup dir": ["-aibI", "--backup-dir=@/far/bak", "push/", "h:@/data/prev/"],
    "backup dir, new": ["-aibI", "--backup-dir=@/far/bak/today/x", "push/", "h:@/data/prev/"],
    "backup dir inside": ["-aibI", "--backup-dir=old", "push/", "h:@/data/prev/"],
    "backup dir beside": ["-aibI", "--backup-dir=../old", "push/", "h:@/data/prev/"],
    "partial dir": ["-ai", "--partial-dir=@/far/part", "push/", "h:dst/"],
    "delayed": ["-ai", "--delay-updates", "push/", "h:dst/"],
    "in place": ["-aiI", "--inplace", "push/", "h:@/data/prev/"],
    "deletes": ["-ai", "--delete", "push/", "h:src/"],
    "deletes with rules": ["-aiF", "--delete", "push/", "h:src/"],
    "dry run": ["-ain", "--delete", "push/", "h:src/"],
    "dry run, new": ["-ain", "--link-dest=../prev", "push/", "h:@/data/new/"],
    "dry run, new, temp dir": ["-ain", "--temp-dir=src", "push/", "h:@/data/new/"],
    "dry run, new, temp dir missing": ["-ain", "--temp-dir=none", "push/", "h:@/data/new/"],
    "dry run, new, backup dir is a file": ["-ainb", "--backup-dir=one", "push/", "h:@/data/new/"],
    "secluded": ["-ais", "push/", "h:dst/"],
    "secluded, new": ["-ais", "push/", "h:a new one/"],
    "secluded, wildcard": ["-ais", "push/", "h:@/da*/i?"],
    "secluded, everything": ["-aisbI", "--backup-dir=../old", "--link-dest=../in", "--temp-dir=@/far/temp", "push/", "h:@/data/prev/"],
    "list of the server": ["-ai", "--files-from=h:src/names", "push/", "h:dst/"],
    "hard links": ["-aiH", "linked/", "h:dst/"],
    "keeps directory links": ["-aiK", "push/", "h:dst/"],
    "group": ["-ai", "--chown=:0", "push/", "h:dst/"],
}


def prepare(top):
    write_file(f"{top}/client/list", b"src/a\nsrc/sub/\none\nnothing\n", mtime=BASE)
    write_file(f"{top}/client/list-out", b"a\ndir-out/secret\n", mtime=BASE)
    write_file(f"{top}/home/src/list", b"a\nsub/deep/c\n", mtime=BASE)
    write_file(f"{top}/home/src/names", b"a\nsub/n\n", mtime=BASE)
    write_file(f"{top}/far/list", f"{top}/home/one\n{top}/data/in/x\n".encode(), mtime=BASE)
    write_file(f"{top}/far/rules", b"a\n", mtime=BASE)
    write_file(f"{top}/home/.cvsignore", b"b\n", mtime=BASE)
    # Above the transfer: -F finds it from there.
    write_file(f"{top}/home/.rsync-filter", b"- c\n", mtime=BASE)
    os.makedirs(f"{top}/client/linked")
    write_file(f"{top}/client/linked/1", b"same\n", mtime=BASE)
    os.link(f"{top}/client/linked/1", f"{top}/client/linked/2")
    os.mkdir(f"{top}/home/dst/real")
    os.symlink("real", f"{top}/home/dst/sub")


USERS = [0, 65534] if IS_ROOT else [None]


@pytest.mark.parametrize("case", PULLS)
def test_pull(work, case):
    user = USERS[len(case) % len(USERS)]
    both(work, PULLS[case], user=user, prepare=prepare)


@pytest.mark.parametrize("case", PUSHES)
def test_push(work, case):
    user = USERS[len(case) % len(USERS)]
    both(work, PUSHES[case], user=user, prepare=prepare)


def with_nodes(top):
    prepare(top)
    os.makedirs(f"{top}/client/nodes/sub")
    os.mknod(f"{top}/client/nodes/null", stat.S_IFCHR | 0o640, os.makedev(1, 3))
    os.mknod(f"{top}/client/nodes/sub/disk", stat.S_IFBLK | 0o600, os.makedev(7, 200))
    os.mkfifo(f"{top}/client/nodes/fifo")
    os.link(f"{top}/client/nodes/null", f"{top}/client/nodes/sub/null-too")
    os.mknod(f"{top}/home/dst/null", stat.S_IFCHR | 0o600, os.makedev(1, 5))
    os.utime(f"{top}/home/dst/null", ns=(BASE, BASE))
    for d, dirs, files in os.walk(f"{top}/client/nodes"):
        for name in files:
            os.utime(f"{d}/{name}", ns=(BASE, BASE))


@pytest.mark.skipif(not IS_ROOT, reason="only root makes device nodes")
@pytest.mark.parametrize("args,user", [
    (["-aiH", "nodes/", "h:dst/"], 0),
    (["-aiH", "nodes/", "h:@/far/new/"], 0),
    (["-ai", "--mkpath", "nodes/", "h:@/far/new/er/"], 0),
    (["-ais", "nodes/", "h:dst/"], 0),
], ids=["replaced", "new", "mkpath", "secluded"])
def test_devices(work, args, user):
    """The broker makes them: the server cannot."""
    ours = both(work, args, user=user, prepare=with_nodes, code=0, texts=False)
    made = [f for name, f in ours[2].items() if "rdev" in f and not name.startswith(b"client")]
    assert len(made) >= 3


def test_named_rsync(work):
    """A link called rsync is enough for a set-up that names no other program, for both ways to start."""
    os.mkdir(f"{work}/bin")
    os.symlink(KEDGE, f"{work}/bin/rsync")
    os.mkdir(f"{work}/top")
    lay_out(f"{work}/top")
    write_file(f"{work}/rsyncd.conf", f"use chroot = no\n[m]\npath = {work}/top/home\n{'uid = 0' if IS_ROOT else ''}\n".encode())
    with open(f"{work}/shell", "w") as f:
        f.write(f'#!/bin/sh\nshift\nPATH={work}/bin:$PATH\ncd {work}\nexec "$@"\n')
    os.chmod(f"{work}/shell", 0o755)
    for n, args in enumerate((["h:top/home/src/"], ["--rsync-path", f"rsync --config={work}/rsyncd.conf", "h::m/src/"])):
        # The words of --rsync-path are the shell's to split.
        shell = f"{work}/shell" if not n else f"{work}/shell2"
        if n:
            write_file(shell, f'#!/bin/sh\nshift\nPATH={work}/bin:$PATH\ncd {work}\nexec sh -c "$*"\n'.encode(), 0o755)
        r = subprocess.run([CLIENTS["3.5.0"], "-a", "-e", shell, *args, f"{work}/got{n}/"], stdin=subprocess.DEVNULL,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=LIMIT)
        assert r.returncode == 0, r.stdout
        # The module munges links, as one without a chroot does.
        assert sorted(snapshot(f"{work}/top/home/src")) == sorted(snapshot(f"{work}/got{n}"))
