"""What options do, seen from outside: holes, system calls, bytes on the wire, time-outs. The server runs under strace where only
its system calls tell; the stock server is asked the same wherever it is right."""
import os
import random
import re
import shutil
import signal
import subprocess
import time

import pytest
from harness import Daemon, IS_ROOT, KEDGE, SANITIZED, STOCK_350, children, client, rsh, write_file
from parity import roomy

pytestmark = pytest.mark.slow  # many processes: left out under the sanitizers

SERVERS = {"stock": STOCK_350, "kedge": KEDGE}
IDS = {"uid": 0, "gid": 0} if IS_ROOT else {}


def noise(n, seed):
    return random.Random(seed).randbytes(n)


def lay(top, files):
    """{name: content}, every file with the same old time."""
    shutil.rmtree(top, ignore_errors=True)
    for d in ("src", "dst"):
        os.makedirs(f"{top}/{d}")
    for name, data in files.items():
        os.makedirs(os.path.dirname(f"{top}/{name}"), exist_ok=True)
        write_file(f"{top}/{name}", data, mtime=10**9)


def run(top, work, server, push, opts, strace=None):
    """Through a remote shell. strace: its arguments; the trace is what is returned beside the client's result."""
    trace = f"{top}/trace"
    tracer = f"strace -f -qq -y {strace} -o {trace} " if strace else ""
    write_file(top + "/server", f'#!/bin/sh\nexec {tracer}{server} "$@"\n'.encode(), 0o755)
    ends = [top + "/src/", f"h:{top}/dst/"] if push else [f"h:{top}/src/", top + "/dst/"]
    r = client([*opts.split(), "-e", rsh(work), f"--rsync-path={top}/server", *ends], cwd=top)
    if not strace:
        return r, []
    with open(trace, errors="replace") as f:
        return r, [s for s in f.read().splitlines() if "resumed>" not in s and "execve(" not in s]


@pytest.fixture(scope="session")
def strace():
    if not shutil.which("strace"):
        pytest.skip("strace is not installed")
    if subprocess.run(["strace", "-f", "-o", "/dev/null", "true"], stderr=subprocess.DEVNULL).returncode:
        pytest.skip("processes cannot be traced here")


# ---- holes ----

