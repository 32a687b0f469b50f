"""Pulls with -A and -X, and from fake-super stores: what kedge sends is what the stock daemon sends."""
import os
import shutil
import subprocess

import pytest
from harness import CLIENTS, Daemon, IS_ROOT, KEDGE, STOCK_350, client, difference, rsh, write_file
from test_attrs_push import IDS, attr_tree, change, dest, facts, set_attr
from test_fake_super import tree as device_tree

needs_root = pytest.mark.skipif(not IS_ROOT, reason="needs root: a source with devices and foreign owners")
SERVERS = (("stock", STOCK_350), ("kedge", KEDGE))


def pull(work, name, binary, src, opts, version, proto, remote, params, user, steps):
    dst = dest(work, "dst-" + name)
    got = []

    def rounds(where, extra=()):
        for step in steps:
            if step:
                step(src)
            r = client(["-ii", *opts, *extra, where, dst + "/"], version, proto)
            text = r.stderr.decode().replace(binary, "RSYNC")
            got.append((r.returncode, text, sorted(r.stdout.decode().split("\n")), facts(dst, opts)))

    if remote:
        rounds("h:" + src + "/", ["-e", rsh(work), "--rsync-path=" + binary])
    else:
        conf = {"m": {"path": src, "numeric ids": "no", **({} if user else IDS), **params}}
        with Daemon(work, conf, binary=binary, user=user) as d:
            rounds(d.url("m/"))
    return got


def compare(work, opts, make, version="3.5.0", proto=None, remote=False, params=None, user=None, steps=(None,), rc=0):
    """The same pulls from stock and from kedge. Returns the last facts of the latter."""
    got = {}
    for name, binary in SERVERS:
        src = os.path.join(work, "src-" + name)
        make(src)
        got[name] = [(a, b.replace(name, "X"), c, d) for a, b, c, d in
                     pull(work, name, binary, src, opts, version, proto, remote, params or {}, user, steps)]
    for a, b in zip(got["stock"], got["kedge"]):
        assert b[2] == a[2]
        assert not difference(a[3], b[3])
        assert b[:2] == a[:2]
        assert b[0] == rc
    return got["kedge"][-1][3]


@pytest.mark.parametrize("opts", ["-aX", "-aA", "-aAX", "-aHAX", "-aXX", "-aAX --no-inc-recursive --numeric-ids", "-aAX -c -n",
                                  "-aX --filter=-x_user.s*", "-aAL", "-aAX --chmod=Dg-w,F640"])
def test_like_stock(work, opts):
    compare(work, opts.split(), attr_tree, steps=(None, change))


@pytest.mark.parametrize("version", sorted(CLIENTS))
@pytest.mark.parametrize("proto", [30, 31])
def test_protocols(work, version, proto):
    compare(work, ["-aHAX"], attr_tree, version, proto, steps=(None, change))


def test_remote_shell(work):
    compare(work, ["-aHAX"], attr_tree, remote=True, steps=(None, change))


def stored_by_stock(work, user=None, more=None):
    """Makes a fake-super store of the tree with devices."""
    src = os.path.join(work, "origin")
    device_tree(src)
    os.removexattr(src + "/f", "trusted.foo")

    made = []

    def make(dst):
        if made:
            subprocess.run(["cp", "-a", made[0], dst], check=True)
            return
        made.append(dst)
        os.mkdir(dst)
        if user:
            shutil.chown(dst, user)
        conf = {"m": {"path": dst, "read only": "no", "fake super": "yes", "munge symlinks": "no", **({} if user else IDS)}}
        with Daemon(work, conf, binary=STOCK_350, user=user) as d:
            r = client(["-aHAX", src + "/", d.url("m/")])
        assert (r.returncode, r.stderr) == (0, b"")
        if more:
            more(dst)
    return src, make


