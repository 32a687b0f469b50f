"""The operator's programs: early, pre-xfer and post-xfer exec, name converter; beside the stock daemon's."""
import os
import re
import shutil

import pytest
from harness import Daemon, IS_ROOT, KEDGE, STOCK_350, client, write_file

IDS = {"uid": 0, "gid": 0} if IS_ROOT else {}


def script(work, name, text):
    path = os.path.join(work, name)
    write_file(path, b"#!/bin/sh\n" + text.encode(), 0o755)
    return path


def both(work, run):
    """run(directory, binary) for the stock daemon and for ours, in equal places; both results."""
    out = []
    for binary in (STOCK_350, KEDGE):
        top = os.path.join(work, "w")
        os.mkdir(top)
        os.chmod(top, 0o755)
        out.append(run(top, binary))
        shutil.rmtree(top)
    return out


def clean(text, work):
    if isinstance(text, bytes):
        text = text.decode()
    text = re.sub(r" at [\w./]+\(\d+\)", "", text.replace(work, "WORK"))
    return re.sub(r"\[(\w+)=[0-9.]+\]", r"[\1]", text)


DUMP = 'env | grep ^RSYNC_ | sed "s/^RSYNC_PID=.*/RSYNC_PID=N/" | sort > "$0.$1"\n'


def data_in(top):
    data = os.path.join(top, "data")
    os.makedirs(data + "/sub dir")
    write_file(data + "/f1", b"1")
    write_file(data + "/sub dir/f2", b"2")
    return data


@pytest.mark.slow
@pytest.mark.parametrize("chroot", ["yes", "no"])
@pytest.mark.parametrize("words", [["-a", "{m}f1", "{m}sub*", "{o}"], ["-ab", "--suffix=s \\s", "{s}", "{m}sub dir/"], ["-as", "{m}sub dir/", "{o}"],
                                   ["-an", "{m}", "{o}"], ["-a", "--timeout=3", "{s}", "{m}sub*/"], ["-as", "--timeout=3", "{m}f1", "{m}sub*", "{o}"]],
                         ids=["pull", "push", "secluded", "dry", "refused", "refused_secluded"])
def test_environment_as_stock(work, words, chroot):
    def run(top, binary):
        data = data_in(top)
        hook = script(top, "hook", DUMP)
        mods = {"m": {"path": data, "read only": "no", "use chroot": chroot, **IDS, "refuse options": "timeout", "early exec": hook + " early",
                      "pre-xfer exec": hook + " pre", "post-xfer exec": hook + " post"}}
        os.mkdir(top + "/src")
        write_file(top + "/src/new", b"new")
        with Daemon(top, mods, binary=binary) as d:
            args = [w.format(m=d.url("m/"), o=top + "/out/", s=top + "/src/") for w in words]
            r = client(args)
            d.wait_idle()
        seen = {n: clean(open(f"{hook}.{n}").read(), top) for n in ("early", "pre", "post")}
        # Whether a refused client sees the connection reset is left to chance.
        return (r.returncode, clean(r.stderr, top), seen) if "--timeout=3" not in words else seen

    stock, ours = both(work, run)
    # What the client sends differs between runs in nothing that is compared here but the capability letters.
    assert ours == stock


