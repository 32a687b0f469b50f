"""Messages of our own processes, forged: the test takes the channel of a live gate or worker (pidfd_getfd) while its owner
is stopped, and says to the monitor and the broker what a taken-over process might (spec 09 section 14).

The broker's rules and the tests that break each of them:

| K1 transport | test_audit (descriptors, no other socket), test_the_broker_goes_with_the_worker |
| K2 fixed size, unused bytes zero | VIOLATIONS "K2 ...", fuzz_broker |
| K3 no descriptors from the worker | test_descriptors_sent_along_are_dropped, VIOLATIONS "K3 ..." |
| K4 single leaf, relative parent | JUDGED and OPENED "K4 ...", fuzz_broker |
| K5 own resolution | JUDGED and OPENED "K5 ...", test_another_mount, test_flipped_parents |
| K6 parent's owner and mode | JUDGED "K6 ..." |
| K7 policy, operation permitted | JUDGED and OPENED "K7 ...", test_a_sending_transfer_only_reads, unit test_broker (limits) |
| K8 operations | JUDGED and OPENED "K8 ..." |
| K9 the inode that was judged | OPENED "K9 ...", test_flipped_nodes; MOVE and LINK: unit test_broker |
| K10 one-shot, numbered, temporaries removed | VIOLATIONS "K10 ...", test_requests_that_are_judged, test_the_broker_goes_with_the_worker |
| K11 one in flight, deadline | VIOLATIONS "K11 ...", test_flood_without_waiting; deadline: unit test_broker |
| K12 phase | test_outside_of_the_file_list_phase, test_a_sending_transfer_only_reads |
| K13 rate | test_ten_thousand_requests, test_flood_without_waiting |
| K14 audit | test_requests_that_are_judged, test_ten_thousand_requests, test_devices (sinks) |
| K15 confinement, size | test_the_broker_is_small_and_allocates_nothing, test_takeover, test_audit |
| K16 failure | test_the_broker_is_gone, test_nobody_opens_in_its_place |
"""
import collections
import contextlib
import ctypes
import errno
import fcntl
import os
import re
import signal
import socket
import stat
import struct
import subprocess
import sys
import termios

import pytest
from harness import IS_ROOT, KEDGE, LIMIT, SANITIZED, client, snapshot, write_file
from takeover import Session, Target, fds, wait_for

pytestmark = pytest.mark.skipif(not IS_ROOT, reason="taking descriptors of other processes needs root")

MAGIC, SHORT, LONG = 0x6B62726B, 4416, 8768
HELLO, MKNOD, MKTEMP, MOVE, LINK, OPEN = range(6)
CHR, BLK, FIFO = stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO
ERR = {"done": 0, "EPERM": 1, "ENOENT": 2, "EACCES": 13, "EEXIST": 17, "EXDEV": 18, "ENOTDIR": 20, "EINVAL": 22, "ELOOP": 40}


def take_fd(pid, n):
    """A copy of another process's descriptor, as a socket."""
    libc = ctypes.CDLL(None, use_errno=True)
    pidfd = os.pidfd_open(pid)
    got = libc.syscall(438, pidfd, n, 0)
    os.close(pidfd)
    assert got >= 0, os.strerror(ctypes.get_errno())
    s = socket.socket(fileno=got)
    s.settimeout(LIMIT)
    return s


def channels(pid):
    """The SEQPACKET sockets of a process, in the order of their making: the broker's comes before the monitor's."""
    with open("/proc/net/unix") as f:
        packets = {line.split()[6] for line in f.read().splitlines()[1:] if line.split()[4] == "0005"}
    return [n for n, what in sorted(fds(pid).items()) if what.startswith("socket:") and what[8:-1] in packets]


# ---- the broker ----

def request(op, parent=b"", leaf=b"", parent2=None, leaf2=None, mode=0, dev=(0, 0), flags=0, rid=0, **field):
    """One message; field overrides what a well-formed one would have."""
    f = {"magic": MAGIC, "version": 1, "parent_len": len(parent), "leaf_len": len(leaf), "parent2_len": len(parent2 or b""),
         "leaf2_len": len(leaf2 or b""), "reserved": b"", **field}
    head = struct.pack("<IHHQIIIIHHHH24s", f["magic"], f["version"], op, rid, mode, *dev, flags, f["parent_len"], f["leaf_len"],
                       f["parent2_len"], f["leaf2_len"], f["reserved"])
    msg = head + parent[:4096].ljust(4096, b"\0") + leaf[:256].ljust(256, b"\0")
    if op in (MOVE, LINK):
        msg += (parent2 or b"")[:4096].ljust(4096, b"\0") + (leaf2 or b"")[:256].ljust(256, b"\0")
    return msg


