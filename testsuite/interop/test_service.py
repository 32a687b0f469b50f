"""In service: behind TLS front ends and a real sshd, under floods, for a long time, and while it is told to stop."""
import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import time

import pytest
from harness import (CLIENTS, Daemon, IS_ROOT, KEDGE, LIMIT, STOCK_350, children, client, free_port, program, same,
                     settle, wait_for, write_file)

IDS = {"uid": 0, "gid": 0} if IS_ROOT else {}


@pytest.fixture
def data(work):
    top = os.path.join(work, "data")
    os.mkdir(top)
    write_file(top + "/one", b"1" * 1000)
    write_file(top + "/two", os.urandom(300000))
    settle(os.fsencode(top), 10**18)
    return top


# ---- TLS ----

@pytest.fixture
def pem(work):
    path = os.path.join(work, "rsync.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=DNS:localhost", "-keyout", path, "-out", path + ".crt"], check=True,
                   stderr=subprocess.DEVNULL)
    with open(path, "ab") as f, open(path + ".crt", "rb") as c:
        f.write(c.read())
    return path


def haproxy(work, pem, port, to, version):
    conf = os.path.join(work, "haproxy.cfg")
    send = {1: "send-proxy", 2: "send-proxy-v2"}[version]
    write_file(conf, f"""defaults
	mode tcp
	timeout connect 10s
	timeout client 60s
	timeout server 60s
frontend rsyncs
	bind 127.0.0.1:{port} ssl crt {pem}
	default_backend kedge
backend kedge
	server kedge 127.0.0.1:{to} {send}
""".encode())
    return shutil.which("haproxy") or "/usr/sbin/haproxy", "-db", "-f", conf


def stunnel(work, pem, port, to, version):
    conf = os.path.join(work, "stunnel.conf")
    assert version == 1
    write_file(conf, f"foreground = yes\npid =\n[rsyncs]\naccept = 127.0.0.1:{port}\nconnect = 127.0.0.1:{to}\n"
                     f"cert = {pem}\nprotocol = proxy\n".encode())
    return shutil.which("stunnel") or "/usr/bin/stunnel4", conf


@pytest.mark.parametrize("front,version", [(haproxy, 1), (haproxy, 2), (stunnel, 1)], ids=["haproxy-v1", "haproxy-v2", "stunnel"])
def test_behind_tls(work, data, pem, front, version):
    up = os.path.join(work, "up")
    os.mkdir(up)
    port = free_port()
    mods = {"m": {"path": data, **IDS}, "up": {"path": up, "read only": "no", **IDS}}
    env = {"RSYNC_SSL_TYPE": "openssl", "RSYNC_SSL_CA_CERT": pem + ".crt", "RSYNC_PORT": str(port)}
    with Daemon(work, mods) as plain:
        lines = ["proxy protocol = yes", "proxy protocol hosts = 127.0.0.1"]
        plain.write_conf(mods, lines)
        with program(port, *front(work, pem, port, plain.port, version)):
            for args in ([f"rsync://localhost:{port}/m/", work + "/out/"], [data + "/", f"rsync://localhost:{port}/up/"]):
                r = subprocess.run(["rsync-ssl", "--port", str(port), "-a", *args], env=dict(os.environ, **env),
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=LIMIT)
                assert r.returncode == 0, r.stdout
        # A client that comes without the header is not served.
        assert client([f"rsync://127.0.0.1:{plain.port}/m/"]).returncode != 0
        plain.wait_idle()
        assert "connect from" in plain.read_log()
    same(data, work + "/out")
    same(data, up)


def test_proxy_header_from_a_stranger_is_refused(work, data):
    mods = {"m": {"path": data, **IDS}}
    with Daemon(work, mods) as d:
        d.write_conf(mods, ["proxy protocol = yes", "proxy protocol hosts = 192.0.2.7"])
        with d.connect() as s:
            s.sendall(b"PROXY TCP4 192.0.2.9 127.0.0.1 1 873\r\n@RSYNCD: 32.0 md5\n#list\n")
            got = b""
            with contextlib.suppress(ConnectionResetError):
                while chunk := s.recv(4096):
                    got += chunk
        assert got == b""


