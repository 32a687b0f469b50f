"""Taking over live processes of a daemon: gdb makes them perform system calls of our choice.

An act is a list of calls [number, [arguments]]. An argument is a number, {"s": text}, {"b": hex}, {"out": size},
{"iov": size} (an iovec with a buffer), {"p": [texts]} (an array of pointers) or {"r": n} (result of the nth call).
"""
import contextlib
import ctypes
import errno
import json
import os
import platform
import pwd
import shutil
import signal
import socket
import struct
import subprocess
import time

from harness import CLIENTS, Daemon, IS_ROOT, KEDGE, LIMIT, SANITIZED, children, kill_all, write_file

HOOKS = os.path.join(os.environ.get("KEDGE_BUILD", os.path.dirname(KEDGE)), "testsuite/attack/kedge_hooks")
ALL_LAYERS = "fds,limits,chroot,uid,caps,nnp,landlock,seccomp,trial"


def why_not():
    """Why processes cannot be taken over here, or None."""
    if not IS_ROOT:
        return "attaching to processes that are not dumpable needs root"
    if platform.machine() != "x86_64":
        return "system calls are injected by x86-64 numbers and registers only"
    if not shutil.which("gdb"):
        return "gdb is not installed"
    if SANITIZED:
        return "a sanitizer build has a wider filter"
    return None


