"""Hostile peers: names, counts and lengths that must not work (spec 09 §5, §11.3)."""
import os
import stat
import struct

import pytest
from harness import Daemon, IS_ROOT, client, rest, snapshot, write_file
from peer import entry, mux, push

IDS = {"uid": 0, "gid": 0} if IS_ROOT else {}


@pytest.fixture
def place(work):
    """A writable module with an outside directory next to it and links that lead there."""
    mod, out = os.path.join(work, "mod"), os.path.join(work, "out")
    os.mkdir(mod)
    os.mkdir(out)
    write_file(os.path.join(out, "secret"), b"the secret\n")
    os.symlink("../out", os.path.join(mod, "esc"))
    os.symlink(out, os.path.join(mod, "esc-abs"))
    os.symlink("../out/secret", os.path.join(mod, "leaf"))
    return mod, out


def daemon(work, mod, **kw):
    return Daemon(work, {"m": {"path": mod, "read only": "no", "munge symlinks": "no", **IDS,
                               **{k.replace("_", " "): v for k, v in kw.items()}}})


@pytest.mark.parametrize("chroot", ["no", "yes"] if IS_ROOT else ["no"])
@pytest.mark.parametrize("name,code", [
    (b"../x", 4), (b"/abs", 4), (b"a/../../x", 4), (b"..", 4), (b"x\0y", 2), (b".", 2), (b"esc/../../x", 4)])
def test_unsafe_names(work, place, name, code, chroot):
    mod, out = place
    before = snapshot(work)
    with daemon(work, mod, use_chroot=chroot) as d:
        got = push(d.port, b"m", entry(name) + b"\0")
        assert b"(code %d)" % code in got, got
        assert client([d.url("m/")]).returncode == 0
        d.wait_idle()
        after = {k: v for k, v in snapshot(work).items() if not k.startswith(b"daemon-") and k != b"."}
    assert after == {k: v for k, v in before.items() if k != b"."}


@pytest.mark.parametrize("stream", [
    b"\xff" * 64, b"\x20\xff" + b"a" * 300, bytes([0x58, 0]) + b"\xff\xff\xff\xff\x0f", b"\x18\x05a.txt" + b"\xfc" * 12,
    entry(b"f", mode=0o030000) + b"\0", entry(b"f", mode=0) + b"\0", b"\x04\x10\xff", entry(b"f", flags=0x3A) * 3 + b"\0"],
    ids=lambda s: s[:8].hex())
def test_malformed_lists(work, place, stream):
    mod, out = place
    with daemon(work, mod) as d:
        for _ in range(3):
            push(d.port, b"m", stream)
        assert not d.wait_idle()
        assert client([d.url("m/")]).returncode == 0
    assert sorted(os.listdir(mod)) == ["esc", "esc-abs", "leaf"]


@pytest.mark.parametrize("frame", [
    b"\x05\x00\x00\x10hello", b"\xff\xff\xff\x08", b"\x00\x14\x00\x09" + b"x" * 5120, b"\x00\x00\x00\x00", b"\x03\x00\x00\x5dabc",
    mux(b"\x01\x00\x00\x00", 100), mux(b"\xff\xff\xff\xff", 102), mux(b"\x01\x00\x00\x00", 33), b"\x04\x00\x00\xff1234"], ids=lambda f: f[:6].hex())
def test_malformed_frames(work, place, frame):
    mod, out = place
    with daemon(work, mod) as d:
        push(d.port, b"m", entry(b"f", size=3) + b"\0", frame)
        assert not d.wait_idle()
        assert client([d.url("m/")]).returncode == 0
    assert "f" not in os.listdir(mod)


@pytest.mark.parametrize("head", [
    (-1, 700, 2, 0), (1, 0, 2, 0), (1, 1 << 30, 2, 0), (1, 700, 64, 0), (1, 700, -1, 0), (1, 700, 2, 701), (0x7FFFFFFF, 700, 16, 0)])
def test_bogus_sum_heads(work, place, head):
    """A pulling peer that sends impossible block sums for the file it requests."""
    import socket
    mod, out = place
    write_file(os.path.join(mod, "f"), b"x" * 1000)
    with daemon(work, mod) as d:
        with socket.create_connection(("127.0.0.1", d.port), 20) as s:
            s.settimeout(20)
            s.sendall(b"@RSYNCD: 31.0 md5\nm\n--server\0--sender\0-te.LsfxCI\0--checksum-seed=1\0.\0m/f\0\0" +
                      mux(b"\0\0\0\0") + mux(b"\x01\x00\x80" + struct.pack("<4i", *head)))
            s.shutdown(socket.SHUT_WR)
            got = rest(s)
        assert b"(code 2)" in got or b"(code 22)" in got or b"(code 12)" in got, got
        assert not d.wait_idle()
        assert client([d.url("m/")]).returncode == 0