# ---- sshd ----

WHERE = f"{getpass.getuser()}@127.0.0.1"


@pytest.mark.parametrize("version", sorted(CLIENTS))
def test_through_sshd_under_the_name_rsync(work, data, ssh, version):
    shell, _ = ssh
    os.symlink(KEDGE, work + "/rsync")
    far = os.path.join(work, "far side")
    r = client(["-a", "-e", shell, f"--rsync-path={work}/rsync", data + "/", f"{WHERE}:{far}/"], version=version)
    assert r.returncode == 0, r.stderr
    same(data, far)
    r = client(["-az", "-s", "-e", shell, f"--rsync-path={work}/rsync", f"{WHERE}:{far}/", work + "/back/"], version=version)
    assert r.returncode == 0, r.stderr
    same(data, work + "/back")


def test_daemon_through_sshd(work, data, ssh):
    shell, restrict = ssh
    conf = os.path.join(work, "rsyncd.conf")
    write_file(conf, f"log file = {work}/log\n[m]\npath = {data}\n{'uid = 0' if IS_ROOT else ''}\n".encode())
    restrict(f"{KEDGE} --server --daemon --config={conf} .")
    r = client(["-a", "-e", shell, f"{WHERE}::m/", work + "/out/"])
    assert r.returncode == 0, r.stderr
    same(data, work + "/out")
    with open(work + "/log") as f:
        assert "rsync on m/ from localhost (127.0.0.1)" in f.read().replace("UNKNOWN", "localhost")


# ---- floods ----

@pytest.mark.slow
def test_half_open_handshakes_do_not_keep_others_out(work, data):
    """500 connections that say nothing, from 500 addresses: who really logs in is served all the same."""
    held = []
    with Daemon(work, {"m": {"path": data, **IDS}}) as d:
        try:
            for i in range(500):
                s = socket.socket()
                s.bind((f"127.1.{i // 200}.{i % 200 + 1}", 0))
                s.settimeout(LIMIT)
                s.connect(("127.0.0.1", d.port))
                held.append(s)
            time.sleep(2.5)
            for i in range(5):
                r = client(["-a", d.url("m/"), f"{work}/out{i}/"])
                assert r.returncode == 0, r.stderr
            assert len(d.sessions()) < 3 * 128
        finally:
            for s in held:
                s.close()
    same(data, work + "/out0")


def test_one_host_that_floods_is_limited(work, data):
    held = []
    with Daemon(work, {"m": {"path": data, **IDS}}) as d:
        try:
            for i in range(40):
                s = socket.socket()
                s.bind(("127.9.9.9", 0))
                s.connect(("127.0.0.1", d.port))
                held.append(s)
            wait_for(lambda: "too many unauthenticated connections from this host" in d.read_log())
            assert client(["-a", d.url("m/"), work + "/out/"]).returncode == 0
        finally:
            for s in held:
                s.close()


def resources(pid):
    """Descriptors, descendants, and KiB that this process alone has written to (program text is shared or not as others run it)."""
    with open(f"/proc/{pid}/smaps_rollup") as f:
        sizes = dict(line.split()[:2] for line in f if ":" in line.split()[0])
    return {"fds": len(os.listdir(f"/proc/{pid}/fd")), "processes": len(children(pid)),
            "own": int(sizes["Private_Dirty:"]), "pss": int(sizes["Pss:"])}


def talk(d, text):
    with d.connect(LIMIT) as s:
        s.sendall(text)
        got = b""
        while chunk := s.recv(4096):
            got += chunk
        return got


def soak_listing(d, work, i):
    assert talk(d, b"@RSYNCD: 32.0 md5\n#list\n").endswith(b"@RSYNCD: EXIT\n")


