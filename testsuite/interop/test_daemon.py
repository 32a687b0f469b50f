"""The daemon before a transfer: listing, motd, authentication, access, errors in rsync's words."""
import contextlib
import os
import time

import pytest
from harness import CLIENTS, Daemon, IS_ROOT, KEDGE, STOCK_350, at_once, client, half_close, rest, same, write_file

IDS = {"uid": 0, "gid": 0} if IS_ROOT else {}


@pytest.fixture
def data(work):
    d = os.path.join(work, "data")
    os.mkdir(d)
    write_file(os.path.join(d, "hello"), b"hello\n")
    return d


def mod(path, **kw):
    return {"path": path, **IDS, **{k.replace("_", " "): v for k, v in kw.items()}}


def secrets(work, text="joe:secret\nann:other\n", mode=0o600):
    p = os.path.join(work, "secrets")
    write_file(p, text.encode(), mode)
    return p


def test_listing_and_motd(work, data):
    motd = os.path.join(work, "motd")
    write_file(motd, b"Welcome.\n")
    mods = {"one": mod(data, comment="first module"), "hidden": mod(data, list="no"), "two": mod(data)}
    with Daemon(work, mods, global_lines=[f"motd file = {motd}"]) as d:
        for v in CLIENTS:
            r = client([d.url()], v)
            assert (r.returncode, r.stdout) == (0, b"Welcome.\n\none            \tfirst module\ntwo            \t\n")


def test_unknown_module(work, data):
    with Daemon(work, {"m": mod(data)}) as d:
        r = client([d.url("nope/")])
        assert r.returncode == 5
        assert r.stderr.startswith(b"@ERROR: Unknown module 'nope'\n")
        assert "unknown module 'nope' tried from" in d.read_log()


@pytest.mark.parametrize("proto", [29, 30, 32])
def test_auth(work, data, proto):
    mods = {"m": mod(data, auth_users="joe, ann:rw, bob:deny", secrets_file=secrets(work))}
    with Daemon(work, mods) as d:
        for user, pw, code in (("joe", "secret", 0), ("ann", "other", 0), ("joe", "wrong", 5), ("bob", "x", 5), ("nobody", "secret", 5)):
            out = os.path.join(work, "out-" + user + pw)
            r = client(["-a", f"rsync://{user}@127.0.0.1:{d.port}/m/", out + "/"], proto=proto, env={"RSYNC_PASSWORD": pw})
            assert r.returncode == code, r.stderr
            if code:
                assert b"@ERROR: auth failed on module m" in r.stderr
                assert not os.path.exists(out)
            else:
                same(data, out, times=False)
        assert "auth failed on module m from" in d.read_log()
        assert "password mismatch" in d.read_log() and "secret" not in d.read_log().replace("secret not found", "")


def test_strict_modes(work, data):
    mods = {"m": mod(data, auth_users="joe", secrets_file=secrets(work, mode=0o644))}
    with Daemon(work, mods) as d:
        r = client([f"rsync://joe@127.0.0.1:{d.port}/m/"], env={"RSYNC_PASSWORD": "secret"})
        assert (r.returncode, b"auth failed" in r.stderr) == (5, True)
        assert "secrets file must not be other-accessible" in d.read_log()


def test_read_only_and_write_only(work, data):
    mods = {"ro": mod(data), "wo": mod(data, read_only="no", write_only="yes")}
    src = os.path.join(work, "new")
    write_file(src, b"x")
    with Daemon(work, mods) as d:
        r = client(["-t", src, d.url("ro/")])
        assert (r.returncode, b"ERROR: module is read only" in r.stderr) == (1, True), r.stderr
        r = client(["-t", d.url("wo/hello"), os.path.join(work, "got")])
        assert (r.returncode, b"ERROR: module is write only" in r.stderr) == (1, True), r.stderr
        r = client(["-t", src, d.url("wo/")])
        assert r.returncode == 0, r.stderr
    assert sorted(os.listdir(data)) == ["hello", "new"]


def test_hosts(work, data):
    mods = {"denied": mod(data, hosts_deny="127.0.0.0/8"), "allowed": mod(data, hosts_allow="127.0.0.1", hosts_deny="*"),
            "secretly": mod(data, hosts_deny="*", list="no")}
    with Daemon(work, mods, global_lines=["reverse lookup = no"]) as d:
        r = client([d.url("denied/")])
        assert (r.returncode, r.stderr.split(b"\n")[0]) == (5, b"@ERROR: access denied to denied from UNDETERMINED (127.0.0.1)")
        r = client([d.url("secretly/")])
        assert r.stderr.startswith(b"@ERROR: Unknown module 'secretly'")
        assert client([d.url("allowed/")]).returncode == 0


