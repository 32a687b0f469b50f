"""A daemon for one session behind a remote shell (`rsync -e SHELL host::module`): which configuration it reads, as whom, what of
it has an effect and what not, beside the stock daemon. A row is a configuration and how it is asked."""
import os
import re
import shutil

import pytest
from harness import IS_ROOT, KEDGE, SANITIZED, STOCK_350, client, wait_for, write_file

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not IS_ROOT, reason="starts daemons as two users")]

BINARIES = (STOCK_350, KEDGE)
M = "[m]\npath = @/data\nread only = no\n"
R = M + "uid = 0\ngid = 0\n"
LOG = "log file = @/log\n"
N = LOG + "reverse lookup = no\n"  # no question leaves this machine
PULL, PUSH, LIST = ["-a", "h::m/", "@/out/"], ["-a", "@/src/", "h::m/"], ["h::"]
# (name of the row, user, file that holds the text, the text, how the server is started, what the client does). The server starts in
# @; {} is the binary. `etc` is /etc/rsyncd.conf of a mount namespace.
ROWS = [
    ("plain", "nobody", "rsyncd.conf", M, "{}", PULL),
    ("plain_push", "nobody", "rsyncd.conf", M, "{}", PUSH),
    ("plain_list", "nobody", "rsyncd.conf", "motd file = @/motd\n" + M, "{}", LIST),
    ("plain_no_home", "nobody", "rsyncd.conf", M, "env -u HOME {}", PULL),
    ("plain_elsewhere", "nobody", "rsyncd.conf", M, "cd @/data; {}", PULL),
    ("plain_etc", "nobody", "etc", M, "{}", PULL),
    ("plain_config_relative", "nobody", "c", M, "{} --config=c", PULL),
    ("root", "root", "etc", R, "{}", PULL),
    ("root_not_home", "root", "rsyncd.conf", R, "{}", PULL),
    ("root_config", "root", "c", R, "{} --config=@/c", PULL),
    ("root_config_relative", "root", "c", R, "{} --config=c", PUSH),
    ("unreadable", "nobody", "rsyncd.conf 000", M, "{}", PULL),
    ("unreadable_root", "root", "c 000", R, "{} --config=c", PULL),
    ("empty", "nobody", "rsyncd.conf", "", "{}", PULL),
    ("broken", "nobody", "rsyncd.conf", LOG + "[m\n", "{}", PULL),
    ("broken_before", "nobody", "rsyncd.conf", "= x\n" + LOG + M, "{}", PULL),
    ("broken_log_option", "nobody", "rsyncd.conf", LOG + "[m\n", "{} --log-file=@/log", PULL),
    ("unknown", "nobody", "rsyncd.conf", LOG + "no such = 1\nlist = off\n" + M, "{}", PULL),
    ("foreign_link", "nobody", "rsyncd.conf link", M, "{}", PULL),
    ("no_module", "nobody", "rsyncd.conf", LOG + "[n]\n", "{}", PULL),
    ("other_uid", "nobody", "rsyncd.conf", M + "uid = daemon\n", "{}", PULL),
    ("other_gid", "nobody", "rsyncd.conf", M + "gid = daemon\n", "{}", PULL),
    ("chroot", "nobody", "rsyncd.conf", LOG + M + "use chroot = yes\n", "{}", PULL),
    ("inner", "nobody", "rsyncd.conf", LOG + M + "path = @/./data\n", "{}", PULL),
    ("root_default_ids", "root", "etc", M, "{}", PUSH),
    ("root_chroot", "root", "etc", LOG + R + "use chroot = yes\n", "{}", PUSH),
    ("root_ids", "root", "etc", LOG + R + "uid = nobody\ngid = nogroup\n", "{}", PUSH),
    ("foreign_directory", "root", "etc", R + "uid = nobody\npath = @/open\n", "{}", PUSH),
    ("path_missing", "nobody", "rsyncd.conf", LOG + M + "path = @/none\n", "{}", PULL),
    ("path_home", "nobody", "rsyncd.conf", LOG + M + "path = %HOME%/data\n", "{}", PULL),
    ("read_only", "nobody", "rsyncd.conf", LOG + M + "read only = yes\n", "{}", PUSH),
    ("auth", "nobody", "rsyncd.conf", LOG + M + "auth users = joe\nsecrets file = @/secrets\n", "{}", ["-a", "joe@h::m/", "@/out/"]),
    ("auth_wrong", "nobody", "rsyncd.conf", LOG + M + "auth users = ann\nsecrets file = @/secrets\n", "{}", ["-a", "ann@h::m/", "@/out/"]),
    ("auth_owner", "root", "etc", LOG + R + "auth users = joe\nsecrets file = @/secrets\n", "{}", ["-a", "joe@h::m/", "@/out/"]),
    ("ignored", "nobody", "rsyncd.conf", LOG + "port = 1\naddress = no-such.invalid\npid file = @/pid\nlisten backlog = 0\n"
     "socket options = NOPE\n" + M, "{}", PULL),
    ("slots", "nobody", "rsyncd.conf", LOG + M + "max connections = 1\nlock file = @/lock\n", "{}", PULL),
    ("slots_no_file", "nobody", "rsyncd.conf", LOG + M + "max connections = 1\nlock file = @/none/lock\n", "{}", PULL),
    ("allow_unknown", "nobody", "rsyncd.conf", LOG + M + "hosts allow = 10.1.2.3\n", "{}", PULL),
    ("allow_zero", "nobody", "rsyncd.conf", LOG + M + "hosts allow = 0.0.0.0\n", "{}", PULL),
    ("allow_ssh", "nobody", "rsyncd.conf", N + M + "hosts allow = 10.1.2.3\n", "env SSH_CONNECTION='10.1.2.3 5 10.1.2.4 22' {}", PULL),
    ("deny_ssh", "nobody", "rsyncd.conf", N + M + "hosts deny = 10.0.0.0/8\n", "env SSH_CONNECTION='10.1.2.3 5 6 7' {}", PULL),
    ("first_wins", "nobody", "rsyncd.conf", N + M + "hosts deny = 10.0.0.0/8\n",
     "env SSH_CONNECTION='10.1.2.3 5 6 7' REMOTE_HOST=10.1.2.3 SSH2_CLIENT=::1 {}", PULL),
    ("ipv6", "nobody", "rsyncd.conf", N + M + "hosts allow = 2001:db8::/32\n", "env SSH2_CLIENT='2001:db8::7 1 2' {}", PULL),
    ("loopback", "nobody", "rsyncd.conf", LOG + M + "hosts allow = localhost\n", "env SSH_CLIENT='127.0.0.1 1 2' {}", PULL),
    ("no_lookup", "nobody", "rsyncd.conf", N + M, "env SSH_CLIENT='127.0.0.1 1 2' {}", PULL),
    ("dparam", "nobody", "rsyncd.conf", "comment = of the file\n[m]\npath = @/data\n", "{} --dparam=comment=given -M motdfile=@/motd", LIST),
    ("log_unwritable", "nobody", "rsyncd.conf", "log file = /none/log\n" + M, "{}", PULL),
    ("bad_option", "nobody", "rsyncd.conf", M, "{} --config=rsyncd.conf --foo", PULL),
    ("old", "nobody", "rsyncd.conf", M, "{} --protocol=30", PULL),
    ("hooks", "nobody", "rsyncd.conf", LOG + M + "pre-xfer exec = env | grep RSYNC_H > @/pre; echo out; echo err >&2\n"
     "post-xfer exec = echo $RSYNC_EXIT_STATUS > @/post\n", "{}", PULL),
    ("early_refuses", "nobody", "rsyncd.conf", M + "early exec = exit 1\n", "{}", PULL),
    ("daemon_uid_root", "root", "etc", "daemon uid = nobody\ndaemon gid = nogroup\n" + M, "{}", PUSH),
    ("daemon_chroot_root", "root", "etc", LOG + "daemon chroot = @\n" + R + "path = /data\n", "{}", PULL),
    ("daemon_chroot", "nobody", "rsyncd.conf", LOG + "daemon chroot = @\n" + M, "{}", PULL),
    ("daemon_uid", "nobody", "rsyncd.conf", LOG + "daemon uid = daemon\n" + M, "{}", PULL),
    ("proxy", "nobody", "rsyncd.conf", LOG + "proxy protocol = yes\n" + M, "{}", PULL),
]


