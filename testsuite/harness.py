"""What the interop and attack tests share: peers, daemons, trees, comparison.

Peers are the stock rsync 3.5.0 and 3.2.7 and kedge; every server listens on a free
loopback port and is stopped, with all its children, when its context ends.
"""
import concurrent.futures
import contextlib
import hashlib
import os
import random
import shutil
import signal
import socket
import stat
import subprocess
import time

KEDGE = os.environ.get("KEDGE", "kedge")
STOCK_350 = shutil.which("rsync") or "/usr/bin/rsync"
STOCK_327 = os.environ.get("STOCK_327")
CLIENTS = {"3.5.0": STOCK_350}
if STOCK_327:
    CLIENTS["3.2.7"] = STOCK_327
IS_ROOT = os.geteuid() == 0
SANITIZED = any(w in os.environ.get("KEDGE_BUILD", "") for w in ("asan", "tsan"))
LIMIT = 240 if SANITIZED else 60
assert os.path.exists(f"/proc/self/task/{os.getpid()}/children"), "the kernel does not list children (CONFIG_PROC_CHILDREN)"


def preloaded(shim, **env):
    """Environment in which a program runs with the library shim in front of its others."""
    if SANITIZED:
        env["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"
    return {"LD_PRELOAD": str(shim), **env}


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def children(pid):
    """All living descendants of a process."""
    found, todo = [], [pid]
    while todo:
        top = f"/proc/{todo.pop()}/task"
        with contextlib.suppress(OSError):
            for task in os.listdir(top):
                with contextlib.suppress(OSError), open(f"{top}/{task}/children") as f:
                    todo += [int(c) for c in f.read().split()]
        found += [c for c in todo if c not in found]
    return [c for c in found if state(c) not in (None, "Z")]


def state(pid):
    """One letter, as in /proc/PID/stat; None when there is no such process."""
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[0]
    except OSError:
        return None


def kill_all(proc):
    """Ends a client with its other processes (a receiving one has two), but not what it started."""
    def program(pid):
        with contextlib.suppress(OSError):
            return os.readlink(f"/proc/{pid}/exe")
        return None

    ours = program(proc.pid)
    for pid in [proc.pid, *children(proc.pid)]:
        if pid == proc.pid or program(pid) == ours:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
    proc.communicate()


def wait_for(what):
    """The first true result of what()."""
    end = time.time() + LIMIT
    while time.time() < end:
        if r := what():
            return r
        time.sleep(0.02)
    raise AssertionError("it did not happen in time")


def at_once(one, count):
    """one(0) … one(count - 1), all at the same time; every failed assertion as (number, text)."""
    def run(i):
        try:
            one(i)
        except AssertionError as e:
            return i, str(e)[:500]
        return None

    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        return [r for r in pool.map(run, range(count)) if r]


def rest(sock):
    """What a connection still brings, to its end however that comes."""
    got = b""
    with contextlib.suppress(ConnectionError):
        while piece := sock.recv(65536):
            got += piece
    return got


def kill_pids(pids):
    for pid in pids:
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)


