"""What a daemon logs: transfer logging and its format beside the stock daemon's, JSON events, odd names."""
import contextlib
import json
import os
import re
import shutil
import socket
import stat

import pytest
from harness import Daemon, IS_ROOT, KEDGE, LIMIT, STOCK_350, client, half_close, rest, settle, write_file

IDS = {"uid": 0, "gid": 0} if IS_ROOT else {}
T0 = 1_600_000_000 * 10**9
EVERYTHING = "%o|%i|%a|%b|%B|%c|%C|%f|%G|%h|%l|%L|%m|%M|%n|%P|%u|%U|%'l|%''l|%'''l|%'b|%10n|%-10n|%6L|%z|%%|%"


def lay(top):
    src = os.path.join(top, "src")
    os.makedirs(src + "/d")
    write_file(src + "/f1", b"hello\n", mtime=T0)
    write_file(src + "/big", bytes(1234758), mtime=T0)
    os.symlink("f1", src + "/l")
    os.link(src + "/f1", src + "/hl")
    os.mkfifo(src + "/d/ff")
    write_file(src + "/d/x", b"x\n", 0o4755, mtime=T0)
    settle(os.fsencode(src), T0)


def edit(top):
    """A copy of src with changes, to be pushed over it."""
    out = os.path.join(top, "out")
    shutil.copytree(os.path.join(top, "src"), out, symlinks=True, ignore=lambda d, n: ["ff", "big", "hl"])
    os.mkfifo(out + "/d/ff")
    os.link(out + "/f1", out + "/hl")
    with open(out + "/f1", "a") as f:
        f.write("more\n")
    os.mkdir(out + "/nd")
    write_file(out + "/nd/nn", b"nd\n", mtime=T0)
    os.utime(out + "/f1", ns=(T0 + 10**9, T0 + 10**9))
    os.chmod(out + "/d/x", 0o600)
    settle(os.fsencode(out), T0 + 5 * 10**9)


SESSIONS = """
-aH {m}src/ {o}a/
-aH {m}src {o}b/
-a {m}src/d/x {o}c/
-aR {m}src/d/x {o}d/
-aR {m}src/./d/x {o}e/
-a --cc=sha1 {m}src/d/ {o}f/
-a --cc=xxh64 {m}src/d/ {o}g/
-a --cc=none {m}src/d/ {o}h/
-ac {m}src/d/ {o}i/
-aH --protocol=29 {m}src/ {o}j/
-an {m}src/ {o}k/
-aH --protocol=27 out/ {m}p27/
-aH --protocol=28 out/ {m}p28/
-aH --protocol=30 out/ {m}p30/
-aH --delete out/ {m}src/
-aH out/ {m}new/
-an out/ {m}new2/
-rc out/ {m}new/
-r out/f1 {m}single
-aH --delete --protocol=29 src/d/ {m}new/
""".strip().splitlines()


def run_sessions(work, binary, **params):
    """All sessions against one daemon; the log's messages without times and process ids."""
    data = os.path.join(work, "data")
    os.makedirs(data)
    lay(data)
    lay(work)
    edit(work)
    # The stock daemon forgets --log-file when a module is chosen; ours does not.
    own = os.path.join(work, "log")
    mods = {"m": {"path": data, "read only": "no", "munge symlinks": "no", "log file": own, **IDS, **params}}
    messages = []
    with Daemon(work, mods, binary=binary) as d:
        for line in SESSIONS:
            words = line.format(m=d.url("m/"), o=work + "/got-").split()
            messages.append(client(words, cwd=work).returncode)
            d.wait_idle()
        text = d.read_log()
        if os.path.exists(own):
            with open(own, errors="replace") as f:
                text += f.read()
        text = text.replace(work, "WORK")
    for line in text.splitlines():
        if "sandbox: not to be had here" in line:
            continue  # a sanitizer's build
        # How a peer that goes away during the greeting is logged differs: here, the harness that waits for the daemon.
        if "(code 12)" in line or "safe_read failed" in line:
            continue
        line = re.sub(r"^\S+ \S+ \[\d+\] ", "", line)
        line = re.sub(r"(sent|received) \d+ bytes", r"\1 N bytes", line)
        messages.append(re.sub(r"(rsyncd version) \S+|(listening on port) \d+", r"\1\2 N", line))
    return messages


@pytest.mark.slow
@pytest.mark.parametrize("params", [
    {"transfer logging": "yes"},
    {"transfer logging": "yes", "log format": EVERYTHING},
    {"transfer logging": "yes", "log format": "%n only what was transferred"},
    {"transfer logging": "yes", "log format": "%o %f"},
    {"transfer logging": "yes", "log format": ""},
    {"transfer logging": "no", "log format": "%i %f"},
], ids=["default", "every escape", "no op", "op", "empty", "off"])
def test_transfer_logging_as_stock(work, params):
    logs = []
    for binary in (STOCK_350, KEDGE):
        top = os.path.join(work, "w")
        os.mkdir(top)
        os.chmod(top, 0o755)
        logs.append(run_sessions(top, binary, **params))
        shutil.rmtree(top)
    stock, ours = logs
    # The two processes of a stock receiver write in no fixed order.
    assert sorted(map(str, ours)) == sorted(map(str, stock))
    if params["transfer logging"] == "yes" and params.get("log format") != "":
        assert any("big" in str(m) for m in ours)


