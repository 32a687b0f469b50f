"""What /proc tells of live processes is what the table of processes in doc/security.md says."""
import grp
import os
import pwd
import re
import stat
import subprocess
import time

import pytest
from harness import IS_ROOT, KEDGE, SANITIZED, children, state, wait_for, write_file
from server import Server
from takeover import Session, Target, comm, fds, status

DOC = os.path.join(os.path.dirname(__file__), "../../doc/security.md")
CAPS = ["CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP", "LINUX_IMMUTABLE",
        "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER", "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT",
        "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE", "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD",
        "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP"]
SHIELD = os.ST_NODEV | os.ST_NOSUID | os.ST_NOEXEC
pytestmark = pytest.mark.skipif(not IS_ROOT, reason="reading /proc of other users' processes needs root")


def table():
    """{process: {column: cell}} from the tables of the section "Processes"."""
    with open(DOC) as f:
        text = f.read().split("## Processes", 1)[1].split("\n## ", 1)[0]
    rows = [[c.strip() for c in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    found, head = {}, None
    for r in rows:
        if r[0] == "process":
            head = r
        elif r[0].strip("-"):
            found[r[0]] = dict(zip(head, r))
    return found


def cap_set(cell, root):
    """A cell "NAMES" or "NAMES; uid 0: NAMES" as a bit mask."""
    plain, _, of_root = cell.partition("; uid 0: ")
    names = of_root if root and of_root else plain
    return 0 if names == "none" else sum(1 << CAPS.index(n) for n in names.split(", "))


def mount_id(pid, n):
    with open(f"/proc/{pid}/fdinfo/{n}") as f:
        return dict(line.split(":\t") for line in f.read().splitlines() if line.startswith("mnt_id"))["mnt_id"]


def own_mounts(pid):
    """Descriptors on mounts that no mount table has: those that kedge made of a module's root."""
    with open("/proc/self/mountinfo") as f:
        known = {line.split()[0] for line in f}
    found = set()
    for n, what in fds(pid).items():
        if what.startswith("/") and mount_id(pid, n) not in known:
            found.add(n)
    return found


def kind(target, n, what, own=()):
    """The word of the table for a descriptor."""
    if n <= 2:
        return "0-2"
    if what.startswith("socket:"):
        inode = what[8:-1]
        for path, word in (("/proc/net/tcp", "connection"), ("/proc/net/unix", "channels")):
            with open(path) as f:
                for line in f.read().splitlines()[1:]:
                    cells = line.split()
                    if cells[9 if path.endswith("tcp") else 6] == inode:
                        return "listening sockets" if word == "connection" and cells[3] == "0A" else word
        return what
    if what == "anon_inode:[eventfd]":
        return "wake-ups of its threads"
    if what == "anon_inode:[signalfd]":
        return "signals"
    if what == target.daemon.log:
        return "log"
    if what.startswith(target.mod) or what == "/" or n in own:
        return "module root and what is open below it"
    if "kedge-empty" in what:
        return "the gate's empty directory"
    return what


def same_inode(a, b):
    return (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino)


def holds_only(row, held):
    """A monitor may be looking a name up just now, with a file or a socket of the name service."""
    allowed = set(row["descriptors"].split(", "))
    for _ in range(100):
        more = held() - allowed
        if not more:
            return
        time.sleep(0.02)
    raise AssertionError(more)


def no_core(pid):
    """Its memory is nobody else's, and no core holds what the peer sent."""
    with open(f"/proc/{pid}/limits") as f:
        assert re.search(r"Max core file size +0 +0 ", f.read())
    assert os.stat(f"/proc/{pid}/status").st_uid == 0  # not dumpable


def check(target, pid, row, uid):
    st = status(pid)
    me = status("self")
    started = {"uid": 0, "groups": me["Groups"], "capabilities": int(me["CapPrm"], 16)}
    want_uid = {"as started": started["uid"], "`gate user` (`nobody`)": pwd.getpwnam("nobody").pw_uid, "the module's": uid}[row["uid"]]
    assert set(st["Uid"].split()) == {str(want_uid)}, st["Uid"]
    if row["uid"] != "as started":
        assert set(st["Gid"].split()) == {str(grp.getgrnam("nogroup").gr_gid if "gate" in row["uid"] else uid)}, st["Gid"]
    want_groups = {"as started": started["groups"], "none": "", "the module's": str(uid)}[row["groups"]]
    assert st["Groups"].split() == want_groups.split()
    caps = {n: int(st[n], 16) for n in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")}
    if row["capabilities"] == "as started":
        assert caps["CapPrm"] == caps["CapEff"] == started["capabilities"]
    else:
        want = cap_set(row["capabilities"], uid == 0)
        assert caps == {"CapInh": 0, "CapPrm": want, "CapEff": want, "CapBnd": want, "CapAmb": 0}, (caps, hex(want))
    root = os.stat(f"/proc/{pid}/root/.")
    if row["root"] == "host":
        assert same_inode(root, os.stat("/"))
    elif row["root"] in ("the module root", "the module root, nodev"):
        assert same_inode(root, os.stat(target.mod))
        flags = os.statvfs(f"/proc/{pid}/root/.").f_flag
        assert (flags & SHIELD == SHIELD) == row["root"].endswith("nodev"), flags
        own = own_mounts(pid)
        # All that it holds of the module, the root's own descriptor first, is on that mount.
        assert bool(own) == row["root"].endswith("nodev")
        assert not own or not [w for n, w in fds(pid).items() if n not in own and w.startswith(target.mod)]
    else:
        assert row["root"] == "an empty directory"
        assert os.listdir(f"/proc/{pid}/root") == [] and stat.S_IMODE(root.st_mode) == 0o555 and root.st_uid == 0
        assert root.st_nlink == 0  # removed: nobody can put anything into it
    assert st["Seccomp"] == {"no": "0", "allow-list": "2"}[row["seccomp"].split(" ")[0]], st["Seccomp"]
    assert st["NoNewPrivs"] == {"no": "0", "yes": "1"}[row["no_new_privs"]]
    own = own_mounts(pid) if "nodev" in row["root"] else ()
    holds_only(row, lambda: {kind(target, n, what, own) for n, what in fds(pid).items()})
    if row["seccomp"] != "no":
        no_core(pid)


@pytest.mark.parametrize("uid", [0, 65534])
@pytest.mark.parametrize("what", ["push", "pull"])
def test_processes_are_as_documented(work, what, uid):
    rows = table()
    setting = {"read_only": True} if what == "pull" else {"devices": "c 1:3"}
    with Target(work, uid=uid, **setting) as t:
        with Session(t, "gate") as s:
            check(t, t.daemon.proc.pid, rows["listener"], uid)
            check(t, s.role("monitor"), rows["monitor"], uid)
            check(t, s.role("gate"), rows["gate"], uid)
            assert sorted(s.pids) == ["gate", "monitor"]
        with Session(t, what) as s:
            check(t, t.daemon.proc.pid, rows["listener"], uid)
            check(t, s.role("monitor"), rows["monitor"], uid)
            check(t, s.role("worker"), rows["worker, receiving" if what == "push" else "worker, sending"], uid)
            if what == "push":
                check(t, s.role("broker"), rows["broker"], uid)
            # One process of each kind and no other; no broker where none is needed (spec 09 T12).
            assert sorted(s.pids) == ["broker", "monitor", "worker"][what == "pull":]


@pytest.mark.parametrize("uid", [0, 65534])
def test_a_broker_that_opens(work, uid):
    """`device open` in a read only module: it makes nothing, and its worker opens nothing."""
    rows = table()
    extra = {"device open": "yes", "refuse options": "!copy-devices"}
    with Target(work, uid=uid, read_only=True, devices="c 1:5", extra=extra) as t, Session(t, "pull", ["-M--copy-devices"]) as s:
        assert sorted(s.pids) == ["broker", "monitor", "worker"]
        check(t, s.role("worker"), rows["worker, sending"], uid)
        check(t, s.role("broker"), rows["broker, `read only` module"], uid)


@pytest.mark.parametrize("args", [{}, {"devices": "none"}])
def test_no_broker_without_a_policy(work, args):
    with Target(work, **args) as t, Session(t, "push") as s:
        assert sorted(s.pids) == ["monitor", "worker"]


def check_plain(target, pid, row, uid):
    """The same row for a daemon of a plain user: nothing to give up, nobody to become, no jail but the gate's."""
    st = status(pid)
    assert (st["Uid"].split(), st["Groups"].split()) == ([str(uid)] * 4, status(target.daemon.proc.pid)["Groups"].split())
    assert not any(int(st[n], 16) for n in ("CapInh", "CapPrm", "CapEff", "CapAmb"))
    assert st["Seccomp"] == {"no": "0", "allow-list": "2"}[row["seccomp"].split(" ")[0]], st["Seccomp"]
    assert st["NoNewPrivs"] == {"no": "0", "yes": "1"}[row["no_new_privs"]]
    if row["root"] == "an empty directory":
        assert os.listdir(f"/proc/{pid}/root") == []
    else:
        assert same_inode(os.stat(f"/proc/{pid}/root/."), os.stat("/"))
    holds_only(row, lambda: {kind(target, n, what) for n, what in fds(pid).items()})


def test_processes_of_a_plain_user(work):
    rows, uid = table(), pwd.getpwnam("nobody").pw_uid
    with Target(work, user="nobody", devices="c 1:3") as t:
        with Session(t, "gate") as s:
            check_plain(t, t.daemon.proc.pid, rows["listener"], uid)
            check_plain(t, s.role("monitor"), rows["monitor"], uid)
            check_plain(t, s.role("gate"), rows["gate"], uid)
        with Session(t, "push") as s:
            check_plain(t, s.role("monitor"), rows["monitor"], uid)
            check_plain(t, s.role("worker"), rows["worker, receiving"], uid)
            assert sorted(s.pids) == ["monitor", "worker"]  # it could not make a node: no broker


# ---- remote-shell servers ----

def caps_with(cell, options):
    """A cell "NAMES; with `OPTION` NAMES" as a bit mask."""
    first, *more = cell.split("; with ")
    names = set() if first == "none" else set(first.split(", "))
    for part in more:
        option, given = re.fullmatch("`(.*)` (.*)", part).groups()
        names |= set(given.split(", ")) if option in options else set()
    return sum(1 << CAPS.index(n) for n in names)


def server_kind(n, what, dirs, files):
    if n <= 2:
        return "0-2"
    if what.startswith("socket:"):
        return "channels"
    if what == "anon_inode:[signalfd]":
        return "signals"
    if what == "anon_inode:[eventfd]":
        return "wake-ups of its threads"
    if what in files:
        return files[what]
    for d, word in dirs.items():
        if what == d or what.startswith(d.rstrip("/") + "/"):
            return word
    return what


def check_server(pid, row, user, root, caps, dirs, files=()):
    """dirs: {directory: the table's word for descriptors in it}; files: the same of single files."""
    st, me = status(pid), status("self")
    assert set(st["Uid"].split()) == set(st["Gid"].split()) == {str(user or 0)}
    assert user or st["Groups"] == me["Groups"]
    caps = 0 if user else caps
    sets = {n: int(st[n], 16) for n in ("CapInh", "CapPrm", "CapEff", "CapAmb")}
    assert sets == {"CapInh": 0, "CapPrm": caps, "CapEff": caps, "CapAmb": 0}, sets
    # A plain user cannot cut the bounding set; with no_new_privs nothing comes of it.
    assert int(st["CapBnd"], 16) == (int(me["CapBnd"], 16) if user else caps), st["CapBnd"]
    assert st["Seccomp"] == {"no": "0", "allow-list": "2"}[row["seccomp"].split(",")[0]], st["Seccomp"]
    assert SANITIZED or st["Seccomp_filters"] == ("1" if st["Seccomp"] == "2" else "0")
    assert st["NoNewPrivs"] == {"yes": "1"}[row["no_new_privs"]]
    assert os.path.samefile(f"/proc/{pid}/root/.", "/" if user else root)
    with open(f"/proc/{pid}/mountinfo") as f:
        mounts = [set(line.split(" - ")[0].split()[5].split(",")) for line in f]
    # What a broker opens it opens elsewhere. Others see no mount with devices: the one root that is a mount of its own is in no list.
    if "broker" not in comm(pid):
        shielded = not user and row["root, if root"].endswith("nodev")
        assert (os.statvfs(f"/proc/{pid}/root/.").f_flag & SHIELD == SHIELD) == shielded
        assert all({"nodev", "nosuid", "noexec"} <= m for m in mounts) == shielded
    held = {server_kind(n, what, dirs, dict(files)) for n, what in fds(pid).items()}
    assert held <= set(row["descriptors"].split(", ")), held
    no_core(pid)


# (direction, options): what of them matters
SERVERS = [("push", []), ("push", ["-X"]), ("push", ["-M--confine-root=@/dst"]), ("push", ["--temp-dir=@/tmp", "--link-dest=@/alt", "-M--log-file=@/log"]),
           ("pull", []), ("pull", ["--remove-source-files", "--files-from=:@/list"]), ("pull", ["--open-noatime", "-M--log-file=@/log"])]


@pytest.mark.parametrize("user", [None, 65534])
@pytest.mark.parametrize("way,options", SERVERS, ids=lambda x: x if isinstance(x, str) else " ".join(x))
def test_servers_are_as_documented(work, way, options, user):
    rows = table()
    for d in ("dst", "tmp", "alt"):
        os.mkdir(f"{work}/{d}")
        os.chown(f"{work}/{d}", user or 0, user or 0)
    write_file(f"{work}/list", b"big\n")
    push, far, one = way == "push", any("-dir" in o for o in options), any("-root" in o for o in options)
    options = [o.replace("@", work) for o in options]
    with Server(work, way, "/" if one else f"{work}/dst/" if push else f"{work}/big-pull/", options, user=user) as s:
        row = rows["receiving server" if push else "sending server"]
        named = "named directories and what is open below them"
        dirs = {f"{work}/{d}": named for d in ("dst", "tmp", "alt")} | ({work: "the jail"} if far else {"/": named} if one and not user else {}) if push else {"/": "`/` and what is open below it"}
        words = [o.split("=")[0].removeprefix("-M") for o in options]
        root = (work if far else work + "/dst") if push else "/"
        check_server(s.pid, row, user, root, caps_with(row["capabilities, if root"], words), dirs,
                     {f"{work}/log": "log", f"{work}/list": "named files"}.items())
        helpers = s.helpers()
        # Root sends devices with -a: a broker stands by. Names are looked up.
        assert set(helpers) == {"kedge-names"} | ({"kedge-broker"} if push and not user else set())
        check_server(helpers["kedge-names"], rows["names"], user, "/", 0, {})
        if "kedge-broker" in helpers:
            row = next(r for n, r in rows.items() if n.startswith("broker (root"))
            caps = cap_set(row["capabilities, if root"].split("; a sender")[0], True)
            check_server(helpers["kedge-broker"], row, None, work + "/dst", caps, dirs)


@pytest.mark.parametrize("user", [None, 65534])
def test_argument_reader(work, user):
    """It waits, confined, for arguments that come when they come."""
    row = table()["argument reader (`-s`)"]
    p = subprocess.Popen([KEDGE, "--server", "-slogDtpre.iLsfxCIvu"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, user=user, group=user)
    try:
        pid = wait_for(lambda: [c for c in children(p.pid) if comm(c) == "kedge-args" and status(c)["Seccomp"] == "2"])[0]
        check_server(pid, row, user, "/", cap_set(row["capabilities, if root"], True), {"/": "`/` and what is open below it"})
        wait_for(lambda: state(pid) == "S")
        p.stdin.write(b"rsync\0-logDtpre.iLsfxCIvu\0.\0" + work.encode() + b"\0\0")
        p.stdin.flush()
        assert len(p.stdout.read(4)) == 4
        assert "kedge-args" not in map(comm, children(p.pid))
    finally:
        p.kill()
        p.communicate()