def plain(text, top):
    text = text.replace(top, "@")
    lines = [re.sub(r"^\w+\.c:\w+\(\) - | \(\S+ line \d+\)$", "", re.sub(r"^\d\S+ \S+ \[\d+\] ", "", x)) for x in text.splitlines()]
    lines = [re.sub(r"\.[A-Za-z0-9]{6}\b", ".XXXXXX", x) for x in lines if not x.startswith("Failed.  Error returned")]
    lines = [re.sub(r" at \S+\(\d+\) \[(\w+)=[^]]*\]", r" [\1]", x).replace('"kedge --', '"rsync --') for x in lines]
    return [re.sub(r"(sent|received) [\d,.]+ bytes|[\d,.]+ bytes/sec", "N bytes", x) for x in lines]


def lay(top, user, where, text):
    for d in ("data/d", "src", "open"):
        os.makedirs(f"{top}/{d}")
    os.chmod(top + "/open", 0o777)
    for name in ("data/one", "data/d/two", "src/new"):
        write_file(f"{top}/{name}", name.encode(), mtime=10**18)
    write_file(top + "/motd", b"Hello.\n")
    write_file(top + "/secrets", b"joe:secret\nann:other\n", 0o600)
    name, _, how = where.partition(" ")
    if name != "data":
        write_file(f"{top}/{'target' if how == 'link' else name}", text.replace("@", top).encode(), int(how, 8) if how.isdigit() else 0o644)
    for d, dirs, files in os.walk(top, topdown=False):
        os.utime(d, ns=(10**17, 10**17))
        for n in (".", *dirs, *files):
            shutil.chown(os.path.join(d, n), user)
    if how == "link":
        os.symlink("target", f"{top}/{name}")
        os.chown(f"{top}/{name}", 1, 1, follow_symlinks=False)
    if name == "etc":
        os.mkdir(top + "/.etc")
        for n in ("passwd", "group", "nsswitch.conf", "hosts", "localtime"):
            if os.path.exists("/etc/" + n):
                shutil.copy("/etc/" + n, top + "/.etc/")
        os.rename(top + "/etc", top + "/.etc/rsyncd.conf")


