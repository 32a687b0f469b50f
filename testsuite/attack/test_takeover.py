"""An attacker who runs code of his own in a process of kedge gets nothing that the process was not meant to have.

gdb attaches to the live gate, worker and broker and makes them try everything in takeover.acts(). Every act must
fail, and by the layer named here; with the seccomp filter switched off the layers behind it must stop what they
are there for; and with every layer switched off all of it must succeed, so that the test is known to bite.
"""
import os
import stat

import pytest
from harness import snapshot, write_file
from takeover import ALL_LAYERS, Gdb, HOOKS, Session, Target, acts, fds, here, outcome, why_not

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not() or "")
hooks = pytest.mark.skipif(not os.access(HOOKS, os.X_OK), reason=f"{HOOKS} was not built")

# What stops an act when its call is not on the process's list: the filter kills.
SECCOMP = ("SIGSYS", "seccomp")
CHROOT = ("ENOENT", "chroot")

READING = ["openat /etc/shadow", "openat ../out/file", "openat2 ../out/file", "openat2 absolute", "readlinkat outside",
           "statx outside", "setns", "openat O_CREAT outside", "openat O_TRUNC outside"]
WRITING = ["mkdirat outside", "symlinkat outside", "mknodat fifo outside", "fchmodat outside", "fchmodat2 outside",
           "fchownat outside", "utimensat outside", "setxattrat outside", "linkat outside in", "renameat outside", "unlinkat outside"]
BROKING = ["openat2 ../out/file", "openat2 absolute", "linkat outside in", "unlinkat outside"]
BY_ERROR = {"clone3": ("ENOSYS", "seccomp")}  # so that the C library uses clone, whose flags the filter can see

OPENING = ["openat a device inside", "openat a device inside for writing", "openat2 a device inside"]
NODEV = {n: ("EACCES", "the nodev mount") for n in OPENING}
RECEIVER = {**{n: CHROOT for n in READING + WRITING}, **NODEV, **BY_ERROR}
SENDER = {**{n: CHROOT for n in READING}, **NODEV, **BY_ERROR}
BROKER = {**{n: CHROOT for n in BROKING}, "openat2 a device inside": ("EACCES", "landlock")}

# A daemon of a plain user cannot chroot: Landlock stands in, except where it does not look (doc/security.md).
LANDLOCK = ("EACCES", "landlock")
UNSEEN = ("done", "nothing: documented")
RIGHTS = ("EPERM", "the user's rights")
UNCOVERED = ["readlinkat outside", "statx outside", "fchmodat outside", "fchmodat2 outside", "utimensat outside", "setxattrat outside"]
PLAIN = {**{n: LANDLOCK for n in READING + WRITING}, **BY_ERROR, **{n: UNSEEN for n in UNCOVERED},
         # Nor can he have a mount of his own: a device in his module is opened by whoever may.
         **{n: UNSEEN for n in OPENING},
         "linkat outside in": ("EXDEV", "landlock"), "fchownat outside": RIGHTS}

# With the filter off: who stops what then. What is not named here needs a path outside, which the chroot hides.
CAPS = ("EPERM", "capabilities")
SCOPE = ("EPERM", "landlock scope")
BEHIND = {
    **NODEV,
    "mknodat block inside": LANDLOCK, "mknodat char inside": LANDLOCK, "mknodat char, junk above the type": LANDLOCK,
    "mknodat char 0:0": LANDLOCK, "open_by_handle_at": CAPS,
    "kill the monitor": SCOPE, "kill an unrelated process": SCOPE, "tgkill an unrelated process": SCOPE,
    "ptrace": ("EPERM", "landlock"), "process_vm_readv": ("EPERM", "landlock"), "socket and connect": ("EACCES", "landlock net"),
    "setuid 0": CAPS, "setresgid 0": CAPS, "setgroups": CAPS, "capset": CAPS, "raise RLIMIT_NOFILE": ("EPERM", "limits"),
    "fsopen": CAPS, "unshare": CAPS, "bpf": CAPS, "perf_event_open": ("EACCES", "capabilities"), "userfaultfd": CAPS, "chroot": CAPS,
    "unshare user": ("EPERM|EINVAL", "chroot"),  # EINVAL: a process with threads may not even ask
}
# seccomp alone stands before these (doc/security.md names them).
ALONE = ["renameat2 WHITEOUT", "pidfd_open", "fork", "clone", "clone3", "socket unix", "netlink", "io_uring_setup", "keyctl",
         "personality", "mmap executable", "prctl dumpable"]
