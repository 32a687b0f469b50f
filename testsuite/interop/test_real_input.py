"""Real input: a part of /usr/share pulled, pushed, changed and pushed again, with the names and paths that hurt;
and the commands that README.md gives."""
import os
import re
import stat
import subprocess
import time

from harness import Daemon, IS_ROOT, LIMIT, client, difference, free_port, mutate_tree, same, settle, snapshot, write_file

TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
IDS = {"uid": 0, "gid": 0} if IS_ROOT else {}
SHARE = "/usr/share"
ENTRIES, BYTES = 2000, 16 << 20
NAME_MAX, PATH_MAX = 255, 4096
ODD = [b"new\nline", "na\u00efve \u6587\u5b57".encode(), b"bad\xff\xfe\xc3", b"-rf", b"--delete", b"x" * NAME_MAX, b"\\#012"]


def part_of_share():
    """Directories of /usr/share that together stay within ENTRIES and BYTES."""
    chosen, entries, size = [], 0, 0
    for name in sorted(os.listdir(SHARE)):
        top = os.path.join(SHARE, name)
        if os.path.islink(top) or not os.path.isdir(top):
            continue
        n, b = 1, 0
        for d, dn, fn in os.walk(top):
            n += len(dn) + len(fn)
            b += sum(os.lstat(os.path.join(d, f)).st_size for f in fn)
            if entries + n > ENTRIES or size + b > BYTES:
                break
        else:
            chosen, entries, size = chosen + [name], entries + n, size + b
    assert entries > 300 and size > 1 << 20, f"{SHARE} holds too little: {entries} entries, {size} bytes"
    return chosen


def deep_file(top, length):
    """A file whose absolute path has exactly this length, made step by step."""
    path, level = os.path.realpath(os.fsencode(top)), 0
    while length - len(path) > 2 * NAME_MAX:
        path += b"/" + b"%02d" % level + b"d" * 198
        os.mkdir(path)
        level += 1
    rest = length - len(path) - 2
    path += b"/" + b"e" * (rest // 2)
    os.mkdir(path)
    path += b"/" + b"f" * (rest - rest // 2)
    assert len(path) == length
    write_file(path, b"deep\n" * 400, 0o640, 1_650_000_000_123_456_789)
    return path


def test_share(work):
    """Pull, push into an empty module, change, push again with --delete; every entry compared each time."""
    chosen, src, dst = part_of_share(), os.path.join(work, "src"), os.path.join(work, "dst")
    os.mkdir(dst)
    modules = {"share": {"path": SHARE, **IDS},
               "dst": {"path": dst, "read only": "no", "munge symlinks": "no", **IDS}}
    with Daemon(work, modules) as d:
        r = client(["-a", *(d.url("share/" + name) for name in chosen), src + "/"])
        assert (r.returncode, r.stderr) == (0, b"")
        for name in chosen:
            same(os.path.join(SHARE, name), os.path.join(src, name), ids=IS_ROOT)

        odd = os.path.join(os.fsencode(src), b"odd")
        os.mkdir(odd)
        for i, name in enumerate(ODD):
            write_file(os.path.join(odd, name), name * (100 * i), 0o604, 1_600_000_000_000_000_001 + i)
            os.symlink(name, os.path.join(odd, b"to%d" % i))
        deep = deep_file(src, PATH_MAX - 64)
        r = client(["-a", src + "/", d.url("dst/")])
        assert (r.returncode, r.stderr) == (0, b"")
        same(src, dst)

        before = snapshot(src)
        mutate_tree(src)
        for i, name in enumerate(ODD):
            if i % 2 and os.path.lexists(os.path.join(odd, name)):
                os.rename(os.path.join(odd, name), os.path.join(odd, b"moved%d" % i))
        if os.path.lexists(deep) and stat.S_ISREG(os.lstat(deep).st_mode):
            with open(deep, "ab") as f:
                f.write(b"more\n")
        settle(os.fsencode(src), 1_700_000_100_000_000_000)
        assert len(difference(before, snapshot(src))) > 100
        r = client(["-a", "--delete", src + "/", d.url("dst/")])
        assert (r.returncode, r.stderr) == (0, b"")
        same(src, dst)
        r = client(["-ai", "--delete", src + "/", d.url("dst/")])
        assert (r.returncode, r.stdout, r.stderr) == (0, b"", b"")


def test_dev_serve(work):
    """`./dev serve DIR PORT` builds, serves, and names the client's command, which works."""
    src, port = os.path.join(work, "src"), free_port()
    os.mkdir(src)
    write_file(os.path.join(src, "hello.txt"), b"hello\n", mtime=1_600_000_000_000_000_007)
    settle(os.fsencode(src), 1_600_000_000_000_000_007)
    out = os.path.join(work, "out")
    with open(out, "wb") as f:
        serve = subprocess.Popen([os.path.join(TOP, "dev"), "serve", src, str(port)], stdin=subprocess.DEVNULL,
                                 stdout=f, stderr=subprocess.STDOUT)
    conf = os.path.join(TOP, "_build", f"serve-{port}.conf")
    try:
        end = time.time() + LIMIT
        while True:
            r = client(["-a", f"rsync://127.0.0.1:{port}/data/", os.path.join(work, "copy") + "/"])
            if r.returncode == 0 or serve.poll() is not None or time.time() > end:
                break
            time.sleep(0.1)
        with open(out, errors="replace") as f:
            said = f.read()
        assert (r.returncode, r.stderr) == (0, b""), said
        same(src, os.path.join(work, "copy"))
        assert re.search(rf"rsync -av rsync://127\.0\.0\.1:{port}/data/ copy/", said), said
    finally:
        serve.terminate()
        serve.wait(LIMIT)
        if os.path.exists(conf):
            os.unlink(conf)
