"""Who gets in, how often and for how long, on both daemons: IPv6 peers, log-ins of old and new clients, module names,
slots, time-outs, early input, edits while it runs, daemons of plain users."""
import contextlib
import ctypes
import fcntl
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import threading

import pytest
from harness import CLIENTS, Daemon, IS_ROOT, KEDGE, LIMIT, STOCK_350, client, half_close, preloaded, rest, wait_for, write_file

pytestmark = pytest.mark.slow  # many processes: left out under the sanitizers

BINARIES = (STOCK_350, KEDGE)
IDS = {"uid": "0", "gid": "0"} if IS_ROOT else {}
HELLO = b"@RSYNCD: 31.0 md5\n"


def plain(text, *words):
    if isinstance(text, bytes):
        text = text.decode(errors="replace")
    for w in words:
        text = text.replace(str(w), "@")
    text = re.sub(r" at \S+\(\d+\) \[(\w+)=[^]]*\]", r" [\1]", text)
    return [re.sub(r"^\S+ \S+ \[\d+\] ", "", x) for x in text.splitlines()]


@pytest.fixture
def data(work):
    os.mkdir(work + "/data")
    write_file(work + "/data/one", b"one\n", mtime=10**18)
    return work + "/data"


# ---- IPv6 ----

PEERS = [
    ("exact", "::1", "hosts allow = ::1"), ("bits_all", "::1", "hosts allow = ::1/128"), ("bits", "::1", "hosts allow = ::/16"),
    ("bits_zero", "::1", "hosts allow = ::/0"), ("bits_other", "::1", "hosts allow = fe80::/10 2001:db8::/32"),
    ("mask", "::1", "hosts allow = ::/ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe"), ("long_form", "::1", "hosts allow = 0:0:0:0:0:0:0:1"),
    ("too_many_bits", "::1", "hosts allow = ::1/129"), ("no_bits", "::1", "hosts allow = ::1/"), ("junk", "::1", "hosts allow = zz::1"),
    ("deny_bits", "::1", "hosts deny = ::/127"), ("deny_other", "::1", "hosts deny = ::2 10.0.0.0/8"),
    ("v4_token", "::1", "hosts allow = 127.0.0.1 0.0.0.0/0"), ("name", "::1", "hosts allow = localhost*"),
    ("mapped", "127.0.0.1", "hosts allow = 127.0.0.1"), ("mapped_bits", "127.0.0.1", "hosts deny = 127.0.0.0/8"),
    ("mapped_v6_token", "127.0.0.1", "hosts allow = ::ffff:127.0.0.1 ::/0"),
]


def has_ipv6():
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET6) as s:
        s.bind(("::1", 0))
        return True
    return False


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6 loopback")
@pytest.mark.parametrize("row", PEERS, ids=[r[0] for r in PEERS])
def test_ipv6_peers(work, data, row):
    """Through inetd: one socket of both families, where IPv4 peers have mapped addresses."""
    seen = []
    write_file(work + "/conf", f"{'uid = 0' if IS_ROOT else ''}\n[m]\npath = {data}\n{row[2]}\n".encode())
    for i, binary in enumerate(BINARIES):
        with socket.socket(socket.AF_INET6) as door:
            door.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            door.bind(("::" if "." in row[1] else "::1", 0))
            door.listen(1)
            door.settimeout(LIMIT)
            host = row[1] if "." in row[1] else f"[{row[1]}]"
            c = subprocess.Popen([STOCK_350, f"rsync://{host}:{door.getsockname()[1]}/m/one"], stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE)
            conn, _ = door.accept()
            with conn:
                p = subprocess.Popen([binary, "--daemon", f"--config={work}/conf", f"--log-file={work}/log{i}"], stdin=conn,
                                     stdout=conn, stderr=subprocess.DEVNULL)
            out, err = c.communicate(timeout=LIMIT)
            p.wait(LIMIT)
        with open(f"{work}/log{i}") as f:
            log = [re.sub(r"(error matching address .*?): .*", r"\1", x) for x in plain(f.read())
                   if re.search("connect from|access|denied|malformed|error matching", x)]
        seen.append((c.returncode, out, plain(err)[:1], log))
    assert seen[1] == seen[0]


# ---- log-ins ----

def write_secrets(work):
    write_file(work + "/secrets", b"joe:secret\nann b:other\n", 0o600)
    write_file(work + "/word", b"secret\nignored\n", 0o600)
    write_file(work + "/word-open", b"secret\n", 0o644)