# A process of uid 0 without capabilities may call itself uid 0; with the securebits locked that gives it nothing.
ROOT_ALREADY = {"setuid 0": ("done", "nothing to gain"), "setresgid 0": ("done", "nothing to gain")}


def root_fd(target, pid):
    """The process's own descriptor of the module, or -100 for one that has none."""
    known = [n for n, what in fds(pid).items() if what in (target.mod, "/")]
    return min(known) if known else -100


def attempt(target, gdb, kind, role, only=None):
    """{act: outcome}; a new session whenever one has ended a process."""
    seen, todo, sessions = {}, None, 0
    while todo is None or todo:
        sessions += 1
        assert sessions < 120, f"no progress at {todo}"
        with Session(target, kind) as s:
            pid = s.role(role)
            every = acts(target, root_fd(target, pid), s.role("monitor"))
            if todo is None:
                todo = [n for n in every if only is None or n in only]
            for answer in gdb.ask(pid, [every[n] for n in todo]):
                if outcome(answer) != "vanished":  # gdb missed how it ended: once more, in the next session
                    seen[todo.pop(0)] = outcome(answer)
    return seen


def judge(seen, expected, default):
    """Compares outcomes with a table of (outcome, layer)."""
    wrong = []
    for name, got in seen.items():
        want, layer = expected.get(name, default)
        if got not in want.split("|"):
            wrong.append(f"{name}: {got}, where {layer} should have given {want}")
    assert not wrong, "\n".join(wrong)


def nodes(top):
    """Device nodes below a directory."""
    found = []
    for d, _, files in os.walk(top):
        for f in files:
            st = os.lstat(os.path.join(d, f))
            if stat.S_ISCHR(st.st_mode) or stat.S_ISBLK(st.st_mode):
                found.append((f, os.major(st.st_rdev), os.minor(st.st_rdev)))
    return found


ROLES = {
    "gate": ("gate", "gate", {}, BY_ERROR),
    "worker receiving as nobody": ("push", "worker", {"uid": 65534}, RECEIVER),
    "worker receiving as root": ("push", "worker", {"devices": "c 1:3"}, RECEIVER),
    "worker sending as root": ("pull", "worker", {"read_only": True}, SENDER),
    "broker": ("push", "broker", {"devices": "c 1:3"}, BROKER),
    "gate of a plain user": ("gate", "gate", {"user": "nobody"}, BY_ERROR),
    "worker receiving for a plain user": ("push", "worker", {"user": "nobody"}, PLAIN),
}


@pytest.mark.parametrize("name", ROLES)
def test_confined(work, name):
    kind, role, setting, expected = ROLES[name]
    with Gdb(work + "/gdb.log") as gdb, Target(work, **setting) as t:
        before = snapshot(t.out, xattrs=True)
        seen = attempt(t, gdb, kind, role)
        assert not t.daemon.wait_idle()
        log = t.daemon.read_log()
    assert len(seen) > 60
    judge(seen, expected, SECCOMP)
    done = [n for n, o in seen.items() if o == "done"]
    if set(done) <= set(OPENING):
        assert snapshot(t.out, xattrs=True) == before
    assert {n for n, *_ in nodes(t.mod)} <= {"null", "node"}, nodes(t.mod)
    # A killed gate or worker is not overlooked.
    if role != "broker":
        assert log.count("killed by signal 31") >= list(seen.values()).count("SIGSYS")