class Gdb:
    """One gdb that attaches to one process after the other."""

    def __init__(self, log):
        r1, w1 = os.pipe()
        r2, w2 = os.pipe()
        script = os.path.join(os.path.dirname(__file__), "takeover_gdb.py")
        env = dict(os.environ, TAKEOVER_IN=str(r1), TAKEOVER_OUT=str(w2))
        self.log = open(log, "wb")
        self.proc = subprocess.Popen(["gdb", "-nx", "-q", "-batch", "-readnever", "-x", script], pass_fds=(r1, w2), env=env,
                                     stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        os.close(r1)
        os.close(w2)
        self.to, self.answers = os.fdopen(w1, "w"), os.fdopen(r2)

    def ask(self, pid, acts, keep=False):
        """Results of the acts, up to the one that ended the process."""
        self.to.write(json.dumps({"pid": pid, "acts": acts, "keep": keep}) + "\n")
        self.to.flush()
        answer = json.loads(self.answers.readline() or '{"error": "gdb has ended"}')
        assert "error" not in answer, answer
        return answer["acts"]

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.to.close()
        self.proc.wait(LIMIT)
        self.answers.close()
        self.log.close()


def outcome(answer):
    """'done', 'SIGSYS', or the name of the errno of the last call."""
    r = answer["results"][-1]
    if isinstance(r, str):
        return {"SIG31": "SIGSYS", "executed": "done"}.get(r, r)
    return "done" if r >= 0 else errno.errorcode.get(-r, str(-r))


def here(calls, user=None):
    """The outcome of an act in a child of the test itself, with the user's rights or all of our own: what this machine permits at all."""
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if user:
        ids = pwd.getpwnam(user)
        os.setgroups([])
        os.setresgid(*[ids.pw_gid] * 3)
        os.setresuid(*[ids.pw_uid] * 3)
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    results, keep = [], []

    def value(a):
        if isinstance(a, int):
            return ctypes.c_long(a)
        if "r" in a:
            return ctypes.c_long(results[a["r"]])
        if "p" in a:
            arr = (ctypes.c_char_p * (len(a["p"]) + 1))(*[s.encode() for s in a["p"]], None)
            keep.append(arr)
            return arr
        if "iov" in a:
            keep.append(ctypes.create_string_buffer(a["iov"]))
            keep.append(ctypes.create_string_buffer(struct.pack("<QQ", ctypes.addressof(keep[-1]), a["iov"])))
            return keep[-1]
        data = a["s"].encode() if "s" in a else bytes.fromhex(a["b"]) if "b" in a else bytes(a["out"])
        keep.append(ctypes.create_string_buffer(data, len(data) + 1))
        return keep[-1]

    for nr, args in calls:
        results.append(libc.syscall(ctypes.c_long(nr), *[value(a) for a in args]))
        if results[-1] < 0:
            os._exit(ctypes.get_errno() & 0x7f)
    os._exit(0)


def comm(pid):
    with contextlib.suppress(OSError), open(f"/proc/{pid}/comm") as f:
        return f.read().strip()
    return ""


def fds(pid):
    """{descriptor: what it is}"""
    found = {}
    for n in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(OSError):
            found[int(n)] = os.readlink(f"/proc/{pid}/fd/{n}")
    return found


def status(pid):
    """/proc/PID/status as a dictionary."""
    with open(f"/proc/{pid}/status") as f:
        return {k: v.strip() for k, _, v in (line.partition(":") for line in f)}


def wait_for(what, ready):
    end = time.time() + LIMIT
    while time.time() < end:
        found = ready()
        if found:
            return found
        time.sleep(0.004)
    raise AssertionError(f"waited in vain for {what}")


class Session:
    """One connection held at a stage: .role(name) gives the process. Ends with the context."""

    def __init__(self, target, kind, options=()):
        self.options = options
        self.target, self.daemon, self.kind = target, target.daemon, kind
        before = set(self.daemon.sessions())
        self.sock = self.proc = None
        if kind == "gate":
            self.sock = self.daemon.connect()
            assert self.sock.recv(8) == b"@RSYNCD:"
        elif kind == "push":
            self.sweep()
            self.proc = self.client([target.src + "/", self.daemon.url(target.module + "/")])
            wait_for("the file in the module", lambda: any(n.lstrip(".").startswith("big") for n in os.listdir(target.mod)))
        else:
            self.dst = os.path.join(target.work, "dst" + os.urandom(4).hex())
            os.mkdir(self.dst)
            self.proc = self.client([self.daemon.url(target.module + "/"), self.dst + "/"])
            wait_for("a temporary file at the client", lambda: any(n.startswith(".big.") for n in os.listdir(self.dst)))
        if self.proc:
            self.proc.send_signal(signal.SIGSTOP)
        self.pids = {comm(p).removeprefix("kedge-"): p for p in self.daemon.sessions() if p not in before}

    def sweep(self):
        """A worker that was killed could not remove its temporary file; with --write-devices it had none."""
        for n in os.listdir(self.target.mod):
            if n.lstrip(".").startswith("big"):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(os.path.join(self.target.mod, n))

    def client(self, args):
        env = {k: v for k, v in os.environ.items() if not k.startswith("RSYNC_")}
        return subprocess.Popen([CLIENTS["3.5.0"], "-a", "--bwlimit=1000", *self.options, *args], env=env, stdin=subprocess.DEVNULL,
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def role(self, name):
        assert name in self.pids, (name, self.pids, self.daemon.read_log())
        return self.pids[name]

    def close(self):
        if self.sock:
            self.sock.close()
        if self.proc:
            kill_all(self.proc)
            if self.kind == "pull":
                shutil.rmtree(self.dst, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


class Place:
    """What is attacked: a directory that is served, a tree outside of it, a process that has nothing to do with it."""

    def __init__(self, work, owner=0, read_only=False, user=None):
        self.work, self.user = work, user
        self.mod, self.out, self.src = (os.path.join(work, n) for n in ("mod", "out", "src"))
        for d in (self.mod, self.out, self.src):
            os.mkdir(d)
        write_file(self.out + "/file", b"the secret\n", 0o666, 10**18)
        for n in ("dir", "dir3", "mnt"):
            os.mkdir(f"{self.out}/{n}")
        for n in ("doomed1", "doomed2"):
            write_file(f"{self.out}/{n}", b"", 0o666)
        write_file(self.mod + "/victim", b"mine\n", 0o644)
        os.mknod(self.mod + "/node", 0o20666, os.makedev(1, 3))
        os.chmod(self.mod + "/node", 0o666)
        write_file((self.mod if read_only else self.src) + "/big", os.urandom(4 << 20))
        for d, dirs, files in os.walk(work):
            for n in [*dirs, *files]:
                os.chown(os.path.join(d, n), owner, owner)
        os.chmod(self.out, 0o777)
        if user:
            os.chown(work, owner, owner)
        self.bystander = subprocess.Popen(["sleep", "1000"], user=user)
        self.listener = socket.create_server(("127.0.0.1", 0))

    def left(self):
        """Processes that should be gone."""
        return []

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.listener.close()
        alive = self.bystander.poll() is None
        self.bystander.kill()
        self.bystander.wait()
        left = self.left()
        if exc[0] is None:
            assert not left, f"processes left behind: {left}"
            assert alive, "the unrelated process was killed"


class Target(Place):
    """A daemon with one module."""

    def __init__(self, work, read_only=False, uid=0, devices=None, disable=None, user=None, extra=None):
        super().__init__(work, 65534 if uid or user else 0, read_only, user)
        self.module = "m"
        if not read_only:
            os.mknod(self.src + "/null", 0o20666, os.makedev(1, 3))
        ids = {} if user else {"uid": uid, "gid": uid}
        params = {"path": self.mod, "read only": "yes" if read_only else "no", **ids, **(extra or {})}
        if devices:
            params["device nodes"] = devices
        env = {"KEDGE_DISABLE": disable} if disable else None
        self.daemon = Daemon(work, {self.module: params}, binary=HOOKS if disable else None, env=env, user=user)

    def left(self):
        return self.daemon.stop()


def handle(path):
    """struct file_handle of a file, in hex."""
    libc = ctypes.CDLL(None, use_errno=True)
    buf = ctypes.create_string_buffer(struct.pack("<Ii", 128, 0) + bytes(128))
    mount = ctypes.c_int()
    if libc.name_to_handle_at(-100, os.fsencode(path), buf, ctypes.byref(mount), 0):
        return bytes(136).hex()
    return bytes(buf.raw[:8 + struct.unpack_from("<I", buf.raw)[0]]).hex()


def first_page(pid):
    with open(f"/proc/{pid}/maps") as f:
        return int(f.readline().split("-")[0], 16)


def acts(target, root, other, below=""):
    """{name: calls}: everything that no process of a connection may do. root: its descriptor of the module, or of what the
    module is below; other: a process of the same connection."""
    out, cwd = target.out, -100
    by = target.bystander.pid
    addr = struct.pack("!2xH4s8x", target.listener.getsockname()[1], b"\x7f\0\0\1").hex()
    addr = struct.pack("<H", 2).hex() + addr[4:]

    def s(text):
        return {"s": text}

    def inside(name):
        return {"s": below + name if root >= 0 else target.mod + "/" + name}

    chr_, blk = 0o20600, 0o60600
    null, loop, white = os.makedev(1, 3), os.makedev(7, 0), 0
    how = {"b": struct.pack("<QQQ", 0, 0, 0).hex()}
    clone3 = {"b": struct.pack("<QQQQQQQQ", 0, 0, 0, 0, 17, 0, 0, 0).hex()}
    f = s(out + "/file")
    caps = int(status("self")["CapPrm"], 16)
    caps = struct.pack("<6I", *[caps & 0xffffffff] * 3, *[caps >> 32] * 3).hex()
    return {
        # reading
        "open /etc/shadow": [[2, [s("/etc/shadow"), 0]]],
        "openat /etc/shadow": [[257, [cwd, s("/etc/shadow"), 0]]],
        "openat ../out/file": [[257, [root, s(below + "../out/file"), 0]]],
        "openat2 ../out/file": [[437, [root, s(below + "../out/file"), how, 24]]],
        "openat2 absolute": [[437, [cwd, f, how, 24]]],
        "readlinkat outside": [[267, [cwd, s("/proc/self/exe"), {"out": 64}, 64]]],
        "statx outside": [[332, [cwd, f, 0, 0xfff, {"out": 256}]]],
        "open_by_handle_at": [[257, [root, inside("."), 0o200000]], [304, [{"r": 0}, {"b": handle(out + "/file")}, 0]]],
        "name_to_handle_at": [[303, [cwd, f, {"b": struct.pack("<Ii", 128, 0).hex() + "00" * 128}, {"out": 8}, 0]]],
        # device nodes
        "openat a device inside": [[257, [root, inside("node"), 0]]],
        "openat a device inside for writing": [[257, [root, inside("node"), 1]]],
        "openat2 a device inside": [[437, [root, inside("node"), how, 24]]],
        "mknod block inside": [[133, [s(target.mod + "/blk"), blk, loop]]],
        "mknodat block inside": [[259, [root, inside("blk2"), blk, loop]]],
        "mknodat block outside": [[259, [cwd, s(out + "/blk"), blk, loop]]],
        "mknodat char inside": [[259, [root, inside("chr"), chr_, null]]],
        "mknodat char, junk above the type": [[259, [root, inside("chr2"), 0x10000 | chr_, null]]],
        "mknodat char 0:0": [[259, [root, inside("white"), chr_, white]]],
        "renameat2 WHITEOUT": [[316, [root, inside("victim"), root, inside("victim2"), 4]]],
        # changing something outside
        "openat O_CREAT outside": [[257, [cwd, s(out + "/new"), 0o101, 0o600]]],
        "openat O_TRUNC outside": [[257, [cwd, f, 0o1001]]],
        "truncate outside": [[76, [f, 0]]],
        "mkdirat outside": [[258, [cwd, s(out + "/newdir"), 0o700]]],
        "symlinkat outside": [[266, [s("x"), cwd, s(out + "/newlink")]]],
        "mknodat fifo outside": [[259, [cwd, s(out + "/fifo"), 0o10600, 0]]],
        "chmod outside": [[90, [f, 0o600]]],
        "fchmodat outside": [[268, [cwd, f, 0o640]]],
        "fchmodat2 outside": [[452, [cwd, f, 0o660, 0x100]]],
        "chown outside": [[92, [f, 1, 1]]],
        "fchownat outside": [[260, [cwd, f, 2, 2, 0x100]]],
        "utimensat outside": [[280, [cwd, f, 0, 0x100]]],
        "setxattr outside": [[188, [f, s("user.a"), s("b"), 1, 0]]],
        "setxattrat outside": [[463, [cwd, f, 0x100, s("user.b"), {"b": struct.pack("<QII", 0, 0, 0).hex()}, 16]]],
        "link outside": [[86, [f, s(out + "/link1")]]],
        "linkat outside in": [[265, [cwd, f, root, inside("hard"), 0]]],
        "rename outside": [[82, [s(out + "/dir"), s(out + "/dir2")]]],
        "renameat outside": [[264, [cwd, s(out + "/dir3"), cwd, s(out + "/dir4")]]],
        "unlink outside": [[87, [s(out + "/doomed1")]]],
        "unlinkat outside": [[263, [cwd, s(out + "/doomed2"), 0]]],
        # other processes
        "kill the monitor": [[62, [other, 23]]],
        "kill an unrelated process": [[62, [by, 23]]],
        "tgkill an unrelated process": [[234, [by, by, 23]]],
        "ptrace": [[101, [0x4206, by, 0, 0]]],
        "process_vm_readv": [[310, [by, {"iov": 8}, 1, {"b": struct.pack("<QQ", first_page(by), 8).hex()}, 1, 0]]],
        "pidfd_open": [[434, [by, 0]]],
        "fork": [[57, []]],
        "clone": [[56, [17, 0, 0, 0, 0]]],
        "clone3": [[435, [clone3, 64]]],
        # the network
        "socket and connect": [[41, [2, 1, 0]], [42, [{"r": 0}, {"b": addr}, 16]]],
        "socket unix": [[41, [1, 2, 0]]],
        "netlink": [[41, [16, 3, 0]]],
        # privilege and the kernel
        "setuid 0": [[105, [0]]],
        "setresgid 0": [[119, [0, 0, 0]]],
        "setgroups": [[116, [1, {"b": "00000000"}]]],
        "capset": [[126, [{"b": struct.pack("<Ii", 0x20080522, 0).hex()}, {"b": caps}]]],
        "raise RLIMIT_NOFILE": [[302, [0, 7, {"b": struct.pack("<QQ", 4096, 4096).hex()}, 0]]],
        "mount": [[165, [s("none"), s(out + "/mnt"), s("tmpfs"), 0, 0]], [166, [s(out + "/mnt"), 2]]],
        "fsopen": [[430, [s("tmpfs"), 0]]],
        "unshare": [[272, [0x04000000]]],
        "setns": [[257, [cwd, s("/proc/1/ns/uts"), 0]], [308, [{"r": 0}, 0x04000000]]],
        "io_uring_setup": [[425, [4, {"out": 256}]]],
        "bpf": [[321, [0, {"b": struct.pack("<IIII", 2, 4, 4, 1).hex() + "00" * 96}, 72]]],
        "keyctl": [[250, [0, -3, 1]]],
        "perf_event_open": [[298, [{"b": struct.pack("<IIQ", 1, 112, 0).hex() + "00" * 104}, 0, -1, -1, 0]]],
        "userfaultfd": [[323, [0]]],
        "personality": [[135, [0x0040000]]],
        "mmap executable": [[9, [0, 4096, 5, 0x22, -1, 0]]],
        "prctl dumpable": [[157, [4, 1, 0, 0, 0]]],
        # these change what the process may do afterwards, or end it
        "unshare user": [[272, [0x10000000]]],
        "chroot": [[161, [s("/")]]],
        "memfd and exec": [[319, [s("x"), 0]], [1, [{"r": 0}, s("#!/bin/true\n"), 12]], [322, [{"r": 0}, s(""), {"p": ["x"]}, 0, 0x1000]]],
        "execve": [[59, [s("/bin/true"), {"p": ["x"]}, 0]]],
    }