class Broker:
    """The worker's end of a live broker's channel, with the next request number."""

    def __init__(self, session):
        self.daemon = session.daemon
        self.worker, self.pid = session.role("worker"), session.role("broker")
        os.kill(self.worker, signal.SIGSTOP)
        self.sock = take_fd(self.worker, channels(self.worker)[0])
        # A stopped worker may have a request in flight; what it asked so far is in the audit trail.
        wait_for("the broker's answers", lambda: self.records("granted") == self.records("done"))
        self.id = self.records("done|failed|refused")

    def records(self, verdict):
        return len(re.findall(rf" device session=.* verdict=({verdict}) ", self.daemon.read_log()))

    def send(self, msg):
        self.sock.send(msg)

    def ask(self, op, *args, **kw):
        """(errno, reply)"""
        self.id += 1
        self.send(request(op, *args, rid=self.id, **kw))
        reply = self.sock.recv(1024)
        assert len(reply) == (320 if op == MKTEMP else 64), len(reply)
        magic, version, rop, rid, err = struct.unpack_from("<IHHQi", reply)
        assert (magic, version, rop, rid) == (MAGIC, 1, op, self.id)
        return err, reply

    def open(self, *args, **kw):
        """(errno, the descriptor that came with the answer or None)"""
        self.id += 1
        self.send(request(OPEN, *args, rid=self.id, **kw))
        reply, got, _, _ = socket.recv_fds(self.sock, 1024, 4)
        assert len(reply) == 64 and len(got) <= 1
        err = struct.unpack_from("<i", reply, 16)[0]
        assert bool(got) == (err == 0), (err, got)
        return err, got[0] if got else None

    def gone(self):
        """True once the broker has ended: its end of the channel is closed."""
        with contextlib.suppress(ConnectionError):
            return self.sock.recv(1024) == b""
        return True

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.sock.close()
        with contextlib.suppress(OSError):
            os.kill(self.worker, signal.SIGKILL)


@pytest.fixture
def target(work):
    with Target(work, devices="c 1:3, c 5:0-2") as t:
        os.mkdir(t.mod + "/dir")
        for name, uid, mode in (("foreign", 65534, 0o755), ("group", 0, 0o775), ("sticky", 0, 0o1777)):
            os.mkdir(f"{t.mod}/{name}")
            os.chown(f"{t.mod}/{name}", uid, 0)
            os.chmod(f"{t.mod}/{name}", mode)
        os.symlink("../out", t.mod + "/esc")
        os.symlink(t.out, t.mod + "/esc-abs")
        os.symlink("dir", t.mod + "/in")
        os.mknod(t.mod + "/mem", CHR | 0o600, os.makedev(1, 1))
        os.mknod(t.mod + "/covered", CHR | 0o600, os.makedev(5, 1))
        yield t


NULL = {"mode": CHR, "dev": (1, 3)}
# id: (verdict, operation, arguments, fields)
JUDGED = {
    "K4 parent ..": ("EINVAL", MKNOD, (b"..", b"x"), NULL),
    "K4 .. inside the parent": ("EINVAL", MKNOD, (b"dir/../..", b"x"), NULL),
    "K4 absolute parent": ("EINVAL", MKNOD, (b"/etc", b"x"), NULL),
    "K4 empty component": ("EINVAL", MKNOD, (b"dir//", b"x"), NULL),
    "K4 dot component": ("EINVAL", MKNOD, (b"./dir", b"x"), NULL),
    "K4 slash in the leaf": ("EINVAL", MKNOD, (b"", b"a/b"), NULL),
    "K4 leaf ..": ("EINVAL", MKNOD, (b"", b".."), NULL),
    "K4 leaf .": ("EINVAL", MKNOD, (b"", b"."), NULL),
    "K4 no leaf": ("EINVAL", MKNOD, (b"dir", b""), NULL),
    "K4 NUL in the leaf": ("EINVAL", MKNOD, (b"", b"a\0b"), NULL),
    "K4 leaf of 256 bytes": ("EINVAL", MKNOD, (b"", b"x" * 256), NULL),
    "K4 second parent ..": ("EINVAL", MOVE, (b"", b"covered", b"..", b"y"), {}),
    "K5 symlinked parent, outside": ("ELOOP", MKNOD, (b"esc", b"x"), NULL),
    "K5 symlinked parent, absolute": ("ELOOP", MKNOD, (b"esc-abs", b"x"), NULL),
    "K5 symlinked parent, inside": ("ELOOP", MKNOD, (b"in", b"x"), NULL),
    "K5 symlinked second parent": ("ELOOP", MOVE, (b"", b"covered", b"esc", b"y"), {}),
    "K5 no such parent": ("ENOENT", MKNOD, (b"nowhere", b"x"), NULL),
    "K5 parent is a file": ("ENOTDIR", MKNOD, (b"victim", b"x"), NULL),
    "K6 parent of another user": ("EACCES", MKNOD, (b"foreign", b"x"), NULL),
    "K6 parent that a group can write": ("EACCES", MKNOD, (b"group", b"x"), NULL),
    "K6 sticky parent": ("done", MKNOD, (b"sticky", b"x"), NULL),
    "K7 not listed, character": ("EPERM", MKNOD, (b"", b"x"), {"mode": CHR, "dev": (1, 4)}),
    "K7 not listed, block": ("EPERM", MKNOD, (b"", b"x"), {"mode": BLK, "dev": (1, 3)}),
    "K7 whiteout": ("EPERM", MKNOD, (b"", b"x"), {"mode": CHR, "dev": (0, 0)}),
    "K7 minor beside the range": ("EPERM", MKNOD, (b"", b"x"), {"mode": CHR, "dev": (5, 3)}),
    "K7 number out of range": ("EINVAL", MKNOD, (b"", b"x"), {"mode": CHR, "dev": (4096, 0)}),
    "K7 fifo": ("EINVAL", MKNOD, (b"", b"x"), {"mode": FIFO}),
    "K7 permission bits": ("EINVAL", MKNOD, (b"", b"x"), {"mode": CHR | 0o666, "dev": (1, 3)}),
    "K7 setuid bit": ("EINVAL", MKTEMP, (b"", b"x"), {"mode": CHR | 0o4000, "dev": (1, 3)}),
    "K7 open without device open": ("EPERM", OPEN, (b"", b"covered"), {"flags": 1}),
    "K8 never replaces": ("EEXIST", MKNOD, (b"", b"victim"), NULL),
    "K8 never follows": ("EEXIST", MKNOD, (b"", b"esc"), NULL),
    "K8 moves no file": ("EPERM", MOVE, (b"", b"victim", b"dir", b"y"), {}),
    "K8 moves no node that is not listed": ("EPERM", MOVE, (b"", b"mem", b"dir", b"y"), {}),
    "K8 links no node that is not listed": ("EPERM", LINK, (b"", b"mem", b"dir", b"y"), {}),
    "K8 links no file": ("EPERM", LINK, (b"", b"victim", b"dir", b"y"), {}),
    "K8 move onto something, unasked": ("EEXIST", MOVE, (b"", b"covered", b"", b"victim"), {}),
    "K8 move onto a directory": ("EACCES", MOVE, (b"", b"covered", b"", b"dir"), {"flags": 1}),
    "K8 link to an existing name": ("EEXIST", LINK, (b"", b"covered", b"", b"victim"), {}),
    "K8 make": ("done", MKNOD, (b"dir", b"null"), NULL),
    "K8 make under a name of its own": ("done", MKTEMP, (b"dir", b"temp"), NULL),
    "K8 link": ("done", LINK, (b"dir", b"null", b"", b"null2"), {}),
    "K8 move": ("done", MOVE, (b"dir", b"null", b"", b"null3"), {}),
}