LOGINS = [
    ("env", "auth users = joe", "joe", {"RSYNC_PASSWORD": "secret"}, []),
    ("wrong", "auth users = joe", "joe", {"RSYNC_PASSWORD": "wrong"}, []),
    ("file", "auth users = joe", "joe", {}, ["--password-file=@/word"]),
    ("file_open", "auth users = joe", "joe", {}, ["--password-file=@/word-open"]),
    ("none_given", "auth users = joe", "joe", {"RSYNC_PASSWORD": ""}, []),
    ("rw", "auth users = joe:rw", "joe", {"RSYNC_PASSWORD": "secret"}, []),
    ("deny", "auth users = joe:deny *", "joe", {"RSYNC_PASSWORD": "secret"}, []),
    ("blank_in_name", "auth users = , joe, ann b", "ann%20b", {"RSYNC_PASSWORD": "other"}, []),
    ("floor_md5", "auth users = joe; auth digest = md5", "joe", {"RSYNC_PASSWORD": "secret"}, []),
    ("floor_sha1", "auth users = joe; auth digest = SHA1", "joe", {"RSYNC_PASSWORD": "secret"}, []),
    ("floor_sha512", "auth users = joe; auth digest = sha512", "joe", {"RSYNC_PASSWORD": "secret"}, []),
    ("floor_unknown", "auth users = joe; auth digest = sha3", "joe", {"RSYNC_PASSWORD": "secret"}, []),
    ("floor_old_protocol", "auth users = joe; auth digest = md5", "joe", {"RSYNC_PASSWORD": "secret"}, ["--protocol=29"]),
    ("old_protocol", "auth users = joe", "joe", {"RSYNC_PASSWORD": "secret"}, ["--protocol=29"]),
]


@pytest.fixture(scope="module")
def logins(tmp_path_factory):
    top = str(tmp_path_factory.mktemp("logins"))
    write_secrets(top)
    os.mkdir(top + "/data")
    write_file(top + "/data/one", b"one\n", mtime=10**18)
    mods = {r[0]: {"path": top + "/data", "secrets file": top + "/secrets", **IDS,
                   **dict(p.split(" = ", 1) for p in r[1].split("; "))} for r in LOGINS}
    with Daemon(top, mods, binary=STOCK_350) as a, Daemon(top, mods) as b:
        yield top, a, b


@pytest.mark.parametrize("version", sorted(CLIENTS))
@pytest.mark.parametrize("row", LOGINS, ids=[r[0] for r in LOGINS])
def test_logins(logins, row, version):
    top, *daemons = logins
    name, _, user, env, opts = row
    seen = []
    for d in daemons:
        before = len(d.read_log())
        r = client([*[o.replace("@", top) for o in opts], f"rsync://{user}@127.0.0.1:{d.port}/{name}/"], version, env=env)
        d.wait_idle()
        log = [x for x in plain(d.read_log()[before:]) if "auth failed" in x]
        seen.append((r.returncode, plain(r.stdout, top), plain(r.stderr, top, d.port), log))
    assert seen[1] == seen[0]


# ---- names of modules ----

NAMES = ["plain", "two words", "UPPER", "c#d=e", "ä", "a%b", "-dash", ".", "..", "n" * 300, "tab\tinside", "quote'\"$(x)"]
ASKED = [*NAMES, "Plain", "PLAIN", "upper", "two  words", " plain", "plain ", "twowords", "none", "n" * 299, "n" * 1100, "#list", "#x"]


def test_names_of_modules(work, data):
    got = []
    for binary in BINARIES:
        answers = {}
        with Daemon(work, {n: {"path": data, "comment": "of " + n[:9], **IDS} for n in NAMES}, binary=binary,
                    global_lines=["max unauthenticated per host = 100"]) as d:
            for name in ASKED:
                with d.connect() as s:
                    s.settimeout(LIMIT)
                    s.sendall(HELLO + name.encode() + b"\n")
                    half_close(s)
                    text = rest(s)
                answers[name] = re.sub(rb"(@RSYNCD: OK\n).*", rb"\1", text.partition(b"\n")[2], flags=re.S)
            answers["listing"] = client([d.url()]).stdout
            d.wait_idle()
            answers["log"] = sorted(x for x in plain(d.read_log()) if re.search("unknown module|allowed", x))
        got.append(answers)
    for name, answer in got[0].items():
        assert got[1][name] == answer, name


# ---- the greeting, line by line ----

