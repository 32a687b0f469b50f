"""Device nodes and specials: every type over every kind of existing target, under every policy, option and identity,
with the stock client as the peer; and the audit trail of it.
"""
import collections
import contextlib
import errno
import json
import os
import re
import shutil
import socket
import stat
import subprocess
import threading

import pytest
from harness import Daemon, IS_ROOT, KEDGE, client, give_tree, obstacle, write_file
from takeover import HOOKS

pytestmark = pytest.mark.skipif(not IS_ROOT, reason="making device nodes to send needs root")
CHR, BLK, FIFO, SOCK = stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK
# What is sent. The mode shows what becomes of the bits that would let others in or change identity.
TYPES = {"null": (CHR, (1, 3)), "zero": (CHR, (1, 5)), "loop": (BLK, (7, 0)), "white": (CHR, (0, 0)), "fifo": (FIFO, (0, 0)), "sock": (SOCK, (0, 0))}
EXISTING = ["none", "same", "number", "file", "dir", "full", "link"]
MODE = 0o6711
POLICIES = {"none": "", "any": "any", "hit": "c 1:3, c 1:5, b 7:0-7, c 0:0", "miss": "c 5:1, b 8"}
FLAGS = {"-a": (True, True), "-rlpt --devices": (True, False), "-rlpt --specials": (False, True), "-a --no-D": (False, False),
         "-a -M--drop-D": (False, False), "-a -M--no-super": (False, True)}


def make(path, kind, dev, mode):
    if kind == SOCK:
        with socket.socket(socket.AF_UNIX) as s:
            here = os.open(os.path.dirname(path), os.O_RDONLY)
            s.bind(f"/proc/self/fd/{here}/{os.path.basename(path)}")
            os.close(here)
    else:
        os.mknod(path, kind | 0o600, os.makedev(*dev))
    os.chmod(path, mode)


def make_source(top):
    os.mkdir(top)
    for t, (kind, dev) in TYPES.items():
        for e in EXISTING:
            make(f"{top}/{t}-{e}", kind, dev, MODE)
            os.utime(f"{top}/{t}-{e}", ns=(10**18, 10**18))


def make_existing(top, uid):
    for t, (kind, dev) in TYPES.items():
        for e in EXISTING:
            path = f"{top}/{t}-{e}"
            if e == "same":
                make(path, kind, dev, 0o600)
            elif e == "number":
                make(path, FIFO if kind == SOCK else SOCK if kind == FIFO else kind, (1, 9), 0o600)
            elif e == "file":
                write_file(path, b"keep me\n", 0o600)
            else:
                obstacle(path, e)
    give_tree(top, uid)


def facts(path):
    """(type, number, mode, uid, inode)"""
    try:
        st = os.lstat(path)
    except FileNotFoundError:
        return None
    return stat.S_IFMT(st.st_mode), st.st_rdev, stat.S_IMODE(st.st_mode), st.st_uid, st.st_ino


def permitted(policy, t):
    """Char 0:0, which is an overlay's whiteout, is not among "any"."""
    return policy == "hit" or policy == "any" and t != "white"


NEW, OLD, OLDEST = ("3.5.0", None), ("3.2.7", None), ("3.2.7", 27)
ROWS = [(p, f, uid, chroot, NEW) for p in POLICIES for i, f in enumerate(FLAGS) for uid in (0, 65534) for chroot in ("yes", "no")
        if (i + (uid > 0) + (chroot == "no")) % 2 or f == "-a"]
# Devices are framed in other ways by older protocols, and must be understood where they are refused too (spec 09 D5).
ROWS += [(p, "-a", uid, "yes", peer) for p in POLICIES for uid, peer in ((0, OLD), (65534, OLD), (0, OLDEST))]