def test_log_file_format_turns_items_on_everywhere(work):
    data = os.path.join(work, "data")
    os.mkdir(data)
    lay(data)
    with Daemon(work, {"m": {"path": data}}, args=["--log-file-format=ITEM %n"]) as d:
        assert client(["-r", d.url("m/src/d/"), work + "/o/"]).returncode == 0
        d.wait_idle()
        assert "ITEM x\n" in d.read_log()
    with Daemon(work, {"m": {"path": data, "transfer logging": "yes"}}, args=["--log-file-format="]) as d:
        assert client(["-r", d.url("m/src/d/"), work + "/o2/"]).returncode == 0
        d.wait_idle()
        assert "send" not in d.read_log()


def test_names_cannot_forge_lines(work):
    data = os.path.join(work, "data")
    os.mkdir(data)
    evil = b"x\n2026-01-01 00:00:00 [1] forged \x1b[2J\x85 \\#012"
    write_file(os.fsencode(data) + b"/" + evil, b"1")
    with Daemon(work, {"m": {"path": data, "transfer logging": "yes"}}) as d:
        assert client(["-r", d.url("m/"), work + "/o/"]).returncode == 0
        d.wait_idle()
        with open(d.log, "rb") as f:
            lines = f.read().split(b"\n")
    assert all(re.match(rb"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d \[\d+\] ", line) for line in lines[:-1])
    assert sum(b"forged" in line for line in lines) == 1
    assert rb"x\#0122026-01-01 00:00:00 [1] forged \#033[2J\#205 \#134#012" in b"\n".join(lines)


# ---- syslog ----

FACILITIES = "authpriv cron kern security uucp local0 local7 LOCAL3 16 17 184 nowhere -1".split()
SYSLOG = {**{f"f{i}": {"syslog facility": n} for i, n in enumerate(FACILITIES)},
          "tag": {"syslog tag": "mine", "syslog facility": "local1"}, "variable": {"syslog tag": "of-%RSYNC_MODULE_NAME%"}, "empty": {"syslog tag": ""},
          "long": {"syslog tag": "x" * 200}, "file": {"log file": "@/own"}, "no_file": {"log file": "/none/log"}, "items": {"transfer logging": "yes"},
          "refused": {"read only": "yes"}, "no_path": {"path": "@/none"}}


@pytest.mark.slow
@pytest.mark.skipif(not IS_ROOT, reason="a mount namespace is root's to make")
def test_syslog(work):
    """Facility, severity and tag of every line, from a /dev/log of its own."""
    os.makedirs(work + "/dev")
    for minor, name in ((3, "null"), (5, "zero"), (8, "random"), (9, "urandom")):
        os.mknod(f"{work}/dev/{name}", stat.S_IFCHR | 0o666, os.makedev(1, minor))
        os.chmod(f"{work}/dev/{name}", 0o666)
    os.mkdir(work + "/data")
    write_file(work + "/data/one", b"one")
    mods = {n: {"path": work + "/data", **IDS, **{k: v.replace("@", work) for k, v in p.items()}} for n, p in SYSLOG.items()}
    seen = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(work + "/dev/log")
        os.chmod(work + "/dev/log", 0o666)

        def lines():
            got = []
            with contextlib.suppress(BlockingIOError):
                while True:
                    got.append(sock.recv(9000, socket.MSG_DONTWAIT).decode())
            got = [re.sub(r"^(<\d+>).{16}(.*?)\[\d+\]", r"\1\2", x) for x in got]
            return sorted(re.sub(r" at \S+\(\d+\) \[(\w+)=[^]]*\]|\d+ bytes", r"\1", x) for x in got)

        for name, binary in (("stock", STOCK_350), ("kedge", KEDGE)):
            start = f"{work}/{name}"
            write_file(start, f'#!/bin/sh\nexec unshare -m sh -c \'mount --bind {work}/dev /dev; exec {binary} "$@"\' sh "$@"\n'.encode(), 0o755)
            said = {}
            with Daemon(work, mods, start, ["syslog facility = local5", "syslog tag = all"], ["--log-file="]) as d:
                d.wait_idle()
                lines()
                for m in SYSLOG:
                    client([work + "/data/one", d.url(m)] if m == "refused" else ["-r", d.url(m + "/"), f"{work}/{name}-{m}"])
                    assert not d.wait_idle()
                    said[m] = lines()
            seen.append(said)
    for m, value in seen[0].items():
        assert seen[1][m] == value, m


EVIL = b"x\r2026/01/01 00:00:00 [1] forged \x1b[2J\x01\x7f\x85\xe4 \\#012 %s"