def test_requests_that_are_judged(work, target):
    """Well-formed requests, one after the other: the verdict, what is then in the module, and one record each."""
    before = snapshot(target.out)
    made = []
    with Session(target, "push") as s, Broker(s) as b:
        start = b.id
        for name, (want, op, args, kw) in JUDGED.items():
            err, reply = b.ask(op, *args, **kw)
            assert err == ERR[want], f"{name}: errno {err}, not {want}"
            if op == MKTEMP and not err:
                made.append(reply[64:].rstrip(b"\0").decode())
        assert b.id - start == len(JUDGED)
        log = target.daemon.read_log()
        lines = [x for x in log.splitlines() if " device session=" in x and "verdict=granted" not in x][start:]
        # K14: one record per request, and before each that was granted its intent.
        assert len(lines) == len(JUDGED)
        for (name, (want, op, args, kw)), line in zip(JUDGED.items(), lines):
            verdict = re.search(r'client=127\.0\.0\.1 user= module=m op=(\w+) path="([^"]*)".* type=(.) dev=(\d+):(\d+) verdict=(\w+) '
                                r'rule="([^"]*)" errno=(\d+)', line)
            assert verdict, line
            assert verdict[1] == ["", "MKNOD", "MKTEMP", "MOVE", "LINK", "OPEN"][op], line
            assert (verdict[6] == "done") == (want == "done") and int(verdict[8]) == ERR[want], (name, line)
            if want == "done":
                assert verdict[7] in ("c 1:3-3", "c 5:0-2"), line
        assert log.count("verdict=granted") >= sum(w == "done" for w, *_ in JUDGED.values())
        assert sorted(os.listdir(target.mod + "/dir")) == made
    assert snapshot(target.out) == before
    for path in ("sticky/x", "null2", "null3"):
        st = os.lstat(f"{target.mod}/{path}")
        assert stat.S_ISCHR(st.st_mode) and stat.S_IMODE(st.st_mode) == 0 and st.st_rdev == os.makedev(1, 3)
    # K10: temporaries do not survive the broker.
    wait_for("the removal of the temporary", lambda: os.listdir(target.mod + "/dir") == [])


OPENS = {"device open": "yes", "refuse options": "!copy-devices !write-devices"}
WRITE = {"flags": 1}
# id: (verdict, arguments, fields)
OPENED = {
    "K4 parent ..": ("EINVAL", (b"..", b"covered"), {}),
    "K4 leaf ..": ("EINVAL", (b"", b".."), {}),
    "K4 slash in the leaf": ("EINVAL", (b"", b"dir/covered"), {}),
    "K5 symlinked parent, outside": ("ELOOP", (b"esc", b"node"), {}),
    "K5 symlinked parent, inside": ("ELOOP", (b"in", b"covered"), {}),
    "K5 the leaf is a link to a node": ("EPERM", (b"", b"to-covered"), {}),
    "K5 the leaf is a link to a node outside": ("EPERM", (b"", b"to-outside"), WRITE),
    "K5 no such node": ("ENOENT", (b"", b"nothing"), {}),
    "K7 a node that is not listed": ("EPERM", (b"", b"mem"), {}),
    "K7 for writing": ("EPERM", (b"", b"mem"), WRITE),
    "K7 a whiteout": ("EPERM", (b"", b"white"), {}),
    "K7 a block node with the same number": ("EPERM", (b"", b"block"), {}),
    "K8 a file": ("EPERM", (b"", b"victim"), {}),
    "K8 a file, for writing": ("EPERM", (b"", b"victim"), WRITE),
    "K8 a directory": ("EPERM", (b"", b"dir"), {}),
    "K8 a fifo": ("EPERM", (b"", b"fifo"), {}),
    "K8 a socket": ("EPERM", (b"", b"sock"), {}),
    "K9 reads": ("done", (b"", b"covered"), {}),
    "K9 writes": ("done", (b"dir", b"covered"), WRITE),
}


