"""`kedge --restrict` as the forced command of an ssh key, and `--confine-root` below it: what rrsync of the stock package allows
and refuses with the same options, nothing that leaves the directory, and nothing that a shell would have run."""
import getpass
import os
import re
import shutil
import stat
import subprocess

import pytest

from harness import CLIENTS, IS_ROOT, KEDGE, LIMIT, difference, snapshot, write_file

pytestmark = pytest.mark.slow  # many processes: left out under the sanitizers

BASE = 1_600_000_000_000_000_000
USERS = [0, 65534] if IS_ROOT else [None]
SECRET = b"SECRET of somebody else\n"


def lay_out(top):
    """pen is the restricted directory, out is next to it, client is the peer's side."""
    for d in ("pen/sub/deep", "pen/old", "pen/tmp", "out/dir", "client/push/sub", "home"):
        os.makedirs(f"{top}/{d}")
    write_file(f"{top}/pen/f", b"inside\n" * 300, mtime=BASE)
    write_file(f"{top}/pen/glob1", b"1\n", mtime=BASE)
    write_file(f"{top}/pen/glob2", b"2\n", mtime=BASE)
    write_file(f"{top}/pen/a b", b"blank\n", mtime=BASE)
    write_file(f"{top}/pen/it's \"$HOME\"; *", b"odd\n", mtime=BASE)
    write_file(f"{top}/pen/new\nline", b"nl\n", mtime=BASE)
    write_file(f"{top}/pen/list", b"f\nsub/g\n", mtime=BASE)
    write_file(f"{top}/pen/rules", b"glob*\n", mtime=BASE)
    write_file(f"{top}/pen/sub/g", b"deeper\n" * 30, mtime=BASE)
    write_file(f"{top}/pen/old/a", b"old a\n", mtime=BASE)
    write_file(f"{top}/out/secret", SECRET, mtime=BASE)
    write_file(f"{top}/out/list", b"pen/f\nout/secret\n", mtime=BASE)
    write_file(f"{top}/out/rules", b"f\nglob1\n", mtime=BASE)
    write_file(f"{top}/out/dir/secret", SECRET, mtime=BASE)
    write_file(f"{top}/client/push/a", b"alpha\n" * 300, mtime=BASE)
    write_file(f"{top}/client/push/secret", SECRET, mtime=BASE)
    write_file(f"{top}/client/push/sub/n", b"new\n", mtime=BASE)
    write_file(f"{top}/client/list", b"f\nsub/g\n../out/secret\nto-out/secret\n", mtime=BASE)
    os.symlink("sub", f"{top}/pen/to-sub")
    os.symlink("../out", f"{top}/pen/to-out")
    os.symlink(f"{top}/out", f"{top}/pen/to-out-abs")
    os.symlink("../out/secret", f"{top}/pen/to-secret")
    os.symlink("/etc/passwd", f"{top}/client/link")
    os.mkdir(f"{top}/client/nodes")
    os.mkfifo(f"{top}/client/nodes/fifo")
    if IS_ROOT:
        os.mknod(f"{top}/client/nodes/null", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    for d, dirs, files in os.walk(top, topdown=False):
        for name in dirs + files:
            os.utime(f"{d}/{name}", ns=(BASE, BASE), follow_symlinks=False)


def give(top, user):
    for d, dirs, files in os.walk(top):
        os.chown(d, user, user)
        for n in dirs + files:
            os.chown(f"{d}/{n}", user, user, follow_symlinks=False)


def run(top, server, args, user=None, version="3.5.0"):
    """The client over a remote shell that runs `server` for whatever it is asked to run. (code, output)"""
    write_file(f"{top}/shell", f'#!/bin/sh\nshift\ncd {top}/home\nSSH_ORIGINAL_COMMAND="$*"\nexport SSH_ORIGINAL_COMMAND\n'
               f"exec {server.replace('@', top)}\n".encode(), 0o755)
    if user:
        give(top, user)
    full = {k: v for k, v in os.environ.items() if not k.startswith("RSYNC_")}
    full.update({"LC_ALL": "C", "HOME": f"{top}/home"})
    r = subprocess.run([CLIENTS[version], "-e", f"{top}/shell", *[a.replace("@", top) for a in args]],
                       cwd=f"{top}/client", env=full, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                       timeout=LIMIT, user=user, group=user)
    os.unlink(f"{top}/shell")
    return r.returncode, r.stdout.decode(errors="surrogateescape")


def server_side(work, server, args, user=None, version="3.5.0"):
    top = f"{work}/w"
    os.mkdir(top)
    os.chmod(top, 0o755)
    lay_out(top)
    rc, text = run(top, server, args, user, version)
    tree = snapshot(top, dir_times=False, links=True)
    for path in (b"client", b"pen", b"home", b"."):
        tree[path].pop("mtime", None)
    os.rename(top, f"{work}/{'stock' if server.startswith('rrsync') else 'kedge'}")
    return rc, text, tree


# ---- as rrsync ----

SAME = {
    # what is asked of both programs: options of the key, arguments of the client
    "pull": ("", ["-ai", "h:", "got/"]),
    "pull, slash": ("", ["-ai", "h:/", "got/"]),
    "pull, absolute": ("", ["-ai", "h:/sub/", "got/"]),
    "pull, relative": ("", ["-aiR", "h:sub/deep", ":/sub/g", "got/"]),
    "pull, names": ("-ro", ["-ai", "h:a b", ":it's \"$HOME\"; *", "got/"]),
    "pull, wildcards": ("-ro", ["-ai", "h:gl*", ":s?b/[f-h]", "got/"]),
    "pull, nothing there": ("-ro", ["-ai", "h:none", "got/"]),
    "pull, up": ("-ro", ["-ai", "h:../out/", "got/"]),
    "pull, list": ("-ro", ["-ai", "--files-from=:list", "h:", "got/"]),
    "pull, wo": ("-wo", ["-ai", "h:", "got/"]),
    "pull, removes": ("", ["-ai", "--remove-source-files", "h:sub/", "got/"]),
    "pull, removes, ro": ("-ro", ["-ai", "--remove-source-files", "h:sub/", "got/"]),
    "pull, removes, no-del": ("-no-del", ["-ai", "--remove-source-files", "h:sub/", "got/"]),
    "push": ("", ["-ai", "push/", "h:"]),
    "push, absolute": ("-wo", ["-ai", "push/", "h:/sub/"]),
    "push, ro": ("-ro", ["-ai", "push/", "h:"]),
    "push, deletes": ("-wo", ["-ai", "--delete", "push/", "h:old/"]),
    "push, deletes, no-del": ("-no-del", ["-ai", "--delete", "push/", "h:old/"]),
    "push, munge": ("-munge", ["-ai", "link", "h:sub/"]),
    "push, over": ("-no-overwrite", ["-ai", "push/", "h:old/"]),
    "push, over, backup": ("-no-overwrite", ["-aib", "push/", "h:old/"]),
    "push, devices": ("", ["-ai", "nodes/", "h:sub/"]),
    "push, host path": ("-absolute", ["-ai", "push/", "h:@/pen/sub/"]),
    "pull, host path": ("-absolute", ["-ai", "h:@/pen/sub/", "got/"]),
    "pull, relative below": ("", ["-aiR", "h:sub/./deep", "got/"]),
    "pull, host path, not": ("", ["-ai", "h:@/pen/sub/", "got/"]),
}


@pytest.mark.parametrize("case", SAME)
def test_as_rrsync(work, case):
    options, args = SAME[case]
    user = USERS[len(case) % len(USERS)]
    stock = server_side(work, f"rrsync {options} @/pen", args, user)
    ours = server_side(work, f"{KEDGE} --restrict {options} @/pen", args, user)
    # The whole tree, the client's part of it included: what was transferred, and what was not.
    assert not difference(stock[2], ours[2]), (stock[:2], ours[:2], difference(stock[2], ours[2])[:20])
    assert (stock[0] == 0) == (ours[0] == 0), (stock[:2], ours[:2])
    words = re.search(r"rrsync error: (.* (?:not allowed|disabled on this server\.|restricted dir\)).*)", stock[1])
    if words:
        assert f"rsync: {words[1]}\n" in ours[1] and "(code 1) at server" in ours[1]
        assert ours[0] == stock[0] == 12


# Relative to the key's directory, which is rrsync's own reading: to the destination for all others.
BELOW = {
    **SAME,
    "push, backup": ("", ["-aib", "--backup-dir=tmp", "push/", "h:old/"]),
    "push, places": ("", ["-ai", "--temp-dir=tmp", "--link-dest=/sub", "push/", "h:old/"]),
}


@pytest.mark.parametrize("case", BELOW)
def test_below_rrsync(work, case):
    """The stock front end with kedge in rsync's place: it names what it has opened as descriptors."""
    options, args = BELOW[case]
    stock = server_side(work, f"rrsync {options} @/pen", args)
    with open(shutil.which("rrsync"), encoding="utf-8") as f:
        script, n = re.subn(r"^RSYNC = .*$", f"RSYNC = {KEDGE!r}", f.read(), flags=re.M)
    assert n == 1
    write_file(f"{work}/front", script.encode(), 0o755)
    ours = server_side(work, f"{work}/front {options} @/pen", args)
    assert not difference(stock[2], ours[2]), (stock[:2], ours[:2], difference(stock[2], ours[2])[:20])
    assert stock[0] == ours[0], (stock[:2], ours[:2])


# ---- ways out ----

# Arguments of the client, and whether a server that is not restricted goes along: the proof that the attempt is one.
OUT = {
    "pull, up": (["-a", "h:../out/", "got/"], True),
    "pull, up and down": (["-a", "h:../pen/../out/", "got/"], True),
    "pull, up from below": (["-a", "h:sub/../../out/", "got/"], True),
    "pull, absolute": (["-a", "h:@/out/", "got/"], True),
    "pull, relative names": (["-aR", "h:@/pen/./../out/", "got/"], False),
    "pull, through a link": (["-a", "h:to-out/", "got/"], True),
    "pull, below a link": (["-a", "h:to-out-abs/dir/secret", "got/"], True),
    "pull, relative through a link": (["-aR", "h:to-out/secret", "got/"], True),
    "pull, follows": (["-rL", "h:", "got/"], True),
    "pull, follows directories": (["-rlk", "h:", "got/"], True),
    "pull, copies unsafe links": (["-a", "--copy-unsafe-links", "h:", "got/"], True),
    "pull, wildcards": (["-a", "h:to-*/s*", "got/"], True),
    "pull, wildcards and up": (["-a", "h:*/../../out/s*", "got/"], True),
    "pull, list of the client": (["-a", "--files-from=list", "h:", "got/"], True),
    "pull, list of the server": (["-a", "--files-from=:@/out/list", "h:..", "got/"], True),
    "pull, list of the server, up": (["-a", "--files-from=:../out/list", "h:..", "got/"], True),
    "pull, list through a link": (["-a", "--files-from=:to-out/list", "h:..", "got/"], True),
    "pull, secluded": (["-as", "h:../out/", "got/"], True),
    "pull, secluded, absolute": (["-as", "h:@/out/", "got/"], True),
    "pull, secluded, wildcards": (["-as", "h:../o*/s*", ":to*/s*", "got/"], True),
    "pull, secluded, list": (["-as", "--files-from=:@/out/list", "h:..", "got/"], True),
    "pull, insecure": (["-a", "-M--insecure-links", "h:to-out/", "got/"], True),
    "pull, another root": (["-a", "-M--confine-root=/", "h:@/out/", "got/"], True),
    "pull, another root, secluded": (["-as", "-M--confine-root=/", "h:@/out/", "got/"], False),
    "push, up": (["-a", "push/", "h:../out/"], True),
    "push, absolute": (["-a", "push/", "h:@/out/"], True),
    "push, new outside": (["-a", "push/", "h:../fresh"], True),
    "push, mkpath": (["-a", "--mkpath", "push/", "h:../no/such/"], True),
    "push, through a link": (["-a", "push/", "h:to-out/"], True),
    "push, below a link": (["-a", "push/a", "h:to-out-abs/a"], True),
    "push, secluded": (["-as", "push/", "h:../out/"], True),
    "push, secluded, wildcards": (["-as", "push/", "h:../o?t"], True),
    "push, keeps links": (["-aK", "planted/", "h:"], False),
    "push, relative, planted": (["-aR", "--no-implied-dirs", "./planted/./to-out/secret", "h:"], False),
    "push, link-dest": (["-a", "--link-dest=@/out", "push/", "h:sub/"], True),
    "push, link-dest, up": (["-a", "--link-dest=../../out", "push/", "h:sub/"], True),
    "push, copy-dest": (["-a", "--copy-dest=@/out", "--size-only", "fake/", "h:sub/"], True),
    "push, backup-dir": (["-abI", "--backup-dir=@/out", "push/", "h:old/"], True),
    "push, backup-dir, up": (["-abI", "--backup-dir=../../out", "push/", "h:old/"], True),
    "push, deletes through a link": (["-a", "--delete", "push/", "h:to-out/"], True),
    "push, deletes up": (["-a", "--delete", "push/", "h:../out/"], True),
    "push, log": (["-a", "-M--log-file=@/out/log", "push/", "h:"], True),
    "pull, log": (["-a", "-M--log-file=../out/log", "h:", "got/"], True),
}


def plant(top):
    os.makedirs(f"{top}/client/planted/to-out")
    write_file(f"{top}/client/planted/to-out/planted", b"over\n", mtime=BASE)
    write_file(f"{top}/client/planted/to-out/secret", b"over\n", mtime=BASE)
    os.makedirs(f"{top}/client/fake")
    write_file(f"{top}/client/fake/secret", b"x" * len(SECRET), mtime=BASE)
    os.unlink(f"{top}/client/push/secret")
    write_file(f"{top}/client/push/secret", SECRET, mtime=BASE)


def escaped(top, before):
    """What left the pen, or was brought into it: paths."""
    left = []
    for where in ("client/got", "pen", "."):
        for d, dirs, files in os.walk(f"{top}/{where}"):
            if where == "." and d == f"{top}/.":
                dirs[:] = []
                left += [n for n in os.listdir(d) if n not in ("pen", "out", "client", "home")]
            for n in files:
                path = f"{d}/{n}"
                if os.path.islink(path) or where == ".":
                    continue
                with open(path, "rb") as f:
                    if f.read() == SECRET and (where != "pen" or os.stat(path).st_nlink > 1 or "fake" in before):
                        left.append(path)
    return left


def attempt(work, name, server, args, user):
    top = f"{work}/{name}"
    os.mkdir(top)
    os.chmod(top, 0o755)
    lay_out(top)
    plant(top)
    if user:
        give(top, user)
    before = snapshot(f"{top}/out", dir_times=False, links=True)
    nlink = os.stat(f"{top}/out/secret").st_nlink
    rc, text = run(top, server, args, user)
    left = difference(before, snapshot(f"{top}/out", dir_times=False, links=True))
    left += escaped(top, " ".join(args))
    if os.stat(f"{top}/out/secret").st_nlink != nlink:
        left.append("a link to the secret")
    return rc, text, left


@pytest.mark.parametrize("case", OUT)
def test_no_way_out(work, case):
    args, is_one = OUT[case]
    user = USERS[len(case) % len(USERS)]
    rc, text, left = attempt(work, "restricted", f"{KEDGE} --restrict @/pen", args, user)
    assert not left, (rc, text, left)
    assert "SECRET" not in text
    rc, text, left = attempt(work, "confined", f'sh -c "cd @/pen; exec {KEDGE} --server --confine-root=@/pen ${{SSH_ORIGINAL_COMMAND#rsync --server}}"',
                             args, user)
    assert not left, (rc, text, left)
    if is_one:
        rc, text, left = attempt(work, "free", f'sh -c "cd @/pen; exec {KEDGE} ${{SSH_ORIGINAL_COMMAND#rsync}}"', args, user)
        assert left, (rc, text)


# ---- a command line without a shell ----

PLAIN = "rsync --server --sender -re.iLsfxCIvu . "
REFUSED = {
    "nothing": ("", "Not invoked via sshd"),
    "blanks": ("  ", "SSH_ORIGINAL_COMMAND does not run rsync"),
    "a shell": ("sh -c 'touch @/mark'", "SSH_ORIGINAL_COMMAND does not run rsync"),
    "two commands": ("touch @/mark; rsync --server . f", "SSH_ORIGINAL_COMMAND does not run rsync"),
    "a path": ("/usr/bin/rsync --server --sender . f", "SSH_ORIGINAL_COMMAND does not run rsync"),
    "a quoted path": ("'../rsync' --server --sender . f", "SSH_ORIGINAL_COMMAND does not run rsync"),
    "a variable": ("PATH=@ rsync --server --sender . f", "SSH_ORIGINAL_COMMAND does not run rsync"),
    "a client": ("rsync -a @/out/ @/pen/", "--server option is not the first arg"),
    "late server": ("rsync --sender --server . f", "--server option is not the first arg"),
    "a daemon": ("rsync --server --daemon .", "option --daemon has been disabled on this server."),
    "a daemon, configured": ("rsync --server --daemon --config=@/conf .", "option --daemon has been disabled on this server."),
    "configured": ("rsync --server --config=@/conf .", "option --config has been disabled on this server."),
    "two lines": (PLAIN + "f\ntouch @/mark", "more than one line in the command"),
    "two lines, return": (PLAIN + "f\rtouch @/mark", "more than one line in the command"),
    "open quote": (PLAIN + "'f", "unbalanced quotes in the command"),
    "open double quote": (PLAIN + '"f\\"', "unbalanced quotes in the command"),
    "backslash at the end": (PLAIN + "f\\", "backslash at the end of the command"),
    "up": (PLAIN + "../out/secret", "do not use .. in arg (anchor the path at the root of your restricted dir)"),
    "up, quoted": (PLAIN + "\\.'.'/out/secret", "do not use .. in arg (anchor the path at the root of your restricted dir)"),
    "up, wildcard": (PLAIN + "*/../../out/s*", "do not use .. in arg (anchor the path at the root of your restricted dir)"),
    "log": (PLAIN.replace(" . ", " --log-file=@/mark . ") + "f", "option --log-file has been disabled on this server."),
    "log, quoted": (PLAIN.replace(" . ", " '--log-'file=@/mark . ") + "f", "option --log-file has been disabled on this server."),
    "log, next word": (PLAIN.replace(" . ", " --log-file @/mark . ") + "f", "option --log-file has been disabled on this server."),
    "unknown option": (PLAIN.replace(" . ", " --bogus . ") + "f", "--bogus: unknown option"),
    "other root": (PLAIN.replace(" . ", " --confine-root=/ . ") + "f", "option --confine-root has been disabled on this server."),
    "insecure": (PLAIN.replace(" . ", " --insecure-links . ") + "f", "option --insecure-links has been disabled on this server."),
    "somebody else": (PLAIN.replace(" . ", " --copy-as=daemon . ") + "f", "option --copy-as has been disabled on this server."),
    "long": (PLAIN + "x" * 110_000 + " " + "y" * 20_000, None),
    "many": (PLAIN + "x " * 60_000, "too many words in the command"),
}
LITERAL = ["f;touch @/mark", "$(touch @/mark)", "`touch @/mark`", "f|touch @/mark", "f&touch @/mark", "f>@/mark", "$HOME", "~", "{f,g}", "<f",
           "'$(touch @/mark)'", "\"`touch @/mark`\"", "f\\\ntouch @/mark"]


def direct(work, line, options=(), **env):
    """kedge with a command line and nobody behind it: what it says before it waits for a peer."""
    os.makedirs(f"{work}/pen/sub", exist_ok=True)
    write_file(f"{work}/pen/f", b"inside\n")
    r = subprocess.run([KEDGE, "--restrict", *options, f"{work}/pen"], cwd=work, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                       stderr=subprocess.PIPE, timeout=LIMIT, env={**os.environ, "SSH_ORIGINAL_COMMAND": line.replace("@", work), **env})
    assert sorted(os.listdir(work)) == ["pen"] and sorted(os.listdir(work + "/pen")) == ["f", "sub"]
    return r.returncode, r.stderr.decode(), r.stdout


@pytest.mark.parametrize("case", REFUSED)
def test_refused(work, case):
    line, words = REFUSED[case]
    rc, text, out = direct(work, line)
    if words:
        assert rc == 1 and words in text and not out, (rc, text)
    else:
        assert rc in (1, 12) and len(text) < 2000, (rc, text)


def test_nothing_is_expanded(work):
    for word in LITERAL:
        rc, text, _ = direct(work, PLAIN + word)
        # The server waits for its client, which has gone.
        assert rc == 12 and "connection unexpectedly closed" in text, (word, rc, text)


@pytest.mark.parametrize("name,value", [("RSYNC_CHECKSUM_LIST", "bogus"), ("RSYNC_COMPRESS_LIST", "bogus")])
def test_environment_is_dropped(work, name, value):
    """Algorithms are not chosen by what sshd may have taken from the client."""
    for n, (server, code) in enumerate(((f"{KEDGE} --restrict @/pen", 0),
                                        (f'sh -c "cd @/pen; exec {KEDGE} ${{SSH_ORIGINAL_COMMAND#rsync}}"', 4))):
        os.mkdir(f"{work}/{n}")
        lay_out(f"{work}/{n}")
        rc, text = run(f"{work}/{n}", f"env {name}={value} {server}", ["-az", "h:f", "got/"])
        assert rc == code, (n, rc, text)


@pytest.mark.parametrize("options,words", [
    (["-zz"], "unrecognized arguments: -zz"), (["/"], "unrecognized arguments: "), (["-ro", "-wo"], "argument -wo: not allowed with argument -ro"),
], ids=["option", "two directories", "ro and wo"])
def test_own_mistakes(work, options, words):
    rc, text, _ = direct(work, PLAIN + "f", options)
    assert rc == 1 and words in text


def test_no_directory(work):
    for args, code, words in (([], 1, "the following arguments are required: DIR"), ([work + "/none"], 3, "No such file or directory"),
                              (["-help"], 0, "")):
        r = subprocess.run([KEDGE, "--restrict", *args], env={**os.environ, "SSH_ORIGINAL_COMMAND": PLAIN + "f"}, stdin=subprocess.DEVNULL,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=LIMIT)
        assert r.returncode == code and words in r.stderr.decode()
        assert (b"usage:" in r.stdout) == (args == ["-help"])


# ---- sshd ----

WHERE = f"{getpass.getuser()}@127.0.0.1"


@pytest.mark.parametrize("version", sorted(CLIENTS))
def test_through_sshd(work, ssh, version):
    shell, restrict = ssh
    lay_out(work)

    def client(*args):
        return subprocess.run([CLIENTS[version], "-e", shell, *args], cwd=f"{work}/client", stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=LIMIT)

    restrict(f"{KEDGE} --restrict -ro {work}/pen")
    r = client("-a", f"{WHERE}:", "got/")
    assert r.returncode == 0, r.stdout
    assert not difference(snapshot(f"{work}/pen"), snapshot(f"{work}/client/got"))
    r = client("-a", f"{WHERE}:it's \"$HOME\"; \\*", f"{WHERE}:gl*2", "some/")
    assert r.returncode == 0 and sorted(os.listdir(f"{work}/client/some")) == ["glob2", "it's \"$HOME\"; *"], r.stdout
    r = client("-a", "push/", f"{WHERE}:sub/")
    assert r.returncode == 12 and b"sending to read-only server is not allowed" in r.stdout
    r = client("-a", f"{WHERE}:{work}/out/", "got/")
    assert r.returncode == 23 and b"No such file or directory" in r.stdout
    # Not rsync at all.
    r = subprocess.run([*shell.split(), WHERE, f"cat {work}/out/secret"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                       stderr=subprocess.STDOUT, timeout=LIMIT)
    assert r.returncode == 1 and b"does not run rsync" in r.stdout and b"SECRET" not in r.stdout
    # The key runs a link of the old name.
    os.symlink(KEDGE, f"{work}/rrsync")
    restrict(f"{work}/rrsync -wo -no-del {work}/pen")
    r = client("-a", "push/", f"{WHERE}:/sub/")
    assert r.returncode == 0, r.stdout
    assert os.path.exists(f"{work}/pen/sub/sub/n")
    r = client("-a", "--delete", "push/", f"{WHERE}:sub/")
    assert r.returncode == 12 and b"has been disabled on this server" in r.stdout
    assert os.path.exists(f"{work}/pen/sub/g")
    r = client("-as", "push/", f"{WHERE}:../out/")
    assert r.returncode == 12 and not os.path.exists(f"{work}/out/a")


# ---- the sandbox of it ----

def test_jail(work):
    """What the server of a restricted key has become, while it waits for its client."""
    lay_out(work)
    p = subprocess.Popen([KEDGE, "--restrict", f"{work}/pen"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                         env={**os.environ, "SSH_ORIGINAL_COMMAND": PLAIN + "f"})
    try:
        # It has confined itself before it says a word.
        assert len(p.stdout.read(4)) == 4
        with open(f"/proc/{p.pid}/status") as f:
            facts = dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)
        assert facts["Seccomp"].strip() == "2" and facts["NoNewPrivs"].strip() == "1"
        if IS_ROOT:
            assert os.path.samefile(f"/proc/{p.pid}/root/.", f"{work}/pen")
            # Its own mount of it, where no device can be opened.
            flags = os.ST_NODEV | os.ST_NOSUID | os.ST_NOEXEC
            assert os.statvfs(f"/proc/{p.pid}/root/.").f_flag & flags == flags
        for n in os.listdir(f"/proc/{p.pid}/fd") if IS_ROOT else ():
            what = os.readlink(f"/proc/{p.pid}/fd/{n}")
            # The root of a mount of one's own is called "/".
            assert what[0] != "/" or what.startswith(f"{work}/pen") or os.path.samefile(f"/proc/{p.pid}/fd/{n}", f"{work}/pen"), what
    finally:
        p.kill()
        p.communicate()


# ---- --confine-root by itself ----

@pytest.mark.parametrize("options,code,words", [
    (["--confine-root=pen"], 1, "--confine-root must be an absolute path"),
    (["--confine-root=@/pen", "--insecure-links"], 1, "--insecure-links cannot be combined with --confine-root"),
    (["--confine-root=@/pen", "--log-file=@/pen/log"], 1, "--log-file cannot be combined with --confine-root"),
    (["--confine-root=@/pen", "--confine-root=/"], 1, "You can only specify --confine-root once."),
    (["--confine-root=@/none"], 3, "No such file or directory"),
    (["--confine-root=@/pen/f"], 3, "Not a directory"),
    (["--confine-root=@/pen", "--copy-devices"], 1, "--copy-devices cannot be combined with --confine-root"),
], ids=["relative", "insecure", "log", "twice", "missing", "a file", "devices"])
def test_confine_root_mistakes(work, options, code, words):
    lay_out(work)
    r = subprocess.run([KEDGE, "--server", "--sender", "-re.LsfxCIvu", *[o.replace("@", work) for o in options], ".", "f"], cwd=work,
                       stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=LIMIT)
    assert r.returncode == code and words in r.stderr.decode() and not r.stdout


# ---- options ----

# What rrsync of 3.5.0 says no to, by the options of the key; what its key allows besides is refused by neither.
ALWAYS = ("--write-devices --copy-devices --no-munge-links --debug=x --daemon --archive --filter=x --exclude=x --exclude-from=f --include-from=f "
          "--chmod=x --copy-as=x --insecure-links --confine-root=/ --write-batch=x --read-batch=x --log-file-format=x --remote-option=-x "
          "--stop-after=1 --rsync-path=x --password-file=f --config=f --dparam=x --detach --chown=x --no-super -M-x -f-x -F").split()
DELETES = ("--remove-source-files --remove-sent-files --delete-missing-args --delete --delete-before --delete-during --delete-delay "
           "--delete-after --delete-excluded").split()
REPLACES = "--partial-dir=x --delay-updates -b --backup-dir=x".split()
PASS = ("-d -R -x -m -C -c -I -u -W -S -y -z -b -l -H -p -E -A -X -t -U -O -J -o -g -D -n -q -v --no-r --no-relative --no-implied-dirs --from0 "
        "--list-only --mkpath --max-size=1 --existing --ignore-existing --ignore-missing-args --checksum-seed=1 --size-only --modify-window=1 "
        "--no-W -B512 --inplace --append --preallocate --compare-dest=sub --copy-dest=sub --link-dest=sub --old-compress --new-compress "
        "--compress-level=1 --skip-compress=x --partial --partial-dir=x --delay-updates --temp-dir=sub --fsync --suffix=x --bwlimit=1 --timeout=9 "
        "--links --safe-links --munge-links --hard-links --perms --times --open-noatime --owner --group --specials --no-specials --numeric-ids "
        "--usermap=*:0 --groupmap=*:0 --super --fake-super --max-delete=1 --force --ignore-errors --info=name --msgs2stderr --no-msgs2stderr "
        "--log-format=%i --stats --only-write-batch=x").split() + DELETES


@pytest.mark.parametrize("key,options,says_no", [
    ([], ALWAYS, True), (["-no-del"], DELETES, True), (["-ro"], DELETES, True), (["-no-overwrite"], REPLACES, True), ([], PASS, False),
    (["-munge"], ["--no-munge-links"], True), (["-wo"], ["--files-from=list"], True),
], ids=["always", "no-del", "ro", "no-overwrite", "let pass", "munge", "wo"])
def test_options(work, key, options, says_no):
    for option in options:
        side = "--sender " if key == ["-ro"] else ""
        rc, text, _ = direct(work, f"rsync --server {side}-re.iLsfxCIvu {option} . sub", key)
        refused = re.search(r"option (-\S+) has been disabled on this server|cannot read a remote --files-from", text)
        assert bool(refused) == says_no, (option, rc, text)
        assert rc == (1 if says_no else 12), (option, rc, text)
        if says_no and refused[1] and len(refused[1]) > 2:
            assert option.startswith(refused[1])