def shell(top, user, etc, start):
    """Runs what the client asks for the way a log-in of this user would, and keeps its exit code."""
    start = start.replace("{}", "$SERVER")
    become = "setpriv --reuid=65534 --regid=65534 --clear-groups" if user == "nobody" else ""
    lines = ["shift", f'case "$*" in *"--server --daemon .") ;; *) exit 99;; esac', f"cd {top}"]
    # The client ends what it started as soon as it is done with it.
    inner = f"trap : USR1 TERM; {start} --server --daemon . ; c=$?; echo $c > {top}/.code; exit $c".replace("@", top)
    if etc:
        lines.append("[ $NAMESPACE ] || exec unshare -m env NAMESPACE=1 sh $0 h \"$@\"")
        lines.append(f"mount --bind {top}/.etc /etc")
    lines.append(f"exec env -i PATH=$PATH LC_ALL=C HOME={top} SERVER=$SERVER {become} sh -c {inner!r}")
    write_file(top + "/shell", ("#!/bin/sh\n" + "\n".join(lines) + "\n").encode(), 0o755)
    return top + "/shell"


@pytest.mark.parametrize("row", ROWS, ids=[r[0] for r in ROWS])
def test_single_use(work, row):
    name, user, where, text, start, words = row
    if SANITIZED and name == "daemon_chroot_root":
        pytest.skip("the leak check needs /proc")
    seen = []
    for binary in BINARIES:
        top = work + "/w"
        os.mkdir(top)
        os.chmod(top, 0o755)
        lay(top, user, where, text)
        r = client(["-e", shell(top, user, where == "etc", start), *[w.replace("@/", top + "/") for w in words]],
                   env={"RSYNC_PASSWORD": "secret", "SERVER": binary})
        wait_for(lambda: os.path.exists(top + "/.code"))
        found = {}
        for name in (".code", "log", "pre", "post"):
            if os.path.exists(f"{top}/{name}"):
                with open(f"{top}/{name}", errors="replace") as f:
                    # The stock client may end its server before it has logged how it went.
                    found[name] = [x for x in plain(f.read(), top) if not re.search("total size|code 23", x)]
        tree = sorted((os.path.relpath(os.path.join(d, n), top), os.lstat(os.path.join(d, n)).st_uid)
                      for d, dirs, files in os.walk(top) for n in (*dirs, *files) if ".etc" not in d)
        seen.append((r.returncode, plain(r.stdout.decode(), top), plain(r.stderr.decode(), top), found, tree))
        shutil.rmtree(top)
    for what, a, b in zip(("exit code", "output", "errors", "written", "tree"), *seen):
        assert b == a, what