GREETINGS = {
    "crlf": b"@RSYNCD: 31.0 md5\r\n#list\r\n",
    "longest": b"@RSYNCD: 31.0 " + b"m" * 1008 + b"\n#list\n", "too_long": b"@RSYNCD: 31.0 " + b"m" * 1009 + b"\n#list\n",
    "longest_module": HELLO + b"x" * 1022 + b"\n", "too_long_module": HELLO + b"x" * 1023 + b"\n",
    "empty_module": HELLO + b"\n", "list_blank": HELLO + b"#list \n", "lower_case": b"@rsyncd: 31.0\n#list\n",
    "no_blank": b"@RSYNCD:31.0\n#list\n", "old": b"@RSYNCD: 29\n#list\n", "no_exit_line": b"@RSYNCD: 24\n#list\n",
    "newer": b"@RSYNCD: 40.0 md5\n#list\n", "odd_subprotocol": b"@RSYNCD: 30.x\n#list\n",
    "early_junk": HELLO + b"#early_input=5x\nabcde#list\n", "early_zero": HELLO + b"#early_input=0\n#list\n",
    "early_twice": HELLO + b"#early_input=1\na#early_input=1\nb#list\n",
    "answer_without_blank": HELLO + b"closed\njoe\n", "answer_too_long": HELLO + b"closed\njoe " + b"x" * 5200 + b"\n",
    "no_answer": HELLO + b"closed\n", "no_common_digest": b"@RSYNCD: 31.0 foo\nclosed\n", "empty_user": HELLO + b"closed\n xx\n",
    "own_order": b"@RSYNCD: 31.0 md4 md5 sha1\nclosed\njoe x\n",
}


@pytest.mark.parametrize("args", [[], ["--protocol=27"]], ids=["newest", "27"])
def test_greetings(work, data, args):
    """Every line that may be odd, with the challenge by its length alone."""
    seen = []
    mods = {"m": {"path": data, **IDS}, "closed": {"path": data, "auth users": "joe", "secrets file": work + "/none"}}
    for binary in BINARIES:
        with Daemon(work, mods, binary=binary, args=args, global_lines=["max unauthenticated per host = 200"]) as d:
            said = {}
            for name, text in GREETINGS.items():
                with d.connect(LIMIT) as s:
                    with contextlib.suppress(ConnectionError):
                        s.sendall(text)
                        half_close(s)
                    said[name] = re.sub(rb"AUTHREQD (\S+)", lambda m: b"AUTHREQD %d" % len(m[1]), rest(s))
                d.wait_idle()
            said["log"] = [x for x in plain(d.read_log()) if "auth failed" in x]
        seen.append(said)
    for name, answer in seen[0].items():
        # Where bytes are left unread, the end may overtake stock's last line.
        assert seen[1][name] == answer or ("too_long" in name and seen[1][name].startswith(answer)), name


# ---- names of addresses ----

MODULES = {"allow": {"hosts allow": "good.example"}, "allow_wild": {"hosts allow": "*.example"}, "allow_digits": {"hosts allow": "10.*"},
           "deny": {"hosts deny": "*.example"}, "deny_unknown": {"hosts deny": "unknown"}, "open": {"pre-xfer exec": 'printf %s "$RSYNC_HOST_NAME" > @/host'},
           "hook": {"pre-xfer exec": "echo %RSYNC_HOST_NAME%"}}
# (name of the row, what the address is called, the address of that name; whether the stock daemon takes the name for more)
REVERSE = [
    ("good", b"good.example", "127.0.0.1", False), ("case", b"GOOD.Example", "127.0.0.1", False), ("none", b"", "", False),
    ("no_address", b"good.example", "", False), ("spoofed", b"good.example", "10.0.0.5", False), ("other_family", b"good.example", "::1", False),
    ("address", b"10.0.0.5", "127.0.0.1", False), ("own_address", b"127.0.0.1", "127.0.0.1", False),
    ("digits", b"10.0.0.5.evil.example", "127.0.0.1", True), ("underscore", b"my_host.example", "127.0.0.1", False),
    ("dot", b"good.example.", "127.0.0.1", False), ("wildcards", b"*", "127.0.0.1", False), ("netgroup", b"@good", "127.0.0.1", False),
    ("unknown", b"unknown", "127.0.0.1", False), ("shell", b"a;touch$IFS@`x`.example", "127.0.0.1", False),
    ("longest", b"n" * 91 + b".example", "127.0.0.1", False), ("too_long", b"n" * 92 + b".example", "127.0.0.1", False),
    ("control", b"x\n2026/01/01 00:00:00 [1] forged\x1b[2J.example", "127.0.0.1", True), ("blank", b"a b.example", "127.0.0.1", True),
]


