"""An attacker who runs code of his own in `kedge --server` gets nothing that its arguments did not name, but for what
doc/security.md says.

As in test_takeover.py, gdb makes a live server try everything in takeover.acts(). What does not end it is tried in the
middle of a transfer; for each call that does end it there is a new server that waits for the first byte of its peer:
all that it gives up it has given up by then.
"""
import contextlib
import os
import signal
import subprocess

import pytest
from harness import KEDGE, children, difference, snapshot, state
from server import Server
from takeover import ALL_LAYERS, Gdb, HOOKS, Place, acts, comm, fds, here, outcome, wait_for, why_not
from test_takeover import (ALONE, BEHIND, BY_ERROR, CHROOT, LANDLOCK, NODEV, OPENING, PLAIN, READING, RECEIVER, RIGHTS, ROOT_ALREADY,
                           SECCOMP, SENDER, UNCOVERED, UNSEEN, judge, nodes)

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not() or "")
hooks = pytest.mark.skipif(not os.access(HOOKS, os.X_OK), reason=f"{HOOKS} was not built")


class Waiting:
    """A server that has confined itself and waits for its peer."""

    def __init__(self, place, way, disable=None):
        self.disable = disable
        args = ["--server", *(["--sender"] if way == "pull" else []), "-logDtpre.iLsfxCIvu", ".", place.mod + "/"]
        env = dict(os.environ, **({"KEDGE_DISABLE": disable} if disable else {}))
        self.proc = subprocess.Popen([HOOKS if disable else KEDGE, *args], cwd=place.work, env=env, stdin=subprocess.PIPE,
                                     stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, user=place.user,
                                     group=place.user and "nogroup", extra_groups=place.user and [])
        assert len(self.proc.stdout.read(4)) == 4  # its version
        self.pid = self.proc.pid
        self.helpers = children(self.pid)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.proc.kill()
        self.proc.communicate()
        if self.disable:  # they have kept descriptors that tell them to stay
            for pid in self.helpers:
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
        wait_for("the end of the helpers", lambda: not [p for p in self.helpers if state(p) not in (None, "Z")])


def attempt(place, gdb, opener, only=None, others=()):
    """{act: outcome} of the acts, or of those in only, or of those that are not in others."""
    seen, todo = {}, None
    while todo is None or todo:
        with opener() as s:
            known = {what: n for n, what in fds(s.pid).items() if what in (place.mod, "/")}
            root = known.get(place.mod, known.get("/", -100))
            other = wait_for("the helper", lambda: [p for p in children(s.pid) if comm(p) == "kedge-names"])[0]
            inside = root >= 0 and os.path.samefile(f"/proc/{s.pid}/fd/{root}", place.mod)
            every = acts(place, root, other, "" if inside else place.mod[1:] + "/")
            if todo is None:
                todo = [n for n in every if (only is None or n in only) and n not in others]
            answers = gdb.ask(s.pid, [every[n] for n in todo])
            assert answers
            for answer in answers:
                if outcome(answer) != "vanished":  # as in test_takeover.py
                    seen[todo.pop(0)] = outcome(answer)
    return seen


# name: (way, user)
SERVERS = {"receiver of root": ("push", None), "sender of root": ("pull", None),
           "receiver of a plain user": ("push", "nobody"), "sender of a plain user": ("pull", "nobody")}



SENDING = {**{n: LANDLOCK for n in READING}, **BY_ERROR, **{n: UNSEEN for n in ("readlinkat outside", "statx outside")},
           **{n: UNSEEN for n in OPENING}, "openat a device inside for writing": LANDLOCK}
EXPECTED = {"receiver of root": RECEIVER, "sender of root": {**SENDING, **NODEV},
            "receiver of a plain user": PLAIN, "sender of a plain user": SENDING}


@contextlib.contextmanager
def attacked(work, name):
    way, user = SERVERS[name]
    with Gdb(work + "/gdb.log") as gdb, Place(work, 65534 if user else 0, way == "pull", user) as place:
        yield gdb, place, way


