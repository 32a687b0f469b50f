"""Connections that end at any byte, and processes that are killed: no temp file, no process, no half-written
target, and nobody else notices."""
import contextlib
import os
import random
import shutil
import signal
import subprocess
import time

import pytest
from cutter import Cutter
from harness import Daemon, IS_ROOT, STOCK_350, at_once, client, same, settle, state, write_file

IDS = {"uid": 0, "gid": 0} if IS_ROOT else {}
OLD = 1_500_000_000_000_000_000


def writable(path):
    return {"path": path, "read only": "no", **IDS}


@pytest.fixture
def sides(work):
    """A source, the older state of it at the destination, and a way to put that state back."""
    rnd = random.Random(5)
    src, old, up = (os.path.join(work, n) for n in ("src", "old", "up"))
    for top in (src + "/sub/deeper", old + "/sub"):
        os.makedirs(top)
    for i in range(12):
        data = rnd.randbytes(rnd.choice([0, 10, 3000, 40000]))
        name = ("sub/" if i % 3 else "") + f"f{i}"
        write_file(f"{src}/{name}", data, mtime=OLD + 10**12)
        if i % 2:
            write_file(f"{old}/{name}", data[:len(data) // 2] + b"older" + data[len(data) // 2:], mtime=OLD)
    write_file(src + "/sub/deeper/new", rnd.randbytes(60000))
    os.symlink("f1", src + "/link")
    settle(os.fsencode(src), OLD)
    write_file(old + "/gone", b"to be deleted\n", mtime=OLD)
    for d in (old + "/sub", old):     # a client leaves a directory of the present second as it is
        os.utime(d, ns=(OLD, OLD + 5 * 10**9))
    shutil.copytree(old, up, symlinks=True)
    return src, old, up


def put_back(old, up):
    shutil.rmtree(up)
    shutil.copytree(old, up, symlinks=True)


def read(path):
    with contextlib.suppress(OSError), open(path, "rb") as f:
        return f.read()
    return None


def check_tree(src, old, up, opts):
    """What is there is the old state, the new one, or what the options allow."""
    for top, dirs, files in os.walk(up):
        rel = os.path.relpath(top, up)
        for name in files:
            path = os.path.normpath(os.path.join(rel, name))
            if os.path.islink(os.path.join(up, path)):
                continue
            have = read(os.path.join(up, path))
            parts = path.split("/")
            partial = any(p in (".part", ".~tmp~") for p in parts)
            path = "/".join(p for p in parts if p not in (".part", ".~tmp~"))
            new, was = read(os.path.join(src, path)), read(os.path.join(old, path))
            assert new is not None or was is not None, f"left behind: {path}"
            if have == was and not partial or have == new:
                continue
            assert partial or "--partial" in opts or "--inplace" in opts, f"half-written: {path}"
            assert "--inplace" in opts or new.startswith(have), f"not a part of the new file: {path}"


PUSHES = [["-a"], ["-a", "--delete"], ["-a", "--partial"], ["-a", "--partial-dir=.part"], ["-a", "--delay-updates", "--delete-after"],
          ["-a", "--inplace"], ["-a", "-I", "-W"], ["-a", "--protocol=29"], ["-a", "-z", "--no-inc-recursive"]]


@pytest.mark.parametrize("opts", PUSHES, ids=" ".join)
def test_push_is_cut(work, sides, opts):
    src, old, up = sides
    rnd = random.Random(repr(opts))
    with Daemon(work, {"up": writable(up)}) as d:
        with Cutter(d.port) as c:
            assert client([*opts, src + "/", c.url("up/")]).returncode == 0
        for way in ("up", "down"):
            total = c.moved[way]
            at = {total - 1} | {rnd.randrange(1, total) for _ in range(5)} | {rnd.randrange(1, min(total, 900)) for _ in range(2)}
            for n in sorted(at):
                put_back(old, up)
                with Cutter(d.port, way, n, reset=n % 2 == 0) as c:
                    r = client([*opts, src + "/", c.url("up/")])
                assert r.returncode != 0 or n >= total - 8, (way, n)
                assert not d.wait_idle(), (way, n)
                check_tree(src, old, up, opts)
        r = client([*opts, "--delete", src + "/", d.url("up/")])
        assert (r.returncode, r.stderr) == (0, b"")
        shutil.rmtree(up + "/.part", ignore_errors=True)
        same(src, up, dir_times=False, ns="--protocol=29" not in opts)


@pytest.mark.parametrize("opts", [["-a"], ["-aI", "--no-W"], ["-az", "--protocol=29"]], ids=" ".join)
def test_pull_is_cut(work, sides, opts):
    src, old, up = sides
    rnd = random.Random(repr(opts))
    with Daemon(work, {"m": {"path": src, **IDS}}) as d:
        with Cutter(d.port) as c:
            assert client([*opts, c.url("m/"), up + "/"]).returncode == 0
        for way in ("up", "down"):
            for n in sorted({1} | {rnd.randrange(1, c.moved[way]) for _ in range(6)}):
                put_back(old, up)
                with Cutter(d.port, way, n, reset=n % 2 == 0) as cut:
                    client([*opts, cut.url("m/"), up + "/"])
                assert not d.wait_idle(), (way, n)
        assert client([*opts, "--delete", d.url("m/"), up + "/"]).returncode == 0
        same(src, up, ns="--protocol=29" not in opts)


def test_nobody_else_notices(work, sides):
    """A long pull and a long push go on while others are cut."""
    src, old, up = sides
    data, calm = os.path.join(work, "data"), os.path.join(work, "calm")
    os.mkdir(data)
    os.mkdir(calm)
    for i in range(40):
        write_file(f"{data}/f{i}", os.urandom(50000))
    mods = {"up": writable(up), "data": {"path": data, **IDS}, "calm": writable(calm)}
    with Daemon(work, mods) as d:
        slow = ["-a", "--bwlimit=1500"]
        others = [subprocess.Popen([STOCK_350, *slow, d.url("data/"), work + "/got/"], stderr=subprocess.PIPE),
                  subprocess.Popen([STOCK_350, *slow, data + "/", d.url("calm/")], stderr=subprocess.PIPE)]
        for i in range(12):
            with Cutter(d.port, "up", 40 + i * 3000, reset=i % 2 == 0) as c:
                client(["-a", src + "/", c.url("up/")])
        for p in others:
            assert (p.communicate()[1], p.returncode) == (b"", 0)
        same(data, work + "/got", times=False)
        same(data, calm, times=False)
        assert not d.wait_idle()


def named(pid):
    with contextlib.suppress(OSError), open(f"/proc/{pid}/status") as f:
        facts = dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)
        return int(facts["PPid"]), facts.get("Seccomp", "0").strip() == "2"
    return None, False


@pytest.mark.parametrize("who", ["worker", "monitor"])
def test_session_processes_are_killed(work, sides, who):
    """SIGKILL to one of a session's processes: the other ends too, the client gets an error, the daemon goes on."""
    src, old, up = sides
    rnd = random.Random(who)
    write_file(src + "/large", rnd.randbytes(4_000_000))
    write_file(old + "/large", b"the old one\n", mtime=OLD)
    killed = 0
    with Daemon(work, {"up": writable(up)}) as d:
        for _ in range(6):
            put_back(old, up)
            p = subprocess.Popen([STOCK_350, "-a", "--bwlimit=3000", src + "/", d.url("up/")], stdout=subprocess.DEVNULL,
                                 stderr=subprocess.PIPE)
            wait_for_temp(up, ".large.")
            victim = [s for s in d.sessions() if named(s)[1] == (who == "worker") and (who == "worker" or named(s)[0] == d.proc.pid)][0]
            time.sleep(rnd.random() * 0.25)
            if state(victim) not in (None, "Z"):
                everyone = d.sessions()
                os.kill(victim, signal.SIGKILL)
                killed += 1
                p.communicate(timeout=60)
                assert p.returncode != 0
                assert not d.wait_idle()
                end = time.time() + 20
                while any(state(s) not in (None, "Z") for s in everyone) and time.time() < end:
                    time.sleep(0.02)
                assert [s for s in everyone if state(s) not in (None, "Z")] == []
                assert read(up + "/large") in (b"the old one\n", read(src + "/large"))
            p.communicate(timeout=60)
        assert killed >= 3
        put_back(old, up)
        assert client(["-a", "--delete", src + "/", d.url("up/")]).returncode == 0
        same(src, up)


@pytest.mark.parametrize("who", ["worker", "monitor"])
@pytest.mark.parametrize("opts", [["-a"], ["-a", "--partial"]], ids=" ".join)
def test_push_is_terminated(work, sides, who, opts):
    """SIGTERM ends a session in good order: the peer and the log are told, no temp file stays."""
    src, old, up = sides
    write_file(src + "/large", os.urandom(4_000_000))
    write_file(old + "/large", b"the old one\n", mtime=OLD)
    put_back(old, up)
    with Daemon(work, {"up": writable(up)}) as d:
        p = subprocess.Popen([STOCK_350, *opts, "--bwlimit=1000", src + "/", d.url("up/")], stdout=subprocess.DEVNULL,
                             stderr=subprocess.PIPE)
        wait_for_temp(up, ".large.")
        victim = [s for s in d.sessions() if named(s)[1] == (who == "worker") and (who == "worker" or named(s)[0] == d.proc.pid)]
        os.kill(victim[0], signal.SIGTERM)
        err = p.communicate(timeout=60)[1]
        assert b"received SIGINT, SIGTERM, or SIGHUP (code 20)" in err, err
        assert p.returncode == 20
        assert not d.wait_idle()
        assert "(code 20)" in d.read_log()
        assert not [n for n in os.listdir(up) if n.startswith(".")]
        have = read(up + "/large")
        assert have == b"the old one\n" if "--partial" not in opts else read(src + "/large").startswith(have)


def test_pull_is_terminated(work, sides):
    src, old, up = sides
    write_file(src + "/large", os.urandom(4_000_000))
    with Daemon(work, {"m": {"path": src, **IDS}}) as d:
        p = subprocess.Popen([STOCK_350, "-a", "--bwlimit=1000", d.url("m/"), work + "/got"], stdout=subprocess.DEVNULL,
                             stderr=subprocess.PIPE)
        wait_for_temp(work + "/got", ".large.")
        os.kill([s for s in d.sessions() if named(s)[0] == d.proc.pid][0], signal.SIGTERM)
        p.communicate(timeout=60)
        assert p.returncode in (12, 20)
        assert not d.wait_idle()
        assert "(code 20)" in d.read_log()


def wait_for_temp(top, prefix):
    end = time.time() + 30
    while time.time() < end:
        with contextlib.suppress(OSError):
            if [n for n in os.listdir(top) if n.startswith(prefix)]:
                return
        time.sleep(0.01)
    raise AssertionError("the transfer does not come to " + prefix)


def test_gate_is_killed(work, sides):
    src, old, up = sides
    with Daemon(work, {"up": writable(up)}) as d:
        for _ in range(4):
            with d.connect() as s:
                assert s.recv(8) == b"@RSYNCD:"
                gate = [p for p in d.sessions() if named(p)[1]]
                assert len(gate) == 1
                os.kill(gate[0], signal.SIGKILL)
                s.settimeout(20)
                while s.recv(4096):
                    pass
            assert not d.wait_idle()
        assert client([d.url("up/")]).returncode == 0


@pytest.mark.slow
def test_hundred_mixed(work, sides):
    """A hundred transfers at once over three modules, both directions, a fifth of them killed."""
    src, old, up = sides
    mods = {"up": writable(up), "src": {"path": src, **IDS}, "old": {"path": old, "max connections": 200, **IDS}}
    with Daemon(work, mods, global_lines=["max unauthenticated per host = 200"]) as d:

        def one(i):
            mine = f"{up}/t{i}" if i % 2 else f"{work}/o{i}"
            good = old if i % 4 == 0 else src
            args = [good + "/", d.url(f"up/t{i}/")] if i % 2 else [d.url("old/" if i % 4 == 0 else "src/"), mine + "/"]
            if i % 5 == 3:
                p = subprocess.Popen([STOCK_350, "-a", "--bwlimit=200", *args], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                     start_new_session=True)
                time.sleep(0.1 + i * 0.004)
                os.killpg(p.pid, signal.SIGKILL)    # a pull has two, and one may go on without the other
                p.wait()
                return
            r = client(["-a", *args])
            assert (r.returncode, r.stderr) == (0, b"")
            same(good, mine)

        bad = at_once(one, 100)
        assert not bad, bad[:3]
        assert not d.wait_idle()
        for top, _, files in os.walk(up):
            assert not [n for n in files if n.startswith(".f") or n.startswith(".new.")], top