@pytest.fixture(scope="module")
def named(tmp_path_factory):
    """Both daemons with a resolver that answers as the test says: (directory, a function that sets the answer, daemons)."""
    top = tmp_path_factory.mktemp("named")
    os.mkdir(top / "data")
    write_file(str(top / "data/one"), b"one\n")
    subprocess.run([os.environ.get("CC", "cc"), "-shared", "-fPIC", "-O1", "-o", top / "names.so", os.path.dirname(__file__) + "/names.c", "-ldl"],
                   check=True)
    env = preloaded(top / "names.so", KEDGE_NAMES=str(top / "answers"))
    mods = {n: {"path": top / "data", "use chroot": "no", "transfer logging": "yes", "log format": "ITEM %h [%a] %f", **IDS,
                **{k: v.replace("@", str(top)) for k, v in p.items()}} for n, p in MODULES.items()}
    lines = ["forward lookup = no", "max unauthenticated per host = 100"]

    def answer(name, address):
        write_file(str(top / "answers"), f"{name.hex()}\n{address}\n".encode())

    answer(b"", "")
    with Daemon(str(top), mods, STOCK_350, [*lines, f"log file = {top}/own-log"], env=env) as a, Daemon(str(top), mods, None, lines, env=env) as b:
        yield top, answer, (a, b)