@pytest.mark.parametrize("policy,flags,uid,chroot,peer", ROWS, ids=lambda x: " ".join(map(str, x)) if isinstance(x, tuple) else str(x))
def test_matrix(work, policy, flags, uid, chroot, peer):
    src, mod = work + "/src", work + "/mod"
    make_source(src)
    os.mkdir(mod)
    make_existing(mod, uid)
    before = {n: facts(f"{mod}/{n}") for n in os.listdir(src)}
    params = {"path": mod, "read only": "no", "uid": uid, "gid": uid, "use chroot": chroot, "munge symlinks": "no"}
    if POLICIES[policy]:
        params["device nodes"] = POLICIES[policy]
    with Daemon(work, {"m": params}) as d:
        r = client([*flags.split(), src + "/", d.url("m/")], *peer)
        assert not d.wait_idle()
        log = d.read_log()
    devices, specials = FLAGS[flags]
    said = (r.stdout + r.stderr).decode()
    wrong, full = [], 0
    for name, old in before.items():
        t, e = name.split("-")
        kind, dev = TYPES[t]
        is_dev = kind in (CHR, BLK)
        makes = specials if not is_dev else devices and permitted(policy, t)
        now = facts(f"{mod}/{name}")
        if not makes:
            if now != old:
                wrong.append(f"{name}: {old} became {now}, and was to be left alone")
            if f'skipping non-regular file "{name}"' not in said:
                wrong.append(f"{name}: nothing was said")
            continue
        if e == "full":
            full += 1
            if now != old:
                wrong.append(f"{name}: a full directory had to make way: {now}")
            continue
        # Set-id bits have no meaning on a device node but to whoever finds it by a search for them: they are dropped.
        want = (kind, os.makedev(*dev), MODE & 0o777 if is_dev else now[2] if now else None, uid)
        if not now or now[:4] != want:
            wrong.append(f"{name}: {now}, not {want}")
        elif e == "same" and now[4] != old[4]:
            wrong.append(f"{name}: made anew, although it was there")
        elif e in ("number", "file", "link") and now[4] == old[4]:
            wrong.append(f"{name}: not replaced")
    assert not wrong, "\n".join(wrong) + "\n" + said + log
    assert r.returncode == (23 if full else 0), said
    assert not [n for n in os.listdir(mod) if n.startswith(".")], "temporaries were left"
    assert said.count("could not make way") == full, said
    audit(log, policy, devices)


def audit(log, policy, devices):
    """One record with a verdict per device that the client wanted made."""
    lines = [x for x in log.splitlines() if " op=MK" in x and "verdict=granted" not in x]
    if not devices:
        assert not lines
        return
    for t in ("null", "zero", "loop", "white"):
        kind, (major, minor) = TYPES[t]
        for e in EXISTING:
            mine = [x for x in lines if f'path="{t}-{e}"' in x]
            if e == "same" and permitted(policy, t):
                continue  # nothing to make
            assert len(mine) == 1, (t, e, mine)
            m = re.search(r"client=127\.0\.0\.1 user= module=m .* type=(.) dev=(\d+):(\d+) verdict=(\w+) rule=\"([^\"]*)\"", mine[0])
            assert m, mine[0]
            assert (m[1], int(m[2]), int(m[3])) == ("c" if kind == CHR else "b", major, minor)
            assert m[4] == ("done" if permitted(policy, t) else "refused")
            assert (m[5] == "none") == (not permitted(policy, t)), mine[0]


FORGED = [b'x" type=c dev=1:3 verdict=done rule="any', b"new\nline device session=1 client=9.9.9.9 verdict=done", b"back\\slash\\#040",
          b"\x1b[31m", b"bad\xff\xfe", b"a=b c", b"\xe2\x80\xae"]
RECORD = re.compile(r'\d{4}-\d\d-\d\dT[\d:.]+Z device session=(?P<session>\S+) client=(?P<client>\S+) user=(?P<user>\S*) module=(?P<module>\S+) '
                    r'op=(?P<op>[A-Z]+) path="(?P<path>[!-~]*?)"(?: to="(?P<to>[!-~]*?)")? type=(?P<type>[cb]) dev=(?P<dev>\d+:\d+) '
                    r'verdict=(?P<verdict>[a-z]+) rule="(?P<rule>[^"]*)" errno=(?P<errno>\d+)')


