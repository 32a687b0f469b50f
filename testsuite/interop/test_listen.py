"""Where a daemon listens and what it claims: addresses, ports, socket options, backlog, pid file, its own chroot and ids;
on both daemons."""
import contextlib
import fcntl
import os
import re
import signal
import socket
import struct
import subprocess
import time

import pytest
from harness import Daemon, IS_ROOT, KEDGE, LIMIT, STOCK_350, client, difference, free_port, snapshot, wait_for, write_file

pytestmark = pytest.mark.slow  # many processes: left out under the sanitizers

BINARIES = (STOCK_350, KEDGE)


def listening(pid):
    """The addresses a process listens on, as "ADDR PORT"."""
    inodes, found = set(), set()
    with contextlib.suppress(OSError):
        for fd in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                inodes.update(re.findall(r"socket:\[(\d+)\]", os.readlink(f"/proc/{pid}/fd/{fd}")))
    for table, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        with open(f"/proc/net/{table}") as f:
            for words in map(str.split, f.readlines()[1:]):
                if words[3] == "0A" and words[9] in inodes:
                    addr, port = words[1].split(":")
                    raw = b"".join(struct.pack("=I", int(addr[i:i + 8], 16)) for i in range(0, len(addr), 8))
                    found.add(f"{socket.inet_ntop(family, raw)} {int(port, 16)}")
    return found


def read(path):
    try:
        with open(path, errors="replace") as f:
            return f.read()
    except OSError:
        return ""


def messages(log, top):
    lines = [re.sub(r"^\S+ \S+ \[\d+\] ", "", x) for x in log.replace(top, "@").splitlines()]
    lines = [re.sub(r" at \S+\(\d+\) \[(\w+)=[^]]*\]", r" [\1]", x) for x in lines if "sandbox: not to be had" not in x]
    return [re.sub(r"(rsyncd version) \S+", r"\1 N", x) for x in lines]


class Started:
    """A daemon in the foreground, from its start to the moment it listens or has ended."""

    def __init__(self, top, binary, conf, args=(), trace=None):
        self.top = top
        os.makedirs(top, exist_ok=True)
        write_file(top + "/rsyncd.conf", conf.replace("@/", top + "/").encode())
        cmd = [binary, "--daemon", "--no-detach", f"--config={top}/rsyncd.conf", f"--log-file={top}/log",
               *[a.replace("@/", top + "/") for a in args]]
        if trace:
            cmd = ["strace", "-qq", "-o", top + "/trace", "-e", f"trace={trace}", *cmd]
        self.proc = subprocess.Popen(cmd, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=top)
        self.pid, self.addresses = self.proc.pid, set()
        end = time.time() + LIMIT
        while self.proc.poll() is None and time.time() < end and not self.addresses:
            if trace:
                with contextlib.suppress(OSError, ValueError, IndexError), open(f"/proc/{self.proc.pid}/task/{self.proc.pid}/children") as f:
                    self.pid = int(f.read().split()[0])
            self.addresses = listening(self.pid)
            time.sleep(0.01)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.proc.poll() is None:
            with contextlib.suppress(OSError):
                os.kill(self.pid, signal.SIGTERM)
            self.proc.wait(LIMIT)

    def result(self):
        """The addresses; or, of one that ended, its exit code and what it logged."""
        code = self.proc.poll()
        return self.addresses if code is None else (code, messages(read(self.top + "/log"), self.top))