def nodes_to_open(t):
    os.makedirs(t.mod + "/dir", exist_ok=True)
    for name, what, dev in (("covered", CHR, (1, 3)), ("dir/covered", CHR, (1, 3)), ("mem", CHR, (1, 1)), ("white", CHR, (0, 0)),
                            ("block", BLK, (1, 3)), ("fifo", FIFO, (0, 0)), ("sock", stat.S_IFSOCK, (0, 0)), ("../out/node", CHR, (1, 3))):
        os.mknod(f"{t.mod}/{name}", what | 0o600, os.makedev(*dev))
    os.symlink("../out", t.mod + "/esc")
    os.symlink("dir", t.mod + "/in")
    os.symlink("covered", t.mod + "/to-covered")
    os.symlink("../out/node", t.mod + "/to-outside")


def is_null(fd, flags):
    st, fl = os.fstat(fd), fcntl.fcntl(fd, fcntl.F_GETFL)
    assert stat.S_ISCHR(st.st_mode) and st.st_rdev == os.makedev(1, 3)
    assert fl & os.O_ACCMODE == (os.O_WRONLY if flags else os.O_RDONLY)
    # The right to control it was not the broker's to give (ABI 5): the kernel remembers that with the open file.
    with pytest.raises(OSError) as e:
        fcntl.ioctl(fd, termios.TCGETS, bytes(64))
    assert e.value.errno in (errno.EACCES, errno.ENOTTY), e.value
    os.close(fd)
    return e.value.errno


def test_opening_is_judged(work):
    """K4 to K9, K14: what a receiving worker may ask to be opened for it."""
    with Target(work, devices="c 1:3, c 5:0-2", extra=OPENS) as t:
        nodes_to_open(t)
        before = snapshot(t.out)
        with Session(t, "push", ["-M--write-devices"]) as s, Broker(s) as b:
            start, held = b.id, fds(b.pid)
            for name, (want, args, kw) in OPENED.items():
                err, fd = b.open(*args, **kw)
                assert err == ERR[want], f"{name}: errno {err}, not {want}"
                if fd is not None:
                    assert is_null(fd, kw.get("flags", 0)) == (errno.EACCES if landlock_abi() >= 5 else errno.ENOTTY)
            wait_for("the broker to close what it handed over", lambda: fds(b.pid) == held)
            lines = [x for x in t.daemon.read_log().splitlines() if " device session=" in x and "verdict=granted" not in x][start:]
            assert len(lines) == len(OPENED)
            for (name, (want, _, _)), line in zip(OPENED.items(), lines):
                assert " op=OPEN " in line and (" verdict=done " in line) == (want == "done"), (name, line)
        assert snapshot(t.out) == before
        assert os.path.getsize(t.mod + "/victim") == 5


def landlock_abi():
    return ctypes.CDLL(None).syscall(444, None, 0, 1)


@pytest.mark.parametrize("read_only", [True, False])
def test_a_sending_transfer_only_reads(work, read_only):
    """K7, K12: the transfer asked for --copy-devices, so the broker opens for reading and does nothing else."""
    with Target(work, devices="c 1:3", read_only=read_only, extra=OPENS) as t:
        nodes_to_open(t)
        if not read_only:
            write_file(t.mod + "/big", os.urandom(4 << 20))
        with Session(t, "pull", ["-M--copy-devices"]) as s, Broker(s) as b:
            assert b.ask(MKNOD, b"", b"x", **NULL)[0] == ERR["EPERM"]
            assert b.ask(MKTEMP, b"", b"x", **NULL)[0] == ERR["EPERM"]
            assert b.ask(MOVE, b"", b"covered", b"", b"y")[0] == ERR["EPERM"]
            assert b.ask(LINK, b"", b"covered", b"", b"y")[0] == ERR["EPERM"]
            assert b.open(b"", b"covered", flags=1)[0] == ERR["EPERM"]
            err, fd = b.open(b"", b"covered")
            assert err == 0
            is_null(fd, 0)
        assert not any(os.path.lexists(f"{t.mod}/{n}") for n in "xy")


@pytest.mark.parametrize("options", [(), ["-M--write-devices", "--no-D"]], ids=["makes only", "opens only"])
def test_only_what_the_transfer_asked_for(work, options):
    """K12, D3: a module that makes and opens nodes, and transfers that want one of the two."""
    with Target(work, devices="c 1:3", extra=OPENS) as t:
        nodes_to_open(t)
        with Session(t, "push", options) as s, Broker(s) as b:
            made = b.ask(MKNOD, b"", b"x", **NULL)[0]
            err, fd = b.open(b"", b"covered", flags=1)
            assert (made, err) == ((ERR["EPERM"], 0) if options else (0, ERR["EPERM"]))
            if fd is not None:
                os.close(fd)


def test_nobody_opens_in_its_place(work):
    """K16: the broker is gone; --write-devices is an error of that file, and the device is not opened, replaced or written."""
    with Target(work, devices="c 1:3", extra=OPENS) as t:
        os.unlink(t.src + "/null")
        os.mknod(t.mod + "/zz", CHR | 0o666, os.makedev(1, 3))
        write_file(t.src + "/zz", b"for the device\n")
        with Session(t, "push", ["-M--write-devices"]) as s:
            os.kill(s.role("broker"), signal.SIGKILL)
            s.proc.send_signal(signal.SIGCONT)
            assert s.proc.wait(LIMIT) == 23
        assert os.path.getsize(t.mod + "/big") == os.path.getsize(t.src + "/big")
        assert stat.S_ISCHR(os.lstat(t.mod + "/zz").st_mode)