def parse(log, form):
    """The records of the log as dictionaries, names as bytes; every line that begins like one is one."""
    for line in log.split("\n"):
        if form == "json" and line:
            r = json.loads(line)
            if r["event"] == "device":
                for n in ("path", "to"):
                    if n in r:
                        r[n] = bytes.fromhex(r[n + "_hex"]) if n + "_hex" in r else r[n].encode()
                yield {**r, "errno": str(r["errno"])}
        elif re.match(r"\S+ device ", line):
            r = RECORD.fullmatch(line).groupdict()
            for n in ("path", "to"):
                if r[n] is not None:
                    r[n] = re.sub(rb"\\#(\d{3})", lambda m: bytes([int(m[1], 8)]), r[n].encode())
            yield {k: v for k, v in r.items() if v is not None}


@pytest.mark.parametrize("form", ["text", "json"])
def test_audit_records(work, form):
    """Every request has its record with every fact and verdict, whatever the names try to add."""
    for d in ("src", "new", "dirs/theirs"):
        os.makedirs(f"{work}/{d}")
    for name in FORGED:
        for suffix, minor in ((b"", 3), (b".no", 1)):
            os.mknod(os.fsencode(work) + b"/src/" + name + suffix, CHR | 0o600, os.makedev(1, minor))
        os.link(os.fsencode(work) + b"/src/" + name, os.fsencode(work) + b"/src/" + name + b".link")
        os.mknod(os.fsencode(work) + b"/new/" + name, CHR | 0o600, os.makedev(1, 5))
    os.mknod(work + "/dirs/theirs/dev", CHR | 0o600, os.makedev(1, 3))
    write_file(work + "/secrets", b"joe:word\n", 0o600)
    params = one_module(work, device_nodes="c 1:3, c 1:5", auth_users="joe", secrets_file=work + "/secrets")
    with Daemon(work, params, global_lines=["log form = json"] if form == "json" else []) as d:
        os.mkdir(work + "/mod/theirs")
        os.chown(work + "/mod/theirs", 1234, 0)
        for source, code in (("src", 0), ("new", 0), ("dirs", 23)):
            r = client(["-rbHD", f"{work}/{source}/", d.url("m/").replace("//", "//joe@")], env={"RSYNC_PASSWORD": "word"})
            assert r.returncode == code, r.stderr
        assert not d.wait_idle()
        records = list(parse(d.read_log(), form))
    assert {(r["client"], r["user"], r["module"], r["type"]) for r in records} == {("127.0.0.1", "joe", "m", "c")}
    assert len({r["session"] for r in records}) == 3
    seen = collections.Counter((r["op"], r["path"], r.get("to"), r["dev"], r["verdict"], r["rule"], r["errno"]) for r in records)
    assert not [k for k, n in seen.items() if n != 1], seen
    third, fifth = "c 1:3-3", "c 1:5-5"
    for name in FORGED:
        for verdict in ("granted", "done"):
            assert seen["MKTEMP", name, None, "1:3", verdict, third, "0"] == 1, (name, seen)
            assert seen["MKTEMP", name, None, "1:5", verdict, fifth, "0"] == 1, (name, seen)
            # The old node goes to its backup.
            assert sum(n for k, n in seen.items() if k[0] in ("MOVE", "LINK") and k[1:3] == (name, name + b"~") and k[4] == verdict) == 1, (name, seen)
            assert sum(n for k, n in seen.items() if k[0] == "LINK" and k[2].endswith(b".link") and k[4] == verdict) >= len(FORGED)
        assert seen["MKTEMP", name + b".no", None, "1:1", "refused", "none", "1"] == 1, (name, seen)
    assert [k[4:] for k in seen if k[1] == b"theirs/dev"] == [("refused", third, str(errno.EACCES))], seen


