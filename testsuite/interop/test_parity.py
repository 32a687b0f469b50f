"""The same client command against the stock daemon and against kedge: equal tree, output, exit code.

Each row is a list of client options; the source and the destination are equal copies on both sides.
"""
import os
import re
import shutil
import subprocess

import pytest
from harness import Daemon, IS_ROOT, STOCK_350, client, difference, make_tree, mutate_tree, rsh, snapshot
import harness

IDS = {"uid": 0, "gid": 0} if IS_ROOT else {}

BOTH = """
-a
-r
-rl
-rt
-rlptgo
-rD
-a --no-D
-a -n
-a -c
-a -I
-a -W
-a --size-only
-a -u
-a --existing
-a --ignore-existing
-a --max-size=10k
-a --min-size=1k
-a --modify-window=1
-a -z
-a --no-inc-recursive
-d
-dl
-a --exclude=*.d0 --include=plain* --exclude=x*
-a -f -_/big.bin -f -_dir*/
-a --include=*/ --include=*line* --exclude=*
-a -m --include=*/ --include=*line* --exclude=*
-a -C
-a --checksum-seed=7
-a -H
-a -R
-a -x
-a --numeric-ids
-a --delete
-a --delete-before
-a --delete-during
-a --delete-delay
-a --delete-after
-a --delete --exclude=plain*
-a --delete-excluded --exclude=plain*
-a --delete --max-delete=3
-a --delete --force
-a --delete -n
-a --partial
-a --partial-dir=.part
-a --delay-updates
-a --inplace
-a --append
-a --append-verify
-a -S
-a -b
-a -b --suffix=.old
-a -b --backup-dir=.bak
-a --delete -b --backup-dir=../bak
-a --safe-links
-a -O
-a -J
-a -E --no-p
-a -y
-a --chmod=Du+w,Fgo-rwx
-a --chown=1:2
-a --usermap=*:3 --groupmap=0-10:4
-a -U
-a --fsync
-a --preallocate
-a --temp-dir=.tmp
-a --ignore-errors --delete
-a -B 1000
-a --bwlimit=50000
-a --timeout=30
-av
-avv
-aq
-a --stats
-a --info=name2,del2,skip
""".strip().splitlines()
PULL_ONLY = """
-aL
-ak
-a --copy-unsafe-links
-a --skip-compress=bin -z
""".strip().splitlines()
PUSH_ONLY = """
-aK
-a --copy-dest=../alt
-a --compare-dest=../alt
-a --link-dest=../alt
-a --mkpath
""".strip().splitlines()

# Known differences, each with its reason in doc/differences.md.
for row in ("-avv",):
    BOTH.remove(row)
PUSH_BOTH = [row for row in BOTH if row != "-a --ignore-existing"]
TCP_PULL_ONLY = [row for row in PULL_ONLY if row not in ("-aL", "-a --copy-unsafe-links")]


def normalise(text, work):
    text = text.replace(work.encode(), b"WORK")
    text = re.sub(rb"\[(\w+)=[0-9.]+\]", rb"[\1]", text)
    text = re.sub(rb" at [\w./]+\(\d+\)", b"", text)
    text = re.sub(rb"(sent|received|Total bytes (sent|received): ) ?[0-9,.]+", rb"\1 N", text)
    text = re.sub(rb"[0-9,.]+ bytes/sec", b"N bytes/sec", text)
    text = re.sub(rb"speedup is [0-9,.]+", b"speedup", text)
    text = re.sub(rb"port \d+", b"port N", text)
    text = re.sub(rb"File list (generation|transfer) time: .*", b"", text)
    return sorted(text.split(b"\n"))