def more_attributes(dst):
    """Names with and without the prefix, short and long ones, and some that only -XX would want."""
    set_attr(dst + "/w", "user.rsync.user.hidden", b"h" * 50)
    set_attr(dst + "/w", "user.rsync.%other", b"o")
    set_attr(dst + "/w", "user.long", b"l" * 99)


@needs_root
@pytest.mark.parametrize("user", [None, "nobody"])
@pytest.mark.parametrize("opts", ["-aHAX", "-aXX --no-inc-recursive", "-rtpA -c", "-aR --numeric-ids"])
def test_fake_super(work, user, opts):
    src, make = stored_by_stock(work, user, more_attributes)
    got = compare(work, opts.split(), make, params={"fake super": "yes"}, user=user, steps=(None, None) if opts == "-aHAX" else (None,))
    if opts == "-aHAX":
        want = facts(src, ["-a"])
        # Attributes were added to the one; a daemon without chroot takes the slash from the other.
        for rel in (b"w", b"dangling"):
            got.pop(rel), want.pop(rel)
        assert not difference(want, got)


@needs_root
@pytest.mark.parametrize("opts", ["-aAXL", "-ak", "-a --copy-unsafe-links"])
def test_fake_super_links(work, opts):
    """A placeholder of a link is a link, whatever is followed."""
    _, make = stored_by_stock(work)
    compare(work, opts.split(), make, params={"fake super": "yes"})


@needs_root
@pytest.mark.parametrize("version,proto", [("3.5.0", 31), ("3.2.7", 31)])
def test_fake_super_remote_shell(work, version, proto):
    src, make = stored_by_stock(work)
    got = compare(work, ["-aHAX", "-M--fake-super"], make, version, proto, remote=True)
    assert not difference(facts(src, ["-a"]), got)


@needs_root
def test_round_trip(work):
    """Into kedge's store as an ordinary user, and back from it, with attributes of other namespaces."""
    src, store, back = os.path.join(work, "src"), dest(work, "store"), dest(work, "back")
    device_tree(src)
    shutil.chown(store, "nobody")
    conf = {"m": {"path": store, "read only": "no", "fake super": "yes", "munge symlinks": "no"}}
    with Daemon(work, conf, user="nobody") as d:
        there = client(["-aHAX", src + "/", d.url("m/")])
        again = client(["-aHAX", d.url("m/"), back + "/"])
        same = client(["-aHAXi", d.url("m/"), back + "/"])
    assert [(r.returncode, r.stderr) for r in (there, again, same)] == [(0, b"")] * 3
    assert same.stdout == b""
    want, got = facts(src, ["-a"]), facts(back, ["-a"])
    # A daemon without chroot takes the slash.
    assert (want.pop(b"dangling")["target"], got.pop(b"dangling")["target"]) == (b"/no/where", b"no/where")
    assert not difference(want, got)


@needs_root
def test_fake_super_remove_source(work):
    """What was sent is removed, placeholders too."""
    _, store = stored_by_stock(work)
    store(work + "/store")
    compare(work, ["-aX", "--remove-source-files"], store, params={"fake super": "yes", "read only": "no"})
    left = [sorted(f for _, _, files in os.walk(f"{work}/src-{name}") for f in files) for name, _ in SERVERS]
    assert left[1] == left[0] == []


def test_fake_super_corrupt(work):
    def make(src):
        os.mkdir(src)
        write_file(src + "/f", b"", 0o644)
        set_attr(src + "/f", "user.rsync.%stat", b"not a number")

    for name, binary in SERVERS:
        make(f"{work}/{name}")
        with Daemon(work, {"m": {"path": f"{work}/{name}", "fake super": "yes", **IDS}}, binary=binary) as d:
            r = client(["-a", d.url("m/"), dest(work, "to-" + name) + "/"])
        assert r.returncode == 11
        assert b"Corrupt user.rsync.%stat xattr attached to " in r.stderr and b'f" (in m): "not a number"\n' in r.stderr
