"""The ways in which a daemon is started: detached, by inetd, by a service manager; and what it tells of itself."""
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys

import pytest
from harness import (Daemon, IS_ROOT, KEDGE, LIMIT, STOCK_350, children, client, free_port, same, settle, wait_for, write_file)

IDS = "uid = 0\ngid = 0\n" if IS_ROOT else ""


@pytest.fixture
def served(work):
    """A module with two files; (configuration, data directory)."""
    data = os.path.join(work, "data")
    os.mkdir(data)
    write_file(data + "/one", b"1" * 1000)
    write_file(data + "/two", b"2" * 70000)
    settle(os.fsencode(data), 10**18)
    conf = os.path.join(work, "rsyncd.conf")
    with open(conf, "w") as f:
        f.write(f"log file = {work}/log\n{IDS}[m]\npath = {data}\nread only = no\n")
    return conf, data


def gone(pid):
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True


def end(proc):
    """Stops a process that a test started and everything beneath it."""
    below = children(proc.pid)
    proc.terminate()
    proc.wait(LIMIT)
    for pid in below:
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGTERM)


# ---- what it says of itself ----

def test_version_json_has_the_layout_scripts_read():
    ours = json.loads(subprocess.run([KEDGE, "-VV"], check=True, stdout=subprocess.PIPE).stdout)
    theirs = json.loads(subprocess.run([STOCK_350, "-VV"], check=True, stdout=subprocess.PIPE).stdout)
    assert ours["program"] == "kedge"
    assert set(theirs) - set(ours) <= {"copyright", "url"}
    assert list(ours["capabilities"]) == list(theirs["capabilities"])
    assert list(ours["optimizations"]) == list(theirs["optimizations"])
    for key in ("protocol", "checksum_list", "compress_list", "daemon_auth_list"):
        assert ours[key] == theirs[key], key


@pytest.mark.parametrize("words", [["--version"], ["-V"]])
def test_version_text(words):
    out = subprocess.run([KEDGE, *words], check=True, stdout=subprocess.PIPE, text=True).stdout
    assert re.match(r"kedge  version \S+  protocol version 32\n", out)
    for title in ("Capabilities:", "Optimizations:", "Checksum list:", "Compress list:", "Daemon auth list:"):
        assert f"\n{title}\n" in out