@pytest.mark.parametrize("name", SERVERS)
def test_confined(work, name):
    expected = EXPECTED[name]
    with attacked(work, name) as (gdb, place, way):
        before = snapshot(place.out, xattrs=True)
        seen = attempt(place, gdb, lambda: Server(work, way, place.mod + "/", user=place.user and 65534, size=4 << 20), expected)
        assert seen.keys() == expected.keys()
        killed = attempt(place, gdb, lambda: Waiting(place, way), others=expected)
        after = snapshot(place.out, xattrs=True)
    assert len(killed) > 45
    judge(seen, expected, None)
    judge(killed, {}, SECCOMP)
    # What a plain user's receiver may do to the user's other files (doc/security.md): no more than this.
    diff = difference(before, after)
    assert {d.split(": ")[1].split()[0] for d in diff} <= ({"mode", "mtime", "xattrs"} if name == "receiver of a plain user" else set()), diff
    assert {n for n, *_ in nodes(place.mod)} <= {"node"}


@pytest.mark.parametrize("way", ["push", "pull"])
def test_confined_to_one_root(work, way):
    """--confine-root, as a restricted key has it, of root: there is nothing but that directory, and no device in it."""
    name = "receiver of root" if way == "push" else "sender of root"
    expected = RECEIVER if way == "push" else SENDER
    with attacked(work, name) as (gdb, place, way):
        before = snapshot(place.out, xattrs=True)
        options = [f"-M--confine-root={place.mod}"]
        seen = attempt(place, gdb, lambda: Server(work, way, "/", options, size=4 << 20), expected)
        assert snapshot(place.out, xattrs=True) == before
    assert seen.keys() == expected.keys()
    judge(seen, expected, None)


# The filter switched off: what the other layers leave.
NEVER_LANDLOCK = ["chmod outside", "setxattr outside", "name_to_handle_at", *UNCOVERED]
NO_JAIL = {**BEHIND, **{n: ("done", "nothing but seccomp") for n in [*ALONE, *NEVER_LANDLOCK, "chroot", "raise RLIMIT_NOFILE"]},
           "chown outside": RIGHTS, "fchownat outside": RIGHTS, "mount": RIGHTS, "unshare user": ("done|EINVAL", "nothing but seccomp")}
READS_ONLY = {"openat a device inside for writing": LANDLOCK, "renameat2 WHITEOUT": LANDLOCK}
BEHIND_SERVERS = {
    "receiver of root": {**BEHIND, **ROOT_ALREADY, **{n: ("done", "nothing but seccomp") for n in [*ALONE, "raise RLIMIT_NOFILE"]}},
    "sender of root": {**NO_JAIL, **ROOT_ALREADY, **READS_ONLY},
    "receiver of a plain user": {**NO_JAIL, **{n: UNSEEN for n in OPENING}, "linkat outside in": ("EXDEV", "landlock")},
    "sender of a plain user": {**NO_JAIL, **{n: UNSEEN for n in OPENING}, **READS_ONLY},
}


@hooks
@pytest.mark.parametrize("name", SERVERS)
def test_behind_the_filter(work, name):
    with attacked(work, name) as (gdb, place, way):
        seen = attempt(place, gdb, lambda: Waiting(place, way, "seccomp"))
    judge(seen, BEHIND_SERVERS[name], CHROOT if name == "receiver of root" else LANDLOCK)


@hooks
@pytest.mark.parametrize("name", SERVERS)
def test_unconfined(work, name):
    """Every layer switched off: the same acts succeed, or this user could do them nowhere."""
    with attacked(work, name) as (gdb, place, way):
        before = snapshot(place.out)
        seen = attempt(place, gdb, lambda: Waiting(place, way, ALL_LAYERS))
        every = acts(place, -100, os.getpid())
        for n, o in seen.items():
            # 513: permitted, and to be tried again, since the debugger came between (ERESTARTNOINTR).
            assert o in ("done", "513") or here(every[n], place.user) != 0, f"{n}: {o}, although this user is permitted it"
        assert snapshot(place.out) != before
    assert list(seen.values()).count("done") > len(seen) * (0.6 if place.user else 0.9), seen