@pytest.fixture(scope="module")
def trees(tmp_path_factory):
    """A source, an older copy of it, and an alternate destination, made once."""
    top = str(tmp_path_factory.mktemp("trees"))
    new, old, alt = (os.path.join(top, n) for n in ("new", "old", "alt"))
    make_tree(new, files=44, big=True)
    subprocess.run(["cp", "-a", new, old], check=True)
    mutate_tree(new)
    subprocess.run(["cp", "-a", new, alt], check=True)
    mutate_tree(alt, seed=9)
    os.symlink("dir1", os.path.join(new, "to-dir"))
    os.makedirs(os.path.join(old, ".tmp"), exist_ok=True)
    d = top
    while d not in ("/tmp", "/"):
        os.chmod(d, 0o755)
        d = os.path.dirname(d)
    return new, old, alt


def lay(work, trees):
    new, old, alt = trees
    for src, name in ((new, "src"), (old, "dst"), (alt, "alt")):
        subprocess.run(["cp", "-a", src, os.path.join(work, name)], check=True)


def run_side(work, trees, binary, push, opts, transport):
    lay(work, trees)
    src, dst = os.path.join(work, "src"), os.path.join(work, "dst")
    mods = {"m": {"path": work, "read only": "no", "munge symlinks": "no", "max verbosity": 9, **IDS}}
    words = opts.split()
    words = [w.replace("_", " ") if w.startswith("-_") else w for w in words]
    if transport == "rsh":
        shell = ["-e", rsh(work), f"--rsync-path={binary}"]
        args = [f"{src}/", f"h:{dst}/"] if push else [f"h:{src}/", f"{dst}/"]
        r = client(["-i", *words, *shell, *args])
    else:
        with Daemon(work, mods, binary=binary) as d:
            args = [f"{src}/", d.url("m/dst/")] if push else [d.url("m/src/"), f"{dst}/"]
            r = client(["-i", *words, *args])
    tree = snapshot(work, dir_times=True, links=True)
    for name in [k for k in tree if k.split(b"/")[0].startswith(b"daemon-") or k in (b".", b"rsh")]:
        del tree[name]
    return r, tree


def compare(tmp, trees, push, opts, transport):
    work = os.path.join(tmp, "w")
    results = []
    for binary in (STOCK_350, harness.KEDGE):
        os.mkdir(work)
        os.chmod(work, 0o755)
        results.append(run_side(work, trees, binary, push, opts, transport))
        shutil.rmtree(work)
    (a, ta), (b, tb) = results
    fresh = lambda t: {k: {f: v for f, v in d.items() if f != "mtime" or v < 1_750_000_000 * 10**9} for k, d in t.items()}  # noqa: E731
    diff = difference(fresh(ta), fresh(tb))
    assert not diff, "\n".join(diff[:30])
    assert a.returncode == b.returncode, (a.stderr, b.stderr)
    assert normalise(a.stderr, work) == normalise(b.stderr, work)
    assert normalise(a.stdout, work) == normalise(b.stdout, work)


@pytest.mark.slow
@pytest.mark.parametrize("opts", BOTH + TCP_PULL_ONLY)
def test_pull(work, trees, opts):
    compare(work, trees, False, opts, "tcp")


@pytest.mark.slow
@pytest.mark.parametrize("opts", PUSH_BOTH + PUSH_ONLY)
def test_push(work, trees, opts):
    compare(work, trees, True, opts, "tcp")


@pytest.mark.parametrize("opts", ["-a", "-a --delete", "-aR", "-as", "-az", "-aI --no-W", "-aH --delete-after", "-aL", "-a --copy-unsafe-links"])
@pytest.mark.parametrize("push", [False, True], ids=["pull", "push"])
def test_remote_shell(work, trees, push, opts):
    compare(work, trees, push, opts, "rsh")


@pytest.mark.slow
@pytest.mark.parametrize("proto", [27, 28, 29, 30, 31])
@pytest.mark.parametrize("push", [False, True], ids=["pull", "push"])
@pytest.mark.parametrize("opts", ["-a", "-a --delete", "-aH --delete-after", "-az -I", "-ac -R"])
def test_protocol(work, trees, proto, push, opts):
    compare(work, trees, push, f"--protocol={proto} {opts}", "tcp")
