#!/usr/bin/env python3
"""bench.py - kedge beside the stock rsync daemon, one stock client for both.

Every row runs A B A B ... (A = kedge, B = stock) on the same data and prints ratios A/B: wall
time of the client, CPU of the server (user + system of the whole daemon tree, as the daemon's
own accounting of itself and its reaped children), and the peak of summed PSS. What arrived is
verified in every round. Below 1 is better.

--bare compares kedge with itself instead: B is the same binary without its layers of confinement
(a build with --enable-test-hooks; the chroot stays, since it decides what paths mean).

The word "memory" asks for two more tables, which no other word brings: the peak of a session's largest process for --entries
empty files, pushed and pulled, in one list and with incremental recursion; in many directories, and (with stock's) in one.
"""
import argparse
import filecmp
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import harness  # noqa: E402
from harness import Daemon, client  # noqa: E402

TICK = os.sysconf("SC_CLK_TCK")
LAYERS = "limits,uid,caps,nnp,landlock,seccomp,trial"


def has_children(task):
    """Whether it has children, those included that ended and whose time is not in its account yet."""
    with open(f"{task}/children") as f:
        return bool(f.read().strip())


def tree_cpu(d):
    """CPU seconds of the daemon and everything it has reaped, once its sessions are gone and reaped."""
    end = time.monotonic() + 60
    while any(map(has_children, (f"/proc/{d.proc.pid}/task/{t}" for t in os.listdir(f"/proc/{d.proc.pid}/task")))):
        must(time.monotonic() < end, "sessions do not end")
        time.sleep(0.01)
    with open(f"/proc/{d.proc.pid}/stat") as f:
        v = f.read().rsplit(")", 1)[1].split()
    return sum(map(int, v[11:15])) / TICK


def pss(pids):
    total = 0
    for p in pids:
        try:
            with open(f"/proc/{p}/smaps_rollup") as f:
                total += next(int(line.split()[1]) for line in f if line.startswith("Pss:"))
        except (OSError, StopIteration):
            pass
    return total


class Peak(threading.Thread):
    """Samples the summed PSS of a daemon tree."""

    def __init__(self, daemon):
        super().__init__(daemon=True)
        self.d, self.kib, self.on = daemon, 0, True

    def run(self):
        while self.on:
            self.kib = max(self.kib, pss([self.d.proc.pid, *self.d.sessions()]))
            time.sleep(0.2)


def ok(r):
    if r.returncode:
        raise SystemExit(f"client failed: {r.returncode} {r.stderr.decode(errors='replace')}")


def must(cond, text):
    if not cond:
        raise SystemExit(text)


def same_trees(a, b):
    todo = [filecmp.dircmp(a, b, ignore=[])]
    while todo:
        d = todo.pop()
        must(not (d.left_only or d.right_only or d.funny_files), f"trees differ: {d.left} {d.left_only[:3]} {d.right_only[:3]}")
        _, bad, err = filecmp.cmpfiles(d.left, d.right, d.common_files, shallow=False)
        must(not bad and not err, f"files differ: {d.left} {bad[:3]} {err[:3]}")
        todo += d.subdirs.values()


class Bench:
    def __init__(self, opt, work):
        self.opt, self.work = opt, work

    def wanted(self, name):
        return not self.opt.only or any(w in name for w in self.opt.only)

    def daemon(self, side, modules):
        ids = {"uid": 0, "gid": 0} if harness.IS_ROOT else {}
        chroot = "yes" if harness.IS_ROOT else "no"
        full = {n: {"read only": "no", "use chroot": chroot, **ids, **p} for n, p in modules.items()}
        binary = self.opt.kedge if side == "A" else self.opt.stock
        env = None
        if self.opt.bare:
            binary, env = self.opt.bare, {"KEDGE_DISABLE": LAYERS if side == "B" else ""}
        return Daemon(self.work, full, binary=binary, env=env, global_lines=["reverse lookup = no"])

    def measure(self, d, side, run):
        c0, t0 = tree_cpu(d), time.monotonic()
        run(d, side)
        wall = time.monotonic() - t0
        return wall, tree_cpu(d) - c0

    def row(self, name, modules, run, prepare=None, check=None):
        """run(daemon, side) does the work; prepare(side) resets; check(side) verifies."""
        if not self.wanted(name):
            return
        got = {s: {"wall": [], "cpu": [], "pss": 0} for s in "AB"}
        with self.daemon("A", modules("A")) as a, self.daemon("B", modules("B")) as b:
            for i in range(self.opt.rounds + 1):
                for side, d in (("A", a), ("B", b)):
                    if prepare:
                        prepare(side)
                    if i == 0:          # the first round warms up and is watched for memory, not timed
                        peak = Peak(d)
                        peak.start()
                        run(d, side)
                        peak.on = False
                        peak.join()
                        got[side]["pss"] = peak.kib
                    else:
                        wall, cpu = self.measure(d, side, run)
                        got[side]["wall"].append(wall)
                        got[side]["cpu"].append(cpu)
                    if check:
                        check(side)
        m = {s: {k: statistics.median(got[s][k]) for k in ("wall", "cpu")} for s in "AB"}
        ratio = lambda x, y: f"{x / y:.2f}" if y else "-"  # noqa: E731
        print(f"| {name} | {ratio(m['A']['wall'], m['B']['wall'])} | {ratio(m['A']['cpu'], m['B']['cpu'])} "
              f"| {ratio(got['A']['pss'], got['B']['pss'])} | {m['A']['wall']:.2f} / {m['B']['wall']:.2f} "
              f"| {m['A']['cpu']:.2f} / {m['B']['cpu']:.2f} | {got['A']['pss'] / 1024:.0f} / {got['B']['pss'] / 1024:.0f} |", flush=True)