@pytest.mark.parametrize("chroot", ["no", "yes"] if IS_ROOT else ["no"])
@pytest.mark.parametrize("path", ["esc/secret", "esc-abs/secret", "../out/secret", "esc/../../out/secret", "leaf/"])
def test_pull_through_links(work, place, path, chroot):
    mod, out = place
    got = os.path.join(work, "got")
    os.mkdir(got)
    with daemon(work, mod, use_chroot=chroot) as d:
        for opts in (["-r"], ["-rL"], ["-rR"], ["-rk", "--copy-unsafe-links"]):
            client([*opts, d.url("m/" + path), got + "/"])
            client([*opts, d.url("m/"), got + "/all/"])
    for top, _, files in os.walk(got):
        for f in files:
            p = os.path.join(top, f)
            if not os.path.islink(p):
                with open(p, "rb") as h:
                    assert b"the secret" not in h.read(), p


@pytest.mark.parametrize("chroot", ["no", "yes"] if IS_ROOT else ["no"])
@pytest.mark.parametrize("opts", [["-a"], ["-aK"], ["-a", "--inplace"], ["-a", "--delete"], ["-aR"], ["-a", "--backup-dir=esc"],
                                  ["-a", "--temp-dir=esc"], ["-a", "--partial-dir=esc"], ["-a", "--link-dest=../esc"],
                                  ["-a", "--copy-dest=/esc"]], ids=" ".join)
def test_push_through_links(work, place, opts, chroot):
    mod, out = place
    src = os.path.join(work, "src")
    os.makedirs(src + "/esc")
    write_file(src + "/esc/secret", b"overwritten\n")
    write_file(src + "/esc/new", b"new\n")
    write_file(src + "/leaf", b"overwritten\n")
    before = snapshot(out)
    with daemon(work, mod, use_chroot=chroot) as d:
        client([*opts, src + "/", d.url("m/")])
        client([*opts, src + "/esc/", d.url("m/esc/")])
        client([*opts, src + "/esc/secret", d.url("m/esc-abs/")])
        client([*opts, src + "/esc/secret", d.url("m/../out/")])
        assert not d.wait_idle()
    assert snapshot(out) == before


@pytest.mark.skipif(not IS_ROOT, reason="making devices to push needs root")
def test_devices_are_not_created_by_default(work, place):
    mod, out = place
    src = os.path.join(work, "src")
    os.mkdir(src)
    os.mknod(src + "/null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.mknod(src + "/whiteout", stat.S_IFCHR | 0o600, os.makedev(0, 0))
    os.mknod(src + "/loop", stat.S_IFBLK | 0o600, os.makedev(7, 0))
    os.mkfifo(src + "/fifo")
    with daemon(work, mod) as d:
        r = client(["-a", src + "/", d.url("m/")])
        assert r.returncode == 0, r.stderr
        assert b'skipping non-regular file "null"' in r.stdout + r.stderr
    assert sorted(os.listdir(mod)) == ["esc", "esc-abs", "fifo", "leaf"]


@pytest.mark.skipif(not IS_ROOT, reason="device nodes need root")
def test_devices_on_the_list_are_created_by_the_broker(work, place):
    mod, out = place
    src = os.path.join(work, "src")
    os.mkdir(src)
    os.mknod(src + "/null", stat.S_IFCHR | 0o640, os.makedev(1, 3))
    os.mknod(src + "/kmsg", stat.S_IFCHR | 0o600, os.makedev(1, 11))
    os.chown(src + "/null", 5, 6)
    with daemon(work, mod, device_nodes="c 1:3") as d:
        r = client(["-a", src + "/", d.url("m/")])
    st = os.lstat(mod + "/null")
    assert stat.S_ISCHR(st.st_mode) and st.st_rdev == os.makedev(1, 3), r.stderr
    assert (stat.S_IMODE(st.st_mode), st.st_uid, st.st_gid) == (0o640, 5, 6)
    assert not os.path.lexists(mod + "/kmsg")