class Daemon:
    """A daemon on a free port. modules: {name: {parameter: value}}."""

    def __init__(self, work, modules, binary=None, global_lines=(), args=(), env=None, user=None, cwd=None):
        self.work = os.path.join(work, "daemon-" + os.urandom(3).hex())
        os.makedirs(self.work)
        os.chmod(self.work, 0o755)
        if user:
            shutil.chown(self.work, user)
        self.binary = binary or KEDGE
        self.port = free_port()
        self.log = os.path.join(self.work, "log")
        self.conf = os.path.join(self.work, "rsyncd.conf")
        self.write_conf(modules, global_lines)
        full_env = dict(os.environ, **(env or {}))
        for name in ("RSYNC_CHECKSUM_LIST", "RSYNC_COMPRESS_LIST"):
            if not env or name not in env:
                full_env.pop(name, None)
        self.proc = subprocess.Popen(
            [self.binary, "--daemon", "--no-detach", f"--config={self.conf}", f"--port={self.port}",
             "--address=127.0.0.1", f"--log-file={self.log}", *args],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=full_env, user=user, cwd=cwd)
        self.wait_ready()

    def write_conf(self, modules, global_lines=()):
        with open(self.conf, "w") as f:
            for line in global_lines:
                f.write(line + "\n")
            for name, params in modules.items():
                f.write(f"[{name}]\n")
                for k, v in params.items():
                    f.write(f"\t{k} = {v}\n")

    def wait_ready(self):
        end = time.time() + LIMIT
        while time.time() < end:
            if self.proc.poll() is not None:
                raise RuntimeError(f"daemon ended: {self.proc.stdout.read().decode(errors='replace')} {self.read_log()}")
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1) as s:
                s.settimeout(LIMIT)
                if s.recv(8) == b"@RSYNCD:":
                    return
            time.sleep(0.02)
        raise RuntimeError("daemon does not answer: " + self.read_log())

    def url(self, path=""):
        return f"rsync://127.0.0.1:{self.port}/{path}"

    def connect(self, timeout=20):
        return socket.create_connection(("127.0.0.1", self.port), timeout)

    def read_log(self):
        try:
            with open(self.log, errors="replace") as f:
                return f.read()
        except OSError:
            return ""

    def sessions(self):
        return children(self.proc.pid)

    def wait_idle(self, seconds=20):
        """Waits until no session process is left; returns those that are."""
        end = time.time() + seconds
        while self.sessions() and time.time() < end:
            time.sleep(0.02)
        return self.sessions()

    def stop(self):
        """Ends the daemon; whatever a sanitizer printed is an error."""
        left = self.wait_idle(5)
        if self.proc.poll() is None:
            self.proc.send_signal(signal.SIGTERM)
        try:
            out = self.proc.communicate(timeout=LIMIT)[0].decode(errors="replace")
        except subprocess.TimeoutExpired:
            kill_pids([self.proc.pid, *left])    # they hold the pipe
            out = self.proc.communicate()[0].decode(errors="replace") + "\n(killed: did not end on SIGTERM)"
        kill_pids(left)
        trouble = out + self.read_log()
        for word in ("AddressSanitizer", "ThreadSanitizer", "LeakSanitizer", "runtime error:"):
            assert word not in trouble, trouble
        return left

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        left = self.stop()
        if exc[0] is None:
            assert not left, f"processes left behind: {left}\n{self.read_log()}"


def half_close(s):
    """Nothing more is sent. The daemon may have ended the connection before."""
    with contextlib.suppress(OSError):
        s.shutdown(socket.SHUT_WR)


def client(args, version="3.5.0", proto=None, cwd=None, env=None, timeout=None, user=None):
    """Runs a stock client; returns CompletedProcess with bytes output."""
    cmd = [CLIENTS[version]]
    if proto:
        cmd.append(f"--protocol={proto}")
    if any(str(a).startswith("rsync://") for a in args):
        cmd.append("--sockopts=TCP_NODELAY")    # else its small writes wait for late acknowledgements, several times 40 ms
    full = {k: v for k, v in os.environ.items() if not k.startswith("RSYNC_")}
    full.update({"LC_ALL": "C", **(env or {})})
    return subprocess.run(cmd + [str(a) for a in args], cwd=cwd, env=full, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=timeout or LIMIT, user=user)


def rsh(work):
    """A remote shell that runs the command here, through the shell as they do: `-e` for tests of `--server`."""
    path = os.path.join(work, "rsh")
    if not os.path.exists(path):
        with open(path, "w") as f:
            f.write('#!/bin/sh\nshift\neval "exec $*"\n')
        os.chmod(path, 0o755)
    return path


def digest(path):
    h = hashlib.sha256()
    with open(path, "rb", buffering=0) as f:
        while True:
            b = f.read(1 << 20)
            if not b:
                return h.hexdigest()
            h.update(b)