def worker_peak(d, p):
    """Peak resident KiB of the session's largest process, by the kernel's own high-water mark, while the client p runs."""
    peak = 0
    while p.poll() is None:
        for pid in d.sessions():
            try:
                with open(f"/proc/{pid}/status") as f:
                    peak = max(peak, next(int(line.split()[1]) for line in f if line.startswith("VmHWM:")))
            except (OSError, StopIteration):
                pass
        time.sleep(0.1)
    must(p.returncode == 0, f"client failed: {p.returncode}")
    return peak


def memory_rows(b, base):
    for per_dir, where, sides in ((1000, "1000 in a directory", "A"), (b.opt.entries, "in a single directory", "AB")):
        n, src, dst = b.opt.entries, f"{base}/entries", f"{base}/dstA"
        names = n * len("f00000000")
        for i in range(n):
            d = f"{src}/d{i // per_dir:04d}"
            if i % per_dir == 0:
                os.makedirs(d)
            os.close(os.open(f"{d}/f{i:08d}", os.O_CREAT | os.O_WRONLY, 0o644))
        print(f"\n{n} empty files, {where}: the peak of the largest process, MiB (A / B), and of A's bytes per entry besides the name\n")
        print("| row | MiB | bytes |\n|---|---|---|", flush=True)
        for how, extra in (("one list", ["--no-inc-recursive"]), ("incremental", [])):
            for way in ("pull", "push"):
                kib = []
                for side in sides:
                    shutil.rmtree(dst, ignore_errors=True)
                    os.makedirs(dst)
                    with b.daemon(side, {"m": {"path": src, "read only": "yes"}, "w": {"path": dst}}) as d:
                        ends = [d.url("m/"), dst + "/"] if way == "pull" else [src + "/", d.url("w/")]
                        kib.append(worker_peak(d, subprocess.Popen([b.opt.stock, "-a", *extra, *ends])))
                    got = sum(len(files) for _, _, files in os.walk(dst))
                    must(got == n, f"{got} of {n} files arrived")
                print(f"| {way}, {how} | {' / '.join(f'{k / 1024:.0f}' for k in kib)} | {(kib[0] * 1024 - names) / n:.0f} |", flush=True)
        shutil.rmtree(src)
        shutil.rmtree(dst)


# ---- data ----

def big_file(path, mib, seed):
    rnd = random.Random(seed)
    with open(path, "wb") as f:
        for _ in range(mib):
            f.write(rnd.randbytes(1 << 20))


def text_file(path, mib, seed):
    rnd = random.Random(seed)
    words = [rnd.randbytes(rnd.randrange(2, 9)).hex().encode() for _ in range(3000)]
    with open(path, "wb") as f:
        while f.tell() < mib << 20:
            f.write(b" ".join(rnd.choices(words, k=20000)) + b"\n")


def small_files(top, count, per_dir, seed):
    rnd = random.Random(seed)
    for i in range(count):
        d = f"{top}/d{i // per_dir:04d}"
        if i % per_dir == 0:
            os.makedirs(d)
        with open(f"{d}/f{i:06d}", "wb") as f:
            f.write(rnd.randbytes(rnd.randrange(0, 4096)) if seed else b"x")


