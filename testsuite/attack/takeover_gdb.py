"""Runs inside gdb: makes a process it attaches to perform system calls, one instruction at a time.

Requests and answers are lines of JSON on the descriptors TAKEOVER_IN and TAKEOVER_OUT; see takeover.py.
The process is killed afterwards unless the request says "keep".
"""
import json
import os
import time

import gdb

ARGS = ("rdi", "rsi", "rdx", "r10", "r8", "r9")
REGS = ("rax", "rdi", "rsi", "rdx", "r10", "r8", "r9", "rcx", "r11", "rip", "orig_rax")
SCRATCH = 64 << 10


def quiet(command):
    return gdb.execute(command, to_string=True)


def scratch(pid):
    """A writable stretch of the process's memory: the middle of its largest private mapping."""
    best = (0, 0)
    with open(f"/proc/{pid}/maps") as f:
        for line in f:
            span, mode = line.split()[:2]
            lo, hi = (int(x, 16) for x in span.split("-"))
            if mode == "rw-p" and hi - lo > best[1] - best[0] and "[stack" not in line:
                best = (lo, hi)
    middle = (best[0] + best[1]) // 2 & ~63
    return middle - min(SCRATCH // 2, (best[1] - best[0]) // 4 & ~63)


class Process:
    def __init__(self, pid):
        self.pid = pid
        for v in ("_exitsignal", "_exitcode"):
            gdb.set_convenience_variable(v, None)
        for _ in range(100):  # now and then it is at work, and not in a system call
            quiet(f"attach {pid}")
            if self.find_call():
                break
            quiet("detach")
            time.sleep(0.02)
        else:
            raise AssertionError("never found in a system call")
        quiet("set scheduler-locking on")
        self.saved = {r: int(gdb.parse_and_eval(f"${r}")) for r in REGS}
        self.insn = self.saved["rip"] - 2
        self.base = self.next = scratch(pid)

    def find_call(self):
        """Whether its first thread waits in a system call."""
        at = int(gdb.parse_and_eval("$rip")) - 2
        return bytes(gdb.selected_inferior().read_memory(at, 2)) == b"\x0f\x05"

    def ended(self):
        """What ended the process, or None while it lives. Asked of the kernel: gdb waits for every thread."""
        try:
            with open(f"/proc/{self.pid}/stat") as f:
                fields = f.read().rsplit(")", 1)[1].split()
        except OSError:  # gdb has reaped it
            sig, code = (gdb.convenience_variable(v) for v in ("_exitsignal", "_exitcode"))
            return f"SIG{sig}" if sig is not None else "executed" if code == 0 else "vanished"
        if fields[0] not in "ZX":
            return None
        return f"SIG{int(fields[49]) & 0x7f}" if int(fields[49]) else "executed"

    def place(self, data):
        at = self.next
        gdb.selected_inferior().write_memory(at, data)
        self.next += (len(data) + 15) & ~15
        return at

    def value(self, a, results, outs):
        if isinstance(a, int):
            return a
        if "s" in a:
            return self.place(a["s"].encode() + b"\0")
        if "b" in a:
            return self.place(bytes.fromhex(a["b"]))
        if "out" in a:
            at = self.place(bytes(a["out"]))
            outs.append((at, a["out"]))
            return at
        if "iov" in a:  # a struct iovec with a buffer of that size
            at = self.place(bytes(a["iov"]))
            return self.place(at.to_bytes(8, "little") + a["iov"].to_bytes(8, "little"))
        if "p" in a:  # an array of pointers, NULL at its end
            at = [self.place(s.encode() + b"\0") for s in a["p"]] + [0]
            return self.place(b"".join(x.to_bytes(8, "little") for x in at))
        return results[a["r"]]

    def call(self, nr, args, results):
        outs = []
        values = [self.value(a, results, outs) for a in args]
        for reg, v in zip(ARGS, values):
            quiet(f"set ${reg} = {v}")
        quiet(f"set $rax = {nr}")
        quiet("set $orig_rax = -1")
        quiet(f"set $rip = {self.insn}")
        try:
            for _ in range(4):  # a signal may come first
                quiet("stepi")
                rip = int(gdb.parse_and_eval("$rip"))
                if rip != self.insn:
                    break
        except gdb.error:
            rip = 0
        for _ in range(200):
            if rip or self.ended():
                break
            time.sleep(0.01)
        if self.ended():
            return self.ended(), []
        if rip != self.insn + 2:
            return "executed", []
        r = int(gdb.parse_and_eval("(long)$rax"))
        if nr in (56, 57, 435) and r > 0:
            os.kill(r, 9)
        data = [bytes(gdb.selected_inferior().read_memory(at, n)).hex() for at, n in outs]
        return r, data

    def leave(self, keep):
        if self.ended():
            for command in ("kill", "detach"):
                try:
                    quiet(command)
                except gdb.error:
                    pass
            return
        if not keep:
            quiet("kill")
            return
        for r, v in self.saved.items():
            quiet(f"set ${r} = {v}")
        quiet("detach")


def act(p, calls):
    """One act: calls in order, ended by the first that fails or does not return."""
    results, datas = [], []
    p.next = p.base
    for nr, args in calls:
        r, data = p.call(nr, args, results)
        results.append(r)
        datas.append(data)
        if not isinstance(r, int) or r < 0:
            break
    return {"results": results, "data": datas}


def serve(request):
    """Acts in order until one ends the process."""
    answers = []
    p = Process(request["pid"])
    try:
        for calls in request["acts"]:
            answers.append(act(p, calls))
            if not isinstance(answers[-1]["results"][-1], int):
                break
    finally:
        p.leave(request.get("keep"))
    return {"acts": answers}


# No file is found under that sysroot: no symbols are read, which would take longer than the acts.
for setting in ("sysroot /nowhere", "confirm off", "pagination off", "auto-solib-add off", "auto-load no", "debuginfod enabled off",
                "follow-fork-mode parent", "detach-on-fork on", "print inferior-events off", "stop-on-solib-events 0"):
    try:
        quiet("set " + setting)
    except gdb.error:
        pass
with os.fdopen(int(os.environ["TAKEOVER_IN"])) as requests, os.fdopen(int(os.environ["TAKEOVER_OUT"]), "w") as answers:
    for text in requests:
        try:
            answer = serve(json.loads(text))
        except (gdb.error, AssertionError, OSError) as e:
            answer = {"error": str(e)}
            try:
                quiet("detach")
            except gdb.error:
                pass
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