def one_module(work, **params):
    mod = work + "/mod"
    os.makedirs(mod, exist_ok=True)
    return {"m": {"path": mod, "read only": "no", "uid": 0, "gid": 0, **{k.replace("_", " "): v for k, v in params.items()}}}


@pytest.mark.parametrize("opts", [["-aH"], ["-aH", "--link-dest=../alt"]], ids=" ".join)
def test_hard_linked_nodes(work, opts):
    """Links between nodes are the broker's too, and only for those on the list."""
    src = work + "/src"
    os.mkdir(src)
    for name, minor in (("null", 3), ("kmsg", 11)):
        os.mknod(f"{src}/{name}", CHR | 0o600, os.makedev(1, minor))
        os.link(f"{src}/{name}", f"{src}/{name}-again")
    with Daemon(work, one_module(work, device_nodes="c 1:3")) as d:
        os.makedirs(work + "/mod/alt")
        r = client([*opts, src + "/", d.url("m/to/")])
        assert r.returncode == 0, r.stderr
    to = work + "/mod/to"
    assert sorted(os.listdir(to)) == ["null", "null-again"], r.stderr
    assert os.lstat(to + "/null").st_ino == os.lstat(to + "/null-again").st_ino and os.lstat(to + "/null").st_nlink == 2


@pytest.mark.parametrize("opts", [["-ab"], ["-ab", "--backup-dir=bk"]], ids=" ".join)
def test_backups_of_nodes(work, opts):
    """A node that is replaced goes to its backup name as a node."""
    src = work + "/src"
    os.mkdir(src)
    os.mknod(src + "/dev", CHR | 0o600, os.makedev(1, 3))
    with Daemon(work, one_module(work, device_nodes="c 1:3, c 1:5")) as d:
        os.mknod(work + "/mod/dev", CHR | 0o600, os.makedev(1, 5))
        r = client([*opts, src + "/", d.url("m/")])
        assert r.returncode == 0, r.stderr
    kept = work + ("/mod/bk/dev" if "--backup-dir=bk" in opts else "/mod/dev~")
    assert os.lstat(work + "/mod/dev").st_rdev == os.makedev(1, 3)
    assert os.lstat(kept).st_rdev == os.makedev(1, 5)


def test_a_failed_creation_leaves_what_was_there(work):
    """The directory is another user's: the broker refuses, the file stays, and it is an error (spec 09 D8)."""
    src = work + "/src"
    os.mkdir(src)
    os.mknod(src + "/dev", CHR | 0o600, os.makedev(1, 3))
    with Daemon(work, one_module(work, device_nodes="any")) as d:
        os.mkdir(work + "/mod/theirs")
        os.chown(work + "/mod/theirs", 1234, 0)
        write_file(work + "/mod/theirs/dev", b"precious\n")
        r = client(["-rD", "--backup", src + "/", d.url("m/theirs/")])
        assert r.returncode == 23 and b"mknod" in r.stderr, r.stderr
    assert os.listdir(work + "/mod/theirs") == ["dev"]
    with open(work + "/mod/theirs/dev") as f:
        assert f.read() == "precious\n"


@pytest.mark.parametrize("direction", ["push", "pull"])
@pytest.mark.parametrize("opened", ["no", "yes"])
def test_opening_devices(work, direction, opened):
    """--copy-devices and --write-devices are refused where the module does not open devices, whatever 'refuse options' says."""
    src = work + "/src"
    os.mkdir(src)
    option = "--write-devices" if direction == "push" else "--copy-devices"
    with Daemon(work, one_module(work, device_nodes="c 1:3", device_open=opened, refuse_options="!copy-devices !write-devices")) as d:
        os.mknod(work + "/mod/null", CHR | 0o666, os.makedev(1, 3))
        write_file(src + "/null", b"data\n")
        r = client(["-a", "-M" + option, src + "/null", d.url("m/null")] if direction == "push" else
                   ["-a", "-M" + option, d.url("m/null"), work + "/got"])
    assert stat.S_ISCHR(os.lstat(work + "/mod/null").st_mode) or opened == "yes"
    if opened == "no":
        assert r.returncode in (4, 10, 12), (r.returncode, r.stderr)
        assert b"configured to refuse " + option.encode() in r.stderr, r.stderr