def snapshot(top, ids=True, dir_times=True, times=True, ns=True, xattrs=False, links=False):
    """{relative path: facts} of a tree: type, mode, owner, mtime ns, content, link target, device."""
    out, groups = {}, {}
    top = os.fsencode(top)

    def visit(path, rel):
        st = os.lstat(path)
        facts = {"type": stat.S_IFMT(st.st_mode)}
        if not stat.S_ISLNK(st.st_mode):
            facts["mode"] = stat.S_IMODE(st.st_mode)
        if ids:
            facts["ids"] = (st.st_uid, st.st_gid)
        if times and (dir_times or not stat.S_ISDIR(st.st_mode)):
            facts["mtime"] = st.st_mtime_ns if ns else st.st_mtime_ns // 10**9
        if stat.S_ISREG(st.st_mode):
            facts["size"], facts["sum"] = st.st_size, digest(path)
        elif stat.S_ISLNK(st.st_mode):
            facts["target"] = os.readlink(path)
        elif stat.S_ISCHR(st.st_mode) or stat.S_ISBLK(st.st_mode):
            facts["rdev"] = (os.major(st.st_rdev), os.minor(st.st_rdev))
        if links and st.st_nlink > 1 and not stat.S_ISDIR(st.st_mode):
            facts["group"] = groups.setdefault((st.st_dev, st.st_ino), rel)
        if xattrs and not stat.S_ISLNK(st.st_mode):
            facts["xattrs"] = {n: os.getxattr(path, n, follow_symlinks=False)
                               for n in os.listxattr(path, follow_symlinks=False)}
        out[rel] = facts
        if stat.S_ISDIR(st.st_mode):
            for name in sorted(os.listdir(path)):
                visit(path + b"/" + name, rel + b"/" + name if rel != b"." else name)

    visit(top, b".")
    return out


def difference(a, b):
    """Readable list of what differs between two snapshots; empty if equal."""
    diff = [f"only in first: {k!r}" for k in a.keys() - b.keys()]
    diff += [f"only in second: {k!r}" for k in b.keys() - a.keys()]
    for k in sorted(a.keys() & b.keys()):
        for f in sorted(a[k].keys() | b[k].keys()):
            x, y = a[k].get(f), b[k].get(f)
            if isinstance(x, dict) and isinstance(y, dict):
                diff += [f"{k!r}: {f} {os.fsencode(n).decode(errors='replace')} {x.get(n)!r} != {y.get(n)!r}" for n in sorted(x.keys() | y.keys()) if x.get(n) != y.get(n)]
            elif x != y:
                diff.append(f"{k!r}: {f} {x!r} != {y!r}")
    return sorted(diff)


def same(a, b, **kw):
    d = difference(snapshot(a, **kw), snapshot(b, **kw))
    assert not d, "\n".join(d[:40])


ODD_NAMES = [b"plain", b"with space", b"new\nline", b"-dash", b"--delete", "uml\u00e4ut".encode(), b"bad\xff\xfeutf8",
             b"back\\slash", b"quote'\"", b"star*?[x]", b"tab\there", b"\x01ctl", b".hidden", b"..dots", b"#hash", b";semi",
             b"x" * 255, b"trail.", b"~tilde", b"a-b", b"a.b", b"A"]


def write_file(path, data, mode=0o644, mtime=None):
    with open(path, "wb") as f:
        f.write(data)
    os.chmod(path, mode)
    if mtime is not None:
        os.utime(path, ns=(mtime, mtime))


