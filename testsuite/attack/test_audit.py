"""What /proc tells of live processes is what the table of processes in doc/security.md says."""
import grp
import os
import pwd
import re
import stat

import pytest
from harness import IS_ROOT
from takeover import Session, Target, fds, status

DOC = os.path.join(os.path.dirname(__file__), "../../doc/security.md")
CAPS = ["CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP", "LINUX_IMMUTABLE",
        "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER", "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT",
        "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE", "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD"]
pytestmark = pytest.mark.skipif(not IS_ROOT, reason="reading /proc of other users' processes needs root")


def table():
    """{process: {column: cell}} from the section "Processes"."""
    with open(DOC) as f:
        text = f.read().split("## Processes", 1)[1].split("\n## ", 1)[0]
    rows = [[c.strip() for c in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    return {r[0]: dict(zip(rows[0], r)) for r in rows[2:]}


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
        nodev = os.ST_NODEV | os.ST_NOSUID | os.ST_NOEXEC
        assert (flags & nodev == nodev) == row["root"].endswith("nodev"), flags
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
    held = {kind(target, n, what, own) for n, what in fds(pid).items()}
    assert held <= set(row["descriptors"].split(", ")), held
    if row["seccomp"] != "no":
        # Nothing is shared with other processes' memory, and no core holds what the peer sent.
        with open(f"/proc/{pid}/limits") as f:
            limits = f.read()
        assert re.search(r"Max core file size +0 +0 ", limits)
        assert os.stat(f"/proc/{pid}/status").st_uid == 0  # not dumpable


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


def test_processes_of_a_plain_user(work):
    """No privilege to give up: the filter and no_new_privs hold, and the gate has an empty root by a user namespace."""
    uid = pwd.getpwnam("nobody").pw_uid
    with Target(work, user="nobody") as t:
        with Session(t, "gate") as s:
            st = status(s.role("gate"))
            assert (st["Seccomp"], st["NoNewPrivs"], int(st["CapEff"], 16)) == ("2", "1", 0)
            assert os.listdir(f"/proc/{s.role('gate')}/root") == []
        with Session(t, "push") as s:
            st = status(s.role("worker"))
            assert (st["Seccomp"], st["NoNewPrivs"], int(st["CapPrm"], 16)) == ("2", "1", 0)
            assert st["Uid"].split() == [str(uid)] * 4
            held = {kind(t, n, what) for n, what in fds(s.role("worker")).items()}
            assert held <= set(table()["worker, receiving"]["descriptors"].split(", ")), held