def test_what_a_client_says_cannot_forge_lines(work):
    """Control characters in the module's name, the user's, an unknown command and the request, on both daemons."""
    write_file(work + "/secrets", b"joe:x\n", 0o600)
    mods = {"m": {"path": work, **IDS}, "closed": {"path": work, "auth users": "*", "secrets file": work + "/secrets", **IDS}}
    logs = []
    for binary in (STOCK_350, KEDGE):
        with Daemon(work, mods, binary=binary, global_lines=["reverse lookup = no"]) as d:
            for text in (EVIL, b"#" + EVIL, b"closed\n" + EVIL.replace(b" ", b"_") + b" response",
                         b"m\n--server\0--sender\0-e.LsfxCI\0.\0m/" + EVIL + b"\n" + EVIL + b"\0\0"):
                with d.connect(LIMIT) as s:
                    s.sendall(b"@RSYNCD: 31.0 md5\n" + text + b"\n")
                    half_close(s)
                    rest(s)
                d.wait_idle()
            with open(d.log, "rb") as f:
                lines = f.read().split(b"\n")[:-1]
        assert all(re.fullmatch(rb"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d \[\d+\] [^\x00-\x08\x0a-\x1f\x80-\x9f]*", x) for x in lines), lines
        told = [x.split(b"] ", 1)[1] for x in lines if b"forged" in x]
        logs.append([x for x in told if x.startswith((b"unknown module", b"auth failed"))])
        if binary == KEDGE:
            assert any(x.startswith(b"rsync on m/x") and rb"\#012x\#015" in x for x in told), told
    assert logs[1] == logs[0] and len(logs[0]) == 2


def events(text):
    return [json.loads(line) for line in text.splitlines()]


def test_json_log(work):
    data = os.path.join(work, "data")
    os.mkdir(data)
    lay(data)
    odd = "new\nline \"q\" \\ \u00e4 \U0001f600"
    write_file(os.path.join(data, "src", odd), b"odd\n")
    write_file(os.fsencode(data) + b"/src/bad\xff\xfe", b"b")
    write_file(os.path.join(data, "src", "y" * 255), b"long")
    mods = {"m": {"path": data, "read only": "no", "transfer logging": "yes", **IDS}}
    with Daemon(work, mods, global_lines=["log form = json"]) as d:
        assert client(["-aH", d.url("m/src/"), work + "/o/"]).returncode == 0
        d.wait_idle()
        os.unlink(work + "/o/big")
        assert client(["-a", "--delete", work + "/o/", d.url("m/src/")]).returncode == 0
        assert client([d.url("nope/")]).returncode != 0
        assert client([d.url()]).returncode == 0
        d.wait_idle()
        seen = events(d.read_log())
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", e["time"]) and e["pid"] > 0 for e in seen)
    kinds = [e["event"] for e in seen]
    for kind in ("connect", "access", "request", "item", "end", "list", "unknown-module"):
        assert kind in kinds, kinds
    items = [e for e in seen if e["event"] == "item"]
    sent = {e["path"]: e for e in items if e["op"] == "send"}
    assert sent["src/" + odd]["size"] == 4 and "path_hex" not in sent["src/" + odd]
    assert bytes.fromhex(sent["src/bad\ufffd\ufffd"]["path_hex"]) == b"src/bad\xff\xfe"
    assert sent["src/big"]["bytes"] > sent["src/big"]["size"] == 1234758
    assert sent["src/l"]["target"] == "f1" and sent["src/l"]["change"] == "cL+++++++++"
    assert {e["path"] for e in items if e["op"] == "del."} == {"src/big"}
    ends = [e for e in seen if e["event"] == "end"]
    assert len(ends) == 2 and all(e["code"] == 0 and e["module"] == "m" for e in ends)
    assert ends[0]["sent"] > 1234758 and ends[0]["duration_ms"] >= 0 and ends[0]["literal"] >= 1234758


@pytest.mark.skipif(not IS_ROOT, reason="only a daemon of root makes devices")
def test_json_audit_of_devices(work):
    src, up = os.path.join(work, "src"), os.path.join(work, "up")
    os.mkdir(src)
    os.mkdir(up)
    bad = b"\xff \"q\""
    os.mknod(src + "/null", 0o600 | 0o020000, os.makedev(1, 3))
    os.mknod(os.fsencode(src) + b"/" + bad, 0o600 | 0o020000, os.makedev(1, 3))
    os.mknod(src + "/sda", 0o600 | 0o060000, os.makedev(8, 0))
    mods = {"up": {"path": up, "read only": "no", **IDS, "device nodes": "c 1:3", "log form": "json"}}
    with Daemon(work, mods) as d:
        assert client(["-a", src + "/", d.url("up/")]).returncode in (0, 23)
        d.wait_idle()
        lines = [line for line in d.read_log().splitlines() if line.startswith("{")]
    seen = [e for e in events("\n".join(lines)) if e["event"] == "device"]
    done = {e["path"]: e for e in seen if e["verdict"] == "done"}
    assert done["null"]["dev"] == "1:3" and done["null"]["type"] == "c" and done["null"]["module"] == "up"
    assert done["null"]["rule"] == "c 1:3-3" and done["null"]["client"] == "127.0.0.1"
    assert bad in [bytes.fromhex(e["path_hex"]) for e in done.values() if "path_hex" in e]
    assert [e["verdict"] for e in seen if e["path"] == "sda"] == ["refused"]