@pytest.mark.slow
@pytest.mark.parametrize("body,text", [
    ("exit 3\n", "pre-xfer exec returned failure (768)\n"),
    ("echo no; echo 'more text'\nexit 1\n", "pre-xfer exec returned failure (256):\nno\nmore text\n"),
    ("printf 'dos\\r\\nunfinished'; exit 2\n", "pre-xfer exec returned failure (512):\ndos\nunfinished\n"),
    ("kill -9 $$\n", "pre-xfer exec returned failure (35072)\n"),
    ("head -c 20000 /dev/zero | tr '\\0' x; exit 1\n", "pre-xfer exec returned failure (256):\n" + "x" * 1000),
], ids=["silent", "output", "dos", "killed", "long"])
@pytest.mark.parametrize("push", [False, True], ids=["pull", "push"])
def test_pre_xfer_refusal_as_stock(work, body, text, push):
    def run(top, binary):
        data = data_in(top)
        mods = {"m": {"path": data, "read only": "no", **IDS, "pre-xfer exec": script(top, "hook", body),
                      "post-xfer exec": script(top, "post", 'echo "$RSYNC_EXIT_STATUS $RSYNC_RAW_STATUS" > "$0.out"\n')}}
        with Daemon(top, mods, binary=binary, global_lines=[f"log file = {top}/own-log"]) as d:
            args = ["-a", data + "/f1", d.url("m/new")] if push else ["-a", d.url("m/"), top + "/out/"]
            r = client(args)
            d.wait_idle()
            log = d.read_log() + (open(top + "/own-log").read() if os.path.exists(top + "/own-log") else "")
        assert not os.path.exists(data + "/new")
        first = text.split("\n")[0]
        return clean(r.stderr, top), first in log, open(top + "/post.out").read(), r.returncode

    stock, ours = both(work, run)
    # The stock daemon closes before the client has read everything: what the client makes of that is left to chance.
    assert ours[0].startswith(text.rstrip("\n")) and ours[3] == 4
    assert stock[0].startswith(text.rstrip("\n"))
    assert ours[1:3] == stock[1:3] == (True, "4 1024\n")


def test_pre_xfer_whose_shell_is_killed(work):
    def run(top, binary):
        with Daemon(top, {"m": {"path": data_in(top), **IDS, "pre-xfer exec": "kill -9 $$"}}, binary=binary) as d:
            return clean(client([d.url("m/")]).stderr, top)

    for seen in both(work, run):
        assert seen.startswith("pre-xfer exec returned failure (256)\n")


def test_pre_xfer_that_does_not_exist(work):
    def run(top, binary):
        mods = {"m": {"path": data_in(top), **IDS, "pre-xfer exec": "/no/such/program"}}
        with Daemon(top, mods, binary=binary) as d:
            r = client([d.url("m/")])
            return clean(r.stderr, top)

    for seen in both(work, run):
        assert seen.startswith("pre-xfer exec returned failure (32512)\n")


def test_values_from_the_network_cannot_be_run(work):
    secrets = os.path.join(work, "secrets")
    user = "a;touch$IFS" + "pwned"
    write_file(secrets, f"{user}:pw\njoe:pw\n".encode(), 0o600)
    data = data_in(work)
    mods = {"m": {"path": data, **IDS, "auth users": "*", "secrets file": secrets,
                  "pre-xfer exec": f"echo dq=\"%RSYNC_USER_NAME%\" bare=%RSYNC_USER_NAME% sq='%RSYNC_USER_NAME%' > {work}/seen"}}
    with Daemon(work, mods) as d:
        def try_as(name):
            return client([d.url("m/").replace("rsync://", f"rsync://{name}@")], env={"RSYNC_PASSWORD": "pw"}, cwd=work)

        assert try_as("joe").returncode == 0
        assert open(work + "/seen").read() == "dq='joe' bare=joe sq=joe\n"
        os.unlink(work + "/seen")
        assert try_as(user).returncode == 5
        d.wait_idle()
        assert "refusing to run shell hook: %RSYNC_USER_NAME% holds a shell metacharacter" in d.read_log()
    assert not os.path.exists(work + "/seen") and not os.path.exists(work + "/pwned")


def test_hostile_request_only_reaches_the_environment(work):
    data = data_in(work)
    hook = script(work, "hook", 'printf "%s" "$RSYNC_REQUEST" > "$0.request"\n')
    with Daemon(work, {"m": {"path": data, **IDS, "pre-xfer exec": hook}}) as d:
        name = "m/$(touch pwned)`touch pwned`;touch pwned\nRSYNC_MODULE_NAME=x"
        client([f"rsync://127.0.0.1:{d.port}/{name}", work + "/out/"], cwd=work)
        d.wait_idle()
        assert open(hook + ".request").read().startswith("m/")
    assert not os.path.exists(work + "/pwned")


