"""--copy-devices and --write-devices: what is read from a device and written into one is what stock reads and writes, by a
daemon (where the module opens devices) and by a remote-shell server; and there too the worker opens nothing itself.
"""
import os
import stat
import subprocess

import pytest
from harness import CLIENTS, Daemon, IS_ROOT, KEDGE, client, rsh, write_file

pytestmark = pytest.mark.skipif(not IS_ROOT, reason="a block device with contents needs root")
SIZE = 300_000


@pytest.fixture
def disk(work):
    """A block device with contents, (device number, the file behind it); both readable and writable for anybody."""
    image = work + "/image"
    write_file(image, os.urandom(SIZE // 512 * 512), 0o666)
    r = subprocess.run(["losetup", "-f", "--show", image], capture_output=True, text=True, check=False)
    if r.returncode:
        pytest.skip("no loop device to be had: " + r.stderr.strip())
    name = r.stdout.strip()
    try:
        yield os.stat(name).st_rdev, image
    finally:
        subprocess.run(["losetup", "-d", name], check=True)


# id: (program, daemon?, the server's user)
SERVERS = {
    "daemon uid 0": (KEDGE, True, 0), "daemon uid 65534": (KEDGE, True, 65534), "daemon of a plain user": (KEDGE, True, "nobody"),
    "server": (KEDGE, False, 0), "server of a plain user": (KEDGE, False, "nobody"),
    "stock daemon": (CLIENTS["3.5.0"], True, 0), "stock server": (CLIENTS["3.5.0"], False, 0),
    "stock 3.2.7 daemon": (CLIENTS["3.2.7"], True, 0), "stock 3.2.7 server": (CLIENTS["3.2.7"], False, 0),
}
# id: (options, what is asked for, what arrives)
PULLS = {
    "copy": (["-a", "-M--copy-devices"], "node", "device"),
    "dir": (["-a", "-M--copy-devices"], "./", "device"),
    "checksum": (["-ac", "-M--copy-devices"], "node", "device"),
    "through a link": (["-aL", "-M--copy-devices"], "link", "device"),
    "a link itself": (["-a", "-M--copy-devices"], "link", "link"),
    "below a linked directory": (["-a", "-M--copy-devices"], "linkdir/node", "device"),
}


class Place:
    """A directory with a node for the disk, served by one of the servers."""

    def __init__(self, work, disk, name):
        program, daemon, user = SERVERS[name]
        self.work, self.mod, self.daemon = work, work + "/mod", None
        os.makedirs(self.mod + "/real")
        for path in ("/node", "/real/node"):
            os.mknod(self.mod + path, stat.S_IFBLK | 0o600, disk[0])
            os.chmod(self.mod + path, 0o666)
        os.symlink("node", self.mod + "/link")
        os.symlink("real", self.mod + "/linkdir")
        write_file(self.mod + "/plain", b"plain\n", 0o644)
        owner = 65534 if user else 0
        for d, dirs, files in os.walk(self.mod):
            for n in [".", *dirs, *files]:
                os.chown(os.path.join(d, n), owner, owner, follow_symlinks=False)
        if daemon:
            params = {"path": self.mod, "read only": "no", "refuse options": "!copy-devices !write-devices"}
            if user != "nobody":
                params.update(uid=user, gid=user)
            if program == KEDGE:
                params.update({"device nodes": f"b {os.major(disk[0])}:{os.minor(disk[0])}", "device open": "yes"})
            if user == "nobody":
                os.chown(work, 65534, 65534)
            self.daemon = Daemon(work, {"m": params}, binary=program, user="nobody" if user == "nobody" else None)
            self.where, self.options, self.user = self.daemon.url("m/"), [], None
        else:
            os.chown(work, owner, owner)
            os.symlink(self.mod, work + "/way")
            self.where, self.options, self.user = f"h:{work}/way/", ["-e", rsh(work), f"--rsync-path={program}"], user or None

    def run(self, args):
        r = client([*self.options, *args], user=self.user)
        if self.daemon:
            assert not self.daemon.wait_idle()
        return r

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        if self.daemon:
            self.daemon.stop()


@pytest.mark.parametrize("server", SERVERS)
def test_copy_devices(work, disk, server):
    with open(disk[1], "rb") as f:
        contents = f.read()
    with Place(work, disk, server) as p:
        for what, (options, asked, arrives) in PULLS.items():
            to = f"{work}/got {what}"
            os.mkdir(to)
            os.chown(to, 65534, 65534)
            r = p.run([*options, p.where + asked, to + "/"])
            assert r.returncode == 0, (what, r.stderr)
            got = os.path.join(to, "node" if asked == "./" else os.path.basename(asked))
            if arrives == "link":
                assert os.readlink(got) == "node"
                continue
            with open(got, "rb") as g:
                assert stat.S_ISREG(os.lstat(got).st_mode) and g.read() == contents, what


@pytest.mark.parametrize("server", SERVERS)
def test_write_devices(work, disk, server):
    with open(disk[1], "rb") as f:
        old = f.read()
    os.mkdir(work + "/src")
    with Place(work, disk, server) as p:
        for options in (["-a"], ["-aW"], ["-ac"], ["-a", "--no-D", "--no-W"]):
            # Some of it is there already: the basis is the device.
            new = old[:100_000] + os.urandom(SIZE // 512 * 512 - 1024 - 100_000)
            write_file(work + "/src/node", new)
            r = p.run([*options, "-M--write-devices", work + "/src/node", p.where])
            log = p.daemon.read_log() if p.daemon else ""
            assert r.returncode == 0, (options, r.stderr, log)
            assert stat.S_ISBLK(os.lstat(p.mod + "/node").st_mode)
            with open(disk[1], "rb") as f:
                now = f.read()
            assert now[:len(new)] == new and now[len(new):] == old[len(new):], options
            if SERVERS[server][:2] == (KEDGE, True):
                assert 'op=OPEN path="node" type=b' in log