ADDRESSES = [
    ("conf", "address = 127.0.0.1\nport = PORT\n", []),
    ("port_option", "address = 127.0.0.1\nport = OTHER\n", ["--port=PORT"]),
    ("port_override", "address = 127.0.0.1\nport = OTHER\n", ["-Mport=PORT"]),
    ("port_option_and_override", "address = 127.0.0.1\n", ["-Mport=OTHER", "--port=PORT"]),
    ("port_zero", "address = 127.0.0.1\nport = PORT\n", ["--port=0"]),
    ("address_option", "address = 127.0.0.2\nport = PORT\n", ["--address=127.0.0.3"]),
    ("address_override", "address = 127.0.0.2\nport = PORT\n", ["--dparam=address=127.0.0.3"]),
    ("address_name", "address = localhost\nport = PORT\n", []),
    ("address_variable", "address = 127.0.0.%ADDRESS_END%\nport = PORT\n", []),
    ("address_ipv6", "address = ::1\nport = PORT\n", []),
    ("everywhere", "port = PORT\n", []),
    ("ipv4", "port = PORT\n", ["--ipv4"]),
    ("ipv6", "port = PORT\n", ["-6"]),
    ("last_family", "port = PORT\n", ["-6", "-4"]),
    ("name_ipv6", "address = localhost\nport = PORT\n", ["--ipv6"]),
    ("wrong_family", "address = 127.0.0.1\nport = PORT\n", ["--ipv6"]),
    ("unknown_name", "address = no-such-host.invalid\nport = PORT\n", []),
    ("foreign", "address = 192.0.2.1\nport = PORT\n", []),
    ("in_use", "address = 127.0.0.1\nport = BUSY\n", []),
    ("default_port", "address = 127.77.1.1\n", []),
    ("junk_port", "address = 127.77.1.2\nport = junk\n", []),
    ("behind_a_header", "[global]\nport = PORT\n", ["--address=127.77.1.3"]),
]


@pytest.mark.skipif(not IS_ROOT, reason="port 873 is root's")
@pytest.mark.parametrize("row", ADDRESSES, ids=[r[0] for r in ADDRESSES])
def test_addresses(work, row, monkeypatch):
    monkeypatch.setenv("ADDRESS_END", "9")
    seen = []
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen(1)
        ports = {"PORT": free_port(), "OTHER": free_port(), "BUSY": busy.getsockname()[1]}

        def put(text):
            for name, port in ports.items():
                text = text.replace(name, str(port))
            return text

        for i, binary in enumerate(BINARIES):
            with Started(f"{work}/{i}", binary, put(row[1]) + "[m]\npath = /\n", [put(a) for a in row[2]]) as d:
                result = d.result()
                seen.append(result if isinstance(result, set) else
                            (result[0], [x for x in result[1] if not x.startswith('"port" stands behind')]))
    assert seen[1] == seen[0] and seen[0]


SOCKETS = [
    ("default", "", []),
    ("backlog", "listen backlog = 17\n", []),
    ("options", "socket options = TCP_NODELAY, SO_RCVBUF=65536\tSO_BROADCAST=0\n", []),
    ("command_line", "socket options = SO_BROADCAST\n", ["--sockopts=TCP_NODELAY,SO_SNDBUF=32768"]),
    ("override", "socket options = SO_BROADCAST\n", ["-Msocket options=TCP_NODELAY"]),
    ("command_line_empty", "socket options = TCP_NODELAY\n", ["--sockopts="]),
    ("faults", "socket options = NOPE IPTOS_LOWDELAY=3 SO_SNDLOWAT=9 tcp_nodelay IPTOS_THROUGHPUT\n", []),
    ("ipv6", "address = ::1\nsocket options = TCP_NODELAY\n", []),
]


@pytest.mark.parametrize("row", SOCKETS, ids=[r[0] for r in SOCKETS])
def test_socket_options(work, row):
    seen = []
    for i, binary in enumerate(BINARIES):
        where = row[1] if "address" in row[1] else "address = 127.0.0.1\n" + row[1]
        with Started(f"{work}/{i}", binary, f"port = {free_port()}\n{where}[m]\n", row[2], trace="setsockopt,listen") as d:
            assert d.addresses
            wait_for(lambda: "listen(" in read(d.top + "/trace"))
            trace = [re.sub(r"\(\d+, ", "(", re.sub(r" +=", " =", x)) for x in read(d.top + "/trace").splitlines()
                     if "SO_KEEPALIVE" not in x and re.match("setsockopt.*(SOL_SOCKET|TCP|IP)|listen", x)]
            if binary == KEDGE:
                trace.remove("setsockopt(SOL_TCP, TCP_NODELAY, [1], 4) = 0")  # its preset, before what was asked for
            said = [x for x in messages(read(d.top + "/log"), d.top) if "starting, listening" not in x]
            seen.append((trace, said))
    assert seen[1] == seen[0]
    assert any(x.startswith("listen(") for x in seen[0][0])


