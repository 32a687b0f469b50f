"""Whole recorded sessions: the client's bytes are fed to a kedge server, which must answer with the stock server's bytes.

data/sessions.json: {"trees": {name: nodes}, "sessions": [...]}. A node is [path, mode, mtime in ns, uid, gid, what], where `what`
is a regular file's content in hex, a symbolic link's target, a device's numbers, or {"link": path}. A session has the server's
arguments (with the recorded checksum seed), what the client sent, and what the server answered: the handshake, then the data
without its frames, and the messages that are not text (a stock server writes text on its standard error). A dot stands for half
a byte that cannot be the same twice: a directory's size, device and inode numbers, and of the statistics what was read and
written by then, and how long it took. `after` are the facts of the files that a pushing client leaves behind.
"""
import contextlib
import functools
import json
import os
import shutil
import stat
import struct
import subprocess
import tempfile
import threading

import harness
import pytest
from harness import IS_ROOT, LIMIT, digest
from parity import FRESH

pytestmark = pytest.mark.skipif(not IS_ROOT, reason="the trees have other owners, and a device")


@functools.lru_cache
def recorded():
    with open(os.path.join(os.path.dirname(__file__), "data", "sessions.json")) as f:
        return json.load(f)


@pytest.fixture
def top():
    """Memory lists what is newest first, so that the order of a directory can be made."""
    path = tempfile.mkdtemp(prefix="kedge-replay-", dir="/dev/shm")
    yield path
    shutil.rmtree(path)


def make(path, mode, what):
    if stat.S_ISREG(mode):
        with open(path, "wb") as f:
            f.write(bytes.fromhex(what))
    elif stat.S_ISDIR(mode):
        os.mkdir(path)
    elif stat.S_ISLNK(mode):
        os.symlink(what, path)
    else:
        os.mknod(path, mode, os.makedev(*what) if what else 0)


def lay(top, nodes):
    first = {}      # of a group of hard links: whichever comes into being first
    for path, mode, _, _, _, what in sorted(reversed(nodes), key=lambda n: n[0].count("/")):
        group = what["link"] if isinstance(what, dict) else path
        full = os.path.join(top, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        if group in first:
            os.link(first[group], full, follow_symlinks=False)
        elif not os.path.lexists(full):
            make(full, mode, next(n[5] for n in nodes if n[0] == group))
            first[group] = full
    for path, mode, ns, uid, gid, _ in reversed(nodes):
        full = os.path.join(top, path)
        os.chown(full, uid, gid, follow_symlinks=False)
        if not stat.S_ISLNK(mode):
            os.chmod(full, stat.S_IMODE(mode))
        os.utime(full, ns=(ns, ns), follow_symlinks=False)


def demultiplexed(raw, at):
    """The first `at` bytes and the data behind them; the messages that are not text."""
    data, messages = raw[:at], []
    while at + 4 <= len(raw):
        head, = struct.unpack_from("<I", raw, at)
        size, tag = head & 0xffffff, (head >> 24) - 7
        payload = raw[at + 4:at + 4 + size]
        at += 4 + size
        if not tag:
            data += payload
        elif tag > 8:
            messages.append([tag, payload.hex()])
    return data, messages


def answer(session, top):
    """The client sends as it did: each part once the server has said what it had said by then."""
    raw = b""
    with subprocess.Popen([harness.KEDGE, *session["argv"]], cwd=top, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, bufsize=0) as p:
        stop = threading.Timer(LIMIT, p.kill)
        stop.start()
        for need, part in session["c2s"]:
            while len(demultiplexed(raw, session["handshake"])[0]) < need and (got := p.stdout.read(65536)):
                raw += got
            with contextlib.suppress(BrokenPipeError):
                p.stdin.write(bytes.fromhex(part))
        while got := p.stdout.read(65536):
            raw += got
        stop.cancel()
        data, messages = demultiplexed(raw, session["handshake"])
        return data.hex(), messages, p.stderr.read()


def facts(top):
    """Of all that is beneath it: mode, time, and for what is no directory links and content."""
    out = {}
    for d, dirs, files in os.walk(top):
        for name in dirs + files:
            path = os.path.join(d, name)
            st = os.lstat(path)
            what = digest(path) if stat.S_ISREG(st.st_mode) else os.readlink(path) if stat.S_ISLNK(st.st_mode) else None
            out[os.path.relpath(path, top)] = [st.st_mode, min(st.st_mtime_ns, FRESH)] + ([] if stat.S_ISDIR(st.st_mode) else [st.st_nlink, what])
    return out


def differs(want, got):
    """Where, in bytes, leaving out the dots."""
    if len(want) != len(got):
        return f"{len(got) // 2} bytes instead of {len(want) // 2}:\n{want}\n{got}"
    at = [i // 2 for i, (a, b) in enumerate(zip(want, got)) if a not in (".", b)]
    return at and f"at bytes {at[:20]}:\n{want}\n{got}"


@pytest.mark.parametrize("number", range(len(recorded()["sessions"])), ids=lambda n: recorded()["sessions"][n]["name"])
def test_session(top, number):
    session = recorded()["sessions"][number]
    lay(top, recorded()["trees"][session["tree"]])
    data, messages, err = answer(session, top)
    assert not differs(session["s2c"], data), (differs(session["s2c"], data), err)
    assert messages == session["messages"]
    if "after" in session:
        assert facts(top) == session["after"]