def test_refuse_options(work, data):
    mods = {"m": mod(data, refuse_options="c delete"), "strict": mod(data, refuse_options="* !a !v")}
    with Daemon(work, mods) as d:
        r = client(["-c", d.url("m/hello"), work + "/x"])
        assert b"The server is configured to refuse --checksum (-c)" in r.stderr, r.stderr
        assert r.returncode in (4, 10, 12)
        assert client(["-av", d.url("strict/"), work + "/y/"]).returncode == 0
        assert client(["-avz", d.url("strict/"), work + "/z/"]).returncode != 0


def test_max_connections(work, data):
    """A slot is held from the granted access on (kedge: after the log-in) to the end of the session."""
    mods = {"m": mod(data, max_connections=1, lock_file=os.path.join(work, "lock"))}
    with Daemon(work, mods) as d:
        with d.connect() as s:
            s.sendall(b"@RSYNCD: 32.0 sha512 sha256 sha1 md5 md4\nm\n")
            seen = b""
            while b"@RSYNCD: OK" not in seen:
                seen += s.recv(4096)
            r = client([d.url("m/")])
            assert r.returncode == 5
            assert r.stderr.startswith(b"@ERROR: max connections (1) reached -- try again later"), r.stderr
        d.wait_idle()
        assert client([d.url("m/")]).returncode == 0


def test_exclude_parameters(work, data):
    os.mkdir(data + "/private")
    write_file(data + "/private/key", b"k")
    write_file(data + "/a.key", b"k")
    mods = {"m": mod(data, exclude="/private *.key", read_only="no")}
    with Daemon(work, mods) as d:
        out = os.path.join(work, "out")
        assert client(["-a", d.url("m/"), out + "/"]).returncode == 0
        assert os.listdir(out) == ["hello"]
        r = client(["-a", d.url("m/private/key"), out + "/"])
        assert (r.returncode, os.listdir(out)) == (23, ["hello"]), r.stderr
        new = os.path.join(work, "new.key")
        write_file(new, b"x")
        r = client(["-t", new, d.url("m/")])
        assert r.returncode == 23, r.stderr
        assert b'ERROR: daemon refused to receive file "new.key"' in r.stderr
        assert not os.path.exists(data + "/new.key")


@pytest.mark.parametrize("send,expect", [
    (b"hello\n", b"@ERROR: protocol startup error\n"),
    (b"@RSYNCD: 31\n", b"@ERROR: your client omitted the subprotocol value: @RSYNCD: 31\n"),
    (b"@RSYNCD: 32.0\n", b"@ERROR: your client omitted the digest name list: @RSYNCD: 32.0\n"),
    (b"@RSYNCD: 31.0\n#foo\n", b"@ERROR: Unknown command '#foo'\n"),
    (b"@RSYNCD: 31.0\n#early_input=6000\n", b"@ERROR: invalid early_input length\n"),
    (b"@RSYNCD: 31.0\nm/\n", b"@ERROR: Unknown module 'm/'\n"),
    (b"@RSYNCD: 31.0\n#list\n", b"m              \t\n@RSYNCD: EXIT\n"),
    (b"x" * 5000, b""),
    (b"@RSYNCD: 31.0\nm\0\n", b""),
    (b"\0" * 100, b""),
])
def test_handshake_errors(work, data, send, expect):
    with Daemon(work, {"m": mod(data)}) as d:
        with d.connect() as s:
            s.sendall(send)
            got = rest(s)
        assert got.startswith(b"@RSYNCD: 32.0 sha512 sha256 sha1 md5 md4\n")
        assert got.split(b"\n", 1)[1] == expect
        assert not d.wait_idle()