def edited(src, dst, seed):
    """Scattered 32-byte edits, one per half mebibyte, and one insertion."""
    rnd = random.Random(seed)
    with open(src, "rb") as f:
        data = bytearray(f.read())
    for _ in range(max(1, len(data) >> 19)):
        at = rnd.randrange(len(data) - 64)
        data[at:at + 32] = rnd.randbytes(32)
    data[len(data) // 3:len(data) // 3] = rnd.randbytes(1000)
    with open(dst, "wb") as f:
        f.write(data)


def rows(b, base):
    o = b.opt
    dst = {s: f"{base}/dst{s}" for s in "AB"}
    for n in ("big", "text", "small", "old"):
        os.makedirs(f"{base}/{n}")
    big_file(f"{base}/big/big", o.mib, 1)
    text_file(f"{base}/text/text", max(1, o.mib // 4), 2)
    if b.wanted("small files"):
        small_files(f"{base}/small", o.small, 200, 3)
    edited(f"{base}/big/big", f"{base}/old/big", 4)
    with open(f"{base}/tiny", "wb") as f:
        f.write(b"tiny\n")

    def fresh(s):
        shutil.rmtree(dst[s], ignore_errors=True)
        os.makedirs(dst[s])

    def old(s):
        fresh(s)
        shutil.copy(f"{base}/old/big", f"{dst[s]}/big")

    def pull(src, *args):
        return lambda d, s: ok(client([*args, d.url(f"m/{src}/"), dst[s] + "/"], timeout=3600))

    def push(src, *args):
        return lambda d, s: ok(client([*args, f"{base}/{src}/", d.url("w/")], timeout=3600))

    def check(src):
        return lambda s: same_trees(f"{base}/{src}", dst[s])

    def mods(s):
        return {"m": {"path": base, "read only": "yes"}, "w": {"path": dst[s]}}

    for s in "AB":
        fresh(s)
    for what, src, args, prep in (
            ("large file", "big", ["-a"], fresh), ("small files", "small", ["-a"], fresh),
            ("delta", "big", ["-aI", "--no-W"], old), ("zstd", "text", ["-a", "--zc=zstd"], fresh)):
        b.row(f"{what}, pull", mods, pull(src, *args), prep, check(src))
        b.row(f"{what}, push", mods, push(src, *args), prep, check(src))

    if b.wanted("no change"):
        small_files(f"{base}/still", o.unchanged, 500, 0)
        for s in "AB":
            shutil.rmtree(dst[s])
            subprocess.run(["cp", "-a", f"{base}/still", dst[s]], check=True)
        b.row("no change, pull", mods, pull("still", "-a"))
        b.row("no change, push", mods, push("still", "-a"))

    def listings(d, s):
        for _ in range(200):
            ok(client([d.url()]))

    def transfers(d, s):
        todo, lock, bad = list(range(100)), threading.Lock(), []

        def work():
            while True:
                with lock:
                    if not todo:
                        return
                    i = todo.pop()
                r = client(["-a", d.url("m/tiny"), f"{dst[s]}/t{i}"])
                if r.returncode:
                    bad.append(r.stderr)
        threads = [threading.Thread(target=work) for _ in range(8)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        must(not bad and len(os.listdir(dst[s])) == 100, f"transfers failed: {bad[:1]}")

    b.row("200 module listings", mods, listings)
    b.row("100 one-file transfers", mods, transfers, fresh)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--kedge", default="kedge")
    p.add_argument("--stock", default=harness.STOCK_350)
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--mib", type=int, default=512, help="size of the large file")
    p.add_argument("--small", type=int, default=50000)
    p.add_argument("--unchanged", type=int, default=200000)
    p.add_argument("--entries", type=int, default=1000000, help="files of the memory rows")
    p.add_argument("--bare", metavar="KEDGE", help="a build with test hooks: compare it with and without its layers")
    p.add_argument("--dir", action="append", help="where the data lives (default: /dev/shm and ./_build)")
    p.add_argument("only", nargs="*", help="only rows whose name contains one of these words")
    opt = p.parse_args()
    for place in opt.dir or ["/dev/shm", "_build"]:
        os.makedirs(place, exist_ok=True)
        base = tempfile.mkdtemp(prefix="kedge-bench-", dir=os.path.abspath(place))
        os.chmod(base, 0o755)
        try:
            if opt.only == ["memory"]:
                memory_rows(Bench(opt, base), base)
                continue
            print(f"\n{place} ({time.strftime('%Y-%m-%d')}, {os.cpu_count()} CPUs; "
                  f"ratios {'with / without confinement' if opt.bare else 'kedge / stock'})\n")
            print("| row | wall | server CPU | peak memory | wall s | server CPU s | PSS MiB |\n|---|---|---|---|---|---|---|", flush=True)
            rows(Bench(opt, base), base)
        finally:
            shutil.rmtree(base, ignore_errors=True)


if __name__ == "__main__":
    main()