@pytest.mark.parametrize("row", REVERSE, ids=[r[0] for r in REVERSE])
def test_names_of_addresses(named, row):
    """Who is let in by name, and what the name can do in the log, to hooks and to the client."""
    top, answer, daemons = named
    row_name, name, address, lenient = row
    answer(name, address)
    seen = []
    for d in daemons:
        logs = [d.log, str(top / "own-log")]
        start = [os.path.getsize(x) if os.path.exists(x) else 0 for x in logs]
        said = {}
        for m in MODULES:
            if m == "open":
                said[m] = client([f"rsync://127.0.0.1:{d.port}/{m}/one", str(top) + "/out/"]).returncode
                continue
            with d.connect(LIMIT) as s:
                s.sendall(HELLO + m.encode() + b"\n")
                half_close(s)
                said[m] = rest(s).partition(b"\n")[2].partition(b"\n")[0]
        d.wait_idle()
        text = ""
        for path, at in zip(logs, start):
            if os.path.exists(path):
                with open(path, errors="replace") as f:
                    f.seek(at)
                    text += f.read()
        assert all(re.match(r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d \[\d+\] [^\x00-\x08\x0a-\x1f\x7f]*$", x) for x in text.splitlines()), text
        said["log"] = sorted({re.sub("(name lookup failed for [^:]*): .*", r"\1", x) for x in plain(text) if re.search("^connect|lookup|spoofed|denied|allowed|ITEM|metachar", x)})
        with open(top / "host", "rb") as f:
            said["hook's name"] = f.read()
        os.unlink(top / "host")
        shutil.rmtree(top / "out")
        seen.append(said)
    if row_name in ("good", "case"):
        assert [m for m in MODULES if seen[1][m] in (0, b"@RSYNCD: OK")] == ["allow", "allow_wild", "deny_unknown", "open", "hook"]
    if lenient:
        # A name that is none, or that could be taken for an address, opens nothing.
        assert seen[1]["allow_digits"].startswith(b"@ERROR: access denied") and seen[0]["open"] == seen[1]["open"]
        assert seen[1]["hook's name"] == (name if row_name == "digits" else b"UNKNOWN")
    else:
        for what, value in seen[0].items():
            assert seen[1][what] == value, what


# ---- PROXY headers ----

MAGIC = b"\r\n\r\n\0\r\nQUIT\n"
V4 = bytes((203, 0, 113, 9, 198, 51, 100, 1)) + struct.pack(">HH", 5555, 873)
V6 = bytes.fromhex("20010db8" + "00" * 11 + "07" + "20010db8" + "00" * 11 + "08") + struct.pack(">HH", 5555, 873)


def v2(command, family, payload, length=None):
    return MAGIC + struct.pack(">BBH", command, family, len(payload) if length is None else length) + payload


HEADERS = {
    "v1": b"PROXY TCP4 203.0.113.9 198.51.100.1 5555 873\r\n", "v1_six": b"PROXY TCP6 2001:db8::7 2001:db8::8 5555 873\r\n",
    "v1_unknown": b"PROXY UNKNOWN\r\n", "v1_unknown_more": b"PROXY UNKNOWN x y z\r\n", "v1_tab": b"PROXY\tTCP4\t203.0.113.9 198.51.100.1 5555 873\r\n",
    "v1_other": b"PROXY UDP4 203.0.113.9 198.51.100.1 5555 873\r\n", "v1_lower": b"proxy TCP4 203.0.113.9 198.51.100.1 5555 873\r\n",
    "v1_lf": b"PROXY TCP4 203.0.113.9 198.51.100.1 5555 873\n", "v1_cr": b"PROXY TCP4 203.0.113.9\r 198.51.100.1 5555 873\r\n",
    "v1_blanks": b"PROXY TCP4  203.0.113.9 198.51.100.1 5555 873\r\n", "v1_name": b"PROXY TCP4 localhost 198.51.100.1 5555 873\r\n",
    "v1_scope": b"PROXY TCP6 fe80::1%1 2001:db8::8 5555 873\r\n", "v1_port_0": b"PROXY TCP4 203.0.113.9 198.51.100.1 0 873\r\n",
    "v1_words": b"PROXY TCP4 203.0.113.9 198.51.100.1 5555 873 x\r\n",
    "v1_few": b"PROXY TCP4 203.0.113.9 198.51.100.1 5555\r\n", "v1_none": b"PROXY\r\n" + b"x" * 9,
    "v1_longest": b"PROXY UNKNOWN " + b"x" * 91 + b"\r\n", "v1_too_long": b"PROXY UNKNOWN " + b"x" * 92 + b"\r\n", "none": b"",
    "v2": v2(0x21, 0x11, V4), "v2_six": v2(0x21, 0x21, V6), "v2_local": v2(0x20, 0x11, V4), "v2_local_empty": v2(0x20, 0, b""),
    "v2_unspecified": v2(0x21, 0, b"abc"), "v2_udp": v2(0x21, 0x12, V4), "v2_unix": v2(0x21, 0x31, bytes(200)), "v2_unix_216": v2(0x21, 0x31, bytes(216)),
    "v2_too_long": v2(0x21, 0, bytes(217)), "v2_64k": v2(0x21, 0x11, V4, 0xffff), "v2_command": v2(0x22, 0x11, V4), "v2_version_1": v2(0x11, 0x11, V4),
    "v2_version_3": v2(0x31, 0x11, V4), "v2_short": v2(0x21, 0x11, V4[:11]), "v2_six_short": v2(0x21, 0x21, V6[:35]), "v2_magic": b"\n" + v2(0x21, 0x11, V4)[1:],
}
# Refused by one and taken by the other: what the address is in the log of each.
STRICTER = {"v1_port_big": (b"PROXY TCP4 203.0.113.9 198.51.100.1 70000 873\r\n", "203.0.113.9", None),
            "v1_port_sign": (b"PROXY TCP4 203.0.113.9 198.51.100.1 -1 873\r\n", "203.0.113.9", None),
            "v1_family": (b"PROXY TCP4 2001:db8::7 2001:db8::8 5555 873\r\n", "2001:db8::7", None),
            "v2_tlv": (v2(0x21, 0x11, V4 + b"\x04\0\x01x"), None, "203.0.113.9"),
            "v2_mapped": (v2(0x21, 0x21, bytes(10) + b"\xff\xff\xcb\0\x71\x09" + V6[16:]), "::ffff:203.0.113.9", "203.0.113.9")}


def test_proxy_headers(work, data):
    """Every header, good or bad: who the client is for the daemon, or that the connection ends without a word."""
    seen = []
    for binary in BINARIES:
        with Daemon(work, {"m": {"path": data}}, binary=binary, global_lines=["max unauthenticated per host = 200"]) as d:
            d.write_conf({"m": {"path": data}}, ["proxy protocol = yes", "proxy protocol hosts = 127.0.0.1", "reverse lookup = no",
                                                 "max unauthenticated per host = 200"])
            said = {}
            for name, header in [*HEADERS.items(), *((n, h[0]) for n, h in STRICTER.items())]:
                before = len(d.read_log())
                with d.connect(LIMIT) as s:
                    with contextlib.suppress(ConnectionError):
                        s.sendall(header + HELLO + b"#list\n")
                        half_close(s)
                    got = rest(s)
                d.wait_idle()
                who = re.findall(r"connect from UNDETERMINED \((.*)\)", d.read_log()[before:])
                assert bool(who) == got.startswith(b"@RSYNCD:"), (name, who, got)
                said[name] = who[0] if who else None
            seen.append(said)
    for name in HEADERS:
        assert seen[1][name] == seen[0][name], name
    assert {n: (seen[0][n], seen[1][n]) for n in STRICTER} == {n: h[1:] for n, h in STRICTER.items()}


# ---- slots ----

def hold(d, module):
    """A session that waits behind the greeting."""
    s = d.connect(LIMIT)
    s.sendall(HELLO + module.encode() + b"\n")
    text = b""
    while not text.endswith((b"OK\n", b"later\n")):
        piece = s.recv(4096)
        assert piece, text
        text += piece
    return s, text.splitlines()[-1]


def test_slots_of_a_shared_lock_file(work, data):
    seen = []
    for binary in BINARIES:
        mods = {"a": {"path": data, "max connections": 2, **IDS}, "b": {"path": data, "max connections": 1, **IDS},
                "other": {"path": data, "max connections": 1, "lock file": work + "/other", **IDS}}
        said = []
        with Daemon(work, mods, binary=binary, global_lines=[f"lock file = {work}/lock"]) as d:
            held = []
            for m in ("a", "b", "a", "a", "other", "other", "b"):
                s, line = hold(d, m)
                held.append(s)
                said.append((m, line))
            for s in held:
                s.close()
            assert not d.wait_idle()
            s, line = hold(d, "b")
            s.close()
            said.append(line)
            d.wait_idle()
            said.append(d.read_log().count("max connections (1) reached"))
            said.append((os.stat(work + "/lock").st_size, oct(os.stat(work + "/lock").st_mode)))
        os.unlink(work + "/lock")
        os.unlink(work + "/other")
        seen.append(said)
    assert seen[1] == seen[0]


@pytest.mark.parametrize("way", ["killed client", "killed session"])
def test_slots_come_back(work, data, way):
    write_file(data + "/big", bytes(40_000_000))
    for binary in BINARIES:
        with Daemon(work, {"m": {"path": data, "max connections": 1, "lock file": work + "/lock", **IDS}}, binary=binary) as d:
            p = subprocess.Popen([STOCK_350, "-a", "--bwlimit=200", d.url("m/"), work + "/out/"], stderr=subprocess.DEVNULL,
                                 start_new_session=True)
            wait_for(lambda: os.path.exists(work + "/out") and any(n.startswith(".big") for n in os.listdir(work + "/out")))
            assert b"max connections (1) reached" in client([d.url("m/")]).stderr
            if way == "killed client":
                os.killpg(p.pid, signal.SIGKILL)
            else:
                for pid in d.sessions():
                    with contextlib.suppress(OSError):
                        os.kill(pid, signal.SIGKILL)
            assert p.wait(LIMIT) != 0
            assert not d.wait_idle()
            assert client([d.url("m/one")]).returncode == 0
        shutil.rmtree(work + "/out")
        os.unlink(work + "/lock")


# ---- time ----

ARGS = b"--server\0--sender\0-logDtpre.LsfxCIvu\0.\0m/\0\0"
SLOW = ARGS.replace(b".\0", b"--timeout=1\0.\0", 1)
SILENCE = [("module", "timeout = 1", ARGS), ("smaller_of_client", "timeout = 30", SLOW),
           ("client_alone", "timeout = 0", SLOW),
           ("smaller_of_module", "timeout = 1", SLOW.replace(b"=1", b"=30")),
           ("no_negotiation", "timeout = 1", ARGS.replace(b"LsfxCIvu", b"LsfxCI")),
           ("arguments", "timeout = 1", b"--server\0"), ("negative", "timeout = -1", SLOW)]


@pytest.mark.parametrize("row", SILENCE, ids=[r[0] for r in SILENCE])
def test_silence_is_cut(work, data, row):
    """A client that sends its arguments (or some of them), and then nothing."""
    seen = []
    # A negative value turns off what the client has asked for, too, at the stock daemon.
    for i, binary in enumerate(BINARIES if row[0] != "negative" else BINARIES[1:]):
        words = dict([row[1].split(" = ")])
        with Daemon(work, {"m": {"path": data, **IDS, **words}}, binary=binary, global_lines=[f"log file = {work}/log{i}"]) as d:
            with d.connect(LIMIT) as s:
                s.sendall(HELLO + b"m\n")
                text = b""
                while not text.endswith(b"OK\n"):
                    text += s.recv(4096)
                s.sendall(row[2])
                rest(s)
            assert not d.wait_idle()
            log = d.read_log()
            if os.path.exists(f"{work}/log{i}"):
                with open(f"{work}/log{i}") as f:
                    log += f.read()
            seen.append(sorted({x for x in plain(log) if re.search("timeout|code 30", x)}))
    assert seen[-1] == seen[0] and len(seen[0]) == 2


# ---- early input ----

@pytest.mark.parametrize("version", sorted(CLIENTS))
@pytest.mark.parametrize("size", [0, 1, 5120, 5121, 6000])
def test_early_input(work, data, size, version):
    seen = []
    write_file(work + "/in", b"x" * size)
    for binary in BINARIES:
        hook = f"cat > {work}/got; env | grep -c RSYNC_MODULE_NAME=m >> {work}/got; exit 0"
        with Daemon(work, {"m": {"path": data, "early exec": hook, **IDS}}, binary=binary) as d:
            r = client([f"--early-input={work}/in", d.url("m/")], version)
            d.wait_idle()
        got = None
        if os.path.exists(work + "/got"):
            with open(work + "/got", "rb") as f:
                got = f.read()
            os.unlink(work + "/got")
        seen.append((r.returncode, r.stdout, plain(r.stderr, d.port), got))
    assert seen[1] == seen[0]


# ---- edits while it runs ----

def test_edits_are_seen_by_the_next_connection(work, data):
    seen = []
    for binary in BINARIES:
        top = os.path.join(work, "w")
        os.makedirs(top + "/conf.d")
        said = []
        with Daemon(top, {}, binary=binary) as d:
            d.write_conf({}, [f"motd file = {top}/motd", f"&include {top}/conf.d"])

            def listing():
                said.append(client([d.url()]).stdout)

            listing()
            write_file(top + "/conf.d/b.conf", f"[b]\npath = {data}\n".encode())
            listing()
            write_file(top + "/motd", b"Hello.\n")
            write_file(top + "/conf.d/a.conf", f"[a]\npath = {data}\ncomment = new\n".encode())
            listing()
            write_file(top + "/motd", b"Hallo.\n")
            write_file(top + "/conf.d/a.conf", f"[a]\npath = {data}\ncomment = old\n".encode())
            listing()
            os.rename(top + "/conf.d/b.conf", top + "/conf.d/b.off")
            os.unlink(top + "/motd")
            listing()
            said.append(client([d.url("b/")]).returncode)
            d.write_conf({"own": {"path": data}})
            listing()
        seen.append(said)
        shutil.rmtree(top)
    assert seen[1] == seen[0]


def test_a_broken_file_is_told_and_the_last_one_holds(work, data):
    with Daemon(work, {"m": {"path": data, **IDS}}) as d:
        for fault, text in (("[open\n", "Badly formed line in config file: open"), ("= x\n", "Invalid parameter name"),
                            ("&include /none/such\n", 'unable to stat config file "/none/such"')):
            with open(d.conf) as f:
                good = f.read()
            with open(d.conf, "a") as f:
                f.write(fault)
            assert client([d.url("m/")]).returncode == 0
            assert text in d.read_log() and "the one read before stays in force" in d.read_log()
            with open(d.conf, "w") as f:
                f.write(good)
        os.unlink(d.conf)
        assert client([d.url("m/")]).returncode == 0
        assert "unable to open config file" in d.read_log()


# ---- daemons of plain users, and the rest of the module's place ----

PLACES = [
    ("unset", {}), ("no", {"use chroot": "no"}), ("yes", {"use chroot": "yes"}), ("inner", {"path": "@/./data"}),
    ("inner_no", {"path": "@/./data", "use chroot": "no"}), ("relative", {"path": "data"}), ("relative_up", {"path": "data/../data"}),
    ("uid_own", {"uid": "65534"}), ("uid_other", {"uid": "1"}), ("gid_other", {"gid": "1"}), ("uid_unknown", {"uid": "no-such"}),
    ("path_home", {"path": "%ACCESS_TOP%/data"}),
]


@pytest.mark.parametrize("user", ["root", "nobody"])
@pytest.mark.skipif(not IS_ROOT, reason="starts daemons as two users")
def test_places(work, user):
    seen = []
    os.mkdir(work + "/data", 0o755)
    write_file(work + "/data/one", b"one\n", mtime=10**18)
    own = {} if user == "nobody" else IDS
    mods = {n: {"path": work + "/data", **own, **{k: v.replace("@", work) for k, v in p.items()}} for n, p in PLACES}
    for binary in BINARIES:
        with Daemon(work, mods, binary=binary, env={"ACCESS_TOP": work}, user=None if user == "root" else user, cwd=work) as d:
            said = {}
            for name, _ in PLACES:
                r = client([d.url(name + "/")])
                d.wait_idle()
                said[name] = (r.returncode, plain(r.stdout), plain(r.stderr, work, d.port)[:1])
        seen.append(said)
    for name, answer in seen[0].items():
        assert seen[1][name] == answer, name


@pytest.mark.skipif(not IS_ROOT, reason="only root owns files for others")
@pytest.mark.parametrize("chroot", ["yes", "no"])
@pytest.mark.parametrize("numeric", [None, "unset", "yes", "no"])
def test_names_of_owners(work, data, chroot, numeric):
    """A map by name on the client's side shows whether the daemon has sent names."""
    os.chown(data + "/one", 1, 1)
    seen = []
    for binary in BINARIES:
        m = {"path": data, "use chroot": chroot, **IDS, **({"numeric ids": numeric} if numeric else {})}
        with Daemon(work, {"m": m}, binary=binary) as d:
            r = client(["-a", "--usermap=daemon:77", "--groupmap=daemon:78", d.url("m/"), work + "/out/"])
        st = os.stat(work + "/out/one")
        seen.append((r.returncode, st.st_uid, st.st_gid))
        shutil.rmtree(work + "/out")
    if numeric == "no" and chroot == "yes":
        # The stock daemon looks for names inside of the chroot.
        assert seen == [(0, 1, 1), (0, 77, 78)]
    else:
        assert seen[1] == seen[0]


@pytest.mark.parametrize("value", ["unset", "yes", "no"])
@pytest.mark.parametrize("wish", [[], ["-M--open-noatime"]], ids=["plain", "asked"])
def test_open_noatime(work, data, value, wish):
    seen = []
    for binary in BINARIES:
        with Daemon(work, {"m": {"path": data, "open noatime": value, **IDS}}, binary=binary) as d:
            os.utime(data + "/one", ns=(10**17, 10**18))
            r = client(["-a", *wish, d.url("m/"), work + "/out/"])
            d.wait_idle()
        seen.append((r.returncode, os.stat(data + "/one").st_atime_ns == 10**17))
        shutil.rmtree(work + "/out")
    assert seen[1] == seen[0]


# ---- limits of a host, from which loopback is exempt ----

ELSEWHERE = "10.9.8.7"


def with_address(body):
    """Runs body in a network of its own, whose loopback interface has the address ELSEWHERE too."""
    failed = []

    def run():
        try:
            assert ctypes.CDLL(None).unshare(0x40000000) == 0  # CLONE_NEWNET, of this thread
            with socket.socket() as s:
                fcntl.ioctl(s, 0x8914, struct.pack("16sH22x", b"lo", 1))  # SIOCSIFFLAGS, IFF_UP
                fcntl.ioctl(s, 0x8916, struct.pack("16sHH4s16x", b"lo:1", socket.AF_INET, 0, socket.inet_aton(ELSEWHERE)))  # SIOCSIFADDR
            body()
        except BaseException as e:
            failed.append(e)
    t = threading.Thread(target=run)
    t.start()
    t.join()
    if failed:
        raise failed[0]


def from_elsewhere(d):
    s = socket.create_connection(("127.0.0.1", d.port), LIMIT, (ELSEWHERE, 0))
    with contextlib.suppress(ConnectionError):
        return s, s.recv(200)
    return s, b""


@pytest.mark.skipif(not IS_ROOT, reason="needs a network of its own")
def test_limits_of_a_host(work, data):
    mods = {"m": {"path": data}}

    def most():
        with Daemon(work, mods, global_lines=["max per host = 2", "reverse lookup = no"]) as d:
            held = [from_elsewhere(d) for _ in range(2)]
            assert all(hello.startswith(b"@RSYNCD:") for _, hello in held)
            assert from_elsewhere(d)[1] == b"@ERROR: max connections (2) reached -- try again later\n"
            assert client([d.url("m/")]).returncode == 0  # loopback
            held.pop()[0].close()
            wait_for(lambda: from_elsewhere(d)[1].startswith(b"@RSYNCD:"))
            held.pop()[0].close()
            assert f"connection from {ELSEWHERE} refused: too many connections from this host" in d.read_log()

    def rate():
        with Daemon(work, mods, global_lines=["connect rate per host = 1", "reverse lookup = no"]) as d:
            assert [from_elsewhere(d)[1][:4] for _ in range(4)] == [b"@RSY"] * 3 + [b""]
            assert f"connection from {ELSEWHERE} refused: this host connects too often" in d.read_log()

    def penalty():
        for words, shut in (("yes", True), ("no", False)):
            with Daemon(work, mods, global_lines=[f"host penalties = {words}", "reverse lookup = no"]) as d:
                def nonsense():
                    s, hello = from_elsewhere(d)
                    if hello:
                        s.sendall(b"nonsense\n")
                        rest(s)
                    return f"connection from {ELSEWHERE} refused: this host is shut out for a while" in d.read_log()

                if shut:
                    wait_for(nonsense)
                else:
                    assert not any(nonsense() for _ in range(15))

    for body in (most, rate, penalty):
        with_address(body)