@pytest.mark.parametrize("secluded", [False, True])
def test_too_many_arguments(work, data, secluded):
    """The last list that is taken, and the first one that is not."""
    for binary in (STOCK_350, KEDGE):
        with Daemon(work, {"m": mod(data)}, binary=binary) as d:
            for count in (15998, 15999):
                args = b"--server\0--sender\0-re.LsfxCIvu\0.\0" + b"m/x\0" * (count - 4) + b"\0"
                if secluded:
                    args = b"--server\0--sender\0-se.LsfxCIvu\0.\0\0rsync\0" + args
                with d.connect() as s:
                    with contextlib.suppress(ConnectionError):
                        s.sendall(b"@RSYNCD: 31.0 md5\nm\n" + args)
                        half_close(s)
                    # More than the greeting comes once the arguments were taken.
                    assert (len(rest(s)) > 60) == (count == 15998), (binary, count)
            assert not d.wait_idle()
        if binary == KEDGE:
            assert d.read_log().count("too many daemon arguments") == 1


def test_edit_of_the_configuration_is_seen_and_a_broken_one_is_not(work, data):
    with Daemon(work, {"m": mod(data)}) as d:
        assert client([d.url("new/")]).returncode == 5
        d.write_conf({"m": mod(data), "new": mod(data)})
        assert client([d.url("new/")]).returncode == 0
        with open(d.conf, "a") as f:
            f.write("[unclosed\n")
        assert client([d.url("new/")]).returncode == 0
        assert "Unexpected EOF" in d.read_log() or "Badly formed line in config file: unclosed" in d.read_log()


@pytest.mark.slow
def test_hundred_at_once(work, data):
    for i in range(50):
        write_file(os.path.join(data, f"f{i}"), os.urandom(20000))
    up = os.path.join(work, "up")
    os.mkdir(up)
    with Daemon(work, {"m": mod(data), "up": mod(up, read_only="no")}, global_lines=["max unauthenticated per host = 200"]) as d:
        def one(i):
            if i % 2:
                out = os.path.join(work, f"out{i}")
                r = client(["-a", d.url("m/"), out + "/"])
            else:
                out = os.path.join(up, f"t{i}")
                r = client(["-a", data + "/", d.url(f"up/t{i}/")])
            assert r.returncode == 0, r.stderr
            same(data, out, times=False)

        bad = at_once(one, 100)
        assert not bad, bad[:3]


def test_dead_clients_leave_nothing(work, data):
    """A pushing client that is killed in mid-transfer: no temp file, no process, others unharmed."""
    import random
    import signal
    import subprocess
    from harness import STOCK_350
    up = os.path.join(work, "up")
    os.mkdir(up)
    src = os.path.join(work, "src")
    os.mkdir(src)
    write_file(os.path.join(src, "big"), random.Random(1).randbytes(30_000_000))
    write_file(os.path.join(up, "big"), b"the old contents\n", mtime=1_600_000_000 * 10**9)
    with Daemon(work, {"up": mod(up, read_only="no")}) as d:
        for i in range(6):
            p = subprocess.Popen([STOCK_350, "-a", "--bwlimit=20000", src + "/", d.url("up/")], stdout=subprocess.DEVNULL,
                                 stderr=subprocess.DEVNULL)
            time.sleep(0.15 + i * 0.07)
            p.send_signal(signal.SIGKILL if i % 2 else signal.SIGTERM)
            p.wait()
            assert not d.wait_idle(30)
            assert os.listdir(up) == ["big"], d.read_log()
            with open(os.path.join(up, "big"), "rb") as f:
                assert f.read() == b"the old contents\n"


def test_cut_at_any_byte(work, data):
    """A recorded-like push whose client closes after N bytes, for many N: never a crash, never a leftover."""
    up = os.path.join(work, "up")
    os.mkdir(up)
    head = b"@RSYNCD: 31.0 md5\nup\n"
    args = b"--server\0-te.LsfxCI\0--checksum-seed=1\0.\0up/\0\0"
    mux = lambda b: len(b).to_bytes(3, "little") + b"\x07" + b  # noqa: E731
    flist = bytes.fromhex("1805702e747874000800" "6500f153a4810000" "00")
    stream = head + args + mux(flist) + mux(bytes.fromhex("0100a0" + "00" * 16) + b"\x08\0\0\0push me\n\0\0\0\0" + b"\x11" * 16)
    with Daemon(work, {"up": mod(up, read_only="no")}) as d:
        for cut in range(1, len(stream), 7):
            with d.connect() as s:
                s.sendall(stream[:cut])
                time.sleep(0.005)
                half_close(s)
                rest(s)
        assert not d.wait_idle(30)
        assert os.listdir(up) == []
        assert client([d.url("up/")]).returncode == 0