def has_mounts():
    return subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode == 0


@contextlib.contextmanager
def mounted(target, where):
    """A file system of its own at a place in the module, seen by everybody."""
    os.makedirs(where, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,mode=755", "kedge-test", where], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", where], check=True)


@pytest.mark.skipif(not has_mounts(), reason="mounting is not permitted here")
def test_another_mount(work, target):
    """K5: a file system that is mounted inside of the module is not the broker's, to make, to move or to link."""
    with mounted(target, target.mod + "/disk"):
        os.mknod(target.mod + "/disk/covered", CHR | 0o600, os.makedev(1, 3))
        with Session(target, "push") as s, Broker(s) as b:
            assert b.ask(MKNOD, b"disk", b"x", **NULL)[0] == ERR["EXDEV"]
            assert b.ask(MKTEMP, b"disk", b"x", **NULL)[0] == ERR["EXDEV"]
            assert b.ask(MOVE, b"disk", b"covered", b"", b"y")[0] == ERR["EXDEV"]
            assert b.ask(MOVE, b"", b"covered", b"disk", b"y")[0] == ERR["EXDEV"]
            assert b.ask(LINK, b"", b"covered", b"disk", b"y")[0] == ERR["EXDEV"]
            assert b.ask(MKNOD, b"dir", b"x", **NULL)[0] == 0
        assert os.listdir(target.mod + "/disk") == ["covered"]


class Flipper:
    """A process that exchanges two names without a pause."""

    def __init__(self, a, b):
        code = "import ctypes,sys\nc=ctypes.CDLL(None).renameat2\na,b=(x.encode() for x in sys.argv[1:])\nwhile 1: c(-100,a,-100,b,2)\n"
        was = os.lstat(a).st_ino
        self.proc = subprocess.Popen([sys.executable, "-c", code, a, b])
        wait_for("the first flip", lambda: os.lstat(a).st_ino != was)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.proc.kill()
        self.proc.wait()


FLIPS = 1500


def test_flipped_parents(work):
    """K5, K9: the parent is exchanged with a link to a directory outside, whose node must never be opened nor given a neighbour."""
    with Target(work, devices="c 1:3", extra=OPENS) as t:
        os.mkdir(t.mod + "/dir")
        os.mknod(t.mod + "/dir/node", CHR | 0o600, os.makedev(1, 3))
        os.mknod(t.out + "/node", CHR | 0o600, os.makedev(1, 3))
        outside = os.stat(t.out + "/node").st_ino
        os.symlink("../out", t.mod + "/alt")
        before, seen = sorted(os.listdir(t.out)), collections.Counter()
        with Session(t, "push", ["-M--write-devices"]) as s, Broker(s) as b, Flipper(t.mod + "/dir", t.mod + "/alt"):
            for i in range(FLIPS):
                err, fd = b.open(b"dir", b"node")
                seen[err] += 1
                if fd is not None:
                    assert os.fstat(fd).st_ino != outside
                    os.close(fd)
                seen[b.ask(MKNOD, b"dir", b"n%d" % i, **NULL)[0]] += 1
        assert sorted(os.listdir(t.out)) == before
        assert set(seen) <= {0, ERR["ELOOP"], ERR["ENOENT"], 11}, seen
        assert seen[0] > FLIPS / 100 and seen[ERR["ELOOP"]] > FLIPS / 100, f"the race was not live: {seen}"


def test_flipped_nodes(work):
    """K9: a listed node is exchanged with one that is not: what comes back is never the other."""
    with Target(work, devices="c 1:3", extra=OPENS) as t:
        os.mknod(t.mod + "/a", CHR | 0o600, os.makedev(1, 3))
        os.mknod(t.mod + "/b", CHR | 0o600, os.makedev(1, 5))
        seen = collections.Counter()
        with Session(t, "push", ["-M--write-devices"]) as s, Broker(s) as b, Flipper(t.mod + "/a", t.mod + "/b"):
            for _ in range(FLIPS):
                err, fd = b.open(b"", b"a")
                seen[err] += 1
                if fd is not None:
                    assert os.fstat(fd).st_rdev == os.makedev(1, 3)
                    os.close(fd)
        assert set(seen) <= {0, ERR["EPERM"], errno.ESTALE}, seen
        assert seen[0] > FLIPS / 100 and seen[ERR["EPERM"]] > FLIPS / 100, f"the race was not live: {seen}"