@pytest.mark.parametrize("direction", ["push", "pull"])
@pytest.mark.parametrize("listed", [True, False])
def test_opened_devices_are_on_the_list(work, direction, listed):
    """`device open` opens what `device nodes` lists, and no other device that happens to be in the module."""
    src = work + "/src"
    os.mkdir(src)
    with Daemon(work, one_module(work, device_nodes="c 1:3" if listed else "c 5:0", device_open="yes",
                                 refuse_options="!copy-devices !write-devices")) as d:
        os.mknod(work + "/mod/null", CHR | 0o666, os.makedev(1, 3))
        write_file(src + "/null", b"data\n")
        r = client(["-a", "-M--write-devices", src + "/null", d.url("m/null")] if direction == "push" else
                   ["-a", "-M--copy-devices", d.url("m/null"), work + "/got"])
    assert r.returncode == (0 if listed else 23), r.stderr
    assert stat.S_ISCHR(os.lstat(work + "/mod/null").st_mode)
    if direction == "pull":
        assert os.path.isfile(work + "/got") == listed
    if not listed:
        assert b"Operation not permitted" in r.stderr, r.stderr


def has_mounts():
    return subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode == 0


@pytest.fixture
def syslog(work):
    """A daemon whose log is syslog, in a mount namespace with a /dev of its own; and what it logged."""
    if not has_mounts():
        pytest.skip("a /dev of its own needs a mount namespace")
    lines, stop = [], threading.Event()
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    sock.bind(work + "/syslog")
    sock.settimeout(0.1)

    def listen():
        while not stop.is_set():
            with contextlib.suppress(OSError):
                lines.append(sock.recv(65536).decode(errors="replace"))

    reader = threading.Thread(target=listen)
    reader.start()
    script = work + "/in-its-own-dev"
    with open(script, "w") as f:
        f.write("#!/bin/sh\nfor a; do shift; case $a in --log-file=*) ;; *) set -- \"$@\" \"$a\" ;; esac; done\n"
                f"exec unshare -m sh -c 'mount -t tmpfs none /dev && mknod -m 666 /dev/null c 1 3 && mknod -m 666 /dev/urandom c 1 9 && "
                f"if [ -z \"$NO_SYSLOG\" ]; then ln -s {work}/syslog /dev/log; fi && exec {KEDGE} \"$@\"' sh \"$@\"\n")
    os.chmod(script, 0o755)
    yield script, lines
    stop.set()
    reader.join()
    sock.close()


@pytest.mark.parametrize("rule", ["log", "require"])
def test_audit_by_syslog(work, syslog, rule):
    script, lines = syslog
    src = work + "/src"
    os.mkdir(src)
    os.mknod(src + "/null", CHR | 0o600, os.makedev(1, 3))
    os.mknod(src + "/mem", CHR | 0o600, os.makedev(1, 1))
    with Daemon(work, one_module(work, device_nodes="c 1:3", device_audit=rule), binary=script) as d:
        r = client(["-a", src + "/", d.url("m/")])
        assert r.returncode == 0, r.stderr
    assert os.listdir(work + "/mod") == ["null"]
    records = [x for x in lines if " device session=" in x]
    assert all(re.match(r"<\d+>rsyncd\[\d+\]: \d{4}-", x) for x in records), records
    assert [m for x in records for m in re.findall(r'op=MKTEMP path="(\w+)" .* verdict=(\w+)', x)] == [
        ("mem", "refused"), ("null", "granted"), ("null", "done")]