def make_tree(top, seed=1, files=60, big=True, specials=None):
    """A tree with every kind of entry and odd names; reproducible."""
    rnd = random.Random(seed)
    specials = IS_ROOT if specials is None else specials
    top = os.fsencode(top)
    os.makedirs(top, exist_ok=True)
    dirs = [top]
    for i in range(8):
        d = rnd.choice(dirs) + b"/" + (b"dir%d" % i if i % 3 else rnd.choice(ODD_NAMES) + b".d%d" % i)[:250]
        os.mkdir(d)
        dirs.append(d)
    deep = top
    for i in range(12):
        deep += b"/" + b"deep%02d" % i + b"d" * 60
        os.mkdir(deep)
    dirs.append(deep)
    os.mkdir(top + b"/empty")
    base = 1_600_000_000_000_000_000
    for i in range(files):
        d = rnd.choice(dirs)
        name = ODD_NAMES[i % len(ODD_NAMES)]
        if i >= len(ODD_NAMES):
            name = name[:240] + b".%d" % i
        size = rnd.choice([0, 1, 7, 100, 699, 700, 701, 5000, 32768, 70000])
        write_file(d + b"/" + name, rnd.randbytes(size) if i % 2 else (b"line %d\n" % i) * (size // 8),
                   rnd.choice([0o644, 0o600, 0o755, 0o444, 0o4755 if IS_ROOT else 0o755]),
                   base + rnd.randrange(10**17) + (rnd.randrange(10**9) if i % 3 else 0))
    if big:
        write_file(top + b"/big.bin", rnd.randbytes(3_000_000), 0o640, base + 123456789)
        write_file(top + b"/zeros", bytes(300_000), 0o644, base)
    os.symlink(b"plain", top + b"/link")
    os.symlink(b"../../outside", top + b"/link-out")
    os.symlink(b"/etc/passwd", top + b"/link-abs")
    os.symlink(b"no such target \xff", dirs[1] + b"/dangling")
    if specials:
        os.mkfifo(top + b"/fifo", 0o640)
        s = socket.socket(socket.AF_UNIX)
        here = os.open(top, os.O_RDONLY)
        s.bind(b"/proc/self/fd/%d/sock" % here)
        os.close(here)
        s.close()
    if IS_ROOT:
        for i, d in enumerate(dirs):
            for name in os.listdir(d):
                os.chown(d + b"/" + name, (i * 1000 + len(name)) % 4000, i * 7 % 60, follow_symlinks=False)
    settle(top, base)
    return os.fsdecode(top)


def settle(top, base):
    """Gives everything but regular files a fixed mtime: what differs only in nanoseconds from a copy made in
    the same second would be left alone by the quick check."""
    for d, dn, fn in os.walk(top, topdown=False):
        for name in dn + fn:
            path = d + b"/" + name
            if not stat.S_ISREG(os.lstat(path).st_mode):
                t = base + len(path) * 10**9 + 5
                os.utime(path, ns=(t, t), follow_symlinks=False)
    os.utime(top, ns=(base, base))


def mutate_tree(top, seed=2):
    """Edits, renames, deletions and type changes, as between two runs of a backup."""
    rnd = random.Random(seed)
    files, dirs = [], []
    for d, dn, fn in os.walk(os.fsencode(top)):
        dirs.append(d)
        files += [os.path.join(d, f) for f in sorted(fn)]
    for f in sorted(files):
        st = os.lstat(f)
        if not stat.S_ISREG(st.st_mode):
            continue
        roll = rnd.random()
        if roll < 0.2:
            with open(f, "r+b") as h:
                data = h.read()
                cut = rnd.randrange(len(data) + 1)
                h.seek(0)
                h.write(data[:cut] + b"inserted" + data[cut:])
        elif roll < 0.3:
            os.unlink(f)
        elif roll < 0.4:
            os.rename(f, f[:-1] + b"_" if not f.endswith(b"/") else f)
        elif roll < 0.45:
            os.unlink(f)
            os.symlink(b"was a file", f)
        elif roll < 0.5:
            os.unlink(f)
            os.mkdir(f)
            write_file(f + b"/inner", b"now a directory\n")
        elif roll < 0.6:
            os.chmod(f, 0o600)
    base = 1_700_000_000_000_000_000
    write_file(os.fsencode(top) + b"/brand-new", b"new\n" * 1000, mtime=base)
    settle(os.fsencode(top), base)


def listens(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


@contextlib.contextmanager
def program(port, *cmd, **kw):
    """A server of somebody else, until it listens and to its end."""
    p = subprocess.Popen(cmd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **kw)
    try:
        wait_for(lambda: p.poll() is not None or listens(port))
        assert p.poll() is None, p.stdout.read()
        yield p
    finally:
        below = children(p.pid)
        p.terminate()
        try:
            p.wait(10)
        except subprocess.TimeoutExpired:
            p.kill()
            p.wait()
        for pid in below:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGTERM)
        p.stdout.close()


def obstacle(path, what):
    """Something of another type in the place of a node; no such word, nothing."""
    if what == "link":
        os.symlink("../outside", path)
    elif what in ("dir", "full"):
        os.mkdir(path)
        if what == "full":
            write_file(path + "/inside", b"x")


def give_tree(top, uid):
    for d, dirs, files in os.walk(top):
        for n in [".", *dirs, *files]:
            os.chown(os.path.join(d, n), uid, uid, follow_symlinks=False)