def test_help_goes_to_stdout():
    for words, text in ((["--help"], "kedge --daemon"), (["--daemon", "--help"], "--check-config")):
        r = subprocess.run([KEDGE, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert r.returncode == 0 and text in r.stdout and not r.stderr


# ---- the service manager's protocols ----

class Manager:
    """The datagram socket of a service manager."""

    def __init__(self, work):
        self.path = os.path.join(work, "notify")
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(self.path)
        self.sock.settimeout(LIMIT)

    def next(self):
        return dict(line.split("=", 1) for line in self.sock.recv(4096).decode().splitlines())


def test_notifications(work, served):
    conf, _ = served
    m = Manager(work)
    env = dict(os.environ, NOTIFY_SOCKET=m.path, WATCHDOG_USEC="200000")
    p = subprocess.Popen([KEDGE, "--daemon", "--no-detach", f"--config={conf}", f"--port={free_port()}",
                          "--address=127.0.0.1"], env=env, stderr=subprocess.DEVNULL)
    try:
        seen = [m.next()]
        assert seen[0] == {"READY": "1", "STATUS": "Serving 1 module"} or "WATCHDOG" in seen[0]
        while sum("WATCHDOG" in s for s in seen) < 2:
            seen.append(m.next())
        assert any("READY" in s for s in seen)
        with open(conf, "a") as f:
            f.write("[n]\npath = /\n")
        p.send_signal(signal.SIGHUP)
        order = []
        while "READY" not in order:
            order += [k for k in m.next() if k in ("RELOADING", "READY", "MONOTONIC_USEC")]
        assert order == ["RELOADING", "MONOTONIC_USEC", "READY"]
        p.terminate()
        while "STOPPING" not in m.next():
            pass
        assert p.wait(LIMIT) == 0
    finally:
        if p.poll() is None:
            end(p)


def listening(family=socket.AF_INET, address="127.0.0.1"):
    s = socket.socket(family)
    s.bind((address, 0))
    s.listen(16)
    return s


def hand_over(socks, args, env=None):
    """Starts a program with the sockets on descriptors 3, 4, …, as a service manager does."""
    fds = [s.fileno() for s in socks]
    code = ("import os, sys\n"
            "fds = [os.dup(int(f)) for f in sys.argv[1].split(',')]\n"
            "high = [os.dup2(f, 50 + i) for i, f in enumerate(fds)]\n"
            "[os.dup2(f, 3 + i) for i, f in enumerate(high)]\n"
            "os.environ['LISTEN_PID'] = str(os.getpid())\n"
            "os.execv(sys.argv[2], sys.argv[2:])\n")
    return subprocess.Popen([sys.executable, "-c", code, ",".join(map(str, fds)), *args], pass_fds=fds,
                            stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                            env=dict(os.environ, LISTEN_FDS=str(len(fds)), **(env or {})))


def pull(port, dest, host="127.0.0.1"):
    r = client(["-a", f"rsync://{host}:{port}/m/", dest])
    assert r.returncode == 0, r.stderr


def has_ipv6():
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET6) as s:
        s.bind(("::1", 0))
        return True
    return False


@pytest.mark.parametrize("detach", [False, True], ids=["foreground", "no-detach-implied"])
def test_socket_activation_with_several_sockets(work, served, detach):
    conf, data = served
    socks = [listening(), listening()]
    if has_ipv6():
        socks.append(listening(socket.AF_INET6, "::1"))
    args = [KEDGE, "--daemon", f"--config={conf}"] + ([] if detach else ["--no-detach"])
    p = hand_over(socks, args, {"LISTEN_FDNAMES": "lan:wan:six"[:3 * len(socks) + len(socks) - 1]})
    try:
        for i, s in enumerate(socks):
            dest = os.path.join(work, f"out{i}")
            pull(s.getsockname()[1], dest + "/", "[::1]" if s.family == socket.AF_INET6 else "127.0.0.1")
            same(data, dest)
        with open(work + "/log") as f:
            text = f.read()
        assert "listening on descriptor 3 (lan)" in text and "listening on descriptor 4 (wan)" in text
    finally:
        end(p)
        for s in socks:
            s.close()


def test_activation_variables_of_another_process_are_ignored(work, served):
    conf, _ = served
    port = free_port()
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen(1)
        p = subprocess.Popen([KEDGE, "--daemon", "--no-detach", f"--config={conf}", f"--port={port}", "--address=127.0.0.1"],
                             env=dict(os.environ, LISTEN_PID="1", LISTEN_FDS="1"), stderr=subprocess.DEVNULL)
        try:
            wait_for(lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0)
        finally:
            end(p)


def serve_once(sock, args):
    """What inetd does: accepts one connection and starts the program with it on stdin."""
    sock.settimeout(LIMIT)
    c, _ = sock.accept()
    with c:
        return subprocess.Popen(args, stdin=c, stdout=c, stderr=subprocess.DEVNULL)


@pytest.mark.parametrize("family", ["IPv4", "IPv6"])
def test_inetd(work, served, family):
    conf, data = served
    if family == "IPv6" and not has_ipv6():
        pytest.skip("this machine has no IPv6 loopback")
    s = listening() if family == "IPv4" else listening(socket.AF_INET6, "::1")
    host = "127.0.0.1" if family == "IPv4" else "[::1]"
    c = subprocess.Popen([STOCK_350, "-a", f"rsync://{host}:{s.getsockname()[1]}/m/", work + "/out/"],
                         stderr=subprocess.PIPE)
    p = serve_once(s, [KEDGE, "--daemon", f"--config={conf}"])
    _, err = c.communicate(timeout=LIMIT)
    assert c.returncode == 0, err
    assert p.wait(LIMIT) == 0
    same(data, work + "/out")
    with open(work + "/log") as f:
        assert f"({'127.0.0.1' if family == 'IPv4' else '::1'})" in f.read()
    s.close()


def test_inetd_on_a_unix_socket(work, served):
    conf, _ = served
    s = socket.socket(socket.AF_UNIX)
    s.bind(work + "/sock")
    s.listen(1)
    with socket.socket(socket.AF_UNIX) as c:
        c.settimeout(LIMIT)
        c.connect(work + "/sock")
        p = serve_once(s, [KEDGE, "--daemon", f"--config={conf}"])
        c.sendall(b"@RSYNCD: 32.0 md5\n#list\n")
        text = b""
        while b"@RSYNCD: EXIT" not in text:
            got = c.recv(4096)
            assert got, text
            text += got
    assert b"m              \t\n" in text
    assert p.wait(LIMIT) == 255
    s.close()


@pytest.mark.parametrize("accept", [False, True], ids=["Accept=no", "Accept=yes"])
def test_systemd_socket_activate(work, served, accept):
    conf, data = served
    tool = shutil.which("systemd-socket-activate")
    assert tool, "systemd is in the list of test packages"
    port = free_port()
    p = subprocess.Popen([tool, f"--listen=127.0.0.1:{port}", *(["--accept", "--inetd"] if accept else []),
                          KEDGE, "--daemon", *([] if accept else ["--no-detach"]), f"--config={conf}"],
                         stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for i in range(3):
            wait_for(lambda: client(["-a", f"rsync://127.0.0.1:{port}/m/", f"{work}/out{i}/"]).returncode == 0)
            same(data, f"{work}/out{i}")
    finally:
        end(p)


# ---- on its own ----

def test_detached_with_a_pid_file(work, served):
    conf, data = served
    port, pid_file = free_port(), os.path.join(work, "pid")
    r = subprocess.run([KEDGE, "--daemon", f"--config={conf}", f"--port={port}", "--address=127.0.0.1",
                        f"--dparam=pid file={pid_file}"], stdin=subprocess.DEVNULL, timeout=LIMIT)
    assert r.returncode == 0
    pid = wait_for(lambda: os.path.exists(pid_file) and open(pid_file).read().strip())
    pid = int(pid)
    try:
        wait_for(lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0)
        assert os.getsid(pid) == pid
        assert {os.readlink(f"/proc/{pid}/fd/{n}") for n in (0, 1, 2)} == {"/dev/null"}
        pull(port, work + "/out/")
        same(data, work + "/out")
        second = subprocess.run([KEDGE, "--daemon", "--no-detach", f"--config={conf}", f"--port={free_port()}",
                                 f"--dparam=pid file={pid_file}"], stderr=subprocess.PIPE, text=True, timeout=LIMIT)
        assert second.returncode == 11
        assert f"failed to lock pid file {pid_file}: Resource temporarily unavailable" in second.stderr
    finally:
        os.kill(pid, signal.SIGTERM)
    wait_for(lambda: gone(pid))
    assert not os.path.exists(pid_file)


@pytest.mark.parametrize("name,code,text", [("TERM", 0, "sent 0 bytes  received 0 bytes  total size 0"),
                                            ("INT", 20, "received SIGINT, SIGTERM, or SIGHUP (code 20)"),
                                            ("USR1", 19, "received SIGUSR1 (code 19)")])
def test_signals_that_end_it(work, served, name, code, text):
    _, data = served
    d = Daemon(work, {"m": {"path": data}})
    d.proc.send_signal(getattr(signal, "SIG" + name))
    assert d.proc.wait(LIMIT) == code
    assert text in d.read_log()


def test_signals_that_do_not(work, served):
    _, data = served
    with Daemon(work, {"m": {"path": data}}) as d:
        for name in ("HUP", "USR2", "PIPE"):
            d.proc.send_signal(getattr(signal, "SIG" + name))
        pull(d.port, work + "/out/")


def test_hup_opens_a_renamed_log_again(work, served):
    _, data = served
    with Daemon(work, {"m": {"path": data}}) as d:
        os.rename(d.log, d.log + ".1")
        d.proc.send_signal(signal.SIGHUP)
        wait_for(lambda: os.path.exists(d.log))
        pull(d.port, work + "/out/")
        assert "rsync on m/" in d.read_log()


def test_a_broken_edit_leaves_the_last_good_configuration(work, served):
    _, data = served
    with Daemon(work, {"m": {"path": data}}) as d:
        good = open(d.conf).read()
        with open(d.conf, "w") as f:
            f.write("[m\npath = /\n")
        d.proc.send_signal(signal.SIGHUP)
        wait_for(lambda: "the one read before stays in force" in d.read_log())
        pull(d.port, work + "/out/")
        with open(d.conf, "w") as f:
            f.write(good + f"[new]\npath = {data}\n")
        wait_for(lambda: client([d.url("new/")]).returncode == 0)


@pytest.mark.skipif(not IS_ROOT, reason="only a daemon of root changes the gate's user")
def test_gate_user(work, served):
    _, data = served
    for user, why in (("root", "must not be the super-user"), ("no-such-user", "names nobody that exists: no-such-user")):
        with pytest.raises(RuntimeError, match=why):
            Daemon(work, {"m": {"path": data}}, global_lines=[f"gate user = {user}"])
    with Daemon(work, {"m": {"path": data}}, global_lines=["gate user = daemon"]) as d, d.connect() as c:
        assert c.recv(8) == b"@RSYNCD:"
        uids = set()
        for pid in d.sessions():
            with open(f"/proc/{pid}/status") as f:
                uids.add(re.search(r"^Uid:\s(.*)", f.read(), re.M).group(1))
        assert "1\t1\t1\t1" in uids