def soak_login_failure(d, work, i):
    assert talk(d, b"@RSYNCD: 32.0 md5\nclosed\njoe wrong\n").endswith(b"@ERROR: auth failed on module closed\n")


def soak_unknown_module(d, work, i):
    assert b"@ERROR: Unknown module 'none'" in talk(d, b"@RSYNCD: 32.0 md5\nnone\n")


def soak_abort(d, work, i):
    """Goes away at some byte of the greeting, after the module's name, or among the arguments."""
    text = b"@RSYNCD: 32.0 md5\nm\n--server\0--sender\0-logDtpr\0.\0m/\0"
    with d.connect(LIMIT) as s:
        s.sendall(text[:i * 7 % len(text)])
        if i % 2:
            assert s.recv(4096)


def soak_pull(d, work, i):
    assert client(["-a", d.url("m/"), work + "/pulled/"]).returncode == 0


def soak_push(d, work, i):
    assert client(["-aI", work + "/data/one", d.url("up/")]).returncode == 0


KINDS = [soak_listing, soak_login_failure, soak_pull, soak_unknown_module, soak_push, soak_abort]


@pytest.mark.slow
def test_many_connections_leak_nothing(work, data):
    """KEDGE_SOAK sets how many; 10,000 by hand."""
    count = int(os.environ.get("KEDGE_SOAK", "300"))
    os.mkdir(work + "/up")
    write_file(work + "/secrets", b"joe:secret\n", 0o600)
    mods = {"m": {"path": data, **IDS}, "up": {"path": work + "/up", "read only": "no", **IDS},
            "closed": {"path": data, "auth users": "joe", "secrets file": work + "/secrets", **IDS}}
    with Daemon(work, mods, global_lines=["max unauthenticated per host = 100"]) as d:
        for i in range(120):
            KINDS[i % len(KINDS)](d, work, i)
        assert not d.wait_idle()
        before = resources(d.proc.pid)
        for i in range(count):
            KINDS[i % len(KINDS)](d, work, i)
        assert not d.wait_idle()
        after = resources(d.proc.pid)
    print(f"{count} connections: before {before}, after {after}")
    assert after["fds"] == before["fds"] and after["processes"] == before["processes"] == 0
    assert after["own"] <= before["own"] + 256, (before, after)


# ---- told to stop while it works ----

@pytest.mark.parametrize("name", ["HUP", "TERM"])
def test_signals_lose_no_running_transfer(work, name):
    src = os.path.join(work, "src")
    os.mkdir(src)
    for i in range(8):
        write_file(f"{src}/f{i}", os.urandom(200000))
    settle(os.fsencode(src), 10**18)
    up = os.path.join(work, "up")
    os.mkdir(up)
    mods = {"m": {"path": src, **IDS}, "up": {"path": up, "read only": "no", **IDS}}
    d = Daemon(work, mods, global_lines=["max unauthenticated per host = 100"])
    left = []
    try:
        runs = [subprocess.Popen([STOCK_350, "-a", "--bwlimit=600", *(
            [d.url("m/"), f"{work}/out{i}/"] if i % 2 else [src + "/", d.url(f"up/{i}/")])], stderr=subprocess.PIPE)
            for i in range(20)]
        wait_for(lambda: d.read_log().count("rsync on m/") + d.read_log().count("rsync to up/") == 20)
        left = d.sessions()
        d.proc.send_signal(getattr(signal, "SIG" + name))
        for i, p in enumerate(runs):
            _, err = p.communicate(timeout=LIMIT)
            assert p.returncode == 0, err
            same(src, f"{work}/out{i}" if i % 2 else f"{up}/{i}")
        if name == "TERM":
            assert d.proc.wait(LIMIT) == 0
    finally:
        d.stop()
    wait_for(lambda: not any(os.path.exists(f"/proc/{pid}/exe") for pid in left))