def test_no_hook_runs_where_the_environment_says_so(work):
    data = data_in(work)
    hook = script(work, "hook", 'touch "$0.ran"; exit 1\n')
    params = {f"{w} exec": hook for w in ("early", "pre-xfer", "post-xfer")}
    with Daemon(work, {"m": {"path": data, **IDS, **params}}, env={"RSYNC_NO_XFER_EXEC": ""}) as d:
        assert client([d.url("m/")]).returncode == 0
        d.wait_idle()
    assert not os.path.exists(hook + ".ran")


def test_hook_gets_no_descriptor_of_ours(work):
    data = data_in(work)
    hook = script(work, "hook", 'ls -l /proc/$$/fd > "$0.fds"\n')
    with Daemon(work, {"m": {"path": data, **IDS, "pre-xfer exec": hook}}) as d:
        assert client([d.url("m/")]).returncode == 0
    assert "socket:" not in open(hook + ".fds").read()
    assert "/log" not in open(hook + ".fds").read()


def test_hook_that_hangs_is_ended(work):
    data = data_in(work)
    with Daemon(work, {"m": {"path": data, **IDS, "pre-xfer exec": "sleep 1000", "hook timeout": 1}}) as d:
        r = client([d.url("m/")])
        assert r.returncode == 4 and b"pre-xfer exec returned failure" in r.stderr
        assert "took more than 1 s: killed" in d.read_log()


# ---- name converter ----

CONVERTER = """exec 2>/dev/null
while read what key; do
  echo "$what $key" >> "$0.asked"
  case "$what $key" in
  "uid 1001") echo joe;; "uid 1002") printf 'ann\\r\\n';; "gid 2001") echo staff;;
  "usr joe") echo 3001;; "usr ann") echo 12x;; "grp staff") echo 4001;; "usr big") echo 4294967296;;
  *) echo;;
  esac
done
"""


@pytest.mark.slow
@pytest.mark.skipif(not IS_ROOT, reason="owners can only be set by the super-user")
@pytest.mark.parametrize("chroot", ["yes", "no"])
@pytest.mark.parametrize("numeric", ["", "yes", "no"])
def test_name_converter_as_stock(work, chroot, numeric):
    def run(top, binary):
        data = os.path.join(top, "data")
        os.mkdir(data)
        for i, (uid, gid) in enumerate([(1001, 2001), (1002, 2002), (1003, 0), (0, 2001)]):
            write_file(f"{data}/f{i}", b"x")
            os.chown(f"{data}/f{i}", uid, gid)
        conv = script(top, "conv", CONVERTER)
        mods = {"m": {"path": data, "read only": "no", "use chroot": chroot, **IDS, "name converter": conv}}
        if numeric:
            mods["m"]["numeric ids"] = numeric
        with Daemon(top, mods, binary=binary) as d:
            r = [client(["-a", d.url("m/"), top + "/pulled/"])]
            d.wait_idle()
            r.append(client(["-a", "--usermap=1001:joe,1002:ann,1003:big", "--groupmap=2001:staff", top + "/pulled/",
                             d.url("m/new/")]))
            d.wait_idle()
            asked = sorted(open(conv + ".asked").read().splitlines()) if os.path.exists(conv + ".asked") else []
        owners = {p: (os.lstat(p).st_uid, os.lstat(p).st_gid) for d in ("pulled", "data/new")
                  for p in [f"{top}/{d}/f{i}" for i in range(4)]}
        return [(x.returncode, sorted(clean(x.stderr, top).split("\n"))) for x in r], owners, asked

    stock, ours = both(work, run)
    assert ours == stock


@pytest.mark.skipif(not IS_ROOT, reason="owners can only be set by the super-user")
def test_name_converter_that_dies(work):
    data = data_in(work)
    # A question that is on its way when it ends counts as unknown: there are enough of them.
    for i in range(20):
        write_file(f"{data}/g{i}", b"x")
        os.chown(f"{data}/g{i}", 1001 + i, 2001 + i)
    with Daemon(work, {"m": {"path": data, **IDS, "name converter": "exec <&-"}}) as d:
        r = client(["-a", d.url("m/"), work + "/out/"])
        assert r.returncode == 12
        assert not d.wait_idle()
        assert "Connection to name-converter failed." in d.read_log()