ok = dict(parent=b"", leaf=b"x", **NULL)
# id: (messages, the reason in the record); {id} is the next request number
VIOLATIONS = {
    "K2 too short": (lambda i: [b"x" * 10], "wrong length"),
    "K2 one byte too long": (lambda i: [request(MKNOD, rid=i, **ok) + b"\0"], "wrong length"),
    "K2 longer than any": (lambda i: [bytes(LONG + 100)], "wrong length"),
    "K2 length of another operation": (lambda i: [request(MKNOD, rid=i, **ok).ljust(LONG, b"\0")], "wrong length for the operation"),
    "K2 move in the short form": (lambda i: [request(MOVE, b"", b"covered", b"", b"y", rid=i)[:SHORT]], "wrong length for the operation"),
    "K2 unused bytes behind the leaf": (lambda i: [request(MKNOD, b"", b"x\0\0y", rid=i, leaf_len=1, **NULL)], "unused bytes are not zero"),
    "K2 reserved bytes": (lambda i: [request(MKNOD, rid=i, reserved=b"\1", **ok)], "unused bytes are not zero"),
    "K2 length beyond the field": (lambda i: [request(MKNOD, rid=i, parent_len=5000, **ok)], "length field out of range"),
    "K2 unknown flag": (lambda i: [request(MKNOD, rid=i, flags=8, **ok)], ""),
    "K3 magic": (lambda i: [request(MKNOD, rid=i, magic=1, **ok)], "not a request"),
    "K3 version": (lambda i: [request(MKNOD, rid=i, version=2, **ok)], "not a request"),
    "K8 unknown operation": (lambda i: [request(77, rid=i, **ok)], "not a request"),
    "K8 the broker's own greeting": (lambda i: [request(HELLO, rid=i, **ok)], "not a request"),
    "K10 number repeated": (lambda i: [request(MKNOD, rid=i - 1, **ok)], "request id out of order"),
    "K10 number skipped": (lambda i: [request(MKNOD, rid=i + 1, **ok)], "request id out of order"),
    "K11 two at once": (lambda i: [request(MKNOD, rid=i, **ok), request(MKNOD, rid=i + 1, **ok)], "a second request before the reply"),
}


