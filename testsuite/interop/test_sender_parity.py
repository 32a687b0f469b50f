"""A stock client pulls through a remote shell twice, from the stock server and from kedge: same tree, same item
lines, same error texts, same exit code. Arguments, --files-from, rules, attributes, all protocols."""
import os
import re
import shutil
import subprocess

import pytest
from harness import CLIENTS, IS_ROOT, KEDGE, LIMIT, difference, rsh, snapshot, write_file

pytestmark = pytest.mark.slow

SERVERS = {"3.5.0": CLIENTS["3.5.0"], "3.2.7": CLIENTS.get("3.2.7")}
OLD = 1_400_000_000_000_000_000
RECENT = 1_700_000_000_000_000_000


def build(top):
    src = os.path.join(top, "src")

    def put(name, data=None, mode=0o644):
        path = os.path.join(src, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        write_file(path, name.encode(errors="surrogateescape") * 3 if data is None else data, mode, OLD + len(name) * 10**9 + 7)

    for i in range(30):
        put(f"many/f{i:03}", bytes(range(i, 256)) * i)
    put("big", bytes((i * i >> 7) & 255 for i in range(400000)))
    put("empty", b"")
    put("exe", mode=0o755)
    for name in ("sp ace", "new\nline", "-x", "a-b/f", "a/f", "a/sub/f", "aa/f", "A/q", "z", "*star", "[br]", "#hash", ";semi", ".hid/.f"):
        put("odd/" + name)
    put("/".join(["deep"] + [f"level{i:02}_abcdefgh" for i in range(30)] + ["f"]))
    os.makedirs(src + "/emptydir")
    for link, target in (("l1", "exe"), ("dang", "nowhere"), ("ldir", "many"), ("labs", "/etc/hostname"), ("odd/lup", "../exe"), ("odd/out", "../../x")):
        os.symlink(target, os.path.join(src, link))
    os.mkfifo(src + "/fifo")
    if IS_ROOT:
        os.mknod(src + "/chr", 0o20644, os.makedev(1, 3))
        os.mknod(src + "/blk", 0o60600, os.makedev(259, 70000))
        os.chown(src + "/exe", 1, 2)
        os.chown(src + "/many", 65534, 12345)
    put("hl/a", b"q" * 500)
    os.link(src + "/hl/a", src + "/hl/b")
    os.link(src + "/hl/a", src + "/many/hlc")
    os.link(src + "/big", src + "/hl/big2")
    put("filt/.rsync-filter", b"- *.o\n+ keep.tmp\n- *.tmp\n- /anch\n")
    for name in ("x.o", "y.c", "keep.tmp", "no.tmp", "anch", "sub/anch", "sub/z.o"):
        put("filt/" + name)
    put("filt/sub/.rsync-filter", b"!\n- z.*\n")
    for name in ("1/f", "1/both/c", "1/both/only1", "1/yd2", "2/f", "2/both/c", "2/both/only2", "2/yd2/in"):
        put("dup" + name)
    os.makedirs(src + "/dup1/xd")
    os.makedirs(src + "/dup2/yd")
    for d, _, files in os.walk(src, topdown=False):
        for f in files:
            path = os.path.join(d, f)
            if os.path.islink(path) or not os.path.isfile(path):
                os.utime(path, ns=(OLD, OLD), follow_symlinks=False)
        os.utime(d, ns=(OLD, OLD))
    with open(os.path.join(top, "list"), "w") as f:
        f.write("exe\nodd/a/sub\n/many/\n#hash\n./a-b\nl1\n\nnonexist\ndup1/both/c\n;semi\nodd/./aa/f\nldir/f001\nfilt")
    return top


@pytest.fixture(scope="module")
def top(tmp_path_factory):
    return build(str(tmp_path_factory.mktemp("parity")))


def basis(top, dst):
    subprocess.run(["cp", "-a", os.path.join(top, "src") + "/.", dst], check=True)
    os.unlink(dst + "/hl/big2")
    shutil.copy2(dst + "/big", dst + "/hl/big2")
    with open(dst + "/big", "r+b") as f:
        for at in (7, 70000, 200001, 399990):
            f.seek(at)
            f.write(b"changed")
    os.utime(dst + "/big", ns=(RECENT, RECENT))
    with open(dst + "/many/f003", "ab") as f:
        f.write(b"xx")
    os.utime(dst + "/many/f003", ns=(RECENT, RECENT))
    os.utime(dst + "/exe", (5, 5))
    os.unlink(dst + "/l1")
    write_file(dst + "/extra", b"", mtime=RECENT)
    os.utime(dst, ns=(RECENT, RECENT))


def shorter(top, dst):
    with open(os.path.join(top, "src", "big"), "rb") as f:
        write_file(dst + "/big", f.read(123456))
    write_file(dst + "/exe", b"zz")


def lines(out):
    text = out.decode(errors="surrogateescape")
    text = re.sub(r" at \S+\(\d+\)", "", text)
    text = re.sub(r"\[(\w+)=[^\]]*\]", r"[\1]", text)
    return sorted(x for x in text.splitlines() if "write error" not in x and "unexpectedly closed" not in x
                  and "bytes/sec" not in x)


def settled(facts):
    """Times of the run itself are not the same twice."""
    for f in facts.values():
        if f.get("mtime", 0) > RECENT + 10**9:
            f["mtime"] = "now"
    return facts


def pull(top, server, version, args, prepare):
    dst = os.path.join(top, "dst")
    shutil.rmtree(dst, ignore_errors=True)
    os.mkdir(dst)
    if prepare:
        prepare(top, dst)
    cmd = [CLIENTS[version], f"--rsync-path={server}", "-e", rsh(top), *args, dst + "/"]
    r = subprocess.run(cmd, cwd=top, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=LIMIT,
                       env={**os.environ, "LC_ALL": "C"})
    return r.returncode, lines(r.stdout), lines(r.stderr), settled(snapshot(dst, links=True))


def parity(top, args, prepare=None, version="3.5.0"):
    if not CLIENTS.get(version):
        pytest.skip("no such peer here")
    a = pull(top, SERVERS[version], version, args, prepare)
    b = pull(top, KEDGE, version, args, prepare)
    assert not difference(a[3], b[3])
    assert (b[0], b[1], b[2]) == (a[0], a[1], a[2])


EACH_PROTOCOL = {
    "archive": (["-aHi", "h:src/"], None),
    "no-inc": (["-aHi", "--no-i-r", "h:src"], None),
    "delta": (["-aHi", "h:src/"], basis),
    "compress": (["-aiz", "h:src/"], basis),
    "delete": (["-ai", "--delete", "h:src/"], basis),
    "delete-after": (["-ai", "--delete-after", "h:src/"], basis),
    "delay-updates": (["-ai", "--delay-updates", "--delete-delay", "h:src/"], basis),
    "checksum": (["-aic", "h:src/"], basis),
    "relative": (["-aRi", "h:src/many", "h:src/odd/a/sub", "h:src/odd/./a/f", "h:./src/deep"], None),
    "dry-run": (["-ain", "h:src/"], basis),
    "append": (["-ai", "--append", "h:src/big", "h:src/exe"], shorter),
    "append-verify": (["-ai", "--append-verify", "h:src/big", "h:src/exe"], shorter),
    "inplace": (["-ai", "--inplace", "h:src/"], basis),
    "files-from": (["-ai", "--files-from=list", "h:src"], None),
    "files-from-r": (["-air", "--files-from=list", "h:src"], None),
    "files-from-remote": (["-ai", "--files-from=:list", "h:src"], None),
    "missing-deleted": (["-ai", "--delete-missing-args", "h:src/nonex", "h:src/exe"], None),
    "duplicates": (["-ri", "h:src/dup1/", "h:src/dup2/"], None),
    "nothing": (["-ai", "h:nonex"], None),
}


@pytest.mark.parametrize("proto", [27, 28, 29, 30, 31, 32])
@pytest.mark.parametrize("case", EACH_PROTOCOL)
def test_each_protocol(top, case, proto):
    args, prepare = EACH_PROTOCOL[case]
    parity(top, [f"--protocol={proto}", *args], prepare)


@pytest.mark.parametrize("proto", [27, 29, 30, 31])
@pytest.mark.parametrize("case", ["archive", "delete", "files-from", "relative"])
def test_older_client(top, case, proto):
    args, prepare = EACH_PROTOCOL[case]
    parity(top, [f"--protocol={proto}", *args], prepare, "3.2.7")


ONCE = [
    "-aLi h:src/", "-aki h:src/", "-ai --copy-unsafe-links h:src/", "-ai --safe-links h:src/", "-rli h:src/", "-ri h:src/", "-di h:src/",
    "-di h:src", "-i h:src", "-vi h:src/ h:src/exe", "-aUi h:src/", "-ai --numeric-ids h:src/", "-aD --no-specials h:src/", "-rl --devices h:src/",
    "-aFi h:src/filt", "-aFFi h:src/filt/", "-ai --exclude=*.o --exclude=/many --include=sub --exclude=deep/ h:src/", "-ai --exclude=src h:src",
    "-ai --exclude=exe h:src/exe h:src/big", "-ai --filter=:_.rsync-filter h:src/filt/sub h:src/filt", "-ai --filter=:n-_.rsync-filter h:src/",
    "-aiR --filter=:_/.rsync-filter h:src/filt/sub", "-aiC h:src/", "--list-only h:src/", "-r --list-only h:src/", "-rR --list-only h:src/many",
    "-axi h:src/", "-axxi h:src/", "-ai h:src/odd/../exe", "-aRi --no-implied-dirs h:src/odd/a/f h:src/hl", "-aRi h:src/ldir/ h:src/l1",
    "-aRi h:src/./ h:./src/exe", "-ai --ignore-missing-args h:nonex h:src/exe", "-aRi --delete-missing-args h:src/nodir/x h:src/nox h:src/exe",
    "-aLi h:src/dang h:src/exe", "-ai h:nodir/x h:src/exe h:nodir/", "-ai h:src/exe h:src/big h:src/odd h:src/many", "-ai --chmod=D700,F600 h:src/",
    "-ai -M--chmod=D711,Fg+w h:src/", "-as h:src/many/f00?", "-ai --max-size=1k h:src/", "-ai --no-R --files-from=list h:src", "-aim h:src/",
    "-aq h:src/ h:nonex",
]


@pytest.mark.parametrize("line", ONCE)
def test_options(top, line):
    parity(top, [w.replace("_", " ") if w.startswith("--filter") else w for w in line.split(" ")])


@pytest.mark.parametrize("opt", ["-W", "-I", "-B1000", "-ii", "-y", "--partial-dir=.p", "--ignore-errors", *(
    "--zc=" + z for z in ("zlib", "zlibx", "lz4", "zstd", "none")), *(
    "--cc=" + c for c in ("xxh128", "xxh3", "xxh64", "md5", "md4", "sha1", "none"))])
def test_second_pull(top, opt):
    parity(top, ["-ai", opt, "h:src/"], basis)


@pytest.mark.parametrize("proto", [27, 29, 30, 32])
@pytest.mark.parametrize("server", ["3.5.0", "kedge"])
def test_remove_source(work, server, proto):
    """What arrived is removed, directories stay."""
    src, dst = os.path.join(work, "s"), os.path.join(work, "d")
    os.makedirs(src + "/sub")
    for i in range(9):
        write_file(f"{src}/sub/f{i}", b"data %d" % i)
    os.symlink("x", src + "/link")
    r = subprocess.run([CLIENTS["3.5.0"], f"--protocol={proto}", "-a", "--remove-source-files", "-e", rsh(work),
                        f"--rsync-path={KEDGE if server == 'kedge' else SERVERS[server]}", "h:s/", dst], cwd=work,
                       stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=LIMIT)
    assert (r.returncode, r.stderr) == (0, b"")
    assert os.listdir(src) == ["sub"] and os.listdir(src + "/sub") == []
    assert sorted(os.listdir(dst + "/sub")) == [f"f{i}" for i in range(9)]