# ---- pid file ----

def stale(path):
    write_file(path, b"999999\n", 0o600)


def link_to_file(path):
    write_file(path + ".target", b"keep\n")
    os.symlink(path + ".target", path)


PID_FILES = [
    ("none", None), ("stale", stale), ("link", link_to_file),
    ("small", lambda p: write_file(p, b"x" * 32)), ("long", lambda p: write_file(p, b"x" * 33)),
    ("dangling", lambda p: os.symlink("/no/such/place", p)), ("fifo", os.mkfifo), ("directory", os.mkdir),
    ("no_directory", lambda p: os.rmdir(os.path.dirname(p))), ("locked", "lock"), ("empty_name", "empty"),
]


@pytest.mark.parametrize("row", PID_FILES, ids=[r[0] for r in PID_FILES])
def test_pid_file(work, row):
    seen = []
    for i, binary in enumerate(BINARIES):
        top = f"{work}/{i}"
        os.makedirs(top + "/run")
        path = top + "/run/pid"
        with contextlib.ExitStack() as stack:
            if row[1] == "lock":
                f = stack.enter_context(open(path, "w"))
                fcntl.lockf(f, fcntl.LOCK_EX, 4)
            elif callable(row[1]):
                row[1](path)
            name = "" if row[1] == "empty" else "@/run/pid"
            conf = f"pid file = {name}\naddress = 127.0.0.1\nport = {free_port()}\n[m]\n"
            with Started(top, binary, conf) as d:
                facts = [d.result() if d.proc.poll() is not None else "listens"]
                if os.path.isfile(path):
                    facts += [read(path).replace(str(d.pid), "PID"), oct(os.lstat(path).st_mode), read(path + ".target")]
            facts += [d.proc.returncode, os.path.lexists(path)]
        seen.append(facts)
    # The stock daemon says that it starts first; and it tells an error number that is by chance there.
    if isinstance(seen[0][0], tuple):
        seen[0][0] = (seen[0][0][0], [x for x in seen[0][0][1] if "starting, listening" not in x])
    if row[0] == "long":
        for side in seen:
            side[0][1][0] = side[0][1][0].rsplit(":", 1)[0]
    assert seen[1] == seen[0]


def test_pid_file_of_a_killed_daemon_is_taken_over(work):
    for i, binary in enumerate(BINARIES):
        top = f"{work}/{i}"
        conf = f"pid file = @/pid\naddress = 127.0.0.1\nport = {free_port()}\n[m]\n"
        with Started(top, binary, conf) as d:
            d.proc.kill()
            d.proc.wait()
        assert read(top + "/pid") == f"{d.pid}\n"
        with Started(top, binary, conf) as d:
            assert read(top + "/pid") == f"{d.pid}\n"
        assert not os.path.exists(top + "/pid")


# ---- the daemon's own chroot, uid and gid ----