def test_violations_end_the_broker(work, target):
    for name, (messages, reason) in VIOLATIONS.items():
        with Session(target, "push") as s, Broker(s) as b:
            if "K11" in name:
                os.kill(b.pid, signal.SIGSTOP)
            for m in messages(b.id + 1):
                b.send(m)
            if "K11" in name:
                os.kill(b.pid, signal.SIGCONT)
            assert b.gone(), name
            wait_for("the record", lambda: b.records("violation") == 1)
            last = [x for x in target.daemon.read_log().splitlines() if "verdict=violation" in x][-1]
            assert reason in last, (name, last)
            # K16: with its broker gone the session can have no node from anybody.
            with pytest.raises(OSError):
                b.send(request(MKNOD, rid=b.id + 1, **ok))
        wait_for("the end of the session", lambda: not target.daemon.sessions())
        with open(target.daemon.log, "w"):
            pass
        for left in ("x", "y"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{target.mod}/{left}")
                assert "K11" in name, f"{name} made a node"


def test_descriptors_sent_along_are_dropped(work, target):
    """K3."""
    with Session(target, "push") as s, Broker(s) as b:
        before = fds(b.pid)
        b.id += 1
        with open("/etc/passwd") as f:
            socket.send_fds(b.sock, [request(MKNOD, rid=b.id, **ok)], [f.fileno()])
        assert len(b.sock.recv(1024)) == 64
        assert fds(b.pid) == before


def test_outside_of_the_file_list_phase(work, target):
    """K12: the module is entered and the broker stands, but no request has said that the client wants devices."""
    before = set(target.daemon.sessions())
    with target.daemon.connect(LIMIT) as c:
        c.sendall(b"@RSYNCD: 31.0 md5\nm\n")
        got = b""
        while b"@RSYNCD: OK\n" not in got:
            got += c.recv(4096)
        names = {}
        for p in target.daemon.sessions():
            with open(f"/proc/{p}/comm") as f:
                names[f.read().strip()] = p
        s = take_fd(names["kedge-worker"], channels(names["kedge-worker"])[0])
        os.kill(names["kedge-worker"], signal.SIGSTOP)
        s.send(request(MKNOD, rid=1, **ok))
        with contextlib.suppress(ConnectionError):
            assert s.recv(100) == b""
        s.close()
        os.kill(names["kedge-worker"], signal.SIGCONT)
    wait_for("the record", lambda: "outside of the file-list phase" in target.daemon.read_log())
    assert not os.path.lexists(target.mod + "/x")
    wait_for("the end of the session", lambda: set(target.daemon.sessions()) <= before)


@pytest.mark.parametrize("args", [["-rlt"], ["-a", "--no-D"], ["-a", "--no-devices"], ["-a", "-M--drop-D"]], ids=" ".join)
def test_no_broker_for_a_client_that_asks_for_no_devices(work, target, args):
    """D3: the broker is stopped before the first entry of the list is read."""
    proc = subprocess.Popen(["rsync", *args, "--bwlimit=500", target.src + "/", target.daemon.url("m/")], stdin=subprocess.DEVNULL,
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for("a temporary file", lambda: any(n.startswith(".big.") for n in os.listdir(target.mod)))
        names = set()
        for p in target.daemon.sessions():
            with open(f"/proc/{p}/comm") as f:
                names.add(f.read().strip())
        assert "kedge-worker" in names and "kedge-broker" not in names
    finally:
        proc.kill()
        proc.wait()
    assert not os.path.lexists(target.mod + "/null")


def test_ten_thousand_requests(work, target):
    """K13, K14: none of them is on the list; each is refused and recorded, until the rate itself is an attack."""
    with Session(target, "push") as s, Broker(s) as b:
        refused = 0
        for i in range(10000):
            try:
                err, _ = b.ask(MKNOD, b"", b"n%d" % i, mode=BLK, dev=(8, i))
            except (OSError, AssertionError):
                break
            assert err == ERR["EPERM"]
            refused += 1
        if refused < 10000:
            assert "ten times the permitted rate" in target.daemon.read_log()
        assert b.records("refused") == refused > 1000
    assert not [n for n in os.listdir(target.mod) if n[0] == "n" and n[1:].isdigit()]


def test_flood_without_waiting(work, target):
    """K11, K13: ten thousand listed nodes asked for at once; the broker goes at the first that does not wait."""
    with Session(target, "push") as s, Broker(s) as b:
        sent = 0
        with contextlib.suppress(OSError):
            for i in range(10000):
                b.sock.settimeout(0.2 if i else LIMIT)
                b.send(request(MKNOD, b"", b"n%d" % i, rid=b.id + 1 + i, **NULL))
                sent += 1
        wait_for("the broker's end", lambda: "verdict=violation" in target.daemon.read_log())
        assert sent < 10000
    # It looks after each request whether another one waits; the first few may have come one by one.
    assert len([n for n in os.listdir(target.mod) if n.startswith("n") and n != "null"]) < 100


def test_the_broker_is_gone(work, target):
    """K16: errors for the nodes, exit code 23, everything else arrives, and nobody makes nodes in its place."""
    os.mknod(target.src + "/zz", CHR | 0o600, os.makedev(5, 1))
    target_file = target.mod + "/big"
    proc = subprocess.Popen(["rsync", "-a", "--bwlimit=2000", target.src + "/", target.daemon.url("m/")], stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    roles = {}

    def started():
        for p in target.daemon.sessions():
            with contextlib.suppress(OSError), open(f"/proc/{p}/comm") as f:
                roles[f.read().strip()] = p
        return "kedge-broker" in roles and "kedge-worker" in roles  # the worker is started when the broker stands

    wait_for("a broker", started)
    os.kill(roles["kedge-broker"], signal.SIGKILL)
    out = proc.communicate(timeout=LIMIT)[0].decode()
    made = {n for n in ("null", "zz") if os.path.lexists(f"{target.mod}/{n}")}
    assert os.path.getsize(target_file) == os.path.getsize(target.src + "/big")
    if len(made) < 2:  # the broker may have been quicker than the signal
        assert proc.returncode == 23 and "mknod" in out, (proc.returncode, out)


def test_the_broker_goes_with_the_worker(work, target):
    """K1, K10."""
    with Session(target, "push") as s, Broker(s) as b:
        err, reply = b.ask(MKTEMP, b"", b"left", **NULL)
        assert err == 0
        temp = reply[64:].rstrip(b"\0").decode()
        assert os.path.lexists(f"{target.mod}/{temp}")
        os.kill(b.worker, signal.SIGKILL)
        b.sock.close()
        wait_for("the broker's end", lambda: not os.path.exists(f"/proc/{b.pid}"))
        assert not os.path.lexists(f"{target.mod}/{temp}")


@pytest.mark.skipif(SANITIZED, reason="a sanitizer's runtime allocates")
def test_the_broker_is_small_and_allocates_nothing():
    """K15."""
    here = os.path.join(os.path.dirname(__file__), "../../sandbox")
    with open(here + "/broker_serve.c") as f:
        assert len(f.readlines()) <= 600
    build = os.path.join(os.path.dirname(KEDGE), "sandbox")
    wants = subprocess.run(["nm", "--undefined-only", build + "/broker_serve.o", build + "/broker_audit.o"], capture_output=True,
                           text=True, check=True).stdout
    for name in ("malloc", "calloc", "realloc", "free", "printf", "setlocale", "getpw", "getaddrinfo", "syslog", "dlopen"):
        assert not re.search(rf"\bU .*{name}", wants), name


# ---- the monitor ----

CHAN_MAGIC = 0x6B656467
GATE_PROXY, GATE_LIST, GATE_SELECT, GATE_ANSWER = 1, 2, 3, 4
WORKER_REQUEST, WORKER_LOG, WORKER_NAME, WORKER_ID = 32, 33, 0x100, 0x101
SIZES = {GATE_PROXY: 40, GATE_LIST: 16, GATE_SELECT: 6172, GATE_ANSWER: 1140, WORKER_REQUEST: 2068, WORKER_NAME: 24, WORKER_ID: 276,
         WORKER_LOG: 2064}


def message(kind, seq, body=b"", size=None, **head):
    size = size or SIZES[kind]
    h = {"magic": CHAN_MAGIC, "pad": 0, "size": size, "seq": seq, **head}
    return (struct.pack("<IHHII", h["magic"], kind, h["pad"], h["size"], h["seq"]) + body).ljust(size, b"\0")


# id: (messages, what the log says)
TO_THE_MONITOR = {
    "wrong size": ([message(WORKER_NAME, 2, size=25)], "size"),
    "shorter than a head": ([b"abc"], "short"),
    "size that lies": ([message(WORKER_NAME, 2, size=24, **{})[:8] + b"\xff\xff\0\0" + bytes(12)], "size"),
    "magic": ([message(WORKER_NAME, 2, magic=7)], "not a message of ours"),
    "padding": ([message(WORKER_NAME, 2, pad=1)], ""),
    "number repeated": ([message(WORKER_NAME, 1)], "sequence"),
    "number skipped": ([message(WORKER_NAME, 3)], "sequence"),
    "unknown type": ([message(99, 2, size=24)], ""),
    "a gate's message": ([message(GATE_SELECT, 2)], ""),
    "an answer": ([message(49, 2, size=276)], ""),
    "the request a second time": ([message(WORKER_REQUEST, 2)], "request"),
}


@pytest.mark.parametrize("name", TO_THE_MONITOR)
def test_worker_breaks_the_table(work, target, name):
    messages, said = TO_THE_MONITOR[name]
    with Session(target, "push") as s:
        worker = s.role("worker")
        os.kill(worker, signal.SIGSTOP)
        with take_fd(worker, channels(worker)[-1]) as chan:
            for m in messages:
                chan.send(m)
            wait_for("the worker's end", lambda: not os.path.exists(f"/proc/{worker}"))
        wait_for("the session's end", lambda: not target.daemon.sessions())
    log = target.daemon.read_log()
    lines = [x for x in log.splitlines() if "] worker: " in x]
    assert len(lines) == 1 and said in lines[0], log


def ask_as_worker(target, first):
    """Asks the monitor in a worker's place, with messages numbered from first. False: they were not taken."""
    with Session(target, "push") as s:
        worker = s.role("worker")
        os.kill(worker, signal.SIGSTOP)
        try:
            with take_fd(worker, channels(worker)[-1]) as chan:
                chan.send(message(WORKER_NAME, first, struct.pack("<II", 0, 0)))
                got = chan.recv(1024)
                if not got:
                    return False
                assert b"root\0" in got
                chan.send(message(WORKER_ID, first + 1, struct.pack("<I", 0) + b"root\n"))
                assert struct.unpack_from("<i", chan.recv(1024), 16)[0] == 0
                chan.send(message(WORKER_ID, first + 2, struct.pack("<I", 0) + b"x" * 256))  # not terminated
                assert struct.unpack_from("<i", chan.recv(1024), 16)[0] == 0
                line = b"harmless\n2026/01/01 00:00:00 [1] forged \x1b[31m" + b"y" * 2100
                chan.send(message(WORKER_LOG, first + 3, struct.pack("<I", 0) + line, size=2068)[:2068])
                chan.send(message(WORKER_NAME, first + 4, struct.pack("<II", 1, 0)))
                assert b"root\0" in chan.recv(1024)
        finally:
            with contextlib.suppress(OSError):
                os.kill(worker, signal.SIGKILL)
    return True


def test_worker_keeps_to_the_table(work, target):
    """Name and id look-ups and log lines are what a worker may ask; names and lines are cleaned before use."""
    assert ask_as_worker(target, 2)
    log = target.daemon.read_log()
    assert "harmless" in log and "\x1b" not in log
    assert not re.search(r"^2026/01/01 00:00:00 \[1\] forged", log, re.M)


HAND_OFF = 2
# id: (messages, what the log says; None: they are in order)
FROM_THE_GATE = {
    "an answer before the question": ([message(GATE_ANSWER, 1)], "not legal in this state"),
    "a proxy header that nobody expects": ([message(GATE_PROXY, 1)], "not legal in this state"),
    "a worker's message": ([message(WORKER_NAME, 1)], "request type 256"),
    "a listing twice": ([message(GATE_LIST, 1), message(GATE_LIST, 2)], "not legal in this state"),
    "wrong size": ([message(GATE_SELECT, 1, size=6171)], "size"),
    "out of sequence": ([message(GATE_SELECT, 2)], "sequence"),
    "a module of 1024 bytes without an end": ([message(GATE_SELECT, 1, struct.pack("<iiI", 31, 1, 0) + b"\xff" * 6144)], None),
    "early data of absurd length": ([message(GATE_SELECT, 1, struct.pack("<iiI", 31, 1, 0xffffffff) + b"m\0")], None),
    "a digest that does not exist": ([message(GATE_SELECT, 1, struct.pack("<iiI", 31, 0x7fffffff, 0) + b"m\0")], None),
    "a module by a path": ([message(GATE_SELECT, 1, struct.pack("<iiI", 31, 1, 0) + b"../m\0")], None),
    "ten thousand": ([message(GATE_SELECT, i + 1, struct.pack("<iiI", 31, 1, 0) + b"nope\0") for i in range(10000)], "not legal in this state"),
}


@pytest.mark.parametrize("name", FROM_THE_GATE)
def test_gate_breaks_the_table(work, name):
    """Nothing that a gate says gives it a module it has not proved to have."""
    messages, said = FROM_THE_GATE[name]
    secrets = work + "/secrets"
    with open(secrets, "w") as f:
        f.write("joe:pw\n")
    os.chmod(secrets, 0o600)
    with Target(work, extra={"auth users": "joe", "secrets file": secrets}) as t:
        with Session(t, "gate") as s:
            gate = s.role("gate")
            os.kill(gate, signal.SIGSTOP)
            with take_fd(gate, channels(gate)[0]) as chan:
                with contextlib.suppress(OSError):
                    for m in messages:
                        chan.send(m)
                if said is None:
                    # In order, so it is answered: by no means with the module.
                    verdict = chan.recv(2000)
                    assert struct.unpack_from("<H", verdict, 4)[0] == 17 and struct.unpack_from("<I", verdict, 16)[0] != HAND_OFF
                    os.kill(gate, signal.SIGKILL)
            wait_for("the gate's end", lambda: not os.path.exists(f"/proc/{gate}"))
        assert not t.daemon.wait_idle()
        log = t.daemon.read_log()
        assert "rsync to m" not in log
        assert said is None or "gate: " in log and said in log, log
        # The daemon goes on.
        assert client([t.daemon.url()]).returncode == 0