@pytest.mark.parametrize("rule", ["log", "require"])
def test_audit_without_a_sink(work, syslog, rule):
    """No log file and no syslog: 'require' makes no node, and that is an error of the transfer."""
    script, _ = syslog
    src = work + "/src"
    os.mkdir(src)
    os.mknod(src + "/null", CHR | 0o600, os.makedev(1, 3))
    with Daemon(work, one_module(work, device_nodes="c 1:3", device_audit=rule), binary=script, env={"NO_SYSLOG": "1"}) as d:
        r = client(["-a", src + "/", d.url("m/")])
    assert r.returncode == (23 if rule == "require" else 0), r.stderr
    assert os.path.lexists(work + "/mod/null") == (rule == "log")


# ---- mounts ----

# (mount option, module parameters): what is said at the start and by --check-config
MOUNTS = [
    ("nodev", {}, "is mounted nodev: device nodes are stored there, and nobody can open them"),
    ("nodev", {"device_open": "yes"}, '"device open" has no effect: '),
    ("dev", {}, "which is not mounted nodev: whoever can reach them there can open them"),
    ("dev", {"device_open": "yes"}, None),
    ("nodev", {"device_nodes": "none"}, None),
    ("nodev", {"read_only": "yes"}, None),
]


@pytest.mark.parametrize("mount,params,said", MOUNTS, ids=[f"{m} {' '.join(p)}" for m, p, _ in MOUNTS])
def test_nodev_is_reported(work, mount, params, said):
    if not has_mounts():
        pytest.skip("a mount of its own needs a mount namespace")
    os.makedirs(work + "/src")
    os.mknod(work + "/src/null", CHR | 0o666, os.makedev(1, 3))
    script, mod = work + "/on-its-own-mount", work + "/mod"
    with open(script, "w") as f:
        f.write(f"#!/bin/sh\nexec unshare -m sh -c 'mount -t tmpfs -o {mount},mode=755 none {mod} && exec {KEDGE} \"$@\"' sh \"$@\"\n")
    os.chmod(script, 0o755)
    params = {"device_nodes": "c 1:3", "refuse_options": "!copy-devices", **params}
    with Daemon(work, one_module(work, **params), binary=script) as d:
        if said and mount == "nodev" and "device_open" in params:
            # Nodes are made all the same; opening one is an error of that file.
            assert client(["-a", work + "/src/", d.url("m/")]).returncode == 0
            r = client(["-a", "-M--copy-devices", d.url("m/null"), work + "/got"])
            assert r.returncode == 23 and b"Permission denied" in r.stderr, r.stderr
        log = d.read_log()
        r = subprocess.run([script, "--daemon", "--check-config", f"--config={d.conf}"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                           text=True, check=False)
    for text in (log, r.stdout):
        about = [x for x in text.splitlines() if re.search("mounted nodev|\"device open\" has", x)]
        assert len(about) == (1 if said else 0) and (not said or said in about[0]), text


# ---- the layers as configured ----

@pytest.mark.skipif(not os.access(HOOKS, os.X_OK), reason=f"{HOOKS} was not built")
@pytest.mark.parametrize("off", ["seccomp", "nnp"])
def test_the_trial_at_start_bites(work, off):
    """A daemon whose worker could make nodes, sockets or processes does not start (spec 09 section 15.6)."""
    with pytest.raises(RuntimeError, match="sandbox trial: making a device node was possible"):
        Daemon(work, one_module(work), binary=HOOKS, env={"KEDGE_DISABLE": off})


@pytest.mark.skipif(not os.access(HOOKS, os.X_OK), reason=f"{HOOKS} was not built")
@pytest.mark.parametrize("word,served", [("require", False), ("prefer", True), ("Require", False), ("nonsense", False), ("", True)])
def test_sandbox_of_a_module(work, word, served):
    """With the Landlock layer gone: what each word of 'sandbox' does."""
    params = one_module(work, sandbox=word) if word else one_module(work)
    with Daemon(work, params, binary=HOOKS, env={"KEDGE_DISABLE": "landlock"}) as d:
        r = client([d.url("m/")])
        log = d.read_log()
    assert (r.returncode == 0) == served, r.stderr
    assert ("requires every sandbox layer; landlock" in log) == (not served)
    assert "sandbox: not to be had here: landlock" in log
    assert shutil.which("true")