HOLES = {
    "holes": noise(100_000, 1) + bytes(400_000) + noise(100_000, 2) + bytes(300_000), "zeros": bytes(500_000), "full": noise(200_000, 3),
    "lead": bytes(200_000) + noise(70_000, 4), "short": noise(8192, 5) + bytes(4096) + noise(4096, 6) + bytes(1024) + noise(3000, 7),
}
BEFORE = {"none": lambda d: None, "other": lambda d: noise(len(d) + 50_000, 9), "tail": lambda d: noise(len(d) // 2, 8) + d[len(d) // 2:],
          "head": lambda d: d[:len(d) // 2], "longer": lambda d: d + noise(300_000, 11)}


def extents(path):
    """Where data is."""
    out, pos = [], 0
    with open(path, "rb") as f:
        size = os.fstat(f.fileno()).st_size
        while pos < size:
            try:
                at = os.lseek(f.fileno(), pos, os.SEEK_DATA)
            except OSError:
                break
            pos = os.lseek(f.fileno(), at, os.SEEK_HOLE)
            out.append((at, pos))
    return size, out


@pytest.fixture
def memory(work):
    """A file system with holes of a page."""
    top = f"{roomy() or work}/kedge-{os.urandom(4).hex()}"
    os.mkdir(top)
    os.chmod(top, 0o755)
    yield top
    shutil.rmtree(top)


@pytest.mark.parametrize("before", BEFORE)
@pytest.mark.parametrize("opts", ["-S", "-S --inplace", "-S --inplace -z", "-S --preallocate", "-S --inplace --preallocate", "--preallocate --inplace",
                                  "-S --delay-updates"])
def test_holes(work, memory, opts, before):
    """--sparse, --inplace, --preallocate together: data and holes are where the stock server puts them, over what was there."""
    found = {}
    for who, server in SERVERS.items():
        old = {f"dst/{n}": BEFORE[before](d) for n, d in HOLES.items()}
        lay(memory + "/t", {**{f"src/{n}": d for n, d in HOLES.items()}, **{n: d for n, d in old.items() if d is not None}})
        r, _ = run(memory + "/t", work, server, True, "-aI " + opts)
        assert r.returncode == 0, r.stderr
        for name, data in HOLES.items():
            with open(f"{memory}/t/dst/{name}", "rb") as f:
                assert f.read() == data, name
        found[who] = {n: extents(f"{memory}/t/dst/{n}") for n in HOLES}
        if "-S" in opts:
            assert found[who]["full"][1] == [(0, 200_000)]
    assert found["kedge"] == found["stock"]


@pytest.mark.parametrize("opts", ["--append", "--append-verify"])
def test_append_sparse(work, memory, opts):
    """What is appended has its holes. (The stock server cannot do it: it dies of it.)"""
    lay(memory + "/t", {"src/holes": HOLES["holes"], "dst/holes": HOLES["holes"][:450_000], "src/full": HOLES["full"], "dst/full": HOLES["full"] + b"longer"})
    r, _ = run(memory + "/t", work, KEDGE, True, "-a -S " + opts)
    assert r.returncode == 0, r.stderr
    with open(memory + "/t/dst/holes", "rb") as f:
        assert f.read() == HOLES["holes"]
    size, data = extents(memory + "/t/dst/holes")
    assert size == 900_000 and data[-1][1] < 610_000 and data[-1][0] > 490_000
    assert os.path.getsize(memory + "/t/dst/full") == 200_006


# ---- system calls ----

TREE = {"src/a": noise(300_000, 1), "src/d/b": b"x" * 200_000, "src/c": b"small", "dst/a": noise(200_000, 1) + noise(100_000, 5)}


def names(trace, word):
    """Base names of what successful calls with this word are about, temp names as the file they are for."""
    out = set()
    for line in trace:
        if word not in line or not line.rsplit(" = ", 1)[-1][:1].isdigit():
            continue
        fd = re.search(r"= \d+<([^>]*)>$", line) or re.search(r"\(\d+<([^>]*)>", line)
        name = os.path.basename(fd[1])
        out.add(re.sub(r"^\.(.*)\.[A-Za-z0-9]{6}$", r"\1", name))
    return out


CALLS = [
    # push, options, word in the trace, base names
    (True, "-aI --fsync", "fsync(", {"a", "b", "c"}), (True, "-aI --fsync --inplace --no-W", "fsync(", {"a", "b", "c"}),
    (True, "-aI --fsync --delay-updates", "fsync(", {"a", "b", "c"}), (True, "-aI", "fsync(", set()),
    (True, "-aI --preallocate", "FALLOC_FL_KEEP_SIZE, 0, ", {"a", "b", "c"}), (True, "-aI --preallocate --inplace", "FALLOC_FL_KEEP_SIZE, 0, ", {"b", "c"}),
    (True, "-aI", "fallocate(", set()),
    (False, "-aI --open-noatime", "NOATIME", {"src", "d", "a", "b", "c"}), (False, "-aIUU", "NOATIME", {"src", "d", "a", "b", "c"}),
    (False, "-ac --open-noatime", "NOATIME", {"src", "d", "a", "b", "c"}), (False, "-aI", "NOATIME", set()), (False, "-aIU", "NOATIME", set()),
    (False, "-aI -M--no-open-noatime --open-noatime", "NOATIME", set()),
    (True, "-aI --no-W -M--open-noatime", "NOATIME", {"a"}), (True, "-ac -M--open-noatime", "NOATIME", {"a"}),
    (True, "-aI --fuzzy --copy-dest=../src -M--open-noatime", "NOATIME", {"a"}),
]


@pytest.mark.parametrize("push,opts,word,want", CALLS, ids=[f"{'push' if c[0] else 'pull'} {c[1]} {c[2].strip('( ,')}" for c in CALLS])
def test_system_calls(work, strace, push, opts, word, want):
    for who, server in SERVERS.items():
        lay(work + "/t", TREE)
        # Traces with the paths of open files: -y.
        r, trace = run(work + "/t", work, server, push, opts, "-e trace=open,openat,openat2,fsync,fdatasync,fallocate")
        assert r.returncode == 0, r.stderr
        got = {n for n in names(trace, word) if n not in (".", "dst")}
        if "copy-dest" in opts:
            got &= {"a"}
        assert got == want, (who, [s for s in trace if word in s][:9])


@pytest.mark.skipif(not IS_ROOT, reason="needs a file of somebody else")
def test_noatime_of_a_foreign_file(work):
    """Only the owner may ask for it: told, as the stock server tells it."""
    said = {}
    for who, server in SERVERS.items():
        top = work + "/t"
        lay(top, TREE)
        for d, _, _ in os.walk(top + "/dst"):
            os.chown(d, 65534, 65534)
        write_file(top + "/server", f'#!/bin/sh\nexec {server} "$@"\n'.encode(), 0o755)
        rsh(work)
        args = ["-rtI", "--no-W", "--stats", "-e", work + "/rsh", f"--rsync-path={top}/server"]
        push = client([*args, "-M--open-noatime", top + "/src/", f"h:{top}/dst/"], user=65534)
        pull = client([*args, "--open-noatime", f"h:{top}/src/", top + "/dst/"], user=65534)
        said[who] = [(r.returncode, re.sub(rb" at \S+|\[\w+=[^\]]*\]", b"", r.stderr), re.findall(rb"Matched.*", r.stdout)) for r in (push, pull)]
    assert said["kedge"] == said["stock"]
    assert b"Operation not permitted" in said["kedge"][0][1] and said["kedge"][1][0] == 23


@pytest.mark.parametrize("rate", [100, 3])
def test_bwlimit(work, strace, rate):
    """No write is more than an eighth of a second's worth, and the pauses that are asked for make up the rest of the time."""
    data = noise(rate * 1024, 1)
    lay(work + "/t", {"src/f": data})
    r, trace = run(work + "/t", work, KEDGE, False, f"-a --bwlimit={rate}", "-e trace=write,writev,sendmsg,nanosleep,clock_nanosleep")
    assert r.returncode == 0, r.stderr
    wrote = [int(m[1]) for m in (re.search(r"(?:write|writev|sendmsg)\(1<.* = (\d+)$", s) for s in trace) if m]
    assert sum(wrote) > len(data) and max(wrote) <= max(512, rate * 128), max(wrote)
    slept = [int(m[1]) + int(m[2]) / 1e9 for m in (re.search(r"sleep\(.*tv_sec=(\d+), tv_nsec=(\d+)}, ", s) for s in trace) if m]
    if SANITIZED:
        slept = [x for x in slept if x != 0.1]  # a thread of the sanitizer's own
    assert 0.6 < sum(slept) < sum(wrote) / 1024 / rate + 0.5 and max(slept) < 0.7, slept


def test_bwlimit_beyond_32_bits(work):
    """4194304 KiB/s are 2^32 bytes, and one more is not a crawl."""
    lay(work + "/t", {"src/f": noise(3_000_000, 1)})
    for rate in (4194304, 4194305, 2147483647):
        r, _ = run(work + "/t", work, KEDGE, False, f"-aI --bwlimit={rate} -M--bwlimit={rate} --timeout=20")
        assert r.returncode == 0, r.stderr


# ---- time-outs ----

BIG = noise(1_500_000, 1)
QUIET = {
    # push, options, files, whose calls, calls that take long and how long (microseconds)
    "checksum": (True, "-ac", {"src/a": BIG, "dst/a": noise(1_500_000, 2)}, "dst/a", "pread64,read", 350_000),
    "sums": (True, "-aI --no-W", {"src/a": BIG, "dst/a": BIG}, "dst/a", "pread64,read", 350_000),
    "prefix": (True, "-aI --append-verify", {"src/a": BIG, "dst/a": BIG[:1_300_000]}, "dst/a", "pread64,read", 800_000),
    "fsync": (True, "-a --fsync --inplace", {"src/a": b"y", "dst/a": b"xx"}, "dst/a", "fsync", 4_000_000),
    "copy": (True, "-a --copy-dest=../alt", {"src/a": BIG, "alt/a": BIG}, "alt/a", "pread64,read,copy_file_range", 500_000),
    "delete": (True, "-a --delete", {"src/a": b"1", "dst/gone": b"2"}, "", "unlinkat", 4_000_000),
    "matching": (False, "-aI --no-W", {"src/a": BIG, "dst/a": BIG}, "src/a", "pread64,read", 600_000),
}


@pytest.mark.parametrize("what", QUIET)
def test_busy_server_is_not_silent(work, strace, what):
    """Whatever takes longer than the time-out while nothing is sent: both sides hear of each other. The calls must have been met."""
    push, opts, files, path, calls, us = QUIET[what]
    lay(work + "/t", files)
    where = f"-P {work}/t/{path}" if path else ""
    r, trace = run(work + "/t", work, KEDGE, push, opts + " --timeout=2", f"{where} -e trace={calls} -e inject={calls}:delay_enter={us}")
    assert r.returncode == 0 and r.stderr == b"", r.stderr
    assert len(trace) * us > 2_500_000, trace


@pytest.mark.parametrize("role", ["sender", "receiver"])
def test_silent_client(work, role):
    """A peer that says nothing at all: exit 30, rsync's words in the log."""
    os.makedirs(f"{work}/m")
    with Daemon(work, {"m": {"path": f"{work}/m", "read only": "no", **IDS}}) as d:
        s = d.connect()
        f = s.makefile("rb")
        s.sendall(b"@RSYNCD: 31.0 md5\nm\n")
        while True:
            line = f.readline()
            assert line and not line.startswith(b"@ERROR"), line
            if line == b"@RSYNCD: OK\n":
                break
        args = ["--server", *(["--sender"] if role == "sender" else []), "-re.LsfxCI", "--timeout=1", ".", "m/"]
        s.sendall(b"".join(a.encode() + b"\0" for a in args) + b"\0")
        f.read()
        s.close()
        log = d.read_log()
        name = "sender" if role == "sender" else "Receiver"
        assert f"[{name}] io timeout after 1 seconds -- exiting" in log and "timeout in data send/receive (code 30)" in log, log


def test_dead_client(work):
    """A client that stops in the middle of a pull: the server waits as long as it was told, and no longer."""
    os.makedirs(f"{work}/m")
    write_file(f"{work}/m/f", noise(1 << 20, 1) * 16)
    with Daemon(work, {"m": {"path": f"{work}/m", "timeout": 2, **IDS}}) as d:
        # Stopped as soon as the file has begun to arrive; the rest does not fit into the buffers between the two.
        p = subprocess.Popen([STOCK_350, "-a", "--bwlimit=4000", d.url("m/"), f"{work}/got"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            end = time.time() + 20
            while time.time() < end and not any(n.startswith(".f.") for n in (os.listdir(f"{work}/got") if os.path.isdir(f"{work}/got") else [])):
                time.sleep(0.02)
            family = [p.pid, *children(p.pid)]
            for pid in family:
                os.kill(pid, signal.SIGSTOP)
            assert not d.wait_idle(30)
            log = d.read_log()
            assert "[sender] io timeout after 2 seconds -- exiting" in log and "(code 30)" in log, log
        finally:
            for pid in reversed(family):
                os.kill(pid, signal.SIGKILL)
            p.wait()


# ---- bytes on the wire ----

TEXT = b"".join(b"line %d of text\n" % i for i in range(20000))
SIZES = ["-az", "-az --zc=zlib", "-az --zc=zlibx", "-az --zc=lz4", "-az --zl=1", "-az --zl=19", "-az --zl=-5", "-az --zc=zlib --zl=99", "-az --zl=0", "-az --zc=zlib --zl=1",
         "-az --zc=zlib --zl=9", "-az --zc=zlib --zl=0", "-az --zc=zlibx --zl=0", "-az --zc=lz4 --zl=9", "-az --skip-compress=txt", "-az --skip-compress=",
         "-az --zc=zlib --skip-compress=txt/gz", "-a", "-az -M--compress-threads=4"]


@pytest.mark.parametrize("opts", SIZES)
def test_compressed_size(work, opts):
    """Level, algorithm, --skip-compress: a file costs what it costs from the stock server, but for the framing."""
    found = {}
    for who, server in SERVERS.items():
        lay(work + "/t", {"src/a.txt": TEXT, "src/b.gz": TEXT[:100_000]})
        r, _ = run(work + "/t", work, server, False, opts + " --out-format=%n:%b")
        assert r.returncode == 0, r.stderr
        found[who] = {k: int(v) for k, v in (s.split(":") for s in r.stdout.decode().split("\n") if s and not s.startswith("./"))}
        assert found[who].keys() == {"a.txt", "b.gz"}
    for name, size in found["stock"].items():
        assert abs(found["kedge"][name] - size) <= 60 + size // 500, found


def test_dont_compress(work):
    """Of the parameter's words only * has an effect."""
    lay(work + "/m", {"src/a.txt": TEXT})
    mods = {n: {"path": f"{work}/m/src", "dont compress": v, **IDS} for n, v in (("some", "*.txt *.gz x* ** ?"), ("all", "*.gz *"))}
    found = []
    for binary in (STOCK_350, KEDGE):
        with Daemon(work, mods, binary=binary) as d:
            found.append([int(client(["-az", "--zc=zlib", "--out-format=%b", d.url(m + "/a.txt"), f"{work}/out{binary == KEDGE}{m}"]).stdout) for m in mods])
    assert all(some < len(TEXT) // 3 and len(TEXT) <= all_ < len(TEXT) + 500 for some, all_ in found), found


def traced(work, data, calls):
    """A daemon with one file, whose system calls go to `trace`."""
    os.makedirs(f"{work}/m")
    write_file(f"{work}/m/f", data)
    tracer = f"{work}/kedge"
    write_file(tracer, f'#!/bin/sh\nexec strace -D -f -qq -e trace={calls} -o {work}/trace {KEDGE} "$@"\n'.encode(), 0o755)
    return Daemon(work, {"m": {"path": f"{work}/m", **IDS}}, binary=tracer)


@pytest.mark.skipif(SANITIZED, reason="the leak check does not work in a traced process")
def test_small_pieces_are_acknowledged(work, strace):
    """By the gate and by the worker, before they wait for the next one."""
    with traced(work, b"x", "setsockopt,getdents64") as d:
        assert client(["-a", d.url("m/"), f"{work}/got"]).returncode == 0
        assert not d.wait_idle()
    with open(f"{work}/trace") as f:
        lines = [s.split(None, 1) for s in f]
    quick = {pid for pid, call in lines if "TCP_QUICKACK, [1]" in call}
    reads = {pid for pid, call in lines if "getdents64(" in call}
    assert quick & reads and quick - reads, lines


@pytest.mark.skipif(SANITIZED, reason="the leak check does not work in a traced process")
@pytest.mark.parametrize("threads,most", [("", 0), ("3", 3), ("400", 8)])
def test_compress_threads(work, strace, threads, most):
    """As many workers as were asked for, and a daemon makes no more than eight."""
    with traced(work, noise(4000, 1) * 2000, "clone,clone3") as d:
        r = client(["-az", "--zc=zstd", *([f"-M--compress-threads={threads}"] if threads else []), d.url("m/"), f"{work}/got"])
        assert r.returncode == 0, r.stderr
        assert not d.wait_idle()
    with open(f"{work}/trace") as f:
        made = {}
        for s in f:
            if "CLONE_THREAD" in s and "resumed" not in s and "= -1" not in s:
                made.setdefault(s.split()[0], []).append(s)
    assert max([len(v) for v in made.values()], default=0) == most, made


# ---- nothing is touched ----

@pytest.mark.parametrize("opts", ["-a --only-write-batch=B --delete", "-aI --only-write-batch=B --inplace --no-W", "-a --only-write-batch=B --delay-updates -b",
                                  "-aI --write-batch=B --no-W"])
@pytest.mark.parametrize("push", [True, False], ids=["push", "pull"])
def test_write_batch(work, push, opts):
    """The batch makes of a copy of the destination what the run makes, or would have: with --only- nothing is changed."""
    for who, server in SERVERS.items():
        top = f"{work}/{who}"
        lay(top, {**TREE, "dst/gone": b"1"})
        shutil.copytree(top + "/dst", top + "/copy")
        facts = sorted((d, sorted(f), os.stat(d).st_mtime_ns) for d, _, f in os.walk(top + "/dst"))
        r, _ = run(top, work, server, push, opts)
        assert r.returncode == 0, (who, r.stderr)
        only = "--only-" in opts
        assert (facts == sorted((d, sorted(f), os.stat(d).st_mtime_ns) for d, _, f in os.walk(top + "/dst"))) == only, who
        with open(top + "/dst/a", "rb") as f:
            assert f.read() == TREE["dst/a" if only else "src/a"]
        r = client([w for w in opts.split() if "write-batch" not in w] + ["--read-batch=B", "copy/"], cwd=top)
        assert r.returncode == 0, (who, r.stderr)
        with open(top + "/copy/d/b", "rb") as f:
            assert f.read() == TREE["src/d/b"]
        if "-aI" in opts:
            with open(top + "/copy/a", "rb") as f:
                assert f.read() == TREE["src/a"]
        assert os.path.exists(top + "/copy/gone") == ("--delete" not in opts)