@hooks
@pytest.mark.parametrize("name", [n for n in ROLES if "plain" not in n])
def test_behind_the_filter(work, name):
    """The seccomp filter switched off: one session tries everything, and the other layers hold by themselves."""
    kind, role, setting, _ = ROLES[name]
    expected = {**BEHIND, **{n: ("done", "nothing but seccomp") for n in ALONE}}
    if setting.get("uid") is None and role != "gate":
        expected.update(ROOT_ALREADY)
    if role == "broker":
        # What the broker is for, it may do; that its requests are judged is the business of other tests.
        expected.update({n: ("done", "its task") for n in BEHIND if n.startswith("mknodat")})
        expected.update({n: ("EACCES", "landlock") for n in OPENING})
        expected["open_by_handle_at"] = LANDLOCK
    if role == "gate" or setting.get("read_only") or role == "broker":
        expected["renameat2 WHITEOUT"] = ("ENOENT|EACCES", "landlock")
    if role == "gate":
        expected.update({n: CHROOT for n in expected if n.startswith("mknodat") or n == "open_by_handle_at" or n in OPENING})
        expected["memfd and exec"] = ("EFBIG", "limits")
        expected.update({n: ("EAGAIN", "limits") for n in ("fork", "clone", "clone3")})
        expected["execve"] = ("ENOENT|EAGAIN", "chroot or limits")
    with Gdb(work + "/gdb.log") as gdb, Target(work, disable="seccomp,trial", **setting) as t:
        before = snapshot(t.out, xattrs=True)
        seen = attempt(t, gdb, kind, role)
    judge(seen, expected, CHROOT)
    assert snapshot(t.out, xattrs=True) == before


@hooks
@pytest.mark.parametrize("layer", ["chroot", "landlock"])
def test_without_one_layer(work, layer):
    """What the filter admits, with the jail or the Landlock domain gone: the other one stops it."""
    expected = {**PLAIN, "fchownat outside": CAPS} if layer == "chroot" else {n: CHROOT for n in READING + WRITING}
    with Gdb(work + "/gdb.log") as gdb, Target(work, disable=layer, uid=65534) as t:
        seen = attempt(t, gdb, "push", "worker", only=READING + WRITING)
    judge(seen, expected, SECCOMP)


# What a worker of root gets through a directory that it holds when a local user moves it out of the module: (outcome on a
# mount of its own, outcome without one and without a jail)
MOVED = {
    "read in it": (257, ["x", 0], "done", "EACCES"),
    "make in it": (258, ["new", 0o700], "done", "EACCES"),
    "step up": (257, ["..", 0o10000000], "ENOENT", "done"),
    "read beside it": (257, ["../file", 0], "ENOENT", "EACCES"),
    "remove beside it": (263, ["../doomed1", 0], "ENOENT", "EACCES"),
    "chmod beside it": (268, ["../file", 0o600], "ENOENT", "done"),
    "chown beside it": (260, ["../file", 1, 1, 0x100], "ENOENT", "done"),
}


@pytest.mark.parametrize("disable", [None, pytest.param("chroot", marks=hooks)])
def test_directory_that_was_moved_out(work, disable):
    with Gdb(work + "/gdb.log") as gdb, Target(work, disable=disable) as t:
        os.mkdir(t.mod + "/going")
        write_file(t.mod + "/going/x", b"in the module\n")
        with Session(t, "push") as s:
            pid = s.role("worker")
            held = gdb.ask(pid, [[[257, [root_fd(t, pid), {"s": "going"}, 0o10200000]]]], keep=True)[0]["results"][0]
            os.rename(t.mod + "/going", t.out + "/gone")
            answers = gdb.ask(pid, [[[nr, [held, *({"s": a} if isinstance(a, str) else a for a in args)]]] for nr, args, *_ in MOVED.values()])
    seen = {n: outcome(a) for n, a in zip(MOVED, answers)}
    assert seen == {n: want[3 if disable else 2] for n, want in MOVED.items()}


@hooks
@pytest.mark.parametrize("name", [n for n in ROLES if n in ("gate", "worker receiving as root", "worker sending as root", "broker")])
def test_unconfined(work, name):
    """Every layer switched off: the same acts succeed, or the machine permits them to nobody."""
    kind, role, setting, _ = ROLES[name]
    with Gdb(work + "/gdb.log") as gdb, Target(work, disable=ALL_LAYERS, **setting) as t:
        before = snapshot(t.out)
        seen = attempt(t, gdb, kind, role)
        every = acts(t, -100, os.getpid())
        for n, o in seen.items():
            if o != "done" and not (n == "unshare user" and o == "EINVAL"):  # a process with threads may not
                assert here(every[n]) != 0, f"{n}: {o}, although this machine permits it"
    assert list(seen.values()).count("done") > len(seen) * 3 // 4, seen
    assert snapshot(t.out) != before and len(nodes(t.mod)) > 4