OWN = [
    ("chroot", ["daemon chroot = @/root", "motd file = /motd"], {"path": "/data"}),
    ("chroot_numeric", ["daemon chroot = @/root"], {"path": "/data", "uid": "65534", "gid": "65534"}),
    ("chroot_names", ["daemon chroot = @/root"], {"path": "/data", "uid": "nobody"}),
    ("chroot_default_ids", ["daemon chroot = @/root"], {"path": "/data", "uid": "", "gid": ""}),
    ("chroot_secrets", ["daemon chroot = @/root"], {"path": "/data", "auth users": "joe", "secrets file": "/secrets"}),
    ("chroot_lock", ["daemon chroot = @/root"], {"path": "/data", "max connections": "2", "lock file": "/lock"}),
    ("chroot_no_lock", ["daemon chroot = @/root"], {"path": "/data", "max connections": "2", "lock file": "/none/lock"}),
    ("chroot_filter", ["daemon chroot = @/root"], {"path": "/data", "exclude from": "/rules"}),
    ("chroot_outside", ["daemon chroot = @/root"], {"path": "@/root/data"}),
    ("chroot_missing", ["daemon chroot = @/none"], {"path": "/data"}),
    ("uid", ["daemon uid = nobody", "daemon gid = nogroup"], {"path": "@/root/data", "uid": "", "gid": ""}),
    ("uid_only", ["daemon uid = 65534"], {"path": "@/root/data", "uid": "", "gid": ""}),
    ("uid_module_ids", ["daemon uid = nobody", "daemon gid = nogroup"], {"path": "@/root/data"}),
    ("uid_use_chroot", ["daemon uid = nobody"], {"path": "@/root/data", "uid": "", "gid": "", "use chroot": "yes"}),
    ("uid_bad", ["daemon uid = no-such-user"], {"path": "@/root/data"}),
    ("gid_bad", ["daemon gid = no-such-group"], {"path": "@/root/data"}),
    ("gid", ["daemon gid = nogroup"], {"path": "@/root/data"}),
    ("all", ["daemon chroot = @/root", "daemon uid = nobody", "daemon gid = nogroup"], {"path": "/data", "uid": "", "gid": ""}),
]


@pytest.mark.skipif(not IS_ROOT, reason="chroot and ids are root's to set")
@pytest.mark.parametrize("row", OWN, ids=[r[0] for r in OWN])
def test_chroot_and_ids_of_the_daemon(work, row):
    seen, trees = [], []
    for i, binary in enumerate(BINARIES):
        top = f"{work}/{i}"
        os.makedirs(top + "/root/data/sub")
        write_file(top + "/root/motd", b"Inside.\n")
        write_file(top + "/root/secrets", b"joe:secret\n", 0o600)
        write_file(top + "/root/rules", b"*.o\n")
        for name, mode in (("plain", 0o644), ("a.o", 0o644), ("closed", 0o600)):
            write_file(f"{top}/root/data/{name}", name.encode(), mode, mtime=10**9)
        for d in ("root", "root/data", "root/data/sub"):
            os.chmod(f"{top}/{d}", 0o755)

        def put(text):
            return text.replace("@/", top + "/")

        m = {"m": {"uid": "0", "gid": "0", "numeric ids": "yes", **{k: put(v) for k, v in row[2].items()}}}
        with Daemon(work, {"m": {"path": "/"}}, binary=binary) as d:
            d.write_conf(m, [put(x) for x in row[1]])
            before = len(d.read_log())
            os.makedirs(top + "/out")
            os.utime(top + "/out", (10**7, 10**7))
            r = client(["-a", f"rsync://joe@127.0.0.1:{d.port}/m/", top + "/out/"], env={"RSYNC_PASSWORD": "secret"})
            d.wait_idle()
            said = messages(d.read_log()[before:], top)
            text = [re.sub(r" at \S+\(\d+\) \[(\w+)=[^]]*\]", r" [\1]", x.replace(top, "@")) for x in r.stderr.decode().splitlines()]
        out = r.stdout.decode()
        # Of a connection that is closed before the greeting, clients make one thing or another.
        closed = r.returncode in (5, 10, 12) and "@ERROR" not in r.stderr.decode()
        seen.append(("closed", "", "") if closed else (r.returncode, out, sorted(x for x in text if "reset by peer" not in x and "(code 1" not in x)))
        # What a module logs goes elsewhere on the stock daemon.
        seen[-1] += ([x for x in said if re.search("daemon chroot|daemon [ug]id|lock file", x)],)
        trees.append(snapshot(top + "/out", dir_times=False))
    assert seen[1] == seen[0]
    assert not difference(*trees)
